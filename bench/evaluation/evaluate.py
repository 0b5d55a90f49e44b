"""Method + dataset -> views, each computed once -> metrics. Batch norm in evaluation mode; a view has a random stream of its own."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import partial, reduce
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bench.datasets.batches import generator, scaled
from bench.datasets.dataset import Values
from bench.errors import UserError, in_a_line, unknown
from bench.evaluation import code_views, feature_views
from bench.evaluation.view_checks import checked
from metrics import neighbours
from metrics.features.network import eight_bit
from metrics.fixed_subset import chosen, some
from metrics.frechet import pixel_features, value_features
from metrics.latent import Codes
from metrics.metric import Metric, Unavailable, Views, absent, measure
from metrics.reconstruction import PCA_VALUES, Baselines, Errors, errors, errors_on_reals, mean_image_sse, pca_sse
from metrics.sharpness import sharpness
from models.interfaces import Method, Prior

BATCH = 1000
SAMPLES = 10_000  # images on each side of a distance between sets (SPEC 5.6)
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

    def __init__(
        self,
        method: Method,
        train: Tensor,
        test: Tensor,
        levels: int,
        seed: int,
        baselines: Callable[[int], Baselines],
        density: Prior | None = None,
        values: Values = "unit",
        networks: feature_views.Features | None = None,
        factors: Mapping[str, Tensor] | None = None,
    ):
        self.method, self.levels, self.seed, self.device, self.images = method, levels, seed, train.device, {"train": train, "test": test}
        self.baselines, self.density, self.values, self.networks, self.factors = baselines, density, values, networks, factors or {}
        self.errors: Callable[[Tensor, Tensor], Errors] = errors if values == "unit" else errors_on_reals
        self.features: Callable[[Tensor], Tensor] = pixel_features if values == "unit" else value_features
        self.ruined: list[str] = []  # what the method says of images and is finite nowhere, as sentences

    def eval(self) -> None:
        """The method and its density in evaluation mode: without dropout, batch norm by its running means."""
        self.method.eval()
        if isinstance(self.density, nn.Module):
            self.density.eval()

    def noise(self, view: str) -> torch.Generator:
        """The random stream of a view."""
        return generator(self.device, self.seed, "evaluate", view)

    def batches(self, split: str, limit: int | None = None) -> Iterator[Tensor]:
        """A split in order, or some of it.   -> (B, C, H, W) float32"""
        for part in some(self.images[split], len(self.images[split]) if limit is None else limit).split(BATCH):
            yield scaled(part, self.levels)

    def views(self, metrics: Iterable[Metric] = (), rename: Callable[[str], str] = str) -> Views:
        """Every view a metric may need, by name, with those of the feature networks that these metrics are on.

        rename: test images as reasons call them.
        """
        makers = feature_views.makers(feature_views.networks_of(metrics), self.networks)
        makers |= code_views.makers(self.method, partial(self.batches, "test"), self.noise)
        for split in self.images:
            makers[f"{split}.pass"] = partial(self.run_through, split)
            makers[f"{split}.errors.draw"] = part_of(f"{split}.pass", "draw")
            makers[f"{split}.errors.mean"] = part_of(f"{split}.pass", "mean")
            makers[f"{split}.codes"] = part_of(f"{split}.pass", "codes")
            makers[f"{split}.factors"] = partial(self.factors_of, split)
            makers[f"{split}.images"] = partial(self.of_split, split)
        makers["reconstructions.images"] = part_of("test.pass", "images")
        makers["samples.images"] = lambda views: self.kept(self.samples())
        makers["density_samples.images"] = lambda views: self.kept(self.density_samples(views["density.codes"]))
        for name in feature_views.SETS:
            makers[f"{name}.features.pixels"] = part_of(f"{name}.images", "features")
            makers[f"{name}.eight_bit"] = part_of(f"{name}.images", "eight_bit")
            makers[f"{name}.sharpness"] = partial(self.sharpness_of, name)
            makers[f"{name}.nearest"] = partial(self.nearest, name)
        makers["prior"] = lambda views: self.prior()
        makers["prior.codes"] = lambda views: self.prior().sample(self.sample_count, self.noise("prior"))
        makers["density"] = lambda views: self.fitted()
        makers["density.codes"] = lambda views: self.fitted().sample(self.sample_count, self.noise("density"))
        makers["channel"] = lambda views: self.method.channel
        makers["baselines"] = lambda views: self.baselines(self.method.dim)
        return Views({name: checked(name, maker, rename, self.ruined) for name, maker in makers.items()})

    def kept(self, batches: Iterable[Tensor]) -> Images:
        """What is kept of images.   batches of (B, C, H, W)"""
        return together([self.keep(x) for x in batches])

    def keep(self, x: Tensor) -> Images:
        """What is kept of a batch.   (B, C, H, W)"""
        features = self.features(x)  # by these, images that are not finite are refused; no byte stands for them
        sharp = sharpness(x) if self.values == "unit" else features.new_full((len(x),), torch.nan)
        return Images(features, eight_bit(x.nan_to_num(0.0, 0.0, 0.0)), sharp)

    def of_split(self, split: str, views: Views) -> Images:
        """Images of a split, no more than there are test images and SAMPLES."""
        return self.kept(self.batches(split, self.sample_count))

    def sharpness_of(self, name: str, views: Views) -> Tensor:
        """Of each of a set of images.   -> (n,)"""
        if self.values == "real":
            raise Unavailable("signals have no edges")
        return views[f"{name}.images"].sharpness

    def nearest(self, name: str, views: Views) -> Tensor:
        """Distances of some of a set of images to the nearest training image.   -> (n,)"""
        queries = some(views[f"{name}.features.pixels"], neighbours.IMAGES)
        return neighbours.nearest(queries, map(self.features, self.batches("train")))

    def factors_of(self, split: str, views: Views) -> Tensor:
        """Values of the factors of variation.   -> (N, K)"""
        if split not in self.factors:
            raise Unavailable("its dataset has no factors of variation")
        return self.factors[split]

    def run_through(self, split: str, views: Views) -> Pass:
        """Encode and reconstruct every image of a split."""
        noise, kept = self.noise(f"{split}.pass"), torch.zeros(len(self.images[split]), dtype=torch.bool, device=self.device)
        kept[chosen(len(kept), SAMPLES).to(self.device)] = True
        codes, draws, means, images = [], list[Errors](), list[Errors](), list[Images]()
        for x, shown in zip(self.batches(split), kept.split(BATCH), strict=True):
            draw = self.method.draw(x, noise)
            x_hat = self.method.decode(draw.z)
            codes.append((draw.z, draw.mean, draw.log_variance, draw.log_q))
            draws.append(self.errors(x, x_hat))
            means.append(draws[-1] if draw.z is draw.mean else self.errors(x, self.method.decode(draw.mean)))
            if shown.any():
                images.append(self.keep(x_hat[shown]))
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
        return min(SAMPLES, len(self.images["test"]))

    def fitted(self) -> Prior:
        """The density fitted to the codes."""
        if self.density is None:
            raise Unavailable("no density was fitted to its codes")
        return self.density

    def density_samples(self, codes: Tensor) -> Iterator[Tensor]:
        """A density's draws, decoded; they hold the encoder's noise, so none is added (SPEC 1.6).   (n, D) -> (B, C, H, W)"""
        return map(self.method.decode, codes.split(BATCH))


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
def evaluate(evaluation: Evaluation, metrics: Collection[Metric], held_out: str) -> dict[str, dict[str, Any]]:
    """Every metric's entry in a record; names and protocols say validation instead of test, and signal instead of image, where it is so."""
    evaluation.eval()
    words = words_of(evaluation.values, held_out)
    views = evaluation.views(metrics, lambda text: said(text, words))
    entries = {metric.name: entry_of(metric, views) for metric in metrics}
    for entry in entries.values():
        entry["protocol"] = said(entry["protocol"], words)
    return {said(name, words): entry for name, entry in entries.items()}


def check_needs(method: Method, metrics: Collection[Metric]) -> None:
    """UserError for a metric that needs a view which nobody makes; known before anything is trained."""
    nothing = torch.empty(0)
    known = Evaluation(method, nothing, nothing, 1, 0, baselines_of(nothing, nothing, 1)).views(metrics).makers
    for metric in metrics:
        for name in (*metric.needs, *metric.details):
            if name not in known:
                near = [view for view in known if view.partition(".")[0] == name.partition(".")[0]] or {
                    view.partition(".")[0] for view in known
                }
                raise UserError(f"metric {metric.name} needs a view that does not exist: {unknown('view', name, near)}")


def entry_of(metric: Metric, views: Views) -> dict[str, Any]:
    """A metric's entry; whatever its function raises is its own reason, and costs no other metric its value."""
    if lacking := [name for name in metric.needs if name not in views.makers]:
        return absent(metric, views, f"{metric.name} needs the view {lacking[0]!r}, which does not exist")
    try:
        return measure(metric, views)
    except UserError:
        raise
    except Exception as error:  # a plugin's metric may raise anything
        return absent(metric, views, f"{metric.name} failed: {in_a_line(error)}")


def words_of(values: Values, held_out: str) -> list[tuple[str, str]]:
    """What names and protocols say in place of what: (word, replacement)."""
    return [*(SIGNALS if values == "real" else ()), *([("test", held_out)] if held_out != "test" else ())]


def said(text: str, words: Iterable[tuple[str, str]]) -> str:
    """The text with each first word of a pair replaced by the second, pair by pair."""
    return reduce(lambda text, pair: text.replace(*pair), words, text)


def baselines_of(train: Tensor, test: Tensor, levels: int) -> Callable[[int], Baselines]:
    """Untrained references of a dataset by latent size, each computed when first asked for."""
    known = dict[int, Baselines]()

    def baseline(components: int) -> Baselines:
        large = train[0].numel() > PCA_VALUES
        size = 0 if large else components  # the mean image is one for all sizes
        if size not in known:
            known[size] = (
                Baselines(mean_image_sse(train, test, levels), None, None)
                if large
                else pca_sse(train.flatten(1) / levels, test.flatten(1) / levels, size)
            )
        return known[size]

    return baseline
