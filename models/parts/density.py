"""Densities fitted to the codes of a trained encoder: the second stage, from which a method without a prior samples.

"Variance Constrained Autoencoding", Eq. 8-9, Algorithm 1, Table 5; SPEC 1.6, 3.3. With f mapping w ~ N(0, I) to z:

    log q̂(z) = log N(f⁻¹(z); 0, I) + log |det ∂f⁻¹/∂z|          (Eq. 9 leaves the determinant out; SPEC T11)
    max_ψ E_{p(x)} E_{q(z|x)} log q̂_ψ(z),   the encoder frozen, its noise in z

The paper allows any estimator of Q_Z. Mixtures are those of Ghosh et al., arXiv:1903.12436, section 4 (ten full-covariance Gaussians).
Flows: Papamakarios et al., arXiv:1705.07057 (MAF); Dinh et al., arXiv:1605.08803 (RealNVP).
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Transform
from zuko.flows import MAF, GeneralCouplingTransform
from zuko.lazy import LazyComposedTransform, LazyTransform
from zuko.transforms import CouplingTransform

from models.assembly import why_eager
from models.interfaces import Player
from models.method import AutoEncoder, trained

Hidden = tuple[int, ...]
SMALLEST_STD = 1e-6  # of a code that never changes
EM_STEPS = 1000


class Density(nn.Module, ABC):
    """q̂(z). One with parameters is trained by maximum likelihood once it has been fitted; one without is finished then."""

    bound = False  # whether log_prob is only a bound of log q̂(z) from below

    @abstractmethod
    def fit(self, codes: Tensor, noise: torch.Generator) -> None:
        """The part of fitting that needs no gradient; buffers hold it.   (N, D)"""

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """Nats.   (B, D) -> (B,)"""

    @abstractmethod
    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        """n draws on the generator's device.   -> (n, D)"""

    def loss(self, z: Tensor, noise: torch.Generator) -> Tensor:
        """What its training descends, nats per code; one that is not trained by likelihood overrides it.   (B, D) -> (B,)"""
        return -self.log_prob(z)


class Mixture(Density):
    """Σ_k π_k N(z; μ_k, L_k L_kᵀ), fitted by expectation maximisation; one component is the Gaussian of highest likelihood."""

    log_weights: Tensor  # (K,)
    means: Tensor  # (K, D)
    roots: Tensor  # (K, D, D), the lower triangular L_k

    def __init__(self, dim: int, components: int, floor: float):
        super().__init__()
        if components < 1:
            raise ValueError(f"components must be at least 1, not {components}")
        if not 0 < floor < math.inf:
            raise ValueError(f"floor must be positive, not {floor}")
        self.components, self.floor = components, floor
        self.register_buffer("log_weights", torch.full((components,), -math.log(components)))
        self.register_buffer("means", torch.zeros(components, dim))
        self.register_buffer("roots", torch.eye(dim).repeat(components, 1, 1))

    def fit(self, codes: Tensor, noise: torch.Generator) -> None:
        """Expectation maximisation from a k-means start that the generator chooses.   (N, D)"""
        from sklearn.mixture import GaussianMixture  # a second, for those who fit one

        seed = int(torch.randint(2**31, (), generator=noise, device=noise.device))
        em = GaussianMixture(self.components, reg_covar=self.floor, max_iter=EM_STEPS, random_state=seed)
        em.fit(codes.double().cpu().numpy())
        for buffer, values in ((self.log_weights, em.weights_), (self.means, em.means_), (self.roots, em.covariances_)):
            buffer.copy_(torch.linalg.cholesky(torch.from_numpy(values)) if buffer is self.roots else torch.from_numpy(values))
        self.log_weights.log_()

    def log_prob(self, z: Tensor) -> Tensor:
        """log Σ_k π_k N(z; μ_k, L_k L_kᵀ), with |L⁻¹(z - μ)|² for the squared distance.   (B, D) -> (B,)"""
        standard = torch.linalg.solve_triangular(self.roots, (z - self.means[:, None]).mT, upper=False)  # (K, D, B)
        log_det = self.roots.diagonal(dim1=1, dim2=2).log().sum(1)  # (K,)
        log_normal = -0.5 * (standard.square() + math.log(2 * math.pi)).sum(1) - log_det[:, None]  # (K, B)
        return (self.log_weights[:, None] + log_normal).logsumexp(0)

    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        """A component by its weight, then μ_k + L_k ε.   -> (n, D)"""
        k = torch.multinomial(self.log_weights.exp(), n, replacement=True, generator=noise)
        epsilon = torch.randn(n, self.means.shape[1], 1, generator=noise, device=noise.device, dtype=self.means.dtype)
        return self.means[k] + (self.roots[k] @ epsilon).squeeze(2)

    def __str__(self) -> str:
        return "Gaussian, full covariance" if self.components == 1 else f"mixture of {self.components} Gaussians, full covariance"


class Flow(Density):
    """z = shift + scale ⊙ f(w), w ~ N(0, I), f made of f⁻¹ (zuko's `transform`, its fast direction).

    The elementwise scale and shift at the end of Table 5's MAF start at the codes' own, so that f starts on standardised codes.
    """

    capturable = True

    def __init__(self, dim: int, transform: LazyTransform, words: str):
        super().__init__()
        self.dim, self.transform, self.name = dim, transform, words
        self.shift, self.log_scale = nn.Parameter(torch.zeros(dim)), nn.Parameter(torch.zeros(dim))

    @torch.no_grad()
    def fit(self, codes: Tensor, noise: torch.Generator) -> None:
        """Start from the codes' means and deviations.   (N, D)"""
        self.shift.copy_(codes.mean(0))
        self.log_scale.copy_(codes.std(0, correction=0).clamp(min=SMALLEST_STD).log())

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """w = f⁻¹((z - shift) / scale) and log |det ∂w/∂z|.   (B, D) -> (B, D), (B,)"""
        w, log_det = self.transform().call_and_ladj((z - self.shift) * (-self.log_scale).exp())
        return w, log_det - self.log_scale.sum()

    def forward(self, w: Tensor) -> Tensor:
        """z of w.   (B, D) -> (B, D)"""
        return self.shift + self.log_scale.exp() * self.transform().inv(w)

    def log_prob(self, z: Tensor) -> Tensor:
        """Eq. 8, with the determinant.   (B, D) -> (B,)"""
        w, log_det = self.inverse(z)
        return -0.5 * (w.square() + math.log(2 * math.pi)).sum(1) + log_det

    @torch.no_grad()
    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        """f of the generator's own normal draws; zuko would take torch's global stream.   -> (n, D)"""
        return self(torch.randn(n, self.dim, generator=noise, device=noise.device, dtype=self.shift.dtype))

    def __str__(self) -> str:
        return self.name


class Split(CouplingTransform):
    """zuko's coupling y_a = x_a, y_b = f(x_b | x_a), given where a and b are."""

    def __init__(self, meta: Callable[[Tensor], Transform], idx_a: Tensor, idx_b: Tensor):
        Transform.__init__(self)  # zuko's own looks for them in the mask, and so waits for the device
        self.meta, self.idx_a, self.idx_b = meta, idx_a, idx_b


class Coupling(GeneralCouplingTransform):
    """zuko's lazy coupling, that looks for a and b in a mask once and not in each of a step's calls: a step may be recorded."""

    capturable = True
    idx_a: Tensor  # (number of ones in the mask,)
    idx_b: Tensor  # (number of zeros,)

    def __init__(self, features: int, **options: Any):
        super().__init__(features, **options)
        self.register_buffer("idx_a", self.mask.nonzero().squeeze(1), persistent=False)
        self.register_buffer("idx_b", (~self.mask).nonzero().squeeze(1), persistent=False)
        self.register_load_state_dict_post_hook(find_halves)

    def forward(self, c: Tensor | None = None) -> Transform:
        """The coupling, with a context if there is one."""
        return Split(partial(self.meta, c), self.idx_a, self.idx_b)


def find_halves(coupling: Coupling, keys: object) -> None:
    """After a state was loaded: a and b of its mask."""
    coupling.idx_a.copy_(coupling.mask.nonzero().squeeze(1))
    coupling.idx_b.copy_((~coupling.mask).nonzero().squeeze(1))


def gaussian(dim: int, *, floor: float = 1e-6) -> Density:
    """One full-covariance Gaussian in closed form: mean, covariance with divisor 1/N, and `floor` on its diagonal."""
    return Mixture(dim, 1, floor)


def mixture(dim: int, *, components: int = 10, floor: float = 1e-6) -> Density:
    """Gaussians of full covariance by expectation maximisation, `floor` on their diagonals (arXiv:1903.12436)."""
    return Mixture(dim, components, floor)


def maf(dim: int, *, transforms: int = 6, hidden: Hidden = (64, 64)) -> Density:
    """Masked autoregressive flow of Table 5, MNIST: MADEs with ReLU, the order reversed between them, no batch norm."""
    check(transforms, hidden)
    flow = MAF(dim, transforms=transforms, hidden_features=hidden)
    return Flow(dim, flow.transform, f"MAF, {transforms} × {list(hidden)}")


def realnvp(dim: int, *, transforms: int = 8, hidden: Hidden = (256, 256, 256)) -> Density:
    """RealNVP of Table 5, CelebA: affine couplings between the halves of fixed random permutations.

    A permutation serves two couplings, so that each half moves once. zuko bounds log-scales softly at ±6.9.
    """
    check(transforms, hidden)
    orders = [torch.randperm(dim) for _ in range((transforms + 1) // 2)]
    couplings = [
        Coupling(dim, mask=orders[i // 2] % 2 == i % 2, hidden_features=hidden)  # the mask's half stays as it is
        for i in range(transforms)
    ]
    return Flow(dim, LazyComposedTransform(*couplings), f"RealNVP, {transforms} × {list(hidden)}")


def check(transforms: int, hidden: Hidden) -> None:
    """ValueError for sizes that no flow can have."""
    if transforms < 1:
        raise ValueError(f"transforms must be at least 1, not {transforms}")
    if not hidden or min(hidden) < 1:
        raise ValueError(f"hidden must be the widths of hidden layers, at least 1 each, not {list(hidden)}")


class SecondStage:
    """A density's training, as the trainer sees a method: codes are drawn anew at each step; the encoder is frozen (SPEC 1.6, T42)."""

    def __init__(self, method: AutoEncoder, density: Density):
        self.method, self.density = method, density

    def codes(self, x: Tensor, noise: torch.Generator) -> Tensor:
        """z ~ q(z|x), with the encoder's noise.   (B, C, H, W) -> (B, D)"""
        return self.method.draw_without_gradient(x, noise).z

    def terms(self, x: Tensor, noise: torch.Generator) -> dict[str, Tensor]:
        """E of the density's loss, -log q̂(z) unless it has another, nats per code.   (B, C, H, W) -> of ()"""
        return {"loss": self.density.loss(self.codes(x, noise), noise).mean()}

    def players(self) -> list[Player]:
        """The density alone."""
        return [trained(Player("density", tuple(self.density.parameters()), self.terms))]

    def why_eager(self) -> str | None:
        """Why its steps may not be recorded as a CUDA graph: the reason of the method, which draws the codes, or of the density."""
        return self.method.why_eager() or why_eager([self.density])

    def step_begins(self, step: int, per_epoch: int) -> None:
        """Nothing of a density changes from step to step but its parameters."""

    def train(self, mode: bool = True) -> None:
        """The density's mode; batch norm in the encoder stays in evaluation mode."""
        self.method.eval()
        self.density.train(mode)

    def state_dict(self) -> dict[str, Any]:
        """The density's tensors; the first stage's are no longer changing."""
        return self.density.state_dict()

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take over tensors that `state_dict` gave."""
        self.density.load_state_dict(state_dict)


DENSITIES = [gaussian, mixture, maf, realnvp]
