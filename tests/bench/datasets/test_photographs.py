"""Photographs inside scikit-image: nothing made up, nothing in two splits."""

import importlib.util
import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from small_methods import build, training

from bench.datasets import photographs
from bench.datasets.batches import Batches
from bench.datasets.dataset import Dataset
from bench.errors import UserError
from bench.registry import catalogue
from bench.suites.schema import Budget
from bench.training.train import train
from models.networks.mlp import mlp
from models.networks.vcae import vcae_shapes3d
from models.networks.wae import wae_celeba
from models.vae import vae_bernoulli

NOWHERE = Path("nowhere")


@pytest.fixture(scope="module")
def faces() -> Dataset:
    return photographs.load_faces(NOWHERE)


@pytest.fixture(scope="module")
def textures() -> Dataset:
    return photographs.load_textures(NOWHERE)


def test_faces_are_scikit_images_first_hundred_and_their_mirror_images(faces: Dataset) -> None:
    real = [np.rint(255 * image).astype(np.uint8) for image in skimage.data.lfw_subset()[:100]]
    assert (faces.train.shape, faces.test.shape) == ((160, 1, 25, 25), (20, 1, 25, 25))
    given = sorted(image.tobytes() for image in [*faces.train[::2, 0], *faces.test[:, 0]])
    assert given == sorted(image.tobytes() for image in real)
    np.testing.assert_array_equal(faces.train[1::2], faces.train[::2, ..., ::-1])
    assert (faces.train[1] != faces.train[0]).any()


def test_no_face_is_in_two_splits_even_mirrored(faces: Dataset) -> None:
    for data in (faces, faces.with_validation()):
        held_out = {image.tobytes() for image in [*data.test, *data.test[..., ::-1]]}
        assert not any(image.tobytes() in held_out for image in data.train)
    assert len(faces.with_validation().test) == 16


def test_textures_are_crops_of_the_photographs(textures: Dataset) -> None:
    assert (textures.train.shape, textures.test.shape) == ((2000, 3, 64, 64), (500, 3, 64, 64))
    images = {0: skimage.data.astronaut(), 1: skimage.data.chelsea(), 2: skimage.data.coffee(), 4: skimage.data.immunohistochemistry()}
    assert textures.train_labels is not None
    for label, image in images.items():
        crop = textures.train[np.flatnonzero(textures.train_labels == label)[7]].transpose(1, 2, 0)
        corners = np.argwhere((image[: 1 - 64, : 1 - 64] == crop[0, 0]).all(2))
        assert any(np.array_equal(image[y : y + 64, x : x + 64], crop) for y, x in corners), label
    assert set(np.unique(textures.train_labels)) == set(range(7))


@pytest.mark.parametrize("validation", [False, True])
def test_no_pixel_is_in_two_splits(monkeypatch: pytest.MonkeyPatch, validation: bool) -> None:
    """Photographs whose pixels are their own coordinates go through the same code: no coordinate comes out on both sides."""
    sizes = ((512, 512), (300, 451), (400, 600), (872, 1000), (512, 512), (1411, 1411), (427, 640))
    made = {}
    for number, (photo, (height, width)) in enumerate(zip(photographs.PHOTOGRAPHS, sizes, strict=True)):
        code = np.arange(height * width).reshape(height, width) + (number << 21)  # 24 bits: photograph and place
        buffer = io.BytesIO()
        Image.fromarray(np.stack([code >> 16, code >> 8 & 255, code & 255], 2).astype(np.uint8)).save(buffer, "PNG", compress_level=1)
        made[photo.file] = buffer.getvalue()
    monkeypatch.setattr(photographs, "packaged", lambda file, sha256: made[file])
    data = photographs.load_textures(NOWHERE)
    data = data.with_validation() if validation else data
    seen = [np.unique(np.einsum("nchw,c->nhw", split.astype(np.int64), [65536, 256, 1])) for split in (data.train, data.test)]
    assert len(seen[0]) == (72 if validation else 80) * 128**2  # every pixel of a region is in some crop
    assert len(seen[1]) == (8 if validation else 20) * 128**2
    assert not np.intersect1d(*seen).size


@pytest.mark.parametrize("load", [photographs.load_faces, photographs.load_textures])
def test_splits_are_fixed(load: Callable[[Path], Dataset]) -> None:
    assert load(NOWHERE).sha256() == load(NOWHERE).sha256()


def test_faces_have_a_known_hash(faces: Dataset) -> None:
    assert faces.sha256()[:16] == "78868142696d5f1c"


def test_groups_that_a_tenth_would_divide_are_refused(faces: Dataset) -> None:
    odd = Dataset(faces.train, faces.test, train_groups=np.repeat(np.arange(20), 8))
    assert len(odd.with_validation().test) == 16
    with pytest.raises(ValueError, match="16 images of 160 cannot be held out without dividing a group"):
        Dataset(faces.train, faces.test, train_groups=np.repeat(np.arange(10), 16)[::-1] // 2).with_validation()


def test_a_package_without_the_file_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace(origin=str(tmp_path / "__init__.py")))
    with pytest.raises(UserError, match=r"lfw_subset\.npy cannot be read: No such file.*install scikit-image anew"):
        photographs.load_faces(NOWHERE)
    (tmp_path / "data" / "lfw_subset.npy").write_bytes(b"x" * 10)
    with pytest.raises(UserError, match=r"lfw_subset\.npy \(10 bytes\) has sha256 [0-9a-f]{64}, 9560ec2f5edfac01"):
        photographs.load_faces(NOWHERE)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="scikit-image is not installed"):
        photographs.load_textures(NOWHERE)


def test_faces_train_a_few_steps(faces: Dataset) -> None:
    batches = Batches(torch.from_numpy(faces.train), 255, 40, seed=0)
    method = build(lambda: vae_bernoulli(4), network=mlp, shape=(1, 25, 25), dim=4)
    outcome = train(training(method, Budget(steps=100), batches), batches)
    first, last = (row["autoencoder.loss"] for row in outcome.curve)
    assert last < first


def test_textures_are_on_the_path_of_the_celeba_networks(textures: Dataset) -> None:
    source = catalogue().datasets["textures"]
    encoder, decoder = wae_celeba(source.shape, 2, 1)
    x = torch.from_numpy(textures.train[:2]).float() / 255
    assert decoder(encoder(x)).shape == x.shape
    batches = Batches(torch.from_numpy(textures.train[:200].copy()), 255, 50, seed=0)
    method = build(lambda: vae_bernoulli(4), network=vcae_shapes3d, shape=source.shape, dim=4)
    assert train(training(method, Budget(steps=3), batches), batches).status == "done"
