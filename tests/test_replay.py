"""Recorded steps give the bits of the steps themselves, for every kind of method, and steps that cannot be replayed are not."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
import torch
from small_methods import DIM, LEVELS, build, pixels, training, weights
from torch import Tensor, nn

from bench import replay
from bench.batches import Batches
from bench.errors import RunError
from bench.replay import Recorder, python_state
from bench.spec import Budget
from bench.train import Training, train
from metrics.kernels.outside import listeners, run
from models.factor import factorvae
from models.iaf import vae_iaf
from models.ladder import prior_gmm
from models.method import AutoEncoder, Draw, Prior, Recipe
from models.vae import ae, vae_bernoulli
from models.vcae import vcae
from models.wae import wae_gan

STEPS = 12
REPLAYED = [ae, vae_bernoulli, vae_iaf, vcae, partial(wae_gan, width=8), partial(factorvae, width=8)]


def batches() -> Batches:
    return Batches(pixels(23), LEVELS, 5, seed=1)


def trained(make: Callable[[], Recipe], capture: bool, steps: int = STEPS) -> tuple[Training, dict[str, bytes], list[dict[str, float]]]:
    torch.manual_seed(3)
    method, data = build(make), batches()
    taken = training(method, Budget(steps=steps), data, capture=capture)
    outcome = train(taken, data)
    assert outcome.status == "done", outcome.error
    return taken, weights(method), outcome.curve


@pytest.mark.parametrize("make", REPLAYED, ids=lambda make: getattr(make, "func", make).__name__)
def test_replayed_steps_are_the_steps_bit_for_bit(make: Callable[[int], Recipe]) -> None:
    eager, expected, curve = trained(lambda: make(DIM), False)
    taken, found, replayed_curve = trained(lambda: make(DIM), True)
    assert (eager.execution, taken.execution) == ("eager: not asked for", "recorded once and replayed")
    assert found == expected
    assert replayed_curve == curve
    assert torch.equal(taken.noise.get_state(), eager.noise.get_state())
    for one, other in zip(taken.optimizers, eager.optimizers, strict=True):
        assert all(map(torch.equal, one.squares + one.steps, other.squares + other.steps))


def test_most_steps_call_no_python_of_the_method(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = 0
    terms = AutoEncoder.terms

    def counting(self: AutoEncoder, *args: object) -> dict[str, Tensor]:
        nonlocal calls
        calls += 1
        return terms(self, *args)

    monkeypatch.setattr(AutoEncoder, "terms", counting)
    method, data = build(lambda: ae(DIM)), batches()
    train(training(method, Budget(steps=40), data, capture=False), data)
    assert calls == 40
    # not the method's own function, or the count would be found in it
    monkeypatch.setattr(replay, "python_state", lambda root: [])
    calls = 0
    train(training(build(lambda: ae(DIM)), Budget(steps=40), data), data)
    assert calls == 3 + 1 + 6  # warm-up, recording, and the checks at the replays 1, 2, 4, 8, 16, 32


class Added:
    """A user's regulariser."""

    name = "added"

    def __init__(self, of: Callable[[Draw], Tensor]):
        self.of, self.calls = of, 0

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        return self.of(draw)


def with_term(of: Callable[[Draw], Tensor]) -> Recipe:
    return replace(ae(DIM), regularisers=((1.0, Added(of)),))


def reads(draw: Draw) -> Tensor:
    return draw.z.square().mean() * (2.0 if draw.z.abs().max() > 0.1 else 1.0)


def masks(draw: Draw) -> Tensor:
    return draw.z[draw.z > 0].square().sum() + draw.z[torch.tensor([0, 2])].sum()


@pytest.mark.parametrize(("term", "operation"), [(reads, "_local_scalar_dense"), (masks, "index")])
def test_a_step_that_reads_a_value_stays_as_it_is(term: Callable[[Draw], Tensor], operation: str) -> None:
    taken, found, _ = trained(lambda: with_term(term), True)
    assert taken.execution == f"eager: a value is read on the host (aten::{operation})"
    assert found == trained(lambda: with_term(term), False)[1]


class Counting(Added):
    """Its weight grows with the steps."""

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        self.calls += 1
        return 0.01 * self.calls * draw.z.square().mean()


def test_a_method_that_counts_its_steps_in_python_stays_as_it_is() -> None:
    make = lambda: replace(ae(DIM), regularisers=((1.0, Counting(reads)),))
    taken, found, _ = trained(make, True)
    assert taken.execution == "eager: a part of the method counts its steps"
    assert found == trained(make, False)[1]


GLOBAL = {"calls": 0}


def growing(draw: Draw, first: int = 0) -> Tensor:
    GLOBAL["calls"] += 1
    return 0.01 * max(GLOBAL["calls"] - first, 0) * draw.z.square().mean()


def test_what_changes_where_nobody_can_look_is_found_by_the_first_check() -> None:
    GLOBAL["calls"] = 0
    taken, found, _ = trained(lambda: with_term(growing), True)
    assert taken.execution == "eager: replaying the step does not give its bits"
    GLOBAL["calls"] = 0
    assert found == trained(lambda: with_term(growing), False)[1]


def test_a_run_whose_replays_may_have_been_wrong_fails() -> None:
    GLOBAL["calls"] = 0
    with pytest.raises(RunError, match=r"replayed steps differ from the step itself.*refitted = True"):
        trained(lambda: with_term(lambda draw: growing(draw, 6)), True)


def test_a_part_may_say_that_it_changes_from_step_to_step() -> None:
    GLOBAL["calls"] = 0
    part = Added(lambda draw: growing(draw, 6))
    part.refitted = True  # type: ignore[attr-defined]
    taken, _, _ = trained(lambda: replace(ae(DIM), regularisers=((1.0, part),)), True)
    assert taken.execution == "eager: a part of the method is fitted between epochs"


def test_parts_that_are_fitted_between_epochs_are_never_recorded() -> None:
    taken, _, _ = trained(lambda: prior_gmm(DIM, components=2), True)
    assert taken.execution == "eager: a part of the method is fitted between epochs"


def test_a_large_step_is_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "SMALL", 100)
    taken, found, _ = trained(lambda: ae(DIM), True)
    assert taken.execution == "eager: the step is not a small one"
    assert found == trained(lambda: ae(DIM), False)[1]


def test_work_outside_torch_is_done_again() -> None:
    x, out = torch.ones(3), torch.zeros(3)
    recorder = Recorder()

    def double() -> None:
        out.numpy()[:] = 2 * x.numpy()

    with recorder, replay.listening(recorder.outside):
        run(double, x, out)
        y = out + 1
    assert not listeners
    x.fill_(5)
    for operation in recorder.operations:
        operation()
    assert y.tolist() == [11.0, 11.0, 11.0]


FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "views": lambda x: x.t()[1:].reshape(-1).unflatten(0, (-1, 2)).sum(1),
    "several results": lambda x: torch.cat([x.sort(1).values, x.max(0, keepdim=True).values]),
    "in place": lambda x: x.clone().mul_(3).clamp_(max=1).add_(x),
    "no form with a given result": lambda x: torch.stack(x.unbind(0)).cumsum(0).roll(1, 0),
    "other types": lambda x: (x.double() * 2).to(torch.int64).float() + torch.zeros(3, dtype=torch.float64).float(),
    "constants": lambda x: torch.where(x > 0, x, torch.full((), 7.0)) + torch.arange(3),
    "batch norm": lambda x: nn.functional.batch_norm(x, None, None, training=True),
    "an indexed read": lambda x: x[torch.tensor([2, 0])] + x[1],
    "an indexed write": lambda x: torch.zeros(3, 3).index_put((torch.tensor([0, 1]), torch.tensor([2, 0])), x[0, :2]) + x,
}


@pytest.mark.parametrize("name", FORMS)
def test_operations_are_replayed_on_new_values(name: str) -> None:
    x = torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    recorder = Recorder()
    with torch.no_grad(), recorder:
        y = FORMS[name](x)
    for seed in (2, 3):
        x.copy_(torch.randn(3, 3, generator=torch.Generator().manual_seed(seed)))
        for operation in recorder.operations:
            operation()
        assert torch.equal(y, FORMS[name](x)), seed


def test_random_numbers_go_on_in_a_replay() -> None:
    noise, recorder = torch.Generator().manual_seed(0), Recorder()
    with recorder:
        y = torch.randn(4, generator=noise)
    drawn = [y.tolist()]
    for operation in recorder.operations * 2:
        operation()
        drawn.append(y.tolist())
    again = torch.Generator().manual_seed(0)
    assert drawn == [torch.randn(4, generator=again).tolist() for _ in range(3)]


def test_python_state_sees_numbers_wherever_they_are_held() -> None:
    holder = nn.Linear(2, 2)
    holder.inner = {"a": [1, (2.0, "x")]}  # type: ignore[assignment]
    count = [0]
    holder.function = lambda: count.append(1)  # type: ignore[assignment]
    holder.itself = holder.inner  # type: ignore[assignment]
    before = python_state(holder)
    assert python_state(holder) == before
    holder.function()
    assert python_state(holder) != before
    before = python_state(partial(holder.forward, 3))
    holder.inner["a"][0] = 5
    assert python_state(partial(holder.forward, 3)) != before
