"""docs/metrics.md: an entry for each metric, made from the registry.

`python -m bench.docs.metrics_page docs` writes the page anew.
"""

import re
from collections.abc import Iterable
from pathlib import Path

import typer

from bench.evaluation.feature_networks import TIMM
from bench.evaluation.feature_views import networks_of
from bench.markdown import bullets, table, text
from bench.registry import catalogue
from metrics.features import inception
from metrics.features.classifier import SHIPPED
from metrics.metric import Metric

PAGE = "metrics.md"
HEADERS = ("metric", "unit", "better", "needs", "protocol", "source", "group")
DIRECTIONS = {"lower": "↓", "higher": "↑", "target": "→", None: ""}
IN_WORDS = {"lower": "lower is better", "higher": "higher is better", "target": "nearer its target is better", None: "a description"}
VERSION = re.compile(r"scikit-learn \d[\w.]*")  # a page is the same on every machine
HEAD = """# Metrics

Written from the registry by `python -m bench.docs.metrics_page docs`; `python -m bench list metrics` prints the same. A suite names the
metrics that it wants (`metrics = ["rec_sse_test", "fid_pz"]`) or gets all of them. What a method has no use for (no prior, no noise,
no factors of variation) is absent from its record with the reason. On validation images `test` becomes `validation` in names and
protocols; of signals `pixel` becomes `value` and `image` becomes `signal`. A protocol ends with the metric's version, and with the
weights, resize and counts that were met where it stands on a network; values of two protocols are two columns.

`python -m bench evaluate RUN --metrics NAME` adds a metric to a finished run from its weights, `python -m bench verify RUN` computes
all of a record again and says which moved and why. *Needs* names what a metric is a function of, each computed once for all metrics.
SPEC in a source is [the specification](specification.md).
"""
SETS = {
    "test": "test images",
    "train": "training images",
    "samples": "decoded prior draws",
    "density_samples": "decoded draws of the density fitted to the codes",
    "reconstructions": "reconstructions of test images",
    "prior": "prior draws",
    "density": "draws of the density fitted to the codes",
}
PARTS = {  # of a set of images, by how a view's name goes on
    "codes": "codes of {}",
    "factors": "factors of variation of {}",
    "errors.draw": "reconstruction errors of {}, one noise draw",
    "errors.mean": "reconstruction errors of {}, mean code",
    "entropy": "the least cross-entropy that {} allow",
    "features": "{network} features of {}",
    "gaussian": "Gaussian fitted to {network} features of {}",
    "balls": "{network} features of {} among those of test images",
    "nearest": "distances of {} to the nearest training image",
    "sharpness": "sharpness of {}",
    "log_prior": "log p(z) at codes of {}",
    "log_prior.bound": "bound of log p(z) at codes of {}",
    "log_prior.weighted": "importance samples of log p(z) at codes of {}",
    "log_prior.lower": "log p(z), or its bound, at codes of {}",
    "log_likelihood": "log p(x|z) of {}",
    "log_weights": "importance weights of {}",
    "mixture": "aggregate posterior of {}",
    "mws": "minibatch weighted estimate of the aggregate posterior of {}",
    "mss": "minibatch stratified estimate of the aggregate posterior of {}",
    "dci": "forests that predict the factors of {} from codes",
}
WHOLE = {
    "prior": "the prior",
    "density": "the density fitted to the codes",
    "channel": "the encoder's noise and variance target",
    "baselines": "mean image and PCA of the dataset",
}


def words(view: str) -> str:
    """A view as a reader knows it; its name where nothing is known of it, as of a plugin's."""
    of, _, part = view.partition(".")
    kind, _, network = part.partition(".")
    if view in WHOLE:
        return WHOLE[view]
    if of in SETS and kind in ("features", "gaussian", "balls"):
        return PARTS[kind].format(SETS[of], network="pixel" if network == "pixels" else network)
    return PARTS[part].format(SETS[of]) if of in SETS and part in PARTS else view


def needs(metric: Metric) -> str:
    """What it is a function of."""
    return ", ".join(words(view) for view in metric.needs)


def row(metric: Metric) -> tuple[str, ...]:
    """A metric under HEADERS."""
    return metric.name, metric.unit, DIRECTIONS[metric.better], needs(metric), metric.protocol, metric.source, metric.group


def weights(network: str) -> str:
    """How a feature network's weights are got."""
    if network == inception.NAME:
        how = f"`python -m bench features fetch {network}`, or by hand from {inception.URL}"
        return f"{how} into the data root's `weights/`; sha256 {inception.SHA256}"
    if network.startswith(TIMM):
        file = f"weights/{network.removeprefix(TIMM)}.safetensors"
        return f"`python -m bench features fetch {network}`, or by hand as the data root's `{file}`; its hash is in the protocol"
    if network == "classifier":
        return f"here for {' and '.join(sorted(SHIPPED))}; `python -m bench features train DATASET` makes those of another with labels"
    return "none needed: fitted to the dataset's training images"


def entry(metric: Metric) -> str:
    """Markdown about one metric."""
    facts = {
        "unit": metric.unit,
        "direction": IN_WORDS[metric.better],
        "needs": needs(metric),
        "protocol": f"{VERSION.sub('scikit-learn (with its version)', metric.protocol)}; v{metric.version}",
        "source": metric.source,
        "bias": metric.bias,
    }
    return f"### {metric.name}\n\n" + bullets(f"{name}: {text(fact)}" for name, fact in facts.items() if fact)


def page(metrics: Iterable[Metric]) -> str:
    """The whole page, by groups."""
    every = list(metrics)
    blocks = [HEAD.rstrip()]
    networks = [[network, weights(network)] for network in networks_of(every)]
    blocks += [
        "## Feature networks",
        "Without its weights a metric is absent; nothing stands in for it.",
        table(["network", "weights"], networks),
    ]
    for group in sorted({metric.group for metric in every}):
        blocks += [f"## {group.capitalize()}", *(entry(metric) for metric in every if metric.group == group)]
    return "\n\n".join(blocks) + "\n"


def main(folder: Path) -> None:
    """Write FOLDER/metrics.md."""
    (folder / PAGE).write_text(page(catalogue().metrics.values()), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
