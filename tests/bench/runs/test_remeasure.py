"""Finished runs measured again from their weights: the same numbers as after training, and what moved is found."""

import csv
import json
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from harness import Started, cli, files, suite, until, whole_records

from bench.commands.repeats import in_order
from bench.environment import code_hash
from bench.records.locks import claimed
from bench.records.store import read_record, read_records
from bench.runs.repeats import Repeats, spreads
from bench.suites import reader
from bench.suites.schema import canonical

ROWS = """
[methods.vae_bernoulli]
[methods.vcae]
density = { model = "maf", transforms = 2, hidden = [16], budget = { steps = 10 } }
"""
ALL_KINDS = """
[methods.avb]
[methods.factorvae]
[methods.tc_vcae]
density = { model = "mixture" }
[methods.vae_iaf]
[methods.prior_gmm]
components = 5
[methods.prior_vamp]
components = 5
[methods.prior_hier]
[methods.ladder]
components = 5
[methods.stacked_wae]
network = "stacked_mlp"
[methods.dvcae]
density = { model = "gaussian" }
[methods.wae_gan]
[methods.wise_ale]
"""
ALONE = ("--no-profile", "--jobs", 1)
MORE = "mmd_prior,density_nll_test,frechet_pca_pz,frechet_pixels_qz,iw_bound_bernoulli,overfit_gap"
LEAST = "rec_sse_test,mmd_prior"


def digits(folder: Path, metrics: str, rows: str = ROWS, steps: int = 20, plugin: str = "", **changed: str) -> Path:
    """A suite file whose runs have those metrics; the same keys, and so the same weights, whatever these are."""
    path = suite(folder, rows, steps=steps, plugin=plugin, metrics=[name for name in metrics.split(",") if name])
    text = path.read_text(encoding="utf-8")
    for old, new in changed.items():
        text = text.replace(f'{old} = "', f'{old} = "{new}" # "')
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return digits(tmp_path_factory.mktemp("suite"), LEAST)


@pytest.fixture(scope="module")
def finished(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("finished") / "out"  # as far from the suite file as copies of it are: records name that path
    assert cli("run", "-s", file, "-o", out, *ALONE).code == 0
    return out


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A copy to change."""
    shutil.copytree(finished, tmp_path / "out")
    return tmp_path / "out"


def record_of(path: Path) -> dict[str, Any]:
    """What a record.json says."""
    return read_record(path.parent) or {}


def lines(out: Path) -> dict[str, dict[str, Any]]:
    """The suite's records on its leaderboard, by `label/seed`."""
    (path,) = [path for path in (out / "leaderboards" / "runs").glob("*.jsonl") if "profile" not in path.name]
    return {f"{line['label']}/{line['seed']}": line for line in read_records(path, "")}


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file() and "lock" not in path.name}


@pytest.mark.parametrize(
    ("changed", "few", "more"),
    [
        ({}, "rec_sse_test", MORE),
        ({"held_out": "validation"}, "rec_sse_test", MORE),
        ({"dataset": "sine"}, "rec_sse_test", "mmd_prior,frechet_pixels_pz,sharpness_pz"),
    ],
    ids=["second stage", "validation", "signals"],
)
def test_evaluated_metrics_are_bit_for_bit_those_of_a_run_that_had_them(
    tmp_path: Path, changed: dict[str, str], few: str, more: str
) -> None:
    rows = "[methods.vae_gauss]\n" if "dataset" in changed else ROWS
    override = ("--set", f"held_out='{changed['held_out']}'") if "held_out" in changed else ()
    kinds = {name: value for name, value in changed.items() if name != "held_out"}
    whole, part = (digits(tmp_path / name, metrics, rows, **kinds) for name, metrics in (("a", f"{few},{more}"), ("b", few)))
    for name, path in (("whole", whole), ("part", part)):
        assert cli("run", "-s", path, "-o", tmp_path / name, *ALONE, *override).code == 0
    before, expected = whole_records(tmp_path / "part"), whole_records(tmp_path / "whole")
    result = cli("evaluate", part, "-o", tmp_path / "part", "--metrics", more, "--jobs", 1, *override)
    assert result.code == 0
    after = whole_records(tmp_path / "part")
    assert lines(tmp_path / "part") == after
    for name, record in after.items():
        assert record["metrics"] == expected[name]["metrics"]
        assert len(record["metrics"]) == len(before[name]["metrics"]) + len(more.split(","))
        (note,) = record.pop("evaluated")
        assert note["metrics"] == sorted(set(record["metrics"]) - set(before[name]["metrics"]))
        fitted = [entry["value"] for metric, entry in record["metrics"].items() if metric.startswith("density_nll")]
        assert any(fitted) == (name == "vcae/0")
        assert (note["code"], note["environment"]["threads"]) == (code_hash(()), 1)
        assert {**record, "metrics": {}} == {**before[name], "metrics": {}}
    assert cli("leaderboard", "-s", part, "-o", tmp_path / "part", "--check", *override).code == 0


def test_every_kind_of_method_is_made_again_from_its_weights(tmp_path: Path) -> None:
    file = digits(tmp_path, "rec_sse_test,frechet_pixels_pz,mmd_prior,density_nll_test", ALL_KINDS, steps=16)
    assert cli("run", "-s", file, "-o", tmp_path, *ALONE).code == 0
    result = cli("verify", file, "-o", tmp_path, "--jobs", 1, "--tolerance", 0)
    assert (result.code, result.out, result.err) == (0, "12 runs verified: nothing moved (tolerance 0, relative)\n", "")


@pytest.fixture
def edited(file: Path) -> Iterator[Path]:
    """The suite's file, to be changed in a test."""
    before = file.read_text(encoding="utf-8")
    yield file
    file.write_text(before, encoding="utf-8")


def test_a_suite_s_runs_get_what_the_suite_names_and_a_run_is_one(edited: Path, out: Path) -> None:
    """By its folder, whose suite is kept beside the results."""
    digits(edited.parent, f"{LEAST},mean_log_variance")
    assert cli("evaluate", edited, "-o", out, "--jobs", 1).code == 0
    assert all({"mean_log_variance", "rec_sse_test"} < set(record["metrics"]) for record in whole_records(out).values())
    folder = files(out, "record.json")["vcae/0"].parent
    result = cli("evaluate", folder, "--metrics", "sum_latent_variance")
    assert (result.code, result.err) == (0, "")
    assert result.out == f"1 run evaluated; leaderboard: {out / 'leaderboards' / 'tiny.md'}\n"
    assert {name: "sum_latent_variance" in line["metrics"] for name, line in lines(out).items()} == {
        "vae_bernoulli/0": False,
        "vcae/0": True,
    }
    assert "sum_latent_variance" in (out / "leaderboards" / "tiny.md").read_text(encoding="utf-8")


def test_a_suites_name_is_the_suite_though_a_folder_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    for command in ("evaluate", "verify"):
        assert "runs/digits: no finished run of suite digits; train them with" in cli(command, "digits", "--jobs", 1).line()


def test_workers_share_the_runs_out_among_them(file: Path, out: Path, tmp_path: Path) -> None:
    shutil.copytree(out, tmp_path / "alone")
    assert cli("evaluate", file, "-o", tmp_path / "alone", "--metrics", "overfit_gap", "--jobs", 1).code == 0
    result = Started(tmp_path, "evaluate", file, "-o", out, "--metrics", "overfit_gap", "--jobs", 2).wait()
    assert (result.code, result.err, result.out[:17]) == (0, "", "2 runs evaluated;")
    assert {name: record["metrics"] for name, record in lines(out).items()} == {
        name: record["metrics"] for name, record in lines(tmp_path / "alone").items()
    }


def test_a_value_stays_where_its_network_is_not_here_and_goes_where_it_never_was(file: Path, out: Path, tmp_path: Path) -> None:
    path = files(out, "record.json")["vcae/0"]
    record = record_of(path)
    had = {"value": 12.5, "unit": "", "better": "lower", "group": "samples", "protocol": "of another machine; v1"}
    record["metrics"] |= {"fid_qz": had, "mmd_prior": had}  # no prior: it has none, whatever is on the machine
    path.write_text(json.dumps(record), encoding="utf-8")
    result = cli("evaluate", path.parent, "--metrics", "fid_qz,fid_pz,mmd_prior", "--data-root", tmp_path)
    assert result.code == 0
    assert "kept as they were, for the weights of their networks are not here or memory ran out: fid_qz\n" in result.out
    found = whole_records(out)["vcae/0"]
    assert found["metrics"]["fid_qz"] == had
    assert found["metrics"]["fid_pz"]["value"] is None
    assert found["metrics"]["mmd_prior"]["reason"] == "no prior"
    assert found["evaluated"][0]["metrics"] == ["fid_pz", "mmd_prior"]


def test_a_stale_run_is_measured_and_leaves_its_row_s_place_to_the_later_one(edited: Path, out: Path) -> None:
    old = files(out, "record.json")["vae_bernoulli/0"].parent
    digits(edited.parent, LEAST, "[methods.vae_bernoulli]\nlatent_dim = 3\n")
    assert cli("run", "-s", edited, "-o", out, *ALONE).code == 0
    before = lines(out)
    assert before["vae_bernoulli/0"]["config"]["latent_dim"] == 3
    assert cli("evaluate", old, "--metrics", "overfit_gap").code == 0
    assert "overfit_gap" in record_of(old / "record.json")["metrics"]
    assert lines(out) == before
    assert cli("verify", old).out == "1 run verified: nothing moved (tolerance 1e-06, relative)\n"


SLOW = """
import time
from pathlib import Path
from metrics.metric import Metric

def slow(codes):
    (Path(__file__).parent / "begun").touch()
    time.sleep(SECONDS)
    return codes.z.sum()

METRICS = [Metric("slow", slow, ("test.codes",), "sum of codes", "mine", version=1)]
"""


def test_a_kill_leaves_the_old_record_whole(tmp_path: Path) -> None:
    file = digits(tmp_path, LEAST, "[methods.ae]", plugin=SLOW.replace("SECONDS", "100"))
    assert cli("run", "-s", file, "-o", tmp_path, *ALONE).code == 0
    before = content(tmp_path / "runs") | content(tmp_path / "leaderboards")
    started = Started(tmp_path, "evaluate", file, "-o", tmp_path, "--metrics", "slow", "--jobs", 1)
    until(lambda: (tmp_path / "begun").exists(), "the metric")
    started.kill()
    assert content(tmp_path / "runs") | content(tmp_path / "leaderboards") == before
    (tmp_path / "plugin.py").write_text(SLOW.replace("SECONDS", "0"), encoding="utf-8")
    assert cli("evaluate", file, "-o", tmp_path, "--metrics", "slow", "--jobs", 1).code == 0
    assert lines(tmp_path)["ae/0"]["metrics"]["slow"]["value"] is not None
    (tmp_path / "plugin.py").write_text(SLOW.replace("SECONDS", "0").replace("version=1", "version=2"), encoding="utf-8")
    result = cli("verify", file, "-o", tmp_path, "--jobs", 1)
    assert result.code == 1
    (line,) = [line for line in result.out.splitlines() if " slow " in line]
    assert "protocol: v1 → v2; code " in line
    assert result.out.endswith("1 of 1 run moved (tolerance 1e-06, relative)\n")


def test_an_evaluation_waits_for_who_has_the_run(file: Path, out: Path, tmp_path: Path) -> None:
    path = files(out, "record.json")["vcae/0"]
    before = path.read_bytes()
    with claimed(path.parent, wait=True):
        started = Started(tmp_path, "evaluate", path.parent, "--metrics", "overfit_gap")
        started.process.join(8)
        assert started.process.exitcode is None
        assert path.read_bytes() == before
    assert started.wait().code == 0
    assert "overfit_gap" in whole_records(out)["vcae/0"]["metrics"]


def test_verifying_writes_nothing_not_even_features_that_it_had_to_make(file: Path, out: Path) -> None:
    assert cli("evaluate", file, "-o", out, "--metrics", "frechet_pca_floor", "--jobs", 1).code == 0
    shutil.rmtree(out / "runs" / ".features")
    before = content(out)
    result = cli("verify", file, "-o", out, "--jobs", 1)
    assert (result.code, result.out) == (0, "2 runs verified: nothing moved (tolerance 1e-06, relative)\n")
    assert content(out) == before


def change_weight(folder: Path) -> None:
    """One weight of the decoder."""
    path = folder / "weights.safetensors"
    tensors = safetensors.torch.load_file(path)
    name = next(name for name in sorted(tensors) if name.startswith("decoder"))
    tensors[name].view(-1)[0] += 1
    safetensors.torch.save_file(tensors, path)


def test_a_changed_weight_is_found_and_no_metric_is_added_to_it(out: Path) -> None:
    folder = files(out, "record.json")["vae_bernoulli/0"].parent
    change_weight(folder)
    before = content(out)
    result = cli("verify", folder)
    assert result.code == 1
    rows = {line.split()[3]: line for line in result.out.splitlines()[2:4]}
    assert set(rows) == {"weights", "rec_sse_test"}
    assert "weights " in rows["rec_sse_test"].partition("→")[0]
    assert "the file does not hold what was trained" in rows["weights"]
    assert "are not those of its record; train this run again" in (refused := cli("evaluate", folder)).line()
    assert refused.code == 2
    assert content(out) == before


def tamper(out: Path, change: Any, where: str = "record") -> Path:
    """Change vcae's record in its folder, on the leaderboard, or both; -> its folder."""
    path = files(out, "record.json")["vcae/0"]
    if where != "line":
        record = record_of(path)
        change(record)
        path.write_text(json.dumps(record), encoding="utf-8")
    if where != "record":
        kept = lines(out)
        change(kept["vcae/0"])
        target = out / "leaderboards" / "runs" / "tiny.jsonl"
        target.write_text("".join(canonical(line) + "\n" for line in kept.values()), encoding="utf-8")
    return path.parent


def scale(record: dict[str, Any]) -> None:
    record["metrics"]["rec_sse_test"]["value"] *= 1 + 1e-4


@pytest.mark.parametrize(
    ("where", "names"), [("record", ["vcae seed 0"]), ("line", ["vcae seed 0, leaderboard"]), ("both", ["vcae seed 0"])]
)
def test_a_tampered_value_is_found_wherever_it_is(out: Path, where: str, names: list[str]) -> None:
    folder = tamper(out, scale, where)
    result = cli("verify", folder)
    assert (result.code, result.err) == (1, "")
    table = result.out.splitlines()[2:-2]
    assert len(table) == len(names)
    for name, line in zip(names, table, strict=True):
        assert line.startswith(f"{name}  rec_sse_test ")
        assert "0.0001 " in line
        assert line.endswith("nothing known differs")
    assert cli("verify", folder, "--tolerance", 1e-3).code == 0
    assert cli("verify", folder, "--metrics", "mmd_prior").code == 0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda r: r["environment"].update(torch="1.0.0"), "torch 1.0.0 → "),
        (lambda r: r["hashes"].update(code="abc"), "code abc → "),
        (lambda r: r["environment"].update(threads=7), "threads 7 → 1"),
        (lambda r: r["hashes"].update(data="0" * 64), f"data {'0' * 16} → "),
        (lambda r: r["metrics"]["parameter_count"].update(value=1), "nothing known differs"),
        (lambda r: r["metrics"].update(rec_see_test=r["metrics"]["rec_sse_test"]), "no metric has this name now"),
    ],
    ids=["version", "code", "threads", "data", "parameters", "name"],
)
def test_why_a_value_moved_is_said(out: Path, change: Any, says: str) -> None:
    folder = tamper(out, lambda record: (change(record), "parameter" in says or scale(record)), "both")
    result = cli("verify", folder)
    assert result.code == 1
    assert any(says in line for line in result.out.splitlines())


def test_other_data_are_refused(out: Path) -> None:
    folder = tamper(out, lambda record: record["hashes"].update(data="0" * 64))
    before = content(out)
    result = cli("evaluate", folder)
    assert result.code == 2
    assert "is not the one that it was trained on" in result.line()
    assert content(out) == before


def test_one_run_s_refusal_does_not_keep_the_others(file: Path, out: Path) -> None:
    change_weight(files(out, "record.json")["vae_bernoulli/0"].parent)
    result = cli("evaluate", file, "-o", out, "--metrics", "overfit_gap", "--jobs", 1)
    assert result.code == 2
    assert "vae_bernoulli/0-" in result.line()
    assert result.out.startswith("1 run evaluated; ")
    assert {name: "overfit_gap" in line["metrics"] for name, line in lines(out).items()} == {"vae_bernoulli/0": False, "vcae/0": True}


@pytest.mark.parametrize("command", ["evaluate", "verify"])
def test_mistakes_are_one_line(file: Path, out: Path, tmp_path: Path, command: str) -> None:
    folder = files(out, "record.json")["vcae/0"].parent

    def line(*arguments: object) -> str:
        result = cli(command, *arguments)
        assert (result.code, result.out) == (2, "")
        return result.line()

    assert "--metrics: unknown metric 'mmd_pior'; did you mean 'mmd_prior'?" in line(folder, "--metrics", "mmd_pior")
    assert "unknown suite 'digit'; did you mean 'digits'?" in line("digit", "-o", out)
    assert "not the folder of a run, which is <out>/runs/" in line(tmp_path)
    assert f"unknown run 'vcae/0-{folder.name[2:-1]}'; did you mean 'vcae/{folder.name}'?" in line(str(folder)[:-1])
    assert "no finished run of suite digits; train them with: python -m bench run --suite digits" in line("digits", "-o", out)
    assert "--set and --name are of a suite" in line(folder, "--set", "latent_dim=3")
    assert "--jobs must be at least 1" in line(folder, "--jobs", 0)
    (out / "leaderboards" / "runs" / "tiny.suite.json").rename(tmp_path / "kept")
    assert "name its suite file instead of the run" in line(folder)
    (tmp_path / "kept").rename(out / "leaderboards" / "runs" / "tiny.suite.json")
    for status, words in (("diverged", "it is diverged; only finished runs are measured"), ("failed", "it is failed")):
        tamper(out, lambda record, status=status: record.update(status=status))
        assert words in line(folder)
    tamper(out, lambda record: record.update(status="done", smoke=True))
    assert "a smoke run, which no leaderboard takes" in line(folder)
    tamper(out, lambda record: record.update(smoke=False, config={}))
    assert "not a record (config" in line(folder)
    (folder / "record.json").unlink()
    (folder / "weights.safetensors").write_bytes(b"no weights")
    assert "it has not finished, there is no record" in line(folder)


def test_damaged_weights_and_those_of_another_method_are_refused(out: Path) -> None:
    folders = [files(out, "record.json")[name].parent for name in ("vcae/0", "vae_bernoulli/0")]
    shutil.copy(folders[1] / "weights.safetensors", folders[0])
    assert "its weights do not fit the method as the code has it now" in cli("verify", folders[0]).line()
    (folders[0] / "weights.safetensors").write_bytes(b"no weights")
    assert "damaged" in cli("evaluate", folders[0]).line()


def test_without_weights_it_is_said_how_to_train_again(file: Path, out: Path) -> None:
    """As in a fresh clone, which has records alone; or where only the weights were deleted."""
    folder = files(out, "record.json")["vcae/0"].parent
    again = f"train again: python -m bench run --suite {file}"
    (folder / "weights.safetensors").unlink()
    deleted = f"delete its record.json, then python -m bench run --suite {file}"
    assert deleted in cli("evaluate", folder).line()
    some = cli("evaluate", file, "-o", out, "--metrics", "overfit_gap", "--jobs", 1)
    assert some.code == 2
    assert f"1 of 2 finished runs of tiny have no weights in {out / 'runs' / 'tiny'}; they are not in git" in some.line()
    shutil.rmtree(out / "runs")
    for command in ("evaluate", "verify"):
        assert (
            f"its weights are not here; they are not in git, train again: python -m bench run --suite {file}" in cli(command, folder).line()
        )
        assert again in cli(command, file, "-o", out).line()


def test_repeats_begin_with_the_records_values_and_change_nothing(file: Path, out: Path, tmp_path: Path) -> None:
    before = content(out)
    said = cli("repeats", file, "-o", out, "--times", 3, "--jobs", 1, "--metrics", f"{LEAST},overfit_gap", "--csv", tmp_path / "values.csv")
    assert said.code == 0, said.err
    assert content(out) == before
    with (tmp_path / "values.csv").open(encoding="utf-8", newline="") as text:
        values = {(row["method"], row["metric"], int(row["evaluation"])): float(row["value"]) for row in csv.DictReader(text)}
    recorded = lines(out)
    for label in ("vae_bernoulli", "vcae"):
        metrics = recorded[f"{label}/0"]["metrics"]
        assert values[label, "rec_sse_test", 0] == metrics["rec_sse_test"]["value"]
        assert len({values[label, "rec_sse_test", n] for n in range(3)}) == 3  # the encoder's noise is drawn anew
    assert values["vae_bernoulli", "mmd_prior", 0] == recorded["vae_bernoulli/0"]["metrics"]["mmd_prior"]["value"]
    assert ("vcae", "mmd_prior", 0) not in values  # it has no prior
    assert [line.split()[0] for line in said.out.splitlines()[2:7]] == ["vae_bernoulli"] * 3 + ["vcae"] * 2


def test_repeats_of_noise_free_codes_are_equal(tmp_path: Path) -> None:
    plain = digits(tmp_path, "rec_sse_test", "[methods.dvcae]\n")
    assert cli("run", "-s", plain, "-o", tmp_path / "out", *ALONE).code == 0
    said = cli("repeats", plain, "-o", tmp_path / "out", "--times", 2, "--jobs", 1)
    assert [line.split()[3:] for line in said.out.splitlines() if "rec_sse_test" in line] == [["0", "-", "1"]]
    refused = cli("repeats", plain, "-o", tmp_path / "out", "--times", 1)
    assert (refused.code, refused.line()) == (2, "--times must be at least 2, not 1: one evaluation has no spread")


def test_repeats_stand_in_the_suites_order_whoever_ended_first() -> None:
    suite_of_three = reader.read("digits", methods=("vcae", "ae", "dvcae"))
    labels = [entry.label for entry in suite_of_three.methods]
    ended = [Repeats(label, seed, {}) for seed in (1, 0) for label in ("vcae", "ae", "dvcae")]
    assert [(run.label, run.seed) for run in in_order(ended, suite_of_three)] == [(label, seed) for label in labels for seed in (0, 1)]


def test_spreads_of_evaluations_and_of_trainings() -> None:
    runs = [Repeats("a", 0, {"x": (1.0, 3.0)}), Repeats("a", 1, {"x": (5.0, 5.0)}), Repeats("b", 0, {"x": (2.0, 2.0)})]
    a, b = spreads(runs)
    assert (a.label, a.metric, a.mean, a.seeds) == ("a", "x", 3.0, 2)
    assert a.evaluations == pytest.approx(1.0)  # sqrt of the mean of 2 and 0
    assert a.trainings == pytest.approx(8**0.5)  # of 1 and 5
    assert (b.mean, b.evaluations, b.seeds) == (2.0, 0.0, 1)
    assert math.isnan(b.trainings)
