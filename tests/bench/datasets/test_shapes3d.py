"""The official 3D Shapes file: a small one in its layout is packed and trained on; what is not that file is refused."""

import hashlib
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from small_methods import build, training

from bench.commands import data
from bench.datasets import shapes3d
from bench.datasets.storage import pack
from bench.errors import UserError
from bench.registry import catalogue
from bench.suites.schema import Budget
from bench.training.train import Batches, train

COUNT, TEST = 1000, 60
CARD = shapes3d.DATASETS[0]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has its first 1,000 images only; they are read 128 at a time."""
    for name, value in {"COUNT": COUNT, "TEST": TEST, "ROWS": 128}.items():
        monkeypatch.setattr(shapes3d, name, value)


def images() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (COUNT, 64, 64, 3), np.uint8)


def labels() -> np.ndarray:
    """The values of the official file, the last varying fastest."""
    values = (*3 * (np.arange(10) / 10,), np.linspace(0.75, 1.25, 8), np.arange(4.0), np.linspace(-30, 30, 15))
    rows = np.arange(COUNT)
    table = []
    for value in values[::-1]:
        table.append(value[rows % len(value)])
        rows //= len(value)
    return np.stack(table[::-1], axis=1)


def put(root: Path, **changes: np.ndarray | None) -> Path:
    """A small file in the official layout, with other arrays or without some."""
    path = root / "shapes3d" / "3dshapes.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, array in ({"images": images(), "labels": labels()} | changes).items():
            if array is not None:
                chunks = (300, 16, 16, 1) if array.ndim == 4 and array.shape[1] == 64 else None  # many images share a chunk
                file.create_dataset(name, data=array, chunks=chunks, compression="gzip" if chunks else None)
    return path


def test_the_small_file_is_packed_and_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path)
    found = shapes3d.load(tmp_path)
    np.testing.assert_array_equal(found.train, images().transpose(0, 3, 1, 2))
    rows = np.sort(np.random.RandomState(0).permutation(COUNT)[:TEST])
    np.testing.assert_array_equal(found.test, found.train[rows])
    i = np.arange(COUNT)
    expected = np.stack([i // 48_000, i // 4800 % 10, i // 480 % 10, i // 60 % 8, i // 15 % 4, i % 15], axis=1)
    for factors, of in ((found.train_factors, expected), (found.test_factors, expected[rows])):
        assert factors is not None
        assert factors.dtype == np.int64
        np.testing.assert_array_equal(factors, of)
    monkeypatch.setattr(shapes3d, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    assert data.verify(CARD, tmp_path) == f"shapes3d: raw files and pack {pack.places(tmp_path, 'shapes3d', CARD.convention)[0]} good"
    assert data.fetch(CARD, tmp_path).startswith("shapes3d: already in")
    batches = Batches(torch.from_numpy(found.train.copy()), 255, 20, seed=0)
    known = catalogue()
    method = build(partial(known.methods["ae"], 10), network=known.networks["vcae_shapes3d"], shape=CARD.shape, dim=10)
    assert train(training(method, Budget(steps=3), batches), batches).status == "done"


def test_the_pack_outlives_the_file(tmp_path: Path) -> None:
    path = put(tmp_path)
    before = shapes3d.load(tmp_path).sha256()
    path.unlink()
    assert shapes3d.load(tmp_path).sha256() == before
    assert data.state(CARD, tmp_path)[0] == "packed"


@pytest.mark.parametrize("rows", [1, 257, 100_000])
def test_blocks_of_any_size_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    path = put(tmp_path)
    monkeypatch.setattr(shapes3d, "ROWS", rows)
    wanted = np.array([0, 1, 255, 256, 257, 299, 300, 999])
    blocks = list(shapes3d.blocks(path, wanted, "test"))
    assert max(map(len, blocks)) <= rows
    np.testing.assert_array_equal(np.concatenate(blocks), images()[wanted].transpose(0, 3, 1, 2))


def swapped() -> np.ndarray:
    array = labels()
    array[[20, 21]] = array[[21, 20]]
    return array


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"images": None}, r"has no 'images', only \['labels'\]: it is not 3dshapes\.h5; take it from https"),
        ({"labels": None}, r"has no 'labels', only \['images'\]"),
        ({"images": images()[:900]}, r"images is uint8 \(900, 64, 64, 3\), uint8 \(1000, 64, 64, 3\) expected"),
        ({"images": np.zeros((COUNT, 32, 32, 3), np.uint8)}, r"images is uint8 \(1000, 32, 32, 3\)"),
        ({"images": np.zeros((COUNT, 64, 64, 3), np.float32)}, r"images is float32 .* uint8 \(1000, 64, 64, 3\) expected"),
        ({"labels": labels()[:, :5]}, r"labels is float64 \(1000, 5\), float64 \(1000, 6\) expected"),
        ({"labels": labels().astype(np.int64)}, "labels is int64"),
        ({"labels": swapped()}, r"label 20 has orientation -4\.28.*, not as in the official order"),
        ({"labels": labels()[::-1]}, r"label 0 has object_hue 0\.2, not as in the official order"),
    ],
)
def test_another_file_is_refused_in_one_line(tmp_path: Path, changes: dict[str, np.ndarray | None], says: str) -> None:
    put(tmp_path, **changes)
    with pytest.raises(UserError, match=says) as caught:
        shapes3d.load(tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "packed").exists()


@pytest.mark.parametrize("kept", [0, 100, 5_000_000])
def test_a_truncated_file(tmp_path: Path, kept: int) -> None:
    path = put(tmp_path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(UserError, match=rf"3dshapes\.h5 is damaged \({kept:,} bytes\): .*; take it again from {shapes3d.URL}"):
        shapes3d.load(tmp_path)


def test_a_changed_byte_is_found_and_nothing_is_left(tmp_path: Path) -> None:
    path = put(tmp_path)
    with h5py.File(path) as file:
        chunk = file["images"].id.get_chunk_info(5)
    whole = bytearray(path.read_bytes())
    for place in range(chunk.byte_offset + 200, chunk.byte_offset + 260):
        whole[place] ^= 255
    path.write_bytes(whole)
    with pytest.raises(UserError, match=r"3dshapes\.h5 is damaged \(.* bytes\): "):
        shapes3d.load(tmp_path)
    assert not [entry for entry in (tmp_path / "packed").iterdir() if entry.is_dir()]
    with pytest.raises(UserError, match=f"sha256 [0-9a-f]{{64}}, expected {shapes3d.SHA256}"):
        data.verify(CARD, tmp_path)


def test_a_missing_file_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        shapes3d.load(tmp_path)
    said = str(caught.value)
    assert f"1 of 1 files missing in {tmp_path / 'shapes3d'}: 3dshapes.h5" in said
    for way in ("python -m bench data fetch shapes3d", shapes3d.URL, "LATENTBENCH_DATA"):
        assert way in said


def test_fetch_without_a_network_names_page_and_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with pytest.raises(UserError) as caught:
        data.fetch(CARD, tmp_path)
    said = str(caught.value)
    assert said.startswith("cannot fetch shapes3d: ")
    assert said.endswith(f"take them from {shapes3d.URL} (3dshapes.h5) and put them in {tmp_path / 'shapes3d'}")
    assert not list(tmp_path.iterdir())


def test_the_card_is_the_papers() -> None:
    assert CARD.counts == {"train": 480_000, "test": 10_000}
    assert np.prod([factor.size for factor in CARD.factors]) == 480_000
    assert [factor.name for factor in CARD.factors] == ["floor_hue", "wall_hue", "object_hue", "scale", "shape", "orientation"]
    assert "no split: trained on all 480,000; the test images are 10,000 of the same, drawn uniformly with seed 0" in CARD.convention
    assert CARD.licence == "Apache 2.0"
