"""Feature networks by name, what each one computes, and the cache of features."""

import hashlib
import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.decomposition import PCA
from small_features import bytes_of, random_backbone
from torch import nn

from bench.environment import set_up
from bench.evaluation.feature_networks import FeatureNetworks
from metrics.features import classifier as classifiers
from metrics.features import inception
from metrics.features.backbone import DINOV2, backbone
from metrics.features.classifier import SHIPPED, Classifier, classifier, dump, load
from metrics.features.network import Network, colour, content_hash, eight_bit
from metrics.features.pca import pca
from metrics.frechet import frechet_of_features
from metrics.kernel_distance import kernel_distance
from metrics.metric import Unavailable
from metrics.precision_recall import real, scores

TRAIN = bytes_of(30, 1)


def networks(weights: Path, cache: Path | None = None, dataset: str = "digits") -> FeatureNetworks:
    return FeatureNetworks(dataset, TRAIN, 255, weights, cache)


def test_eight_bits_are_rounded_and_clipped() -> None:
    x = torch.tensor([-0.1, 0.0, 0.4 / 255, 0.6 / 255, 0.5, 254.6 / 255, 1.0, 1.7])
    assert eight_bit(x).tolist() == [0, 0, 0, 1, 128, 255, 255, 255]
    assert torch.equal(eight_bit(torch.arange(256) / 255), torch.arange(256, dtype=torch.uint8))


def test_grey_becomes_three_equal_channels() -> None:
    grey = bytes_of(2, 1)
    assert torch.equal(colour(grey)[:, 2], grey[:, 0])
    assert torch.equal(colour(bytes_of(2, 1, (3, 4, 4))), bytes_of(2, 1, (3, 4, 4)))


def test_a_hash_of_content_sees_values_order_and_shape() -> None:
    images = bytes_of(6, 1)
    other = images.clone()
    other[5, 0, 7, 7] ^= 1
    hashes = {content_hash(part) for part in (images, other, images.flip(0), images.reshape(6, 1, 4, 16), images[:5])}
    assert len(hashes) == 5
    assert content_hash(images.clone()) in hashes


def test_principal_components_are_scikit_learns() -> None:
    images, test = bytes_of(200, 1), bytes_of(9, 2)
    found = pca(images)
    reference = PCA(64, svd_solver="full").fit(images.flatten(1).numpy() / 255.0)
    expected = reference.transform(test.flatten(1).numpy() / 255.0)
    rows = found.features(test).numpy()
    np.testing.assert_allclose(abs(rows[:, :50]), abs(expected[:, :50]), rtol=1e-3, atol=1e-5)  # signs are arbitrary
    assert found.name == "pca, 64 components of 200 training images"
    assert found.weights == content_hash(images)


def by_hand(net: Classifier, image: torch.Tensor) -> torch.Tensor:
    """The classifier's features of one image, its convolutions as loops over output pixels.   (1, 8, 8) uint8 -> (64,)"""
    x = image.double() / 255
    for index, stride in ((0, 1), (2, 2), (4, 2)):
        layer = net[index].double()
        padded = torch.nn.functional.pad(x, (1, 1, 1, 1))
        side = -(-x.shape[1] // stride)
        out = torch.zeros(len(layer.weight), side, side, dtype=torch.float64)
        for i in range(side):
            for j in range(side):
                window = padded[:, stride * i : stride * i + 3, stride * j : stride * j + 3]
                out[:, i, j] = (layer.weight * window).sum((1, 2, 3)) + layer.bias
        x = out.clamp(min=0)
    last = net[8].double()
    return last.weight @ x.flatten() + last.bias


def test_the_classifier_that_comes_with_the_project_gives_the_layer_before_its_logits() -> None:
    images = bytes_of(3, 4)
    net, facts, _ = load(classifiers.FOLDER / "digits.safetensors")
    rows = classifier("digits", None).features(images)
    torch.testing.assert_close(rows[1].double(), by_hand(net, images[1]), rtol=1e-4, atol=1e-5)
    assert rows.shape == (3, 64)
    assert facts["test_accuracy"] > 0.95


@pytest.mark.parametrize("dataset", SHIPPED)
def test_shipped_weights_are_small_and_those_of_their_hash(dataset: str) -> None:
    content = (classifiers.FOLDER / f"{dataset}.safetensors").read_bytes()
    assert len(content) < 1e6
    assert hashlib.sha256(content).hexdigest() == SHIPPED[dataset] == classifier(dataset, None).weights


def test_digits_and_mnist_are_shipped() -> None:
    assert set(SHIPPED) == {"digits", "mnist"}


def test_a_classifier_of_ones_own_is_found_by_its_dataset(tmp_path: Path) -> None:
    content = dump(Classifier((1, 8, 8), 2), {"shape": [1, 8, 8], "classes": 2})
    (tmp_path / "classifier-spots.safetensors").write_bytes(content)
    found = networks(tmp_path, dataset="spots").network("classifier")
    assert found.protocol == f"features classifier:spots, sha256 {hashlib.sha256(content).hexdigest()[:16]}, not resized"
    with pytest.raises(Unavailable, match=r"takes images of \[1, 8, 8\], not \[3, 8, 8\]"):
        found.features(bytes_of(2, 1, (3, 8, 8)))


def test_a_dataset_without_a_classifier_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="python -m bench features train spots"):
        networks(tmp_path, dataset="spots").network("classifier")


def test_six_hundred_of_mnists_images_are_seen_by_mnists_classifier(tmp_path: Path) -> None:
    assert networks(tmp_path, dataset="reduced_mnist").network("classifier").name == "classifier:mnist"


@pytest.mark.parametrize("model", ["test_vit", "resnet10t"])
def test_a_backbone_gives_timms_own_pooled_features(tmp_path: Path, model: str) -> None:
    import timm  # with half a compiler, which takes seconds
    from timm.data import create_transform, resolve_model_data_config
    from torchvision.transforms.functional import to_pil_image

    digest = random_backbone(tmp_path, model)
    found = backbone(model, tmp_path)
    images = bytes_of(2, 1, (3, 24, 24))
    net = timm.create_model(model, num_classes=0).eval()
    net.load_state_dict(safetensors.torch.load_file(tmp_path / f"{model}.safetensors"), strict=False)
    config = resolve_model_data_config(net) | {"interpolation": "bicubic", "crop_pct": 1.0}
    transform = create_transform(**config)
    side = config["input_size"][-1]
    with torch.no_grad():
        theirs = net(torch.stack([transform(to_pil_image(image)) for image in images]))
    rows = found.features(images)
    assert torch.nn.functional.cosine_similarity(rows, theirs).min() > 0.999  # Pillow's bicubic rounds to 8 bit between its axes
    assert found.protocol == f"features timm:{model}, sha256 {digest[:16]}, antialiased bicubic to {side}"


def test_dinov2_is_given_224_pixels(tmp_path: Path) -> None:
    random_backbone(tmp_path, DINOV2)
    found = networks(tmp_path).network(f"timm:{DINOV2}")
    assert found.resize == "antialiased bicubic to 224"
    assert found.features(bytes_of(1, 1)).shape == (1, 384)


def test_without_its_file_a_backbone_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"^resnet10t.safetensors is not in the folder weights"):
        networks(tmp_path).network("timm:resnet10t")
    (tmp_path / "resnet10000.safetensors").write_bytes(safetensors.torch.save({}))
    with pytest.raises(Unavailable, match="has no model resnet10000"):
        networks(tmp_path).network("timm:resnet10000")


Tensors = dict[str, torch.Tensor]


def deeper(tensors: Tensors) -> Tensors:
    """The weights of a network with one more layer of the last stage."""
    last = {name: tensor for name, tensor in tensors.items() if name.startswith(("layer4.0.", "blocks.0."))}
    return tensors | {name.replace(".0.", ".9.", 1): tensor.clone() for name, tensor in last.items()}


def without_a_stage(tensors: Tensors) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(("layer3.", "blocks.1."))}


def changed(tensors: Tensors, how: Callable[[torch.Tensor], torch.Tensor]) -> Tensors:
    """One tensor, the largest, made anew."""
    name = max(tensors, key=lambda name: tensors[name].numel())
    return tensors | {name: how(tensors[name])}


def not_finite(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    def put(tensor: torch.Tensor) -> torch.Tensor:
        tensor = tensor.clone()
        tensor.view(-1)[3] = value
        return tensor

    return put


FOREIGN: dict[str, tuple[Callable[[Tensors], Tensors], str]] = {
    "another prefix": (lambda t: {f"encoder.{name}": tensor for name, tensor in t.items()}, "is not the weights of timm's"),
    "a prefix that timm strips": (
        lambda t: {f"visual.trunk.{name[1:]}": tensor for name, tensor in t.items()},
        "is not the weights of timm's",
    ),
    "a missing stage": (without_a_stage, "Missing key"),
    "another depth": (deeper, "Unexpected key"),
    "an extra tensor": (lambda t: t | {"extra": torch.zeros(3)}, "Unexpected key"),
    "a missing tensor": (lambda t: dict(sorted(t.items(), key=lambda item: item[1].numel())[:-1]), "is not the weights of timm's"),
    "nothing": (lambda t: {}, "it has no tensors"),  # and none from elsewhere: timm fetches its own where it is given none
    "another shape": (lambda t: changed(t, lambda tensor: tensor[:-1].clone()), "size mismatch"),
    "float16": (lambda t: {name: tensor.half() for name, tensor in t.items()}, "is float16, float32 expected"),
    "float64": (lambda t: changed(t, torch.Tensor.double), "is float64, float32 expected"),
    "eight bits": (lambda t: changed(t, lambda tensor: tensor.to(torch.int8)), "is int8, float32 expected"),
    "not a number": (lambda t: changed(t, not_finite(math.nan)), "has 1 values that are not finite"),
    "infinity": (lambda t: changed(t, not_finite(-math.inf)), "has 1 values that are not finite"),
}


@pytest.mark.parametrize("model", ["test_vit", "resnet10t"])
@pytest.mark.parametrize("what", FOREIGN)
def test_a_backbone_of_weights_that_do_not_fit_is_unavailable(tmp_path: Path, model: str, what: str) -> None:
    random_backbone(tmp_path, model)
    path = tmp_path / f"{model}.safetensors"
    change, says = FOREIGN[what]
    safetensors.torch.save_file(change(safetensors.torch.load_file(path)), path)
    with pytest.raises(Unavailable, match=says) as caught:
        networks(tmp_path).network(f"timm:{model}")
    assert str(caught.value).startswith(f"{path.name}")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def pickled(content: bytes) -> bytes:
    buffer = io.BytesIO()
    torch.save(safetensors.torch.load(content), buffer)
    return buffer.getvalue()


NO_SAFETENSORS: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut short": lambda content: content[:-1],
    "half": lambda content: content[: len(content) // 2],
    "a pickle": pickled,
    "text": lambda content: b"<html>not found</html>",
    "zeros": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("kind", ["timm:resnet10t", "classifier"])
@pytest.mark.parametrize("what", [*NO_SAFETENSORS, "a folder", "a link to itself"])
def test_a_file_that_is_no_safetensors_file_is_unavailable(tmp_path: Path, kind: str, what: str) -> None:
    if kind == "classifier":
        path = tmp_path / "classifier-spots.safetensors"
        path.write_bytes(dump(Classifier((1, 8, 8), 2), {"shape": [1, 8, 8], "classes": 2}))
    else:
        random_backbone(tmp_path, "resnet10t")
        path = tmp_path / "resnet10t.safetensors"
    content = path.read_bytes()
    path.unlink()
    if what == "a folder":
        path.mkdir()
    elif what == "a link to itself":
        path.symlink_to(path)
    else:
        path.write_bytes(NO_SAFETENSORS[what](content))
    with pytest.raises(Unavailable, match=r"is not a whole safetensors file|is not in the folder weights|no classifier of spots") as caught:
        networks(tmp_path, dataset="spots").network(kind)
    assert "\n" not in str(caught.value)


FACTS = {"shape": [1, 8, 8], "classes": 2}
FOREIGN_CLASSIFIERS: dict[str, Callable[[Classifier], bytes]] = {
    "of more classes": lambda net: dump(net, FACTS | {"classes": 3}),
    "of larger images": lambda net: dump(net, FACTS | {"shape": [1, 28, 28]}),
    "of colour": lambda net: dump(net, FACTS | {"shape": [3, 8, 8]}),
    "of no shape": lambda net: dump(net, {"classes": 2}),
    "of a shape in words": lambda net: dump(net, FACTS | {"shape": "1x8x8"}),
    "of facts that are a list": lambda net: safetensors.torch.save(net.state_dict(), {"classifier": "[1]"}),
    "of facts that are no JSON": lambda net: safetensors.torch.save(net.state_dict(), {"classifier": "{"}),
    "without facts": lambda net: safetensors.torch.save(net.state_dict()),
    "without a layer": lambda net: safetensors.torch.save(dict(list(net.state_dict().items())[2:]), {"classifier": json.dumps(FACTS)}),
    "with another layer": lambda net: safetensors.torch.save(
        net.state_dict() | {"12.weight": torch.zeros(2)}, {"classifier": json.dumps(FACTS)}
    ),
    "of half precision": lambda net: dump(net.half(), FACTS),
    "of integers": lambda net: safetensors.torch.save(
        {name: tensor.to(torch.int32) for name, tensor in net.state_dict().items()}, {"classifier": json.dumps(FACTS)}
    ),
    "that diverged": lambda net: dump(nn.init.constant_(net[0].bias, math.nan) is not None and net, FACTS),
}


@pytest.mark.parametrize("what", FOREIGN_CLASSIFIERS)
def test_a_classifier_of_weights_that_do_not_fit_is_unavailable(tmp_path: Path, what: str) -> None:
    (tmp_path / "classifier-spots.safetensors").write_bytes(FOREIGN_CLASSIFIERS[what](Classifier((1, 8, 8), 2)))
    with pytest.raises(Unavailable, match=r"^classifier-spots\.safetensors") as caught:
        networks(tmp_path, dataset="spots").network("classifier")
    assert "\n" not in str(caught.value)


def test_a_shipped_classifier_that_was_changed_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = bytearray((classifiers.FOLDER / "digits.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "digits.safetensors").write_bytes(content)
    monkeypatch.setattr(classifiers, "FOLDER", tmp_path)
    with pytest.raises(Unavailable, match=f"expected {SHIPPED['digits'][:16]}"):
        classifier("digits", None)


@pytest.mark.parametrize("channels", [2, 4])
def test_networks_of_colour_refuse_other_channels(tmp_path: Path, channels: int) -> None:
    random_backbone(tmp_path, "resnet10t")
    with pytest.raises(Unavailable, match=f"takes grey or colour images, not {channels} channels"):
        networks(tmp_path).network("timm:resnet10t").features(bytes_of(2, 1, (channels, 8, 8)))


def test_a_name_of_no_network_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown feature network 'inceptoin'; known: pca, classifier, inception-tf"):
        networks(tmp_path).network("inceptoin")


def test_a_network_is_made_once_and_refused_once(tmp_path: Path) -> None:
    found = networks(tmp_path)
    assert found.network("pca") is found.network("pca")
    reasons = []
    for _ in range(2):
        with pytest.raises(Unavailable, match="is not in the folder weights") as caught:
            found.network("inception-tf")
        (tmp_path / inception.FILE).write_bytes(b"too late")
        reasons.append(caught.value)
    assert reasons[0] is not reasons[1]  # one that is kept and raised again holds every frame that it went through


class Counting:
    """The mean of each image, times a factor; counts the images it has seen."""

    def __init__(self, **facts: str):
        self.seen = 0
        self.network = Network(**{"name": "mean", "weights": "1" * 64, "resize": "not resized", **facts}, rows=self.rows, batch=4)

    def rows(self, images: torch.Tensor) -> torch.Tensor:
        self.seen += len(images)
        return images.float().mean((1, 2, 3))[:, None]


def cached(counting: Counting, images: torch.Tensor, folder: Path, keep: bool = True) -> torch.Tensor:
    """Features through the cache of a process that has just begun."""
    found = networks(folder, folder / "cache")
    found.made["mean"] = counting.network
    return found.of("mean", images, keep)


def test_kept_features_are_computed_once_for_all_processes(tmp_path: Path) -> None:
    counting, images = Counting(), bytes_of(9, 1)
    first = cached(counting, images, tmp_path)
    assert torch.equal(first, images.float().mean((1, 2, 3))[:, None])
    assert torch.equal(cached(counting, images.clone(), tmp_path), first)
    assert counting.seen == 9
    cached(counting, images, tmp_path, keep=False)
    assert counting.seen == 18


@pytest.mark.parametrize("change", ["name", "weights", "resize", "images", "count"])
def test_whatever_changes_features_changes_their_place(tmp_path: Path, change: str) -> None:
    """Other libraries' caches lack the weights, the resolution or the content of the images in their keys."""
    images = bytes_of(9, 1)
    cached(Counting(), images, tmp_path)
    other = Counting(**{change: "2" * 64} if change in ("name", "weights", "resize") else {})
    shown = {"images": bytes_of(9, 2), "count": images[:8]}.get(change, images)
    found = cached(other, shown, tmp_path)
    assert other.seen == len(shown)
    assert torch.equal(found, shown.float().mean((1, 2, 3))[:, None])
    assert len(list((tmp_path / "cache").iterdir())) == 2


@pytest.mark.parametrize("damage", ["cut", "empty", "of another key", "text"])
def test_a_damaged_file_is_computed_again(tmp_path: Path, damage: str) -> None:
    images = bytes_of(9, 1)
    first = cached(Counting(), images, tmp_path)
    (path,) = (tmp_path / "cache").iterdir()
    other = safetensors.torch.save({"features": torch.zeros(9, 1)}, {"key": "other"})
    path.write_bytes({"cut": path.read_bytes()[:-5], "empty": b"", "of another key": other, "text": b"x" * 300}[damage])
    counting = Counting()
    assert torch.equal(cached(counting, images, tmp_path), first)
    assert counting.seen == 9
    assert torch.equal(cached(Counting(), images, tmp_path), first)
    assert [item.name for item in (tmp_path / "cache").iterdir()] == [path.name]  # no temporary file remains


@pytest.fixture
def cuda() -> torch.device:
    """A GPU, set up as in runs: products and convolutions in TF32 would be others."""
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    return set_up("cuda", 1)


@pytest.mark.gpu
def test_the_same_on_a_gpu(cuda: torch.device) -> None:
    images, samples = bytes_of(90, 1), bytes_of(80, 2, high=200)
    a, b = (classifier("digits", None).features(part) for part in (images, samples))
    there = classifier("digits", None, cuda).features(images.to(cuda))
    torch.testing.assert_close(there.cpu(), a, rtol=1e-4, atol=1e-5)
    for distance in (frechet_of_features, kernel_distance, lambda a, b: torch.tensor(scores(real(a), b))):
        torch.testing.assert_close(distance(a.to(cuda), b.to(cuda)).cpu(), distance(a, b), rtol=1e-6, atol=0)
