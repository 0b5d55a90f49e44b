"""Adam by torch's function of one fused kernel: what `torch.optim.Adam(fused=True)` computes, to the bit, without its work on the host.

Kingma & Ba, "Adam", arXiv:1412.6980, Algorithm 1. For a small network the class takes as long on the host as the kernel does for the
update, in every step, and to make one imports the compiler in every process.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.optim.adam import adam


class Adam:
    """One player's optimiser. Its rate is set before each step and lies in a tensor, so that a recorded step reads it."""

    def __init__(self, parameters: Sequence[nn.Parameter], lr: float, betas: tuple[float, float], eps: float = 1e-8):
        self.parameters, self.lr, self.betas, self.eps = tuple(parameters), lr, betas, eps
        self.means = [torch.zeros_like(p, memory_format=torch.preserve_format) for p in self.parameters]  # m
        self.squares = [torch.zeros_like(p, memory_format=torch.preserve_format) for p in self.parameters]  # v
        device = self.parameters[0].device if self.parameters else torch.device("cpu")
        self.steps = list(torch.zeros(len(self.parameters), device=device))  # t, each parameter's own as in torch
        self.rate = torch.full((), lr, device=device, dtype=torch.float32 if device.type == "cuda" else torch.float64)

    def set_rate(self, lr: float) -> None:
        """The rate from the next step on; no synchronisation."""
        if lr != self.lr:
            self.lr = lr
            self.rate.fill_(lr)

    def zero_grad(self) -> None:
        """Forget gradients: the next backward pass writes new ones."""
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        with_gradient = [i for i, p in enumerate(self.parameters) if p.grad is not None]
        if not with_gradient:
            return
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        parameters, means, squares, steps = (
            [values[i] for i in with_gradient] for values in (self.parameters, self.means, self.squares, self.steps)
        )
        adam(
            parameters,
            gradients,
            means,
            squares,
            [],
            steps,
            fused=True,
            lr=self.rate,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=0.0,
            eps=self.eps,
            amsgrad=False,
            maximize=False,
        )

    def state_dict(self) -> dict[str, Any]:
        """The moments and counts."""
        return {"means": self.means, "squares": self.squares, "steps": self.steps}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take them over, in place."""
        for own, saved in ((self.means, state["means"]), (self.squares, state["squares"]), (self.steps, state["steps"])):
            for mine, theirs in zip(own, saved, strict=True):
                mine.copy_(theirs)
