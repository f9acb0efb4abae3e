"""Where the pixels are in a DICOM file."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from contourdesk.app.archives import inflated, open_binary
from contourdesk.app.dicom_elements import PIXELS, CutShort, Encoding, Place, Window
from contourdesk.app.dicom_syntaxes import COMPRESSED, NATIVE, syntax_words

MOST_INFLATED = 4 << 30  # bytes; an element can't be longer
_ITEM = 0xFFFEE000
_SEQUENCE_END = 0xFFFEE0DD


@dataclass(frozen=True)
class Pixels:
    """Where a file's pixels are, and how they are written.

    Parameters
    ----------
    syntax : transfer syntax UID.
    start, length : of the value in the file, or in what the file holds deflated from byte `deflated_from` on.
    length_there : bytes of them that the file has.
    vr : OB or OW, empty where the file doesn't say.
    encoding, dataset_start : how the dataset is written and where it begins.
    fingerprint : of the file when it was read, see `archives.fingerprint`.
    fragments : (first byte, length) of the pieces of compressed pixels, the offset table not among them; None for
        pixels that aren't compressed.
    offsets : where frames begin, as the basic offset table says; empty when it doesn't.
    """

    syntax: str
    start: int
    length: int
    length_there: int
    vr: bytes
    encoding: Encoding
    dataset_start: int
    fingerprint: tuple[int, int]
    deflated_from: int = 0
    fragments: tuple[tuple[int, int], ...] | None = None
    offsets: tuple[int, ...] = ()

    def open(self, path: Path) -> BinaryIO:
        """The stream in which all these bytes count. Raises OSError."""
        stream = open_binary(path)
        if self.deflated_from:
            return inflated(stream, self.deflated_from, self.fingerprint[0], MOST_INFLATED)
        return stream

    def frame_fragments(self, number: int, count: int) -> tuple[tuple[int, int], ...]:
        """Pieces of frame `number` of `count`, counted from 1.

        Raises
        ------
        ValueError : it can't be told which pieces belong to which frame.
        """
        pieces = self.fragments or ()
        if count == 1:
            return pieces
        if len(pieces) == count:
            return pieces[number - 1 : number]
        if len(self.offsets) != count or not pieces:
            raise ValueError("more or fewer pieces than frames, and no offset table")
        first = pieces[0][0] - 8
        begins = [start - 8 - first for start, _ in pieces]
        here = begins.index(self.offsets[number - 1])
        after = begins.index(self.offsets[number]) if number < count else len(pieces)
        if after <= here:
            raise ValueError("an offset table out of order")
        return pieces[here:after]


def locate(
    window: Window, place: Place, syntax: str, encoding: Encoding, mark: tuple[int, int], at: int, deflated_from: int
) -> Pixels | str:
    """Where the pixels are, or why they can't be read, in words that follow the file's name.

    Parameters
    ----------
    place : of the pixels' element;  at : where the dataset begins;  mark : the file's fingerprint.
    """
    if place.tag != PIXELS[-1]:
        return "holds floating-point pixels, which no CT image has"
    if syntax not in NATIVE | COMPRESSED:
        return f"holds pixels stored as {syntax_words(syntax)}, which can't be read"
    end = window.size if place.end < 0 else place.end
    pixels = Pixels(
        syntax, place.start, end - place.start, min(end, window.size) - place.start, place.vr, encoding, at, mark,
        deflated_from,
    )  # fmt: skip
    if syntax in NATIVE:
        return pixels if place.end >= 0 else "is damaged: its pixels have no length although they aren't compressed"
    try:
        table, *fragments = _pieces(window, place.start, min(end, window.size))
    except (CutShort, ValueError):
        return "is cut short or damaged: its compressed pixels end too early"
    if not fragments:
        return "is cut short: it holds no pixels"
    offsets = window.value(Place(0, b"", table[0], sum(table)))
    numbers = tuple(int.from_bytes(offsets[i : i + 4], "little") for i in range(0, len(offsets) - 3, 4))
    return replace(pixels, fragments=tuple(fragments), offsets=numbers)


def _pieces(window: Window, at: int, end: int) -> list[tuple[int, int]]:
    """(first byte, length) of each item of compressed pixels, the offset table's first. Raises CutShort."""
    out: list[tuple[int, int]] = []
    while True:
        i = window.index(at, 8)
        head = window.data[i : i + 8]
        if len(head) < 8 or at + 8 > end:
            if out and at >= end:  # without the mark of the end, but whole
                return out
            raise CutShort("no end of the pixels")
        tag = int.from_bytes(head[:2], "little") << 16 | int.from_bytes(head[2:4], "little")
        length = int.from_bytes(head[4:], "little")
        if tag == _SEQUENCE_END and out:
            return out
        if tag != _ITEM:
            raise ValueError("no item where one must be")
        out.append((at + 8, length))
        at += 8 + length
        if at > end:
            raise CutShort("a piece goes past the end")
