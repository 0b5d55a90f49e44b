"""Steps that gather their batches: the batches, losses and weights of steps that are given them, and one copy from outside a step."""

import gc
import weakref
from functools import partial
from unittest.mock import Mock

import pytest
import torch
from pretended_gpu import pretended_gpu, pretended_machine
from small_methods import LEVELS, build, noise, pixels, weights
from torch import Tensor
from variants import BYTES, make

from bench.datasets.batches import Batches
from bench.suites.schema import Budget, Optimizer
from bench.training.cuda_graph import Captured
from bench.training.gathered import GatheringTraining, Places, Recorded, side_stream, trainer_on
from bench.training.train import Plan, Training, train
from metrics.kernels.backends import using
from models.factor import factorvae
from models.vae import vae_gauss

STEPS = 12  # into the second epoch


def batches(images: Tensor = BYTES, seed: int = 3) -> Batches:
    return Batches(images, 255, 20, seed)


def training(trainer: type[Training], variant: str, of: Batches, steps: int = STEPS) -> Training:
    return trainer(make(variant).train(), Plan(Budget(steps=steps), Optimizer(), of.per_epoch, steps), noise())


@pytest.mark.parametrize("images", [pixels(23), torch.randn(23, 1, 4, 4, generator=noise(1))], ids=["bytes", "signals"])
@pytest.mark.parametrize("stream", [0, 1])
def test_places_are_those_of_the_batches(images: Tensor, stream: int) -> None:
    given = Batches(images, LEVELS, 5, 1)
    places = Places(given)
    for step in (0, 1, 3, 4, 9, 2):  # four batches an epoch, the last partial one dropped
        own = images.index_select(0, places.at(step, stream))
        expected = given.at(step, stream)
        assert torch.equal(own if images.is_floating_point() else own.float().div(LEVELS), expected)


@pytest.mark.parametrize("variant", ["vae_gauss", "wae_gan", "factorvae", "prior_gmm"])  # prior_gmm draws images between epochs
def test_training_is_the_same_to_the_bit(variant: str) -> None:
    found = []
    for trainer in (Training, GatheringTraining):
        trained = training(trainer, variant, batches())
        outcome = train(trained, batches())
        found.append((outcome.status, outcome.curve, weights(trained.method)))  # type: ignore[arg-type]
    assert found[0] == found[1]


def test_it_goes_on_from_a_checkpoint_and_with_other_batches() -> None:
    whole = training(GatheringTraining, "wae_gan", batches())
    whole.take_steps(batches(), STEPS)
    first = training(GatheringTraining, "wae_gan", batches())
    first.take_steps(batches(), 5)
    second = training(GatheringTraining, "wae_gan", batches())
    second.take_steps(batches(seed=4), 1)  # what it remembers of these is not used for others
    second.restore(first.state(0.0))
    second.take_steps(batches(), STEPS - 5)
    assert weights(whole.method) == weights(second.method)  # type: ignore[arg-type]


def test_batches_that_may_be_others_than_rows_of_their_images_are_refused() -> None:
    class Doubled(Batches):
        def at(self, step: int, stream: int = 0) -> Tensor:
            return 2 * super().at(step, stream)

    with pytest.raises(TypeError, match="Doubled may give other batches"):
        training(GatheringTraining, "vae_gauss", batches()).take_step(Doubled(BYTES, 255, 20, 3))


@pytest.mark.parametrize("variant", ["vae_gauss", "factorvae"])
def test_a_step_is_such_as_a_graph_can_hold(variant: str) -> None:
    of = batches(BYTES[:100].clone())
    trained = training(GatheringTraining, variant, of)
    trained.take_step(of)
    assert isinstance(trained, GatheringTraining)
    assert trained.places is not None
    streams = [trained.places.at(1, stream).clone() for stream in range(max(player.batches for player in trained.players))]
    tensors = [*trained.method.parameters(), *trained.method.buffers()]  # type: ignore[attr-defined]
    tensors += [x for adam in trained.optimizers for x in (*adam.means, *adam.squares, *adam.steps, adam.rate)]
    with using("broadcast"), pretended_gpu(trained.noise) as device:
        device.put(of.images, *tensors, *streams)
        assert device.has(trained.players_step(streams, (True,) * len(trained.players)))


def launches(trainer: type[Training], variant: str) -> int:
    """What a step asks of the device outside of its graph, in the middle of an epoch, the graph's own inputs included."""
    with pretended_machine() as device:
        of = batches(BYTES[:100].clone())
        device.put(of.images)
        trained = training(trainer, variant, of)
        inputs: list[Tensor] = []

        def replayed(streams: list[Tensor], moving: tuple[bool, ...]) -> Tensor:
            inputs[:] = inputs or [torch.empty_like(x) for x in streams]
            for own, x in zip(inputs, streams, strict=True):
                own.copy_(x)
            return torch.zeros(())

        trained.run = replayed  # type: ignore[assignment]
        trained.take_step(of)
        before = device.launches
        trained.take_step(of)
        return device.launches - before


def test_what_comes_from_outside_of_a_step_is_one_copy() -> None:
    gathered = {variant: launches(GatheringTraining, variant) for variant in ("vae_gauss", "factorvae")}
    given = {variant: launches(Training, variant) for variant in gathered}
    assert gathered == {"vae_gauss": 1, "factorvae": 2}  # two streams of batches
    assert all(given[variant] > gathered[variant] for variant in gathered), given


def test_a_gpu_is_what_it_is_for() -> None:
    assert trainer_on(torch.device("cuda")) is GatheringTraining
    assert trainer_on(torch.device("cpu")) is Training


def test_a_training_that_is_over_is_freed_at_once() -> None:
    """Not at some later collection of garbage: on a GPU the next run would count its weights, moments and graph as its own."""
    trained = training(GatheringTraining, "wae_gan", batches())
    trained.take_steps(batches(), 2)
    left = weakref.ref(trained), weakref.ref(trained.method)
    gc.collect()
    gc.disable()
    try:
        del trained
        assert [one() for one in left] == [None, None]
    finally:
        gc.enable()


def test_nothing_is_collected_while_a_step_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A graph that is freed meanwhile would end the recording; and one that breaks off leaves the stream as it was."""
    seen, streams = list[bool](), ["the usual one"]

    def breaks_off(*_: object) -> None:
        seen.append(gc.isenabled())
        streams[0] = "the side stream"
        raise RuntimeError("operation not permitted when stream is capturing")

    monkeypatch.setattr(Captured, "record", breaks_off)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: streams[0])
    monkeypatch.setattr(torch.cuda, "set_stream", lambda stream: streams.__setitem__(0, stream))
    recorded = Recorded.__new__(Recorded)
    recorded.noise = noise()
    with pytest.raises(RuntimeError, match="not permitted"):
        recorded.record([], ())
    assert seen == [False]
    assert gc.isenabled()
    assert streams == ["the usual one"]


def test_trainings_on_streams_of_their_own_are_recorded_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their graphs are replayed at the same time, and one stream has one workspace of cuBLAS."""
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: object())
    one, other = Mock(device="cuda"), Mock(device="cuda")
    first, again, apart = side_stream(one), side_stream(one), side_stream(other)
    assert first is again
    assert first is not apart


@pytest.mark.gpu
def test_on_a_gpu_a_recording_that_breaks_off_leaves_others_whole() -> None:
    device = torch.device("cuda")
    of, plan = batches(BYTES.to(device)), Plan(Budget(steps=STEPS), Optimizer(), batches().per_epoch, STEPS)
    method = lambda: build(lambda: vae_gauss(3), shape=(1, 8, 8)).to(device).train()
    broken = GatheringTraining(method(), plan, torch.Generator(device).manual_seed(0))
    whole, plain = broken.players_step, torch.cuda.current_stream(device)

    def step(streams: object, moving: tuple[bool, ...]) -> Tensor:
        if torch.cuda.is_current_stream_capturing():
            raise RuntimeError("a step that no graph can hold")
        return whole(streams, moving)  # type: ignore[arg-type]

    broken.players_step = step  # type: ignore[method-assign]
    broken.take_step(of)
    broken.run = Recorded(step, broken.noise)  # type: ignore[arg-type]
    broken.take_steps(of, STEPS - 1)
    assert "a step that no graph can hold" in broken.execution
    assert torch.cuda.current_stream(device) == plain
    torch.cuda.empty_cache()
    other = GatheringTraining(method(), plan, torch.Generator(device).manual_seed(0))
    other.take_steps(of, STEPS)
    assert other.execution == "one CUDA graph a step"


@pytest.mark.gpu
@pytest.mark.parametrize("recipe", [vae_gauss, partial(factorvae, width=32)], ids=["one stream", "two streams"])
def test_on_a_gpu_it_is_the_same_to_the_bit(recipe: object) -> None:
    device, found = torch.device("cuda"), []
    for trainer in (Training, GatheringTraining):
        of = batches(BYTES.to(device))
        method = build(lambda: recipe(3), shape=(1, 8, 8)).to(device).train()  # type: ignore[operator]
        trained = trainer(method, Plan(Budget(steps=STEPS), Optimizer(), of.per_epoch, STEPS), torch.Generator(device).manual_seed(0))
        found.append(torch.stack(trained.take_steps(of, STEPS)))
        assert trained.execution == "one CUDA graph a step"
    assert torch.equal(*found)


@pytest.mark.gpu
def test_on_a_gpu_other_batches_are_not_read_by_the_graph_of_the_first() -> None:
    device, found = torch.device("cuda"), []
    for capture in (True, False):
        first, second = batches(BYTES.to(device)), batches((255 - BYTES).to(device), seed=4)
        method = build(lambda: vae_gauss(3), shape=(1, 8, 8)).to(device).train()
        plan = Plan(Budget(steps=STEPS), Optimizer(), first.per_epoch, STEPS)
        trained = GatheringTraining(method, plan, torch.Generator(device).manual_seed(0), capture=capture)
        trained.take_steps(first, 6)
        found.append(torch.stack(trained.take_steps(second, 6)))
    torch.testing.assert_close(*found)
