"""Mask to mask, in mm: pure functions without state. `footprints.py` holds what the brush and its like cover.

Everything works on the box round the mask (with the margin that the operation needs), never on the whole grid.
Lengths use the grid's spacing, so anisotropic voxels are exact; on a sheared (gantry tilt) grid they are approximate.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from contourdesk.app.footprints import connected, disc, enclosed, polygon, sphere, stamp, stroke
from contourdesk.app.geometry import Box, Grid
from contourdesk.app.structures import Bits, Mask, tight_box

__all__ = [
    "connected",
    "disc",
    "enclosed",
    "fill_holes",
    "grow",
    "interpolate",
    "intersect",
    "keep_largest",
    "polygon",
    "shrink",
    "smooth",
    "sphere",
    "stamp",
    "stroke",
    "subtract",
    "union",
]

_CORNERS = np.ones((3, 3, 3), bool)
_TOLERANCE_MM = 1e-6


def keep_largest(mask: Mask) -> Mask:
    """Only the largest part; voxels that touch at a corner hang together. The first one wins a tie."""
    labels, count = ndimage.label(mask.bits, _CORNERS)
    if count < 2:
        return mask
    return Mask.from_dense(labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:])), mask.offset)


def fill_holes(mask: Mask, slice_axis: int | None = 0) -> Mask:
    """With holes filled: on each plane across `slice_axis`, or only closed cavities in 3D when it is None."""
    if mask.bits.size == 0:
        return mask
    if slice_axis is None:
        return Mask(mask.offset, ndimage.binary_fill_holes(mask.bits))
    in_plane = ndimage.generate_binary_structure(3, 1)
    in_plane[tuple(slice(None) if a != slice_axis else [0, 2] for a in range(3))] = False
    # The plane's own border must not close a hole, so look at it with an empty frame.
    pad = [(0, 0) if a == slice_axis else (1, 1) for a in range(3)]
    filled = ~_reached_from_border(np.pad(mask.bits, pad), in_plane, slice_axis)
    inner = tuple(slice(a, n - b) for (a, b), n in zip(pad, filled.shape, strict=True))
    return Mask(mask.offset, filled[inner])


def _reached_from_border(padded: Bits, in_plane: Bits, slice_axis: int) -> Bits:
    labels, _ = ndimage.label(~padded, in_plane)
    corner = tuple(slice(None) if a == slice_axis else 0 for a in range(3))
    return np.asarray(np.isin(labels, np.unique(labels[corner])) & (labels > 0))


def grow(mask: Mask, grid: Grid, mm: float) -> Mask:
    """With every voxel whose centre lies within `mm` of the centre of one of the mask's voxels.

    Raises ValueError for a negative `mm`.
    """
    if mm < 0:
        raise ValueError("use shrink for a negative margin")
    if mask.is_empty or mm == 0:
        return mask
    box = _around(mask, grid, mm)
    distance = ndimage.distance_transform_edt(~mask.read(box), sampling=grid.spacing_mm)
    return Mask.from_dense(distance <= mm + _TOLERANCE_MM, _start(box))


def shrink(mask: Mask, grid: Grid, mm: float) -> Mask:
    """Without every voxel whose centre lies within `mm` of the centre of a voxel outside: `grow` of the background.

    The edge of the scan is no surface of the organ: nothing is taken off there. Raises ValueError for a negative `mm`.
    """
    if mm < 0:
        raise ValueError("use grow for a negative margin")
    box = _around(mask, grid, max(grid.spacing_mm))
    bits = mask.read(box)
    if mm == 0 or bits.all():
        return mask
    distance = ndimage.distance_transform_edt(bits, sampling=grid.spacing_mm)
    return Mask.from_dense(distance > mm + _TOLERANCE_MM, _start(box))


def smooth(mask: Mask, grid: Grid, mm: float) -> Mask:
    """With a surface smoothed by a Gaussian of standard deviation `mm`, about the same volume as before.

    The level is the one that keeps the voxel count, but between 0.3 and 0.5 so that a speck much smaller than `mm`
    goes away and does not turn into a ball.
    """
    if mask.is_empty or mm <= 0:
        return mask
    box = _around(mask, grid, 4 * mm)
    sigma = [mm / s for s in grid.spacing_mm]
    level = ndimage.gaussian_filter(mask.read(box).astype(np.float32), sigma, mode="nearest")
    keep = level.size - min(mask.count, level.size)
    kept_volume = float(np.partition(level.ravel(), keep)[keep])
    return Mask.from_dense(level >= np.clip(kept_volume, 0.3, 0.5), _start(box))


def union(a: Mask, b: Mask) -> Mask:
    """Voxels of `a` or `b`."""
    box = _both(a, b)
    return Mask.from_dense(a.read(box) | b.read(box), _start(box))


def intersect(a: Mask, b: Mask) -> Mask:
    """Voxels of both `a` and `b`."""
    return Mask.from_dense(a.bits & b.read(a.box), a.offset)


def subtract(a: Mask, b: Mask) -> Mask:
    """Voxels of `a` that are not in `b`."""
    return Mask.from_dense(a.bits & ~b.read(a.box), a.offset)


def interpolate(mask: Mask, grid: Grid, slice_axis: int = 0) -> Mask:
    """With empty planes between drawn ones filled in; drawn planes stay as they are.

    Shape-based: signed distances (mm) of the two drawn neighbours, laid on a common centre and weighted by how near
    each is, give the outline; the centre moves on a straight line, so a slanting vessel keeps its width.
    """
    if mask.is_empty:
        return mask
    bits = np.moveaxis(mask.bits, slice_axis, 0)
    out = bits.copy()
    spacing = [s for a, s in enumerate(grid.spacing_mm) if a != slice_axis]
    drawn = np.flatnonzero(bits.any(axis=(1, 2)))
    for low, high in pairwise(drawn):
        for k in range(low + 1, high):
            out[k] = _between(bits[low], bits[high], (k - low) / (high - low), spacing)
    return Mask(mask.offset, np.moveaxis(out, 0, slice_axis))


def _between(a: NDArray[np.bool_], b: NDArray[np.bool_], t: float, spacing: list[float]) -> NDArray[np.bool_]:
    move = np.mean(np.nonzero(b), axis=1) - np.mean(np.nonzero(a), axis=1)
    # Distances must be known beyond the plane's box too, as far as they are moved.
    pad = int(np.ceil(np.abs(move).max())) + 1
    parts = [
        ndimage.shift(_signed_distance(np.pad(m, pad), spacing), d, order=1, mode="nearest")
        for m, d in ((a, t * move), (b, (t - 1) * move))
    ]
    return np.asarray((1 - t) * parts[0] + t * parts[1] > 0)[pad:-pad, pad:-pad]


def _signed_distance(bits: NDArray[np.bool_], spacing: list[float]) -> NDArray[np.float64]:
    """Distance in mm to the nearest voxel centre of the other side, positive inside."""
    edt = ndimage.distance_transform_edt
    return np.asarray(edt(bits, sampling=spacing) - edt(~bits, sampling=spacing))


def _around(mask: Mask, grid: Grid, mm: float) -> Box:
    """The tight box round the mask, `mm` and a voxel wider, inside the grid."""
    tight = tight_box(mask.bits) or (slice(0, 0), slice(0, 0), slice(0, 0))
    out = []
    for s, o, n, step in zip(tight, mask.offset, grid.shape, grid.spacing_mm, strict=True):
        more = int(np.ceil(mm / step)) + 1
        out.append(slice(max(0, s.start + o - more), min(n, s.stop + o + more)))
    return out[0], out[1], out[2]


def _both(a: Mask, b: Mask) -> Box:
    boxes = [m.box for m in (a, b) if m.bits.size] or [a.box]
    z, y, x = (slice(min(p[i].start for p in boxes), max(p[i].stop for p in boxes)) for i in range(3))
    return z, y, x


def _start(box: Box) -> tuple[int, int, int]:
    return int(box[0].start), int(box[1].start), int(box[2].start)
