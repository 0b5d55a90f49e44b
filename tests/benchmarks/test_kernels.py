"""Times of the kernels that every WAE step runs, at the batch sizes of the suites; forward and backward."""

import pytest
import torch
from pytest_benchmark.fixture import BenchmarkFixture

from metrics.divergences import imq, imq7, mmd, mmd_rbf_median, rbf

DIM = 8
LOSSES = {
    "imq": lambda p, q: mmd(p, q, 2.0 * DIM, imq),
    "imq7": lambda p, q: mmd(p, q, 2.0 * DIM, imq7),
    "rbf": lambda p, q: mmd(p, q, 2.0 * DIM, rbf),
    "rbf_median": mmd_rbf_median,
}


@pytest.mark.parametrize("batch", [100, 500])
@pytest.mark.parametrize("kernel", LOSSES)
def test_mmd_step(benchmark: BenchmarkFixture, kernel: str, batch: int) -> None:
    generator = torch.Generator().manual_seed(0)
    prior = torch.randn(batch, DIM, generator=generator)
    codes = (3 * torch.randn(batch, DIM, generator=generator)).requires_grad_()

    def step() -> torch.Tensor:
        codes.grad = None
        loss = LOSSES[kernel](prior, codes)
        loss.backward()
        return loss.detach()

    loss = benchmark(step)
    assert loss > 0.01  # codes that are three times too wide are far from the prior
    assert codes.grad is not None
    assert (codes.grad * codes.detach()).sum() > 0  # descending shrinks them
