"""FID, KID, precision and recall end to end against torch-fidelity, on the same images and the same file of random weights."""

from dataclasses import replace
from pathlib import Path

import others
import pytest
import torch
import torch.nn.functional as F
from small_features import bytes_of
from small_methods import normal
from torch import Tensor
from torch.utils.data import Dataset

from bench.speed.evaluation import random_inception
from metrics.features import inception as module
from metrics.features import network
from metrics.features.inception import SHA256, inception
from metrics.features.network import Network, colour
from metrics.frechet import fit, frechet_of_features
from metrics.kernel_distance import kernel_distance
from metrics.metric import Unavailable
from metrics.precision_recall import real, scores

# layer 64 ends early: 70 images take seconds, and have covariances of full rank, which torch-fidelity's form needs to be exact
LAYER, N = "64", 70
pytestmark = pytest.mark.timeout(900)  # on a machine that does much else


Seen = tuple[Network, Tensor, Tensor]  # the network, and its features of two sets


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder with a file of random weights, and its hash."""
    folder = tmp_path_factory.mktemp("weights")
    return folder, random_inception(folder)


def images(n: int, seed: int) -> Tensor:
    """Noise over a shade, unlike for unlike seeds.   -> (n, 1, 12, 12) uint8"""
    shade = bytes_of(n, 10 * seed, (1, 1, 1), 0, 80) + 50 * (seed - 1)
    return (shade + bytes_of(n, seed, (1, 12, 12), 0, 60)).to(torch.uint8)


@pytest.fixture(scope="module")
def seen(weights: tuple[Path, str]) -> Seen:
    """Layer 64 of the test images and of samples that are brighter."""
    net = inception(weights[0], expected=weights[1], layer=LAYER)
    return net, net.features(images(N, 1)), net.features(images(N, 3))


class Colours(Dataset):
    """What torch-fidelity reads."""

    def __init__(self, images: Tensor):
        self.images = colour(images)

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        return self.images[index]


def theirs(samples: Tensor, test: Tensor, folder: Path, layer: str) -> dict[str, float]:
    import torch_fidelity  # which imports a compiler

    return torch_fidelity.calculate_metrics(
        input1=Colours(samples),
        input2=Colours(test),
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(folder / module.FILE),
        **{f"feature_layer_{kind}": layer for kind in ("fid", "kid", "prc")},
        **dict.fromkeys(("fid", "kid", "prc", "save_cpu_ram"), True),
        kid_subsets=1,
        kid_subset_size=min(len(samples), len(test)),
        cuda=False,
        cache=False,
        verbose=False,
        batch_size=32,
    )


def test_all_four_are_torch_fidelitys(weights: tuple[Path, str], seen: Seen) -> None:
    _, a, b = seen
    expected = theirs(images(N, 3), images(N, 1), weights[0], LAYER)
    found = scores(real(a), b)
    assert frechet_of_features(a, b).item() == pytest.approx(expected["frechet_inception_distance"], rel=1e-6)
    assert kernel_distance(a, b).item() == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-6)
    assert (found.precision, found.recall) == pytest.approx((expected["precision"], expected["recall"]), rel=1e-6)


def test_of_sets_that_are_alike_too(seen: Seen) -> None:
    """Given float64 and noise: float32, or covariances that are nearly singular, would lose torch-fidelity digits."""
    a = seen[1].double() + 0.1 * normal(N, 64, seed=1)
    b = 0.9 * seen[1].double().flip(0) + 0.1 * seen[2].double() + 0.1 * normal(N, 64, seed=2)
    found = scores(real(a), b)
    assert frechet_of_features(a, b).item() == pytest.approx(others.fid(a, b), rel=1e-6)
    assert kernel_distance(a, b).item() == pytest.approx(others.kid(a, b, N), rel=1e-6)
    assert (found.precision, found.recall) == pytest.approx(others.precision_recall(a, b, 3), rel=1e-6)
    assert found.precision > 0 < found.recall


@pytest.mark.slow
def test_the_layer_of_the_fid(weights: tuple[Path, str]) -> None:
    test, samples = images(40, 1), images(40, 3)
    net = inception(weights[0], expected=weights[1])
    a, b = net.features(test), net.features(samples)
    assert a.shape == (40, 2048)
    expected = theirs(samples, test, weights[0], "2048")
    found = scores(real(a), b)
    assert (found.precision, found.recall) == pytest.approx((expected["precision"], expected["recall"]), rel=1e-6)
    kid = others.kid(a.double(), b.double(), 40)
    assert kernel_distance(a, b).item() == pytest.approx(kid, rel=1e-6)
    assert kid == pytest.approx(expected["kernel_inception_distance_mean"], rel=1e-5)  # features to the third, of float32
    # of 40 images in 2,048 dimensions its eigenvalues of a product of rank 39 carry the roots of rounding errors
    assert frechet_of_features(a, b).item() == pytest.approx(expected["frechet_inception_distance"], rel=1e-3)


def test_batches_and_order_do_not_change_the_distance(seen: Seen) -> None:
    net, a, b = seen
    order = torch.randperm(N, generator=torch.Generator().manual_seed(0))
    shuffled = torch.cat([net.rows(part) for part in images(N, 3)[order].split(9)])
    for distance in (frechet_of_features, kernel_distance):
        assert distance(a, shuffled).item() == pytest.approx(distance(a, b).item(), rel=1e-6)


@pytest.mark.slow
def test_large_sets_go_through_a_compiled_network(seen: Seen, weights: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    net = inception(weights[0], expected=weights[1], layer=LAYER)
    calls = list[int]()
    whole = replace(net, batch=32, compiled=lambda x: (calls.append(len(x)), net.compiled(x))[1])
    monkeypatch.setattr(network, "COMPILE_FROM", N + 1)
    assert torch.allclose(whole.features(images(N, 3)), seen[2], rtol=1e-5)
    assert calls == []
    monkeypatch.setattr(network, "COMPILE_FROM", N)
    found = whole.features(images(N, 3))
    assert calls == [32, 32], "the rest is no whole batch"
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    theirs = FeatureExtractorInceptionV3("plain", [LAYER], feature_extractor_weights_path=str(weights[0] / module.FILE))
    expected = theirs(colour(images(N, 3)))[0]
    assert (found - expected).norm() < 1e-5 * expected.norm()
    assert len({row.sum().item() for row in expected}) == N, "rows differ"


def test_where_nothing_can_be_compiled_it_goes_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", (None, "no-such-compiler"))
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    run = network.compiled(lambda x: x.float().cumsum(1).sin() * 3)
    x = torch.arange(12).reshape(3, 4)
    for _ in range(2):
        assert torch.equal(run(x), x.float().cumsum(1).sin() * 3)


def test_another_resize_moves_the_same_images(seen: Seen) -> None:
    """Why the protocol says how images are resized: enlarged before, by half-pixel bilinear, they are at a distance from themselves."""
    net, _, b = seen
    enlarged = F.interpolate(images(N, 3).float(), (299, 299), mode="bilinear").round().to(torch.uint8)
    spread = fit(b).trace.item()
    assert frechet_of_features(b, b.flip(0)).item() < 1e-9 * spread < 1e-6 * spread < frechet_of_features(b, net.features(enlarged)).item()


def test_its_words_say_network_hash_resize_and_layer(weights: tuple[Path, str], seen: Seen) -> None:
    assert seen[0].protocol == f"features inception-tf, sha256 {weights[1][:16]}, TensorFlow 1 bilinear to 299, layer 64"


def test_without_the_real_weights_there_is_no_network(weights: tuple[Path, str], tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=f"^{module.FILE} is not in the folder weights of the data root$"):
        inception(tmp_path)
    with pytest.raises(Unavailable, match=f"has sha256 {weights[1][:16]}, expected {SHA256[:16]}$"):
        inception(weights[0])
