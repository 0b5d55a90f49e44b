"""Damaged models for `python -m bench measure`."""

import json
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from bad_measure import (
    AGAINST,
    PIXELS,
    BadMeasurement,
    Bomb,
    Make,
    archive,
    nothing,
    with_files,
)
from torch import nn


def python(content: str) -> Make:
    return lambda folder: (folder / "bad.py").write_text(content, encoding="utf-8")


def applied(functions: str, says: str) -> tuple[str, Make, str, str]:
    """A function of model.py that cannot be a model."""
    command = f"measure model.py:{functions} --against good {PIXELS}"
    return f"model.py:{functions}", nothing, command, f"model.py:{functions}: {says}"


MODELS = [
    BadMeasurement(f"model: {shown}", make, command, says)
    for shown, make, command, says in (
        ("no file", nothing, f"measure gone.py:a,b {AGAINST}", "gone.py: no such file"),
        ("no names", nothing, f"measure model.py: {AGAINST}", "model.py:: give file.py:encoder,decoder, or file.py:autoencoder"),
        (
            "three names",
            nothing,
            f"measure model.py:a,b,c {AGAINST}",
            "model.py:a,b,c: give file.py:encoder,decoder, or file.py:autoencoder",
        ),
        ("a name that is none", nothing, f"measure model.py:sam {AGAINST}", "model.py: unknown function 'sam'; did you mean 'same'? …"),
        ("a name of a number", nothing, f"measure model.py:number {AGAINST}", "model.py: unknown function 'number'; …"),
        ("no grammar", python("def ("), f"measure bad.py:a {AGAINST}", "bad.py: SyntaxError: …"),
        ("it raises", python("1 / 0"), f"measure bad.py:a {AGAINST}", "bad.py: ZeroDivisionError: division by zero (bad.py, line 1)"),
        ("it ends the process", python("raise SystemExit(0)"), f"measure bad.py:a {AGAINST}", "bad.py: SystemExit: 0 …"),
        ("it needs what is not here", python("import no_such_package"), f"measure bad.py:a {AGAINST}", "bad.py: ModuleNotFoundError: …"),
        ("without images", nothing, "measure model.py:same", "model.py:same: a model is measured on images; say which: --against FOLDER"),
        ("on codes", nothing, "measure model.py:same --against codes.npy", "--against codes.npy is codes, images are expected"),
        ("NaN weights", nothing, f"measure model.py:nan {AGAINST}", "model.py: nan: weight has 3 values that are not finite"),
        applied("half", "from images of the shape (4, 3, 12, 12) it made (4, 3, 12, 6); both must be the same"),
        applied("flat", "from images of the shape (4, 3, 12, 12) it made (4, 432); both must be the same"),
        applied("fewer", "from images of the shape (4, 3, 12, 12) it made (3, 3, 12, 12); both must be the same"),
        applied("numbers", "it returned ndarray as images, a tensor is expected"),
        applied("pair", "it returned tuple as images, a tensor is expected"),
        applied("pair,same", "it returned tuple as codes, a tensor is expected"),
        applied("infinite", "its reconstructions or codes have values that are not finite"),
        applied("raises", "it cannot be applied to images of (3, 12, 12): ValueError: of no use (model.py, line …)"),
        applied("same,ends", "it cannot be applied to images of (3, 12, 12): RuntimeError: two lines (model.py, line …)"),
    )
]


def torch_file(name: str, write: Callable[[Path], object]) -> Make:
    return lambda folder: write(folder / name)


def save_state(value: Callable[[], Any]) -> Callable[[Path], object]:
    return lambda path: torch.save(value(), path)


class Scripted(nn.Module):
    """A module for TorchScript that makes images of that kind."""

    def __init__(self, kind: int, weight: float):
        super().__init__()
        self.kind = kind
        self.register_buffer("w", torch.full((2,), weight))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.kind == 0:
            return x
        return x[:, :1] if self.kind == 1 else x.reshape(7, 7)


def scripted(kind: int, weight: float = 0.0) -> Callable[[Path], object]:
    """A TorchScript file."""

    def write(path: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.script(Scripted(kind, weight)).save(str(path))

    return write


def zipped(*files: tuple[str, bytes]) -> Callable[[Path], object]:
    return lambda path: archive(path, files)


def config(**payload: Any) -> bytes:
    return json.dumps({"config": {"w": {"path_name": "weight_0", "use_pickle": False, **payload}}}).encode()


EXPORT = (("model/archive_format", b"pt2"), ("model/models/model.json", b"{}"))
NO_SCRIPT = "bad.pt is no TorchScript file; one of torch.save may run anything when it is opened: …"
TORCH_FILES = [
    BadMeasurement(f"torch file: {shown}", torch_file(name, write), f"measure {name} {AGAINST}", says)
    for shown, name, write, says in (
        ("text", "bad.pt", lambda path: path.write_text("no"), "bad.pt is no file of torch that can be read: …"),
        ("no bytes", "bad.pt", lambda path: path.write_bytes(b""), "bad.pt is no file of torch that can be read: …"),
        ("a pickle", "bad.pth", lambda path: path.write_bytes(pickle.dumps(Bomb())), "bad.pth is no file of torch that can be read: …"),
        ("torch.save of a bomb", "bad.pt", save_state(Bomb), NO_SCRIPT),
        ("torch.save of weights", "bad.pt", save_state(dict), NO_SCRIPT),
        ("an archive of text", "bad.ts", zipped(("a.txt", b"")), "bad.ts is no TorchScript file; …"),
        ("code alone", "bad.ts", zipped(("m/code/a.py", b"")), "bad.ts is no TorchScript file that can be read: …"),
        (
            "NaN weights",
            "bad.pt",
            scripted(0, float("nan")),
            "bad.pt: w has 2 values that are not finite",
        ),
        (
            "another shape",
            "bad.pt",
            scripted(1),
            "bad.pt: from images of the shape (4, 3, 12, 12) it made (4, 1, 12, 12); …",
        ),
        (
            "it raises",
            "bad.pt",
            scripted(2),
            "bad.pt: it cannot be applied to images of (3, 12, 12): …",
        ),
        ("export: text", "bad.pt2", lambda path: path.write_text("no"), "bad.pt2 is no file of torch that can be read: …"),
        ("export: no bytes", "bad.pt2", lambda path: path.write_bytes(b""), "bad.pt2 is no file of torch that can be read: …"),
        (
            "export: an old form",
            "bad.pt2",
            zipped(("version", b"8.1"), ("serialized_state_dict.pt", b"")),
            "bad.pt2 is no archive of torch.export; …",
        ),
        ("export: an empty program", "bad.pt2", zipped(*EXPORT), "bad.pt2 is no torch.export file of a function of images: …"),
        (
            "export: pickled weights",
            "bad.pt2",
            zipped(*EXPORT, ("model/data/weights/model_weights_config.json", config(use_pickle=True))),
            "bad.pt2 holds pickled objects (in data/weights/model_weights_config.json), …",
        ),
        (
            "export: objects",
            "bad.pt2",
            zipped(*EXPORT, ("model/data/constants/model_constants_config.json", config(path_name="custom_obj_0"))),
            "bad.pt2 holds pickled objects (in data/constants/model_constants_config.json), …",
        ),
        (
            "export: opaque objects",
            "bad.pt2",
            zipped(*EXPORT, ("model/data/constants/model_constants_config.json", config(path_name="opaque_obj_0"))),
            "bad.pt2 holds pickled objects …",
        ),
        (
            "export: pickled inputs",
            "bad.pt2",
            zipped(*EXPORT, ("model/data/sample_inputs/model.pt", pickle.dumps(Bomb()))),
            "bad.pt2 holds pickled objects (data/sample_inputs/model.pt), …",
        ),
        (
            "export: a pickled file of weights",
            "bad.pt2",
            zipped(*EXPORT, ("model/data/weights/model.pt", pickle.dumps(Bomb()))),
            "bad.pt2 holds pickled objects (data/weights/model.pt), …",
        ),
        (
            "export: compiled code",
            "bad.pt2",
            zipped(*EXPORT, ("model/data/aotinductor/model/a.so", b"\x7fELF")),
            "bad.pt2 holds compiled code (data/aotinductor/model/a.so), which is not run",
        ),
        (
            "export: a damaged list",
            "bad.pt2",
            zipped(*EXPORT, ("model/data/weights/model_weights_config.json", b"[")),
            "bad.pt2 is no archive of torch.export: its list of weights is damaged",
        ),
    )
]


def vae(content: bytes, *files: tuple[str, bytes]) -> Make:
    return with_files(("config.json", content), *files)


KL = json.dumps({"_class_name": "AutoencoderKL"}).encode()
DIFFUSERS = [
    BadMeasurement(f"diffusers: {shown}", make, f"measure bad {AGAINST}", says)
    for shown, make, says in (
        ("config of text", vae(b"no"), "bad/config.json: no configuration of diffusers: …"),
        ("config of a list", vae(b"[]"), "bad/config.json: no configuration of diffusers: …"),
        ("no bytes", vae(b""), "bad/config.json: no configuration of diffusers: …"),
        ("deep brackets", vae(b"[" * 100_000), "bad/config.json: no configuration of diffusers: …"),
        ("no class", vae(b"{}"), "bad/config.json: _class_name is None, one of AutoencoderKL, AutoencoderTiny, AutoencoderDC is expected"),
        ("another class", vae(b'{"_class_name": "UNet2DModel"}'), "bad/config.json: _class_name is 'UNet2DModel', one of …"),
        ("a class that is a number", vae(b'{"_class_name": 3}'), "bad/config.json: _class_name is 3, one of …"),
        ("no weights", vae(KL), "bad: diffusion_pytorch_model.safetensors is not there"),
        (
            "pickled weights",
            vae(KL, ("diffusion_pytorch_model.bin", pickle.dumps(Bomb()))),
            "bad: diffusion_pytorch_model.safetensors is not there; diffusion_pytorch_model.bin is pickled, and such files are not opened",
        ),
        ("a pipeline without vae", with_files(("model_index.json", b"{}")), "bad/vae/config.json: no configuration of diffusers: …"),
        (
            "a run without weights",
            with_files(("record.json", b"{}")),
            "bad: not the folder of a run, which is <out>/runs/<suite>/<row>/<seed>-<key>",
        ),
    )
]
