"""Outlines of masks as loops of voxel edges, and the bridges that make keyholes of holes.

An edge lies between a voxel in the mask and a neighbour in its slice that isn't. Edges are followed with the mask on
their right hand; where two voxels touch at a corner only, the loop stays with its voxel, so such voxels are kept apart
and no loop crosses itself. Loops round holes run the other way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.structures import Bits

Int = NDArray[np.int64]

# Directions on a slice seen with rows down and columns to the right, clockwise: along columns, down the rows, and back.
RIGHT, DOWN, LEFT, UP = range(4)


@dataclass(frozen=True, eq=False)
class Edges:
    """Directed edges with the mask on their right hand, sorted by `start`.

    `start` and `end` number the corners of voxels like the voxels of the padded array (a border of one in plane):
    corner n is the one that voxel n has with its neighbours to the right and below.
    """

    start: Int
    end: Int
    direction: Int


@dataclass(frozen=True, eq=False)
class Bridges:
    """One bridge for each hole, given by edge numbers.

    A bridge joins the corner where edge `leave_hole` begins (and `enter_hole` ends) with a corner to its left, where
    `leave_target` begins (and `enter_target` ends).
    """

    enter_hole: Int
    leave_hole: Int
    enter_target: Int
    leave_target: Int


@dataclass(frozen=True, eq=False)
class Outlines:
    """All outlines of a bool array.

    `shape` is the padded array's; `following` gives for each edge the next one; `order` lists edge numbers loop by
    loop, and `begin` says where in it each loop begins; `bridges` is None where there are no holes.
    """

    shape: tuple[int, int, int]
    edges: Edges
    following: Int
    order: Int
    begin: Int
    bridges: Bridges | None

    def position(self, corner: Int) -> Int:
        """(slice, row, column) of corners by their number, (n, 3); corner 0 of a row is the outer one of voxel 0."""
        rows, columns = self.shape[1:]
        row = corner // columns
        return np.column_stack([row // rows, row % rows, corner % columns])


def find_outlines(bits: Bits) -> Outlines | None:
    """Outlines of a bool (z, y, x) array, slice by slice; None when nothing is set."""
    if not bits.any():
        return None
    padded = np.pad(bits, ((0, 0), (1, 1), (1, 1)))
    edges = _edges(padded.ravel(), padded.shape[2])
    following = _following(edges)
    order, begin = find_loops(following)
    shape = (padded.shape[0], padded.shape[1], padded.shape[2])
    return Outlines(shape, edges, following, order, begin, _bridges(padded, edges, following, order, begin))


def _edges(flat: Bits, width: int) -> Edges:
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
    direction = np.concatenate([np.where(begins, UP, DOWN), np.where(starts_below, RIGHT, LEFT)])
    order = np.argsort(start, kind="stable")
    return Edges(start[order], end[order], direction[order])


def _following(edges: Edges) -> Int:
    """For each edge the number of the edge that goes on from its end.

    Two leave from a corner where voxels touch diagonally; the one to the right stays with the same voxel.
    """
    first = np.searchsorted(edges.start, edges.end)
    second = np.minimum(first + 1, len(first) - 1)
    two = (second != first) & (edges.start[second] == edges.end)
    take_second = two & (edges.direction[second] == (edges.direction + 1) % 4)
    return np.where(take_second, second, first)


def find_loops(following: Int) -> tuple[Int, Int]:
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
    return np.array(order, np.int64), np.array(begin, np.int64)


def loop_ends(begin: Int, count: int) -> Int:
    """Where each loop ends, one past its last place; `count` is the number of all places."""
    return np.append(begin[1:], count)


def _bridges(padded: Bits, edges: Edges, following: Int, order: Int, begin: Int) -> Bridges | None:
    """Where each hole's loop can be joined to the one on its left; None when there is no hole.

    The bridge goes from the hole's topmost, then leftmost, corner to the left along the edge between two rows of
    voxels, up to the first corner that has not mask on all sides. That corner belongs to the outline or to a hole
    that begins further up or left, so bridges never make a ring.
    """
    columns = padded.shape[2]
    step_down = (edges.direction == DOWN).astype(np.int64) - (edges.direction == UP)
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
    return Bridges(previous[leave_hole], leave_hole, previous[leave_target], leave_target)


def _bridge_ends(flat: Bits, width: int) -> Int:
    """Numbers, ascending, of corners whose two voxels on the right are in the mask and those on the left not both."""
    pair = flat[:-width] & flat[width:]
    return np.flatnonzero(pair[1:] & ~pair[:-1])


def cross_bridges(following: Int, bridges: Bridges) -> Int:
    """`following` with two more edges for each bridge: all that go to the holes, then all that come back."""
    there = len(following) + np.arange(len(bridges.leave_hole))
    back = there + len(there)
    linked = np.concatenate([following, bridges.leave_hole, bridges.leave_target])
    linked[bridges.enter_target] = there
    linked[bridges.enter_hole] = back
    return linked
