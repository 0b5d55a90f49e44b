"""Trained runs as what is measured: by the protocol of their own dataset, or their samples against other images."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.errors import RunError, UserError
from bench.leaderboard.publish import suite_of
from bench.measure.image_sets import ImageSet
from bench.runs.context import Context, context_of
from bench.runs.finished import Trained
from bench.runs.prepare import Prepared
from bench.runs.remeasure import measured, trusted
from bench.runs.settings import Settings

SHAPE = "<out>/runs/<suite>/<row>/<seed>-<key>"  # of a run's folder


def opened(folder: Path, data_root: Path, device: str | None) -> tuple[dict[str, Any], Prepared, Context]:
    """A run's record, its method with the weights that the record is of, and where it is measured; UserError where it is not whole."""
    parts = folder.resolve().parts
    if len(parts) < 5 or parts[-4] != "runs":
        raise UserError(f"{folder}: not the folder of a run, which is {SHAPE}")
    out, name = Path(*parts[:-4]), parts[-3]
    suite = suite_of(out, name)
    trained = Trained(folder, suite.plugins)
    try:
        record = trained.record()
        settings = Settings(out, data_root, device or record["config"].get("device", "cpu"), torch.get_num_threads(), jobs=1)
        context = context_of(settings, name, suite.plugins)
        return record, trusted(trained, record, context), context
    except RunError as error:
        raise UserError(str(error)) from None


def evaluated(folder: Path, metrics: tuple[str, ...], data_root: Path, device: str | None) -> tuple[dict[str, Any], dict[str, Any]]:
    """A run on its own dataset: what a record says of it, and its entries, as `evaluate` has them."""
    record, prepared, context = opened(folder, data_root, device)
    known = context.catalogue
    chosen = [known.measured_by(name) for name in metrics or known.metrics]
    try:
        entries = measured(prepared, context, chosen)
    except RunError as error:
        raise UserError(f"{folder}: {error}") from None
    about = {"given": str(folder), "kind": "run", "sha256": record["hashes"].get("weights"), "data": record["hashes"].get("data")}
    return about | {name: record[name] for name in ("suite", "label", "seed")}, entries


def samples_of(folder: Path, data_root: Path, device: str | None, count: int) -> ImageSet:
    """Decoded prior draws of a run, the first of those that its evaluation takes; UserError for a method that has no prior."""
    record, prepared, context = opened(folder, data_root, device)
    evaluation = prepared.evaluation(context.data(prepared.run))
    evaluation.eval()
    if evaluation.method.prior is None:
        raise UserError(f"{folder}: {record['label']} has no prior; there are no samples to measure")
    n = min(count, evaluation.sample_count)

    def blocks() -> Iterator[Tensor]:
        left = n
        with torch.no_grad():
            for images in evaluation.samples():
                yield images[:left].cpu()
                left -= len(images[:left])
                if not left:
                    return

    shape = tuple(context.data(prepared.run).test.shape[1:])
    return ImageSet(str(folder), "samples of a run", n, (shape[0], shape[1], shape[2]), blocks, bounded=False)
