"""What is not finite, what raises and what is too few: each metric has a value or a reason, never a number that flatters."""

import gc
import math
import types
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from small_evaluation import ALL, NEEDS_WEIGHTS, views_of
from small_methods import DIM, build, noise
from torch import Tensor, nn

from bench.datasets.dataset import Split
from bench.errors import UserError
from bench.evaluation.code_views import scored
from bench.evaluation.evaluate import Evaluation, evaluate
from metrics.copies import centres, copies
from metrics.disentanglement import votes
from metrics.disentanglement.representation import represented
from metrics.features.network import eight_bit
from metrics.finite import require_finite, rows_not_finite
from metrics.frechet import frechet_distance, frechet_of_features
from metrics.latent import Channel, Codes, channel_capacity
from metrics.likelihood import active_units
from metrics.metric import Metric, Unavailable, Views, measure
from metrics.neighbours import data_copying, nearest
from metrics.precision_recall import real, scores
from metrics.reconstruction import errors, pca_sse
from metrics.sharpness import least_of
from metrics.total_correlation import discriminated
from models.method import AutoEncoder
from models.vae import vae_bernoulli

BAD = (math.nan, math.inf, -math.inf)


def measurable() -> list[Metric]:
    """The metrics that need no files of weights."""
    return [metric for name, metric in ALL.items() if not any(words in name for words in NEEDS_WEIGHTS)]


@cache
def sound() -> dict[str, Any]:
    """Every view that those metrics need, of a sound method, where it exists."""
    with torch.no_grad():
        views, found = views_of([]).views(measurable()), {}
        for name in sorted({name for metric in measurable() for name in metric.needs}):
            try:
                found[name] = views[name]
            except Unavailable:
                continue
    return found


def poisoned(view: Any, value: float) -> Any:
    """The view with that value in its first row, everywhere that it has rows."""
    if isinstance(view, Tensor) and view.is_floating_point():
        bad = view.clone()
        (bad[:1] if view.dim() else bad).fill_(value)
        return bad
    if isinstance(view, tuple):
        return type(view)(*(poisoned(part, value) for part in view))
    return math.nan if isinstance(view, float) else view


WHOLE = ("prior", "density", "channel")  # no rows


@pytest.mark.parametrize("value", BAD)
def test_no_metric_makes_a_number_of_a_view_that_is_not_finite(value: float) -> None:
    flattering, met = [], 0
    for metric, need in [(each, need) for each in measurable() for need in each.needs if need in sound() and need not in WHOLE]:
        given = [poisoned(sound()[name], value) if name == need else sound().get(name) for name in metric.needs]
        if any(part is None for part in given) or need.endswith("factors"):
            continue
        met += 1
        try:
            found = float(metric.fn(*given))
        except (Unavailable, torch.linalg.LinAlgError):  # no number either; views are looked at before metrics are given them
            continue
        if math.isfinite(found):
            flattering.append((metric.name, need, found))
    assert flattering == []
    assert met > 60


class Broken(AutoEncoder):
    """A method that decodes some codes to values that are not finite."""

    value, rows = math.nan, 3

    def decode(self, z: Tensor) -> Tensor:
        x = super().decode(z).clone()
        x[: self.rows] = self.value
        return x


def broken(value: float, rows: int = 3, held_out: Split = "test") -> Evaluation:
    built = build(lambda: vae_bernoulli(DIM))
    method = Broken(built.recipe, built.encoder, built.decoder, DIM)
    method.value, method.rows = value, rows
    return Evaluation(method, replace(views_of([]).data, held_out=held_out), 0)


@pytest.mark.parametrize("value", BAD)
def test_views_that_are_not_finite_make_their_metrics_absent_with_the_count(value: float) -> None:
    metrics = [metric for metric in measurable() if metric.group != "disentanglement"]
    found = evaluate(broken(value), metrics)
    clean = evaluate(views_of([]), metrics)
    for name in ("frechet_pixels_pz", "frechet_pca_pz", "sharpness_pz", "sharpness_min_pz", "nn_distance_pz", "data_copying_pz"):
        assert found[name]["reason"] == "3 of 30 decoded prior draws have values that are not finite"
        assert clean[name]["value"] is not None
    for name in ("rec_sse_test", "rec_bce_sum_test", "rec_l1_per_pixel_x100_test", "overfit_ratio_bce"):
        assert found[name]["reason"] == "3 of 30 reconstruction errors of test images, one noise draw have values that are not finite"
    assert found["frechet_pixels_reconstruction"]["reason"] == "3 of 30 reconstructions of test images have values that are not finite"
    for name in ("sum_latent_variance", "mmd_prior", "active_units", "rate"):  # codes are sound
        assert found[name]["value"] == clean[name]["value"] is not None


def test_reasons_call_images_what_the_run_calls_them() -> None:
    found = evaluate(broken(math.nan, held_out="validation"), [ALL["rec_sse_test"]])
    assert found["rec_sse_validation"]["reason"].startswith("3 of 30 reconstruction errors of validation images")


def test_a_method_that_says_nothing_finite_is_ruined() -> None:
    whole, partly = broken(math.nan, rows=30), broken(math.nan)
    for evaluation in (whole, partly):
        evaluate(evaluation, [ALL["rec_sse_test"], ALL["frechet_pixels_pz"]])
    assert whole.ruined[0] == "30 of 30 reconstruction errors of test images, one noise draw have values that are not finite"
    assert partly.ruined == []


def test_rows_are_counted_over_all_parts_of_a_view() -> None:
    z, mean = torch.zeros(5, 2), torch.zeros(5, 2)
    z[1, 0], mean[1, 1], mean[4, 0] = math.nan, math.inf, -math.inf
    assert rows_not_finite(Codes(z, mean, None)) == (2, 5)
    assert rows_not_finite(torch.tensor(math.nan)) == (1, 1)
    assert rows_not_finite(("words", torch.arange(3))) == (0, 0)
    with pytest.raises(Unavailable, match=r"^2 of 5 codes have values that are not finite$"):
        require_finite("codes", z, mean, None)


@pytest.mark.parametrize("value", BAD)
def test_functions_called_directly_answer_no_number(value: float) -> None:
    rows = torch.randn(20, 3, generator=noise()).double()
    bad = rows.clone()
    bad[4, 1] = value
    codes, factors = bad.numpy(), np.arange(20)[:, None] % 2
    for call in (
        lambda: real(bad),
        lambda: scores(real(rows), bad),
        lambda: frechet_of_features(rows, bad),
        lambda: active_units(bad),
        lambda: discriminated(bad, rows),
        lambda: discriminated(rows, bad),
        lambda: represented(codes, factors),
        lambda: represented(rows.numpy(), codes),
    ):
        with pytest.raises(Unavailable, match=r"1 of 20 .* not finite"):
            call()
    assert nearest(rows, [bad]).isnan().all()
    assert nearest(bad, [rows]).isnan().all()
    assert math.isnan(data_copying(bad[:, 1], rows[:, 1]))
    assert math.isnan(data_copying(rows[:, 1], bad[:, 1]))
    assert least_of(bad[:, 1]).isnan()
    assert all(math.isnan(found) for found in (*pca_sse(rows, bad, 1), *pca_sse(bad, rows, 1)))
    assert frechet_distance(rows[0], torch.eye(3).double(), bad[4], torch.eye(3).double()).isnan()
    assert [bool(part.isfinite()[4]) for part in errors(rows.sigmoid(), bad)] == [False] * 3
    assert all(part.isfinite().sum() == 19 for part in errors(rows.sigmoid(), bad))
    with pytest.raises(ValueError, match="1 of 60 values are not finite"):
        eight_bit(bad)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_every_metric_answers_of_few_images(n: int) -> None:
    """A value or a reason of its own, not that of an exception; called without the guard around it, nothing but a reason is raised."""
    metrics = measurable()
    for entry in evaluate(views_of(metrics, n, n), metrics).values():
        assert entry["value"] is not None or "failed" not in entry["reason"], entry
        assert entry["value"] is not None or "finite" not in entry["reason"] or "ratio" in entry["protocol"], entry
    assert evaluate(views_of(metrics, 40, n), [ALL["rec_sse_test"]])["rec_sse_test"]["value"] > 0


def test_few_rows_are_a_reason() -> None:
    found = evaluate(views_of([], 1, 1), measurable())
    for name in ("frechet_pixels_pz", "frechet_pca_pz"):
        assert found[name]["reason"].startswith("needs at least 2 ")
    assert found["mmd_prior"]["reason"] == "needs at least 2 prior draws, there is 1"
    assert found["total_correlation_mss"]["reason"] == "needs at least 2 codes, there is 1"


@pytest.mark.parametrize("components", [3, 4, 5, 100])
def test_as_many_components_as_values_leave_no_error(components: int) -> None:
    rows = torch.randn(20, 3, generator=noise()).double()
    found = pca_sse(rows[:10], rows[10:], components)
    assert (found.pca_train, found.pca_test) == (0, 0)
    assert found.mean_image_test > 0


@pytest.mark.parametrize("shift", [1e3, 1e5, -1e6])
def test_neighbours_do_not_depend_on_where_the_points_lie(shift: float) -> None:
    a, b = (0.01 * torch.randn(60, 4, generator=noise(seed), dtype=torch.float64) for seed in (1, 2))
    b = 0.8 * b
    here, there = scores(real(a), b), scores(real(a + shift), b + shift)
    assert 0.3 < here.recall < 1
    assert there == here
    loops = torch.stack([(a - row).norm(dim=1).min() for row in b])
    assert torch.allclose(nearest(b + shift, [a + shift]), loops, rtol=1e-4, atol=1e-3 * abs(shift) * 1e-9)


@pytest.mark.parametrize("shift", [1e5, -1e6])
def test_copies_do_not_depend_on_where_the_points_lie(shift: float) -> None:
    a, b = (0.01 * torch.randn(n, 4, generator=noise(n), dtype=torch.float64) for n in (300, 60))
    here, there = (copies(b + s, lambda s=s: [a + s], centres(a + s)) for s in (0.0, shift))
    assert torch.allclose(here.distance, there.distance, rtol=1e-6)
    assert torch.allclose(here.own, there.own, rtol=1e-6)
    assert torch.equal(here.cell, there.cell)


def failing(error: BaseException) -> Callable[..., Any]:
    def fn(*views: Any) -> Any:
        raise error

    return fn


CODES = ("test.codes",)


@pytest.mark.parametrize(
    ("fn", "reason"),
    [
        (failing(ValueError("two\nlines")), "mine failed: ValueError: two lines (test_finite.py, line "),
        (failing(torch.linalg.LinAlgError("svd did not converge")), "mine failed: _LinAlgError: svd did not converge"),
        (failing(KeyError("x")), "mine failed: KeyError: 'x'"),
        (failing(SystemExit(0)), "mine failed: SystemExit: 0"),
        (lambda codes: "good", "mine returned 'good' (str), not a number"),
        (lambda codes: codes.z[0], "mine returned an array of shape (3,) (Tensor), not a number"),
        (lambda codes: np.ones((2, 2)), "mine returned an array of shape (2, 2) (ndarray), not a number"),
        (lambda codes: True, "mine returned True (bool), not a number"),
        (lambda codes: torch.tensor(True), "mine returned True (Tensor), not a number"),
        (lambda codes: None, "mine returned None (NoneType), not a number"),
        (lambda codes: [1.0], "mine returned [1.0] (list), not a number"),
        (lambda codes: 1j, "mine returned 1j (complex), not a number"),
        (lambda codes: 10**400, "mine failed: OverflowError: "),
    ],
)
def test_what_a_metric_raises_or_returns_costs_itself_alone(fn: Callable[..., Any], reason: str) -> None:
    found = evaluate(views_of([]), [Metric("mine", fn, CODES, "mine", "here"), ALL["rec_sse_test"]])
    assert found["mine"]["value"] is None
    assert found["mine"]["reason"].startswith(reason)
    assert found["rec_sse_test"]["value"] > 0


@pytest.mark.parametrize("value", [3, 3.0, np.float32(3), np.int64(3), np.asarray(3.0), torch.tensor(3.0), torch.tensor(3)])
def test_numbers_of_every_kind_are_values(value: Any) -> None:
    assert measure(Metric("mine", lambda: value, (), "mine", "here"), Views({}))["value"] == 3.0


@pytest.mark.parametrize("error", [RuntimeError("no such shape"), SystemExit(0)])
def test_a_view_that_raises_or_does_not_exist_costs_its_metrics_alone(error: BaseException) -> None:
    class Odd(AutoEncoder):
        def sample(self, n: int, noise: torch.Generator) -> Tensor:
            raise error

    built, whole = build(lambda: vae_bernoulli(DIM)), views_of([])
    odd = Odd(built.recipe, built.encoder, built.decoder, DIM)
    evaluation = Evaluation(odd, whole.data, 0)
    mine = Metric("mine", lambda x: 1.0, ("test.code",), "mine", "here")
    found = evaluate(evaluation, [ALL["frechet_pixels_pz"], ALL["rec_sse_test"], mine])
    assert found["frechet_pixels_pz"]["reason"].startswith(
        f"the view samples.images failed: {type(error).__name__}: {error} (test_finite.py"
    )
    assert found["mine"]["reason"] == "mine needs the view 'test.code', which does not exist"
    assert found["rec_sse_test"]["value"] > 0


def test_what_would_meet_every_run_is_no_reason_of_a_metric() -> None:
    with pytest.raises(UserError, match="disk is full"):
        evaluate(views_of([]), [Metric("mine", failing(UserError("disk is full")), CODES, "mine", "here")])


def frames() -> int:
    gc.collect()
    return sum(isinstance(thing, (types.TracebackType, types.FrameType)) for thing in gc.get_objects())


def test_reasons_hold_no_frames_however_often_they_are_asked_for() -> None:
    def missing(views: Views) -> Any:
        raise Unavailable("no such density")

    views, counts = Views({"density": missing, "samples": lambda views: views["density"]}), list[int]()
    for _ in range(2):
        for _ in range(200):
            with pytest.raises(Unavailable, match="no such density"):
                views["samples"]
        counts.append(frames())
    assert counts[1] - counts[0] < 20
    assert all(isinstance(reason, str) for reason in views.absent.values())


class Dropping(nn.Module):
    """A density that is another function in training mode; its log_prob is a bound where it says so."""

    def __init__(self, bound: bool):
        super().__init__()
        self.bound, self.drop = bound, nn.Dropout(0.5)

    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * self.drop(z).square().sum(1)

    def sample(self, n: int, noise: torch.Generator) -> Tensor:
        return torch.randn(n, DIM, generator=noise)


def test_a_density_is_measured_in_evaluation_mode() -> None:
    found = []
    for _ in range(2):
        evaluation = views_of([], density=Dropping(False).train())
        found.append(evaluate(evaluation, [ALL["density_nll_test"]])["density_nll_test"]["value"])
        views = evaluation.views()
        exact = 0.5 * views["test.codes"].z.square().sum(1).double().mean()
    assert found == [pytest.approx(float(exact.detach()))] * 2


@pytest.mark.parametrize("bound", [False, True])
def test_a_bound_of_a_density_has_a_column_of_its_own(bound: bool) -> None:
    names = ["density_nll_test", "density_nll_bound_test"]
    found = evaluate(views_of([], density=Dropping(bound)), [ALL[name] for name in names])
    mine, other = (found[name] for name in (names[::-1] if bound else names))
    assert mine["value"] > 0
    exact = "log q̂(z) of its density is exact: see density_nll_test"
    has_bound = "its density has only a bound of log q̂(z): see density_nll_bound_test"
    assert other["reason"] == (has_bound if bound else exact)


def test_discrete_codes_carry_their_bits() -> None:
    assert channel_capacity(Channel(4, 0.0, None, 18.6)) == 18.6
    with pytest.raises(Unavailable, match="no noise to continuous codes"):
        channel_capacity(Channel(4, 0.0, None))


def test_limits_of_scale_are_said() -> None:
    for name in ("sap", "factorvae_score", "beta_vae_score"):
        assert "scale" in ALL[name].bias


@pytest.mark.parametrize(("scale", "offset"), [(1e-3, 0.0), (1.0, 1e4), (1e3, -1e6), (1e-6, 1e-3)])
def test_scores_of_perfect_codes_at_any_scale_are_what_their_bias_says(
    scale: float, offset: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One latent a factor, with a little noise: no score falls without a word in its `bias`, which names those that do not."""
    monkeypatch.setattr(votes, "VOTES", 200)
    monkeypatch.setattr(votes, "FRESH", 100)
    factors = torch.arange(360)[:, None] // torch.tensor([120, 30]) % torch.tensor([3, 4])
    codes = factors + 0.01 * torch.randn(360, 2, generator=noise(), dtype=torch.float64)
    found = {}
    for where, z in (("here", codes), ("there", scale * codes + offset)):
        given = {"train.codes": Codes(z, z, None), "train.factors": factors, "train.dci": scored(Codes(z, z, None), factors)}
        metrics = [metric for metric in ALL.values() if metric.group == "disentanglement" and set(metric.needs) <= given.keys()]
        found[where] = {metric.name: float(metric.fn(*(given[name] for name in metric.needs))) for metric in metrics}
    fell = {name for name, value in found["here"].items() if found["there"][name] < value - 0.05}
    assert {name for name in fell if "scale" not in ALL[name].bias} == set()
    assert found["there"]["mig"] == pytest.approx(found["here"]["mig"], abs=1e-9)
    if scale == 1e-3:
        assert found["here"]["sap"] > 0.3 > 0.05 > found["there"]["sap"]
        assert found["here"]["factorvae_score"] > 0.95 > found["there"]["factorvae_score"] == 0
