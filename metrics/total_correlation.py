"""The law of the codes apart from any prior: how dependent the latents are, what codes say of images, how far q(z) is from p(z).

Chen et al., "Isolating Sources of Disentanglement in Variational Autoencoders", arXiv:1802.04942, Eq. 2, 3 and appendix C; Kim &
Mnih, "Disentangling by Factorising", arXiv:1802.05983, Eq. 3; SPEC 1.7. With q(z) = 1/N Σ_n q(z|x_n) over the training images,

    rate  =  E log q(z|x)/q(z)   +   E log q(z)/p(z)          index-code mutual information, marginal KL
    TC    =  E log q(z) - Σ_k E log q(z_k)                    total correlation

by the whole mixture; by its estimates from a minibatch of M codes, z_i ~ q(z|x_i),

    MWS   q(z_i) ≈ 1/NM Σ_j q(z_i|x_j)
    MSS   q(z_i) ≈ 1/N q(z_i|x_i) + 1/(M-1) Σ_{j≠i,i'} q(z_i|x_j) + (N-M+1)/N(M-1) q(z_i|x_i'),      one i' for each i

and by a discriminator of codes and codes whose latents were shuffled.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.adam import adam

from metrics.finite import require_finite, require_rows
from metrics.fixed_subset import subset
from metrics.latent import Codes
from metrics.metric import Metric, Unavailable

POINTS = 500  # codes at which the mixture is evaluated, and those of the minibatch
BLOCK = 2_000_000  # values in one block of the mixture's terms
WIDTH, STEPS, BATCH, RATE = 64, 200, 256, 3e-3  # of the discriminator
LOG_2PI = math.log(2 * math.pi)


class LogQ(NamedTuple):
    """An aggregate posterior at some codes, nats."""

    joint: Tensor  # (M,) log q(z)
    marginals: Tensor  # (M, D) log q(z_k)


def gaussian(codes: Codes) -> Tensor:
    """log σ² of q(z|x); Unavailable for any other q.   -> (N, D)"""
    if codes.log_variance is None:
        raise Unavailable("q(z|x) is no diagonal Gaussian")
    return codes.log_variance


def log_terms(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log q(z_ik|x_j).   (M, D), (N, D), (N, D) -> (M, N, D)"""
    scaled = (z[:, None] - mean) * (-0.5 * log_variance).exp()
    return scaled.square_().add_(log_variance).add_(LOG_2PI).mul_(-0.5)


def full_mixture(z: Tensor, mean: Tensor, log_variance: Tensor, block: int = BLOCK) -> LogQ:
    """log 1/N Σ_n q(z|x_n) and its marginals, in float64, about `block` values of the sum at a time.   (M, D), (N, D), (N, D) -> LogQ"""
    joint = torch.full((len(z),), -math.inf, dtype=torch.float64, device=z.device)
    marginals = torch.full(z.shape, -math.inf, dtype=torch.float64, device=z.device)
    rows = max(1, block // z.numel())
    z = z.double()
    for m, v in zip(mean.double().split(rows), log_variance.double().split(rows), strict=True):
        terms = log_terms(z, m, v)
        joint = torch.logaddexp(joint, terms.sum(2).logsumexp(1))
        marginals = torch.logaddexp(marginals, terms.logsumexp(1))
    return LogQ(joint - math.log(len(mean)), marginals - math.log(len(mean)))


def weighted(terms: Tensor, log_weights: Tensor) -> LogQ:
    """log Σ_j w_ij q(z_i|x_j) and the same of each latent.   (M, M, D), (M, M) -> LogQ"""
    return LogQ((terms.sum(2) + log_weights).logsumexp(1), (terms + log_weights[:, :, None]).logsumexp(1))


def minibatch_weighted(z: Tensor, mean: Tensor, log_variance: Tensor, n: int) -> LogQ:
    """MWS (Chen et al., Eq. 3). z: one draw of each q(z|x_j) of the batch; n: images in the training set.   (M, D) three times -> LogQ"""
    weights = torch.full((len(z), len(z)), -math.log(n * len(z)), dtype=torch.float64, device=z.device)
    return weighted(log_terms(z.double(), mean.double(), log_variance.double()), weights)


def minibatch_stratified(z: Tensor, mean: Tensor, log_variance: Tensor, n: int) -> LogQ:
    """MSS (Chen et al., appendix C.2), i' = i + 1. The same arguments."""
    require_rows("codes", z)
    m = len(z) - 1  # codes of other images
    weights = torch.full((m + 1, m + 1), 1 / m, dtype=torch.float64, device=z.device)
    here = torch.arange(m + 1, device=z.device)
    weights[here, here] = 1 / n
    weights[here, (here + 1) % (m + 1)] = (n - m) / (n * m)
    return weighted(log_terms(z.double(), mean.double(), log_variance.double()), weights.log())


def total_correlation(log_q: LogQ) -> Tensor:
    """E log q(z) - Σ_k E log q(z_k), nats.   -> ()"""
    return (log_q.joint - log_q.marginals.sum(1)).mean()


def marginal_kl(log_q: LogQ, codes: Codes, prior: Any) -> Tensor:
    """E log q(z) - E log p(z) at the same codes, nats; Unavailable for a prior whose density is not exact.   -> ()"""
    if hasattr(prior, "importance_log_prob") or not hasattr(prior, "log_prob"):
        raise Unavailable("its prior has no exact density")
    return (log_q.joint - prior.log_prob(subset(codes.z, len(log_q.joint))).double()).mean()


def index_code(log_q: LogQ, codes: Codes) -> Tensor:
    """E log q(z|x) - E log q(z), at most log N: what a code says of which image it came from, nats.   -> ()"""
    z, mean, log_variance = (subset(part, len(log_q.joint)).double() for part in (codes.z, codes.mean, gaussian(codes)))
    squared = (z - mean).square() * (-log_variance).exp()
    return (-0.5 * (squared + log_variance + LOG_2PI).sum(1) - log_q.joint).mean()


def mixture_of(codes: Codes) -> LogQ:
    """The whole mixture at POINTS of its own codes; Unavailable where codes are not finite: infinite components would vanish from it."""
    require_finite("codes", codes.z, codes.mean, gaussian(codes))
    return full_mixture(subset(codes.z, POINTS), codes.mean, gaussian(codes))


def minibatch_of(estimate: Callable[[Tensor, Tensor, Tensor, int], LogQ], codes: Codes) -> LogQ:
    """An estimate from POINTS of the codes; Unavailable where codes are not finite."""
    require_finite("codes", codes.z, codes.mean, gaussian(codes))
    z, mean, log_variance = (subset(part, POINTS) for part in (codes.z, codes.mean, gaussian(codes)))
    return estimate(z, mean, log_variance, len(codes.z))


def shuffled(z: Tensor, noise: torch.Generator) -> Tensor:
    """Every column in an order of its own.   (N, D) -> (N, D)"""
    return z.gather(0, torch.rand(z.shape, generator=noise).argsort(0))


class Adam:
    """torch.optim.Adam to the bit, by torch's function: the first use of the class imports torch's compiler, for seconds."""

    def __init__(self, parameters: list[Tensor], rate: float):
        self.parameters, self.rate = parameters, rate
        self.means, self.squares = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
        self.steps = [torch.zeros(()) for _ in parameters]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """Move the parameters."""
        adam(
            self.parameters,
            list(gradients),
            self.means,
            self.squares,
            [],
            self.steps,
            foreach=False,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )


def discriminated(train: Tensor, test: Tensor, steps: int = STEPS) -> float:
    """E over test codes of the logit of a discriminator trained to tell training codes from shuffled ones, nats.

    It runs on the CPU from a seed of its own, so that it is the same on every device. Codes are standardised, which changes no TC.
    (N, D), (M, D) -> value; Unavailable of fewer than two training codes, or where codes are not finite
    """
    require_rows("training codes", train)
    require_finite("training codes", train)
    require_finite("test codes", test)
    mean, std = train.mean(0), train.std(0).clamp(min=1e-6)
    train, test = (((part - mean) / std).float().cpu() for part in (train, test))
    noise = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(0)
        dim = train.shape[1]
        net = nn.Sequential(nn.Linear(dim, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 1))
        adam = Adam(list(net.parameters()), RATE)
        for _ in range(steps):
            joint, other = (train[torch.randint(len(train), (BATCH,), generator=noise)] for _ in range(2))
            logits = net(torch.cat([joint, shuffled(other, noise)])).squeeze(1)
            loss = F.softplus(-logits[:BATCH]).mean() + F.softplus(logits[BATCH:]).mean()
            adam.step(torch.autograd.grad(loss, adam.parameters))
    with torch.no_grad():
        return float(net(test).double().mean())


ESTIMATES = {
    "": (
        "train.mixture",
        f"q(z) the mixture over all training images, at up to {POINTS} random training codes (one noise draw); exact for that q(z)",
    ),
    "_mws": (
        "train.mws",
        f"minibatch weighted sampling, M = up to {POINTS} random training codes; each log q is too low, by log N where the q(z|x) overlap "
        "fully, so that TC is too high by up to (D-1) log N: compare at one N and D",
    ),
    "_mss": (
        "train.mss",
        f"minibatch stratified sampling, M = up to {POINTS} random training codes; q unbiased, so each log q is too low",
    ),
}
MARGINAL_KL = "; this estimate of a KL is too low by as much, and may be negative"  # where log q is
BIAS = {  # of each log q
    "": "none for the mixture over the training images: a mean over those codes",
    "_mws": "each log q is too low, so that total correlation is too high by up to (D-1) log N; compare at one N and D",
    "_mss": "each log q is too low in the mean, as the logarithm of an unbiased q",
}


def of_estimate(suffix: str) -> list[Metric]:
    """Total correlation and marginal KL with q(z) taken in one way."""
    view, words = ESTIMATES[suffix]
    found: tuple[tuple[str, Callable[..., Tensor], tuple[str, ...], str], ...] = (
        ("total_correlation", total_correlation, (view,), "E log q(z) - Σ_k E log q(z_k)"),
        ("marginal_kl", marginal_kl, (view, "train.codes", "prior"), "KL(q(z) || p(z))"),
    )
    return [
        Metric(
            name=f"{name}{suffix}",
            fn=fn,
            needs=needs,
            protocol=f"{formula}; {words}",
            source="arXiv:1802.04942 Eq. 2, 3, appendix C",
            unit="nats",
            better="lower",
            group="aggregate posterior",
            bias=BIAS[suffix] + (MARGINAL_KL if suffix and fn is marginal_kl else ""),
        )
        for name, fn, needs, formula in found
    ]


METRICS = [
    *(metric for suffix in ESTIMATES for metric in of_estimate(suffix)),
    Metric(
        name="index_code_mi",
        fn=index_code,
        needs=("train.mixture", "train.codes"),
        protocol=f"E log q(z|x)/q(z); {ESTIMATES[''][1]}; at most log of their number",
        source="arXiv:1802.04942 Eq. 2",
        unit="nats",
        group="aggregate posterior",
        bias="at most log of the number of training images, which it reaches where their codes do not overlap",
    ),
    Metric(
        name="total_correlation_discriminator",
        fn=lambda train, test: discriminated(train.z, test.z),
        needs=("train.codes", "test.codes"),
        protocol=(
            f"mean logit on all {{held_out}} codes of a discriminator, 2 × {WIDTH} ReLU, {STEPS} Adam steps of {BATCH} training codes "
            f"and {BATCH} with shuffled latents, seeded; too low, even negative, where it underfits or where few images let it overfit"
        ),
        source="arXiv:1802.05983 Eq. 3; SPEC 1.7",
        unit="nats",
        better="lower",
        group="aggregate posterior",
        bias="too low, even negative, where the discriminator underfits or few images let it overfit",
    ),
]
