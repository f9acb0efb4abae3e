"""The part of the image that the views show."""

from __future__ import annotations

import math
from collections.abc import Iterable

from qtpy.QtCore import QRectF

from contourdesk.app.geometry import Box
from contourdesk.widgets.plane_view import PlaneView


def visible_box(views: Iterable[PlaneView], shape: tuple[int, int, int]) -> Box:
    """Box of voxels that lie in every one of the views that are on the screen; at least one voxel along each axis."""
    low, high = [0, 0, 0], list(shape)
    for view in views:
        plane = view.plane
        if plane is None or not view.isVisible():
            continue
        back, _ = view.canvas.to_screen().inverted()
        shown = back.mapRect(QRectF(view.native.rect()))
        for axis, start, end in (
            (plane.vertical_axis, shown.top(), shown.bottom()),
            (plane.horizontal_axis, shown.left(), shown.right()),
        ):
            low[axis] = max(low[axis], math.ceil(start))
            high[axis] = min(high[axis], math.floor(end) + 1)
    z, y, x = (
        slice(min(max(a, 0), n - 1), max(min(b, n), min(max(a, 0), n - 1) + 1))
        for a, b, n in zip(low, high, shape, strict=True)
    )
    return z, y, x
