"""docs/metrics.md is what the registry says, and says it in words."""

from pathlib import Path

import pytest
from harness import cli

from bench.docs.metrics_page import HEADERS, PAGE, entry, page, weights
from bench.evaluation.view_names import SETS, WHOLE, name_of_view
from bench.registry import catalogue
from metrics.features import inception
from metrics.metric import Metric

DOCS = Path(__file__).parents[3] / "docs"
KNOWN = catalogue()
METRICS = [metric.on("test") for metric in KNOWN.every_metric.values()]
ESTIMATED = ("aggregate posterior", "likelihood", "samples, ")  # groups whose numbers are no plain means over images


def test_the_page_is_what_the_registry_says() -> None:
    assert (DOCS / PAGE).read_text(encoding="utf-8") == page(KNOWN), "write it: python -m bench.docs.metrics_page docs"


def test_the_page_has_every_metric_once_under_its_group() -> None:
    lines = page(KNOWN).splitlines()
    places = {line.removeprefix("### "): number for number, line in enumerate(lines) if line.startswith("### ")}
    assert sorted(places) == sorted(metric.name for metric in METRICS)
    for metric in METRICS:
        above = [line for line in lines[: places[metric.name]] if line.startswith("## ")]
        assert above[-1] == f"## {metric.group.capitalize()}"


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_what_a_metric_needs_is_said_in_words(metric: Metric) -> None:
    for view in metric.needs:
        assert name_of_view(view) != view
        assert view in WHOLE or SETS[view.partition(".")[0]].format(held_out="test") in name_of_view(view)
    assert not metric.group.startswith(ESTIMATED) or metric.bias
    assert (f"- bias: {metric.bias}" in entry(metric)) == bool(metric.bias)


def test_an_entry_says_all_that_is_known() -> None:
    metric = Metric("m", len, ("test.codes", "my.view"), "a | b < c; scikit-learn 9.9.9", "X 1", "nats", "target", "g", 7, (), "too low")
    assert entry(metric) == (
        "### m\n\n- unit: nats\n- direction: nearer its target is better\n- needs: codes of test images, my.view\n"
        "- protocol: a | b &lt; c; scikit-learn (with its version); v7\n- source: X 1\n- bias: too low"
    )
    assert entry(metric, on_request=True) == entry(metric) + "\n- measured: where a suite or `evaluate --metrics` names it"


def test_metrics_on_request_are_measured_where_they_are_named_alone() -> None:
    assert KNOWN.metrics_on_request
    assert not set(KNOWN.metrics_on_request) & set(KNOWN.metrics)
    assert all(KNOWN.get("metric", name) for name in KNOWN.metrics_on_request)
    assert page(KNOWN).count("- measured: where a suite") == len(KNOWN.metrics_on_request)


def test_the_page_says_how_weights_are_got() -> None:
    assert inception.SHA256 in weights("inception-tf")
    assert "features fetch timm:a_model" in weights("timm:a_model")
    assert "`weights/a_model.safetensors`" in weights("timm:a_model")
    assert "here for digits and mnist" in weights("classifier")
    assert weights("pca").startswith("none needed")


def test_metrics_are_listed_with_all_columns() -> None:
    result = cli("list", "metrics")
    lines = result.out.splitlines()
    assert (result.code, result.err) == (0, "")
    assert lines[0].split() == list(HEADERS)
    (line,) = [line for line in lines if line.startswith("fid_pz ")]
    for part in (
        "↓",
        "Gaussian fitted to inception-tf features of decoded prior draws",
        "arXiv:1706.08500 Eq. 6",
        "samples, inception features",
    ):
        assert part in line
    assert len(lines) == len(METRICS) + 2
