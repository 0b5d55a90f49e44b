"""The library of `metrics/kernels/c`: its cache, processes that build at once, machines without a compiler, threads."""

import math
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from small_methods import normal
from torch import Tensor

from metrics.divergences import imq, imq7, mmd, mmd_broadcast, rbf
from metrics.kernels import native
from metrics.kernels.backends import VARIABLE, using
from metrics.mixture_bound import kl_bound_broadcast, mixture_kl_bound

ROOT = Path(__file__).parents[3]
SOURCES = native.SOURCES
CHOSEN = "import torch; from metrics.kernels.backends import backend_of; print(backend_of(torch.device('cpu')))"


@pytest.fixture
def command() -> list[str]:
    found = native.compiler()
    if found is None:
        pytest.skip("no C compiler")
    return found


# flags in $CC, and how many numbers a vector then has: those that lanes.h tells apart, and without fused products
WIDTHS = {"native": None, "-mno-avx512f": 8, "-mno-avx2 -mno-fma": 8, "-mno-sse3": 4}


@pytest.fixture(scope="module", params=WIDTHS)
def width(request: pytest.FixtureRequest) -> Iterator[None]:
    """The library as this machine would have it, and for processors with narrower vectors; kept in the cache as any other."""
    command, flags = native.compiler(), request.param
    if command is None:
        pytest.skip("no C compiler")
    if flags == "native":
        yield
        return
    if platform.machine() not in ("x86_64", "AMD64"):
        pytest.skip(f"{flags} is a flag of x86")
    if WIDTHS[flags] == 8 and " avx " not in native.processor():
        pytest.skip("a processor without AVX")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CC", shlex.join([*command, *flags.split()]))
        native.library.cache_clear()
        library = native.library()
        assert library is not None
        assert library.vector_width() == WIDTHS[flags]
        yield
    native.library.cache_clear()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "latentbench"


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def child(code: str, **environment: str) -> subprocess.Popen[str]:
    environment = {"PYTHONPATH": str(ROOT), "HOME": "/nonexistent", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1", **environment}
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_library_is_built_once(command: list[str], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    native.load()
    (made,) = folder.iterdir()
    assert made.name == native.file_name(command)
    monkeypatch.setattr(native, "build", lambda *_: pytest.fail("built again"))
    native.load()


def test_another_source_or_compiler_or_processor_is_another_file(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [native.file_name(command), native.file_name([*command, "-g"])]
    monkeypatch.setattr(native, "processor", lambda: "another")
    names.append(native.file_name(command))
    for file in sorted(native.SOURCES.iterdir()):
        monkeypatch.setattr(native, "SOURCES", Path(shutil.copytree(SOURCES, tmp_path / file.stem)))
        changed = native.SOURCES / file.name
        changed.write_text(changed.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        names.append(native.file_name(command))
    assert len(set(names)) == len(names) == 3 + len(list(SOURCES.iterdir()))


@pytest.mark.slow
@pytest.mark.usefixtures("command")
def test_two_processes_may_build_at_once(tmp_path: Path) -> None:
    both = [child(CHOSEN, XDG_CACHE_HOME=str(tmp_path)) for _ in range(2)]
    assert [one.communicate(timeout=120) for one in both] == [("compiled\n", "")] * 2
    assert len(list((tmp_path / "latentbench").iterdir())) == 1


@pytest.mark.usefixtures("command")
def test_where_nothing_can_be_kept_it_is_built_for_the_process(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert child(CHOSEN, XDG_CACHE_HOME=str(tmp_path / "file")).communicate(timeout=120) == ("compiled\n", "")


@pytest.mark.parametrize("broken", ["no-such-compiler", "false"])
def test_without_a_compiler_kernels_are_tiled(broken: str, tmp_path: Path) -> None:
    asked_for = f"{CHOSEN}; import os; os.environ['{VARIABLE}'] = 'compiled'; backend_of(torch.device('cpu'))"
    chosen, said = child(asked_for, XDG_CACHE_HOME=str(tmp_path), CC=broken).communicate(timeout=120)
    assert chosen == "tiled\n"
    assert said.splitlines()[-1].startswith("ValueError: LATENTBENCH_KERNELS=compiled: no C compiler made the kernels here")


def test_no_compiler_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(native.shutil, "which", lambda name: None)
    assert native.compiler() is None
    native.library.cache_clear()
    assert native.library() is None
    native.library.cache_clear()


@pytest.mark.usefixtures("command")
def test_any_number_of_threads_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "ALONE", 0)
    p, q = normal(133, 19, seed=1).float(), (1.2 * normal(150, 19, seed=2)).float().requires_grad_()
    mean, log_variance = p.clone().requires_grad_(), normal(133, 19, seed=4).float().requires_grad_()
    found = []
    for count in (1, 2, 3, 2):
        torch.set_num_threads(count)
        with using("compiled"):
            value = mmd(p, q, 38.0) + mixture_kl_bound(mean, log_variance)
        found.append([value.detach(), *torch.autograd.grad(value, (q, mean, log_variance))])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.usefixtures("width")
@pytest.mark.parametrize("kernel", [imq, imq7, rbf])
@pytest.mark.parametrize(("n", "m", "d"), [(33, 300, 16), (16, 31, 48), (261, 64, 33), (2, 257, 1)])
def test_sizes_at_and_beside_those_of_blocks_chunks_and_groups(kernel: object, n: int, m: int, d: int) -> None:
    p, q = normal(n, d, seed=1).float(), 1.3 * normal(m, d, seed=2).float() + 0.4
    expected = mmd_broadcast(p.double(), q.double(), 2.0 * d, kernel)
    leaves = [x.double().requires_grad_() for x in (p, q)]
    slopes = torch.autograd.grad(mmd_broadcast(*leaves, 2.0 * d, kernel), leaves)
    for which in (0, 1):
        inputs = [p.clone(), q.clone()]
        inputs[which].requires_grad_()
        value = mmd(*inputs, 2.0 * d, kernel, backend="compiled")
        (gradient,) = torch.autograd.grad(-1.7 * value, inputs[which])
        assert abs(value.item() - expected.item()) < 1e-5 * expected.abs().item() + 1e-8
        assert (gradient + 1.7 * slopes[which]).abs().max() < 1e-5 * 1.7 * slopes[which].abs().max()
    assert mmd(p, q, 2.0 * d, kernel, backend="compiled").item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-8)


EXACT = dict[tuple[bytes, bytes], list[Tensor]]()


def bound_in_c(mean: Tensor, log_variance: Tensor) -> list[Tensor]:
    """The bound and its gradients times -1.7."""
    leaves = [x.detach().clone().requires_grad_() for x in (mean, log_variance)]
    value = mixture_kl_bound(*leaves, backend="compiled")
    return [value.detach(), *torch.autograd.grad(-1.7 * value, leaves)]


def bound_in_float64(mean: Tensor, log_variance: Tensor) -> list[Tensor]:
    """The same by the formula, for each input once: it takes most of the time, and knows no width of vectors."""
    key = mean.numpy().tobytes(), log_variance.numpy().tobytes()
    if key not in EXACT:
        EXACT[key] = formula(mean, log_variance)
    return EXACT[key]


def formula(mean: Tensor, log_variance: Tensor) -> list[Tensor]:
    """The bound and its gradients times -1.7, in float64."""
    leaves = [x.detach().double().requires_grad_() for x in (mean, log_variance)]
    value = kl_bound_broadcast(*leaves)
    return [value.detach(), *torch.autograd.grad(-1.7 * value, leaves)]


HELD, BEYOND = (0.0, 7.0, 15.0, 30.0, 39.9), (41.0, 900.0)  # spreads that float32 holds; beyond, C hands over to the formula
SMALL, LARGE = ((1, 1), (4, 8), (31, 16), (33, 7), (65, 9)), ((257, 17), (300, 64))


@pytest.mark.usefixtures("width")
@pytest.mark.parametrize(
    ("m", "d", "spread"),
    [*((m, d, spread) for spread in (*HELD, *BEYOND) for m, d in SMALL), *((m, d, spread) for spread in HELD for m, d in LARGE)],
)
def test_bounds_at_and_beside_the_sizes_of_blocks_and_of_the_products_that_float32_holds(m: int, d: int, spread: float) -> None:
    """Variances over a range of e^spread in each dimension: 8, 4, 2, 1 of them make a product, or none does."""
    log_variance = -0.5 - spread * torch.rand(m, d, generator=torch.Generator().manual_seed(3))
    log_variance[0], log_variance[-1] = -0.5, -0.5 - spread
    mean = normal(m, d, seed=1).float() * (0.5 * log_variance).exp() + 3
    found, expected = bound_in_c(mean, log_variance), bound_in_float64(mean, log_variance)
    assert found[0].item() == pytest.approx(expected[0].item(), rel=1e-6)
    for a, b in zip(found[1:], expected[1:], strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


@pytest.mark.usefixtures("width")
@pytest.mark.parametrize("low", [-600.0, -87.0, 80.0])
def test_bounds_of_variances_that_no_float32_holds(low: float) -> None:
    mean, log_variance = normal(20, 5, seed=1).float() * math.exp(max(low, -80) / 2), low + normal(20, 5, seed=2).float()
    found, expected = bound_in_c(mean, log_variance), bound_in_float64(mean, log_variance)
    for a, b in zip(found, expected, strict=True):
        assert (a - b).abs().max() <= 1e-5 * b.abs().max()


@pytest.mark.usefixtures("width")
def test_what_is_no_number_is_none_in_a_bound() -> None:
    for which, bad in ((0, math.nan), (1, math.nan), (0, math.inf)):
        inputs = [normal(40, 3, seed=1).float(), normal(40, 3, seed=2).float()]
        inputs[which][21, 1] = bad
        assert not mixture_kl_bound(*inputs, backend="compiled").isfinite()
        assert not kl_bound_broadcast(*inputs).isfinite()


@pytest.mark.usefixtures("command")
def test_inputs_that_do_not_lie_row_by_row() -> None:
    p, q = normal(7, 20, seed=1).float().mT[:, ::2], normal(4, 9, seed=2).float()[:, 3:7].mT.repeat(3, 1)[:, :4]
    assert not p.is_contiguous()
    assert mmd(p, q, 4.0, backend="compiled").item() == pytest.approx(mmd_broadcast(p, q, 4.0, imq).item(), rel=1e-4)
    assert torch.equal(mixture_kl_bound(p, -p, backend="compiled"), mixture_kl_bound(p.clone(), (-p).clone(), backend="compiled"))


@pytest.mark.usefixtures("command")
def test_shapes_that_do_not_fit_are_refused_before_c_reads_them() -> None:
    with pytest.raises(ValueError, match=r"points must be \(N, 2\) on a CPU, not \(4, 3\) on cpu"):
        mmd(torch.zeros(4, 2), torch.zeros(4, 3), 1.0, backend="compiled")
    with pytest.raises(ValueError, match="4 means of 3 dimensions need as many variances"):
        mixture_kl_bound(torch.zeros(4, 3), torch.zeros(1, 3), backend="compiled")
