"""CelebA: small sets in the official layout, cropped, resized and split as SPEC 2 says, by one process and by several."""

import math
import random
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from harness import cli, suite_of_images
from PIL import Image
from small_celeba import NAMES, SPLITS, card, encoded, load, named, names, packed_folder, photo, put, small

from bench.commands import data
from bench.datasets import celeba
from bench.datasets.celeba import CROP_140, CROP_178
from bench.datasets.storage import celeba_files as faces
from bench.datasets.storage import decoding, pack, raw
from bench.datasets.storage.celeba_files import View
from bench.datasets.storage.image_files import Encoded
from bench.errors import UserError

VIEWS = {"celeba64_140": View((19, 39, 159, 179), 64), "celeba64_178": View((0, 20, 178, 198), 64), "celeba128": View(None, 128)}


def face(name: str, image: Image.Image, kind: str = "JPEG") -> np.ndarray:
    return faces.face(named(name).view, Encoded(encoded(image, kind), "an image"))


def listing(splits: tuple[int, ...]) -> str:
    return "".join(f"{name} {k}\n" for name, k in zip(names(len(splits)), splits, strict=True))


def lanczos(line: np.ndarray, size: int) -> np.ndarray:
    """Antialiased Lanczos-3 of one line as loops: the kernel is stretched by the scale, weights add up to 1."""
    scale, out = len(line) / size, np.zeros(size)
    for i in range(size):
        centre, weights = (i + 0.5) * scale, np.zeros(len(line))
        for j in range(len(line)):
            t = (j + 0.5 - centre) / scale
            if abs(t) < 3:
                weights[j] = 1.0 if t == 0 else 3 * math.sin(math.pi * t) * math.sin(math.pi * t / 3) / (math.pi * t) ** 2
        out[i] = weights @ line / weights.sum()
    return out


@pytest.mark.parametrize(
    ("name", "rows", "columns", "side"),
    [
        ("celeba64_140", slice(39, 179), slice(19, 159), 64),
        ("celeba64_140_wae", slice(39, 179), slice(19, 159), 64),
        ("celeba64_178", slice(20, 198), slice(0, 178), 64),
        ("celeba128", slice(0, 218), slice(0, 178), 128),
    ],
)
def test_crop_and_resize_are_the_convention(name: str, rows: slice, columns: slice, side: int) -> None:
    noise = np.random.default_rng(5).integers(64, 192, (218, 178, 3), np.uint8)  # smooth images hide the kernel's shape
    image = Image.fromarray(noise)
    found = face(name, image, "PNG").astype(float)
    assert found.shape == (3, side, side) == card(name).shape
    crop = np.asarray(image, float)[rows, columns]
    channel = 1
    half = np.stack([lanczos(line, side) for line in crop[:, :, channel]])
    expected = np.stack([lanczos(line, side) for line in half.T]).T
    assert np.abs(found[channel] - expected).max() < 1.1  # two roundings of Pillow's


@pytest.mark.parametrize("name", ["celeba64_140", "celeba64_178"])
def test_nothing_outside_the_box_is_seen(name: str) -> None:
    left, top, right, bottom = VIEWS[name].box or ()
    pixels = np.zeros((218, 178, 3), np.uint8)
    pixels[top:bottom, left:right] = 200
    assert (face(name, Image.fromarray(pixels), "PNG") == 200).all()
    for edge, seen in ((np.s_[top], np.s_[:, 0]), (np.s_[bottom - 1], np.s_[:, -1]), (np.s_[:, right - 1], np.s_[:, :, -1])):
        cut = pixels.copy()
        cut[edge] = 0  # the box's first and last row and its last column
        assert (face(name, Image.fromarray(cut), "PNG")[seen] < 200).all()


def test_conventions_are_named_apart_and_state_what_they_are() -> None:
    found = {convention.name: convention.protocol for convention in celeba.CONVENTIONS}
    assert len(set(found.values())) == len(found) == 4
    assert found["celeba64_140"] == "CelebA aligned, crop box (19, 39, 159, 179), 64x64 by Pillow's Lanczos, value/255, official split"
    assert all(str(CROP_140) in found[name] for name in ("celeba64_140", "celeba64_140_wae"))
    assert str(CROP_178) in found["celeba64_178"]
    assert "seed 123" in found["celeba64_140_wae"]
    assert all(part in found["celeba128"] for part in ("178x218 squeezed to 128x128", "180,000", "RandomState(0)"))
    assert {name: source.counts for name, source in zip(NAMES, celeba.DATASETS, strict=True)} == {
        "celeba64_140": {"train": 162_770, "test": 19_962},
        "celeba64_140_wae": {"train": 182_599, "test": 20_000},
        "celeba64_178": {"train": 162_770, "test": 19_962},
        "celeba128": {"train": 180_000, "test": 20_000},
    }
    assert 162_770 + 19_867 + 19_962 == 182_599 + 20_000 == 202_599 == named("celeba128").images


@pytest.mark.parametrize("block", [1, 2, 256])
def test_official_splits_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(faces, "BLOCK_BYTES", block * 3 * 64 * 64)
    monkeypatch.setattr(decoding, "WORKERS", 1)
    put(tmp_path)
    for name in ("celeba64_140", "celeba64_178"):
        found = load(tmp_path, name)
        for split, numbers in (("train", (0, 1, 4)), ("test", (2, 5))):
            np.testing.assert_array_equal(getattr(found, split), np.stack([face(name, photo(number)) for number in numbers]))


@pytest.fixture(scope="module")
def everyone() -> dict[str, list[str]]:
    """All 202,599 names in the official proportions."""
    listed = names(202_599)
    return {"train": listed[:162_770], "validation": listed[162_770:182_637], "test": listed[182_637:]}


def test_the_seeded_split_of_wae_is_its_codes(everyone: dict[str, list[str]]) -> None:
    generator = random.Random(123)
    assert generator.random() == 0.052363598850944326  # the Mersenne twister's first number for 123, in Python 2 as in 3
    generator.seed(123)
    order = list(range(1, 202_600))
    for i in range(202_598, 0, -1):  # Fisher and Yates from the end, as Python 2.7's Lib/random.py has it
        j = math.floor((i + 1) * generator.random())
        order[i], order[j] = order[j], order[i]
    found = celeba.wae(everyone, {"train": 182_599, "test": 20_000})
    assert found["test"] == [f"{number:06d}.jpg" for number in sorted(order[182_599:])]
    assert found["train"] == [f"{number:06d}.jpg" for number in sorted(order[:182_599])]


def test_the_split_of_ladder_is_drawn_once_for_all(everyone: dict[str, list[str]]) -> None:
    found = celeba.ladder(everyone, {"train": 180_000, "test": 20_000})
    order = np.random.RandomState(0).permutation(202_599) + 1
    assert found["test"] == [f"{number:06d}.jpg" for number in np.sort(order[:20_000])]
    assert found["train"] == [f"{number:06d}.jpg" for number in np.sort(order[20_000:200_000])]
    assert not set(found["train"]) & set(found["test"])


@pytest.mark.parametrize("name", NAMES)
def test_a_pack_holds_the_images_of_its_split(tmp_path: Path, name: str) -> None:
    put(tmp_path)
    convention, found = small(name), load(tmp_path, name)
    lists = celeba.chosen(convention, tmp_path / "celeba" / "list_eval_partition.txt")
    assert {split: len(of) for split, of in lists.items()} == convention.counts
    assert len(set(lists["train"]) | set(lists["test"])) == sum(convention.counts.values())
    for split, of in lists.items():
        assert of == sorted(of)
        expected = [face(name, photo(int(file[:6]) - 1)) for file in of]
        np.testing.assert_array_equal(getattr(found, split), np.stack(expected))
    assert packed_folder(tmp_path, name).is_dir()


def test_several_processes_give_the_same_bytes_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "BLOCK_BYTES", 2 * 3 * 64 * 64)
    many = SPLITS * 4
    for root, cores in (("one", 1), ("three", 3)):
        put(tmp_path / root, splits=many)
        monkeypatch.setattr(decoding, "cores", lambda cores=cores: cores)
        load(tmp_path / root, splits=many)
    one, three = ((packed_folder(tmp_path / root) / "train.npy").read_bytes() for root in ("one", "three"))
    assert one == three


def test_a_bad_image_in_another_process_is_named_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "BLOCK_BYTES", 3 * 64 * 64)
    monkeypatch.setattr(decoding, "cores", lambda: 2)
    put(tmp_path, images={"000005.jpg": b"no image"})
    with pytest.raises(UserError, match=r"000005\.jpg is damaged \(8 bytes\)"):
        load(tmp_path)


def test_the_workers_are_at_most_two_tasks_ahead() -> None:
    taken = []

    def tasks() -> Iterator[list[Encoded]]:
        for number in range(20):
            taken.append(number)
            yield [Encoded(encoded(photo(0)), str(number))]

    with decoding.mapper(2) as in_order:
        for number, _ in enumerate(in_order(partial(decoding.block, partial(faces.face, View(None, 8))), tasks())):
            assert len(taken) <= number + 2 * 2
    assert taken == list(range(20))


def test_archive_and_folder_give_the_same(tmp_path: Path) -> None:
    put(tmp_path / "a")
    put(tmp_path / "b", archive=False)
    assert load(tmp_path / "a").sha256() == load(tmp_path / "b").sha256()


def repacked(archive: Path, folder: str, *more: str) -> None:
    """The archive with its images in another folder, or at its root, after entries of `more`."""
    with zipfile.ZipFile(archive) as before:
        images = {Path(name).name: before.read(name) for name in before.namelist()}
    with zipfile.ZipFile(archive, "w") as out:
        for name in more:
            out.writestr(name, b"")
        for name, content in images.items():
            out.writestr(f"{folder}{name}", content)


@pytest.mark.parametrize("more", [(), ("img_align_celeba/",), ("__MACOSX/", "readme.txt")])
@pytest.mark.parametrize("folder", ["", "img_align_celeba/"])
def test_an_archive_with_its_images_at_the_root_gives_the_same(tmp_path: Path, folder: str, more: tuple[str, ...]) -> None:
    put(tmp_path / "a")
    repacked(put(tmp_path / "b"), folder, *more)
    assert load(tmp_path / "a").sha256() == load(tmp_path / "b").sha256()


@pytest.mark.parametrize("folder", ["celeba/", "a/img_align_celeba/", "/"])
def test_an_archive_with_its_images_elsewhere_is_one_line(tmp_path: Path, folder: str) -> None:
    archive = put(tmp_path)
    repacked(archive, folder)
    with pytest.raises(
        UserError,
        match=rf"^{archive}: 5 listed images are missing, such as 000001\.jpg of list_eval_partition\.txt; take it again from http",
    ):
        load(tmp_path)
    assert not (tmp_path / "packed").exists()


def test_every_name_that_is_checked_can_be_read(tmp_path: Path) -> None:
    for folder in ("", "img_align_celeba/"):
        archive = put(tmp_path / (folder or "root"))
        repacked(archive, folder)
        images = faces.album(archive)
        assert images.names == set(names(6))
        assert {name: images.read(name) for name in images.names} == {name: encoded(photo(i)) for i, name in enumerate(names(6))}


def test_an_archive_with_a_password_is_one_line(tmp_path: Path) -> None:
    archive = put(tmp_path)
    content = bytearray(archive.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag of encryption, in each header of a file
        at = -1
        while (at := content.find(signature, at + 1)) >= 0:
            content[at + offset] |= 1
    archive.write_bytes(content)
    with pytest.raises(UserError, match=r"000001\.jpg cannot be read: .*encrypted.*; take it again from"):
        load(tmp_path)


def test_grey_of_sixteen_bits_has_its_values(tmp_path: Path) -> None:
    """Not white, which clipping at 255 makes of them."""
    wide = np.arange(218 * 178, dtype=np.uint16).reshape(218, 178)
    found = face("celeba128", Image.fromarray(wide), "PNG")
    eight = Image.fromarray(np.rint(wide / 257).astype(np.uint8))
    np.testing.assert_array_equal(found, face("celeba128", eight, "PNG"))
    assert 60 < found.mean() < 90


def test_the_pack_outlives_the_archive(tmp_path: Path) -> None:
    archive = put(tmp_path)
    before = load(tmp_path).sha256()
    archive.unlink()
    assert load(tmp_path).sha256() == before
    assert data.state(card(), tmp_path)[0] == "packed"
    assert data.verify(card(), tmp_path).startswith("celeba64_140: pack ")


def test_a_large_pack_stays_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "SMALL", 3 * 64 * 64)
    put(tmp_path)
    found = load(tmp_path)
    assert isinstance(found.train, np.memmap)
    assert found.train.shape == (3, 3, 64, 64)
    np.testing.assert_array_equal(found.test[1], face("celeba64_140", photo(5)))


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (encoded(photo(1))[:2000], r"000005\.jpg is damaged \(2,000 bytes\)"),
        (b"", r"000005\.jpg is damaged \(0 bytes\)"),
        (encoded(Image.new("RGB", (64, 64))), r"000005\.jpg has \(width, height\) \(64, 64\), .* \(178, 218\)"),
    ],
)
def test_a_bad_image_is_named_and_nothing_is_left(tmp_path: Path, archive: bool, content: bytes, says: str) -> None:
    put(tmp_path, archive, {"000005.jpg": content})
    with pytest.raises(UserError, match=says):
        load(tmp_path)
    assert not [path for path in (tmp_path / "packed").iterdir() if path.is_dir()]


def test_missing_images_are_found_before_any_work(tmp_path: Path) -> None:
    folder = put(tmp_path, archive=False)
    (folder / "000002.jpg").unlink()
    (folder / "000006.jpg").unlink()
    with pytest.raises(UserError, match=r"2 listed images are missing, such as 000002\.jpg"):
        load(tmp_path)
    assert not (tmp_path / "packed").exists()


def test_a_truncated_archive(tmp_path: Path) -> None:
    archive = put(tmp_path)
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(UserError, match=rf"img_align_celeba\.zip is damaged \({archive.stat().st_size:,} bytes\): File is not a zip"):
        load(tmp_path)


def test_a_changed_byte_in_the_archive(tmp_path: Path) -> None:
    archive = put(tmp_path)
    whole = bytearray(archive.read_bytes())
    whole[3000] ^= 255
    archive.write_bytes(whole)
    with pytest.raises(UserError, match=r"000001\.jpg cannot be read: Bad CRC-32"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("000001.jpg 0\n000002.jpg 3\n", "line 2: '000002.jpg 3' is not a file name and 0, 1 or 2"),
        ("000001.jpg\n", "line 1: '000001.jpg' is not"),
        (
            "".join(f"{name} {k}\n" for name, k in zip(names(5), SPLITS[:5], strict=True)),
            "lists 5 different images in 5 lines, .* 6: .* cut short",
        ),
        ("", "lists 0 different images in 0 lines"),
        ("000001.jpg 0\n" * 6, "lists 1 different images in 6 lines"),
        (listing((0, 0, 2, 1, 1, 2)), "gives 2 train images, 3 expected"),
    ],
)
def test_a_bad_partition_file(tmp_path: Path, text: str, says: str) -> None:
    put(tmp_path)
    (tmp_path / "celeba" / "list_eval_partition.txt").write_text(text)
    with pytest.raises(UserError, match=says):
        load(tmp_path)


@pytest.mark.parametrize("name", NAMES)
def test_missing_files_are_one_message(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError) as caught:
        celeba.load(named(name), tmp_path)
    said = str(caught.value)
    assert f"2 of 2 files missing in {tmp_path / 'celeba'}: img_align_celeba.zip, list_eval_partition.txt" in said
    for way in (f"python -m bench data fetch {name}", faces.URL, "LATENTBENCH_DATA"):
        assert way in said


def test_a_missing_partition_file_is_said_where_the_archive_is(tmp_path: Path) -> None:
    put(tmp_path)
    (tmp_path / "celeba" / "list_eval_partition.txt").unlink()
    with pytest.raises(UserError, match=r"1 of 2 files missing in .*celeba: list_eval_partition\.txt; download"):
        load(tmp_path)
    assert data.state(card(), tmp_path)[0] == "incomplete"


def test_verify_compares_with_the_official_checksums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import CelebA

    archive = put(tmp_path)
    with pytest.raises(UserError, match=r"with md5 [0-9a-f]{32}, expected 00d2c5bc6d35e252742224ab0c1e8fcb"):
        data.verify(card(), tmp_path)
    paths = (archive, tmp_path / "celeba" / "list_eval_partition.txt")
    monkeypatch.setattr(CelebA, "file_list", [("id", raw.md5(path), path.name) for path in paths])
    assert data.verify(card(), tmp_path) == "celeba64_140: raw files good"


def test_fetch_that_cannot_names_page_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # refuses
    with pytest.raises(UserError) as caught:
        data.fetch(celeba.DATASETS[0], tmp_path)
    said = str(caught.value)
    assert said.startswith("cannot fetch celeba64_140: ")
    for word in (faces.URL, "img_align_celeba.zip", "list_eval_partition.txt", str(tmp_path / "celeba")):
        assert word in said
    assert "\n" not in said
    assert not list(tmp_path.iterdir())


PLUGIN = """
from dataclasses import replace
from bench.datasets import celeba
whole = next(convention for convention in celeba.CONVENTIONS if convention.name == {name!r})
DATASETS = [celeba.source(replace(whole, name="small", counts={counts}, images={images}))]
"""


@pytest.mark.parametrize("name", ["celeba64_140", "celeba128"])
def test_it_trains_a_few_steps_through_the_harness(tmp_path: Path, name: str) -> None:
    splits = SPLITS * 6
    put(tmp_path / "data", splits=splits)
    convention = replace(small(name, splits), name="small")
    file = suite_of_images(tmp_path, PLUGIN.format(name=name, counts=dict(convention.counts), images=convention.images))
    result = cli("run", "-s", file, "-o", tmp_path, "--data-root", tmp_path / "data", "--no-profile")
    assert result.code == 0, result.err
    record = (tmp_path / "leaderboards" / "runs" / "tiny.jsonl").read_text()
    assert convention.protocol in record
    assert result.err == ""  # no bar where there is no terminal
    assert pack.places(tmp_path / "data", "small", convention.protocol)[0].is_dir()
