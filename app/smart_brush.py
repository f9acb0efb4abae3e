"""The smart brush: of what the brush covers, only what hangs together with its middle within a window of values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from contourdesk.app.footprints import Patch, Position, stroke
from contourdesk.app.geometry import Box
from contourdesk.app.volume import Volume

_NOTHING: Patch = ((0, 0, 0), np.zeros((0, 0, 0), bool))


@dataclass(frozen=True)
class Window:
    """Values from `low` to `high`, both included, in the image's unit."""

    low: float
    high: float


def window_at(volume: Volume, index_zyx: Position, slice_axis: int, tolerance: float) -> Window | None:
    """The window round what is at a place: the middle value of 3 x 3 voxels on the slice, and so much either way.

    None outside the image.
    """
    at = [int(np.floor(i + 0.5)) for i in index_zyx]
    if not all(0 <= i < n for i, n in zip(at, volume.grid.shape, strict=True)):
        return None
    near = tuple(
        slice(i, i + 1) if a == slice_axis else slice(max(i - 1, 0), i + 2) for a, i in enumerate(at)
    )  # fmt: skip
    value = float(np.median(np.asarray(volume.array[near], np.float64)))
    return Window(value - tolerance, value + tolerance)


def smart_stroke(
    volume: Volume, points: Sequence[Position], radius_mm: float, slice_axis: int | None, window: Window
) -> Patch:
    """What the smart brush covers on its way along `points`.

    Of what `footprints.stroke` covers, the voxels with values in the window that hang together by their faces, in it,
    with a voxel of the line that the brush's middle went along. Nothing when the middle met no such value.

    Parameters
    ----------
    points, radius_mm, slice_axis : see `footprints.stroke`.

    Returns
    -------
    Patch : offset and bits, cut to the grid.
    """
    offset, covered = stroke(volume.grid, points, radius_mm, slice_axis)
    if covered.size == 0:
        return _NOTHING
    z, y, x = (slice(o, o + n) for o, n in zip(offset, covered.shape, strict=True))
    box: Box = (z, y, x)
    values = np.asarray(volume.array[box], np.float64)
    fits = covered & (values >= window.low) & (values <= window.high)
    line_offset, line = stroke(volume.grid, points, 0.0, slice_axis)
    if line.size == 0 or not fits.any():
        return _NOTHING
    seeds = np.zeros_like(fits)
    start = [a - b for a, b in zip(line_offset, offset, strict=True)]
    seeds[tuple(slice(s, s + n) for s, n in zip(start, line.shape, strict=True))] = line
    labels, _ = ndimage.label(fits)
    found = np.unique(labels[seeds & fits])
    if not len(found):
        return _NOTHING
    return offset, np.isin(labels, found)
