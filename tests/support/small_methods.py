"""Methods with tiny networks on random images, and the points of SPEC section 9."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from bench.datasets.batches import Batches
from bench.suites.schema import Budget, Optimizer
from bench.training.train import Plan, Training
from models.method import AutoEncoder, Recipe
from models.networks.network import Network, Pair

SHAPE, DIM, LEVELS = (1, 4, 4), 3, 16
P = torch.tensor([[0.0, 0], [1, 0], [0, 2]], dtype=torch.float64)
Q = torch.tensor([[1.0, 1], [2, 0], [-1, 0]], dtype=torch.float64)


def noise(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*size: int, seed: int = 0) -> Tensor:
    return torch.randn(*size, generator=noise(seed), dtype=torch.float64)


def uniform(*size: int, seed: int = 0) -> Tensor:
    return torch.rand(*size, generator=noise(seed), dtype=torch.float64)


def images(n: int, seed: int = 0, shape: tuple[int, int, int] = SHAPE) -> Tensor:
    return uniform(n, *shape, seed=seed).float()


def pixels(n: int, seed: int = 0) -> Tensor:
    return torch.randint(0, LEVELS + 1, (n, *SHAPE), generator=noise(seed), dtype=torch.uint8)


def tiny(shape: tuple[int, int, int], dim: int, outputs: int) -> Pair:
    values = math.prod(shape)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(values, 8), nn.Tanh(), nn.Linear(8, outputs * dim))
    return encoder, nn.Sequential(nn.Linear(dim, 8), nn.Tanh(), nn.Linear(8, values), nn.Unflatten(1, shape))


def tiny_with_batch_norm(shape: tuple[int, int, int], dim: int, outputs: int) -> Pair:
    encoder, decoder = tiny(shape, dim, outputs)
    return nn.Sequential(encoder, nn.BatchNorm1d(outputs * dim)), decoder


def build(
    make: Callable[[], Recipe],
    *,
    seed: int = 0,
    network: Network = tiny,
    shape: tuple[int, int, int] = SHAPE,
    dim: int = DIM,
) -> AutoEncoder:
    """A method whose weights, its critics' included, come from the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        recipe = make()
        return recipe.assemble(shape, dim, network)


def training(
    method: AutoEncoder, budget: Budget, batches: Batches, *, optimizer: Optimizer | None = None, seed: int = 0, capture: bool = True
) -> Training:
    total = budget.total_steps(len(batches.images), batches.batch_size)
    return Training(method, Plan(budget, optimizer or Optimizer(), batches.per_epoch, total), noise(seed), capture=capture)


def weights(method: nn.Module) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in method.state_dict().items()}


def sigmoid(y: float) -> float:
    return 1 / (1 + math.exp(-y))


def rows(x: Tensor) -> list[list[float]]:
    return x.flatten(1).tolist()


def sse_by_loops(x: Tensor, x_hat: Tensor) -> list[float]:
    return [sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) for one, other in zip(rows(x), rows(x_hat), strict=True)]


def mmd_by_loops(p: Tensor, q: Tensor, k: Callable[[float], float]) -> float:
    """SPEC 1.3, pair by pair; k is a function of a squared distance."""

    def distance(a: list[float], b: list[float]) -> float:
        return sum((s - t) ** 2 for s, t in zip(a, b, strict=True))

    def within(points: list[list[float]]) -> float:
        n = len(points)
        return sum(k(distance(points[i], points[j])) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))

    ps, qs = rows(p), rows(q)
    cross = sum(k(distance(a, b)) for a in ps for b in qs) / (len(ps) * len(qs))
    return within(ps) + within(qs) - 2 * cross
