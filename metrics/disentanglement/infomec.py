"""InfoMEC: modularity, compactness and explicitness by information, with estimators that are fixed for continuous and discrete codes.

Hsu et al., "Disentanglement via Latent Quantization", arXiv:2305.18378, section 4. With the normalised mutual information
N_jk = I(r_j; k) / H(k) of the active latents j = 1 ... A and the factors k = 1 ... K,

    InfoM   (mean_j max_k N_jk / Σ_k N_jk  -  1/K) / (1 - 1/K)          each latent says much of one factor alone
    InfoC   (mean_k max_j N_jk / Σ_j N_jk  -  1/A) / (1 - 1/A)          each factor is said by one latent alone
    InfoE   mean_k 1 - CE_k / log n_k,   CE_k the cross-entropy of a logistic regression from all latents, n_k values of factor k

I of continuous latents is by 10 nearest neighbours (Ross, 2014, doi:10.1371/journal.pone.0087357), of discrete ones by counts. A latent is
active if its range is above 1/20 of the widest one; a discrete one if it has two values. InfoE is of the images that it is fitted to, so
it is too high of few images and many latents.
"""

from collections.abc import Callable
from importlib.metadata import version
from typing import NamedTuple

import numpy as np
from torch import Tensor

from metrics.disentanglement.information import entropy
from metrics.disentanglement.representation import TRAIN, Represented, represented, split
from metrics.latent import Channel, Codes
from metrics.metric import Metric, Unavailable

NEIGHBOURS, ACTIVE, STEPS = 10, 1 / 20, 100


class InfoMEC(NamedTuple):
    """Three scores; 0 to 1 but for the errors of their estimates."""

    modularity: float
    compactness: float
    explicitness: float


def active(codes: np.ndarray, discrete: bool) -> np.ndarray:
    """Which latents say anything; Unavailable where none does.   (N, D) -> (D,) bool"""
    width = codes.max(0) - codes.min(0)
    found: np.ndarray = width > (0 if discrete else ACTIVE * width.max())
    if not found.any():
        raise Unavailable("every latent is constant")
    return found


def normalised_information(data: Represented, discrete: bool) -> np.ndarray:
    """I(r_j; k) / H(k).   -> (D, K)"""
    from sklearn.feature_selection import mutual_info_classif  # a second, for those who ask
    from sklearn.metrics import mutual_info_score

    columns = []
    for factor in data.factors.T:
        if discrete:
            found = np.array([mutual_info_score(latent, factor) for latent in tokens(data.codes).T])
        else:
            scaled = data.codes / np.maximum(data.codes.std(0), 1e-12)
            found = mutual_info_classif(scaled, factor, discrete_features=False, n_neighbors=NEIGHBOURS, random_state=0)
        columns.append(found / entropy(np.bincount(factor)))
    return np.stack(columns, 1)


def tokens(codes: np.ndarray) -> np.ndarray:
    """Each latent's values by their number.   (N, D) -> (N, D) int"""
    return np.stack([np.unique(latent, return_inverse=True)[1] for latent in codes.T], 1)


def concentration(information: np.ndarray) -> float:
    """Mean over rows of the largest share of a row, 0 where all are alike and 1 where one has it all; 1 of one column.   (A, B) -> value"""
    count = information.shape[1]
    total = np.maximum(information.sum(1), 1e-300)
    return float((information.max(1) / total).mean() - 1 / count) / (1 - 1 / count) if count > 1 else 1.0


def explicitness(data: Represented, discrete: bool) -> float:
    """InfoE, of a logistic regression without penalty, classes balanced."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import log_loss
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    inputs = (OneHotEncoder() if discrete else StandardScaler()).fit_transform(data.codes)
    found = []
    for factor in data.factors.T:
        model = LogisticRegression(C=np.inf, class_weight="balanced", max_iter=STEPS).fit(inputs, factor)
        found.append(1 - log_loss(factor, model.predict_proba(inputs)) / np.log(len(model.classes_)))
    return float(np.mean(found))


def infomec(data: Represented, discrete: bool) -> InfoMEC:
    """All three; Unavailable of fewer images than neighbours are asked for."""
    if len(data.codes) <= NEIGHBOURS:
        raise Unavailable(f"{len(data.codes)} images have no {NEIGHBOURS} neighbours each")
    information = normalised_information(data, discrete)[active(data.codes, discrete)]
    return InfoMEC(concentration(information), concentration(information.T), explicitness(data, discrete))


def of_views(codes: Codes, factors: Tensor, channel: Channel) -> InfoMEC:
    """Of mean codes of a random part of the images."""
    data, _ = split(represented(codes.mean.double().cpu().numpy(), factors.cpu().numpy()))
    return infomec(data, channel.bits is not None)


def one_of(field: str) -> Callable[[InfoMEC], float]:
    """One of the three."""
    return lambda found: float(getattr(found, field))


WORDS = f"mean codes of up to {TRAIN:,} random training images, seed 0; scikit-learn {version('scikit-learn')}"
INFORMATION = f"mutual information by {NEIGHBOURS} neighbours, of discrete codes by counts; latents of a range above 1/20 of the widest"
HOW = {
    "modularity": INFORMATION,
    "compactness": INFORMATION,
    "explicitness": f"logistic regression without penalty, classes balanced, {STEPS} steps of L-BFGS, on the images it is fitted to",
}
BIAS = {
    "modularity": "too low where a latent says little: neighbours find some information between independent values",
    "compactness": "too low where many latents say little: neighbours find some information between independent values",
    "explicitness": "too high for few images and many latents: of the images that the regression is fitted to",
}
METRICS_ON_REQUEST = [
    Metric(
        name=f"info{name[0]}",
        fn=one_of(name),
        needs=("train.infomec",),
        protocol=f"{name}: {how}; {WORDS}",
        source="arXiv:2305.18378 section 4",
        better="higher",
        group="disentanglement",
        bias=BIAS[name],
    )
    for name, how in HOW.items()
]
