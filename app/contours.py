"""Masks to contours on voxel edges, exactly: filling them by the centre rule gives the very same voxels back.

On each slice every 4-connected part becomes one polygon along the outer edges of its voxels (index plus or minus one
half), so that another program that tests voxel centres reads the same mask, not one half a voxel smaller. A hole is
joined to the outline round it by a bridge of no width (a keyhole), which every reader understands, whether it combines
contours by parity or by union. Voxels that touch at a corner only are kept apart, so no polygon crosses itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.contour import Contour
from contourdesk.app.contours_raster import contours_to_mask
from contourdesk.app.geometry import Grid
from contourdesk.app.structures import Bits, Mask

__all__ = ["Contour", "contours_to_mask", "mask_to_contours", "trace"]

Int = NDArray[np.int64]

# Directions on a slice seen with rows down and columns to the right, clockwise: along columns, down the rows, and back.
_RIGHT, _DOWN, _LEFT, _UP = range(4)


@dataclass(frozen=True, eq=False)
class _Edges:
    """Directed edges with the mask on their right hand, sorted by `start`.

    `start` and `end` number the corners of voxels like the voxels of the padded array (a border of one in plane):
    corner n is the one that voxel n has with its neighbours to the right and below.
    """

    start: Int
    end: Int
    direction: Int


def mask_to_contours(mask: Mask, grid: Grid) -> list[Contour]:
    """Closed contours of a mask, slice by slice along axis 0 of the grid.

    Parameters
    ----------
    mask : voxels on `grid`.
    grid : the image's grid.

    Returns
    -------
    CLOSED_PLANAR contours in LPS mm, in the order of slices, each in one plane through its slice's voxel centres.
    """
    out = []
    for k, corners in trace(mask.bits):
        index = np.empty((len(corners), 3))
        index[:, 0] = k + mask.offset[0]
        # Corner n of voxels lies half a voxel before the centre of voxel n.
        index[:, 1:] = corners + np.array(mask.offset[1:]) - 0.5
        out.append(Contour(grid.to_world(index)))
    return out


def trace(bits: Bits) -> Iterator[tuple[int, Int]]:
    """Outlines of each slice of a bool (z, y, x) array.

    Yields
    ------
    (slice, corners) : corners (n, 2) int64 as (row, column) of voxel corners, corner 0 being the outer one of voxel 0;
        no three in a line, except where a bridge to a hole begins.
    """
    if not bits.any():
        return
    padded = np.pad(bits, ((0, 0), (1, 1), (1, 1)))
    rows, columns = padded.shape[1:]
    edges = _edges(padded.ravel(), columns)
    following = _following(edges)
    order, begin = _loops(following)
    bridged = _bridge_holes(padded, edges, following, order, begin)
    if bridged is not None:
        edges, following = bridged
        order, begin = _loops(following)
    start = edges.start[order]
    keep = _turns(edges.direction[order], begin)
    for low, high in zip(begin, [*begin[1:], len(order)], strict=True):
        corners = start[low:high][keep[low:high]]
        row = corners // columns
        yield int(row[0] // rows), np.column_stack([row % rows, corners % columns])


def _edges(flat: Bits, width: int) -> _Edges:
    """All edges between a voxel in the mask and a neighbour in its slice that isn't.

    `flat` is the padded array, flattened; padding keeps neighbours in `flat` from being ends of two rows or slices.
    """
    # Between voxels i and i + 1 an edge runs down from corner i - width, between i and i + width one from i - 1.
    beside = np.flatnonzero(flat[1:] ^ flat[:-1])
    begins = flat[beside + 1]
    above = np.flatnonzero(flat[width:] ^ flat[:-width])
    starts_below = flat[above + width]
    start = np.concatenate([np.where(begins, beside, beside - width), np.where(starts_below, above - 1, above)])
    end = np.concatenate([np.where(begins, beside - width, beside), np.where(starts_below, above, above - 1)])
    direction = np.concatenate([np.where(begins, _UP, _DOWN), np.where(starts_below, _RIGHT, _LEFT)])
    order = np.argsort(start, kind="stable")
    return _Edges(start[order], end[order], direction[order])


def _following(edges: _Edges) -> Int:
    """For each edge the number of the edge that goes on from its end.

    Two leave from a corner where voxels touch diagonally; the one to the right stays with the same voxel.
    """
    first = np.searchsorted(edges.start, edges.end)
    second = np.minimum(first + 1, len(first) - 1)
    two = (second != first) & (edges.start[second] == edges.end)
    take_second = two & (edges.direction[second] == (edges.direction + 1) % 4)
    return np.where(take_second, second, first)


def _loops(following: Int) -> tuple[Int, list[int]]:
    """Edge numbers loop by loop, and where in them each loop begins."""
    step: list[int] = following.tolist()
    seen = bytearray(len(step))
    order: list[int] = []
    begin: list[int] = []
    for first in range(len(step)):
        if seen[first]:
            continue
        begin.append(len(order))
        edge = first
        while not seen[edge]:
            seen[edge] = 1
            order.append(edge)
            edge = step[edge]
    return np.array(order, np.int64), begin


def _turns(direction: Int, begin: list[int]) -> NDArray[np.bool_]:
    """Where each loop turns. `direction` is of edges in loop order; a bridge has its own and so both ends are kept."""
    before = np.empty_like(direction)
    before[1:] = direction[:-1]
    ends = [*(b - 1 for b in begin[1:]), len(direction) - 1]
    before[begin] = direction[ends]
    return np.asarray(direction != before)


def _bridge_holes(
    padded: Bits, edges: _Edges, following: Int, order: Int, begin: list[int]
) -> tuple[_Edges, Int] | None:
    """Join each hole's loop to the one on its left by two edges there and back; None when there is no hole.

    The bridge goes from the hole's topmost, then leftmost, corner to the left along the edge between two rows of
    voxels, up to the first corner that has not mask on all sides. That corner belongs to the outline or to a hole
    that begins further up or left, so bridges never make a ring.
    """
    columns = padded.shape[2]
    step_down = (edges.direction == _DOWN).astype(np.int64) - (edges.direction == _UP)
    # The sum of column times step down the rows is a loop's area, negative for holes.
    area = np.add.reduceat((edges.start % columns * step_down)[order], begin)
    if not (area < 0).any():
        return None
    hole_corner = np.minimum.reduceat(edges.start[order], begin)[area < 0]
    # Corners with mask on both voxels to their right but not on both to their left: there a bridge can end.
    left_end = _bridge_ends(padded.ravel(), columns)
    target = left_end[np.searchsorted(left_end, hole_corner) - 1]
    # Neither corner is one where voxels touch diagonally, so one edge leaves from and one arrives at each.
    previous = np.empty_like(following)
    previous[following] = np.arange(len(following))
    leave_hole, leave_target = np.searchsorted(edges.start, hole_corner), np.searchsorted(edges.start, target)
    there = len(following) + np.arange(len(target))
    back = there + len(target)
    linked = np.concatenate([following, leave_hole, leave_target])
    linked[previous[leave_target]] = there
    linked[previous[leave_hole]] = back
    # Directions of their own keep both ends of a bridge as points of the polygon, so that its sides cancel exactly.
    bridged = _Edges(
        np.concatenate([edges.start, target, hole_corner]),
        np.concatenate([edges.end, hole_corner, target]),
        np.concatenate([edges.direction, np.full(len(target), 4), np.full(len(target), 5)]),
    )
    return bridged, linked


def _bridge_ends(flat: Bits, width: int) -> Int:
    """Numbers, ascending, of corners whose two voxels on the right are in the mask and those on the left not both."""
    pair = flat[:-width] & flat[width:]
    return np.flatnonzero(pair[1:] & ~pair[:-1])
