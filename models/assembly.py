"""What is looked at when a method is put together, before anything trains: hooks by their names, shapes and types by a dry step.

In the dry step two images go through encoder, posterior, decoder, cost, prior, regulariser and every player's terms; ValueError names the
part that returns something of another shape or type. It changes nothing: it takes a copy of the method and a random stream of its own. A
part that does not declare that its state is in tensors alone (`capturable`) may keep some where no copy reaches it, such as a counter in
a module, so such a method takes its dry step in a forked process, where there are any. What a part *raises* is left to the run.
"""

import copy
import os
import select
import signal
import warnings
from collections.abc import Callable, Iterable, Iterator
from difflib import get_close_matches
from typing import Any, NoReturn, TypeVar

import torch
from torch import Tensor, nn

from models.interfaces import HOOKS, Draw

M = TypeVar("M", bound=Any)
NEARLY = 0.8  # of two names that are taken for the same one misspelt
LIBRARIES = ("torch", "zuko")  # whose modules keep their state in tensors
IMAGES = 2
MESSAGE = 4096  # bytes that a pipe takes at once
PATIENCE = 10.0  # seconds for a forked dry step; one that takes longer finds nothing


class MismatchError(ValueError):
    """A part returns what nothing can be done with."""


def check_hooks(part: object) -> None:
    """ValueError for a method of a part whose name is nearly that of a hook (`Part`)."""
    own = {name for name in dir(type(part)) if not name.startswith("_") and callable(getattr(type(part), name))}
    for name in sorted(own - set(HOOKS) - set(dir(nn.Module))):
        if near := get_close_matches(name, HOOKS, 1, NEARLY):
            raise ValueError(f"{type(part).__name__} has a method {name!r}, which nothing calls; did you mean the hook {near[0]!r}?")


def why_eager(parts: Iterable[object]) -> str | None:
    """The first of these, or of the modules in them, that does not declare in its own class that it may be recorded; None for none."""
    silent = next(undeclared(parts, LIBRARIES), None)
    return f"{silent.__name__} does not declare that it may be recorded (capturable = True)" if silent else None


def undeclared(parts: Iterable[object], trusted: tuple[str, ...]) -> Iterator[type]:
    """Classes of parts and of modules in them that neither say `capturable` themselves nor belong to a package that is trusted."""
    for part in parts:
        for piece in part.modules() if isinstance(part, nn.Module) else (part,):
            kind = type(piece)
            if not (vars(kind).get("capturable") or kind.__module__.partition(".")[0] in trusted):
                yield kind


def described(part: object) -> str:
    """What a record says of a part: its own words, or its class and values where it has none that are the same in every run."""
    if same_in_every_run(text := str(part)):
        return text
    values = {name: value for name, value in vars(part).items() if isinstance(value, bool | int | float | str | tuple)}
    shown = [f"{name}={value!r}" for name, value in values.items() if name != "training" and name[0] != "_"]
    return f"{type(part).__name__}({', '.join(filter(same_in_every_run, shown))})"


def same_in_every_run(text: str) -> bool:
    """Whether it has no address of an object, and is one line."""
    return " at 0x" not in text and "\n" not in text


def checked_parts(method: M, shape: tuple[int, int, int]) -> M:
    """The method, its players' parameters looked at and a dry step taken; ValueError names the part at fault.   shape: (C, H, W)"""
    check_players(method)
    parts = [part for _, part in method.weighted_parts if part is not None]
    if not any(undeclared([*parts, method], (*LIBRARIES, "models"))):
        dry_step(copy.deepcopy(method), shape)
    elif hasattr(os, "fork") and (found := in_a_fork(lambda: dry_step(method, shape))):
        raise MismatchError(found)
    return method


def check_players(method: Any) -> None:
    """ValueError for players of one name, a parameter that two of them move, or one that is no part of the method."""
    names, owners = {id(p): name for name, p in method.named_parameters()}, dict[int, str]()
    players = method.players()
    for player in players:
        if [other.name for other in players].count(player.name) > 1:
            raise MismatchError(f"two players are called {player.name!r}; give each a name of its own")
        for parameter in player.parameters:
            key = id(parameter)
            if key not in names:
                raise MismatchError(
                    f"player {player.name!r} moves a parameter of shape {tuple(parameter.shape)} that is no part of the method: "
                    "no checkpoint would keep it; make its part an nn.Module"
                )
            if key in owners:
                raise MismatchError(f"players {owners[key]!r} and {player.name!r} both move {names[key]}; a parameter has one player")
            owners[key] = player.name


def dry_step(method: Any, shape: tuple[int, int, int]) -> None:
    """Two images through every part; ValueError names the first that returns another shape or type.   shape: (C, H, W)"""
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")  # they are for those who see the run
        try:
            look_at_parts(method, shape)
        except MismatchError:
            raise
        except Exception:  # a part may need more than two images, or be the run's failure, which is said there
            return


def look_at_parts(method: Any, shape: tuple[int, int, int]) -> None:
    """As `dry_step`, in the random streams and the modes that there are."""
    recipe, dim, noise = method.recipe, method.dim, torch.Generator().manual_seed(0)
    x = torch.rand(IMAGES, *shape, generator=noise)
    draw: Draw = method.draw(x, noise)
    posterior = f"posterior {type(recipe.posterior).__name__}, with the encoder: "
    for name, size in (("z", (dim,)), ("mean", (dim,)), ("log_variance", (dim,)), ("log_q", ())):
        value = getattr(draw, name)
        if value is not None or name in ("z", "mean"):
            expect(f"{posterior}{name}", value, IMAGES, *size)
    y, cost = method.raw(draw.z), f"cost {type(recipe.cost).__name__}"
    expect(f"{cost}, of x and the decoder's output", recipe.cost(x, y), IMAGES)
    expect(f"{cost}: the image of the decoder's output", recipe.cost.image(y), IMAGES, *shape)
    if recipe.prior is not None:
        prior = f"prior {type(recipe.prior).__name__}"
        expect(f"{prior}: sample", recipe.prior.sample(IMAGES, noise), IMAGES, dim)
        if hasattr(recipe.prior, "log_prob"):
            expect(f"{prior}: log_prob", recipe.prior.log_prob(draw.z), IMAGES)
    for _, regulariser in recipe.regularisers:
        expect(f"regulariser {regulariser.name!r} ({type(regulariser).__name__})", regulariser(draw, recipe.prior))
    for player in method.players():
        if player.name == "autoencoder":  # the parts above are what its terms are made of
            continue
        terms = player.terms(torch.cat([x] * player.batches), noise)
        if "loss" not in terms:
            raise MismatchError(f"player {player.name!r} has the terms {', '.join(terms) or 'none'}; it needs one called loss")
        for name, term in terms.items():
            expect(f"player {player.name!r}: term {name!r}", term)


def expect(what: str, value: object, *size: int) -> None:
    """ValueError unless the value is a tensor of floating point numbers of that shape."""
    wanted = f"{what} must be a tensor of shape {size or '()'}" + f" for {IMAGES} images" * bool(size)
    if not isinstance(value, Tensor):
        raise MismatchError(f"{wanted}, not {type(value).__name__}")
    if tuple(value.shape) != size:
        raise MismatchError(f"{wanted}, not {tuple(value.shape)}")
    if not value.is_floating_point():
        raise MismatchError(f"{wanted} of floating point numbers, not of {value.dtype}")


def in_a_fork(step: Callable[[], None]) -> str:
    """What is wrong by a step that is taken in a process of its own, which shares nothing that it changes; "" for nothing."""
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads, which the step does not use
        pid = os.fork()
    if pid == 0:
        answer(step, writer)
    try:
        os.close(writer)
        return os.read(reader, MESSAGE).decode() if select.select([reader], [], [], PATIENCE)[0] else ""
    finally:
        os.kill(pid, signal.SIGKILL)  # ended or not: its process is ours until we have waited for it
        os.waitpid(pid, 0)
        os.close(reader)


def answer(step: Callable[[], None], writer: int) -> NoReturn:
    """Take the step, write what is wrong, end the process without its parent's exit handlers."""
    try:
        torch.set_num_threads(1)  # there are no others after a fork
        step()
    except MismatchError as error:
        os.write(writer, str(error).encode()[:MESSAGE])
    finally:
        os._exit(0)
