"""Runs measured while they train: what a shorter run would have, the same weights as without, the same rows after an interruption."""

from pathlib import Path
from typing import Any

import pytest
from harness import cli, files, suite, whole_records

from bench import api
from bench.figures import anytime as figure
from bench.records.store import Store, read_curve
from bench.suites import reader

METRICS = ("rec_sse_test", "frechet_pixels_pz", "mmd_prior")
ROWS = '[methods.vae_gauss]\n[methods.wae_gan]\nwidth = 32\n[methods.prior_vamp]\ncomponents = 5\ndensity = { model = "mixture" }\n'
MORE_KINDS = "[methods.avb]\n[methods.factorvae]\n[methods.tc_vcae]\n[methods.ladder]\ncomponents = 5\n[methods.wise_ale]\n[methods.fsq]\n"
ALONE = ("--jobs", 1, "--no-profile", "--save-every", 0)


def trained(folder: Path, steps: int, rows: str = ROWS, **options: Any) -> Path:
    """The results of a suite of so many steps."""
    file = suite(folder, rows, steps=steps, metrics=[*METRICS, "frechet_pixels_qz"])
    records = api.run(file, out=folder / "out", data_root=folder, **options)
    assert {record["status"] for record in records} == {"done"}, [record["error"] for record in records]
    return folder / "out"


def rows_of(out: Path) -> dict[str, list[dict[str, float]]]:
    return {name: read_curve(path) for name, path in files(out, "anytime.jsonl").items()}


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("measured"), 200, measure_at=(0.75, 0.25, 0.3), measured=(*METRICS, "frechet_pixels_qz"))


def test_a_run_has_what_a_run_of_as_many_steps_has(measured: Path, tmp_path: Path) -> None:
    shorter = whole_records(trained(tmp_path, 50))
    assert shorter
    for name, rows in rows_of(measured).items():
        metrics = shorter[name]["metrics"]
        assert metrics["frechet_pixels_qz"]["value"] is None or name.startswith("prior_vamp"), "the others have no density"
        values = {metric: metrics[metric]["value"] for metric in METRICS}
        assert {metric: rows[0].get(metric) for metric in METRICS} == values
        assert [(row["step"], row["asked"], row["share"]) for row in rows] == [(50, 0.25, 0.25), (100, 0.3, 0.5), (150, 0.75, 0.75)]
        assert "frechet_pixels_qz" not in {metric for row in rows for metric in row}, "no density has been fitted by then"
        seconds = [row["seconds"] for row in rows]
        assert seconds == sorted(seconds)
        assert seconds[-1] < whole_records(measured)[name]["cost"]["train_seconds"]["value"]


def hashes(out: Path) -> dict[str, str]:
    return {name: record["hashes"]["weights"] for name, record in whole_records(out).items()}


def test_training_ends_with_the_weights_that_it_has_without(measured: Path, tmp_path: Path) -> None:
    without = trained(tmp_path, 200)
    assert hashes(measured) == hashes(without)
    assert not rows_of(without)
    values = [{name: record["metrics"] for name, record in whole_records(out).items()} for out in (measured, without)]
    assert values[0] == values[1]


@pytest.mark.slow
def test_the_weights_of_other_kinds_of_methods_are_the_same_too(tmp_path: Path) -> None:
    plain = trained(tmp_path / "plain", 150, MORE_KINDS)
    assert hashes(trained(tmp_path / "measured", 150, MORE_KINDS, measure_at=(0.1, 0.5))) == hashes(plain)


def test_dropout_and_batch_norm_go_on_as_they_were() -> None:
    import torch
    from torch import nn

    from bench.runs.anytime import undisturbed

    module = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.Linear(3, 3))
    module[3].eval()  # a part that training leaves in evaluation mode
    before, state = [part.training for part in module.modules()], torch.get_rng_state()
    with undisturbed(module):
        module.eval()
        torch.rand(5)
    assert [part.training for part in module.modules()] == before == [True, True, True, True, False]
    assert torch.equal(torch.get_rng_state(), state)


def test_an_interrupted_run_ends_with_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = suite(tmp_path, "[methods.wae_gan]\nwidth = 32\n", steps=300, metrics=METRICS)
    told = ("--measure-at", "0.2,0.5,0.8", "--measure", "rec_sse_test,mmd_prior")
    assert cli("run", "-s", file, "-o", tmp_path / "whole", *ALONE, *told).code == 0

    def interrupted(self: Store, run: Any, rows: list[Any]) -> None:
        saved(self, run, rows)
        if len(rows) == 2:
            raise KeyboardInterrupt  # after the row is on disk and before the checkpoint of its step is

    saved = Store.save_anytime
    with monkeypatch.context() as patch:
        patch.setattr(Store, "save_anytime", interrupted)
        assert cli("run", "-s", file, "-o", tmp_path / "out", *ALONE, *told).code == 130
    assert len(rows_of(tmp_path / "out")["wae_gan/0"]) == 2
    assert cli("run", "-s", file, "-o", tmp_path / "out", *ALONE, *told).code == 0

    def timeless(out: Path) -> list[dict[str, float]]:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in rows_of(out)["wae_gan/0"]]

    assert timeless(tmp_path / "out") == timeless(tmp_path / "whole")
    assert [row["step"] for row in timeless(tmp_path / "whole")] == [100, 150, 250]


def test_rows_of_an_earlier_training_do_not_stay(tmp_path: Path) -> None:
    file = suite(tmp_path, "[methods.ae]\n", steps=100, metrics=["rec_sse_test"])
    out = tmp_path / "out"
    assert cli("run", "-s", file, "-o", out, *ALONE, "--measure-at", "0.5").code == 0
    assert [sorted(row) for row in rows_of(out)["ae/0"]] == [["asked", "rec_sse_test", "seconds", "share", "step"]]
    assert cli("run", "-s", file, "-o", out, *ALONE, "--fresh").code == 0
    assert rows_of(out)["ae/0"] == []


def test_workers_measure_what_the_first_screen_shows(tmp_path: Path) -> None:
    file = suite(tmp_path, "[methods.ae]\n[methods.vae_gauss]\n", steps=100, metrics=METRICS[:1])
    said = cli("run", "-s", file, "-o", tmp_path / "out", "--jobs", 2, "--no-profile", "--measure-at", "0.5")
    assert said.code == 0, said.whole_err
    found = rows_of(tmp_path / "out")
    assert set(found) == {"ae/0", "vae_gauss/0"}
    assert all(sorted(row) == ["asked", "rec_sse_test", "seconds", "share", "step"] for (row,) in found.values())


def test_a_suite_without_such_metrics_must_be_told_which(tmp_path: Path) -> None:
    file = suite(tmp_path, "[methods.ae]\n", steps=100, metrics=["active_units"])
    said = cli("run", "-s", file, "-o", tmp_path / "out", "--measure-at", "0.5")
    assert (said.code, said.line()) == (
        2,
        f"{file}: --measure-at: the first screen of this suite shows none of its metrics; say which by --measure",
    )


def test_the_figure_has_the_rows_and_ends_with_the_record(measured: Path) -> None:
    whole = reader.read(str(measured.parent / "tiny.toml"))
    found = figure.measured(Store(measured, "tiny"), whole)
    assert list(found) == ["vae_gauss", "wae_gan", "prior_vamp"]
    record, rows = whole_records(measured)["wae_gan/0"], rows_of(measured)["wae_gan/0"]
    seconds, values = figure.line(found["wae_gan"], "rec_sse_test")
    assert seconds == [*(row["seconds"] for row in rows), record["cost"]["train_seconds"]["value"]]
    assert values == [*(row["rec_sse_test"] for row in rows), record["metrics"]["rec_sse_test"]["value"]]
    two = [[{"asked": 0.5, "seconds": second, "m": value}] for second, value in ((1.0, 4.0), (3.0, 8.0))]
    assert figure.line(two, "m") == ([2.0], [6.0])
    assert figure.line([*two, [{"asked": 0.4, "seconds": 1.0, "m": 1.0}]], "m") == ([], []), "only at shares that all seeds have"


def test_the_figure_is_drawn_where_runs_were_measured(measured: Path, tmp_path: Path) -> None:
    drawn = cli("figures", measured.parent / "tiny.toml", "-o", measured, "--which", "anytime")
    assert drawn.code == 0, drawn.err
    assert (measured / "leaderboards" / "figures" / "tiny-anytime.png").is_file()
    assert "](figures/tiny-anytime.png)" in (measured / "leaderboards" / "tiny.md").read_text()
    out = trained(tmp_path, 50, "[methods.ae]\n")
    refused = cli("figures", tmp_path / "tiny.toml", "-o", out, "--which", "anytime")
    assert refused.line() == (
        "tiny: not drawn: anytime: no finished run here was measured while it trained, as run --measure-at 0.1,0.5 does"
    )
