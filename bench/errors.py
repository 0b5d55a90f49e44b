"""What a user did wrong, said in one line: it names the place, the value, what is allowed and the near name."""

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """A mistake of the user's or a limit of the machine; the command line prints it and exits with 2."""


class RunError(Exception):
    """One run cannot go on, the others can: its row says `failed` and why, and the command exits with 1."""


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """`unknown method 'wae_mdm'; did you mean 'wae_mmd'? known: ae, ...`"""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ";"
    return f"unknown {what} {name!r}{hint} known: {', '.join(names) or 'none'}"
