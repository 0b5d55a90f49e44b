"""A backend of kernels that cannot be is one line and exit code 2, whatever the command, before any work."""

from pathlib import Path

import pytest
from harness import cli, suite

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
