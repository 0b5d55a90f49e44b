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
    """leaderboards/speed.md from what was measured."""
    machine = result["environment"]
    lines = [
        "# Speed",
        "",
        "Written by `python -m bench speed`, never edited. Implementations are timed alternately inside one run. Times are medians over "
        "rounds, and a ratio is the median of the rounds' own ratios: where a noisy machine makes the two disagree, trust the ratio.",
        "",
        f"{machine['device']}; {machine['threads']} thread; torch {machine['torch']}, numpy {machine['numpy']}; "
        f"{result['data']}, {result['images']:,} images of uint8 in memory; batch {result['batch']}; Adam at 1e-3.",
        "",
        *(f"Not compared: {reason}." for reason in result["skipped"]),
    ]
    headers = [
        "implementation",
        "ms a step",
        "images/s",
        "time relative to bare loop",
        "relative to bare loop without divergence",
        "relative to pythae",
    ]
    headers += ["outside forward + backward", "memory, MiB", "CPU wait"]
    for compared in result["training"]:
        rows = [cells(name, implementation) for name, implementation in compared["implementations"].items()]
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
    reference, implementations = compared["reference"], compared["implementations"]
    rate, apart = (
        compared["images"] is not None,
        any(implementation["difference"] is not None for implementation in implementations.values()),
    )
    headers = (
        ["implementation", "images/s", f"times {reference}'s"]
        if rate
        else ["implementation", "seconds", f"{reference} is so many times as fast"]
    )
    headers += [f"difference from {reference}"] * apart + ["CPU wait"]
    measure = "images_per_second" if rate else "seconds"
    rows = [
        [
            name,
            rounded(implementation[measure]),
            rounded(implementation["times"]),
            *[number(implementation["difference"], 2)] * apart,
            percent(implementation["waited"]),
        ]
        for name, implementation in implementations.items()
    ]
    return tabulate(rows, headers, "pipe", disable_numparse=True)


def rounded(value: float) -> str:
    """Three digits, or all of a large number."""
    return f"{value:,.0f}" if value >= 100 else number(value)


def cells(name: str, implementation: dict[str, Any]) -> list[str]:
    """An implementation's row."""
    ratios = [number(implementation[key]) for key in ("over_bare", "over_without", "over_pythae")]
    rest = [
        percent(implementation["outside_forward_backward"]),
        number(implementation.get("memory_mib")),
        percent(implementation["waited"]),
    ]
    return [name, number(implementation["ms"]), f"{implementation['images_per_second']:,.0f}", *ratios, *rest]


def percent(share: float | None) -> str:
    """A share between 0 and 1 in percent; a dash where it was not measured."""
    return "-" if share is None else f"{100 * share:.0f} %"


def publish(out: Path, result: dict[str, Any]) -> Path:
    """Write leaderboards/speed.md and speed.json; -> the page."""
    page = out / "leaderboards" / "speed.md"
    write(page, markdown(result).encode())
    write(page.with_suffix(".json"), (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())
    return page
