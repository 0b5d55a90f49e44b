"""The same training in other hands: a bare loop as one writes it in an afternoon, and pythae's trainer (extra `peers`)."""

import contextlib
import io
import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from metrics.divergences import gaussian_kl, imq, mmd

Loss = Callable[[nn.Module, nn.Module, Tensor], Tensor]  # encoder, decoder, batch -> ()


def absent() -> str | None:
    """Why pythae cannot be compared with; None if it can."""
    return None if find_spec("pythae") else "pythae is not installed; it comes with the extra `peers`"


def wae_mmd_loss(weight: float) -> Loss:
    """Squared error and λ MMD², IMQ with C = 2d (WAE Algorithm 2); λ = 0 leaves the divergence out."""

    def loss(encoder: nn.Module, decoder: nn.Module, x: Tensor) -> Tensor:
        z = encoder(x)
        cost = (x - decoder(z).sigmoid()).square().flatten(1).sum(1).mean()
        return cost + weight * mmd(torch.randn_like(z), z, 2.0 * z.shape[1], imq) if weight else cost

    return loss


def vae_loss(encoder: nn.Module, decoder: nn.Module, x: Tensor) -> Tensor:
    """Squared error over 2 · 0.1 and the KL divergence, as `vae_gauss`."""
    mean, log_variance = encoder(x).chunk(2, dim=1)
    y = decoder(mean + (0.5 * log_variance).exp() * torch.randn_like(mean))
    return (x - y.sigmoid()).square().flatten(1).sum(1).mean() / 0.2 + gaussian_kl(mean, log_variance).mean()


def bare_steps(encoder: nn.Module, decoder: nn.Module, loss: Loss, images: Tensor, batch: int) -> Callable[[int], None]:
    """-> a function that takes so many steps: images on the device as uint8, a permutation an epoch, torch's fused Adam."""
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)
    order = torch.randperm(len(images), device=images.device)

    def take(steps: int) -> None:
        for step in range(steps):
            start = step * batch % (len(images) - batch + 1)
            x = images[order[start : start + batch]].float().div_(255)
            optimizer.zero_grad(set_to_none=True)
            loss(encoder, decoder, x).backward()
            optimizer.step()

    return take


def inner_steps(encoder: nn.Module, decoder: nn.Module, loss: Loss, x: Tensor) -> Callable[[int], None]:
    """-> a function that runs forward and backward so many times on one batch, and nothing else."""
    parameters = [*encoder.parameters(), *decoder.parameters()]

    def take(steps: int) -> None:
        for _ in range(steps):
            torch.autograd.grad(loss(encoder, decoder, x), parameters)

    return take


@dataclass(frozen=True)
class Pythae:
    """Its trainer on our networks; an epoch is so many steps."""

    model: Any
    trainer: Any

    def epoch(self) -> None:
        """One call of its `train_step`, which is an epoch; its progress bar is drawn, but not shown."""
        with contextlib.redirect_stderr(io.StringIO()):
            self.trainer.train_step(epoch=1)


def pythae(kind: str, encoder: nn.Module, decoder: nn.Module, dim: int, images: Tensor, batch: int, steps: int) -> Pythae:
    """Its WAE_MMD or VAE with those networks, its trainer with Adam and its own data loader; images as float32, as it takes them."""
    from pythae.data.datasets import BaseDataset  # only with the extra
    from pythae.models import VAE, WAE_MMD, VAEConfig, WAE_MMD_Config
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            BaseEncoder.__init__(self)
            self.net = encoder

        def forward(self, x: Tensor) -> ModelOutput:
            if kind == "wae_mmd":
                return ModelOutput(embedding=self.net(x))
            mean, log_variance = self.net(x).chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            BaseDecoder.__init__(self)
            self.net = decoder

        def forward(self, z: Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=self.net(z).sigmoid())

    shape = tuple(images.shape[1:])
    config = {"input_dim": shape, "latent_dim": dim}
    made = WAE_MMD(WAE_MMD_Config(**config), Encoder(), Decoder()) if kind == "wae_mmd" else VAE(VAEConfig(**config), Encoder(), Decoder())
    data = images[: steps * batch].float().div(255)
    logging.disable(logging.INFO)  # its modules set their own levels
    with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as folder:
        settings = BaseTrainerConfig(
            output_dir=folder,
            num_epochs=1,
            per_device_train_batch_size=batch,
            learning_rate=1e-3,
            optimizer_cls="Adam",
            no_cuda=images.device.type != "cuda",
        )
        trainer = BaseTrainer(made, BaseDataset(data.cpu(), torch.zeros(len(data))), None, settings)
        trainer.prepare_training()
    logging.disable(logging.NOTSET)
    return Pythae(made, trainer)


def pythae_inner(peer: Pythae, x: Tensor, steps: int) -> Callable[[], None]:
    """Forward and backward of its model alone, so many times on one batch."""
    from pythae.data.datasets import DatasetOutput  # only with the extra

    parameters = list(peer.model.parameters())
    inputs = DatasetOutput(data=x)

    def take() -> None:
        for _ in range(steps):
            torch.autograd.grad(peer.model(inputs).loss, parameters)

    return take
