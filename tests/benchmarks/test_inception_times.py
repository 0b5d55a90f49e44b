"""Inception's features of 32 images: torch-fidelity's network, the same folded and with channels last, and that compiled.

Minutes on one core: `nox -s kernels -- tests/benchmarks/test_inception_times.py -m slow`.
"""

from pathlib import Path

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture
from small_features import bytes_of, random_inception
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from metrics.features.inception import FILE, inception

IMAGES, ROUNDS = bytes_of(32, 0, (3, 64, 64)), 5


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.benchmark(group="Inception, 32 images of 64×64")
@pytest.mark.parametrize("form", ["torch-fidelity", "folded", "compiled"])
def test_inception(benchmark: BenchmarkFixture, form: str, tmp_path: Path) -> None:
    expected = random_inception(tmp_path)
    theirs = FeatureExtractorInceptionV3("plain", ["2048"], feature_extractor_weights_path=str(tmp_path / FILE))
    ours = inception(tmp_path, expected=expected)
    rows = {"torch-fidelity": lambda x: theirs(x)[0], "folded": ours.rows, "compiled": ours.compiled}[form]
    with torch.no_grad():
        found, reference = benchmark.pedantic(rows, (IMAGES,), rounds=ROUNDS, warmup_rounds=1), theirs(IMAGES)[0]
    assert (found - reference).norm() < 1e-4 * reference.norm()
