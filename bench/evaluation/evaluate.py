"""Method + dataset -> views, each computed once -> metrics. Batch norm in evaluation mode; a view has a random stream of its own."""

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial, reduce
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from bench.datasets.batches import generator, scaled
from bench.datasets.dataset import Values
from bench.errors import FOREIGN, UserError, in_a_line, unknown
from bench.evaluation import code_views, feature_views
from bench.evaluation.device_dataset import DeviceDataset
from bench.evaluation.view_checks import checked
from bench.evaluation.view_names import name_of_view
from metrics import copies, neighbours
from metrics.features.network import eight_bit
from metrics.features.second import midpoints, mixture_draws
from metrics.fixed_subset import subset, subset_indices
from metrics.frechet import pixel_features, value_features
from metrics.latent import Codes
from metrics.metric import Metric, Unavailable, Views, absent, measure
from metrics.reconstruction import Errors, errors, errors_on_reals
from metrics.sharpness import sharpness
from models.interfaces import Method, Prior

BATCH = 1000
SAMPLES = 10_000  # images on each side of a distance between sets (SPEC 5.6)
Split = Literal["train", "test"]  # test: the images held out from training, validation images too
SPLITS: tuple[Split, ...] = ("train", "test")
SIGNALS = (  # protocols and names of images, in the words of signals
    ("pixels in [0, 1]", "values as they are"),
    ("pixels (area-averaged to at most 32×32)", "values as they are"),
    ("pixel", "value"),
    ("image", "signal"),
)


class Images(NamedTuple):
    """What is kept of images that were decoded or read once."""

    features: Tensor  # pixels, (n, F)
    eight_bit: Tensor  # for feature networks, (n, C, H, W) uint8
    sharpness: Tensor  # (n,) float64; no numbers for signals


class Pass(NamedTuple):
    """All that one pass over a split leaves: images are decoded once from the noise draw and once from the mean code."""

    codes: Codes
    draw: Errors
    mean: Errors
    images: Images  # up to SAMPLES reconstructions from the noise draw, of the images that `test.images` has


class Evaluation:
    """Views of one trained method on one dataset."""

    def __init__(self, method: Method, data: DeviceDataset, seed: int, density: Prior | None = None):
        """density: fitted to the method's codes, where one was. seed: of the random streams of views."""
        self.method, self.data, self.seed, self.density = method, data, seed, density
        self.device = data.train.device
        self.errors: Callable[[Tensor, Tensor], Errors] = errors if data.values == "unit" else errors_on_reals
        self.features: Callable[[Tensor], Tensor] = pixel_features if data.values == "unit" else value_features
        self.ruined: list[str] = []  # what the method says of images and is finite nowhere, as sentences

    def eval(self) -> None:
        """The method and its density in evaluation mode: without dropout, batch norm by its running means."""
        self.method.eval()
        if isinstance(self.density, nn.Module):
            self.density.eval()

    def noise(self, view: str) -> torch.Generator:
        """The random stream of a view."""
        return generator(self.device, self.seed, "evaluate", view)

    def batches(self, split: Split, limit: int | None = None) -> Iterator[Tensor]:
        """A split in order, or some of it.   -> (B, C, H, W) float32"""
        images = self.data.split(split)
        for batch in subset(images, len(images) if limit is None else limit).split(BATCH):
            yield scaled(batch, self.data.levels)

    def views(self, metrics: Iterable[Metric] = ()) -> Views:
        """Every view a metric may need, by name, with those of the feature networks that these metrics are on."""
        makers = feature_views.makers(feature_views.networks_of(metrics), self.data.networks)
        makers |= code_views.makers(self.method, partial(self.batches, "test"), self.noise)
        for split in SPLITS:
            makers[f"{split}.pass"] = partial(self.run_through, split)
            makers[f"{split}.errors.draw"] = part_of(f"{split}.pass", "draw")
            makers[f"{split}.errors.mean"] = part_of(f"{split}.pass", "mean")
            makers[f"{split}.codes"] = part_of(f"{split}.pass", "codes")
            makers[f"{split}.factors"] = partial(self.factors_of, split)
            makers[f"{split}.images"] = partial(self.of_split, split)
        makers["reconstructions.images"] = part_of("test.pass", "images")
        makers["samples.images"] = lambda views: self.images_of(self.samples())
        makers["density_samples.images"] = lambda views: self.images_of(self.decoded(views["density.codes"]))
        makers["interpolated.images"] = lambda views: self.images_of(self.decoded(midpoints(self.between(views["test.codes"]))))
        makers["mixture.images"] = lambda views: self.images_of(self.decoded(self.mixture_draws(views["train.codes"])))
        makers["train.cells"] = lambda views: copies.centres(stack(map(self.features, self.batches("train", copies.FITTED))))
        for name in feature_views.SETS:
            makers[f"{name}.features.pixels"] = part_of(f"{name}.images", "features")
            makers[f"{name}.eight_bit"] = part_of(f"{name}.images", "eight_bit")
            makers[f"{name}.sharpness"] = partial(self.sharpness_of, name)
            makers[f"{name}.nearest"] = partial(self.nearest, name)
            makers[f"{name}.copies"] = partial(self.copies, name)
        makers["prior"] = lambda views: self.prior()
        makers["prior.codes"] = lambda views: self.prior().sample(self.sample_count, self.noise("prior"))
        makers["density"] = lambda views: self.fitted()
        makers["density.codes"] = lambda views: self.fitted().sample(self.sample_count, self.noise("density"))
        makers["channel"] = lambda views: self.method.channel
        makers["baselines"] = lambda views: self.data.baselines(self.method.dim)
        shown = {name: rename(name_of_view(name, self.data.held_out), self.data.values) for name in makers}
        return Views({name: checked(name, maker, shown[name], self.ruined) for name, maker in makers.items()})

    def images_of(self, batches: Iterable[Tensor]) -> Images:
        """What is kept of images.   batches of (B, C, H, W)"""
        return together([self.images_of_batch(x) for x in batches])

    def images_of_batch(self, x: Tensor) -> Images:
        """What is kept of a batch.   (B, C, H, W)"""
        features = self.features(x)  # by these, images that are not finite are refused; no byte stands for them
        sharp = sharpness(x) if self.data.values == "unit" else features.new_full((len(x),), torch.nan)
        return Images(features, eight_bit(x.nan_to_num(0.0, 0.0, 0.0)), sharp)

    def of_split(self, split: Split, views: Views) -> Images:
        """Images of a split, no more than there are test images and SAMPLES."""
        return self.images_of(self.batches(split, self.sample_count))

    def sharpness_of(self, name: str, views: Views) -> Tensor:
        """Of each of a set of images.   -> (n,)"""
        if self.data.values == "real":
            raise Unavailable("signals have no edges")
        return views[f"{name}.images"].sharpness

    def nearest(self, name: str, views: Views) -> Tensor:
        """Distances of some of a set of images to the nearest training image.   -> (n,)"""
        queries = subset(views[f"{name}.features.pixels"], neighbours.IMAGES)
        return neighbours.nearest(queries, map(self.features, self.batches("train")))

    def copies(self, name: str, views: Views) -> copies.Copies:
        """How some of a set of images lie among the training images."""
        queries = subset(views[f"{name}.features.pixels"], neighbours.IMAGES)
        return copies.copies(queries, lambda: map(self.features, self.batches("train")), views["train.cells"])

    def factors_of(self, split: Split, views: Views) -> Tensor:
        """Values of the factors of variation.   -> (N, K)"""
        if split not in self.data.factors:
            raise Unavailable("its dataset has no factors of variation")
        return self.data.factors[split]

    def run_through(self, split: Split, views: Views) -> Pass:
        """Encode and reconstruct every image of a split."""
        noise, kept = self.noise(f"{split}.pass"), torch.zeros(len(self.data.split(split)), dtype=torch.bool, device=self.device)
        kept[subset_indices(len(kept), SAMPLES).to(self.device)] = True
        codes, draws, means, images = [], list[Errors](), list[Errors](), list[Images]()
        for x, shown in zip(self.batches(split), kept.split(BATCH), strict=True):
            draw = self.method.draw(x, noise)
            x_hat = self.method.decode(draw.z)
            codes.append((draw.z, draw.mean, draw.log_variance, draw.log_q))
            draws.append(self.errors(x, x_hat))
            means.append(draws[-1] if draw.z is draw.mean else self.errors(x, self.method.decode(draw.mean)))
            if shown.any():
                images.append(self.images_of_batch(x_hat[shown]))
        z, mean, *densities = zip(*codes, strict=True)
        joined = Codes(stack(z), stack(mean), *(None if parts[0] is None else stack(parts) for parts in densities))
        return Pass(joined, join(draws), join(means), together(images))

    def samples(self) -> Iterator[Tensor]:
        """As many decoded prior draws as there are test images, up to SAMPLES.   -> (B, C, H, W)"""
        noise, n = self.noise("samples"), self.sample_count
        for start in range(0, n, BATCH):
            images = self.method.sample(min(BATCH, n - start), noise)
            if images is None:
                raise Unavailable("no prior: it samples only from a density fitted to its codes")
            yield images

    def prior(self) -> Prior:
        """The method's prior."""
        if self.method.prior is None:
            raise Unavailable("no prior")
        return self.method.prior

    @property
    def sample_count(self) -> int:
        """As many as there are test images, up to SAMPLES."""
        return min(SAMPLES, len(self.data.test))

    def fitted(self) -> Prior:
        """The density fitted to the codes."""
        if self.density is None:
            raise Unavailable("no density was fitted to its codes")
        return self.density

    def decoded(self, codes: Tensor) -> Iterator[Tensor]:
        """Codes decoded; a density's draws hold the encoder's noise, so none is added (SPEC 1.6).   (n, D) -> (B, C, H, W)"""
        return map(self.method.decode, codes.split(BATCH))

    def between(self, codes: Codes) -> Tensor:
        """Mean codes, as many as there are images on a side; Unavailable of discrete codes, between which there are none.   -> (n, D)"""
        if self.method.channel.bits is not None:
            raise Unavailable("its codes are discrete: there is none between two of them")
        return subset(codes.mean, self.sample_count)

    def mixture_draws(self, codes: Codes) -> Tensor:
        """Draws of a mixture of Gaussians fitted to the codes; Unavailable of discrete codes.   -> (n, D)"""
        if self.method.channel.bits is not None:
            raise Unavailable("its codes are discrete: a mixture of Gaussians has none of them")
        return mixture_draws(codes.z, self.sample_count, self.noise("mixture"))


def part_of(view: str, field: str) -> Callable[[Views], Any]:
    """A part of another view."""
    return lambda views: getattr(views[view], field)


def stack(parts: Iterable[Tensor]) -> Tensor:
    """Batches as one tensor."""
    return torch.cat(tuple(parts))


def together(parts: list[Images]) -> Images:
    """Batches as one set."""
    return Images(*(torch.cat(field) for field in zip(*parts, strict=True)))


def join(parts: list[Errors]) -> Errors:
    """Errors of batches as those of the split."""
    sse, l1, bce = zip(*parts, strict=True)
    return Errors(torch.cat(sse), torch.cat(l1), None if bce[0] is None else torch.cat(bce))


@torch.no_grad()
def evaluate(evaluation: Evaluation, metrics: Collection[Metric]) -> dict[str, dict[str, Any]]:
    """Every metric's entry in a record, under the name that it has there."""
    evaluation.eval()
    data, views = evaluation.data, evaluation.views(metrics)
    entries = {name_of(metric, data.held_out, data.values): entry_of(metric.on(data.held_out), views) for metric in metrics}
    for entry in entries.values():
        entry["protocol"] = rename(entry["protocol"], data.values)
    return entries


def name_of(metric: Metric, held_out: str, values: Values) -> str:
    """What records call a metric on that split of data with such values."""
    return rename(metric.on(held_out).name, values)


def check_needs(method: Method, metrics: Collection[Metric]) -> None:
    """UserError for a metric that needs a view which nobody makes; known before anything is trained."""
    nothing = torch.empty(0)
    known = Evaluation(method, DeviceDataset(nothing, nothing, 1), 0).views(metrics).makers
    for metric in metrics:
        for name in (*metric.needs, *metric.details):
            if name not in known:
                near = [view for view in known if view.partition(".")[0] == name.partition(".")[0]] or {
                    view.partition(".")[0] for view in known
                }
                raise UserError(f"metric {metric.on('test').name} needs a view that does not exist: {unknown('view', name, near)}")


def entry_of(metric: Metric, views: Views) -> dict[str, Any]:
    """A metric's entry; whatever its function raises is its own reason, and costs no other metric its value."""
    if lacking := [name for name in metric.needs if name not in views.makers]:
        return absent(metric, views, f"{metric.name} needs the view {lacking[0]!r}, which does not exist")
    try:
        return measure(metric, views)
    except UserError:
        raise
    except FOREIGN as error:  # a plugin's metric may raise anything
        return absent(metric, views, f"{metric.name} failed: {in_a_line(error)}")


def rename(text: str, values: Values) -> str:
    """A text about images, in the words of signals where values are real."""
    return reduce(lambda text, pair: text.replace(*pair), SIGNALS if values == "real" else (), text)
