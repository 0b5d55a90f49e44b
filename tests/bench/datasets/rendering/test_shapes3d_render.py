"""The drawn 3D Shapes: a factor changes what it should, bytes depend on the index alone, and a set is packed once."""

import colorsys
import hashlib
import itertools
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from small_methods import build, training
from torch import Tensor

from bench.commands import data
from bench.datasets import shapes3d
from bench.datasets.rendering import scene
from bench.datasets.rendering import shapes3d as shapes3d_render
from bench.datasets.storage import pack
from bench.registry import catalogue
from bench.suites.schema import Budget
from bench.training.train import Batches, train

CPU = torch.device("cpu")
BASE = (3, 8, 5, 5, 2, 9)
GOLDEN = "f7e07e75548d0a6341af8bfb017311f24718b3ecc325a7f0a4e900a07c4eb719"  # of version 1: another picture is another convention
NAMES = [factor.name for factor in shapes3d.FACTORS]


def index(*factors: int) -> int:
    """By hand, the last factor varying fastest."""
    floor, wall, thing, scale, shape, orientation = factors
    return ((((floor * 10 + wall) * 10 + thing) * 8 + scale) * 4 + shape) * 15 + orientation


def drawn(*factors: int) -> Tensor:
    """(3, 64, 64) int64."""
    return shapes3d_render.render(torch.tensor([index(*factors)]))[0].long()


def changed(name: str, value: int) -> tuple[int, ...]:
    return tuple(value if factor == name else old for factor, old in zip(NAMES, BASE, strict=True))


def purely(surface: int, factors: tuple[int, ...] = BASE) -> Tensor:
    """(64, 64): pixels that see nothing else, nor does what the filter weighs in."""
    other = scene.cast(factors[4], factors[3], factors[5], CPU)[0] != surface
    return ~torch.nn.functional.max_pool2d(other[None].float(), 21, 3, 9)[0].bool()


def hue_of(pixel: Tensor) -> float:
    return colorsys.rgb_to_hsv(*(pixel / 255).tolist())[0]


@pytest.mark.parametrize("surface", range(3))
def test_a_hue_colours_its_surface_and_nothing_else(surface: int) -> None:
    others = [purely(s) for s in (0, 1, 2, 3) if s != surface]
    dim = {0: (43, 60), 1: (30, 60), 2: (42, 32)}[surface]  # a pixel in half light: nothing is clipped there
    assert purely(surface)[dim]
    before = drawn(*BASE)
    for value in range(10):
        image = drawn(*changed(NAMES[surface], value))
        assert abs(hue_of(image[:, *dim]) - value / 10) < 0.01
        for mask in others:
            assert torch.equal(image[:, mask], before[:, mask])
        if value != BASE[surface]:
            assert (image != before).any(0)[purely(surface)].float().mean() > 0.99


def test_scale_and_shape_leave_the_room_alone() -> None:
    before, room = drawn(*BASE), purely(scene.WALL) | purely(3)
    for factors in [changed("scale", 0), *(changed("shape", shape) for shape in (0, 1, 3))]:
        mask = room & (purely(scene.WALL, factors) | purely(3, factors))
        assert mask.float().mean() > 0.3
        image = drawn(*factors)
        assert torch.equal(image[:, mask], before[:, mask])
        assert not torch.equal(image, before)


def test_floor_beyond_object_and_shadow_does_not_depend_on_the_object() -> None:
    for shape in range(4):
        image, before = drawn(*changed("shape", shape)), drawn(*BASE)
        assert torch.equal(image[:, 58:, :10], before[:, 58:, :10])
        assert torch.equal(image[:, 46:, 60:], before[:, 46:, 60:])


@pytest.mark.parametrize("shape", range(4))
def test_the_object_gets_larger_with_the_scale(shape: int) -> None:
    areas = []
    for scale in range(8):
        image = drawn(0, 0, 5, scale, shape, 7)  # cyan before red; the sky ends above it
        areas.append(int((image[1] > image[0] + 60)[19:].sum()))
    assert all(a < b for a, b in itertools.pairwise(areas))
    assert 2 < areas[7] / areas[0] < 3.5


def test_orientation_keeps_a_round_object_and_mirrors_the_room() -> None:
    sky, middle = torch.tensor(scene.SKY)[:, None, None], purely(scene.OBJECT, changed("orientation", 7))
    for orientation in range(15):
        assert (drawn(*changed("orientation", orientation))[:, :11] == sky).all()
        assert torch.equal(purely(scene.OBJECT, changed("orientation", orientation)), middle)
        above, mirrored = (drawn(3, 0, 0, 0, 2, o)[2, :24] for o in (orientation, 14 - orientation))  # blue: sky over a red wall
        assert ((above - mirrored.flip(1)).abs() > 4).float().mean() < 0.01
    edges = [drawn(0, 1, 4, 0, 2, orientation)[0, 30].diff().abs().argmax().item() for orientation in (0, 14)]
    assert edges[0] == pytest.approx(63 - 1 - edges[1], abs=1)  # the corner between a bright and a dark wall
    assert edges[0] < 31 < edges[1]


def test_an_index_is_the_official_order() -> None:
    assert shapes3d.SIZES == (10, 10, 10, 8, 4, 15)
    assert shapes3d.factors(np.array([0, 1, 15, 60, 480, 4800, 48_000, 479_999])).tolist() == [
        [0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 1, 0],
        [0, 0, 0, 1, 0, 0],
        [0, 0, 1, 0, 0, 0],
        [0, 1, 0, 0, 0, 0],
        [1, 0, 0, 0, 0, 0],
        [9, 9, 9, 7, 3, 14],
    ]
    assert shapes3d.factors(np.array([index(*BASE)])).tolist() == [list(BASE)]


def test_hues_are_the_colour_circle() -> None:
    expected = [[round(5 * c) for c in colorsys.hsv_to_rgb(i / 10, 1, 1)] for i in range(10)]
    assert [list(hue) for hue in shapes3d_render.HUES] == expected


def test_a_picture_is_the_sum_of_its_layers_rounded_once() -> None:
    layers = scene.layers(2, 5, 9, CPU).numpy() / 64  # sky, then six strengths of floor, wall and object
    for floor, wall, thing in ((3, 8, 5), (0, 1, 6)):
        strengths = [[round(5 * c) for c in colorsys.hsv_to_rgb(hue / 10, 1, 1)] for hue in (floor, wall, thing)]
        grey = [layers[c] + layers[3 + strengths[0][c]] + layers[9 + strengths[1][c]] + layers[15 + strengths[2][c]] for c in range(3)]
        np.testing.assert_array_equal(drawn(floor, wall, thing, 5, 2, 9), np.clip(np.floor(np.stack(grey) + 0.5), 0, 255))


def test_bytes_depend_on_the_index_alone() -> None:
    rows = torch.from_numpy(np.random.RandomState(1).permutation(480_000)[:24])
    together = shapes3d_render.render(rows)
    assert together.shape == (24, 3, 64, 64)
    assert together.dtype == torch.uint8
    assert torch.equal(shapes3d_render.render(rows.flip(0)), together.flip(0))
    scene.layers.cache_clear()
    threads = torch.get_num_threads()
    torch.set_num_threads(2 if threads == 1 else 1)
    try:
        alone = [shapes3d_render.render(row[None])[0] for row in rows[:8]]
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.stack(alone), together[:8])
    assert torch.equal(shapes3d_render.render(rows[[3, 3]]), together[[3, 3]])


def test_bytes_are_the_same_on_every_machine() -> None:
    images = shapes3d_render.render(torch.arange(11, 480_000, 40_009))
    assert hashlib.sha256(images.numpy().tobytes()).hexdigest() == GOLDEN


@pytest.mark.gpu
def test_bytes_are_the_same_on_the_gpu() -> None:
    rows = torch.arange(11, 480_000, 4_009)
    assert torch.equal(shapes3d_render.render(rows.cuda()).cpu(), shapes3d_render.render(rows))


def test_the_subset_is_disjoint_and_the_whole_is_whole() -> None:
    subset = shapes3d_render.split("shapes3d_render_20k")
    assert {name: len(rows) for name, rows in subset.items()} == {"train": 20_000, "test": 2_000}
    assert len({*subset["train"], *subset["test"]}) == 22_000
    for rows in subset.values():
        assert (np.diff(rows) > 0).all()
        for factor, size in enumerate(shapes3d.SIZES):  # every value is about as frequent as another
            counts = np.bincount(shapes3d.factors(rows)[:, factor], minlength=size) * size / len(rows)
            assert 0.75 < counts.min() <= counts.max() < 1.25
    whole = shapes3d_render.split("shapes3d_render")
    np.testing.assert_array_equal(whole["train"], np.arange(480_000))
    assert len(set(whole["test"])) == 10_000
    np.testing.assert_array_equal(whole["test"], shapes3d.drawn(480_000, 10_000))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A subset of 40 + 10, drawn 16 at a time."""
    for name, value in {"SUBSET_TRAIN": 40, "SUBSET_TEST": 10, "BLOCK": 16}.items():
        monkeypatch.setattr(shapes3d_render, name, value)
    monkeypatch.setattr(pack, "FALLBACK", Path("nowhere"))  # the whole set may be packed in ./data


@pytest.mark.usefixtures("small")
def test_a_set_is_drawn_once_then_read_and_trained_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = replace(shapes3d_render.DATASETS[1], counts={"train": 40, "test": 10})
    before = card.load(tmp_path)
    assert data.verify(card, tmp_path).startswith("shapes3d_render_20k: built in, 40 + 10 images, sha256 ")
    folder = pack.places(tmp_path, card.name, card.convention)[0]
    assert data.pack(card, tmp_path) == f"shapes3d_render_20k: packed in {folder}"
    monkeypatch.setattr(shapes3d_render, "blocks", None)  # a second drawing would fail
    found = shapes3d_render.load(card.name, card.convention, tmp_path)
    assert found.sha256() == before.sha256()
    rows = shapes3d_render.split(card.name)
    for split in ("train", "test"):
        np.testing.assert_array_equal(getattr(found, f"{split}_factors"), shapes3d.factors(rows[split]))
        np.testing.assert_array_equal(getattr(found, split), shapes3d_render.render(torch.from_numpy(rows[split])).numpy())
    batches = Batches(torch.from_numpy(found.train.copy()), 255, 10, seed=0)
    known = catalogue()
    method = build(partial(known.methods["ae"], 10), network=known.networks["vcae_shapes3d"], shape=card.shape, dim=10)
    assert train(training(method, Budget(steps=3), batches), batches).status == "done"


def test_the_whole_set_is_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = shapes3d_render.streams("shapes3d_render", Path())["train"]
    assert stream.shape == (480_000, 3, 64, 64)
    assert stream.nbytes == 5_898_240_000
    monkeypatch.setattr(shapes3d_render, "BLOCK", 3)
    first = next(iter(shapes3d_render.streams("shapes3d_render", Path())["train"].blocks))
    np.testing.assert_array_equal(first, shapes3d_render.render(torch.arange(3)).numpy())


def test_it_is_not_the_official_set() -> None:
    official, whole, subset = shapes3d.DATASETS[0], *shapes3d_render.DATASETS
    assert {official.name, whole.name, subset.name} == {"shapes3d", "shapes3d_render", "shapes3d_render_20k"}
    assert len({official.convention, whole.convention, subset.convention}) == 3
    assert not whole.files
    assert "this project's ray caster" in whole.convention
    assert "no split" in whole.convention
    assert "20,000 training and 2,000 other test images" in subset.convention
    assert whole.kind == subset.kind == "rendered"
    assert whole.factors == subset.factors == official.factors


def test_the_sheet_shows_the_examples(tmp_path: Path) -> None:
    shapes3d_render.sheet(tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        pixels = np.asarray(sheet)[1::3, 1::3]
    assert pixels.shape == (360, 360, 3)
    tile = pixels[3 * 72 + 4 : 4 * 72 - 4, 4 * 72 + 4 : 5 * 72 - 4]
    np.testing.assert_array_equal(tile, drawn(3, 7, 5, 6, 0, 12).permute(1, 2, 0))
    assert (pixels[:4] == 255).all()
