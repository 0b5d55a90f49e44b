"""The first screen of a leaderboard: its table, its sentences and its marks, each from records made up for it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from made_up_records import MACHINE, SUITE, lost, metric, record

from bench.errors import UserError
from bench.leaderboard.headline import USUAL, check
from bench.leaderboard.render import render
from bench.markdown import listed, narrow
from bench.registry import catalogue
from bench.suites import reader
from bench.suites.schema import Entry, Suite

THREE = replace(SUITE, seeds=3)
LEAD = {"vae": 9.0, "vcae": 6.0, "ae": 7.0, "wae_mmd": 8.0}  # each a tier of its own: 1 apart, and seeds that differ by 0.01
SPREAD = (0.0, 0.01, -0.01)


def measured(sse: float, **other: Any) -> dict[str, Any]:
    """A record's metrics: the error, and others by name."""
    return {"rec_sse_test": metric(sse), **other}


def records(values: Mapping[str, float], spread: Mapping[str, Sequence[float]] | None = None, suite: Suite = THREE) -> list[dict[str, Any]]:
    """Three seeds a row. The spread of one row is another's in another order, so that differences spread too."""
    orders = (SPREAD, SPREAD[1:] + SPREAD[:1], SPREAD[2:] + SPREAD[:2], SPREAD[::-1])
    usual = dict(zip(values, orders, strict=False))
    return [
        record(label, seed, measured(value + (spread or usual)[label][seed]), suite)
        for label, value in values.items()
        for seed in range(suite.seeds)
    ]


def table(board: str) -> dict[str, dict[str, str]]:
    """The table of the first screen: {method: {head: cell}}, in its order."""
    lines = [[part.strip() for part in line.split("|")[1:-1]] for line in board.split("\n## ")[0].splitlines() if line.startswith("|")]
    return {line[1]: dict(zip(lines[0], line, strict=True)) for line in lines[2:]}


def sentences(board: str) -> list[str]:
    """The sentences under the table."""
    return re.findall(r"^- (\*\*.*)$", board.split("How to read it:")[0], re.M)


def said(board: str) -> list[str]:
    """Those on who leads."""
    return [line for line in sentences(board) if not line.startswith(("**Cost**", "**Failed**"))]


def test_rows_stand_by_rank_and_the_first_tier_alone_is_bold() -> None:
    found = table(render(THREE, records(LEAD), []))
    assert list(found) == ["vcae", "ae", "wae_mmd", "vae"]
    assert [row["place"] for row in found.values()] == ["1", "2", "3", "4"]
    assert [row["SSE ↓"] for row in found.values()] == ["**6.00 ± 0.02**", "7.00 ± 0.02", "8.00 ± 0.02", "9.00 ± 0.02"]


def test_a_leader_is_said_with_its_margin() -> None:
    (line,) = said(render(THREE, records(LEAD), []))
    # ae minus vcae seed by seed: 1.01, 0.98, 1.01; mean 1, t interval 4.303 × 0.01732 / √3 = 0.043
    lead = "`vcae` leads 4 rows with 6.00 ± 0.02, better than the next, `ae`, by 1.00 ± 0.04."
    assert line == f"**SSE** at equal code length: {lead} The 3 seeds separate 100 % of all pairs."


def test_rows_that_tie_share_a_place_and_are_said_with_what_would_tell_them_apart() -> None:
    close = {"vcae": 6.0, "ae": 6.001, "wae_mmd": 8.0, "vae": 9.0}
    board = render(THREE, records(close), [])
    found = table(board)
    assert [row["place"] for row in found.values()] == ["1–2", "1–2", "3", "4"]
    assert sum(row["SSE ↓"].startswith("**") for row in found.values()) == 2
    (line,) = said(board)
    assert line.startswith(
        "**SSE** at equal code length: `vcae` and `ae` share places 1–2 of 4, `vcae` with 6.00 ± 0.02; the first row that is shown to be "
    )
    assert "worse than one of them is `wae_mmd`, 8.00 ± 0.02." in line
    assert line.endswith("The 3 seeds separate 83 % of all pairs; to tell `ae` from `vcae` would take 400 or more such seeds.")


def test_seeds_that_show_nothing_are_said_to() -> None:
    wild = {row: [9.0 * s for s in spread] for row, spread in zip(LEAD, ((0, 1, -1), (1, -1, 0), (-1, 0, 1), (0, -1, 1)), strict=True)}
    board = render(THREE, records(LEAD, wild), [])
    found = table(board)
    assert {row["place"] for row in found.values()} == {"1–4"}
    assert "**" not in "".join(row["SSE ↓"] for row in found.values())
    (line,) = said(board)
    assert line.startswith(
        "**SSE** at equal code length: the seeds show none of 4 rows to be worse than the best, `vcae` with 10 ± 20. The 3 seeds "
        "separate 0 % "
    )


def test_one_network_under_two_names_is_no_rival_of_itself() -> None:
    values = {"vcae": 6.0, "ae": 6.0, "wae_mmd": 6.002, "vae": 9.0}
    spread = {"vcae": SPREAD, "ae": SPREAD, "wae_mmd": (0.01, -0.01, 0.0), "vae": SPREAD}
    (line,) = said(render(THREE, records(values, spread), []))
    assert "`ae`, `vcae` and `wae_mmd` share places 1–3 of 4" in line
    assert "to tell `wae_mmd` from `ae` would take" in line


@pytest.mark.parametrize(("seeds", "few"), [(1, "one seed does"), (2, "two seeds do")])
def test_too_few_seeds_rank_nothing_and_say_so(seeds: int, few: str) -> None:
    suite = replace(SUITE, seeds=seeds)
    board = render(suite, records(LEAD, suite=suite), [])
    assert {row["place"] for row in table(board).values()} == {"–"}
    (line,) = said(board)
    assert line.startswith("**SSE** at equal code length: the best of 4 rows is `vcae` with 6")
    assert line.endswith(f"; {few} not tell rows apart, it takes 3.")
    assert ("One seed: no interval" in board) == (seeds == 1)
    assert "*Place*" not in board


def test_what_leads_in_both_of_the_first_columns_is_said() -> None:
    def both(samples: Mapping[str, float]) -> str:
        found = records(LEAD)
        for entry in found:
            value = samples[entry["label"]] + SPREAD[(entry["seed"] + len(entry["label"])) % 3]
            entry["metrics"]["frechet_pca_pz"] = metric(value, unit="", group="samples, pca features")
            entry["metrics"]["frechet_pca_floor"] = metric(0.25, better=None, group="reference")
        return "\n".join(said(render(THREE, found, [])))

    assert both({"vae": 4.0, "vcae": 1.0, "ae": 2.0, "wae_mmd": 3.0}).endswith(
        "**Both**: `vcae` is in the first tier of SSE and samples (PCA)."
    )
    other = both({"vae": 1.0, "vcae": 4.0, "ae": 2.0, "wae_mmd": 3.0})
    assert other.endswith("**Both**: no row is in the first tier of SSE and samples (PCA).")
    assert "**samples (PCA)** (training images against test images: 0.2500): `vae` leads 4 rows with 1.00 ± 0.02" in other


def test_samples_are_those_of_the_fitted_density_where_a_row_has_one() -> None:
    found = records(LEAD)
    for entry in found:
        entry["metrics"]["frechet_pca_pz"] = metric(5.0 + SPREAD[entry["seed"]], "prior", unit="")
        entry["metrics"]["frechet_pca_qz"] = metric(2.0 if entry["label"] == "vcae" else None, "density", unit="")
    board = render(THREE, found, [])
    cells = {name: row["samples (PCA) ↓"] for name, row in table(board).items()}
    assert cells["vcae"].strip("*") == "2 ± 0"
    assert cells["vae"].strip("*") == "5.00 ± 0.02"
    assert (
        "*samples (PCA)*: `frechet_pca_qz`, of images decoded from a density that was fitted to the codes after training (`vcae`), else "
        "`frechet_pca_pz`, of images decoded from the prior"
    ) in board


def test_a_longer_code_is_shown_and_not_ranked() -> None:
    found = records({**LEAD, "ae": 1.0})
    for entry in found:
        entry["metrics"]["pca_sse_test"] = metric(2.0 if entry["label"] == "ae" else 12.0, better=None, group="reference")
    board = render(THREE, found, [])
    rows = table(board)
    assert list(rows) == ["vcae", "wae_mmd", "vae", "ae‡"]
    assert (rows["ae‡"]["place"], rows["ae‡"]["SSE ↓"]) == ("–", "1.00 ± 0.02")
    assert rows["vcae"]["SSE ↓"].startswith("**")
    assert (
        "- ‡ `ae` is shown and not ranked: it has a longer code: linear PCA on as many numbers has an SSE of 2, on the suite's 12." in board
    )
    assert said(board)[0].startswith("**SSE** at equal code length (linear PCA of as many components: 12): `vcae` leads 3 rows")
    one = replace(SUITE, seeds=1)
    assert "the best of 3 rows is `vcae`" in render(one, [{**e, "config": e["config"]} for e in found if e["seed"] == 0], [])


def test_another_latent_size_is_shown_and_not_ranked() -> None:
    suite = replace(THREE, methods=(*THREE.methods[:2], Entry("ae", "ae", latent_dim=4), THREE.methods[3]))
    board = render(suite, records({**LEAD, "ae": 1.0}, suite=suite), [])
    assert list(table(board))[-1] == "ae‡"
    assert "- ‡ `ae` is shown and not ranked: it has a code of 4 numbers, not 8." in board


def test_rows_that_lack_runs_stay_and_say_so() -> None:
    found = [entry for entry in records(LEAD) if entry["label"] not in ("ae", "wae_mmd") and (entry["label"], entry["seed"]) != ("vae", 2)]
    found += [lost("vae", 2, "diverged", "step 3"), *(lost("ae", seed, "failed", "no memory") for seed in range(3))]
    found = [{**entry, "row_key": next(r for r in THREE.runs("cpu") if r.label == entry["label"]).row_key()} for entry in found]
    board = render(THREE, found, [])
    assert {name: row["place"] for name, row in table(board).items()} == {"vcae": "–", "vae†": "2/3", "ae": "0/3", "wae_mmd": "0/3"}
    assert "- † `vae`: of runs that survived, others diverged or failed; not ranked." in board
    assert "- Not run: `wae_mmd`." in board
    assert "- No run finished, see Runs below: `ae`." in board


def test_a_suite_that_has_not_run_since_it_changed_shows_its_stale_rows() -> None:
    before = replace(THREE, network="conv")
    board = render(THREE, records(LEAD, suite=before), [])
    assert {row["place"] for row in table(board).values()} == {"stale"}
    assert "- The rows are stale: no run of the suite as it is now has finished, so that nothing is ranked.\n" in board


def test_costs_are_the_least_and_most_and_constants_are_a_line() -> None:
    found = records(LEAD)
    for entry in found:
        entry["cost"]["parameter_count"] = metric(101_192, better=None, group="cost", unit="")
    board = render(THREE, found, [])
    assert "seconds: 2.5–2.7 in all rows; params: 101k in all rows." in board
    assert list(table(board)["vae"]) == ["place", "method", "SSE ↓"]
    found[0]["cost"]["parameter_count"] = metric(1_094_481, better=None, group="cost", unit="")
    assert "101k–1.09M" in {row["params"] for row in table(render(THREE, found, [])).values()}
    found[0]["environment"] = {**MACHINE, "threads": 4}
    assert "Runs are from 2 machines: seconds of two machines do not compare" in render(THREE, found, [])


def test_no_line_is_wider_than_its_page_whatever_is_in_it() -> None:
    names = [f"{'long' * 8}_{i}" for i in range(3)]
    headline = ("rec_sse_test", *(f"metric_{'x' * 20}_{i}" for i in range(5)))
    suite = replace(THREE, methods=tuple(Entry(name, "vae") for name in names), headline=headline)
    found = records(dict.fromkeys(names, 123456.0), dict.fromkeys(names, (300.0, 0.0, 5.0)), suite)
    for entry in found:
        entry["metrics"] |= {name: metric(1e-7 * entry["seed"] + names.index(entry["label"]), name) for name in headline[1:]}
    board = render(suite, found, [])
    lines = [line for line in board.split("\n## ")[0].splitlines() if line.startswith("|")]
    assert 60 < max(map(len, lines)) <= 120
    assert re.search(r"No room for `metric_x+_\d`(, `metric_x+_\d`)* and `metric_x+_4`, which stands below\.", board)


@pytest.mark.parametrize(("length", "starts", "kept"), [(58, "| place |", True), (66, "|place|", True), (76, "|place|", False)])
def test_bars_stand_close_to_cells_before_a_column_is_left_out(length: int, starts: str, kept: bool) -> None:
    name = "m" * length
    suite = replace(THREE, methods=(Entry(name, "vae"), Entry("ae", "ae")), headline=("rec_sse_test", "one", "two", "three"))
    found = records({name: 1.0, "ae": 2.0}, {name: (300.0, 0.0, 5.0), "ae": (0.0, 1.0, 2.0)}, suite)
    for entry in found:
        entry["metrics"] |= {which: metric(100.0 + entry["seed"], "v1") for which in suite.headline[1:]}
        if entry["label"] == "ae":
            entry["metrics"] |= {which: metric(7.0, "v1") for which in suite.headline[1:]}
    table = [line for line in render(suite, found, []).split("\n\n## ")[0].splitlines() if line.startswith("|")]
    assert table[0].startswith(starts)
    assert max(map(len, table)) <= 120
    assert ("three" in table[0]) == kept


def test_a_suite_chooses_its_headline_and_no_run_s_key_changes() -> None:
    chosen = replace(THREE, headline=("sum_variance", "rec_sse_test", "not_measured"))
    assert [run.key() for run in chosen.runs("cpu")] == [run.key() for run in THREE.runs("cpu")]
    found = records(LEAD)
    for entry in found:
        entry["metrics"]["sum_variance"] = metric(-LEAD[entry["label"]] + SPREAD[entry["seed"]], unit="")
    board = render(chosen, found, [])
    assert list(table(board)["vae"]) == ["place", "method", "sum_variance ↓", "SSE ↓"]
    assert next(iter(table(board))) == "vae"
    assert "No value of `not_measured`, which the suite's headline names." in board


def test_whether_the_winner_depends_on_the_feature_network_is_said() -> None:
    """By PCA the order is vae, vcae, ae; pixels reverse it, the classifier swaps the first two: of 3 pairs 0 and 2 agree."""
    orders = {"frechet_pca_pz": (1.0, 2.0, 3.0), "frechet_pixels_pz": (3.0, 2.0, 1.0), "frechet_classifier_pz": (2.0, 1.0, 3.0)}
    labels = ("vae", "vcae", "ae")
    found = [
        record(label, seed, {name: metric(of[i] + 0.1 * seed, group="samples") for name, of in orders.items()}, THREE)
        for i, label in enumerate(labels)
        for seed in range(3)
    ]
    said_of = lambda records: [line for line in said(render(THREE, records, [])) if line.startswith("**Feature networks**")]
    assert said_of(found) == [
        "**Feature networks**: `vae` has the lowest mean Fréchet distance on PCA features, and is the best on 0 of 2 other networks too. "
        "Kendall's τ of the orders of 3 rows is -1.00 with pixels and 0.33 with a classifier's features."
    ]
    assert "of 2 rows" in said_of([*found[:8], lost("ae", 2, "diverged", "nan")])[0]
    one = [{**of, "metrics": {"frechet_pca_pz": of["metrics"]["frechet_pca_pz"]}} for of in found]
    assert said_of(one) == []


def test_the_cheapest_rows_of_the_front_are_said() -> None:
    """vcae is best and dear, ae cheaper and next best; vae and wae_mmd are worse and cost more than ae."""
    seconds = {"vcae": 50.0, "ae": 2.0, "wae_mmd": 60.0, "vae": 3.0}
    found = records(LEAD)
    for entry in found:
        entry["cost"]["train_seconds"] = metric(seconds[entry["label"]], group="cost", unit="s")
    (line,) = [line for line in sentences(render(THREE, found, [])) if line.startswith("**Cost**")]
    assert line == (
        "**Cost**: the Pareto front of SSE and seconds of training, by means, is `ae` (2 s, SSE 7.00 ± 0.02) and `vcae` (50 s, SSE 6.00 ± "
        "0.02), the cheapest first."
    )


def test_rows_that_failed_or_did_not_run_are_said() -> None:
    assert sentences(render(THREE, records(LEAD), []))[-1] == "**Failed**: no run failed or diverged."
    some = [
        *(of for of in records(LEAD) if of["label"] not in ("vae", "wae_mmd")),
        lost("vae", 0, "diverged", "nan"),
        lost("vae", 1, "failed", "x"),
    ]
    assert sentences(render(THREE, some, []))[-1] == "**Failed**: lost runs: `vae` (1 diverged, 1 failed); not run: `wae_mmd`."


def test_measures_of_error_that_disagree_are_said() -> None:
    orders = {"rec_sse_test": (1.0, 2.0, 3.0), "rec_bce_sum_test": (2.0, 1.0, 3.0), "rec_l1_per_pixel_x100_test": (1.0, 2.0, 3.0)}
    found = [
        record(label, seed, {name: metric(of[i] + 0.1 * seed) for name, of in orders.items()}, THREE)
        for i, label in enumerate(("vae", "vcae", "ae"))
        for seed in range(3)
    ]
    (line,) = [line for line in said(render(THREE, found, [])) if line.startswith("**Measures of error**")]
    assert line == (
        "**Measures of error**: `vae` has the lowest mean squared error, and is the best by 1 of 2 other measures too. "
        "Kendall's τ of the orders of 3 rows is 0.33 with cross-entropy and 1.00 with absolute error."
    )


def test_a_headline_is_checked_with_the_near_name() -> None:
    known = catalogue().every_metric
    check(replace(SUITE, headline=("frechet_pca", "frechet_pca_qz", "train_seconds")), known)
    with pytest.raises(UserError, match=r"headline\[1\]: unknown metric 'frechet_pac'; did you mean 'frechet_pca'\?"):
        check(replace(SUITE, headline=("rec_sse_test", "frechet_pac")), known)
    with pytest.raises(UserError, match="headline: 'mig' stands there twice"):
        replace(SUITE, headline=("mig", "mig"))
    with pytest.raises(UserError, match="headline: a first screen has room for 6 columns, not 7"):
        replace(SUITE, headline=tuple("abcdefg"))
    check(replace(SUITE, headline=USUAL[:6]), known)
    for name in reader.names():
        check(reader.read(name), known)


def test_fronts_name_the_rows_that_nothing_beats() -> None:
    """vcae is best, ae cheapest; wae_mmd is beaten by both on every seed; vae costs the least on one seed of three."""
    seconds = {"vcae": (5.0, 5.1, 5.2), "ae": (2.0, 2.1, 2.2), "wae_mmd": (6.0, 6.0, 6.0), "vae": (1.9, 9.0, 9.0)}
    found = records(LEAD)
    for entry in found:
        entry["cost"]["train_seconds"] = metric(seconds[entry["label"]][entry["seed"]], group="cost", unit="s")
    section = render(THREE, found, []).split("## Quality for its cost\n\n")[1].split("\n\n")[0]
    lines = [[part.strip() for part in line.split("|")[1:-1]] for line in section.splitlines() if line.startswith("|")]
    assert lines[0] == ["method", "SSE, seconds"]
    # vae costs less than ae only where the first seed is drawn all three times: 1 of 27 resamples, which is below 5 %
    assert lines[2:] == [["vcae", "100"], ["ae", "100"]]
    for entry in found:
        if entry["label"] == "vae":
            entry["cost"]["train_seconds"] = metric((1.9, 1.9, 9.0)[entry["seed"]], group="cost", unit="s")
    section = render(THREE, found, []).split("## Quality for its cost\n\n")[1]
    assert "|vae|30|" in section  # where the third seed is not drawn: (2/3)³ = 8 of 27


def test_seconds_of_two_machines_and_costs_that_all_share_have_no_front() -> None:
    found = records(LEAD)
    assert "## Quality for its cost" in render(
        THREE, [{**e, "cost": {"train_seconds": metric(LEAD[e["label"]], group="cost")}} for e in found], []
    )
    same = [{**e, "cost": {"train_seconds": metric(2.0, group="cost")}} for e in found]
    assert "## Quality for its cost" not in render(THREE, same, [])
    found[0]["environment"] = {**MACHINE, "threads": 4}
    assert "## Quality for its cost" not in render(THREE, found, [])


def test_each_column_says_what_its_seeds_separate_and_the_ranks_that_they_leave() -> None:
    close = {"vcae": 6.0, "ae": 6.001, "wae_mmd": 8.0, "vae": 9.0}
    board = render(THREE, records(close), [])
    assert "|*pairs separated*|83 %|\n|*seeds for the first two*|≥400|" in board.split("<summary>Reconstruction")[1]
    ranks = board.split("<summary>Ranks")[1].split("</details>")[0]
    assert "|vcae|1–2|\n|ae|1–2|\n|wae_mmd|3|\n|vae|4|" in ranks


def test_listed_and_narrow_tables() -> None:
    assert [listed(""), listed("a"), listed("ab"), listed("abc"), listed("abcdefgh", most=3)] == [
        "",
        "a",
        "a and b",
        "a, b and c",
        "a, b and 6 more",
    ]
    assert narrow(["a", "b"], [["x|y", "1"], ["z", "22"]]) == "| a    |  b |\n|------|---:|\n| x\\|y |  1 |\n| z    | 22 |"
