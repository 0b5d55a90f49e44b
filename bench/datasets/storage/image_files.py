"""Image files as 8-bit grey or colour: one rule for each of Pillow's modes, or a refusal.

1, L                       grey as it is; 1 bit is 0 and 255
P, PA                      the palette's colours
RGB, RGBX, CMYK, YCbCr, HSV    colour by Pillow's conversion; of 16-bit colour Pillow itself reads the upper byte
LA, La, RGBA, RGBa, and any that names a transparent value    without their alpha where every pixel is opaque; where one is not, laid
                           over white or black if the caller says which, else refused, for what shows through is not said
I;16 (also L, B, N), I     grey of 16 bits, value / 257 rounded, so that 65535 is 255; I beyond 0..65535 is refused, and so are TIFF's
                           values of other ranges that Pillow gives as these: 12 bits, signed ones, 0 for white
F, LAB, and any other      refused: which value is white is not said

An orientation in the file (EXIF) is applied. More than one frame is refused, but for MPO, a photograph with previews behind it; and so
is an image of more than MAX_PIXELS, before it is decoded. Only the kinds in FORMATS are opened: others, such as PostScript, would start
programs of their own.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, Literal, NamedTuple

import numpy as np
from PIL import Image, ImageOps, TiffImagePlugin, UnidentifiedImageError

from bench.errors import UserError

OPAQUE = 255
MAX_PIXELS = 2**26  # of one image: a file of a few kilobytes may claim any size
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000")
ORIENTATION = 0x0112  # EXIF's tag; 1 is upright, from 5 on width and height change places
BITS, PHOTOMETRIC, SAMPLES = 258, 262, 339  # tags of TIFF
GREY, COLOUR, SIXTEEN = ("1", "L"), ("RGB", "RGBX", "CMYK", "YCbCr", "HSV"), ("I;16", "I;16L", "I;16B", "I;16N", "I")


Flatten = Literal["white", "black"]


class Encoded(NamedTuple):
    """An image file's content, and what to call it in a message."""

    data: bytes
    where: str


class Header(NamedTuple):
    """What an image file says of itself before it is decoded."""

    size: tuple[int, int]  # width and height, upright
    grey: bool  # whether it is converted to mode L


class Decoded(NamedTuple):
    """An image of mode L or RGB, and what was done to it for that."""

    image: Image.Image
    conversions: tuple[str, ...]


@contextmanager
def opened(file: BinaryIO, size: int, where: str, again: str = "") -> Iterator[Image.Image]:
    """An image file, not yet decoded; UserError where it is none, is too large, or where what is done to it inside meets damage.

    size: of the file, bytes. again: where an undamaged file comes from, for the message.
    """
    way_out = f"; {again}" if again else ""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what Pillow warns of, what matters is refused below
            with Image.open(file, formats=FORMATS) as image:
                frames = getattr(image, "n_frames", 1)
                if frames > 1 and image.format != "MPO":
                    raise UserError(f"{where} has {frames} frames, an image has one{way_out}")
                if image.width * image.height > MAX_PIXELS:
                    raise UserError(f"{where} is {image.width:,} × {image.height:,} pixels, at most {MAX_PIXELS:,} are decoded{way_out}")
                yield image
    except (UserError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise UserError(f"{where} claims more pixels than the {MAX_PIXELS:,} that are decoded at most{way_out}") from None
    except UnidentifiedImageError:
        raise UserError(f"{where} is damaged ({size:,} bytes): none of {', '.join(FORMATS)}{way_out}") from None
    except Exception as error:  # each of Pillow's readers fails on damage in ways of its own
        raise UserError(f"{where} is damaged ({size:,} bytes): {' '.join(str(error).split()) or type(error).__name__}{way_out}") from None


def header(file: BinaryIO, size: int, where: str) -> Header:
    """Size and colour of an image file, of which only the beginning is read. Raises as `opened` does."""
    with opened(file, size, where) as image:
        width, height = image.size
        turned = image.getexif().get(ORIENTATION, 1) >= 5
        return Header((height, width) if turned else (width, height), image.mode in (*GREY, *SIXTEEN, "LA", "La"))


def decoded(image: Encoded, again: str = "", flatten: Flatten | None = None) -> Image.Image:
    """The image upright, of mode L or RGB; UserError names a file that is damaged or that no rule converts.

    again: where an undamaged file comes from, for the message. flatten: what shows through pixels that are not opaque.
    """
    return decoded_and_said(image, again, flatten).image


def decoded_and_said(image: Encoded, again: str = "", flatten: Flatten | None = None) -> Decoded:
    """The same, with the conversions that were made."""
    with opened(io.BytesIO(image.data), len(image.data), image.where, again) as file:
        check_range(file, image.where)
        turned = file.getexif().get(ORIENTATION, 1) not in (0, 1)
        upright = ImageOps.exif_transpose(file)
        upright.load()
    return Decoded(converted(upright, image.where, flatten), (*("turned as EXIF says",) * turned, *conversions(upright, flatten)))


def check_range(image: Image.Image, where: str) -> None:
    """UserError for a TIFF whose whole numbers are not 0 for black to 65535 for white: Pillow's modes do not say."""
    if image.mode not in SIXTEEN or not isinstance(image, TiffImagePlugin.TiffImageFile):
        return
    (bits, *_), tags = image.tag_v2.get(BITS, (1,)), image.tag_v2
    faults = {
        f"of {bits} bits": bits < 16,
        "of signed values": bits == 16 and tags.get(SAMPLES, (1,))[0] == 2,
        "whose 0 is white": tags.get(PHOTOMETRIC) == 0,
    }
    if found := [fault for fault, there in faults.items() if there]:
        raise UserError(f"{where} is a TIFF {found[0]}, grey of 16 bits from 0 for black expected; save it as 8-bit grey")


def conversions(image: Image.Image, flatten: Flatten | None) -> tuple[str, ...]:
    """What `converted` does to an image, in words."""
    found = []
    if image.mode in SIXTEEN:
        found.append("16 bits to 8")
    elif image.mode == "1":
        found.append("1 bit to 8")
    elif image.mode not in ("L", "LA", "La", "RGB", "RGBX", "RGBA", "RGBa"):
        found.append(f"{'palette' if image.mode in ('P', 'PA') else image.mode} to RGB")
    if image.has_transparency_data:
        found.append(f"laid over {flatten}" if flatten else "opaque alpha left out")
    return tuple(found)


def converted(image: Image.Image, where: str, flatten: Flatten | None = None) -> Image.Image:
    """By the rules above.   any mode -> L or RGB"""
    if image.mode in (*GREY, *SIXTEEN):
        grey = sixteen_bits(image, where) if image.mode in SIXTEEN else image.convert("L")
        return opaque(transparent_value(image, grey), where, grey=True, flatten=flatten) if image.has_transparency_data else grey
    if image.mode in COLOUR and not image.has_transparency_data:
        return image.convert("RGB")
    if image.mode in ("RGB", "P", "PA", "LA", "La", "RGBA", "RGBa"):
        whole = image.convert("LA") if image.mode == "La" else image.convert("RGBA")
        return opaque(whole, where, image.mode in ("LA", "La"), flatten)
    raise UserError(f"{where} is of Pillow's mode {image.mode}, which has no stated range; save it as 8-bit grey or colour")


def sixteen_bits(image: Image.Image, where: str) -> Image.Image:
    """Grey values 0..65535 as 0..255."""
    values = np.asarray(image).astype(np.int64)
    if values.min() < 0 or values.max() > 65535:
        raise UserError(f"{where} has values from {values.min()} to {values.max()}, 0 to 65535 expected; save it as 8-bit grey")
    return Image.fromarray(((values + 128) // 257).astype(np.uint8))


def transparent_value(image: Image.Image, grey: Image.Image) -> Image.Image:
    """A grey image with the alpha that the file means by naming one of its values transparent.   -> LA"""
    values = np.asarray(image.convert("L") if image.mode in GREY else image)
    alpha = np.where(values == image.info["transparency"], 0, OPAQUE).astype(np.uint8)
    return Image.merge("LA", (grey, Image.fromarray(alpha)))


def opaque(image: Image.Image, where: str, grey: bool, flatten: Flatten | None = None) -> Image.Image:
    """Without the alpha, which must be 255 everywhere or is laid over a colour; a grey image stays grey."""
    if flatten:
        image = Image.alpha_composite(Image.new("RGBA", image.size, flatten), image.convert("RGBA"))
    alpha = np.asarray(image)[..., -1]
    if (alpha < OPAQUE).any():
        raise UserError(f"{where} has {int((alpha < OPAQUE).sum()):,} pixels that are not opaque; save it without transparency")
    return image.convert("RGB").convert("L" if grey else "RGB")


def central_square(image: Image.Image) -> Image.Image:
    """The largest square in the middle; of an odd rest one more pixel is left out at the right or the bottom."""
    side = min(image.size)
    left, top = ((length - side) // 2 for length in image.size)
    return image.crop((left, top, left + side, top + side))
