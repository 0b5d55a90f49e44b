"""Packed datasets: used, made again, refused, and made once by two processes."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from small_mnist import FAMILY, NAMES, card, check, contents, file_size_limit, other_value, packed_folder, put, read_only

from bench.commands import data
from bench.datasets import mnist
from bench.datasets.storage import pack
from bench.errors import UserError


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
    assert data.state(card(), tmp_path) == ("packed", "-", str(packed_folder(tmp_path)))
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


def test_a_small_set_under_a_read_only_root_is_read_into_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, here = tmp_path / "root", tmp_path / "here"
    put(root)
    here.mkdir()
    monkeypatch.chdir(here)
    with read_only(root):
        check(mnist.load(FAMILY, root))
        assert [path.name for path in root.iterdir()] == ["MNIST"]
        assert not list(here.iterdir())
        assert data.pack(card(), root) == "mnist: loads without a pack of its own"


def test_a_large_set_under_a_read_only_root_is_packed_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, here = tmp_path / "root", tmp_path / "here"
    put(root)
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(pack, "SMALL", 1000)
    with read_only(root):
        found = mnist.load(FAMILY, root)
    check(found)
    assert isinstance(found.train, np.memmap)  # not in memory
    assert (here / pack.places(root, FAMILY.name, FAMILY.convention)[1] / "meta.json").is_file()
    here.joinpath("data").rename(here / "elsewhere")
    with read_only(root, here), pytest.raises(UserError, match=r"cannot pack mnist .*: neither .*root nor data can be written"):
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
from bench.datasets.storage import pack
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
    both = [subprocess.Popen([*command, name], cwd=Path(__file__).parents[4], stdout=subprocess.PIPE, text=True) for name in "ab"]
    assert [process.communicate(timeout=120)[0] for process in both] == ["84\n", "84\n"]
    assert len(list(tmp_path.glob("decoded-*"))) == 1
