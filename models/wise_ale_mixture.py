"""WiSE-ALE that generates from the mixture it constrains, and not from the prior.

Lin et al., "WiSE-ALE: Wide Sample Estimator for Approximate Latent Embedding", arXiv:1902.06160, Eq. 12, 25; SPEC 1.9.
"""

from dataclasses import replace

from models.method import Recipe
from models.parts.batch_mixture import BatchMixture
from models.parts.cost import LikelihoodName
from models.wise_ale import Scale, wise_ale


def wise_ale_mixture(
    dim: int,
    *,
    images: int = 64,
    kl_scale: Scale = "batch",
    likelihood: LikelihoodName = "bernoulli",
    decoder_variance: float = 0.1,
) -> Recipe:
    """WiSE-ALE, trained as ever, whose samples come from the posteriors of so many training images (Eq. 12); 64 is the paper's batch.

    What metrics call the prior is then that mixture.
    """
    base = wise_ale(dim, kl_scale=kl_scale, likelihood=likelihood, decoder_variance=decoder_variance)
    return replace(base, prior=BatchMixture(dim, images))


METHODS = [wise_ale_mixture]
