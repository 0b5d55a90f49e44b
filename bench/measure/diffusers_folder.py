"""Autoencoders in a local folder of Hugging Face's diffusers: AutoencoderKL, AutoencoderTiny, AutoencoderDC; nothing is downloaded.

The code is the mode of the posterior; images are in [-1, 1] inside. Every weight of the model must be in the file, and no other.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.datasets.storage.raw import digest
from bench.errors import UserError, in_a_line
from bench.measure.arrays import Range
from bench.measure.autoencoders import Autoencoder, check_finite

WEIGHTS, PIPELINE, PART = "diffusion_pytorch_model.safetensors", "model_index.json", "vae"
CODES: dict[str, Callable[[Any], Tensor]] = {  # of what `encode` returns
    "AutoencoderKL": lambda found: found.latent_dist.mode(),
    "AutoencoderTiny": lambda found: found.latents,
    "AutoencoderDC": lambda found: found.latent,
}


def of_diffusers(folder: Path, device: torch.device, values: Range) -> Autoencoder:
    """The autoencoder of a folder, or of a whole pipeline's folder `vae`; UserError where it is none, or its weights are not whole."""
    if (folder / PIPELINE).is_file():
        folder = folder / PART
    name = class_of(folder)
    if not (folder / WEIGHTS).is_file():
        others = sorted(path.name for path in folder.glob("*.bin"))
        say = f"; {others[0]} is pickled, and such files are not opened" if others else ""
        raise UserError(f"{folder}: {WEIGHTS} is not there{say}")
    model = loaded(folder, name)
    check_finite(str(folder), model.state_dict())
    model.to(device).eval()
    code = CODES[name]
    return Autoencoder(
        str(folder),
        f"diffusers {name}",
        lambda x: code(model.encode(x)),
        lambda z: model.decode(z).sample,
        digest(folder / WEIGHTS, "sha256", (folder / "config.json").read_bytes()),
        values,
        most=10,
    )


def class_of(folder: Path) -> str:
    """The class that a folder's config.json names."""
    try:
        name = json.loads((folder / "config.json").read_bytes()).get("_class_name")
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(f"{folder / 'config.json'}: no configuration of diffusers: {in_a_line(error)}") from None
    if not isinstance(name, str) or name not in CODES:
        raise UserError(f"{folder / 'config.json'}: _class_name is {name!r:.60}, one of {', '.join(CODES)} is expected")
    return name


def loaded(folder: Path, name: str) -> Any:
    """The model with all of its weights."""
    try:
        import diffusers
    except ImportError:
        raise UserError(f"{folder}: reading it takes the package diffusers; install the extra `tokenizers`") from None
    diffusers.utils.logging.set_verbosity_error()
    try:
        model, about = getattr(diffusers, name).from_pretrained(
            str(folder), use_safetensors=True, local_files_only=True, low_cpu_mem_usage=False, output_loading_info=True
        )
    except Exception as error:  # of many kinds
        raise UserError(f"{folder}: {name} cannot be loaded: {in_a_line(error)}") from None
    for what in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if wrong := sorted(map(str, about.get(what) or ())):
            raise UserError(f"{folder / WEIGHTS}: {len(wrong)} {what.replace('_', ' ')} for {name}, the first {wrong[0]}")
    return model
