"""SVHN: small .mat files as the official ones are, written by scipy; loaded, packed, continued, verified, trained on."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from harness import cli, suite_of_images
from quiet_server import Quiet
from scipy.io import savemat

from bench.commands import data
from bench.datasets import svhn
from bench.datasets.dataset import Source
from bench.datasets.storage import pack, raw
from bench.datasets.svhn import House
from bench.errors import UserError
from bench.records.store import Store

COUNTS = {"train_32x32.mat": 9, "extra_32x32.mat": 14, "test_32x32.mat": 6}


def contents(name: str) -> tuple[np.ndarray, np.ndarray]:
    """(32, 32, 3, N) uint8 and (N, 1) uint8, 10 for the digit 0."""
    random, n = np.random.default_rng(len(name) + COUNTS[name]), COUNTS[name]
    return random.integers(0, 256, (32, 32, 3, n), np.uint8), 1 + np.arange(n, dtype=np.uint8)[:, None] % 10


def write(path: Path, x: np.ndarray, y: np.ndarray) -> None:
    savemat(path, {"X": x, "y": y}, do_compression=True)


def put(root: Path) -> House:
    """The files, and the set with their counts and checksums."""
    folder = root / "svhn"
    folder.mkdir(parents=True, exist_ok=True)
    for name in COUNTS:
        write(folder / name, *contents(name))
    return small(root)


def small(root: Path) -> House:
    train = [replace(file, images=COUNTS[file.name], md5=raw.md5(root / file.path)) for file in svhn.SVHN.train]
    test = replace(svhn.SVHN.test, images=6, md5=raw.md5(root / svhn.SVHN.test.path))
    return replace(svhn.SVHN, train=tuple(train), test=test)


def expected(*names: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (N, 3, 32, 32) and labels by loops over the files' axes: row, column, channel, image."""
    images, digits = [], []
    for name in names:
        x, y = contents(name)
        for n in range(x.shape[3]):
            images.append([[[x[row, column, channel, n] for column in range(32)] for row in range(32)] for channel in range(3)])
            digits.append(0 if y[n, 0] == 10 else int(y[n, 0]))
    return np.array(images, np.uint8), np.array(digits)


@pytest.mark.parametrize("block", [4, 1024])
def test_train_and_extra_are_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(svhn, "BLOCK", block)
    found = svhn.load(put(tmp_path), tmp_path)
    for images, labels, names in (
        (found.train, found.train_labels, ("train_32x32.mat", "extra_32x32.mat")),
        (found.test, found.test_labels, ("test_32x32.mat",)),
    ):
        np.testing.assert_array_equal(images, expected(*names)[0])
        np.testing.assert_array_equal(labels, expected(*names)[1])
        assert labels is not None
        assert (images.dtype, labels.dtype) == (np.uint8, np.int64)
    assert found.train_labels is not None
    assert set(found.train_labels) == set(range(10))


@pytest.mark.parametrize("start", [0, 4, 8, 9, 10, 22, 23])
def test_blocks_begin_at_any_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: int) -> None:
    monkeypatch.setattr(svhn, "BLOCK", 4)
    blocks = list(svhn.blocks(tmp_path, put(tmp_path).train, "", start))
    images = expected("train_32x32.mat", "extra_32x32.mat")[0]
    np.testing.assert_array_equal(np.concatenate([images[:0], *blocks]), images[start:])
    assert all(block.base is None for block in blocks)  # none of them holds its file in memory


def test_a_stopped_packing_goes_on_with_the_same_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svhn, "BLOCK", 4)
    whole = svhn.load(put(tmp_path / "whole"), tmp_path / "whole").sha256()
    house, read = put(tmp_path / "half"), svhn.images

    def stop_at_extra(path: Path, count: int) -> np.ndarray:
        if path.name.startswith("extra"):
            raise KeyboardInterrupt
        return read(path, count)

    monkeypatch.setattr(svhn, "images", stop_at_extra)
    with pytest.raises(KeyboardInterrupt):
        svhn.load(house, tmp_path / "half")
    asked = []
    monkeypatch.setattr(svhn, "images", lambda path, count: (asked.append(path.name), read(path, count))[1])
    assert svhn.load(house, tmp_path / "half").sha256() == whole
    assert asked == ["extra_32x32.mat", "test_32x32.mat"]


def test_the_official_set_is_torchvisions() -> None:
    from torchvision.datasets import SVHN

    official = {name: md5 for _, name, md5 in SVHN.split_list.values()}
    assert {file.name: file.md5 for file in svhn.SVHN.files} == official
    assert {url for url, _, _ in SVHN.split_list.values()} == {svhn.URL + file.name for file in svhn.SVHN.files}
    assert svhn.DATASETS[0].counts == {"train": 604_388, "test": 26_032}


@pytest.mark.parametrize("name", COUNTS)
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    house = put(tmp_path)
    path = tmp_path / "svhn" / name
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UserError) as caught:
        svhn.load(house, tmp_path)
    said = str(caught.value)
    assert said.startswith(f"{path} is damaged: {path.stat().st_size:,} bytes with md5 {raw.md5(path)}, expected ")
    assert f"python -m bench data fetch svhn --data-root {tmp_path}" in said
    assert not (tmp_path / "packed").exists()


X, Y = contents("extra_32x32.mat")


@pytest.mark.parametrize(
    ("variables", "says"),
    [
        ({"X": X[:28], "y": Y}, r"X is \(28, 32, 3, 14\) uint8, expected \(32, 32, 3, 14\) uint8"),
        ({"X": X[..., :13], "y": Y}, r"X is \(32, 32, 3, 13\) uint8, expected"),
        ({"X": X.astype(float), "y": Y}, r"X is \(32, 32, 3, 14\) float64, expected"),
        ({"x": X, "y": Y}, "has no variable X"),
        ({"X": X, "y": Y[:13]}, "y is not 14 labels from 1 to 10"),
        ({"X": X, "y": Y - 1}, "y is not 14 labels from 1 to 10"),
    ],
)
def test_a_mat_file_of_something_else(tmp_path: Path, variables: dict[str, np.ndarray], says: str) -> None:
    put(tmp_path)
    savemat(tmp_path / "svhn" / "extra_32x32.mat", variables, do_compression=True)
    with pytest.raises(UserError, match=f"extra_32x32.mat:? {says}"):
        svhn.load(small(tmp_path), tmp_path)
    assert not list((tmp_path / "packed").glob("*/")) if (tmp_path / "packed").exists() else True


@pytest.mark.parametrize("damage", [lambda whole: whole[:-1000], lambda whole: whole[:90], lambda whole: b"<html>", lambda whole: b""])
def test_a_file_that_scipy_cannot_read(tmp_path: Path, damage) -> None:
    put(tmp_path)
    path = tmp_path / "svhn" / "train_32x32.mat"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=rf"train_32x32\.mat (is damaged|has no variable y) \({path.stat().st_size:,} bytes\)"):
        svhn.load(small(tmp_path), tmp_path)  # the checksums of the damaged files: as far as scipy


def test_missing_files_are_one_message(tmp_path: Path) -> None:
    put(tmp_path)
    (tmp_path / "svhn" / "extra_32x32.mat").unlink()
    with pytest.raises(UserError, match=r"1 of 3 files missing in .*svhn: extra_32x32\.mat; download with .* data fetch svhn"):
        svhn.load(svhn.SVHN, tmp_path)


def test_verify_pack_and_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = put(tmp_path)
    source: Source = svhn.source(house)
    assert data.state(source, tmp_path) == ("present", "good", str(tmp_path / "svhn"))
    monkeypatch.setattr(data, "CHECKED", 1000)  # as if it were large: no longer read whole for a list
    assert data.state(source, tmp_path)[1] == "not compared"
    assert data.verify(source, tmp_path) == "svhn: raw files good"
    assert data.state(source, tmp_path)[1] == "good"
    folder = pack.places(tmp_path, "svhn", svhn.CONVENTION)[0]
    assert data.pack(source, tmp_path) == f"svhn: packed in {folder}"
    assert data.state(source, tmp_path) == ("packed", "good", str(folder))
    path = tmp_path / "svhn" / "test_32x32.mat"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    assert data.state(source, tmp_path)[1] == "not compared"
    monkeypatch.setattr(data, "CHECKED", 2**20)
    assert data.state(source, tmp_path) == ("damaged", "wrong", str(tmp_path / "svhn"))  # though there is a pack
    path.unlink()
    assert data.state(replace(source, name="other"), tmp_path) == ("incomplete", "-", f"{tmp_path / 'svhn'} lacks test_32x32.mat")
    assert data.rows([source], tmp_path)[0][5:8] == ("non-commercial use only", "1,576 MB", "0.09 MB")


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    """The official page on this machine."""
    house = put(tmp_path / "server")
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path / "server" / "svhn"))) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        monkeypatch.setattr(svhn, "URL", f"http://127.0.0.1:{httpd.server_port}/")
        yield house
        httpd.shutdown()


def test_fetch_gets_what_is_missing_or_damaged(tmp_path: Path, page: House) -> None:
    root, source = tmp_path / "root", svhn.source(page)
    assert data.fetch(source, root) == f"svhn: fetched into {root / 'svhn'}, checksums good"
    assert {path.name for path in (root / "svhn").iterdir()} == set(COUNTS)
    (root / "svhn" / "extra_32x32.mat").write_bytes(b"damaged")
    (tmp_path / "server" / "svhn" / "train_32x32.mat").unlink()  # it is not asked for again
    assert data.fetch(source, root).endswith("checksums good")
    assert len(svhn.load(page, root).train) == 23
    with pytest.raises(UserError) as caught:
        data.fetch(svhn.source(svhn.SVHN), tmp_path / "other")
    said = str(caught.value)
    assert said.startswith("cannot fetch svhn: train_32x32.mat: HTTP Error 404")
    assert f"take train_32x32.mat, extra_32x32.mat, test_32x32.mat (Format 2, 1.6 GB) from {svhn.URL} and put them in" in said


PLUGIN = """
from dataclasses import replace
from bench.datasets import svhn
from bench.datasets.svhn import Mat
train = (Mat("train_32x32.mat", 9, {0!r}), Mat("extra_32x32.mat", 14, {1!r}))
DATASETS = [svhn.source(svhn.House("small", train, Mat("test_32x32.mat", 6, {2!r})))]
"""


def test_it_trains_a_few_steps_through_the_harness(tmp_path: Path) -> None:
    house = put(tmp_path / "data")
    file = suite_of_images(tmp_path, PLUGIN.format(*(file.md5 for file in house.files)))
    result = cli("run", "-s", file, "-o", tmp_path, "--data-root", tmp_path / "data", "--no-profile")
    assert (result.code, result.err) == (0, "")
    (record,) = Store(tmp_path, "tiny").records()
    assert record["config"]["convention"] == svhn.CONVENTION
    assert record["metrics"]["rec_sse_test"]["value"] > 0
