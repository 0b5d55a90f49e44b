"""Autoencoders of others, in their own range of values; and those of two functions in a Python file, which is run as a plugin is."""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from bench.datasets.storage.raw import digest
from bench.errors import FOREIGN, UserError, in_a_line, unknown
from bench.measure.arrays import Range

PYTHON = ".py:"  # file.py:encoder,decoder


@dataclass(frozen=True)
class Autoencoder:
    """x -> x̂, with the code between where it shows one; its own range of values."""

    given: str
    kind: str
    encode: Callable[[Tensor], Tensor] | None  # (B, C, H, W) -> codes of any shape
    decode: Callable[[Tensor], Tensor]  # codes, or images where there is no encode -> (B, C, H, W)
    sha256: str
    values: Range = "unit"
    batch: int | None = None  # the only count of images that it takes at a time
    most: int = 100  # images at a time

    @torch.no_grad()
    def __call__(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Reconstructions clipped to [0, 1], and codes as rows.   (B, C, H, W) in [0, 1] -> (B, C, H, W), (B, D)

        UserError for what it raises, another shape, or values that are not finite.
        """
        parts = [self.part(part) for part in x.split(self.batch or self.most)]
        codes = [code for _, code in parts if code is not None]
        return torch.cat([y for y, _ in parts]), torch.cat(codes) if codes else None

    def part(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Of as many as it takes at a time; what is missing of a fixed count is filled up with the last image."""
        n, given = len(x), x
        if self.batch and n < self.batch:
            x = torch.cat([x, x[-1:].expand(self.batch - n, -1, -1, -1)])
        x = x if self.values == "unit" else 2 * x - 1
        try:
            z = self.encode(x) if self.encode else None
            y = self.decode(x if z is None else z)
        except FOREIGN as error:  # a model of someone else's
            raise UserError(f"{self.given}: it cannot be applied to images of {tuple(x.shape[1:])}: {in_a_line(error)}") from None
        for what, found in (("codes", z), ("images", y)):
            if found is not None and not isinstance(found, Tensor):
                raise UserError(f"{self.given}: it returned {type(found).__name__} as {what}, a tensor is expected")
        if y.shape != x.shape or (z is not None and len(z) != len(x)):
            raise UserError(f"{self.given}: from images of the shape {tuple(x.shape)} it made {tuple(y.shape)}; both must be the same")
        y = y[:n].float() if self.values == "unit" else (y[:n].float() + 1) / 2
        if not y.isfinite().all() or (z is not None and not z[:n].isfinite().all()):
            raise UserError(f"{self.given}: its reconstructions or codes have values that are not finite")
        return y.clamp(0, 1).to(given), None if z is None else z[:n].flatten(1).float()


def check_finite(given: str, tensors: dict[str, Tensor]) -> None:
    """UserError for weights that are not finite."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UserError(f"{given}: {name} has {int((~tensor.isfinite()).sum()):,} values that are not finite")


def of_python(text: str, device: torch.device, values: Range) -> Autoencoder:
    """`file.py:encoder,decoder`, functions or modules, or `file.py:name` of one from image to image; the file is run.

    What are modules compute on the device. Where one is a function (a module's method, say), whose weights may lie anywhere, both are
    left where the file put them and are given tensors of the CPU, which the file itself moves elsewhere if it computes there; what they
    return is brought to the device.
    """
    place, _, names = text.rpartition(":")
    path, wanted = Path(place), names.split(",")
    if not path.is_file():
        raise UserError(f"{path}: no such file")
    if len(wanted) > 2 or not all(name.isidentifier() for name in wanted):
        raise UserError(f"{text}: give file.py:encoder,decoder, or file.py:autoencoder")
    spec = importlib.util.spec_from_file_location(f"latentbench_measured_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look for the names in their annotations
    sys.path.insert(0, str(path.resolve().parent))
    try:
        exec(compile(path.read_bytes(), path, "exec", dont_inherit=True), vars(module))
    except FOREIGN as error:  # whatever a user's file raises
        raise UserError(f"{path}: {in_a_line(error)}") from None
    finally:
        sys.path.remove(str(path.resolve().parent))
    for name in wanted:
        if not callable(vars(module).get(name)):
            known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
            raise UserError(f"{path}: {unknown('function', name, known)}")
    functions = [vars(module)[name] for name in wanted]
    for name, function in zip(wanted, functions, strict=True):
        if isinstance(function, nn.Module):
            function.eval()
            check_finite(f"{path}: {name}", function.state_dict())
    if all(isinstance(function, nn.Module) for function in functions):
        functions = [function.to(device) for function in functions]
    else:
        functions = [partial(from_the_cpu, function, device) for function in functions]
    return Autoencoder(text, "Python file", functions[0] if len(functions) == 2 else None, functions[-1], digest(path, "sha256"), values)


def from_the_cpu(function: Callable[[Tensor], Tensor], device: torch.device, x: Tensor) -> Tensor:
    """What a function that knows of no device makes of a tensor, on the device; a result of another kind as it is."""
    found = function(x.cpu() if isinstance(x, Tensor) else x)  # what another function returned is looked at later
    return found.to(device) if isinstance(found, Tensor) else found
