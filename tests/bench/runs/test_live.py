"""A run while it trains: the curve on disk grows, whoever watches hears loss and pace, trackers get the same rows."""

import contextlib
import json
import sqlite3
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from harness import Started, cli, files, suite, until, whole_records

from bench import api
from bench.runs import trackers
from bench.runs.live import Live
from bench.runs.trackers import Followed, Trackers
from bench.training.train import Progress

ROWS = '[methods.vae_bernoulli]\n[methods.vae_bernoulli.density]\nmodel = "maf"\nbudget = { steps = 100 }\n'


def rows(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_curve_is_on_disk_while_the_run_trains(tmp_path: Path) -> None:
    file, out = suite(tmp_path, ROWS, steps=200_000), tmp_path / "out"
    started = Started(tmp_path, "run", "--suite", file, "--out", out, "--jobs", 1, "--no-profile")
    try:
        path = until(lambda: files(out, "curve.jsonl").get("vae_bernoulli/0"), "a curve")
        before = until(lambda: len(rows(path)) > 2 and rows(path), "three rows")
        after = until(lambda: len(rows(path)) > len(before) and rows(path), "another row")
    finally:
        started.kill()
    assert not whole_records(out)
    assert after[: len(before)] == before
    assert [row["step"] for row in after] == [50 * (number + 1) for number in range(len(after))]
    assert all("autoencoder.loss" in row for row in after)


def test_it_ends_as_the_whole_curve_of_both_stages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard, grown = list[Any](), list[list[float]]()

    def watch(event: Any) -> None:
        heard.append(event)
        if event.loss is not None:
            (path,) = files(tmp_path / "out", "curve.jsonl").values()
            grown.append([row["step"] for row in rows(path)])

    api.run(suite(tmp_path, ROWS, steps=150), out=tmp_path / "out", data_root=tmp_path, watch=watch)
    steps = [50, 100, 150, 200, 250]
    assert grown == [steps[: number + 1] for number in range(5)]
    (path,) = files(tmp_path / "out", "curve.jsonl").values()
    found = rows(path)
    assert [row["step"] for row in found] == steps
    news = [event for event in heard if event.loss is not None]
    assert [event.loss for event in news] == pytest.approx([row.get("autoencoder.loss", row.get("density.loss")) for row in found])
    assert [event.share for event in news] == pytest.approx([1 / 6, 1 / 3, 1 / 2, 3 / 4, 1])
    assert all(event.images_per_second > 100 for event in news)


def test_images_per_second_are_of_training_alone() -> None:
    class Store:
        """Keeps nothing."""

        def save_curve(self, *_: object) -> None: ...

        append_curve = save_curve

    heard = list[Any]()
    run: Any = type("Run", (), {"batch_size": 20})
    live = Live(Store(), run, 2, Trackers((), None, None), heard.append)  # type: ignore[arg-type]
    live(Progress(0.5, 50, 2.0, [{"step": 50, "autoencoder.loss": 3.0, "critic.loss": 9.0}]))
    assert (heard[0].images_per_second, heard[0].share, heard[0].loss) == (500.0, 0.25, 3.0)


def test_a_terminal_shows_loss_and_pace() -> None:
    from bench.commands.console import now
    from bench.runs.events import Event

    assert now(Event("a", 0.5, loss=21.43219, images_per_second=9310.4)) == "loss 21.43, 9,310 images/s"
    assert now(Event("a", 1.0, "done")) == ""


def test_an_unknown_tracker_and_one_without_its_package_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = suite(tmp_path, "[methods.ae]\n", steps=2)
    said = cli("run", "--suite", file, "--out", tmp_path / "out", "--log", "tensorbord")
    assert said.line() == "--log: unknown tracker 'tensorbord'; did you mean 'tensorboard'? known: mlflow, tensorboard, trackio, wandb"
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    said = cli("run", "--suite", file, "--out", tmp_path / "out", "--log", "wandb")
    assert said.line() == "--log wandb: its package is not installed; pip install 'latentbench[wandb]'"


def test_a_tracker_that_fails_costs_itself_and_not_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Breaks:
        """Breaks at its second row."""

        def __init__(self, run: Followed):
            self.rows = 0

        def log(self, row: Any) -> None:
            self.rows += 1
            if self.rows == 2:
                raise OSError("no room")

        def end(self, *_: object) -> None:
            raise AssertionError("it was left out")

    monkeypatch.setitem(trackers.KNOWN, "tensorboard", Breaks)
    monkeypatch.setattr(trackers, "find_spec", lambda name: True)
    notes = list[Any]()
    api.run(suite(tmp_path, ROWS, steps=150), out=tmp_path / "out", data_root=tmp_path, log=("tensorboard",), watch=notes.append)
    said = [event.note for event in notes if event.note]
    assert len(said) == 1
    assert said[0].startswith("tensorboard fails (OSError: no room")
    assert whole_records(tmp_path / "out")["vae_bernoulli/0"]["status"] == "done"


def tracked(tmp_path: Path, name: str) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """The curve and the record of a run that a tracker followed."""
    api.run(suite(tmp_path, ROWS, steps=150), out=tmp_path / "out", data_root=tmp_path, log=(name,))
    (path,) = files(tmp_path / "out", "curve.jsonl").values()
    return rows(path), whole_records(tmp_path / "out")["vae_bernoulli/0"]


def missing(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(find_spec(package) is None, reason=f"needs the package {package}, of an extra of that name")


@missing("tensorboard")
def test_event_files_read_back_are_the_curve(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    curve, record = tracked(tmp_path, "tensorboard")
    (folder,) = (tmp_path / "out").glob("runs/tiny/vae_bernoulli/*/tensorboard")
    events = EventAccumulator(str(folder)).Reload()
    found = events.Scalars("train/autoencoder/loss")
    expected = [row for row in curve if "autoencoder.loss" in row]
    assert [event.step for event in found] == [row["step"] for row in expected]
    assert [event.value for event in found] == pytest.approx([row["autoencoder.loss"] for row in expected], rel=1e-6)
    assert events.Scalars("metrics/rec_sse_test")[0].value == pytest.approx(record["metrics"]["rec_sse_test"]["value"], rel=1e-6)
    assert events.Scalars("metrics/rec_sse_test")[0].step == 250


@missing("wandb")
def test_wandb_has_the_curve_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    curve, _ = tracked(tmp_path, "wandb")
    from wandb.proto import wandb_internal_pb2
    from wandb.sdk.internal.datastore import DataStore

    (file,) = (tmp_path / "out").glob("runs/tiny/vae_bernoulli/*/wandb/offline-run-*/*.wandb")
    store, losses = DataStore(), dict[int, float]()
    store.open_for_scan(str(file))
    while data := store.scan_data():
        record = wandb_internal_pb2.Record()
        record.ParseFromString(data)
        items = {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        if "train/autoencoder/loss" in items:
            losses[int(items["_step"])] = items["train/autoencoder/loss"]
    assert losses == pytest.approx({int(row["step"]): row["autoencoder.loss"] for row in curve if "autoencoder.loss" in row})


@missing("trackio")
def test_trackio_has_the_curve_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    curve, _ = tracked(tmp_path, "trackio")
    (file,) = (tmp_path / "trackio").glob("*.db")

    def kept() -> list[tuple[int, float]]:
        with contextlib.closing(sqlite3.connect(file)) as database:
            found = [(step, json.loads(text)) for step, text in database.execute("SELECT step, metrics FROM metrics ORDER BY step")]
        return [(step, values["train/autoencoder/loss"]) for step, values in found if "train/autoencoder/loss" in values]

    assert kept() == [(row["step"], pytest.approx(row["autoencoder.loss"])) for row in curve if "autoencoder.loss" in row]


@missing("mlflow")
def test_mlflow_has_the_curve_in_a_file_beside_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    from mlflow import MlflowClient

    curve, record = tracked(tmp_path, "mlflow")
    client = MlflowClient(f"sqlite:///{tmp_path}/out/runs/tiny/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert (run.info.run_name, run.info.status) == ("vae_bernoulli seed 0", "FINISHED")
    assert (run.data.params["optimizer.lr"], run.data.params["latent_dim"]) == (str(record["config"]["optimizer"]["lr"]), "2")
    losses = [(found.step, found.value) for found in client.get_metric_history(run.info.run_id, "train/autoencoder/loss")]
    assert sorted(losses) == [(row["step"], pytest.approx(row["autoencoder.loss"])) for row in curve if "autoencoder.loss" in row]
    assert run.data.metrics["metrics/rec_sse_test"] == pytest.approx(record["metrics"]["rec_sse_test"]["value"])


@missing("mlflow")
def test_mlflow_of_several_workers_has_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    from mlflow import MlflowClient

    file = suite(tmp_path, "[methods.ae]\n", seeds=4, steps=100)
    said = cli("run", "--suite", file, "--out", tmp_path / "out", "--log", "mlflow", "--jobs", 2, "--no-profile")
    assert said.code == 0, said.whole_err
    assert "mlflow fails" not in said.whole_err
    client = MlflowClient(f"sqlite:///{tmp_path}/out/runs/tiny/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert sorted(run.info.run_name for run in runs) == [f"ae seed {seed}" for seed in range(4)]
    assert all(len(client.get_metric_history(run.info.run_id, "train/autoencoder/loss")) == 2 for run in runs)
