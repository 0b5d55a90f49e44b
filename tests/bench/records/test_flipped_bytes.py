"""One bit in a file turned over, 100 times for each kind of file: it is noticed, or what is read is what was written."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from harness import cli, files, suite
from small_mnist import FAMILY, check, packed_folder, put

from bench.datasets import mnist
from bench.errors import RunError, UserError
from bench.evaluation import feature_networks
from bench.records.store import PROFILE, Store, read_record, read_records
from bench.runs.finished import Trained
from bench.suites import reader
from bench.training.checkpoint import weights_hash

pytestmark = pytest.mark.fault
FLIPS = 100
Survive = Callable[..., int]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished suite."""
    folder = tmp_path_factory.mktemp("out")
    file = suite(folder / "suite", "[methods.ae]\n", steps=20)
    assert cli("run", "-s", file, "-o", folder, "--jobs", 1).code == 0
    return folder


@pytest.fixture
def survive(record_property: Callable[[str, object], None]) -> Survive:
    """`survived`, said in the report of pytest for the page."""

    def survive(path: Path, *reading: Any, seed: int = 0) -> int:
        noticed = survived(path, *reading, seed)
        record_property("fault", f"a bit of {'features in the cache' if path.parent.name == '.features' else path.name} turned over")
        record_property("tried", FLIPS)
        record_property("note", f"{noticed} noticed, the rest harmless")
        return noticed

    return survive


def survived(path: Path, read: Callable[[], Any], same: Callable[[Any], bool], seed: int = 0) -> int:
    """Turn one bit over, read, put it back, FLIPS times; -> how often reading said so. Whatever it gave besides was right."""
    content, dice, noticed = path.read_bytes(), random.Random(seed), 0
    try:
        for _ in range(FLIPS):
            place, bit = dice.randrange(len(content)), 1 << dice.randrange(8)
            path.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
            try:
                found = read()
            except (UserError, RunError):
                noticed += 1
            else:
                assert same(found), f"byte {place} of {path.name}, bit {bit}"
    finally:
        path.write_bytes(content)
    return noticed


def test_of_a_record_of_a_run(out: Path, survive: Survive) -> None:
    path = files(out, "record.json")["ae/0"]
    whole = read_record(path.parent)
    assert survive(path, lambda: read_record(path.parent), lambda found: found == whole) > 90


@pytest.mark.parametrize("kind", ["", PROFILE])
def test_of_a_suites_records(out: Path, kind: str, survive: Survive) -> None:
    path = out / "leaderboards" / "runs" / f"tiny{kind}.jsonl"
    whole = read_records(path, kind)
    assert len(whole) == 1
    assert survive(path, lambda: read_records(path, kind), lambda found: found == whole) > 90


def test_of_a_checkpoint(out: Path, tmp_path: Path, survive: Survive) -> None:
    store, (run,) = Store(tmp_path, "tiny"), reader.read(str(out / "suite" / "tiny.toml")).runs("cpu")
    payload = torch.randn(1000).numpy().tobytes()
    store.save_checkpoint(run, payload)
    assert survive(store.folder(run) / "checkpoint.pt", lambda: store.checkpoint(run), lambda found: found == payload) > 90


def test_of_a_runs_weights(out: Path, survive: Survive) -> None:
    """Reading compares nothing; whoever measures compares the tensors' hash with that of the record, as here."""
    path = files(out, "weights.safetensors")["ae/0"]
    trained = Trained(path.parent)
    right = trained.record()["hashes"]["weights"]
    whole = trained.weights()
    assert weights_hash(whole) == right

    def read() -> dict[str, torch.Tensor]:
        found = trained.weights()
        if weights_hash(found) != right:
            raise RunError("other weights")
        return found

    def same(found: dict[str, torch.Tensor]) -> bool:
        return found.keys() == whole.keys() and all(torch.equal(tensor, whole[name]) for name, tensor in found.items())

    assert survive(path, read, same) > 90


def test_measuring_damaged_weights_is_refused(out: Path) -> None:
    path = files(out, "weights.safetensors")["ae/0"]
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    try:
        result = cli("evaluate", path.parent, "-o", out, "--metrics", "rec_sse_test", "--jobs", 1)
    finally:
        path.write_bytes(content)
    assert "are not those of its record" in result.err
    assert result.code != 0


def test_of_cached_features(out: Path, survive: Survive) -> None:
    """A damaged file is as none: the features are computed again."""
    paths = sorted((out / "runs" / ".features").glob("*.safetensors"))
    assert paths
    for path in paths[:1]:
        with feature_networks.safetensors.safe_open(path, "pt") as file:
            key, whole = file.metadata()[feature_networks.KEY], file.get_tensor("features")

        def read(path: Path = path, key: str = key, count: int = len(whole)) -> torch.Tensor:
            found = feature_networks.cached(path, key, count)
            if found is None:
                raise RunError("computed again")
            return found

        assert survive(path, read, lambda found, whole=whole: torch.equal(found, whole)) > 90


@pytest.mark.parametrize("name", ["train.npy", "test_labels.npy", "meta.json"])
def test_of_a_packed_dataset(tmp_path: Path, name: str, survive: Survive) -> None:
    """It is made again from the raw files; without these it is refused."""
    raw = put(tmp_path)
    right = mnist.load(FAMILY, tmp_path)
    path, aside = packed_folder(tmp_path) / name, tmp_path / "aside"

    def again() -> None:
        check(mnist.load(FAMILY, tmp_path))
        raise RunError("made again, or nothing to notice")

    assert survive(path, again, lambda _: False) == FLIPS
    raw.rename(aside)

    def same(found: Any) -> bool:
        return all(np.array_equal(getattr(found, key), getattr(right, key)) for key in ("train", "test", "train_labels", "test_labels"))

    assert survive(path, lambda: mnist.load(FAMILY, tmp_path), same, seed=1) > 40
