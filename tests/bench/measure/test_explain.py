"""Known causes of numbers that cannot be reproduced, made with image files: `--explain` names each.

The number of someone else is that of a plain measurement of files which were really prepared in the other way.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from harness import cli
from PIL import Image
from small_images import folder_of, pictures

from bench.errors import UserError
from bench.measure.explain import claim_of, explain
from bench.measure.measure import Options, measure
from metrics.features import lite0

PIXELS = Options(networks=("pixels",))
N = 30
Change = Callable[[Image.Image], Image.Image]


def value(what: Path, against: Path, options: Options = PIXELS) -> float:
    """The Fréchet distance of a plain measurement."""
    found = measure(what, against, options=options)["metrics"]
    (name,) = [name for name in found if name in ("frechet_pixels", "frechet_lite0")]
    return float(found[name]["value"])


def giving(number: float, what: Path, against: Path, options: Options = PIXELS) -> list[str]:
    """The variants that give a number as it is reported, with four decimals."""
    _, found = explain(f"{number:.4f}", str(what), str(against), options)
    assert len({of.words for of in found}) == len(found)
    return [of.words for of in found if of.gives]


def changed(folder: Path, images: np.ndarray, change: Change, kind: str = "png", **options: object) -> Path:
    """A folder of images that were changed before they were written."""
    return folder_of(folder, [np.asarray(change(Image.fromarray(image))) for image in images], kind, **options)


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "samples", pictures(N, 1))


def middle(image: Image.Image) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((left, top, left + side, top + side))


def test_the_reference_was_cut_to_squares(samples: Path, tmp_path: Path) -> None:
    oblong = pictures(N, 2, 24, 37)
    cut = changed(tmp_path / "cut", oblong, middle)
    assert giving(value(samples, cut), samples, folder_of(tmp_path / "oblong", oblong)) == ["reference: the largest square in the middle"]


@pytest.mark.parametrize("by", ["bilinear", "lanczos", "box"])
def test_the_reference_was_resized_and_by_which_filter(samples: Path, tmp_path: Path, by: str) -> None:
    large = pictures(N, 2, 40)
    small = changed(tmp_path / "small", large, lambda image: image.resize((24, 24), Image.Resampling[by.upper()]))
    expected = [f"reference resized to the size of the measured images, {by}"]
    assert giving(value(samples, small), samples, folder_of(tmp_path / "large", large)) == expected


def test_cut_and_resized(samples: Path, tmp_path: Path) -> None:
    large = pictures(N, 2, 40, 52)
    small = changed(tmp_path / "small", large, lambda image: middle(image).resize((24, 24), Image.Resampling.BICUBIC))
    expected = ["reference resized to the size of the measured images, bicubic, after its largest square was cut out"]
    assert giving(value(samples, small), samples, folder_of(tmp_path / "large", large)) == expected


def test_files_went_through_jpeg(samples: Path, tmp_path: Path) -> None:
    originals = pictures(N, 2)
    reference, as_jpeg = folder_of(tmp_path / "png", originals), folder_of(tmp_path / "jpeg", originals, "jpg", quality=75)
    assert giving(value(samples, as_jpeg), samples, reference) == ["reference through JPEG of quality 75"]
    assert giving(value(as_jpeg, reference), reference, reference) == [
        "measured images through JPEG of quality 75",
        "reference through JPEG of quality 75",
    ]


def test_the_last_batch_was_dropped(tmp_path: Path) -> None:
    images, reference = pictures(70, 1), folder_of(tmp_path / "reference", pictures(70, 2))
    cut = folder_of(tmp_path / "cut", images[:64])
    found = giving(value(cut, reference), folder_of(tmp_path / "all", images), reference)
    assert found == ["measured images without the last batch of 16"] or found == ["measured images without the last batch of 64"]


def test_another_tool_resizes_to_the_networks_input_by_itself(samples: Path, tmp_path: Path) -> None:
    pytest.importorskip(lite0.PACKAGE)
    options, originals = Options(networks=("lite0",)), pictures(N, 2)
    sides = [
        changed(tmp_path / f"enlarged{i}", images, lambda image: image.resize((64, 64), Image.Resampling.BILINEAR))
        for i, images in enumerate((pictures(N, 1), originals))
    ]
    found = giving(value(*sides, options), samples, folder_of(tmp_path / "reference", originals), options)
    assert found == ["both sides resized to the network's 64×64 beforehand, bilinear"]


def test_another_split_was_the_reference(samples: Path, tmp_path: Path) -> None:
    for number, name in enumerate(("train", "test")):
        folder_of(tmp_path / "data" / name, pictures(N, 5 + number))
    train, test = tmp_path / "data" / "train", tmp_path / "data" / "test"
    assert giving(value(samples, train), samples, test) == [f"{train} as the reference"]
    assert giving(value(samples, test), samples, tmp_path / "data") == [f"{test} as the reference"]


def test_channels_were_reversed(samples: Path, tmp_path: Path) -> None:
    originals = pictures(N, 2)
    reference = folder_of(tmp_path / "reference", originals)
    reversed_ = folder_of(tmp_path / "reversed", originals[..., ::-1])
    assert giving(value(samples, reversed_), samples, reference) == [
        "measured images with the channels reversed",  # of pixels it makes no difference whose they are
        "reference with the channels reversed",
    ]


@pytest.mark.parametrize("n", [20, 200])  # fewer images than values of a row, and more
def test_covariances_were_divided_by_n(tmp_path: Path, n: int) -> None:
    images = [pictures(n, seed, 8) for seed in (1, 2)]
    what, against = (folder_of(tmp_path / str(i), of) for i, of in enumerate(images))
    rows = [of.reshape(n, 64, 3).transpose(0, 2, 1).reshape(n, -1) / 255 for of in images]
    covariances = [np.cov(of.T, bias=True) for of in rows]
    roots = np.sqrt(np.abs(np.linalg.eigvals(covariances[0] @ covariances[1]))).sum()
    expected = np.square(rows[0].mean(0) - rows[1].mean(0)).sum() + np.trace(sum(covariances)) - 2 * roots
    assert giving(float(expected), what, against) == ["covariances divided by N instead of N - 1"]


def test_a_number_that_nothing_gives_is_said_to_be_none(samples: Path, tmp_path: Path) -> None:
    reference = folder_of(tmp_path / "reference", pictures(N, 2))
    result = cli("measure", samples, "--against", reference, "--networks", "pixels", "--explain", "123.45")
    assert result.code == 1
    assert "no variant gives 123.45; nearest: " in result.out
    plain = value(samples, reference)
    result = cli("measure", samples, "--against", reference, "--networks", "pixels", "--explain", f"{plain:.2f}")
    assert result.code == 0
    assert f"{plain:.2f} is what frechet_pixels gives: as measured" in result.out


def test_a_number_is_given_by_what_rounds_to_it() -> None:
    claim = claim_of("1.50")
    assert [claim.given_by(found) for found in (1.494, 1.4951, 1.505, 1.5051)] == [False, True, True, False]
    assert claim_of("4e1").given_by(44.9)
    assert not claim_of("40").given_by(44.9)
    for text in ("", "four", "nan", "inf"):
        with pytest.raises(UserError, match=r"^--explain "):
            claim_of(text)
