"""WAE-MMD, WAE-GAN and cWAE.

Tolstikhin et al., "Wasserstein Auto-Encoders", arXiv:1711.01558; SPEC 1.3, 1.4, 1.5:

    min_{Q,G}  E_{p(x)} E_{q(z|x)} c(x, G(z))  +  λ D_Z(Q_Z, P_Z)                  (Eq. 4)

cWAE (also BIR-VAE) is WAE-MMD behind a noisy channel: z = μ(x) + ε, with the MMD on the noisy z (VCAE Eq. 3).
"""

from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from metrics.divergences import imq, imq7, mmd, mmd_rbf_median, rbf
from models.interfaces import Draw, Prior
from models.method import Recipe
from models.parts.cost import SquaredError
from models.parts.critic import PriorMatch
from models.parts.posterior import AdditiveNoise, Deterministic
from models.parts.pretraining import MomentPretraining
from models.parts.prior import StandardNormal
from models.parts.schedule import Weight, non_negative

KernelName = Literal["imq", "imq7", "rbf", "rbf_median"]


@dataclass(frozen=True)
class MMD:
    """Unbiased MMD² between fresh prior draws, as many as codes, and the codes (Algorithm 2; SPEC T3, T43, T44)."""

    capturable = True
    kernel: KernelName = "imq"
    prior_variance: float = 1.0
    name = "mmd"

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        """-> ()"""
        assert prior is not None
        return self.between(prior.sample(len(draw.z), draw.noise), draw.z)

    def between(self, z: Tensor, codes: Tensor) -> Tensor:
        """Of draws of any prior and codes.   (B, D), (B, D) -> ()"""
        if self.kernel == "rbf_median":
            return mmd_rbf_median(z, codes)
        return mmd(z, codes, 2 * codes.shape[1] * self.prior_variance, {"imq": imq, "imq7": imq7, "rbf": rbf}[self.kernel])

    def __str__(self) -> str:
        return f"MMD, {self.kernel}"


def wae_mmd(
    dim: int,
    *,
    weight: Weight = 10.0,
    kernel: KernelName = "imq",
    prior_variance: float = 1.0,
    input_noise: float = 0.0,
    pretraining_batch: int = 0,
) -> Recipe:
    """WAE-MMD: deterministic encoder, squared error, λ MMD² (Eq. 4, Algorithm 2).

    The released code has input_noise = 0.01 and pre-trains the encoder on batches of 1000 (MNIST) or 256 images; 0 is neither.
    """
    if not 0 <= input_noise < 1:
        raise ValueError(f"input_noise must be 0 or larger and below 1, not {input_noise}")
    if pretraining_batch < 0 or pretraining_batch == 1:
        raise ValueError(f"pretraining_batch must be 0 or at least 2, not {pretraining_batch}")
    return Recipe(
        Deterministic(),
        SquaredError(),
        ((non_negative(weight), MMD(kernel, prior_variance)),),
        StandardNormal(dim, prior_variance),
        target_variance=dim * prior_variance,
        input_noise=input_noise,
        pretraining=MomentPretraining(pretraining_batch) if pretraining_batch else None,
    )


def wae_gan(
    dim: int,
    *,
    weight: Weight = 10.0,
    prior_variance: float = 1.0,
    width: int = 512,
    pz_trick: bool = False,
    critic_lr: float | None = None,
    input_noise: float = 0.0,
    pretraining_batch: int = 0,
) -> Recipe:
    """WAE-GAN: the divergence is an adversary's on latents (Algorithm 1). critic_lr None is the suite's rate."""
    critic = PriorMatch(dim, width=width, pz_trick=pz_trick, lr=critic_lr)
    base = wae_mmd(dim, prior_variance=prior_variance, input_noise=input_noise, pretraining_batch=pretraining_batch)
    return replace(base, regularisers=((non_negative(weight), critic),))


def cwae(dim: int, *, weight: Weight = 50.0, noise_variance: float = 0.05, kernel: KernelName = "imq") -> Recipe:
    """cWAE: WAE-MMD with fixed encoder noise of variance σ_ε² (VCAE Eq. 3, section 2)."""
    return replace(wae_mmd(dim, weight=weight, kernel=kernel), posterior=AdditiveNoise(noise_variance))


METHODS = [wae_mmd, wae_gan, cwae]
