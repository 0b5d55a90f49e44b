"""The page and the file of `python -m bench speed`."""

import json
import math
from pathlib import Path
from typing import Any

from tabulate import tabulate

from bench.files import write


def number(value: float | None, digits: int = 3) -> str:
    """A table's cell."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}g}"


def markdown(result: dict[str, Any]) -> str:
    """The page."""
    machine = result["environment"]
    lines = [
        "# Speed",
        "",
        "Written by `python -m bench speed`, never edited. Ways take turns inside one run; medians, and medians of each round's ratios.",
        "",
        f"{machine['device']}; {machine['threads']} thread; torch {machine['torch']}, numpy {machine['numpy']}; "
        f"{result['data']}, {result['images']:,} images of uint8 in memory; batch {result['batch']}; Adam at 1e-3.",
        "",
        *(f"Not compared: {reason}." for reason in result["skipped"]),
    ]
    headers = ["way", "ms a step", "images/s", "time over bare loop's", "over bare loop's without divergence", "over pythae's"]
    headers += ["outside forward + backward", "memory, MiB", "waited for a CPU"]
    for compared in result["training"]:
        rows = [cells(name, way) for name, way in compared["ways"].items()]
        lines += ["", f"## {compared['work']}", "", tabulate(rows, headers, "pipe", disable_numparse=True), ""]
        lines += [f"{compared['rounds']} rounds; forward and backward alone {number(compared['forward_backward_ms'])} ms."]
    lines += ["", "## Growth"]
    for title, cases in result["growth"].items():
        rows = [[case["case"], number(case["ms"]), number(case["over_first"])] for case in cases]
        lines += ["", tabulate(rows, [title, "ms", "over the first"], "pipe", disable_numparse=True)]
    return "\n".join([*lines, *evaluation(result["evaluation"])]) + "\n"


def evaluation(found: dict[str, Any]) -> list[str]:
    """The section on evaluation and reading."""
    versions = ", ".join(f"{name} {which}" for name, which in found["versions"].items())
    lines = ["", "## Evaluation and reading", "", f"{versions}. Differences are relative, |a - b| / |b|."]
    for compared in found["comparisons"]:
        lines += ["", f"### {compared['title']}", "", compared["note"], "", table(compared), "", f"{compared['rounds']} rounds."]
    return lines


def table(compared: dict[str, Any]) -> str:
    """A comparison's rows; without differences where no values were compared."""
    reference, ways = compared["reference"], compared["ways"]
    rate, apart = compared["images"] is not None, any(way["difference"] is not None for way in ways.values())
    headers = ["way", "images/s", f"times {reference}'s"] if rate else ["way", "seconds", f"{reference} is so many times as fast"]
    headers += [f"difference from {reference}"] * apart + ["waited for a CPU"]
    measure = "images_per_second" if rate else "seconds"
    rows = [
        [name, rounded(way[measure]), rounded(way["times"]), *[number(way["difference"], 2)] * apart, percent(way["waited"])]
        for name, way in ways.items()
    ]
    return tabulate(rows, headers, "pipe", disable_numparse=True)


def rounded(value: float) -> str:
    """Three digits, or all of a large number."""
    return f"{value:,.0f}" if value >= 100 else number(value)


def cells(name: str, way: dict[str, Any]) -> list[str]:
    """A way's row."""
    ratios = [number(way[key]) for key in ("over_bare", "over_without", "over_pythae")]
    rest = [percent(way["outside_forward_backward"]), number(way.get("memory_mib")), percent(way["waited"])]
    return [name, number(way["ms"]), f"{way['images_per_second']:,.0f}", *ratios, *rest]


def percent(share: float | None) -> str:
    """A share."""
    return "-" if share is None else f"{100 * share:.0f} %"


def publish(out: Path, result: dict[str, Any]) -> Path:
    """Write leaderboards/speed.md and speed.json; -> the page."""
    page = out / "leaderboards" / "speed.md"
    write(page, markdown(result).encode())
    write(page.with_suffix(".json"), (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())
    return page
