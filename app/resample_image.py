"""The image of a series whose slices don't fill a box evenly, on the even grid that a `Resample` plans."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.case import Case
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.resample import Resample
from contourdesk.app.structures import StructureSet
from contourdesk.app.volume import Volume

log = logging.getLogger(__name__)

AIR_HU = -1024.0
Image = NDArray[Any]


def resample_case(case: Case, how: Resample) -> Job[Case]:
    """The case with its image on the even grid, and the record of it.

    Parameters
    ----------
    case : holds the original slices, in the order of ``how.planes``; its own affine along the slices is not looked at.
        Without structures: those come after, on the new grid.
    """
    grid = replace(how.grid, frame_of_reference_uid=case.volume.grid.frame_of_reference_uid)
    volume = yield from resample_volume(case.volume, how, grid)
    source = replace(case.source, resampled=how, notes=(how.note, *case.source.notes))
    log.info("resampled %d slices to %d", len(how.planes), grid.shape[0])
    return replace(case, volume=volume, source=source, structures=StructureSet(grid))


def resample_volume(volume: Volume, how: Resample, grid: Grid) -> Job[Volume]:
    """Values at the grid's voxel centres: linear between the two planes next to each, and within them.

    Where a voxel lies on one of the original it is that one, to the last bit. Voxels of the scanner's padding, those
    that would mix with them, and all beyond the slices (by more than half a voxel) are padding. Beside input and
    output it needs memory for a few slices only.

    Parameters
    ----------
    volume : the original slices, (plane, row, column).
    grid : ``how.grid`` with its frame of reference.
    """
    fill = AIR_HU if volume.padding is None else volume.padding
    kind: Any = volume.array.dtype
    if kind.kind == "i":
        limits = np.iinfo(kind)  # a padding value may lie beyond what the pixels can be
        fill = float(np.clip(fill, limits.min, limits.max))
    out = np.empty(grid.shape, kind)
    for k in range(grid.shape[0]):
        yield Progress(k, grid.shape[0], "Resampling")
        out[k] = _slice(volume, how, k, fill)
    yield Progress(grid.shape[0], grid.shape[0], "Resampling")
    return replace(volume, grid=grid, array=out, padding=fill)


def _slice(volume: Volume, how: Resample, k: int, fill: float) -> Image:
    """Slice `k` of the grid, (row, column)."""
    low, weight = int(how.below[k]), float(how.weight[k])
    image = volume.array[low]
    padded = image == volume.padding if volume.padding is not None else None
    if weight > 0:
        above = volume.array[low + 1]
        image = _mix(image, above, weight)
        padded = None if padded is None else padded | (above == volume.padding)
    shape = (how.grid.shape[1], how.grid.shape[2])
    inside = np.ones(shape, bool)
    for axis, shift in enumerate(how.slice_shift[k]):
        image, here = _shifted(image, float(shift), axis, shape[axis])
        inside &= here[:, None] if axis == 0 else here[None, :]
        if padded is not None:
            padded = _shifted(padded, float(shift), axis, shape[axis])[0]
    if padded is not None:
        inside &= ~padded
    if volume.array.dtype.kind in "iu" and image.dtype.kind == "f":
        image = np.rint(image)
    return np.where(inside, image, fill).astype(volume.array.dtype)


def _shifted(image: Image, shift: float, axis: int, length: int) -> tuple[Image, NDArray[np.bool_]]:
    """An image moved by `shift` pixels along an axis, cut or held on at the edges to `length` pixels.

    Of bools a pixel is True where one of those that it is made from is. Also tells which pixels lie within the image,
    its edge half a pixel beyond the outer centres.
    """
    whole = int(np.floor(shift))
    part = shift - whole
    last = image.shape[axis] - 1
    at = np.arange(length) - whole  # a pixel lies between at - 1 and at, `part` of the way back
    out = np.take(image, np.clip(at, 0, last), axis)
    if part:
        before = np.take(image, np.clip(at - 1, 0, last), axis)
        out = out | before if image.dtype == np.bool_ else _mix(out, before, part)
    place = at - part
    return out, (place >= -0.5 - 1e-6) & (place <= last + 0.5 + 1e-6)


def _mix(a: Image, b: Image, part: float) -> Image:
    """``a`` and ``b`` in the shares ``1 - part`` and ``part``."""
    kind: Any = np.float64 if a.dtype == np.float64 else np.float32
    first, second = np.asarray(a, kind), np.asarray(b, kind)
    return np.asarray(first + (second - first) * part, dtype=kind)
