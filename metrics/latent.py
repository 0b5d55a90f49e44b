"""The codes: their spread, the information their channel can carry, their distance to the prior.

Braithwaite et al., "Variance Constrained Autoencoding", Eq. 7 and section 3; SPEC 1.5, 5.1.
"""

import math
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from metrics.divergences import mmd_chunked
from metrics.finite import require_rows
from metrics.fixed_subset import subset
from metrics.metric import Metric, Unavailable

CHUNK = 1000  # codes at a time


class Codes(NamedTuple):
    """One draw z ~ q(z|x) for each image, with what q says of it."""

    z: Tensor  # (N, D) with the encoder's noise
    mean: Tensor  # (N, D)
    log_variance: Tensor | None  # (N, D) of a diagonal Gaussian q(z|x); None for any other
    log_q: Tensor | None = None  # (N,) log q(z|x) at the draw, nats, of a density that is no diagonal Gaussian


class Channel(NamedTuple):
    """A fixed-noise encoder seen as an additive Gaussian channel."""

    dim: int
    noise_variance: float | None  # None: learned, one for each image
    target_variance: float | None  # Σ_k Var(z_k) aimed at, noise included: v, or d σ_z²; None: no aim
    bits: float | None = None  # of a discrete code, log2 of how many codes there are; None: continuous codes


def total_variance(z: Tensor) -> Tensor:
    """Σ_k Var(z_k) around the batch mean, divisor 1/n (VCAE Eq. 7; SPEC T10).   (B, D) -> ()"""
    return TotalVariance.apply(z)


class TotalVariance(torch.autograd.Function):
    """With its gradient 2 (z - z̄) / n at hand: four operations on (B, D) instead of eleven; there is no second derivative."""

    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        """The summed variance of codes.   (B, D) -> ()"""
        around = z - z.mean(0)
        ctx.save_for_backward(around)
        return around.square().sum() / len(z)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> Tensor:
        """-> (B, D)"""
        (around,) = ctx.saved_tensors
        return around * (upstream * (2 / len(around)))


def capacity_bits(dim: int, noise_variance: float, power: float) -> float:
    """Upper bound d/2 · log2((v/d) / σ_ε²) on the information a code carries, bits (SPEC 1.5).

    dim d, noise variance σ_ε² > 0, power v summed over dimensions and including the noise.
    """
    return dim / 2 * math.log2(power / dim / noise_variance)


def channel_capacity(channel: Channel) -> float:
    """Capacity in bits: of discrete codes theirs. Unavailable where the encoder's noise is not fixed or no variance is aimed at."""
    if channel.bits is not None:
        return channel.bits
    if channel.noise_variance is None:
        raise Unavailable("the encoder's variance is learned")
    if channel.noise_variance == 0:
        raise Unavailable("the encoder adds no noise to continuous codes, so their capacity has no bound")
    return capacity_bits(channel.dim, channel.noise_variance, variance_target(channel))


def variance_target(channel: Channel) -> float:
    """The summed latent variance that training aims at."""
    if channel.target_variance is None:
        raise Unavailable("no summed variance is aimed at")
    return channel.target_variance


class Density(Protocol):
    """A density that was fitted to codes."""

    def log_prob(self, z: Tensor) -> Tensor:
        """Nats.   (B, D) -> (B,)"""


def negative_log_likelihood(density: Density, codes: Codes) -> Tensor:
    """-E log q̂(z) over the codes, nats per code (VCAE Eq. 8); Unavailable for a density that has a bound only.   -> ()"""
    if is_bound(density):
        raise Unavailable("its density has only a bound of log q̂(z): see density_nll_bound_test")
    return mean_negative_log_prob(density, codes)


def negative_log_likelihood_bound(density: Density, codes: Codes) -> Tensor:
    """The same from a bound of log q̂(z) from below; Unavailable for a density that is exact.   -> ()"""
    if not is_bound(density):
        raise Unavailable("log q̂(z) of its density is exact: see density_nll_test")
    return mean_negative_log_prob(density, codes)


def is_bound(density: Any) -> bool:
    """Whether log_prob is only a bound: by the density's `bound`, or because it has latents of its own."""
    return bool(getattr(density, "bound", hasattr(density, "importance_log_prob")))


def mean_negative_log_prob(density: Density, codes: Codes) -> Tensor:
    """-E log_prob over the codes, CHUNK at a time.   -> ()"""
    return -torch.cat([density.log_prob(z) for z in codes.z.split(CHUNK)]).double().mean()


def mean_log_variance(codes: Codes) -> Tensor:
    """Mean over images and latents of log σ², natural logarithm (SPEC T15).   -> ()"""
    if codes.log_variance is None:
        raise Unavailable("q(z|x) is no diagonal Gaussian")
    return codes.log_variance.double().mean()


def mmd_to_prior(codes: Codes, prior: Tensor) -> float:
    """MMD²_U, IMQ with C = 2 d, between the codes and as many draws of the prior; Unavailable of fewer than two.   -> value"""
    require_rows("prior draws", prior)
    return mmd_chunked(prior, subset(codes.z, len(prior)), C=2.0 * codes.z.shape[1])


def has_closed_form(prior: object, name: str) -> bool:
    """Whether a prior has a closed form of that name which is of its own density.

    A class that overrides `log_prob` and inherits the form inherits that of another density, which is none of its own.
    """
    lines = type(prior).__mro__
    form, density = (next((i for i, kind in enumerate(lines) if of in vars(kind)), None) for of in (name, "log_prob"))
    return form is not None and (density is None or form <= density)


METRICS = [
    Metric(
        name="sum_latent_variance",
        fn=lambda codes: total_variance(codes.z.double()),
        needs=("test.codes",),
        protocol="Σ_k Var(z_k) over all {held_out} images, z with one noise draw, divisor 1/N",
        source="VCAE Tables 6-9; SPEC 5.1",
        better="target",
        group="latent",
    ),
    Metric(
        name="latent_variance_target",
        fn=variance_target,
        needs=("channel",),
        protocol="v of the variance constraint, or d σ_z² of the prior",
        source="SPEC 1.5",
        group="latent",
    ),
    Metric(
        name="capacity_bits",
        fn=channel_capacity,
        needs=("channel",),
        protocol="d/2 log2((v/d)/σ_ε²), an upper bound",
        source="VCAE section 3; SPEC 1.5",
        unit="bits",
        group="latent",
        bias="an upper bound; of discrete codes, in place of the formula, log2 of how many there are",
    ),
    Metric(
        name="mmd_prior",
        fn=mmd_to_prior,
        needs=("test.codes", "prior.codes"),
        protocol="U-statistic of MMD², IMQ, C = 2d; up to 10,000 {held_out} codes with one noise draw against as many prior draws",
        source="WAE Algorithm 2; SPEC 1.3",
        better="lower",
        group="latent",
        bias="none: a U-statistic, which may fall below 0",
    ),
    Metric(
        name="density_nll_{held_out}",
        fn=negative_log_likelihood,
        needs=("density", "test.codes"),
        protocol=(
            "mean of -log q̂(z) over all {held_out} images, z with one noise draw, q̂ fitted to training codes; codes of other methods differ"
        ),
        source="VCAE Eq. 8; SPEC 1.6",
        unit="nats",
        group="latent",
        bias="none for this q̂; one that overfits its training codes is worse here",
    ),
    Metric(
        name="density_nll_bound_{held_out}",
        fn=negative_log_likelihood_bound,
        needs=("density", "test.codes"),
        protocol=(
            "mean of minus a bound of log q̂(z) from below, over all {held_out} images, z with one noise draw, q̂ fitted to training codes; "
            "codes of other methods differ"
        ),
        source="VCAE Eq. 8; SPEC 1.6",
        unit="nats",
        group="latent",
        bias="too high: log q̂(z) is replaced by a bound from below, so that exact values of density_nll_{held_out} are no match for it",
    ),
    Metric(
        name="mean_log_variance",
        fn=mean_log_variance,
        needs=("test.codes",),
        protocol="mean over {held_out} images and latents of log σ²",
        source="SPEC T15",
        group="latent",
    ),
]
