"""Changing a slice voxel by voxel so that no part comes, goes, joins or splits, and no hole either.

Voxels of a structure hang together at corners too, those outside it at edges only, as everywhere in this program. A
voxel may change when that alters neither the number of parts nor of holes round it (a "simple point"). Voxels that
don't touch may change at once; so each of four interleaved fields is looked at in one go.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from contourdesk.app.structures import Bits

_EIGHT = np.ones((3, 3), bool)


@cache
def _simple() -> NDArray[np.bool_]:
    """For each of the 256 neighbourhoods (bit n: the n-th neighbour, going round, is set) whether it is simple.

    The test is Yokoi's crossing number: bit 0 is the neighbour to the right, odd bits are the corners.
    """
    codes = np.arange(256)
    off = [(codes >> (n % 8) & 1) == 0 for n in range(10)]
    crossings = sum((off[n].astype(int) - (off[n] & off[n + 1] & off[n + 2]) for n in (0, 2, 4, 6)), np.zeros(256, int))
    return np.asarray(crossings == 1)


def towards(bits: Bits, target: Bits) -> Bits:
    """`bits` changed to `target` as far as parts and holes stay what they are.

    Parameters
    ----------
    bits, target : (rows, columns); beyond their edges lies nothing.

    Returns
    -------
    bool (rows, columns), a new array. Voxels that would join, split, make or close something stay as in `bits`.
    """
    differs = bits != target
    if not differs.any():
        return bits.copy()
    padded = np.pad(bits, 1).astype(np.uint8)
    width = padded.shape[1]
    flat = padded.ravel()
    round_ = np.array([1, 1 - width, -width, -width - 1, -1, width - 1, width, width + 1])
    weights = 1 << np.arange(8)
    row, column = np.nonzero(differs)
    place = (row + 1) * width + column + 1
    field = row % 2 * 2 + column % 2
    pending = [place[field == n] for n in range(4)]
    simple, idle, turn = _simple(), 0, 0
    while idle < 4:
        at = pending[turn % 4]
        good = simple[flat[at[:, None] + round_] @ weights]
        flat[at[good]] ^= 1
        pending[turn % 4] = at[~good]
        idle = 0 if good.any() else idle + 1
        turn += 1
    return padded[1:-1, 1:-1].astype(bool)


def count_parts(bits: Bits) -> tuple[int, int]:
    """Number of parts and of holes of a slice (rows, columns)."""
    parts = ndimage.label(bits, _EIGHT)[1]
    around = ndimage.label(np.pad(~bits, 1, constant_values=True))[1]
    return int(parts), int(around) - 1
