"""The scene of 3D Shapes by ray casting in closed form: a square room without a ceiling, one object, one lamp, one camera.

A picture is sampled at 3 x 3 points per pixel and shrunk by a Lanczos filter, as the published pictures are (their
overshoot at edges shows it). Hues only scale brightness, so what is cast is a stack of layers per shape, size and
orientation, which all hues share. A channel of a hue has one of six strengths, a layer for each: clipping is exact too.

Lengths: the camera is 5 from the object's axis and 1.5 above the floor. Constants were fitted to the published picture of
25 examples. Bytes are the same on every device: the casting is +, -, *, / and square roots of float32 in one order, the
filter sums integers in float64.
"""

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

SIDE, SAMPLES, STRENGTHS = 64, 3, 6
FINE = SIDE * SAMPLES  # samples along a side
FOCAL = FINE / 2 / math.tan(math.radians(50 / 2))  # in samples: a field of view of 50 degrees, level
DISTANCE, EYE = 5.0, 1.5  # of the camera from the object's axis, above the floor
HALF, HEIGHT = 7.0, 4.0  # of the room's side, of its walls
LAMP = (-3.0, 0.925, 15.0)  # in the room, with which it turns; its beam goes straight down
SKY = (153, 226, 249)
SCALES, ORIENTATIONS = 8, 15
SHAPES = ("cube", "cylinder", "sphere", "capsule")
CUBE, CYLINDER, SPHERE, CAPSULE = 0.7, (0.75, 1.5), 0.85, (0.65, 2.6)  # half an edge; radius, height; radius; radius, height
FLOOR, WALL, OBJECT = range(3)
LAYERS = 3 + 3 * STRENGTHS  # red, green, blue of the sky; then surface by surface
FRACTION = 64  # a layer is in 1/64 of a grey level
UNITS = 4096  # of the filter's weights


class Vector(NamedTuple):
    """A direction or a place for each sample."""

    x: Tensor
    y: Tensor
    z: Tensor

    def dot(self, other: "Vector") -> Tensor:
        """Written out: a library's sum may add in another order."""
        return self.x * other.x + self.y * other.y + self.z * other.z

    def plus(self, t: Tensor, other: "Vector") -> "Vector":
        """self + t other."""
        return Vector(self.x + t * other.x, self.y + t * other.y, self.z + t * other.z)

    def to(self, other: "Vector") -> "Vector":
        """From this place to that one."""
        return Vector(other.x - self.x, other.y - self.y, other.z - self.z)

    def unit(self) -> "Vector":
        """The same direction with length 1."""
        length = self.dot(self).sqrt()
        return Vector(self.x / length, self.y / length, self.z / length)


class Material(NamedTuple):
    """Brightness as factors of the hue; `gloss` is white and added wherever the lamp shines."""

    ambient: float
    camera: float  # times the cosine to the viewing direction: a light that goes with the camera
    lamp: float
    gloss: float


ROOM = Material(0.34, 0.59, 0.97, 0.0)
SOLID = Material(0.36, 0.585, 0.97, 0.149)
Hit = tuple[Tensor, Vector]  # how many lengths of its direction a ray goes, inf for a miss; the outward unit normal


def vector(place: tuple[float, float, float], device: torch.device) -> Vector:
    """The same for all samples."""
    return Vector(*torch.tensor(place, dtype=torch.float32, device=device))


def between(o: Tensor, d: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """When a coordinate that starts at `o` and moves by `d` enters and leaves low..high."""
    first, second = (low - o) / d, (high - o) / d
    return torch.minimum(first, second), torch.maximum(first, second)


def around(o: Vector, d: Vector, radius: float) -> tuple[Tensor, Tensor]:
    """When a ray enters and leaves the endless upright cylinder at the origin; nan for never."""
    a, b = d.x * d.x + d.y * d.y, o.x * d.x + o.y * d.y
    root = (b * b - a * (o.x * o.x + o.y * o.y - radius * radius)).sqrt()
    return (-b - root) / a, (root - b) / a


def cube(o: Vector, d: Vector, half: float) -> Hit:
    """Its faces look along the walls."""
    spans = between(o.x, d.x, -half, half), between(o.y, d.y, -half, half), between(o.z, d.z, 0.0, 2 * half)
    enter = torch.maximum(torch.maximum(spans[0][0], spans[1][0]), spans[2][0])
    leave = torch.minimum(torch.minimum(spans[0][1], spans[1][1]), spans[2][1])
    normal = Vector(*(torch.where(span[0] == enter, -torch.sign(c), 0.0) for span, c in zip(spans, d, strict=True)))
    return torch.where(enter < leave, enter, math.inf), normal


def cylinder(o: Vector, d: Vector, radius: float, height: float) -> Hit:
    """Where rays from o along d meet an upright cylinder that stands on z = 0; lengths in units of the scene."""
    side, cap = around(o, d, radius), between(o.z, d.z, 0.0, height)
    enter, leave = torch.maximum(side[0], cap[0]), torch.minimum(side[1], cap[1])
    place, curved = o.plus(enter, d), side[0] > cap[0]
    x, y = (torch.where(curved, c * (1 / radius), 0.0) for c in (place.x, place.y))
    return torch.where(enter < leave, enter, math.inf), Vector(x, y, torch.where(curved, 0.0, -torch.sign(d.z)))


def ball(o: Vector, d: Vector, radius: float, height: Tensor) -> Hit:
    """A sphere whose centre is `height` above the origin."""
    z = o.z - height
    a, b = d.dot(d), o.x * d.x + o.y * d.y + z * d.z
    t = (-b - (b * b - a * (o.x * o.x + o.y * o.y + z * z - radius * radius)).sqrt()) / a
    place = Vector(o.x, o.y, z).plus(t, d)
    return torch.where(t == t, t, math.inf), Vector(*(c * (1 / radius) for c in place))


def capsule(o: Vector, d: Vector, radius: float, height: float) -> Hit:
    """Upright, `height` with both its half spheres: a ray that enters the cylinder beyond their centres meets the near one or none."""
    side, _ = around(o, d, radius)
    z = o.z + side * d.z
    centre = z.clamp(radius, height - radius)
    end, round_normal = ball(o, d, radius, centre)
    place, curved = o.plus(side, d), z == centre
    flat = Vector(place.x * (1 / radius), place.y * (1 / radius), torch.zeros_like(z))
    normal = Vector(*(torch.where(curved, f, r) for f, r in zip(flat, round_normal, strict=True)))
    return torch.where(side == side, torch.where(curved, side, end), math.inf), normal


def solid(shape: int, scale: int, o: Vector, d: Vector) -> Hit:
    """Where rays meet the object; scale 0..7 is 0.75 to 1.25."""
    s = 0.75 + scale / 14
    if SHAPES[shape] == "cube":
        return cube(o, d, s * CUBE)
    if SHAPES[shape] == "cylinder":
        return cylinder(o, d, s * CYLINDER[0], s * CYLINDER[1])
    if SHAPES[shape] == "sphere":
        return ball(o, d, s * SPHERE, torch.full_like(d.x, s * SPHERE))
    return capsule(o, d, s * CAPSULE[0], s * CAPSULE[1])


def camera(orientation: int, device: torch.device) -> tuple[Vector, Vector, Vector]:
    """Its place, its viewing direction and a ray per sample (192, 192), in the room: it goes round, the room stays."""
    angle = math.radians(-30 + orientation * 60 / 14)
    c, s = math.cos(angle), math.sin(angle)
    steps = (torch.arange(FINE, dtype=torch.float32, device=device) - (FINE - 1) / 2) * (1 / FOCAL)
    u, v = steps.expand(FINE, FINE), steps[:, None].expand(FINE, FINE)
    place = vector((-DISTANCE * s, -DISTANCE * c, EYE), device)
    return place, vector((s, c, 0.0), device), Vector(c * u + s, c - s * u, -v)


def room(o: Vector, d: Vector) -> tuple[Tensor, Vector, Tensor]:
    """Distance and normal where rays from inside leave the room, and where (a boolean) that is over the walls."""
    x, y = between(o.x, d.x, -HALF, HALF)[1], between(o.y, d.y, -HALF, HALF)[1]
    wall = torch.minimum(x, y)
    ground = -o.z / d.z
    below = (d.z < 0) & (ground < wall)
    east, north = (torch.where(~below & (wall == t), -torch.sign(c), 0.0) for t, c in ((x, d.x), (y, d.y)))
    return torch.where(below, ground, wall), Vector(east, north, below.to(d.x.dtype)), ~below & (o.z + wall * d.z > HEIGHT)


def lamp(place: Vector, normal: Vector) -> tuple[Tensor, Tensor]:
    """Cosine to the lamp and, 0 behind the surface, the strength of its beam: the 10th power of the cosine to the beam's axis."""
    ray = place.to(vector(LAMP, place.x.device)).unit()
    cosine, second = normal.dot(ray), ray.z * ray.z
    fifth = second * second * ray.z
    return cosine, fifth * fifth * (cosine > 0)


def brightness(material: Material, view: Vector, place: Vector, normal: Vector, lit: Tensor) -> tuple[Tensor, Tensor]:
    """Factor of the hue, and the white gloss, of every sample; `lit` is false in the shadow."""
    cosine, beam = lamp(place, normal)
    beam = beam * lit
    facing = (-normal.dot(view)).clamp(min=0)
    return material.ambient + material.camera * facing + material.lamp * (cosine * beam), material.gloss * beam


def wave(turns: Tensor) -> Tensor:
    """A cosine to within 0.02, by a cubic: its bits do not depend on a library."""
    x = 4 * (turns - turns.round()).abs() - 1
    return 0.5 * x * (x * x - 3)


def texture(place: Vector, normal: Vector) -> Tensor:
    """Factor near 1: a honeycomb 0.8 x 0.5 wide on floor and walls, and every 4 along a wall, half-way up, a dark stain of two spots."""
    side = normal.x != 0
    u = torch.where(side | (normal.z != 0), place.y, place.x)
    v = torch.where(normal.z != 0, place.x, place.z)
    comb = wave(1.25 * u + 2 * v) + wave(1.25 * u - 2 * v) + wave(2.5 * u)
    along = torch.where(normal.x < 0, -u, u) + 0.15  # to the right, as one looks at the wall
    along = along - 4 * (along * 0.25).floor()
    large = (along < 0.65) & ((v - 2.35 + 0.5 * along).abs() < 0.42)
    small = (along > 0.6) & (along < 1) & ((v - 1.5).abs() < 0.25)
    return 1 + 0.009 * comb - 0.055 * ((large | small) & (normal.z == 0))


def cast(shape: int, scale: int, orientation: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Surface of every sample (0 floor, 1 wall, 2 object, 3 sky), factor of its hue, white on top; each (192, 192)."""
    eye, view, rays = camera(orientation, device)
    far, normal, sky = room(eye, rays)
    place = eye.plus(far, rays)
    blocked, _ = solid(shape, scale, place, place.to(vector(LAMP, device)))
    ground = normal.z > 0  # the lamp is so high that no shadow reaches a wall
    factor, white = brightness(ROOM, view, place, normal, ~(ground & (blocked > 0) & (blocked < 1)))
    factor = factor * texture(place, normal)
    near, outward = solid(shape, scale, eye, rays)
    hit = near < far
    bright, gloss = brightness(SOLID, view, eye.plus(near, rays), outward, hit)
    surface = torch.where(hit, OBJECT, torch.where(sky, 3, torch.where(ground, FLOOR, WALL)))
    return surface, torch.where(hit, bright, factor), torch.where(hit, gloss, white)


@lru_cache(maxsize=4)
def lanczos(device: torch.device) -> Tensor:
    """(64, 192) integer weights in float64, each row adding up to UNITS: Lanczos with a = 3, stretched to three samples per pixel."""
    rows = torch.zeros(SIDE, FINE, dtype=torch.float64)
    for i in range(SIDE):
        for j in range(FINE):
            t = (j + 0.5) / SAMPLES - (i + 0.5)
            if abs(t) < 3:
                rows[i, j] = 1.0 if t == 0 else 3 * math.sin(math.pi * t) * math.sin(math.pi * t / 3) / (math.pi * t) ** 2
    rows = (rows / rows.sum(1, keepdim=True) * UNITS).round()
    rows.scatter_add_(1, rows.argmax(1, keepdim=True), UNITS - rows.sum(1, keepdim=True))  # a plain surface stays as it is
    return rows.to(device)


@lru_cache(maxsize=2 * len(SHAPES) * SCALES * ORIENTATIONS)
def layers(shape: int, scale: int, orientation: int, device: torch.device) -> Tensor:
    """(21, 64, 64) int16 in 1/64 of a grey level: the sky's channels, then for floor, wall and object the six strengths 0, 1/5 .. 1."""
    surface, factor, white = cast(shape, scale, orientation, device)
    strengths = torch.arange(STRENGTHS, dtype=torch.float32, device=device)[:, None, None] * (1 / (STRENGTHS - 1))
    grey = ((factor * strengths + white).clamp(0, 1) * 255).round()  # of a frame buffer: whole levels
    sky = torch.tensor(SKY, dtype=torch.float32, device=device)[:, None, None] * (surface == 3)
    fine = torch.cat([sky, *(torch.where(surface == which, grey, 0.0) for which in (FLOOR, WALL, OBJECT))])
    weights = lanczos(device)
    small = weights @ fine.double() @ weights.T  # integers below 2^53: exact, in whatever order it is added
    return (small * (FRACTION / UNITS**2)).round().to(torch.int16)
