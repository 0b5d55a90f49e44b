"""A folder of one's own images as a dataset: what is found out, how it is split, cropped and packed, and what is said of a bad one."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from folders import folder, image
from PIL import Image

from bench.commands import data
from bench.datasets import folder as folders
from bench.datasets.dataset import Source
from bench.datasets.storage import decoding, pack
from bench.errors import UserError
from bench.registry import catalogue


def card(base: Path, name: str = "folder:photos") -> Source:
    return folders.source(name, base)


def content(array: np.ndarray) -> set[bytes]:
    return {one.tobytes() for one in array}


def test_size_channels_and_counts_are_found_out(tmp_path: Path) -> None:
    folder(tmp_path / "photos", 12)
    found = card(tmp_path)
    assert found.shape == (3, 36, 40)  # all of one size, small: as they are
    assert found.counts == {"train": 10, "test": 2}
    images = found.load(tmp_path / "data")
    assert found.mismatch(images) is None
    assert images.train_labels is None
    together = {*content(images.train), *content(images.test)}
    assert together == {np.asarray(image(seed)).transpose(2, 0, 1).tobytes() for seed in range(12)}


def test_grey_images_stay_grey(tmp_path: Path) -> None:
    folder(tmp_path / "photos", mode="L")
    assert card(tmp_path).shape == (1, 36, 40)
    np.testing.assert_array_equal(
        sorted(card(tmp_path).load(tmp_path).train.mean((1, 2, 3)))[0],
        min(np.asarray(Image.open(tmp_path / "photos" / name)).mean() for name in names(tmp_path, "train")),
    )


def names(base: Path, split: str, name: str = "photos") -> list[str]:
    from bench.datasets.storage.folder_files import album

    return [file.name for file in album(base / name).splits[split]]


@pytest.mark.parametrize(("smallest", "side"), [((64, 90), 64), ((63, 200), 32), ((300, 32), 32)])
def test_images_of_several_sizes_become_squares_by_the_rule(tmp_path: Path, smallest: tuple[int, int], side: int) -> None:
    folder(tmp_path / "photos", 11, (100, 120))
    image(99, smallest).save(tmp_path / "photos" / "small.png")
    assert card(tmp_path).shape == (3, side, side)
    assert f"central squares resized to {side}x{side} by Pillow's Lanczos" in card(tmp_path).convention


def test_large_images_of_one_size_become_squares_too(tmp_path: Path) -> None:
    folder(tmp_path / "photos", 12, (65, 40))
    assert card(tmp_path).shape == (3, 32, 32)


def test_an_image_is_its_central_square_resized(tmp_path: Path) -> None:
    folder(tmp_path / "photos", 12, (101, 60))
    images = card(tmp_path, "folder:photos,image_size=16").load(tmp_path)
    first = Image.open(tmp_path / "photos" / names(tmp_path, "train")[0]).crop((20, 0, 80, 60)).resize((16, 16), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(images.train[0], np.asarray(first).transpose(2, 0, 1))
    squeezed = card(tmp_path, "folder:photos,image_size=16,crop=squeeze").load(tmp_path).train[0]
    whole = Image.open(tmp_path / "photos" / names(tmp_path, "train")[0]).resize((16, 16), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(squeezed, np.asarray(whole).transpose(2, 0, 1))


def test_photographs_are_upright(tmp_path: Path) -> None:
    """A telephone writes a turned image and says so; its size counts turned as well."""
    folder(tmp_path / "photos", 12, (30, 50))
    exif = Image.Exif()
    exif[0x0112] = 6
    for seed in range(12):
        image(seed, (50, 30)).save(tmp_path / "photos" / f"{seed:02}.png", exif=exif)
    assert card(tmp_path).shape == (3, 50, 30)
    turned = np.asarray(image(0, (50, 30))).transpose(2, 0, 1)
    assert np.rot90(turned, -1, (1, 2)).tobytes() in content(np.concatenate([(d := card(tmp_path).load(tmp_path)).train, d.test]))


def test_one_in_five_is_held_out_by_its_content_alone(tmp_path: Path) -> None:
    folder(tmp_path / "photos", 50)
    before = {(tmp_path / "photos" / name).read_bytes() for name in names(tmp_path, "test")}
    assert len(before) == 10
    for number in range(50):
        os.rename(tmp_path / "photos" / f"{number:02}.png", tmp_path / "photos" / f"x{(7 * number) % 50:02}.png")
    assert {(tmp_path / "photos" / name).read_bytes() for name in names(tmp_path, "test")} == before
    image(500).save(tmp_path / "photos" / "one_more.png")
    after = {(tmp_path / "photos" / name).read_bytes() for name in names(tmp_path, "test")}
    assert len(before - after) <= 1


def test_the_same_image_twice_is_taken_once(tmp_path: Path) -> None:
    folder(tmp_path / "photos", 20)
    for number in range(20):
        shutil.copy(tmp_path / "photos" / f"{number:02}.png", tmp_path / "photos" / f"copy_{number:02}.png")
    found = card(tmp_path)
    assert found.counts == {"train": 16, "test": 4}
    assert "20 repeated left out" in found.convention
    images = found.load(tmp_path)
    assert not content(images.train) & content(images.test)


def test_train_and_test_are_the_splits_where_they_are(tmp_path: Path) -> None:
    folder(tmp_path / "photos" / "train", 8)
    folder(tmp_path / "photos" / "test", 3, first=50)
    folder(tmp_path / "photos" / "validation", 5, first=80)
    found = card(tmp_path)
    assert found.counts == {"train": 8, "test": 3}
    assert "split by its subfolders" in found.convention
    assert content(found.load(tmp_path).test) == {np.asarray(image(50 + seed)).transpose(2, 0, 1).tobytes() for seed in range(3)}


@pytest.mark.parametrize("given", [False, True])
def test_subfolders_are_classes(tmp_path: Path, given: bool) -> None:
    splits = ["train", "test"] if given else [""]
    for split in splits:
        for number, name in enumerate(("dogs", "cats", "emus")):
            folder(tmp_path / "photos" / split / name, 6, first=100 * number + 50 * (split == "test"))
    images = card(tmp_path).load(tmp_path)
    assert images.train_labels is not None
    assert images.test_labels is not None
    classes = ["cats", "dogs", "emus"]
    of = {
        np.asarray(image(100 * i + 50 * t + s)).transpose(2, 0, 1).tobytes(): c
        for i, c in enumerate((1, 0, 2))
        for s in range(6)
        for t in (0, 1)
    }
    for split in ("train", "test"):
        labels = getattr(images, f"{split}_labels")
        assert labels.dtype == np.int64
        assert [of[one.tobytes()] for one in getattr(images, split)] == list(labels)
        paths = [name.split("/")[given] for name in names(tmp_path, split)]
        assert [classes[label] for label in labels] == paths


def test_an_image_beside_the_subfolders_means_no_classes(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b")):
        folder(tmp_path / "photos" / name, 6, first=100 * number)
    image(999).save(tmp_path / "photos" / "other.png")
    images = card(tmp_path).load(tmp_path)
    assert images.train_labels is None
    assert len(images.train) + len(images.test) == 13


def test_another_content_is_another_hash_and_another_pack(tmp_path: Path) -> None:
    folder(tmp_path / "photos", 12)
    first = card(tmp_path)
    first.load(tmp_path)
    assert card(tmp_path).content == first.content
    assert card(tmp_path, "folder:photos,image_size=8").content == first.content
    image(77).save(tmp_path / "photos" / "00.png")
    second = card(tmp_path)
    assert second.content != first.content
    assert content(second.load(tmp_path).train) != content(first.load(tmp_path).train)
    assert len(list((tmp_path / "packed").glob("folder-photos-*.lock"))) == 2
    (tmp_path / "photos" / "00.png").rename(tmp_path / "photos" / "renamed.png")
    assert card(tmp_path).content != second.content  # names decide the order, and labels


def test_a_pack_is_used_and_verified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path / "my" / "photos", 12)
    source = catalogue((f"folder:{tmp_path}",)).get("dataset", "folder:my/photos")
    assert data.pack(source, tmp_path) == f"folder:my/photos: packed in {pack.places(tmp_path, source.name, source.convention)[0]}"
    assert pack.places(tmp_path, source.name, source.convention)[0].parent == tmp_path / "packed"  # whatever the path has in it
    assert data.verify(source, tmp_path).startswith("folder:my/photos: of your own, 10 + 2 images, sha256 ")
    monkeypatch.setattr(decoding, "blocks", None)
    source.load(tmp_path)


@pytest.mark.parametrize("together", [1, 10**9])
def test_blocks_and_processes_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, together: int) -> None:
    folder(tmp_path / "photos", 12, (100, 80))
    expected = card(tmp_path).load(tmp_path / "one").sha256()
    monkeypatch.setattr(folders, "TOGETHER", together)
    monkeypatch.setattr(folders, "ALONE", 0)
    monkeypatch.setattr(decoding, "cores", lambda: 2)
    assert card(tmp_path).load(tmp_path / "two").sha256() == expected


@pytest.mark.timeout(60)
def test_a_pipe_named_as_an_image_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(folder(tmp_path / "photos", 12) / "12.png")
    with pytest.raises(UserError, match=r"photos/12\.png is no regular file$"):
        card(tmp_path)


def test_a_file_that_changes_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    folder(tmp_path / "photos", 12)
    found = card(tmp_path)
    image(77).save(tmp_path / "photos" / "03.png")
    with pytest.raises(UserError, match=r"03\.png was changed while it was read; start again"):
        found.load(tmp_path)


def test_a_telephones_photograph_with_previews_is_its_first_frame(tmp_path: Path) -> None:
    folder(tmp_path / "photos", 11)
    image(50).save(tmp_path / "photos" / "phone.jpg", "MPO", save_all=True, append_images=[image(51)])
    images = card(tmp_path).load(tmp_path)
    assert len(images.train) + len(images.test) == 12


def test_links_are_followed_and_hidden_files_are_not_read(tmp_path: Path) -> None:
    folder(tmp_path / "elsewhere", 12)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "photos" / "._00.png").write_bytes(b"what a Mac leaves")
    (tmp_path / "photos" / "notes.txt").write_text("nothing")
    assert sum(card(tmp_path).counts.values()) == 12


def grey_one(path: Path) -> None:
    image(0, mode="L").save(path / "00.png")


def loop(path: Path) -> None:
    (path / "more").mkdir()
    (path / "more" / "again").symlink_to(path)


def repeated(path: Path) -> None:
    folder(path / "train", 3)
    folder(path / "test", 3)


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "absent": (shutil.rmtree, "photos: no such folder; a relative path begins where the suite file is"),
    "a file": (lambda path: (shutil.rmtree(path), path.write_text("")), "photos: a file, no folder; a relative path begins"),
    "empty": (lambda path: [file.unlink() for file in path.iterdir()], "photos: no images; it has nothing; read are .png .jpg"),
    "of other files": (
        lambda path: [file.rename(file.with_suffix(".heic")) for file in path.iterdir()],
        "photos: no images; it has 12 .heic; read are .png",
    ),
    "text named .png": (lambda path: (path / "03.png").write_text("hello"), "photos/03.png is damaged (5 bytes): none of PNG, JPEG"),
    "an empty file": (lambda path: (path / "03.png").write_bytes(b""), "photos/03.png is damaged (0 bytes): none of PNG, JPEG"),
    "grey and colour": (
        grey_one,
        "photos: 1 grey (00.png) and 11 in colour (01.png) images; say which all become: channels=1 or channels=3",
    ),
    "a loop": (loop, "photos/more/again: a link to a folder that it lies in; remove it"),
    "a broken link": (lambda path: (path / "x.png").symlink_to(path / "nowhere"), "photos/x.png: a link that leads nowhere; remove it"),
    "too few": (
        lambda path: [file.unlink() for file in sorted(path.iterdir())[9:]],
        "photos: 9 different images are too few; at least 10",
    ),
    "train alone": (
        lambda path: folder(path / "train", 4),
        "photos: 0 images in test/ beside those in train/; at least 2, or leave both folders out",
    ),
    "an image in both": (repeated, "photos: train/00.png and test/00.png are the same image; take one of them away"),
    "too small": (
        lambda path: image(70, (10, 50)).save(path / "tiny.png"),
        "tiny.png has only 10×50 pixels, others more; say what all become: image_size=32 behind a comma",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_folder_is_one_clear_line(tmp_path: Path, kind: str) -> None:
    make, said = BAD[kind]
    make(folder(tmp_path / "photos"))
    with pytest.raises(UserError) as error:
        card(tmp_path)
    assert str(error.value).startswith("dataset folder:photos: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def cut_photograph(path: Path) -> None:
    image(50, (300, 200)).save(path / "03.jpg")
    (path / "03.jpg").write_bytes((path / "03.jpg").read_bytes()[:-300])


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (cut_photograph, "03.jpg is damaged ("),
        (lambda path: Image.new("RGBA", (40, 36), (9, 9, 9, 100)).save(path / "03.png"), "03.png has 1,440 pixels that are not opaque"),
    ],
)
def test_what_only_decoding_shows_is_a_line_with_the_files_name(tmp_path: Path, make: Callable[[Path], object], said: str) -> None:
    make(folder(tmp_path / "photos"))
    with pytest.raises(UserError, match="photos/03") as error:
        card(tmp_path).load(tmp_path)
    assert said in str(error.value)
    assert not list((tmp_path / "packed").glob("*/meta.json"))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("folder:", "dataset folder:: it names no folder; write folder:PATH"),
        ("folder:photos,imagesize=8", "unknown option 'imagesize'; did you mean 'image_size'? known: channels, crop, image_size"),
        ("folder:photos,image_size=big", "image_size must be a whole number from 4 to 1024, not 'big'"),
        ("folder:photos,image_size=2", "image_size must be a whole number from 4 to 1024, not '2'"),
        ("folder:photos,crop=left", "crop must be one of centre, squeeze, not 'left'"),
        ("folder:photos,channels=4", "channels must be 1 or 3, not '4'"),
    ],
)
def test_a_bad_name_is_one_clear_line(tmp_path: Path, name: str, said: str) -> None:
    folder(tmp_path / "photos")
    with pytest.raises(UserError) as error:
        card(tmp_path, name)
    assert said in str(error.value)


def test_a_comma_in_a_folders_name_is_no_option(tmp_path: Path) -> None:
    folder(tmp_path / "a, b=c" / "photos, all")
    assert card(tmp_path, "folder:a, b=c/photos, all").shape == (3, 36, 40)


def test_mixed_images_become_what_is_said(tmp_path: Path) -> None:
    grey_one(folder(tmp_path / "photos"))
    assert card(tmp_path, "folder:photos,channels=1").load(tmp_path).train.shape[1:] == (1, 36, 40)
    assert card(tmp_path, "folder:photos,channels=3").load(tmp_path).train.shape[1:] == (3, 36, 40)


def test_packing_holds_few_images_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path / "photos", 40, (200, 200))
    sizes = list[int]()
    block = decoding.block
    monkeypatch.setattr(folders, "TOGETHER", 4 * max(path.stat().st_size for path in (tmp_path / "photos").iterdir()))
    monkeypatch.setattr(decoding, "block", lambda decode, images: (sizes.append(len(images)), block(decode, images))[1])
    card(tmp_path).load(tmp_path)
    assert max(sizes) <= 4
    meta = json.loads(next((tmp_path / "packed").glob("*/meta.json")).read_text())
    assert meta["arrays"]["train"]["shape"] == [32, 3, 64, 64]
