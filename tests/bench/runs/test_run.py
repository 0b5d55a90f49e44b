"""Runs: the same seed gives the same bits, a record says what was done, and smoke runs stay apart."""

import hashlib
import itertools
import json
import math
from pathlib import Path

import pytest
import torch
from harness import Started, cli, files, outcome, records, suite, whole_records
from safetensors.torch import load_file

from bench import environment
from bench.datasets import digits
from bench.environment import code_hash, peak_memory_mib, reset_peak_memory
from bench.errors import UserError
from bench.records.store import Store
from bench.registry import catalogue
from bench.runs.prepare import prepare
from bench.suites import reader
from bench.training.checkpoint import weights_hash

ROWS = """
[methods.ae]
[methods.wae_gan]
width = 32
[methods.vae_gauss]
latent_dim = 3
batch_size = 50
budget = { epochs = 2.5 }
[methods.cwae]
budget = { images = 1234 }
"""
OPTIONS = ("--no-profile", "--jobs", 1)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return suite(tmp_path_factory.mktemp("suite"), ROWS, seeds=2, steps=60, metrics=())


@pytest.fixture(scope="module")
def out(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All runs of the suite."""
    folder = tmp_path_factory.mktemp("out")
    assert cli("run", "-s", file, "-o", folder, *OPTIONS).code == 0
    return folder


def test_the_same_seed_gives_the_same_bits_in_any_order_and_process(file: Path, out: Path, tmp_path: Path) -> None:
    """Records are equal but for costs, times and how many jobs ran side by side."""
    rest = Started(tmp_path, "run", "-s", file, "-o", tmp_path, *OPTIONS, "--methods", "cwae,vae_gauss").wait()
    assert (rest.code, rest.err) == (0, "")
    assert cli("run", "-s", file, "-o", tmp_path, *OPTIONS).code == 0
    assert outcome(tmp_path) == outcome(out)
    assert len(records(out)) == 8


def test_seeds_and_rows_differ(out: Path) -> None:
    hashes = [record["hashes"]["weights"] for record in whole_records(out).values()]
    assert len(set(hashes)) == 8
    errors = [record["metrics"]["rec_sse_test"]["value"] for record in whole_records(out).values()]
    assert len(set(errors)) == 8
    assert all(0 < error < 20 for error in errors)


def test_a_record_says_what_was_spent(out: Path) -> None:
    """digits has 1437 training images: 14 batches of 100 an epoch, 28 of 50."""
    spent = {name: record["spent"] for name, record in whole_records(out).items() if name.endswith("/0")}
    assert spent == {
        "ae/0": {"steps": 60, "epochs": 60 / 14, "images": 6000},
        "wae_gan/0": {"steps": 60, "epochs": 60 / 14, "images": 6000},
        "vae_gauss/0": {"steps": 70, "epochs": 2.5, "images": 3500},
        "cwae/0": {"steps": 13, "epochs": 13 / 14, "images": 1300},
    }


def test_a_record_counts_parameters_as_the_layers_have_them(out: Path) -> None:
    def mlp(*sizes: int) -> int:
        return sum((a + 1) * b for a, b in itertools.pairwise(sizes))

    counts = {name: record["metrics"]["parameter_count"]["value"] for name, record in whole_records(out).items()}
    assert counts["ae/1"] == mlp(64, 256, 128, 2) + mlp(2, 128, 256, 64)
    assert counts["vae_gauss/0"] == mlp(64, 256, 128, 6) + mlp(3, 128, 256, 64)
    assert counts["wae_gan/0"] == counts["ae/0"] + mlp(2, 32, 32, 32, 32, 1)


def test_a_record_names_code_data_and_weights_by_their_hashes(out: Path) -> None:
    for name, record in whole_records(out).items():
        tensors = load_file(files(out, "weights.safetensors")[name])
        digest = hashlib.sha256()
        for key in sorted(tensors):
            digest.update(key.encode() + b"\0" + tensors[key].numpy().tobytes())
        assert record["hashes"] == {
            "weights": digest.hexdigest(),
            "data": digits.load(out).sha256(),
            "code": code_hash(()),
        }


def test_a_record_has_costs_that_fit_together(out: Path) -> None:
    for record in whole_records(out).values():
        cost = {name: entry["value"] for name, entry in record["cost"].items()}
        assert cost["images_per_second"] * cost["train_seconds"] == pytest.approx(record["spent"]["images"])
        assert 0 < cost["train_seconds"] < 60
        assert 0 < cost["evaluation_seconds"] < 60
        assert cost["peak_memory_mib"] is None or 50 < cost["peak_memory_mib"] < 10_000
        assert record["times"]["started"] <= record["times"]["finished"]
        assert record["config"]["recipe"]["cost"]
        assert record["config"]["convention"] == digits.DATASETS[0].convention


def test_a_curve_has_the_mean_of_every_term_a_block(out: Path) -> None:
    rows = [json.loads(line) for line in files(out, "curve.jsonl")["wae_gan/0"].read_text().splitlines()]
    assert [row["step"] for row in rows] == [50, 60]
    for row in rows:
        assert row["autoencoder.loss"] == pytest.approx(row["autoencoder.reconstruction"] + row["autoencoder.prior_match"])
        assert all(math.isfinite(value) for value in row.values())
    assert rows[1]["autoencoder.reconstruction"] < rows[0]["autoencoder.reconstruction"]


def test_smoke_runs_are_marked_and_never_on_a_leaderboard(file: Path, out: Path, tmp_path: Path) -> None:
    result = cli("run", "-s", file, "-o", tmp_path, "--smoke", "--jobs", 1)
    assert (result.code, result.err) == (0, "")
    assert "smoke runs: not on any leaderboard" in result.out
    assert not (tmp_path / "leaderboards").exists()
    found = whole_records(tmp_path)
    assert len(found) == 8
    assert {record["smoke"] for record in found.values()} == {True}
    assert {record["spent"]["steps"] for record in found.values()} == {5}
    assert not {record["key"] for record in found.values()} & {record["key"] for record in whole_records(out).values()}
    assert cli("run", "-s", file, "-o", tmp_path, *OPTIONS, "--methods", "cwae").code == 0
    whole = Store(tmp_path, "tiny").records()
    assert [(record["label"], record["seed"], record["smoke"]) for record in whole] == [("cwae", 0, False), ("cwae", 1, False)]


def test_preparing_a_run_reads_no_data_and_leaves_the_random_stream_alone(file: Path) -> None:
    found = catalogue()
    (first, again, *_), other = [[run for run in reader.read(str(file)).runs("cpu") if run.label == name] for name in ("ae", "cwae")]
    before = torch.get_rng_state()
    prepared = prepare(first, found)
    assert torch.equal(torch.get_rng_state(), before)
    assert weights_hash(prepared.tensors()) == weights_hash(prepare(first, found).tensors())
    assert weights_hash(prepared.tensors()) != weights_hash(prepare(again, found).tensors())
    assert (prepared.plan.total, prepared.plan.per_epoch) == (60, 14)
    assert (prepare(other[0], found).plan.total, prepare(other[0], found).values.hyperparameters["noise_variance"]) == (13, 0.05)
    assert [metric.on("test").name for metric in prepared.metrics] == list(found.metrics)


def test_runs_on_validation_images_never_see_test_images(file: Path, out: Path, tmp_path: Path) -> None:
    override = ("--set", "held_out='validation'")
    assert cli("run", "-s", file, "-o", tmp_path, *OPTIONS, "--methods", "cwae", "--seeds", 1, *override).code == 0
    (record,) = whole_records(tmp_path).values()
    assert "rec_sse_validation" in record["metrics"]
    assert not [name for name in record["metrics"] if "test" in name]
    assert record["hashes"]["data"] == digits.load(out).with_validation().sha256()
    assert record["spent"]["epochs"] == 13 / 12  # 1437 - 144 images: 12 batches


def test_a_batch_larger_than_the_data_is_refused(file: Path) -> None:
    (run,) = list(reader.read(str(file), ("batch_size=1300", "held_out=validation"), ("ae",), 1).runs("cpu"))
    with pytest.raises(UserError, match="batch_size 1300 is more than the 1293 training images of digits"):
        prepare(run, catalogue())


FACTORS = """
import numpy as np
from bench.datasets.dataset import Dataset, Factor, Source

def load(root):
    factors = np.stack(np.meshgrid(range(8), range(5), indexing="ij"), -1).reshape(-1, 2).repeat(5, 0)  # (200, 2)
    images = np.zeros((200, 1, 8, 8), np.uint8)
    images[np.arange(200), 0, factors[:, 0], factors[:, 1]] = 255
    return Dataset(images, images[::4], train_factors=factors, test_factors=factors[::4])

DATASETS = [Source(name="places", shape=(1, 8, 8), counts={"train": 200, "test": 50}, convention="one pixel", kind="generated",
                   licence="none", url="none", load=load, factors=(Factor("row", 8), Factor("column", 5)))]
"""


@pytest.mark.parametrize("held_out", ["test", "validation"])
def test_a_dataset_with_factors_gets_disentanglement_scores(tmp_path: Path, held_out: str) -> None:
    file = suite(tmp_path, "[methods.vae_bernoulli]", steps=20, plugin=FACTORS, metrics=["mig", "sap", "modularity"])
    file.write_text(file.read_text(encoding="utf-8").replace('"digits"', '"places"'), encoding="utf-8")
    assert cli("run", "-s", file, "-o", tmp_path / "out", *OPTIONS, "--set", f"held_out='{held_out}'").code == 0
    (record,) = whole_records(tmp_path / "out").values()
    assert all(0 <= record["metrics"][name]["value"] <= 1 for name in ("mig", "sap", "modularity"))


def test_a_peak_is_the_run_s_own_not_what_earlier_ones_freed() -> None:
    if not Path("/proc/self/clear_refs").exists():
        pytest.skip("needs a system that can reset a process's peak")
    cpu = torch.device("cpu")
    torch.ones(7_000_000)  # 28 MB: smaller ones come from the heap after it is freed
    pairs = [(torch.ones(2**18), torch.ones(2**14)) for _ in range(400)]  # 400 MB, with crumbs of 64 kB between that stay
    before = peak_memory_mib(cpu)
    assert before is not None
    crumbs = [crumb for _, crumb in pairs]
    del pairs
    reset_peak_memory(cpu)
    after = peak_memory_mib(cpu)
    assert after is not None
    assert after < before - 300
    assert len(crumbs) == 400


def test_the_hash_of_the_code_is_of_python_and_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "metrics" / "kernels").mkdir(parents=True)
    monkeypatch.setattr(environment, "ROOT", tmp_path)
    hashes = [code_hash(())]
    for name in ("a.py", "kernels/b.c", "kernels/c.h", "kernels/d.txt"):
        (tmp_path / "metrics" / name).write_text("x")
        environment.hash_of_packages.cache_clear()  # as in another process
        hashes.append(code_hash(()))
    assert hashes[-1] == hashes[-2]
    assert len(set(hashes)) == 4


def test_the_hash_of_the_code_is_of_every_file_as_it_was_at_first_and_of_plugins_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environment, "ROOT", tmp_path / "root")
    ours, plugin = tmp_path / "root" / "models" / "vae.py", tmp_path / "plugin.py"
    ours.parent.mkdir(parents=True)
    ours.write_text("1")
    alone = hashlib.sha256(b"vae.py\x001").hexdigest()[:16]
    assert code_hash(()) == alone
    ours.write_text("2")  # it has been imported
    for text in ("x", "y"):
        plugin.write_text(text)
        assert code_hash((str(plugin), "folder:nowhere")) == hashlib.sha256(f"vae.py\x001plugin.py\0{text}".encode()).hexdigest()[:16]
    assert code_hash(()) == alone
