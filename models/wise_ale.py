"""WiSE-ALE: one prior constraint on a batch's aggregate posterior, instead of one on each image's.

Lin et al., "WiSE-ALE: Wide Sample Estimator for Approximate Latent Embedding", arXiv:1902.06160, Eq. 12, 17, 25, 27; SPEC 1.9:

    max  Σ_{i=1}^M E_{q(z|x_i)} log p(x_i|z)  -  KL_UB( 1/M Σ_i q(z|x_i) || N(0, I) )

As a mean over the batch's images:  min  E[ -log p(x|z) ]  +  KL_UB / M.  The KL is 1/M as strong as a VAE's, so that results
depend on the batch size (SPEC T12); what is minimised bounds no likelihood (T14), so methods are compared by other numbers.
"""

from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from metrics.mixture_bound import mixture_kl_bound
from models.interfaces import Draw, Prior
from models.method import Recipe
from models.parts.cost import LikelihoodName, cost_of
from models.vae import vae_bernoulli

Scale = Literal["batch", "sample"]


@dataclass(frozen=True)
class MixtureKL:
    """KL_UB of the batch's mixture (Eq. 21), once per batch of M images, or M times ("sample")."""

    capturable = True
    scale: Scale = "batch"
    name = "mixture_kl"

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        """-> ()"""
        assert draw.log_variance is not None
        bound = mixture_kl_bound(draw.mean, draw.log_variance)
        return bound / len(draw.mean) if self.scale == "batch" else bound

    def __str__(self) -> str:
        return "KL_UB of the batch, 1/M per image" if self.scale == "batch" else "KL_UB of the batch, per image"


def wise_ale(
    dim: int,
    *,
    kl_scale: Scale = "batch",
    likelihood: LikelihoodName = "bernoulli",
    decoder_variance: float = 0.1,
) -> Recipe:
    """WiSE-ALE (Eq. 25, 27); which likelihood is not stated: Bernoulli for MNIST, Gaussian for CelebA and sine waves (SPEC 1.9)."""
    if kl_scale not in ("batch", "sample"):
        raise ValueError(f"kl_scale must be 'batch' or 'sample', not {kl_scale!r}")
    return replace(vae_bernoulli(dim), cost=cost_of(likelihood, decoder_variance), regularisers=((1.0, MixtureKL(kl_scale)),))


METHODS = [wise_ale]
