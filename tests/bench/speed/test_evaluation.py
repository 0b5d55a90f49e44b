"""What `python -m bench speed` compares in evaluation and reading has equal values by every way, and is timed as its page says."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.speed import evaluation as speed_evaluation
from bench.speed import page as speed_page
from bench.speed import reading as speed_reading
from bench.speed.evaluation import COMPILED, FIDELITY, FOLDED, OURS, SQRTM, Comparison, Sizes, distances, features, networks
from bench.speed.timing import Timed
from metrics.frechet import frechet_distance, frechet_of_features, moments

CPU = torch.device("cpu")
FULL = Sizes()


@pytest.mark.parametrize(
    ("rows", "dim"),
    [(1000, 128), pytest.param(FULL.rows, FULL.dim, marks=[pytest.mark.slow, pytest.mark.timeout(1800)])],
)
def test_every_way_gives_the_frechet_distance(rows: int, dim: int) -> None:
    found = {name: implementation().item() for name, implementation in distances(rows, dim, CPU).items()}
    assert list(found) == [OURS, FIDELITY, SQRTM]
    assert found == pytest.approx(dict.fromkeys(found, found[OURS]), rel=1e-6)
    assert found[OURS] > 0.01


@pytest.mark.slow
def test_fewer_rows_than_inceptions_dimensions_have_the_distance_of_their_covariances() -> None:
    a, b = (features(seed, 1000, FULL.dim) for seed in (1, 2))
    assert frechet_of_features(a, b).item() == pytest.approx(frechet_distance(*moments(a), *moments(b)).item(), rel=1e-5)


@pytest.mark.parametrize(("count", "compiled"), [(2, False), pytest.param(32, True, marks=[pytest.mark.slow, pytest.mark.timeout(900)])])
def test_every_way_gives_inceptions_features(count: int, compiled: bool) -> None:
    images = torch.randint(0, 256, (count, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = {name: implementation() for name, implementation in networks(images, compiled).items()}
    assert list(found) == [FIDELITY, FOLDED, *[COMPILED] * compiled]
    expected = found[FIDELITY]
    assert expected.shape == (count, 2048)
    assert (expected[0] - expected[1]).norm() > 1e-3 * expected.norm()  # or any two networks would be alike
    for value in found.values():
        assert (value - expected).norm() < 1e-4 * expected.norm()


def in_order(batches: list[Tensor]) -> Tensor:
    """The images of an epoch, whatever the order they came in.   -> (N, 3·64·64)"""
    rows = torch.cat(batches).flatten(1)
    return rows[rows.double().sum(1).argsort()]


def test_every_way_reads_the_same_images_in_an_order_of_its_own(tmp_path: Path) -> None:
    files, batch = 24, 8
    epochs = speed_reading.epochs(tmp_path, files, CPU, batch)
    expected = in_order([torch.stack([speed_reading.Files(sorted(tmp_path.glob("images/*")))[number] for number in range(files)])])
    assert len(expected.unique(dim=0)) == files
    for name, epoch in epochs.items():
        first, second = list(epoch()), list(epoch())
        assert [x.shape for x in first] == [(batch, 3, 64, 64)] * 3, name
        assert torch.equal(in_order(first), expected), name
        assert torch.equal(in_order(second), expected), name
        assert not torch.equal(torch.cat(first), torch.cat(second)), name
    assert 0 <= expected.min() < 0.2 < 0.8 < expected.max() <= 1


def test_the_pack_from_disk_is_no_copy_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "0.jpg"
    path.write_bytes(speed_reading.jpeg(0))
    memory, mapped = speed_reading.packed(tmp_path, [path])
    assert torch.equal(memory, mapped)
    (packed,) = tmp_path.glob("packed/*/train.npy")
    changed = bytearray(packed.read_bytes())
    changed[-1] ^= 255
    with packed.open("r+b") as file:
        file.write(changed)
    assert mapped.flatten()[-1] == 255 - memory.flatten()[-1]


@pytest.mark.parametrize(("images", "times"), [(None, {"a": 1, "b": 4}), (10, {"a": 1, "b": 0.25})])
def test_a_comparison_is_of_times_or_of_rates(images: int | None, times: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    def timed(implementations: dict[str, object], rounds: int, device: torch.device) -> dict[str, Timed]:
        for implementation in implementations.values():
            implementation()
        return {name: Timed([seconds] * rounds, [0.0] * rounds) for name, seconds in {"a": 0.5, "b": 2.0}.items()}

    monkeypatch.setattr(speed_evaluation, "timed_alternately", timed)
    implementations = {"a": lambda: torch.tensor([3.0, 4.0]), "b": lambda: torch.tensor([3.0, 4.5])}
    found = Comparison("title", "note", implementations, "a", 3, images).measured(CPU)
    rows = found["implementations"]
    assert {name: row["times"] for name, row in rows.items()} == times
    assert {name: row["seconds"] for name, row in rows.items()} == {"a": 0.5, "b": 2.0}
    assert {name: row["images_per_second"] for name, row in rows.items()} == ({"a": 20, "b": 5} if images else {"a": None, "b": None})
    assert {name: row["difference"] for name, row in rows.items()} == {"a": 0, "b": pytest.approx(0.1)}
    table = speed_page.table(found)
    assert ("times a's" in table) == (images is not None)
    assert ("a is so many times as fast" in table) == (images is None)
    assert "0.1" in table


def test_ways_without_values_have_no_column_of_differences() -> None:
    found = Comparison("title", "note", {"a": lambda: None, "b": lambda: None}, "a", 1, 10).measured(CPU)
    table = speed_page.table(found)
    assert "difference" not in table
    assert {line.count("|") for line in table.splitlines()} == {5}  # implementation, images/s, times a's, waited
