"""Samples of a run (SPEC 7, F1), and of every row of a suite on one sheet."""

from collections.abc import Mapping
from contextlib import suppress

import torch
from matplotlib.figure import Figure
from torch import Tensor

from bench.evaluation.evaluate import Evaluation
from bench.figures import canvas, pictures
from bench.figures.pictures import drawing, draws, sheet
from bench.figures.subject import Subject
from metrics.metric import Unavailable

EACH, SIGNALS = 10, 4  # samples of a row on the sheet of a suite; signals are wide


def sampler(evaluation: Evaluation) -> str:
    """What its samples are draws of, for a caption."""
    return f"the density fitted to its codes ({evaluation.density})" if evaluation.density else f"its prior ({evaluation.method.prior})"


def draw(subject: Subject) -> Figure:
    """The samples that a run leaves when it ends."""
    caption = f"{subject.name}. Decoded draws of {sampler(subject.evaluation)}, none left out."
    return canvas.of_sheet(pictures.samples(subject.evaluation), caption)


def contact(subjects: Mapping[str, Subject]) -> dict[str, Tensor]:
    """Samples by row, all of one random stream each, and held-out images first; rows that cannot sample are left out."""
    first = next(iter(subjects.values()))
    each = EACH if first.values == "unit" else SIGNALS
    rows = {first.held_out: first.images(each)}
    for label, subject in subjects.items():
        try:
            subject.evaluation.eval()
            rows[label] = draws(subject.evaluation, each, "pictures.samples")
        except Unavailable:
            continue
    return rows


def draw_contact(subjects: Mapping[str, Subject], suite: str, seed: int) -> Figure:
    """A row of samples for every row of a suite, below held-out images."""
    rows = contact(subjects)
    first = next(iter(subjects.values()))
    missing = [label for label in subjects if label not in rows]
    fitted = {str(subject.evaluation.density) for subject in subjects.values()}
    source = (
        f"the density fitted to each row's codes ({fitted.pop()})"
        if len(fitted) == 1 and "None" not in fitted
        else ("the density fitted to a row's codes where it has one, else of its prior")
    )
    width = len(rows[first.held_out])
    caption = f"Suite {suite}, seed {seed}. Top: {first.held_out} images. Each row: its first {width} decoded draws of {source}."
    if missing:
        caption += f" Without samples: {', '.join(missing)}."
    shown = drawing(first.values, first.images(1000))[0]
    cells = torch.cat([shown(images[:width]) for images in rows.values()])
    return canvas.of_sheet(sheet(cells, width), caption, list(rows))


def strip(subject: Subject) -> bytes:
    """Rows of held-out images, their reconstructions and samples, where there are any, as a small PNG without words."""
    subject.evaluation.eval()
    each = EACH if subject.values == "unit" else SIGNALS
    images, method = subject.images(each), subject.evaluation.method
    shown = drawing(subject.values, subject.images(1000))[0]
    rows = [images, method.decode(method.draw(images, subject.evaluation.noise("figures.strip")).mean)]
    with suppress(Unavailable):
        rows.append(draws(subject.evaluation, each, "pictures.samples"))
    picture = sheet(torch.cat([shown(row) for row in rows]), each)
    return pictures.png(picture.convert("L") if canvas.grey([picture]) else picture)
