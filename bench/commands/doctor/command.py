"""`python -m bench doctor`: whether runs can be started, kept and believed on this machine, and what to do where not."""

import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from bench.commands.doctor.finding import Finding, exit_code
from bench.commands.options import DATA, HERE, DataRoot, Out

MARKS = {"good": "    ok", "note": "  note", "warning": "  WARN", "fault": " FAULT"}


def doctor(
    data_root: DataRoot = DATA,
    out: Out = HERE,
    as_json: Annotated[bool, typer.Option("--json", help="The findings as JSON.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Read large datasets whole, against their hashes.")] = False,
) -> None:
    """Examine this machine: packages, device, threads, kernels, folders, locks, clock, datasets, weights, leftovers of killed runs.

    Each problem comes with its remedy. Nothing is changed: probes are removed again, kernels in C are built as a run would build them.
    Exit code 0: all well; 1: runs start, but some will fail, be slow or be measured wrongly; 2: no run can be started or kept.
    """
    found = list(examine(data_root, out, full))
    code = exit_code(found)
    if as_json:
        print(json.dumps({"exit_code": code, "findings": [asdict(finding) for finding in found]}, indent=1, ensure_ascii=False))
    else:
        for finding in found:
            print(f"{MARKS[finding.state]}  {finding.area}: {finding.says}")
            if finding.remedy and finding.state != "good":
                print(f"          -> {finding.remedy}")
    raise typer.Exit(code)


def examine(data_root: Path, out: Path, full: bool) -> Iterator[Finding]:
    """What needs nothing comes first: the rest can be looked at only where the packages are there."""
    from bench.commands.doctor import folders, leftovers, packages  # here, so that other commands start without them
    from bench.commands.doctor.folders import Folder

    of_packages = list(packages.examine())
    yield from of_packages
    elsewhere = "choose another --out"
    yield from folders.examine(
        [
            Folder("results in", out, "fault", elsewhere),
            Folder("data root", data_root, "note", "large datasets are packed in ./data; or choose another --data-root"),
            Folder("temporary files in", Path(tempfile.gettempdir()), "warning", "set TMPDIR to a folder that can be written"),
        ]
    )
    yield from leftovers.examine(out, data_root)
    if exit_code(of_packages) == 2:
        yield Finding("device", "note", "not looked at, nor kernels, datasets and weights: packages are missing", "install them first")
        return
    from bench.commands.doctor import machine, material  # they load torch

    yield from machine.examine()
    yield from material.examine(data_root, full)
