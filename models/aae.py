"""AAE: WAE-GAN with a likelihood for its data term.

Tolstikhin et al., "Wasserstein Auto-Encoders", arXiv:1711.01558, Eq. 8; SPEC 1.4:

    min_{Q,G}  E_{p(x)} E_{q(z|x)} [ -log p(x|z) ]  +  λ D_GAN(Q_Z, P_Z)

The divergence and its critic are those of WAE-GAN (its Algorithm 1), the encoder is deterministic, and λ = 1 is Eq. 8 itself. With a
Gaussian likelihood of variance ½ it is WAE-GAN.
"""

from dataclasses import replace

from models.method import Recipe
from models.parts.cost import LikelihoodName, cost_of
from models.parts.schedule import Weight
from models.wae import wae_gan


def aae(
    dim: int,
    *,
    weight: Weight = 1.0,
    likelihood: LikelihoodName = "bernoulli",
    decoder_variance: float = 0.1,
    prior_variance: float = 1.0,
    width: int = 512,
    pz_trick: bool = False,
    critic_lr: float | None = None,
) -> Recipe:
    """AAE (Eq. 8): the adversary of WAE-GAN against -log p(x|z). critic_lr None is the suite's rate.

    Makhzani et al., arXiv:1511.05644, in the form of WAE, arXiv:1711.01558.
    """
    base = wae_gan(dim, weight=weight, prior_variance=prior_variance, width=width, pz_trick=pz_trick, critic_lr=critic_lr)
    return replace(base, cost=cost_of(likelihood, decoder_variance))


METHODS = [aae]
