"""Contours to voxels: a voxel belongs to a structure when its centre lies inside the outline.

Exact and sub-pixel, worked out in the image's own index coordinates, so that every orientation is alike. All closed
contours of a ROI on one slice are combined by parity (even-odd), which makes holes of inner contours, islands of those
inside holes, and leaves nothing of the bridge of a keyhole. A centre that lies on an outline belongs to the side of
lower indices' edge only, so neighbours that share an edge neither overlap nor leave a gap.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.contour import Contour
from contourdesk.app.geometry import Grid
from contourdesk.app.structures import Mask

FILLED_KINDS = frozenset({"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"})
# Contours this far (in slices) from a slice still belong to it; the small part lets rounded decimals through.
_REACH = 0.5 + 1e-4
# Index coordinates are rounded so that a vertex meant to lie on a centre does so, whatever its decimals did.
_DECIMALS = 6

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Raster:
    """What came of a ROI's contours.

    Parameters
    ----------
    mask : voxels whose centres lie inside.
    outside : closed contours beyond the first or last slice, by more than half a slice.
    slanted : closed contours that do not lie in the image's planes.
    clipped : closed contours that reach over the edge of the slices; filled as far as the image goes.
    largest_offset_mm : the furthest that a filled contour lies from its slice.
    overlapping : slices on which two outlines cross or partly overlap, where programs disagree on what is meant.
    """

    mask: Mask
    outside: int = 0
    slanted: int = 0
    clipped: int = 0
    largest_offset_mm: float = 0.0
    overlapping: int = 0


def contours_to_mask(contours: Iterable[Contour], grid: Grid) -> Mask:
    """Mask of the voxels whose centres lie inside the closed contours; open ones and points fill nothing."""
    return rasterise(contours, grid).mask


def rasterise(contours: Iterable[Contour], grid: Grid) -> Raster:
    """Like `contours_to_mask`, with what could not be placed.

    Parameters
    ----------
    contours : points in LPS mm.
    grid : the image's grid. A contour goes to the nearest slice, at most half a slice distance away.
    """
    by_slice: dict[int, list[Float]] = defaultdict(list)
    outside = slanted = clipped = 0
    furthest = 0.0
    for contour in contours:
        if contour.kind not in FILLED_KINDS or len(contour.points_lps) < 3:
            continue
        index = np.round(grid.to_index(contour.points_lps), _DECIMALS)
        middle = (index[:, 0].min() + index[:, 0].max()) / 2
        k = min(max(int(np.floor(middle + 0.5)), 0), grid.shape[0] - 1)
        if np.ptp(index[:, 0]) > 1.0:
            slanted += 1
        elif abs(middle - k) > _REACH:
            outside += 1
        else:
            by_slice[k].append(index[:, 1:])
            furthest = max(furthest, abs(middle - k))
            clipped += _reaches_over(index[:, 1:], grid.shape)
    mask, overlapping = _fill_slices(by_slice, grid)
    return Raster(mask, outside, slanted, clipped, furthest * grid.spacing_mm[0], overlapping)


def _reaches_over(points: Float, shape: tuple[int, int, int]) -> bool:
    return bool((points < -0.5 - 1e-3).any() or (points > np.array(shape[1:]) - 0.5 + 1e-3).any())


def _fill_slices(by_slice: dict[int, list[Float]], grid: Grid) -> tuple[Mask, int]:
    """Mask of all slices, in the box round the contours, and the number of slices with crossing outlines."""
    if not by_slice:
        return Mask(), 0
    points = np.concatenate([p for polygons in by_slice.values() for p in polygons])
    low = np.maximum(np.ceil(points.min(axis=0)), 0).astype(int)
    high = np.minimum(np.floor(points.max(axis=0)) + 1, grid.shape[1:]).astype(int)
    if (high <= low).any():
        return Mask(), 0
    first, last = min(by_slice), max(by_slice)
    bits = np.zeros((last - first + 1, high[0] - low[0], high[1] - low[1]), bool)
    overlapping = 0
    for k, polygons in by_slice.items():
        shifted = [p - low for p in polygons]
        bits[k - first] = fill_polygons(shifted, (bits.shape[1], bits.shape[2]))
        overlapping += len(polygons) > 1 and _partly_overlap(shifted, (bits.shape[1], bits.shape[2]))
    return Mask.from_dense(bits, (first, int(low[0]), int(low[1]))), overlapping


def fill_polygons(polygons: list[Float], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Bool (rows, columns): whether each voxel centre lies inside an odd number of the polygons.

    Parameters
    ----------
    polygons : each (n, 2) of (row, column) in index coordinates, fractions meant; closed by themselves.
    """
    rows, columns = shape
    a = np.concatenate(polygons)
    b = np.concatenate([np.roll(p, -1, axis=0) for p in polygons])
    # The same end first whichever way an edge is walked: the two sides of a keyhole then cancel to the last bit.
    swap = a[:, 0] > b[:, 0]
    a, b = np.where(swap[:, None], b, a), np.where(swap[:, None], a, b)
    # An edge crosses row r when a <= r < b; level edges cross none.
    start = np.clip(np.ceil(a[:, 0]), 0, rows).astype(np.int64)
    count = np.clip(np.ceil(b[:, 0]), 0, rows).astype(np.int64) - start
    edge = np.repeat(np.arange(len(a)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + start[edge]
    at = a[edge, 1] + (row - a[edge, 0]) * ((b[edge, 1] - a[edge, 1]) / (b[edge, 0] - a[edge, 0]))
    # Each crossing turns over all centres at or beyond it; the last column takes those beyond the image.
    first = np.clip(np.ceil(np.round(at, _DECIMALS)), 0, columns).astype(np.int64)
    turns = np.zeros(rows * (columns + 1), np.bool_)
    np.logical_xor.at(turns, row * (columns + 1) + first, True)
    return np.logical_xor.accumulate(turns.reshape(rows, columns + 1), axis=1)[:, :columns]


def _partly_overlap(polygons: list[Float], shape: tuple[int, int]) -> bool:
    """Whether two of the polygons share voxels though neither lies wholly within the other."""
    low, high = np.array([p.min(axis=0) for p in polygons]), np.array([p.max(axis=0) for p in polygons])
    touch = ((low[:, None] < high[None]) & (low[None] < high[:, None])).all(axis=2)
    for i, j in np.argwhere(np.triu(touch, 1)):
        start = np.clip(np.floor(np.minimum(low[i], low[j])), 0, shape).astype(int)
        stop = np.clip(np.ceil(np.maximum(high[i], high[j])) + 1, 0, shape).astype(int)
        part = (int(stop[0] - start[0]), int(stop[1] - start[1]))
        one, two = (fill_polygons([polygons[n] - start], part) for n in (i, j))
        if (one & two).any() and (one & ~two).any() and (two & ~one).any():
            return True
    return False
