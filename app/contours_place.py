"""Which slices a ROI's contours belong to, and what an edit leaves of them.

A closed contour belongs to the slice whose image it names, when it lies near that one, else to the nearest, at most
half a slice away. A ROI whose contours do not lie in the planes of the slices (drawn on sagittal planes, or on images
that were tilted) belongs to all slices at once. Points, open lines and contours off the images belong to none.

The rules depend on nothing but contours and grid; so reader, editor and writer, which all ask here, agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.contour import Contour
from contourdesk.app.geometry import Grid
from contourdesk.app.structures import Mask, Structure

FILLED_KINDS = frozenset({"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"})
NOWHERE, EVERYWHERE = -1, -2
# All in slices. A contour reaches over this much of the slice axis and still counts as lying in a slice's plane.
_FLAT = 0.25
# This near to the middle between two slices, the named image decides, or else the lower index: always the same way.
_NAMED, _TIE = 0.6, 0.01
# Contours this near to each other lie on one plane and make each other's holes.
_SAME_PLANE, SAME_PLANE_MM = 0.1, 0.15
# Index coordinates are rounded so that a vertex meant to lie on a centre does so, whatever its decimals did.
DECIMALS = 6

Float = NDArray[np.float64]
Int = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Placement:
    """Where contours belong.

    Parameters
    ----------
    slices : (n,) for each contour its slice, or NOWHERE, or EVERYWHERE.
    shown : (n,) whether it is filled. Of several planes that fall to one slice only the nearest is.
    offset : (n,) distance from its slice in slices, 0 for those that belong to none.
    closed : (c,) numbers of the closed contours; `index` (m, 3) are all their points in (slice, row, column), one
        contour after the other, and `begin` (c,) where each begins.
    off_slices, off_plane : closed contours beyond the first or last slice, and beside the slices' edges.
    """

    slices: Int
    shown: NDArray[np.bool_]
    offset: Float
    closed: Int
    index: Float
    begin: Int
    off_slices: int = 0
    off_plane: int = 0

    @property
    def in_slices(self) -> bool:
        """Whether the contours lie in the planes of the slices."""
        return not bool((self.slices == EVERYWHERE).any())


def place(contours: Sequence[Contour], grid: Grid, image_uids: Sequence[str] = ()) -> Placement:
    """Say where each contour of one ROI belongs.

    Parameters
    ----------
    contours : points in LPS mm.
    grid : the images' grid.
    image_uids : SOP Instance UIDs of the slices, in order; without them distance alone decides.
    """
    closed = [i for i, c in enumerate(contours) if c.kind in FILLED_KINDS and len(c.points_lps) >= 3]
    slices, offset = np.full(len(contours), NOWHERE, np.int64), np.zeros(len(contours))
    shown = np.zeros(len(contours), bool)
    if not closed:
        return Placement(slices, shown, offset, np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros(0, np.int64))
    points = [contours[i].points_lps for i in closed]
    index = np.round(grid.to_index(np.concatenate(points)), DECIMALS)
    begin = np.concatenate([[0], np.cumsum([len(p) for p in points])[:-1]]).astype(np.int64)
    low, high = np.minimum.reduceat(index, begin), np.maximum.reduceat(index, begin)
    number = np.array(closed, np.int64)
    if (high[:, 0] - low[:, 0]).max() > max(_FLAT, min(1.0, 2 * SAME_PLANE_MM / grid.spacing_mm[0])):
        slices[number], shown[number] = EVERYWHERE, True
        return Placement(slices, shown, offset, number, index, begin)
    depth = (low[:, 0] + high[:, 0]) / 2
    where = _nearest(depth, grid.shape[0])
    _prefer_named(where, depth, [contours[i].image_uid for i in closed], image_uids)
    off_slices = (where < 0) | (where >= grid.shape[0])
    beside = ((high[:, 1:] < -0.5) | (low[:, 1:] > np.array(grid.shape[1:]) - 0.5)).any(axis=1) & ~off_slices
    where[off_slices | beside] = NOWHERE
    slices[number] = where
    offset[number] = np.where(where == NOWHERE, 0, np.abs(depth - where))
    shown[number] = _on_nearest_plane(where, depth, max(_SAME_PLANE, SAME_PLANE_MM / grid.spacing_mm[0]))
    return Placement(slices, shown, offset, number, index, begin, int(off_slices.sum()), int(beside.sum()))


def _nearest(depth: Float, count: int) -> Int:
    """Nearest slice; what lies half-way, give or take, goes to the lower one, at the volume's ends to the only one."""
    where = np.ceil(np.clip(depth, -2, count + 1) - 0.5 - _TIE).astype(np.int64)
    where[np.abs(depth + 0.5) <= _TIE] = 0
    return where


def _prefer_named(where: Int, depth: Float, named: Sequence[str], image_uids: Sequence[str]) -> None:
    """Put contours on the slice that they name, in place, where that is near."""
    # Frames of one multi-frame image share its UID, which then names no slice.
    once = Counter(image_uids)
    number = {uid: k for k, uid in enumerate(image_uids) if uid and once[uid] == 1}
    for i, uid in enumerate(named):
        k = number.get(uid)
        if k is not None and abs(depth[i] - k) <= _NAMED:
            where[i] = k


def _on_nearest_plane(where: Int, depth: Float, same: float) -> NDArray[np.bool_]:
    """Which contours lie on the plane nearest to their slice; contours no further apart than `same` share a plane."""
    shown = where != NOWHERE
    order = np.lexsort((depth, where))
    for group in np.split(order, np.flatnonzero(np.diff(where[order])) + 1):
        k, z = where[group[0]], depth[group]
        if k == NOWHERE or z[-1] - z[0] <= same:
            continue
        start, planes = 0, []
        for i in range(1, len(z) + 1):
            if i == len(z) or z[i] - z[start] > same:
                planes.append((abs(float(z[start:i].mean()) - k), start, i))
                start = i
        _, first, stop = min(planes)
        shown[group] = False
        shown[group[first:stop]] = True
    return np.asarray(shown)


def touched(placement: Placement, changed: Collection[int]) -> list[int]:
    """Numbers, ascending, of the contours that no longer hold when voxels of the slices `changed` change."""
    hit = np.isin(placement.slices, list(changed)) | (placement.slices == EVERYWHERE)
    return [int(i) for i in np.flatnonzero(hit)] if changed else []


def left_to_draw(structure: Structure, grid: Grid, image_uids: Sequence[str] = ()) -> Mask:
    """The part of a structure's mask that none of its contours stands for: what a writer has to draw."""
    if not structure.contours:
        return structure.mask
    slices = place(structure.contours, grid, image_uids).slices
    if (slices == EVERYWHERE).any():
        return Mask()
    bits, first = structure.mask.bits.copy(), structure.mask.offset[0]
    held = slices[(slices >= first) & (slices < first + len(bits))] - first
    bits[held] = False
    return Mask.from_dense(bits, structure.mask.offset)
