"""What runs share.

A backend of kernels that cannot be is one line and exit code 2, whatever the command, before any work. Splits go to a GPU in blocks.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from harness import cli, suite
from pretended_gpu import HERE, pretended_machine

from bench.runs import context
from metrics.kernels import backends
from metrics.kernels.backends import VARIABLE

WORDS = {
    "foo": "LATENTBENCH_KERNELS must be one of broadcast, tiled, compiled, triton, not 'foo'",
    "tilde": "LATENTBENCH_KERNELS must be one of broadcast, tiled, compiled, triton, not 'tilde'; did you mean 'tiled'?",
    "triton": "LATENTBENCH_KERNELS=triton needs a CUDA device (or TRITON_INTERPRET=1, a slow interpreter), not cpu; "
    "use broadcast, tiled, compiled",
}


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """Of a finished run."""
    assert cli("run", "-s", suite(tmp_path, "[methods.ae]\n", steps=3), "-o", tmp_path, "--no-profile", "--device", "cpu").code == 0
    (record,) = (tmp_path / "runs").rglob("record.json")
    return record.parent


@pytest.mark.parametrize("value", WORDS)
def test_a_backend_that_cannot_be_is_one_line(value: str, run_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, value)
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setattr(backends, "has_triton", lambda: True)
    out = run_folder / "out"
    file = suite(run_folder / "suite", "[methods.ae]\n", steps=3)
    for command in (
        ("run", "-s", file, "-o", out, "--device", "cpu"),
        ("run", "-s", file, "-o", out, "--device", "cpu", "--dry-run"),
        ("profile", "-s", file, "-m", "ae", "-o", out, "--device", "cpu"),
        ("evaluate", run_folder, "--device", "cpu"),
        ("verify", run_folder, "--device", "cpu"),
        ("speed", "--quick", "-o", out, "--device", "cpu"),
        ("gpu-check", "--quick", "-o", out, "--device", "cpu"),
    ):
        result = cli(*command)
        assert (result.code, result.line()) == (2, WORDS[value]), command
    assert not list(out.rglob("*.json*"))


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("there", [False, True])
def test_a_mapped_split_goes_to_a_device_in_blocks(dtype: type, there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = np.random.RandomState(0).randint(0, 256, (23, 1, 4, 5)).astype(dtype)
    np.save(tmp_path / "train.npy", images)
    mapped, copied, on_host = np.load(tmp_path / "train.npy", mmap_mode="r"), list[int](), context.on_host

    def counted(split: np.ndarray) -> torch.Tensor:
        copied.append(len(split))
        return on_host(split)

    monkeypatch.setattr(context, "on_host", counted)
    monkeypatch.setattr(context, "BLOCK", 5 * images[0].nbytes)
    with pretended_machine() as device:
        placed = context.in_blocks(mapped, HERE if there else torch.device("cpu"))
        assert device.has(placed) == there
        placed = placed.cpu()
    assert torch.equal(placed, torch.from_numpy(images))
    assert placed.dtype == torch.from_numpy(images).dtype
    assert copied == [0, 5, 5, 5, 5, 3]


def test_a_split_of_no_images_is_one_on_the_device() -> None:
    assert context.in_blocks(np.empty((0, 1, 2, 2), np.uint8), HERE).shape == (0, 1, 2, 2)
