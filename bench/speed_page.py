"""The page and the file of `latentbench speed`."""

import json
import math
from pathlib import Path
from typing import Any

from tabulate import tabulate

from bench.store import write


def number(value: float | None, digits: int = 3) -> str:
    """A table's cell."""
    return "-" if value is None or not math.isfinite(value) else f"{value:.{digits}g}"


def markdown(result: dict[str, Any]) -> str:
    """The page."""
    machine = result["environment"]
    lines = [
        "# Speed of training",
        "",
        "Written by `latentbench speed`, never edited. Ways take turns inside one run; medians, and medians of the ratios of each round.",
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
    lines += ["", "Reading packed images against decoding files: `nox -s kernels`, `tests/benchmarks/test_reading.py`."]
    return "\n".join(lines) + "\n"


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
