"""Contours on planes that are not the images': drawn on sagittal or tilted planes, or on images of another angle.

The rule, with nothing interpolated: a voxel asks the contour plane nearest to its centre, at most half the distance of
those planes away, and belongs to the structure when its centre, moved square onto that plane, lies inside an odd
number of the contours there. A single plane fills one layer of voxels. Contours that are not flat, not parallel to
each other, or so far apart that what lies between is not known, are refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.contour import Contour
from contourdesk.app.contours_place import DECIMALS, SAME_PLANE_MM
from contourdesk.app.geometry import Box, Grid, whole_box
from contourdesk.app.structures import Bits, Mask

MAX_SPACING_MM = 10.0
_GAP = 1.5  # planes further apart than this, in median distances, have a gap between them

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Filled:
    """Mask of contours on parallel planes `spacing_mm` apart (0: one plane), or the `problem` they have instead."""

    mask: Mask
    problem: str = ""
    spacing_mm: float = 0.0


@dataclass(frozen=True, eq=False)
class _Plane:
    """Points between `low` and `high` (mm along the normal) belong to this plane's polygons, (n, 3) LPS mm each."""

    low: float
    high: float
    polygons: tuple[Float, ...]


def fill_planes(contours: Sequence[Contour], grid: Grid) -> Filled:
    """Fill closed contours of three points or more, which share a direction that is not the images'."""
    points = [c.points_lps for c in contours]
    normal = _common_normal(points)
    if normal is None:
        return Filled(Mask(), "has contours without an area")
    height = [p @ normal for p in points]
    if max(float(np.ptp(h)) for h in height) > 2 * SAME_PLANE_MM:
        return Filled(Mask(), "has contours that lie neither in the planes of the images nor on parallel planes")
    middle = np.array([(h.min() + h.max()) / 2 for h in height])
    groups = _groups(middle)
    at = np.array([middle[g].mean() for g in groups])
    spacing = float(np.median(np.diff(at))) if len(at) > 1 else 0.0
    if spacing > MAX_SPACING_MM:
        return Filled(Mask(), f"is drawn on planes {spacing:.0f} mm apart, which don't tell what lies between")
    low, high = _slabs(at, spacing or _layer(grid, normal))
    planes = [
        _Plane(float(a), float(b), tuple(points[i] for i in g)) for a, b, g in zip(low, high, groups, strict=True)
    ]
    return Filled(_fill(planes, normal, grid), spacing_mm=spacing)


def _common_normal(points: Sequence[Float]) -> Float | None:
    """Unit normal of all contours together, large ones counting most; None when they have no area."""
    areas = np.array([np.cross(p - p[0], np.roll(p, -1, axis=0) - p[0]).sum(axis=0) for p in points])
    sizes = np.linalg.norm(areas, axis=1)
    largest = areas[int(sizes.argmax())]
    total = (areas * np.where(areas @ largest < 0, -1.0, 1.0)[:, None]).sum(axis=0)
    length = float(np.linalg.norm(total))
    return total / length if length > 1e-6 else None


def _groups(middle: Float) -> list[list[int]]:
    """Numbers of the contours on each plane, plane by plane along the normal."""
    out: list[list[int]] = []
    start = -np.inf
    for i in np.argsort(middle, kind="stable"):
        if middle[i] - start > SAME_PLANE_MM:
            start = middle[i]
            out.append([])
        out[-1].append(int(i))
    return out


def _slabs(at: Float, spacing: float) -> tuple[Float, Float]:
    """Where what belongs to each plane begins and ends: half-way to the next one, or half the distance at a gap."""
    low, high = at - spacing / 2, at + spacing / 2
    near = np.diff(at) <= _GAP * spacing
    half_way = (at[1:] + at[:-1]) / 2
    high[:-1] = np.where(near, half_way, high[:-1])
    low[1:] = np.where(near, half_way, low[1:])
    return low, high


def _layer(grid: Grid, normal: Float) -> float:
    """Thickness of one layer of voxels, mm along the normal."""
    return float(np.abs(normal @ grid.affine[:3, :3]).max())


def _fill(planes: Sequence[_Plane], normal: Float, grid: Grid) -> Mask:
    across = _across(normal, grid)
    boxes = [_box(plane, normal, grid) for plane in planes]
    low = [min(b[i].start for b in boxes) for i in range(3)]
    high = [max(b[i].stop for b in boxes) for i in range(3)]
    bits = np.zeros([max(0, h - lo) for lo, h in zip(low, high, strict=True)], bool)
    for plane, box in zip(planes, boxes, strict=True):
        polygons = [np.round(p @ across.T, DECIMALS) for p in plane.polygons]
        for index in _layers(plane, normal, grid, box):
            inside = points_inside(np.round(grid.to_world(index) @ across.T, DECIMALS), polygons)
            z, y, x = (index[inside] - low).T
            bits[z, y, x] = True
    return Mask.from_dense(bits, (low[0], low[1], low[2]))


def _across(normal: Float, grid: Grid) -> Float:
    """(2, 3) orthogonal unit vectors in the planes, near to the grid's axes: then centres on an outline fall alike."""
    first, second = (grid.directions[:, a] for a in range(3) if a != _depth_axis(normal, grid))
    first = first - normal * (first @ normal)
    first = first / np.linalg.norm(first)
    second = second - normal * (second @ normal) - first * (first @ second)
    return np.array([first, second / np.linalg.norm(second)])


def _depth_axis(normal: Float, grid: Grid) -> int:
    """The array axis that crosses the planes most squarely."""
    return int(np.abs(normal @ grid.directions).argmax())


def _box(plane: _Plane, normal: Float, grid: Grid) -> Box:
    """Box of the grid round all that can belong to a plane's polygons."""
    points = np.concatenate(plane.polygons)
    foot = points - np.outer(points @ normal, normal)
    corners = np.concatenate([grid.to_index(foot + normal * h) for h in (plane.low, plane.high)])
    start, stop = np.ceil(corners.min(axis=0) - 1e-6), np.floor(corners.max(axis=0) + 1e-6) + 1
    clip = [np.clip([a, b], s.start, s.stop) for a, b, s in zip(start, stop, whole_box(grid.shape), strict=True)]
    z, y, x = (slice(int(a), int(b)) for a, b in clip)
    return z, y, x


def _layers(plane: _Plane, normal: Float, grid: Grid, box: Box) -> list[NDArray[np.int64]]:
    """Indices (m, 3) of the voxels in `box` whose centres lie in the plane's slab, some for each list item."""
    step = normal @ grid.affine[:3, :3]  # mm along the normal from voxel to voxel on each axis
    axis = _depth_axis(normal, grid)
    others = [a for a in range(3) if a != axis]
    first, second = np.meshgrid(*(np.arange(box[a].start, box[a].stop) for a in others), indexing="ij")
    base = float(normal @ grid.origin_lps) + step[others[0]] * first + step[others[1]] * second
    begin, end = (np.round((edge - base) / step[axis], DECIMALS) for edge in (plane.low, plane.high))
    if step[axis] > 0:
        start, stop = np.ceil(begin), np.ceil(end)
    else:  # the far edge stays the one that does not belong
        start, stop = np.floor(end) + 1, np.floor(begin) + 1
    start, stop = np.maximum(start, box[axis].start).astype(np.int64), np.minimum(stop, box[axis].stop)
    out = []
    for n in range(int((stop - start).max(initial=0))):
        here = start + n < stop
        index = np.empty((int(np.count_nonzero(here)), 3), np.int64)
        index[:, axis], index[:, others[0]], index[:, others[1]] = start[here] + n, first[here], second[here]
        out.append(index)
    return out


def points_inside(points: Float, polygons: Sequence[Float]) -> Bits:
    """Bool (m,): whether each of the points (m, 2) lies inside an odd number of the polygons, (n, 2) each."""
    order = np.argsort(points[:, 0], kind="stable")
    level = points[order, 0]
    a = np.concatenate(polygons)
    b = np.concatenate([np.roll(p, -1, axis=0) for p in polygons])
    swap = (a[:, 0] > b[:, 0])[:, None]
    a, b = np.where(swap, b, a), np.where(swap, a, b)
    # An edge concerns points with a <= level < b; it turns over those at or beyond where it crosses their level.
    start = np.searchsorted(level, a[:, 0])
    count = np.searchsorted(level, b[:, 0]) - start
    edge = np.repeat(np.arange(len(a)), count)
    point = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + start[edge]
    at = a[edge, 1] + (level[point] - a[edge, 0]) * ((b[edge, 1] - a[edge, 1]) / (b[edge, 0] - a[edge, 0]))
    turned = points[order[point], 1] >= np.round(at, DECIMALS)
    out = np.zeros(len(points), bool)
    out[order] = np.bincount(point[turned], minlength=len(points)) % 2 == 1
    return out
