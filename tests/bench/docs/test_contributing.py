"""The worked examples of CONTRIBUTING.md run as they stand there, and compute what they say."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from bench import registry
from bench.records.store import read_record
from bench.suites import reader
from metrics.divergences import gaussian_kl
from models.interfaces import Draw

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(r"^```\w+ (\S+\.\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = dict(BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with the four files of the page."""
    path = tmp_path_factory.mktemp("examples")
    for name, text in FILES.items():
        (path / name).write_text(text, encoding="utf-8")
    return path


def plugin(folder: Path, name: str) -> ModuleType:
    return registry.load_plugin(folder / name)


def test_the_page_has_one_file_of_each_kind() -> None:
    assert list(FILES) == ["my_method.py", "my_dataset.py", "my_metric.py", "my_suite.toml"]


def test_the_registry_finds_all_three(folder: Path) -> None:
    suite = reader.read(str(folder / "my_suite.toml"))
    new, old = registry.catalogue(suite.plugins), registry.catalogue()
    assert set(new.methods) - set(old.methods) == {"free_bits_vae"}
    assert set(new.datasets) - set(old.datasets) == {"spots"}
    assert set(new.metrics) - set(old.metrics) == {"participation_ratio"}


def test_the_suite_runs(folder: Path) -> None:
    command = [sys.executable, "-m", "bench", "run", "--suite", str(folder / "my_suite.toml"), "--smoke", "--jobs", "1"]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [*command, "--out", str(folder / "out")],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    records = [read_record(path.parent) or {} for path in folder.rglob("record.json")]
    labels = [record["label"] for record in records]
    assert sorted(labels) == sorted(2 * ["free_bits_vae", "many_free_bits", "vae_bernoulli"])  # two seeds
    for record in records:
        assert record["status"] == "done"
        assert record["config"]["dataset"] == "spots"
        assert 1 <= record["metrics"]["participation_ratio"]["value"] <= 4


@pytest.mark.parametrize("minimum", [0.0, 0.1, 2.0])
def test_free_bits_are_the_formula_as_loops(folder: Path, minimum: float) -> None:
    generator = torch.Generator().manual_seed(0)
    mean, log_variance = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    expected = 0.0
    for j in range(3):
        kl = [gaussian_kl(mean[i : i + 1, j : j + 1], log_variance[i : i + 1, j : j + 1]).item() for i in range(5)]
        expected += max(minimum, sum(kl) / 5)
    free_bits = plugin(folder, "my_method.py").FreeBits(minimum)
    assert free_bits(Draw(mean, mean, log_variance, generator), None).item() == pytest.approx(expected, rel=1e-12)


def test_a_spot_is_where_it_was_put(folder: Path) -> None:
    module = plugin(folder, "my_dataset.py")
    image = module.spots(np.array([[2.0, 5.0]]))[0, 0]
    assert image[2, 5] == image.max() == 255
    assert image[2, 6] == image[1, 5] == round(255 * np.exp(-1 / 4.5))
    first, second = module.load(Path()), module.load(Path())
    assert first.train.shape == (500, 1, 8, 8)
    assert first.test.shape == (100, 1, 8, 8)
    assert first.sha256() == second.sha256()


def test_the_participation_ratio_counts_directions(folder: Path) -> None:
    ratio = plugin(folder, "my_metric.py").participation_ratio
    line, across = torch.tensor([[1.0, 1, 1], [-1, -1, -1]]), torch.cat([torch.eye(3), -torch.eye(3)])
    assert ratio(line).item() == pytest.approx(1)
    assert ratio(across).item() == pytest.approx(3)
    assert ratio(across * torch.tensor([2.0, 1, 1])).item() == pytest.approx(6**2 / (4**2 + 1 + 1))  # variances 4 : 1 : 1
