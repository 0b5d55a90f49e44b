"""Autoencoders in TorchScript and torch.export files, which have formats of their own and need no unpickling.

An archive that holds pickled objects or compiled code all the same is refused before torch opens it: torch.export.load would run them.
"""

import io
import json
import logging
import pickle
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from bench.datasets.storage.raw import digest
from bench.errors import UserError, in_a_line
from bench.measure.arrays import UNREADABLE, Range
from bench.measure.autoencoders import Autoencoder, check_finite

SCRIPTS, EXPORTED = (".pt", ".pth", ".ts", ".jit", ".torchscript"), (".pt2",)
CODE = ("data/aotinductor/", "data/mtia", "data/executorch/")  # of an exported archive: compiled for a device
OBJECTS = ("custom_obj", "opaque_obj")
MOST_BYTES = 2**28  # of a part of an archive that must hold plain values


@contextmanager
def quiet() -> Iterator[None]:
    """Without what torch warns of and logs while it opens a file: what is wrong with one is said in a line."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def entries(path: Path) -> dict[str, zipfile.ZipInfo]:
    """The files of an archive of torch's without the folder that they are all in; UserError where it is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return {info.filename.partition("/")[2]: info for info in archive.infolist()}
    except UNREADABLE as error:
        raise UserError(f"{path} is no file of torch that can be read: {' '.join(str(error).split())}") from None


def of_script(path: Path, device: torch.device, values: Range) -> Autoencoder:
    """A TorchScript module: methods `encode` and `decode`, or its `forward` from image to image."""
    if not any(name.startswith("code/") for name in entries(path)):
        raise UserError(
            f"{path} is no TorchScript file; one of torch.save may run anything when it is opened: give a TorchScript or "
            "torch.export file, or file.py:encoder,decoder"
        )
    try:
        with quiet():
            module = torch.jit.load(str(path), map_location=device)
    except Exception as error:  # of many kinds
        raise UserError(f"{path} is no TorchScript file that can be read: {in_a_line(error)}") from None
    module.eval()
    check_finite(str(path), dict(module.state_dict()))
    both = hasattr(module, "encode") and hasattr(module, "decode")
    return Autoencoder(
        str(path), "TorchScript", module.encode if both else None, module.decode if both else module, digest(path, "sha256"), values
    )


def of_export(path: Path, device: torch.device, values: Range) -> Autoencoder:
    """A program of torch.export from image to image."""
    check_export(path, entries(path))
    try:
        with quiet():
            program = torch.export.load(path)
            check_finite(str(path), dict(program.state_dict))
            (name,) = program.graph_signature.user_inputs
            count = next(node.meta["val"].shape[0] for node in program.graph.nodes if node.name == name)
            module: Any = program.module()
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"{path} is no torch.export file of a function of images: {in_a_line(error)}") from None
    module.to(device)
    batch = count if type(count) is int else None  # else a symbol: any count
    return Autoencoder(str(path), "torch.export", None, module, digest(path, "sha256"), values, batch)


def check_export(path: Path, found: dict[str, zipfile.ZipInfo]) -> None:
    """UserError for an archive that holds what torch would unpickle, or compiled code."""
    if "archive_format" not in found or not any(name.startswith("models/") for name in found):
        raise UserError(f"{path} is no archive of torch.export; save it again with this version's torch.export.save")
    if code := [name for name in found if name.startswith(CODE)]:
        raise UserError(f"{path} holds compiled code ({code[0]}), which is not run")
    with zipfile.ZipFile(path) as archive:
        for name, info in found.items():
            if name.startswith("data/sample_inputs/") or (name.startswith("data/") and name.endswith(".pt")):
                content = archive.read(info) if info.file_size < MOST_BYTES else b"?"
                if content and not plain(content):
                    raise UserError(f"{path} holds pickled objects ({name}), which may run anything when they are opened")
            if name.endswith("_config.json"):
                payloads = payloads_of(path, archive.read(info))
                if any(of.get("use_pickle") or str(of.get("path_name", "")).startswith(OBJECTS) for of in payloads):
                    raise UserError(f"{path} holds pickled objects (in {name}), which may run anything when they are opened")


def plain(content: bytes) -> bool:
    """Whether what torch.save wrote holds tensors and plain values only."""
    try:
        with quiet():
            torch.load(io.BytesIO(content), weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        return False
    return True


def payloads_of(path: Path, content: bytes) -> list[dict[str, Any]]:
    """What an archive's list of weights says of each."""
    try:
        return [dict(of) for of in json.loads(content)["config"].values()]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{path} is no archive of torch.export: its list of weights is damaged") from None
