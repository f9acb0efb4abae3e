"""Many decimal strings to numbers at once, each the same to the last bit as Python's own `float` makes it.

A structure set holds millions of coordinates, and reading them one by one is most of the work. Digits before and after
the point are taken as eight bytes each and summed up for all numbers together; the whole number that they make is
exact, and so is the power of ten that it is divided by, so the division rounds correctly. What has more digits, an
exponent or a blank is read one by one.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

_DECIMAL = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_MOST_DIGITS = 15  # of both parts together: less than 2 to the 53rd
_TENS = 10.0 ** np.arange(9)
_BACKSLASH, _MINUS, _POINT = (ord(c) for c in "\\-.")
_PLAIN = np.zeros(256, bool)
_PLAIN[[*b"0123456789.-\\"]] = True

Float = NDArray[np.float64]
Int = NDArray[np.int64]


def parse_decimals(text: bytes) -> Float:
    """Numbers (n,) of a text that separates them by backslashes; none in an empty text.

    Raises
    ------
    ValueError : one of them is no finite decimal number.
    """
    text = text.rstrip(b" \0").lstrip(b" ")  # NUL may fill up the end; anywhere else it was written over digits
    if not text:
        return np.zeros(0)
    data = np.frombuffer(b"0" * 8 + text + b"\\", np.uint8)
    if not _PLAIN[data].all():
        return np.array([_one(token) for token in text.split(b"\\")])
    end = np.flatnonzero(data == _BACKSLASH)
    start = np.concatenate([[8], end[:-1] + 1])
    minus, point = data[start] == _MINUS, np.flatnonzero(data == _POINT)
    owner = np.searchsorted(end, point)
    if np.count_nonzero(data == _MINUS) != np.count_nonzero(minus) or (owner[1:] == owner[:-1]).any():
        raise ValueError("a number has two signs or points")
    dot = end.copy()
    dot[owner] = point
    before, after = dot - start - minus, np.maximum(end - dot - 1, 0)
    if (before + after < 1).any():
        raise ValueError("a number has no digits")
    short = (before <= 8) & (after <= 8) & (before + after <= _MOST_DIGITS)
    # Eight bytes from each place on, without copying them all.
    eights = np.ndarray((len(data) - 7,), "<u8", np.ascontiguousarray(data).data, strides=(1,))
    ten = _TENS[np.minimum(after, 8)]
    out = np.asarray((_digits(eights[dot - 8], before) * ten + _digits(eights[end - 8], after)) / ten)
    np.negative(out, out=out, where=minus)
    for i in np.flatnonzero(~short):
        out[i] = _one(data[start[i] : end[i]].tobytes())
    return out


def _digits(word: NDArray[np.uint64], count: Int) -> NDArray[np.uint64]:
    """The number that the last `count` of eight ASCII digits make; the first of them is the lowest byte."""
    gap = (8 * np.clip(8 - count, 0, 8)).astype(np.uint64)
    word = (word >> gap) << gap  # shifting by all 64 bits leaves nothing
    word = ((word & np.uint64(0x0F0F0F0F0F0F0F0F)) * np.uint64(2561)) >> np.uint64(8)
    word = ((word & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(6553601)) >> np.uint64(16)
    return ((word & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(42949672960001)) >> np.uint64(32)


def _one(token: bytes) -> float:
    token = token.strip(b" ")
    value = float(token) if _DECIMAL.fullmatch(token) else np.inf
    if not np.isfinite(value):
        raise ValueError(f"{token[:40]!r} is no decimal number")
    return float(value)
