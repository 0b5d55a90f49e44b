"""`python -m bench export`, `compare` and `merge`: what is made from records alone. No torch here."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import HERE, Name, Set, names_in, path
from bench.errors import UserError
from bench.files import write
from bench.suites import reader
from bench.suites.names import argument

STDOUT = Path("-")
From = Annotated[Path, typer.Option("--from", parser=path, metavar="PATH", help="Folder that has leaderboards/.")]
Metrics = Annotated[str | None, typer.Option("--metrics", help="Only these: rec_sse_test,fid. All, if not said.")]


def export(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A suite's name, or the path of a suite file of your own.")],
    overrides: Set = None,
    name: Name = None,
    metrics: Metrics = None,
    csv: Annotated[bool, typer.Option("--csv", help="A line for each row and metric.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Rows, columns and cells: docs/exports.md.")] = False,
    latex: Annotated[bool, typer.Option("--latex", help="The first screen as a table for a paper.")] = False,
    parquet: Annotated[bool, typer.Option("--parquet", help="The lines of --csv; needs pyarrow and a file.")] = False,
    out: Annotated[Path, typer.Option("--out", "-o", parser=path, metavar="FILE", help="A file; - is standard output.")] = STDOUT,
    folder: From = HERE,
) -> None:
    """Write a suite's leaderboard in another form, from its records: means, intervals, tiers and the values of every seed."""
    kinds = {"--csv": csv, "--json": json, "--latex": latex, "--parquet": parquet}
    asked = [option for option, given in kinds.items() if given]
    if len(asked) != 1:
        raise UserError(f"export: give exactly one of {', '.join(kinds)}; {' and '.join(asked) or 'none of them'} was given")
    if parquet and out == STDOUT:
        raise UserError("--parquet needs a file, which is not text: --out FILE")
    chosen = names_in("--metrics", metrics)
    whole = reader.read(suite, tuple(overrides or ()), name=name)
    from bench.leaderboard.exports import write as exports
    from bench.records.store import Store

    records = Store(folder, whole.name).records()
    if not records:
        file = folder / "leaderboards" / "runs" / f"{whole.name}.jsonl"
        raise UserError(f"{file}: no records of suite {whole.name}; train its runs with: python -m bench run --suite {argument(whole)}")
    content = exports.WRITERS[asked[0]](whole, records, chosen)
    if out == STDOUT:
        sys.stdout.write(content.decode())
    else:
        write(out, content)
        print(out)


def compare(
    first: Annotated[str, typer.Argument(metavar="A", help="SUITE/ROW, FILE/ROW, or a file of records: all its rows.")],
    second: Annotated[str, typer.Argument(metavar="B", help="The same, of what A is compared with.")],
    metrics: Metrics = None,
    folder: From = HERE,
) -> None:
    """Compare two rows metric by metric: the paired difference, its t interval, and whether tiers of the two would part them.

    Exit code 0 whatever the verdicts; 2 where the two cannot be compared.
    """
    chosen = names_in("--metrics", metrics)
    from bench.commands import compare as command

    command.compare(first, second, folder, chosen)


def merge(
    files: Annotated[list[str], typer.Argument(metavar="FILES...", help="Files of records of one suite, or of its profiles.")],
    out: Annotated[Path, typer.Option("--out", "-o", parser=path, metavar="FILE", help="The file that gets all records.")],
) -> None:
    """Put records of several machines into one file: equal ones once; where two of one run differ, both are named.

    Exit code 0: written; 1: records of one run differ, and nothing was written; 2: a file is none of these.
    """
    from bench.records.merge import conflicts, read_all, save

    found = read_all([Path(file) for file in files])
    if lines := conflicts(found):
        for line in lines:
            print(f"latentbench: {line}", file=sys.stderr)
        print("latentbench: nothing was written; delete one line of each pair", file=sys.stderr)
        raise typer.Exit(1)
    print(f"{out}: {save(out, found)} records")
