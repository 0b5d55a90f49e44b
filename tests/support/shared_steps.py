"""Steps that several processes share beside the same steps taken by one: what each process of a team finds, for tests to look at."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from copy import deepcopy
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from small_methods import DIM, build, noise, tiny_with_batch_norm, weights
from variants import BYTES, make

from bench.datasets.batches import Batches
from bench.runs.shareable import networks_of
from bench.suites.budget import Budget, Optimizer, Precision
from bench.training.shared import AgreedPlan, SharedTraining, shared
from bench.training.team import Team
from bench.training.train import Outcome, Plan, Training, train
from models.factor import factorvae
from models.ladder import prior_gmm
from models.method import AutoEncoder, Recipe
from models.networks.mlp import mlp
from models.networks.network import Network
from models.parts.density import SecondStage, maf
from models.vae import vae_bernoulli
from models.vcae import vcae
from models.wae import wae_mmd
from models.wise_ale import wise_ale

SHAPE, SIZE = (1, 8, 8), 20
ISSUE: Mapping[str, Callable[[int], Recipe]] = {
    "wae_mmd": wae_mmd,
    "vcae": vcae,
    "wise_ale": wise_ale,
    "factorvae": partial(factorvae, width=32),
}


def batches() -> Batches:
    """Of the images of the variants, ten an epoch."""
    return Batches(BYTES, 255, SIZE, 1)


def method_of(recipe: Callable[[int], Recipe], network: Network = mlp) -> AutoEncoder:
    """The method for those images."""
    return build(lambda: recipe(DIM), network=network, shape=SHAPE)


def plan_of(budget: Budget, lr: float = 1e-3, precision: Precision = "float32") -> Plan:
    """So long, at that rate."""
    return Plan(budget, Optimizer(lr=lr), batches().per_epoch, budget.total_steps(len(BYTES), SIZE), precision)


@contextmanager
def training_of(method: AutoEncoder, plan: Plan, team: Team | None, trainable: Any = None) -> Iterator[Training]:
    """By one process, or shared by a team."""
    with shared(networks_of(method).values(), team) if team else nullcontext() as sharing:
        chosen = trainable or method
        yield SharedTraining(sharing, chosen, plan, noise()) if sharing else Training(chosen, plan, noise())


def apart(team: Team, method: AutoEncoder, precision: Precision = "float32") -> tuple[float, float]:
    """How far the terms and the gradients of a step by one process and by several are apart, in parts of a player's largest.

    At this rate no weight moves, so that players who take their turn later see no rounding of those before, which Adam would make large.
    """
    found = []
    for who in (None, team):
        mine = deepcopy(method)
        with training_of(mine, plan_of(Budget(steps=1), 1e-30, precision), who) as training:
            mine.train()
            training.call_hooks("training_begins", batches())
            assert training.read(training.take_steps(batches(), 1)) is None
        found.append(training)
    (one,), (several,) = (training.curve for training in found)
    assert one.keys() == several.keys()
    gradients = [
        furthest([p.grad for p in first.parameters], [p.grad for p in second.parameters])
        for first, second in zip(found[0].players, found[1].players, strict=True)
    ]
    return furthest([torch.tensor(list(one.values())[1:])], [torch.tensor(list(several.values())[1:])]), max(gradients)


def furthest(first: Sequence[torch.Tensor | None], second: Sequence[torch.Tensor | None]) -> float:
    """The largest difference, in parts of the largest value."""
    pairs = [(a, b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]
    largest = max([1e-9, *(float(a.abs().max()) for a, _ in pairs)])
    return max([0.0, *(float((a - b).abs().max()) / largest for a, b in pairs)])


def each_apart(team: Team, variants: Sequence[str]) -> dict[str, tuple[float, float]]:
    """`apart` of each."""
    return {name: apart(team, make(name)) for name in variants}


def curves(team: Team, steps: int) -> dict[str, list[tuple[float, float]]]:
    """The loss of each step of the issue's methods, by one process and by several."""
    found = {}
    for name, recipe in ISSUE.items():
        losses = []
        for who in (None, team):
            method = method_of(recipe)
            with training_of(method, plan_of(Budget(steps=steps)), who) as training:
                method.train()
                for _ in range(steps):
                    training.read(training.take_steps(batches(), 1))
            losses.append([row["autoencoder.loss"] for row in training.curve])
        found[name] = list(zip(*losses, strict=True))
    return found


def whole(team: Team | None, method: AutoEncoder, trainable: Any = None, steps: int = 12) -> tuple[Outcome, dict[str, bytes]]:
    """A whole training of a few steps, its hooks too; and the weights that it ends with."""
    with training_of(method, plan_of(Budget(steps=steps)), team, trainable) as training:
        outcome = train(training, batches())
    return outcome, weights(trainable.density if trainable else method)


def second_stage(team: Team | None) -> tuple[Outcome, dict[str, bytes]]:
    """A flow fitted to codes."""
    method = method_of(wae_mmd)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        density = maf(DIM, transforms=2, hidden=(8,))
    return whole(team, method, SecondStage(method, density))


def wholes(team: Team) -> dict[str, list[tuple[Outcome, dict[str, bytes]]]]:
    """Trainings with something that is not a step of players, by one process and by several."""
    makes: Mapping[str, Callable[[Team | None], tuple[Outcome, dict[str, bytes]]]] = {
        "fitted between epochs": lambda who: whole(who, method_of(partial(prior_gmm, components=2))),
        "encoder trained before": lambda who: whole(who, method_of(partial(wae_mmd, pretraining_batch=31))),
        "second stage": second_stage,
    }
    return {name: [make_(who) for who in (None, team)] for name, make_ in makes.items()}


def kinds(team: Team) -> dict[str, tuple[float, float]]:
    """`apart` of what no variant has."""
    clipped = method_of(lambda dim: replace(vae_bernoulli(dim), clip=1e-3))
    return {
        "batch norm": apart(team, method_of(wae_mmd, tiny_with_batch_norm)),
        "bfloat16": apart(team, method_of(wae_mmd), "bf16"),
        "clipped": apart(team, clipped),
    }


def agreed(team: Team) -> tuple[float, int, str | None]:
    """What processes agree on whose clocks, and losses, differ: the share spent, the next block, what is not finite."""
    plan = AgreedPlan(**vars(plan_of(Budget(seconds=10))), team=team)
    seconds = 1.0 + 100 * team.rank
    with training_of(method_of(vcae), plan_of(Budget(steps=1)), team) as training:
        training.names = ["loss"]
        said = training.read([torch.tensor([float("inf") if team.rank else 1.0])])
    return plan.done(7, seconds), plan.block(7, seconds), said


def batch_norm_state(team: Team) -> list[dict[str, bytes]]:
    """Running statistics after a training by one process and by several."""
    found = (whole(who, method_of(wae_mmd, tiny_with_batch_norm), steps=1)[1] for who in (None, team))
    return [{name: content for name, content in state.items() if "running" in name} for state in found]


def all_of_it(team: Team) -> dict[str, Any]:
    """What tests look at that need no long team of their own."""
    return {
        "curves": curves(team, 20),
        "wholes": wholes(team),
        "kinds": kinds(team),
        "agreed": agreed(team),
        "state": batch_norm_state(team),
    }
