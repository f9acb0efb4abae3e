"""The elements of a DICOM file that we ask for, found without decoding the rest.

A series has hundreds of files of which a few dozen attributes are needed. pydicom reads a file's whole header; this
walks over it, three times as fast, stops at the pixels and tells where they are. Values stay bytes until they are
asked for. Sequences are stepped over or entered by `items`. Every length is checked against the file's own.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)  # float, double, integer
UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG_FORM = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SHORT_FORM = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_LITTLE, _BIG = struct.Struct("<HHI").unpack_from, struct.Struct(">HHI").unpack_from
_CHUNK = 1 << 15
_DEEPEST = 32
_LONGEST_VALUE = 1 << 20


class CutShort(ValueError):
    """An element goes on past the end of what holds it."""


@dataclass(frozen=True)
class Encoding:
    """How elements are written."""

    explicit: bool
    little: bool = True


@dataclass(frozen=True, slots=True)
class Place:
    """Where an element is: its value from byte `start` to `end`; `end` is -1 for pixels of undefined length."""

    tag: int
    vr: bytes  # empty where the file doesn't say
    start: int
    end: int


class Window:
    """A stream's bytes by position, read in chunks. `size` is the stream's length, or a limit to it."""

    def __init__(self, stream: BinaryIO, size: int) -> None:
        self.stream, self.size = stream, size
        self.data, self.base = b"", 0

    def index(self, at: int, count: int) -> int:
        """Where in `data` byte `at` is, with `count` more behind it as far as there are so many."""
        i = at - self.base
        if i < 0 or i + count > len(self.data):
            self.stream.seek(at)
            self.data, self.base, i = self.stream.read(max(count, _CHUNK)), at, 0
        return i

    def value(self, place: Place) -> bytes:
        """An element's value. Raises CutShort."""
        count = place.end - place.start
        if not 0 <= count <= _LONGEST_VALUE:
            raise CutShort("a value of absurd length")
        i = self.index(place.start, count)
        value = self.data[i : i + count]
        if len(value) < count:
            raise CutShort("the file ends in a value")
        return value


def encoding_of(window: Window, at: int, declared: Encoding) -> Encoding:
    """How the dataset at `at` is written: some files declare explicit VRs and write none, or the reverse."""
    i = window.index(at, 6)
    vr = window.data[i + 4 : i + 6]
    return Encoding(_is_vr(vr), declared.little) if len(vr) == 2 else declared


def walk(window: Window, at: int, end: int, encoding: Encoding) -> Iterator[Place]:
    """Elements of one level from byte `at` to `end`, up to and with the pixels.

    Raises
    ------
    CutShort : an element goes past `end`.  ValueError : nested absurdly deep.
    """
    while at + 8 <= end:
        place, at = _step(window, at, end, encoding, 0)
        if place is None:
            return
        yield place
        if place.tag in PIXELS:
            return
        if at > end:
            raise CutShort("an element goes past the end")
    if at < end:
        raise CutShort("the file ends in an element")


def items(window: Window, place: Place, encoding: Encoding) -> Iterator[tuple[int, int]]:
    """Where the items of a sequence begin and end, without their own headers. Raises like `walk`."""
    at = place.start
    while at + 8 <= place.end:
        tag, length = _head(window, at, encoding)
        if tag != _ITEM:
            return
        at += 8
        stop = after = at + length
        if length == UNDEFINED:
            stop = _end_of_item(window, at, place.end, encoding, 0)
            after = stop + 8
        if stop > place.end:
            raise CutShort("an item goes past the end")
        yield at, stop
        at = after


def _step(window: Window, at: int, end: int, encoding: Encoding, depth: int) -> tuple[Place | None, int]:
    """The element at byte `at`, None where an item or a sequence ends there, and where the next begins."""
    tag, length = _head(window, at, encoding)
    if tag in (_ITEM_END, _SEQUENCE_END):
        return None, at
    vr, start = b"", at + 8
    if encoding.explicit:
        i = at - window.base
        found = window.data[i + 4 : i + 6]
        if _is_vr(found):
            vr = found
            if vr in _LONG_FORM:
                start = at + 12
                i = window.index(at + 8, 4)
                length = _number(window.data[i : i + 4], 4, encoding.little)
            else:
                length = _number(window.data[i + 6 : i + 8], 2, encoding.little)
    if length != UNDEFINED:
        return Place(tag, vr, start, start + length), start + length
    if tag in PIXELS:
        return Place(tag, vr, start, -1), end
    inner = Encoding(False) if vr == b"UN" else encoding
    stop, after = _skip_items(window, start, end, inner, depth)
    return Place(tag, vr, start, stop), after


def _head(window: Window, at: int, encoding: Encoding) -> tuple[int, int]:
    """Tag, and the four bytes after it as a number."""
    i = window.index(at, 8)
    try:
        group, element, length = (_LITTLE if encoding.little else _BIG)(window.data, i)
    except struct.error as error:
        raise CutShort("the file ends") from error
    return group << 16 | element, length


def _number(data: bytes, count: int, little: bool) -> int:
    if len(data) < count:
        raise CutShort("the file ends")
    return int.from_bytes(data, "little" if little else "big")


def _skip_items(window: Window, at: int, end: int, encoding: Encoding, depth: int) -> tuple[int, int]:
    """Where a sequence of undefined length ends, and where what follows it begins."""
    while at + 8 <= end:
        tag, length = _head(window, at, encoding)
        if tag == _SEQUENCE_END:
            return at, at + 8
        if tag != _ITEM:
            raise ValueError("no item where one must be")
        at += 8
        at = _end_of_item(window, at, end, encoding, depth + 1) + 8 if length == UNDEFINED else at + length
    raise CutShort("the file ends in a sequence")


def _end_of_item(window: Window, at: int, end: int, encoding: Encoding, depth: int) -> int:
    """Where an item of undefined length ends."""
    if depth > _DEEPEST:
        raise ValueError("nested too deep")
    while at + 8 <= end:
        place, at = _step(window, at, end, encoding, depth)
        if place is None:
            return at
    raise CutShort("the file ends in an item")


def _is_vr(two: bytes) -> bool:
    return two in _SHORT_FORM or two in _LONG_FORM
