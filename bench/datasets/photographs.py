"""Real photographs inside the installed package scikit-image: 100 small faces, and crops of seven colour photographs.

They are read from the package's folder, never from the network: of what `skimage.data` names, these files are in its wheel.
The faces are of Labeled Faces in the Wild (Huang et al., 2007), chosen and cut to 25 x 25 by scikit-image.
"""

import hashlib
import importlib.util
import io
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.datasets.dataset import Dataset, Source
from bench.datasets.storage.image_files import Encoded, decoded
from bench.errors import UserError

FACES, FACES_SIDE, FACES_TEST, FACES_SEED = 100, 25, 20, 0  # persons' patches; the file's other 100 are not faces
FACES_FILE, FACES_HASH = "lfw_subset.npy", "9560ec2f5edfac01973f63a8a99d00053fecd11e21877e18038fbe500f8e872c"
REGION, SIDE, STRIDE = 128, 64, 16  # pixels: of a region's side, of a crop's, and between crops of a region
REGIONS, REGIONS_TEST, TEXTURES_SEED = 100, 20, 0
PER_REGION = ((REGION - SIDE) // STRIDE + 1) ** 2


class Photograph(NamedTuple):
    """A file, and how many regions wide and high the grid in its middle is."""

    file: str
    columns: int
    rows: int
    sha256: str


PHOTOGRAPHS = (
    Photograph("astronaut.png", 4, 4, "88431cd9653ccd539741b555fb0a46b61558b301d4110412b5bc28b5e3ea6cb5"),
    Photograph("chelsea.png", 3, 2, "596aa1e7cb875eb79f437e310381d26b338a81c2da23439704a73c4651e8c4bb"),
    Photograph("coffee.png", 4, 3, "cc02f8ca188b167c775a7101b5d767d1e71792cf762c33d6fa15a4599b5a8de7"),
    Photograph("hubble_deep_field.jpg", 5, 4, "3a19c5dd8a927a9334bb1229a6d63711b1c0c767fb27e2286e7c84a3e2c2f5f4"),
    Photograph("ihc.png", 4, 4, "f8dd1aa387ddd1f49d8ad13b50921b237df8e9b262606d258770687b0ef93cef"),
    Photograph("retina.jpg", 4, 4, "38a07f36f27f095e818aea7b96d34202c05176d30253c66733f2e00379e9e0e6"),
    Photograph("rocket.jpg", 5, 3, "c2dd0de7c538df8d111e479619b129464d0269d0ae5fd18ca91d33a7fdfea95c"),
)
LICENCE = "public domain (astronaut, hubble, rocket), CC0 (chelsea, coffee, retina), no known restrictions (ihc)"


def packaged(file: str, sha256: str) -> bytes:
    """A file of the installed scikit-image; UserError where it is missing or not the one expected."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise UserError("scikit-image is not installed; install it with `pip install scikit-image`")
    path = Path(spec.origin).parent / "data" / file
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}; install scikit-image anew") from None
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise UserError(f"{path} ({len(content):,} bytes) has sha256 {found}, {sha256} expected; install scikit-image anew")
    return content


def load_faces(root: Path) -> Dataset:
    """(160, 1, 25, 25) and (20, 1, 25, 25): 80 faces, each followed by its mirror image, and 20 others; the data root is not read."""
    patches = np.load(io.BytesIO(packaged(FACES_FILE, FACES_HASH)), allow_pickle=False)[:FACES, None]
    images = np.rint(255 * patches).astype(np.uint8)
    order = np.random.RandomState(FACES_SEED).permutation(FACES)
    train, test = np.sort(order[FACES_TEST:]), np.sort(order[:FACES_TEST])
    both = np.stack([images[train], images[train][..., ::-1]], 1).reshape(-1, 1, FACES_SIDE, FACES_SIDE)
    return Dataset(both, images[test], train_groups=np.repeat(train, 2))


def regions() -> list[tuple[int, np.ndarray]]:
    """The photograph's number and the pixels, (128, 128, 3) uint8, of every region; none overlaps another."""
    found = []
    for number, photograph in enumerate(PHOTOGRAPHS):
        image = decoded(Encoded(packaged(photograph.file, photograph.sha256), photograph.file))
        pixels = np.asarray(image.convert("RGB"))
        top, left = ((size - REGION * n) // 2 for size, n in zip(pixels.shape, (photograph.rows, photograph.columns), strict=False))
        for y in range(top, top + REGION * photograph.rows, REGION):
            for x in range(left, left + REGION * photograph.columns, REGION):
                found.append((number, pixels[y : y + REGION, x : x + REGION]))
    return found


def crops(region: np.ndarray) -> np.ndarray:
    """Every crop of a region, STRIDE apart.   (128, 128, 3) -> (25, 3, 64, 64)"""
    windows = np.lib.stride_tricks.sliding_window_view(region, (SIDE, SIDE), axis=(0, 1))[::STRIDE, ::STRIDE]
    return windows.reshape(-1, 3, SIDE, SIDE)


def load_textures(root: Path) -> Dataset:
    """(2000, 3, 64, 64) and (500, 3, 64, 64), labelled by photograph; no pixel is in both; the data root is not read."""
    found = regions()
    order = np.random.RandomState(TEXTURES_SEED).permutation(len(found))[:REGIONS]
    test, train = np.sort(order[:REGIONS_TEST]), np.sort(order[REGIONS_TEST:])
    images, images_test = (np.concatenate([crops(found[i][1]) for i in of]) for of in (train, test))
    labels, labels_test = (np.repeat([found[i][0] for i in of], PER_REGION) for of in (train, test))
    return Dataset(images, images_test, labels, labels_test, train_groups=np.repeat(train, PER_REGION))


DATASETS = [
    Source(
        name="faces",
        shape=(1, FACES_SIDE, FACES_SIDE),
        counts={"train": 2 * (FACES - FACES_TEST), "test": FACES_TEST},
        convention=(
            f"scikit-image's {FACES} faces of LFW, 25x25 grey, rounded to 8 bits; {FACES_TEST} held out, seed {FACES_SEED}; the others"
            " and their mirror images train"
        ),
        kind="real",
        licence="not stated; news photographs, for research",
        url="https://scikit-image.org/docs/stable/api/skimage.data.html#skimage.data.lfw_subset",
        load=load_faces,
    ),
    Source(
        name="textures",
        shape=(3, SIDE, SIDE),
        counts={"train": (REGIONS - REGIONS_TEST) * PER_REGION, "test": REGIONS_TEST * PER_REGION},
        convention=(
            f"scikit-image's colour photographs {', '.join(photograph.file for photograph in PHOTOGRAPHS)}; {REGIONS} separate regions of"
            f" {REGION}x{REGION}, {REGIONS_TEST} of them held out, seed {TEXTURES_SEED}; 64x64 crops {STRIDE} pixels apart, value/255"
        ),
        kind="real",
        licence=LICENCE,
        url="https://scikit-image.org/docs/stable/api/skimage.data.html",
        load=load_textures,
    ),
]
