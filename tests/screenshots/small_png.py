"""A screenshot as a picture with 256 colours: a page has hardly more, and the file is a third as large."""

import struct
import zlib
from collections import Counter

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOURS = 256


def smaller(png: bytes) -> bytes:
    """Of an 8-bit picture in RGB or RGBA, as Chromium makes them; what is seen through is lost."""
    width, height, pixels = _pixels(png)
    palette, index = _palette(pixels)
    rows = bytearray()
    for y in range(height):
        rows.append(0)
        rows.extend(map(index.__getitem__, pixels[y * width : (y + 1) * width]))
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    colours = b"".join(bytes(each) for each in palette)
    chunks = ((b"IHDR", header), (b"PLTE", colours), (b"IDAT", zlib.compress(bytes(rows), 9)), (b"IEND", b""))
    return SIGNATURE + b"".join(_chunk(kind, body) for kind, body in chunks)


def _palette(pixels: list[tuple[int, int, int]]) -> tuple[list[tuple[int, int, int]], dict[tuple[int, int, int], int]]:
    """The commonest colours, and for every colour the number of the nearest of them."""
    counted = Counter(pixels)
    palette = [colour for colour, _ in counted.most_common(COLOURS)]
    index = {colour: number for number, colour in enumerate(palette)}
    for colour in counted.keys() - index.keys():
        index[colour] = min(range(len(palette)), key=lambda number: sum((a - b) ** 2 for a, b in zip(colour, palette[number], strict=True)))
    return palette, index


def _pixels(png: bytes) -> tuple[int, int, list[tuple[int, int, int]]]:
    width, height, depth, kind = struct.unpack(">IIBB", png[16:26])
    assert png.startswith(SIGNATURE)
    assert depth == 8
    assert kind in {2, 6}, kind
    size = 3 if kind == 2 else 4
    data, at = b"", len(SIGNATURE)
    while at < len(png):
        length, name = struct.unpack(">I4s", png[at : at + 8])
        data += png[at + 8 : at + 8 + length] if name == b"IDAT" else b""
        at += 12 + length
    return width, height, _unfiltered(zlib.decompress(data), width=width, height=height, size=size)


def _unfiltered(raw: bytes, *, width: int, height: int, size: int) -> list[tuple[int, int, int]]:
    """PNG §9: each row says how it is told by the pixels before and above."""
    stride, above, pixels = width * size, bytearray(width * size), []
    for y in range(height):
        start = y * (stride + 1)
        kind, row = raw[start], bytearray(raw[start + 1 : start + 1 + stride])
        for x in range(stride) if kind else ():
            left, up = row[x - size] if x >= size else 0, above[x]
            if kind == 1:
                row[x] = (row[x] + left) & 255
            elif kind == 2:
                row[x] = (row[x] + up) & 255
            elif kind == 3:
                row[x] = (row[x] + (left + up) // 2) & 255
            else:
                row[x] = (row[x] + _paeth(left, up, above[x - size] if x >= size else 0)) & 255
        above = row
        pixels.extend(zip(row[0::size], row[1::size], row[2::size], strict=True))
    return pixels


def _paeth(left: int, up: int, corner: int) -> int:
    guess = left + up - corner
    nearest = min((abs(guess - left), 0), (abs(guess - up), 1), (abs(guess - corner), 2))[1]
    return (left, up, corner)[nearest]


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
