"""What one training step asks of a GPU, counted without one: its launches, the bytes that they move, the arithmetic of its products.

A step is taken on tensors that have a shape and no values (torch's device "meta") and that say of themselves that they lie on a CUDA
device, so that the code goes the way that it goes there. Each operation of torch that computes something counts as one launch, which reads
every tensor that it is given once and writes its results; kernels of Triton are noted where they would be launched. A library that needs
several kernels for an operation counts as one launch, so that counts are lower bounds.
"""

import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from bench.training.train import Plan, Training
from models.interfaces import Trainable

ROOT = Path(__file__).resolve().parents[2]
CUDA, SHAPES = torch.device("cuda", 0), torch.device("meta")
WITHOUT_WORK = ("_unsafe_view", "lift_fresh", "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided")
READ = "_local_scalar_dense"
ADAM = "_fused_adam_"  # parameters, gradients, means, squares ...; it has no form for tensors without values


class HostWaitsError(RuntimeError):
    """The host reads a value of the device's, so that the step waits for it and is no CUDA graph; what follows may depend on the value."""

    def __init__(self, file: str, line: int):
        super().__init__(f"the host waits for the device ({file}, line {line})")


def place() -> tuple[str, int]:
    """The file of this project, and its line, that asked torch for what it does now."""
    frames = [frame for frame in traceback.extract_stack() if Path(frame.filename).is_relative_to(ROOT) and frame.filename != __file__]
    own = [frame for frame in frames if "site-packages" not in frame.filename]  # an environment may stand inside the project
    return Path(own[-1].filename).name, own[-1].lineno or 0


class Launch(NamedTuple):
    """One operation on a GPU."""

    name: str
    bytes: int  # read and written
    flops: int  # of products and convolutions, a multiplication and an addition each; 0 of all else


class Counted(NamedTuple):
    """The launches of a step, each player moved once."""

    launches: tuple[Launch, ...]

    @property
    def bytes(self) -> int:
        """Read and written by all of them."""
        return sum(launch.bytes for launch in self.launches)

    @property
    def flops(self) -> int:
        """Of all products and convolutions."""
        return sum(launch.flops for launch in self.launches)


def tensors_in(values: object) -> Iterator[Tensor]:
    """All tensors of arguments or results, however deep in lists."""
    if isinstance(values, Tensor):
        yield values
    elif isinstance(values, list | tuple):
        for value in values:
            yield from tensors_in(value)


def size(values: object) -> int:
    """Bytes of all tensors in there; of one that repeats its memory (an expanded one) those that there are."""
    distinct = {id(x): x for x in tensors_in(values)}.values()
    return sum(min(x.numel() * x.element_size(), x.untyped_storage().nbytes()) for x in distinct)


class OnCuda(TorchFunctionMode):
    """Tensors without values say that they lie on a CUDA device, and what is made for that device has no values."""

    ANSWERS: Mapping[object, object] = {torch.Tensor.device.__get__: CUDA, torch.Tensor.is_cuda.__get__: True}  # type: ignore[attr-defined]

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        if func in self.ANSWERS and args[0].is_meta:
            return self.ANSWERS[func]
        args = [SHAPES if isinstance(value, torch.device) and value == CUDA else value for value in args]
        kwargs = {key: SHAPES if isinstance(value, torch.device) and value == CUDA else value for key, value in (kwargs or {}).items()}
        return func(*args, **kwargs)


class Counting(TorchDispatchMode):
    """Notes what torch does, backward passes included."""

    def __init__(self) -> None:
        super().__init__()
        self.launches: list[Launch] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        kwargs, name = kwargs or {}, func.overloadpacket.__name__
        if name == READ:
            raise HostWaitsError(*place())
        out = None if name == ADAM else func(*args, **kwargs)
        if isinstance(out, Tensor) and next(tensors_in([*args, *kwargs.values()]), None) is None:
            out = out.to(SHAPES)  # a draw, zeros: made where the random stream is, which here is the host
        if func.namespace == "aten" and not func.is_view and name not in WITHOUT_WORK:  # others are marks for a profiler
            count = flop_registry.get(func.overloadpacket)
            self.launches.append(Launch(name, moved(name, args, kwargs, out), int(count(*args, **kwargs, out_val=out)) if count else 0))
        return out


def moved(name: str, args: Sequence[Any], kwargs: Mapping[str, Any], out: object) -> int:
    """Bytes that an operation reads and writes."""
    written = (args[0], args[2], args[3]) if name == ADAM else out
    return size((*args, *kwargs.values())) + size(written)


class Noted:
    """Stands where a kernel of Triton stands: a launch is noted with its tensors, which it reads or writes once, and not made."""

    def __init__(self, name: str, launches: list[Launch]):
        self.name, self.launches = name, launches

    def __getitem__(self, grid: object) -> Callable[..., None]:
        return self.launch

    def launch(self, *args: Any, **constants: Any) -> None:
        """As of the kernel."""
        self.launches.append(Launch(self.name, size(args), 0))


@contextmanager
def counting() -> Iterator[list[Launch]]:
    """What would be launched inside, in the order in which it would be."""
    from metrics.kernels import triton_mmd, triton_overlaps  # few machines have triton

    counted = Counting()
    homes = {"pairs_kernel": triton_mmd, "mixture_kernel": triton_overlaps, "gradient_kernel": triton_overlaps}
    kernels = {name: getattr(home, name) for name, home in homes.items()}
    triton_mmd.scales_of.cache_clear()
    try:
        for name, home in homes.items():
            setattr(home, name, Noted(name, counted.launches))
        with OnCuda(), counted:
            for family in triton_mmd.FAMILIES:
                triton_mmd.scales_of(family, CUDA)  # they go to the device once in a process
            yield counted.launches
    finally:
        for name, home in homes.items():
            setattr(home, name, kernels[name])
        triton_mmd.scales_of.cache_clear()  # what it holds has no values


def without_values(*modules: nn.Module) -> None:
    """Parameters and buffers lose their values and stay what they are to those that hold them, as on the way to a CUDA device."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        for module in modules:
            module.to(SHAPES)
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)


def count_step(trainable: Trainable, plan: Plan, batch_size: int, shape: tuple[int, ...], *modules: nn.Module) -> Counted:
    """A step of every player on batches of that size; the modules lose their values.   shape: of an image, (C, H, W)

    HostWaitsError where the step reads a value.
    """
    without_values(*modules)
    noise = torch.Generator().manual_seed(0)
    with counting() as launches:
        training = Training(trainable, plan, noise, capture=False)
        training.method.train()
        streams = [torch.empty(batch_size, *shape, device=SHAPES) for _ in range(max(player.batches for player in training.players))]
        launches.clear()
        training.players_step(streams, tuple(True for _ in training.players))
    return Counted(tuple(launches))
