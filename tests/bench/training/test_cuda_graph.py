"""Which steps are recorded as a CUDA graph, on a pretended device: none that waits for it. That a graph's steps are steps needs a GPU."""

from collections.abc import Callable, Sequence
from contextlib import nullcontext

import pytest
import torch
from pretended_gpu import Device, pretended_gpu
from torch import Tensor

from bench.training.cuda_graph import WARM_UP, Captured

Step = Callable[[Tensor], Tensor]


class Stream:
    """A stream of a device that is not there."""

    def __init__(self, device: object = None):
        pass

    def wait_stream(self, other: "Stream") -> None:
        """All is done in order anyway."""


def pretend(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.cuda as far as an eager step asks for it; the pretended device says where a step waits."""
    device.debug = 0
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", Stream)
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: device.debug)
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", lambda mode: setattr(device, "debug", {"warn": 1}.get(mode, mode)))
    monkeypatch.setattr(Tensor, "record_stream", lambda x, stream: None)


def reading(x: Tensor) -> Tensor:
    return x * x.sum().item()


def on_the_device(x: Tensor) -> Tensor:
    return x * x.sum()


@pytest.mark.parametrize(("step", "reads"), [(reading, True), (on_the_device, False)])
def test_a_step_that_waits_for_the_device_is_never_recorded(step: Step, reads: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    stream, recorded = torch.Generator(), list[int]()
    monkeypatch.setattr(Captured, "record", lambda captured, batches, moving: recorded.append(captured.taken))

    def players_step(batches: Sequence[Tensor], moving: tuple[bool, ...]) -> Tensor:
        return step(batches[0])

    with pretended_gpu(stream) as device:
        pretend(device, monkeypatch)
        x = torch.ones(3)
        device.put(x)
        captured = Captured(players_step, stream)
        for _ in range(WARM_UP + 1):
            assert captured([x], (True,)).tolist() == [3, 3, 3]
        assert device.debug == 0, "the mode is given back"
    line = step.__code__.co_firstlineno + 1
    assert captured.reason == (f"the host waits for the device (test_cuda_graph.py, line {line})" if reads else None)
    assert recorded == ([] if reads else [WARM_UP])
