"""The page and the file of `python -m bench gpu-check`, under the name of the hardware."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tabulate import tabulate

from bench.files import write


def markdown(result: Mapping[str, Any]) -> str:
    """A table for each part."""
    machine = result["environment"]
    some = "".join(f" --part '{name}'" for name in result["only"])
    quick = " --quick, tiny sizes: no numbers to quote" if result["quick"] else ""
    checked = "all checks hold" if result["ok"] else "A CHECK FAILED"
    verdict = checked if result["finished"] else "NOT FINISHED"
    lines = [
        f"# GPU check: {machine['device']}",
        "",
        f"Written by `python -m bench gpu-check{some}`{quick}, never edited. "
        f"torch {machine['torch']}, {machine['driver'] or 'no driver'}; {result['seconds']:.0f} s; {verdict}.",
    ]
    if "error" in machine:
        lines += ["", f"The machine could not be described: {machine['error']}"]
    for name, part in result["parts"].items():
        lines += ["", f"## {name}", ""]
        whole = [row for row in part["rows"] if "error" not in row]
        plain = [row for row in whole if "kernels" not in row]
        if plain:
            lines += [table(plain), ""]
        for row in whole:
            if row_kernels := row.get("kernels"):
                lines += [f"{row['execution']}; the host waited {row['host_waits']} times in 10 steps", "", table(row_kernels), ""]
        for row in part["rows"]:
            if "error" in row:
                lines += [f"Failed: {', '.join(str(v) for k, v in row.items() if k not in ('ok', 'error'))}: {row['error']}", ""]
    return "\n".join(lines) + "\n"


def table(rows: list[dict[str, Any]]) -> str:
    """A column for each key that a row has, in the order in which they come."""
    keys = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[said(row.get(key, "-")) for key in keys] for row in rows]
    return tabulate(cells, keys, "pipe", disable_numparse=True)


def said(value: object) -> str:
    """A cell."""
    return f"{value:.3g}" if isinstance(value, float) else {"True": "yes", "False": "no"}.get(str(value), str(value))


def publish(folder: Path, result: Mapping[str, Any]) -> Path:
    """Write check.md and check.json; -> the page."""
    write(folder / "check.md", markdown(result).encode())
    write(folder / "check.json", (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())
    return folder / "check.md"
