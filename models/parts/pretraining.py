"""The encoder alone, before training: its codes get the prior's first two moments.

Released code of Tolstikhin et al., "Wasserstein Auto-Encoders", arXiv:1711.01558 (not in the paper; SPEC 1.3). With m codes z and m
prior draws z', each step descends

    1/d Σ_k (mean z_k - mean z'_k)²  +  1/d² Σ_kl (cov(z)_kl - cov(z')_kl)²,     covariances with divisor m - 1

until it is below a tolerance or the steps are spent.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from models.method import AutoEncoder

POOL = 20  # batches; each step takes its images at random from so many


def moment_mismatch(z: Tensor, target: Tensor) -> Tensor:
    """The loss above.   (m, D), (m, D) -> ()"""
    means = (z.mean(0) - target.mean(0)).square().mean()
    return means + (z.T.cov() - target.T.cov()).square().mean()


@dataclass(frozen=True)
class MomentPretraining:
    """At most `steps` Adam steps of the encoder on batches of `batch` images; the rate is not stated."""

    capturable = True
    batch: int = 1000
    steps: int = 200
    tolerance: float = 0.1
    lr: float = 1e-3

    def training_begins(self, epoch: int, method: AutoEncoder, draw_images: Callable[[int], Tensor], noise: torch.Generator) -> None:
        """Trains the encoder."""
        prior, images = method.prior, draw_images(POOL * self.batch)
        assert prior is not None
        optimizer = torch.optim.Adam(method.encoder.parameters(), lr=self.lr)
        for _ in range(self.steps):
            index = torch.randperm(len(images), generator=noise, device=noise.device)[: self.batch]
            z = method.draw(images[index], noise).z
            loss = moment_mismatch(z, prior.sample(len(z), noise))
            if loss < self.tolerance:
                return
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()

    def __str__(self) -> str:
        return f"encoder pre-trained on {self.batch} images a step"
