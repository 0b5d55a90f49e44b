"""dSprites: drawn as the official picture has them, factor by factor; and small archives in the official layout."""

import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_methods import build, training

from bench.commands import data
from bench.datasets import dsprites
from bench.datasets.batches import Batches
from bench.datasets.dsprites import SIZES, factors, render
from bench.datasets.storage import pack
from bench.errors import UserError
from bench.registry import catalogue
from bench.suites.schema import Budget
from bench.training.train import train
from models.networks.mlp import mlp
from models.vae import vae_bernoulli

SMALL = (1, 3, 2, 3, 2, 2)  # factors of the small archives: 72 images
# images of the official repository's dsprites.gif: shape, scale, orientation, posX, posY; top, left, width; a row of pixels as a number
OFFICIAL = {
    (2, 0, 0, 0, 0): (11, 11, 10, "84 1fe 3ff 3ff 1fe 1fe fc 78 30"),
    (2, 5, 5, 0, 0): (5, 5, 17, "1f8 3fc 3fe 7fe 7fe 7ff 3ff ffff ffff 1ffff 1ffff 1ffff 1ffff 1ffff ffff 7fff 1fff"),
    (1, 5, 10, 0, 0): (
        *(3, 9, 14),
        "1c0 3f0 7f8 ffc 1ffc 1ffe 1ffe 3ffe 3fff 3fff 3fff 3fff 3fff 3fff 3fff 3fff 3fff 3fff 1fff 1ffe 1ffe ffe ffc 7f8 3f0 e0",
    ),
    (0, 5, 2, 0, 0): (
        *(4, 4, 24),
        "c0 7e0 3fe0 1ffe0 ffff0 7ffff0 fffff0 fffff8 7ffff8 7ffff8 7ffffc 3ffffc 3ffffc 3ffffe 1ffffe 1ffffe 1fffff fffff ffffe "
        "ffff0 7ff80 7fc00 7e000 30000",
    ),
    (2, 5, 0, 11, 31): (
        *(39, 18, 19),
        "1f07c 3f8fe 7fdfe 7ffff 7ffff 7ffff 7ffff 7fffe 3fffe 1fffc 1fff8 fff0 7fe0 1fc0 f80 f00 600 200",
    ),
    (0, 2, 0, 0, 0): (9, 9, 14, " ".join(["3fff"] * 14)),
}


def index(shape: int, scale: int = 5, orientation: int = 0, x: int = 16, y: int = 16) -> int:
    return ((((shape * 6) + scale) * 40 + orientation) * 32 + x) * 32 + y


def drawn(**latents: int) -> np.ndarray:
    """(64, 64) int"""
    return render(np.array([index(**latents)]))[0, 0].astype(int)


@pytest.mark.parametrize("latents", OFFICIAL)
def test_an_image_is_that_of_the_official_picture(latents: tuple[int, int, int, int, int]) -> None:
    top, left, width, text = OFFICIAL[latents]
    expected = np.zeros((64, 64), np.uint8)
    for i, row in enumerate(text.split()):
        expected[top + i, left : left + width] = [int(bit) for bit in f"{int(row, 16):0{width}b}"]
    np.testing.assert_array_equal(render(np.array([index(*latents)]))[0, 0], expected)


def test_the_last_factor_varies_fastest() -> None:
    assert [factor.name for factor in dsprites.FACTORS] == ["color", "shape", "scale", "orientation", "posX", "posY"]
    assert SIZES == (1, 3, 6, 40, 32, 32)
    assert np.prod(SIZES) == dsprites.COUNT == 737_280
    found = factors(np.array([0, 1, 32, 1024, 40 * 1024, 6 * 40 * 1024, 737_279]))
    assert found.tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 1, 0, 0, 0],
        [0, 1, 0, 0, 0, 0],
        [0, 2, 5, 39, 31, 31],
    ]


@pytest.mark.parametrize("shape", [0, 1, 2])
@pytest.mark.parametrize("orientation", [0, 7, 25])
def test_places_move_a_shape_and_nothing_else(shape: int, orientation: int) -> None:
    areas, centres = [], []
    for x, y in ((0, 0), (31, 0), (0, 31), (31, 31), (9, 20)):
        image = drawn(shape=shape, orientation=orientation, x=x, y=y)
        areas.append(image.sum())
        rows, columns = np.nonzero(image)
        centres.append((columns.mean() + 0.5 - 32 * x / 31, rows.mean() + 0.5 - 32 * y / 31))
    np.testing.assert_array_equal(drawn(shape=shape, x=0)[:, :32], drawn(shape=shape, x=31)[:, 32:])  # 32 pixels from end to end
    assert areas == pytest.approx([areas[0]] * 5, rel=0.11)  # a level square of 19.2 pixels covers 19 or 20 of them a side
    assert np.ptp(centres, axis=0).max() < 0.3


@pytest.mark.parametrize(("shape", "area"), [(0, 4 * 9.6**2), (1, np.pi * 12.8 * 7.2), (2, 224.0)])
def test_scale_is_size_from_a_half_to_one(shape: int, area: float) -> None:
    for scale in range(6):
        found = np.mean([drawn(shape=shape, scale=scale, orientation=k, x=k % 32).sum() for k in range(39)])
        assert found == pytest.approx(area * (0.5 + 0.1 * scale) ** 2, rel=0.02)


@pytest.mark.parametrize("shape", [0, 1, 2])
def test_orientation_turns_a_shape_and_nothing_else(shape: int) -> None:
    images = [drawn(shape=shape, orientation=k, x=0, y=0) for k in range(40)]
    np.testing.assert_array_equal(images[0], images[39])  # 0 and 2π
    assert np.sum(images, (1, 2)).tolist() == pytest.approx([images[1].sum()] * 40, rel=0.1)
    y, x = np.mgrid[0:64, 0:64] - 15.5  # about the centre at 16
    turned = []
    for image in images[:39]:
        moment = [(image * (x * x - y * y)).sum(), (image * 2 * x * y).sum()]
        turned.append(complex(*moment))
    if shape == 1:  # the long axis: level at first, then against the clock, half a turn being no turn
        angles = np.unwrap([-np.angle(moment) for moment in turned]) / 2
        assert angles == pytest.approx(2 * np.pi * np.arange(39) / 39, abs=0.03)


@pytest.mark.parametrize("shape", [0, 1, 2])
def test_opposite_orientations_are_mirror_images(shape: int) -> None:
    for k in (1, 6, 13, 19):
        one, other = (drawn(shape=shape, orientation=o, x=x, y=11) for o, x in ((k, 4), (39 - k, 27)))
        np.testing.assert_array_equal(one, other[:, ::-1])


def test_only_the_heart_tells_its_head_from_its_foot() -> None:
    upside_down = [drawn(shape=shape, x=0, y=0)[0:32, 0:32][::-1, ::-1] for shape in range(3)]
    same = [np.array_equal(image, drawn(shape=shape, x=0, y=0)[0:32, 0:32]) for shape, image in enumerate(upside_down)]
    assert same == [True, True, False]


def test_an_image_depends_on_its_index_alone() -> None:
    chosen = np.random.RandomState(3).permutation(dsprites.COUNT)[:300]
    whole = render(chosen)
    assert (whole.dtype, whole.max(), whole.sum((1, 2, 3)).min() > 40) == (np.uint8, 1, True)
    np.testing.assert_array_equal(np.concatenate([render(chosen[i : i + 1]) for i in range(40)]), whole[:40])
    np.testing.assert_array_equal(render(chosen[::-1])[::-1], whole)
    assert hashlib.sha256(whole.tobytes()).hexdigest()[:16] == "cc1eada6a1b9f514"


def test_the_subset_is_fixed_and_its_splits_are_apart() -> None:
    found = dsprites.load_subset(Path("nowhere"))
    assert (found.train.shape, found.test.shape, found.levels) == ((20_000, 1, 64, 64), (2_000, 1, 64, 64), 1)
    assert found.train_factors is not None
    assert found.test_factors is not None
    places = [np.ravel_multi_index(rows.T, SIZES) for rows in (found.train_factors, found.test_factors)]
    assert len(np.unique(np.concatenate(places))) == 22_000
    np.testing.assert_array_equal(render(places[1][:50]), found.test[:50])
    np.testing.assert_array_equal(render(places[0][-50:]), found.train[-50:])
    for column, size in enumerate(SIZES):
        assert np.bincount(found.train_factors[:, column]).tolist() == pytest.approx([20_000 / size] * size, rel=0.2)


def test_the_whole_set_is_drawn_once_and_stays_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "FALLBACK", Path("nowhere"))  # the whole set may be packed in ./data
    monkeypatch.setattr(dsprites, "COUNT", 2_100)  # two blocks and a part
    monkeypatch.setattr(pack, "SMALL", 2**20)
    (card,) = [source for source in dsprites.DATASETS if source.name == "dsprites_render"]
    card = replace(card, counts={"train": 2_100, "test": 2_100})
    found = card.load(tmp_path)
    assert card.mismatch(found) is None
    assert isinstance(found.train, np.memmap)
    np.testing.assert_array_equal(found.train, render(np.arange(2_100)))
    np.testing.assert_array_equal(found.test_factors, factors(dsprites.held_out(2_100)))
    monkeypatch.setattr(dsprites, "render", None)  # it is not drawn again
    again = card.load(tmp_path)
    assert again.sha256() == found.sha256()
    assert again.levels == 1
    assert data.pack(card, tmp_path).startswith(f"dsprites_render: packed in {tmp_path / 'packed'}")


def members(**changes: Any) -> dict[str, np.ndarray]:
    """What the official archive holds, of 72 images."""
    count = int(np.prod(SMALL))
    classes = factors(np.arange(count), SMALL)
    return {
        "metadata": np.array({"title": "dSprites dataset"}, dtype=object),
        "imgs": render(np.arange(count), SMALL)[:, 0],
        "latents_classes": classes,
        "latents_values": classes.astype(np.float64),
    } | changes


def put(root: Path, arrays: dict[str, np.ndarray]) -> Path:
    """The archive where it belongs, made as numpy makes it."""
    (root / "dsprites").mkdir(parents=True, exist_ok=True)
    path = root / "dsprites" / dsprites.FILE
    np.savez_compressed(path, **arrays)
    return path


def official(root: Path) -> Any:
    return dsprites.load_official(root, SMALL)


def test_an_official_archive_loads_packs_and_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dsprites, "BLOCK", 7)
    monkeypatch.setattr(dsprites, "TEST", 20)
    path = put(tmp_path, members())
    found = official(tmp_path)
    np.testing.assert_array_equal(found.train[:, 0], members()["imgs"])
    np.testing.assert_array_equal(found.train_factors, members()["latents_classes"])
    of = dsprites.held_out(72)
    assert len(of) == 20
    np.testing.assert_array_equal(found.test, found.train[of])
    np.testing.assert_array_equal(found.test_factors, found.train_factors[of])
    (card,) = [source for source in dsprites.DATASETS if source.name == "dsprites"]
    assert replace(card, counts={"train": 72, "test": 20}).mismatch(found) is None
    content = path.read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    card = replace(card, verify=partial(dsprites.verify, blob=blob))
    assert data.state(card, tmp_path)[0] == "packed"
    assert data.verify(card, tmp_path).startswith("dsprites: raw files and pack ")
    path.unlink()
    assert official(tmp_path).sha256() == found.sha256()
    batches = Batches(torch.from_numpy(found.train), found.levels, 24, seed=0)
    method = build(lambda: vae_bernoulli(4), network=mlp, shape=(1, 64, 64), dim=4)
    outcome = train(training(method, Budget(steps=100), batches), batches)
    first, last = (row["autoencoder.loss"] for row in outcome.curve)
    assert last < first


def test_verify_knows_the_archive_by_its_git_hash(tmp_path: Path) -> None:
    path = put(tmp_path, members())
    with pytest.raises(
        UserError, match=rf"is damaged: {path.stat().st_size:,} bytes with the git blob hash [0-9a-f]{{40}}, expected d98996d3"
    ):
        dsprites.verify(tmp_path)
    path.write_bytes(b"hello\n")
    dsprites.verify(tmp_path, blob="ce013625030ba8dba906f756967f9e9ca394464a")  # git's well-known hash of that text


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-400])


def changed(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo("imgs.npy")
    whole[entry.header_offset + 30 + len("imgs.npy") + 20 + entry.compress_size // 2] ^= 255
    path.write_bytes(whole)


def cut_short(path: Path) -> None:
    """A whole archive, but its images end early."""
    again(path, lambda images: images[:-5000])


def too_long(path: Path) -> None:
    """A whole archive, but its images have no end where they should."""
    again(path, lambda images: images + b"0")


def again(path: Path, change: Callable[[bytes], bytes]) -> None:
    """The archive with other bytes for its images, their CRC right."""
    buffer = io.BytesIO()
    np.save(buffer, members()["imgs"])
    with zipfile.ZipFile(path) as archive:
        rest = {name: archive.read(name) for name in archive.namelist() if name != "imgs.npy"}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (rest | {"imgs.npy": change(buffer.getvalue())}).items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (truncated, r"is damaged \([0-9,]+ bytes\): File is not a zip file"),
        (changed, r"is damaged \([0-9,]+ bytes\): "),
        (too_long, r"is damaged \([0-9,]+ bytes\): imgs goes on after its last row"),
        (cut_short, r"is damaged \([0-9,]+ bytes\): imgs ends at row 70"),
        (lambda path: path.write_bytes(b""), r"is damaged \(0 bytes\): "),
    ],
)
def test_a_damaged_archive_is_one_clear_line_and_leaves_nothing(tmp_path: Path, spoil: Any, says: str) -> None:
    path = put(tmp_path, members())
    spoil(path)
    with pytest.raises(UserError, match=says) as caught:
        official(tmp_path)
    assert str(caught.value).endswith(f"take it again from {dsprites.URL}")
    assert "\n" not in str(caught.value)
    assert not [folder for folder in tmp_path.glob("packed/*") if folder.is_dir()]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"imgs": members()["imgs"][:, :32]}, r"imgs is uint8 of \(72, 32, 64\), uint8 of \(72, 64, 64\) expected"),
        ({"imgs": members()["imgs"].astype(np.float32)}, r"imgs is float32 of \(72, 64, 64\), uint8"),
        ({"imgs": 255 * members()["imgs"]}, r"imgs has values up to 255, 0 and 1 expected"),
        (
            {"latents_classes": members()["latents_classes"][::-1].copy()},
            r"row 0 of latents_classes is \[0 2 1 2 1 1\], \[0 0 0 0 0 0\] expected",
        ),
        ({"latents_classes": members()["latents_classes"][:, :5].copy()}, r"latents_classes is int64 of \(72, 5\)"),
    ],
)
def test_an_archive_of_something_else_is_refused(tmp_path: Path, changes: dict[str, np.ndarray], says: str) -> None:
    put(tmp_path, members(**changes))
    with pytest.raises(UserError, match=says):
        official(tmp_path)


def test_an_archive_without_the_images_is_refused(tmp_path: Path) -> None:
    put(tmp_path, {name: array for name, array in members().items() if name != "imgs"})
    with pytest.raises(UserError, match=r"There is no item named 'imgs\.npy' in the archive"):
        official(tmp_path)


def test_a_missing_archive_says_where_it_belongs(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        official(tmp_path)
    for words in (dsprites.FILE, str(tmp_path / "dsprites"), dsprites.URL, "python -m bench data fetch dsprites"):
        assert words in str(caught.value)


def test_the_rendered_set_never_stands_in_for_the_official_one() -> None:
    known = catalogue().datasets
    cards = [known[name] for name in ("dsprites", "dsprites_render", "dsprites_render_20k")]
    assert len({card.convention for card in cards}) == 3
    assert ["drawn by this program" in card.convention for card in cards] == [False, True, True]
    assert {card.kind for card in cards} == {"rendered"}
    assert [card.files for card in cards[1:]] == [(), ()]
