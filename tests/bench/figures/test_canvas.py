"""The files that figures become: equal bytes, nothing of the user's settings, names as plain text, captions that fit."""

import io
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image
from planted_subjects import Law, images, subject

from bench.figures import canvas, kinds, scatter
from bench.figures.canvas import FORMATS, Format
from bench.figures.subject import Subject
from metrics.metric import Unavailable

CURVE = ({"step": 50, "autoencoder.loss": 4.0}, {"step": 100, "autoencoder.loss": 3.0})


def flat() -> Subject:
    """One of which every kind but those of hierarchies can be drawn."""
    test, labels = images(300, (1, 1, 2)), np.arange(300) % 10
    return subject(images(64, (1, 1, 2)), test, labels=labels, density=Law(2), log_variance=-2.0, curve=CURVE)


@pytest.mark.parametrize("name", [*(name for name in kinds.OF_RUNS if name != "layers"), kinds.ANIMATION])
def test_every_kind_is_drawn_and_drawn_again_is_equal(name: str) -> None:
    (one, first), (other, second) = (kinds.render(name, flat(), "png") for _ in range(2))
    assert one == other == ("gif" if name == kinds.ANIMATION else "png")
    assert first == second
    assert Image.open(io.BytesIO(first)).width > 30
    if one == "png":
        assert Image.open(io.BytesIO(first)).width == round(canvas.WIDTH * canvas.DPI)


def test_what_cannot_be_drawn_says_why() -> None:
    with pytest.raises(Unavailable, match="one level"):
        kinds.render("layers", flat(), "png")


@pytest.mark.parametrize("form", FORMATS)
def test_equal_bytes_whatever_the_users_settings_are(form: Format) -> None:
    _, plain = kinds.render("scatter", flat(), form)
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "svg.hashsalt": None, "savefig.dpi": 50}):
        _, again = kinds.render("scatter", flat(), form)
        assert matplotlib.rcParams["font.size"] == 20
    assert plain == again
    for trace in (b"Date", b"matplotlib v", b"Matplotlib v"):
        assert trace not in plain


def test_another_subject_has_other_bytes() -> None:
    other = subject(images(64, (1, 1, 2)), images(300, (1, 1, 2), seed=5))
    assert kinds.render("scatter", other, "png") != kinds.render("scatter", flat(), "png")


def test_formulas_and_tags_in_names_are_plain_text() -> None:
    name = "vae $\\frac{1}{2}$ <script>alert(1)</script> \\badmacro$"
    with canvas.style():
        matplotlib.rcParams["svg.fonttype"] = "none"  # letters as text, to be read here
        figure, (axes,) = canvas.of_plots(name)
        axes.plot([0, 1], label=name)
        canvas.legend(axes)
        content = canvas.save(figure, "svg")
    assert b"<script" not in content
    said = ["".join(part.itertext()).strip() for part in ElementTree.fromstring(content).iter("{http://www.w3.org/2000/svg}text")]
    assert said.count(name) == 2


def widest(figure: Figure) -> float:
    """Right end of the widest caption, as a share of the figure's width."""
    return float(max(text.get_window_extent().x1 for text in figure.texts) / figure.bbox.width)


def test_captions_fit_the_column_and_stand_below_the_axes() -> None:
    with canvas.style():
        long = "A caption with many WIDE WORDS in capitals MMMMMM, and others of ordinary width, again and again. " * 4
        figure, _ = canvas.of_plots(long)
        sheet = canvas.of_sheet(Image.new("RGB", (300, 90)), long, ["first", "second row"])
        drawn = scatter.draw(flat())
        for one in (figure, sheet, drawn):
            one.draw_without_rendering()
            assert widest(one) <= 1
            (caption,) = one.texts[:1]
            bottom = min(axes.get_tightbbox().y0 for axes in one.axes)
            assert caption.get_window_extent().y1 <= bottom + 1
            assert caption.get_window_extent().y0 >= 0


def test_rows_are_named_at_their_height_on_the_left() -> None:
    with canvas.style():
        figure = canvas.of_sheet(Image.new("RGB", (300, 90)), "Some.", ["first", "wae_mmd_rbf_median_WWWW"])
        figure.draw_without_rendering()
        (axes,) = figure.axes
        box = axes.get_window_extent()
        for text, middle in zip(axes.texts, (0.75, 0.25), strict=True):
            found = text.get_window_extent()
            assert 0 <= found.x0 < found.x1 <= box.x0
            assert (found.y0 + found.y1) / 2 == pytest.approx(box.y0 + middle * box.height, abs=3)
    assert box.height / box.width == pytest.approx(90 / 300, rel=0.01)
