"""A leaderboard's first screen as a LaTeX table for a paper: booktabs, intervals, the first tier in bold. No torch here.

It needs `\\usepackage{booktabs}` and compiles with pdfLaTeX; other letters than those of Western Europe and Greek need LuaLaTeX.
"""

import re
import unicodedata
from collections.abc import Sequence

from bench.errors import UserError
from bench.leaderboard import first_screen
from bench.leaderboard.exports.contents import Board
from bench.leaderboard.headline import Head, heads, names
from bench.leaderboard.rows import ABSENT, Row, network_of
from bench.leaderboard.standing import Standing, head_standing
from bench.leaderboard.statistics import figures, mean_and_interval
from bench.markdown import counted
from bench.suites.schema import MOST_HEADS

ARROWS = {"lower": r" $\downarrow$", "higher": r" $\uparrow$", "target": r" $\rightarrow$"}
CAPITALS = ("GAMMA", "DELTA", "THETA", "LAMDA", "XI", "PI", "SIGMA", "UPSILON", "PHI", "PSI", "OMEGA")  # that LaTeX has
WIDE, LOST, OTHER = r"{}^{\sim}", r"$^{\dagger}$", r"$^{\ddagger}$"
SPECIAL = {letter: f"\\{letter}" for letter in "{}$&#_%"} | {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "–": "--",
    "—": "---",
    "…": r"\dots{}",
    "‖": r"$\|$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "·": r"$\cdot$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "→": r"$\rightarrow$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
}


def as_latex(board: Board, metrics: Sequence[str] = ()) -> str:
    """The table environment, with the columns of the suite's first screen or those of the chosen metrics.

    UserError for more of these than a page has room for, or where no run has a value.
    """
    if len(metrics) > MOST_HEADS:
        raise UserError(f"--metrics: a LaTeX table has room for {MOST_HEADS} columns, not {len(metrics)}")
    shown = heads(metrics or names(board.suite), board.columns, board.rows)
    now = [row for row in board.rows if row.done() and not row.stale]
    if not shown or not now:
        raise UserError(
            f"leaderboard {board.suite.name}: no finished run of the suite as it is now has a value, so that no table can be made"
        )
    standings = [head_standing(head, board.rows, board.apart) for head in shown]
    lines = []
    for row in first_screen.order(standings, now):
        cells = [cell(head, found, row) for head, found in zip(shown, standings, strict=True)]
        place = escaped(first_screen.place(row, standings[0], board.apart, board.suite.seeds))
        lines.append(" & ".join([place, name(row, board), *cells]) + r" \\")
    title = " & ".join(["Rank", "Method", *(escaped(head.title) + ARROWS.get(head.better, "") for head in shown)])
    return "\n".join(
        [
            f"% leaderboard {board.suite.name}, by python -m bench export --latex; the preamble needs \\usepackage{{booktabs}}",
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{caption(board, shown, standings, now)}}}",
            rf"  \label{{tab:{re.sub('[^A-Za-z0-9-]', '-', board.suite.name)}}}",
            rf"  \begin{{tabular}}{{rl{'r' * len(shown)}}}",
            r"    \toprule",
            rf"    {title} \\",
            r"    \midrule",
            *(f"    {line}" for line in lines),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def caption(board: Board, shown: Sequence[Head], standings: Sequence[Standing], rows: Sequence[Row]) -> str:
    """What the table shows and what its marks mean: only those that are in it."""
    suite, seeds = board.suite, max(len(row.done()) for row in rows)
    interval = f"mean $\\pm$ half width of the 95\\,\\% $t$ interval over {counted(seeds, 'training seed')}" if seeds > 1 else "one seed"
    said = [
        escaped(suite.question),
        f"{escaped(f'{suite.dataset}, {network_of(suite, rows)}, {suite.latent_dim} latents')}: {interval}"
        + ("; costs: least to most." if any(head.columns[0].group == "cost" for head in shown) else "."),
        f"Rank: those that a row's tier fills by {escaped(shown[0].title)}." * bool(standings[0].rows),
        "Bold: the first tier." * any(found.tiers.best() for found in standings),
        f"${WIDE}$: too wide to say on which side of the first tier's edge the row belongs." * any(found.tiers.wide for found in standings),
        f"{LOST}: runs diverged or failed; not ranked." * any(row.has_losses() for row in rows),
        f"{OTHER}: a code of another length; not ranked." * any(row.name in board.apart for row in rows),
    ]
    return " ".join(filter(None, said))


def name(row: Row, board: Board) -> str:
    """The row's name with the marks that hold in all of its columns."""
    return rf"\texttt{{{escaped(row.name)}}}" + OTHER * (row.name in board.apart) + LOST * row.has_losses()


def cell(head: Head, found: Standing, row: Row) -> str:
    """A mean with its interval, bold in the first tier if there are two or more; of a cost the least and the most."""
    if head.columns[0].group == "cost":
        return escaped(first_screen.column(head, found, [row], {})[row.name])
    values = list(head.values(row).values())
    if not values:
        return escaped(ABSENT)
    number = f"${in_math(figures(*mean_and_interval(values), digits=1))}{WIDE * (row.name in found.tiers.wide)}$"
    return rf"{{\boldmath {number}}}" if row.name in found.tiers.best() else number


def in_math(number: str) -> str:
    r"""`(1.23 \pm 0.12) \times 10^{-4}` of `(1.23 ± 0.12)e-04`."""
    power = re.sub(r"e([+-]\d+)", lambda found: rf" \times 10^{{{int(found[1])}}}", number)
    return power.replace(",", "{,}").replace("±", r"\pm").replace("over ", r"\mbox{over }")


def escaped(text: str) -> str:
    """A text as LaTeX prints it, on one line."""
    return "".join(letter_of(letter) for letter in " ".join(text.split()))


def letter_of(letter: str) -> str:
    """A letter as LaTeX prints it; Greek ones by name, in mathematics, but for those that look like Latin ones."""
    greek = re.fullmatch(r"GREEK (SMALL|CAPITAL) LETTER (\w+)", unicodedata.name(letter, ""))
    if not greek or greek[2] == "OMICRON" or (greek[1] == "CAPITAL" and greek[2] not in CAPITALS):
        return SPECIAL.get(letter, letter)
    name = greek[2].replace("LAMDA", "LAMBDA").lower()
    return rf"$\{name if greek[1] == 'SMALL' else name.capitalize()}$"
