"""Gaussian mixtures as priors: fitted to codes at the end of each epoch, a density with a gradient in between.

LaDDer (arXiv:2009.00088), section 3.2, Eq. 6, and the GMM prior of section 4; SPEC 1.8, T31:

    EM           maximum likelihood, for the prior `prior_gmm`
    Variational  v_m ~ Beta(1, α_0),  w_m = v_m Π_{l<m} (1 - v_l),  precision Λ_m ~ W(d, I),  μ_m ~ N(0, Λ_m⁻¹)

The posterior's plug-in density is used: weights E w_m, means m_m, covariances (ν_m W_m)⁻¹. scikit-learn has the coordinate
updates, given every prior. A mixture is N(0, I) until its first fit. All that the next fit needs is in its buffers.
"""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from models.interfaces import Draw
from models.method import AutoEncoder
from models.parts.density import Mixture
from models.parts.elbo import monte_carlo
from models.parts.mode import evaluating

FAST_CODES, FINAL_CODES = 2_000, 20_000  # about so many, of the fits between epochs and of the last one
PER_COMPONENT = 10  # codes at least; fewer images give several each
ENCODED = 1000  # images at a time
EM_STEPS, FAST_STEPS, FINAL_STEPS = 100, 1000, 2000
RIDGE = 0.01  # × I, on the covariances of the GMM in the loss
FLOOR = 1e-6  # the same in the fit itself
Weights = Literal["dirichlet_process", "dirichlet_distribution"]


class Fitted(Mixture):
    """A mixture that can start a fit where the last one ended (warm), and that is N(0, I) before the first."""

    fitted: Tensor  # () bool

    def __init__(self, dim: int, components: int, *, warm: bool):
        super().__init__(dim, components, FLOOR)
        self.dim, self.warm = dim, warm
        self.register_buffer("fitted", torch.tensor(False))

    def resumes(self) -> bool:
        """Whether the next fit starts where the last one ended."""
        return self.warm and bool(self.fitted)

    def become(self, weights: Any, means: Any, covariances: Any) -> None:
        """Take a fit's values.   (K,), (K, D), (K, D, D), float64 arrays"""
        self.log_weights.copy_(torch.from_numpy(np.log(weights)))
        self.means.copy_(torch.from_numpy(means))
        self.roots.copy_(torch.linalg.cholesky(torch.from_numpy(covariances)))
        self.fitted.fill_(True)

    def take(self, other: Mixture) -> None:
        """Become the other mixture."""
        for mine, theirs in ((self.log_weights, other.log_weights), (self.means, other.means), (self.roots, other.roots)):
            mine.copy_(theirs)


class EM(Fitted):
    """Σ_m w_m N(μ_m, Σ_m + ridge I) of highest likelihood; the first fit starts from k-means."""

    def __init__(self, dim: int, components: int, *, warm: bool, ridge: float):
        super().__init__(dim, components, warm=warm)
        self.ridge = ridge

    def fit(self, codes: Tensor, noise: torch.Generator) -> None:
        """(N, D)"""
        from sklearn.mixture import GaussianMixture  # a second, for those who fit one

        em = GaussianMixture(self.components, reg_covar=self.floor, max_iter=EM_STEPS, random_state=seed_from(noise))
        if self.resumes():
            precisions = torch.cholesky_inverse(self.roots.double())
            em.set_params(
                weights_init=array(self.log_weights.double().softmax(0)),
                means_init=array(self.means),
                precisions_init=array(0.5 * (precisions + precisions.mT)),
            )
        with unconverged_is_fine():
            em.fit(array(codes))
        self.become(em.weights_, em.means_, em.covariances_ + self.ridge * np.eye(self.dim))


class Variational(Fitted):
    """The posterior of a mixture with a prior on all it has; components without codes keep next to no weight.

    weights: stick-breaking, or a symmetric Dirichlet distribution with the same concentration α_0.
    """

    counts: Tensor  # (K,) N_m

    def __init__(self, dim: int, components: int, *, warm: bool, weights: Weights, concentration: float, steps: int):
        super().__init__(dim, components, warm=warm)
        if not concentration > 0:
            raise ValueError(f"concentration must be positive, not {concentration}")
        self.weights, self.concentration, self.steps = weights, concentration, steps
        self.register_buffer("counts", torch.zeros(components))

    def fit(self, codes: Tensor, noise: torch.Generator) -> None:
        """(N, D)"""
        from sklearn.mixture import BayesianGaussianMixture

        em = BayesianGaussianMixture(
            n_components=self.components,
            weight_concentration_prior_type=self.weights,
            weight_concentration_prior=self.concentration,
            mean_prior=np.zeros(self.dim),
            mean_precision_prior=1.0,
            covariance_prior=np.eye(self.dim),
            degrees_of_freedom_prior=self.dim,
            reg_covar=0.0,  # the prior does it
            max_iter=self.steps,
            random_state=seed_from(noise),
            warm_start=self.warm,
        )
        if self.resumes():
            self.restore(em)
        with unconverged_is_fine():
            em.fit(array(codes))
        counts = em.mean_precision_ - 1.0
        self.counts.copy_(torch.from_numpy(counts))
        self.become(self.plug_in(counts), em.means_, em.covariances_)

    def restore(self, em: Any) -> None:
        """Make the estimator the one of the last fit, as scikit-learn's `warm_start` has it."""
        counts, roots = array(self.counts), self.roots.double()
        em.weight_concentration_ = self.posterior(counts)
        em.mean_precision_ = 1.0 + counts
        em.means_ = array(self.means)
        em.degrees_of_freedom_ = self.dim + counts
        em.covariances_ = array(roots @ roots.mT)
        em.precisions_cholesky_ = array(torch.linalg.inv(roots).mT)
        em.lower_bound_, em.converged_ = -np.inf, True

    def posterior(self, counts: Any) -> Any:
        """γ_m1 and γ_m2 of the sticks, or the concentrations of the Dirichlet distribution.   (K,) -> (K,), (K,) or (K,)"""
        if self.weights == "dirichlet_distribution":
            return self.concentration + counts
        after = counts[::-1].cumsum()[::-1] - counts
        return 1.0 + counts, self.concentration + after

    def plug_in(self, counts: Any) -> Any:
        """E w_m.   (K,) -> (K,)"""
        posterior = self.posterior(counts)
        return posterior / posterior.sum() if self.weights == "dirichlet_distribution" else stick_weights(*posterior)


def stick_weights(first: Any, second: Any) -> Any:
    """E w_m = E v_m Π_{l<m} E(1 - v_l) with v_m ~ Beta(γ_m1, γ_m2), the last stick all that is left.   (K,), (K,) -> (K,)"""
    taken = first / (first + second)
    left = np.concatenate([[1.0], np.cumprod(1 - taken[:-1])])
    return left * np.concatenate([taken[:-1], [1.0]])


class Refitted(nn.Module):
    """A prior that follows the codes: `fast` is fitted after each epoch and stands in the loss, `final` at the end of training.

    As with batch norm, the training mode uses the one and the evaluation mode the other. `final` is a copy until it is fitted.
    """

    def __init__(self, fast: Fitted, final: Fitted, *, samples: int):
        super().__init__()
        if samples < 1:
            raise ValueError(f"samples must be at least 1, not {samples}")
        self.fast, self.final, self.samples = fast, final, samples

    @property
    def current(self) -> Fitted:
        """Of the mode."""
        return self.fast if self.training else self.final

    def log_prob(self, z: Tensor) -> Tensor:
        """Nats.   (B, D) -> (B,)"""
        return self.current.log_prob(z)

    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        """-> (n, D)"""
        return self.current.sample(n, noise)

    def expected_log_prob(self, draw: Draw) -> Tensor:
        """By `samples` draws of q.   -> (B,)"""
        return monte_carlo(self.log_prob, draw, self.samples)

    def refit(self, codes: Tensor, noise: torch.Generator) -> None:
        """Between epochs; codes that are no numbers are left to the loss to report.   (N, D)"""
        if codes.isfinite().all():
            self.fast.fit(codes, noise)
            self.final.take(self.fast)

    def finish(self, codes: Tensor, noise: torch.Generator) -> None:
        """At the end of training.   (N, D)"""
        if codes.isfinite().all():
            self.final.fit(codes, noise)

    def count(self, wanted: int, images: int) -> int:
        """How many codes to fit to: as many as there are images, and enough for the components."""
        return min(wanted, max(images, PER_COMPONENT * self.fast.components))

    def __str__(self) -> str:
        kind = "DP mixture" if isinstance(self.final, Variational) else "mixture"
        return f"{kind} of {self.fast.components} Gaussians, refitted"


class MixturePrior(Refitted):
    """The GMM prior: of the codes z themselves."""

    def epoch_ended(self, epoch: int, method: AutoEncoder, draw_images: Callable[[int], Tensor], noise: torch.Generator) -> None:
        """Fits the mixture of the next epoch's loss."""
        images = draw_images(FAST_CODES)
        self.refit(codes_of(method, images, self.count(FAST_CODES, len(images)), noise), noise)

    def training_ended(self, epoch: int, method: AutoEncoder, draw_images: Callable[[int], Tensor], noise: torch.Generator) -> None:
        """Fits the mixture to sample from."""
        images = draw_images(FINAL_CODES)
        self.finish(codes_of(method, images, self.count(FINAL_CODES, len(images)), noise), noise)


@torch.no_grad()
def codes_of(method: AutoEncoder, images: Tensor, n: int, noise: torch.Generator) -> Tensor:
    """n draws of q(z|x), over and over through the images, the encoder in evaluation mode.   (N, C, H, W) -> (n, D)"""
    codes = list[Tensor]()
    with evaluating(method):
        while sum(map(len, codes)) < n:
            codes += [method.draw(x, noise).z for x in images.split(ENCODED)]
    return torch.cat(codes)[:n]


def seed_from(noise: torch.Generator) -> int:
    """A seed for scikit-learn."""
    return int(torch.randint(2**31, (), generator=noise, device=noise.device))


def array(x: Tensor) -> Any:
    """As scikit-learn wants it: float64 on the CPU."""
    return x.double().cpu().numpy()


@contextmanager
def unconverged_is_fine() -> Iterator[None]:
    """Between epochs a fit only has to keep up with the codes."""
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield
