"""Smooth outlines of masks that leave every voxel centre on its side.

Each voxel edge of an outline lies between the centre of a voxel in the mask and that of one that isn't. The smooth
outline crosses the line between these two centres exactly once, somewhere strictly between them (its *gate*). Any
polygon that passes the same gates in the same order has the same voxel centres inside, crosses neither itself nor
another, and keeps holes, islands and parts that touch at a corner as they are. Within the gates the points are moved
so that the outline bends little and encloses as much as its voxels do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.contours_trace import Int, Outlines, loop_ends

Float = NDArray[np.float64]

# How far from the middle between two centres, in voxels, a point may be: it stays this much below half a voxel.
REACH = 0.45
# Which way is out of the mask for an edge in direction RIGHT, DOWN, LEFT, UP, as (row, column).
_OUT = np.array([[-1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, -1.0]])
# Taubin's smoothing: a step that evens out and a larger one back, so that curves don't shrink.
_STEPS = (0.7, -0.72)
_ROUNDS = 10
_AREA_ROUNDS = 4
_LEAST_POINTS = 4


@dataclass(frozen=True, eq=False)
class Gates:
    """The gates of all outlines, loop by loop.

    `middle` (n, 2) is the middle of each gate as (row, column) in index coordinates of the padded array, `out` the
    unit vector along the gate out of the mask; `before` and `after` are places of neighbours in the loop. `most` (n,)
    is how far out of the middle a point may go: nowhere where the images end.
    """

    middle: Float
    out: Float
    before: Int
    after: Int
    begin: Int
    most: Float

    @classmethod
    def of(cls, outlines: Outlines, low: Sequence[float], high: Sequence[float]) -> Gates:
        """The gates of an array's outlines, in the order of their loops.

        `low` and `high` are the (row, column) of the first and last voxel of the images, as indices of the array.
        """
        edges, order, begin = outlines.edges, outlines.order, outlines.begin
        start = outlines.position(edges.start[order])[:, 1:]
        end = outlines.position(edges.end[order])[:, 1:]
        place = np.arange(len(order))
        ends = loop_ends(begin, len(order))
        after, before = place + 1, place - 1
        after[ends - 1], before[begin] = begin, ends - 1
        # Corner n of voxels lies half a voxel beyond the centre of voxel n.
        middle, out = (start + end) / 2 + 0.5, _OUT[edges.direction[order]]
        beyond = middle + out / 2 - 1  # the voxel outside; the padded array begins one voxel early
        on_images = ((beyond >= np.asarray(low)) & (beyond <= np.asarray(high))).all(axis=1)
        return cls(middle, out, before, after, begin, np.where(on_images, REACH, 0.0))

    def points(self, shift: Float) -> Float:
        """Points (n, 2) at `shift` (n,) voxels out of the gates' middles."""
        return self.middle + shift[:, None] * self.out


def smooth(gates: Gates) -> Float:
    """How far out of the middle of its gate each point goes, (n,) in voxels, at most `REACH` either way."""
    # Only one coordinate of each point moves, along its gate: row (0) or column (1).
    axis, sign = (gates.out[:, 1] != 0).astype(np.int64), gates.out.sum(axis=1)
    own, before, after = (2 * place + axis for place in (np.arange(len(axis)), gates.before, gates.after))
    points = gates.middle.ravel().copy()
    middle = points[own]
    low, high = middle - np.where(sign > 0, REACH, gates.most), middle + np.where(sign > 0, gates.most, REACH)
    at = middle
    for _ in range(_ROUNDS):
        for step in _STEPS:
            bend = (points[before] + points[after]) / 2 - at
            at = np.clip(at + step * bend, low, high)
            points[own] = at
    shift = sign * (at - middle)
    return _keep_area(gates, shift)


def _keep_area(gates: Gates, shift: Float) -> Float:
    """Move each loop in or out as a whole until it encloses the area of its voxels, as near as its gates let it."""
    counts = np.diff(loop_ends(gates.begin, len(shift)), prepend=0)
    wanted = _areas(gates, gates.middle + _corner_offsets(gates))
    across = (gates.out[:, 0] != 0).astype(np.int64)
    for _ in range(_AREA_ROUNDS):
        points = gates.points(shift)
        # What the area gains for each voxel that the point goes out: half the way past it, across its gate.
        gain = np.abs(points[gates.after, across] - points[gates.before, across]) / 2
        # A point at the end of its gate can't take its part.
        lack = wanted - _areas(gates, points)
        free = np.where(np.repeat(lack > 0, counts), shift < gates.most, shift > -REACH)
        total = np.add.reduceat(np.where(free, gain, 0.0), gates.begin)
        step = np.where(total > 0, lack / np.maximum(total, 1e-9), 0.0)
        shift = np.clip(shift + np.repeat(step, counts), -REACH, gates.most)
    return shift


def _corner_offsets(gates: Gates) -> Float:
    """From the middle of each edge to its start, in index coordinates: half a voxel back along the edge."""
    return np.column_stack([gates.out[:, 1], -gates.out[:, 0]]) * -0.5


def _areas(gates: Gates, points: Float) -> Float:
    """Signed area of each loop in voxels: positive round voxels of the mask, negative round holes."""
    row, column = points[:, 0], points[:, 1]
    cross = column * row[gates.after] - row * column[gates.after]
    return np.asarray(np.add.reduceat(cross, gates.begin) / 2)


def thin_out(gates: Gates, shift: Float, keep: NDArray[np.bool_], tolerance: float) -> NDArray[np.bool_]:
    """Which points a polygon needs when it may pass each gate up to `tolerance` voxels from where it did.

    Parameters
    ----------
    gates, shift : where the outlines pass.
    keep : points that must stay, besides the first of each loop.
    tolerance : in voxels, along the gate. The gates themselves are kept to in any case.

    Returns
    -------
    bool (n,) : True for points that stay; at least four of each loop that has so many.
    """
    points = gates.points(shift)
    fixed = keep.copy()
    fixed[gates.begin] = True
    stays = np.ones(len(points), bool)
    loop = np.repeat(np.arange(len(gates.begin)), np.diff(loop_ends(gates.begin, len(points)), prepend=0))
    failed = np.zeros(len(points), bool)
    idle, turn = 0, 0
    while idle < 2:
        places = np.flatnonzero(stays)
        left = np.bincount(loop[places])
        number = np.arange(len(places)) - np.repeat(np.cumsum(left) - left, left)
        # Every other point, so that no two neighbours go at once.
        candidates = np.flatnonzero((number % 2 == turn % 2) & ~fixed[places] & ~failed[places])
        room = left[loop[places[candidates]]] > 2 * _LEAST_POINTS
        candidates = candidates[room]
        idle, turn = 0 if len(candidates) else idle + 1, turn + 1
        if len(candidates):
            good = _passes(gates, points, shift, places, candidates, tolerance)
            stays[places[candidates[good]]] = False
            failed[places[candidates[~good]]] = True
    return stays


def _passes(
    gates: Gates, points: Float, shift: Float, places: Int, candidates: Int, tolerance: float
) -> NDArray[np.bool_]:
    """Say for each candidate whether the line between its neighbours passes all gates between them near enough.

    `candidates` are indices into `places`, the places of points that still stay. None is the first of its loop, so
    the one before is the place before; the one after may be the loop's first, where the loop closes.
    """
    first = places[candidates - 1]
    following = np.append(places[1:], -1)[candidates]
    closes = np.append(np.isin(places[1:], gates.begin), True)[candidates]
    owner = np.searchsorted(gates.begin, first, side="right") - 1
    last = np.where(closes, loop_ends(gates.begin, len(points))[owner], following)
    between = last - first - 1
    number = np.repeat(np.arange(len(candidates)), between)
    place = first[number] + 1 + np.arange(len(number)) - np.repeat(np.cumsum(between) - between, between)
    a = points[first][number]
    b = points[np.where(closes, gates.begin[owner], following)][number]
    out, middle = gates.out[place], gates.middle[place]
    # Along the gate, and across it: a gate lies on a line of constant coordinate across.
    upright = out[:, 0] != 0
    a_across, b_across, at = (np.where(upright, p[:, 1], p[:, 0]) for p in (a, b, middle))
    span = b_across - a_across
    level = np.abs(span) < 1e-9
    part = (at - a_across) / np.where(level, 1.0, span)
    crossing = ((a - middle) * out).sum(axis=1) + part * ((b - a) * out).sum(axis=1)
    good = ~level & (part > 0) & (part < 1) & (crossing >= -REACH) & (crossing <= gates.most[place])
    good &= np.abs(crossing - shift[place]) <= tolerance
    same = number[1:] == number[:-1]
    good[1:] &= ~same | (part[1:] >= part[:-1] - 1e-12)
    return np.logical_and.reduceat(good, np.cumsum(between) - between)
