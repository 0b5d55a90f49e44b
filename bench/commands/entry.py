"""What surrounds every command: signals, streams that close, and a user's mistake as one line and exit code 2."""

import importlib.util
import io
import os
import signal
import sys
from functools import cache
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, TextIO, cast

import typer
from typer.main import get_command

from bench.errors import Terminated, UserError

NAME = "python -m bench"
ROOT = Path(__file__).resolve().parents[2]
GOING_ON = (["run"], ["search"])  # commands that train
ENDS = {130: "interrupted", 143: "terminated"}  # exit codes of Ctrl-C and of SIGTERM, as shells have them


def enter(app: typer.Typer) -> None:
    """Run the command of `sys.argv` and end this process with its exit code."""
    signal.signal(signal.SIGTERM, terminate)
    open_streams()
    try:
        code = run(app)
        sys.stdout.flush()  # here, where what it raises is met
    except UserError as error:
        code = 2
        print(f"latentbench: {error}", file=sys.stderr)
    except typer.TyperException as error:  # an option that is none, a value that it cannot have
        code, text = 2, error.format_message()
        no_command = text.startswith("Usage:")  # then it is the help of a group of commands
        print(text if no_command else f"latentbench: {' '.join(text.split())}; see: {NAME} --help", file=sys.stderr)
    except OSError as error:
        code = 2
        silence(sys.stdout)
        print(f"latentbench: {error.filename or 'standard output'}: {error.strerror}", file=sys.stderr)
    if code in ENDS:
        then = "the same command goes on from the last checkpoint" if sys.argv[1:2] in GOING_ON else "nothing that was written is lost"
        print(f"latentbench: {ENDS[code]}; {then}", file=sys.stderr)
    sys.exit(code)


def terminate(number: int, frame: FrameType | None) -> NoReturn:
    """What SIGTERM does: everything is left in order, as after Ctrl-C."""
    raise Terminated


def run(app: typer.Typer) -> int:
    """The command's exit code; raises what it raises but for the ends of a process."""
    check_packages()
    try:
        return int(command_of(app)(prog_name=NAME, standalone_mode=False) or 0)
    except SystemExit as end:
        return int(end.code or 0)
    except Terminated:
        return 143


@cache
def command_of(app: typer.Typer) -> Any:
    """An app's command with all below it, which typer would build anew at each call."""
    return get_command(app)


def check_packages() -> None:
    """UserError where Python finds another's package by the name of one of ours, as in a folder that has a `models` of its own."""
    for name in ("models", "metrics"):
        spec = importlib.util.find_spec(name)
        places = list(spec.submodule_search_locations or filter(None, [spec.origin])) if spec else []
        if places and ROOT / name not in [Path(place).resolve() for place in places]:
            raise UserError(f"{places[0]} hides latentbench's own package {name!r}; start it from another folder, or rename that")


class Stream:
    """A standard stream whose reader may have gone, as in `| head`: what nobody can read is dropped, and the work goes on."""

    def __init__(self, stream: TextIO):
        self.stream = stream

    def write(self, text: str) -> int:
        """As of any stream."""
        try:
            return self.stream.write(text)
        except BrokenPipeError:
            silence(self.stream)
            return len(text)

    def flush(self) -> None:
        """As of any stream."""
        try:
            self.stream.flush()
        except BrokenPipeError:
            silence(self.stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def open_streams() -> None:
    """Standard output and error that take every character, and that may be closed."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed before we began: a file of ours would take its place
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without ↓ or × is no reason to stop
            setattr(sys, name, cast(TextIO, Stream(stream)))


def silence(stream: TextIO) -> None:
    """Nothing that is still to be written there is worth another error."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def check_installed(command: str, *modules: str) -> None:
    """UserError that names the packages which a command would miss later, once it has measured for minutes."""
    missing = [name.replace("_", "-") for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(f"{command} needs {', '.join(missing)}, not installed here; python -m pip install {' '.join(missing)}")
