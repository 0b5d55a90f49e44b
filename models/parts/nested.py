"""A VAE of the codes as the prior of a VAE: the generative prior of LaDDer.

LaDDer (arXiv:2009.00088), Eq. 4, 7 and section 3.3; SPEC 1.8, T32, T33. With t ~ p(t), z ~ N(g(t), s² I), t ~ q(t|z):

    log p(z) >= L'(z) = -|z - g(t)|² / 2s² - d log s - ½ d log 2π  +  H[q(t|z)]  +  E_{q(t|z)} log p(t),      one draw of t

Each block moves down its own bound and nothing else: g and q(t|z) down -L' on codes without gradient, then s; the outer VAE's
player differentiates through both as they are. s is trained within two ends, [0.05, 0.1] in the released code; the paper has none.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from models.interfaces import Draw, Player
from models.method import AutoEncoder
from models.networks.ladder import glorot, leaky_layers
from models.parts.adam import Adam
from models.parts.elbo import LOG_2PI, entropy, log_q
from models.parts.mixture import FAST_CODES, FINAL_CODES, Refitted, codes_of
from models.parts.posterior import DiagonalGaussian, Head
from models.parts.prior import StandardNormal

SCALES = (0.05, 0.1)  # ends of s, which starts at the upper one
DEPTH = 5


class NestedPrior(nn.Module):
    """p(z) = ∫ p(z|t) p(t) dt with p(t) = `hyper`; N(0, I) for the first `warmup` epochs, while the codes find their places."""

    epoch: Tensor  # () epochs that have ended

    def __init__(
        self,
        dim: int,
        inner_dim: int,
        hyper: StandardNormal | Refitted,
        *,
        width: int,
        head: Head,
        warmup: int,
        adam: Adam,
        scale_adam: Adam,
        scales: tuple[float, float] = SCALES,
    ):
        super().__init__()
        if not 0 < scales[0] <= scales[1] < math.inf:
            raise ValueError(f"inner_scale must be two positive numbers, the smaller one first, not {list(scales)}")
        for name, value in (("inner_dim", inner_dim), ("width", width)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, not {value}")
        if warmup < 0:
            raise ValueError(f"warmup_epochs must be 0 or larger, not {warmup}")
        self.dim, self.inner_dim, self.hyper, self.warmup = dim, inner_dim, hyper, warmup
        self.adam, self.scale_adam, self.posterior, self.normal = adam, scale_adam, DiagonalGaussian(head), StandardNormal(dim)
        hidden = [width] * DEPTH
        self.encoder = glorot(nn.Sequential(*leaky_layers([dim, *hidden, self.posterior.outputs * inner_dim])))
        self.decoder = glorot(nn.Sequential(*leaky_layers([inner_dim, *hidden, dim])))  # g
        self.scales = scales
        self.raw_scale = nn.Parameter(torch.tensor(scales[1]))
        self.register_buffer("epoch", torch.tensor(0))
        self.ended = 0  # the same on the host: to read the tensor is to wait for the device, in each step
        self.register_load_state_dict_post_hook(count_epochs)

    @property
    def scale(self) -> Tensor:
        """s within its ends, with a gradient at them too.   -> ()"""
        raw = self.raw_scale
        return raw + (raw.clamp(*self.scales) - raw).detach()

    @torch.no_grad()
    def take_back(self) -> None:
        """Undoes a step of s beyond one of its ends."""
        self.raw_scale.clamp_(*self.scales)

    @property
    def warming(self) -> bool:
        """Whether p(z) is still N(0, I)."""
        return self.ended < self.warmup

    def draw(self, z: Tensor, noise: torch.Generator) -> Draw:
        """One draw of q(t|z) per code.   (B, D) -> Draw of t"""
        return self.posterior(self.encoder(z), noise)

    def log_likelihood(self, z: Tensor, t: Tensor) -> Tensor:
        """log N(z; g(t), s² I), nats.   (B, D), (B, D_t) -> (B,)"""
        squared = (z - self.decoder(t)).square().sum(1)
        return -squared / (2 * self.scale.square()) - self.dim * (self.scale.log() + 0.5 * LOG_2PI)

    def bound(self, z: Tensor, noise: torch.Generator) -> Tensor:
        """L'(z), nats.   (B, D) -> (B,)"""
        q = self.draw(z, noise)
        return self.log_likelihood(z, q.z) + entropy(q) + self.hyper.expected_log_prob(q)

    def expected_log_prob(self, draw: Draw) -> Tensor:
        """L' at the draw itself.   -> (B,)"""
        return self.normal.expected_log_prob(draw) if self.warming else self.bound(draw.z, draw.noise)

    def log_prob(self, z: Tensor) -> Tensor:
        """L'(z), a bound from below, with the same noise at each call.   (B, D) -> (B,)"""
        return self.normal.log_prob(z) if self.warming else self.bound(z, torch.Generator(z.device).manual_seed(0))

    def importance_log_prob(self, z: Tensor, samples: int, noise: torch.Generator) -> Tensor:
        """log 1/n Σ_i p(z|t_i) p(t_i) / q(t_i|z), t_i ~ q(t|z): above L' in the mean, log p(z) for many samples.   (B, D) -> (B,)"""
        if self.warming:
            return self.normal.log_prob(z)
        draws = (self.draw(z, noise) for _ in range(samples))
        ratios = [self.log_likelihood(z, q.z) + self.hyper.log_prob(q.z) - log_q(q) for q in draws]
        return torch.stack(ratios).logsumexp(0) - math.log(samples)

    @torch.no_grad()
    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        """t ~ p(t), z = g(t), without the noise of p(z|t).   -> (n, D)"""
        if self.warming:
            return self.normal.sample(n, noise)
        z: Tensor = self.decoder(self.hyper.sample(n, noise))
        return z

    def players(self, method: AutoEncoder, weight: float | Tensor) -> list[Player]:
        """g and q(t|z), then s: from the last epoch of the warm-up on."""

        def terms(x: Tensor, noise: torch.Generator) -> dict[str, Tensor]:
            self.take_back()
            return {"loss": -self.bound(method.draw_without_gradient(x, noise).z, noise).mean()}

        nets = (*self.encoder.parameters(), *self.decoder.parameters())
        blocks = (("prior", nets, self.adam), ("prior_scale", (self.raw_scale,), self.scale_adam))
        start = max(self.warmup - 1, 0)
        return [Player(name, block, terms, start=start, **vars(adam)) for name, block, adam in blocks]

    def epoch_ended(self, epoch: int, method: AutoEncoder, draw_images: Callable[[int], Tensor], noise: torch.Generator) -> None:
        """Counts, and after the warm-up fits p(t) to codes t."""
        self.epoch.fill_(epoch)
        self.ended = epoch
        if isinstance(self.hyper, Refitted) and not self.warming:
            self.hyper.refit(self.codes(method, draw_images, FAST_CODES, noise), noise)

    def training_ended(self, epoch: int, method: AutoEncoder, draw_images: Callable[[int], Tensor], noise: torch.Generator) -> None:
        """Fits p(t) once more, accurately."""
        if isinstance(self.hyper, Refitted) and not self.warming:
            self.hyper.finish(self.codes(method, draw_images, FINAL_CODES, noise), noise)

    @torch.no_grad()
    def codes(self, method: AutoEncoder, draw_images: Callable[[int], Tensor], wanted: int, noise: torch.Generator) -> Tensor:
        """Draws of t for random images.   -> (n, D_t)"""
        assert isinstance(self.hyper, Refitted)
        images = draw_images(wanted)
        z = codes_of(method, images, self.hyper.count(wanted, len(images)), noise)
        return self.draw(z, noise).z

    def __str__(self) -> str:
        ends = "" if self.scales == SCALES else f", s in [{self.scales[0]:g}, {self.scales[1]:g}]"
        return f"VAE of codes, d_t = {self.inner_dim}, p(t) {self.hyper}{ends}"


def count_epochs(prior: NestedPrior, keys: object) -> None:
    """After a state was loaded: how many epochs it had seen."""
    prior.ended = int(prior.epoch)
