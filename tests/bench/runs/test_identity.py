"""Two versions of what trains or measures a row: their numbers never meet, whatever was stopped, finished or broken off before."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from harness import METRICS, Started, cli, files, suite, until, whole_records

from bench.engines.local import unprofiled
from bench.leaderboard.rows import columns_of, profile_of, rows_of
from bench.records.store import CHECKPOINT, Store, read_record, save_record
from bench.registry import catalogue
from bench.runs.context import Context
from bench.runs.resolve import resolve
from bench.runs.run import failed
from bench.runs.settings import Settings
from bench.runs.together import trained_here
from bench.runs.up_to_date import stale
from bench.suites import reader

PLUGIN = '''"""A method of one's own."""

from dataclasses import replace

from models.vae import vae_gauss


def myvae(dim, *, beta: float = 1.0):
    """A VAE with a weight of its own."""
    recipe = vae_gauss(dim)
    (_, kl), = recipe.regularisers
    return replace(recipe, regularisers=((beta, kl),))


METHODS = [myvae]
'''
ROWS = "[methods.myvae]\n[methods.ae]\n"


def run(file: Path, out: Path, *more: object) -> Any:
    result = cli("run", "-s", file, "-o", out, "--jobs", 1, "--no-profile", *more)
    assert result.code == 0, result.err
    return result


def page(out: Path) -> str:
    return (out / "leaderboards" / "tiny.md").read_text(encoding="utf-8")


def betas(out: Path) -> dict[str, Any]:
    return {name: record["config"]["hyperparameters"].get("beta") for name, record in whole_records(out).items()}


def times(out: Path) -> dict[str, int]:
    return {name: path.stat().st_mtime_ns for name, path in files(out, "record.json").items()}


def changed(before: Mapping[str, int], after: Mapping[str, int]) -> set[str]:
    return {name for name in after if before.get(name) != after[name]}


def test_a_default_that_changed_makes_another_method(tmp_path: Path) -> None:
    """Two seeds, then another default, then four seeds: one mean over two methods it was."""
    file, out = suite(tmp_path, ROWS, seeds=2, steps=5, plugin=PLUGIN), tmp_path / "out"
    run(file, out)
    before = times(out)
    (tmp_path / "plugin.py").write_text(PLUGIN.replace("beta: float = 1.0", "beta: float = 30.0"), encoding="utf-8")
    result = run(file, out, "--seeds", 4)
    assert result.err.splitlines() == [
        "myvae: seeds 0, 1 stale, trained again: beta was 1.0, is 30.0; trained by other code: plugin.py changed"
    ]
    assert betas(out) == {f"myvae/{seed}": 30.0 for seed in range(4)} | {f"ae/{seed}": None for seed in range(4)}
    assert changed(before, times(out)) == {"myvae/0", "myvae/1", "myvae/2", "myvae/3", "ae/2", "ae/3"}
    assert "stale" not in page(out)


def test_two_versions_of_a_plugin_never_share_a_mean(tmp_path: Path) -> None:
    file, out = suite(tmp_path, ROWS, seeds=2, steps=5, plugin=PLUGIN), tmp_path / "out"
    run(file, out)
    (tmp_path / "plugin.py").write_text(PLUGIN.replace("((beta, kl),)", "((7 * beta, kl),)"), encoding="utf-8")
    result = run(file, out, "--seeds", 1, "--methods", "myvae")
    assert "1/1 done" in result.out
    kept = [record for record in Store(out, "tiny").records() if record["label"] == "myvae"]
    assert len(kept) == 2
    assert kept[0]["trained_by"] != kept[1]["trained_by"]
    text = page(out)
    found = rows_of(reader.read(str(file)), Store(out, "tiny").records(), [])
    rows = {row.name.partition(" ")[0] + " stale" * row.stale: row for row in found}
    (column,) = (column for column in columns_of(reader.read(str(file)), found) if column.name == "rec_sse_test")
    assert [list(column.values(rows[name])) for name in ("myvae", "myvae stale")] == [[0], [1]]
    assert f"\n- {rows['myvae stale'].name}: trained by other code: plugin.py changed\n" in text
    assert "stale rows" in (out / "leaderboards" / "README.md").read_text(encoding="utf-8")
    assert cli("leaderboard", "-s", file, "-o", out, "--check").code == 0


def test_comments_docstrings_and_other_rows_leave_all_up_to_date(tmp_path: Path) -> None:
    other = PLUGIN.replace("myvae", "yours").replace("[yours]", "[yours, ]")
    file, out = suite(tmp_path, ROWS, steps=5, plugin=PLUGIN), tmp_path / "out"
    (tmp_path / "other.py").write_text(other, encoding="utf-8")
    file.write_text(
        file.read_text().replace('["plugin.py"]', '["plugin.py", "other.py"]').replace("'plugin.py'", "'plugin.py', 'other.py'")
    )
    run(file, out)
    before = times(out)
    (tmp_path / "plugin.py").write_text(
        "# mine\n" + PLUGIN.replace("A VAE with a", "My VAE and its").replace("1.0)", "1.0,)"), encoding="utf-8"
    )
    (tmp_path / "other.py").write_text(other.replace("1.0", "2.0"), encoding="utf-8")
    assert run(file, out).err == ""
    assert times(out) == before
    assert "stale" not in page(out)


def test_what_a_plugin_imports_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weighting.py").write_text("def weight(beta):\n    return beta\n", encoding="utf-8")
    plugin = PLUGIN.replace("from models.vae", "from weighting import weight\nfrom models.vae").replace(
        "((beta, kl),)", "((weight(beta), kl),)"
    )
    file, out = suite(tmp_path, ROWS, steps=5, plugin=plugin), tmp_path / "out"
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))

    def start() -> str:
        result = Started(tmp_path, "run", "-s", file, "-o", out, "--jobs", 1, "--no-profile").wait()
        assert result.code == 0, result.err
        return result.err

    assert start() == ""
    before = times(out)
    (tmp_path / "weighting.py").write_text('"""Weights."""\ndef weight(beta):\n    return beta  # as it is\n', encoding="utf-8")
    assert start() == ""
    assert times(out) == before
    (tmp_path / "weighting.py").write_text("def weight(beta):\n    return 2 * beta\n", encoding="utf-8")
    assert "myvae: seed 0 stale, trained again: trained by other code: weighting.py changed" in start()
    assert changed(before, times(out)) == {"myvae/0"}


def test_a_checkpoint_of_other_code_is_not_gone_on_with(tmp_path: Path) -> None:
    """A run that was killed, another version of its plugin, the same command: the weights are those of that version alone."""
    rows = "[methods.myvae]\n"
    file, out = suite(tmp_path, rows, steps=20_000, plugin=PLUGIN), tmp_path / "out"
    started = Started(tmp_path, "run", "-s", file, "-o", out, "--jobs", 1, "--no-profile", "--save-every", 0)
    until(lambda: files(out, CHECKPOINT), "a checkpoint")
    time.sleep(0.2)
    started.kill()
    assert whole_records(out) == {}
    suite(tmp_path, rows, steps=20_000, plugin=PLUGIN.replace("((beta, kl),)", "((9 * beta, kl),)"))
    again = Started(tmp_path, "run", "-s", file, "-o", out, "--jobs", 1, "--no-profile", "--save-every", 0)
    until(lambda: again.logs[1].exists() and "checkpoint.pt is not gone on with" in again.logs[1].read_text(encoding="utf-8"), "the line")
    again.kill()


def test_a_short_run_from_a_checkpoint_of_other_code_has_the_weights_of_a_new_one(tmp_path: Path) -> None:
    rows, other = "[methods.myvae]\n", PLUGIN.replace("((beta, kl),)", "((9 * beta, kl),)")
    file, out = suite(tmp_path, rows, steps=20, plugin=PLUGIN), tmp_path / "out"
    # the state that another version leaves when it is killed is that of its last save
    import bench.runs.stages as stages

    saved = dict[str, bytes]()
    with pytest.MonkeyPatch.context() as patch:
        real = Store.save_checkpoint
        patch.setattr(
            Store, "save_checkpoint", lambda self, run, payload, name: (saved.update({name: payload}), real(self, run, payload, name))
        )
        patch.setattr(stages, "train", partial_save(stages.train))
        run(file, out, "--save-every", 0)
    (folder,) = {path.parent for path in files(out, "record.json").values()}
    (folder / "record.json").unlink()
    suite_run = reader.read(str(file)).runs("cpu")[0]
    Store(out, "tiny").save_checkpoint(suite_run, saved[CHECKPOINT], CHECKPOINT)
    (tmp_path / "plugin.py").write_text(other, encoding="utf-8")
    result = run(file, out)
    assert "myvae seed 0: checkpoint.pt is not gone on with: other code, values or weights led to it; training begins anew" in result.err
    fresh = tmp_path / "fresh"
    run(file, fresh)
    assert whole_records(out)["myvae/0"]["hashes"] == whole_records(fresh)["myvae/0"]["hashes"]


def partial_save(train: Any) -> Any:
    """The trainer, with a save after every block whatever the clock says."""

    def saving(*arguments: Any, **named: Any) -> Any:
        return train(*arguments, **{**named, "save_every": 0.0})

    return saving


def test_a_diverged_run_of_other_code_is_run_again(tmp_path: Path) -> None:
    diverging = PLUGIN.replace("((beta, kl),)", "((beta * 1e38 * 1e38, kl),)")
    file, out = suite(tmp_path, "[methods.myvae]\n", steps=5, plugin=diverging), tmp_path / "out"
    assert cli("run", "-s", file, "-o", out, "--jobs", 1, "--no-profile").code == 1
    assert whole_records(out)["myvae/0"]["status"] == "diverged"
    before = times(out)
    assert cli("run", "-s", file, "-o", out, "--jobs", 1, "--no-profile").code == 1
    assert times(out) == before
    (tmp_path / "plugin.py").write_text(PLUGIN, encoding="utf-8")
    run(file, out)
    assert whole_records(out)["myvae/0"]["status"] == "done"


def test_fresh_runs_everything_again_from_the_start(tmp_path: Path) -> None:
    file, out = suite(tmp_path, ROWS, steps=5, plugin=PLUGIN), tmp_path / "out"
    run(file, out)
    before, weights = times(out), {name: path.read_bytes() for name, path in files(out, "weights.safetensors").items()}
    run(file, out)
    assert times(out) == before
    for jobs in (1, 2):
        before = times(out)
        assert run(file, out, "--fresh", "--jobs", jobs).err == ""
        assert changed(before, times(out)) == {"myvae/0", "ae/0"}
    assert {name: path.read_bytes() for name, path in files(out, "weights.safetensors").items()} == weights


def test_a_record_that_does_not_say_its_code_is_run_again_and_stays_apart(tmp_path: Path) -> None:
    file, out = suite(tmp_path, "[methods.ae]\n", seeds=2, steps=5), tmp_path / "out"
    run(file, out)
    for path in files(out, "record.json").values():
        record = read_record(path.parent) or {}
        del record["trained_by"]
        save_record(path.parent, record)
        Store(out, "tiny").merge([record])
    result = run(file, out, "--seeds", 1)
    assert "ae: seed 0 stale, trained again: trained by other code: one of the two is of a version before 0.3" in result.err
    assert "ae (stale " in page(out)


METRIC = """
from metrics.metric import Metric

METRICS = [Metric("mine", lambda codes: codes.z.mean() * 2, ("test.codes",), "mean of codes", "none", "", None, "latent")]
"""


def test_a_metric_of_other_code_is_another_column_until_it_is_measured_again(tmp_path: Path) -> None:
    file, out = suite(tmp_path, "[methods.ae]\n", seeds=2, steps=5, plugin=METRIC, metrics=[*METRICS, "mine"]), tmp_path / "out"
    run(file, out, "--seeds", 1)
    (tmp_path / "plugin.py").write_text(METRIC.replace("* 2", "* 3"), encoding="utf-8")
    result = run(file, out)
    assert "stale" not in result.err
    again = (
        f"metrics were added or changed since, or memory ran out (mine); to measure finished runs again: python -m bench evaluate {file}"
    )
    assert again in result.out
    assert "mine, protocol 1" in page(out)
    assert "mine, protocol 2" in page(out)
    assert "1 of 2 finished runs have a value; the others: measured by other code" in page(out)
    assert page(out).count(" (measured by code ") == 2
    weights = {name: path.read_bytes() for name, path in files(out, "weights.safetensors").items()}
    assert cli("evaluate", file, "-o", out, "--jobs", 1).code == 0
    assert "mine, protocol" not in page(out)
    assert "metrics were added" not in run(file, out).out
    assert {name: path.read_bytes() for name, path in files(out, "weights.safetensors").items()} == weights


def test_weights_of_another_model_are_not_measured(tmp_path: Path) -> None:
    file, out = suite(tmp_path, "[methods.myvae]\n", steps=5, plugin=PLUGIN), tmp_path / "out"
    run(file, out)
    before = times(out)
    (tmp_path / "plugin.py").write_text(PLUGIN.replace("((beta, kl),)", "((9 * beta, kl),)"), encoding="utf-8")
    result = cli("evaluate", file, "-o", out, "--jobs", 1)
    assert result.code == 2
    assert "trained by other code: plugin.py changed: its weights may mean something else now; train this run again" in result.err
    assert times(out) == before


def test_the_code_of_a_suite_is_looked_up_in_no_time() -> None:
    known, runs = catalogue(), reader.read("digits").runs("cpu")
    resolve(runs[0], known)  # files are read and parsed once a process
    start = time.perf_counter()
    resolved = [resolve(one, known) for one in runs]
    assert time.perf_counter() - start < 2.0
    codes = {one.run.label: one.trained_by for one in resolved}
    assert "models/wae.py" in codes["wae_mmd"]
    assert "models/wae.py" not in codes["vae_gauss"]
    assert all(len(metric.code) == 8 for metric in resolved[0].metrics)


def test_records_stay_short(tmp_path: Path) -> None:
    """The modules stand once in a file, whatever the number of its records."""
    file, out = suite(tmp_path, "[methods.ae]\n", seeds=3, steps=5), tmp_path / "out"
    run(file, out)
    lines = (out / "leaderboards" / "runs" / "tiny.jsonl").read_text(encoding="utf-8").splitlines()
    assert sum("models/vae.py" in line for line in lines) == 1
    assert max(map(len, lines)) < 8000
    assert len({str(record["trained_by"]) for record in Store(out, "tiny").records()}) == 1


def test_what_a_gpu_trained_stands_on_what_trains_there_and_its_profile_too() -> None:
    suite = reader.read("digits")
    here, there = (resolve(suite.runs(device)[0], catalogue()) for device in ("cpu", "cuda"))
    assert trained_here(here) == here
    assert set(trained_here(there).trained_by) - set(here.trained_by) >= {"bench/training/gathered.py"}
    places = {"cpu": {"device": "AMD EPYC", "processor": None}, "cuda": {"device": "NVIDIA H200", "processor": "AMD EPYC"}}
    for place, environment in places.items():
        for code in (here, there):
            record = {"config": code.values.config(), "trained_by": trained_here(code).trained_by, "environment": environment}
            assert (stale(here, record) == []) == (place == code.run.device), (place, code.run.device)


def test_a_run_that_hangs_on_a_gpu_is_a_record_of_the_code_that_trains_there(tmp_path: Path) -> None:
    there = resolve(reader.read("digits").runs("cuda")[0], catalogue())
    context = Context(catalogue(), Store(tmp_path, "digits"), torch.device("cpu"), Settings(tmp_path, Path()))
    assert failed(there, context, "no sign of life", "where")["trained_by"] == trained_here(there).trained_by


def test_a_profile_of_a_gpu_is_found_and_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = resolve(reader.read("digits").runs("cuda")[0], catalogue())
    store, code = Store(tmp_path, "digits"), trained_here(there).trained_by
    profile = {"suite": "digits", "label": there.run.label, "row_key": there.run.row_key(), "device": "cuda", "trained_by": code}
    assert profile_of([{"trained_by": code}], [profile]) == profile
    for found, expected in (([], [[there]]), ([profile], []), ([{**profile, "trained_by": there.trained_by}], [[there]])):
        monkeypatch.setattr(Store, "records", lambda store, kind, found=found: found)
        assert unprofiled([there], store) == expected
