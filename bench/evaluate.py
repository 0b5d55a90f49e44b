"""Method + dataset -> views, each computed once -> metrics. Batch norm in evaluation mode; a view has a random stream of its own."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from bench.train import generator
from metrics import aggregate_posterior, likelihood, neighbours, total_correlation
from metrics.disentanglement.prediction import DCI, dci
from metrics.frechet import pixel_features
from metrics.latent import Channel, Codes
from metrics.metric import Metric, Unavailable, Views, measure
from metrics.reconstruction import Baselines, Errors, errors, pca_sse
from metrics.sharpness import sharpness

BATCH = 1000
SAMPLES = 10_000  # images on each side of a distance between sets (SPEC 5.6)
PCA_VALUES = 4096  # larger images have no PCA baseline: its covariance would take longer than the run


class Draw(Protocol):
    """What evaluation reads of a draw."""

    @property
    def z(self) -> Tensor:
        """(B, D)"""

    @property
    def mean(self) -> Tensor:
        """(B, D)"""

    @property
    def log_variance(self) -> Tensor | None:
        """(B, D); None for a deterministic encoder."""

    @property
    def log_q(self) -> Tensor | None:
        """(B,) where q(z|x) has a density and is no diagonal Gaussian."""


class Prior(Protocol):
    """What evaluation needs of a prior."""

    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        """-> (n, D)"""


class Density(Prior, Protocol):
    """What evaluation needs of a density that was fitted to the codes."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Nats.   (B, D) -> (B,)"""


class Method(Protocol):
    """What evaluation knows of a method."""

    dim: int

    @property
    def prior(self) -> Prior | None:
        """None: it samples only from a density fitted to its codes."""

    @property
    def channel(self) -> Channel:
        """The encoder's noise and the variance aimed at."""

    def eval(self) -> Any:
        """Evaluation mode."""

    def draw(self, x: Tensor, noise: torch.Generator) -> Draw:
        """(B, C, H, W) -> a draw of q(z|x)"""

    def decode(self, z: Tensor) -> Tensor:
        """(B, D) -> (B, C, H, W)"""

    def sample(self, n: int, noise: torch.Generator) -> Tensor | None:
        """-> (n, C, H, W)"""


class Pass(NamedTuple):
    """All that one pass over a split leaves: images are decoded once from the noise draw and once from the mean code."""

    codes: Codes
    draw: Errors
    mean: Errors
    features: Tensor  # of the first SAMPLES reconstructions from the noise draw, (n, F)


class Images(NamedTuple):
    """All that is kept of images that were decoded or read once."""

    features: Tensor  # (n, F)
    sharpness: Tensor  # (n,)


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
        density: Density | None = None,
        factors: Mapping[str, Tensor] | None = None,
    ):
        self.method, self.images, self.levels, self.seed = method, {"train": train, "test": test}, levels, seed
        self.baselines, self.density, self.factors = baselines, density, factors or {}
        self.device = train.device

    def noise(self, view: str) -> torch.Generator:
        """The random stream of a view."""
        return generator(self.device, self.seed, "evaluate", view)

    def batches(self, split: str, limit: int | None = None) -> Iterator[Tensor]:
        """A split in order.   -> (B, C, H, W) float32 in [0, 1]"""
        for part in self.images[split][:limit].split(BATCH):
            yield part.float().div_(self.levels)

    def views(self) -> Views:
        """Every view a metric may need, by name."""
        makers: dict[str, Callable[[Views], Any]] = {}
        for split in self.images:
            makers[f"{split}.pass"] = partial(self.run_through, split)
            makers[f"{split}.errors.draw"] = partial(of_view, f"{split}.pass", "draw")
            makers[f"{split}.errors.mean"] = partial(of_view, f"{split}.pass", "mean")
            makers[f"{split}.codes"] = partial(of_view, f"{split}.pass", "codes")
            makers[f"{split}.factors"] = partial(self.factors_of, split)
            makers[f"{split}.images"] = partial(self.read, split)
        makers["samples.images"] = lambda views: kept(self.sample())
        makers["density_samples.images"] = lambda views: kept(self.method.decode(z) for z in views["density.codes"].split(BATCH))
        for images in ("train", "test", "samples", "density_samples"):
            makers[f"{images}.features.pixels"] = partial(of_view, f"{images}.images", "features")
            makers[f"{images}.sharpness"] = partial(of_view, f"{images}.images", "sharpness")
            makers[f"{images}.nearest"] = partial(self.nearest, images)
        makers["reconstructions.features.pixels"] = lambda views: views["test.pass"].features
        makers["prior"] = lambda views: self.prior()
        makers["prior.codes"] = lambda views: self.prior().sample(self.sample_count, self.noise("prior"))
        makers["density"] = lambda views: self.fitted()
        makers["density.codes"] = lambda views: self.fitted().sample(self.sample_count, self.noise("density"))
        makers["channel"] = lambda views: self.method.channel
        makers["baselines"] = lambda views: self.baseline()
        return Views(makers | self.densities())

    def densities(self) -> dict[str, Callable[[Views], Any]]:
        """Views of what the model and its codes are as densities."""
        agg, tc, codes = aggregate_posterior, total_correlation, "train.codes"
        return {
            "test.log_prior": lambda views: agg.exact_log_prior(views["prior"], views["test.codes"], self.noise("test.log_prior")),
            "test.log_prior.bound": lambda views: agg.bound_log_prior(views["prior"], views["test.codes"]),
            "test.log_prior.weighted": lambda views: agg.weighted_log_prior(
                views["prior"], views["test.codes"], self.noise("test.weighted")
            ),
            "test.log_prior.lower": lower_log_prior,
            "test.log_likelihood": lambda views: likelihood.log_likelihoods(self.method, self.batches("test"), views["test.codes"]),
            "test.log_weights": lambda views: likelihood.log_weights(
                self.method, views["prior"], self.batches("test", likelihood.IMAGES), self.noise("test.log_weights")
            ),
            "train.mixture": lambda views: tc.mixture_of(views[codes]),
            "train.mws": lambda views: tc.minibatch_of(tc.minibatch_weighted, views[codes]),
            "train.mss": lambda views: tc.minibatch_of(tc.minibatch_stratified, views[codes]),
            "train.dci": lambda views: scored(views[codes], views["train.factors"]),
        }

    def factors_of(self, split: str, views: Views) -> Tensor:
        """Values of the factors of variation.   -> (N, K)"""
        if split not in self.factors:
            raise Unavailable("its dataset has no factors of variation")
        return self.factors[split]

    def read(self, split: str, views: Views) -> Images:
        """The first images of a split, no more than there are test images and SAMPLES."""
        return kept(self.batches(split, self.sample_count))

    def nearest(self, images: str, views: Views) -> Tensor:
        """Distances of the first features of some images to those of all training images.   -> (n,)"""
        queries = views[f"{images}.features.pixels"][: neighbours.IMAGES]
        return neighbours.nearest(queries, map(pixel_features, self.batches("train")))

    def run_through(self, split: str, views: Views) -> Pass:
        """Encode and reconstruct every image of a split."""
        noise = self.noise(f"{split}.pass")
        codes, draws, means, features = [], list[Errors](), list[Errors](), list[Tensor]()
        for x in self.batches(split):
            draw = self.method.draw(x, noise)
            x_hat = self.method.decode(draw.z)
            codes.append((draw.z, draw.mean, draw.log_variance, draw.log_q))
            draws.append(errors(x, x_hat))
            means.append(draws[-1] if draw.z is draw.mean else errors(x, self.method.decode(draw.mean)))
            if len(features) * BATCH < SAMPLES:
                features.append(pixel_features(x_hat))
        z, mean, *densities = zip(*codes, strict=True)
        joined = Codes(stack(z), stack(mean), *(None if part[0] is None else stack(part) for part in densities))
        return Pass(joined, join(draws), join(means), stack(features)[:SAMPLES])

    def sample(self) -> Iterator[Tensor]:
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

    def fitted(self) -> Density:
        """The density fitted to the codes."""
        if self.density is None:
            raise Unavailable("no density was fitted to its codes")
        return self.density

    def baseline(self) -> Baselines:
        """The untrained references at the method's latent size."""
        if self.images["train"][0].numel() > PCA_VALUES:
            raise Unavailable(f"not computed for images of more than {PCA_VALUES} values")
        return self.baselines(self.method.dim)


def of_view(name: str, field: str, views: Views) -> Any:
    """A part of another view."""
    return getattr(views[name], field)


def kept(batches: Iterable[Tensor]) -> Images:
    """What is kept of images.   batches of (B, C, H, W) -> Images"""
    return Images(*map(stack, zip(*((pixel_features(images), sharpness(images)) for images in batches), strict=True)))


def lower_log_prior(views: Views) -> Tensor:
    """E log p(z) for a bound of log p(x): exact, or where there are only bounds of it, one.   -> (N,)"""
    nested = hasattr(views["prior"], "importance_log_prob")
    log_prior: Tensor = views["test.log_prior.bound" if nested else "test.log_prior"]
    return log_prior


def scored(codes: Codes, factors: Tensor) -> DCI:
    """DCI of mean codes."""
    return dci(codes.mean.double().cpu().numpy(), factors.cpu().numpy())


def stack(parts: Iterable[Tensor]) -> Tensor:
    """Batches as one tensor."""
    return torch.cat(tuple(parts))


def join(parts: list[Errors]) -> Errors:
    """Errors of batches as those of the split."""
    return Errors(*(torch.cat(field) for field in zip(*parts, strict=True)))


@torch.no_grad()
def evaluate(evaluation: Evaluation, metrics: Iterable[Metric], held_out: str) -> dict[str, dict[str, Any]]:
    """Every metric's entry in a record; with validation images held out, names say validation where they said test."""
    evaluation.method.eval()
    views = evaluation.views()
    entries = {metric.name: measure(metric, views) for metric in metrics}
    if held_out == "test":
        return entries
    for entry in entries.values():
        entry["protocol"] = entry["protocol"].replace("test", held_out)
    return {name.replace("test", held_out): entry for name, entry in entries.items()}


def baselines_of(train: Tensor, test: Tensor, levels: int) -> Callable[[int], Baselines]:
    """PCA baselines of a dataset by latent size, each computed when first asked for."""
    known: dict[int, Baselines] = {}

    def baseline(components: int) -> Baselines:
        if components not in known:
            known[components] = pca_sse(train.flatten(1) / levels, test.flatten(1) / levels, components)
        return known[components]

    return baseline
