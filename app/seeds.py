"""Grow from seeds: structures and scribbles compete for the tissue between them, and meet where the image has edges."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import ndimage

from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Box, Grid
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.random_walk import Floats
from contourdesk.app.structures import Mask, tight_box
from contourdesk.app.volume import Volume

_LEAST_SIGMA = 0.5  # voxels
_LEVELS = 4000  # of the gradient: the watershed goes up in whole steps


def grow_from_seeds(
    inside: Mask, others: Sequence[Mask], volume: Volume, *, reach_mm: float, smooth_mm: float = 1.0
) -> Job[Mask]:
    """Job: what of the surroundings belongs to `inside` rather than to one of the `others`.

    A watershed of the gradient's magnitude (per mm, so anisotropic voxels count right) from all seeds at once. The
    voxels of `inside` stay in the result, those of the `others` stay out of it unless they are `inside` too.

    Parameters
    ----------
    inside : seeds of the structure.
    others : seeds of what it competes with; they may overlap.
    reach_mm : whatever lies further from `inside` is a seed of "something else".
    smooth_mm : the image is smoothed by a Gaussian of this standard deviation first.

    Raises
    ------
    UserError : there are no seeds.
    """
    import SimpleITK as sitk  # 90 MB, for those who grow

    yield Progress(0, 0, "Growing")
    box = _around(inside, volume.grid, reach_mm)
    spacing = volume.grid.spacing_mm
    slope = _slope(volume.array[box].astype(np.float32), spacing, smooth_mm)
    yield Progress(1, 2, "Growing")
    markers = np.zeros(slope.shape, np.uint8)
    mine = inside.read(box)
    markers[ndimage.distance_transform_edt(~mine, spacing) > reach_mm] = 2
    for other in others:
        markers[other.read(box)] = 2
    markers[mine] = 1
    top = float(np.percentile(slope, 99.5)) or 1.0
    height = np.minimum(slope * (_LEVELS / top), _LEVELS).astype(np.uint16)
    flooded = sitk.MorphologicalWatershedFromMarkers(
        sitk.GetImageFromArray(height), sitk.GetImageFromArray(markers), False, False
    )
    grown = sitk.GetArrayFromImage(flooded) == 1
    return Mask.from_dense(grown, (box[0].start, box[1].start, box[2].start))


def _slope(values: Floats, spacing_mm: tuple[float, float, float], smooth_mm: float) -> Floats:
    """Magnitude of the smoothed image's gradient, per mm."""
    sigma = [max(smooth_mm / s, _LEAST_SIGMA) for s in spacing_mm]
    squares = np.zeros(values.shape, np.float32)
    for axis, step in enumerate(spacing_mm):
        if values.shape[axis] > 1:
            order = [int(a == axis) for a in range(3)]
            squares += (ndimage.gaussian_filter(values, sigma, order, mode="nearest") / np.float32(step)) ** 2
    slope: Floats = np.sqrt(squares)
    return slope


def _around(mask: Mask, grid: Grid, mm: float) -> Box:
    tight = tight_box(mask.bits)
    if tight is None:
        raise UserError("There is nothing to grow from.", "Draw a little inside the structure first.")
    z, y, x = (
        slice(max(0, o + t.start - int(np.ceil(mm / step)) - 1), min(n, o + t.stop + int(np.ceil(mm / step)) + 1))
        for o, t, n, step in zip(mask.offset, tight, grid.shape, grid.spacing_mm, strict=True)
    )
    return z, y, x
