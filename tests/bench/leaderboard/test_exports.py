"""Exports against values worked out by hand, the leaderboard, readers of their formats, and names that want to do something."""

import csv
import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from harness import cli
from made_up_records import SUITE, lost, metric, record

from bench.leaderboard.exports.contents import Export, board_of, export
from bench.leaderboard.exports.flat import FORMULA
from bench.leaderboard.exports.latex import as_latex, escaped, in_math
from bench.leaderboard.exports.write import csv_of, json_of, latex_of, parquet_of
from bench.leaderboard.rows import ABSENT
from bench.leaderboard.statistics import figures
from bench.records.check import check
from bench.records.store import Store
from bench.suites import reader
from bench.suites.schema import Entry

ROOT = Path(__file__).parents[3]
THREE = replace(SUITE, seeds=3)
FIRST, SECOND = (1.0, 2.0, 3.0), (12.0, 11.0, 13.0)  # standard deviation 1: the half width is t_2(0.975) / √3
HALF = 4.302652729911275 / 3**0.5


def board(**rows: Sequence[float]) -> list[dict[str, Any]]:
    """Records of rows with those values of one metric, seed by seed."""
    return [record(row, seed, {"mig": metric(value)}, THREE) for row, values in rows.items() for seed, value in enumerate(values)]


RECORDS = board(vae=FIRST, ae=SECOND)


def lines(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_line_of_the_csv_by_hand() -> None:
    found = {line["row"]: line for line in lines(csv_of(THREE, RECORDS).decode()) if line["metric"] == "mig"}
    vae, ae = found["vae"], found["ae"]
    assert (float(vae["mean"]), float(vae["half_width"])) == pytest.approx((2.0, HALF))
    assert (float(ae["mean"]), float(ae["half_width"])) == pytest.approx((12.0, HALF))
    assert [vae[f"seed_{seed}"] for seed in range(3)] == ["1.0", "2.0", "3.0"]
    assert (vae["seeds"], vae["tier"], vae["first_rank"], vae["last_rank"], vae["wide"]) == ("3", "1", "1", "1", "false")
    assert (ae["tier"], ae["first_rank"], ae["last_rank"]) == ("2", "2", "2")
    assert (vae["state"], vae["unit"], vae["better"], vae["protocol"], vae["unranked"]) == (
        "current",
        "SSE",
        "lower",
        "test images; v1",
        "",
    )
    cost = next(line for line in lines(csv_of(THREE, RECORDS).decode()) if line["metric"] == "train_seconds")
    assert (cost["group"], cost["tier"], cost["unranked"]) == ("cost", "", "")


def test_every_row_meets_every_metric_and_says_why_it_has_no_value() -> None:
    records = [
        *board(vae=FIRST, ae=SECOND),
        *(record("vcae", seed, {"mig": metric(None)}, THREE) for seed in range(3)),
        *board(wae_mmd=(5.0, 6.0)),
        lost("wae_mmd", 2, "diverged", "nan"),
    ]
    found = {(line["row"], line["metric"]): line for line in lines(csv_of(THREE, records).decode())}
    assert len(found) == 4 * 2
    assert (found["vcae", "mig"]["mean"], found["vcae", "mig"]["absent"], found["vcae", "mig"]["seeds"]) == ("", "no density", "0")
    assert (found["wae_mmd", "mig"]["unranked"], found["wae_mmd", "mig"]["seed_2"]) == ("lost runs", "")
    stale = [record("vae", seed, {"mig": metric(float(seed))}, replace(THREE, batch_size=7)) for seed in range(3)]
    states = {
        line["row"]: (line["state"], line["unranked"]) for line in lines(csv_of(THREE, [*board(ae=FIRST, vcae=SECOND), *stale]).decode())
    }
    assert sorted(states.values()) == [("current", ""), ("current", ""), ("stale", "")]  # the last one of costs, which have no rank


def test_the_csv_follows_rfc_4180_and_no_text_is_a_formula() -> None:
    nasty = 'a "quoted", one\nwith a second line'
    formulas = [f"{start}HYPERLINK(1)" for start in FORMULA]
    records = [
        record(
            "vae", seed, {name: metric(-1.5, protocol) for name, protocol in zip(["x", *formulas], [nasty, *formulas], strict=True)}, THREE
        )
        for seed in range(3)
    ]
    text = csv_of(THREE, records).decode()
    assert text.count("\r\n") == len(lines(text)) + 1
    found = {line["metric"]: line for line in lines(text)}
    assert found["x"]["protocol"] == nasty
    assert found["x"]["mean"] == found["x"]["seed_0"] == "-1.5"
    assert all(found[f"'{formula}"]["protocol"] == f"'{formula}" for formula in formulas)
    assert not [cell for line in lines(text) for cell in line.values() if cell.startswith(FORMULA) and cell != "-1.5"]


def test_the_json_has_the_form_that_is_documented() -> None:
    found = json.loads(json_of(THREE, RECORDS))
    check(found, Export)
    assert found == export(board_of(THREE, RECORDS))
    (cell,) = (cell for cell in found["cells"] if (cell["row"], cell["column"]) == ("vae", "mig"))
    assert (cell["mean"], cell["half_width"], cell["values"]) == (2.0, pytest.approx(HALF), {"0": 1.0, "1": 2.0, "2": 3.0})
    assert (cell["tier"], cell["ranks"]) == (1, [1, 1])
    page = (ROOT / "docs" / "exports.md").read_text(encoding="utf-8")
    names = {*found, *(key for part in ("rows", "columns", "cells") for entry in found[part] for key in entry)}
    assert [name for name in names if f"`{name}`" not in page] == []
    assert [name for name in lines(csv_of(THREE, RECORDS).decode())[0] if f"`{name}`" not in page and name != "seed_2"] == []
    assert json_of(THREE, reversed(RECORDS)) == json_of(THREE, RECORDS)


def test_values_without_an_interval_that_a_double_holds() -> None:
    found = export(board_of(THREE, board(vae=(1.7e308, -1.7e308, 1.7e308), ae=(4.0,))))
    widths = {cell["row"]: (cell["mean"], cell["half_width"]) for cell in found["cells"] if cell["column"] == "mig"}
    assert widths == {"vae": (pytest.approx(1.7e308 / 3), None), "ae": (4.0, None)}
    json_of(THREE, board(vae=(1.7e308, -1.7e308, 1.7e308)))


@pytest.mark.parametrize("name", ["digits", "zoo"])
def test_exports_of_this_repository_say_what_its_boards_say(name: str) -> None:
    """The rows that a board has in bold under its first screen's first column are those of the export's first tier."""
    suite, records = reader.read(name), Store(ROOT, name).records()
    found = export(board_of(suite, records, ["rec_sse_test"]))
    page = (ROOT / "leaderboards" / f"{name}.md").read_text(encoding="utf-8").partition("\n## ")[0]
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("|"))
    shown = {row[1].rstrip("†‡"): row[head.index("SSE ↓")] for row in rows if row[head.index("SSE ↓")] != ABSENT}
    cells = {cell["row"]: cell for cell in found["cells"]}
    assert {row for row, text in shown.items() if text.startswith("**")} == {row for row, cell in cells.items() if cell["tier"] == 1}
    for row, text in shown.items():
        mean = cells[row]["mean"]
        assert mean is not None
        assert text.strip("*~") == figures(mean, cells[row]["half_width"], digits=1)


def test_chosen_metrics_may_lack_their_ends() -> None:
    records = [record("vae", s, {n: metric(1.0) for n in ("fid_pz", "fid_qz", "fid_gap", "mig")}, THREE) for s in range(3)]
    found = export(board_of(THREE, records, ["fid", "mig"]))
    assert [column["name"] for column in found["columns"]] == ["fid_pz", "fid_qz", "mig"]


# LaTeX


def test_a_latex_table_by_hand() -> None:
    suite = replace(THREE, headline=("mig",))
    text = as_latex(board_of(suite, RECORDS))
    body = text.partition(r"\midrule")[2].partition(r"\bottomrule")[0].split("\n")[1:-1]
    assert [line.strip() for line in body] == [
        r"1 & \texttt{vae} & {\boldmath $2 \pm 2$} \\",
        r"2 & \texttt{ae} & $12 \pm 2$ \\",
    ]
    assert r"Rank & Method & MIG $\downarrow$ \\" in text
    assert r"mean $\pm$ half width of the 95\,\% $t$ interval over 3 training seeds" in text
    assert "Bold: the first tier." in text
    assert structure(text) == []
    tied = as_latex(board_of(suite, board(vae=FIRST, ae=(1.1, 1.9, 3.1))))
    assert "boldmath" not in tied
    assert "Bold" not in tied


def test_numbers_names_and_words_as_latex_has_them() -> None:
    assert in_math("(1.23 ± 0.12)e-04") == r"(1.23 \pm 0.12) \times 10^{-4}"
    assert in_math("12,345 ± 67") == r"12{,}345 \pm 67"
    assert in_math("1.2 ± over 1.8e+308") == r"1.2 \pm \mbox{over }1.8 \times 10^{308}"
    assert escaped("a_b&c%d$e#f{g}\\~^") == r"a\_b\&c\%d\$e\#f\{g\}\textbackslash{}\textasciitilde{}\textasciicircum{}"
    assert escaped("σ² ≤ Σ\n\nΑ x") == r"$\sigma$² $\leq$ $\Sigma$ Α x"


def structure(text: str) -> list[str]:
    """What would not compile: braces, mathematics and environments that do not close, rows of another length, bare special letters."""
    faults, depth = list[str](), 0
    for brace in re.findall(r"(?<!\\)[{}]", text.replace("\\\\", "")):
        depth += 1 if brace == "{" else -1
        faults += ["a brace closes nothing"] * (depth < 0)
    faults += ["a brace is not closed"] * (depth != 0)
    opened = re.findall(r"\\(begin|end)\{(\w+)\}", text)
    faults += ["environments"] * (opened != [("begin", "table"), ("begin", "tabular"), ("end", "tabular"), ("end", "table")])
    width = len(re.findall(r"\\begin\{tabular\}\{(\w+)\}", text)[0])
    for line in text.partition(r"\toprule")[2].partition(r"\bottomrule")[0].splitlines():
        if line.strip() not in ("", r"\midrule"):
            faults += [f"columns of {line}"] * (len(re.findall(r"(?<!\\)&", line)) != width - 1 or not line.endswith(r" \\"))
    for line in text.splitlines()[1:]:
        outside = re.sub(r"(?<!\\)\$.*?(?<!\\)\$", "", line)
        faults += [f"special letters of {line}"] * bool(re.search(r"(?<!\\)[$#^_~%]", outside))
    return faults


NASTY = (r"\input{/etc/passwd}", "a_b & c % d", "$x$ #1 {", '^ ~ <b> | " σ² – ↓', "=1+1")


def test_no_name_of_a_user_s_breaks_the_table() -> None:
    assert structure(as_latex(board_of(replace(THREE, headline=("mig",)), RECORDS)).replace("{ae}", "{a_e}")) != []
    suite = replace(THREE, headline=NASTY, question=" ".join(NASTY), network=NASTY[0], dataset=NASTY[1])
    records = [record("vae", s, {n: metric(float(s)) for n in NASTY}, suite) for s in range(3)]
    text = latex_of(suite, records).decode()
    assert structure(text) == []
    assert r"\input" not in text


@pytest.mark.parametrize("name", ["zoo", "nasty"])
def test_the_table_compiles(name: str, tmp_path: Path) -> None:
    engine = shutil.which("pdflatex") or shutil.which("tectonic")
    if not engine:
        pytest.skip("no pdflatex or tectonic here")
    suite, records = reader.read("zoo"), Store(ROOT, "zoo").records()
    if name == "nasty":
        suite = replace(THREE, headline=NASTY, question=" ".join(NASTY), methods=(Entry("a_b+c", "vae"),))
        records = [record("a_b+c", s, {n: metric(1e-9 * s) for n in NASTY}, suite) for s in range(3)]
    head = "\\documentclass{article}\n\\usepackage[T1]{fontenc}\n\\usepackage{booktabs}\n\\begin{document}\n"
    (tmp_path / "paper.tex").write_text(head + latex_of(suite, records).decode() + "\\end{document}\n", encoding="utf-8")
    options = ["-interaction=nonstopmode", "-halt-on-error"] if engine.endswith("pdflatex") else []
    ran = subprocess.run([engine, *options, "paper.tex"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert ran.returncode == 0, ran.stdout[-3000:]
    assert (tmp_path / "paper.pdf").stat().st_size > 5000


# parquet


def test_parquet_has_the_lines_of_the_csv() -> None:
    pytest.importorskip("pyarrow")
    from pyarrow import BufferReader, parquet

    found = parquet.read_table(BufferReader(parquet_of(THREE, RECORDS))).to_pylist()
    plain = lines(csv_of(THREE, RECORDS).decode())
    assert [{k: "" if v is None else str(v).lower() if isinstance(v, bool) else str(v) for k, v in line.items()} for line in found] == plain
    assert isinstance(found[0]["seed_0"], float)


def test_without_pyarrow_one_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = cli("export", "digits", "--parquet", "--out", tmp_path / "digits.parquet", "--from", ROOT)
    assert result.code == 2
    assert result.line() == "--parquet is written by pyarrow, which is not installed: pip install 'latentbench[parquet]'"
    assert not list(tmp_path.iterdir())


# the command


def test_export_to_standard_output_and_to_a_file_is_the_same(tmp_path: Path) -> None:
    options = ("export", "digits", "--csv", "--metrics", "rec_sse_test,train_seconds", "--from", ROOT)
    printed, written = cli(*options), cli(*options, "--out", tmp_path / "new" / "digits.csv")
    assert (printed.code, printed.err, written.code, written.out) == (0, "", 0, f"{tmp_path / 'new' / 'digits.csv'}\n")
    assert (tmp_path / "new" / "digits.csv").read_bytes() == printed.out.encode()
    assert len(lines(printed.out)) == 2 * len(reader.read("digits").methods)
