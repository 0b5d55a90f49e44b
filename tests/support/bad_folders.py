"""Folders of images that no dataset can be made of."""

import shutil
from collections.abc import Callable
from pathlib import Path

from bad_input import Bad, Make, edited
from folders import folder, image
from PIL import Image

SAYS = "tiny.toml: dataset folder:photos: photos"


def photos(change: Callable[[Path], object], dataset: str = "folder:photos") -> Make:
    """A folder of 12 images beside tiny.toml, of which they are the dataset, changed."""

    def make(here: Path) -> None:
        edited(f'dataset = "{dataset}"')(here)
        file = here / "tiny.toml"
        file.write_text(file.read_text(encoding="utf-8").replace("batch_size = 100", "batch_size = 5"), encoding="utf-8")
        change(folder(here / "photos"))

    return make


def bad(shown: str, says: str, change: Callable[[Path], object]) -> Bad:
    """A folder of 12 images that was changed."""
    return Bad("Folders of images", shown, says, photos(change))


def name(dataset: str, says: str) -> Bad:
    """A dataset's name beside a good folder."""
    return Bad("Folders of images", f'dataset = "{dataset}"', f"tiny.toml: dataset {dataset}: {says}", photos(lambda path: None, dataset))


def grey_one(path: Path) -> None:
    image(0, mode="L").save(path / "00.png")


def loop(path: Path) -> None:
    (path / "more").mkdir()
    (path / "more" / "again").symlink_to(path.resolve())


def repeated(path: Path) -> None:
    folder(path / "train", 3)
    folder(path / "test", 3)


def cut(path: Path) -> None:
    (path / "03.png").write_bytes((path / "03.png").read_bytes()[:-300])


def cut_photograph(path: Path) -> None:
    image(50, (300, 200)).save(path / "03.jpg")
    (path / "03.jpg").write_bytes((path / "03.jpg").read_bytes()[:-300])


def see_through(path: Path) -> None:
    Image.new("RGBA", (40, 36), (9, 9, 9, 100)).save(path / "03.png")


def renamed(path: Path) -> None:
    for file in path.iterdir():
        file.rename(file.with_suffix(".heic"))


def removed(path: Path, left: int) -> None:
    for file in sorted(path.iterdir())[left:]:
        file.unlink()


BAD = [
    bad("no folder", f"{SAYS}: no such folder; a relative path begins where the suite file is", shutil.rmtree),
    bad("an empty folder", f"{SAYS}: no images; it has nothing; read are .png .jpg …", lambda path: removed(path, 0)),
    bad("files of other kinds alone", f"{SAYS}: no images; it has 12 .heic; read are .png .jpg …", renamed),
    bad("9 images", f"{SAYS}: 9 different images are too few; at least 10", lambda path: removed(path, 9)),
    bad(
        "text named .png",
        f"{SAYS}/03.png is damaged (2 bytes): none of PNG, JPEG, …",
        lambda path: (path / "03.png").write_text("hi"),
    ),
    bad(
        "an empty .png",
        f"{SAYS}/03.png is damaged (0 bytes): none of PNG, JPEG, …",
        lambda path: (path / "03.png").write_bytes(b""),
    ),
    bad("a .png cut short", f"{SAYS}/03.png is damaged (… bytes): …", cut),
    bad("a .jpg cut short", "photos/03.jpg is damaged (… bytes): …", cut_photograph),
    bad("an image that is not opaque", "photos/03.png has 1,440 pixels that are not opaque; save it without transparency", see_through),
    bad(
        "grey and colour",
        f"{SAYS}: 1 grey (00.png) and 11 in colour (01.png) images; say which all become: channels=1 or channels=3 …",
        grey_one,
    ),
    bad("a link to a folder above", f"{SAYS}/more/again: a link to a folder that it lies in; remove it", loop),
    bad("a link to nowhere", f"{SAYS}/x.png: a link that leads nowhere; remove it", lambda path: (path / "x.png").symlink_to("nowhere")),
    bad(
        "train/ without test/",
        f"{SAYS}: 0 images in test/ beside those in train/; at least 2, or leave both folders out",
        lambda path: folder(path / "train", 3),
    ),
    bad("an image in train/ and test/", f"{SAYS}: train/00.png and test/00.png are the same image; take one of them away", repeated),
    bad(
        "one image of 10×50 pixels",
        "tiny.toml: dataset folder:photos: tiny.png has only 10×50 pixels, others more; say what all become: image_size=32 behind a comma",
        lambda path: image(70, (10, 50)).save(path / "tiny.png"),
    ),
    name("folder:", "it names no folder; write folder:PATH"),
    name("folder:photos,imagesize=8", "unknown option 'imagesize'; did you mean 'image_size'? known: channels, crop, image_size"),
    name("folder:photos,image_size=big", "image_size must be a whole number from 4 to 1024, not 'big'"),
    name("folder:photos,crop=left", "crop must be one of centre, squeeze, not 'left'"),
    name("folder:photos,channels=4", "channels must be 1 or 3, not '4'"),
]
