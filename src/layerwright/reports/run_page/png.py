"""Pixels as a PNG file, by the standard library alone: the page needs no extra for its pictures."""

import struct
import zlib

from layerwright.reports.run_page.content import Picture

_COLOUR_TYPES = {1: 0, 3: 2}  # grey, and red, green, blue (PNG specification, 11.2.2)


def png_of(picture: Picture) -> bytes:
    """Return a picture as the bytes of a PNG file."""
    stride = picture.width * picture.channels
    rows = (
        b"\0" + picture.pixels[start : start + stride]  # 0: a row without a filter
        for start in range(0, stride * picture.height, stride)
    )
    head = struct.pack(
        ">IIBBBBB", picture.width, picture.height, 8, _COLOUR_TYPES[picture.channels], 0, 0, 0
    )
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(b"".join(rows), 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
