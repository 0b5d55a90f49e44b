"""Figures made of points and lines: every number that is drawn, against the formula or another library."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse, StepPatch
from planted_subjects import Law, images, subject
from scipy import stats

from bench.figures import canvas, densities, histograms, kl_curves, monitor, posteriors, rate_distortion, scatter, training
from metrics.metric import Unavailable
from metrics.sharpness import sharpness
from models.parts.density import Mixture
from models.parts.prior import StandardNormal


def caption_of(figure: Figure) -> str:
    (text,) = figure.texts
    return text.get_text().replace("\n", " ")


def turned(degrees: float, long: float, short: float) -> torch.Tensor:
    """A covariance with these deviations, the longer one at that angle."""
    a = math.radians(degrees)
    turn = torch.tensor([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]], dtype=torch.float64)
    return turn @ torch.diag(torch.tensor([long**2, short**2], dtype=torch.float64)) @ turn.T


@pytest.mark.parametrize("degrees", [0.0, 30.0, 90.0, 150.0])
def test_an_ellipse_has_the_axes_of_its_covariance(degrees: float) -> None:
    found = scatter.outline(torch.tensor([1.0, -2.0]), turned(degrees, 3, 0.5), 0.3)
    assert (found.middle, found.weight) == ((1.0, -2.0), 0.3)
    assert (found.width, found.height) == pytest.approx((12, 2))
    assert min(abs(found.angle - degrees), 180 - abs(found.angle - degrees)) < 1e-6


def ellipses(axes: Any) -> list[Ellipse]:
    return [patch for patch in axes.patches if isinstance(patch, Ellipse)]


def mixture() -> Mixture:
    """Three Gaussians of the plane, the last with next to no weight."""
    found = Mixture(2, 3, 1e-6)
    found.log_weights.copy_(torch.tensor([0.7, 0.295, 0.005]).log())
    found.means.copy_(torch.tensor([[0.2, 0.8], [0.6, 0.3], [5.0, 5.0]]))
    found.roots.copy_(torch.linalg.cholesky(torch.stack([turned(20, 0.2, 0.05), turned(110, 0.1, 0.1), turned(0, 1, 1)]).float()))
    return found


def test_every_point_of_a_drawn_ellipse_is_two_deviations_from_its_component() -> None:
    drawn = subject(images(9, (1, 1, 2)), images(300, (1, 1, 2)), density=mixture())
    (axes,) = scatter.draw(drawn).axes
    first, second = ellipses(axes)
    for ring, number in ((first, 0), (second, 1)):
        root = mixture().roots[number].double().numpy()
        apart = np.linalg.solve(root, (axes.transData.inverted().transform(ring.get_verts()) - mixture().means[number].double().numpy()).T)
        np.testing.assert_allclose(np.linalg.norm(apart, axis=0), 2, rtol=1e-3)
    assert first.get_linewidth() > second.get_linewidth()


def test_points_stand_at_their_mean_codes_in_the_colour_of_their_class() -> None:
    test, labels = images(300, (1, 1, 2)), np.arange(300) % 10
    figure = scatter.draw(subject(images(9, (1, 1, 2)), test, labels=labels))
    (axes,) = figure.axes
    clouds = [part for part in axes.collections if isinstance(part, PathCollection)]
    assert [cloud.get_label() for cloud in clouds] == [str(number) for number in range(10)]
    looks = set()
    for number, cloud in enumerate(clouds):
        np.testing.assert_allclose(cloud.get_offsets(), test[labels == number].reshape(-1, 2) / 255, rtol=1e-6)
        looks.add((tuple(cloud.get_facecolor()[0]), cloud.get_paths()[0].vertices.shape))
    assert len(looks) == 10
    for number, ring in enumerate(ellipses(axes)):
        codes = test[labels == number].reshape(-1, 2) / 255
        np.testing.assert_allclose(ring.center, codes.mean(0), rtol=1e-5)
        spread = 2 * 2 * np.sqrt(np.linalg.eigvalsh(np.cov(codes.T, bias=True)))
        np.testing.assert_allclose([ring.height, ring.width], spread, rtol=1e-4)


def test_more_latents_are_shown_by_their_principal_components() -> None:
    test = images(400, (1, 2, 2))
    test[:, 0, 0, 0] = test[:, 0, 0, 0] // 2 + test[:, 0, 1, 1] // 2
    (plot,) = scatter.plots(subject(images(9), test))
    flat = test.reshape(400, 4) / 255
    values, vectors = np.linalg.eigh(np.cov(flat.T, bias=True))
    np.testing.assert_allclose(plot.points.var(0, correction=0), values[:-3:-1], rtol=1e-4)
    expected = (flat - flat.mean(0)) @ vectors[:, :-3:-1]
    np.testing.assert_allclose(plot.points.abs().numpy(), np.abs(expected), atol=1e-4)
    assert plot.latent is None


def test_the_density_map_has_its_peak_where_the_density_has_it() -> None:
    law = Law(2, lambda z: -50 * (z - torch.tensor([0.75, 0.25])).square().sum(1))
    (plot,) = scatter.plots(subject(images(9, (1, 1, 2)), images(300, (1, 1, 2)), density=law))
    assert plot.latent is not None
    values, (left, right, bottom, top) = scatter.density_map(plot.latent.log_prob, plot.points)
    row, column = divmod(int(values.argmax()), scatter.CELLS)
    x, y = left + (column + 0.5) * (right - left) / scatter.CELLS, bottom + (row + 0.5) * (top - bottom) / scatter.CELLS
    assert (x, y) == pytest.approx((0.75, 0.25), abs=0.01)
    assert values.max() == pytest.approx(0, abs=0.01)
    (axes,) = scatter.draw(subject(images(9, (1, 1, 2)), images(300, (1, 1, 2)), density=law)).axes
    (picture,) = axes.images
    assert (picture.origin, tuple(picture.get_extent())) == ("lower", (left, right, bottom, top))
    np.testing.assert_allclose(picture.get_array(), (values - values.max()).clamp(min=-8))


def test_histograms_count_the_drawn_codes_of_the_widest_latents_first() -> None:
    test = images(500)
    test[:, 0, 0, 0] //= 4
    figure = histograms.draw(subject(images(9), test))
    flat = test.reshape(500, 4).astype(np.float32) / np.float32(255) + np.float32(0.25)  # the planted noise
    order = np.argsort(-flat.var(0))
    shown = [axes for axes in figure.axes if axes.patches]
    assert [axes.get_title().split(",")[0] for axes in shown] == [f"z{latent + 1}" for latent in order]
    for axes, latent in zip(shown, order, strict=True):
        (steps,) = [patch for patch in axes.patches if isinstance(patch, StepPatch)]
        heights, edges, _ = steps.get_data()
        values = flat[:, latent].astype(np.float64)
        counts, _ = np.histogram(values, edges)
        assert counts.sum() == 500
        np.testing.assert_allclose(heights, counts / 500 / np.diff(edges))
        x, y = axes.lines[0].get_data()
        np.testing.assert_allclose(y, stats.norm.pdf(x, values.mean(), values.std()), rtol=1e-6)
        np.testing.assert_allclose(axes.lines[1].get_ydata(), stats.norm.pdf(x), rtol=1e-6)


def test_the_map_of_posteriors_has_the_mass_of_their_mixture() -> None:
    found = posteriors.Batch([0, 1], torch.tensor([[1.0, -2.0], [0.0, 0.5]]).double(), torch.tensor([[0.5, 0.01], [0.3, 1.0]]).double())
    mass = found.mass(8.0)
    assert mass.sum().item() == pytest.approx(1, abs=1e-9)
    edges = np.linspace(-8, 8, posteriors.CELLS + 1)
    expected = np.zeros_like(mass)
    for mean, std in zip(found.mean.numpy(), found.std.numpy(), strict=True):
        x, y = (np.diff(stats.norm.cdf(edges, mean[k], std[k])) for k in (0, 1))
        expected += np.outer(y, x) / 2
    np.testing.assert_allclose(mass, expected, atol=1e-12)
    middles = (edges[1:] + edges[:-1]) / 2
    assert mass.sum(1) @ torch.tensor(middles) == pytest.approx(found.mean[:, 1].mean().item(), abs=0.1)


def test_posteriors_are_drawn_in_the_two_latents_that_vary_most() -> None:
    train = images(64)
    train[:, 0, 0, 0] //= 4
    train[:, 0, 1, 0] //= 4
    figure = posteriors.draw(subject(train, images(30), log_variance=2 * math.log(0.3)))
    _, right = figure.axes
    rings = [ring for ring in ellipses(right) if ring.get_linestyle() == "solid" or ring.get_linestyle() == "-"]
    np.testing.assert_allclose([ring.center for ring in rings], train.reshape(64, 4)[:, [1, 3]] / 255, rtol=1e-5)
    np.testing.assert_allclose([[ring.width, ring.height] for ring in rings], 0.6, rtol=1e-5)
    assert (right.get_xlabel(), figure.axes[0].get_ylabel()) == ("z2", "z4")


def test_a_posterior_without_a_density_has_no_map() -> None:
    with pytest.raises(Unavailable, match="no diagonal Gaussian"):
        posteriors.draw(subject(images(64), images(30)))


@pytest.mark.parametrize(
    ("m", "mean_kl", "sigma", "bound"), [(1.0, 0.5, 0.717, 0.1836), (2.0, 2.0, 0.948, 1.4746), (3.0, 4.5, 0.999, 3.9604)]
)
def test_analytic_curves_have_the_lowest_points_of_the_specification(m: float, mean_kl: float, sigma: float, bound: float) -> None:
    found = kl_curves.curves(m)
    assert found.lowest(found.mean_kl) == pytest.approx((1.0, mean_kl))
    assert found.lowest(found.bound) == (pytest.approx(sigma, abs=0.005), pytest.approx(bound, abs=1e-4))
    s = found.sigma.numpy()
    np.testing.assert_allclose(found.mean_kl, (s**2 + m**2 - 1) / 2 - np.log(s), atol=1e-12)
    left, right = kl_curves.draw(subject(images(1), images(1))).axes
    x, y = left.lines[2].get_data()
    np.testing.assert_allclose(y, (stats.norm.pdf(x, -2, 0.945) + stats.norm.pdf(x, 2, 0.945)) / 2, atol=0.01)
    assert right.get_xlabel() == "σ"


CURVE = (
    {"step": 50, "autoencoder.loss": 4.0, "autoencoder.kl": 1.0},
    {"step": 100, "autoencoder.loss": 3.0, "autoencoder.kl": 2.0, "critic.loss": -1.0},
    {"step": 120, "autoencoder.loss": 2.0, "autoencoder.kl": 0.1, "critic.loss": 0.5},
)


def test_training_curves_have_every_term_at_its_steps() -> None:
    figure = training.draw(subject(images(9), images(9), curve=CURVE))
    autoencoder, critic = figure.axes
    drawn = {line.get_label(): (list(line.get_xdata()), list(line.get_ydata())) for line in autoencoder.lines}
    assert drawn == {"loss": ([50, 100, 120], [4.0, 3.0, 2.0]), "kl": ([50, 100, 120], [1.0, 2.0, 0.1])}
    assert [(list(line.get_xdata()), list(line.get_ydata())) for line in critic.lines] == [([100, 120], [-1.0, 0.5])]
    assert (autoencoder.get_yscale(), critic.get_yscale()) == ("log", "linear")
    assert [text.get_text() for text in autoencoder.get_yticklabels() if "$" in text.get_text()] == []
    with pytest.raises(Unavailable, match="no training curve"):
        training.draw(subject(images(9), images(9)))


def test_a_bound_has_a_plot_of_its_own_and_many_terms_a_legend_below() -> None:
    curve = [{**row, "autoencoder.aevb_kl": 7.0, "autoencoder.elbo": -30.0} for row in CURVE]
    plots = training.draw(subject(images(9), images(9), curve=curve)).axes
    assert [axes.get_title() for axes in plots] == ["autoencoder", "autoencoder: bound", "critic", ""]
    assert [line.get_label() for line in plots[1].lines] == ["aevb_kl", "elbo"]
    many = [{"step": step, **{f"autoencoder.term{i}": float(i + step) for i in range(9)}} for step in (1, 2)]
    figure = training.draw(subject(images(9), images(9), curve=many))
    with canvas.style():
        canvas.save(figure, "png")
    (axes,) = figure.axes
    assert axes.get_legend().get_window_extent().y1 < axes.get_window_extent().y0
    looks = {(line.get_color(), line.get_linestyle()) for line in axes.lines}
    assert len(looks) == 9


def planted_codes(mean: list[float], n: int = 4000) -> torch.Tensor:
    """Codes whose deviations are 1, 2, 0.3, 1 and 1 along turned axes."""
    random = np.random.default_rng(2)
    turn, _ = np.linalg.qr(random.normal(size=(5, 5)))
    return torch.tensor(random.normal(size=(n, 5)) * [1, 2, 0.3, 1, 1] @ turn.T + mean)


@pytest.mark.parametrize("mean", [[0.0] * 5, [0, 0, 0, 3.0, 0], [0.5, -0.5, 1.0, 0, 0]])
def test_no_plane_is_less_gaussian_than_the_one_that_is_shown(mean: list[float]) -> None:
    codes = planted_codes(mean)
    plane = monitor.least_gaussian(codes)
    np.testing.assert_allclose(plane.T @ plane, np.eye(2), atol=1e-9)
    covariance, middle = np.cov(codes.numpy().T, bias=True), codes.numpy().mean(0)
    others = np.linalg.qr(np.random.default_rng(3).normal(size=(20_000, 5, 2)))[0]
    inside = np.swapaxes(others, 1, 2) @ covariance @ others - np.eye(2)
    found = (inside**2).sum((1, 2)) + ((middle @ others) ** 2).sum(1)
    assert monitor.departure(codes, plane) >= found.max()
    if not any(mean):
        values = np.linalg.eigvalsh(np.cov(codes.numpy().T, bias=True))
        assert monitor.departure(codes, plane) == pytest.approx(np.sort((values - 1) ** 2)[-2:].sum(), rel=1e-2)


def test_a_monitor_has_its_six_panels_and_says_how_sharp_images_are() -> None:
    train, test = images(30, (1, 8, 8)), images(40, (1, 8, 8), seed=1)
    drawn = subject(train, test, prior=StandardNormal(64), curve=CURVE)
    figure = monitor.draw(drawn)
    titles = ["training, reconstructed", "test, reconstructed", "codes and prior", "samples", "test images", "training"]
    assert [axes.get_title() for axes in figure.axes] == titles
    np.testing.assert_array_equal(figure.axes[4].images[0].get_array()[1:33:4, 1:33:4, 0], test[0, 0])
    codes, prior = (part.get_offsets() for part in reversed(figure.axes[2].collections))
    assert codes.shape == prior.shape == (40, 2)
    caption = caption_of(figure)
    assert f"Sharpness: test {sharpness(torch.tensor(test) / 255).mean():.3g}, reconstructions " in caption
    assert [axes.get_title() for axes in monitor.draw(subject(train, test)).axes][2:4] == ["codes", "no samples"]


def test_densities_of_rows_stand_on_one_scale_and_others_are_named() -> None:
    train, test = images(200, (1, 1, 2)), images(30, (1, 1, 2))
    rows = {
        "wide": subject(train, test, density=Law(2, lambda z: -z.square().sum(1))),
        "none": subject(train, test),
        "high": subject(train, test, density=Law(2, lambda z: 5 - 100 * (z - 0.5).square().sum(1))),
        "long": subject(images(30), images(30), density=Law(4)),
    }
    figure = densities.draw(rows, "some", 3)
    codes, wide, high, *_ = figure.axes
    assert [codes.get_title(), wide.get_title(), high.get_title()] == ["codes of wide", "wide", "high"]
    assert wide.images[0].get_clim() == high.images[0].get_clim() == pytest.approx((5 - densities.NATS, 5), abs=0.1)
    assert high.images[0].get_array().max() == 5
    assert high.images[0].get_array().min() == pytest.approx(5 - densities.NATS, abs=0.5)
    caption = caption_of(figure)
    assert caption.endswith("Without a density in the plane: none, long.")
    with pytest.raises(Unavailable, match="no row"):
        densities.draw({"none": rows["none"]}, "some", 3)


def record(label: str, status: str = "done", **metrics: float | None) -> dict[str, Any]:
    return {"label": label, "status": status, "metrics": {name: {"value": value} for name, value in metrics.items()}}


def test_the_rate_distortion_plane_has_the_seeds_that_have_both_and_their_means() -> None:
    records = [
        record("vae", rate=3.0, rec_sse_test=2.0, distortion_gaussian=8.0),
        record("vae", rate=5.0, rec_sse_test=1.0, distortion_gaussian=6.0),
        record("vae", "diverged", rate=99.0, rec_sse_test=99.0),
        record("beta", rate=1.0, rec_sse_test=4.0, distortion_gaussian=9.0, distortion_laplace=1.0),
        record("ae", rate=None, rec_sse_test=0.1),
    ]
    figure = rate_distortion.draw(records, "some", "test")
    error, gaussian = figure.axes
    assert (error.get_ylabel(), gaussian.get_ylabel()) == ("rec_sse_test", "distortion_gaussian")
    drawn = {line.get_label(): line.get_xydata().tolist() for line in error.lines if not line.get_label().startswith("_")}
    assert drawn == {"vae": [[4.0, 1.5]], "beta": [[1.0, 4.0]]}
    assert [line.get_xydata().tolist() for line in error.lines if line.get_label().startswith("_")] == [[[3, 2], [5, 1]], [[1, 4]]]
    slopes = [line for line in gaussian.lines if hasattr(line, "get_slope")]
    assert [(line.get_xy1(), line.get_slope()) for line in slopes] == [((0, 11.0), -1), ((0, 10.0), -1)]
    assert "squared error per test image or -E log p(x|z) in nats, with dashed lines" in caption_of(figure)
    alone = rate_distortion.draw([{**one, "metrics": {**one["metrics"], "distortion_gaussian": {}}} for one in records], "some", "test")
    assert caption_of(alone).endswith("distortion: squared error per test image.")  # it has no dashed line
    with pytest.raises(Unavailable, match="fewer than two rows"):
        rate_distortion.draw(records[:2], "some", "test")


def test_no_two_classes_look_alike() -> None:
    assert len({canvas.colour(number) for number in range(42)}) == 42
