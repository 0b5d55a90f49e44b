"""What a user did wrong, said in one line: it names the place, the value, what is allowed and the near name."""

import difflib
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

MOST = 1800  # letters of a line: of a longer one, its beginning and its end, which say where it is and what to do


def printable(text: str) -> str:
    """The text on one line, with escapes for whatever else a terminal would act on: a name in a file may hold anything."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


class OneLine(Exception):
    """Says what is wrong in one line, whatever is in the names and values that it quotes and however long they are."""

    def __init__(self, text: str = ""):
        line = printable(text)
        super().__init__(line if len(line) <= MOST else f"{line[: MOST // 2]} ... {line[-MOST // 3 :]}")


class UserError(OneLine):
    """A user error, or a limit of the machine; the command line prints it and exits with 2."""


class RunError(OneLine):
    """One run cannot go on, the others can: its row says `failed` and why, and the command exits with 1."""


class Terminated(BaseException):
    """SIGTERM: this process is to end. No SystemExit, which someone else's code may raise too."""


FOREIGN = (Exception, SystemExit)  # what someone else's code may raise: `sys.exit(0)` in it must not end a command as if all were done


# of Python, torch on a GPU, torch on the CPU, and CUDA's libraries, in a line of an error
NO_MEMORY = ("MemoryError: ", "can't allocate memory", "ALLOC_FAILED")


def is_of_memory(line: str) -> bool:
    """Whether a line, as of `in_a_line`, says that memory ran out."""
    return any(words in line for words in NO_MEMORY)


def in_a_line(error: BaseException) -> str:
    """`ValueError: message (file.py, line 3)`: an exception of someone else's code, and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:400] + place


@contextmanager
def of_extra(extra: str, packages: Iterable[str], what: str) -> Iterator[None]:
    """Around imports: UserError where a package of an extra is not installed, which `what` needs. Others' absence is their own error."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in packages:
            raise
        raise UserError(f"{what} needs the package {error.name}: pip install 'latentbench[{extra}]'") from None


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """`unknown method 'wae_mdm'; did you mean 'wae_mmd'? known: ae, ...`"""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    return f"unknown {what} {name!r}{hint} known: {', '.join(names) or 'none'}"
