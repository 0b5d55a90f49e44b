"""The ray caster of 3D Shapes against distance functions, Pillow's filter, the light's formula in loops, and the published picture."""

import itertools
import math

import numpy as np
import pytest
import torch
from PIL import Image

from bench.datasets import shapes3d
from bench.datasets.rendering import scene
from bench.datasets.rendering import shapes3d as shapes3d_render

CPU = torch.device("cpu")
MIDDLE = 7  # orientation 0 degrees
SIZES = {"cube": 0.7, "cylinder": 0.75, "sphere": 0.85, "capsule": 0.65}  # at scale 1: half an edge, then radii
HEIGHTS = {"cube": 1.4, "cylinder": 1.5, "sphere": 1.7, "capsule": 2.6}


def outside(shape: str, size: float, p: np.ndarray) -> np.ndarray:
    """Signed distance (or a bound with the same sign) of points (N, 3) to a shape of `size` times its dimensions."""
    r, h = size * SIZES[shape], size * HEIGHTS[shape]
    x, y, z = p.T
    if shape == "cube":
        return np.max(np.abs([x, y, z - r]), axis=0) - r
    if shape == "cylinder":
        return np.maximum(np.hypot(x, y) - r, np.abs(z - h / 2) - h / 2)
    return np.sqrt(x**2 + y**2 + (z - np.clip(z, r, h - r)) ** 2) - r


def arrays(v: scene.Vector) -> np.ndarray:
    """(N, 3) float64."""
    return np.stack([c.reshape(-1).double().numpy() for c in v], axis=1)


def bundle(orientation: int) -> tuple[scene.Vector, scene.Vector]:
    """One ray of 25."""
    eye, _, rays = scene.camera(orientation, CPU)
    return eye, scene.Vector(*(c[::5, ::5].reshape(-1) for c in rays))


@pytest.mark.parametrize("scale", [0, 4, 7])
@pytest.mark.parametrize("shape", range(4))
def test_rays_stop_at_the_surface_and_nowhere_before(shape: int, scale: int) -> None:
    eye, rays = bundle(11)
    distance, normal = scene.solid(shape, scale, eye, rays)
    name, size = scene.SHAPES[shape], np.linspace(0.75, 1.25, 8)[scale]
    start, step = arrays(scene.Vector(*(c.expand(len(rays.x)) for c in eye))), arrays(rays)
    hit = distance.isfinite().numpy()
    assert hit.any()
    assert not hit.all()
    reached = start[hit] + distance.double().numpy()[hit, None] * step[hit]
    assert np.abs(outside(name, size, reached)).max() < 1e-5
    gradient = np.stack([outside(name, size, reached + e) - outside(name, size, reached - e) for e in 1e-4 * np.eye(3)], 1) / 2e-4
    smooth = np.abs(np.linalg.norm(gradient, axis=1) - 1) < 0.01  # not on an edge
    assert smooth.mean() > 0.95
    np.testing.assert_allclose(arrays(normal)[hit][smooth], gradient[smooth], atol=2e-3)
    for part in np.linspace(0, 0.999, 60):
        assert outside(name, size, start[hit] + part * (reached - start[hit])).min() > 0
    for t in np.linspace(0, 12, 600):
        assert outside(name, size, start[~hit] + t * step[~hit]).min() > -0.002


@pytest.mark.parametrize("shape", range(4))
def test_shadow_rays_meet_the_object_where_sampling_says(shape: int) -> None:
    x, y = torch.meshgrid(torch.linspace(-2, 3, 41), torch.linspace(-2, 2, 41), indexing="ij")
    floor = scene.Vector(x.reshape(-1), y.reshape(-1), torch.zeros(41 * 41))
    up = floor.to(scene.vector(scene.LAMP, CPU))
    blocked, _ = scene.solid(shape, 5, floor, up)
    start, step = arrays(floor), arrays(up)
    least = np.min([outside(scene.SHAPES[shape], 0.75 + 5 / 14, start + t * step) for t in np.linspace(0, 0.3, 400)], axis=0)
    clear = np.abs(least) > 0.01
    found = ((blocked > 0) & (blocked < 1)).numpy()
    foot = outside(scene.SHAPES[shape], 0.75 + 5 / 14, start) < 0.01  # below the object nobody sees
    np.testing.assert_array_equal(found[clear & ~foot], least[clear & ~foot] < 0)


def test_the_filter_is_pillows_lanczos() -> None:
    fine = np.random.default_rng(0).integers(60, 200, (192, 192), np.uint8)
    weights = scene.lanczos(CPU)
    assert (weights.sum(1) == scene.UNITS).all()
    found = (weights @ torch.from_numpy(fine).double() @ weights.T / scene.UNITS**2).numpy()
    expected = np.asarray(Image.fromarray(fine).resize((64, 64), Image.Resampling.LANCZOS), float)
    assert np.abs(found - expected).max() < 1.1  # Pillow rounds twice


@pytest.mark.parametrize("orientation", range(15))
def test_the_room_is_where_geometry_says(orientation: int) -> None:
    surface = scene.cast(2, 0, orientation, CPU)[0]
    angle = math.radians(-30 + orientation * 60 / 14)
    focal = 96 / math.tan(math.radians(25))
    for column in (0, 40, 150, 191):  # beside the object
        u = (column - 95.5) / focal
        ray = (math.cos(angle) * u + math.sin(angle), math.cos(angle) - math.sin(angle) * u)
        eye = (-5 * math.sin(angle), -5 * math.cos(angle))
        t = min((math.copysign(7, d) - e) / d for e, d in zip(eye, ray, strict=True))
        top, bottom = (95.5 - focal * (z - 1.5) / t for z in (4.0, 0.0))
        assert (surface[:, column] == 3).sum() == pytest.approx(top + 0.5, abs=1)
        assert (surface[:, column] == scene.FLOOR).sum() == pytest.approx(191.5 - bottom, abs=1)


@pytest.mark.parametrize("shape", range(4))
def test_opposite_orientations_are_mirror_images_but_for_the_light(shape: int) -> None:
    for orientation in (0, 3, 7):
        one, other = (scene.cast(shape, 6, o, CPU)[0] for o in (orientation, 14 - orientation))
        assert (one != other.flip(1)).float().mean() < 2e-4


def test_the_corner_turns_with_the_orientation() -> None:
    """Where two walls meet the sky is lowest: in the middle at 45 degrees, beyond the edge at 0."""
    focal = 96 / math.tan(math.radians(25))
    for orientation, corner in ((14, (7, 7)), (12, (7, 7)), (0, (-7, 7)), (2, (-7, 7))):
        angle = math.radians(-30 + orientation * 60 / 14)
        c, s = math.cos(angle), math.sin(angle)
        right, ahead = c * corner[0] - s * corner[1], s * corner[0] + c * corner[1] + 5
        sky = (scene.cast(2, 0, orientation, CPU)[0] == 3).sum(0)
        deepest = (sky == sky.max()).nonzero().float().mean()
        assert deepest.item() == pytest.approx(95.5 + focal * right / ahead, abs=6)


def light(place: tuple[float, ...], normal: tuple[float, ...], angle: float, material: tuple[float, ...], lit: bool) -> tuple[float, float]:
    """Factor and gloss of one point, from the formula."""
    ambient, camera, lamp, gloss = material
    to_lamp = [a - b for a, b in zip((-3, 0.925, 15), place, strict=True)]
    length = math.hypot(*to_lamp)
    cosine = sum(a * n for a, n in zip(to_lamp, normal, strict=True)) / length
    beam = (to_lamp[2] / length) ** 10 if lit and cosine > 0 else 0.0
    facing = max(0.0, -normal[0] * math.sin(angle) - normal[1] * math.cos(angle))
    return ambient + camera * facing + lamp * cosine * beam, gloss * beam


ROOM, SOLID = (0.34, 0.59, 0.97, 0.0), (0.36, 0.585, 0.97, 0.149)


@pytest.mark.parametrize("orientation", [0, 7, 12])
def test_light_is_the_formula_as_loops(orientation: int) -> None:
    shape, scale, radius = 2, 7, 1.25 * 0.85
    surface, factor, white = (x.numpy() for x in scene.cast(shape, scale, orientation, CPU))
    eye, _, rays = scene.camera(orientation, CPU)
    angle, origin, steps = math.radians(-30 + orientation * 60 / 14), np.array([float(c) for c in eye]), arrays(rays).reshape(192, 192, 3)
    seen: set[tuple[int, bool]] = set()
    for row, column in ((r, c) for r in range(1, 192, 7) for c in range(1, 192, 5)):
        kind, d = int(surface[row, column]), steps[row, column]
        if kind == 2:
            centre = origin - (0, 0, radius)
            a, b, c = d @ d, d @ centre, centre @ centre - radius**2
            place = origin + (-b - math.sqrt(b * b - a * c)) / a * d
            normal = (place - (0, 0, radius)) / radius
            expected, gloss = light(place, normal, angle, SOLID, True)
            towards = np.array((-3, 0.925, 15)) - place
            if abs(normal @ towards) < 1e-3:
                continue
            stains, comb = 1.0, 0.0
        elif kind in (0, 1):
            t = -1.5 / d[2] if kind == 0 else min((math.copysign(7, d[i]) - origin[i]) / d[i] for i in (0, 1))
            place = origin + t * d
            axis = 2 if kind == 0 else int(np.argmax(np.abs(place[:2])))
            normal = np.zeros(3)
            normal[axis] = -math.copysign(1, d[axis])
            towards = np.array((-3, 0.925, 15)) - place
            closest = np.linalg.norm(np.cross(np.array((0, 0, radius)) - place, towards)) / np.linalg.norm(towards)
            if abs(closest - radius) < 1e-3:
                continue
            expected, gloss = light(place, normal, angle, ROOM, kind == 1 or closest > radius)
            u, v = (place[1], place[0]) if kind == 0 else (place[1] if axis == 0 else place[0], place[2])
            comb = 0.009 * sum(math.cos(2 * math.pi * t) for t in (1.25 * u + 2 * v, 1.25 * u - 2 * v, 2.5 * u))
            along = ((-u if axis == 0 and place[0] > 0 else u) + 0.15) % 4
            spots = (along < 0.65 and abs(v - 2.35 + along / 2) < 0.42, 0.6 < along < 1 and abs(v - 1.5) < 0.25)
            stains = 1 - 0.055 * (kind == 1 and any(spots))
        else:
            continue
        seen.add((kind, white[row, column] > 0 or expected > 0.4))
        assert factor[row, column] == pytest.approx(expected * (stains + comb), abs=0.002), (row, column, kind)
        assert white[row, column] == pytest.approx(gloss, abs=1e-4)
    assert {(0, False), (0, True), (1, True), (2, True)} <= seen  # shadow, floor, wall, object


@pytest.mark.parametrize("shape", range(4))
def test_the_object_grows_and_stands_on_the_floor(shape: int) -> None:
    masks = [scene.cast(shape, scale, MIDDLE, CPU)[0] == scene.OBJECT for scale in range(8)]
    areas = [int(mask.sum()) for mask in masks]
    assert all(small < large for small, large in itertools.pairwise(areas))
    assert areas[7] / areas[0] == pytest.approx((1.25 / 0.75) ** 2, rel=0.25)
    rows = masks[7].any(1).nonzero()
    height = 1.25 * HEIGHTS[scene.SHAPES[shape]]
    nearest = 1.25 * SIZES[scene.SHAPES[shape]] if shape < 2 else 0.0  # a flat top: its edge in front
    focal = 96 / math.tan(math.radians(25))
    assert rows.min().item() == pytest.approx(96 - focal * (height - 1.5) / (5 - nearest), abs=3.5)
    assert not masks[7][:, :40].any()


def test_the_shadow_lies_to_the_right_and_not_on_the_wall() -> None:
    with_object, without = (scene.cast(2, scale, MIDDLE, CPU) for scale in (7, 0))
    darker = (with_object[0] == scene.FLOOR) & (without[0] == scene.FLOOR) & (with_object[1] < without[1] - 0.2)
    assert 95.5 + 5 < darker.nonzero()[:, 1].float().mean() < 95.5 + 40
    wall = (with_object[0] == scene.WALL) & (without[0] == scene.WALL)
    assert torch.equal(with_object[1][wall], without[1][wall])


# (row, column of EXAMPLES, pixel row, pixel column): colour in the published picture of examples
PUBLISHED = {
    (0, 0, 30, 4): (255, 163, 0),
    (0, 0, 57, 36): (76, 0, 0),
    (0, 0, 33, 28): (255, 29, 29),
    (0, 0, 46, 31): (231, 0, 0),
    (0, 0, 25, 61): (128, 78, 0),
    (2, 1, 25, 5): (50, 255, 0),
    (2, 1, 30, 60): (36, 178, 0),
    (2, 1, 60, 60): (240, 144, 0),
    (2, 1, 55, 45): (89, 53, 0),
    (2, 1, 30, 25): (224, 255, 31),
    (2, 1, 30, 38): (173, 217, 0),
    (2, 1, 10, 32): (249, 253, 39),
    (3, 4, 35, 55): (31, 0, 155),
    (3, 4, 60, 5): (63, 255, 0),
    (3, 4, 40, 35): (0, 232, 232),
    (3, 4, 40, 21): (32, 211, 211),
    (3, 4, 57, 29): (11, 128, 78),
    (3, 4, 2, 2): (153, 226, 249),
}


@pytest.mark.parametrize("spot", PUBLISHED)
def test_colours_are_those_of_the_published_picture(spot: tuple[int, int, int, int]) -> None:
    row, column, y, x = spot
    index = np.ravel_multi_index(shapes3d_render.EXAMPLES[row][column], shapes3d.SIZES)
    image = shapes3d_render.render(torch.tensor([int(index)]))[0]
    np.testing.assert_allclose(image[:, y, x].int(), PUBLISHED[spot], atol=6)
