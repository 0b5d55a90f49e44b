"""Damaged images, folders and archives for `python -m bench measure`."""

import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from bad_measure import GOOD, ONE, PIXELS, BadMeasurement, Bomb, Make, archive, claims, clear, moving, nothing, of_mode, png, with_files
from PIL import Image
from small_images import encoded, folder_of, pictures

DAMAGED = "is damaged ("
CONTENTS: dict[str, tuple[str, bytes, str]] = {  # (ending, content, what is said)
    "empty": ("png", b"", DAMAGED),
    "text": ("png", b"this is no image\n", DAMAGED),
    "a page": ("jpg", b"<!doctype html><title>404</title>", DAMAGED),
    "a pickle": ("png", pickle.dumps(Bomb()), DAMAGED),
    "PostScript": ("png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 12 12\n(touch exploded) run\n", DAMAGED),
    "an SVG": ("png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", DAMAGED),
    "zeros": ("bmp", bytes(500), DAMAGED),
    "a signature alone": ("png", ONE[:8], DAMAGED),
    "cut in its header": ("png", ONE[:20], DAMAGED),
    "cut in its values": ("png", ONE[: len(ONE) // 2], DAMAGED),
    "a JPEG that is cut": ("jpg", encoded(GOOD[4], "JPEG")[:200], DAMAGED),
    "a WEBP that is cut": ("webp", encoded(GOOD[4], "WEBP", lossless=True)[:100], DAMAGED),
    "a TIFF that is cut": ("tif", encoded(GOOD[4], "TIFF")[:200], DAMAGED),
    "a BMP that is cut": ("bmp", encoded(GOOD[4], "BMP")[:200], DAMAGED),
    "one byte changed": ("png", ONE[:60] + bytes([ONE[60] ^ 255]) + ONE[61:], DAMAGED),
    "a PNG that claims 50,000 × 50,000 pixels": (
        "png",
        claims(50_000, 50_000),
        "claims more pixels than the 67,108,864 that are decoded at most",
    ),
    "a PNG that claims 9,000 × 9,000 pixels": ("png", claims(9000, 9000), "is 9,000 × 9,000 pixels, at most 67,108,864 are decoded"),
    "two frames": ("gif", moving(), "has 2 frames, an image has one"),
    "transparent": ("png", clear(), "has 1 pixels that are not opaque"),
    "real numbers": ("tif", of_mode(Image.new("F", (12, 12))), "is of Pillow's mode F, which has no stated range"),
    "LAB": ("tif", of_mode(Image.new("LAB", (12, 12))), "is of Pillow's mode LAB, which has no stated range"),
    "whole numbers beyond 16 bits": (
        "tif",
        of_mode(Image.fromarray(np.full((12, 12), 70_000, np.int32))),
        "has values from 70000 to 70000",
    ),
    "another size": ("png", png(pictures(1, 0, 13)[0]), "its images have 2 sizes (000.png 12×12, "),
    "another width": ("png", png(pictures(1, 0, 12, 14)[0]), "its images have 2 sizes (000.png 12×12, "),
    "an archive": ("png", b"PK\x05\x06" + bytes(18), DAMAGED),
}


def named(place: str, content: tuple[str, bytes, str]) -> str:
    """What is said of a file of a folder or archive."""
    ending, _, says = content
    if says.startswith("its images"):
        return f"{place}: {says}004.{ending} …"
    return f"{place}{': ' if place.endswith('.zip') else '/'}004.{ending} {says}…"


def in_folder(content: tuple[str, bytes, str]) -> Make:
    """A folder of good images and one other."""

    def make(folder: Path) -> None:
        folder_of(folder / "bad", GOOD[:4])
        (folder / "bad" / f"004.{content[0]}").write_bytes(content[1])

    return make


def in_archive(content: tuple[str, bytes, str]) -> Make:
    """The same as a .zip."""
    files = [(f"{i:03d}.png", png(image)) for i, image in enumerate(GOOD[:4])]
    return lambda folder: archive(folder / "bad.zip", [*files, (f"004.{content[0]}", content[1])])


IMAGES = [
    BadMeasurement(f"{where}: {shown}", make(content), arguments, named(place, content))
    for shown, content in CONTENTS.items()
    for where, place, make, arguments in (
        ("a measured folder", "bad", in_folder, f"measure bad --against good {PIXELS}"),
        ("a reference", "bad", in_folder, f"measure good --against bad {PIXELS}"),
        ("reconstructions", "bad", in_folder, f"measure --originals good --reconstructions bad {PIXELS}"),
        ("an archive", "bad.zip", in_archive, f"measure bad.zip --against good {PIXELS}"),
    )
    if not (where == "reconstructions" and shown not in ("another size", "empty", "text", "cut in its header", "transparent"))
    if not (where == "reconstructions" and shown == "transparent")
]


def linked(name: str, target: str) -> Make:
    """A folder of good images with a link."""

    def make(folder: Path) -> None:
        folder_of(folder / "bad", GOOD[:4])
        (folder / "bad" / name).symlink_to(target)

    return make


def pipe(folder: Path) -> None:
    folder_of(folder / "bad", GOOD[:4])
    os.mkfifo(folder / "bad" / "004.png")


def empty_folder(folder: Path) -> None:
    (folder / "bad").mkdir()


NO_IMAGES = "bad: no images (files that end in .png, …"
FOLDERS = [
    BadMeasurement(f"{'measured' if command.startswith('measure bad') else 'reference'}: {shown}", make, command, says)
    for shown, make, says in (
        ("no such folder", nothing, "bad: no such file or folder; …"),
        ("an empty folder", empty_folder, NO_IMAGES),
        ("only text", with_files(("labels.txt", b"a b\n"), ("labels.csv", b"1,2\n")), "bad: no images (…); it has 2 other files"),
        ("only hidden files", with_files((".a.png", ONE), ("__MACOSX/a.png", ONE)), "bad: no images (…); it has 2 other files"),
        ("a link to itself", linked("004.png", "004.png"), "bad/004.png cannot be read: Too many levels of symbolic links"),
        ("a link to nothing", linked("004.png", "gone.png"), "bad/004.png cannot be read: No such file or directory"),
        ("a link back to its folder", linked("again", "."), "bad/again is a link that leads back to a folder above it"),
        ("a link back to the folder above", linked("again", ".."), "bad/again/bad is a link that leads back to a folder above it"),
        ("a link to a device", linked("004.png", "/dev/zero"), "bad/004.png is no regular file"),
        ("a pipe", pipe, "bad/004.png is no regular file"),
        ("a file that is text", lambda folder: (folder / "bad").write_text("no"), "bad is no zip archive that can be read (…); …"),
    )
    for command in (f"measure bad --against good {PIXELS}", f"measure good --against bad {PIXELS}")
]


def raw_archive(*files: tuple[str, bytes]) -> Make:
    return lambda folder: archive(folder / "bad.zip", files)


def edited_archive(edit: Callable[[bytes], bytes], compression: int = zipfile.ZIP_STORED) -> Make:
    """An archive of one good image whose bytes are changed."""

    def make(folder: Path) -> None:
        with zipfile.ZipFile(folder / "bad.zip", "w", compression) as file:
            file.writestr("a.png", ONE)
        (folder / "bad.zip").write_bytes(edit((folder / "bad.zip").read_bytes()))

    return make


def at_directory(content: bytes, offset: int, new: bytes) -> bytes:
    """The archive's directory entry with other bytes at an offset."""
    start = content.index(b"PK\x01\x02") + offset
    return content[:start] + new + content[start + len(new) :]


def encrypted(content: bytes) -> bytes:
    return at_directory(content[:6] + b"\x01\x00" + content[8:], 8, b"\x01\x00")


def bomb(folder: Path) -> None:
    """300 MB of zeros in 300 kB."""
    with zipfile.ZipFile(folder / "bad.zip", "w", zipfile.ZIP_DEFLATED) as file, file.open("a.png", "w", force_zip64=True) as member:
        for _ in range(300):
            member.write(bytes(2**20))


LEADS_OUT = "leads out of the archive; such an archive is not read"
ARCHIVES = [
    BadMeasurement(f"archive: {shown}", make, command, says)
    for shown, make, says in (
        ("text", lambda folder: (folder / "bad.zip").write_text("no"), "bad.zip is no zip archive that can be read (…"),
        ("no bytes", lambda folder: (folder / "bad.zip").write_bytes(b""), "bad.zip is no zip archive that can be read (…"),
        ("nothing in it", raw_archive(), "bad.zip: no images (…"),
        ("only text in it", raw_archive(("a.txt", b"")), "bad.zip: no images (…); it has 1 other files"),
        ("an archive in it", raw_archive(("a.zip", b"PK\x05\x06" + bytes(18))), "bad.zip: no images (…"),
        ("../a.png", raw_archive(("../a.png", ONE)), f"bad.zip: '../a.png' {LEADS_OUT}"),
        ("a/../../b.png", raw_archive(("a/../../b.png", ONE)), f"bad.zip: 'a/../../b.png' {LEADS_OUT}"),
        ("/etc/a.png", raw_archive(("/etc/a.png", ONE)), f"bad.zip: '/etc/a.png' {LEADS_OUT}"),
        ("..\\a.png", raw_archive(("..\\a.png", ONE)), f"bad.zip: … {LEADS_OUT}"),
        ("C:/a.png", raw_archive(("C:/a.png", ONE)), f"bad.zip: 'C:/a.png' {LEADS_OUT}"),
        ("../../x.txt beside images", raw_archive(("a.png", ONE), ("../../x.txt", b"")), f"bad.zip: '../../x.txt' {LEADS_OUT}"),
        ("cut in half", edited_archive(lambda content: content[: len(content) // 2]), "bad.zip is no zip archive that can be read (…"),
        ("cut before its end", edited_archive(lambda content: content[:-5]), "bad.zip is no zip archive that can be read (…"),
        ("encrypted", edited_archive(encrypted), "bad.zip: a.png is encrypted"),
        (
            "a changed value",
            edited_archive(lambda content: content[:200] + bytes([content[200] ^ 255]) + content[201:]),
            "bad.zip: a.png …",
        ),
        (
            "an unknown compression",
            edited_archive(lambda content: at_directory(content, 10, b"\x63\x00")),
            "bad.zip: a.png cannot be read: …",
        ),
        (
            "a claim of 4 GB",
            edited_archive(lambda content: at_directory(content, 24, b"\xf0\xff\xff\xff")),
            "bad.zip: a.png unpacks to 4,294,967,280 bytes, …",
        ),
        ("300 MB in 300 kB", bomb, "bad.zip: a.png unpacks to 314,572,800 bytes, at most 268,435,456 are read"),
    )
    for command in (f"measure bad.zip --against good {PIXELS}", f"measure good --against bad.zip {PIXELS}")
]
