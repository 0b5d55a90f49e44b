"""Pictures show the images that they were given, where they should."""

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from harness import cli, suite, whole_records
from PIL import Image
from torch import Tensor

from bench.datasets.dataset import Values
from bench.evaluation.device_dataset import DeviceDataset
from bench.evaluation.evaluate import Evaluation
from bench.figures.pictures import CURVE_HEIGHT, alternate, pictures, png, sheet
from models.interfaces import Draw


def test_sheet_places_each_image_and_enlarges_small_ones() -> None:
    images = torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    picture = np.asarray(sheet(images, columns=3))
    assert picture.shape == (3 * 33 + 1, 3 * 33 + 1, 3)
    for i, image in enumerate(images):
        top, left = 1 + i // 3 * 33, 1 + i % 3 * 33
        shown = picture[top : top + 32, left : left + 32, 0]
        np.testing.assert_array_equal(shown[::4, ::4], (image[0] * 255).round().numpy())
    assert (picture[67:, 34:] == 40).all()  # places without an image stay dark


def test_colours_and_png_survive() -> None:
    images = torch.rand(4, 3, 30, 30, generator=torch.Generator().manual_seed(1))
    picture = sheet(images, columns=2)
    again = np.asarray(Image.open(io.BytesIO(png(picture))))
    np.testing.assert_array_equal(again, np.asarray(picture))
    np.testing.assert_array_equal(again[1:31, 32:62].transpose(2, 0, 1), (images[1] * 255).round().numpy())


def test_reconstructions_stand_below_their_originals() -> None:
    originals, others = torch.zeros(5, 1, 2, 2), torch.ones(5, 1, 2, 2)
    rows = alternate(originals, others, columns=2)
    assert rows[:, 0, 0, 0].tolist() == [0, 0, 1, 1, 0, 0, 1, 1, 0, 1]


class Planted:
    """A method whose every image is known: a code is the image, decoded to 1 - image; prior draws are constant, 0, 1, ... 39 of 40.

    The drawn code is not the mean: a picture of it would be of other values.
    """

    dim = 0

    def __init__(self, shape: tuple[int, int, int], has_prior: bool = True):
        self.shape, self.has_prior, self.drawn = shape, has_prior, list[Tensor]()

    def eval(self) -> None:
        """It has no training mode."""

    def draw(self, x: Tensor, noise: torch.Generator) -> Draw:
        self.drawn.append(x)
        return Draw(z=torch.zeros_like(x.flatten(1)), mean=x.flatten(1), log_variance=None, noise=noise)

    def decode(self, z: Tensor) -> Tensor:
        return 1 - z.reshape(-1, *self.shape)

    def sample(self, n: int, noise: torch.Generator) -> Tensor | None:
        if not self.has_prior:
            return None
        return (torch.arange(n) / n)[:, None, None, None].expand(-1, *self.shape)


class Ones:
    """A density all of whose codes are ones: the planted method decodes them to black."""

    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        return torch.ones(n, 1)

    def log_prob(self, z: Tensor) -> Tensor:
        return torch.zeros(len(z))


def planted(shape: tuple[int, int, int], tests: int = 20, *, density: Any = None, values: Values = "unit", **options: Any) -> Evaluation:
    """Training images are below 100 of 255, test images above: those of a picture are told apart by any pixel."""
    random = np.random.default_rng(0)
    train = torch.from_numpy(random.integers(0, 100, (50, *shape), np.uint8))
    test = torch.from_numpy(random.integers(156, 256, (tests, *shape), np.uint8))
    if values == "real":
        train, test = (part.float() / 10 - 20 for part in (train, test))
    method = Planted(shape, **options)
    return Evaluation(method, DeviceDataset(train, test, 255, values), 0, density)  # type: ignore[arg-type]


def cells(content: bytes, height: int, width: int) -> np.ndarray:
    """The images of a sheet, without the lines between them.   -> (rows, columns, height, width, 3) uint8"""
    picture = np.asarray(Image.open(io.BytesIO(content)))
    rows, columns = (size // (side + 1) for size, side in zip(picture.shape, (height, width), strict=False))
    assert picture.shape == (rows * (height + 1) + 1, columns * (width + 1) + 1, 3)
    lines = np.ones(picture.shape[:2], bool)
    inner = picture[1:, 1:].reshape(rows, height + 1, columns, width + 1, 3)[:, :-1, :, :-1].transpose(0, 2, 1, 3, 4)
    lines[1:, 1:].reshape(rows, height + 1, columns, width + 1)[:, :-1, :, :-1] = False
    assert (picture[lines] == 40).all()
    return inner


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 30, 34), (3, 28, 28), (3, 32, 30)])
def test_test_images_stand_in_odd_rows_and_their_reconstructions_right_below(shape: tuple[int, int, int]) -> None:
    evaluation = planted(shape)
    drawn, absent = pictures(evaluation)
    shown = cells(drawn["reconstructions"], *shape[1:])
    assert absent == {}
    assert shown.shape[:2] == (4, 10)
    expected = evaluation.data.test.numpy().transpose(0, 2, 3, 1)
    for number, image in enumerate(np.broadcast_to(expected, (20, *shape[1:], 3))):
        row, column = 2 * (number // 10), number % 10
        np.testing.assert_array_equal(shown[row, column], image)
        np.testing.assert_array_equal(shown[row + 1, column], 255 - image)


def test_no_training_image_is_ever_shown() -> None:
    evaluation = planted((1, 28, 28))
    pictures(evaluation)
    (seen,) = evaluation.method.drawn  # type: ignore[attr-defined]
    assert torch.equal(seen, evaluation.data.test.float() / 255)
    assert seen.min() > 0.5


@pytest.mark.parametrize("tests", [1, 7, 10, 11, 400])
def test_as_many_test_images_as_there_are_up_to_twenty(tests: int) -> None:
    evaluation = planted((1, 28, 28), tests)
    shown = cells(pictures(evaluation)[0]["reconstructions"], 28, 28)[..., 0]
    n = min(tests, 20)
    assert shown.shape[0] == math.ceil(2 * n / 10) if n % 10 == 0 else shown.shape[0] * 10 >= 2 * n
    some = {image.tobytes() for image in evaluation.data.test.numpy()[:, 0]}
    lit = [image for image in shown.reshape(-1, 28, 28) if not (image == 40).all()]
    assert len(lit) == 2 * n
    assert sum(image.tobytes() in some for image in lit) == n


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 28, 28)])
def test_samples_are_the_priors_in_their_order(shape: tuple[int, int, int]) -> None:
    shown = cells(pictures(planted(shape))[0]["samples"], *shape[1:])
    values = [round(255 * number / 40) for number in range(40)]
    assert shown.reshape(40, -1, 3).min((1, 2)).tolist() == shown.reshape(40, -1, 3).max((1, 2)).tolist() == values


def test_samples_of_a_fitted_density_come_before_the_priors() -> None:
    density = Ones()
    density.sample = lambda n, noise: torch.full((n, 28 * 28), 0.25)  # type: ignore[method-assign]
    shown = cells(pictures(planted((1, 28, 28), density=density))[0]["samples"], 28, 28)
    assert np.unique(shown).tolist() == [round(255 * 0.75)]


def test_without_a_prior_there_are_no_samples_and_the_reason_is_said() -> None:
    drawn, absent = pictures(planted((1, 28, 28), has_prior=False))
    assert set(drawn) == {"reconstructions"}
    assert absent == {"samples": "no prior, and no density was fitted to its codes"}


def test_values_beyond_the_range_are_clipped_and_the_others_rounded() -> None:
    values = torch.tensor([-0.5, 0.0, 0.4 / 255, 0.6 / 255, 0.5, 1.0, 1.5])
    picture = np.asarray(sheet(values[:, None, None, None].expand(-1, 1, 28, 28), columns=7))
    assert picture[1, 1::29, 0].tolist() == [0, 0, 0, 1, 128, 255, 255]


@pytest.mark.parametrize("channels", [2, 4, 5, 7])
def test_other_numbers_of_channels_are_shown_side_by_side_in_grey(channels: int) -> None:
    evaluation = planted((channels, 28, 28))
    drawn, absent = pictures(evaluation)
    assert absent == {}
    shown = cells(drawn["reconstructions"], 28, 28 * channels)
    for channel in range(channels):
        part = shown[0, 3, :, 28 * channel : 28 * (channel + 1)]
        expected = evaluation.data.test[3, channel, :, :, None].numpy()
        np.testing.assert_array_equal(part, np.broadcast_to(expected, part.shape))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("values", ["unit", "real"])
def test_values_that_are_not_finite_are_a_reason_and_no_picture(bad: float, values: Values) -> None:
    evaluation = planted((1, 28, 28), values=values)
    method: Any = evaluation.method
    images = method.sample(40, None).clone()
    images[3, 0, 2, 2] = images[5] = bad
    method.sample = lambda n, noise: images
    drawn, absent = pictures(evaluation)
    assert set(drawn) == {"reconstructions"}
    assert absent["samples"].startswith("ValueError: 2 of 40 ")
    assert "values that are not finite" in absent["samples"]


def test_a_picture_that_raises_costs_that_picture_alone() -> None:
    evaluation = planted((1, 28, 28))
    method: Any = evaluation.method
    method.decode = lambda z: z.reshape(3, 5)
    drawn, absent = pictures(evaluation)
    assert set(drawn) == {"samples"}
    assert absent["reconstructions"].startswith("RuntimeError: shape '[3, 5]' is invalid")
    assert "\n" not in absent["reconstructions"]


def test_signals_are_curves_on_the_scale_of_the_test_signals() -> None:
    """The test signals are between -4.4 and 5.5, and a tenth of that range is free above and below."""
    evaluation = planted((1, 1, 20), values="real")
    method: Any = evaluation.method
    test = evaluation.data.test
    low, high = test.min().item(), test.max().item()
    method.sample = lambda n, noise: torch.linspace(low, high, n)[:, None, None, None].expand(-1, 1, 1, 20)
    drawn, absent = pictures(evaluation)
    assert absent == {}
    shown = cells(drawn["samples"], CURVE_HEIGHT, 20)
    free = (high - low) / 10
    for number, cell in enumerate(shown.reshape(40, CURVE_HEIGHT, 20, 3)):
        value = low + (high - low) * number / 39
        row = (high + free - value) / (high - low + 2 * free) * (CURVE_HEIGHT - 1)
        (lit,) = np.unique(cell[:, 0, 0].nonzero()[0])
        assert abs(lit - row) <= 0.51
        assert (cell == cell[:, :1, :1]).all()
    rows = cells(drawn["reconstructions"], CURVE_HEIGHT, 20)
    assert rows.shape[:2] == (8, 5)
    for number in range(20):
        row, column = 2 * (number // 5), number % 5
        for cell, signal in ((rows[row, column], test[number]), (rows[row + 1, column], 1 - test[number])):
            first = (high + free - signal[0, 0, 0].item()) / (high - low + 2 * free) * (CURVE_HEIGHT - 1)
            lit = cell[:, 0, 0].nonzero()[0]
            assert len(lit) == 1
            assert abs(lit[0] - min(max(first, 0), CURVE_HEIGHT - 1)) <= 0.51


@pytest.mark.parametrize("values", ["unit", "real"])
def test_equal_input_gives_equal_bytes(values: Values) -> None:
    one, other = (pictures(planted((1, 28, 28), values=values))[0] for _ in range(2))
    assert one == other


CHANNELS = """
import numpy as np
from bench.datasets.dataset import Dataset, Source

def images(channels):
    def load(root):
        rows = np.random.default_rng(channels).integers(0, 256, (150, channels, 8, 8), np.uint8)
        return Dataset(rows[:120], rows[120:])
    return load

COUNTS = {"train": 120, "test": 30}
DATASETS = [Source(f"c{n}", (n, 8, 8), COUNTS, "noise", "generated", "none", "here", images(n)) for n in (1, 2, 3, 4, 5)]
"""


@pytest.mark.parametrize("channels", [2, 4, 5])
def test_images_of_any_number_of_channels_go_the_whole_way(tmp_path: Path, channels: int) -> None:
    path = suite(tmp_path / "s", "[methods.vae_gauss]\n[methods.vae_bernoulli]\n", steps=5, plugin=CHANNELS)
    path.write_text(path.read_text().replace('"digits"', f'"c{channels}"').replace("batch_size = 100", "batch_size = 40"))
    result = cli("run", "-s", path, "-o", tmp_path, "--no-profile", "--jobs", 1)
    assert result.code == 0, result.err
    found = whole_records(tmp_path)
    assert len(found) == 2
    for record in found.values():
        assert (record["status"], record["absent_pictures"]) == ("done", {})
        assert record["metrics"]["rec_sse_test"]["value"] > 0
    for name in ("samples.png", "reconstructions.png"):
        assert len(list(tmp_path.glob(f"runs/*/*/*/{name}"))) == 2
