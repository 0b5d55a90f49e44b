"""How a leaderboard was made: settings, runs, recipes, where time goes, machines. From the records, no torch here."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from bench.leaderboard.rows import ABSENT, Column, Record, Row, machine, machines, network_of
from bench.leaderboard.statistics import figures
from bench.markdown import bullets, compact, counted, prose, text
from bench.suites.schema import Suite, plain

RECIPE, TABLES = ("posterior", "cost", "regularisers", "prior", "density"), ("budget", "optimizer")
SETTINGS, SPENT = ("network", "latent_dim", "batch_size"), ("steps", "epochs", "images")
PHASES = ("data", "forward", "regulariser", "backward", "optimiser", "other")
KERNELS = 2  # of each row


def header(suite: Suite, remake: str, rows: Sequence[Row]) -> list[str]:
    """What the suite file says for all rows, and the hash of the data that was met."""
    data = sorted({str(record["hashes"].get("data"))[:16] for row in rows for record in row.done() if not row.stale})
    return [
        f"command: `{remake}`",
        f"dataset: {suite.dataset}, measured on its {suite.held_out} images; hash {' **but also** '.join(data) or ABSENT}",
        f"network: {network_of(suite, rows)}, latent size {suite.latent_dim}; {suite.budget}, batches of {suite.batch_size}, "
        f"{counted(suite.seeds, 'seed')}",
        f"optimizer: Adam with {settings(plain(suite.optimizer))}",
        f"hardware: {prose(suite.hardware)}; expected time: {prose(suite.expected_time)}",
    ]


def references(names: Mapping[Column, str], rows: Sequence[Row]) -> list[str]:
    """Facts of the dataset; where rows differ (in the length of their code, say), which rows have another value than most."""
    lines = []
    for column in (column for column in names if column.group == "reference"):
        values = {row.name: sorted(column.values(row).values()) for row in rows if not row.stale}
        shown = {name: " or ".join(dict.fromkeys(map(figures, found))) for name, found in values.items() if found}
        owners: dict[str, list[str]] = {}
        for name, value in shown.items():
            owners.setdefault(value, []).append(name)
        ordered = sorted(owners.items(), key=lambda item: -len(item[1]))
        said = [f"{value} {column.unit}".rstrip() + f" ({', '.join(of)})" * bool(i) for i, (value, of) in enumerate(ordered)]
        lines += [f"{names[column]}: {'; '.join(said)}"] * bool(said)
    return lines


def runs(rows: Sequence[Row], seeds: int) -> tuple[str, str, str]:
    """What finished runs spent, least to most where the seeds differ; and what ended the others."""
    lines, bad = [], []
    for row in rows:
        spent = [[record["spent"][name] for record in row.done()] for name in SPENT]
        ranges = [" to ".join(dict.fromkeys(map(figures, (min(a), max(a))))) if a else ABSENT for a in spent]
        lines.append([row.name, row.status(seeds), *ranges])
        ended = [record for record in row.records if record["status"] != "done"]
        bad += [f"{row.name}: {text(row.why)}"] * bool(row.why)
        bad += [f"{row.name}, seed {r['seed']}, {r['status']}: {text(r['error'] or 'no message')}" for r in ended]
    return (*unusual(["method", "status", *SPENT], lines), bullets(bad))


def recipes(rows: Sequence[Row]) -> tuple[str, str, str]:
    """Method, recipe, network and every resolved value of each row."""
    configs = {row.name: row.records[0]["config"] for row in rows if row.records}
    shown = [part for part in RECIPE if any(part in config["recipe"] for config in configs.values())]
    common = common_values([config["hyperparameters"] for config in configs.values()])
    lines = []
    for name, c in configs.items():
        own = {key: value for key, value in c["hyperparameters"].items() if key not in common or value != common[key]}
        tables = [settings(table) for table in (own, *(c[key] for key in TABLES))]
        called = "" if c["method"] == name else c["method"]
        lines.append([name, called, *(c["recipe"].get(p, "none") for p in shown), *tables, *(c[key] for key in SETTINGS)])
    said = f"Hyperparameters, of the methods that have them and where nothing else is said: {settings(common)}." if common else ""
    return (*unusual(["row", "method, if another", *shown, "hyperparameters", *TABLES, *SETTINGS], lines), said)


def common_values(tables: Sequence[Record]) -> dict[str, object]:
    """Of each key the value that more than half of the rows with that key have, two rows or more."""
    keys = sorted({key for table in tables for key in table})
    found = {key: [table[key] for table in tables if table.get(key) is not None] for key in keys}
    common = {key: max(values, key=values.count) for key, values in found.items() if values}
    return {key: value for key, value in common.items() if 2 * found[key].count(value) > len(found[key]) > 1}


def unusual(heads: Sequence[str], lines: Sequence[Sequence[object]]) -> tuple[str, str]:
    """A table whose cells are empty where they hold what more than half of the rows have, and a line that says what that is.

    A column in which all rows agree is in the line alone, and so is a row without another value.
    """
    usual: dict[int, object] = {}
    for i in range(1, len(heads)):
        value, count = Counter(str(line[i]) for line in lines).most_common(1)[0] if lines else ("", 0)
        if 2 * count > len(lines) > 1:
            usual[i] = value
    kept = [i for i in range(len(heads)) if i not in usual or any(str(line[i]) != usual[i] for line in lines)]
    cells = [["" if str(line[i]) == usual.get(i) else line[i] for i in kept] for line in lines]
    told = [line for line in cells if any(line[1:])]
    said = "; ".join(f"{heads[i]} {text(value)}" for i, value in usual.items() if value)
    where = (
        "Where nothing is said"
        if len(told) == len(cells)
        else "Where nothing is said, and of rows that are not here"
        if told
        else "All rows"
    )
    return compact([heads[i] for i in kept], told), f"{where}: {said}." if said else ""


def settings(values: Record) -> str:
    """`betas=[0.9, 0.999], lr=0.001`"""
    return ", ".join(f"{key}={json.dumps(values[key], sort_keys=True)}" for key in sorted(values) if values[key] is not None) or ABSENT


def hot_spots(rows: Sequence[Row], words: str) -> list[str]:
    """Where a training step's time goes: its phases, the kernels that take most of it, and who was not profiled.

    words: the options that name the suite to a command.
    """
    profiles = {row.name: row.profile for row in rows if row.profile}
    phases = [phase for phase in PHASES if any(phase in profile["phases"] for profile in profiles.values())]
    places = list(dict.fromkeys(machine(profile["environment"]) for profile in profiles.values()))
    lines = []
    for name, profile in profiles.items():
        shares = [f"{100 * profile['phases'].get(phase, 0):.0f}" for phase in phases]
        kernels = ", ".join(
            f"{kernel['name'].removeprefix('aten::')} {100 * kernel['share']:.0f} % ({figures(kernel['calls'])})"
            for kernel in costliest(profile, KERNELS)
        )
        where = [str(places.index(machine(profile["environment"])) + 1)] * (len(places) > 1)
        lines.append([name, figures(profile["step_ms"]), *shares, kernels, *where])
    missing = ", ".join(row.name for row in rows if not row.profile and not row.stale)
    how = f"Not profiled: {missing}; `python -m bench profile {words} --method NAME` does it."
    heads = ["method", "step (ms)", *(f"{name} (%)" for name in phases), "most of it: kernels, their share (calls per step)"]
    measured = [f"{number}: {place}" if len(places) > 1 else f"measured on {place}" for number, place in enumerate(places, 1)]
    return [compact([*heads, *["place"] * (len(places) > 1)], lines), bullets(measured), how if missing else ""]


def costliest(profile: Record, most: int) -> list[Record]:
    """The kernels that take the largest shares of a step, largest first."""
    return sorted(profile["kernels"], key=lambda kernel: (-kernel["share"], kernel["name"]))[:most]


def commit_of(where: Record) -> str:
    """The commit of an environment, short, and whether files had changed since."""
    return str(where.get("commit") or "unknown")[:12] + " (dirty)" * bool(where.get("dirty"))


def day_of(record: Record) -> str:
    """The day on which a run ended, 2026-11-29; empty where its record does not say."""
    return str(record.get("times", {}).get("finished") or "")[: len("2026-11-29")]


def environments(rows: Sequence[Row]) -> list[str]:
    """Every distinct machine of the records, with the commits that ran on it, how many runs did, and on which days they ended."""
    commits, days = dict[str, list[str]](), dict[str, list[str]]()
    for record in (record for row in rows for record in row.records):
        place = machine(record["environment"])
        commits.setdefault(place, []).append(commit_of(record["environment"]))
        days.setdefault(place, []).append(day_of(record))
    numbers = {place: f"machine {number}: " for number, place in enumerate(machines(rows), 1)} if len(machines(rows)) > 1 else {}
    return [
        f"{numbers.get(place, '')}{place}; commit {', '.join(sorted(set(of)))}; runs: {len(of)}{ended(days[place])}"
        for place, of in commits.items()
    ]


def ended(days: Iterable[str]) -> str:
    """From which day to which runs ended: `, of 2026-11-20 to 2026-11-29`; nothing where no record says it."""
    known = sorted({day for day in days if day})
    return f", of {' to '.join(dict.fromkeys((known[0], known[-1])))}" if known else ""
