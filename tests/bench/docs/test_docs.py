"""What the pages say is so: commands parse, names exist, links lead somewhere; and modules and functions stay small."""

import argparse
import ast
import itertools
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bench.__main__ import app
from bench.commands.entry import command_of
from bench.suites import reader

ROOT = Path(__file__).parents[3]
FOLDERS = ("bench", "docs", "leaderboards", "metrics", "models", "tests")
PAGES = sorted([*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))])
SOURCES = sorted(path for package in ("bench", "models", "metrics") for path in (ROOT / package).rglob("*.py"))
MODULE_LINES, FUNCTION_LINES = 300, 60
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def quoted(page: Path, program: str) -> list[str]:
    """The command lines that start with `program`, in code blocks and between backticks."""
    text = page.read_text(encoding="utf-8")
    lines = [line.split("  #")[0].strip() for block in FENCE.findall(text) for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    return [line for line in lines if line.startswith(program)]


COMMANDS = sorted({line for page in PAGES for line in quoted(page, "python -m bench ")})
MODULES = sorted({line.split()[2] for page in PAGES for line in quoted(page, "python -m bench.")})


def test_the_program_has_one_name_in_all_texts() -> None:
    """`python -m bench`; nox makes its environment, which the README alone speaks of. latentbench is the project, and begins messages."""
    names = "|".join(sorted(command.name or command.callback.__name__ for command in app.registered_commands if command.callback))
    other = re.compile(rf"nox -s bench|latentbench (?:--help\b|(?:{names})[ `])|python -m latentbench")
    texts = {page: page.read_text(encoding="utf-8") for page in [*PAGES, *SOURCES] if page.parent != ROOT}
    assert [str(page.relative_to(ROOT)) for page, text in texts.items() if other.search(text)] == []
    assert other.search("`latentbench run --suite digits`")


def parse(line: str) -> tuple[str, dict[str, object]]:
    """The subcommand of `python -m bench ...` and its values; raises what the command line would."""
    command: Any = command_of(app)
    words, names = shlex.split(line)[3:], list[str]()
    while words and words[0] in getattr(command, "commands", {}):
        names.append(words[0])
        command = command.commands[words.pop(0)]
    assert not hasattr(command, "commands"), f"{line}: {words[:1]} is not one of {list(command.commands)}"
    return " ".join(names), command.make_context(names[-1], words).params if words else {}  # a bare name is a mention of the command


@pytest.mark.parametrize("line", COMMANDS)
def test_a_quoted_command_parses(line: str) -> None:
    parse(line)


def test_a_quoted_module_can_be_run() -> None:
    assert MODULES
    sources = {name: ROOT / f"{name.replace('.', '/')}.py" for name in MODULES}
    assert [
        name for name, path in sources.items() if not path.exists() or '__name__ == "__main__"' not in path.read_text(encoding="utf-8")
    ] == []


def test_a_command_that_does_not_exist_is_noticed() -> None:
    with pytest.raises(AssertionError, match="traain"):
        parse("python -m bench traain --suite digits")
    with pytest.raises(Exception, match="--sweet"):
        parse("python -m bench run --sweet digits")


def test_the_readme_shows_every_command() -> None:
    def leaves(command: object, name: str = "") -> list[str]:
        inner = getattr(command, "commands", None)
        return [name] if inner is None else [leaf for key in inner for leaf in leaves(inner[key], f"{name} {key}".strip())]

    shown = {parse(line)[0] for line in quoted(ROOT / "README.md", "python -m bench ")}
    assert set(leaves(command_of(app))) - shown == set()


@pytest.mark.parametrize("line", [line for line in COMMANDS if re.search(r"--suite [a-z-]+( |$)", line)])
def test_a_quoted_command_names_suites_methods_and_keys_that_exist(line: str) -> None:
    words = shlex.split(line)
    value = {key: word for key, word in itertools.pairwise(words) if key.startswith("--")}
    methods = [*value.get("--methods", "").split(","), value.get("--method", "").replace("NAME", "")]
    overrides = (value["--set"],) if "--set" in value else ()
    assert reader.read(value["--suite"], overrides, tuple(filter(None, methods))).methods


def test_quoted_nox_sessions_exist() -> None:
    tree = ast.parse((ROOT / "noxfile.py").read_text(encoding="utf-8"))
    sessions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list}
    named = {name for page in PAGES for name in re.findall(r"nox[^`\n]*? -s (\w+)", page.read_text(encoding="utf-8"))}
    assert {"bench", "tests"} <= named <= sessions


def test_what_follows_nox_s_bench_parses_as_bench_run() -> None:
    """Options behind `--` are given to `python -m bench run`; `...` stands for any."""
    lines = {line for page in PAGES for line in quoted(page, "nox ") if "-s bench --" in line and not line.endswith("...")}
    for line in lines:
        parse("python -m bench run " + line.partition(" -- ")[2])
    pytests = argparse.ArgumentParser()
    pytests.add_argument("-m")
    pytests.add_argument("paths", nargs="*")
    quotes = [shlex.split(line)[3:] for page in PAGES for line in quoted(page, "python -m pytest ")]
    paths = [path for words in quotes for path in pytests.parse_known_args(words)[0].paths]
    assert paths
    assert all(ROOT.joinpath(path).exists() for path in paths)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_paths_in_backticks_exist(page: Path) -> None:
    """`bench/training/train.py` and the like; capitals and <> stand for any name, and runs/ for what a run leaves."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    paths = re.findall(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]+)`", text)
    assert [path for path in paths if not re.search(r"[A-Z]{2,}", path) and not (ROOT / path).exists()] == []


def test_ci_runs_the_readmes_test_command() -> None:
    readme, ci = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", ".ci/run"))
    commands = [line.split("  #")[0].strip() for line in readme.splitlines() if line.startswith("python3 -m venv")]
    assert len(commands) == 2
    assert ci.strip().splitlines()[-1] == commands[1]
    assert "set -euo pipefail" in ci
    assert (ROOT / ".ci/run").stat().st_mode & 0o111
    subprocess.run(["bash", "-n", ROOT / ".ci/run"], check=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    targets = [target for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    broken = [target for target in targets if not resolves(page, target)]
    assert broken == []


def resolves(page: Path, target: str) -> bool:
    """Whether a relative link of `page` points to a file, and its anchor to a heading of it."""
    name, _, anchor = target.partition("#")
    path = page.parent / name if name else page
    if not path.exists():
        return False
    return not anchor or anchor in anchors(path.read_text(encoding="utf-8"))


def anchors(text: str) -> set[str]:
    """What a page can be linked to at: its headings as GitHub spells them, and the places that it names itself."""
    headings = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.MULTILINE)
    spelt = {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
    return spelt | set(re.findall(r"<a id=\"([\w.-]+)\">", text))


def test_a_broken_link_is_noticed() -> None:
    readme = ROOT / "README.md"
    assert resolves(readme, "README.md#adding-your-own")
    assert not resolves(readme, "README.md#nowhere")
    assert not resolves(readme, "leaderboards/nothing.md")
    assert resolves(readme, "docs/specification.md#t42")
    assert not resolves(readme, "docs/specification.md#t99")
    assert anchors("# A `b`, c\n```sh\n# not a heading\n```\n") == {"a-b-c"}


def test_modules_and_functions_are_small() -> None:
    def long(path: Path) -> list[str]:
        text = path.read_text(encoding="utf-8")
        functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
        sizes = [(str(path.relative_to(ROOT)), text.count("\n"), MODULE_LINES)]
        sizes += [(f"{sizes[0][0]}: {f.name}", (f.end_lineno or 0) - f.lineno + 1, FUNCTION_LINES) for f in functions]
        return [f"{name} has {lines} lines" for name, lines, limit in sizes if lines > limit]

    assert [line for path in SOURCES for line in long(path)] == []
