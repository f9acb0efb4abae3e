"""What a tool covers: brush, polygon and the region a fill would take, as boxes of bits on a grid.

All are pure functions that return ``(offset, bits)``: the index (z, y, x) of a box's first voxel and a (z, y, x) bool
array of the voxels covered, cut to the grid (so possibly of size 0). A voxel is covered when its centre is. Positions
are indices in (slice, row, column), fractions allowed; sizes are mm, also on non-square, sheared or oblique grids.
`stamp` turns a footprint into the bits that `ReviewSession.paint` wants.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from contourdesk.app.contours_raster import fill_polygons
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.history import Index
from contourdesk.app.structures import Bits, Mask

Patch = tuple[Index, Bits]
Position = Sequence[float] | NDArray[np.float64]


def disc(grid: Grid, centre_index: Position, radius_mm: float, slice_axis: int) -> Patch:
    """Brush of `radius_mm` on the plane across array axis `slice_axis` that lies nearest to `centre_index`.

    The voxel under the centre is always covered, however small the brush.
    """
    return stroke(grid, [centre_index], radius_mm, slice_axis)


def sphere(grid: Grid, centre_index: Position, radius_mm: float) -> Patch:
    """Ball of `radius_mm`; the voxel under its centre is always covered."""
    return stroke(grid, [centre_index], radius_mm)


def stroke(grid: Grid, points: Sequence[Position], radius_mm: float, slice_axis: int | None = None) -> Patch:
    """What a brush covers on its way along `points`, without gaps.

    Parameters
    ----------
    points : one or more positions; all are moved onto the plane of the first one when `slice_axis` is given.
    radius_mm : brush radius.
    slice_axis : array axis across the plane painted on, or None for a ball.

    Raises
    ------
    ValueError : no points, or a radius below 0.
    """
    path = np.array(points, dtype=np.float64).reshape(-1, 3)
    if len(path) == 0 or radius_mm < 0:
        raise ValueError("a stroke needs a point and a radius of 0 mm or more")
    if slice_axis is not None:
        path[:, slice_axis] = np.floor(path[0, slice_axis] + 0.5)
    steps = grid.affine[:3, :3]
    # Half the width of the ball along each index axis; exact for sheared grids too.
    reach = radius_mm * np.sqrt(np.diag(np.linalg.inv(steps.T @ steps)))
    low = np.floor(path.min(axis=0) - reach).astype(int)
    high = np.ceil(path.max(axis=0) + reach).astype(int) + 1
    if slice_axis is not None:
        low[slice_axis], high[slice_axis] = path[0, slice_axis], path[0, slice_axis] + 1
    low, high = np.maximum(low, 0), np.minimum(high, grid.shape)
    if (high <= low).any():
        return (0, 0, 0), np.zeros((0, 0, 0), bool)
    covered = np.zeros(tuple(high - low), bool)
    ends = path[1:] if len(path) > 1 else path
    for start, end in zip(path, ends, strict=False):
        _capsule(covered, low, start, end, reach, steps, radius_mm)
        _thin_line(covered, low, start, end)
    return (int(low[0]), int(low[1]), int(low[2])), covered


def _capsule(
    out: Bits, low: NDArray[np.int_], start: NDArray[np.float64], end: NDArray[np.float64],
    reach: NDArray[np.float64], steps: NDArray[np.float64], radius_mm: float,
) -> None:  # fmt: skip
    """Set voxels of `out` (first voxel at index `low`) whose centre lies within the radius of a line segment."""
    a = np.maximum(np.floor(np.minimum(start, end) - reach).astype(int) - low, 0)
    b = np.minimum(np.ceil(np.maximum(start, end) + reach).astype(int) + 1 - low, out.shape)
    if (b <= a).any():
        return
    axes = [np.arange(p, q) + o for p, q, o in zip(a, b, low, strict=True)]
    index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    mm = (index - start) @ steps.T
    line = steps @ (end - start)
    length2 = float(line @ line)
    along = np.clip(mm @ line / length2, 0, 1) if length2 > 0 else np.zeros(mm.shape[:3])
    distance2 = ((mm - along[..., None] * line) ** 2).sum(axis=-1)
    out[a[0] : b[0], a[1] : b[1], a[2] : b[2]] |= distance2 <= radius_mm**2 * (1 + 1e-9)


def _thin_line(out: Bits, low: NDArray[np.int_], start: NDArray[np.float64], end: NDArray[np.float64]) -> None:
    count = int(np.ceil(2 * np.abs(end - start).max())) + 1
    line = start + np.linspace(0, 1, count)[:, None] * (end - start)
    index = np.floor(line + 0.5).astype(int) - low
    index = index[((index >= 0) & (index < out.shape)).all(axis=1)]
    out[tuple(index.T)] = True


def polygon(grid: Grid, points: ArrayLike, slice_axis: int, slice_index: int) -> Patch:
    """Inside of a closed outline on one plane: even-odd rule at voxel centres, as for imported contours.

    Parameters
    ----------
    points : (n, 3) indices (slice, row, column), fractions allowed; the column `slice_axis` is not looked at. The
        outline need not repeat its first point. A centre exactly on an edge belongs to one side only.
    """
    axes = [a for a in range(3) if a != slice_axis]
    outline = np.asarray(points, dtype=np.float64).reshape(-1, 3)[:, axes]
    shape = (grid.shape[axes[0]], grid.shape[axes[1]])
    if len(outline) < 3 or not 0 <= slice_index < grid.shape[slice_axis]:
        return (0, 0, 0), np.zeros((0, 0, 0), bool)
    low = np.maximum(np.floor(outline.min(axis=0)).astype(int), 0)
    high = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + 1, shape)
    if (high <= low).any():
        return (0, 0, 0), np.zeros((0, 0, 0), bool)
    inside = fill_polygons([outline - low], (int(high[0] - low[0]), int(high[1] - low[1])))
    offset = [int(n) for n in low]
    offset.insert(slice_axis, slice_index)
    return (offset[0], offset[1], offset[2]), np.expand_dims(inside, slice_axis)


def enclosed(mask: Mask, grid: Grid, seed: Index, slice_axis: int) -> Patch:
    """Background around `seed` that the structure encloses on this plane: what a click with "fill" fills.

    A diagonal step of the outline counts as closed. Empty when `seed` lies in the structure or outside the grid.

    Raises
    ------
    UserError : the area reaches the edge of the plane, so that nothing encloses it.
    """
    offset, plane = _plane(mask, grid, seed, slice_axis)
    at = (*seed[:slice_axis], 0, *seed[slice_axis + 1 :])
    if not _in_grid(seed, grid) or plane[at]:
        return (0, 0, 0), np.zeros((0, 0, 0), bool)
    labels, _ = ndimage.label(~plane)
    region = labels == labels[at]
    flat = region.squeeze(axis=slice_axis)
    if flat[0].any() or flat[-1].any() or flat[:, 0].any() or flat[:, -1].any():
        raise UserError("The structure does not enclose this area on this slice.", "Close the outline, then fill it.")
    return offset, region


def connected(mask: Mask, grid: Grid, seed: Index, slice_axis: int) -> Patch:
    """Part of the structure that hangs together with `seed` on this plane: what a click with "fill" removes.

    Voxels that touch at a corner hang together. Empty when `seed` is not in the structure.
    """
    offset, plane = _plane(mask, grid, seed, slice_axis)
    at = (*seed[:slice_axis], 0, *seed[slice_axis + 1 :])
    if not _in_grid(seed, grid) or not plane[at]:
        return (0, 0, 0), np.zeros((0, 0, 0), bool)
    labels, _ = ndimage.label(plane, np.ones((3, 3, 3)))
    return offset, labels == labels[at]


def _in_grid(seed: Index, grid: Grid) -> bool:
    return all(0 <= i < n for i, n in zip(seed, grid.shape, strict=True))


def _plane(mask: Mask, grid: Grid, seed: Index, slice_axis: int) -> Patch:
    """One whole plane of the structure, of thickness 1."""
    start, stop = [0, 0, 0], list(grid.shape)
    start[slice_axis], stop[slice_axis] = seed[slice_axis], seed[slice_axis] + 1
    box = (slice(start[0], stop[0]), slice(start[1], stop[1]), slice(start[2], stop[2]))
    return (start[0], start[1], start[2]), mask.read(box)


def stamp(mask: Mask, footprint: Patch, *, erase: bool = False) -> Patch:
    """What `mask` holds in the footprint's box once the footprint is added to it, or erased from it."""
    offset, bits = footprint
    z, y, x = (slice(o, o + n) for o, n in zip(offset, bits.shape, strict=True))
    old = mask.read((z, y, x))
    return offset, (old & ~bits if erase else old | bits)
