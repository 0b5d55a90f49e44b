"""Image files of any kind that Pillow reads, as 8-bit grey or colour: one rule for each of Pillow's modes, or a refusal.

1, L                       grey as it is; 1 bit is 0 and 255
P, PA                      the palette's colours
RGB, RGBX, CMYK, YCbCr, HSV    colour by Pillow's conversion; of 16-bit colour Pillow itself reads the upper byte
LA, La, RGBA, RGBa, and palettes with transparency    without their alpha where every pixel is opaque; refused where one is not,
                           for what shows through is not said
I;16 (also L, B, N), I     grey of 16 bits, value / 257 rounded, so that 65535 is 255; I beyond 0..65535 is refused
F, LAB, and any other      refused: which value is white is not said

An orientation in the file (EXIF) is applied. More than one frame is refused, but for MPO, a photograph with previews behind it.
"""

import io
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

from bench.errors import UserError

OPAQUE = 255
GREY, COLOUR, SIXTEEN = ("1", "L"), ("RGB", "RGBX", "CMYK", "YCbCr", "HSV"), ("I;16", "I;16L", "I;16B", "I;16N", "I")


class Encoded(NamedTuple):
    """An image file's content, and what to call it in a message."""

    data: bytes
    where: str


def decoded(image: Encoded, again: str = "") -> Image.Image:
    """The image upright, of mode L or RGB; UserError names a file that is damaged or that no rule converts.

    again: where an undamaged file comes from, for the message.
    """
    way_out = f"; {again}" if again else ""
    try:
        with Image.open(io.BytesIO(image.data)) as opened:
            frames = getattr(opened, "n_frames", 1)
            if frames > 1 and opened.format != "MPO":
                raise UserError(f"{image.where} has {frames} frames, an image has one{way_out}")
            upright = ImageOps.exif_transpose(opened)
            upright.load()
    except (UserError, MemoryError):
        raise
    except Exception as error:  # each of Pillow's readers fails on damage in ways of its own
        raise UserError(f"{image.where} is damaged ({len(image.data):,} bytes): {' '.join(str(error).split())}{way_out}") from None
    return converted(upright, image.where)


def converted(image: Image.Image, where: str) -> Image.Image:
    """By the rules above.   any mode -> L or RGB"""
    if image.mode in SIXTEEN:
        return sixteen_bits(image, where)
    if image.mode in GREY:
        return image.convert("L")
    if image.mode in COLOUR and not image.has_transparency_data:
        return image.convert("RGB")
    if image.mode in ("RGB", "P", "PA", "LA", "La", "RGBA", "RGBa"):
        return opaque(image.convert("LA") if image.mode == "La" else image.convert("RGBA"), where, grey=image.mode in ("LA", "La"))
    raise UserError(f"{where} is of Pillow's mode {image.mode}, which has no stated range; save it as 8-bit grey or colour")


def sixteen_bits(image: Image.Image, where: str) -> Image.Image:
    """Grey values 0..65535 as 0..255."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise UserError(f"{where} has values from {values.min()} to {values.max()}, 0 to 65535 expected; save it as 8-bit grey")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def opaque(image: Image.Image, where: str, grey: bool) -> Image.Image:
    """Without the alpha, which must be 255 everywhere; a grey image stays grey."""
    alpha = np.asarray(image)[..., -1]
    if (alpha < OPAQUE).any():
        raise UserError(f"{where} has {int((alpha < OPAQUE).sum()):,} pixels that are not opaque; save it without transparency")
    return image.convert("RGB").convert("L" if grey else "RGB")
