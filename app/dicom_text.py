"""Coordinates as DICOM's decimal strings: at most 16 characters, never an exponent, a million of them at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int64]

MAX_DS = 16  # characters of a decimal string
DECIMALS = 4  # of what we draw: a tenth of a micrometre
_EXACT_DECIMALS = 6
_LARGEST = 1e5  # mm; beyond that, and for what has more decimals, each number is written by itself


def short_decimal(value: float) -> str:
    """A coordinate in mm with at most four decimals: a tenth of a micrometre, and never an exponent."""
    text = f"{value:.{DECIMALS}f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def exact_decimal(value: float) -> str:
    """The shortest text that gives the value again, cut to DICOM's 16 characters, and never an exponent."""
    text = repr(value + 0.0).removesuffix(".0")  # adding zero turns -0.0 into 0.0
    if len(text) <= MAX_DS and "e" not in text:
        return text
    whole = len(f"{value:.0f}")
    text = f"{value:.{max(0, MAX_DS - whole - 2)}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def decimal_strings(values: Float, lengths: Sequence[int], *, exact: bool) -> list[bytes]:
    """Values with backslashes between, cut into pieces.

    Parameters
    ----------
    values : (n,) in mm.
    lengths : how many values go into each piece; their sum is n.
    exact : as `exact_decimal`, else as `short_decimal`.
    """
    ends = np.cumsum(lengths)
    if not len(values):
        return [b""] * len(lengths)
    decimals = _EXACT_DECIMALS if exact else DECIMALS
    scaled = np.rint(values * 10.0**decimals)
    if np.abs(values).max() >= _LARGEST or (exact and not np.array_equal(scaled / 10.0**decimals, values)):
        to_text = exact_decimal if exact else short_decimal
        texts = [to_text(v) for v in values.tolist()]
        return ["\\".join(texts[end - n : end]).encode("ascii") for n, end in zip(lengths, ends, strict=True)]
    text, stop = _fixed(scaled.astype(np.int64), decimals)
    begin = np.append(0, stop)[ends - lengths]
    finish = stop[ends - 1] - 1  # without the last backslash
    return [text[a:b] if n else b"" for a, b, n in zip(begin.tolist(), finish.tolist(), lengths, strict=True)]


def _fixed(scaled: Int, decimals: int) -> tuple[bytes, Int]:
    """Numbers ``scaled / 10 ** decimals`` as text, without needless zeros, a backslash after each; and their ends."""
    rest = np.abs(scaled)
    whole = max(1, len(str(int(rest.max()))) - decimals)
    width = whole + decimals + 3  # sign, digits, point, backslash
    digits = np.empty((len(scaled), width), np.uint8)
    keep = np.ones((len(scaled), width), bool)
    digits[:, 0], keep[:, 0] = ord("-"), scaled < 0
    digits[:, -1] = ord("\\")
    digits[:, whole + 1] = ord(".")
    some = np.zeros(len(scaled), bool)  # whether a decimal further right isn't zero
    for column in range(width - 2, whole + 1, -1):
        rest, digit = np.divmod(rest, 10)
        some |= digit != 0
        digits[:, column], keep[:, column] = digit + ord("0"), some
    keep[:, whole + 1] = some
    for column in range(whole, 0, -1):
        keep[:, column] = (rest > 0) | (column == whole)
        rest, digit = np.divmod(rest, 10)
        digits[:, column] = digit + ord("0")
    return digits[keep].tobytes(), np.cumsum(keep.sum(axis=1))
