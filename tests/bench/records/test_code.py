"""Hashes of code: what a module does counts and how it is written does not; what counts is followed, what does not is left."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bench.records.code import PROJECT, ROOT, Module, meaning, project_module, read, standing_on

SOURCE = b'''"""A module."""
import math

def f(x, *, beta=1.0):
    """Doubles."""
    # twice
    return 2 * x + beta * math.pi

class A:
    """Documented."""

    name = "a"  # of it
'''


TRAINS = [project_module(name) for name in ("models.wae", "models.networks.mlp", "bench.datasets.digits", "bench.training.train")]


@pytest.mark.parametrize(
    "same",
    [
        SOURCE.replace(b"# twice\n", b"# two times,\n    # or so\n"),
        SOURCE.replace(b'"""Doubles."""', b'"""Twice its argument, and\n    more than that."""'),
        SOURCE.replace(b'    """Doubles."""\n', b"").replace(b'"""A module."""\n', b"").replace(b'    """Documented."""\n\n', b""),
        SOURCE.replace(b"2 * x + beta * math.pi", b"(2 * x\n        + beta*math.pi)"),
        SOURCE.replace(b'"a"  # of it', b"'a'"),
        b"# a licence\n\n\n" + SOURCE.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + SOURCE,
    ],
    ids=["comment", "docstring", "no docstrings", "formatting", "quotes", "lines", "mark"],
)
def test_how_a_module_is_written_changes_nothing(same: bytes) -> None:
    assert same != SOURCE
    assert meaning(same) == meaning(SOURCE)


@pytest.mark.parametrize(
    "other",
    [
        SOURCE.replace(b"beta=1.0", b"beta=30.0"),
        SOURCE.replace(b"beta=1.0", b"beta=1"),
        SOURCE.replace(b"2 * x", b"x * 2"),
        SOURCE.replace(b"import math", b"import cmath as math"),
        SOURCE.replace(b'name = "a"', b'name = b"a"'),
        SOURCE.replace(b"*, beta", b"beta"),
        SOURCE + b'"a text that is no docstring"\n',
        SOURCE.replace(b"return 2", b"yield 2"),
        SOURCE + b"x = None\n",
    ],
)
def test_what_a_module_does_counts(other: bytes) -> None:
    assert meaning(other)[0] != meaning(SOURCE)[0]


def test_what_is_no_python_counts_by_its_bytes() -> None:
    assert meaning(b"def f(:")[0] != meaning(b"def f(: ")[0]
    assert meaning(b"\0")[0] != meaning(SOURCE)[0]


def test_a_row_stands_on_its_method_and_what_that_imports_and_on_nothing_else() -> None:
    found = standing_on(TRAINS)
    expected = ("models/wae.py", "models/method.py", "models/parts/cost.py", "models/networks/mlp.py", "bench/datasets/digits.py")
    expected += ("bench/training/train.py", "bench/training/adam.py", "bench/suites/budget.py", "bench/datasets/batches.py")
    expected += ("metrics/divergences.py", "metrics/kernels/mmd.py", "metrics/kernels/native.py", "metrics/kernels/c/mmd.c")
    assert set(expected) <= found.keys()
    assert all((ROOT / name).is_file() for name in found)
    others = ("models/vae.py", "models/stacked.py", "metrics/frechet.py", "metrics/total_correlation.py", "metrics/features/inception.py")
    others += ("bench/errors.py", "bench/records/store.py", "bench/suites/schema.py", "bench/datasets/storage/pack.py")
    assert set(others).isdisjoint(found)
    assert "metrics/kernels/overlaps.py" in standing_on([project_module("models.wise_ale")])
    assert "metrics/kernels/overlaps.py" not in found


def test_every_import_of_this_project_that_can_change_a_weight_is_followed() -> None:
    """Against what Python itself has loaded once the module is imported."""
    code = (
        "import sys, models.ladder, bench.training.train; print(*(m.__file__ for m in sys.modules.values() if getattr(m, '__file__', 0)))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    names = {str(Path(file).relative_to(ROOT)) for file in loaded if Path(file).is_relative_to(ROOT) and Path(file).stat().st_size}
    wanted = {
        name for name in names if name.split("/")[0] in ("models", "metrics") or name.startswith(("bench/training", "bench/datasets"))
    }
    assert len(wanted) > 20
    assert wanted <= standing_on([project_module("models.ladder"), project_module("bench.training.train")]).keys()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    for package in PROJECT:
        shutil.copytree(ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    return folder


@pytest.mark.parametrize(
    ("name", "stale"),
    [
        ("models/wae.py", True),
        ("models/method.py", True),
        ("metrics/divergences.py", True),
        ("metrics/kernels/c/mmd.c", True),
        ("bench/training/adam.py", True),
        ("bench/suites/budget.py", True),
        ("bench/datasets/digits.py", True),
        ("metrics/frechet.py", False),
        ("metrics/total_correlation.py", False),
        ("models/vae.py", False),
        ("bench/datasets/mnist.py", False),
        ("bench/leaderboard/render.py", False),
    ],
)
def test_a_change_in_what_a_row_stands_on_changes_its_hash_alone(checkout: Path, name: str, stale: bool) -> None:
    roots = [project_module(module.name, checkout) for module in TRAINS]
    before = standing_on(roots, root=checkout)
    assert before == standing_on(TRAINS)
    path = checkout / name
    content = path.read_bytes()
    after = standing_on(roots, {path: content + b"\nint x;\n" if name.endswith(".c") else content + b"\nx = 1\n"}, checkout)
    assert {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)} == ({name} if stale else set())


def test_files_beside_a_plugin_are_followed_and_libraries_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "lab" / "deep").mkdir(parents=True)
    (tmp_path / "site-packages" / "bought").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
    files = {
        "site-packages/bought/__init__.py": "",
        "lab/__init__.py": "from . import losses\n",
        "lab/losses.py": "import bought\nfrom .deep.more import x\n",
        "lab/deep/__init__.py": "",
        "lab/deep/more.py": "from .. import other\nx = 1\n",
        "lab/other.py": "def f():\n    import lazy_one\n",
        "lazy_one.py": "",
        "not_imported.py": "",
        "plugin.py": "import numpy, lab.losses, json\nfrom models.vae import vae_gauss\nfrom bench.errors import UserError\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    __import__("lab.losses")
    found = standing_on([Module("latentbench_plugin_plugin", tmp_path / "plugin.py")])
    for name in ("lab", "lab.losses", "lab.deep", "lab.deep.more", "lab.other"):
        del sys.modules[name]
    mine = {name for name in found if not name.startswith(("models/", "metrics/"))}
    assert mine == {
        "plugin.py",
        "lab/__init__.py",
        "lab/losses.py",
        "lab/deep/__init__.py",
        "lab/deep/more.py",
        "lab/other.py",
        "lazy_one.py",
    }
    assert {"models/vae.py", "models/method.py"} <= found.keys()


def test_two_files_of_one_name_are_both_in_the_hash(tmp_path: Path) -> None:
    roots = []
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "plugin.py").write_text(f"x = {folder!r}\n", encoding="utf-8")
        roots.append(Module("latentbench_plugin_plugin", tmp_path / folder / "plugin.py"))
    hashes = [standing_on(some)["plugin.py"] for some in (roots, roots[::-1], roots[:1], roots[1:])]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_what_a_file_said_when_it_was_run_counts(tmp_path: Path) -> None:
    path = tmp_path / "plugin.py"
    path.write_text("x = 2\n", encoding="utf-8")
    ran = standing_on([Module("p", path)], {path: b"x = 1\n"})
    assert ran == {"plugin.py": meaning(b"x = 1")[0]} != standing_on([Module("p", path)])
    assert read(path) == b"x = 2\n"


def test_the_spelling_says_all_that_ast_dump_says_of_code_without_docstrings() -> None:
    """Modules that ast.dump tells apart have other hashes: every constant, operator and name of a real module, changed one by one."""
    tree = ast.parse((ROOT / "metrics" / "divergences.py").read_text(encoding="utf-8"))
    seen = {meaning(ast.unparse(tree).encode())[0]}
    changed = 0
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            old, node.id = node.id, node.id + "_"
            seen.add(meaning(ast.unparse(tree).encode())[0])
            node.id = old
        elif isinstance(node, ast.Constant) and isinstance(node.value, float):
            value, node.value = node.value, node.value + 0.125
            seen.add(meaning(ast.unparse(tree).encode())[0])
            node.value = value
        else:
            continue
        changed += 1
        if changed == 60:
            break
    assert len(seen) == changed + 1
