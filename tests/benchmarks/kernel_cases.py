"""The regulariser kernels that are timed: ours, what a user would write, and peers that have the same or what costs as much."""

import importlib
import importlib.util
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from metrics.divergences import Kernel, imq, imq7, mmd, mmd_rbf_median, rbf, u_statistic, upper_median
from metrics.kernels.log_mixture import LOG_2PI
from metrics.kernels.sliced import squared_sliced_wasserstein, unit_vectors
from metrics.latent import total_variance
from metrics.mixture_bound import mixture_kl_bound
from metrics.mixture_density import log_mixture_density

Loss = Callable[..., Tensor]
DIRECTIONS = 64
SMALL = ("ours", "cdist", "matmul", "geomloss")  # forms that hold no array of n n d
PEERS = ("pythae", "geomloss", "ot")  # modules of the extra `peers`


@dataclass(frozen=True)
class Case:
    """One kernel: what it takes for n points in d dimensions, its forms, what a step of it must compute or move at least."""

    name: str
    inputs: Callable[[int, int, torch.Generator], list[Tensor]]  # those with a gradient last
    constants: int  # how many of the inputs have none
    forms: dict[str, Callable[[int], Loss | None]]  # by d; None: the peer is not installed
    gflop: Callable[[int, int], float]  # in products, or 0
    gigabytes: Callable[[int, int], float]
    double: bool = False  # the products are in float64
    copies: int = 4  # arrays of n n d float32 that broadcasting holds at its peak


def samples(n: int, d: int, noise: torch.Generator) -> list[Tensor]:
    """Prior draws, and codes that are wider and elsewhere."""
    return [torch.randn(n, d, generator=noise, device=noise.device), 1.2 * torch.randn(n, d, generator=noise, device=noise.device) + 0.1]


def posteriors(n: int, d: int, noise: torch.Generator) -> list[Tensor]:
    """Means and log σ² of a batch that fills the prior."""
    mean = 0.8 * torch.randn(n, d, generator=noise, device=noise.device)
    return [mean, -1 + 0.3 * torch.randn(n, d, generator=noise, device=noise.device)]


def mixture(n: int, d: int, noise: torch.Generator) -> list[Tensor]:
    """As many samples as components."""
    mean, log_variance = posteriors(n, d, noise)
    return [mean + (0.5 * log_variance).exp() * torch.randn(n, d, generator=noise, device=noise.device), mean, log_variance]


def sliced(n: int, d: int, noise: torch.Generator) -> list[Tensor]:
    """Directions, prior draws and codes."""
    return [unit_vectors(DIRECTIONS, d).to(noise.device, torch.float32), *samples(n, d, noise)]


def peer(module: str, make: Callable[[Any, int], Loss]) -> Callable[[int], Loss | None]:
    """make(module, d), where the module is installed."""
    return lambda d: make(importlib.import_module(module), d) if importlib.util.find_spec(module.split(".")[0]) else None


def pythae_mmd(scales: list[float] | None, kernel: str) -> Callable[[Any, int], Loss]:
    """The divergence in the loss of pythae's WAE_MMD, without the reconstruction."""

    def make(models: Any, d: int) -> Loss:
        config = models.WAE_MMD_Config(input_dim=(1, 1), latent_dim=d, kernel_choice=kernel, **({"scales": scales} if scales else {}))
        image = torch.zeros(1, 1)
        model = models.WAE_MMD(config)
        return lambda p, q: model.loss_function(image.to(q).expand(len(q), 1), image.to(q).expand(len(q), 1), q, p)[2]

    return make


def geomloss_gaussian(geomloss: Any, d: int) -> Loss:
    """Half the V-statistic of MMD² with exp(-|x - y|²/2σ²): the same matrices, their diagonal included."""
    return geomloss.SamplesLoss("gaussian", blur=math.sqrt(d), backend="tensorized")


def by_cdist(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances by torch's own function.   (N, D), (M, D) -> (N, M)"""
    return torch.cdist(a, b).square()


def by_product(a: Tensor, b: Tensor) -> Tensor:
    """Squared distances as |a|² + |b|² - 2 a·b, none below 0.   (N, D), (M, D) -> (N, M)"""
    return (a.square().sum(1)[:, None] + b.square().sum(1) - 2 * a @ b.mT).clamp(min=0)


def mmd_by(distances: Callable[[Tensor, Tensor], Tensor], kernel: Kernel) -> Callable[[int], Loss]:
    """The formula on (N, M) squared distances."""
    return lambda d: lambda p, q: u_statistic(*(kernel(distances(a, b), 2.0 * d) for a, b in ((p, p), (q, q), (p, q))))


def median_by(distances: Callable[[Tensor, Tensor], Tensor]) -> Callable[[int], Loss]:
    """The same with the Gaussian kernel of the batch's median."""

    def loss(p: Tensor, q: Tensor) -> Tensor:
        pp, qq, pq = (distances(a, b) for a, b in ((p, p), (q, q), (p, q)))
        s = upper_median(pq) + upper_median(qq)
        return u_statistic(*(torch.exp(-d2 / (2 * s)) for d2 in (pp, qq, pq)))

    return lambda d: loss


def density_by_product(z: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log 1/K Σ_j N(z; μ_j, σ_j²) with the square expanded: [z², z] times [-1/2σ², μ/σ²].   (N, D), (K, D), (K, D) -> (N,)"""
    precision = (-log_variance).exp()
    constant = -0.5 * (mean.square() * precision + log_variance + LOG_2PI).sum(1) - math.log(len(mean))
    return (torch.cat([z.square(), z], 1) @ torch.cat([-0.5 * precision, mean * precision], 1).mT + constant).logsumexp(1)


def of_mmd(kernel: Kernel, backend: str) -> Callable[[int], Loss]:
    return lambda d: partial(mmd, C=2.0 * d, kernel=kernel, backend=backend)


def forms(loss: Loss, ours: str) -> dict[str, Callable[[int], Loss | None]]:
    return {"ours": lambda d: partial(loss, backend=ours), "eager": lambda d: partial(loss, backend="broadcast")}


def cases(ours: str) -> dict[str, Case]:
    """All of them; ours is the backend that this device gets."""
    two = lambda n, d: 1e-9 * (4 * n * n * (d + 2) + 4 * n * n * (d + 1))  # Σ d² over 2 n² pairs, slopes times points over as many
    sixteen = lambda n, d: 1e-9 * 16 * n * n * d
    none = lambda n, d: 0.0
    theirs: dict[str, dict[str, Callable[[int], Loss | None]]] = {
        "imq": {"pythae": peer("pythae.models", pythae_mmd([1.0], "imq"))},
        "imq7": {"pythae": peer("pythae.models", pythae_mmd(None, "imq"))},
        "rbf": {"pythae": peer("pythae.models", pythae_mmd(None, "rbf")), "geomloss": peer("geomloss", geomloss_gaussian)},
    }
    kernels = {"imq": imq, "imq7": imq7, "rbf": rbf}
    both = {
        name: {"ours": of_mmd(k, ours), "eager": of_mmd(k, "broadcast"), "cdist": mmd_by(by_cdist, k), "matmul": mmd_by(by_product, k)}
        for name, k in kernels.items()
    }
    tiled = "tiled" if ours == "compiled" else ours  # there is no C of a density
    density = forms(log_mixture_density, tiled) | {"matmul": lambda d: density_by_product}
    medians = {"ours": lambda d: mmd_rbf_median, "cdist": median_by(by_cdist), "matmul": median_by(by_product)}
    eager_sliced = lambda d: lambda t, p, q: ((t @ q.mT).sort(1).values - (t @ p.mT).sort(1).values).square().mean()
    pot = lambda ot, d: lambda t, p, q: ot.sliced_wasserstein_distance(p, q, projections=t.mT) ** 2
    every = [
        *(Case(f"MMD, {name}", samples, 1, both[name] | theirs[name], two, none) for name in kernels),
        Case("WiSE-ALE bound", posteriors, 0, forms(mixture_kl_bound, ours), none, none, copies=10),
        Case("log q(z), n of n", mixture, 0, density, sixteen, none, tiled == "tiled", 6),
        Case(
            "sliced W, 64 directions",
            sliced,
            2,
            {"ours": lambda d: lambda t, p, q: squared_sliced_wasserstein(p, q, t), "eager": eager_sliced, "POT": peer("ot", pot)},
            lambda n, d: 1e-9 * 6 * DIRECTIONS * n * d,  # two projections, one gradient
            none,
            copies=0,
        ),
        Case(
            "total variance",
            lambda n, d, noise: samples(n, d, noise)[1:],
            0,
            {"ours": lambda d: total_variance, "eager": lambda d: lambda z: (z - z.mean(0)).square().mean(0).sum()},
            none,
            lambda n, d: 1e-9 * 4 * 4 * n * d,
            copies=0,
        ),
        Case("MMD, rbf of the median", samples, 1, medians, two, none),
    ]
    return {case.name: case for case in every}
