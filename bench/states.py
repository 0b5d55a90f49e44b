"""Training states and weights as bytes."""

import hashlib
import io
from collections.abc import Mapping
from typing import Any

import safetensors.torch
import torch
from torch import Tensor


def dump_state(state: dict[str, Any]) -> bytes:
    """A training state as bytes."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def load_state(payload: bytes | None, device: torch.device) -> dict[str, Any] | None:
    """A training state from bytes; generator states stay on the CPU, as torch wants them."""
    if payload is None:
        return None
    state = torch.load(io.BytesIO(payload), map_location=device, weights_only=True)
    return {**state, "noise": state["noise"].cpu()}


def weights_file(tensors: Mapping[str, Tensor]) -> bytes:
    """The weights in safetensors format."""
    return safetensors.torch.save({name: tensor.contiguous() for name, tensor in tensors.items()})


def weights_hash(tensors: Mapping[str, Tensor]) -> str:
    """Hash of every tensor, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode() + b"\0" + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
