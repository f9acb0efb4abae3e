"""Transfer syntaxes: which are read, and their decoders.

imagecodecs (BSD) wraps the libraries that browsers and archives use: libjpeg-turbo, CharLS, OpenJPEG. It lets other
threads run while it decodes. An image's matrix is read from the compressed data before it is decoded, so that a
damaged file can't ask for absurd amounts of memory.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID

IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DEFLATED, BIG_ENDIAN = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
NATIVE = frozenset({IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN})
RLE = "1.2.840.10008.1.2.5"
_JPEG = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (50, 51, 57, 70))
_JPEG_LS = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (80, 81))
_JPEG_2000 = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (90, 91))
_HTJ2K = frozenset(f"1.2.840.10008.1.2.4.{n}" for n in (201, 202, 203))
COMPRESSED = frozenset({RLE}) | _JPEG | _JPEG_LS | _JPEG_2000 | _HTJ2K
_FRAMES = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}  # markers that begin a JPEG or JPEG-LS frame


@dataclass(frozen=True)
class Coded:
    """What compressed data says of its image: `signed` is None where its kind can't say (JPEG, JPEG-LS)."""

    rows: int
    columns: int
    components: int
    bits: int
    signed: bool | None = None


def syntax_words(syntax: str) -> str:
    """A transfer syntax for people."""
    name = str(UID(syntax).name)
    return f"{name} ({syntax})" if name != syntax else f"an unknown transfer syntax ({syntax})"


def describe(data: bytes, syntax: str) -> Coded:
    """Read the matrix and the precision of compressed data. Raises ValueError when there are none. Not for RLE."""
    if syntax in _JPEG_2000 | _HTJ2K:
        return _describe_jpeg2000(data)
    return _describe_jpeg(data)


def decode(data: bytes, syntax: str) -> NDArray[np.generic]:
    """(row, column) values as they are in the compressed data. Not for RLE, which needs to be told the matrix.

    Raises
    ------
    RuntimeError, ValueError and others of `DAMAGE` : damaged.
    """
    import imagecodecs  # slow to import, and not needed for uncompressed images

    if syntax in _JPEG:
        return np.asarray(imagecodecs.jpeg8_decode(data))
    if syntax in _JPEG_LS:
        return np.asarray(imagecodecs.jpegls_decode(data))
    # High-throughput JPEG 2000 too: imagecodecs' wrapper of OpenJPH swallows errors and crashes on damaged data.
    return np.asarray(imagecodecs.jpeg2k_decode(data))


def decode_rle(data: bytes, rows: int, columns: int, dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    """(row, column) of `dtype`. Raises one of `DAMAGE` when damaged."""
    import imagecodecs

    out = np.empty((rows, columns), dtype)
    decoded = imagecodecs.dicomrle_decode(data, dtype, out=out.data.cast("B"))
    if len(decoded) != out.nbytes:
        raise ValueError("too few pixels")
    return out


def _describe_jpeg(data: bytes) -> Coded:
    at = 2
    while at + 10 <= len(data) and data[:2] == b"\xff\xd8":
        if data[at] != 0xFF:
            break
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in _FRAMES:
            rows, columns = int.from_bytes(data[at + 5 : at + 7], "big"), int.from_bytes(data[at + 7 : at + 9], "big")
            return Coded(rows, columns, data[at + 9], data[at + 4])
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    raise ValueError("no JPEG frame")


def _describe_jpeg2000(data: bytes) -> Coded:
    # A codestream begins with SOC and SIZ; some writers put it into a JP2 file.
    at = 0 if data[:4] == b"\xff\x4f\xff\x51" else data.find(b"\xff\x4f\xff\x51")
    if at < 0 or len(data) < at + 43:
        raise ValueError("no JPEG 2000 codestream")
    x1, y1, x0, y0 = (int.from_bytes(data[at + i : at + i + 4], "big") for i in (8, 12, 16, 20))
    components, depth = int.from_bytes(data[at + 40 : at + 42], "big"), data[at + 42]
    return Coded(y1 - y0, x1 - x0, components, (depth & 0x7F) + 1, bool(depth & 0x80))
