"""Measurements on a pretended GPU: no operation on tensors of host and device, and the values of the CPU."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pretended_gpu import HERE, Device, pretended_machine
from small_images import folder_of, pictures
from torch import Tensor

from bench.evaluation.feature_networks import FeatureNetworks
from bench.measure import collect
from bench.measure.measure import Options, measure
from metrics.features.network import Network

A, B = pictures(12, 1), pictures(12, 2)
FROM_NOISE = {"mmd_prior", "sliced_wasserstein_prior"}  # the pretended machine takes all noise for the device's, codes are the host's


def values(networks: tuple[str, ...], device: torch.device, *arguments: Any, **named: Any) -> dict[str, float | None]:
    """What is measured by those networks, by the names of the metrics."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(FeatureNetworks, "make", lambda _, name: means(name, device))
        record = measure(*arguments, **named, options=Options(networks=networks, device=str(device)))
    return {name: entry["value"] for name, entry in record["metrics"].items() if name not in FROM_NOISE}


def same_there(networks: tuple[str, ...], *arguments: Any, **named: Any) -> dict[str, float | None]:
    """The values of the CPU, once those of the device are the same."""
    here = values(networks, torch.device("cpu"), *arguments, **named)
    with pretended_machine():
        there = values(networks, HERE, *arguments, **named)
    assert there == {name: value if value is None else pytest.approx(value, rel=1e-5, abs=1e-6) for name, value in here.items()}
    return here


def means(name: str, device: torch.device) -> Network:
    """A network of two features, with weights on the device."""
    weights = torch.linspace(-1, 1, 6).reshape(3, 2).square().to(device)
    return Network(name, "0" * 64, "as they are", lambda images: images.float().mean((2, 3)) @ weights)


@pytest.mark.parametrize("sides", ["images against statistics", "statistics against images", "both statistics"])
def test_statistics_of_a_file(sides: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "s.npz", mu=np.array([90.0, 110.0]), sigma=np.array([[9.0, 2.0], [2.0, 7.0]]))
    images, statistics = folder_of(tmp_path / "a", A), tmp_path / "s.npz"
    what, against = {"images": (images, statistics), "statistics": (statistics, images), "both": (statistics, statistics)}[sides.split()[0]]
    found = same_there(("lite0",), what, against)["frechet_lite0"]
    assert found is not None
    assert found == pytest.approx(0, abs=1e-9) if sides == "both statistics" else found > 1


FILE = """
import torch
import torch.nn.functional as F
from torch import nn


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("weight", torch.linspace(0.5, 1, 3)[:, None, None])

    def forward(self, x):
        return F.avg_pool2d(x * self.weight, 8)


class Decoder(Encoder):
    def forward(self, z):
        return F.interpolate(z / self.weight, scale_factor=8)


encoder, decoder = Encoder(), Decoder()
encode, decode = encoder.forward, decoder.forward
both = lambda x: decoder(encoder(x))
mixed = lambda z: F.interpolate(z / encoder.weight, scale_factor=8)
"""


@pytest.mark.parametrize("names", ["encoder,decoder", "encode,decode", "encoder,decode", "encoder,mixed", "both"])
def test_models_of_a_python_file(names: str, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(FILE, encoding="utf-8")
    found = same_there(("pixels",), f"{tmp_path / 'model.py'}:{names}", folder_of(tmp_path / "a", A))
    x = torch.from_numpy(A.transpose(0, 3, 1, 2).copy()) / 255
    y = torch.nn.functional.interpolate(torch.nn.functional.avg_pool2d(x, 8), scale_factor=8)
    assert found["rec_sse"] == pytest.approx((x - y).double().square().flatten(1).sum(1).mean().item(), rel=1e-5)


def test_pairs_are_compared_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b, there = folder_of(tmp_path / "a", A), folder_of(tmp_path / "b", B), list[bool]()
    here = same_there(("pixels",), originals=a, reconstructions=b)
    assert {"rec_sse", "rec_bce_sum", "psnr", "ssim", "frechet_pixels_reconstruction"} <= here.keys()

    def noted(of: Callable[[Tensor, Tensor], Any], device: Device) -> Callable[[Tensor, Tensor], Any]:
        def compared(x: Tensor, y: Tensor) -> Any:
            there.append(device.has(x) and device.has(y))
            return of(x, y)

        return compared

    with pretended_machine() as device:
        monkeypatch.setattr(collect, "errors", noted(collect.errors, device))
        monkeypatch.setattr(collect.similarity, "psnr", noted(collect.similarity.psnr, device))
        monkeypatch.setattr(collect.similarity, "ssim", noted(collect.similarity.ssim, device))
        values(("pixels",), HERE, originals=a, reconstructions=b)
    assert there == [True] * 3
