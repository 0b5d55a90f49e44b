"""Explicitness and size, which DCI-ES adds to DCI: how small a predictor is enough, and how many latents there are.

Eastwood et al., "DCI-ES: An Extended Disentanglement Framework with Connections to Identifiability", arXiv:2210.00364, section 4. With
ℓ_k(κ) the least loss of predictors of factor k from all latents whose capacity is κ or less, ℓ_k(b) the loss of a constant, D latents and K
factors,

    E    mean_k 1 - ∫ (ℓ_k(κ) - ℓ_k(κ_T)) dκ / (½ (κ_T - κ_1) ℓ_k(b)),      from κ_1 to κ_T, by trapezoids
    S    K / D

E is 1 where the smallest predictor is as good as the largest, 0 where the loss falls along a straight line from that of a constant to 0,
below 0 where only large predictors are any good. It is 1 for codes that say nothing, too: to them no predictor is better than another. So
E is read beside informativeness, and holds for the family of predictors that it is of. Here they are decision trees, κ their depth and ℓ
the share of errors on other images; κ_1 is the least depth that can tell all values of the factor apart.
"""

import math
from itertools import pairwise

import numpy as np

from metrics.disentanglement.representation import TEST, TRAIN, Represented, of_views, split
from metrics.metric import Metric, Unavailable

DEPTHS = 12  # κ_T - κ_1


def loss_capacity(x: np.ndarray, y: np.ndarray, fresh: np.ndarray, truth: np.ndarray, depth: int) -> np.ndarray:
    """Share of errors on other images of a decision tree that is cut at each depth from 0, a constant, on.

    x (N, D), y (N,) to fit; fresh (M, D), truth (M,) to judge -> (depth + 1,)

    A tree of a smaller depth is the same tree without what is below, but for ties: each node was split by what it saw alone.
    """
    from sklearn.tree import DecisionTreeClassifier  # a second, for those who ask

    model = DecisionTreeClassifier(criterion="entropy", max_depth=depth, random_state=0).fit(x, y)
    tree, rows = model.tree_, np.arange(len(fresh))
    said = model.classes_[tree.value[:, 0].argmax(1)]
    seen = fresh.astype(np.float32)  # as a tree sees what it is given
    node, losses = np.zeros(len(fresh), np.int64), list[float]()
    for _ in range(depth + 1):
        losses.append(float((said[node] != truth).mean()))
        left = seen[rows, np.maximum(tree.feature[node], 0)] <= tree.threshold[node]
        below = np.where(left, tree.children_left[node], tree.children_right[node])
        node = np.where(below < 0, node, below)  # leaves have no children
    return np.array(losses)


def of_curve(losses: np.ndarray, constant: float) -> float:
    """E of losses at capacities in equal steps, and that of a constant.   (T,), value -> value, 1 at most"""
    least = np.minimum.accumulate(losses)
    area = sum((a + b) / 2 - least[-1] for a, b in pairwise(least))
    return float(1 - area / (0.5 * (len(least) - 1) * constant))


def explicitness(data: Represented) -> float:
    """E; Unavailable where a factor has one value among the images that are judged."""
    train, test = split(data)
    found = []
    for y, truth in zip(train.factors.T, test.factors.T, strict=True):
        least = math.ceil(math.log2(len(np.unique(y))))
        losses = loss_capacity(train.codes, y, test.codes, truth, least + DEPTHS)
        if losses[0] == 0:
            raise Unavailable(f"too few images: a factor of variation has one value among the {len(truth)} that are judged")
        found.append(of_curve(losses[least:], losses[0]))
    return float(np.mean(found))


def size(data: Represented) -> float:
    """S, factors that vary for each latent."""
    return data.factors.shape[1] / data.codes.shape[1]


WORDS = f"mean codes of up to {TRAIN:,} random training images to fit, {TEST:,} others to judge (two thirds, one third of fewer), seed 0"
METRICS_ON_REQUEST = [
    Metric(
        name="dci_explicitness",
        fn=of_views(explicitness),
        needs=("train.codes", "train.factors"),
        protocol=(
            "E of decision trees that split by entropy: capacity is the depth, "
            f"from the least that tells all values apart to {DEPTHS} more; {WORDS}"
        ),
        source="arXiv:2210.00364 section 4",
        better="higher",
        group="disentanglement",
        bias="1 for codes that say nothing, so read it beside dci_informativeness; holds for trees, to which a rotation is not simple",
    ),
    Metric(
        name="dci_size",
        fn=of_views(size),
        needs=("train.codes", "train.factors"),
        protocol="factors of variation that have several values, over latents",
        source="arXiv:2210.00364 section 4",
        group="disentanglement",
    ),
]
