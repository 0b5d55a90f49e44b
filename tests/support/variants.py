"""Every method of the registry with each choice that it offers, in tiny networks; images to train them on."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, get_args, get_type_hints

import torch
from small_methods import build, noise

from bench.registry import catalogue
from models.method import AutoEncoder, Recipe

KNOWN = catalogue()
DIM = 3
WIDTH = 64  # of critics and of priors' own networks, up to 1,000 in the papers
BYTES = torch.randint(0, 256, (40, 1, 8, 8), generator=noise(7), dtype=torch.uint8).repeat(5, 1, 1, 1)  # epochs of ten batches


def choices(method: Callable[..., Recipe]) -> list[dict[str, Any]]:
    """The defaults, and every other value of a keyword that has a list of values or is yes or no."""
    found: list[dict[str, Any]] = [{}]
    hints = get_type_hints(method)
    for name, parameter in inspect.signature(method).parameters.items():
        values = [True, False] if hints[name] is bool else get_args(hints[name]) if isinstance(parameter.default, str) else []
        found += [{name: value} for value in values if value != parameter.default]
    return found


VARIANTS = {
    name + "".join(f"-{key}={value}" for key, value in values.items()): (method, values)
    for name, method in KNOWN.methods.items()
    for values in choices(method)
}


def make(variant: str, seed: int = 0) -> AutoEncoder:
    method, values = VARIANTS[variant]
    network = KNOWN.networks["stacked_mlp" if method.__module__ == "models.stacked" else "mlp"]
    width = {"width": WIDTH} if "width" in inspect.signature(method).parameters else {}
    return build(partial(method, DIM, **width, **values), seed=seed, network=network, shape=(1, 8, 8), dim=DIM)
