"""InfoVAE with the maximum mean discrepancy.

Zhao et al., "InfoVAE: Balancing Learning and Inference in Variational Autoencoders", arXiv:1706.02262, Eq. 6:

    E -log p(x|z)  +  (1 - α) E KL(q(z|x) || p(z))  +  (α + λ - 1) MMD²(q(z), p(z))

A VAE is α = 0, λ = 1; an MMD-VAE α = 1, in which nothing keeps q(z|x) from narrowing; information is preferred the more, the larger α.
The kernel is WAE's inverse multiquadric unless said otherwise; the paper's is a Gaussian, `rbf`. MMD² is the U-statistic of models/wae.py.
"""

from dataclasses import replace

from models.method import Recipe
from models.parts.cost import LikelihoodName, cost_of
from models.parts.elbo import KL
from models.vae import vae_bernoulli
from models.wae import MMD, KernelName


def info_vae(
    dim: int,
    *,
    alpha: float = 0.0,
    scale: float = 1000.0,
    kernel: KernelName = "rbf",
    likelihood: LikelihoodName = "bernoulli",
    decoder_variance: float = 0.1,
) -> Recipe:
    """InfoVAE; scale is λ (Eq. 6). α below 1, since at 1 the KL is no term of the loss."""
    if not alpha <= 1:
        raise ValueError(f"alpha must be 1 or smaller, not {alpha}")
    if not alpha + scale >= 1:
        raise ValueError(f"scale must be 1 - alpha = {1 - alpha:g} or larger, not {scale}")
    terms = ((1 - alpha, KL()), (alpha + scale - 1, MMD(kernel)))
    return replace(vae_bernoulli(dim), cost=cost_of(likelihood, decoder_variance), regularisers=terms)


METHODS = [info_vae]
