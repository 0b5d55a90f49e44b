"""Bad folders, archives, arrays, models and options that `python -m bench measure` is given: each is one line, and nothing is written.

Every command is given in a folder that holds `good/`, four images of 12×12, `codes.npy`, `factors.npy`, and `model.py` with functions.
"""

import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image
from small_images import encoded, folder_of, pictures

Make = Callable[[Path], object]
PIXELS = "--networks pixels"
MODEL = """
import torch
from torch import nn

class Bad(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.full((3,), float("nan")))
    def forward(self, x):
        return x

nan = Bad()
same = lambda x: x
flat = lambda x: x.flatten(1)
half = lambda x: x[..., ::2]
numbers = lambda x: x.numpy()
pair = lambda x: (x, x)
fewer = lambda x: x[:-1]
infinite = lambda x: x / 0
number = 3
def raises(x):
    raise ValueError("of no use")
def ends(x):
    raise RuntimeError("two\\nlines")
"""


class Bomb:
    """What would write a file if it were unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch exploded",)


class BadMeasurement(NamedTuple):
    """An input, the command, and what its line begins with or holds; `…` stands for any text."""

    shown: str
    make: Make
    arguments: str
    says: str


def fill(folder: Path) -> None:
    """What is in the folder of every command."""
    folder_of(folder / "good", pictures(4, 0, 12))
    np.save(folder / "codes.npy", np.random.RandomState(0).randn(40, 3))
    np.save(folder / "factors.npy", np.arange(80).reshape(40, 2) % 4)
    (folder / "model.py").write_text(MODEL, encoding="utf-8")


def png(image: np.ndarray) -> bytes:
    return encoded(image)


GOOD = pictures(5, 0, 12)
ONE = png(GOOD[4])


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def claims(width: int, height: int) -> bytes:
    """A small PNG that says it is that large."""
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")


def moving() -> bytes:
    buffer = io.BytesIO()
    frames = [Image.fromarray(image) for image in GOOD[:2]]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


def of_mode(image: Image.Image, kind: str = "TIFF") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def clear() -> bytes:
    image = Image.fromarray(GOOD[4]).convert("RGBA")
    image.putpixel((1, 1), (0, 0, 0, 9))
    return of_mode(image, "PNG")


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


def archive(path: Path, files: Iterable[tuple[str, bytes]]) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in files:
            file.writestr(name, content)


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


def with_files(*files: tuple[str, bytes]) -> Make:
    """A folder of those files."""

    def make(folder: Path) -> None:
        for name, content in files:
            (folder / "bad" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "bad" / name).write_bytes(content)

    return make


def pipe(folder: Path) -> None:
    folder_of(folder / "bad", GOOD[:4])
    os.mkfifo(folder / "bad" / "004.png")


def nothing(folder: Path) -> None:
    """The folder as it is."""


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


def saved(array: Any, **options: Any) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def with_header(header: str, data: bytes = b"") -> bytes:
    """A .npy file with that header."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


UNIT = np.zeros((4, 12, 12, 3), np.float32)
NO_ARRAY = "bad.npy is no array that can be read: …"


def at(value: float) -> bytes:
    array = UNIT.copy()
    array[2, 3, 4] = value
    return saved(array)


ARRAYS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", NO_ARRAY),
    "text": (b"no array\n", NO_ARRAY),
    "a pickle": (pickle.dumps(Bomb()), NO_ARRAY),
    "pickled objects": (
        saved(np.array([Bomb()], object), allow_pickle=True),
        "bad.npy is no array…it holds Python objects, which are never unpickled",
    ),
    "cut in its header": (saved(UNIT)[:30], NO_ARRAY),
    "cut in its values": (saved(UNIT)[:-9], "bad.npy is no array…takes 6,912 bytes, it has 6,903"),
    "a version of the future": (b"\x93NUMPY\x09\x00" + saved(UNIT)[8:], NO_ARRAY),
    "a header that is code": (with_header("__import__('os').system('touch exploded')"), NO_ARRAY),
    "a header without a shape": (with_header("{'descr': '|u1', 'fortran_order': False}"), NO_ARRAY),
    "10^12 rows that are not there": (
        with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 12, 12, 3)}"),
        "bad.npy is no array…it has 0",
    ),
    "a negative shape": (with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (-4, 12, 12, 3)}"), "bad.npy …"),
    "images of 10,000 × 10,000": (
        with_header("{'descr': '|u1', 'fortran_order': False, 'shape': (1, 10000, 10000)}", bytes(10**8)),
        "bad.npy has the shape (1, 10000, 10000): images of more than 67,108,864 pixels are not read",
    ),
    "NaN": (at(np.nan), "bad.npy: image 2 has values from nan to nan; …"),
    "infinity": (at(np.inf), "bad.npy: image 2 has values from 0 to inf; …"),
    "values to 255 as real numbers": (at(255), "bad.npy: image 2 has values from 0 to 255; real pixels must be in [0, 1]…"),
    "values below 0": (at(-0.5), "bad.npy: image 2 has values from -0.5 to 0; …"),
    "64-bit integers": (saved(UNIT.astype(np.int64)), "bad.npy has values of type int64; save images as uint8, uint16, or float in [0, 1]"),
    "signed bytes": (saved(UNIT.astype(np.int8)), "bad.npy has values of type int8; …"),
    "complex numbers": (saved(UNIT.astype(complex)), NO_ARRAY),
    "texts": (saved(np.array(["a", "b"])), "bad.npy has the shape (2,); images are (N, H, W), …"),
    "records": (saved(np.zeros(4, [("a", "u1")])), NO_ARRAY),
    "Fortran's order": (saved(np.asfortranarray(UNIT)), NO_ARRAY),
    "one number": (saved(np.uint8(3)), "bad.npy has the shape (); …"),
    "one axis": (saved(np.zeros(9, np.uint8)), "bad.npy has the shape (9,); …"),
    "five axes": (saved(np.zeros((2, 2, 4, 4, 3), np.uint8)), "bad.npy has the shape (2, 2, 4, 4, 3); …"),
    "two channels": (saved(np.zeros((4, 12, 12, 2), np.uint8)), "bad.npy has the shape (4, 12, 12, 2); …"),
    "channels that may be either axis": (
        saved(np.zeros((4, 3, 12, 3), np.uint8)),
        "bad.npy has the shape (4, 3, 12, 3): which axis are the channels? …",
    ),
    "no image": (saved(UNIT[:0]), "bad.npy has the shape (0, 12, 12, 3): there is no image in it"),
    "no rows of pixels": (saved(np.zeros((4, 0, 12), np.uint8)), "bad.npy has the shape (4, 0, 12): there is no image in it"),
    "transparent": (
        saved(np.zeros((4, 12, 12, 4), np.uint8)),
        "bad.npy: image 0 has pixels that are not opaque; say what shows through: --flatten white",
    ),
    "another size": (
        saved(np.zeros((4, 9, 9, 3), np.uint8)),
        "…has images of 3×9×9 (channels, height, width), …; bring both to one with --size",
    ),
    "grey": (saved(np.zeros((4, 12, 12), np.uint8)), "…has images of 1×12×12 (channels, height, width), …; grey and colour"),
}


def array(content: bytes, name: str = "bad.npy") -> Make:
    return lambda folder: (folder / name).write_bytes(content)


def in_other_words(says: str) -> str:
    """Of a reference, which is the second that a line names."""
    return (
        says.replace("…has images of", "good has images of 3×12×12 (channels, height, width), bad.npy of")
        if says.startswith("…has")
        else says
    )


ARRAY_FILES = [
    BadMeasurement(f"{where} array: {shown}", array(content), arguments, says)
    for shown, (content, says) in ARRAYS.items()
    for where, arguments in (
        ("measured", f"measure bad.npy --against good {PIXELS}"),
        ("reference", f"measure good --against bad.npy {PIXELS}"),
    )
    if not (where == "reference" and says.startswith("…has"))
]


def npz(**arrays: Any) -> Make:
    def make(folder: Path) -> None:
        np.savez(folder / "bad.npz", **arrays)

    return make


MU, SIGMA = np.zeros(3), np.eye(3)
STATISTICS = [
    BadMeasurement(f"npz: {shown}", make, command, says)
    for shown, make, says in (
        ("text", array(b"no", "bad.npz"), "bad.npz is no .npz file that can be read: …"),
        ("no array", npz(), "bad.npz: none of its arrays has rows"),
        ("two arrays", npz(a=UNIT, b=UNIT), "bad.npz: name one of its arrays, bad.npz:a; it has a, b"),
        (
            "pickled objects",
            npz(a=np.array([[Bomb()]], object)),
            "bad.npz:a is no array…it holds Python objects, which are never unpickled",
        ),
        ("mu of two axes", npz(mu=SIGMA, sigma=SIGMA), "bad.npz: mu has the shape (3, 3), sigma (3, 3); …"),
        ("sigma of another size", npz(mu=MU, sigma=np.eye(4)), "bad.npz: mu has the shape (3,), sigma (4, 4); …"),
        ("sigma of one axis", npz(mu=MU, sigma=MU), "bad.npz: mu has the shape (3,), sigma (3,); …"),
        ("whole numbers", npz(mu=MU.astype(int), sigma=SIGMA), "bad.npz: mu has the shape …"),
        ("mu of NaN", npz(mu=MU * np.nan, sigma=SIGMA), "bad.npz: mu or sigma have values that are not finite"),
        ("sigma that is not symmetric", npz(mu=MU, sigma=np.triu(np.ones((3, 3)))), "bad.npz: sigma is no covariance: …"),
        ("a variance below 0", npz(mu=MU, sigma=-SIGMA), "bad.npz: sigma is no covariance: …"),
        ("statistics of no network here", npz(mu=MU, sigma=SIGMA), "bad.npz: they are of one network; say which: --networks …"),
    )
    for command in (f"measure good --against bad.npz {PIXELS}", f"measure bad.npz --against good {PIXELS}")
]
CODES = [
    BadMeasurement(f"codes: {shown}", make, command, says)
    for shown, make, command, says in (
        ("NaN", array(saved(np.full((9, 2), np.nan))), "measure bad.npy", "bad.npy: 9 of 9 codes have values that are not finite"),
        (
            "whole numbers",
            array(saved(np.ones((9, 2), int))),
            "measure bad.npy",
            "bad.npy has the shape (9, 2) of int64; codes are real numbers, a row an image",
        ),
        ("no row", array(saved(np.ones((0, 2)))), "measure bad.npy", "bad.npy has the shape (0, 2) of float64; …"),
        (
            "against images",
            nothing,
            "measure codes.npy --against good",
            "codes.npy: codes are measured against N(0, I) and beside --factors; leave --against out",
        ),
        ("as a reference", nothing, f"measure good --against codes.npy {PIXELS}", "--against codes.npy: images or statistics are expected"),
        (
            "as originals",
            nothing,
            f"measure --originals codes.npy --reconstructions good {PIXELS}",
            "--originals codes.npy is codes, images are expected",
        ),
        (
            "no factors there",
            nothing,
            "measure codes.npy --factors gone.npy",
            "--factors gone.npy: a .npy file of (N, K) whole numbers is expected; there is no such file",
        ),
        (
            "factors of text",
            array(b"1,2\n", "bad.csv"),
            "measure codes.npy --factors bad.csv",
            "--factors bad.csv: a .npy file of (N, K) whole numbers is expected",
        ),
        (
            "fewer factors",
            array(saved(np.ones((9, 2), int))),
            "measure codes.npy --factors bad.npy",
            "bad.npy has 9 rows, there are 40 codes",
        ),
        (
            "factors of one axis",
            array(saved(np.ones(40, int))),
            "measure codes.npy --factors bad.npy",
            "bad.npy has the shape (40,) of int64; factors are (N, K) whole numbers",
        ),
        (
            "factors between whole numbers",
            array(saved(np.full((40, 2), 0.5))),
            "measure codes.npy --factors bad.npy",
            "bad.npy: column 0 has values that are no whole numbers; …",
        ),
        (
            "factors of NaN",
            array(saved(np.full((40, 2), np.nan))),
            "measure codes.npy --factors bad.npy",
            "bad.npy: column 0 has values that are no whole numbers; …",
        ),
        (
            "factors of texts",
            array(saved(np.full((40, 2), "a"))),
            "measure codes.npy --factors bad.npy",
            "bad.npy has the shape (40, 2) of <U1; factors are (N, K) whole numbers",
        ),
        (
            "factors beside images",
            nothing,
            f"measure good --against good --factors factors.npy {PIXELS}",
            "--factors: they are measured beside codes; good is no array of codes, (N, D)",
        ),
        ("a metric that codes have not", nothing, "measure codes.npy --metrics fid", "--metrics: unknown metric 'fid'; …"),
    )
]


def python(content: str) -> Make:
    return lambda folder: (folder / "bad.py").write_text(content, encoding="utf-8")


def applied(functions: str, says: str) -> tuple[str, Make, str, str]:
    """A function of model.py that cannot be a model."""
    command = f"measure model.py:{functions} --against good {PIXELS}"
    return f"model.py:{functions}", nothing, command, f"model.py:{functions}: {says}"


AGAINST = f"--against good {PIXELS}"
MODELS = [
    BadMeasurement(f"model: {shown}", make, command, says)
    for shown, make, command, says in (
        ("no file", nothing, f"measure gone.py:a,b {AGAINST}", "gone.py: no such file"),
        ("no names", nothing, f"measure model.py: {AGAINST}", "model.py:: give file.py:encoder,decoder, or file.py:autoencoder"),
        (
            "three names",
            nothing,
            f"measure model.py:a,b,c {AGAINST}",
            "model.py:a,b,c: give file.py:encoder,decoder, or file.py:autoencoder",
        ),
        ("a name that is none", nothing, f"measure model.py:sam {AGAINST}", "model.py: unknown function 'sam'; did you mean 'same'? …"),
        ("a name of a number", nothing, f"measure model.py:number {AGAINST}", "model.py: unknown function 'number'; …"),
        ("no grammar", python("def ("), f"measure bad.py:a {AGAINST}", "bad.py: SyntaxError: …"),
        ("it raises", python("1 / 0"), f"measure bad.py:a {AGAINST}", "bad.py: ZeroDivisionError: division by zero (bad.py, line 1)"),
        ("it ends the process", python("raise SystemExit(0)"), f"measure bad.py:a {AGAINST}", "bad.py: SystemExit: 0 …"),
        ("it needs what is not here", python("import no_such_package"), f"measure bad.py:a {AGAINST}", "bad.py: ModuleNotFoundError: …"),
        ("without images", nothing, "measure model.py:same", "model.py:same: a model is measured on images; say which: --against FOLDER"),
        ("on codes", nothing, "measure model.py:same --against codes.npy", "--against codes.npy is codes, images are expected"),
        ("NaN weights", nothing, f"measure model.py:nan {AGAINST}", "model.py: nan: weight has 3 values that are not finite"),
        applied("half", "from images of the shape (4, 3, 12, 12) it made (4, 3, 12, 6); both must be the same"),
        applied("flat", "from images of the shape (4, 3, 12, 12) it made (4, 432); both must be the same"),
        applied("fewer", "from images of the shape (4, 3, 12, 12) it made (3, 3, 12, 12); both must be the same"),
        applied("numbers", "it returned ndarray as images, a tensor is expected"),
        applied("pair", "it returned tuple as images, a tensor is expected"),
        applied("pair,same", "it returned tuple as codes, a tensor is expected"),
        applied("infinite", "its reconstructions or codes have values that are not finite"),
        applied("raises", "it cannot be applied to images of (3, 12, 12): ValueError: of no use (model.py, line …)"),
        applied("same,ends", "it cannot be applied to images of (3, 12, 12): RuntimeError: two lines (model.py, line …)"),
    )
]


def torch_file(name: str, write: Callable[[Path], object]) -> Make:
    return lambda folder: write(folder / name)


def save_state(value: Callable[[], Any]) -> Callable[[Path], object]:
    import torch

    return lambda path: torch.save(value(), path)


def scripted(body: str, **weights: float) -> Callable[[Path], object]:
    """A TorchScript file of a module with that forward."""

    def write(path: Path) -> None:
        import warnings

        import torch

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = torch.jit.CompilationUnit  # the language of TorchScript, without a Python class
            script = torch.jit.ScriptModule()
            for name, value in weights.items():
                script.register_buffer(name, torch.full((2,), value))
            script.define(body)
            assert module is not None
            script.save(str(path))

    return write


def zipped(*files: tuple[str, bytes]) -> Callable[[Path], object]:
    return lambda path: archive(path, files)


def config(**payload: Any) -> bytes:
    return json.dumps({"config": {"w": {"path_name": "weight_0", "use_pickle": False, **payload}}}).encode()


EXPORT = (("model/archive_format", b"pt2"), ("model/models/model.json", b"{}"))
NO_SCRIPT = "bad.pt is no TorchScript file; one of torch.save may run anything when it is opened: …"
TORCH_FILES = [
    BadMeasurement(f"torch file: {shown}", torch_file(name, write), f"measure {name} {AGAINST}", says)
    for shown, name, write, says in (
        ("text", "bad.pt", lambda path: path.write_text("no"), "bad.pt is no file of torch that can be read: …"),
        ("no bytes", "bad.pt", lambda path: path.write_bytes(b""), "bad.pt is no file of torch that can be read: …"),
        ("a pickle", "bad.pth", lambda path: path.write_bytes(pickle.dumps(Bomb())), "bad.pth is no file of torch that can be read: …"),
        ("torch.save of a bomb", "bad.pt", save_state(Bomb), NO_SCRIPT),
        ("torch.save of weights", "bad.pt", save_state(dict), NO_SCRIPT),
        ("an archive of text", "bad.ts", zipped(("a.txt", b"")), "bad.ts is no TorchScript file; …"),
        ("code alone", "bad.ts", zipped(("m/code/a.py", b"")), "bad.ts is no TorchScript file that can be read: …"),
        (
            "NaN weights",
            "bad.pt",
            scripted("def forward(self, x):\n    return x", w=float("nan")),
            "bad.pt: w has 2 values that are not finite",
        ),
        (
            "another shape",
            "bad.pt",
            scripted("def forward(self, x):\n    return x[:, :1]"),
            "bad.pt: from images of the shape (4, 3, 12, 12) it made (4, 1, 12, 12); …",
        ),
        (
            "it raises",
            "bad.pt",
            scripted("def forward(self, x):\n    return x.reshape(7, 7)"),
            "bad.pt: it cannot be applied to images of (3, 12, 12): …",
        ),
        ("export: text", "bad.pt2", lambda path: path.write_text("no"), "bad.pt2 is no file of torch that can be read: …"),
        ("export: no bytes", "bad.pt2", lambda path: path.write_bytes(b""), "bad.pt2 is no file of torch that can be read: …"),
        (
            "export: an old form",
            "bad.pt2",
            zipped(("version", b"8.1"), ("serialized_state_dict.pt", b"")),
            "bad.pt2 is no archive of torch.export; …",
        ),
        ("export: an empty program", "bad.pt2", zipped(*EXPORT), "bad.pt2 is no torch.export file of a function of images: …"),
        (
            "export: pickled weights",
            "bad.pt2",
            zipped(*EXPORT, ("model/data/weights/model_weights_config.json", config(use_pickle=True))),
            "bad.pt2 holds pickled objects (in data/weights/model_weights_config.json), …",
        ),
        (
            "export: objects",
            "bad.pt2",
            zipped(*EXPORT, ("model/data/constants/model_constants_config.json", config(path_name="custom_obj_0"))),
            "bad.pt2 holds pickled objects (in data/constants/model_constants_config.json), …",
        ),
        (
            "export: opaque objects",
            "bad.pt2",
            zipped(*EXPORT, ("model/data/constants/model_constants_config.json", config(path_name="opaque_obj_0"))),
            "bad.pt2 holds pickled objects …",
        ),
        (
            "export: pickled inputs",
            "bad.pt2",
            zipped(*EXPORT, ("model/data/sample_inputs/model.pt", pickle.dumps(Bomb()))),
            "bad.pt2 holds pickled objects (data/sample_inputs/model.pt), …",
        ),
        (
            "export: a pickled file of weights",
            "bad.pt2",
            zipped(*EXPORT, ("model/data/weights/model.pt", pickle.dumps(Bomb()))),
            "bad.pt2 holds pickled objects (data/weights/model.pt), …",
        ),
        (
            "export: compiled code",
            "bad.pt2",
            zipped(*EXPORT, ("model/data/aotinductor/model/a.so", b"\x7fELF")),
            "bad.pt2 holds compiled code (data/aotinductor/model/a.so), which is not run",
        ),
        (
            "export: a damaged list",
            "bad.pt2",
            zipped(*EXPORT, ("model/data/weights/model_weights_config.json", b"[")),
            "bad.pt2 is no archive of torch.export: its list of weights is damaged",
        ),
    )
]


def vae(content: bytes, *files: tuple[str, bytes]) -> Make:
    return with_files(("config.json", content), *files)


KL = json.dumps({"_class_name": "AutoencoderKL"}).encode()
DIFFUSERS = [
    BadMeasurement(f"diffusers: {shown}", make, f"measure bad {AGAINST}", says)
    for shown, make, says in (
        ("config of text", vae(b"no"), "bad/config.json: no configuration of diffusers: …"),
        ("config of a list", vae(b"[]"), "bad/config.json: no configuration of diffusers: …"),
        ("no bytes", vae(b""), "bad/config.json: no configuration of diffusers: …"),
        ("deep brackets", vae(b"[" * 100_000), "bad/config.json: no configuration of diffusers: …"),
        ("no class", vae(b"{}"), "bad/config.json: _class_name is None, one of AutoencoderKL, AutoencoderTiny, AutoencoderDC is expected"),
        ("another class", vae(b'{"_class_name": "UNet2DModel"}'), "bad/config.json: _class_name is 'UNet2DModel', one of …"),
        ("a class that is a number", vae(b'{"_class_name": 3}'), "bad/config.json: _class_name is 3, one of …"),
        ("no weights", vae(KL), "bad: diffusion_pytorch_model.safetensors is not there"),
        (
            "pickled weights",
            vae(KL, ("diffusion_pytorch_model.bin", pickle.dumps(Bomb()))),
            "bad: diffusion_pytorch_model.safetensors is not there; diffusion_pytorch_model.bin is pickled, and such files are not opened",
        ),
        ("a pipeline without vae", with_files(("model_index.json", b"{}")), "bad/vae/config.json: no configuration of diffusers: …"),
        (
            "a run without weights",
            with_files(("record.json", b"{}")),
            "bad: not the folder of a run, which is <out>/runs/<suite>/<row>/<seed>-<key>",
        ),
    )
]
OPTIONS = [
    BadMeasurement(f"options: {arguments}", nothing, f"measure {arguments}", says)
    for arguments, says in (
        ("", "measure: give WHAT, or both --originals and --reconstructions"),
        ("--against good", "measure: give WHAT, or both --originals and --reconstructions"),
        ("--originals good", "measure: give WHAT, or both --originals and --reconstructions"),
        ("--reconstructions good", "measure: give WHAT, or both --originals and --reconstructions"),
        ("good --originals good --reconstructions good", "measure: give WHAT, or both --originals and --reconstructions"),
        (
            "--originals good --reconstructions good --against good",
            "measure: --originals are what --reconstructions are measured against; leave --against out",
        ),
        ("good", "good: say what it is measured against: --against FOLDER, dataset:NAME:test, statistics.npz ..."),
        ("gone --against good", "gone: no such file or folder; measured are …"),
        ("gone.npy --against good", "gone.npy: no such file"),
        ("gone.npz --against good", "gone.npz: no such file"),
        ("gone.npz:a --against good", "gone.npz: no such file"),
        ("gone.zip --against good", "gone.zip: no such file or folder; …"),
        ("gone.pt --against good", "gone.pt: no such file or folder; …"),
        ("dataset:digit:test --against good", "dataset:digit:test: unknown dataset 'digit…"),
        (
            "dataset:digits:tset --against good",
            "dataset:digits:tset: unknown split 'tset'; did you mean 'test'? known: test, train, validation",
        ),
        ("dataset:sine:test --against good", "dataset:sine:test: its values are signals, images are measured"),
        ("dataset:mnist:test --against good --data-root nowhere", "dataset mnist: 4 of 4 files missing in nowhere/MNIST/raw: …"),
        (
            f"good --against dataset:digits:test {PIXELS}",
            "good has images of 3×12×12 (channels, height, width), dataset:digits:test of 1×8×8; bring both to one with --size",
        ),
        ("good --against good --networks lite", "--networks: unknown network 'lite'; did you mean 'lite0'? known: …"),
        (
            "good --against good --networks inception-tf",
            "--networks inception-tf: weights-inception-2015-12-05-6726825d.pth is not in the folder weights of the data root",
        ),
        (
            "good --against good --networks classifier",
            "--networks classifier: classifier features are a dataset's own; measure against one: --against dataset:NAME:test",
        ),
        ("good --against good --networks ,", "--networks must name something, or be left out for all; it is ','"),
        (
            f"good --against good --metrics frechet_pixel {PIXELS}",
            "--metrics: unknown metric 'frechet_pixel'; did you mean 'frechet_pixels'? known: …",
        ),
        (f"good --against good --metrics rec_sse {PIXELS}", "--metrics: unknown metric 'rec_sse'; …"),
        ("good --against good --count 0", "--count must be at least 1, not 0"),
        ("good --against good --count many", "… 'many' is not a whole number; see: python -m bench --help"),
        ("good --against good --size 0", "--size must be at least 1, not 0"),
        ("good --against good --size -4", "--size must be at least 1, not -4"),
        ("good --against good --size 5000", "--size must be at most 4096, not 5000"),
        (
            "good --against good --filter cubic",
            "--filter: unknown value 'cubic'; did you mean 'bicubic'? known: bicubic, bilinear, box, lanczos, nearest",
        ),
        ("good --against good --flatten grey", "--flatten: unknown value 'grey'; known: black, white"),
        ("good --against good --range 0,1", "--range: unknown value '0,1'; known: symmetric, unit"),
        ("good --against good --threads 999", "--threads must be at most …, the cores of this machine, not 999"),
        ("good --against good --device gpu", "…gpu…"),
        ("good --against good --plugin gone.py", "plugin gone.py: no such file …"),
        ("good --against good --record good", "--record good: not a file of measurements (…); choose another"),
        ("good --against good --record factors.npy", "--record factors.npy: not a file of measurements (…); choose another"),
        (f"good --against good --record model.py {PIXELS}", "--record model.py: not a file of measurements (…); choose another"),
        (
            f"good --against good --save-statistics s.npz {PIXELS}",
            "--save-statistics: they are of one network; say which: --networks inception-tf",
        ),
        ("good --against good --explain often", "--explain often: a number with the digits that were reported is expected, such as 1.50"),
        ("good --against good --explain nan", "--explain nan: it is not finite"),
        ("good --explain 1.5", "--explain: give WHAT and --against, two sets of images"),
        ("codes.npy --explain 1.5", "--explain: give WHAT and --against, two sets of images"),
        ("codes.npy --against good --explain 1.5", "explain: codes.npy is codes, images are expected"),
        (f"good --against good --metrics fidd --explain 1.5 {PIXELS}", "--metrics: unknown metric 'fidd'; …"),
        ("good --gainst good", "No such option: --gainst…; see: python -m bench --help"),
    )
]


def partner(names: Iterable[str]) -> Make:
    return with_files(*((name, png(GOOD[i % 5])) for i, name in enumerate(names)))


PAIR = f"measure --originals good --reconstructions bad {PIXELS}"
PAIRS = [
    BadMeasurement(f"pairs: {shown}", make, PAIR, says)
    for shown, make, says in (
        ("one is missing", partner(["000.png", "001.png", "002.png"]), "bad: 1 of 4 images of good have no partner, the first 003"),
        ("one too many", partner([f"{i:03d}.png" for i in range(5)]), "good: 1 of 5 images of bad have no partner, the first 004"),
        ("other names", partner("abcd"[i] + ".png" for i in range(4)), "bad: 4 of 4 images of good have no partner, the first 000"),
        ("in folders of its own", partner(f"x/{i:03d}.png" for i in range(4)), "bad: 4 of 4 images of good have no partner, the first 000"),
        (
            "one twice",
            partner(["000.png", "000.bmp", "001.png", "002.png", "003.png"]),
            "bad: 000 is there with two endings; pairs are by name without the ending",
        ),
        (
            "an array of another count",
            lambda folder: np.save(folder / "bad.npy", np.zeros((5, 12, 12, 3), np.uint8)),
            "good has 4 images, bad.npy 5; pairs are by order",
        ),
    )
]
PAIRS = [bad if "array" not in bad.shown else bad._replace(arguments=PAIR.replace(" bad", " bad.npy")) for bad in PAIRS]
BAD = [*IMAGES, *FOLDERS, *ARCHIVES, *ARRAY_FILES, *STATISTICS, *CODES, *MODELS, *TORCH_FILES, *DIFFUSERS, *OPTIONS, *PAIRS]
