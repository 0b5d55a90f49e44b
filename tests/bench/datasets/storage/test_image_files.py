"""Image files of every mode that Pillow reads: the right values, or a line that names the file."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from bench.datasets.storage.image_files import Encoded, converted, decoded, decoded_and_said, header
from bench.errors import UserError

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
COLOURS = np.stack([RAMP, RAMP.T, 255 - RAMP], -1)


def file(image: Image.Image, kind: str = "PNG", **options: object) -> Encoded:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return Encoded(buffer.getvalue(), "folder/one.png")


def values(encoded: Encoded) -> np.ndarray:
    return np.asarray(decoded(encoded))


def test_grey_and_colour_come_as_they_are() -> None:
    np.testing.assert_array_equal(values(file(Image.fromarray(RAMP))), RAMP)
    np.testing.assert_array_equal(values(file(Image.fromarray(COLOURS))), COLOURS)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_rounded(kind: str) -> None:
    wide = np.array([[0, 128, 129, 257, 1000, 32767, 32896, 65407, 65408, 65535]], np.uint16)
    assert (
        values(file(Image.fromarray(wide), kind)).tolist()
        == [[round(v / 257) for v in wide[0].tolist()]]
        == [[0, 0, 1, 1, 4, 127, 128, 255, 255, 255]]
    )


def test_sixteen_bits_of_a_pgm_are_too() -> None:
    content = b"P5\n4 1\n65535\n" + struct.pack(">4H", 0, 257, 30000, 65535)
    assert values(Encoded(content, "x.pgm")).tolist() == [[0, 1, 117, 255]]


@pytest.mark.parametrize("mode", ["I;16", "I;16L", "I;16B"])
def test_whichever_byte_comes_first(mode: str) -> None:
    wide = np.array([[0, 257, 65535]], ">u2" if mode == "I;16B" else "<u2")
    image = Image.frombytes(mode, (3, 1), wide.tobytes())
    assert np.asarray(converted(image, "x")).tolist() == [[0, 1, 255]]


@pytest.mark.parametrize("value", [-1, 65536, 2**31 - 1])
def test_whole_numbers_beyond_sixteen_bits_are_refused(value: int) -> None:
    with pytest.raises(UserError, match=rf"^folder/one\.png has values from .*{value}.*0 to 65535 expected; save it as 8-bit grey$"):
        values(file(Image.fromarray(np.array([[0, value]], np.int32)), "TIFF"))


def tiff(data: bytes, bits: int, **tags: int) -> Encoded:
    """A row of four grey values as TIFF has them, little endian; tags by their numbers."""
    every = {256: 4, 257: 1, 258: bits, 259: 1, 262: 1, 277: 1, 278: 1, 279: len(data), **{int(tag[1:]): v for tag, v in tags.items()}}
    every[273] = 8 + 2 + 12 * (len(every) + 1) + 4  # where the values begin
    fields = b"".join(struct.pack("<HHII", tag, 4, 1, every[tag]) for tag in sorted(every))
    return Encoded(b"II*\0" + struct.pack("<IH", 8, len(every)) + fields + bytes(4) + data, "one.tif")


WIDE = struct.pack("<4H", 0, 257, 25700, 65535)


def test_grey_of_a_tiff_has_its_range_or_is_refused() -> None:
    """Pillow gives all of these as I;16 or I, whatever the file says of their range."""
    assert values(tiff(WIDE, 16)).tolist() == [[0, 1, 100, 255]]
    for encoded, fault in (
        (tiff(bytes([0x00, 0x03, 0xE8, 0x80, 0x0F, 0xFF]), 12), "of 12 bits"),
        (tiff(WIDE, 16, t262=0), "whose 0 is white"),
        (tiff(WIDE, 16, t339=2), "of signed values"),
    ):
        with pytest.raises(UserError, match=rf"^one\.tif is a TIFF {fault}, grey of 16 bits from 0 for black expected; save it as 8-bit"):
            values(encoded)
    assert values(tiff(bytes([0, 1, 100, 255]), 8, t262=0)).tolist() == [[255, 254, 155, 0]]


def png(width: int, bits: int, colour: int, row: bytes, transparent: bytes = b"") -> Encoded:
    """A row of pixels as PNG has them; transparent: the value that is to be seen through."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, 1, bits, colour, 0, 0, 0))
    parts = head + chunk(b"tRNS", transparent) * bool(transparent) + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    return Encoded(b"\x89PNG\r\n\x1a\n" + parts, "x.png")


def test_sixteen_bits_of_colour_lose_their_lower_byte() -> None:
    content = png(2, 16, 2, struct.pack(">6H", 0, 255, 256, 32768, 65280, 65535))
    assert values(content).tolist() == [[[0, 0, 1], [128, 255, 255]]]


@pytest.mark.parametrize(
    ("bits", "row", "seen", "unused"),
    [(1, bytes([0b01100000]), 1, None), (8, bytes([7, 100, 100, 255]), 100, 99), (16, WIDE[::-1], 257, 256)],
)
def test_a_grey_value_that_is_named_transparent_is_as_an_alpha(bits: int, row: bytes, seen: int, unused: int | None) -> None:
    with pytest.raises(UserError, match=r"^x\.png has [12] pixels that are not opaque; save it without transparency$"):
        values(png(4, bits, 0, row, struct.pack(">H", seen)))
    plain = values(png(4, bits, 0, row))
    if unused is not None:
        np.testing.assert_array_equal(values(png(4, bits, 0, row, struct.pack(">H", unused))), plain)
    laid = decoded(png(4, bits, 0, row, struct.pack(">H", seen)), flatten="white")
    assert laid.mode == "L"
    changed = np.asarray(laid) != plain
    assert np.asarray(laid)[changed].tolist() == ([255] * int(changed.sum()))
    assert changed.sum() == (0 if bits == 1 else 2 if bits == 8 else 1)


def test_one_bit_is_black_and_white() -> None:
    assert np.unique(values(file(Image.fromarray(RAMP > 99)))).tolist() == [0, 255]
    assert values(file(Image.fromarray(RAMP > 99)))[0, 0] == 0


def test_a_palette_is_its_colours() -> None:
    image = Image.fromarray(RAMP % 4)
    image = Image.frombytes("P", (16, 16), (RAMP % 4).tobytes())
    palette = [10, 20, 30, 200, 100, 0, 0, 0, 255, 7, 7, 7]
    image.putpalette(palette)
    for kind in ("PNG", "GIF", "BMP"):
        np.testing.assert_array_equal(values(file(image, kind)), np.array(palette, np.uint8).reshape(4, 3)[RAMP % 4])


@pytest.mark.parametrize("mode", ["LA", "RGBA", "PA"])
def test_an_alpha_that_hides_nothing_is_dropped(mode: str) -> None:
    expected = RAMP if mode == "LA" else COLOURS
    image = Image.fromarray(expected).convert("RGBA" if mode == "PA" else mode)
    found = decoded(file(image))
    assert found.mode == ("L" if mode == "LA" else "RGB")
    np.testing.assert_array_equal(np.asarray(found), expected)


def transparent(mode: str) -> Image.Image:
    image = Image.fromarray(RAMP if mode in ("L", "LA") else COLOURS).convert(mode)
    if mode in ("LA", "RGBA"):
        image.putpixel((3, 2), (9, 254) if mode == "LA" else (9, 9, 9, 0))
    return image


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_one_that_does_is_refused(mode: str) -> None:
    with pytest.raises(UserError, match=r"^folder/one\.png has 1 pixels that are not opaque; save it without transparency$"):
        values(file(transparent(mode)))


def test_transparent_colours_of_a_palette_and_of_colour_are_refused() -> None:
    palette = Image.frombytes("P", (16, 16), (RAMP % 4).tobytes())
    palette.putpalette([10, 20, 30, 200, 100, 0, 0, 0, 255, 7, 7, 7])
    with pytest.raises(UserError, match="has 64 pixels that are not opaque"):
        values(file(palette, "PNG", transparency=2))
    with pytest.raises(UserError, match="pixels that are not opaque"):
        values(file(Image.fromarray(COLOURS), "PNG", transparency=(0, 0, 255)))
    unused = np.broadcast_to(np.array([1, 2, 3], np.uint8), (4, 4, 3))
    np.testing.assert_array_equal(values(file(Image.fromarray(unused), "PNG", transparency=(0, 0, 255))), unused)


@pytest.mark.parametrize("mode", ["CMYK", "YCbCr"])
def test_print_and_television_colours_are_pillows_conversion(mode: str) -> None:
    image = Image.fromarray(COLOURS).convert(mode)
    np.testing.assert_array_equal(values(file(image, "TIFF")), np.asarray(image.convert("RGB")))
    assert decoded(file(image, "JPEG")).mode == "RGB"


@pytest.mark.parametrize("mode", ["F", "LAB"])
def test_modes_without_a_range_are_refused(mode: str) -> None:
    with pytest.raises(UserError, match=rf"^folder/one\.png is of Pillow's mode {mode}, which has no stated range; save it as 8-bit"):
        values(file(Image.new(mode, (4, 4)), "TIFF"))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_orientation_is_applied(orientation: int) -> None:
    image = Image.fromarray(COLOURS[:5])
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = decoded(file(image, "PNG", exif=exif))
    image.info["exif"] = exif.tobytes()
    again = Image.open(io.BytesIO(file(image, "PNG", exif=exif).data))
    np.testing.assert_array_equal(np.asarray(turned), np.asarray(ImageOps.exif_transpose(again)))
    assert turned.size == ((16, 5) if orientation < 5 else (5, 16))
    corner = {1: (0, 0), 2: (0, 15), 3: (4, 15), 4: (4, 0), 5: (0, 0), 6: (4, 0), 7: (4, 15), 8: (0, 15)}[orientation]
    np.testing.assert_array_equal(np.asarray(turned)[0, 0], COLOURS[corner])


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_several_frames_are_refused(kind: str) -> None:
    frames = [Image.fromarray(COLOURS), Image.fromarray(255 - COLOURS)]
    with pytest.raises(UserError, match=r"^folder/one\.png has 2 frames, an image has one; take it again$"):
        decoded(file(frames[0], kind, save_all=True, append_images=frames[1:]), "take it again")


DAMAGE = {
    "empty": lambda content: b"",
    "cut in its header": lambda content: content[:20],
    "cut in its values": lambda content: content[: 2 * len(content) // 3],
    "text": lambda content: b"<html>not found</html>",
    "zeros": lambda content: bytes(len(content)),
    "a signature and no more": lambda content: content[:8],
}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP", "BMP", "GIF", "PPM"])
@pytest.mark.parametrize("what", DAMAGE)
def test_a_damaged_file_is_named(kind: str, what: str) -> None:
    content = DAMAGE[what](file(Image.fromarray(COLOURS), kind).data)
    with pytest.raises(UserError, match=rf"^folder/one\.png is damaged \({len(content):,} bytes\): .+; from there$") as caught:
        decoded(Encoded(content, "folder/one.png"), "from there")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV", "I", "I;16", "I;16L", "I;16B", "I;16N"])
def test_a_mode_without_alpha_is_converted(mode: str) -> None:
    assert converted(Image.new(mode, (3, 2)), "x").mode in ("L", "RGB")


@pytest.mark.parametrize("mode", ["LA", "PA", "RGBA", "RGBa", "F", "LAB"])
def test_a_mode_whose_pixels_are_transparent_or_have_no_range_is_refused_by_name(mode: str) -> None:
    with pytest.raises(UserError, match=r"^x (has 6 pixels that are not opaque|is of Pillow's mode)"):
        converted(Image.new(mode, (3, 2)), "x")


def test_what_shows_through_may_be_said() -> None:
    image = transparent("RGBA")
    for colour, value in (("white", 255), ("black", 0)):
        found = np.asarray(decoded(file(image), flatten=colour))
        assert found[2, 3].tolist() == [value] * 3
        expected = COLOURS.copy()
        expected[2, 3] = value
        np.testing.assert_array_equal(found, expected)
        grey = decoded(file(transparent("LA")), flatten=colour)
        assert grey.mode == "L"
        np.testing.assert_array_equal(np.delete(np.asarray(grey), 2, 0), np.delete(RAMP, 2, 0))


@pytest.mark.parametrize("side", [9000, 50_000])
def test_an_image_that_claims_too_many_pixels_is_refused_before_it_is_decoded(side: int) -> None:
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts]
    with pytest.raises(UserError, match=r"^folder/one\.png (is 9,000 × 9,000 pixels, at most|claims more pixels than the) .*67,108,864"):
        decoded(Encoded(b"\x89PNG\r\n\x1a\n" + b"".join(chunks), "folder/one.png"))


def test_kinds_that_start_programs_are_not_opened() -> None:
    with pytest.raises(UserError, match=r"is damaged .*: none of PNG, JPEG, BMP"):
        decoded(file(Image.fromarray(COLOURS), "EPS"))


def test_conversions_are_said_and_headers_are_those_of_what_is_decoded() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    for image, options, made in (
        (Image.fromarray(RAMP), {}, ()),
        (Image.fromarray(COLOURS).convert("P"), {}, ("palette to RGB",)),
        (Image.fromarray(COLOURS).convert("RGBA"), {}, ("opaque alpha left out",)),
        (Image.fromarray(RAMP > 9), {}, ("1 bit to 8",)),
        (Image.fromarray(RAMP.astype(np.uint16)), {}, ("16 bits to 8",)),
        (Image.fromarray(COLOURS[:5]), {"exif": exif}, ("turned as EXIF says",)),
    ):
        encoded = file(image, "PNG", **options)
        found = decoded_and_said(encoded)
        assert found.conversions == made
        assert header(io.BytesIO(encoded.data), len(encoded.data), "x") == (found.image.size, found.image.mode == "L")


def test_no_other_module_reads_image_files() -> None:
    """A second reader would have rules of its own."""
    root = Path(__file__).parents[4]
    readers = [path for path in (root / "bench").rglob("*.py") if "Image.open(" in path.read_text(encoding="utf-8")]
    assert [path.name for path in readers] == ["image_files.py"]
