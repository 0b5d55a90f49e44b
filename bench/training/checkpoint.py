"""Training states and weights as bytes."""

import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from bench.errors import RunError, in_a_line
from bench.training.train import Training


def dump_state(state: dict[str, Any], device: torch.device) -> bytes:
    """A training state, and that of torch's own random streams, as bytes."""
    streams = [torch.get_rng_state()] + ([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])
    buffer = io.BytesIO()
    torch.save({**state, "layers": streams}, buffer)
    return buffer.getvalue()


def load_state(payload: bytes, device: torch.device) -> dict[str, Any]:
    """A training state from bytes; generator states stay on the CPU, as torch wants them."""
    state = torch.load(io.BytesIO(payload), map_location=device, weights_only=True)
    return {**state, "noise": state["noise"].cpu(), "layers": [stream.cpu() for stream in state["layers"]]}


def resume(
    training: Training, payload: bytes | None, path: Path, of: str | None = None, note: Callable[[str], None] | None = None
) -> dict[str, Any] | None:
    """The state that an earlier process left, if one did, with torch's own streams set to it; RunError where it is no use.

    of: what the state must say it belongs to; one of something else is as none, and `note` is called with a line that says so.
    """
    if payload is None:
        return None
    device = training.noise.device
    try:
        state = load_state(payload, device)
        if state.get("of") != of:
            if note:
                note(f"{path.name} is not gone on with: other code, values or weights led to it; training begins anew")
            return None
        training.restore(state)
        torch.set_rng_state(state["layers"][0])
        if device.type == "cuda":
            torch.cuda.set_rng_state(state["layers"][1], device)
    except Exception as error:  # of another version of the code or of torch
        raise RunError(f"{path}: cannot go on from it ({in_a_line(error)}); delete it to train this run from the start") from error
    return state


def weights_file(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """The weights in safetensors format; with one key of metadata, the same weights give the same bytes."""
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()}, dict(metadata))


def weights_hash(tensors: Mapping[str, Tensor]) -> str:
    """Hash of every tensor, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + b"\0" + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
