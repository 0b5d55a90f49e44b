"""What an examination of a machine says: one finding each, those that ask for something with their remedy. No torch here."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

State = Literal["good", "note", "warning", "fault"]
SEVERITY: dict[State, int] = {"good": 0, "note": 0, "warning": 1, "fault": 2}  # exit codes


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    note: something that is absent or left over, and stops nothing. warning: runs start, but some fail, are slow or are measured
    wrongly. fault: no run can be started or kept.
    """

    area: str
    state: State
    says: str
    remedy: str = ""  # what to do about it; "" where nothing need be done


def exit_code(findings: Iterable[Finding]) -> int:
    """That of the worst finding."""
    return max((SEVERITY[finding.state] for finding in findings), default=0)


def some(names: Iterable[object], most: int = 3) -> str:
    """The first few of many, and how many more there are."""
    words = [str(name) for name in names]
    more = f" and {len(words) - most} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
