"""The paper that figures are drawn on: one column of a page wide, colours that colour-blind readers tell apart, a caption, equal bytes.

Colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/). Whatever names a figure shows are plain text: a formula or a
tag in one does nothing. matplotlib is imported here and in the kinds of figures alone; a training process never loads it.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.image import imread
from matplotlib.textpath import text_to_path
from matplotlib.ticker import FuncFormatter, NullFormatter
from PIL import Image

from bench.figures import pictures

Format = Literal["png", "pdf", "svg"]
FORMATS: tuple[Format, ...] = ("png", "pdf", "svg")
WIDTH, DPI = 3.4, 300  # inches of a column, pixels an inch
COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#000000")  # without their yellow: too pale on white
MARKERS = "o^sDvP"  # one for each seven classes
DASHES = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))  # of lines, one for each seven
SMALL, LINE = 6, 7.6  # points: a letter, a line of the caption
PAD = 0.04  # inches
STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib
    "font.size": SMALL,
    "axes.titlesize": SMALL,
    "axes.labelsize": SMALL,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL - 0.5,
    "lines.linewidth": 0.9,
    "axes.linewidth": 0.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.hashsalt": "latentbench",  # else identifiers in SVG are random
    "pdf.fonttype": 42,
    "text.parse_math": False,
}
NO_DATES: dict[Format, dict[str, None]] = {  # nor versions: equal input gives equal bytes
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None},
}


@contextmanager
def style() -> Iterator[None]:
    """matplotlib's own defaults with STYLE, whatever the user's settings are, which come back afterwards."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)
        yield


def colour(number: int) -> tuple[str, str]:
    """Colour and marker of a class: no two of the first 42 have both."""
    return COLOURS[number % len(COLOURS)], MARKERS[number // len(COLOURS) % len(MARKERS)]


def stroke(number: int) -> dict[str, Any]:
    """Colour and dashes of a line: no two of the first 42 have both."""
    return {"color": COLOURS[number % len(COLOURS)], "linestyle": DASHES[number // len(COLOURS) % len(DASHES)]}


def text_width(text: str) -> float:
    """Points that a line takes."""
    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=SMALL), ismath=False)
    return float(width)


def wrapped(caption: str) -> list[str]:
    """The caption's lines, as long as the column allows."""
    room, lines = 72 * (WIDTH - 2 * PAD) * 0.98, [""]  # points; letters on pixels are up to a hundredth wider
    for word in caption.split():
        longer = f"{lines[-1]} {word}".strip()
        lines = [*lines[:-1], longer] if text_width(longer) <= room or not lines[-1] else [*lines, word]
    return lines


def write_caption(figure: Figure, caption: str) -> None:
    """At the bottom, on the left."""
    height = figure.get_figheight()
    figure.text(PAD / figure.get_figwidth(), PAD / height, "\n".join(wrapped(caption)), va="bottom", ha="left", linespacing=1.15)


def caption_height(caption: str) -> float:
    """Inches that it takes, with room around it."""
    return len(wrapped(caption)) * LINE / 72 + 3 * PAD


def of_plots(caption: str, rows: int = 1, columns: int = 1, height: float = 1.6, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure of rows of plots, each row so many inches high, above its caption; and the axes, row by row."""
    below = caption_height(caption)
    whole = rows * height + below
    figure = Figure(figsize=(WIDTH, whole), dpi=DPI)
    figure.set_layout_engine("constrained", rect=(0, below / whole, 1, 1 - below / whole), w_pad=0.02, h_pad=0.02, wspace=0.02)
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    write_caption(figure, caption)
    return figure, list(axes.flat)


def of_sheet(sheet: Image.Image, caption: str, rows: Sequence[str] = ()) -> Figure:
    """A sheet of images above its caption, as wide as the column; rows: names of its rows."""
    left = PAD + max(map(text_width, rows), default=0) * 1.02 / 72 + PAD * bool(rows)
    room = int((WIDTH - left - PAD) * DPI)
    scale = room / sheet.width
    width, height = (side * scale / DPI for side in sheet.size)
    below = caption_height(caption)
    whole = height + below + PAD
    figure = Figure(figsize=(WIDTH, whole), dpi=DPI)
    axes = figure.add_axes((left / WIDTH, below / whole, width / WIDTH, height / whole))
    axes.imshow(np.asarray(sheet), interpolation="nearest" if scale >= 1 else "antialiased", aspect="auto")
    axes.set_axis_off()
    for number, name in enumerate(rows):
        axes.text(-PAD / width, 1 - (number + 0.5) / len(rows), name, transform=axes.transAxes, ha="right", va="center")
    write_caption(figure, caption)
    return figure


def plain(axis: Axis) -> None:
    """Numbers of a logarithmic axis as they are; matplotlib writes them as formulas, which are text here."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def legend(axes: Axes, **options: Any) -> None:
    """Without a frame; letters as they are."""
    axes.legend(frameon=False, handlelength=1.2, handletextpad=0.4, columnspacing=0.8, borderaxespad=0.2, labelspacing=0.25, **options)


def save(figure: Figure, form: Format) -> bytes:
    """The figure as a file of that form: equal bytes for equal figures."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, dpi=DPI, metadata=NO_DATES[form])
    if form != "png":
        return buffer.getvalue()
    buffer.seek(0)
    pixels = np.rint(255 * imread(buffer, format="png")[:, :, :3]).astype(np.uint8)  # nothing is transparent
    picture = Image.fromarray(pixels)  # grey ones take a third of the room
    return pictures.png(picture.convert("L") if grey([picture]) else picture)


def animation(frames: Sequence[Image.Image], milliseconds: int) -> bytes:
    """Frames as a GIF that repeats."""
    buffer = io.BytesIO()
    first, *others = (frame.convert("L") for frame in frames) if grey(frames) else frames
    first.save(buffer, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0)
    return buffer.getvalue()


def grey(frames: Sequence[Image.Image]) -> bool:
    """Whether no frame has a colour: a GIF then has every shade."""
    arrays = [np.asarray(frame) for frame in frames]
    return all((array == array[..., :1]).all() for array in arrays)
