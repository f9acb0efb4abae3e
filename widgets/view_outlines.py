"""Outlines of masks as Qt paths: what the overlay draws."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QPainterPath, QPolygonF
from skimage.measure import find_contours

from contourdesk.app.geometry import ViewPlane
from contourdesk.app.structures import Bits, Mask

_Points = NDArray[np.float64]


def slice_outline(mask: Mask, plane: ViewPlane, index: int) -> QPainterPath:
    """Outline of one slice of `mask`.

    Points are in-plane indices: x along the plane's horizontal axis, y along the vertical one, voxel centres at
    whole numbers. The outline runs half way between set and unset voxels, with corners rounded within a voxel.
    Filling it with the path's own rule (odd-even) leaves holes open.
    """
    path = QPainterPath()
    path.setFillRule(Qt.FillRule.OddEvenFill)
    at = index - mask.offset[plane.slice_axis]
    if mask.bits.size == 0 or not 0 <= at < mask.bits.shape[plane.slice_axis]:
        return path
    flat = np.take(mask.bits, at, axis=plane.slice_axis)
    if plane.vertical_axis > plane.horizontal_axis:
        flat = flat.T
    start = mask.offset[plane.vertical_axis], mask.offset[plane.horizontal_axis]
    for points in _half_level(flat):
        path.addPolygon(QPolygonF([QPointF(x + start[1], y + start[0]) for y, x in points.tolist()]))
        path.closeSubpath()
    return path


def _half_level(flat: Bits) -> list[_Points]:
    rows, columns = np.flatnonzero(flat.any(axis=1)), np.flatnonzero(flat.any(axis=0))
    if rows.size == 0:
        return []
    top, left = int(rows[0]), int(columns[0])
    tight = np.pad(flat[top : rows[-1] + 1, left : columns[-1] + 1], 1)
    corner = np.array([top - 1, left - 1])
    return [_rounded(points[:-1]) + corner for points in find_contours(tight.astype(np.float64), 0.5)]


def _rounded(points: _Points) -> _Points:
    """A closed line with each corner cut once, a quarter of the edge off it (Chaikin)."""
    after = np.roll(points, -1, axis=0)
    return np.stack([0.75 * points + 0.25 * after, 0.25 * points + 0.75 * after], axis=1).reshape(-1, 2)


class OutlineCache:
    """Outlines of the shown slices in one plane. Masks are frozen, so the same mask means the same outline."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Mask, int, QPainterPath]] = {}

    def get(self, key: str, mask: Mask, plane: ViewPlane, index: int) -> QPainterPath:
        """Outline of `mask` in the slice; computed when mask or slice is another than the last time for `key`."""
        kept = self._kept.get(key)
        if kept is None or kept[0] is not mask or kept[1] != index:
            kept = (mask, index, slice_outline(mask, plane, index))
            self._kept[key] = kept
        return kept[2]

    def clear(self) -> None:
        """Forget all, for another case."""
        self._kept.clear()
