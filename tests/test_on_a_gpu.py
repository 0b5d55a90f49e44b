"""Every method and density takes steps on a pretended GPU: no host tensor, no read, no stream that a CUDA graph could not hold."""

from collections.abc import Callable

import pytest
import torch
from pretended_gpu import RefusedError, pretended_gpu
from small_methods import noise, training
from torch import Tensor
from variants import BYTES, KNOWN, VARIANTS, make

from bench.datasets.batches import Batches
from bench.suites.schema import Budget, Optimizer
from bench.training.train import Plan, Training
from metrics.kernels.backends import using
from models.interfaces import Player
from models.parts.density import SecondStage

FITTED = "a part of the method is fitted between epochs"
# how steps of each method are taken on a GPU; of any other as one CUDA graph
EAGER = dict.fromkeys(("prior_gmm", "prior_hier", "ladder"), FITTED)
DECLARED = "NestedDensity does not declare that it may be recorded (capturable = True)"  # p(t) is fitted anew between its steps
EAGER_DENSITIES = dict.fromkeys(("hierarchical", "ladder"), DECLARED)
STEPS, MANY = 2, 10
LATER = 9  # epochs: any warm-up has ended


def tensors_of(trained: Training, *modules: torch.nn.Module) -> list[Tensor]:
    """What `.to("cuda")` moves, and what an optimiser keeps beside it."""
    of_modules = [x for module in modules for x in (*module.parameters(), *module.buffers())]
    return of_modules + [x for adam in trained.optimizers for x in (*adam.means, *adam.squares, *adam.steps, adam.rate)]


def steps_on_a_gpu(trained: Training, batches: Batches, *modules: torch.nn.Module, count: int = STEPS) -> None:
    """Some steps as training takes them; RefusedError at the first thing that cannot be recorded."""
    streams = [batches.at(0, stream) for stream in range(max(player.batches for player in trained.players))]
    with using("broadcast"), pretended_gpu(trained.noise) as device:
        device.put(*tensors_of(trained, *modules), *streams)
        for _ in range(count):
            terms = trained.players_step(streams, tuple(True for _ in trained.players))
            assert device.has(terms)


SOME = ("wae_gan", "prior_vamp", "factorvae", "wise_ale")  # take ten steps in every run of the tests; all others where it may be slow


@pytest.mark.parametrize(
    ("variant", "count"),
    [
        *((variant, MANY if variant in SOME else STEPS) for variant in VARIANTS),
        *(pytest.param(variant, MANY, marks=pytest.mark.slow) for variant in VARIANTS if variant not in SOME),
    ],
)
def test_steps_of_a_method_are_such_as_a_graph_can_hold(variant: str, count: int) -> None:
    method = make(variant)
    assert method.why_eager() == EAGER.get(variant.partition("-")[0])
    batches = Batches(BYTES[:100], 255, 20, seed=3)
    trained = training(method.train(), Budget(steps=10), batches)
    trained.step = LATER * batches.per_epoch
    trained.call_hooks("epoch_ended", batches)
    steps_on_a_gpu(trained, batches, method, count=count)


@pytest.mark.parametrize("count", [STEPS, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("density", KNOWN.densities)
def test_steps_of_a_density_are_such_as_a_graph_can_hold(density: str, count: int) -> None:
    method, made = make("wae_mmd"), KNOWN.densities[density](3)
    batches = Batches(BYTES[:100], 255, 20, seed=3)
    if next(made.parameters(), None) is None:
        pytest.skip("it is fitted on the host, without a step")
    stage = SecondStage(method, made)
    assert stage.why_eager() == EAGER_DENSITIES.get(density)
    trained = Training(stage, Plan(Budget(steps=10), Optimizer(), batches.per_epoch, 10), noise())
    stage.train()
    steps_on_a_gpu(trained, batches, method, made, count=count)


HELD = torch.ones(3)  # as a part's constant that no `.to` moves
FAULTS: dict[str, tuple[Callable[[Tensor, torch.Generator], Tensor], str]] = {
    "a value is read": (lambda x, stream: x * x.sum().item(), "read: _local_scalar_dense"),
    "a tensor is asked whether it holds": (lambda x, stream: x if x.sum() > 0 else -x, "read: _local_scalar_dense"),
    "a shape depends on values": (lambda x, stream: x.nonzero().float(), "read: nonzero"),
    "an epoch in a buffer is read as a number": (lambda x, stream: x * 0.5 ** int(x.new_zeros(())), "read: _local_scalar_dense"),
    "a flow looks where its mask is set": (lambda x, stream: x[:, (0 * x[0] + 1).nonzero().flatten()], "read: nonzero"),
    "a batch is gathered by the host's permutation": (lambda x, stream: x.index_select(0, torch.arange(4)), "mixed: index_select"),
    "a batch is gathered on the host": (lambda x, stream: torch.ones(9, 3).index_select(0, torch.arange(4)) + x, "mixed: add"),
    "a mask chooses rows": (lambda x, stream: x[x[:, 0] > 0], "read: index"),
    "a constant stayed on the host": (lambda x, stream: x * HELD, "mixed: mul"),
    "a tensor is made on the host": (lambda x, stream: x + torch.zeros(3), "mixed: add"),
    "a tensor is copied to the device": (lambda x, stream: x + torch.tensor([1.0, 2, 3], device=x.device), "copy: torch.tensor"),
    "a tensor is copied to the host": (lambda x, stream: x.cpu(), "copy: .cpu()"),
    "a stream of its own": (lambda x, stream: torch.randn(3, generator=torch.Generator(x.device), device=x.device), "generator: randn"),
    "the device's stream on the host": (lambda x, stream: torch.randn(3, generator=stream), "generator: randn"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_each_fault_is_refused_and_its_line_named(fault: str) -> None:
    step, refusal = FAULTS[fault]
    stream = noise()
    with pretended_gpu(stream) as device:
        x = torch.ones(4, 3)
        device.put(x)
        with pytest.raises(RefusedError) as found:
            step(x, stream)
    text, place = str(found.value).split(" at ")
    assert text.startswith(refusal)
    assert place == f"tests/test_on_a_gpu.py:{step.__code__.co_firstlineno}"


def test_what_is_right_is_taken_and_counted() -> None:
    stream, weights = noise(), torch.ones(3, 2, requires_grad=True)
    with pretended_gpu(stream) as device:
        x = torch.ones(4, 3)
        device.put(x, weights)
        shifted = x + torch.randn(x.shape, generator=stream, device=x.device) * torch.tensor(2.0)  # a host tensor without dimensions
        before = device.launches
        (gradient,) = torch.autograd.grad((shifted @ weights).sum(), weights)
        assert device.has(gradient)
        assert device.launches - before >= 3  # the product, the sum, the product of the backward pass
        host = torch.ones(3) + 1
        assert not device.has(host)


def test_a_read_in_a_method_is_found_where_it_is() -> None:
    method, batches = make("ae"), Batches(BYTES[:100], 255, 20, seed=3)
    trained = training(method, Budget(steps=10), batches)
    terms = trained.players[0].terms

    def reading(x: Tensor, stream: torch.Generator) -> dict[str, Tensor]:
        found = dict(terms(x, stream))
        found["loss"] = found["loss"] * float(found["loss"] > 0)
        return found

    trained.players[0] = Player("autoencoder", trained.players[0].parameters, reading)
    with pytest.raises(RefusedError, match=r"^read: _local_scalar_dense at tests/test_on_a_gpu\.py:\d+$"):
        steps_on_a_gpu(trained, batches, method)
