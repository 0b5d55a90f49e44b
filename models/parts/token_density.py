"""A density of discrete codes: an autoregressive distribution over their tokens.

Larochelle & Murray, "The Neural Autoregressive Distribution Estimator", AISTATS 2011, Eq. 3-4, with softmax units in place of logistic
ones; in the place of the PixelCNN of van den Oord et al., arXiv:1711.00937, section 3.3. A code is T tokens k_1 ... k_T:

    h_t = relu(b + Σ_{s<t} E_s[k_s]),      q̂(k_t | k_<t) = softmax(V_t h_t + c_t),      log q̂(z) = Σ_t log q̂(k_t | k_<t)

It is a mass, so log q̂(z) is no match for that of a density. The entries that tokens may take are those of the training codes: a code with
any other has no mass at all.
"""

import math

import torch
from torch import Tensor, nn

from models.parts.density import Density

CODES = 1_000_000  # comparisons of a token with an entry at a time


class Tokens(Density):
    """The distribution above over codes of T tokens, `size` values each."""

    capturable = True
    entries: Tensor  # (K, size), of which `used` are there
    used: Tensor  # (K,) bool

    def __init__(self, dim: int, *, size: int, values: int, hidden: int):
        super().__init__()
        if size < 1 or dim % size:
            raise ValueError(f"size must divide latent_dim = {dim}, not {size}")
        if values < 2:
            raise ValueError(f"values must be at least 2, not {values}")
        if hidden < 1:
            raise ValueError(f"hidden must be at least 1, not {hidden}")
        self.size, self.count, self.hidden = size, dim // size, hidden
        self.register_buffer("entries", torch.zeros(values, size))
        self.register_buffer("used", torch.ones(values, dtype=torch.bool))
        self.embedding = nn.Parameter(torch.randn(self.count, values, hidden) / math.sqrt(self.count))  # E
        self.bias = nn.Parameter(torch.zeros(hidden))  # b
        self.weight = nn.Parameter(torch.randn(self.count, hidden, values) / math.sqrt(hidden))  # V
        self.offset = nn.Parameter(torch.zeros(self.count, values))  # c

    @torch.no_grad()
    def fit(self, codes: Tensor, noise: torch.Generator) -> None:
        """Takes the entries that there are; ValueError where they are more than `values`.   (N, D)"""
        found = codes.reshape(-1, self.size).unique(dim=0)
        if len(found) > len(self.entries):
            raise ValueError(
                f"tokens of these codes take {len(found)} values, more than values = {len(self.entries)}: they are not discrete"
            )
        self.used.copy_(torch.arange(len(self.entries), device=codes.device) < len(found))
        self.entries[: len(found)] = found

    def nearest(self, z: Tensor) -> Tensor:
        """The entry that each token is, or is nearest to.   (B, D) -> (B, T)"""
        tokens, rows = z.reshape(-1, self.size), max(1, CODES // len(self.entries))
        distances = (torch.cdist(part, self.entries, compute_mode="donot_use_mm_for_euclid_dist") for part in tokens.split(rows))
        return torch.cat([distance.masked_fill(~self.used, math.inf).argmin(1) for distance in distances]).view(-1, self.count)

    def log_conditionals(self, h: Tensor, t: Tensor | int) -> Tensor:
        """log q̂(k_t | k_<t) of every entry, of one token or of all, from Σ_{s<t} E_s[k_s].   (B, H) or (B, T, H) -> (B, K) or (B, T, K)"""
        logits = ((h + self.bias).relu().unsqueeze(-2) @ self.weight[t]).squeeze(-2) + self.offset[t]
        return logits.masked_fill(~self.used, -math.inf).log_softmax(-1)

    def log_mass(self, k: Tensor) -> Tensor:
        """Nats.   (B, T) -> (B,)"""
        every = torch.arange(self.count, device=k.device)
        embedded = self.embedding[every, k]  # (B, T, H)
        before = embedded.cumsum(1) - embedded
        return self.log_conditionals(before, every).gather(2, k[:, :, None]).sum((1, 2))

    def log_prob(self, z: Tensor) -> Tensor:
        """log q̂(z), -∞ of a code with an entry that no training code has.   (B, D) -> (B,)"""
        k = self.nearest(z)
        known = (self.entries[k].flatten(1) == z).all(1)
        return self.log_mass(k).masked_fill(~known, -math.inf)

    def loss(self, z: Tensor, noise: torch.Generator) -> Tensor:
        """-log q̂ of the nearest code that has mass, nats.   (B, D) -> (B,)"""
        return -self.log_mass(self.nearest(z))

    @torch.no_grad()
    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        """Token after token.   -> (n, D)"""
        h, chosen = self.bias.new_zeros(n, self.hidden), list[Tensor]()
        for t in range(self.count):
            k = torch.multinomial(self.log_conditionals(h, t).exp(), 1, generator=noise).squeeze(1)
            h = h + self.embedding[t, k]
            chosen.append(self.entries[k])
        return torch.cat(chosen, 1)

    def __str__(self) -> str:
        return f"autoregressive over {self.count} tokens, {self.hidden} units"


def tokens(dim: int, *, size: int = 1, values: int = 512, hidden: int = 128) -> Density:
    """Of discrete codes; size: latents of a token (D/T of a VQ-VAE, 1 of FSQ and QLAE), values: how many entries there may be in all."""
    return Tokens(dim, size=size, values=values, hidden=hidden)


DENSITIES = [tokens]
