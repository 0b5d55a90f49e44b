"""Pictures show the images that they were given, where they should."""

import io

import numpy as np
import torch
from PIL import Image

from bench.figures.pictures import alternate, png, sheet


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
