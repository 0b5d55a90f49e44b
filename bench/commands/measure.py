"""`python -m bench measure`: a measurement as a table, its record as a line of a file."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

from bench.commands import console
from bench.datasets.storage.image_files import Flatten
from bench.environment import default_device, set_up
from bench.errors import UserError
from bench.files import write
from bench.leaderboard.statistics import figures
from bench.markdown import counted, listed
from bench.measure import explain as explaining
from bench.measure.measure import Options
from bench.measure.measure import measure as measured
from bench.measure.preparation import MOST_SIDE, Filter, Preparation

HEADS = ["metric", "value", "unit", "better", "group"]
ARROWS = {"lower": "↓", "higher": "↑", "target": "→", None: ""}
NEAREST = 3  # variants that are named where none gives the number


class Asked(NamedTuple):
    """What the command line names."""

    what: str | None
    against: str | None
    originals: str | None
    reconstructions: str | None
    factors: Path | None
    train: str | None
    explain: str | None
    record: Path | None
    json: bool
    threads: int


def preparation(flatten: str | None, crop: bool, size: int | None, by: str) -> Preparation:
    """How images are prepared; UserError for a size that no image should have."""
    if size is not None and size > MOST_SIDE:
        raise UserError(f"--size must be at most {MOST_SIDE}, not {size}")
    return Preparation(cast(Flatten | None, flatten), crop, None if size is None else (size, size), cast(Filter, by))


def measure(asked: Asked, chosen: Mapping[str, Any], prepared: Preparation) -> int:
    """Print what was measured; -> exit code, 1 where no metric has a value, or no variant gives the number to explain."""
    options = Options(**chosen, preparation=prepared)
    set_up(options.device or default_device(), asked.threads)
    if asked.record is not None:
        lines = before(asked.record)  # refused before the work, if it is none of ours
    if asked.explain is not None:
        return explained(asked, options)
    record = measured(
        asked.what,
        asked.against,
        originals=asked.originals,
        reconstructions=asked.reconstructions,
        factors=asked.factors,
        train=asked.train,
        options=options,
    )
    if asked.record is not None:
        write(asked.record, lines + (json.dumps(record, ensure_ascii=False) + "\n").encode())
    if asked.json:
        print(json.dumps(record, ensure_ascii=False))
    else:
        show(record)
    return int(all(entry["value"] is None for entry in record["metrics"].values()) and options.save is None)


def before(path: Path) -> bytes:
    """What a file of records holds; UserError for one that holds something else."""
    try:
        content = path.read_bytes() if path.exists() else b""
        for number, line in enumerate(content.splitlines(), 1):
            if not isinstance(json.loads(line), dict) or "measurement" not in json.loads(line):
                raise ValueError(f"line {number} is none")
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"--record {path}: not a file of measurements ({' '.join(str(error).split())}); choose another") from None
    return content if content.endswith(b"\n") or not content else content + b"\n"


def show(record: Mapping[str, Any]) -> None:
    """A table of the metrics that have a value, and why others have none."""
    for name in ("what", "against", "train"):
        if record.get(name):
            print(f"{name}: {sentence(record[name])}")
    found = {name: entry for name, entry in record["metrics"].items() if entry["value"] is not None}
    if found:
        print()
        console.table(HEADS, [line(name, entry) for name, entry in found.items()])
    reasons = Counter(entry["reason"] for entry in record["metrics"].values() if entry["value"] is None)
    for reason in reasons:
        absent = [name for name, entry in record["metrics"].items() if entry["value"] is None and entry["reason"] == reason]
        print(f"\nabsent, {reason}: {listed(absent)}")


def sentence(about: Mapping[str, Any]) -> str:
    """One side in a line."""
    shape = "×".join(map(str, about.get("shape", [])))
    parts = [f"{about['kind']} {about['given']}", f"{about['count']:,} of {shape}" if about.get("count") and shape else ""]
    parts += [f"{what} ({count:,})" for what, count in about.get("conversions", {}).items()]
    parts.append(f"{counted(about['left_out'], 'other file')} left out" if about.get("left_out") else "")
    parts.append(f"sha256 {about['sha256'][:16]}" if about.get("sha256") else "")
    return "; ".join(filter(None, parts))


def line(name: str, entry: Mapping[str, Any]) -> list[str]:
    """A metric under HEADS."""
    value = figures(entry["value"], entry.get("half_width"))
    return [name, value, entry["unit"], ARROWS[entry["better"]], entry["group"]]


def explained(asked: Asked, options: Options) -> int:
    """A table of variants, and which of them give the number."""
    what, against = asked.reconstructions or asked.what, asked.originals or asked.against
    if what is None or against is None or asked.factors is not None or asked.train is not None or asked.explain is None:
        raise UserError("--explain: give WHAT and --against, two sets of images")
    name, found = explaining.explain(asked.explain, what, against, options)
    digits = max(4, len(asked.explain.partition(".")[2]) + 1)
    rows = [
        [
            of.words,
            "-" if of.value is None else f"{of.value:.{digits}g}" if abs(of.value) < 1e-3 else f"{of.value:,.{digits}f}",
            asked.explain * of.gives,
        ]
        for of in found
    ]
    console.table(["variant", name, "gives"], rows)
    giving = [of.words for of in found if of.gives]
    if giving:
        print(f"\n{asked.explain} is what {name} gives: {'; '.join(giving)}")
    else:
        claim = float(asked.explain)
        near = sorted((of for of in found if of.value is not None), key=lambda of: abs((of.value or 0.0) - claim))[:NEAREST]
        print(f"\nno variant gives {asked.explain}; nearest: {'; '.join(f'{of.words} ({of.value:.{digits}g})' for of in near)}")
    if asked.record is not None:
        record = measured(what, against, options=replace(options, metrics=(name,)))
        record["explained"] = {"number": asked.explain, "metric": name, "variants": [of._asdict() for of in found]}
        write(asked.record, before(asked.record) + (json.dumps(record, ensure_ascii=False) + "\n").encode())
    return int(not giving)
