"""The second stage of a run: the encoder is frozen, an interrupted run goes on, suite files say what they want, metrics tell."""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from harness import HEAD
from small_methods import DIM, LEVELS, build, noise, pixels, tiny_with_batch_norm, weights
from torch import Tensor

from bench.datasets.batches import Batches, generator
from bench.errors import UserError
from bench.evaluation.device_dataset import DeviceDataset
from bench.evaluation.evaluate import Evaluation, evaluate
from bench.records.store import SECOND, Store
from bench.registry import catalogue
from bench.runs.context import Context
from bench.runs.prepare import prepare
from bench.runs.resolve import resolve
from bench.runs.run import execute
from bench.runs.second_stage import density_stage
from bench.runs.settings import Settings
from bench.runs.stages import train_stage
from bench.suites import reader
from bench.suites.schema import SCHEMA, Budget, Density, Optimizer, Run, digest
from bench.training.checkpoint import load_state
from bench.training.train import Outcome, Plan, Progress
from metrics.frechet import frechet_of_features, pixel_features
from models.method import AutoEncoder, Recipe
from models.parts import density as densities
from models.parts.density import SecondStage, gaussian, maf, mixture
from models.vae import ae, vae_bernoulli
from models.vcae import vcae

TRAIN, TEST = pixels(43, seed=1), pixels(25, seed=2)
CATALOGUE = catalogue()
SUITE = HEAD.format(seeds=1, steps=60, plugins=[]) + "[methods.vcae]\n{rows}\n"
FLOW = """
[methods.flow]
method = "vcae"
[methods.flow.density]
model = "maf"
transforms = 2
hidden = [8, 8]
budget = {steps = 120}
"""


def trained(make: Callable[[], Recipe]) -> AutoEncoder:
    """With batch norm whose running moments are no batch's own."""
    method = build(make, network=tiny_with_batch_norm)
    with torch.no_grad():
        for part in TRAIN.split(8):
            method.draw(part / LEVELS, noise())
    return method


def flow(steps: int = 120) -> tuple[densities.Density, Plan]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        density = maf(DIM, transforms=2, hidden=(8, 8))
    return density, Plan(Budget(steps=steps), Optimizer(lr=5e-3), 43 // 8, steps)


def a_run(rows: str = FLOW, label: str = "flow", seed: int = 0) -> Run:
    suite = reader.from_text(SUITE.format(rows=rows), Path("tiny.toml"))
    return next(replace(run, seed=seed) for run in suite.runs("cpu") if run.label == label)


def second(
    folder: Path,
    method: AutoEncoder,
    density: densities.Density,
    plan: Plan | None = None,
    *,
    seed: int = 5,
    images: Tensor = TRAIN,
    start: bytes | None = None,
) -> tuple[Outcome, list[bytes]]:
    """Fit the density to the method's codes, from a checkpoint if one is given; -> how it ended, and its checkpoints."""
    run, payloads = replace(a_run(), batch_size=8, seed=seed), list[bytes]()
    known = context(folder)
    known.datasets[run.dataset, run.held_out] = DeviceDataset(images, TEST, LEVELS)
    if start:
        known.store.save_checkpoint(run, start, SECOND)

    def report(progress: Progress) -> None:
        payload = known.store.checkpoint(run, SECOND)
        payloads.extend([payload] if payload else [])

    return train_stage(density_stage(density, method, plan), run, known, of="its method", report=report), payloads


@pytest.mark.parametrize("make", [lambda: vcae(DIM), lambda: vae_bernoulli(DIM)])
def test_the_encoder_stays_as_it_is_and_the_density_learns(tmp_path: Path, make: Callable[[], Recipe]) -> None:
    method, (density, plan) = trained(make), flow(300)
    method.train()
    before, random = weights(method), weights(density)
    outcome, _ = second(tmp_path, method, density, plan)
    assert weights(method) == before  # weights and batch norm's moments, bit for bit
    assert all(p.grad is None for p in method.parameters())
    assert all(weights(density)[name] != random[name] for name, _ in density.named_parameters())
    assert (outcome.status, outcome.step) == ("done", 300)
    assert outcome.curve[-1]["density.loss"] < outcome.curve[0]["density.loss"]


def test_codes_are_drawn_anew_with_the_encoders_noise() -> None:
    method, density = trained(lambda: vae_bernoulli(DIM)), gaussian(DIM)
    stage, x = SecondStage(method, density), TRAIN[:9] / LEVELS
    stage.train()
    method.eval()
    codes = method.draw(x, noise(3)).z
    assert torch.equal(stage.codes(x, noise(3)), codes)
    assert not torch.equal(stage.codes(x, noise(4)), codes)
    assert stage.terms(x, noise(3))["loss"].item() == pytest.approx(-sum(density.log_prob(z[None]).item() for z in codes) / 9, rel=1e-5)
    stream = noise(3)
    assert stage.terms(x, stream)["loss"] != stage.terms(x, stream)["loss"]


def test_batch_norm_is_in_evaluation_mode() -> None:
    method = trained(lambda: ae(DIM))
    method.train()
    stage, x = SecondStage(method, maf(DIM)), TRAIN[:6] / LEVELS
    stage.train()
    assert not any(module.training for module in method.modules())
    assert all(module.training for module in stage.density.modules())
    alone = torch.cat([stage.codes(one, noise()) for one in x.split(1)])  # a batch's own moments would tell
    assert torch.allclose(stage.codes(x, noise()), alone, atol=1e-6)


def test_a_density_in_closed_form_is_fitted_to_the_codes_of_the_training_images(tmp_path: Path) -> None:
    method, density = trained(lambda: ae(DIM)), gaussian(DIM, floor=1e-9)
    outcome, payloads = second(tmp_path, method, density)
    codes = method.eval().draw(TRAIN / LEVELS, noise()).z.detach().double()
    assert (outcome.step, outcome.curve, payloads) == (0, [], [])
    assert outcome.seconds > 0
    found = density.state_dict()
    assert found["means"][0].tolist() == pytest.approx(codes.mean(0).tolist(), abs=1e-5)
    covariance = (codes - codes.mean(0)).T @ (codes - codes.mean(0)) / 43
    assert torch.allclose((found["roots"][0] @ found["roots"][0].T).double(), covariance, atol=1e-5)


def test_a_resumed_stage_ends_with_the_same_bits(tmp_path: Path) -> None:
    method, (whole, plan), (again, _) = trained(lambda: vcae(DIM)), flow(), flow()
    outcome, payloads = second(tmp_path / "whole", method, whole, plan)
    assert load_state(payloads[1], torch.device("cpu"))["step"] == 100
    resumed, later = second(tmp_path / "again", method, again, plan, start=payloads[1])
    assert later == payloads[1:], "nothing before the checkpoint was trained again"
    assert weights(again) == weights(whole)
    assert resumed.curve == outcome.curve
    assert resumed.step == outcome.step


class Killed(BaseException):
    """Nothing catches it."""


def context(folder: Path, save_every: float = 0) -> Context:
    return Context(CATALOGUE, Store(folder, "tiny"), torch.device("cpu"), Settings(folder, folder / "data", save_every=save_every))


def executed(run: Run, known: Context, report: Callable[[float], None] | None = None) -> dict[str, Any]:
    return execute(resolve(run, CATALOGUE), known, report and (lambda news: report(news.share)))


def killed(share: float) -> None:
    """A report that ends the process half way through the second stage."""
    if share >= 0.75:
        raise Killed


def test_a_run_killed_in_its_second_stage_goes_on_there_and_ends_the_same(tmp_path: Path) -> None:
    run, shares = a_run(), list[float]()
    whole = executed(run, context(tmp_path / "whole"))
    assert whole["status"] == "done", whole["error"]
    broken = context(tmp_path / "broken")
    with pytest.raises(Killed):
        executed(run, broken, killed)
    folder = broken.store.folder(run)
    assert {path.name for path in folder.glob("*.pt")} == {"checkpoint.pt", SECOND}
    record = executed(run, broken, shares.append)
    assert record["status"] == "done", record["error"]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == ((1 + 100 / 120) / 2, 1)  # from the block that was not saved, of the second stage
    for name in ("hashes", "spent", "metrics"):
        assert record[name] == whole[name], name
    assert (folder / "curve.jsonl").read_bytes() == (context(tmp_path / "whole").store.folder(run) / "curve.jsonl").read_bytes()
    assert not list(folder.glob("*.pt"))


def test_the_whole_first_stage_is_kept_however_seldom_checkpoints_are(tmp_path: Path) -> None:
    run, broken, shares = a_run(), context(tmp_path, save_every=math.inf), list[float]()
    with pytest.raises(Killed):
        executed(run, broken, killed)
    assert [path.name for path in broken.store.folder(run).glob("*.pt")] == ["checkpoint.pt"]
    assert executed(run, broken, shares.append)["status"] == "done"
    assert shares[0] > 0.5  # nothing of the first stage was trained again


def test_a_second_stages_checkpoint_of_another_first_stage_is_not_used(tmp_path: Path) -> None:
    run, other = a_run(), a_run(seed=1)
    whole = executed(run, context(tmp_path / "whole"))
    broken = context(tmp_path / "broken")
    with pytest.raises(Killed):
        executed(other, broken, killed)
    payload = broken.store.checkpoint(other, SECOND)
    assert payload is not None
    broken.store.save_checkpoint(run, payload, SECOND)
    assert executed(run, broken)["hashes"]["weights"] == whole["hashes"]["weights"]


def test_the_first_stage_does_not_know_of_the_second(tmp_path: Path) -> None:
    alone, both = (executed(a_run(label=label), context(tmp_path)) for label in ("vcae", "flow"))
    for name in ("rec_sse_test", "sum_latent_variance", "frechet_pixels_reconstruction"):
        assert alone["metrics"][name] == both["metrics"][name]
    assert both["spent"] == {**alone["spent"], "density": {"steps": 120, "epochs": 120 / 14, "images": 12_000}}
    extra = sum(p.numel() for p in maf(2, transforms=2, hidden=(8, 8)).parameters())
    assert both["metrics"]["parameter_count"]["value"] == alone["metrics"]["parameter_count"]["value"] + extra
    assert "density_seconds" in both["cost"]
    assert "density_seconds" not in alone["cost"]
    assert both["config"]["recipe"]["density"] == "MAF, 2 × [8, 8]; 120 steps"
    assert both["config"]["density"]["options"] == {"transforms": 2, "hidden": [8, 8]}
    assert both["config"]["density"]["optimizer"]["lr"] == 1e-3


def test_a_run_without_a_density_keeps_its_key() -> None:
    run = a_run(label="vcae")
    config = run.config()
    assert "density" not in config
    assert run.row_key() == digest([SCHEMA, "tiny", "vcae", config])
    keys = {a_run(rows, "flow").row_key() for rows in (FLOW, FLOW.replace("120", "121"), FLOW.replace("[8, 8]", "[8]"))}
    assert len({*keys, replace(a_run(), density=None).row_key()}) == 4


def test_a_diverging_density_is_its_rows_status(tmp_path: Path) -> None:
    record = executed(a_run(FLOW + "optimizer = {lr = 1e30}"), context(tmp_path))
    assert record["status"] == "diverged"
    assert record["error"].startswith("density: step ")
    assert "density.loss" in record["error"]


def test_a_smoke_run_is_a_few_steps_of_both_stages() -> None:
    prepared = prepare(replace(a_run(), smoke=True), CATALOGUE)
    assert [stage.plan and stage.plan.total for stage in prepared.stages] == [5, 5]


def test_a_suite_file_says_which_density() -> None:
    density = a_run().density
    assert density == Density("maf", {"transforms": 2, "hidden": (8, 8)}, Budget(steps=120))
    table = '[methods.flow]\nmethod = "vcae"\ndensity = {model = "mixture", components = 3}'
    assert a_run(table).density == Density("mixture", {"components": 3})
    changed = reader.from_text(SUITE.format(rows=FLOW), Path("tiny.toml"), ("methods.flow.density.budget.epochs=2",))
    assert next(e.density.budget for e in changed.methods if e.density) == Budget(epochs=2)


def test_a_suites_density_is_of_every_row_that_names_none() -> None:
    text = SUITE.format(rows=FLOW).replace("[methods.vcae]", '[density]\nmodel = "mixture"\ncomponents = 3\n[methods.vcae]')
    runs = {run.label: run for run in reader.from_text(text, Path("tiny.toml")).runs("cpu")}
    assert runs["vcae"].density == Density("mixture", {"components": 3})
    assert runs["flow"].density == a_run().density
    with pytest.raises(UserError, match="density must be a table, not 'maf'"):
        reader.from_text('density = "maf"\n' + SUITE.format(rows=FLOW), Path("tiny.toml"))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('model = "mafe"\nbudget = {steps = 1}', "unknown density 'mafe'; did you mean 'maf'"),
        ('model = "maf"', "methods.flow.density: maf is trained, it needs a budget of its own"),
        ('model = "gaussian"\nbudget = {steps = 1}', "methods.flow.density: gaussian is fitted in closed form; it takes neither a budget"),
        ('model = "mixture"\noptimizer = {lr = 0.1}', "takes neither a budget nor an optimizer"),
        ('model = "maf"\nbudget = {steps = 1}\ntransform = 3', "unknown key 'methods.flow.density.transform'; did you mean"),
        ('model = "maf"\nbudget = {steps = 1}\ntransforms = 0', "methods.flow.density: transforms must be at least 1, not 0"),
        ('model = "maf"\nbudget = {steps = 1}\nhidden = [0.5]', r"methods.flow.density.hidden\[0\] must be a whole number, not 0.5"),
        ("components = 2", "missing key 'methods.flow.density.model'"),
        ('model = "maf"\nbudget = {steps = 1, epochs = 2}', "exactly one of steps, epochs, images, seconds"),
    ],
)
def test_a_mistake_in_the_table_is_one_line(lines: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        prepare(a_run(f'[methods.flow]\nmethod = "vcae"\n[methods.flow.density]\n{lines}'), CATALOGUE)


def test_a_density_is_a_table() -> None:
    with pytest.raises(UserError, match=r"methods\.flow\.density must be a table, not 'maf'"):
        a_run('[methods.flow]\nmethod = "vcae"\ndensity = "maf"')


def test_the_weights_of_a_density_come_from_the_seed() -> None:
    def built(seed: int) -> dict[str, bytes]:
        density = prepare(a_run(seed=seed), CATALOGUE).density
        assert density is not None
        return weights(density)

    before = torch.get_rng_state()
    assert built(0) == built(0) != built(1)
    assert torch.equal(torch.get_rng_state(), before)


def test_metrics_of_a_fitted_density_by_hand() -> None:
    method = trained(lambda: vcae(DIM)).eval()
    density = mixture(DIM, components=2)
    density.fit(method.draw(TRAIN / LEVELS, noise(1)).z.detach(), noise())
    evaluation = Evaluation(method, DeviceDataset(TRAIN, TEST, LEVELS), 3, density)
    metrics = [CATALOGUE.get("metric", name) for name in ("frechet_pixels_qz", "density_nll_test", "frechet_pixels_pz")]
    entries = evaluate(evaluation, metrics)
    codes = method.draw(TEST / LEVELS, evaluation.noise("test.pass")).z.detach()
    nll = -sum(density.log_prob(z[None]).item() for z in codes) / 25
    assert entries["density_nll_test"]["value"] == pytest.approx(nll, rel=1e-5)
    assert entries["density_nll_test"]["unit"] == "nats"
    samples = method.decode(density.sample(25, evaluation.noise("density"))).detach()
    known = frechet_of_features(pixel_features(TEST / LEVELS), pixel_features(samples)).item()
    assert entries["frechet_pixels_qz"]["value"] == pytest.approx(known, rel=1e-5)
    assert entries["frechet_pixels_pz"]["value"] is None  # SPEC T45: a density is not the method's prior


def test_without_a_density_its_metrics_say_so() -> None:
    evaluation = Evaluation(trained(lambda: vae_bernoulli(DIM)), DeviceDataset(TRAIN, TEST, LEVELS), 3)
    entries = evaluate(evaluation, [CATALOGUE.get("metric", name) for name in ("frechet_pixels_qz", "density_nll_test")])
    assert [(entry["value"], entry["reason"]) for entry in entries.values()] == [(None, "no density was fitted to its codes")] * 2


def test_codes_that_the_density_knows_have_a_lower_nll() -> None:
    method = trained(lambda: vcae(DIM)).eval()

    def nll(shift: float) -> float:
        density = gaussian(DIM)
        density.fit(method.draw(TRAIN / LEVELS, noise(1)).z.detach() + shift, noise())
        views = Evaluation(method, DeviceDataset(TRAIN, TEST, LEVELS), 3, density)
        return evaluate(views, [CATALOGUE.get("metric", "density_nll_test")])["density_nll_test"]["value"]

    assert math.isfinite(nll(0.0))
    assert nll(0.0) + 1 < nll(3.0)


def test_samples_of_a_density_fitted_to_real_digits_look_like_digits(tmp_path: Path) -> None:
    table = '[methods.flow]\nmethod = "vcae"\nlatent_dim = 8\nbudget = {steps = 400}\ndensity = {model = "gaussian"}'
    metrics = executed(a_run(table), context(tmp_path))["metrics"]
    assert metrics["frechet_pixels_qz"]["value"] < 2.5  # a constant image: 4.9; the samples of a VAE after 1,400 steps: 1.1


class Watched(type(gaussian(DIM))):  # type: ignore[misc]
    """A Gaussian that keeps the codes that it was fitted to."""

    def fit(self, codes: Tensor, noise: torch.Generator) -> None:
        self.seen = codes
        super().fit(codes, noise)


def watched() -> Watched:
    return Watched(DIM, 1, 1e-6)


def test_a_density_knows_only_the_training_codes(tmp_path: Path) -> None:
    method, density = trained(lambda: ae(DIM)), watched()
    second(tmp_path, method, density)
    known = method.eval().draw(TRAIN / LEVELS, noise()).z
    assert torch.allclose(density.seen.sort(0).values, known.sort(0).values, atol=1e-6)


def test_of_many_images_twenty_thousand_are_coded(tmp_path: Path) -> None:
    density, images = watched(), pixels(20_300, seed=3)
    method = trained(lambda: ae(DIM))
    second(tmp_path, method, density, images=images)
    seen = density.seen
    assert len(seen) == 20_000
    known = method.eval().draw(images / LEVELS, noise()).z
    assert not torch.allclose(seen[:1000], known[:1000]), "random ones"


def test_the_noise_of_a_density_is_the_seeds_and_not_that_of_the_first_stage(tmp_path: Path) -> None:
    method = trained(lambda: vcae(DIM))
    means = method.eval().draw(TRAIN / LEVELS, noise()).mean.mean(0)

    def shift(seed: int) -> Tensor:
        """Mean noise of the codes, whatever their order."""
        density = watched()
        second(tmp_path, method, density, seed=seed)
        return density.seen.mean(0) - means

    first_stage = math.sqrt(0.05) * torch.randn(43, DIM, generator=generator(torch.device("cpu"), 5, "noise")).mean(0)
    found = [shift(5), shift(5), shift(6), first_stage]
    assert torch.equal(found[0], found[1])
    assert all((found[0] - other).abs().max() > 1e-3 for other in found[2:])


def test_batches_of_a_density_are_not_those_of_the_first_stage(tmp_path: Path) -> None:
    method, (density, plan), seen = trained(lambda: ae(DIM)), flow(5), list[Tensor]()
    log_prob = density.log_prob

    def watch(z: Tensor) -> Tensor:
        seen.append(z.detach())
        return log_prob(z)

    density.log_prob = watch
    second(tmp_path, method, density, plan)
    first = Batches(TRAIN, LEVELS, 8, 5)
    for step, z in enumerate(seen):
        assert z.shape == (8, DIM)
        assert not torch.allclose(z, method.eval().draw(first.at(step), noise()).z, atol=1e-4)
    assert len(seen) == 5


def test_the_fit_before_training_is_on_the_clock(tmp_path: Path) -> None:
    density, plan = flow(3)
    fit = density.fit

    def slow(codes: Tensor, noise: torch.Generator) -> None:
        time.sleep(0.3)
        fit(codes, noise)

    density.fit = slow
    assert second(tmp_path, trained(lambda: ae(DIM)), density, plan)[0].seconds >= 0.3


def test_epochs_of_a_density_are_those_of_the_training_images() -> None:
    plan = prepare(a_run(FLOW.replace("steps = 120", "epochs = 2")), CATALOGUE).stages[1].plan
    assert plan is not None
    assert (plan.per_epoch, plan.total) == (14, 28)
