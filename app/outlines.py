"""Smooth outlines of masks in a slice, for the screen: the curves that the smooth export writes, quick for many masks.

All masks' outlines in the slice are followed and evened out together, as one picture with the masks below each other:
thirty small ones cost little more than one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.contours_smooth import Gates, smooth
from contourdesk.app.contours_trace import find_outlines
from contourdesk.app.geometry import ViewPlane
from contourdesk.app.structures import Bits, Mask

Points = NDArray[np.float64]


def slice_outlines(masks: Sequence[Mask], plane: ViewPlane, index: int) -> list[list[Points]]:
    """Closed smooth outlines of each mask in one slice; no voxel centre lies on the wrong side.

    Parameters
    ----------
    masks : on one grid.
    plane, index : the slice.

    Returns
    -------
    For each mask its loops, (n, 2) in-plane indices (vertical, horizontal), voxel centres at whole numbers. The last
    point is not the first again.
    """
    out: list[list[Points]] = [[] for _ in masks]
    parts = [(i, *part) for i, mask in enumerate(masks) if (part := _flat(mask, plane, index)) is not None]
    if not parts:
        return out
    heights = [bits.shape[0] + 1 for _, bits, _ in parts]  # an empty row keeps neighbours apart
    tops = np.cumsum([0, *heights])
    picture = np.zeros((1, tops[-1], max(bits.shape[1] for _, bits, _ in parts)), bool)
    for top, (_, bits, _) in zip(tops[:-1], parts, strict=True):
        picture[0, top : top + bits.shape[0], : bits.shape[1]] = bits
    outlines = find_outlines(picture)
    assert outlines is not None  # every part has a voxel
    gates = Gates.of(outlines, (-np.inf, -np.inf), (np.inf, np.inf))
    points = gates.points(smooth(gates)) - 1  # the traced picture has a border of one
    for loop in np.split(points, gates.begin[1:]):
        n = int(np.searchsorted(tops, loop[0, 0] + 1, side="right")) - 1
        i, _, corner = parts[n]
        out[i].append(loop + np.array([corner[0] - tops[n], corner[1]]))
    return out


def _flat(mask: Mask, plane: ViewPlane, index: int) -> tuple[Bits, tuple[int, int]] | None:
    """The mask's voxels in the slice as (vertical, horizontal), tight, and the in-plane index of the first."""
    at = index - mask.offset[plane.slice_axis]
    if mask.bits.size == 0 or not 0 <= at < mask.bits.shape[plane.slice_axis]:
        return None
    # Not `take`: that is several times slower across the last axis.
    where = tuple(at if axis == plane.slice_axis else slice(None) for axis in range(3))
    flat: Bits = np.ascontiguousarray(mask.bits[where])
    if plane.vertical_axis > plane.horizontal_axis:
        flat = flat.T
    rows, columns = np.flatnonzero(flat.any(axis=1)), np.flatnonzero(flat.any(axis=0))
    if rows.size == 0:
        return None
    top, left = int(rows[0]), int(columns[0])
    corner = mask.offset[plane.vertical_axis] + top, mask.offset[plane.horizontal_axis] + left
    return flat[top : rows[-1] + 1, left : columns[-1] + 1], corner
