"""Each of more than 300 bad inputs gives one line and its exit code, no traceback, and changes nothing; docs/bad-input.md lists them."""

import shlex
import shutil
from pathlib import Path

import pytest
from bad_input import PLUGIN, SECTIONS, Bad, page, toml
from bad_input_page import BAD
from harness import cli

DOCS = Path(__file__).parents[3] / "docs"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the suite tiny.toml, its plugin and its finished runs in out/."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "tiny.toml").write_text(toml(SECTIONS), encoding="utf-8")
    (folder / "plugin.py").write_text(PLUGIN, encoding="utf-8")
    assert cli("run", "-s", folder / "tiny.toml", "-o", folder / "out", "--jobs", 1, "--no-profile").code == 0
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """Every file but locks, which say only who works on what."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file() and "lock" not in path.name}


@pytest.mark.parametrize("bad", BAD, ids=[f"{number} {bad.shown[:60]}" for number, bad in enumerate(BAD)])
def test_a_bad_input_is_one_line_and_changes_nothing(bad: Bad, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "here"
    shutil.copytree(finished, folder)
    bad.make(folder)
    monkeypatch.chdir(folder)
    for name in ("LATENTBENCH_DATA", "LATENTBENCH_KERNELS"):
        monkeypatch.delenv(name, raising=False)
    for name, value in bad.environment.items():
        monkeypatch.setenv(name, value)
    before = content(folder)
    result = cli(*(next(folder.glob(word)).relative_to(folder) if "*" in word else word for word in shlex.split(bad.arguments)))
    assert result.code == bad.code, result
    if bad.code == 2:
        assert bad.agrees(result.line()), result.line()
        assert content(folder) == before
    else:  # single runs or metrics: the others are done
        lines = [line.removeprefix("latentbench: ") for line in result.err.splitlines()]
        assert sum(map(bad.agrees, lines)) == 1, lines


def test_there_are_hundreds_of_them_and_none_twice() -> None:
    inputs = [(bad.shown, bad.arguments, *bad.environment.items()) for bad in BAD]
    assert len(inputs) >= 300
    assert len(set(inputs)) == len(inputs)


def test_the_page_is_what_the_tables_say() -> None:
    assert (DOCS / "bad-input.md").read_text(encoding="utf-8") == page(BAD), "write it: python tests/support/bad_input_page.py docs"
