"""LaDDer, and the four priors that it is compared with: one VAE with a Laplace likelihood, five priors.

Lin & Clark, "LaDDer: Latent Data Distribution Modelling with a Generative Prior", arXiv:2009.00088, Eq. 2-8; SPEC 1.8. All minimise

    -L(x) = |x - x̂|_1 / b + D log 2b  -  H[q(z|x)]  -  E_{q(z|x)} log p(z)

    vae_laplace  p(z) = N(0, I)
    prior_gmm    a Gaussian mixture, refitted by EM after each epoch
    prior_vamp   VampPrior, 1/K Σ_k q(z|u_k)
    prior_hier   ∫ p(z|t) p(t) dt with p(t) = N(0, I), by its own bound L'(z)
    ladder       the same with p(t) a Dirichlet process mixture, refitted after each epoch

Its code trains with Adam, betas (0.9, 0.95), and clips gradient values to ±1. For MNIST its rates are 3e-4 for the autoencoder and
5e-4 for b, both times 0.99 each epoch, and 3e-4 for the prior and 2e-4 for s, both times 1.01: with `decay = 0.99` in the suite's
optimizer, prior_decay is 1.01 / 0.99 = 1.0202. Here each rate is the suite's unless it is given.
"""

from dataclasses import replace

from models.method import Recipe
from models.parts.adam import Adam
from models.parts.cost import Laplace, Output
from models.parts.elbo import CrossEntropy, Entropy
from models.parts.mixture import EM, FAST_STEPS, FINAL_STEPS, RIDGE, MixturePrior, Refitted, Variational, Weights
from models.parts.nested import SCALES, NestedPrior
from models.parts.posterior import DiagonalGaussian, Head
from models.parts.prior import StandardNormal
from models.parts.vamp import VampPrior


def vae_laplace(
    dim: int,
    *,
    output: Output = "sigmoid",
    std_head: Head = "relu",
    scale_lr: float | None = None,
    clip: float = 1.0,
) -> Recipe:
    """VAE with a Laplace likelihood of learned scale, the paper's `normal` prior (Eq. 2). The paper's networks take output = relu."""
    cost = Laplace(output, adam=Adam(scale_lr, clip=clip))
    return Recipe(DiagonalGaussian(std_head), cost, ((-1.0, Entropy()), (1.0, CrossEntropy())), StandardNormal(dim), clip=clip)


def prior_gmm(
    dim: int,
    *,
    components: int = 50,
    samples: int = 100,
    output: Output = "sigmoid",
    std_head: Head = "relu",
    scale_lr: float | None = None,
    clip: float = 1.0,
) -> Recipe:
    """Full-covariance Gaussian mixture of the codes, its cross-entropy by `samples` draws of q(z|x) (section 4)."""
    fast = EM(dim, components, warm=True, ridge=RIDGE)
    prior = MixturePrior(fast, EM(dim, components, warm=False, ridge=0.0), samples=samples)
    return replace(vae_laplace(dim, output=output, std_head=std_head, scale_lr=scale_lr, clip=clip), prior=prior)


def prior_vamp(
    dim: int,
    *,
    components: int = 50,
    samples: int = 100,
    output: Output = "sigmoid",
    std_head: Head = "relu",
    scale_lr: float | None = None,
    prior_lr: float | None = None,
    prior_decay: float = 1.0,
    clip: float = 1.0,
) -> Recipe:
    """VampPrior of so many pseudo-inputs (section 4).

    Tomczak & Welling, arXiv:1705.07120, as compared with in LaDDer, arXiv:2009.00088.
    """
    prior = VampPrior(components, samples=samples, adam=Adam(prior_lr, prior_decay, clip))
    return replace(vae_laplace(dim, output=output, std_head=std_head, scale_lr=scale_lr, clip=clip), prior=prior)


def prior_hier(
    dim: int,
    *,
    inner_dim: int = 2,
    width: int = 512,
    warmup_epochs: int = 5,
    output: Output = "sigmoid",
    std_head: Head = "relu",
    scale_lr: float | None = None,
    prior_lr: float | None = None,
    inner_scale_lr: float | None = None,
    inner_scale: tuple[float, float] = SCALES,
    prior_decay: float = 1.0,
    clip: float = 1.0,
) -> Recipe:
    """Hierarchical prior: a VAE of the codes with t ~ N(0, I) (Eq. 4-5). For the first epochs p(z) = N(0, I).

    inner_scale: the ends within which s is trained. Its upper one decides how small codes become (SPEC 5.7); the paper has none.
    """
    prior = NestedPrior(
        dim,
        inner_dim,
        StandardNormal(inner_dim),
        width=width,
        head=std_head,
        warmup=warmup_epochs,
        adam=Adam(prior_lr, prior_decay, clip),
        scale_adam=Adam(inner_scale_lr, prior_decay, clip),
        scales=inner_scale,
    )
    return replace(vae_laplace(dim, output=output, std_head=std_head, scale_lr=scale_lr, clip=clip), prior=prior)


def ladder(
    dim: int,
    *,
    inner_dim: int = 2,
    components: int = 50,
    concentration: float = 0.1,
    weights: Weights = "dirichlet_process",
    samples: int = 100,
    width: int = 512,
    warmup_epochs: int = 5,
    output: Output = "sigmoid",
    std_head: Head = "relu",
    scale_lr: float | None = None,
    prior_lr: float | None = None,
    inner_scale_lr: float | None = None,
    inner_scale: tuple[float, float] = SCALES,
    prior_decay: float = 1.0,
    clip: float = 1.0,
) -> Recipe:
    """LaDDer (Eq. 7-8). weights: of the mixture in the loss; the code has dirichlet_distribution there (SPEC T31)."""
    fast = Variational(inner_dim, components, warm=True, weights=weights, concentration=concentration, steps=FAST_STEPS)
    final = Variational(inner_dim, components, warm=False, weights="dirichlet_process", concentration=concentration, steps=FINAL_STEPS)
    prior = NestedPrior(
        dim,
        inner_dim,
        Refitted(fast, final, samples=samples),
        width=width,
        head=std_head,
        warmup=warmup_epochs,
        adam=Adam(prior_lr, prior_decay, clip),
        scale_adam=Adam(inner_scale_lr, prior_decay, clip),
        scales=inner_scale,
    )
    return replace(vae_laplace(dim, output=output, std_head=std_head, scale_lr=scale_lr, clip=clip), prior=prior)


METHODS = [vae_laplace, prior_gmm, prior_vamp, prior_hier, ladder]
