"""docs/measure.md as a new user would try it: its commands, in order, in a folder of crops of scikit-image's photographs."""

import re
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pytest
from harness import Result, cli
from PIL import Image, ImageFilter
from small_images import folder_of

from bench.datasets.photographs import load_textures
from metrics.features import lite0

PAGE = Path(__file__).parents[3] / "docs" / "measure.md"
BLOCKS = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
COMMANDS = [line for block in BLOCKS for line in block.splitlines()]
MODEL = """
import torch.nn.functional as F

def encoder(x):
    return F.avg_pool2d(x, 16).flatten(1)

def decoder(z):
    return F.interpolate(z.reshape(-1, 3, 4, 4), scale_factor=16)
"""


def fill(folder: Path) -> None:
    """The folders that the page speaks of."""
    images = load_textures(Path()).test[::8].transpose(0, 2, 3, 1)
    photographs = folder_of(folder / "photographs", images)
    blurred = [np.asarray(Image.fromarray(image).filter(ImageFilter.GaussianBlur(1))) for image in images]
    folder_of(folder / "samples", np.stack(blurred))
    folder_of(folder / "reconstructions", images, "webp", quality=60)
    with zipfile.ZipFile(folder / "samples.zip", "w") as archive:
        for path in sorted((folder / "samples").iterdir()):
            archive.write(path, path.name)
    factors = np.random.RandomState(0).randint(0, 4, (300, 3))
    np.save(folder / "factors.npy", factors)
    np.save(folder / "codes.npy", factors + 0.1 * np.random.RandomState(1).randn(300, 3))
    (folder / "model.py").write_text(MODEL, encoding="utf-8")
    assert len(list(photographs.iterdir())) == len(images)


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Result]]:
    """The folder, and how every command ended."""
    folder = tmp_path_factory.mktemp("page")
    fill(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return folder, {line: cli(*shlex.split(line)[3:]) for line in COMMANDS if here(line)}


def here(line: str) -> bool:
    """Whether the command can run: the weights of lite0 are in a package that may be missing."""
    import importlib.util

    return "lite0" not in line or importlib.util.find_spec(lite0.PACKAGE) is not None


def test_every_command_of_the_page_runs(tried: tuple[Path, dict[str, Result]]) -> None:
    assert len(COMMANDS) >= 9
    assert all(line.startswith("python -m bench measure ") for line in COMMANDS)
    assert [(line, result.err) for line, result in tried[1].items() if result.code or result.err] == []


def test_what_they_say(tried: tuple[Path, dict[str, Result]]) -> None:
    folder, said = tried
    outs = {line: result.out for line, result in said.items()}
    first, paired, coded, explained = (outs[line] for line in (COMMANDS[0], COMMANDS[2], COMMANDS[4], COMMANDS[-1]))
    assert "frechet_pixels " in first
    for name in ("rec_sse", "psnr", "ssim"):
        assert re.search(rf"^{name} +[\d.]+ ± [\d.]+", paired, re.MULTILINE), name
    assert float(re.findall(r"^mig +([\d.]+)", coded, re.MULTILINE)[0]) > 0.8
    assert "1.05 is what frechet_pixels gives: both sides without the last batch of 16\n" in explained
    assert (folder / "measured.jsonl").read_text(encoding="utf-8").count("\n") == 1


def test_an_archive_is_its_folder(tried: tuple[Path, dict[str, Result]]) -> None:
    import json

    record = json.loads(next(result.out for line, result in tried[1].items() if line == COMMANDS[1]))
    found = re.findall(r"what: folder samples; 63 of 3×64×64; sha256 (\w+)", tried[1][COMMANDS[0]].out)
    assert [record["what"]["sha256"][:16]] == found
    assert record["what"]["kind"] == "archive"
