"""Regions that image values make: flood fill from a click, and a range of values within a drawn or given region.

Functions return ``(offset, bits)`` patches as in `footprints`: what a tool covers, cut to the grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from contourdesk.app.errors import UserError
from contourdesk.app.footprints import Patch, disc, sphere
from contourdesk.app.geometry import Box
from contourdesk.app.history import Index
from contourdesk.app.structures import Bits, Mask
from contourdesk.app.volume import Volume


@dataclass(frozen=True, eq=False)
class Flood:
    """What a flood covers, and whether the largest radius stopped it (then it may have leaked)."""

    patch: Patch
    stopped: bool


def flood(volume: Volume, seed: Index, tolerance: float, *, radius_mm: float, slice_axis: int | None = None) -> Flood:
    """Voxels that hang together with `seed` by their faces and have a value like it.

    Parameters
    ----------
    seed : voxel (z, y, x).
    tolerance : how far a value may lie from the seed's, in the image's unit; both ends count.
    radius_mm : no voxel whose centre lies further from the seed's is taken: a leak ends there.
    slice_axis : array axis across the plane to stay on, or None to go through the slices.

    Raises
    ------
    UserError : the seed lies outside the image.
    """
    value = volume.value_at(seed)
    if value is None:
        raise UserError("That is outside the image.", "Click on the image.")
    offset, within = _ball(volume, seed, radius_mm, slice_axis)
    values = volume.array[_box(offset, within)].astype(np.float64)
    alike = within & (np.abs(values - value) <= tolerance)
    labels, _ = ndimage.label(alike)
    at = tuple(i - o for i, o in zip(seed, offset, strict=True))
    covered: Bits = labels == labels[at]
    # The rim: voxels with a neighbour beyond the radius. A neighbour off the image stops nothing.
    wider_offset, wider = _ball(volume, seed, radius_mm + 1.01 * _step(volume, slice_axis), slice_axis)
    beyond = wider & ~Mask(offset, within).read(_box(wider_offset, wider))
    alike_beyond = beyond & (np.abs(volume.array[_box(wider_offset, wider)].astype(np.float64) - value) <= tolerance)
    touched = ndimage.binary_dilation(Mask(offset, covered).read(_box(wider_offset, wider)))
    return Flood((offset, covered), bool((touched & alike_beyond).any()))


def _ball(volume: Volume, seed: Index, radius_mm: float, slice_axis: int | None) -> Patch:
    if slice_axis is None:
        return sphere(volume.grid, seed, radius_mm)
    return disc(volume.grid, seed, radius_mm, slice_axis)


def _step(volume: Volume, slice_axis: int | None) -> float:
    return max(s for axis, s in enumerate(volume.grid.spacing_mm) if axis != slice_axis)


def slab(area: Patch, volume: Volume, slice_axis: int, depth_mm: float) -> Patch:
    """An area on one slice made as deep as `depth_mm` to either side of it (slices whose middle lies within)."""
    offset, bits = area
    if bits.size == 0:
        return area
    n = int(np.floor(depth_mm / volume.grid.spacing_mm[slice_axis] + 1e-9))
    low = max(0, offset[slice_axis] - n)
    high = min(volume.grid.shape[slice_axis], offset[slice_axis] + n + 1)
    start = list(offset)
    start[slice_axis] = low
    return (start[0], start[1], start[2]), np.repeat(bits, high - low, axis=slice_axis)


def between(volume: Volume, region: Patch, low: float, high: float) -> Patch:
    """The voxels of a region with values from `low` to `high`, both included.

    Raises
    ------
    UserError : `low` is larger than `high`.
    """
    if low > high:
        raise UserError("The range is empty: its lower end lies above its upper end.", "Swap the two numbers.")
    offset, bits = region
    values = volume.array[_box(offset, bits)].astype(np.float32)
    return offset, bits & (values >= low) & (values <= high)


def _box(offset: Index, bits: Bits) -> Box:
    z, y, x = (slice(o, o + n) for o, n in zip(offset, bits.shape, strict=True))
    return z, y, x
