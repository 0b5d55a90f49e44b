"""Every metric on a pretended GPU: no operation on tensors of host and device, no array of the device's, the values of the CPU."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

import pytest
import torch
from pretended_gpu import HERE, Device, RefusedError, pretended_machine
from small_evaluation import ALL, NEEDS_WEIGHTS, views_of
from torch import Tensor, nn

from bench.evaluation.evaluate import Evaluation, evaluate
from bench.evaluation.feature_networks import FeatureNetworks
from metrics.metric import Metric

METRICS = [metric for name, metric in ALL.items() if not any(part in name for part in NEEDS_WEIGHTS)]


@contextmanager
def on_a_gpu(evaluation: Evaluation) -> Iterator[Device]:
    """The method, its density and its data on the device."""
    data = evaluation.data
    evaluation.device = HERE
    assert isinstance(data.networks, FeatureNetworks)
    data.networks.device = HERE
    with pretended_machine() as device:
        modules = [part for part in (evaluation.method, evaluation.density) if isinstance(part, nn.Module)]
        device.put(*(x for module in modules for x in (*module.parameters(), *module.buffers())), data.train, data.test)
        device.put(*data.factors.values())
        yield device


@cache
def measured(there: bool) -> dict[str, dict[str, Any]]:
    """The entries of all metrics, of the same method and images."""
    evaluation = views_of(METRICS)
    with on_a_gpu(evaluation) if there else nullcontext():
        return evaluate(evaluation, METRICS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_a_metric_is_measured_there_as_on_the_cpu(metric: Metric) -> None:
    name = metric.on("test").name
    here, there = measured(False)[name], measured(True)[name]
    assert here.get("reason") == there.get("reason")
    assert "failed" not in there.get("reason", "")
    assert here["value"] == pytest.approx(there["value"], rel=1e-5, abs=1e-6) if here["value"] is not None else there["value"] is None


CONSTANT = torch.ones(3)
RIGHT: dict[str, Callable[[Tensor], Tensor]] = {
    "made there": lambda x: x + torch.zeros(3, device=x.device) + torch.tensor([1.0, 2, 3], device=x.device),
    "moved there": lambda x: x + CONSTANT.to(x.device),
    "moved away": lambda x: (x.cpu() + CONSTANT).to(x),
    "an array of what was moved away": lambda x: torch.from_numpy(x.cpu().numpy() + 1).to(x.device),
    "rows by the host's indices": lambda x: x[torch.tensor([0, 2])],
    "drawn there": lambda x: x + torch.randn(3, generator=torch.Generator(x.device), device=x.device),
}
WRONG: dict[str, tuple[Callable[[Tensor], object], str]] = {
    "a constant of the host's": (lambda x: x + CONSTANT, "mixed: add"),
    "a sum of both": (lambda x: x.cpu() + x, "mixed: add"),
    "an array of the device's": (lambda x: x.numpy(), r"mixed: \.numpy\(\)"),
    "drawn on the host": (lambda x: x + torch.randn(3), "mixed: add"),
    "a mask of the host's": (lambda x: torch.where(torch.ones(4, 3) > 0, x, 0.0), "mixed: where"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_a_gpu_takes_is_taken(name: str) -> None:
    with pretended_machine() as device:
        x = torch.ones(4, 3)
        device.put(x)
        assert device.has(RIGHT[name](x))
        assert (x.device, CONSTANT.device, x.cpu().device) == (HERE, torch.device("cpu"), torch.device("cpu"))


@pytest.mark.parametrize("name", WRONG)
def test_what_a_gpu_refuses_is_refused(name: str) -> None:
    wrong, refusal = WRONG[name]
    with pretended_machine() as device:
        x = torch.ones(4, 3)
        device.put(x)
        with pytest.raises(RefusedError, match=refusal):
            wrong(x)
