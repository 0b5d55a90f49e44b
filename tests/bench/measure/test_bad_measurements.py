"""Each of more than 300 bad folders, archives, arrays, models and options: one line, exit code 2, no traceback, nothing written."""

import re
import shlex
from pathlib import Path

import pytest
from bad_measure import BadMeasurement, fill
from bad_measurements import BAD
from harness import cli


def content(folder: Path) -> dict[str, tuple[bool, bytes]]:
    """Every regular file, and which others there are."""
    return {
        str(path.relative_to(folder)): (path.is_symlink(), path.read_bytes() if path.is_file() and not path.is_symlink() else b"")
        for path in folder.glob("*/*")
    } | {path.name: (False, path.read_bytes()) for path in folder.iterdir() if path.is_file()}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("bad", BAD, ids=[f"{number} {bad.shown[:60]}" for number, bad in enumerate(BAD)])
def test_it_is_one_line_and_nothing_is_written(bad: BadMeasurement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path)
    bad.make(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LATENTBENCH_DATA", raising=False)
    before = content(tmp_path)
    result = cli(*shlex.split(bad.arguments))
    assert result.code == 2, result
    line = result.line()
    assert re.fullmatch(".*".join(map(re.escape, bad.says.split("…"))), line), line
    assert content(tmp_path) == before
    assert not (tmp_path / "exploded").exists()


def test_there_are_hundreds_and_none_twice() -> None:
    assert len(BAD) >= 300
    assert len({(bad.shown, bad.arguments) for bad in BAD}) == len(BAD)
