"""Generated signals: formulas against loops and closed forms, and the same values wherever they are made."""

import math
from pathlib import Path

import numpy as np
import pytest

from bench.datasets import signals
from bench.datasets.dataset import Dataset
from bench.registry import catalogue

NOWHERE = Path("nowhere")


@pytest.fixture(scope="module")
def mog() -> Dataset:
    return signals.load_mog(NOWHERE)


@pytest.fixture(scope="module")
def sine() -> Dataset:
    return signals.load_sine(NOWHERE)


def test_the_polynomial_is_the_sine() -> None:
    turns = np.concatenate([np.linspace(-25, 25, 40_001), np.arange(-8, 9) / 4, [1e-9, -1e-9]])
    found = signals.sine(turns)
    assert np.abs(found - [math.sin(2 * math.pi * math.fmod(u, 1)) for u in turns]).max() < 1e-13
    assert np.abs(found).max() <= 1 + 1e-15


def test_a_wave_is_its_formula_and_noise() -> None:
    n = signals.BLOCK + 3  # more than a block
    found = signals.waves(n, 7)
    assert (found.shape, found.dtype) == ((n, 1, 1, 256), np.float32)
    draws = np.random.Generator(np.random.Philox(key=7))
    latents = draws.random((n, 3))
    noise = draws.standard_normal((n, 256))
    for row in (0, 1, n - 1):
        f, phase, a = 20 * latents[row, 0], 2 * math.pi * latents[row, 1], 2 * latents[row, 2]
        expected = [a * math.sin(2 * math.pi * f * t / 256 + phase) + 0.05 * noise[row, t] for t in range(256)]
        np.testing.assert_allclose(found[row, 0, 0], expected, atol=1e-6)


def test_sine_is_as_spec_2_has_it(sine: Dataset) -> None:
    assert (sine.train.shape, sine.test.shape) == ((190_000, 1, 1, 256), (10_000, 1, 1, 256))
    assert sine.levels == 1
    # E A² / 2 + noise: A ~ U(0, 2) has E A² = 4/3, but f below a few Hz and any phase leave the mean square at that too
    assert np.mean(np.square(sine.test, dtype=np.float64)) == pytest.approx(2 / 3 + 0.05**2, rel=0.02)
    assert 2 < np.abs(sine.test).max() < 2 + 6 * 0.05
    spectrum = np.abs(np.fft.rfft(sine.test[:2000, 0, 0].astype(np.float64))) ** 2
    assert spectrum[:, :22].sum() > 0.98 * spectrum.sum()  # nothing above 20 Hz but leakage and noise
    loudest = spectrum.argmax(1)
    assert np.bincount(np.minimum(loudest, 20), minlength=21)[1:20] == pytest.approx([100] * 19, rel=0.5)  # f is uniform


def test_sine_is_the_same_on_every_machine(sine: Dataset) -> None:
    assert sine.sha256() == "01ed248fb2433838782776e4b58587adeade8fe052f1c83eb5a3734149c86c37"


def test_mog_is_as_spec_2_has_it(mog: Dataset) -> None:
    assert (mog.train.shape, mog.test.shape, mog.levels) == ((10_000, 1, 1, 100), (2_000, 1, 1, 100), 1)
    points, labels = mog.train.reshape(-1, 100).astype(np.float64), mog.train_labels
    assert labels is not None
    values, axes = np.linalg.eigh(points.T @ points / len(points))
    assert values[:-2].max() < 1e-12  # a plane
    assert values[-2:] == pytest.approx([1.0625, 1.0625], rel=0.05)  # 1 + 0.25² along every direction of it
    flat = points @ axes[:, -2:]
    means = np.stack([flat[labels == k].mean(0) for k in range(4)])
    assert np.linalg.norm(means, axis=1) == pytest.approx([math.sqrt(2)] * 4, rel=0.02)
    gaps = sorted(np.linalg.norm(means[i] - means[j]) for i in range(4) for j in range(i))
    assert gaps == pytest.approx([2] * 4 + [math.sqrt(8)] * 2, rel=0.02)  # a square of side 2: the map keeps distances
    assert [flat[labels == k].std(0).tolist() for k in range(4)] == [pytest.approx([0.25, 0.25], rel=0.05)] * 4
    assert np.bincount(labels).tolist() == pytest.approx([2500] * 4, rel=0.06)


def test_the_map_is_an_isometry() -> None:
    rows = signals.isometry(signals.generator(3))
    np.testing.assert_allclose(rows @ rows.T, np.eye(2), atol=1e-15)


def test_mog_behind_the_papers_noise_has_specs_reference_error(mog: Dataset) -> None:
    """A linear code of total variance 2, noise included, decoded linearly: SSE 2 · 1.0625 · 0.03 (SPEC 2) to first order."""
    points = mog.test.reshape(-1, 100).astype(np.float64)
    axes = np.linalg.svd(points, full_matrices=False)[2][:2]
    flat = points @ axes.T
    variance = flat.var(0).sum()
    gain = math.sqrt((2 - 2 * 0.03) / variance)
    noisy = gain * flat + math.sqrt(0.03) * np.random.default_rng(1).standard_normal(flat.shape)
    assert noisy.var(0).sum() == pytest.approx(2, rel=0.02)
    error = np.square(points - noisy / gain @ axes).sum(1).mean()
    assert error == pytest.approx(2 * 1.0625 * 0.03, rel=0.06)


def test_mog_is_the_same_on_every_machine(mog: Dataset) -> None:
    assert mog.sha256() == "fa7de71ffb69d0007f80da844089d2d8126749cf646e49925400c9a41cb223e3"


@pytest.mark.parametrize("name", ["sine", "mog"])
def test_held_out_signals_are_none_of_the_training_signals(name: str) -> None:
    source = catalogue().datasets[name]
    assert (source.values, source.kind, source.files) == ("real", "generated", ())
    assert "Philox" in source.convention
    whole = source.load(NOWHERE)
    for data in (whole, whole.with_validation()):
        assert source.mismatch(data) is None
        rows = {row.tobytes() for row in data.train}
        assert len(rows) == len(data.train)
        assert not any(row.tobytes() in rows for row in data.test)
