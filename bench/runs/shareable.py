"""Whether several processes can share a run's networks: a row of a batch must come out of one whatever other rows are there."""

import os
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from bench.datasets.batches import generator, scaled
from bench.errors import UserError
from bench.evaluation.device_dataset import DeviceDataset
from bench.runs.prepare import Prepared
from bench.training.shared import BATCH_NORMS
from bench.training.team import Team
from models.assembly import MismatchError, in_a_fork

EACH = 2  # images for each process, where a method is looked at
NEARLY = 1e-3  # of the largest value: rounding and no more


def networks_of(method: nn.Module) -> dict[str, nn.Module]:
    """What does the work of a method, and is shared: its encoder and decoder, each level of a hierarchy; its parts are not."""
    found = {name: child for name, child in method.named_children() if name != "parts"}
    lists = {name: child for name, child in found.items() if isinstance(child, nn.ModuleList)}
    levels = {f"{name}.{i}": level for name, levels in lists.items() for i, level in enumerate(levels)}
    return {**{name: child for name, child in found.items() if name not in lists}, **levels}


def check_shareable(prepared: Prepared, where: str, data: DeviceDataset, team: Team) -> None:
    """UserError where so many processes would not train what one does.   where: the row's table, as messages begin"""
    run, n = prepared.run, team.size
    if run.batch_size % n:
        fitting = [k for k in range(2, 2 * n) if run.batch_size % k == 0]
        advice = f"start {' or '.join(map(str, fitting))} processes, or " if fitting else ""
        more = -(-run.batch_size // n) * n
        raise UserError(f"{where}: batch_size {run.batch_size} cannot be shared evenly by {n} processes; {advice}set batch_size = {more}")
    x, noise = scaled(data.train[: EACH * n], data.levels).cpu(), generator(torch.device("cpu"), run.seed, "sharing")
    look = partial(look_at_networks, prepared.method, x, noise, team)
    if hasattr(os, "fork") and (network := in_a_fork(look)):  # a part of the method may keep something outside tensors
        why = "a row of a batch comes out of it otherwise when others are not there (dropout, or rows that see each other)"
        raise UserError(f"{where}: {n} processes cannot share its {network}: {why}; train it in one process")


def look_at_networks(method: Any, x: Tensor, noise: torch.Generator, team: Team) -> None:
    """Take the turns of a method's players on the images x; MismatchError names the first network that cannot be shared.

    x: (B, C, H, W), B a multiple of the team's size
    """
    handles = dict[str, RemovableHandle]()

    def look(name: str, network: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        handles.pop(name).remove()
        if not keeps_rows_apart(network, inputs[0], team):
            raise MismatchError(name)

    for name, network in networks_of(method.train()).items():
        handles[name] = network.register_forward_pre_hook(partial(look, name))
    try:
        for player in method.players():
            player.terms(torch.cat([x] * player.batches), noise)
    except MismatchError:
        raise
    except Exception:  # a part may need more images, or be the run's failure, which is said there
        return


@torch.no_grad()
def keeps_rows_apart(network: nn.Module, x: Tensor, team: Team) -> bool:
    """Whether a network makes of this process's rows the same when they are alone, with batch norm, which is handed all, left out.

    (B, ...) -> bool
    """
    network = deepcopy(network)
    for layer in network.modules():
        if isinstance(layer, BATCH_NORMS):
            layer.register_forward_hook(lambda _, inputs, __: inputs[0])
    whole, part = (deepcopy(network)(rows) for rows in (x, team.share(x)))
    return torch.allclose(team.share(whole), part, rtol=NEARLY, atol=NEARLY * float(whole.abs().max()))
