"""torch-fidelity's metrics of features, in the words of ours; it imports a compiler, which takes seconds, so only where it is asked."""

from torch import Tensor


def fid(a: Tensor, b: Tensor) -> float:
    """The Fréchet distance of two sets of features.   (n, D), (m, D)"""
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

    one, other = map(fid_features_to_statistics, (a, b))
    return float(fid_statistics_to_metric(one, other, verbose=False)[KEY_METRIC_FID])


def kid(a: Tensor, b: Tensor, size: int, subsets: int = 1) -> float:
    """The kernel distance of two sets of features, mean over subsets of that size.   (n, D), (m, D)"""
    from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, kid_features_to_metric

    return float(kid_features_to_metric(a, b, kid_subsets=subsets, kid_subset_size=size, verbose=False)[KEY_METRIC_KID_MEAN])


def precision_recall(real: Tensor, samples: Tensor, neighbours: int) -> tuple[float, float]:
    """Precision and recall of samples.   (n, D), (m, D)"""
    from torch_fidelity.metric_prc import prc_features_to_metric

    found = prc_features_to_metric(samples, real, prc_neighborhood=neighbours, prc_batch_size=10_000, save_cpu_ram=True, verbose=False)
    return float(found["precision"]), float(found["recall"])
