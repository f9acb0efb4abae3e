"""The stored values of one slice: read, decompressed, cut to the bits that count. Nothing here knows of HU."""

from __future__ import annotations

import hashlib
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.archives import fingerprint
from contourdesk.app.dicom_headers import DAMAGE, Header, required, tag_words
from contourdesk.app.dicom_places import Pixels
from contourdesk.app.dicom_syntaxes import RLE, decode, decode_rle, describe, syntax_words
from contourdesk.app.errors import UserError

COPY_AGAIN = "Export or copy the series again."
_MOST_PIXELS = 1 << 28
_DESCRIBED_BY = ("SamplesPerPixel", "BitsAllocated", "BitsStored", "PixelRepresentation")
_GREY = ("MONOCHROME1", "MONOCHROME2")  # they differ in how pixels are shown, not in what they mean


def unclear_pixels(header: Header) -> str:
    """What of an image's pixels isn't told, in words that follow its name; empty when all is."""
    reason = required(header, [(keyword, 1) for keyword in _DESCRIBED_BY])
    if reason:
        return reason
    kind, sign = header.text("PhotometricInterpretation"), header.number("PixelRepresentation", -1)
    if kind not in _GREY:
        what = f"has {kind!r} as" if kind else "lacks"
        return f"{what} {tag_words('PhotometricInterpretation')}; CT images are shades of grey"
    if sign not in (0, 1):
        return f"has {sign:g} as {tag_words('PixelRepresentation')}, which is neither signed nor unsigned"
    return ""


def open_pixels(header: Header) -> BinaryIO:
    """Open a slice's file.

    Raises
    ------
    UserError : it is gone, may not be read, or isn't what it was when its header was read.
    """
    pixels = _pixels(header)
    try:
        if fingerprint(header.path) != pixels.fingerprint:
            raise UserError(f"{header.path.name} has changed since the folder was read.", "Open the folder again.")
        return pixels.open(header.path)
    except DAMAGE as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise UserError(f"{header.path.name} can't be read ({reason}).", COPY_AGAIN) from error


def read_stored(header: Header, stream: BinaryIO) -> NDArray[np.generic]:
    """Stored values, (row, column), signed or not as the header says; high bits that don't count are cleared.

    Parameters
    ----------
    stream : of `open_pixels`; for frames of one file it may be used again.

    Raises
    ------
    UserError : cut short, damaged, or not the image that the header describes.
    """
    pixels = _pixels(header)
    rows, columns, allocated, stored, high, signed = _format(header)
    if rows * columns > _MOST_PIXELS:
        raise UserError(f"{header.name} claims an absurd size of {rows} × {columns} pixels.", COPY_AGAIN)
    try:
        if pixels.fragments is None:
            values = _native(header, stream, pixels, (rows, columns, allocated))
        else:
            values, stored, high = _compressed(header, pixels, stream, (rows, columns, allocated, stored, high, signed))
    except DAMAGE as error:
        raise UserError(f"The pixels of {header.name} can't be read; it may be cut short.", COPY_AGAIN) from error
    return _only_stored_bits(values, stored, high, signed)


def pixel_digest(header: Header) -> bytes:
    """Hash of a slice's values and of what turns them into HU; two slices that agree in it are copies.

    Raises UserError like `read_stored`.
    """
    with open_pixels(header) as stream:
        values = read_stored(header, stream)
    digest = hashlib.sha256(values.astype(np.int64).tobytes())
    for keyword in ("RescaleSlope", "RescaleIntercept"):
        digest.update(str(header.numbers(keyword, 1)).encode())
    return digest.digest()


def _pixels(header: Header) -> Pixels:
    if header.pixels is None:
        raise UserError(f"{header.name} holds no pixels; it may be cut short.", COPY_AGAIN)
    return header.pixels


def _format(header: Header) -> tuple[int, int, int, int, int, bool]:
    """Rows, columns, bits allocated, bits stored, highest bit, signed."""
    rows, columns = (int(header.number(k, 0)) for k in ("Rows", "Columns"))
    if reason := unclear_pixels(header):
        raise UserError(f"{header.name} {reason}.", COPY_AGAIN)
    allocated, stored = (int(header.number(k, 0)) for k in ("BitsAllocated", "BitsStored"))
    high = int(header.number("HighBit", stored - 1))
    if allocated not in (8, 16, 32):
        raise UserError(
            f"{header.name} has {allocated} bits for a pixel in {tag_words('BitsAllocated')}; 8, 16 or 32 can be read.",
            COPY_AGAIN,
        )
    if not 0 < stored <= high + 1 <= allocated or header.number("SamplesPerPixel", 0) != 1:
        raise UserError(
            f"The pixels of {header.name} make no sense: {header.number('SamplesPerPixel', 0):g} samples of {stored} "
            f"bits up to bit {high} in {allocated}.",
            COPY_AGAIN,
        )
    return rows, columns, allocated, stored, high, header.number("PixelRepresentation", 0) == 1


def _native(header: Header, stream: BinaryIO, pixels: Pixels, form: tuple[int, int, int]) -> NDArray[np.generic]:
    rows, columns, allocated = form
    order = "<" if pixels.encoding.little else ">"
    if allocated == 8 and order == ">" and pixels.vr != b"OB":
        raise UserError(f"{header.name} has 8-bit pixels in big-endian words, which can't be read.", COPY_AGAIN)
    kind = np.dtype(f"{order}u{allocated // 8}")
    values = np.empty((rows, columns), kind)
    stream.seek(pixels.start + max(0, header.frame - 1) * values.nbytes)
    if stream.readinto(values.data.cast("B")) < values.nbytes:  # type: ignore[attr-defined]
        raise EOFError("the file ends in the pixels")
    return values if values.dtype.isnative else values.astype(kind.newbyteorder("="))


def _compressed(
    header: Header, pixels: Pixels, stream: BinaryIO, form: tuple[int, int, int, int, int, bool]
) -> tuple[NDArray[np.generic], int, int]:
    """Values as unsigned of the allocated bits, how many bits count and which is the highest."""
    rows, columns, allocated, stored, high, signed = form
    frames = int(header.number("NumberOfFrames", 1)) if header.frame else 1
    data = bytearray()
    for start, length in pixels.frame_fragments(max(1, header.frame), frames):
        stream.seek(start)
        piece = stream.read(length)
        if len(piece) < length:
            raise EOFError("the file ends in the pixels")
        data += piece
    kind = np.dtype(f"u{allocated // 8}")
    if pixels.syntax == RLE:
        return decode_rle(bytes(data), rows, columns, kind), stored, high
    coded = describe(bytes(data[: 1 << 20]), pixels.syntax)
    if (coded.rows, coded.columns, coded.components) != (rows, columns, 1):
        raise UserError(
            f"{header.name} holds a compressed image of {coded.rows} × {coded.columns} × {coded.components} pixels "
            f"where its header has {rows} × {columns}.",
            COPY_AGAIN,
        )
    values = decode(bytes(data), pixels.syntax)
    if values.shape != (rows, columns) or coded.bits > allocated:
        raise ValueError("not the image that its header describes")
    if coded.signed and not signed and int(values.min()) < 0:
        raise UserError(
            f"{header.name} says that its values are unsigned, but its {syntax_words(pixels.syntax)} data is signed.",
            COPY_AGAIN,
        )
    # Kinds that can't say that they are signed hold the bits alone; so does JPEG 2000 where it says unsigned.
    bits = coded.bits if coded.signed else min(stored, coded.bits)
    return values.astype(kind), bits, bits - 1


def _only_stored_bits(values: NDArray[np.generic], stored: int, high: int, signed: bool) -> NDArray[np.generic]:
    """Unsigned values to what the bits from `high` down mean, `stored` of them."""
    allocated = values.dtype.itemsize * 8
    out = values.view(f"{'i' if signed else 'u'}{allocated // 8}")
    if stored < allocated:
        out = np.ascontiguousarray(out)
        np.left_shift(out, allocated - 1 - high, out=out)
        np.right_shift(out, allocated - stored, out=out)
    return out
