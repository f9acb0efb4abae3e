"""One structure by itself: empty, cut off, gaps between slices, separate parts, holes, the edge of the scan."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from contourdesk.app.checks_limits import limits_of
from contourdesk.app.finding import NO_ORGANS, Finding, inner_point, point
from contourdesk.app.geometry import Grid
from contourdesk.app.structures import Bits, Mask, Structure

_FLAT_END = 0.75  # an end slice this large, against the largest one, is no natural end of an organ that tapers
_FEW_SLICES = 4  # a structure of fewer has no ends to speak of


def check_shape(s: Structure, grid: Grid) -> list[Finding]:
    """Findings on the mask alone."""
    mask = s.mask.tight
    if mask.is_empty:
        return [Finding(s.id, "warning", f"{s.name} is empty.", None, "empty")]
    return _gaps(s, mask, grid) + _parts(s, mask, grid) + _holes(s, mask, grid) + _ends(s, mask, grid)


def _gaps(s: Structure, mask: Mask, grid: Grid) -> list[Finding]:
    drawn = mask.bits.any(axis=(1, 2))
    labels, count = ndimage.label(~drawn)
    out = []
    for n in range(1, count + 1):
        gap = np.flatnonzero(labels == n)
        first, last = int(gap[0]) + mask.offset[0], int(gap[-1]) + mask.offset[0]
        row, column = np.argwhere(mask.bits[int(gap[0]) - 1]).mean(axis=0) + mask.offset[1:]
        where = point(grid, ((first + last) / 2, row, column))
        out.append(Finding(s.id, "warning", f"{s.name} has a gap on {_slices(first, last)}.", where, "gap"))
    return out


def _slices(first: int, last: int) -> str:
    # Slices are counted from 1 on the screen.
    return f"slice {first + 1}" if first == last else f"slices {first + 1} to {last + 1}"


def _parts(s: Structure, mask: Mask, grid: Grid) -> list[Finding]:
    labels, count = ndimage.label(mask.bits, np.ones((3, 3, 3)))
    if count < 2 or s.interpreted_type in NO_ORGANS:
        return []
    sizes = np.bincount(labels.ravel())[1:]
    if not mask.bits.any(axis=(1, 2)).all() and count == 1 + _gap_count(mask.bits):
        return []  # what the gaps between slices leave are not islands
    small = int(np.argmin(sizes))
    ml = sizes[small] * grid.voxel_ml
    text = f"{s.name} has {count} separate parts; the smallest has {ml:.2g} ml."
    return [Finding(s.id, "warning", text, inner_point(labels == small + 1, mask.offset, grid), "island")]


def _gap_count(bits: Bits) -> int:
    return int(ndimage.label(~bits.any(axis=(1, 2)))[1])


def _holes(s: Structure, mask: Mask, grid: Grid) -> list[Finding]:
    """Holes in the outline on single slices: planning systems draw them with a keyhole, and few organs have any."""
    if s.interpreted_type in NO_ORGANS:
        return []
    holes = np.stack([ndimage.binary_fill_holes(plane) & ~plane for plane in mask.bits])
    slices = np.flatnonzero(holes.any(axis=(1, 2)))
    if not slices.size:
        return []
    sizes = holes.sum(axis=(1, 2))
    largest = int(sizes.argmax())
    ml = int(sizes.sum()) * grid.voxel_ml
    on = _slices(int(slices[0]) + mask.offset[0], int(slices[-1]) + mask.offset[0])
    text = f"{s.name} has holes of {ml:.2g} ml on {on}."
    only = holes & (np.arange(len(holes)) == largest)[:, None, None]
    return [Finding(s.id, "warning", text, inner_point(only, mask.offset, grid), "hole")]


def _ends(s: Structure, mask: Mask, grid: Grid) -> list[Finding]:
    """Where a structure reaches the edge of the scan, and where it just stops."""
    if s.interpreted_type in NO_ORGANS:
        return []
    touched = []
    where = None
    for axis, n in enumerate(grid.shape):
        for end, at, last in ((0, mask.offset[axis], 0), (-1, mask.offset[axis] + mask.bits.shape[axis] - 1, n - 1)):
            if at != last:
                continue
            name = ("first" if end == 0 else "last") + " slice" if axis == 0 else "side of the images"
            touched += [name] if name not in touched else []
            face = mask.bits.take([end], axis)
            offset = list(mask.offset)
            offset[axis] = at
            where = where or inner_point(face, (offset[0], offset[1], offset[2]), grid)
    out = _cut(s, mask, grid)
    if touched:
        text = f"{s.name} reaches the edge of the scan: {' and '.join(touched)}."
        out.append(Finding(s.id, "info", text, where, "edge"))
    return out


def _cut(s: Structure, mask: Mask, grid: Grid) -> list[Finding]:
    limits = limits_of(s.name)
    areas = mask.bits.sum(axis=(1, 2))
    if limits is None or not limits.tapers or len(areas) < _FEW_SLICES:
        return []
    ends = []
    for end, edge, word in ((0, 0, "begins"), (len(areas) - 1, grid.shape[0] - 1, "ends")):
        if end + mask.offset[0] != edge and areas[end] > _FLAT_END * areas.max():
            ends.append((end, word))
    if not ends:
        return []
    end, word = ends[0]
    share = round(100 * areas[end] / areas.max())
    text = f"{s.name} {word} abruptly on slice {end + mask.offset[0] + 1}, with {share} % of its largest outline."
    where = inner_point(mask.bits[end : end + 1], (mask.offset[0] + end, *mask.offset[1:]), grid)
    return [Finding(s.id, "warning", text, where, "truncated")]
