"""`python -m bench figures`: figures of a finished run from its weights, or of a suite from its records and its first seed's weights."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import torch

from bench.commands import console
from bench.commands.evaluate import Target, target_of
from bench.errors import RunError, UserError, unknown
from bench.figures import anytime, canvas, densities, kinds, rate_distortion, samples
from bench.figures.canvas import FORMATS, Format
from bench.figures.subject import Subject
from bench.files import write
from bench.leaderboard import headline
from bench.leaderboard import publish as boards
from bench.records.store import Store, read_curve
from bench.runs.context import Context, context_of
from bench.runs.finished import Trained
from bench.runs.remeasure import trusted
from bench.runs.settings import Settings
from bench.suites import reader
from bench.suites.names import options
from bench.suites.schema import Suite
from metrics.metric import Unavailable

FOLDER = "figures"  # of a run's folder, and of the leaderboards
Rows = tuple[dict[str, Subject], int]  # one run of each row, all of a seed
OF_WEIGHTS: Mapping[str, Callable[[dict[str, Subject], str, int], canvas.Figure]] = {
    "samples": samples.draw_contact,
    "densities": densities.draw,
}


def figures(what: str, suite_values: tuple[tuple[str, ...], str | None], which: tuple[str, ...], form: str, settings: Settings) -> None:
    """Draw the figures that were asked for, () for those that suit the run or suite, and print their paths.

    suite_values: --set and --name. UserError for a figure that cannot be drawn, once the others are.
    """
    chosen = format_of(form)
    if is_run(what):
        check(which, (*kinds.OF_RUNS, kinds.ANIMATION), tuple(kinds.OF_SUITES), "a run", "a suite")
        target = target_of(what, *suite_values[:1], settings.out, suite_values[1])
        of_run(target, which, chosen, settings)
    else:
        check(which, tuple(kinds.OF_SUITES), (*kinds.OF_RUNS, kinds.ANIMATION), "a suite", "a run")
        of_suite(reader.read(what, suite_values[0], name=suite_values[1]), what, suite_values, which, chosen, settings)


def at_the_end(what: str, values: tuple[tuple[str, ...], str | None], settings: Settings) -> None:
    """Of every finished run of a suite the figures that suit it, then the suite's own: `run --figures`.

    values: --set and --name. What cannot be drawn is a warning, for the runs are done.
    """
    try:
        target = target_of(what, *values[:1], settings.out, values[1])
    except UserError as error:
        return console.warn(f"no figures: {error}")
    for trained in target.runs:
        try:
            of_run(replace(target, runs=[trained]), (), "png", settings)
        except UserError as error:
            console.warn(f"no figures of {trained.name}: {error}")
    of_suite(target.suite, what, values, (), "png", settings)


def is_run(what: str) -> bool:
    """Whether that is the folder of a run, there or not, rather than a suite."""
    return Path(what).is_dir() or ("/" in what and not what.endswith(".toml"))


def format_of(form: str) -> Format:
    """UserError for a form that figures do not have."""
    for known in FORMATS:
        if form == known:
            return known
    raise UserError(f"--format: {unknown('format', form, FORMATS)}")


def check(which: tuple[str, ...], known: tuple[str, ...], others: tuple[str, ...], kind: str, other: str) -> None:
    """UserError for a figure that does not exist, or not of such a thing."""
    for name in which:
        if name not in known and name in others:
            raise UserError(f"--which: figure {name!r} is drawn of {other}, not of {kind}, of which there are: {', '.join(sorted(known))}")
        if name not in known:
            raise UserError(f"--which: {unknown('figure', name, known)}")


def of_run(target: Target, which: tuple[str, ...], form: Format, settings: Settings) -> None:
    """Into the folder `figures` of the run's own."""
    (trained,) = target.runs
    subject = subject_of(trained, target, settings)
    absent = dict[str, str]()
    for name in which or kinds.names(subject):
        try:
            ending, content = kinds.render(name, subject, form)
        except Unavailable as reason:
            absent[name] = str(reason)
            continue
        path = trained.folder / FOLDER / f"{name}.{ending}"
        write(path, content)
        print(path)
    say(absent, bool(which), trained.name)


def of_suite(
    suite: Suite, what: str, values: tuple[tuple[str, ...], str | None], which: tuple[str, ...], form: Format, settings: Settings
) -> None:
    """Into the folder `figures` of the leaderboards, and into the board and the page, which are written anew."""
    store, absent = Store(settings.out, suite.name), dict[str, str]()
    if not store.records():
        raise UserError(f"{store.boards}: no records of suite {suite.name}; train its runs with: python -m bench run {options(suite)}")
    first = cache(lambda: first_seed(what, values, settings))
    for name in which or kinds.OF_SUITES:
        try:
            with canvas.style():
                content = canvas.save(drawing(name, suite, store, first), form)
        except (Unavailable, UserError) as reason:
            absent[name] = str(reason)
            continue
        path = store.boards / FOLDER / f"{suite.name}-{name}.{form}"
        write(path, content)
        print(path)
        if name == "samples" and form == "png":
            write_strips(store.boards / FOLDER / suite.name, *first())
    print(boards.publish(settings.out, suite, console.warn))
    say(absent, bool(which), suite.name)


@torch.no_grad()
def drawing(name: str, suite: Suite, store: Store, first: Callable[[], Rows]) -> canvas.Figure:
    """A figure of a suite; Unavailable where there is none, UserError where it needs weights that are not here."""
    if name == "rate-distortion":
        return rate_distortion.draw(list(store.records()), suite.name, suite.held_out)
    if name == "anytime":
        return anytime.draw(store, suite, headline.titles(suite))
    return OF_WEIGHTS[name](first()[0], suite.name, first()[1])


def first_seed(what: str, values: tuple[tuple[str, ...], str | None], settings: Settings) -> Rows:
    """The lowest seed of the runs whose weights are here, and the row's run of it of each row that has one."""
    target = target_of(what, *values[:1], settings.out, values[1])
    seed = min(trained.seed for trained in target.runs)
    return {trained.folder.parent.name: subject_of(trained, target, settings) for trained in target.runs if trained.seed == seed}, seed


@torch.no_grad()
def write_strips(folder: Path, subjects: dict[str, Subject], seed: int) -> None:
    """A small picture of each row, for its card on the page."""
    for label, subject in subjects.items():
        write(folder / f"{label}.png", samples.strip(subject))


def subject_of(trained: Trained, target: Target, settings: Settings) -> Subject:
    """A finished run as figures see it; UserError where it cannot be loaded, or is not what its record says."""
    try:
        record = trained.record()
        context = context_on(record["config"].get("device", "cpu"), target, settings)
        prepared = trusted(trained, record, context)
        labels = context.read(prepared.run).test_labels
        path = trained.folder / "curve.jsonl"
        return Subject(
            prepared.evaluation(context.data(prepared.run)),
            caption_of(record),
            None if labels is None else torch.from_numpy(labels),
            read_curve(path),
            record["config"]["method"],
        )
    except RunError as error:
        raise UserError(str(error)) from None


def context_on(device: str, target: Target, settings: Settings) -> Context:
    """What loads the run, on the kind of device that it was trained on unless another was asked for."""
    settings = replace(settings, device=settings.device or device, out=target.store.out)
    return context_of(settings, target.suite.name, target.suite.plugins)


def caption_of(record: dict[str, object]) -> str:
    """Method, data, seed and steps of a run."""
    config, spent = record["config"], record["spent"]
    assert isinstance(config, dict)
    assert isinstance(spent, dict)
    return f"{record['label']} on {config['dataset']}, {config['latent_dim']} latents, seed {record['seed']}, {spent['steps']:,} steps"


def say(absent: dict[str, str], asked: bool, of: str) -> None:
    """What was left out and why; UserError with it where it was asked for."""
    text = "; ".join(f"{name}: {reason}" for name, reason in absent.items())
    if absent and asked:
        raise UserError(f"{of}: not drawn: {text}")
    if absent:
        print(f"left out: {text}")
