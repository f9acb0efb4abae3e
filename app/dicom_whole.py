"""DICOM objects without pixels, read only when they are whole.

pydicom takes what is there of a file that breaks off, and goes on past lengths that don't fit into each other; of a
structure set it then gives a part as if it were all. Here every element, item and sequence must end where it says.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from functools import lru_cache
from io import BytesIO
from typing import BinaryIO

from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_VR

from contourdesk.app.dicom_syntaxes import BIG_ENDIAN, DEFLATED, IMPLICIT

_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())
_SHORT = frozenset(b"AE AS AT CS DA DS DT FD FL IS LO LT PN SH SL SS ST TM UI UL US".split())
_KNOWN = _LONG | _SHORT
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_DEEPEST = 32
_MOST_INFLATED = 1 << 30
_SYNTAX = 0x00020010


class NotWhole(ValueError):
    """The file breaks off, or its lengths don't fit into each other."""


def read_whole(stream: BinaryIO) -> Dataset:
    """Read a DICOM object from the start of a stream, with the preamble or without it.

    Raises
    ------
    NotWhole : a part of it is missing or is more than it says.
    One of `contourdesk.app.dicom_headers.DAMAGE` : it is no DICOM, or pydicom can't read it.
    """
    data = stream.read()
    at = 132 if data[128:132] == b"DICM" else 0
    if not at and data[:2] not in (b"\2\0", b"\x08\0"):
        raise NotWhole("no DICOM")
    at, syntax = _meta(data, at)
    body = data
    if syntax == DEFLATED:
        inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        body, at = inflate.decompress(data[at:], _MOST_INFLATED), 0
        if not inflate.eof:
            raise NotWhole("the deflated part breaks off, or is absurdly big")
    explicit = syntax != IMPLICIT if syntax else False
    if len(body) >= at + 6:
        explicit = body[at + 4 : at + 6] in _KNOWN  # some files declare what they are not
    walk = _Walk(body, little=syntax != BIG_ENDIAN)
    walk.elements(at, len(body), explicit, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydicom about what the walk has settled
        return dcmread(BytesIO(data), force=True)


def _meta(data: bytes, at: int) -> tuple[int, str]:
    """Where the file meta information ends, and the transfer syntax that it names."""
    walk, syntax = _Walk(data, little=True), ""
    while data[at : at + 2] == b"\2\0":
        tag, _, start, length = walk.head(at, len(data), True)
        at = start + length
        if at > len(data):
            raise NotWhole("the file ends in its meta information")
        if tag == _SYNTAX:
            syntax = data[start:at].rstrip(b" \0").decode("ascii")
    return at, syntax


class _Walk:
    """Steps over elements and checks that all lengths fit."""

    def __init__(self, data: bytes, little: bool) -> None:
        order = "<" if little else ">"
        self.data = data
        self.head_of = struct.Struct(f"{order}HHI").unpack_from
        self.short = struct.Struct(f"{order}H").unpack_from
        self.long = struct.Struct(f"{order}I").unpack_from

    def head(self, at: int, end: int, explicit: bool) -> tuple[int, bytes, int, int]:
        """Tag, value representation (empty where implicit), start of the value and its length."""
        if at + 8 > end:
            raise NotWhole("it ends in an element")
        group, element, length = self.head_of(self.data, at)
        tag = group << 16 | element
        if not explicit or group == 0xFFFE:
            return tag, b"", at + 8, length
        vr = self.data[at + 4 : at + 6]
        if vr in _SHORT:
            return tag, vr, at + 8, self.short(self.data, at + 6)[0]
        if vr not in _LONG:
            raise NotWhole("an element has no known kind")
        if at + 12 > end:
            raise NotWhole("it ends in an element")
        return tag, vr, at + 12, self.long(self.data, at + 8)[0]

    def elements(self, at: int, end: int, explicit: bool, depth: int, closed: bool = True) -> int:
        """Check the elements from `at` to `end`, or up to the end of an item that is not `closed`; what follows it."""
        if depth > _DEEPEST:
            raise NotWhole("it is nested too deep")
        while at < end:
            if not depth and self.data[at : at + 4] == bytes(4) and not self.data[at:].strip(b"\0"):
                return end  # some programs fill up the last block of a disc
            tag, vr, start, length = self.head(at, end, explicit)
            if tag == _ITEM_END and not closed:
                return start
            if tag >> 16 == 0xFFFE:
                raise NotWhole("an item where none can be")
            if length == _UNDEFINED:
                at = self.items(start, end, explicit and vr != b"UN", depth, closed=False)
                continue
            at = start + length
            if at > end:
                raise NotWhole("an element goes on past the end")
            if vr == b"SQ" or (not vr and _is_sequence(tag)):
                self.items(start, at, explicit, depth)
        if not closed:
            raise NotWhole("an item has no end")
        return at

    def items(self, at: int, end: int, explicit: bool, depth: int, closed: bool = True) -> int:
        """Check a sequence's items from `at` to `end`, or up to the end of one that is not `closed`."""
        while at < end:
            tag, _, start, length = self.head(at, end, False)
            if tag == _SEQUENCE_END and not closed:
                return start
            if tag != _ITEM:
                raise NotWhole("no item where one must be")
            known = explicit and self.data[start + 4 : start + 6] in _KNOWN  # implicit ones hide in explicit files
            if length == _UNDEFINED:
                at = self.elements(start, end, known, depth + 1, closed=False)
                continue
            at = start + length
            if at > end:
                raise NotWhole("an item goes on past the end")
            self.elements(start, at, known, depth + 1)
        if not closed:
            raise NotWhole("a sequence has no end")
        return at


@lru_cache(maxsize=4096)
def _is_sequence(tag: int) -> bool:
    try:
        return dictionary_VR(tag) == "SQ"
    except KeyError:
        return False
