"""The worked examples of docs/guide-method.md run as they stand there, and compute what they say."""

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import nn

from bench import registry
from bench.records.store import read_record
from bench.suites import reader
from metrics.divergences import gaussian_kl
from models.interfaces import Draw
from models.method import AutoEncoder
from models.parts import schedule

ROOT = Path(__file__).parents[3]
BLOCK = re.compile(r"^```\w+ (\S+\.\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILES = dict(BLOCK.findall((ROOT / "docs" / "guide-method.md").read_text(encoding="utf-8")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with the files of the page."""
    path = tmp_path_factory.mktemp("examples")
    for name, text in FILES.items():
        (path / name).write_text(text, encoding="utf-8")
    return path


def plugin(folder: Path, name: str) -> ModuleType:
    return registry.load_plugin(folder / name)


def test_the_page_has_one_file_of_each_kind() -> None:
    assert list(FILES) == ["my_method.py", "my_critic.py", "my_network.py", "my_dataset.py", "my_metric.py", "my_suite.toml"]


def test_the_registry_finds_all_of_them(folder: Path) -> None:
    suite = reader.read(str(folder / "my_suite.toml"))
    new, old = registry.catalogue(suite.plugins), registry.catalogue()
    assert set(new.methods) - set(old.methods) == {"free_bits_vae", "ls_wae"}
    assert set(new.networks) - set(old.networks) == {"tiny_conv"}
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
    assert sorted(labels) == sorted(2 * ["free_bits_vae", "ls_wae", "many_free_bits", "vae_bernoulli", "vae_warmup"])  # two seeds
    for record in records:
        assert record["status"] == "done"
        assert record["config"]["dataset"] == "spots"
        assert record["config"]["network"] == "tiny_conv"
        assert 1 <= record["metrics"]["participation_ratio"]["value"] <= 4


def test_weights_that_are_schedules_follow_them(folder: Path) -> None:
    rows = {entry.label: entry.hyperparameters for entry in reader.read(str(folder / "my_suite.toml")).methods}
    warmup, cosine = schedule.read(rows["vae_warmup"]["beta"]), schedule.read(rows["ls_wae"]["weight"])
    per_epoch = 10  # 500 images, 50 a batch
    assert [warmup.at(epoch * per_epoch, per_epoch) for epoch in (0, 15, 30, 40)] == [0, 0.5, 1, 1]
    assert [cosine.at(step, per_epoch) for step in (0, 100, 200, 300)] == pytest.approx([0, 2.5, 5, 5])


def test_every_part_of_the_page_may_be_recorded(folder: Path) -> None:
    tiny_conv = plugin(folder, "my_network.py").tiny_conv
    recipes = [plugin(folder, "my_method.py").free_bits_vae(3), plugin(folder, "my_critic.py").ls_wae(3)]
    assert [recipe.assemble((1, 8, 8), 3, tiny_conv).why_eager() for recipe in recipes] == [None, None]


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


def critic_of(folder: Path) -> tuple[AutoEncoder, nn.Module]:
    """The page's method on 8×8 images with its network, 3 latents, and its critic."""
    torch.manual_seed(0)
    recipe = plugin(folder, "my_critic.py").ls_wae(3, weight=2.0)
    method = recipe.assemble((1, 8, 8), 3, plugin(folder, "my_network.py").tiny_conv)
    return method, method.recipe.regularisers[0][1]


def test_the_critics_losses_are_the_formula_as_loops(folder: Path) -> None:
    method, critic = critic_of(folder)
    x, noise = torch.rand(6, 1, 8, 8), torch.Generator().manual_seed(1)
    z = torch.randn(6, 3, generator=torch.Generator().manual_seed(1))  # the prior's draws from such a stream
    codes = method.draw(x, noise).z
    judged = {name: [critic.net(row).item() for row in rows] for name, rows in (("prior", z), ("codes", codes))}
    of_critic = sum(0.5 * (d - 1) ** 2 for d in judged["prior"]) / 6 + sum(0.5 * d**2 for d in judged["codes"]) / 6
    of_encoder = sum(0.5 * (d - 1) ** 2 for d in judged["codes"]) / 6
    first, second = method.players()
    assert (first.name, second.name) == ("critic", "autoencoder")
    assert first.terms(x, noise.manual_seed(1))["loss"].item() == pytest.approx(of_critic, rel=1e-5)
    assert second.terms(x, noise)["critic"].item() == pytest.approx(2.0 * of_encoder, rel=1e-5)


def test_the_critic_and_the_autoencoder_move_their_own_parameters_alone(folder: Path) -> None:
    method, critic = critic_of(folder)
    first, second = method.players()
    assert {id(p) for p in first.parameters} == {id(p) for p in critic.parameters()}
    assert {id(p) for p in first.parameters} | {id(p) for p in second.parameters} == {id(p) for p in method.parameters()}
    first.terms(torch.rand(4, 1, 8, 8), torch.Generator())["loss"].backward()
    assert all(p.grad is None for p in second.parameters)
    second.terms(torch.rand(4, 1, 8, 8), torch.Generator())["critic"].backward()
    assert all(p.grad is not None and p.grad.any() for p in method.encoder.parameters())


def test_the_network_has_the_shapes_it_says(folder: Path) -> None:
    tiny_conv = plugin(folder, "my_network.py").tiny_conv
    encoder, decoder = tiny_conv((3, 8, 6), 4, 2)
    assert encoder(torch.zeros(5, 3, 8, 6)).shape == (5, 8)
    assert decoder(torch.zeros(5, 4)).shape == (5, 3, 8, 6)
    with pytest.raises(ValueError, match="7 by 8"):
        tiny_conv((1, 7, 8), 4, 1)


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
