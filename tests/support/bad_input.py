"""One bad input: how it is made, the command that meets it, and the one line that a user gets; docs/bad-input.md shows all of them.

`…` in a line stands for any text. Every command is given in a folder that holds `tiny.toml`, `plugin.py`, and in `out/` the finished
runs of that suite. What it says is on standard error, and nothing in the folder changes.
"""

import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.markdown import table

SEVEN = ["rec_sse_test", "rec_sse_train", "overfit_gap", "overfit_ratio", "pca_sse_test", "nn_distance_test", "active_units"]
RUN = "run -s tiny.toml -o out --jobs 1"
SECTIONS: dict[str, dict[str, str]] = {  # of tiny.toml, each line by its key
    "": {
        "question": 'question = "Does it hold?"',
        "hardware": 'hardware = "any"',
        "expected_time": 'expected_time = "seconds"',
        "dataset": 'dataset = "digits"',
        "network": 'network = "mlp"',
        "latent_dim": "latent_dim = 2",
        "batch_size": "batch_size = 100",
        "plugins": 'plugins = ["plugin.py"]',
        "metrics": f"metrics = {SEVEN}",
    },
    "budget": {"steps": "steps = 4"},
    "methods.ae": {},
    "methods.wae_gan": {"width": "width = 8"},
}

PLUGIN = """
from models.vae import ae

def mine(dim):
    "A method of one's own."
    return ae(dim)

METHODS = [mine]
"""

Make = Callable[[Path], object]  # changes what is in the folder


@dataclass(frozen=True)
class Bad:
    """A bad input and what is said of it."""

    group: str  # of the page
    shown: str  # the input, as the page has it
    says: str
    make: Make = lambda folder: None
    arguments: str = RUN
    code: int = 2
    environment: Mapping[str, str] = field(default_factory=dict)

    def agrees(self, line: str) -> bool:
        """Whether a line is what this input must give."""
        return bool(re.fullmatch(".*".join(map(re.escape, self.says.split("…"))), line))


def toml(sections: Mapping[str, Mapping[str, str]]) -> str:
    """The text of a suite file."""
    return "\n".join(f"{f'[{name}]' if name else ''}\n" + "\n".join(lines.values()) + "\n" for name, lines in sections.items())


def edited(line: str, section: str = "") -> Make:
    """tiny.toml with that line in that section, in place of the line of the same key; without that key if the line is only a key."""
    key = line.partition("=")[0].strip()
    lines = {name: dict(content) for name, content in SECTIONS.items() if name != f"{section}.{key}".strip(".")}
    lines.setdefault(section, {})[key] = line if "=" in line else ""
    return lambda folder: (folder / "tiny.toml").write_text(toml(lines), encoding="utf-8")


def suite(text: str | bytes, name: str = "tiny.toml") -> Make:
    """A suite file with that content."""
    return lambda folder: (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())


def key(line: str, says: str, section: str = "") -> Bad:
    """A line of tiny.toml; what is said begins with the file."""
    return Bad("Keys of a suite file", f"[{section}] {line}" if section else line, f"tiny.toml: {says}", edited(line, section))


def values(name: str, must: str, *wrong: str, section: str = "") -> list[Bad]:
    """A key with each of those values, in TOML: it must be something else."""
    shown = [tomllib.loads(f"value = {value}")["value"] for value in wrong]
    where = f"{section}.{name}".strip(".")
    return [
        key(f"{name} = {value}", f"{where} must be {must}, not {as_python!r}", section)
        for value, as_python in zip(wrong, shown, strict=True)
    ]


HEAD = """# Bad input

What a user does wrong is one line on standard error that names the file, the key and the value, says what is allowed, and suggests
the near name where there is one. The exit code is 2, nothing was written, and no trace of Python's calls is shown. Exit code 1 is for
what is wrong with single runs or metrics: the others are done. Below is each of the {count} inputs that a test gives to the commands,
with what it is told; `…` stands for any text.

Written by `python tests/support/bad_input_page.py docs` from the tables in `tests/support`, which
`tests/bench/commands/test_bad_input.py` runs.
"""


def short(text: str) -> str:
    """A text of thousands of letters, such as a number of 400 digits, by its beginning."""
    return text if len(text) <= 300 else f"{text[:120]}…{text[-60:]}"


def page(every: Sequence[Bad]) -> str:
    """docs/bad-input.md."""
    blocks = [HEAD.format(count=len(every)).rstrip()]
    for group in dict.fromkeys(bad.group for bad in every):
        own = [(code(short(bad.shown)), code(short(bad.says)), str(bad.code)) for bad in every if bad.group == group]
        blocks += [f"## {group}", table(("input", "line on standard error", "exit code"), own)]
    return "\n\n".join(blocks) + "\n"


def code(text: str) -> str:
    """A text as Markdown shows code, which has no line ends."""
    fence = "``" if "`" in text else "`"
    return f"{fence}{' '.join(text.split())}{fence}"
