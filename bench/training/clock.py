"""Seconds of training, and of nothing else."""

import time

import torch


class Clock:
    """Seconds of training only: the device is idle whenever the clock is read, started or stopped."""

    def __init__(self, device: torch.device, spent: float = 0.0):
        self.device, self.spent, self.started = device, spent, 0.0

    def wait(self) -> float:
        """Now, once the device has done all it was asked."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def start(self) -> None:
        """Go on counting."""
        self.started = self.wait()

    def stop(self) -> float:
        """Stop counting; -> seconds so far."""
        self.spent += self.wait() - self.started
        return self.spent
