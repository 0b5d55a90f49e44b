"""`python -m bench figures`: figures of a finished run from its weights, or of a suite from its records and its first seed's weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from bench.commands.evaluate import Target, target_of
from bench.errors import RunError, UserError, unknown
from bench.figures import canvas, kinds, rate_distortion, samples
from bench.figures.canvas import FORMATS, Format
from bench.figures.subject import Subject
from bench.files import write
from bench.records.store import Store, read_lines
from bench.runs.context import Context, context_of
from bench.runs.finished import Trained
from bench.runs.remeasure import trusted
from bench.runs.settings import Settings
from bench.suites import reader
from bench.suites.names import options
from bench.suites.schema import Suite
from metrics.metric import Unavailable

FOLDER = "figures"  # of a run's folder, and of the leaderboards
Say = Callable[[str], None]


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
        of_suite(
            reader.read(what, suite_values[0], name=suite_values[1]), what, suite_values, which or tuple(kinds.OF_SUITES), chosen, settings
        )


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
    """Into the folder `figures` of the leaderboards."""
    store, absent = Store(settings.out, suite.name), dict[str, str]()
    if not store.records():
        raise UserError(f"{store.boards}: no records of suite {suite.name}; train its runs with: python -m bench run {options(suite)}")
    for name in which:
        try:
            with canvas.style():
                if name == "samples":
                    figure = contact_sheet(target_of(what, *values[:1], settings.out, values[1]), settings)
                else:
                    figure = rate_distortion.draw(list(store.records()), suite.name, suite.held_out)
                content = canvas.save(figure, form)
        except Unavailable as reason:
            absent[name] = str(reason)
            continue
        path = store.boards / FOLDER / f"{suite.name}-{name}.{form}"
        write(path, content)
        print(path)
    say(absent, True, suite.name)


@torch.no_grad()
def contact_sheet(target: Target, settings: Settings) -> canvas.Figure:
    """Of the lowest seed that every row's runs here have in common with the first row's, or of the lowest of all."""
    first = min(trained.seed for trained in target.runs)
    subjects = {trained.folder.parent.name: subject_of(trained, target, settings) for trained in target.runs if trained.seed == first}
    return samples.draw_contact(subjects, target.suite.name, first)


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
            read_lines(path, {"step"}) if path.exists() else (),
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
