"""Counts of a step on tensors without values, and what they say of a GPU."""

from pathlib import Path

import pytest
import torch
from harness import cli, suite
from pretended_gpu import pretended_gpu
from small_methods import SHAPE, build, noise
from torch import nn

from bench.speed.gpu_estimate import Estimate, Machine, overview, suite_table
from bench.speed.step_costs import CUDA, Counted, HostWaitsError, Launch, count_step, counting
from bench.suites import reader
from bench.suites.schema import Budget, Optimizer
from bench.training.train import Plan, Training
from metrics.divergences import mmd
from models.rae import rae_l2
from models.vae import vae_gauss
from models.wae import wae_gan, wae_mmd

pytest.importorskip("triton")

PLAN = Plan(Budget(steps=10), Optimizer(), 5, 10)
MACHINE = Machine("made up", bandwidth=1e9, rates={"float32": 1e12, "tf32": 8e12}, eager=1e-3, graph=1e-6)


def test_operations_are_counted_as_written_down_here() -> None:
    with counting() as launches:
        x, w = torch.empty(4, 3, device=CUDA), torch.empty(3, 2, device=CUDA, requires_grad=True)
        y = x @ w
        y.T.sum().backward()
        torch.randn(5, generator=torch.Generator(), device=CUDA).mul_(x.new_zeros(()).expand(5))
    assert launches == [
        Launch("mm", 4 * (12 + 6 + 8), 2 * 4 * 3 * 2),
        Launch("sum", 4 * (8 + 1), 0),
        Launch("ones_like", 4 * (1 + 1), 0),
        Launch("mm", 4 * (12 + 1 + 6), 2 * 4 * 3 * 2),  # of w; the gradient of the sum repeats one number
        Launch("randn", 4 * 5, 0),
        Launch("new_zeros", 4 * 13, 0),
        Launch("mul_", 4 * (5 + 1 + 5), 0),  # an expanded number is read once
    ]


def test_tensors_say_that_they_lie_on_cuda_and_have_no_value_to_read() -> None:
    with counting():
        x = torch.zeros(3, device=CUDA)
        assert x.device == CUDA
        assert x.is_cuda
        with pytest.raises(HostWaitsError, match=r"^the host waits for the device \(test_gpu_estimate.py, line \d+\)$"):
            x.sum().item()
    assert torch.zeros(3).device.type == "cpu"


def test_kernels_of_triton_are_noted_and_put_back() -> None:
    from metrics.kernels import triton_mmd

    kernel = triton_mmd.pairs_kernel
    with counting() as launches:
        mmd(torch.empty(20, 3, device=CUDA), torch.empty(30, 3, device=CUDA, requires_grad=True), 6.0)
    pairs = [launch for launch in launches if launch.name == "pairs_kernel"]
    blocks = [2, 2, 2]  # of 16 rows: sums in float64; slopes only of the codes
    assert [launch.bytes for launch in pairs] == [
        4 * 60 + 4 + 8 * blocks[0],  # points and themselves are read once, and so are slopes that are not wanted
        4 * (90 + 90) + 4 + 8 * blocks[1],
        4 * (90 + 60 + 90) + 4 + 8 * blocks[2],
    ]
    assert triton_mmd.pairs_kernel is kernel
    assert triton_mmd.scales_of.cache_info().currsize == 0


@pytest.mark.parametrize("recipe", [vae_gauss, wae_gan])
def test_a_step_without_values_has_the_launches_of_one_with_values(recipe: object) -> None:
    method = build(lambda: recipe(3)).train()  # type: ignore[operator]
    trained = Training(method, PLAN, noise(), capture=False)
    x = torch.rand(10, *SHAPE)
    with pretended_gpu(trained.noise) as device:
        device.put(x, *method.parameters(), *method.buffers())
        device.put(*(y for adam in trained.optimizers for y in (*adam.means, *adam.squares, *adam.steps, adam.rate)))
        trained.players_step([x], tuple(True for _ in trained.players))
    assert len(count_step(method, PLAN, 10, SHAPE, method).launches) == device.launches


def test_a_linear_network_has_the_arithmetic_of_its_products() -> None:
    def network(shape: tuple[int, int, int], dim: int, outputs: int) -> tuple[nn.Module, nn.Module]:
        return nn.Sequential(nn.Flatten(), nn.Linear(16, outputs * dim)), nn.Sequential(nn.Linear(dim, 16), nn.Unflatten(1, shape))

    method = build(lambda: wae_mmd(3), network=network)
    step = count_step(method, PLAN, 10, SHAPE, method)
    assert step.flops == 2 * 10 * 16 * 3 * (2 + 3)  # two products forward, for the weights twice, for the codes once
    (adam,) = (launch for launch in step.launches if launch.name == "_fused_adam_")
    weights = 2 * 16 * 3 + 3 + 16
    assert adam.bytes == 4 * (7 * weights + 4 + 1)  # reads weight, gradient and both moments, writes three; four counts, the rate


def test_what_holds_parameters_of_its_own_sees_them_without_values() -> None:
    """RAE's penalty took the decoder's parameters when it was made."""
    method = build(lambda: rae_l2(3))
    assert count_step(method, PLAN, 10, SHAPE, method).launches
    assert all(p.is_meta for p in method.parameters())


def made_up(launches: list[Launch], eager: str | None = None, steps: int | None = 1000) -> Estimate:
    return Estimate("row", "mlp", 100, Counted(tuple(launches)), steps, eager)


SMALL, WIDE, DEEP = Launch("add", 10, 0), Launch("add", 10**6, 0), Launch("mm", 10**6, 4 * 10**9)  # 10 ns, 1 ms, 4 ms


@pytest.mark.parametrize(
    ("one", "bound", "seconds"),
    [
        (made_up([SMALL] * 9), "launches", 9e-6),
        (made_up([WIDE] * 9), "memory", 9e-3),
        (made_up([DEEP] * 9), "arithmetic", 36e-3),
        (made_up([DEEP, *[WIDE] * 5]), "memory", 9e-3),
        (made_up([WIDE] * 2, "a part"), "launches", 2e-3),
    ],
)
def test_a_step_is_bound_by_what_takes_longest(one: Estimate, bound: str, seconds: float) -> None:
    assert one.bound(MACHINE, "float32") == bound
    assert one.seconds(MACHINE, "float32") == pytest.approx(seconds)


def test_faster_products_leave_the_memory() -> None:
    one = made_up([DEEP] * 9)
    assert one.bound(MACHINE, "tf32") == "memory"
    assert one.seconds(MACHINE, "tf32") == pytest.approx(9e-3)  # 0.5 ms of products in 1 ms of memory


def test_a_suite_is_the_sum_of_its_runs_but_for_budgets_in_seconds() -> None:
    mog = reader.read("mog")
    line = overview(mog, [made_up([DEEP]), made_up([SMALL, SMALL]), made_up([WIDE], steps=None)], MACHINE)
    runs = mog.seeds * len(mog.methods)
    assert line[:5] == ["mog", str(runs), f"{2000 * mog.seeds:,}", "0.02", "1 to 2"]  # 5 seeds of 1,000 steps of 4 GFLOP
    assert line[5:8] == ["1", "1", "1"]
    assert line[8] == "20 s"


def test_rows_that_cost_the_same_are_one_line() -> None:
    table = suite_table([made_up([SMALL]), made_up([SMALL]), made_up([WIDE], "a part")], MACHINE)
    lines = table.splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| row and row")
    assert lines[2].rstrip(" |").endswith("one CUDA graph a step")
    assert lines[3].rstrip(" |").endswith("eager: a part")


def test_a_row_that_reads_a_value_is_eager_and_has_no_counts() -> None:
    one = made_up([], "the host waits for the device (log_mixture.py, line 46)")
    cells = [cell.strip() for cell in suite_table([one], MACHINE).splitlines()[2].strip("|").split("|")]
    assert cells == ["row", "mlp", "100", *["-"] * 8, "eager: the host waits for the device (log_mixture.py, line 46)"]
    assert overview(reader.read("mog"), [one], MACHINE)[2:8] == ["0", "0", "-", "0", "0", "0"]


def test_the_command_counts_one_suite_and_writes_nothing(tmp_path: Path) -> None:
    path = suite(tmp_path, seeds=3)
    result = cli("gpu-check", "--estimate", "--suite", str(path), "--out", str(tmp_path / "out"))
    assert result.code == 0, result.err
    assert "| ae " in result.out
    assert "| wae_gan " in result.out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--suite", "digits"], "gpu-check: --suite is for --estimate; the checks have networks of their own"),
        (["--estimate", "--compile-only"], "gpu-check: --compile-only and --estimate are two commands; give one of them"),
    ],
)
def test_options_that_do_not_go_together(options: list[str], said: str) -> None:
    result = cli("gpu-check", *options)
    assert (result.code, result.line()) == (2, said)
