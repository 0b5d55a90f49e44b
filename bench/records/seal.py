"""A digest of a line's content in the line, by which a change is noticed; lines from before 0.3 have none."""

import json
from typing import Any

from bench.records.record import Line
from bench.suites.schema import canonical, digest

DIGEST = "digest"  # the field's name


def sealed(line: Line) -> Line:
    """The line with the digest of what a reader of its JSON will find."""
    return {**line, DIGEST: digest(json.loads(canonical(line)))}


def check_seal(line: Any) -> None:
    """ValueError where a line's digest is not that of its content."""
    if line.get(DIGEST) not in (None, digest({name: field for name, field in line.items() if name != DIGEST})):
        raise ValueError(f"it has been changed since it was written: its {DIGEST} is that of another content")
