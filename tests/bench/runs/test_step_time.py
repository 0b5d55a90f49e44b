"""Steps that are timed are those of the run's own stages, and no data are read for them."""

import pytest
import torch

from bench.registry import catalogue
from bench.runs import step_time
from bench.runs.prepare import Prepared, prepare
from bench.runs.step_time import step_times
from bench.suites import reader
from bench.training.cuda_graph import WARM_UP
from bench.training.train import Training

KNOWN = catalogue()
CPU = torch.device("cpu")


def prepared(suite: str, row: str) -> tuple[Prepared, tuple[int, int, int], bool]:
    run = next(run for run in reader.read(suite).runs("cpu") if (run.label, run.seed) == (row, 0))
    source = KNOWN.get("dataset", run.dataset)
    return prepare(run, KNOWN), source.shape, source.values == "real"


@pytest.mark.parametrize(
    ("suite", "row", "steps"),
    [
        ("digits", "vae_bernoulli", [700]),  # 50 epochs of 14 batches
        ("digits", "vcae", [700]),  # whose mixture is fitted without steps
        ("zoo", "vae+flow", [4200, 1400]),
        ("mog", "cwae", [10_000]),  # signals
        ("zoo", "ladder", [4200]),  # at the end, where all of its players move
    ],
)
def test_every_stage_that_takes_steps_is_timed(suite: str, row: str, steps: list[int]) -> None:
    found = step_times(*prepared(suite, row), CPU)
    assert [of.steps for of in found] == steps
    assert all(0 < of.seconds < 5 and not of.upper for of in found)


def test_a_long_step_is_measured_on_few_images_and_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = list[int]()
    timed = step_time.timed

    def counted(stage: object, run: object, images: torch.Tensor, most: int) -> float:
        sizes.append(len(images))
        return timed(stage, run, images, most)  # type: ignore[arg-type]

    monkeypatch.setattr(step_time, "timed", counted)
    monkeypatch.setattr(step_time, "SECONDS", 0.0)
    (found,) = step_times(*prepared("digits", "vae_bernoulli"), CPU)
    assert found.upper
    assert sizes == [step_time.FEW]


class There(torch.Tensor):
    """On a GPU, as far as it says."""

    device = torch.device("cuda")


def test_steps_on_a_gpu_are_of_whole_batches_and_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = list[tuple[int, int]]()

    def counted(stage: object, run: object, images: torch.Tensor, most: int) -> float:
        sizes.append((len(images), most))
        return 1e9

    one, shape, real = prepared("digits", "vae_bernoulli")
    images = step_time.random_images(shape, one.run.batch_size, real, CPU).as_subclass(There)  # type: ignore[arg-type]
    monkeypatch.setattr(step_time, "timed", counted)
    assert step_time.of_stage(one.stages[0], one, images) == (1e9, 700, False)
    assert sizes == [(100, step_time.MOST)]
    assert step_time.first_steps(torch.device("cuda")) > WARM_UP + 1, "a replay is not timed either"


def test_steps_may_be_recorded_where_a_run_s_are(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = list[bool]()

    class Noted(Training):
        def why_eager(self, capture: bool) -> str | None:
            asked.append(capture)
            return super().why_eager(capture)

    monkeypatch.setattr(step_time, "trainer_on", lambda device: Noted)
    step_times(*prepared("digits", "vae_bernoulli"), CPU)
    assert asked == [True, True]  # of few images, and of a batch


def test_images_are_random_ones_of_the_dataset_s_shape() -> None:
    one, shape, real = prepared("mnist", "wae_mmd")  # whose files need not be there
    assert (shape, real) == ((1, 28, 28), False)
    images = step_time.random_images(shape, 4, real, CPU)
    assert images.shape == (4, 1, 28, 28)
    assert images.dtype == torch.uint8
    assert torch.equal(images, step_time.random_images(shape, 4, real, CPU))
    assert step_time.random_images((1, 1, 5), 4, True, CPU).dtype == torch.float32
    assert one.plan.total == 60_000
