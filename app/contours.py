"""Masks to contours that enclose the very voxel centres of the mask, whoever fills them.

On each slice every 4-connected part becomes one polygon, either along the outer edges of its voxels (index plus or
minus one half) or as a smooth curve between voxel centres. Another program that tests voxel centres reads the same
mask, not one half a voxel smaller. A hole is joined to the outline round it by a bridge of no width (a keyhole), which
every reader understands, whether it combines contours by parity or by union, or is a contour of its own. Voxels that
touch at a corner only are kept apart, so no polygon crosses itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import cast

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.contour import Contour
from contourdesk.app.contours_raster import contours_to_mask
from contourdesk.app.contours_smooth import Float, Gates, smooth, thin_out
from contourdesk.app.contours_trace import (
    Bridges,
    Int,
    Outlines,
    cross_bridges,
    find_loops,
    find_outlines,
    loop_ends,
)
from contourdesk.app.geometry import Grid
from contourdesk.app.structures import Bits, Mask

__all__ = ["Contour", "ContourStyle", "contours_to_mask", "mask_to_contours", "trace"]

Loop = tuple[int, NDArray[np.float64]]
Images = tuple[Sequence[float], Sequence[float]]

STYLES = ("voxel edges", "smooth")
HOLES = ("keyhole", "inner loops", "xor")
SMOOTH_TOLERANCE = 0.05
# Tried in this order where a contour has too many points, in voxels; at the last only the gates themselves limit.
_WIDER = (0.1, 0.2, 0.4, 1.0)


@dataclass(frozen=True)
class ContourStyle:
    """How masks are drawn.

    Parameters
    ----------
    style : "voxel edges" or "smooth".
    holes : "keyhole": joined to the outline by a bridge of no width; "inner loops": closed contours inside, to be
        combined by parity; "xor": the same as CLOSEDPLANAR_XOR where there are holes.
    max_points : points of a contour at most, 0 for any number. Contours that have more are drawn with fewer, still with
        every voxel centre on its side; one that can't be stays as it is.
    """

    style: str = "voxel edges"
    holes: str = "keyhole"
    max_points: int = 0

    def __post_init__(self) -> None:
        if self.style not in STYLES or self.holes not in HOLES:
            raise ValueError(f"style must be one of {STYLES} and holes one of {HOLES}, got {self!r}")


EXACT = ContourStyle()
ENDLESS: Images = ((-np.inf, -np.inf), (np.inf, np.inf))


def mask_to_contours(mask: Mask, grid: Grid, style: ContourStyle = EXACT) -> list[Contour]:
    """Closed contours of a mask, slice by slice along axis 0 of the grid.

    Parameters
    ----------
    mask : voxels on `grid`.
    grid : the image's grid.
    style : how to draw them.

    Returns
    -------
    Contours in LPS mm, in the order of slices, each in one plane through its slice's voxel centres.
    """
    shape = np.array(grid.shape[1:]) - 1
    offset = np.array(mask.offset[1:])
    loops = list(trace(mask.bits, style, ((-offset).tolist(), (shape - offset).tolist())))
    if not loops:
        return []
    kind = "CLOSED_PLANAR"
    if style.holes == "xor" and _has_holes(loops):
        kind = "CLOSEDPLANAR_XOR"
    index = np.empty((sum(len(points) for _, points in loops), 3))
    lengths = [len(points) for _, points in loops]
    index[:, 0] = np.repeat([k for k, _ in loops], lengths) + mask.offset[0]
    # Corner n of voxels lies half a voxel before the centre of voxel n.
    index[:, 1:] = np.concatenate([points for _, points in loops]) + (np.array(mask.offset[1:]) - 0.5)
    world = grid.to_world(index)
    return [Contour(points, kind) for points in np.split(world, np.cumsum(lengths)[:-1])]


def trace(bits: Bits, style: ContourStyle = EXACT, images: Images = ENDLESS) -> Iterator[Loop]:
    """Outlines of each slice of a bool (z, y, x) array.

    Parameters
    ----------
    bits : bool array.
    style : how to draw them.
    images : (row, column) of the images' first and last voxel, as indices of the array; no outline goes beyond them.

    Yields
    ------
    (slice, points) : points (n, 2) as (row, column) of voxel corners, corner 0 being the outer one of voxel 0; whole
        numbers at voxel edges, and no three in a line, except where a bridge to a hole begins.
    """
    outlines = find_outlines(bits)
    if outlines is None:
        return
    loops = _at_edges(outlines, style) if style.style == "voxel edges" else _at_gates(outlines, style, images)
    if not style.max_points:
        yield from loops
        return
    for k, group in groupby(loops, key=itemgetter(0)):
        yield from ((k, points) for points in _with_fewer_points([p for _, p in group], bits[k : k + 1], style, images))


def _at_edges(outlines: Outlines, style: ContourStyle) -> Iterator[Loop]:
    """Polygons along the edges themselves, of those corners at which they turn."""
    direction, start, order, begin = outlines.edges.direction, outlines.edges.start, outlines.order, outlines.begin
    bridges = outlines.bridges if style.holes == "keyhole" else None
    if bridges is not None:
        order, begin = find_loops(cross_bridges(outlines.following, bridges))
        target, hole = start[bridges.leave_target], start[bridges.leave_hole]
        start = np.concatenate([start, target, hole])
        # Directions of their own keep both ends of a bridge as points of the polygon, so that its sides cancel exactly.
        direction = np.concatenate([direction, np.full(len(target), 4), np.full(len(hole), 5)])
    position = outlines.position(start[order])
    keep = _turns(direction[order], begin)
    for low, high in zip(begin, loop_ends(begin, len(order)), strict=True):
        corners = position[low:high][keep[low:high]]
        yield int(corners[0, 0]), corners[:, 1:].astype(np.float64)


def _turns(direction: Int, begin: Int) -> NDArray[np.bool_]:
    """Where each loop turns. `direction` is of edges in loop order."""
    before = np.empty_like(direction)
    before[1:] = direction[:-1]
    before[begin] = direction[loop_ends(begin, len(direction)) - 1]
    return np.asarray(direction != before)


def _at_gates(
    outlines: Outlines, style: ContourStyle, images: Images, tolerance: float = SMOOTH_TOLERANCE
) -> Iterator[Loop]:
    """Smooth polygons through the gates, of as few points as `tolerance` (in voxels) lets there be."""
    gates = Gates.of(outlines, *images)
    shift = smooth(gates)
    place = np.empty(len(outlines.order), np.int64)  # of each edge, loop by loop
    place[outlines.order] = np.arange(len(place))
    bridges = outlines.bridges if style.holes == "keyhole" else None
    keep = np.zeros(len(place), bool)
    if bridges is not None:
        # A bridge ends in the middle between two points, so both must stay.
        for end in (bridges.enter_hole, bridges.leave_hole, bridges.enter_target, bridges.leave_target):
            keep[place[end]] = True
    stays = thin_out(gates, shift, keep, tolerance)
    # Corner n of voxels lies half a voxel beyond the centre of voxel n.
    points, order, begin = gates.points(shift) - 0.5, outlines.order, outlines.begin
    slices = outlines.position(outlines.edges.start[order])[:, 0]
    if bridges is not None:
        order, begin, points, stays = _over_bridges(outlines, bridges, place, points, stays)
        slices = outlines.position(outlines.edges.start[order])[:, 0]
    for low, high in zip(begin, loop_ends(begin, len(order)), strict=True):
        yield int(slices[low]), points[low:high][stays[low:high]]


def _over_bridges(
    outlines: Outlines, bridges: Bridges, place: Int, points: Float, stays: NDArray[np.bool_]
) -> tuple[Int, Int, Float, NDArray[np.bool_]]:
    """Loops with their bridges: edge (or 0) of each point, begin of each loop, points, and which of them stay.

    A bridge joins the middles of two pieces of outline, one round the hole and one to its left. Both lie between the
    same two rows of voxel centres, and there is nothing but mask between them.
    """
    count, bridged = len(outlines.following), len(bridges.leave_hole)
    by_edge, stay_by_edge = points[place], stays[place]
    target, hole = (
        (by_edge[enter] + by_edge[leave]) / 2
        for enter, leave in ((bridges.enter_target, bridges.leave_target), (bridges.enter_hole, bridges.leave_hole))
    )
    order, begin = find_loops(cross_bridges(outlines.following, bridges))
    crossing = order >= count
    repeats = np.where(crossing, 2, 1)
    first = np.cumsum(repeats) - repeats
    # Number of a point: its edge's, or behind those the target's and then the hole's; there and back again.
    number = np.repeat(order, repeats)
    number[first[crossing] + 1] += np.where(order[crossing] < count + bridged, bridged, -bridged)
    all_points = np.concatenate([by_edge, target, hole])
    all_stay = np.concatenate([stay_by_edge, np.ones(2 * bridged, bool)])
    edge = np.where(number < count, number, 0)
    return edge, first[begin], all_points[number], all_stay[number]


def _with_fewer_points(loops: list[Float], bits: Bits, style: ContourStyle, images: Images) -> list[Float]:
    """The loops of one slice, `bits` (1, rows, columns), with those that are too long drawn with fewer points."""
    for tolerance in _WIDER:
        if max(map(len, loops)) <= style.max_points:
            break
        outlines = cast(Outlines, find_outlines(bits))
        thinner = [points for _, points in _at_gates(outlines, style, images, tolerance)]
        loops = [b if len(a) > style.max_points else a for a, b in zip(loops, thinner, strict=True)]
    return loops


def _has_holes(loops: list[tuple[int, Float]]) -> bool:
    return any(_area(points) < 0 for _, points in loops)


def _area(points: Float) -> float:
    after = np.roll(points, -1, axis=0)
    return float((points[:, 1] * after[:, 0] - points[:, 0] * after[:, 1]).sum())
