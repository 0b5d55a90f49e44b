"""Measure anything by the protocol of the project's runs: images, reconstructions, codes, models, statistics; one record of it.

    measure("samples/", "dataset:mnist:test")
    measure("model.pt", "photographs/")
    measure(originals="a/", reconstructions="b/")
    measure("codes.npy", factors="factors.npy")

A record is what `--record` appends to a file, a line each: {measurement, what, against, train, options, metrics, environment, hashes,
finished}.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.environment import code_hash, default_device, describe
from bench.errors import UserError, unknown
from bench.evaluation.evaluate import SAMPLES
from bench.evaluation.feature_networks import FeatureNetworks
from bench.leaderboard.statistics import mean_and_interval
from bench.measure import networks, statistics_file, training_images, views
from bench.measure.arrays import Range
from bench.measure.autoencoders import Autoencoder
from bench.measure.collect import Collected, Pairs, collect, collect_pairs, collected_pairs
from bench.measure.image_sets import ImageSet
from bench.measure.networks import Chosen
from bench.measure.pairing import check_paired, check_shapes
from bench.measure.preparation import AS_IT_IS, Preparation
from bench.measure.runs import evaluated, samples_of
from bench.measure.statistics_file import Statistics
from bench.measure.subjects import DATASET, Codes, Reading, RunFolder, factors_of, images_of, networks_of_dataset, subject
from bench.measure.training_images import Training, collect_training
from bench.registry import catalogue

VERSION = 1  # of the form of records
DATA_ROOT = Path("data")
NOT_OF_SETS = "--train: training images are for samples, a set of images or a run, that are measured --against others"
LEVEL = 0.95  # of intervals of means over images
MOST_CODE_VALUES = 4096  # of a code, beyond which distances to N(0, I) are left out


@dataclass(frozen=True)
class Options:
    """How something is measured."""

    networks: tuple[str, ...] = ()  # (): all whose weights are here
    metrics: tuple[str, ...] = ()  # (): all that there are
    count: int = SAMPLES  # images on each side of a distance, at most
    preparation: Preparation = AS_IT_IS
    values: Range | None = None  # of real pixels and of models; None: [0, 1], and [-1, 1] for diffusers
    data_root: Path = DATA_ROOT
    device: str | None = None  # cpu or cuda; None: cuda where there is one
    plugins: tuple[str, ...] = ()  # files with datasets and metrics of one's own
    save: Path | None = None  # a .npz that gets mean and covariance of the features of what is measured

    def reading(self) -> Reading:
        """How subjects are read by these."""
        device = torch.device(self.device or default_device())
        return Reading(catalogue(self.plugins), self.data_root, device, self.preparation, self.values)


@dataclass(frozen=True)
class Measured:
    """What was found, before it is a record."""

    what: dict[str, Any]
    against: dict[str, Any] | None
    entries: dict[str, dict[str, Any]]
    train: dict[str, Any] | None = None


def measure(
    what: str | Path | None = None,
    against: str | Path | None = None,
    *,
    originals: str | Path | None = None,
    reconstructions: str | Path | None = None,
    factors: Path | None = None,
    train: str | Path | None = None,
    options: Options | None = None,
) -> dict[str, Any]:
    """The record of a measurement; UserError for what cannot be measured, in a line that names it. Writes nothing but options.save.

    train: the training images of what made `what`, images too: whether it copies them.
    """
    if (originals is None) != (reconstructions is None) or (originals is None) == (what is None):
        raise UserError("measure: give WHAT, or both --originals and --reconstructions")
    options = options or Options()
    reading = options.reading()
    if originals is not None and reconstructions is not None:
        if against is not None:
            raise UserError("measure: --originals are what --reconstructions are measured against; leave --against out")
        if train is not None:
            raise UserError(NOT_OF_SETS)
        found = of_pairs(str(originals), str(reconstructions), options, reading)
    else:
        against, train = (None if text is None else str(text) for text in (against, train))
        found = of_subject(str(what), against, train, factors, options, reading)
    return record_of(found, options, reading)


def of_subject(what: str, against: str | None, train: str | None, factors: Path | None, options: Options, reading: Reading) -> Measured:
    """Whatever WHAT names."""
    found = subject(what, reading)
    if train is not None and (against is None or not isinstance(found, ImageSet | RunFolder)):
        raise UserError(NOT_OF_SETS)
    if factors is not None and not isinstance(found, Codes):
        raise UserError(f"--factors: they are measured beside codes; {what} is no array of codes, (N, D)")
    match found:
        case Codes():
            if against is not None:
                raise UserError(f"{what}: codes are measured against N(0, I) and beside --factors; leave --against out")
            return of_codes(found, factors, options, reading)
        case RunFolder() if against is None:
            about, entries = evaluated(found.path, options.metrics, options.data_root, options.device)
            return Measured(about, None, entries)
        case RunFolder():
            found = samples_of(found.path, options.data_root, options.device, options.count)
        case Autoencoder():
            if against is None:
                raise UserError(f"{what}: a model is measured on images; say which: --against FOLDER")
            return of_model(found, against, options, reading)
        case Statistics() | ImageSet():
            pass
    return of_side(found, against, train, options, reading)


def chosen_for(reference: str | None, options: Options, reading: Reading) -> Chosen:
    """The networks, those of a dataset where the reference is one."""
    of_dataset = reference is not None and reference.startswith(DATASET)
    source: FeatureNetworks = (
        networks_of_dataset(str(reference), reading) if of_dataset else networks.without_dataset(options.data_root, reading.device)
    )
    return networks.choose(options.networks, source)


def of_side(found: ImageSet | Statistics, against: str | None, train: str | None, options: Options, reading: Reading) -> Measured:
    """A set of images, or its statistics, against another, and beside training images."""
    if against is None and options.save is None:
        raise UserError(f"{found.given}: say what it is measured against: --against FOLDER, dataset:NAME:test, statistics.npz ...")
    reference = None if against is None else subject(against, reading)
    if not isinstance(reference, ImageSet | Statistics | None):
        raise UserError(f"--against {against}: images or statistics are expected")
    if isinstance(found, ImageSet) and isinstance(reference, ImageSet):
        check_shapes(found, reference)
    chosen = chosen_for(against, options, reading)
    check_statistics([side for side in (found, reference) if isinstance(side, Statistics)], chosen, reading.device)
    training = None if train is None or isinstance(found, Statistics) else trained_on(train, found, reference, chosen, options, reading)
    sides, abouts = dict[str, views.Side](), list[dict[str, Any]]()
    for name, side in (("test", reference), ("samples", found)):
        if side is not None:
            sides[name], about = passed(side, chosen, options.count, reading.device)
            abouts.append(about)
    if options.save is not None:
        save(options.save, sides["samples"], chosen)
    makers: dict[str, views.Maker] = {}
    if training is not None:
        makers = training_images.makers(training, sides)
        sides[views.TRAIN] = training.collected
    entries = entries_of(views.of_sets(sides, chosen) | makers, options, reading)
    return Measured(abouts[-1], abouts[0] if reference is not None else None, entries, training.about if training else None)


def trained_on(
    train: str, samples: ImageSet, reference: ImageSet | Statistics | None, chosen: Chosen, options: Options, reading: Reading
) -> Training:
    """Training images beside samples: features of as many as there are reference images, as evaluation takes them."""
    images = images_of(train, reading, "--train")
    check_shapes(samples, images)
    as_many = reference.count if isinstance(reference, ImageSet) else options.count
    return collect_training(images, chosen, min(options.count, as_many), reading.device)


def passed(side: ImageSet | Statistics, chosen: Chosen, count: int, device: torch.device) -> tuple[views.Side, dict[str, Any]]:
    """One side, and what a record says of it."""
    if isinstance(side, Statistics):
        return side, {"given": side.given, "kind": "statistics", "count": side.count, "protocol": side.protocol}
    found = collect(side, chosen, count, device)
    return found.collected, side.about(found.sha256)


def save(path: Path, side: views.Side, chosen: Chosen) -> None:
    """Write the statistics of the features of the one network that was chosen."""
    if not isinstance(side, Collected):
        raise UserError("--save-statistics: they are of images, not of other statistics")
    (name,) = only_network(chosen, "--save-statistics")
    statistics_file.save(path, views.fitted(side.features[name]), chosen.protocol(name), len(side))


def only_network(chosen: Chosen, why: str) -> list[str]:
    """The one network that there is; UserError where there are several or none."""
    if len(chosen.networks) != 1:
        raise UserError(f"{why}: they are of one network; say which: --networks {next(iter(chosen.networks), 'inception-tf')}")
    return list(chosen.networks)


def check_statistics(found: list[Statistics], chosen: Chosen, device: torch.device) -> None:
    """UserError where statistics are of other features than those of the one network that was chosen."""
    for one in found:
        (name,) = only_network(chosen, one.given)
        if one.protocol is not None and one.protocol != chosen.protocol(name):
            raise UserError(f"{one.given} is of {one.protocol}; the network here is {chosen.protocol(name)}")
        dim = chosen.networks[name].features(torch.zeros(1, 3, 8, 8, dtype=torch.uint8, device=device)).shape[1]
        if len(one.gaussian.mean) != dim:
            raise UserError(f"{one.given} is of {len(one.gaussian.mean):,} features, {name} has {dim:,}")


def of_pairs(originals: str, reconstructions: str, options: Options, reading: Reading) -> Measured:
    """Originals and reconstructions, paired by their names where both have some, else by their order."""
    one, other = images_of(originals, reading, "--originals"), images_of(reconstructions, reading, "--reconstructions")
    check_shapes(other, one)
    check_paired(one, other)
    chosen = chosen_for(originals, options, reading)
    pairs = collect_pairs(one, other, chosen, options.count, reading.device)
    entries = with_intervals(entries_of(views.of_pairs(pairs, chosen), options, reading), pairs)
    return Measured(other.about(pairs.reconstructions.sha256), one.about(pairs.originals.sha256), entries)


def of_model(model: Autoencoder, against: str, options: Options, reading: Reading) -> Measured:
    """Reconstructions and codes of a set of images by a model."""
    images = images_of(against, reading, "--against")
    chosen = chosen_for(against, options, reading)
    codes, digests = list[Tensor](), (hashlib.sha256(), hashlib.sha256())

    def pairs() -> Any:
        for x in images.passing(digests[0].update):
            y, z = model(x.to(reading.device))
            y = y.cpu().contiguous()
            digests[1].update(y.numpy().data)
            if z is not None:
                codes.append(z.cpu())
            yield x, y

    made = ImageSet(model.given, model.kind, images.count, images.shape, images.blocks, images.levels)
    found = collected_pairs(images, made, pairs(), chosen, options.count, reading.device, [digest.hexdigest for digest in digests])
    makers = views.of_pairs(found, chosen)
    if codes and codes[0].shape[1] <= MOST_CODE_VALUES:
        makers |= views.of_codes(torch.cat(codes), None)
    entries = with_intervals(entries_of(makers, options, reading), found)
    about = {**made.about(found.reconstructions.sha256), "model": model.sha256, "values": model.values}
    return Measured(about, images.about(found.originals.sha256), entries)


def of_codes(codes: Codes, factors: Path | None, options: Options, reading: Reading) -> Measured:
    """Codes against N(0, I), and beside factors of variation."""
    rows = codes.rows
    columns = None if factors is None else factors_of(factors, len(rows))
    entries = entries_of(views.of_codes(rows, columns), options, reading)
    digest = hashlib.sha256(f"{tuple(rows.shape)}".encode() + rows.numpy().tobytes()).hexdigest()
    about = {"given": codes.given, "kind": "codes", "count": len(rows), "shape": [rows.shape[1]], "sha256": digest}
    return Measured(about, None if factors is None else {"given": str(factors), "kind": "factors"}, entries)


def entries_of(makers: Mapping[str, views.Maker], options: Options, reading: Reading) -> dict[str, dict[str, Any]]:
    """The metrics that were asked for, or all; UserError for one that there is not."""
    every = views.measurable(reading.known, makers, on_request=bool(options.metrics))
    for name in options.metrics:
        if name not in every:
            raise UserError(f"--metrics: {unknown('metric', name, every)}")
    return views.entries({name: every[name] for name in options.metrics or every}, makers)


def with_intervals(entries: dict[str, dict[str, Any]], pairs: Pairs) -> dict[str, dict[str, Any]]:
    """Means over images with the half width of their t interval."""
    for name, of in views.PER_IMAGE.items():
        if entries.get(name, {}).get("value") is None:
            continue
        values = of(pairs)
        if isinstance(values, Tensor) and len(values) > 1:
            entries[name]["half_width"] = mean_and_interval(values.tolist(), LEVEL)[1]
            entries[name]["interval"] = f"{100 * LEVEL:.0f} % t interval over images"
    return entries


def record_of(found: Measured, options: Options, reading: Reading) -> dict[str, Any]:
    """The record."""
    said = asdict(options) | {"data_root": None, "save": None, "preparation": asdict(options.preparation)}
    return {
        "measurement": VERSION,
        "what": found.what,
        "against": found.against,
        **({"train": found.train} if found.train else {}),
        "options": {name: value for name, value in said.items() if value not in (None, ())},
        "metrics": found.entries,
        "environment": describe(reading.device, 1),
        "hashes": {"code": code_hash(options.plugins)},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
