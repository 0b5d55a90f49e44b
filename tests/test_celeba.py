"""CelebA: small sets in the official layout, cropped and resized as SPEC 2 says."""

import hashlib
import io
import math
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.datasets import celeba, data, pack
from bench.errors import UserError

SPLITS = [0, 0, 2, 1, 0, 2]  # of images 1..6, as list_eval_partition.txt has them


def photo(seed: int) -> Image.Image:
    """218 x 178 of smooth colour that differs everywhere."""
    y, x = np.mgrid[0:218, 0:178]
    waves = [np.sin(x * f + seed) + np.cos(y * g) for f, g in ((0.05, 0.03), (0.11, 0.07), (0.02, 0.13))]
    return Image.fromarray((127 + 60 * np.stack(waves, -1)).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=95)
    return buffer.getvalue()


def put(root: Path, archive: bool = True, images: dict[str, bytes] | None = None) -> Path:
    """The official layout with six images; returns the archive or the folder."""
    folder = root / "celeba"
    folder.mkdir(parents=True)
    names = [f"{number:06d}.jpg" for number in range(1, 7)]
    (folder / "list_eval_partition.txt").write_text("".join(f"{name} {k}\n" for name, k in zip(names, SPLITS, strict=True)))
    files = {name: encoded(photo(number)) for number, name in enumerate(names)} | (images or {})
    if archive:
        with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as out:
            for name, content in files.items():
                out.writestr(f"img_align_celeba/{name}", content)
        return folder / "img_align_celeba.zip"
    (folder / "img_align_celeba").mkdir()
    for name, content in files.items():
        (folder / "img_align_celeba" / name).write_bytes(content)
    return folder / "img_align_celeba"


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


def test_crop_and_resize_are_the_convention() -> None:
    noise = np.random.default_rng(5).integers(64, 192, (218, 178, 3), np.uint8)  # smooth images hide the kernel's shape
    image = Image.fromarray(noise)
    found = celeba.face(encoded(image, "PNG"), "noise").astype(float)
    assert found.shape == (3, 64, 64)
    crop = np.asarray(image, float)[39:179, 19:159]  # rows top..bottom, columns left..right
    for channel in range(3):
        rows = np.stack([lanczos(line, 64) for line in crop[:, :, channel]])
        expected = np.stack([lanczos(line, 64) for line in rows.T]).T
        assert np.abs(found[channel] - expected).max() < 1.1  # two roundings of Pillow's


def test_nothing_outside_the_box_is_seen() -> None:
    pixels = np.zeros((218, 178, 3), np.uint8)
    pixels[39:179, 19:159] = 200
    assert (celeba.face(encoded(Image.fromarray(pixels), "PNG"), "frame") == 200).all()
    pixels[39] = 0  # the box's first row
    assert (celeba.face(encoded(Image.fromarray(pixels), "PNG"), "frame")[:, 0] < 200).all()


@pytest.mark.parametrize("block", [1, 2, 256])
def test_official_splits_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(celeba, "BLOCK", block)
    put(tmp_path)
    found = celeba.load(tmp_path)
    for split, numbers in (("train", (0, 1, 4)), ("test", (2, 5))):
        expected = [celeba.face(encoded(photo(number)), "") for number in numbers]
        np.testing.assert_array_equal(getattr(found, split), np.stack(expected))


def test_archive_and_folder_give_the_same(tmp_path: Path) -> None:
    put(tmp_path / "a")
    put(tmp_path / "b", archive=False)
    assert celeba.load(tmp_path / "a").sha256() == celeba.load(tmp_path / "b").sha256()


def test_the_pack_outlives_the_archive(tmp_path: Path) -> None:
    archive = put(tmp_path)
    before = celeba.load(tmp_path).sha256()
    archive.unlink()
    assert celeba.load(tmp_path).sha256() == before
    assert data.state(celeba.DATASETS[0], tmp_path)[0] == "packed"
    assert data.verify(celeba.DATASETS[0], tmp_path).startswith("celeba64_140: pack ")


def test_a_large_pack_stays_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "SMALL", 3 * 64 * 64)
    put(tmp_path)
    found = celeba.load(tmp_path)
    assert isinstance(found.train, np.memmap)
    assert found.train.shape == (3, 3, 64, 64)
    np.testing.assert_array_equal(found.test[1], celeba.face(encoded(photo(5)), ""))


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
        celeba.load(tmp_path)
    assert not [path for path in (tmp_path / "packed").iterdir() if path.is_dir()]


def test_missing_images_are_found_before_any_work(tmp_path: Path) -> None:
    folder = put(tmp_path, archive=False)
    (folder / "000002.jpg").unlink()
    (folder / "000006.jpg").unlink()
    with pytest.raises(UserError, match=r"2 listed images are missing, such as 000002\.jpg"):
        celeba.load(tmp_path)
    assert not (tmp_path / "packed").exists()


def test_a_truncated_archive(tmp_path: Path) -> None:
    archive = put(tmp_path)
    archive.write_bytes(archive.read_bytes()[:-200])
    with pytest.raises(UserError, match=rf"img_align_celeba\.zip is damaged \({archive.stat().st_size:,} bytes\): File is not a zip"):
        celeba.load(tmp_path)


def test_a_changed_byte_in_the_archive(tmp_path: Path) -> None:
    archive = put(tmp_path)
    whole = bytearray(archive.read_bytes())
    whole[3000] ^= 255
    archive.write_bytes(whole)
    with pytest.raises(UserError, match=r"000001\.jpg cannot be read: Bad CRC-32"):
        celeba.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("000001.jpg 0\n000002.jpg 3\n", "line 2: '000002.jpg 3' is not a file name and 0, 1 or 2"),
        ("000001.jpg\n", "line 1: '000001.jpg' is not"),
        ("000001.jpg 0\n", "lists no test image"),
        ("", "lists no train image"),
    ],
)
def test_a_bad_partition_file(tmp_path: Path, text: str, says: str) -> None:
    put(tmp_path)
    (tmp_path / "celeba" / "list_eval_partition.txt").write_text(text)
    with pytest.raises(UserError, match=says):
        celeba.load(tmp_path)


def test_missing_files_are_one_message(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        celeba.load(tmp_path)
    said = str(caught.value)
    assert f"2 of 2 files missing in {tmp_path / 'celeba'}: img_align_celeba.zip, list_eval_partition.txt" in said
    for way in ("python -m bench data fetch celeba64_140", celeba.URL, "LATENTBENCH_DATA"):
        assert way in said


def test_verify_compares_with_the_official_checksums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import CelebA

    archive = put(tmp_path)
    with pytest.raises(UserError, match=r"with md5 [0-9a-f]{32}, expected 00d2c5bc6d35e252742224ab0c1e8fcb"):
        data.verify(celeba.DATASETS[0], tmp_path)
    paths = (archive, tmp_path / "celeba" / "list_eval_partition.txt")
    monkeypatch.setattr(CelebA, "file_list", [("id", hashlib.md5(path.read_bytes()).hexdigest(), path.name) for path in paths])
    assert data.verify(celeba.DATASETS[0], tmp_path) == "celeba64_140: raw files good"


def test_fetch_that_cannot_names_page_and_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # refuses; and without the package gdown nothing is even asked
    with pytest.raises(UserError) as caught:
        data.fetch(celeba.DATASETS[0], tmp_path)
    said = str(caught.value)
    assert said.startswith("cannot fetch celeba64_140: ")
    for word in (celeba.URL, "img_align_celeba.zip", "list_eval_partition.txt", str(tmp_path / "celeba")):
        assert word in said
    assert not list(tmp_path.iterdir())


def test_the_card_states_the_official_counts() -> None:
    assert celeba.DATASETS[0].counts == {"train": 162_770, "test": 19_962}
    assert sum(celeba.DATASETS[0].counts.values()) + 19_867 == 202_599
