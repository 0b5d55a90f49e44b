"""Every Triton kernel compiled for GPUs that need not be there: what fails to compile, and registers, spills and shared memory of the rest.

A specialisation is what Triton makes a program of its own for: a kernel, its constants, and which sizes are multiples of 16. Here are
those that training and metrics can ask for, but that numbers of points are all multiples of 16 or none is. Triton compiles for a named
architecture without a driver; its assembler says what a program takes.
"""

import io
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

from triton import compile, knobs
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from bench.errors import in_a_line
from bench.markdown import table
from metrics.kernels.triton_mmd import COLUMNS, FAMILIES, MANY, block_rows, pairs_kernel, tile_of
from metrics.kernels.triton_overlaps import gradient_kernel, mixture_kernel

ARCHITECTURES = {"sm_80": 80, "sm_90": 90}  # of A100 and H100
DIMENSIONS = (3, 8, 64, 128, 512)  # of codes
WARP = 32
FEW = 64  # bytes, written and read, that a thread may spill: a few words of a loop's; an array of all dimensions would be hundreds
DIVISIBLE = [["tt.divisibility", 16]]  # as Triton writes it
TAKES = re.compile(r"(\d+) bytes spill stores, (\d+) bytes spill loads.*?Used (\d+) registers", re.DOTALL)
POINTERS = {  # of each kernel's arguments that are tensors, float32 but for one; all others that are no constants are 32-bit integers
    "pairs_kernel": ("x", "y", "scales", "sums", "slopes"),
    "mixture_kernel": ("mean", "log_variance", "out"),
    "gradient_kernel": ("mean", "log_variance", "log_mixtures", "of_mean", "of_log_variance"),
}


@dataclass(frozen=True)
class Specialisation:
    """A kernel, the constants of a launch, and the names of its sizes that are multiples of 16."""

    kernel: Any
    constants: tuple[tuple[str, int], ...]
    multiples: tuple[str, ...]

    @property
    def name(self) -> str:
        """The kernel's."""
        return str(self.kernel.__name__)


def specialisations(d: int) -> Iterator[Specialisation]:
    """All that launches with codes of d dimensions can ask for."""
    even = ("D",) if d % 16 == 0 else ()
    for rows in (block_rows(1), block_rows(MANY)):
        tile = {"ROWS": rows, "COLUMNS": COLUMNS}
        for of_n, of_m in (((), ()), (("n", "m"), ("m",))):
            for scales in FAMILIES.values():
                for same in (True, False):
                    for sloped in (True, False):
                        how = {"COUNT": len(scales), "SAME": same, "SLOPED": sloped, **tile, "DIMS": tile_of(d)}
                        yield Specialisation(pairs_kernel, tuple(how.items()), (*of_n, *even))
            yield Specialisation(mixture_kernel, tuple(tile.items()), (*of_m, *even))
            yield Specialisation(gradient_kernel, (*tile.items(), ("DIMS", tile_of(d))), (*of_m, *even))


def source(what: Specialisation) -> ASTSource:
    """What Triton's compiler takes: types of arguments, values of constants, and what is a multiple of 16, as all pointers of torch are."""
    names, constants = what.kernel.arg_names, dict(what.constants)
    pointers = POINTERS[what.name]
    types = {name: ("*fp64" if name == "sums" else "*fp32") if name in pointers else "i32" for name in names}
    types |= dict.fromkeys(constants, "constexpr")
    multiples = {(names.index(name),): DIVISIBLE for name in (*pointers, *what.multiples)}
    return ASTSource(what.kernel, types, constants, multiples)


def compiled(what: Specialisation, architecture: str) -> dict[str, Any]:
    """Registers of a thread, bytes that it spills, bytes of shared memory; or the error."""
    said = io.StringIO()
    with tempfile.TemporaryDirectory() as cache, knobs.cache.scope(), knobs.nvidia.scope(), redirect_stdout(said):
        knobs.cache.dir, knobs.nvidia.dump_ptxas_log = cache, True  # one that lies in a cache is not assembled
        try:
            made = compile(source(what), target=GPUTarget("cuda", ARCHITECTURES[architecture], WARP))
        except Exception as error:
            return {"error": in_a_line(error)}
    found = TAKES.search(said.getvalue())
    if found is None:
        return {"error": f"the assembler says nothing of registers: {said.getvalue()[:200]!r}"}
    stores, loads, registers = map(int, found.groups())
    return {"registers": registers, "spilled": stores + loads, "shared": int(made.metadata.shared)}


def compile_all(
    dimensions: Iterable[int], architectures: Iterable[str], tell: Callable[[str], None] = lambda text: None
) -> list[dict[str, Any]]:
    """A row for each specialisation, with the dimensions that it serves.   tell: called with a line as each begins"""
    served = dict[Specialisation, list[int]]()
    for d in dimensions:
        for what in specialisations(d):
            served.setdefault(what, []).append(d)
    rows = []
    for architecture in architectures:
        for count, (what, of) in enumerate(served.items(), 1):
            tell(f"{architecture}: {count} of {len(served)}, {what.name} of d = {', '.join(map(str, of))}")
            constants = dict(what.constants)
            where = {"architecture": architecture, "kernel": what.name, "d": of, "rows": constants["ROWS"], "constants": constants}
            rows.append({**where, **compiled(what, architecture)})
    return rows


def page(rows: list[dict[str, Any]]) -> str:
    """The most that a program takes, by architecture, kernel, dimensions and rows of a block; then errors."""
    groups = dict[tuple[object, ...], list[Mapping[str, Any]]]()
    for row in rows:
        groups.setdefault((row["architecture"], row["kernel"], ", ".join(map(str, row["d"])), row["rows"]), []).append(row)
    heads = ["architecture", "kernel", "d", "rows", "specialisations", "errors", "registers", "spilled bytes", "shared bytes"]
    lines = [
        [*key, len(same), sum("error" in row for row in same), *(most(same, name) for name in ("registers", "spilled", "shared"))]
        for key, same in groups.items()
    ]
    errors = [f"{row['architecture']}, {row['kernel']}, {row['constants']}: {row['error']}" for row in rows if "error" in row]
    return "\n".join([table(heads, lines), *errors])


def most(rows: Iterable[Mapping[str, Any]], name: str) -> object:
    """The largest number of that name; none where nothing was compiled."""
    return max((row[name] for row in rows if name in row), default="")
