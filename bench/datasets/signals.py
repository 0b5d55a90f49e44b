"""Generated signals: sine waves (WiSE-ALE, arXiv:1902.06160, appendix D.1) and four Gaussians in 100 dimensions (VCAE section 6.1); SPEC 2.

The same values on every machine: draws are numpy's Philox4x64 Generator's, and what follows them uses additions, products and
roots alone, which IEEE 754 rounds in one way. Libraries' sines, and sums in an order that a processor chooses, do not.
"""

import math
from pathlib import Path

import numpy as np

from bench.datasets.dataset import Dataset, Source

WAVES, WAVES_TEST, RATE = 200_000, 10_000, 256  # signals; of these held out; samples in their one second
HIGHEST, LOUDEST, NOISE = 20.0, 2.0, 0.05  # Hz; amplitude; standard deviation, which the paper does not state
POINTS, POINTS_TEST, DIMENSIONS, SPREAD = 10_000, 2_000, 100, 0.25
CENTRES = ((1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0))
SINE_SEED, MOG_SEED = 0, 0
BLOCK = 500  # signals at a time: what fits into a cache
DEGREE = 19  # of the polynomial instead of the sine: (π/2)^21 / 21! is below 3e-16


def generator(seed: int) -> np.random.Generator:
    """numpy's Philox of that key."""
    return np.random.Generator(np.random.Philox(key=seed))


def sine(turns: np.ndarray) -> np.ndarray:
    """sin 2πu by its Taylor polynomial on the quarter turn next to u, to 1e-14 for |u| < 100."""
    turns = turns - np.rint(turns)  # [-1/2, 1/2]
    quarter = 4 * (np.copysign(0.5, turns) - turns)  # sin 2πu = sin 2π(±1/2 - u)
    near = 4 * turns
    v = np.where(np.abs(near) <= 1, near, quarter)  # quarter turns, [-1, 1]
    square, total = v * v, np.zeros_like(v)
    for power in range(DEGREE, 0, -2):
        total = total * square + (-1) ** (power // 2) * (math.pi / 2) ** power / math.factorial(power)
    return total * v


def waves(n: int, seed: int) -> np.ndarray:
    """A sin(2π f t + φ) + ε at t = 0, 1/256 ... 255/256 s: f ~ U(0, 20) Hz, φ ~ U(0, 2π), A ~ U(0, 2).   -> (n, 1, 1, 256) float32"""
    draws = generator(seed)
    frequency, phase, amplitude = draws.random((n, 3)).T[:, :, None]  # phase in turns
    signals, time = np.empty((n, RATE), np.float32), np.arange(RATE) / RATE
    for start in range(0, n, BLOCK):
        rows = slice(start, start + BLOCK)
        clean = LOUDEST * amplitude[rows] * sine(HIGHEST * frequency[rows] * time + phase[rows])
        signals[rows] = clean + NOISE * draws.standard_normal(clean.shape)
    return signals[:, None, None]


def load_sine(root: Path) -> Dataset:
    """(190000, 1, 1, 256) and (10000, 1, 1, 256), generated in seconds; the data root is not read."""
    signals = waves(WAVES, SINE_SEED)
    return Dataset(signals[:-WAVES_TEST], signals[-WAVES_TEST:], levels=1)


def isometry(draws: np.random.Generator) -> np.ndarray:
    """Two orthonormal rows, by Gram and Schmidt.   -> (2, 100)"""
    a, b = draws.standard_normal((2, DIMENSIONS))
    a = a / math.sqrt(math.fsum(a * a))
    b = b - math.fsum(a * b) * a
    return np.stack([a, b / math.sqrt(math.fsum(b * b))])


def load_mog(root: Path) -> Dataset:
    """(10000, 1, 1, 100) and (2000, 1, 1, 100), labelled by their Gaussian; the data root is not read."""
    draws = generator(MOG_SEED)
    rows = isometry(draws)
    n = POINTS + POINTS_TEST
    labels = draws.integers(len(CENTRES), size=n)
    flat = np.array(CENTRES)[labels] + SPREAD * draws.standard_normal((n, 2))
    points = (flat[:, :1] * rows[0] + flat[:, 1:] * rows[1]).astype(np.float32)[:, None, None]
    return Dataset(points[:POINTS], points[POINTS:], labels[:POINTS], labels[POINTS:], levels=1)


DATASETS = [
    Source(
        name="sine",
        shape=(1, 1, RATE),
        counts={"train": WAVES - WAVES_TEST, "test": WAVES_TEST},
        convention=(
            f"A sin(2πft + φ) + noise, {RATE} samples of 1 s, f ~ U(0, {HIGHEST:g}) Hz, φ ~ U(0, 2π), A ~ U(0, {LOUDEST:g}), noise of"
            f" deviation {NOISE}; Philox, key {SINE_SEED}; values as they are, about -2 to 2; last {WAVES_TEST:,} of {WAVES:,} held out"
        ),
        kind="generated",
        licence="Apache-2.0, as this program",
        url="https://arxiv.org/abs/1902.06160",
        load=load_sine,
        values="real",
    ),
    Source(
        name="mog",
        shape=(1, 1, DIMENSIONS),
        counts={"train": POINTS, "test": POINTS_TEST},
        convention=(
            f"4 Gaussians at (±1, ±1) of deviation {SPREAD} in a plane of {DIMENSIONS} dimensions; Philox, key {MOG_SEED};"
            f" values as they are; last {POINTS_TEST:,} held out"
        ),
        kind="generated",
        licence="Apache-2.0, as this program",
        url='"Variance Constrained Autoencoding", section 6.1',
        load=load_mog,
        values="real",
    ),
]
