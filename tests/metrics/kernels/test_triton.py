"""Triton's kernels against the formulas, in its interpreter and on a device; they are no backend of the CPU, so once is enough."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from triton_kernels import cases, errors, spoiled

from metrics.kernels import backends

ROOT = Path(__file__).parents[3]
CONTRACT = 1e-5


def test_importing_the_metrics_does_not_import_triton() -> None:
    code = "import sys, metrics.divergences, metrics.mixture_bound; print('metrics.kernels.triton_mmd' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout == "False\n"


# each kernel once: more points than a tile's columns, more dimensions than a program's, rounded inputs
FEW = ("mmd_imq_70_19_3", "mmd_imq7_2_3_1", "mmd_rbf_2_3_1", "mmd_imq_3_2_64_bfloat16", "bound_70_3", "bound_4_40")


@pytest.mark.parametrize("which", [pytest.param(FEW, id="few"), pytest.param((), id="all", marks=pytest.mark.slow)])
def test_tritons_kernels_are_the_formulas_in_its_interpreter(which: tuple[str, ...]) -> None:
    if not backends.has_triton():
        pytest.skip("triton is not installed")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, str(ROOT / "tests" / "support" / "triton_kernels.py"), "cpu", *which]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert run.returncode == 0, run.stderr
    lines = [line.split() for line in run.stdout.splitlines()]
    assert len(lines) == len(which or list(cases("cpu")))
    assert [line for line in lines if not (float(line[1]) < CONTRACT and float(line[2]) < slope(line[0]) and line[3] == "True")] == []


def slope(what: str) -> float:
    """How far a gradient of that case may be off: by half a unit in the last place where it is rounded to bfloat16."""
    return torch.finfo(torch.bfloat16).eps / 2 if what.endswith("bfloat16") else CONTRACT


@pytest.mark.gpu
@pytest.mark.parametrize("case", range(15))
def test_tritons_kernels_are_the_formulas_on_a_device(case: int) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    what, loss, inputs = list(cases("cuda"))[case]
    value, gradient = errors(loss, *inputs)
    assert value < CONTRACT, what
    assert gradient < slope(what), what
    assert spoiled(loss, *inputs), what
