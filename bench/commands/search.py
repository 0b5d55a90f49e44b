"""`python -m bench search`: the values of a row that are best on validation images, looked for trial by trial.

A trial is a row of a suite file that this command writes, trained and measured like any other: its record stands in the folder of
that suite's validation runs, its place on their board. Stopped and started again, a search goes on where it was.
"""

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from bench import files
from bench.commands import console
from bench.commands.run import carry_out, check_results, checked, say_stale, with_records
from bench.environment import default_device
from bench.errors import UserError, of_extra, unknown
from bench.evaluation.device_dataset import DeviceDataset
from bench.leaderboard.selection import VALIDATION, Candidate, candidates, choice, seen_by, wanted
from bench.leaderboard.statistics import figures, mean
from bench.markdown import counted
from bench.records.store import Store
from bench.runs.context import context_of
from bench.runs.events import Event
from bench.runs.resolve import resolve
from bench.runs.settings import Settings
from bench.runs.up_to_date import up_to_date
from bench.suites import reader
from bench.suites.names import options
from bench.suites.schema import Search, Selection, Suite
from bench.suites.sweep import Point, name_of

SHOWN = 10  # trials of a row in the table at the end


@dataclass(frozen=True)
class Asked:
    """What a search is to do."""

    methods: tuple[str, ...]  # the rows whose values are looked for; (): all that have a `search`
    name: str  # of the suite file that it writes
    trials: int  # of each row
    at_once: int  # proposals of a row that are made before the results of any of them are known
    seeds: int | None  # of each trial; None: the suite's
    seed: int  # of the proposals


@dataclass
class Bench:
    """Where trials are trained and measured, and by which suite file."""

    file: Path
    asked: Asked
    settings: Settings
    datasets: dict[tuple[str, str], DeviceDataset] = field(default_factory=dict)  # read once for all trials

    def suite(self, text: str) -> Suite:
        """The suite of the validation runs that a text of the file has."""
        seen = seen_by(reader.from_text(text, self.file))
        return seen if self.asked.seeds is None else replace(seen, seeds=self.asked.seeds)

    def check(self, text: str) -> None:
        """UserError for rows that cannot be run, and for results of another suite of that name. Writes nothing but a folder."""
        suite = self.suite(text)
        if suite.plugins:
            with files.writing(self.file):
                self.file.parent.mkdir(parents=True, exist_ok=True)  # paths to them begin in it
        checked(suite, suite, self.settings)
        for one in (suite, reader.from_text(text, self.file)):
            check_results(Store(self.settings.out, one.name), one)

    def run(self, text: str, rows: tuple[str, ...]) -> None:
        """Bring the runs of these rows to their end; the file has that text from the first news of one on."""
        whole = self.suite(text)
        chosen = reader.choose(whole, rows)
        context, runs = checked(chosen, chosen, self.settings)[:2]
        context.datasets = self.datasets
        say_stale(with_records(runs, context.store))
        unwritten = [text]
        with console.progress(len(runs)) as tell:

            def hear(event: Event) -> None:  # once data are there and results can be written
                while unwritten:
                    files.write(self.file, unwritten.pop().encode())
                tell(event)

            carry_out(context, runs, whole, profiles=False, tell=hear, warn=console.warn)

    def go_on(self) -> None:
        """Bring to their end the trials of the file that are not, as those of a search that was stopped."""
        suite = self.suite(text := reader.text_of(self.file))
        device = self.settings.device or default_device()
        context = context_of(self.settings.on(device), suite.name, suite.plugins)
        merged = {record["key"] for record in context.store.records()}
        runs = [resolve(run, context.catalogue) for run in suite.runs(device)]
        left = [one.run.label for one in runs if one.run.key() not in merged or not up_to_date(one, context.store)]
        if left:
            self.run(text, tuple(dict.fromkeys(left)))

    def outcomes(self) -> dict[str, list[Candidate]]:
        """The trials of each row with what its rule sees of them, in their order; none before the first.

        Of the seeds that were asked for, on this kind of device: an earlier call may have had others.
        """
        if not self.file.exists():
            return {}
        suite, device = self.suite(reader.text_of(self.file)), self.settings.device or default_device()
        found = Store(self.settings.out, suite.name).records()
        records = [record for record in found if record["seed"] < suite.seeds and record["config"]["device"] == device]
        for of in suite.selections:
            self.check_values(of, records)
        return {of.label: candidates(of, suite, records) for of in suite.selections}

    def check_values(self, of: Selection, records: Sequence[Mapping[str, Any]]) -> None:
        """UserError where trials of a row have ended and none has a value of what the rule is about: no other would have one."""
        done = [record for record in records if record["label"] in of.rows and record["status"] == "done"]
        entries = [record["metrics"].get(of.rule.metric, {}) for record in done]
        if entries and all(entry.get("value") is None for entry in entries):
            why = entries[0].get("reason") or "it was not measured"
            raise UserError(f"{self.file}: methods.{of.label}.select: no trial has a value of {of.rule.metric}: {why}")


def search(suite: Suite, asked: Asked, settings: Settings) -> int:
    """Propose, train and measure until each row has its trials; -> exit code, 0 where one of each row's is chosen."""
    with of_extra("search", ("optuna", "tomli_w"), "search"):
        from bench.commands.proposals import proposals
        from bench.suites.trials import Trials, corners, text_with, trials_in
    searches = searched(suite, asked.methods)
    bench = Bench(settings.out / f"{asked.name}.toml", asked, settings)
    trials: Trials = trials_in(bench.file, suite, searches)
    try:
        bench.check(text_with(suite, {one.label: corners(one) for one in searches}, bench.file))
    except UserError as error:  # in the words of the file that the user has written
        text = str(error)
        for place in (f"{bench.file}: ", f"{bench.file} --set {VALIDATION}: "):
            text = f"{suite.where}: {text.removeprefix(place)}" if text.startswith(place) else text
        raise UserError(text) from None
    if trials:
        bench.go_on()
    found = bench.outcomes()
    while True:
        new = dict[str, list[Point]]()
        for one in searches:
            made, far = trials.get(one.label, ()), [of.far for of in found.get(one.label, ())]
            count = min(asked.at_once, asked.trials - len(made))
            new[one.label] = proposals(one, made, far, count, asked.seed) if count > 0 else []
        if not any(new.values()):
            return report(bench, searches, found)
        trials = {label: [*trials.get(label, ()), *of] for label, of in new.items()}
        bench.run(text_with(suite, trials, bench.file), tuple(name_of(label, point) for label, of in new.items() for point in of))
        found = bench.outcomes()
        for one in searches:
            say(one, found[one.label], len(new[one.label]), asked.trials)


def searched(suite: Suite, methods: tuple[str, ...]) -> list[Search]:
    """The searches of the rows that were asked for; UserError for one that has none."""
    known = {one.label: one for one in suite.searches}
    for label in methods:
        if label not in known and label in [entry.label for entry in suite.methods]:
            raise UserError(f"{suite.where}: methods.{label} has no search; docs/suites.md, Searches, has how to write one")
        if label not in known:
            raise UserError(f"{suite.where}: {unknown('method', label, known)}")
    if not known:
        raise UserError(f"{suite.where}: no row has a search; docs/suites.md, Searches, has how to write one")
    return [one for one in suite.searches if not methods or one.label in methods]


def say(search: Search, found: Sequence[Candidate], count: int, of: int) -> None:
    """A line on each of the newest trials."""
    best = min(found, key=lambda one: one.far)
    so_far = f"; best so far {best.label}" if math.isfinite(best.far) else ""
    for place in range(len(found) - count, len(found)):
        print(f"trial {place + 1} of {of}: {found[place].label}: {search.rule.metric} {seen(found[place])}{so_far}")


def seen(one: Candidate) -> str:
    """What a rule's metric is of a trial."""
    return figures(mean(one.values)) if math.isfinite(one.far) else "lost"


def report(bench: Bench, searches: Sequence[Search], found: Mapping[str, Sequence[Candidate]]) -> int:
    """Print the best trials of each row, which is chosen, and how to train it for the test images; -> exit code."""
    chosen = []
    for one in searches:
        ranked = sorted(found[one.label], key=lambda of: of.far)
        rows = [[of.label, seen(of), f"{len(of.values)} of {len(of.seeds)}"] for of in ranked[:SHOWN]]
        console.table(["row", one.rule.metric, "seeds"], rows, f"{one.label}: {counted(len(ranked), 'trial')}, by {wanted(one.rule)}")
        if len(ranked) < bench.asked.trials:
            print(f"\n{len(ranked)} of {bench.asked.trials} trials: a hundred proposals in a row had been tried before.")
        if best := choice(found[one.label]):
            chosen.append(best.label)
            print(f"\n`{best.label}` is chosen.\n")
        else:
            print(f"\nOf {one.label} nothing is chosen: every trial diverged or failed.\n")
    suite = reader.read(str(bench.file))
    if chosen and suite.held_out == "test":
        words = shlex.join(["--methods", ",".join(chosen), *places(bench.settings)])
        print(f"what the test images say of it: python -m bench run {options(suite)} {words}")
    return 0 if len(chosen) == len(searches) else 1


def places(settings: Settings) -> list[str]:
    """The options of a command that are where its results and data lie and what works on them, as far as they were given."""
    given = {"--out": str(settings.out) if settings.out != Path() else None, "--device": settings.device}
    return [word for option, value in given.items() if value for word in (option, value)]
