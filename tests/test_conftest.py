"""Costly tests are skipped where everyone sees it, and run when they are asked for."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

COSTLY = """
import pytest
@pytest.mark.slow
def test_slow(): pass
@pytest.mark.slow
@pytest.mark.gpu
def test_both(): pass
def test_quick(): pass
"""


@pytest.mark.parametrize(
    ("options", "passed", "skipped"),
    [([], 1, 2), (["-m", "slow"], 1, 1), (["-m", "slow or gpu"], 2, 0), (["-m", "not gpu"], 1, 1)],
)
def test_markers_choose(tmp_path: Path, options: list[str], passed: int, skipped: int) -> None:
    shutil.copy(Path(__file__).parent / "conftest.py", tmp_path)
    (tmp_path / "test_costly.py").write_text(COSTLY)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n slow\n gpu\n network\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", *options]
    said = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False).stdout
    assert f"{passed} passed" in said
    assert (f"{skipped} skipped" in said) == (skipped > 0), said
    assert ("run it with -m " in said) == (skipped > 0)
