"""Reading idx files: small ones in the real layout, whole, damaged and missing."""

import gzip
import struct
from pathlib import Path

import pytest
from small_mnist import FAMILY, NAMES, TRAIN, card, check, contents, file_size_limit, idx, other_value, packed_folder, put

from bench.commands import data
from bench.datasets import mnist
from bench.errors import UserError


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
