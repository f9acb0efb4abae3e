"""Editable points of the outlines on one slice: where they lie, and what a moved, added or removed one changes.

Loops are (n, 2) arrays of (row, column) indices with fractions, closed by themselves; holes are loops of their own.
They follow the outline to within a fraction of a voxel. A change of points changes only the voxels that lie between
the old lines and the new ones, by the rule of imported contours (`contours_raster.fill_polygons`); no other voxel of
the slice is touched, however roughly the points follow it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from skimage.measure import find_contours

from contourdesk.app.contours_raster import fill_polygons
from contourdesk.app.structures import Bits

Loop = NDArray[np.float64]

_TOLERANCE_MM = 0.6  # at least; for coarse voxels it grows with them
_LEAST = 4  # points of a loop when it is made


def loops_of(bits: Bits, spacing_mm: Sequence[float]) -> tuple[Loop, ...]:
    """Points to take hold of, for each outline of a slice (rows, columns); `spacing_mm` of rows and columns."""
    from skimage.measure import approximate_polygon  # with scipy.signal: a second of the program's start

    spacing = np.asarray(spacing_mm, float)
    tolerance = max(_TOLERANCE_MM, 0.6 * float(spacing.min()))
    out = []
    for points in find_contours(np.pad(bits, 1).astype(np.float64), 0.5):
        mm = (points - 1) * spacing
        # From the point furthest from the first, so that both ends are good ones.
        far = int(np.argmax(((mm - mm[0]) ** 2).sum(axis=1)))
        halves = [approximate_polygon(half, tolerance)[:-1] for half in (mm[: far + 1], mm[far:])]
        loop = np.concatenate(halves)
        if len(loop) < _LEAST:
            loop = mm[:-1][:: max(1, (len(mm) - 1) // _LEAST)]
        out.append(loop / spacing)
    return tuple(out)


def changed(bits: Bits, before: Sequence[Loop], after: Sequence[Loop]) -> Bits:
    """The slice (rows, columns) once the loops `before` have become `after`."""
    old, new = (_inside(loops, bits.shape) for loops in (before, after))
    return np.where(old == new, bits, new)


def _inside(loops: Sequence[Loop], shape: tuple[int, ...]) -> Bits:
    rows, columns = shape
    return fill_polygons(loops, (rows, columns)) if loops else np.zeros((rows, columns), bool)


def moved(loops: Sequence[Loop], which: tuple[int, int], to: tuple[float, float]) -> tuple[Loop, ...]:
    """The loops with one point elsewhere; `which` is (loop, point)."""
    loop = loops[which[0]].copy()
    loop[which[1]] = to
    return _with(loops, which[0], loop)


def added(loops: Sequence[Loop], edge: tuple[int, int], at: tuple[float, float]) -> tuple[Loop, ...]:
    """The loops with a point more on an edge, given as (loop, point that it begins at); it is the next point."""
    return _with(loops, edge[0], np.insert(loops[edge[0]], edge[1] + 1, at, axis=0))


def removed(loops: Sequence[Loop], which: tuple[int, int]) -> tuple[Loop, ...]:
    """The loops without a point; a loop with fewer than three goes."""
    loop = np.delete(loops[which[0]], which[1], axis=0)
    return _with(loops, which[0], loop if len(loop) >= 3 else None)


def nearest_point(
    loops: Sequence[Loop], at: tuple[float, float], scale: Sequence[float], reach: float
) -> tuple[int, int] | None:
    """(loop, point) nearest to a place, or None when none is within `reach`; `scale` turns indices into its unit."""
    best: tuple[float, tuple[int, int]] = (reach, (-1, -1))
    for n, loop in enumerate(loops):
        distance = np.hypot(*((loop - at) * scale).T)
        k = int(np.argmin(distance))
        best = min(best, (float(distance[k]), (n, k)))
    return best[1] if best[1][0] >= 0 else None


def nearest_edge(
    loops: Sequence[Loop], at: tuple[float, float], scale: Sequence[float], reach: float
) -> tuple[int, int] | None:
    """(loop, point that the edge begins at) nearest to a place, or None when none is within `reach`."""
    best: tuple[float, tuple[int, int]] = (reach, (-1, -1))
    for n, loop in enumerate(loops):
        a = (loop - at) * scale
        way = np.roll(a, -1, axis=0) - a
        length2 = np.maximum((way**2).sum(axis=1), 1e-12)
        part = np.clip(-(a * way).sum(axis=1) / length2, 0, 1)
        distance = np.hypot(*(a + part[:, None] * way).T)
        k = int(np.argmin(distance))
        best = min(best, (float(distance[k]), (n, k)))
    return best[1] if best[1][0] >= 0 else None


def _with(loops: Sequence[Loop], n: int, loop: Loop | None) -> tuple[Loop, ...]:
    return (*loops[:n], *(() if loop is None else (loop,)), *loops[n + 1 :])
