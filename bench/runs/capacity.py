"""Whether rows that are to be compared have equally many trained values."""

from collections.abc import Sequence

from bench.errors import UserError
from bench.runs.prepare import Prepared


def check_capacity(rows: Sequence[Prepared], tolerance: float | None) -> None:
    """UserError where trained parameters of rows differ by more than that share of the smallest count; None: they may."""
    counts: dict[int, list[str]] = {}
    for row in rows:
        counts.setdefault(row.parameter_count, []).append(row.run.label)
    if tolerance is not None and max(counts) > (1 + tolerance) * min(counts):
        said = "; ".join(f"{', '.join(counts[count])}: {count:,}" for count in sorted(counts))
        raise UserError(f"equal_capacity: trained parameters differ by more than {tolerance:g} of the smallest count: {said}")
