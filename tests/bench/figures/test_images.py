"""Figures made of images: which image stands where, and that it is the one that the formula gives."""

import io
import math
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from PIL import Image
from planted_subjects import Law, images, subject
from torch import Tensor

from bench.figures import canvas, interpolation, latent_grid, layers, neighbours, samples, traversal
from bench.figures.subject import Subject
from bench.registry import catalogue
from metrics.fixed_subset import subset_indices
from metrics.metric import Unavailable
from models.parts.prior import StandardNormal
from models.stacked import implicit_wae, stacked_wae


def cells(figure: Figure, height: int, width: int) -> np.ndarray:
    """The images of a figure's only sheet, by row and column.   -> (rows, columns, height, width) of 0 ... 255"""
    ((picture,),) = [axes.images for axes in figure.axes]
    array = np.asarray(picture.get_array())[..., 0]
    rows, columns = (size // (side + 1) for size, side in zip(array.shape, (height, width), strict=True))
    return array[1:, 1:].reshape(rows, height + 1, columns, width + 1)[:, :-1, :, :-1].transpose(0, 2, 1, 3)


def small(figure: Figure) -> np.ndarray:
    """The same of images of 2 × 2 pixels, which a sheet enlarges fourteen times.   -> (rows, columns, 4)"""
    found = cells(figure, 28, 28)[:, :, ::14, ::14]
    return found.reshape(*found.shape[:2], 4)


def held(test: np.ndarray, n: int) -> np.ndarray:
    """The n held-out images that figures show, as flat rows of bytes."""
    return test[subset_indices(len(test), n).numpy()].reshape(n, -1)


def bytes_of(values: Tensor) -> np.ndarray:
    """As a sheet shows them."""
    return (values.clamp(0, 1) * 255).round().numpy().astype(np.uint8)


def test_a_straight_path_is_between_two_images_in_equal_steps() -> None:
    test = images(30)
    shown = small(interpolation.draw_straight(subject(images(9), test)))
    assert shown.shape == (4, 12, 4)
    for row in range(4):
        first, second = held(test, 8)[2 * row : 2 * row + 2] / 255
        np.testing.assert_array_equal(shown[row, [0, 1]], bytes_of(torch.tensor(np.stack([first, first]))))
        np.testing.assert_array_equal(shown[row, [-2, -1]], bytes_of(torch.tensor(np.stack([second, second]))))
        for step in range(10):
            expected = first + (second - first) * step / 9
            np.testing.assert_allclose(shown[row, 1 + step], 255 * expected, atol=0.51)
    assert len(np.unique(shown[:, [0, -1]].reshape(8, 4), axis=0)) == 8


def test_a_likely_path_has_the_ends_of_the_straight_one_above_it_and_is_likelier() -> None:
    law = Law(4, lambda z: -5 * (z - 0.9).square().sum(1))
    drawn = subject(images(9), images(30), density=law)
    strips = interpolation.likely(drawn)
    rows, nll = strips.rows.flatten(2), strips.nll
    assert nll is not None
    assert rows.shape == (6, 12, 4)
    for straight, likely in ((0, 1), (2, 3), (4, 5)):
        assert torch.equal(rows[straight, [0, 1, -2, -1]], rows[likely, [0, 1, -2, -1]])
        torch.testing.assert_close(rows[straight, 1:-1].diff(dim=0).std(0), torch.zeros(4), atol=1e-6, rtol=0)
        assert nll[likely, 1:-1].sum() < nll[straight, 1:-1].sum()
    torch.testing.assert_close(nll, torch.stack([-law.log_prob(row[1:-1]) for row in rows]))
    said = [text.get_text() for text in interpolation.draw_likely(drawn).axes[0].texts]
    assert said == [f"{'likely' if i % 2 else 'straight'} {mean:.1f}" for i, mean in enumerate(nll[:, 1:-1].mean(1).tolist())]


def test_without_a_density_there_is_no_likely_path() -> None:
    with pytest.raises(Unavailable, match="no prior with a density"):
        interpolation.draw_likely(subject(images(9), images(30)))


def test_a_traversal_moves_one_latent_between_its_quantiles_and_no_other() -> None:
    test = images(200)
    test[:, 0, 0, 1] //= 8  # the second pixel varies least, the fourth most
    test[:, 0, 1, 1] = np.where(test[:, 0, 1, 1] > 127, 255, 0)
    drawn = subject(images(9), test)
    shown = small(traversal.draw(drawn))
    flat = test.reshape(200, 4) / 255
    order = np.argsort(-flat.var(0))
    assert order[0] == 3
    assert order[-1] == 1
    assert shown.shape == (5, 9, 4)
    (image,) = held(test, 1)
    np.testing.assert_array_equal(shown[0, :2], [image] * 2)
    assert (shown[0, 2:] == 0).all()
    for row, latent in enumerate(order, 1):
        low, high = np.quantile(flat[:, latent], [0.01, 0.99])
        np.testing.assert_allclose(shown[row, :, latent], 255 * np.linspace(low, high, 9), atol=0.51)
        others = np.delete(np.arange(4), latent)
        np.testing.assert_array_equal(shown[row][:, others], np.tile(image[others], (9, 1)))
    assert [text.get_text() for text in traversal.draw(drawn).axes[0].texts] == ["image", *(f"z{latent + 1}" for latent in order)]


def test_the_animation_goes_there_and_back_through_the_same_settings() -> None:
    test = images(200)
    frames = traversal.frames(subject(images(9), test))
    assert len(frames) == 30
    arrays = [np.asarray(frame) for frame in frames]
    assert all((arrays[i] == arrays[30 - i]).all() for i in range(1, 15))
    again = Image.open(io.BytesIO(canvas.animation(frames, 80)))
    assert again.n_frames == 30
    for number in (0, 7, 15, 20):
        again.seek(number)
        np.testing.assert_array_equal(np.asarray(again.convert("RGB")), arrays[number])
    order = np.argsort(-(test.reshape(200, 4) / 255).var(0))
    low, high = np.quantile(test.reshape(200, 4)[:, order[1]], [0.01, 0.99])
    for frame, value in ((0, low), (15, high)):
        shown = arrays[frame][1:, 1:, 0].reshape(4, 29, 6, 29)[:, :-1, :, :-1].transpose(0, 2, 1, 3)[:, :, ::14, ::14].reshape(4, 6, 4)
        np.testing.assert_allclose(shown[1, :, order[1]], value, atol=1)
        np.testing.assert_array_equal(shown[1, :, order[0]], held(test, 6)[:, order[0]])


def test_the_grid_of_two_latents_runs_from_the_bottom_left_to_the_top_right() -> None:
    test = images(500, (1, 1, 2))
    plane = latent_grid.plane(subject(images(9, (1, 1, 2)), test))
    flat = test.reshape(500, 2) / 255
    mean, std = flat.mean(0), flat.std(0)
    codes = plane.codes(12).reshape(12, 12, 2).numpy()
    np.testing.assert_allclose(codes[0, 0], mean + 2 * std * np.array([-1, 1]), rtol=1e-4)
    np.testing.assert_allclose(codes[-1, -1], mean + 2 * std * np.array([1, -1]), rtol=1e-4)
    assert (np.diff(codes[3, :, 0]) > 0).all()
    assert (np.diff(codes[:, 3, 1]) < 0).all()
    assert np.ptp(codes[3, :, 1]) < 1e-6


def test_the_grid_of_more_latents_lies_along_their_principal_directions() -> None:
    random = np.random.default_rng(1)
    turn, _ = np.linalg.qr(random.normal(size=(4, 4)))
    codes = random.normal(size=(4000, 4)) * [3.0, 2.0, 0.5, 0.1] @ turn.T + 7
    middle, first, second = latent_grid.principal(torch.tensor(codes))
    np.testing.assert_allclose(middle, codes.mean(0))
    covariance = np.cov(codes.T, bias=True)
    values, vectors = np.linalg.eigh(covariance)
    for direction, value, vector in ((first, values[-1], vectors[:, -1]), (second, values[-2], vectors[:, -2])):
        assert direction.norm().item() == pytest.approx(math.sqrt(value))
        assert abs(direction.numpy() @ vector) == pytest.approx(math.sqrt(value))
        assert direction[direction.abs().argmax()] > 0


def stacked(make: Any = stacked_wae) -> Subject:
    """An untrained hierarchy of three levels on 8 × 8 images."""
    torch.manual_seed(0)
    network = catalogue().get("network", "stacked_mlp")
    drawn = subject(images(20, (1, 8, 8)), images(40, (1, 8, 8), seed=1), labels=np.arange(40) % 3)
    drawn.evaluation.method = make(2).assemble((1, 8, 8), 2, network)
    drawn.evaluation.eval()
    return drawn


@torch.no_grad()
def test_layers_have_the_images_at_the_bottom_and_the_top_level_first() -> None:
    drawn = stacked()
    method: Any = drawn.evaluation.method
    x = drawn.images(10)
    levels = len(method.encoders)
    found = layers.layers(drawn)
    assert len(found) == levels + 1
    assert torch.equal(found[-1], x)
    code = x
    for level, encoder in enumerate(method.encoders, 1):
        code = encoder(code).chunk(2, 1)[0]  # the means
        back = code
        for generator in reversed(list(method.generators)[1:level]):
            back = generator(back).chunk(2, 1)[0]
        torch.testing.assert_close(found[-1 - level], method.recipe.cost.image(method.generators[0](back)))
    figure = layers.draw(drawn)
    assert [text.get_text() for text in figure.axes[0].texts] == ["level 3", "level 2", "level 1", "test"]
    np.testing.assert_array_equal(cells(figure, 32, 32)[-1, :, ::4, ::4], bytes_of(x)[:, 0])


@torch.no_grad()
@pytest.mark.parametrize("make", [stacked_wae, implicit_wae])
def test_the_grid_of_a_hierarchy_is_its_top_latents(make: Any) -> None:
    drawn = stacked(make)
    method: Any = drawn.evaluation.method
    plane = latent_grid.plane(drawn)
    assert plane.name == "z_3"
    np.testing.assert_allclose(plane.codes(12)[[0, -1]], [[-2, 2], [2, -2]], atol=1e-6)
    shown = cells(latent_grid.draw(drawn), 32, 32)
    np.testing.assert_array_equal(shown[0, 0, ::4, ::4], bytes_of(method.decode_from(3, torch.tensor([[-2.0, 2.0]])))[0, 0])


def test_layers_of_a_method_without_levels_are_refused() -> None:
    with pytest.raises(Unavailable, match="one level of latents"):
        layers.draw(subject(images(9), images(30)))


@pytest.mark.parametrize("batch", [7, 50, 200])
def test_the_nearest_image_of_all_batches_is_found(batch: int) -> None:
    random = torch.Generator().manual_seed(3)
    train, queries = torch.rand(200, 3, 4, 4, generator=random), torch.rand(11, 3, 4, 4, generator=random)
    queries[4] = train[123]
    train[77] = train[5]  # of equals the first, whose copy this is
    queries[6] = train[5] + 1e-4
    found, distance = neighbours.nearest(queries, train.split(batch))
    apart = ((queries[:, None] - train).double().numpy() ** 2).sum((2, 3, 4)) ** 0.5
    np.testing.assert_allclose(distance, apart.min(1), atol=1e-7)
    assert torch.equal(found, train[apart.argmin(1)])
    assert distance[4] == 0


def test_below_each_sample_stands_its_nearest_training_image() -> None:
    train = images(60)
    drawn = subject(train, images(30), density=Law(4))
    shown = small(neighbours.draw(drawn))
    assert shown.shape == (4, 10, 4)
    for number in range(20):
        row, column = 2 * (number // 10), number % 10
        np.testing.assert_array_equal(shown[row, column], [round(255 * number / 20)] * 4)
        apart = ((train.reshape(60, 4) / 255 - number / 20) ** 2).sum(1)
        np.testing.assert_array_equal(shown[row + 1, column], train.reshape(60, 4)[apart.argmin()])


def test_a_contact_sheet_has_a_row_of_samples_for_every_method_that_samples() -> None:
    test = images(30)
    rows = {
        "fitted": subject(images(9), test, density=Law(4)),
        "neither": subject(images(9), test),
        "prior": subject(images(9), test, prior=StandardNormal(4)),
    }
    figure = samples.draw_contact(rows, "some $\\alpha$", 3)
    shown = small(figure)
    assert [text.get_text() for text in figure.axes[0].texts] == ["test", "fitted", "prior"]
    assert shown.shape == (3, 10, 4)
    np.testing.assert_array_equal(shown[0], held(test, 10))
    np.testing.assert_array_equal(shown[1, :, 0], [round(255 * i / 10) for i in range(10)])
    expected = StandardNormal(4).sample(10, rows["prior"].evaluation.noise("pictures.samples"))
    np.testing.assert_array_equal(shown[2], bytes_of(expected))
    (caption,) = [text.get_text().replace("\n", " ") for text in figure.texts]
    assert caption.startswith("Suite some $\\alpha$, seed 3. ")
    assert caption.endswith("Without samples: neither.")
