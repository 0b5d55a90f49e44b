"""Views of what images, a model and its codes are as densities, and of what the codes say of factors of variation."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

from metrics import aggregate_posterior as posterior
from metrics import likelihood
from metrics import total_correlation as tc
from metrics.disentanglement import infomec
from metrics.disentanglement.prediction import DCI, dci
from metrics.latent import Codes
from metrics.metric import Views
from metrics.reconstruction import target_entropy

Maker = Callable[[Views], Any]


class Batches(Protocol):
    """Test images in order."""

    def __call__(self, limit: int | None = None) -> Iterable[Tensor]:
        """-> (B, C, H, W)"""


def makers(method: Any, test: Batches, noise: Callable[[str], torch.Generator]) -> dict[str, Maker]:
    """They stand on `prior`, `<split>.codes` and `train.factors`; a random view has a stream of its own."""
    return {
        "test.log_prior": lambda views: posterior.exact_log_prior(views["prior"], views["test.codes"], noise("test.log_prior")),
        "test.log_prior.bound": lambda views: posterior.bound_log_prior(views["prior"], views["test.codes"]),
        "test.log_prior.weighted": lambda views: posterior.weighted_log_prior(views["prior"], views["test.codes"], noise("test.weighted")),
        "test.log_prior.lower": lower_log_prior,
        "test.log_likelihood": lambda views: likelihood.log_likelihoods(method, test(), views["test.codes"]),
        "test.log_weights": lambda views: likelihood.log_weights(
            method, views["prior"], test(likelihood.IMAGES), noise("test.log_weights")
        ),
        "test.entropy": lambda views: target_entropy(test()),
        "train.mixture": lambda views: tc.mixture_of(views["train.codes"]),
        "train.mws": lambda views: tc.minibatch_of(tc.minibatch_weighted, views["train.codes"]),
        "train.mss": lambda views: tc.minibatch_of(tc.minibatch_stratified, views["train.codes"]),
        "train.infomec": lambda views: infomec.of_views(views["train.codes"], views["train.factors"], views["channel"]),
        "train.dci": lambda views: scored(views["train.codes"], views["train.factors"]),
    }


def lower_log_prior(views: Views) -> Tensor:
    """E log p(z) for a bound of log p(x): exact, or where there are only bounds of it, one.   -> (N,)"""
    nested = hasattr(views["prior"], "importance_log_prob")
    log_prior: Tensor = views["test.log_prior.bound" if nested else "test.log_prior"]
    return log_prior


def scored(codes: Codes, factors: Tensor) -> DCI:
    """DCI of mean codes."""
    return dci(codes.mean.double().cpu().numpy(), factors.cpu().numpy())
