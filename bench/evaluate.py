"""Method + dataset -> views, each computed once -> metrics. Batch norm in evaluation mode; a view has a random stream of its own."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from bench import feature_views
from bench.train import generator
from metrics.features.network import eight_bit
from metrics.frechet import pixel_features
from metrics.latent import Channel, Codes
from metrics.metric import Metric, Unavailable, Views, measure
from metrics.reconstruction import Baselines, Errors, errors, pca_sse

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


class Shown(NamedTuple):
    """What is kept of images that are compared as a set."""

    features: Tensor  # pixels, (n, F)
    images: Tensor  # 8 bit, for feature networks, (n, C, H, W) uint8


class Pass(NamedTuple):
    """All that one pass over a split leaves: images are decoded once from the noise draw and once from the mean code."""

    codes: Codes
    draw: Errors
    mean: Errors
    shown: Shown  # the first SAMPLES reconstructions from the noise draw


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
        features: feature_views.Features | None = None,
    ):
        self.method, self.images, self.levels, self.seed = method, {"train": train, "test": test}, levels, seed
        self.baselines, self.density, self.features = baselines, density, features
        self.device = train.device

    def noise(self, view: str) -> torch.Generator:
        """The random stream of a view."""
        return generator(self.device, self.seed, "evaluate", view)

    def batches(self, split: str, limit: int | None = None) -> Iterator[Tensor]:
        """A split in order.   -> (B, C, H, W) float32 in [0, 1]"""
        for part in self.images[split][:limit].split(BATCH):
            yield part.float().div_(self.levels)

    def views(self, metrics: Iterable[Metric] = ()) -> Views:
        """Every view a metric may need, by name, and those of the feature networks that these metrics are on."""
        makers = feature_views.makers(feature_views.networks_of(metrics), self.features)
        for split in self.images:
            makers[f"{split}.pass"] = partial(self.run_through, split)
            makers[f"{split}.errors.draw"] = partial(part_of, f"{split}.pass", "draw")
            makers[f"{split}.errors.mean"] = partial(part_of, f"{split}.pass", "mean")
            makers[f"{split}.codes"] = partial(part_of, f"{split}.pass", "codes")
            makers[f"{split}.features.pixels"] = partial(self.image_features, split)
            makers[f"{split}.images"] = partial(self.compared, split)
        makers["reconstructions"] = lambda views: views["test.pass"].shown
        makers["samples"] = lambda views: self.samples()
        makers["density_samples"] = lambda views: self.density_samples(views["density.codes"])
        for name in ("reconstructions", "samples", "density_samples"):
            makers[f"{name}.features.pixels"] = partial(part_of, name, "features")
            makers[f"{name}.images"] = partial(part_of, name, "images")
        makers["prior.codes"] = lambda views: self.prior_codes()
        makers["density"] = lambda views: self.fitted()
        makers["density.codes"] = lambda views: self.fitted().sample(self.sample_count, self.noise("density"))
        makers["channel"] = lambda views: self.method.channel
        makers["baselines"] = lambda views: self.baseline()
        return Views(makers)

    def image_features(self, split: str, views: Views) -> Tensor:
        """Pixels of the first images of a split, no more than there are test images and SAMPLES.   -> (n, F)"""
        return stack(map(pixel_features, self.batches(split, self.sample_count)))

    def compared(self, split: str, views: Views) -> Tensor:
        """The same images in 8 bit.   -> (n, C, H, W) uint8"""
        return stack(map(eight_bit, self.batches(split, self.sample_count)))

    def run_through(self, split: str, views: Views) -> Pass:
        """Encode and reconstruct every image of a split."""
        noise = self.noise(f"{split}.pass")
        codes, draws, means, seen = [], list[Errors](), list[Errors](), list[Shown]()
        for x in self.batches(split):
            draw = self.method.draw(x, noise)
            x_hat = self.method.decode(draw.z)
            codes.append((draw.z, draw.mean, draw.log_variance))
            draws.append(errors(x, x_hat))
            means.append(draws[-1] if draw.z is draw.mean else errors(x, self.method.decode(draw.mean)))
            if len(seen) * BATCH < SAMPLES:
                seen.append(shown(x_hat))
        z, mean, log_variance = zip(*codes, strict=True)
        spread = None if log_variance[0] is None else stack(log_variance)
        joined = Codes(stack(z), stack(mean), spread)
        return Pass(joined, join(draws), join(means), together(seen, SAMPLES))

    def samples(self) -> Shown:
        """As many decoded prior draws as there are test images, up to SAMPLES."""
        noise, parts = self.noise("samples"), []
        n = self.sample_count
        for start in range(0, n, BATCH):
            images = self.method.sample(min(BATCH, n - start), noise)
            if images is None:
                raise Unavailable("no prior: it samples only from a density fitted to its codes")
            parts.append(shown(images))
        return together(parts)

    def prior_codes(self) -> Tensor:
        """As many prior draws as there are test images, up to SAMPLES.   -> (n, D)"""
        if self.method.prior is None:
            raise Unavailable("no prior")
        return self.method.prior.sample(self.sample_count, self.noise("prior"))

    @property
    def sample_count(self) -> int:
        """As many as there are test images, up to SAMPLES."""
        return min(SAMPLES, len(self.images["test"]))

    def fitted(self) -> Density:
        """The density fitted to the codes."""
        if self.density is None:
            raise Unavailable("no density was fitted to its codes")
        return self.density

    def density_samples(self, codes: Tensor) -> Shown:
        """A density's draws, decoded; they hold the encoder's noise, so none is added (SPEC 1.6).   (n, D)"""
        return together([shown(self.method.decode(z)) for z in codes.split(BATCH)])

    def baseline(self) -> Baselines:
        """The untrained references at the method's latent size."""
        if self.images["train"][0].numel() > PCA_VALUES:
            raise Unavailable(f"not computed for images of more than {PCA_VALUES} values")
        return self.baselines(self.method.dim)


def part_of(view: str, field: str, views: Views) -> Any:
    """One of the things that a view holds."""
    return getattr(views[view], field)


def shown(x_hat: Tensor) -> Shown:
    """What is kept of a batch.   (B, C, H, W)"""
    return Shown(pixel_features(x_hat), eight_bit(x_hat))


def together(parts: list[Shown], limit: int | None = None) -> Shown:
    """Batches as one set, its first `limit` images."""
    return Shown(*(torch.cat(field)[:limit] for field in zip(*parts, strict=True)))


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
    metrics = list(metrics)
    views = evaluation.views(metrics)
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
