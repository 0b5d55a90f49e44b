"""Recorded steps give the bits of the steps themselves, for every kind of method, and steps that cannot be replayed are not."""

import random
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import ModuleType

import numpy as np
import pytest
import torch
from small_methods import DIM, LEVELS, Network, Pair, build, images, pixels, tiny, training, weights
from torch import Tensor, nn

from bench import replay
from bench.batches import Batches
from bench.errors import RunError
from bench.replay import Recorder, Replayed
from bench.script import Graph, Operation, joined
from bench.spec import Budget, Optimizer
from bench.train import Training, train
from metrics.kernels.outside import listeners, run
from models.factor import factorvae
from models.iaf import vae_iaf
from models.ladder import prior_gmm, prior_vamp
from models.method import AutoEncoder, Draw, Player, Prior, Recipe
from models.vae import ae, vae_bernoulli
from models.vcae import vcae
from models.wae import wae_gan, wae_mmd

STEPS = 12
ALONE = [ae, vae_bernoulli, vae_iaf, vcae, wae_mmd, partial(prior_vamp, components=4)]
REPLAYED = [*ALONE, partial(wae_gan, width=8), partial(factorvae, width=8)]


def batches() -> Batches:
    return Batches(pixels(23), LEVELS, 5, seed=1)


def trained(
    make: Callable[[], Recipe], capture: bool, steps: int = STEPS, network: Network = tiny
) -> tuple[Training, dict[str, bytes], list[dict[str, float]]]:
    torch.manual_seed(3)
    method, data = build(make, network=network), batches()
    taken = training(method, Budget(steps=steps), data, capture=capture)
    outcome = train(taken, data)
    assert outcome.status == "done", outcome.error
    return taken, weights(method), outcome.curve


@pytest.mark.parametrize("size", [7, 10])
def test_batches_that_lie_anywhere_in_what_was_gathered_are_replayed(size: int) -> None:
    """5 x 5 pixels and odd batches: products of memory that is not aligned would have other bits than those of a recording's own."""
    curves = []
    for capture in (False, True):
        torch.manual_seed(3)
        images = torch.randint(0, LEVELS + 1, (5 * size + 3, 1, 5, 5), dtype=torch.uint8)
        data = Batches(images, LEVELS, size, seed=1)
        assert data.at_once > 5
        taken = training(build(lambda: ae(DIM), shape=(1, 5, 5), network=tiny), Budget(steps=40), data, capture=capture)
        curves.append(train(taken, data).curve)
    assert taken.execution == "recorded once and replayed"
    assert curves[0] == curves[1]


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


def noisy(shape: tuple[int, int, int], dim: int, outputs: int) -> Pair:
    encoder, decoder = tiny(shape, dim, outputs)
    return nn.Sequential(nn.Dropout(0.2), encoder, nn.BatchNorm1d(outputs * dim)), decoder


def test_layers_that_draw_and_count_go_on_in_a_replay() -> None:
    _, expected, curve = trained(lambda: ae(DIM), False, network=noisy)
    stream = torch.get_rng_state()
    taken, found, replayed_curve = trained(lambda: ae(DIM), True, network=noisy)
    assert taken.execution == "recorded once and replayed"
    assert (found, replayed_curve) == (expected, curve)
    assert torch.equal(torch.get_rng_state(), stream)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many times terms of a method were asked for, in a place of which the replay does not know."""
    found, terms = [0], AutoEncoder.terms

    def counting(self: AutoEncoder, *args: object) -> dict[str, Tensor]:
        found[0] += 1
        return terms(self, *args)

    monkeypatch.setattr(AutoEncoder, "terms", counting)
    monkeypatch.setattr(replay, "python_state", lambda root: [])
    return found


def test_most_steps_call_no_python_of_the_method(calls: list[int]) -> None:
    trained(lambda: ae(DIM), False, steps=40)
    assert calls.pop() == 40
    calls.append(0)
    trained(lambda: ae(DIM), True, steps=40)
    assert calls == [3 + 1 + 6]  # warm-up, recording, and the checks at the replays 1, 2, 4, 8, 16, 32


def test_steps_are_recorded_anew_when_other_players_move(calls: list[int]) -> None:
    found = []
    for capture in (False, True):
        method, data = build(lambda: ae(DIM)), batches()
        (own,) = method.players()
        method.players = lambda own=own: [replace(own, start=2)]
        calls[0] = 0
        train(training(method, Budget(steps=20), data, capture=capture), data)
        found.append(weights(method))
    assert found[0] == found[1] != weights(build(lambda: ae(DIM)))
    assert calls == [(3 + 1 + 3) + (3 + 1 + 4)]  # two epochs of four steps, then twelve steps


def test_batches_of_another_shape_are_recorded_anew(calls: list[int]) -> None:
    taken, eager = (training(build(lambda: ae(DIM)), Budget(steps=1), batches(), capture=capture) for capture in (True, False))
    given = [images(n, seed=seed) for n in (5, 4, 5) for seed in range(9)]
    kept = [x.clone() for x in given]
    expected = [eager.run([x], (True,)) for x in given]
    calls[0] = 0
    found = [taken.run([x], (True,)) for x in given]
    assert calls == [3 * (3 + 1 + 3)]
    assert torch.equal(torch.stack(found), torch.stack(expected))
    assert all(map(torch.equal, given, kept))  # batches are not the replay's to write into
    assert weights(taken.method) == weights(eager.method)


def test_a_player_may_write_into_its_batch() -> None:
    found = []
    for capture in (False, True):
        method, data = build(lambda: ae(DIM)), batches()
        (own,) = method.players()
        method.players = lambda own=own: [replace(own, terms=lambda x, noise: own.terms(x.mul_(0.5), noise))]
        taken = training(method, Budget(steps=STEPS), data, capture=capture)
        train(taken, data)
        found.append(weights(method))
    assert taken.execution == "recorded once and replayed"
    assert found[0] == found[1]


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


READS: dict[str, Callable[[Draw], Tensor]] = {
    "aten::_local_scalar_dense": reads,
    "aten::index": masks,
    "tolist": lambda draw: draw.z.square().mean() * (2.0 if max(draw.z.flatten().tolist()) > 0.3 else 1.0),
    "numpy": lambda draw: draw.z.square().mean() * (2.0 if draw.z.detach().numpy().max() > 0.3 else 1.0),
    "__array__": lambda draw: draw.z.square().mean() * (2.0 if np.asarray(draw.z.detach()).max() > 0.3 else 1.0),
    "__dlpack__": lambda draw: draw.z.square().mean() * (2.0 if np.from_dlpack(draw.z.detach()).max() > 0.3 else 1.0),
}


@pytest.mark.parametrize("operation", READS)
def test_a_step_that_reads_a_value_stays_as_it_is(operation: str) -> None:
    taken, found, _ = trained(lambda: with_term(READS[operation]), True)
    assert taken.execution == f"eager: a value is read on the host ({operation})"
    assert found == trained(lambda: with_term(READS[operation]), False)[1]


def test_a_step_with_sparse_tensors_stays_as_it_is() -> None:
    matrix = torch.eye(DIM).to_sparse()
    make = lambda: with_term(lambda draw: torch.sparse.mm(matrix, draw.z.T).square().mean())
    taken, found, _ = trained(make, True)
    assert taken.execution.startswith("eager: a tensor is not a dense one (aten::")
    assert found == trained(make, False)[1]


OTHERWISE: list[Callable[[Draw], Tensor]] = [
    lambda draw: draw.z.prod(1).square().mean(),
    lambda draw: (0.1 * draw.z + 1).prod(),
    lambda draw: draw.z.masked_fill(draw.z > 0, draw.z.square().mean()).square().mean(),
    lambda draw: (2 * draw.z).masked_fill_(draw.z > 0, draw.z.square().mean()).square().mean(),
]


@pytest.mark.parametrize("term", OTHERWISE)
@pytest.mark.parametrize("reading", [False, True])
def test_a_step_whose_gradient_has_other_bits_while_it_is_recorded_is_taken_again(term: Callable[[Draw], Tensor], reading: bool) -> None:
    make = lambda: with_term((lambda draw: term(draw) + reads(draw)) if reading else term)
    taken, found, curve = trained(make, True)
    assert taken.execution == "eager: torch takes a gradient in another way while it is recorded"
    assert (found, curve) == trained(make, False)[1:]


def test_filling_with_a_number_has_the_same_bits() -> None:
    make = lambda: with_term(lambda draw: draw.z.masked_fill(draw.z > 0, 2.0).square().mean())
    assert trained(make, True)[0].execution == "recorded once and replayed"


class Running(Added):
    """A mean of codes that no state_dict has, and what it goes on to do."""

    def __init__(self) -> None:
        super().__init__(reads)
        self.mean = torch.zeros(DIM)

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        term = (draw.z.mean(0) - self.mean).square().sum()
        self.mean.lerp_(draw.z.detach().mean(0), 0.1)
        return term


class Watching(Running):
    """It changes nothing in the step."""

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        return super().__call__(draw, prior) * 0


class Buffered(nn.Module):
    name = "added"

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(DIM), persistent=False)

    def forward(self, draw: Draw, prior: Prior | None) -> Tensor:
        return Running.__call__(self, draw, prior)  # type: ignore[arg-type]


class Drawing(Added):
    """A random stream of its own."""

    def __init__(self) -> None:
        super().__init__(reads)
        self.noise = torch.Generator().manual_seed(5)

    @property
    def mean(self) -> Tensor:
        return self.noise.get_state()

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        return (draw.z @ torch.randn(DIM, generator=self.noise)).square().mean()


class Learning(Added):
    """A player whose parameters are in no module of the method."""

    def __init__(self) -> None:
        super().__init__(reads)
        self.mean = nn.Parameter(torch.zeros(DIM))

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        return (draw.z.mean(0) - self.mean.detach()).square().sum()

    def players(self, method: AutoEncoder, weight: float) -> list[Player]:
        loss = lambda x, noise: {"loss": (method.draw(x, noise).z.detach().mean(0) - self.mean).square().sum()}
        return [Player("learning", (self.mean,), loss)]


@pytest.mark.parametrize("kind", [Running, Watching, Buffered, Drawing, Learning])
def test_state_that_no_state_dict_has_goes_on_once_a_step(kind: Callable[[], Running]) -> None:
    parts = [kind(), kind()]
    eager, taken = (trained(lambda part=part: replace(ae(DIM), regularisers=((1.0, part),)), part is parts[1]) for part in parts)
    assert taken[0].execution == "recorded once and replayed"
    assert taken[1:] == eager[1:]
    assert torch.equal(parts[0].mean, parts[1].mean)
    assert not torch.equal(parts[0].mean, kind().mean)


class Counting(Added):
    """Its weight grows with the steps."""

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        self.calls += 1
        return 0.01 * self.calls * draw.z.square().mean()


def test_a_method_that_counts_its_steps_in_python_stays_as_it_is() -> None:
    make = lambda: replace(ae(DIM), regularisers=((1.0, Counting(reads)),))
    taken, found, _ = trained(make, True)
    assert taken.execution == "eager: a part of the method counts its steps or makes its tensors anew"
    assert found == trained(make, False)[1]


class Rebound(Added):
    """A mean that is another tensor after each step."""

    def __init__(self, of: Callable[[Draw], Tensor]) -> None:
        super().__init__(of)
        self.mean = torch.zeros(DIM)

    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        self.mean = 0.9 * self.mean + 0.1 * draw.z.detach().mean(0)
        return (draw.z.mean(0) - self.mean).square().sum() + self.of(draw)


class CountingToo(Counting):
    def __call__(self, draw: Draw, prior: Prior | None) -> Tensor:
        return super().__call__(draw, prior) + self.of(draw)


@pytest.mark.parametrize("kind", [Rebound, CountingToo])
@pytest.mark.parametrize("term", [*OTHERWISE, reads])
def test_a_step_that_must_not_be_taken_twice_is_not(kind: type[Added], term: Callable[[Draw], Tensor]) -> None:
    """Not even where the recorded one would have other bits."""
    make = lambda: replace(ae(DIM), regularisers=((1.0, kind(term)),))
    taken, found, curve = trained(make, True)
    assert taken.execution == "eager: a part of the method counts its steps or makes its tensors anew"
    assert (found, curve) == trained(make, False)[1:]


HIDDEN = ModuleType("hidden")  # a module's attributes are nobody's state


def growing(first: int) -> float:
    HIDDEN.calls += 1  # type: ignore[attr-defined]
    return 0.01 * max(HIDDEN.calls - first, 0)  # type: ignore[attr-defined]


GROWING: dict[str, Callable[[Draw, int], Tensor]] = {
    "both": lambda draw, first: growing(first) * draw.z.square().mean(),
    "a value": lambda draw, first: draw.z.mean() * 0 + growing(first),
    "a gradient": lambda draw, first: growing(first) * (draw.z - draw.z.detach()).sum(),
}


def test_a_run_that_diverges_is_replayed_to_its_end() -> None:
    found = []
    for capture in (False, True):
        method, data = build(lambda: vae_bernoulli(DIM)), batches()
        taken = training(method, Budget(steps=40), data, optimizer=Optimizer(lr=1e6), capture=capture)
        outcome = train(taken, data)
        found.append((outcome.status, outcome.error, weights(method)))
    assert taken.execution == "recorded once and replayed"
    assert found[0] == found[1]
    assert found[0][0] == "diverged"
    assert all(bool(p.isnan().any()) for p in method.decoder.parameters())


@pytest.mark.parametrize("what", GROWING)
def test_what_changes_where_nobody_can_look_is_found_by_the_first_check(what: str) -> None:
    HIDDEN.calls = 0  # type: ignore[attr-defined]
    taken, found, curve = trained(lambda: with_term(lambda draw: GROWING[what](draw, 0)), True)
    assert taken.execution == "eager: replaying the step does not give its bits"
    assert isinstance(taken.run, Replayed)
    assert taken.run.operations is None
    HIDDEN.calls = 0  # type: ignore[attr-defined]
    assert (found, curve) == trained(lambda: with_term(lambda draw: GROWING[what](draw, 0)), False)[1:]


@pytest.mark.parametrize("what", GROWING)
@pytest.mark.parametrize("calls", [7, 8])  # 3 + 1 + 2 are right; the check at replay 4 is the seventh call, that at replay 8 the eighth
def test_a_run_whose_replays_may_have_been_wrong_fails(what: str, calls: int) -> None:
    HIDDEN.calls = 0  # type: ignore[attr-defined]
    with pytest.raises(RunError, match=r"replayed steps differ from the step itself.*refitted = True"):
        trained(lambda: with_term(lambda draw: GROWING[what](draw, calls - 1)), True)


@pytest.mark.parametrize("calls", [5, 6])
def test_the_first_two_checks_come_before_any_replay_counts(calls: int) -> None:
    HIDDEN.calls = 0  # type: ignore[attr-defined]
    taken, found, _ = trained(lambda: with_term(lambda draw: GROWING["both"](draw, calls - 1)), True)
    assert taken.execution == "eager: replaying the step does not give its bits"
    HIDDEN.calls = 0  # type: ignore[attr-defined]
    assert found == trained(lambda: with_term(lambda draw: GROWING["both"](draw, calls - 1)), False)[1]


@pytest.mark.parametrize("draw", [random.random, np.random.random_sample])
def test_a_method_that_draws_from_pythons_or_numpys_stream_stays_as_it_is(draw: Callable[[], float]) -> None:
    make = lambda: with_term(lambda at: at.z.square().mean() * (2.0 if draw() < 0.01 else 1.0))
    assert trained(make, True)[0].execution == "eager: a part of the method counts its steps or makes its tensors anew"


def test_work_that_cannot_be_done_twice_is_left_to_the_step() -> None:
    def term(draw: Draw) -> Tensor:
        done: list[int] = []

        def once() -> None:
            assert not done
            done.append(1)

        run(once, draw.z)
        return draw.z.square().mean()

    taken, found, _ = trained(lambda: with_term(term), True)
    assert taken.execution == "eager: replaying the step does not give its bits"
    assert found == trained(lambda: with_term(term), False)[1]


def test_a_part_may_say_that_it_changes_from_step_to_step() -> None:
    HIDDEN.calls = 0  # type: ignore[attr-defined]
    part = Added(lambda draw: GROWING["both"](draw, 6))
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


def slope(f: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.enable_grad():
        leaf = x.clone().requires_grad_()
        return torch.autograd.grad(f(leaf).sum(), leaf)[0]


def normed(x: Tensor) -> Tensor:
    mean, variance = torch.zeros(3), torch.ones(3)
    return torch.stack([*nn.functional.batch_norm(x, mean, variance, training=True), mean, variance])


def normed_in_place(x: Tensor) -> Tensor:
    mean, variance = torch.zeros(3), torch.ones(3)
    return torch.stack([*torch.ops.aten._native_batch_norm_legit(x, None, None, mean, variance, True, 0.1, 1e-5)[0], mean, variance])


FORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "views": lambda x: x.t()[1:].reshape(-1).unflatten(0, (-1, 2)).sum(1),
    "several results": lambda x: torch.cat([x.sort(1).values, x.max(0, keepdim=True).values]),
    "in place": lambda x: x.clone().mul_(3).clamp_(max=1).add_(x),
    "stacks": lambda x: torch.stack(x.unbind(0)).cumsum(0).roll(1, 0),
    "other types": lambda x: (x.double() * 2).to(torch.int64).float() + torch.zeros(3, dtype=torch.float64).float(),
    "constants": lambda x: torch.where(x > 0, x, torch.full((), 7.0)) + torch.arange(3),
    "sums in what was filled": lambda x: torch.zeros(3, 3).add_(torch.ones_like(x).mul_(x)).add_(x.new_zeros(3).add_(x[0])),
    "sums in zeros like it": lambda x: torch.zeros_like(x).add_(x).add_(torch.empty(3).fill_(2).mul_(x[1])),
    "what is below zero": lambda x: torch.relu(torch.cat([x, x / 0, 0 / (x - x)])).nan_to_num(5),
    "zeros of either sign": lambda x: torch.signbit(torch.relu(torch.cat([-x * 0, x * 0]))).float(),
    "numbers of numbers": lambda x: (
        (x.sum() * 0.1 / 3 * 7 + x.double().sum() * 0.1).expand(2) + torch.ops.aten.mul.Scalar(x.double(), 0.1)[0, :2]
    ),
    "numbers": lambda x: torch.ops.aten.mul.Scalar(x, 0.1) + torch.ops.aten.div.Scalar(x.long(), 3) + torch.zeros_like(x),
    "batch norm": lambda x: nn.functional.batch_norm(x, None, None, training=True),
    "an indexed read": lambda x: x[torch.tensor([2, 0])] + x[1],
    "an indexed read of a mask": lambda x: (x > 0)[torch.tensor([2, 0])],
    "an indexed write": lambda x: torch.zeros(3, 3).index_put((torch.tensor([0, 1]), torch.tensor([2, 0])), x[0, :2]) + x,
}
OF_SEVERAL = {"constants", "numbers", "an indexed read", "an indexed read of a mask", "an indexed write"}  # graphs: some calls stay calls
COPIED: dict[str, Callable[[Tensor], Tensor]] = {  # with operations that cannot write into a given result
    "one result": lambda x: nn.functional.prelu(x, x[0].abs()),
    "a mean over all values": lambda x: nn.functional.binary_cross_entropy(x.sigmoid(), x.flip(0).sigmoid()).expand(2),
    "a list of results": lambda x: torch.cat(torch._foreach_add([x, x[:1]], [x, x[1:2]])),
    "gradients": lambda x: slope(lambda y: nn.functional.layer_norm(y, (3,)).square() * y.exp(), x),
    "a gradient that nobody wants": lambda x: slope(lambda w: nn.functional.conv1d(x, w[:, :, None]).tanh(), x.abs()),
    "a gradient of zeros": lambda x: torch.cat([slope(torch.sgn, x), x]),
    "running moments": normed,
    "a result beside a change": normed_in_place,
}


@pytest.mark.parametrize("way", [list, joined], ids=["one by one", "joined"])
@pytest.mark.parametrize("name", FORMS | COPIED)
def test_operations_are_replayed_on_new_values(name: str, way: Callable[[list[Operation]], list[Operation]]) -> None:
    x = torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    recorder, form = Recorder(), (FORMS | COPIED)[name]
    with torch.no_grad(), recorder:
        y = form(x)
    assert recorder.reason is None
    operations = way(recorder.operations)
    for seed in (2, 3):
        x.copy_(torch.randn(3, 3, generator=torch.Generator().manual_seed(seed)))
        with torch.no_grad():
            for operation in operations:
                operation()
        assert torch.equal(y, form(x)), seed


@pytest.mark.parametrize("name", [name for name in FORMS if name not in OF_SEVERAL])
def test_recorded_operations_are_one_graph(name: str) -> None:
    recorder = Recorder()
    with torch.no_grad(), recorder:
        kept = FORMS[name](torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))  # noqa: F841
    assert [type(operation) for operation in joined(recorder.operations)] == [Graph]


@pytest.mark.parametrize("name", FORMS)
def test_results_are_written_where_the_recorded_ones_lie(name: str) -> None:
    x = torch.randn(3, 3, generator=torch.Generator().manual_seed(1))
    recorder, again = Recorder(), Recorder()
    with torch.no_grad(), recorder:
        kept = FORMS[name](x)  # noqa: F841
    with torch.no_grad(), again:
        for operation in recorder.operations:
            operation()
    assert (again.reason, again.bytes) == (None, 0)
    assert recorder.bytes > 0


def test_what_computes_nothing_is_not_replayed() -> None:
    x, recorder = torch.randn(3, 4), Recorder()
    with recorder:
        for part in (x.t(), x[1:], x[1:, 2:].unsqueeze(0), x.view(-1)[3:], torch.empty(3), torch.empty_like(x), x.new_empty(2)):
            assert part.numel()
        with torch.profiler.record_function("phase"):
            x[1:, 2:].add_(1)
    assert len(recorder.operations) == 1


@pytest.mark.filterwarnings("ignore:indexing with dtype torch.uint8")
def test_a_recorder_that_gave_up_keeps_nothing() -> None:
    x, recorder = torch.ones(3), Recorder()
    with recorder, replay.listening(recorder.outside):
        y = x + 1
        assert len(recorder.operations) == 1
        assert y.max().item() == 2
        assert recorder.operations == []
        run(lambda: None, x)
        x.add_(1)
        assert bool(torch.zeros(2, dtype=torch.uint8)[torch.tensor([1, 0], dtype=torch.uint8)].sum() == 0)
    assert (recorder.operations, recorder.reason) == ([], "a value is read on the host (aten::_local_scalar_dense)")


@pytest.mark.parametrize("kind", [torch.bool, torch.uint8])
@pytest.mark.filterwarnings("ignore:indexing with dtype torch.uint8")
def test_masks_are_reads(kind: torch.dtype) -> None:
    recorder = Recorder()
    with recorder:
        assert len(torch.arange(3)[torch.tensor([1, 0, 1]).to(kind)]) == 2
    assert recorder.reason == "a value is read on the host (aten::index)"


def test_results_count_together_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "SMALL", 5 * 4 * 9)
    x, small, large = torch.ones(3, 3), Recorder(), Recorder()
    for recorder, steps in ((small, 5), (large, 6)):
        with recorder:
            for _ in range(steps):
                x = x + 1
    assert (small.reason, large.reason) == (None, "the step is not a small one")


def test_a_recording_keeps_memory_and_no_graph() -> None:
    x, recorder = torch.ones(3, requires_grad=True), Recorder()
    with recorder:
        y = x * 2
        y.mul_(3)
        z = y.exp()
    kept = weakref.ref(y), weakref.ref(z)
    del y, z
    assert [one() for one in kept] == [None, None]
    for operation in recorder.operations:
        operation()


def test_an_operation_that_only_checks_is_done_again() -> None:
    x, recorder = torch.eye(2), Recorder()
    with recorder:
        torch.linalg.cholesky(x)
    x[0, 0] = -1
    with pytest.raises(torch.linalg.LinAlgError, match="not positive-definite"):
        [operation() for operation in recorder.operations]


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
