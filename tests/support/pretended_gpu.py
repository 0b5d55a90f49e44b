"""A GPU that is not there: tensors on the CPU, some of which count as the device's, and refusals of what a recorded step cannot do.

The values are real; only the place is pretended. A storage is the device's if it was put there (`put`), made with `device=`, or computed
from one that is. Refused, with the file and line of this project:

mixed      an operation on tensors of host and device (CUDA takes host tensors without dimensions, and so does this)
copy       host memory that is copied to the device, or back: the host waits
read       a value of the device's that the host reads, or a shape that depends on one: `.item()`, `if tensor`, `nonzero`, x[mask]
generator  a random stream that the recorded graph does not know; one of the device for a tensor of the host

What is no recorded step may wait for the device and copy: `pretended_machine` refuses what is mixed alone. There a tensor says where it
is, `x.device`, and `.to` and `.cpu()` move it.

Not seen: reads inside kernels that are called without torch, streams, cuDNN's choices, and the branches that ask `device.type == "cuda"`.
"""

import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

ROOT = Path(__file__).resolve().parents[2]
READS = {  # of torch's operations, by their names
    "_local_scalar_dense",
    "is_nonzero",
    "nonzero",
    "masked_select",
    "equal",
    "unique_dim",
    "_unique2",
    "unique_consecutive",
    "bincount",
    "_linalg_check_errors",
    "linalg_eigh",
    "_linalg_eigh",
    "_linalg_svd",
}
COPIES = {"_to_copy", "copy_"}
TO_HOST = {"cpu", "numpy", "tolist", "__array__"}  # methods of a tensor
RANDOM_OF_SIZE = {"randn", "rand", "randint", "randperm", "normal"}  # of no tensor: they need `device=`


class RefusedError(RuntimeError):
    """What the step did that a recorded one cannot."""


class Device:
    """Which storages are the device's, and which random streams the graph knows."""

    def __init__(self, streams: Iterable[torch.Generator]):
        self.streams = {id(stream): stream for stream in streams}
        self.pointers = set[int]()
        self.debug = 2  # what becomes of a wait, as torch.cuda.set_sync_debug_mode has it: 0 nothing, 1 a warning, 2 an error
        self.on_host = False  # inside a call that makes a tensor without `device=`
        self.recorded = True  # whether what is done is a recorded step's
        self.launches = 0  # operations that compute something

    def has(self, x: Tensor) -> bool:
        """Whether the tensor is the device's."""
        return x.untyped_storage().data_ptr() in self.pointers

    def put(self, *tensors: Tensor) -> None:
        """These are the device's from now on, as if `.to("cuda")` had moved them."""
        self.pointers.update(pointer for x in tensors if (pointer := x.untyped_storage().data_ptr()))

    def made(self, out: object, there: bool) -> None:
        """Note where results are; memory is used over and over, so a host's result takes its mark away."""
        for x in tensors_in(out):
            (self.put if there else self.drop)(x)

    def drop(self, x: Tensor) -> None:
        """The host's."""
        self.pointers.discard(x.untyped_storage().data_ptr())

    def calls(self, func: Callable[..., Any], args: Any, kwargs: dict[str, Any], on_host: bool) -> Any:
        """A call, in which tensors that are made of none are the host's, or the device's."""
        outer, self.on_host = self.on_host, on_host
        try:
            return func(*args, **kwargs)
        finally:
            self.on_host = outer

    def refuse(self, kind: str, what: str) -> None:
        """Say what, and where in this project."""
        stack = [f for f in traceback.extract_stack() if f.filename.startswith(str(ROOT)) and f.filename != __file__]
        frames = [f for f in stack if "site-packages" not in f.filename]  # an environment may stand inside the project
        if kind in ("read", "copy") and self.debug < 2:
            if self.debug:
                warnings.warn_explicit("called a synchronizing CUDA operation", UserWarning, frames[-1].filename, frames[-1].lineno or 0)
            return
        place = f"{Path(frames[-1].filename).relative_to(ROOT)}:{frames[-1].lineno}" if frames else "a backward pass"
        raise RefusedError(f"{kind}: {what} at {place}")


def tensors_in(values: object) -> list[Tensor]:
    """All tensors, however deep."""
    return [x for x in tree_leaves(values) if isinstance(x, Tensor)]


class Asked(TorchFunctionMode):
    """What Python asks of torch."""

    def __init__(self, device: Device):
        super().__init__()
        self.device = device


class Calls(Asked):
    """Inside of a recorded step: where tensors are made, which streams are drawn from."""

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, device = kwargs or {}, self.device
        name = getattr(func, "__name__", str(func))
        theirs = any(device.has(x) for x in tensors_in((args, kwargs)))
        if name in TO_HOST and theirs:
            device.refuse("copy", f".{name}()")
        stream = kwargs.get("generator")
        if stream is not None:
            self.check_stream(name, stream, theirs, kwargs)
        out = device.calls(func, args, kwargs, device.on_host or (kwargs.get("device") is None and not theirs))
        if name in ("tensor", "as_tensor") and kwargs.get("device") is not None:
            device.refuse("copy", f"torch.{name}(…, device=…)")
        return out

    def check_stream(self, name: str, stream: torch.Generator, theirs: bool, kwargs: dict[str, Any]) -> None:
        """Refuse one that the graph does not know, and draws of one of the device on the host."""
        if id(stream) not in self.device.streams:
            self.device.refuse("generator", f"{name}: a random stream that was not given to the step")
        if name in RANDOM_OF_SIZE and kwargs.get("device") is None and not theirs:
            self.device.refuse("generator", f"{name}: the device's random stream for a tensor of the host")


HERE = torch.device("cpu", 0)  # where the pretended device is; torch computes there as on any "cpu", and tells the two apart


class Moves(Asked):
    """Outside of a recorded step: tensors say where they are, are made there, and move."""

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs, device = kwargs or {}, self.device
        name = getattr(func, "__name__", str(func))
        if func == torch.Tensor.device.__get__:
            return HERE if device.has(args[0]) else torch.device("cpu")
        if name in ("numpy", "__array__") and device.has(args[0]):
            device.refuse("mixed", f".{name}()")
        there = self.asked_for(name, args, kwargs)
        out = device.calls(func, args, kwargs, not there)
        if name in ("to", "cpu") and there is not None and there != device.has(args[0]):
            out = out.clone()  # for `out` may be the tensor itself
        if there is not None:
            device.made(out, there)
        return out

    def asked_for(self, name: str, args: Any, kwargs: dict[str, Any]) -> bool | None:
        """Whether the result is to be the device's; None where nothing is said and it is where its inputs are."""
        if name == "cpu":
            return False
        if name == "to" and len(args) > 1 and isinstance(args[1], Tensor):
            return self.device.has(args[1])
        said = (kwargs.get("device"), *(args[1:] if name == "to" else ()))
        places = [torch.device(x) for x in said if isinstance(x, (str, torch.device))]
        if not places:
            return None
        return places[0] == HERE or kwargs.get("generator") is not None  # a stream's device has lost its number


class Operations(TorchDispatchMode):
    """What torch does: each operation, backward passes included."""

    def __init__(self, device: Device):
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        device, name = self.device, func.overloadpacket.__name__
        inputs = tensors_in((args, kwargs or {}))
        here = [device.has(x) for x in inputs]
        if any(here):
            if name in READS or (name in ("index", "index_put", "index_put_") and any(x.dtype == torch.bool for x in tensors_in(args[1]))):
                device.refuse("read", name)
            if name.startswith("index") and not device.recorded and isinstance(args[1], (list, tuple)):
                inputs, here = inputs[:1], here[:1]  # the host's indices are taken outside of a graph
            if not all(there or (x.ndim == 0 and name not in COPIES) for x, there in zip(inputs, here, strict=True)):
                device.refuse("copy" if name in COPIES else "mixed", name)
        out = func(*args, **(kwargs or {}))
        there = any(here) or (not inputs and not device.on_host)
        device.made([x for x in tensors_in(out) if not any(x is y for y in inputs)], there)
        if there and computes(func, inputs, out):
            device.launches += 1
        return out


def computes(func: Any, inputs: list[Tensor], out: object) -> bool:
    """Whether a GPU would run something: no view of what is there, no memory without a value."""
    memory = {x.untyped_storage().data_ptr() for x in inputs}
    viewed = func.is_view or (not func._schema.is_mutable and all(x.untyped_storage().data_ptr() in memory for x in tensors_in(out)))
    return not viewed and not func.overloadpacket.__name__.startswith(("empty", "new_empty"))


@contextmanager
def pretended_gpu(*streams: torch.Generator) -> Iterator[Device]:
    """A device whose graphs know these random streams; RefusedError inside at the first operation that it does not take."""
    device = Device(streams)
    with Calls(device), Operations(device):
        yield device


@contextmanager
def pretended_machine() -> Iterator[Device]:
    """A device outside of recorded steps; RefusedError at the first operation on tensors of both places."""
    device = Device(())
    device.debug, device.recorded = 0, False
    with Moves(device), Operations(device):
        yield device
