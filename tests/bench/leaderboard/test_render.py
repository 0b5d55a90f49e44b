"""Leaderboards from records made up here: what a table shows, what it refuses, and that its bytes are the records' alone."""

import json
import math
import os
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from boards import cells
from made_up_records import MACHINE, SUITE, index_of, lost, metric, record

from bench.errors import UserError
from bench.leaderboard.appendix import common_values
from bench.leaderboard.render import render
from bench.leaderboard.statistics import mean_and_interval
from bench.suites.schema import Entry, Suite


def profile(label: str, suite: Suite = SUITE, **other: Any) -> dict[str, Any]:
    run = next(run for run in suite.runs("cpu") if run.label == label)
    kernels = [
        {"name": f"aten::k{i}", "calls": 3.0 + i, "self_us": 400.0 / i, "share": 0.4 / i, "flops": 1000 * (i == 1)} for i in range(1, 8)
    ]
    return {
        "suite": suite.name,
        "label": label,
        "row_key": run.row_key(),
        "device": "cpu",
        "environment": MACHINE,
        "steps": 10,
        "step_ms": 1.25,
        "phases": {"data": 0.05, "forward": 0.3, "regulariser": 0.1, "backward": 0.35, "optimiser": 0.2},
        "kernels": kernels,
        **other,
    }


SSE = {"vae": 9.0, "vcae": 6.0, "ae": 6.02, "wae_mmd": 7.0}
JITTER = {
    "vae": (0.1, -0.1, 0.2, 0, -0.2),
    "vcae": (0.02, -0.05, 0, 0.04, 0.01),
    "ae": (0, -0.06, 0.03, -0.01, 0.05),
    "wae_mmd": (0.1, 0.2, 0, 0.1, 0),
}


def values(label: str, seed: int) -> dict[str, Any]:
    rate = metric(15.0 + seed, "one draw", unit="nats", better="higher", group="latent")
    return {
        "rec_sse": metric(SSE[label] + JITTER[label][seed]),
        "rate": rate if label == "vae" else metric(None, "one draw", unit="nats", better="higher", group="latent"),
        "gap": metric(-0.34 + 0.01 * seed, "test minus train", better=None, group="generalisation"),
        "sum_variance": metric(8.0 - 0.1 * seed, "codes", better="target", unit="", group="latent"),
        "pca_sse": metric(29.35 if label != "ae" else 40.5, "linear PCA", better=None, group="reference"),
    }


def full() -> list[dict[str, Any]]:
    return [record(label, seed, values(label, seed)) for label in SSE for seed in range(5)]


def test_a_row_is_its_mean_and_interval_under_arrows_and_units() -> None:
    table = cells(render(SUITE, full(), []), "Reconstruction")
    assert list(table) == ["vae", "vcae", "ae", "wae_mmd"]
    mean, half = mean_and_interval([SSE["vae"] + j for j in JITTER["vae"]])
    assert table["vae"]["rec_sse ↓ (SSE)"] == f"{mean:.1f}±{half:.1f}" == "9.0±0.2"
    assert "All rows: status 5/5 done; steps 900; epochs 60; images 90,000." in render(SUITE, full(), [])


def test_hyperparameters_that_most_methods_share_are_said_once() -> None:
    tables = [{"kernel": "imq", "weight": 1.0}, {"kernel": "imq", "weight": 2.0, "only": 3}, {"kernel": "rbf", "width": None}, {}]
    assert common_values(tables) == {"kernel": "imq"}
    records = full()
    for entry in records:
        entry["config"]["hyperparameters"] = {"vae": tables[0], "vcae": tables[1], "ae": tables[3], "wae_mmd": tables[2]}[entry["label"]]
    board = render(SUITE, records, [])
    shown = {name: row["hyperparameters"] for name, row in cells(board, "Hyperparameters").items()}
    assert shown == {"vae": "weight=1.0", "vcae": "only=3, weight=2.0", "ae": "–", "wae_mmd": 'kernel="rbf"'}
    assert 'Hyperparameters, of the methods that have them and where nothing else is said: kernel="imq".' in board


def test_every_group_has_its_table_and_costs_come_last() -> None:
    board = render(SUITE, full(), [])
    titles = re.findall(r"^(?:## |<summary>)([^:<\n]*)", board, re.M)
    assert titles[:6] == ["All columns", "Reconstruction", "Generalisation", "Latent", "Cost", "Reference values"]
    assert titles[6:] == ["How it was made", "Runs", "Hyperparameters", "Hot spots", "Protocols"]
    assert "<summary>Latent: 2 metrics of 4 rows</summary>" in board
    assert cells(board, "Generalisation")["vae"]["gap (SSE)"] == "-0.32±0.02"
    assert cells(board, "Latent")["vae"]["sum_variance →"] == "7.8±0.2"
    assert cells(board, "Cost")["vae"]["train_seconds ↓ (s)"] == "2.7±0.2"
    assert "- pca_sse: 29.35 SSE; 40.50 SSE (ae)" in board
    assert "- rec_sse: test images; v1" in board


def test_the_best_tier_is_bold_and_only_where_seeds_support_it() -> None:
    board = render(SUITE, full(), [])
    bold = {name for name, row in cells(board, "Reconstruction").items() if row["rec_sse ↓ (SSE)"].startswith("**")}
    assert bold == {"vcae", "ae"}
    rest = board.split("<summary>Reconstruction")[1].split("<summary>Generalisation")
    assert rest[0].count("**") == 4
    assert "**" not in rest[1]  # targets, descriptions and costs have no best; a rate of one row has no rival
    two = [entry for entry in full() if entry["seed"] < 2]
    assert "**" not in render(SUITE, two, []).split("<summary>Reconstruction")[1]


def test_one_seed_supports_no_interval() -> None:
    one = replace(SUITE, seeds=1)
    board = render(one, [record(label, 0, values(label, 0)) for label in SSE], [])
    table = cells(board, "Reconstruction")
    assert table["vae"]["rec_sse ↓ (SSE)"] == "9.100"
    assert "without ±: one seed" in board


def test_the_same_records_give_the_same_bytes_in_any_order() -> None:
    rng = random.Random(2)
    records = [*full(), lost("vae", 5, "diverged", "step 3"), record("vcae", 0, values("vcae", 0), row_key="f" * 16)]
    profiles = [profile("vae"), profile("ae")]
    board, boards = render(SUITE, records, profiles), {"digits": (SUITE, records), "a": (replace(SUITE, name="a"), [])}
    for _ in range(10):
        mixed = [dict(rng.sample(sorted(entry.items()), len(entry))) for entry in rng.sample(records, len(records))]
        mixed = [{**m, "metrics": dict(rng.sample(sorted(m["metrics"].items()), len(m["metrics"])))} for m in mixed]
        assert render(SUITE, mixed, profiles[::-1]) == board
        again = {name: boards[name] for name in rng.sample(sorted(boards), 2)} | {"digits": (SUITE, mixed)}
        assert index_of(again) == index_of(boards)
    assert render(SUITE, json.loads(json.dumps(records, sort_keys=True)), profiles) == board


def test_bytes_do_not_depend_on_the_hash_seed() -> None:
    code = "import test_render as t; print(t.render(t.SUITE, t.full()[::2], []))"
    env = {"PYTHONPATH": os.pathsep.join(filter(None, [str(Path(__file__).parent), *sys.path])), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-c", code]
    runs = [
        subprocess.run(command, env={**env, "PYTHONHASHSEED": seed}, capture_output=True, encoding="utf-8", check=True) for seed in "12"
    ]
    assert runs[0].stdout == runs[1].stdout
    assert len(runs[0].stdout) > 2000


def test_failed_and_diverged_runs_count_and_say_why() -> None:
    records = [entry for entry in full() if (entry["label"], entry["seed"]) not in {("vae", 4), ("vae", 1), ("ae", 0)}]
    records += [
        lost("vae", 4, "failed", "OutOfMemoryError: <x>"),
        lost("vae", 1, "diverged", "step 340: the loss is not finite | terms\n{...}"),
    ]
    board = render(SUITE, records, [])
    table = cells(board, "Reconstruction")
    status = cells(board, "Runs")
    assert status["vae"]["status"] == "3/5 done, 1 diverged, 1 failed"
    assert status["ae"]["status"] == "4 of 5 seeds"
    said = "- vae, seed 1, diverged: step 340: the loss is not finite | terms {...}\n- vae, seed 4, failed: OutOfMemoryError: &lt;x>\n"
    assert said in board
    mean, half = mean_and_interval([SSE["vae"] + JITTER["vae"][seed] for seed in (0, 2, 3)])
    assert table["vae"]["rec_sse ↓ (SSE)"] == f"{mean:.1f}±{half:.1f}†"


def test_a_row_without_any_result_stays_on_the_board() -> None:
    gone = [{**lost("vae", seed, "diverged", "step 1"), "metrics": {"watts": metric(7.0, group="cost")}} for seed in range(5)]
    board = render(SUITE, [entry for entry in full() if entry["label"] not in ("vae", "ae")] + gone, [])
    assert "watts" not in board  # what a diverged run measured is no result
    assert cells(board, "Reconstruction").keys() == {"vcae", "wae_mmd"}
    assert "- no value of vae, ae: no finished run" in board
    table = cells(board, "Runs")
    assert (table["vae"]["status"], table["vae"]["steps"]) == ("0/5 done, 5 diverged", "–")
    assert (table["ae"]["status"], table["ae"]["steps"]) == ("not run", "–")
    assert "All rows: status not run; steps –;" in render(SUITE, [], [])


def test_rows_of_another_network_are_named_where_the_suites_is() -> None:
    other = {"vcae": "small_conv", "ae": "small_conv", "wae_mmd": SUITE.network}
    suite = replace(SUITE, methods=tuple(replace(entry, network=other.get(entry.label)) for entry in SUITE.methods))
    board = render(suite, [], [])
    named = [entry.label for entry in SUITE.methods if other.get(entry.label) == "small_conv"]
    assert f", {SUITE.network} (small_conv in `{named[0]}` and `{named[1]}`), latent size" in board.splitlines()[6]
    assert f"network: {SUITE.network} (small_conv in `{named[0]}` and `{named[1]}`), latent size" in board
    assert "small_conv" not in render(SUITE, [], [])


def test_absent_values_have_their_reason_as_a_footnote() -> None:
    records = full()
    records[0]["metrics"]["rec_sse"] = metric(math.nan)
    records[5]["metrics"]["rec_sse"] = metric(None, reason="the | decoder\nfailed")
    del records[10]["metrics"]["rec_sse"]
    board = render(SUITE, records, [])
    table = cells(board, "Reconstruction")
    assert table["vae"]["rec_sse ↓ (SSE)"] == "9.0±0.3 [1]"  # of 8.9, 9.2, 9.0, 8.8 by hand: 8.975 ± 0.272
    some = "4 of 5 finished runs have a value; the others: "
    assert f"- [1] {some}not a finite number: nan\n- [2] {some}the | decoder failed\n- [3] {some}not measured" in board
    latent = cells(board, "Latent")
    assert latent["vcae"]["rate ↑ (nats)"] == latent["ae"]["rate ↑ (nats)"] == "[1]"
    assert board.count("- [1] no density") == 1


def test_protocols_never_share_a_column() -> None:
    records = full()
    for entry in records[:5]:
        entry["metrics"]["rec_sse"] = metric(1.0 + 0.01 * entry["seed"], "train images; v1")
    board = render(SUITE, records, [])
    table = cells(board, "Reconstruction")
    first, second = "rec_sse, protocol 1 ↓ (SSE)", "rec_sse, protocol 2 ↓ (SSE)"
    assert table["vae"][first] == "[1]"
    assert table["vae"][second] == "1.02±0.02"
    assert table["vcae"][first].startswith("**6.00")
    assert "v1:\n\n- rec_sse, protocol 1: test images\n- rec_sse, protocol 2: train images" in board
    assert "- [1] measured under another protocol" in board


def test_stale_records_stand_apart() -> None:
    before = replace(SUITE, methods=(Entry("vcae", "vcae", {"weight": 9.0}), Entry("gone", "ae")))
    old = [record(label, seed, {"rec_sse": metric(0.001 + seed / 1e6)}, before) for label in ("vcae", "gone") for seed in range(3)]
    table = cells(render(SUITE, [*old, *full()], []), "Reconstruction")
    stale = list(table)[4:]
    assert [re.sub(r"[0-9a-f]{8}\)", "#)", name) for name in stale] == ["gone (stale #)", "vcae (stale #)"]
    assert [cells(render(SUITE, [*old, *full()], []), "Runs")[name]["status"] for name in stale] == ["stale: 3 of 5 seeds"] * 2
    assert table["vcae"] == cells(render(SUITE, full(), []), "Reconstruction")["vcae"]  # neither mixed nor outranked
    assert "**" not in table[stale[0]]["rec_sse ↓ (SSE)"]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("found", "shown"),
    [
        ([1.5e308] * 5, "(1.500±0)e+308"),
        ([1.5e308, -1.5e308, 1.5e308, -1.5e308, 0.0], "0±over 1.8e+308~"),
        ([1e160, 2e160, 3e160, 2e160, 2e160], "(2.0±0.9)e+160"),
        ([5e-324] * 5, "(4.941±0)e-324"),
        ([0.00099999] * 5, "(1.000±0)e-03"),
        ([10**400] * 5, None),
    ],
)
def test_a_number_of_any_size_has_its_cell_and_the_others_stay(found: list[float], shown: str | None) -> None:
    records = [entry for entry in full() if entry["label"] != "vae"]
    records += [record("vae", seed, {**values("vae", seed), "rec_sse": metric(value)}) for seed, value in enumerate(found)]
    table = cells(render(SUITE, records, []), "Reconstruction")
    head = "rec_sse ↓ (SSE)"
    assert (table["vae"][head].replace("**", "") if shown else "vae" not in table) == (shown or True)
    usual = cells(render(SUITE, full(), []), "Reconstruction")
    for row in ("vcae", "ae", "wae_mmd"):
        assert table[row][head].replace("**", "") == usual[row][head].replace("**", "")
    assert table["wae_mmd"][head].count("*") == 0  # still shown worse than vcae


def test_survivors_of_lost_runs_do_not_win() -> None:
    """vae diverges on the two seeds on which all rows are bad; what is left of it has the best mean, and hides vcae no more."""
    hard = (0.0, 0.0, 0.0, 9.0, 9.0)
    records = [
        record(label, s, {"rec_sse": metric(SSE[label] + JITTER[label][s] + hard[s])}) for label in ("vcae", "wae_mmd") for s in range(5)
    ]
    records += [record("vae", s, {"rec_sse": metric(5.0 + JITTER["vae"][s])}) for s in range(3)]
    board = render(SUITE, [*records, *(lost("vae", s, "diverged", "step 9") for s in (3, 4))], [])
    table = cells(board, "Reconstruction")
    head = "rec_sse ↓ (SSE)"
    assert table["vae"][head] == "5.1±0.4†"
    assert table["vcae"][head].startswith("**")
    assert "~, †, ‡ as above" in board
    finished = [record("vae", s, {"rec_sse": metric(5.0 + JITTER["vae"][s])}) for s in range(5)]
    assert cells(render(SUITE, records + finished, []), "Reconstruction")["vae"][head].startswith("**5.0")


def test_a_loose_row_is_marked() -> None:
    wild = [record("wae_mmd", s, {"rec_sse": metric(7.0 + w)}) for s, w in enumerate((4, -4, 2, -3, 1))]
    table = cells(render(SUITE, [e for e in full() if e["label"] != "wae_mmd"] + wild, []), "Reconstruction")
    marks = {row: (line["rec_sse ↓ (SSE)"].startswith("**"), line["rec_sse ↓ (SSE)"].endswith("~")) for row, line in table.items()}
    assert marks == {"vae": (False, False), "vcae": (True, False), "ae": (True, False), "wae_mmd": (True, True)}


def test_costs_of_two_machines_are_never_averaged() -> None:
    records = full()
    for entry in records:
        if entry["label"] == "vcae" or (entry["label"], entry["seed"]) in (("vae", 3), ("vae", 4)):
            entry["environment"] = {**MACHINE, "device": "another CPU"}
        entry["cost"]["parameters"] = metric(1000.0, "counted", unit="", group="cost")
    board = render(SUITE, records, [])
    table, head = cells(board, "Cost"), "train_seconds ↓ (s)"
    assert table["vae"][head] == "2.60 ± 0.25 (machine 1); 2.8 ± 0.6 (machine 2)"
    assert table["vcae"][head] == "2.70 ± 0.20 (machine 2)"
    assert table["ae"][head] == "2.70 ± 0.20 (machine 1)"
    assert {row["parameters ↓"] for row in table.values()} == {"1,000"}  # one value is one mean, wherever it was counted
    assert "- machine 1: device a CPU, threads 1, jobs 2, torch 2.11.0, python 3.12.3; commit 0123456789ab; runs: 13, of 2026" in board
    assert "- machine 2: device another CPU, " in board
    for key, value in (("torch", "2.12.0"), ("threads", 4), ("jobs", 1), ("driver", "13.0"), ("processor", "a CPU")):
        mixed = full()
        mixed[0]["environment"] = {**MACHINE, key: value}
        assert cells(render(SUITE, mixed, []), "Cost")["vae"][head] == "2.500 (machine 1); 2.75 ± 0.21 (machine 2)", key


def test_costs_of_one_machine_need_no_number() -> None:
    board = render(SUITE, full(), [])
    assert cells(board, "Cost")["vae"]["train_seconds ↓ (s)"] == "2.7±0.2"
    assert "machine 1" not in board


def test_devices_are_rows_of_their_own() -> None:
    gpu = [record("vae", seed, values("vae", seed), device="cuda") for seed in range(5)]
    table = cells(render(SUITE, [*full(), *gpu], []), "Reconstruction")
    assert list(table) == ["vae (cpu)", "vae (cuda)", "vcae (cpu)", "ae (cpu)", "wae_mmd (cpu)"]
    assert list(cells(render(SUITE, [*full(), *gpu], []), "Runs")) == list(table)


def test_smoke_runs_and_other_suites_are_refused() -> None:
    with pytest.raises(UserError, match=r"digits: vae, seed 3: a smoke run; .*without --smoke"):
        render(SUITE, [*full(), record("vae", 3, {}, smoke=True)], [])
    with pytest.raises(UserError, match="record of suite 'mnist'"):
        render(SUITE, [record("vae", 3, {}, suite=replace(SUITE, name="mnist"))], [])


def test_the_last_record_of_a_cell_is_the_one() -> None:
    times = {"started": "2026-01-02T00:00:00+00:00", "finished": "2026-01-02T00:01:00+00:00"}
    again = record("vae", 0, {"rec_sse": metric(8.0)}, times=times)
    board = render(replace(SUITE, seeds=1), [again, lost("vae", 0, "failed", "no memory"), record("vae", 0, values("vae", 0))], [])
    assert cells(board, "Reconstruction")["vae"]["rec_sse ↓ (SSE)"] == "8"
    assert "no memory" not in board


def test_cells_stay_cells() -> None:
    """A bar, a line break or a tag in what users write breaks no table."""
    odd = replace(SUITE, question="a|b", methods=(Entry("vae", "vae", {"kernel": "rbf|imq\nx"}),))
    entry = record("vae", 0, {"rec|sse": metric(1.5, unit="a|b")}, odd)
    entry["config"]["recipe"]["prior"] = "p(z|<c>)"
    board = render(
        odd, [entry], [profile("vae", odd, kernels=[{"name": "f<a|b>", "calls": 1.0, "self_us": 2.0, "share": 0.5, "flops": 0}])]
    )
    for block in re.findall(r"(?:^\|.*\n)+", board + index_of({"odd": (odd, [entry])}), re.M):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1, block
    assert cells(board, "Reconstruction")["vae"]["rec|sse ↓ (a|b)"] == "1.500"
    assert cells(board, "Hyperparameters")["vae"]["prior"] == "p(z|&lt;c>)"


def test_hyperparameters_and_spent_budget_of_each_row() -> None:
    records = full()
    records[3]["spent"] = {"steps": 880, "epochs": 58.67, "images": 88_000}
    board = render(SUITE, records, [])
    assert cells(board, "Runs")["vae"] == {
        "method": "vae",
        "steps": "880 to 900",
        "epochs": "58.67 to 60",
        "images": "88,000 to 90,000",
    }
    assert len(cells(board, "Runs")) == 1
    assert "Where nothing is said, and of rows that are not here: status 5/5 done; steps 900; epochs 60; images 90,000." in board
    row = cells(board, "Hyperparameters")["vcae"]
    assert (row["hyperparameters"], row["batch_size"]) == ("weight=0.5", "")
    assert cells(board, "Hyperparameters")["ae"]["batch_size"] == "50"
    assert "Where nothing is said" in board
    for said in ("regularisers 0.5 × kl;", "budget epochs=60;", "latent_dim 8;", "batch_size 100."):
        assert said in board


def test_hot_spots() -> None:
    board = render(SUITE, full(), [profile("vae"), profile("ae", row_key="e" * 16)])
    steps = cells(board, "Hot spots")
    assert steps["vae"]["step (ms)"] == "1.250"
    assert [steps["vae"][f"{phase} (%)"] for phase in ("data", "forward", "regulariser", "backward", "optimiser")] == [
        "5",
        "30",
        "10",
        "35",
        "20",
    ]
    assert "ae (stale eeeeeeee)" in steps
    assert "other (%)" not in board
    assert steps["vae"]["most of it: kernels, their share (calls per step)"] == "k1 40 % (4), k2 20 % (5)"
    assert "- measured on device a CPU, threads 1," in board
    moved = render(SUITE, full(), [profile("vae"), profile("ae", environment={**MACHINE, "threads": 4})])
    assert {name: row["place"] for name, row in cells(moved, "Hot spots").items()} == {"vae": "1", "ae": "2"}
    assert "Not profiled: vcae, ae, wae_mmd; `python -m bench profile --suite digits --method NAME` does it." in board


def test_header_and_footer_say_how_it_was_made() -> None:
    records = full()
    records[0]["environment"] = {**MACHINE, "dirty": True}
    records[1]["environment"] = {**MACHINE, "threads": 4}
    records[1]["times"] = records[1]["times"] | {"finished": "2026-02-03T00:00:00+00:00"}
    records[2]["times"] = records[2]["times"] | {"finished": "2026-02-03T00:00:00+00:00"}
    board = render(SUITE, records, [], command="python -m bench board --suite digits")
    assert board.startswith("<!-- generated by `python -m bench board --suite digits`; do not edit")
    machine = "device a CPU, threads {}, jobs 2, torch 2.11.0, python 3.12.3; commit 0123456789ab{}; runs: {}, of 2026-01-01{}"
    for line in (
        "command: `python -m bench run --suite digits`",
        f"dataset: digits, measured on its test images; hash {'d' * 16}\n",
        "network: mlp, latent size 8; 60 epochs, batches of 100, 5 seeds",
        "hardware: 2 CPU cores; expected time: 4 minutes",
        "machine 2: " + machine.format(4, "", 1, "").replace("2026-01-01", "2026-02-03"),
        "machine 1: " + machine.format(1, ", 0123456789ab (dirty)", 19, " to 2026-02-03"),
    ):
        assert f"- {line}" in board
    assert "optimizer: Adam with betas=[0.9, 0.999], decay=1.0, lr=0.001" in board
    records[2]["hashes"]["data"] = "e" * 64
    assert f"hash {'d' * 16} **but also** {'e' * 16}" in render(SUITE, records, [])
    four = [entry | {"environment": {**MACHINE, "threads": 4}} for entry in full()]
    assert "command: `python -m bench run --suite digits --threads 4`" in render(SUITE, four, [])
    variant = replace(SUITE, name="digits+a=x_y+seeds=2", overrides=("seeds=2", "a=x y"))
    assert "command: `python -m bench run --suite digits --set seeds=2 --set 'a=x y'`" in render(variant, [], [])


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        ("Is *this* so?\n# No\n\n- and [that](x)", r"Is \*this\* so? # No - and \[that\](x)"),
        ("# A heading", r"\# A heading"),
        ("1. a list", r"1\. a list"),
        ("---\x0bx\u2028<b>", r"\--- x &lt;b>"),
        ("a_b `c` 2-3 > 1", "a_b `c` 2-3 > 1"),
    ],
)
def test_a_suites_own_words_are_a_paragraph_whatever_is_in_them(words: str, shown: str) -> None:
    board = render(replace(SUITE, question=words, hardware=words, expected_time=words), full(), [])
    usual = render(SUITE, full(), [])
    assert f": digits\n\n{shown}\n\n" in board
    assert f"\n- hardware: {shown}; expected time: {shown}\n" in board
    assert len(board.splitlines()) == len(usual.splitlines())


def test_the_index_has_a_line_for_each_board() -> None:
    other = replace(SUITE, name="mnist", seeds=2, question="And on MNIST?")
    mnist = [record("vae", 0, values("vae", 0), other), record("vae", 1, {}, other, row_key="0" * 16)]
    page = index_of({"mnist": (other, mnist), "digits": (SUITE, full()), "celeba": (replace(SUITE, name="celeba"), [])})
    assert page.startswith("<!-- generated by `python -m bench page`; do not edit")
    table = cells(page.replace("# Leaderboards", "## Leaderboards"), "Leaderboards")
    assert [(name, row["seeds"], row["state"]) for name, row in table.items()] == [
        ("celeba", "5", "not run"),
        ("[digits](digits.md)", "5", "20/20 runs done"),
        ("[mnist](mnist.md)", "2", "1/8 runs done, stale rows"),
    ]
    assert {row["first tiers"] for row in table.values()} == {"no ranks"}  # rec_sse is no column of a first screen


def test_tables_never_import_torch() -> None:
    code = "import sys, bench.leaderboard.render; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_metrics_without_any_value_are_their_reasons() -> None:
    absent = {name: metric(None, group="samples, inception features", reason="no weights") for name in ("fid_pz", "kid_pz")}
    board = render(SUITE, [record("vae", 0, absent), record("ae", 0, absent)], [])
    assert "<summary>Samples, inception" not in board
    assert "<summary>Metrics without a value</summary>\n\n- no value of all 2 of samples, inception features: no weights\n" in board
    assert "- fid_pz: " not in board  # a protocol
    some = {**absent, "fid_pz": metric(2.0, group="samples, inception features")}
    board = render(SUITE, [record("vae", 0, some), record("ae", 0, absent)], [])
    (row,) = (row for name, row in cells(board, "Samples, inception features").items() if name == "vae")
    assert {name for name in row if "id_pz" in name} == {"fid_pz ↓ (SSE)"}
    assert "- no value of ae: no weights" in board
    assert "- no value of kid_pz: no weights" in board
    assert "\n- fid_pz: test images; v1" in board
