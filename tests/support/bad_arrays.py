"""Damaged arrays, statistics, codes and factors for `python -m bench measure`."""

import io
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
from bad_measure import (
    PIXELS,
    BadMeasurement,
    Bomb,
    Make,
    nothing,
)


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
