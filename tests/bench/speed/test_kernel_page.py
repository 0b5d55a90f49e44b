"""The page of the kernel benchmarks: from the file alone, with a reason where there is no number."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.errors import UserError
from bench.speed import kernel_page
from bench.speed.kernel_page import publish, report

ROOT = Path(__file__).parents[3]
MACHINE = {"copy_gb_s": 50.0, "float32_gflop_s": 200.0, "float64_gflop_s": 100.0}
ENVIRONMENT = {"device": "a box", "threads": 1, "torch": "2.15", "triton": None, "pythae": "0.1.2", "geomloss": None, "POT": None}
LIMIT = {"gflop": 0.05, "gb": 0.0, "double": False}


def cell(**changed: Any) -> dict[str, Any]:
    base = {
        "kernel": "MMD, imq",
        "n": 256,
        "d": 64,
        "ratio": {"ours": 1.0, "eager": 12.34, "pythae": 51.4},
        "skipped": {"geomloss": "not installed"},
    }
    return base | {"ms": {"ours": 0.5, "eager": 6.2}, "mb": {"ours": 2.5, "eager": 250.0}, "limit": LIMIT, "rounds": 7} | changed


def measured(*cells: dict[str, Any]) -> dict[str, Any]:
    last = {"machine": MACHINE, "environment": {**ENVIRONMENT, "backend": "tiled", "limit_gb": 6.0}}
    return {"benchmarks": [{"extra_info": info} for info in (*cells, {}, last)]}


def cells_of(page: str, start: str) -> list[str]:
    (row,) = [line for line in page.splitlines() if line.startswith(start)]
    return [part.strip() for part in row.strip("|").split("|")]


def test_a_row_has_ratios_memory_and_the_share_of_the_limit() -> None:
    _, page = report(measured(cell()))
    assert cells_of(page, "|   n |") == [
        *(
            "n",
            "d",
            "ms",
            "eager, times",
            "pythae, times",
            "geomloss, times",
            "MB",
            "eager, MB",
            "pythae, MB",
            "geomloss, MB",
            "of limit",
            "rounds",
        )
    ]
    # 0.05 GFLOP at 200 GFLOP/s is 0.25 ms, half of 0.5
    assert cells_of(page, "| 256 |") == ["256", "64", "0.5", "12.3", "51.4", "(not installed)", "2.5", "250", "", "", "50 %", "7"]
    assert "Machine, in the same run: copies 50.0 GB/s" in page
    assert "torch 2.15, pythae 0.1.2." in page


@pytest.mark.parametrize(
    ("limit", "share"),
    [
        ({"gflop": 0.05, "gb": 0.0, "double": True}, "100 %"),
        ({"gflop": 0.0, "gb": 0.01, "double": False}, "40 %"),
        ({"gflop": 0.0, "gb": 0.0, "double": False}, ""),
    ],
)
def test_the_limit_is_the_products_at_their_rate_or_the_copies(limit: dict[str, Any], share: str) -> None:
    _, page = report(measured(cell(limit=limit)))
    assert cells_of(page, "| 256 |")[-2] == share


def test_a_form_that_was_left_out_says_why_and_an_error_is_shown() -> None:
    wide = cell(n=4096, ratio={"ours": 1.0}, mb={"ours": 20.0}, skipped={"eager": "17 GB", "pythae": "17 GB", "geomloss": "not installed"})
    _, page = report(measured(cell(), wide, cell(kernel="log q(z)", error_nats=1.5e-6)))
    assert cells_of(page, "| 4096 |")[3:6] == ["(17 GB)", "(17 GB)", "(not installed)"]
    assert [line for line in page.splitlines() if line.startswith("## ")] == ["## MMD, imq", "## log q(z)"]
    assert "Largest error against float64 at σ = 0.01: 1.5e-06 nats." in page


def test_both_files_are_written_by_the_command(tmp_path: Path) -> None:
    (tmp_path / "leaderboards").mkdir()
    (tmp_path / "measured.json").write_text(json.dumps(measured(cell())), encoding="utf-8")
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "bench.speed.kernel_page", "measured.json"]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "leaderboards/kernels.md\n"), run.stderr
    record = json.loads((tmp_path / "leaderboards" / "kernels.json").read_text(encoding="utf-8"))
    assert record["machine"] == MACHINE
    assert record["cells"] == [cell()]
    assert (tmp_path / "leaderboards" / "kernels.md").read_text(encoding="utf-8") == report(measured(cell()))[1]


def test_a_form_that_no_cell_has_is_no_column() -> None:
    new = cell(ratio={"ours": 1.0, "eager": 12.3, "cdist": 7.1, "matmul": 4.25}, mb={"ours": 2.5, "cdist": 9.0}, skipped={})
    head = ["eager, times", "cdist, times", "matmul, times"]
    _, page = report(measured(new, cell(kernel="another")))
    assert cells_of(page, "|   n |   d |   ms |   eager, times |   cdist")[3:6] == head
    assert cells_of(page, "|   n |   d |   ms |   eager, times |   pythae")[3:6] == ["eager, times", "pythae, times", "geomloss, times"]
    assert [line for line in page.splitlines() if "7.1" in line and "4.25" in line]


def test_the_record_that_is_kept_can_be_rendered() -> None:
    record = json.loads((ROOT / "leaderboards" / "kernels.json").read_text(encoding="utf-8"))
    text = kernel_page.page(record)
    assert text.count("\n## ") == len({cell["kernel"] for cell in record["cells"]}) > 5
    assert text.count("\n| ") == len(record["cells"]) + text.count("\n## ")


def test_what_was_not_measured_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no machine limits or no kernels"):
        report({"benchmarks": []})
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"broken\.json: not what `nox -s kernels` writes"):
        publish(tmp_path / "broken.json", tmp_path)
