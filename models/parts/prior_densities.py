"""LaDDer's generative priors as a second stage: fitted to the codes of an encoder that is frozen, as in the paper's Fig. 2.

Lin & Clark, "LaDDer: Latent Data Distribution Modelling with a Generative Prior", arXiv:2009.00088, Eq. 4, 7, Fig. 2; SPEC 1.8:

    hierarchical   max E L'(z),  p(t) = N(0, I)
    ladder         the same, p(t) a Dirichlet process mixture that is fitted anew to codes t after every so many steps

`gaussian` and `mixture` of models/parts/density.py are two more of the figure's five priors; VampPrior, whose pseudo-inputs are
images, stands on the encoder and is trained with it alone.
"""

import torch
from torch import Tensor

from models.parts.adam import Adam
from models.parts.density import Density
from models.parts.mixture import FAST_CODES, FAST_STEPS, FINAL_STEPS, Refitted, Variational
from models.parts.nested import SCALES, NestedPrior
from models.parts.posterior import Head
from models.parts.prior import StandardNormal


class NestedDensity(Density):
    """The VAE of codes, without the warm-up that it has beside a VAE of images. Its log q̂(z) is the bound L'(z).

    Networks and s go down the same bound, by one optimiser. In training mode p(t) is the mixture of the last fit.
    """

    bound = True
    kept: Tensor  # (K, D) codes for the fits of p(t)
    steps: Tensor  # () taken so far

    def __init__(self, prior: NestedPrior, *, refit_every: int = 0):
        super().__init__()
        self.prior, self.refit_every = prior, refit_every
        self.register_buffer("kept", torch.zeros(FAST_CODES if refit_every else 0, prior.dim))
        self.register_buffer("steps", torch.tensor(0))
        self.taken = 0  # the same on the host: to read the tensor is to wait for the device, in each step
        self.register_load_state_dict_post_hook(count_steps)

    def fit(self, codes: Tensor, noise: torch.Generator) -> None:
        """Keeps codes for the fits of p(t), over and over where there are fewer than a fit takes.   (N, D)"""
        self.kept.copy_(codes[torch.arange(len(self.kept), device=codes.device) % len(codes)])

    def log_prob(self, z: Tensor) -> Tensor:
        """L'(z), with the same noise at each call, nats.   (B, D) -> (B,)"""
        return self.prior.log_prob(z)

    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        """t ~ p(t), z = g(t).   -> (n, D)"""
        return self.prior.sample(n, noise)

    def loss(self, z: Tensor, noise: torch.Generator) -> Tensor:
        """-L'(z), nats per code; p(t) is fitted anew after every `refit_every` steps.   (B, D) -> (B,)"""
        self.prior.take_back()
        if self.refit_every:
            self.steps += 1
            self.taken += 1
            if self.taken % self.refit_every == 0:
                self.refit(noise)
        return -self.prior.bound(z, noise)

    @torch.no_grad()
    def refit(self, noise: torch.Generator) -> None:
        """Fits p(t) to one t of each code that is kept."""
        hyper = self.prior.hyper
        assert isinstance(hyper, Refitted)
        hyper.refit(self.prior.draw(self.kept, noise).z, noise)

    def __str__(self) -> str:
        return str(self.prior) + f" every {self.refit_every} steps" * bool(self.refit_every)


def count_steps(density: NestedDensity, keys: object) -> None:
    """After a state was loaded: how many steps it had seen."""
    density.taken = int(density.steps)


def hierarchical(
    dim: int, *, inner_dim: int = 2, width: int = 512, std_head: Head = "relu", inner_scale: tuple[float, float] = SCALES
) -> Density:
    """Hierarchical prior: a VAE of the codes with t ~ N(0, I) (Eq. 4-5)."""
    return NestedDensity(nested(dim, inner_dim, StandardNormal(inner_dim), width, std_head, inner_scale))


def ladder(
    dim: int,
    *,
    inner_dim: int = 2,
    components: int = 50,
    concentration: float = 0.1,
    samples: int = 100,
    refit_every: int = 200,
    width: int = 512,
    std_head: Head = "relu",
    inner_scale: tuple[float, float] = SCALES,
) -> Density:
    """LaDDer's prior: the same with a mixture for p(t) (Eq. 7-8)."""
    if refit_every < 1:
        raise ValueError(f"refit_every must be at least 1, not {refit_every}")
    fast, final = (
        Variational(inner_dim, components, warm=warm, weights="dirichlet_process", concentration=concentration, steps=steps)
        for warm, steps in ((True, FAST_STEPS), (False, FINAL_STEPS))
    )
    hyper = Refitted(fast, final, samples=samples)
    return NestedDensity(nested(dim, inner_dim, hyper, width, std_head, inner_scale), refit_every=refit_every)


def nested(dim: int, inner_dim: int, hyper: StandardNormal | Refitted, width: int, head: Head, scales: tuple[float, float]) -> NestedPrior:
    """The VAE of codes without a warm-up; its own optimisers are not used."""
    return NestedPrior(dim, inner_dim, hyper, width=width, head=head, warmup=0, adam=Adam(), scale_adam=Adam(), scales=scales)


DENSITIES = [hierarchical, ladder]
