"""Contours to voxels: a voxel belongs to a structure when its centre lies inside the outline.

Exact and sub-pixel, worked out in the image's own index coordinates, so that every orientation is alike. All closed
contours of a ROI on one plane are combined by parity (even-odd), which makes holes of inner contours, islands of those
inside holes, and leaves nothing of the bridge of a keyhole. A centre that lies on an outline belongs to the side of
lower indices' edge only, so neighbours that share an edge neither overlap nor leave a gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.contour import Contour
from contourdesk.app.contours_oblique import fill_planes
from contourdesk.app.contours_place import DECIMALS, FILLED_KINDS, NOWHERE, Placement, place
from contourdesk.app.geometry import Grid
from contourdesk.app.structures import Mask

__all__ = ["FILLED_KINDS", "Raster", "contours_to_mask", "fill_polygons", "rasterise"]

Float = NDArray[np.float64]
Int = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Raster:
    """What came of a ROI's contours.

    Parameters
    ----------
    mask : voxels whose centres lie inside; empty when there is a `problem`.
    problem : why the contours can't be filled, in words that follow the structure's name; empty when they can.
    outside : closed contours beyond the first or last slice by more than half a slice, or wholly beside the slices.
    slanted : closed contours that do not lie in the planes of the slices.
    between : closed contours that fill nothing because another plane lies nearer to their slice.
    repeated : closed contours that were there a second time, point for point; each is filled once.
    clipped : closed contours that reach over the edge of the slices; filled as far as the image goes.
    largest_offset_mm : the furthest that a filled contour lies from its slice.
    overlapping : slices on which two outlines cross or partly overlap, where programs disagree on what is meant.
    plane_spacing_mm : distance between the planes of slanted contours, 0 for a single plane.
    """

    mask: Mask
    problem: str = ""
    outside: int = 0
    slanted: int = 0
    between: int = 0
    repeated: int = 0
    clipped: int = 0
    largest_offset_mm: float = 0.0
    overlapping: int = 0
    plane_spacing_mm: float = 0.0


def contours_to_mask(contours: Iterable[Contour], grid: Grid) -> Mask:
    """Mask of the voxels whose centres lie inside the closed contours; open ones and points fill nothing."""
    return rasterise(contours, grid).mask


def rasterise(contours: Iterable[Contour], grid: Grid, image_uids: Sequence[str] = ()) -> Raster:
    """Like `contours_to_mask`, with what could not be placed.

    Parameters
    ----------
    contours : of one ROI, points in LPS mm. See `contours_place` for the slices that they fill, and
        `contours_oblique` for contours on other planes.
    grid : the image's grid.
    image_uids : SOP Instance UIDs of the slices, in order, where they are known.
    """
    contours = tuple(contours)
    placement = place(contours, grid, image_uids)
    if not placement.in_slices:
        return _rasterise_slanted([contours[i] for i in placement.closed], grid)
    kinds = [contours[i].kind for i in placement.closed]
    return _rasterise_slices(placement, kinds, grid)


def _rasterise_slanted(contours: Sequence[Contour], grid: Grid) -> Raster:
    filled = fill_planes(contours, grid)
    return Raster(filled.mask, filled.problem, slanted=len(contours), plane_spacing_mm=filled.spacing_mm)


def _rasterise_slices(placement: Placement, kinds: Sequence[str], grid: Grid) -> Raster:
    slices, shown = placement.slices[placement.closed], placement.shown[placement.closed]
    polygons = np.split(placement.index[:, 1:], placement.begin[1:]) if len(placement.begin) else []
    repeated = _repeated(polygons, slices, shown, kinds)
    filled = np.flatnonzero(shown & ~repeated)
    by_slice: dict[int, list[Float]] = {}
    for i in filled:
        by_slice.setdefault(int(slices[i]), []).append(polygons[i])
    return Raster(
        _fill([polygons[i] for i in filled], slices[filled], grid.shape),
        outside=placement.off_slices + placement.off_plane,
        between=int(np.count_nonzero((slices != NOWHERE) & ~shown)),
        repeated=int(np.count_nonzero(repeated)),
        clipped=int(np.count_nonzero(_reaches_over(placement, grid.shape)[filled])),
        largest_offset_mm=float(placement.offset[placement.shown].max(initial=0.0)) * grid.spacing_mm[0],
        overlapping=sum(len(p) > 1 and _partly_overlap(p, grid.shape[1:]) for p in by_slice.values()),
    )


def _repeated(
    polygons: Sequence[Float], slices: Int, shown: NDArray[np.bool_], kinds: Sequence[str]
) -> NDArray[np.bool_]:
    """Which contours were there before on their slice, with the same points wherever they begin and whichever way.

    Parity would leave nothing of them. Where a file asks for parity in so many words, it has its way.
    """
    out = np.zeros(len(polygons), bool)
    seen: set[tuple[int, bytes]] = set()
    crowded = np.bincount(slices[shown], minlength=1) > 1
    for i in np.flatnonzero(shown).tolist():
        if crowded[slices[i]] and kinds[i] == "CLOSED_PLANAR":
            points = polygons[i] + 0.0  # no negative zeros
            points = points[:-1] if np.array_equal(points[0], points[-1]) else points
            key = (int(slices[i]), points[np.lexsort(points.T)].tobytes())
            out[i] = key in seen
            seen.add(key)
    return out


def _reaches_over(placement: Placement, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """For each closed contour whether it reaches over the slices' edges."""
    if not len(placement.begin):
        return np.zeros(0, bool)
    points = placement.index[:, 1:]
    low, high = (f.reduceat(points, placement.begin) for f in (np.minimum, np.maximum))
    return np.asarray((low < -0.5 - 1e-3).any(axis=1) | (high > np.array(shape[1:]) - 0.5 + 1e-3).any(axis=1))


def _fill(polygons: Sequence[Float], slices: Int, shape: tuple[int, int, int]) -> Mask:
    """Tight mask of polygons (row, column) on their slices."""
    if not polygons:
        return Mask()
    points = np.concatenate(polygons)
    low = np.maximum(np.ceil(points.min(axis=0)), 0).astype(int)
    high = np.minimum(np.floor(points.max(axis=0)) + 1, shape[1:]).astype(int)
    if (high <= low).any():
        return Mask()
    first, last = int(slices.min()), int(slices.max())
    box = (last - first + 1, int(high[0] - low[0]), int(high[1] - low[1]))
    lengths = np.array([len(p) for p in polygons], np.int64)
    bits = _fill_layers(points - low, lengths, slices - first, box)
    return Mask.from_dense(bits, (first, int(low[0]), int(low[1])))


def fill_polygons(polygons: Sequence[Float], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Bool (rows, columns): whether each voxel centre lies inside an odd number of the polygons.

    Parameters
    ----------
    polygons : each (n, 2) of (row, column) in index coordinates, fractions meant; closed by themselves.
    """
    lengths = np.array([len(p) for p in polygons], np.int64)
    layer = np.zeros(len(polygons), np.int64)
    return np.asarray(_fill_layers(np.concatenate(polygons), lengths, layer, (1, *shape))[0])


def _fill_layers(points: Float, lengths: Int, layer: Int, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Bool (layers, rows, columns): like `fill_polygons` on many layers at once.

    Parameters
    ----------
    points : (n, 2) of all polygons, one after the other, `lengths` of each.
    layer : for each polygon.
    """
    _, rows, columns = shape
    following = np.arange(1, len(points) + 1)
    ends = np.cumsum(lengths)
    following[ends - 1] = ends - lengths
    a, b = points, points[following]
    # The same end first whichever way an edge is walked: the two sides of a keyhole then cancel to the last bit.
    swap = (a[:, 0] > b[:, 0])[:, None]
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    # An edge crosses row r when a <= r < b; level edges cross none.
    start = np.clip(np.ceil(a[:, 0]), 0, rows).astype(np.int64)
    count = np.clip(np.ceil(b[:, 0]), 0, rows).astype(np.int64) - start
    edge = np.repeat(np.arange(len(a)), count)
    row = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + start[edge]
    at = a[edge, 1] + (row - a[edge, 0]) * ((b[edge, 1] - a[edge, 1]) / (b[edge, 0] - a[edge, 0]))
    # Each crossing turns over all centres at or beyond it; one column more takes those beyond the image.
    first = np.clip(np.ceil(np.round(at, DECIMALS)), 0, columns).astype(np.int64)
    turns = (np.repeat(layer, lengths)[edge] * rows + row) * (columns + 1) + first
    return _spans(turns, shape)


def _spans(turns: Int, shape: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Bool array that turns over at each of the places, counted in rows one column longer than `shape` says.

    Every row has an even number of them, so that each pair of neighbours bounds a span.
    """
    layers, rows, columns = shape
    turns = np.sort(turns)
    new = np.concatenate([[True], turns[1:] != turns[:-1]]) if len(turns) else np.zeros(0, bool)
    begin = np.flatnonzero(new)
    odd = np.diff(np.append(begin, len(turns))) % 2 == 1
    turns = turns[begin[odd]]
    step = np.zeros(layers * rows * (columns + 1), np.uint8)
    step[turns[0::2]], step[turns[1::2]] = 1, 255
    np.cumsum(step, out=step)  # 255 is minus one, modulo 256
    return np.asarray(step.view(np.bool_).reshape(layers, rows, columns + 1)[:, :, :columns])


def _partly_overlap(polygons: Sequence[Float], shape: tuple[int, int]) -> bool:
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
