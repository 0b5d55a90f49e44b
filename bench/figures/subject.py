"""What a figure of one run is drawn from: the trained method with its data, the classes of its images, its training curve."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.datasets.dataset import Values
from bench.evaluation.evaluate import BATCH, Evaluation
from bench.figures.pictures import drawing
from metrics.fixed_subset import subset
from metrics.latent import Codes
from metrics.metric import Unavailable
from models.parts.nested import NestedPrior
from models.stacked import StackedWAE

CODES = 5000  # images at most whose codes are drawn


@dataclass(frozen=True)
class Subject:
    """A finished run, as figures see it."""

    evaluation: Evaluation
    name: str  # of method, data, seed and steps: the beginning of every caption
    labels: Tensor | None = None  # (N,) classes of the held-out images, where the dataset has any
    curve: Sequence[Mapping[str, float]] = ()  # rows of {"step": ..., "player.term": ...}
    method: str = ""  # what the registry calls its method

    @property
    def held_out(self) -> str:
        """What the images that it was not trained on are called: test or validation."""
        return self.evaluation.data.held_out

    @property
    def values(self) -> Values:
        """Whether the data are images in [0, 1] or signals."""
        return self.evaluation.data.values

    def images(self, n: int) -> Tensor:
        """n held-out images, the same for every method; ValueError where n is more than a batch.   -> (n, C, H, W)"""
        if n > BATCH:
            raise ValueError(f"n must be at most {BATCH}, not {n}")
        return next(self.evaluation.batches("test", n))

    def shown(self, n: int) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        """n held-out images, and what turns images or signals into what a sheet takes, on the scale of these."""
        images = self.images(n)
        return images, drawing(self.values, images)[0]

    def codes(self) -> Codes:
        """Codes of up to CODES held-out images, drawn and mean.   -> of (N, D)"""
        noise = self.evaluation.noise("figures.codes")
        draws = [self.evaluation.method.draw(x, noise) for x in self.evaluation.batches("test", CODES)]
        logs = [draw.log_variance for draw in draws if draw.log_variance is not None]
        return Codes(torch.cat([draw.z for draw in draws]), torch.cat([draw.mean for draw in draws]), torch.cat(logs) if logs else None)

    def classes(self) -> Tensor | None:
        """The classes of the images whose codes `codes` has, in their order.   -> (N,)"""
        return None if self.labels is None else subset(self.labels, CODES)


@dataclass(frozen=True)
class Latent:
    """The innermost latent of a method: t of a nested prior, the code z of any other; all as functions of batches."""

    name: str
    dim: int
    encode: Callable[[Tensor], Tensor]  # images -> mean codes, (B, C, H, W) -> (B, dim)
    decode: Callable[[Tensor], Tensor]  # codes -> images, (B, dim) -> (B, C, H, W)
    law: object  # the density fitted to the codes, else the prior; None for a method that has neither

    def log_prob(self, codes: Tensor) -> Tensor:
        """Of its law, nats; Unavailable where there is none with a density.   (B, dim) -> (B,)"""
        if not hasattr(self.law, "log_prob"):
            raise Unavailable("no prior with a density, and no density was fitted to its codes")
        values: Tensor = self.law.log_prob(codes)
        return values


def innermost(subject: Subject) -> Latent:
    """The innermost latent that the method has an encoder for."""
    method, noise = subject.evaluation.method, subject.evaluation.noise("figures.innermost")
    prior = method.prior

    def encode(x: Tensor) -> Tensor:
        return method.draw(x, noise).mean

    if isinstance(prior, NestedPrior) and not prior.warming:
        return Latent(
            "t", prior.inner_dim, lambda x: prior.draw(encode(x), noise).mean, lambda t: method.decode(prior.decoder(t)), prior.hyper
        )
    density = subject.evaluation.density
    return Latent("z", method.dim, encode, method.decode, prior if density is None else density)


def hierarchy(subject: Subject) -> StackedWAE:
    """The method, where it is a hierarchy of latents; Unavailable where it is not."""
    if not isinstance(subject.evaluation.method, StackedWAE):
        raise Unavailable("it has one level of latents; this is drawn of stacked methods")
    return subject.evaluation.method
