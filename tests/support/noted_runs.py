"""Rows of a suite that leave a note when their training begins, and some that fail or die in ways of their own."""

from pathlib import Path

NOTED = """
import os
import time
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from models.vae import ae

HERE = Path(__file__).parent


@dataclass
class Note:
    "Notes, at the first step in a process, which cell that is: its first code names row and seed."
    seconds: float
    name = "note"
    noted = False

    def __call__(self, draw, prior):
        if not self.noted and len(draw.z) > 2:  # two images are the look at its parts before it trains
            self.noted = True
            with open(HERE / "begun", "a") as file:
                file.write(f"{draw.z.sum().item():.6f}\\n")
        time.sleep(self.seconds)
        return 0.0 * draw.z.sum()


class Boom(Note):
    def __call__(self, draw, prior):
        super().__call__(draw, prior)
        raise RuntimeError("this row cannot be trained")


class Dying(Note):
    def __call__(self, draw, prior):
        if len(draw.z) > 2 and not (HERE / "died").exists():
            (HERE / "died").touch()
            os.kill(os.getpid(), 9)  # as the kernel does where memory is short
        return super().__call__(draw, prior)


class Shy(Note):
    def __call__(self, draw, prior):
        if torch.autograd._profiler_enabled():
            raise RuntimeError("somebody is looking")
        return super().__call__(draw, prior)


def noted(dim, *, seconds: float = 0.004):
    "Takes its time."
    return replace(ae(dim), regularisers=((1.0, Note(seconds)),))

def other(dim, *, seconds: float = 0.004):
    "The same with a weight that gives it another loss, not other codes; another width of the noise."
    return replace(noted(dim, seconds=seconds), regularisers=((2.0, Note(seconds)),))

def boom(dim):
    "Fails."
    return replace(ae(dim), regularisers=((1.0, Boom(0.0)),))

def dying(dim):
    "Kills its process, once."
    return replace(ae(dim), regularisers=((1.0, Dying(0.0)),))

def shy(dim):
    "Cannot be profiled."
    return replace(ae(dim), regularisers=((1.0, Shy(0.0)),))

METHODS = [noted, other, boom, dying, shy]
"""
TWO_ROWS = "[methods.noted]\n[methods.other]\nlatent_dim = 3\n"
ALONE = ("--no-profile", "--jobs", 1, "--save-every", 0)


def begun(file: Path) -> list[str]:
    """The cells whose training began, as often as it did, in whatever process."""
    return (file.parent / "begun").read_text().split()
