"""The hash of a metric's code: what makes the views that it is a function of counts, as its own module does."""

import sys
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from small_methods import DIM, LEVELS, build, noise, pixels

from bench.evaluation.device_dataset import DeviceDataset
from bench.evaluation.evaluate import Evaluation
from bench.evaluation.feature_networks import FeatureNetworks
from bench.records.code import ROOT
from bench.registry import MEASURERS, Catalogue, catalogue
from metrics.metric import Unavailable
from models.ladder import prior_hier
from models.parts.density import gaussian
from models.vae import vae_bernoulli

KNOWN = catalogue()
# run while a view is made and no part of what it is: messages, names in reasons
WORDS = {"bench/errors.py", "bench/evaluation/view_names.py"}
SAMPLE = ("rec_sse_test", "frechet_pca_pz", "mig", "mmd_prior", "data_copying_z_pz", "sharpness_pz")


def edited(name: str, more: bytes = b"\nx = 1\n") -> Catalogue:
    """The catalogue where a file of this project says something else."""
    path = ROOT / name
    return replace(KNOWN, plugins={**KNOWN.plugins, path: path.read_bytes() + more}, known={}, codes={})


@pytest.mark.parametrize("name", [f"{module.replace('.', '/')}.py" for module in MEASURERS])
def test_a_change_in_what_makes_views_measures_every_metric_by_other_code(name: str) -> None:
    other = edited(name)
    assert [metric for metric in KNOWN.every_metric if KNOWN.measured_by(metric).code == other.measured_by(metric).code] == []


@pytest.mark.parametrize("name", ["metrics/features/pca.py", "metrics/fixed_subset.py", "metrics/frechet.py", "bench/datasets/batches.py"])
def test_what_those_modules_import_counts(name: str) -> None:
    other = edited(name)
    assert all(KNOWN.measured_by(metric).code != other.measured_by(metric).code for metric in SAMPLE)


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("bench/evaluation/feature_views.py", b"\n# a comment\n"),
        ("bench/evaluation/view_names.py", b"\nx = 1\n"),
        ("bench/leaderboard/render.py", b"\nx = 1\n"),
        ("models/vae.py", b"\nx = 1\n"),
        ("metrics/disentanglement/votes.py", b"\nx = 1\n"),
    ],
)
def test_words_pages_models_and_other_metrics_do_not(name: str, more: bytes) -> None:
    other = edited(name, more)
    assert all(KNOWN.measured_by(metric).code == other.measured_by(metric).code for metric in SAMPLE)


def test_all_that_runs_while_views_are_made_is_in_the_hash() -> None:
    """Every view of two kinds of prior and of a density is made, and each file of this project that ran is looked for."""
    ran, made = set[str](), set[str]()

    def note(frame: FrameType, event: str, argument: Any) -> None:
        ran.add(frame.f_code.co_filename)

    methods = [build(lambda: vae_bernoulli(DIM)), build(lambda: prior_hier(DIM, inner_dim=2))]
    x, y = pixels(24, seed=1), pixels(20, seed=2)
    factors = {"train": torch.arange(24)[:, None] // 12, "test": torch.arange(20)[:, None] // 10}
    density = gaussian(DIM)
    density.fit(torch.randn(50, DIM, generator=noise()), noise())
    for method in methods:
        networks = FeatureNetworks("digits", x, LEVELS, Path("nowhere"), None)
        known = Evaluation(method.eval(), DeviceDataset(x, y, LEVELS, networks=networks, factors=factors), 0, density)
        views = known.views(metric for name, metric in KNOWN.every_metric.items() if "lite0" not in name)  # whose package takes seconds
        sys.setprofile(note)
        try:
            with torch.no_grad():
                for name in views.makers.keys() - made:
                    with suppress(Unavailable):
                        views[name]
        finally:
            sys.setprofile(None)
        made |= views.made.keys()
    assert len(made) > 60
    files = {str(Path(name).relative_to(ROOT)) for name in ran if Path(name).is_relative_to(ROOT)}
    wanted = {name for name in files if name.startswith(("bench/", "metrics/"))}
    assert {"bench/evaluation/evaluate.py", "metrics/features/pca.py", "metrics/total_correlation.py"} <= wanted
    assert wanted - WORDS <= KNOWN.measuring(KNOWN.homes["metric", "sharpness_test"]).keys()
