"""Triton's kernels compiled for GPUs that are not here: those that are launched, without an error, with few spills."""

import pytest
import torch
from harness import cli

triton = pytest.importorskip("triton")

from bench.speed import compiled_kernels as compiler  # noqa: E402
from metrics.kernels import triton_mmd, triton_overlaps  # noqa: E402


class Launches:
    """A kernel that notes the constants of its launches instead of running, which needs a GPU."""

    def __init__(self, name: str, seen: set[tuple[object, ...]]):
        self.name, self.seen, self.grid = name, seen, (0,)

    def __getitem__(self, grid: tuple[int, ...]) -> "Launches":
        self.grid = grid
        return self

    def __call__(self, *arguments: object, **constants: int) -> None:
        self.seen.add((self.name, *sorted(constants.items())))


def test_the_table_has_exactly_the_constants_that_launches_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the product's own launch code, with codes of every dimension of the table and both kinds of block."""
    seen = set[tuple[object, ...]]()
    monkeypatch.setattr(triton_mmd, "pairs_kernel", Launches("pairs_kernel", seen))
    for name in ("mixture_kernel", "gradient_kernel"):
        monkeypatch.setattr(triton_overlaps, name, Launches(name, seen))
    for d in compiler.DIMENSIONS:
        for n in (20, triton_mmd.MANY):
            p = torch.zeros(n, d)
            for kernel in triton_mmd.FAMILIES:
                for q in (torch.zeros(n, d), torch.zeros(n, d, requires_grad=True)):
                    triton_mmd.TritonMMD.apply(p, q, 2.0 * d, kernel)
            triton_overlaps.TritonBound.apply(p.clone().requires_grad_(), p)
    listed = {(what.name, *sorted(what.constants)) for d in compiler.DIMENSIONS for what in compiler.specialisations(d)}
    assert listed == seen


def test_the_gradient_of_128_dimensions_fits_into_registers() -> None:
    """The kernel that takes most of them: with all dimensions in one program it would spill them."""
    largest = [what for what in compiler.specialisations(128) if what.name == "gradient_kernel"][-1]
    found = compiler.compiled(largest, "sm_80")
    assert found["spilled"] == 0, found
    assert 0 < found["registers"] <= 255
    assert found["shared"] > 0


def test_a_kernel_that_cannot_be_compiled_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(compiler.POINTERS, "mixture_kernel", ("mean",))  # integers where it takes pointers
    broken = next(what for what in compiler.specialisations(3) if what.name == "mixture_kernel")
    row = {"architecture": "sm_90", "kernel": broken.name, "d": [3], "rows": 16, "constants": {}, **compiler.compiled(broken, "sm_90")}
    assert "error" in row
    text = compiler.page([row])
    assert "CompilationError" in text
    assert "| sm_90" in text


def test_without_triton_the_command_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.commands.speed.has_triton", lambda: False)
    result = cli("gpu-check", "--compile-only")
    assert (result.code, result.line()) == (2, "gpu-check --compile-only: triton is not installed; python -m pip install triton")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_specialisation_compiles_and_spills_little(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(compiler.ARCHITECTURES, "sm_80")  # which takes as many minutes again
    result = cli("gpu-check", "--compile-only")
    assert result.code == 0, result.out
    assert result.out.count("| sm_90") == 16  # by kernel, tile of dimensions and rows of a block
