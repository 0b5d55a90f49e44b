"""docs/datasets.md is what the registry says, and pictures show the images of the set."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.docs.datasets_page import HEAD, PAGE, PICTURES, SHOWN, card, page, picture
from bench.registry import catalogue

DOCS = Path(__file__).parents[3] / "docs"
SOURCES = [source for _, source in sorted(catalogue().datasets.items())]


def test_the_page_is_what_the_registry_says() -> None:
    assert (DOCS / PAGE).read_text(encoding="utf-8") == page(SOURCES, DOCS), "write it: python -m bench.docs.datasets_page docs"


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: source.name)
def test_a_card_says_counts_shape_range_split_licence_and_convention(source: object, tmp_path: Path) -> None:
    text = card(source, tmp_path)  # type: ignore[arg-type]
    for fact in (source.name, source.convention, source.licence, source.url, source.kind):  # type: ignore[attr-defined]
        assert fact in text
    assert all(f"{count:,} {split}" in text for split, count in source.counts.items())  # type: ignore[attr-defined]
    assert "![" not in text
    assert text not in HEAD


def test_what_needs_no_files_has_a_picture() -> None:
    for source in SOURCES:
        if not source.files and source.counts["train"] <= 200_000:
            assert (DOCS / PICTURES / f"{source.name}.png").exists(), source.name


def test_a_picture_shows_training_images_of_the_whole_split(tmp_path: Path) -> None:
    digits = catalogue().get("dataset", "digits")
    drawn = picture(digits, tmp_path)
    assert drawn is not None
    pixels = np.asarray(Image.open(io.BytesIO(drawn)))
    images, factor = digits.load(tmp_path).train, 4  # 8 pixels enlarged to 32
    rows = np.linspace(0, len(images) - 1, SHOWN).astype(int)
    last = pixels[1 + 33 : 1 + 33 + 32, 1 + 9 * 33 : 1 + 9 * 33 + 32, 0][::factor, ::factor]
    np.testing.assert_array_equal(last, np.round(images[rows[-1], 0] / 16 * 255))


def test_files_that_are_missing_are_no_picture(tmp_path: Path) -> None:
    assert picture(catalogue().get("dataset", "mnist"), tmp_path) is None
    assert picture(catalogue().get("dataset", "dsprites_render"), tmp_path) is None
