"""Outlines of masks as Qt paths: what the overlay draws."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtGui import QPainterPath

from contourdesk.app.geometry import ViewPlane
from contourdesk.app.outlines import Points, slice_outlines
from contourdesk.app.structures import Mask


def slice_outline(mask: Mask, plane: ViewPlane, index: int) -> QPainterPath:
    """Outline of one slice of `mask`.

    Points are in-plane indices: x along the plane's horizontal axis, y along the vertical one, voxel centres at
    whole numbers. Filling it with the path's own rule (odd-even) leaves holes open.
    """
    return _path(slice_outlines([mask], plane, index)[0])


def _path(loops: Sequence[Points]) -> QPainterPath:
    """Curves (quadratic B-splines) that follow the loops, round at every zoom."""
    path = QPainterPath()
    path.setFillRule(Qt.FillRule.OddEvenFill)
    for points in loops:
        # Plain lists of numbers: a list for each point would set off Python's garbage collection again and again.
        corner_y, corner_x = points.T.tolist()
        middle_y, middle_x = ((points + np.roll(points, -1, axis=0)) / 2).T.tolist()
        path.moveTo(middle_x[-1], middle_y[-1])
        for kx, ky, x, y in zip(corner_x, corner_y, middle_x, middle_y, strict=True):
            path.quadTo(kx, ky, x, y)
        path.closeSubpath()
    return path


class OutlineCache:
    """Outlines of the shown slices in one plane. Masks are frozen, so the same mask means the same outline."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Mask, int, QPainterPath]] = {}

    def get(self, key: str, mask: Mask, plane: ViewPlane, index: int) -> QPainterPath:
        """Outline of `mask` in the slice; computed when mask or slice is another than the last time for `key`."""
        self.prepare([(key, mask)], plane, index)
        return self._kept[key][2]

    def prepare(self, wanted: Sequence[tuple[str, Mask]], plane: ViewPlane, index: int) -> None:
        """Compute at once, which is quicker, all outlines that `get` is going to be asked for."""
        lacking = [(key, mask) for key, mask in wanted if not self._holds(key, mask, index)]
        outlines = slice_outlines([mask for _, mask in lacking], plane, index)
        for (key, mask), loops in zip(lacking, outlines, strict=True):
            self._kept[key] = (mask, index, _path(loops))

    def _holds(self, key: str, mask: Mask, index: int) -> bool:
        kept = self._kept.get(key)
        return kept is not None and kept[0] is mask and kept[1] == index

    def clear(self) -> None:
        """Forget all, for another case."""
        self._kept.clear()
