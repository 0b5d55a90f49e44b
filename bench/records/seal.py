"""A digest of a line's content in the line, by which a change is noticed; lines from before 0.3 have none."""

import json

from bench.records.check import unwritable
from bench.records.record import Line
from bench.suites.schema import canonical, digest

DIGEST = "digest"  # the field's name


def sealed(line: Line) -> Line:
    """The line with the digest of what a reader of its JSON will find."""
    return {**line, DIGEST: digest(json.loads(canonical(line)))}


def check_seal(line: Line) -> None:
    """ValueError where a line's digest is not that of its content, or the content could not be written again."""
    content = {name: field for name, field in line.items() if name != DIGEST}
    try:
        found = digest(content)
    except ValueError:
        raise ValueError(unwritable("", content)) from None
    if line.get(DIGEST) not in (None, found):
        raise ValueError(f"it has been changed since it was written: its {DIGEST} is that of another content")
