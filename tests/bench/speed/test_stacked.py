"""Seeds of a method in one step: each with the batches, noise and weights that it has alone, up to rounding; what cannot be is refused."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, cast

import pytest
import torch
from pretended_gpu import Device, Operations
from small_methods import noise, tiny_with_batch_norm
from torch import Tensor, nn
from variants import BYTES, DIM, VARIANTS, build, make

from bench.datasets.batches import Batches
from bench.speed.stacked import Stacked, StackedBatches, StackedTraining, StackingError
from bench.suites.budget import Budget, Optimizer
from bench.training.train import Plan, Training
from metrics.kernels.backends import using
from models.interfaces import Draw
from models.method import AutoEncoder
from models.vae import vae_bernoulli, vae_gauss
from models.wae import wae_mmd

SIZE, SEEDS, STEPS = 20, (0, 1, 2), 12  # into the second epoch
# what vmap has no form of, or a part that keeps weights itself; any other method can be stacked
REFUSED = {
    **dict.fromkeys(("prior_gmm", "prior_hier", "ladder"), "fitted between epochs"),
    **dict.fromkeys(("vcae", "dvcae", "vcae_linear", "dvcae_linear", "tc_vcae"), "autograd.Function"),
    **dict.fromkeys(("rae_l2", "qlae"), "is not what it is alone"),
    "rae_gp": "does not require grad",
    "rae_sn": "Batching rule not implemented",
}
SOME = ("vae_gauss", "wae_gan", "stacked_wae", "vae_iaf", "implicit_wae", "vcae", "rae_l2", "ladder")


def reason(variant: str) -> str | None:
    """Why the seeds of a variant cannot be stacked."""
    name, _, choice = variant.partition("-")
    return REFUSED.get(name) or ("autograd.Function" if choice == "kernel=rbf_median" else None)


@pytest.fixture
def double() -> Iterator[None]:
    """Numbers in float64, in which what is rounding is small and what is a mistake is not."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


Make = Callable[[int], AutoEncoder]


def batches_of(seed: int, dtype: torch.dtype = torch.float32) -> Batches:
    return Batches(BYTES.to(dtype) / 255, 255, SIZE, seed)


def plan(steps: int = STEPS) -> Plan:
    return Plan(Budget(steps=steps), Optimizer(), batches_of(0).per_epoch, steps)


def alone(make: Make, seed: int, dtype: torch.dtype) -> tuple[Tensor, dict[str, Tensor]]:
    """Terms of each step, and weights after the last."""
    batches, method = batches_of(seed, dtype), make(seed).to(dtype).train()
    training = Training(method, plan(), noise(seed))
    with using("broadcast"):
        training.call_hooks("training_begins", batches)
        return torch.stack(training.take_steps(batches, STEPS)), method.state_dict()


def stack(make: Make, dtype: torch.dtype = torch.float32) -> tuple[Training, StackedBatches]:
    batches = StackedBatches([batches_of(seed, dtype) for seed in SEEDS])
    stacked = Stacked([make(seed).to(dtype) for seed in SEEDS], [noise(seed) for seed in SEEDS], batches.each[0].at(0))
    return StackedTraining(stacked.train(), plan(), noise()), batches


def methods(training: Training) -> list[AutoEncoder]:
    """Each seed's, with the weights that it has now."""
    return cast(Stacked, training.method).methods


def furthest(make: Make, dtype: torch.dtype) -> float:
    """How far weights of the stack are from those of seeds alone, at most, relatively; terms are the same up to that."""
    training, batches = stack(make, dtype)
    training.call_hooks("training_begins", batches)
    rows = torch.stack(training.take_steps(batches, STEPS))
    worst = 0.0
    for seed in SEEDS:
        terms, weights = alone(make, seed, dtype)
        own = [i for i, name in enumerate(training.names) if name.endswith(f".{seed}")]
        torch.testing.assert_close(rows[:, own], terms, rtol=1e-3, atol=1e-5)
        found = methods(training)[seed].state_dict()
        for name, tensor in weights.items():
            apart = (found[name].double() - tensor.double()).norm() / tensor.double().norm().clamp(min=1e-9)
            worst = max(worst, float(apart))
    return worst


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("variant", [v if v in SOME else pytest.param(v, marks=pytest.mark.slow) for v in VARIANTS])
def test_a_seed_in_the_stack_is_the_seed_alone(variant: str) -> None:
    if why := reason(variant):
        with pytest.raises(StackingError, match=why):
            stack(partial(make, variant), torch.float64)
    else:
        assert furthest(partial(make, variant), torch.float64) < 1e-6  # Adam makes a gradient of nearly nothing, and its rounding, large


def test_networks_in_bfloat16_are_stacked_too() -> None:
    training, batches = stack(partial(make, "vae_gauss"))
    training.plan = replace(training.plan, precision="bf16")
    lone = Training(make("vae_gauss", 1).train(), training.plan, noise(1))
    rows, own = torch.stack(training.take_steps(batches, 2)), torch.stack(lone.take_steps(batches.each[1], 2))
    torch.testing.assert_close(rows[:, [i for i, name in enumerate(training.names) if name.endswith(".1")]], own, rtol=1e-2, atol=1e-2)


def test_in_float32_what_is_between_them_is_rounding() -> None:
    for variant in ("vae_gauss", "wae_gan"):
        assert furthest(partial(make, variant), torch.float32) < 1e-5, variant


def recipes(make_recipe: Callable[[], Any], **options: Any) -> Make:
    return lambda seed: build(make_recipe, seed=seed, shape=(1, 8, 8), dim=DIM, **options)


KINDS = {
    "batch norm": recipes(lambda: wae_mmd(DIM), network=tiny_with_batch_norm),
    "clipped": recipes(lambda: replace(vae_bernoulli(DIM), clip=1e-3)),
    "encoder trained before": recipes(lambda: wae_mmd(DIM, pretraining_batch=31)),
}


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("kind", ["batch norm", "clipped", pytest.param("encoder trained before", marks=pytest.mark.slow)])
def test_running_moments_clipping_and_pretraining_are_each_seeds_own(kind: str) -> None:
    assert furthest(KINDS[kind], torch.float64) < 1e-6


def test_a_stack_goes_on_from_its_state_to_the_bit() -> None:
    ends = []
    for at in (0, 5):
        training, batches = stack(partial(make, "wae_gan"))
        if at:
            training.take_steps(batches, at)
            state = training.state(0.0)
            training, batches = stack(partial(make, "wae_gan"))
            training.restore(state)
        training.take_steps(batches, STEPS - at)
        ends.append([{**method.state_dict()} for method in methods(training)])
    for first, second in zip(*ends, strict=True):
        for name, tensor in first.items():
            assert torch.equal(tensor, second[name]), name


class Reads:
    """A regulariser that does what a stacked one cannot."""

    capturable = True
    name = "reads"

    def __init__(self, does: Callable[[Draw], Tensor]):
        self.does = does

    def __call__(self, draw: Draw, prior: object) -> Tensor:
        return self.does(draw)


class OtherNoiseLater:
    """Three numbers of noise at each of so many looks, then four, or none."""

    def __init__(self, looks: int, later: int):
        self.left, self.later = looks, later

    def __call__(self, draw: Draw) -> Tensor:
        self.left -= 1
        count = 3 if self.left >= 0 else self.later
        return draw.z.mean() * torch.randn(count, generator=draw.noise).sum() if count else draw.z.mean()


FAULTS: dict[str, tuple[Callable[[Draw], Tensor], str]] = {
    "reads a value": (lambda draw: draw.z.mean() * float(draw.z.mean() > 0), "vmap: It looks like you're"),
    "draws from torch's own stream": (lambda draw: (draw.z * torch.rand_like(draw.z)).mean(), "randomness"),
    "draws by probabilities of its codes": (
        lambda draw: draw.z.gather(0, draw.z.detach().softmax(0).mT.multinomial(1, generator=draw.noise).mT).mean(),
        "randomness",
    ),
}


class Keeps(nn.Module):
    """A regulariser with a number in a buffer; `begins` and `steps` do with it what a stack may not see."""

    capturable = True
    name = "keeps"
    mean: Tensor

    def __init__(self, begins: Callable[["Keeps"], None] = lambda part: None, steps: Callable[["Keeps"], None] = lambda part: None):
        super().__init__()
        self.begins, self.steps, self.scale = begins, steps, 1.0
        self.register_buffer("mean", torch.ones(()))

    def training_begins(self, epoch: int, method: object, draw_images: object, noise: object) -> None:
        self.begins(self)

    def forward(self, draw: Draw, prior: object) -> Tensor:
        value = self.scale * self.mean * draw.z.square().mean()
        self.steps(self)
        return value


def replaces(part: Keeps) -> None:
    part.mean = 3 * part.mean


def keeps_a_number(part: Keeps) -> None:
    part.scale = 3.0


def in_place(part: Keeps) -> None:
    part.mean.mul_(3)


KEEPING: dict[str, tuple[Callable[[], Keeps], str | None]] = {
    "replaces a buffer before training": (lambda: Keeps(begins=replaces), "put another tensor in the place of parts.0.mean"),
    "keeps a number before training": (lambda: Keeps(begins=keeps_a_number), "is not what it is alone"),
    "replaces a buffer in a step": (lambda: Keeps(steps=replaces), "the buffer parts.0.mean"),
    "writes a buffer": (lambda: Keeps(begins=in_place, steps=in_place), None),
}


@pytest.mark.parametrize("part", KEEPING)
def test_a_part_that_keeps_things_where_no_stack_is_is_refused(part: str) -> None:
    make_part, why = KEEPING[part]
    method = recipes(lambda: replace(vae_gauss(DIM), regularisers=(*vae_gauss(DIM).regularisers, (1.0, make_part()))))

    def begun() -> None:
        training, batches = stack(method)
        training.call_hooks("training_begins", batches)

    if why is None:
        begun()
        assert furthest(method, torch.float32) < 1e-4
    else:
        with pytest.raises(StackingError, match=why):
            begun()


def changed_in_place(draw: Draw) -> Tensor:
    """Noise that is doubled where it was drawn."""
    return (draw.z * torch.randn(draw.z.shape, generator=draw.noise).mul_(2)).mean()


def test_noise_is_the_methods_own_to_change() -> None:
    recipe = replace(vae_gauss(DIM), regularisers=(*vae_gauss(DIM).regularisers, (1.0, Reads(changed_in_place))))
    assert furthest(recipes(lambda: recipe), torch.float32) < 1e-4


def test_batches_of_one_seed_are_none_of_a_stack() -> None:
    training, batches = stack(partial(make, "vae_gauss"))
    with pytest.raises(TypeError, match="the batches of all seeds, not Batches"):
        training.take_step(batches.each[0])


@pytest.mark.parametrize("fault", FAULTS)
def test_what_a_stack_cannot_do_is_said_before_the_first_step(fault: str) -> None:
    does, why = FAULTS[fault]
    recipe = replace(vae_gauss(DIM), regularisers=(*vae_gauss(DIM).regularisers, (1.0, Reads(does))))
    with pytest.raises(StackingError, match=why):
        stack(recipes(lambda: recipe))


@pytest.mark.parametrize("later", [4, 0])
def test_noise_that_changes_from_step_to_step_ends_the_training(later: int) -> None:
    looks = OtherNoiseLater(50, later)
    recipe = replace(vae_gauss(DIM), regularisers=(*vae_gauss(DIM).regularisers, (1.0, Reads(looks))))
    training, batches = stack(recipes(lambda: recipe))
    assert looks.left > 0
    with pytest.raises(StackingError, match="other noise than in the steps before"):
        training.take_steps(batches, 100)


def test_a_stacks_step_reads_nothing_of_the_device() -> None:
    training, batches = stack(partial(make, "wae_gan"))
    training.take_step(batches)
    stacked, places = cast(Stacked, training.method), cast(StackedTraining, training).places
    assert places is not None
    streams = [places.at(1, stream) for stream in range(max(player.batches for player in training.players))]
    tensors = [*stacked.weights.values(), *stacked.buffers.values(), *(drawn for turn in stacked.drawn for drawn in turn)]
    tensors += [x for adam in training.optimizers for x in (*adam.means, *adam.squares, *adam.steps, adam.rate)]
    device = Device([training.noise])
    with Operations(device):  # what vmap makes of the losses: plain operations on whole stacks
        device.put(batches.images, *tensors, *streams, *stacked.one.parameters(), *stacked.one.buffers())
        for _ in range(3):
            terms = training.players_step(streams, (True,) * len(training.players))
            assert device.has(terms)
