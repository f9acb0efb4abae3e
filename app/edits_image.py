"""Edits that look at the image or at the patient: threshold, body, cut, mirror, islands by size."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Box, Grid
from contourdesk.app.structures import Mask
from contourdesk.app.volume import Volume

BODY_HU = -400.0


def threshold(mask: Mask, volume: Volume, low: float, high: float) -> Mask:
    """Only the voxels of the mask whose value lies from `low` to `high`, both included (in the image's unit)."""
    values = volume.array[mask.box].astype(np.float32)
    return Mask.from_dense(mask.bits & (values >= low) & (values <= high), mask.offset)


def keep_slices(mask: Mask, slice_axis: int, first: int, last: int) -> Mask:
    """Only the voxels on the slices `first` to `last` (both included) along an array axis."""
    bits = mask.bits.copy()
    at = np.arange(bits.shape[slice_axis]) + mask.offset[slice_axis]
    away = np.flatnonzero((at < first) | (at > last))
    bits[tuple(away if a == slice_axis else slice(None) for a in range(3))] = False
    return Mask.from_dense(bits, mask.offset)


def copy_slice(mask: Mask, slice_axis: int, source: int, target: int) -> Mask:
    """With slice `target` made equal to slice `source`, along an array axis."""
    box = list(mask.box)
    box[slice_axis] = slice(source, source + 1)
    taken = mask.read((box[0], box[1], box[2]))
    offset = [s.start for s in box]
    offset[slice_axis] = target
    return mask.write((offset[0], offset[1], offset[2]), taken)


def remove_islands(mask: Mask, grid: Grid, min_ml: float) -> Mask:
    """Without parts smaller than `min_ml`; voxels that touch at a corner hang together."""
    labels, _ = ndimage.label(mask.bits, np.ones((3, 3, 3), bool))
    counts = np.bincount(labels.ravel())
    keep = counts * grid.voxel_ml >= min_ml
    keep[0] = False
    return Mask.from_dense(keep[labels], mask.offset)


def body(volume: Volume, box: Box | None = None) -> Mask:
    """The patient's body: the largest part above -400 HU, holes filled on each slice; in `box` when given.

    Raises
    ------
    UserError : the image is not in HU.
    """
    if volume.unit != "HU":
        raise UserError("The body can't be found: the image isn't in HU.", "Draw it by hand.")
    where = box or (slice(None), slice(None), slice(None))
    tissue = volume.array[where].astype(np.float32) > BODY_HU
    labels, count = ndimage.label(tissue)
    if count > 1:
        tissue = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    up = next(axis for axis, (world, _) in enumerate(volume.grid.world_axes) if world == 2)
    planes = np.moveaxis(tissue, up, 0)
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in planes])
    offset = tuple(s.start or 0 for s in where)
    return Mask.from_dense(np.moveaxis(filled, 0, up), (offset[0], offset[1], offset[2]))


def mirror(mask: Mask, grid: Grid, midline_lps_x: float) -> Mask:
    """The mask on the other side of the sagittal plane at LPS x = `midline_lps_x` mm; what leaves the grid is cut off.

    Each voxel of the result takes the value of the voxel nearest to its mirrored centre.
    """
    if mask.is_empty:
        return mask
    inside = np.argwhere(mask.bits) + mask.offset
    points = grid.to_world(inside)
    points[:, 0] = 2 * midline_lps_x - points[:, 0]
    reached = grid.to_index(points)
    low = np.maximum(np.floor(reached.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(reached.max(axis=0)).astype(int) + 2, grid.shape)
    if (high <= low).any():
        return Mask()
    index = np.stack(np.meshgrid(*[np.arange(a, b) for a, b in zip(low, high, strict=True)], indexing="ij"), axis=-1)
    back = grid.to_world(index)
    back[..., 0] = 2 * midline_lps_x - back[..., 0]
    source = np.floor(grid.to_index(back) + 0.5).astype(int) - mask.offset
    fits = ((source >= 0) & (source < mask.bits.shape)).all(axis=-1)
    bits = np.zeros(index.shape[:3], bool)
    bits[fits] = mask.bits[tuple(source[fits].T)]
    return Mask.from_dense(bits, (int(low[0]), int(low[1]), int(low[2])))
