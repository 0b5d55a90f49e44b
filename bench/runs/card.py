"""What a file of weights says of itself: enough to make the method again, and what it is worth. One text of JSON in the file's metadata."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors

from bench.datasets.dataset import Dataset, Source
from bench.environment import project_version
from bench.errors import UserError
from bench.runs.prepare import Prepared
from bench.suites.schema import canonical

KEY = "latentbench"  # of the metadata; one key, for several would come in any order
HEADLINES = (  # metrics that say most, those of samples by the best features that there are
    "rec_sse_test",
    "rec_sse_test_mean_code",
    "fid_pz",
    "fid_qz",
    "frechet_lite0_pz",
    "frechet_lite0_qz",
    "frechet_classifier_pz",
    "frechet_classifier_qz",
    "frechet_pca_pz",
    "frechet_pca_qz",
    "mig",
    "dci_disentanglement",
)


def card(prepared: Prepared, source: Source, record: Mapping[str, Any], hashes: Mapping[str, str], metrics: Mapping[str, Any]) -> str:
    """JSON: run, configuration, image shape, hashes of data and weights, the values of HEADLINES that there are.

    record: what is said of the run before it trains. Equal runs have equal cards: nothing here is of the machine or the time.
    """
    same = ("suite", "label", "seed", "key", "row_key", "smoke", "config", "trained_by")
    values = {name: metrics[name]["value"] for name in HEADLINES if metrics.get(name, {}).get("value") is not None}
    return canonical(
        {
            "latentbench": project_version(),
            **{name: record[name] for name in same},
            "shape": list(source.shape),
            "values": source.values,
            "counts": dict(source.counts),
            "hashes": dict(hashes),
            "parameters": prepared.parameter_count,
            "metrics": values,
        }
    )


def read_card(path: Path) -> dict[str, Any] | None:
    """The card of a file of weights; None of a file that has none, as those from before 0.3. UserError where the file is none."""
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(KEY)
        return None if text is None else dict(json.loads(text))
    except (OSError, ValueError, safetensors.SafetensorError) as error:
        raise UserError(f"{path}: no file of weights ({' '.join(str(error).split())})") from None


def source_of(about: Mapping[str, Any]) -> Source:
    """A dataset as the card has it, for weights whose data are not here: shapes alone, it cannot be loaded."""
    name = about["config"]["dataset"]

    def load(root: Path) -> Dataset:
        raise UserError(f"dataset {name} is not here; its shape is known from the weights' card alone")

    return Source(
        name=name,
        shape=tuple(about["shape"]),
        counts=dict(about["counts"]),
        convention=about["config"]["convention"],
        kind="real",
        licence="not said",
        url="",
        load=load,
        values=about["values"],
    )
