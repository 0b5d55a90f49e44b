"""docs/your-images.md as it stands: its suite trains on a folder of images, and what the page promises is there."""

import re
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from folders import folder, image
from harness import Result, cli, whole_records
from PIL import Image

PAGE = (Path(__file__).parents[3] / "docs" / "your-images.md").read_text(encoding="utf-8")
SUITE = re.search(r"^```toml my\.toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = re.findall(r"^(python -m bench .+?)(?:  #.*)?$", PAGE, re.MULTILINE)


FEW = 'metrics = ["rec_sse_test", "rec_sse_test_mean_code", "mean_image_sse_test", "frechet_pixels_qz"]'  # in a tenth of the time of all


def suite(path: Path, **changes: str) -> Path:
    """The page's suite in a folder, with other values of some keys, measured by few metrics."""
    assert SUITE is not None
    lines = [f"{key} = {changes[key]}" if (key := line.partition(" ")[0]) in changes else line for line in SUITE.group(1).splitlines()]
    (path / "my.toml").write_text("\n".join([FEW, *lines]) + "\n", encoding="utf-8")
    return path / "my.toml"


def every_command(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Result]:
    """The page's commands in their order, given in a folder."""
    monkeypatch.chdir(path)
    monkeypatch.delenv("LATENTBENCH_DATA", raising=False)
    results = []
    for command in COMMANDS[:4]:
        more = ["--jobs", 1, "--no-profile"] if command.endswith("--suite my.toml") else []
        results.append(cli(*command.split()[3:], *more))
        assert results[-1].code == 0, results[-1]
    return results


def test_the_suite_has_twelve_lines_and_three_methods() -> None:
    assert SUITE is not None
    lines = [line for line in SUITE.group(1).splitlines() if line]
    assert len(lines) <= 12
    assert sum(line.startswith("[methods.") for line in lines) == 3
    assert [command.split()[3] for command in COMMANDS[:4]] == ["data", "run", "run", "figures"]


def test_the_page_holds_on_images_made_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder(tmp_path / "photos", 80, (70, 80))
    suite(tmp_path, budget="{ steps = 3 }")
    checked, dry, _, _ = every_command(tmp_path, monkeypatch)
    assert checked.out.startswith("folder:photos: of your own, 64 + 16 images, sha256 ")
    assert "my: folder:photos, auto (conv), 32 latents; 3 runs on cpu" in dry.out
    records = whole_records(tmp_path)
    assert set(records) == {"ae/0", "vae_gauss/0", "wae_mmd/0"}
    for record in records.values():
        assert record["status"] == "done"
        assert record["config"]["network"] == "conv"
        assert record["config"]["dataset"] == "folder:photos"
        assert "central squares resized to 64x64" in record["config"]["convention"]
        assert len(record["trained_by"]["folder:photos"]) == 12
    board = (tmp_path / "leaderboards" / "my.md").read_text(encoding="utf-8")
    assert "network: conv (auto), latent size 32" in board
    sheet = Image.open(tmp_path / "leaderboards" / "figures" / "my-samples.png")
    assert np.asarray(sheet).std() > 10
    for record_file in tmp_path.glob("runs/my/*/*/record.json"):
        assert {"samples.png", "reconstructions.png"} <= {path.name for path in record_file.parent.iterdir()}


def test_a_changed_folder_trains_again_and_is_not_measured_with_old_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "photos", 40, (32, 32))
    file = suite(tmp_path, budget="{ steps = 2 }", batch_size="8")
    run = ("run", "--suite", file, "--methods", "ae", "--jobs", 1, "--no-profile")
    assert cli(*run).code == 0
    first = whole_records(tmp_path)["ae/0"]
    assert "stale" not in cli(*run).err
    image(500, (32, 32)).save(tmp_path / "photos" / "00.png")
    refused = cli("evaluate", file, "--jobs", 1)
    assert refused.code == 2
    assert "trained by other code: folder:photos changed: its weights may mean something else now; train this run again" in refused.err
    again = cli(*run)
    assert "ae: seed 0 stale, trained again: trained by other code: folder:photos changed" in again.err
    second = whole_records(tmp_path)["ae/0"]
    assert second["hashes"]["data"] != first["hashes"]["data"]
    assert second["key"] == first["key"]


def test_the_same_suite_elsewhere_is_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The path is the suite file's affair: whoever is where, keys are equal, and so is the command from another folder."""
    monkeypatch.chdir(tmp_path)
    keys = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        folder(tmp_path / name / "photos", 20, (32, 32))
        suite(tmp_path / name, budget="{ steps = 2 }", batch_size="8")
        keys.append(re.findall(r"[0-9a-f]{16}", cli("run", "--suite", f"{name}/my.toml", "--dry-run").out))
    assert len(keys[0]) == 3
    assert keys[0] == keys[1]


@pytest.mark.skipif(find_spec("skimage") is None, reason="needs scikit-image, whose photographs these are")
def test_the_page_holds_on_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import skimage

    photographs = Path(skimage.__file__).parent / "data"
    (tmp_path / "photos").mkdir()
    for name in ("astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg"):
        picture = Image.open(photographs / name).convert("RGB")
        for number in range(12):
            left, top = 20 * number, 10 * number
            picture.crop((left, top, left + 150, top + 120)).save(tmp_path / "photos" / f"{name[:-4]}_{number:02}.jpg")
    suite(tmp_path, budget="{ steps = 40 }", batch_size="16")
    every_command(tmp_path, monkeypatch)
    for record in whole_records(tmp_path).values():
        baseline = record["metrics"]["mean_image_sse_test"]["value"]
        assert record["metrics"]["rec_sse_test_mean_code"]["value"] < baseline  # it has learnt more than the mean photograph
