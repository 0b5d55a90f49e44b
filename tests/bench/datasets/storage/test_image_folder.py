"""Image files of folders and archives: in the order of their names, links followed, nothing read that is not inside."""

import zipfile
from pathlib import Path

import pytest
from small_images import encoded, folder_of, pictures

from bench.datasets.storage import image_folder as module
from bench.datasets.storage.image_folder import image_files
from bench.errors import UserError

IMAGES = pictures(3, 0, 8, 10)


def test_names_are_sorted_and_others_counted(tmp_path: Path) -> None:
    for name in ("b/2.PNG", "b/1.jpeg", "a.webp", "c.txt", ".hidden.png", "__MACOSX/x.png", "b/Thumbs.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = image_files(tmp_path)
    assert found.names == ("a.webp", "b/1.jpeg", "b/2.PNG")
    assert found.left_out == 4
    assert found.where("a.webp") == str(tmp_path / "a.webp")


def test_a_folder_and_its_archive_hold_the_same(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "images", IMAGES)
    with zipfile.ZipFile(tmp_path / "images.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
    one, other = image_files(folder), image_files(tmp_path / "images.zip")
    assert one.names == other.names
    for name in one.names:
        assert one.encoded(name).data == other.encoded(name).data == encoded(IMAGES[int(name[:3])])
        assert one.header(name) == other.header(name) == ((10, 8), False)
    assert other.encoded("000.png").where == f"{tmp_path / 'images.zip'}: 000.png"


def test_links_are_followed_and_one_folder_may_be_there_twice(tmp_path: Path) -> None:
    folder_of(tmp_path / "images", IMAGES)
    (tmp_path / "all").mkdir()
    for name in ("one", "two"):
        (tmp_path / "all" / name).symlink_to(tmp_path / "images")
    assert len(image_files(tmp_path / "all").names) == 6
    (tmp_path / "images" / "back").symlink_to(tmp_path / "all")
    with pytest.raises(UserError, match=r"is a link that leads back to a folder above it$"):
        image_files(tmp_path / "all")


def test_a_file_has_a_most_of_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of(tmp_path / "images", IMAGES)
    monkeypatch.setattr(module, "MOST_BYTES", 50)
    with pytest.raises(UserError, match=r"^.*000\.png has more than 50 bytes$"):
        image_files(folder).encoded("000.png")


def test_deep_folders_are_read(tmp_path: Path) -> None:
    deep = tmp_path
    for _ in range(300):
        deep = deep / "a"
    folder_of(deep, IMAGES)
    assert len(image_files(tmp_path).names) == 3
