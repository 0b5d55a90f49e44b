"""A leaderboard as one table, a line for each row and metric: CSV, and parquet through pyarrow. No torch here.

CSV: RFC 4180, lines end with CR LF. A text that a spreadsheet would take for a formula has an apostrophe before it (OWASP, CSV
Injection); numbers, negative ones too, are as they are.
"""

import csv
import io
from typing import Any

from bench.errors import UserError
from bench.leaderboard.exports.contents import Export

FIELDS = {  # of a line, and their types as Arrow calls them; after them seed_0, seed_1, ..., which are doubles
    **dict.fromkeys(("suite", "row", "state", "metric", "group", "unit", "better"), "string"),
    **dict.fromkeys(("mean", "half_width"), "double"),
    **dict.fromkeys(("seeds", "tier", "first_rank", "last_rank"), "int64"),
    "wide": "bool",
    **dict.fromkeys(("unranked", "absent", "protocol", "code"), "string"),
}
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet computes


def lines_of(export: Export) -> tuple[list[str], list[dict[str, Any]]]:
    """The fields, and a line for each row and metric; the last fields are the values seed by seed, None where there is none."""
    states = {entry["name"]: entry["state"] for entry in export["rows"]}
    columns: dict[str, dict[str, Any]] = {entry["name"]: {**entry} for entry in export["columns"]}
    seeds = sorted({int(seed) for cell in export["cells"] for seed in cell["values"]})
    lines = []
    for cell in export["cells"]:
        column, (first, last) = columns[cell["column"]], cell["ranks"] or (None, None)
        line: dict[str, Any] = {"suite": export["suite"], "row": cell["row"], "state": states[cell["row"]], "metric": cell["column"]}
        line |= {name: column[name] for name in ("group", "unit", "better", "protocol", "code")}
        line |= {name: of for name, of in cell.items() if name in FIELDS and name not in line}
        line |= {"seeds": len(cell["values"]), "first_rank": first, "last_rank": last}
        lines.append(line | {f"seed_{seed}": cell["values"].get(str(seed)) for seed in seeds})
    return [*FIELDS, *(f"seed_{seed}" for seed in seeds)], lines


def as_csv(export: Export) -> str:
    """The table as CSV, with all digits of every number."""
    fields, lines = lines_of(export)
    text = io.StringIO()
    writer = csv.writer(text)  # its usual dialect: a comma, quotes where they are needed, CR LF
    writer.writerows([fields, *([spelt(line[name]) for name in fields] for line in lines)])
    return text.getvalue()


def spelt(value: object) -> object:
    """A cell's text: nothing for None, true or false, no formula."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def as_parquet(export: Export) -> bytes:
    """The table as a parquet file; UserError without pyarrow."""
    try:
        import pyarrow as pa
        from pyarrow import parquet
    except ImportError:
        raise UserError("--parquet is written by pyarrow, which is not installed: pip install 'latentbench[parquet]'") from None
    fields, lines = lines_of(export)
    schema = pa.schema([(name, pa.type_for_alias(FIELDS.get(name, "double"))) for name in fields])
    sink = pa.BufferOutputStream()
    parquet.write_table(pa.Table.from_pylist(lines, schema), sink)
    return bytes(sink.getvalue())
