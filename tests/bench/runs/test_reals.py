"""Signals, whose values are any real numbers, through the trainer, the costs and the metrics that images go through."""

import io
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from harness import cli, files, suite
from PIL import Image
from sklearn.decomposition import PCA
from small_methods import build, noise, normal, rows, sse_by_loops, training
from torch import Tensor
from torch.distributions import Laplace as TorchLaplace

from bench.datasets.batches import Batches, scaled
from bench.datasets.dataset import Dataset, Factor, Source
from bench.errors import UserError
from bench.evaluation.device_dataset import DeviceDataset
from bench.evaluation.evaluate import Evaluation, evaluate, rename
from bench.evaluation.feature_views import networks_of
from bench.figures.pictures import CURVE_HEIGHT, CURVE_WIDTH, curves, pictures
from bench.records.store import Store, read_record
from bench.registry import catalogue
from bench.runs.prepare import prepare
from bench.suites import reader
from bench.suites.schema import Budget
from bench.training.train import train
from metrics.fixed_subset import subset
from models.networks.mlp import mog_mlp
from models.networks.stacked import stacked_mlp
from models.networks.wise_ale import wise_ale_sine
from models.parts.cost import Bernoulli, Gaussian, Laplace, SquaredError
from models.stacked import stacked_wae
from models.vae import ae, vae_gauss

ROOT = Path(__file__).parents[3]
KNOWN = catalogue()
SHAPE = (1, 1, 12)
TRAIN, TEST = (3 * normal(n, *SHAPE, seed=n).float() for n in (60, 40))
X, Y = 3 * normal(5, *SHAPE, seed=1), 2 * normal(5, *SHAPE, seed=2)


def reals(make: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: make().on_reals()


def evaluated(method: Any) -> dict[str, dict[str, Any]]:
    evaluation = Evaluation(method, DeviceDataset(TRAIN, TEST, 1, "real"), 0)
    return evaluate(evaluation, KNOWN.metrics.values())


@pytest.fixture(scope="module")
def entries() -> dict[str, dict[str, Any]]:
    return evaluated(build(reals(lambda: vae_gauss(2)), shape=SHAPE, dim=2))


def test_outputs_are_taken_as_they_are() -> None:
    expected = sse_by_loops(X, Y)
    assert SquaredError().on_reals()(X, Y).tolist() == pytest.approx(expected)
    assert Gaussian(0.3).on_reals()(X, Y).tolist() == pytest.approx([e / 0.6 for e in expected])
    for cost in (SquaredError(), Gaussian(0.3), Laplace()):
        assert torch.equal(cost.on_reals().image(Y), Y), "neither a sigmoid nor a clip"
        assert not torch.equal(cost.image(Y), Y), "images keep theirs"
        assert str(cost.on_reals()).startswith(str(cost).split(", learned")[0])
        assert str(cost.on_reals()) != str(cost)


def test_laplace_on_reals_is_the_likelihood() -> None:
    cost = Laplace(scale=50.0).double().on_reals().double()
    expected = -TorchLaplace(Y, 50.0).log_prob(X).flatten(1).sum(1)
    assert cost(X, Y).tolist() == pytest.approx(expected.tolist())


def test_bernoulli_has_no_form_for_reals() -> None:
    with pytest.raises(ValueError, match=r"cost Bernoulli needs values in \[0, 1\]"):
        Bernoulli().on_reals()


class Silent:
    """A cost of somebody's that has only what images need."""

    def __call__(self, x: Tensor, y: Tensor) -> Tensor:
        return (x - y).square().flatten(1).sum(1)

    def image(self, y: Tensor) -> Tensor:
        return y

    def __str__(self) -> str:
        return "silent"


def test_a_cost_that_does_not_say_is_refused() -> None:
    with pytest.raises(ValueError, match="cost silent does not say what it is on real values"):
        replace(ae(2), cost=Silent()).on_reals()


def test_a_hierarchy_decodes_to_reals_too() -> None:
    method = build(lambda: stacked_wae(2).on_reals(), network=stacked_mlp, shape=SHAPE, dim=2)
    z = 50 * normal(4, 2, seed=3).float()
    other = build(lambda: stacked_wae(2), network=stacked_mlp, shape=SHAPE, dim=2)
    assert torch.equal(other.decode(z), method.decode(z).sigmoid())
    assert method.recipe.description()["cost"] == "SSE, outputs as they are"


@pytest.mark.parametrize("name", ["vae_bernoulli", "factorvae", "tc_vcae", "wise_ale", "beta_vae"])
def test_a_bernoulli_method_on_signals_is_one_clear_line(name: str, tmp_path: Path) -> None:
    head, _, _ = (ROOT / "bench/suites/sine-cpu.toml").read_text(encoding="utf-8").partition("[methods")
    (tmp_path / "s.toml").write_text(f"{head}[methods.{name}]\n", encoding="utf-8")
    (run, *_) = reader.read(str(tmp_path / "s.toml")).runs("cpu")
    with pytest.raises(UserError) as caught:
        prepare(run, KNOWN)
    way = 'set likelihood = "gaussian"' if name in ("wise_ale", "beta_vae") else "use a method with a squared error, such as vae_gauss or"
    said = str(caught.value)
    assert said.startswith(f"methods.{name}: cost Bernoulli needs values in [0, 1]; dataset sine has real values; {way}")
    assert "\n" not in said


def test_the_data_are_never_changed() -> None:
    """Real values come as they are, and looking at them in whatever way leaves them so."""
    data = TRAIN.clone()
    method = build(reals(lambda: ae(2)), shape=SHAPE, dim=2)
    batches = Batches(data, 1, 20, seed=0)
    for x in (batches.at(0), batches.draw_images(0, 5), scaled(data[:3], 1)):
        assert x.dtype == torch.float32
        assert {row.numpy().tobytes() for row in x} <= {row.numpy().tobytes() for row in TRAIN}
    evaluation = Evaluation(method, DeviceDataset(data, data, 4, "real"), 0)
    evaluate(evaluation, KNOWN.metrics.values())
    assert set(pictures(evaluation)[0]) == {"reconstructions"}
    assert torch.equal(data, TRAIN)


def test_uint8_images_are_divided_as_ever() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).reshape(256, 1, 1, 1)
    for levels in (1, 16, 255):
        assert torch.equal(scaled(pixels, levels), pixels.float().div_(levels))
    assert pixels[7].item() == 7


def test_errors_of_signals_are_the_loops(entries: dict[str, dict[str, Any]]) -> None:
    method = build(reals(lambda: vae_gauss(2)), shape=SHAPE, dim=2).eval()
    with torch.no_grad():
        x_hat = method.decode(method.draw(TEST, noise()).mean)
    assert x_hat.min() < -0.05, "no sigmoid"
    expected = sum(sse_by_loops(TEST.double(), x_hat.double())) / 40
    l1 = [sum(abs(a - b) for a, b in zip(one, other, strict=True)) / 12 for one, other in zip(rows(TEST), rows(x_hat), strict=True)]
    assert entries["rec_sse_test_mean_code"]["value"] == pytest.approx(expected)
    assert entries["rec_l1_per_value_x100_test_mean_code"]["value"] == pytest.approx(100 * sum(l1) / 40, rel=1e-5)


def test_what_means_nothing_for_signals_says_so(entries: dict[str, dict[str, Any]]) -> None:
    absent = {name: entry["reason"] for name, entry in entries.items() if entry["value"] is None}
    for name in [name for name in entries if "bce" in name]:
        assert absent.pop(name) == "the values are not in [0, 1], so they have no cross-entropy"
    for name in [rename(name, "real") for name, metric in KNOWN.metrics.items() if networks_of([metric])]:
        assert absent.pop(name) == "no feature networks see these data"
    for name in [name for name in entries if name.startswith("sharpness")]:
        assert absent.pop(name) == "signals have no edges"
    by_reason: dict[str, set[str]] = {}
    for name, reason in absent.items():
        by_reason.setdefault(reason, set()).add(name)
    assert {reason: names for reason, names in by_reason.items() if len(names) < 8} == {
        "its prior has no latents of its own: see the exact value, if it has a density": {
            *("agg_posterior_cross_entropy_bound", "agg_posterior_cross_entropy_iw", "rate_bound", "rate_iw")
        },
        "no density was fitted to its codes": {
            *("nn_distance_qz", "data_copying_qz", "density_nll_test", "density_nll_bound_test", "frechet_values_qz")
        },
        "no summed variance is aimed at": {"latent_variance_target"},
        "the encoder's variance is learned": {"capacity_bits"},
        "its likelihood is gaussian": {f"{of}_{kind}" for of in ("elbo", "iw_bound", "distortion") for kind in ("bernoulli", "laplace")},
    }
    (disentanglement,) = (reason for reason, names in by_reason.items() if len(names) >= 8)
    assert disentanglement == "its dataset has no factors of variation"
    assert all(math.isfinite(entry["value"]) for entry in entries.values() if entry["value"] is not None)


def test_names_and_protocols_of_signals_claim_no_pixels(entries: dict[str, dict[str, Any]]) -> None:
    for name, entry in entries.items():
        if entry["value"] is not None:
            for word in ("pixel", "image", "[0, 1]", "32×32"):
                assert word not in name + entry["protocol"], name
    assert entries["rec_sse_test"]["protocol"] == (
        "sse; all test signals; one noise draw; values as they are; batch norm in evaluation mode; v1"
    )
    assert entries["frechet_values_pz"]["protocol"] == (
        "Fréchet distance on values as they are, up to 10,000 test signals against as many decoded prior draws; v1"
    )


def test_no_two_metrics_get_one_name_in_the_words_of_signals() -> None:
    assert len({rename(name, "real") for name in KNOWN.metrics}) == len(KNOWN.metrics)


@pytest.mark.parametrize("board", ["digits", "mnist-cpu"])
def test_protocols_of_images_are_those_of_the_committed_records(board: str) -> None:
    """Records of one protocol share a column: its words must not change but where values have; of a network they go on with its facts."""
    record = Store(ROOT, board).records()[0]
    entries = {name: entry for name, entry in record["metrics"].items() if name != "parameter_count"}
    assert len(entries) > 100
    for name, entry in entries.items():
        metric = KNOWN.metrics[name].on("test")
        begin, end = f"{metric.protocol}; ", f"v{metric.version}"
        assert entry["protocol"].startswith(begin)
        assert entry["protocol"].endswith(end)
        assert metric.details or entry["protocol"] == begin + end


def test_frechet_distance_of_signals_is_that_of_all_their_values(entries: dict[str, dict[str, Any]]) -> None:
    """Against the closed form with scipy's matrix root; 12 values a row, where images of that width would be kept too."""
    from scipy.linalg import sqrtm

    a, b = (rows.flatten(1).double().numpy() for rows in (TEST, subset(TRAIN, 40)))
    ca, cb = np.cov(a.T), np.cov(b.T)
    expected = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(ca + cb - 2 * sqrtm(ca @ cb).real)
    assert entries["frechet_values_floor"]["value"] == pytest.approx(expected, rel=1e-6)


def test_long_signals_keep_every_value_where_images_are_averaged() -> None:
    data = normal(50, 1, 1, 256, seed=5).float()
    evaluation = Evaluation(build(reals(lambda: ae(2)), shape=(1, 1, 256), dim=2), DeviceDataset(data, data, 1, "real"), 0)
    assert torch.equal(evaluation.views()["test.features.pixels"], data.flatten(1))


def test_pca_baselines_of_signals_are_scikit_learns(entries: dict[str, dict[str, Any]]) -> None:
    pca = PCA(2).fit(TRAIN.flatten(1).double())
    for split, data in (("train", TRAIN), ("test", TEST)):
        flat = data.flatten(1).double().numpy()
        error = np.square(flat - pca.inverse_transform(pca.transform(flat))).sum(1).mean()
        assert entries[f"pca_sse_{split}"]["value"] == pytest.approx(error, rel=1e-4)
    centred = TEST.flatten(1).double() - TRAIN.flatten(1).double().mean(0)
    assert entries["mean_signal_sse_test"]["value"] == pytest.approx(centred.square().sum(1).mean().item(), rel=1e-5)


def test_a_linear_autoencoder_reaches_the_pca_error_of_signals() -> None:
    """Values far outside [0, 1]: with a sigmoid anywhere on the way this error is out of reach."""
    data = (5 * normal(200, 2, seed=8) @ normal(2, 12, seed=9)).float().reshape(200, *SHAPE)

    def linear(shape: tuple[int, int, int], dim: int, outputs: int) -> tuple[torch.nn.Module, torch.nn.Module]:
        encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, dim))
        return encoder, torch.nn.Sequential(torch.nn.Linear(dim, 12), torch.nn.Unflatten(1, shape))

    method, batches = build(reals(lambda: ae(2)), network=linear, shape=SHAPE, dim=2), Batches(data, 1, 50, seed=0)
    first_error = SquaredError().on_reals()(data, torch.zeros_like(data)).mean().item()
    from bench.suites.schema import Optimizer

    outcome = train(training(method, Budget(steps=1500), batches, optimizer=Optimizer(lr=1e-2)), batches)
    assert outcome.curve[-1]["autoencoder.loss"] < 1e-3 * first_error


def test_curves_are_where_the_values_are() -> None:
    values = torch.tensor([[0.0, 1.0, -1.0, 5.0]])
    picture = curves(values[:, None, None], -1, 1)
    assert picture.shape == (1, 1, CURVE_HEIGHT, 4)
    lit = [picture[0, 0, :, i].nonzero().squeeze(1).tolist() for i in range(4)]
    middle, bottom = round((CURVE_HEIGHT - 1) / 2), CURVE_HEIGHT - 1
    assert lit[0] == [middle]
    assert lit[1] == list(range(middle + 1))  # up to the top row
    assert lit[2] == list(range(bottom + 1))
    assert lit[3] == list(range(bottom + 1))  # what is beyond the range is at its edge
    assert curves(torch.zeros(2, 1, 1, 1000), -1, 1).shape == (2, 1, CURVE_HEIGHT, 1000 // 4)
    assert CURVE_WIDTH >= 1000 // 4


def test_sheets_of_signals() -> None:
    method = build(reals(lambda: vae_gauss(2)), shape=SHAPE, dim=2)
    found, absent = pictures(Evaluation(method, DeviceDataset(TRAIN, TEST, 1, "real"), 0))
    assert absent == {}
    sizes = {name: Image.open(io.BytesIO(data)).size for name, data in found.items()}
    assert sizes == {"reconstructions": (5 * 13 + 1, 8 * (CURVE_HEIGHT + 1) + 1), "samples": (5 * 13 + 1, 8 * (CURVE_HEIGHT + 1) + 1)}


PLUGIN = """
import numpy as np
from bench.datasets.dataset import Dataset, Source

def signals(kind):
    def load(root):
        rows = np.random.default_rng(0).normal(0, 3, (150, 1, 1, 20)).astype(kind)
        return Dataset(rows[:120], rows[120:], levels=1)
    return load

DATASETS = [
    Source("wiggles", (1, 1, 20), {"train": 120, "test": 30}, "wiggles", "generated", "none", "here", signals(np.float32), values="real"),
    Source("bytes", (1, 1, 20), {"train": 120, "test": 30}, "bytes", "generated", "none", "here", signals(np.uint8), values="real"),
]
"""


def test_a_users_signals_go_the_whole_way(tmp_path: Path) -> None:
    """Also with a fitted density, and on validation signals."""
    text = '[methods.vae_gauss]\n[methods.vcae]\ndensity = { model = "mixture" }\n[methods.vae_laplace]\n'
    path = suite(tmp_path / "s", text, steps=30, plugin=PLUGIN)
    path.write_text(path.read_text().replace('"digits"', '"wiggles"').replace("batch_size = 100", "batch_size = 40"))
    for override in ((), ("--set", "held_out='validation'")):
        assert cli("run", "-s", path, "-o", tmp_path, "--no-profile", "--jobs", 1, *override).code == 0
    records = [read_record(file.parent) or {} for file in tmp_path.glob("runs/*/*/*/record.json")]
    assert len(records) == 6
    assert {record["status"] for record in records} == {"done"}
    for record in records:
        (sse,) = [record["metrics"][name]["value"] for name in ("rec_sse_test", "rec_sse_validation") if name in record["metrics"]]
        assert 100 < sse < 400  # 20 values of variance 9
        assert "as they are" in record["config"]["recipe"]["cost"] or "not clipped" in record["config"]["recipe"]["cost"]
    assert {name.split("/")[0] for name in files(tmp_path, "samples.png")} == {"vae_gauss", "vcae", "vae_laplace"}


def test_a_dataset_that_is_not_what_its_card_says_is_one_line(tmp_path: Path) -> None:
    path = suite(tmp_path / "s", "[methods.ae]\n", steps=30, plugin=PLUGIN)
    path.write_text(path.read_text().replace('"digits"', '"bytes"'))
    result = cli("run", "-s", path, "-o", tmp_path, "--no-profile", "--jobs", 1)
    assert result.code == 2
    assert "dataset bytes: its training images are uint8 of 1 levels, its card says real values, which are float32 of 1" in result.line()


CARD = Source(
    "x", (1, 2, 2), {"train": 10, "test": 4}, "c", "generated", "l", "u", lambda root: DATA, factors=(Factor("a", 3), Factor("b", 2))
)
DATA = Dataset(
    np.zeros((10, 1, 2, 2), np.uint8),
    np.zeros((4, 1, 2, 2), np.uint8),
    train_factors=np.zeros((10, 2), np.int64),
    test_factors=np.zeros((4, 2), np.int64),
)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, None),
        ({"train": DATA.train[:9]}, "its training images have the shape (9, 1, 2, 2), its card says (10, 1, 2, 2)"),
        ({"test": DATA.test[:3]}, "its test images have the shape (3, 1, 2, 2), its card says (4, 1, 2, 2)"),
        ({"test": DATA.test.astype(float)}, "its test images are float64 of 255 levels, its card says unit values, which are uint8 of 255"),
        ({"train_factors": None}, "its training images have no factors, its card says 2"),
        ({"test_factors": np.zeros((4, 3), np.int64)}, "its test images have 3 factors, its card says 2"),
    ],
)
def test_a_card_finds_the_fault(changes: dict[str, Any], says: str | None) -> None:
    assert CARD.mismatch(replace(DATA, **changes)) == says
    assert CARD.mismatch(DATA.with_validation()) is None


def test_mog_mlp_is_specs(tmp_path: Path) -> None:
    encoder, decoder = mog_mlp((1, 1, 100), 2, 1)
    sizes = [[tuple(layer.weight.shape) for layer in net if hasattr(layer, "weight")] for net in (encoder, decoder)]
    assert sizes == [[(64, 100), (64, 64), (2, 64)], [(64, 2), (64, 64), (100, 64)]]


def test_the_papers_network_takes_sine_waves() -> None:
    source = KNOWN.datasets["sine"]
    encoder, decoder = wise_ale_sine(source.shape, 4, 2)
    assert encoder(torch.zeros(2, *source.shape)).shape == (2, 8)
    assert decoder(torch.zeros(2, 4)).shape == (2, *source.shape)
