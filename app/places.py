"""Places in a mask that a reviewer jumps to: its middle, and the first and last slice along an axis."""

from __future__ import annotations

import numpy as np

from contourdesk.app.structures import Bits, Mask

Index = tuple[int, int, int]


def central_voxel(mask: Mask) -> Index | None:
    """The set voxel nearest to the mask's middle, as index (z, y, x); None for an empty mask."""
    nearest = _nearest_to_middle(mask.bits)
    return None if nearest is None else _moved(nearest, mask.offset)


def end_voxel(mask: Mask, axis: int, *, last: bool) -> Index | None:
    """A voxel in the middle of the first slice along `axis` that has any, or of the last; None for an empty mask."""
    slices = np.flatnonzero(mask.bits.any(axis=tuple(a for a in range(3) if a != axis)))
    if slices.size == 0:
        return None
    at = int(slices[-1 if last else 0])
    flat = np.take(mask.bits, [at], axis=axis)
    nearest = _nearest_to_middle(flat)
    assert nearest is not None  # the slice has voxels
    index = list(nearest)
    index[axis] = at
    return _moved((index[0], index[1], index[2]), mask.offset)


def _nearest_to_middle(bits: Bits) -> Index | None:
    middle = []
    for axis in range(3):
        counts = np.count_nonzero(bits, axis=tuple(a for a in range(3) if a != axis))
        total = int(counts.sum())
        if total == 0:
            return None
        middle.append(float((counts * np.arange(len(counts))).sum() / total))
    z, y, x = (round(m) for m in middle)
    if bits[z, y, x]:  # a list of all voxels of the body would take half a gigabyte
        return z, y, x
    index = np.argwhere(bits)
    z, y, x = (int(i) for i in index[np.argmin(((index - middle) ** 2).sum(axis=1))])
    return z, y, x


def _moved(index: Index, offset: Index) -> Index:
    return index[0] + offset[0], index[1] + offset[1], index[2] + offset[2]
