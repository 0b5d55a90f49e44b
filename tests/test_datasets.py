"""Datasets: the real ones against SPEC's numbers, small files in the real layout for structure and for everything that can break."""

import gzip
import hashlib
import json
import os
import resource
import shutil
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from bench.datasets import data, digits, mnist, pack, raw
from bench.datasets.dataset import Dataset, Source
from bench.errors import UserError

TRAIN, TEST = 12, 5
NAMES = [file.name for file in mnist.MNIST.files]


# -- small idx files in the layout of the real ones -------------------------------------------------------------------


def idx(values: np.ndarray) -> bytes:
    """The format as its documentation has it: magic 2049 (labels) or 2051 (images), sizes, values."""
    return struct.pack(f">{1 + values.ndim}I", 2048 + values.ndim, *values.shape) + values.tobytes()


def contents() -> dict[str, np.ndarray]:
    random = np.random.default_rng(3)
    sizes = (TRAIN, 28, 28), (TRAIN,), (TEST, 28, 28), (TEST,)
    return {name: random.integers(0, 256 if len(size) == 3 else 10, size, np.uint8) for name, size in zip(NAMES, sizes, strict=True)}


def small_family() -> mnist.Family:
    """MNIST with the checksums of the small files."""
    files = [mnist.Idx(name, values.shape, hashlib.sha256(idx(values)).hexdigest()) for name, values in contents().items()]
    return replace(mnist.MNIST, files=(files[0], files[1], files[2], files[3]))


FAMILY = small_family()


def put(root: Path, suffix: str = ".gz") -> Path:
    folder = root / "MNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in contents().items():
        whole = idx(values)
        (folder / f"{name}{suffix}").write_bytes(gzip.compress(whole) if suffix else whole)
    return folder


def packed_folder(root: Path) -> Path:
    return pack.places(root, FAMILY.name, FAMILY.convention)[0]


def check(dataset: Dataset) -> None:
    train, train_labels, test, test_labels = contents().values()
    np.testing.assert_array_equal(dataset.train, train[:, None])
    np.testing.assert_array_equal(dataset.test, test[:, None])
    np.testing.assert_array_equal(dataset.train_labels, train_labels.astype(np.int64))
    np.testing.assert_array_equal(dataset.test_labels, test_labels.astype(np.int64))
    assert dataset.train.dtype == np.uint8
    assert dataset.train_labels is not None
    assert dataset.train_labels.dtype == np.int64


@pytest.fixture
def read_only() -> Iterator[list[Path]]:
    """Folders put in this list become writable again, so that pytest can remove them."""
    folders: list[Path] = []
    yield folders
    for folder in folders:
        folder.chmod(0o755)


# -- digits ------------------------------------------------------------------------------------------------------------


def test_digits_are_scikit_learns_in_a_fixed_stratified_split(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    found = digits.load(tmp_path / "nowhere")
    assert found.train.shape == (1437, 1, 8, 8)
    assert found.test.shape == (360, 1, 8, 8)
    assert found.sha256() == "6731c3d5ee47927fd26f06a27e49b4fc2eaf273d65fd4ed985b7795da47c1df6"
    assert found.levels == 16 == max(found.train.max(), found.test.max())
    together = np.concatenate([found.train, found.test]).reshape(1797, 64)
    whole = load_digits()
    assert sorted(map(bytes, together)) == sorted(map(bytes, whole.data.astype(np.uint8)))
    assert found.train_labels is not None
    assert found.test_labels is not None
    shares = np.bincount(whole.target) * 360 / 1797
    assert np.abs(np.bincount(found.test_labels) - shares).max() < 1
    labels = {bytes(image): label for image, label in zip(whole.data.astype(np.uint8), whole.target, strict=True)}
    assert [labels[bytes(image.ravel())] for image in found.train] == list(found.train_labels)


# -- the real MNIST ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A writable data root whose raw files are the real ones."""
    given = os.environ.get("LATENTBENCH_DATA")
    if not given or not (Path(given) / "MNIST" / "raw").is_dir():
        pytest.skip("needs the real MNIST: set LATENTBENCH_DATA to a data root that has MNIST/raw")
    root = tmp_path_factory.mktemp("data")
    (root / "MNIST").mkdir()
    (root / "MNIST" / "raw").symlink_to((Path(given) / "MNIST" / "raw").resolve())
    return root


@pytest.fixture(scope="module")
def real(real_root: Path) -> Dataset:
    return mnist.load(mnist.MNIST, real_root)


def test_mnist_has_the_reference_values_of_spec_2(real: Dataset) -> None:
    assert (real.train.shape, real.test.shape) == ((60_000, 1, 28, 28), (10_000, 1, 28, 28))
    train, test = (split.reshape(len(split), 784) / np.float32(255) for split in (real.train, real.test))
    squares = (np.sum(train, 0, dtype=np.float64), train.T @ train, np.einsum("ij,ij->", train, train, dtype=np.float64))
    mean = squares[0] / 60_000
    assert squares[2] / 60_000 == pytest.approx(87.81, abs=0.005)
    centred_train, centred_test = train - mean.astype(np.float32), test - mean.astype(np.float32)
    total = [float(np.einsum("ij,ij->", x, x, dtype=np.float64)) / len(x) for x in (centred_train, centred_test)]
    assert total == pytest.approx([52.73, 52.90], abs=0.005)
    axes = np.linalg.eigh(squares[1] / 60_000 - np.outer(mean, mean))[1][:, ::-1].astype(np.float32)
    for components, expected in ((2, (43.87, 43.64)), (8, (29.69, 29.35)), (16, (21.40, 21.06))):
        kept = [float(np.sum((x @ axes[:, :components]) ** 2, dtype=np.float64)) / len(x) for x in (centred_train, centred_test)]
        assert np.subtract(total, kept) == pytest.approx(expected, abs=0.006), components


def test_mnist_labels_belong_to_the_images(real: Dataset) -> None:
    assert real.train_labels is not None
    assert real.test_labels is not None
    assert list(real.train_labels[:5]) == [5, 0, 4, 1, 9]  # the training set's well-known beginning
    assert list(np.bincount(real.test_labels)) == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    ink = [real.train[real.train_labels == digit].mean() for digit in (0, 1)]
    assert ink[0] > 2 * ink[1]


def test_mnist_verifies_packs_and_lists(real: Dataset, real_root: Path) -> None:
    card = mnist.DATASETS[0]
    assert data.pack(card, real_root) == f"mnist: packed in {pack.places(real_root, 'mnist', card.convention)[0]}"
    assert data.verify(card, real_root).startswith("mnist: raw files and pack ")
    assert data.rows([card], real_root)[0][:7] == ("mnist", "real", "1x28x28", "60,000", "10,000", "CC BY-SA 3.0", "packed")
    assert data.fetch(card, real_root) == f"mnist: already in {real_root / 'MNIST' / 'raw'}, checksums good"


def test_reduced_mnist_is_a_fixed_subset_of_the_training_images(real: Dataset, real_root: Path) -> None:
    reduced = mnist.DATASETS[1].load(real_root)
    assert reduced.train.shape == (600, 1, 28, 28)
    assert reduced.sha256() == "f3820f6425e2df187f2c965337a27131ec3c0a5f3fc8ff4722734c0faadbd987"
    np.testing.assert_array_equal(reduced.test, real.test)
    assert real.train_labels is not None
    assert reduced.train_labels is not None
    where = {bytes(image.data): number for number, image in enumerate(real.train)}
    rows = [where[bytes(image.data)] for image in reduced.train]
    assert len(set(rows)) == 600
    assert rows == sorted(rows)
    np.testing.assert_array_equal(real.train_labels[rows], reduced.train_labels)
    assert np.bincount(reduced.train_labels).min() >= 40  # of 60 expected: not 600 of one kind
    assert "seed 0" in mnist.DATASETS[1].convention


# -- reading ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".gz", ""])
def test_archives_and_unpacked_files_read_the_same(tmp_path: Path, suffix: str) -> None:
    put(tmp_path, suffix)
    check(mnist.load(FAMILY, tmp_path))
    mnist.verify(FAMILY, tmp_path)


def test_an_archive_packed_by_another_program_is_sound(tmp_path: Path) -> None:
    folder = put(tmp_path)
    archive = folder / f"{NAMES[0]}.gz"
    before = archive.read_bytes()
    archive.write_bytes(gzip.compress(idx(contents()[NAMES[0]]), compresslevel=1, mtime=0))
    assert archive.read_bytes() != before
    check(mnist.load(FAMILY, tmp_path))


def wrong_magic(whole: bytes) -> bytes:
    return struct.pack(">I", 2052) + whole[4:]


def wrong_count(whole: bytes) -> bytes:
    return whole[:4] + struct.pack(">I", TRAIN - 1) + whole[8:]


def other_value(whole: bytes) -> bytes:
    return whole[:-1] + bytes([whole[-1] ^ 1])


@pytest.mark.parametrize("suffix", [".gz", ""])
@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (wrong_magic, "magic number 2052, 2051 expected"),
        (wrong_count, "its header says (11, 28, 28), (12, 28, 28) expected"),
        (other_value, "unpacked: sha256 "),
        (lambda whole: whole[:1000], "1,000 bytes, 9,424 expected"),
        (lambda whole: whole + b"x", "9,425 bytes, 9,424 expected"),
        (lambda whole: whole[:10], "10 bytes, 9,424 expected"),
        (lambda whole: b"", "0 bytes, 9,424 expected"),
    ],
)
def test_a_damaged_file_is_named_with_its_size_its_checksum_and_the_way_out(tmp_path: Path, suffix: str, damage, says: str) -> None:
    path = put(tmp_path, suffix) / f"{NAMES[0]}{suffix}"
    whole = damage(idx(contents()[NAMES[0]]))
    path.write_bytes(gzip.compress(whole) if suffix else whole)
    with pytest.raises(UserError) as caught:
        mnist.load(FAMILY, tmp_path)
    said = str(caught.value)
    assert said.startswith(f"{path} is damaged ({path.stat().st_size:,} bytes on disk)")
    assert says in said
    assert f"expected sha256 (unpacked) {FAMILY.files[0].sha256}" in said
    assert f"python -m bench data fetch mnist --data-root {tmp_path}" in said
    assert "\n" not in said
    assert not packed_folder(tmp_path).exists()


@pytest.mark.parametrize("damage", [lambda archive: archive[:-400], lambda archive: b"<html>", lambda archive: archive[:50] + b"\0" * 400])
def test_an_archive_that_does_not_unpack_is_damaged(tmp_path: Path, damage) -> None:
    path = put(tmp_path) / f"{NAMES[2]}.gz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError) as caught:
        mnist.verify(FAMILY, tmp_path)
    assert str(caught.value).startswith(f"{path} is damaged: {path.stat().st_size:,} bytes that do not unpack")
    assert FAMILY.files[2].sha256 in str(caught.value)


def test_missing_files_are_one_message(tmp_path: Path) -> None:
    folder = tmp_path / "FashionMNIST" / "raw"
    with pytest.raises(UserError) as caught:
        mnist.DATASETS[2].load(tmp_path)
    said = str(caught.value)
    assert said.startswith(f"dataset fashion_mnist: 4 of 4 files missing in {folder}: ")
    assert all(f"{name}.gz" in said for name in NAMES)
    for way in ("python -m bench data fetch fashion_mnist", mnist.FASHION.url, f"put them in {folder}", "--data-root or LATENTBENCH_DATA"):
        assert way in said
    assert "\n" not in said


def test_only_what_is_missing_is_asked_for(tmp_path: Path) -> None:
    (put(tmp_path) / f"{NAMES[1]}.gz").unlink()
    with pytest.raises(UserError, match=f"1 of 4 files missing in .*: {NAMES[1]}.gz; download"):
        mnist.load(FAMILY, tmp_path)
    assert data.state(card(), tmp_path)[0] == "incomplete"


def test_no_room_for_unpacking(tmp_path: Path) -> None:
    put(tmp_path)
    whole = mnist.checked(FAMILY, tmp_path)[0]
    with file_size_limit(4096), pytest.raises(UserError, match=r"cannot unpack into .*: File too large; set TMPDIR"):
        mnist.decoded(whole)


# -- packing -----------------------------------------------------------------------------------------------------------


class file_size_limit:
    """No file of this process grows beyond `limit` bytes: writes fail as they do on a full disk."""

    def __init__(self, limit: int):
        self.limit, self.before = limit, resource.getrlimit(resource.RLIMIT_FSIZE)

    def __enter__(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (self.limit, self.before[1]))

    def __exit__(self, *_: object) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, self.before)


def test_a_pack_holds_the_images_its_hashes_and_its_sources(tmp_path: Path) -> None:
    folder = put(tmp_path)
    mnist.load(FAMILY, tmp_path)
    meta = json.loads((packed_folder(tmp_path) / "meta.json").read_text())
    train = contents()[NAMES[0]]
    np.testing.assert_array_equal(np.load(packed_folder(tmp_path) / "train.npy"), train[:, None])
    assert meta["arrays"]["train"] == {"shape": [12, 1, 28, 28], "dtype": "|u1", "sha256": hashlib.sha256(train.tobytes()).hexdigest()}
    archive = (folder / f"{NAMES[0]}.gz").read_bytes()
    expected = {"bytes": len(archive), "sha256": hashlib.sha256(archive).hexdigest()}
    assert meta["sources"][f"MNIST/raw/{NAMES[0]}.gz"] == expected
    assert meta["convention"] == FAMILY.convention


def test_a_pack_is_used_without_the_raw_files(tmp_path: Path) -> None:
    folder = put(tmp_path)
    mnist.load(FAMILY, tmp_path)
    shutil.rmtree(folder)
    check(mnist.load(FAMILY, tmp_path))
    assert data.state(card(), tmp_path) == ("packed", str(packed_folder(tmp_path)))
    assert data.verify(card(), tmp_path) == f"mnist: pack {packed_folder(tmp_path)} good"


def test_another_convention_is_another_pack(tmp_path: Path) -> None:
    assert pack.places(tmp_path, "mnist", "crop 140")[0] != pack.places(tmp_path, "mnist", "crop 178")[0]


@pytest.mark.parametrize("file", ["train.npy", "test_labels.npy", "meta.json"])
def test_a_pack_cut_short_is_made_again(tmp_path: Path, file: str) -> None:
    put(tmp_path)
    mnist.load(FAMILY, tmp_path)
    path = packed_folder(tmp_path) / file
    path.write_bytes(path.read_bytes()[:-5])
    check(mnist.load(FAMILY, tmp_path))
    assert data.verify(card(), tmp_path).endswith("good")


def test_a_pack_cut_short_without_raw_files_is_said(tmp_path: Path) -> None:
    folder = put(tmp_path)
    mnist.load(FAMILY, tmp_path)
    shutil.rmtree(folder)
    (packed_folder(tmp_path) / "train.npy").write_bytes(b"")
    with pytest.raises(UserError, match=f"4 of 4 files missing.*; the pack in {packed_folder(tmp_path)} is damaged"):
        mnist.load(FAMILY, tmp_path)


def test_verify_finds_one_changed_value_in_a_pack(tmp_path: Path) -> None:
    put(tmp_path)
    mnist.load(FAMILY, tmp_path)
    path = packed_folder(tmp_path) / "test.npy"
    path.write_bytes(other_value(path.read_bytes()))
    with pytest.raises(UserError, match=r"test\.npy is damaged: sha256 .*; delete .* to pack anew"):
        data.verify(card(), tmp_path)


def test_a_raw_file_damaged_after_packing_is_still_refused(tmp_path: Path) -> None:
    path = put(tmp_path) / f"{NAMES[0]}.gz"
    mnist.load(FAMILY, tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    assert data.state(card(), tmp_path)[0] == "damaged"
    with pytest.raises(UserError, match=r"that do not unpack.*the pack in .* is damaged or of other files"):
        mnist.load(FAMILY, tmp_path)


def test_verify_finds_a_raw_file_exchanged_after_packing(tmp_path: Path) -> None:
    path = put(tmp_path) / f"{NAMES[1]}.gz"
    mnist.load(FAMILY, tmp_path)
    before = path.read_bytes()
    path.write_bytes(before[:4] + bytes([before[4] ^ 1]) + before[5:])  # the time stamp in the archive's header
    with pytest.raises(UserError, match=f"{path} is not the file .* was packed from"):
        data.verify(card(), tmp_path)


def test_a_small_set_under_a_read_only_root_is_read_into_memory(tmp_path: Path, monkeypatch, read_only: list[Path]) -> None:
    root, here = tmp_path / "root", tmp_path / "here"
    put(root)
    here.mkdir()
    monkeypatch.chdir(here)
    root.chmod(0o555)
    read_only.append(root)
    check(mnist.load(FAMILY, root))
    assert [path.name for path in root.iterdir()] == ["MNIST"]
    assert not list(here.iterdir())
    assert data.pack(card(), root) == "mnist: loads without a pack of its own"


def test_a_large_set_under_a_read_only_root_is_packed_here(tmp_path: Path, monkeypatch, read_only: list[Path]) -> None:
    root, here = tmp_path / "root", tmp_path / "here"
    put(root)
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(pack, "SMALL", 1000)
    root.chmod(0o555)
    read_only.append(root)
    found = mnist.load(FAMILY, root)
    check(found)
    assert isinstance(found.train, np.memmap)  # not in memory
    assert (here / pack.places(root, FAMILY.name, FAMILY.convention)[1] / "meta.json").is_file()
    here.joinpath("data").rename(here / "elsewhere")
    here.chmod(0o555)
    read_only.append(here)
    with pytest.raises(UserError, match=r"cannot pack mnist .*: neither .*root nor data can be written"):
        mnist.load(FAMILY, root)


def test_a_full_disk_is_one_message_and_leaves_nothing(tmp_path: Path) -> None:
    big = np.zeros((100, 1, 28, 28), np.uint8)
    read = lambda root: {"train": pack.Stream.of(big), "test": pack.Stream.of(big)}
    with file_size_limit(40_000), pytest.raises(UserError, match=r"cannot pack big in .*: File too large; it takes 0.2 MB; make room"):
        pack.load(tmp_path, name="big", convention="", files=(), read=read)
    assert [path.suffix for path in (tmp_path / "packed").iterdir()] == [".lock"]
    np.testing.assert_array_equal(pack.load(tmp_path, name="big", convention="", files=(), read=read).train, big)


def test_what_a_killed_process_left_is_no_hindrance(tmp_path: Path) -> None:
    put(tmp_path)
    left = packed_folder(tmp_path).with_name(f".{packed_folder(tmp_path).name}.tmp")
    left.mkdir(parents=True)
    (left / "train.npy").write_bytes(b"half")
    check(mnist.load(FAMILY, tmp_path))
    assert not left.exists()


def test_blocks_are_written_in_order_and_counted(tmp_path: Path) -> None:
    rows = np.arange(40, dtype=np.uint8).reshape(10, 4)
    entry = pack.write_array(tmp_path / "a.npy", pack.Stream((10, 4), "|u1", iter([rows[:3], rows[3:9], rows[9:]])))
    np.testing.assert_array_equal(np.load(tmp_path / "a.npy"), rows)
    assert entry["sha256"] == hashlib.sha256(bytes(range(40))).hexdigest()
    with pytest.raises(ValueError, match="9 rows came, 10 were announced"):
        pack.write_array(tmp_path / "b.npy", pack.Stream((10, 4), "|u1", iter([rows[:9]])))


RACE = """
import sys, time
from pathlib import Path
import numpy as np
from bench.datasets import pack
root = Path(sys.argv[1])
def blocks():
    (root / f"decoded-{sys.argv[2]}").touch()
    time.sleep(0.5)
    yield np.full((3, 1, 2, 2), 7, np.uint8)
read = lambda root: {name: pack.Stream((3, 1, 2, 2), "|u1", blocks()) for name in ("train", "test")}
(root / f"ready-{sys.argv[2]}").touch()
while len(list(root.glob("ready-*"))) < 2: time.sleep(0.01)
print(pack.load(root, name="race", convention="", files=(), read=read).train.sum())
"""


def test_two_processes_pack_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", RACE, str(tmp_path)]
    both = [subprocess.Popen([*command, name], stdout=subprocess.PIPE, text=True) for name in "ab"]
    assert [process.communicate(timeout=120)[0] for process in both] == ["84\n", "84\n"]
    assert len(list(tmp_path.glob("decoded-*"))) == 1


# -- data list, fetch, verify, pack ------------------------------------------------------------------------------------


def card() -> Source:
    """The card of the small files."""
    return replace(mnist.source(FAMILY), counts={"train": TRAIN, "test": TEST})


def test_list_says_what_is_there(tmp_path: Path) -> None:
    assert data.state(card(), tmp_path) == ("missing", str(tmp_path / "MNIST" / "raw"))
    put(tmp_path)
    rows = data.rows([digits.DATASETS[0], card()], tmp_path)
    assert rows[0] == ("digits", "real", "1x8x8", "1,437", "360", "CC BY 4.0", "built in", "-")
    assert rows[1] == ("mnist", "real", "1x28x28", "12", "5", "CC BY-SA 3.0", "present", str(tmp_path / "MNIST" / "raw"))
    assert len(rows[0]) == len(data.HEADERS)
    mnist.load(FAMILY, tmp_path)
    assert data.state(card(), tmp_path) == ("packed", str(packed_folder(tmp_path)))


def test_verify_of_a_built_in_set_compares_it_with_its_card(tmp_path: Path) -> None:
    said = "digits: built in, 1,437 + 360 images, sha256 6731c3d5ee47927f"
    assert data.verify(digits.DATASETS[0], tmp_path) == said
    with pytest.raises(UserError, match="its card says"):
        data.verify(replace(digits.DATASETS[0], counts={"train": 1, "test": 1}), tmp_path)
    assert data.fetch(digits.DATASETS[0], tmp_path) == "digits: nothing to fetch, it needs no files"


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every address is behind a proxy that refuses connections."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


@pytest.mark.parametrize("source", [mnist.DATASETS[0], mnist.DATASETS[2]], ids=lambda source: source.name)
def test_fetch_without_a_network_says_what_to_do(tmp_path: Path, no_network: None, source: Source) -> None:
    folder = (tmp_path / "new" / source.files[0]).parent
    with pytest.raises(UserError) as caught:
        data.fetch(source, tmp_path / "new")
    said = str(caught.value)
    assert said.startswith(f"cannot fetch {source.name}: Error downloading train-images-idx3-ubyte.gz")
    assert said.endswith(f"take them from {source.url} and put them in {folder}")
    assert "\n" not in said
    assert not list((tmp_path / "new").iterdir())


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Not into the test's output."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """torchvision's mirror for the small files: a web server on this machine and the folder it shows."""
    import torchvision

    shown = put(tmp_path / "server")
    monkeypatch.setenv("no_proxy", "*")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(shown))) as httpd:
        threading.Thread(target=httpd.serve_forever, args=(0.01,), daemon=True).start()
        resources = [(path.name, hashlib.md5(path.read_bytes()).hexdigest()) for path in sorted(shown.iterdir())]
        monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [f"http://127.0.0.1:{httpd.server_port}/"])
        monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
        yield shown
        httpd.shutdown()


def test_fetch_downloads_into_torchvisions_layout(tmp_path: Path, server: Path) -> None:
    root = tmp_path / "root"
    folder = root / "MNIST" / "raw"
    assert data.fetch(card(), root) == f"mnist: fetched into {folder}, checksums good"
    assert {path.name for path in folder.iterdir()} == {*NAMES, *(f"{name}.gz" for name in NAMES)}
    check(mnist.load(FAMILY, root))
    for path in server.iterdir():  # the second time nothing is downloaded
        path.unlink()
    assert data.fetch(card(), root) == f"mnist: already in {folder}, checksums good"


def test_fetch_replaces_a_damaged_file(tmp_path: Path, server: Path) -> None:
    path = put(tmp_path / "root") / f"{NAMES[0]}.gz"
    path.write_bytes(path.read_bytes()[:100])
    data.fetch(card(), tmp_path / "root")
    check(mnist.load(FAMILY, tmp_path / "root"))


def test_a_download_of_something_else_does_not_enter_the_data_root(tmp_path: Path, server: Path) -> None:
    wrong = list(FAMILY.files)
    wrong[0] = replace(wrong[0], sha256="0" * 64)  # torchvision's own md5 is satisfied, ours is not
    with pytest.raises(UserError, match=r"cannot fetch mnist: .* is damaged .*expected sha256 .unpacked. 0000"):
        mnist.fetch(replace(FAMILY, files=(wrong[0], wrong[1], wrong[2], wrong[3])), tmp_path / "root")
    assert not list((tmp_path / "root").iterdir())


def test_fetch_into_a_read_only_root(tmp_path: Path, read_only: list[Path]) -> None:
    tmp_path.chmod(0o555)
    read_only.append(tmp_path)
    with pytest.raises(UserError, match="is not a writable folder; choose another with --data-root"):
        data.fetch(mnist.DATASETS[0], tmp_path / "data")


def test_writable(tmp_path: Path, read_only: list[Path]) -> None:
    assert raw.writable(tmp_path / "not" / "yet" / "there")
    (tmp_path / "file").touch()
    assert not raw.writable(tmp_path / "file" / "below")
    tmp_path.chmod(0o555)
    read_only.append(tmp_path)
    assert not raw.writable(tmp_path / "not" / "yet" / "there")


# -- the third split ---------------------------------------------------------------------------------------------------


def test_validation_images_are_a_tenth_of_training_never_of_test(tmp_path: Path) -> None:
    whole = digits.load(tmp_path)
    first, second = whole.with_validation(), whole.with_validation()
    assert first.sha256() == second.sha256()
    assert first.held_out == "validation"
    assert (len(first.train), len(first.test)) == (1293, 144)
    numbered = replace(whole, train_labels=np.arange(1437), test_labels=np.arange(1437, 1797)).with_validation()
    assert numbered.train_labels is not None
    assert numbered.test_labels is not None
    assert not set(numbered.train_labels) & set(numbered.test_labels)
    assert sorted([*numbered.train_labels, *numbered.test_labels]) == list(range(1437))
    np.testing.assert_array_equal(numbered.train, whole.train[numbered.train_labels])
    np.testing.assert_array_equal(numbered.test, whole.train[numbered.test_labels])
    source = digits.DATASETS[0]
    assert source.train_count("validation") == len(first.train)
    assert source.train_count("test") == len(whole.train)
