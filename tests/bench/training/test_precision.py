"""A suite's `precision`: a key of its own, a mistake is one line, bfloat16 networks learn what float32 ones learn."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from harness import cli, files, records, suite
from small_methods import DIM, LEVELS, build, pixels, training

from bench.datasets.batches import Batches
from bench.errors import UserError
from bench.suites import reader
from bench.suites.schema import Budget, Precision
from bench.training.precision import check_precision, products_in
from bench.training.train import Plan, Training, train
from models.interfaces import Draw, Prior
from models.vae import ae, vae_gauss
from models.wae import wae_gan, wae_mmd

DIGITS = reader.read("digits", seeds=1)


def test_float32_is_the_default_and_leaves_keys_as_they_were() -> None:
    said = reader.read("digits", ("precision=float32",), seeds=1)
    for run, same in zip(DIGITS.runs("cpu"), said.runs("cpu"), strict=True):
        assert run.precision is None
        assert run.config() == same.config()
        assert "precision" not in run.config()


def test_another_precision_is_another_row() -> None:
    runs = reader.read("digits", ("precision=bf16",), seeds=1).runs("cpu")
    assert {run.precision for run in runs} == {"bf16"}
    assert {run.config()["precision"] for run in runs} == {"bf16"}
    assert not {run.row_key() for run in runs} & {run.row_key() for run in DIGITS.runs("cpu")}


@pytest.mark.parametrize("value", ["fp16", "bfloat16", "16"])
def test_an_unknown_precision_is_one_line(value: str) -> None:
    with pytest.raises(UserError, match=r"precision must be one of 'float32', 'tf32', 'bf16', not "):
        reader.read("digits", (f"precision={value}",))


def test_tf32_is_refused_on_the_cpu(tmp_path: Path) -> None:
    line = cli("run", "-s", suite(tmp_path), "-o", tmp_path, "--device", "cpu", "--set", "precision=tf32").line()
    assert "precision 'tf32' is arithmetic of CUDA devices; on cpu it is 'float32' or 'bf16'" in line
    check_precision("tf32", "cuda")


def test_tf32_is_on_inside_and_off_afterwards() -> None:
    torch.set_float32_matmul_precision("highest")
    with products_in("tf32"):
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.backends.cudnn.allow_tf32
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cudnn.allow_tf32
    with products_in("bf16"):
        assert torch.get_float32_matmul_precision() == "highest"


def trained(make: object, precision: Precision, steps: int = 200) -> Training:
    data = Batches(pixels(40), LEVELS, 20, seed=1)
    taken = training(build(make), Budget(steps=steps), data)  # type: ignore[arg-type]
    taken.plan = Plan(taken.plan.budget, taken.plan.optimizer, taken.plan.per_epoch, taken.plan.total, precision)
    assert train(taken, data).status == "done"
    return taken


@pytest.mark.parametrize("make", [lambda: ae(DIM), lambda: vae_gauss(DIM), lambda: wae_mmd(DIM), lambda: wae_gan(DIM, width=6)])
def test_bf16_learns_what_float32_learns_and_keeps_float32_weights(make: object) -> None:
    exact, rough = trained(make, "float32"), trained(make, "bf16")
    assert all(p.dtype == torch.float32 for p in rough.method.state_dict().values())
    first, last = (exact.curve[i]["autoencoder.loss"] for i in (0, -1))
    assert rough.curve[-1]["autoencoder.loss"] == pytest.approx(last, abs=0.2 * abs(first - last) + 0.02)
    assert rough.curve[-1]["autoencoder.loss"] != last  # it is another arithmetic


@dataclass(frozen=True)
class Watching:
    """A regulariser that notes the types that it meets."""

    name = "watching"
    seen: list[torch.dtype] = field(default_factory=list)

    def __call__(self, draw: Draw, prior: Prior | None) -> torch.Tensor:
        self.seen.extend((draw.z.dtype, (draw.z @ draw.z.T).dtype))
        return draw.z.square().mean()


def test_losses_and_regularisers_see_float32_codes_in_bf16() -> None:
    watching = Watching()
    method = build(lambda: replace(ae(DIM), regularisers=((1.0, watching),)))
    with torch.autocast("cpu", torch.bfloat16):
        terms = method.terms(torch.rand(5, 1, 4, 4), torch.Generator().manual_seed(0))
    assert watching.seen == [torch.float32, torch.float32]  # the second: no product of a regulariser is rounded either
    assert {term.dtype for term in terms.values()} == {torch.float32}


def test_the_record_says_what_was_computed_in(tmp_path: Path) -> None:
    file = suite(tmp_path, steps=20)
    assert cli("run", "-s", file, "-o", tmp_path, "--no-profile", "--jobs", 1, "--device", "cpu", "--set", "precision=bf16").code == 0
    for record in records(tmp_path).values():
        assert record["environment"]["precision"] == record["config"]["precision"] == "bf16"
        assert record["execution"] == "eager: device cpu"
    assert len(files(tmp_path, "record.json")) == 2
