"""The docs' pictures lose no pixel where a page has no more colours than a palette (tests/screenshots/small_png.py)."""

import random
import struct
import zlib

import pytest

from tests.screenshots.small_png import SIGNATURE, _chunk, _paeth, _unfiltered, smaller


def png(width, height, filtered, *, kind):
    header = struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0)
    return SIGNATURE + b"".join(
        _chunk(name, body) for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(filtered)), (b"IEND", b""))
    )


def filtered_by(number, rows, *, size):
    """The rows as PNG's filter of this number writes them."""
    above, written = bytes(len(rows[0])), b""
    for row in rows:
        left = bytes(size) + row[:-size]
        corner = bytes(size) + above[:-size]
        guesses = {
            0: [0] * len(row),
            1: left,
            2: above,
            3: [(a + b) // 2 for a, b in zip(left, above, strict=True)],
            4: [_paeth(a, b, c) for a, b, c in zip(left, above, corner, strict=True)],
        }
        written += bytes([number]) + bytes((byte - guess) & 255 for byte, guess in zip(row, guesses[number], strict=True))
        above = row
    return written


def colours_of(picture):
    """What a reader sees of an indexed picture."""
    width, height = struct.unpack(">II", picture[16:24])
    palette_at, data_at = picture.index(b"PLTE"), picture.index(b"IDAT")
    palette = picture[palette_at + 4 : palette_at + 4 + struct.unpack(">I", picture[palette_at - 4 : palette_at])[0]]
    raw = zlib.decompress(picture[data_at + 4 : data_at + 4 + struct.unpack(">I", picture[data_at - 4 : data_at])[0]])
    numbers = [raw[y * (width + 1) + 1 + x] for y in range(height) for x in range(width)]
    return [tuple(palette[3 * number : 3 * number + 3]) for number in numbers]


@pytest.mark.parametrize("size", [3, 4])
@pytest.mark.parametrize("number", range(5))
def test_every_pixel_is_the_same_whatever_filter_wrote_it(number, size):
    dice = random.Random(number)
    few = [tuple(dice.randrange(256) for _ in range(3)) for _ in range(9)]
    pixels = [dice.choice(few) for _ in range(7 * 5)]
    rows = [bytes(byte for pixel in pixels[y * 7 : y * 7 + 7] for byte in (*pixel, 255)[:size]) for y in range(5)]

    picture = smaller(png(7, 5, filtered_by(number, rows, size=size), kind={3: 2, 4: 6}[size]))

    assert colours_of(picture) == pixels


def test_of_more_colours_than_there_is_room_for_the_nearest_is_taken():
    pixels = [(number % 256, number // 256, 0) for number in range(300)]
    row = bytes(byte for pixel in pixels for byte in pixel)

    shown = colours_of(smaller(png(300, 1, b"\x00" + row, kind=2)))

    assert len({*shown}) == 256
    assert max(sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) for one, other in zip(pixels, shown, strict=True)) <= 2
    assert _unfiltered(b"\x00" + row, width=300, height=1, size=3) == pixels
