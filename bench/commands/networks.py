"""`python -m bench list networks --for 3x64x64`: the networks that take images of a shape, with their sizes."""

import re

import torch

from bench.commands import console
from bench.commands.listing import first_line
from bench.errors import UserError
from bench.registry import catalogue
from models.networks.choice import chosen
from models.networks.network import Levels, Network

HEADS = ["network", "parameters", "for", "what it is"]
SHAPE = re.compile(r"([1-9]\d{0,3})[x×]([1-9]\d{0,4})[x×]([1-9]\d{0,4})")
LATENTS = (8, 16, 128)  # tried in turn: a hierarchy for photographs has its own number


def shape_of(text: str) -> tuple[int, int, int]:
    """C, H, W of `3x64x64`; UserError for anything else."""
    match = SHAPE.fullmatch(text)
    if not match:
        raise UserError(f"--for must be channels x height x width, as 3x64x64 or 1x28x28, not {text!r}")
    channels, height, width = map(int, match.groups())
    return channels, height, width


def list_for(text: str) -> None:
    """A table of the networks that take the shape, and the one that `auto` is."""
    shape = shape_of(text)
    known = catalogue().networks
    sized = {name: found for name, network in sorted(known.items()) if (found := size(network, shape))}
    rows = [[name, f"{count:,} at {dim} latents", kind, first_line(known[name])] for name, (count, dim, kind) in sized.items()]
    auto = chosen(shape)
    console.table(HEADS, rows, f'Networks for {text} images, {len(rows)} of {len(known)}; network = "auto" is {auto}:')


def size(network: Network, shape: tuple[int, int, int]) -> tuple[int, int, str] | None:
    """Parameters of encoder and decoder, at how many latents, and which methods take it; None where it does not take the shape."""
    for dim in LATENTS:
        try:
            with torch.device("meta"):  # shapes alone: nothing is allocated
                encoder, decoder = network(shape, dim, 1)
        except ValueError:
            continue
        count = sum(p.numel() for part in (encoder, decoder) for p in part.parameters())
        return count, dim, "stacked methods" if isinstance(encoder, Levels) else "all others"
    return None
