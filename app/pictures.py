"""Pictures for reports: the axial slice through a structure, with its outline and the proposal's as lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from skimage.measure import find_contours

from contourdesk.app.geometry import Float, Grid, Scalar, ViewPlane
from contourdesk.app.structures import Bits, Mask
from contourdesk.app.volume import Volume

_LEAST_MM, _MARGIN_MM = 110.0, 25.0
SOFT_TISSUE = (40.0, 400.0)


@dataclass(frozen=True, eq=False)
class Picture:
    """A part of one slice, patient's right on the left.

    Parameters
    ----------
    pixels : (rows, columns) uint8 grey.
    size_mm : height and width.
    lines, ghost : outlines of the structure and of its proposal, each (n, 2): x and y from the top left corner in mm.
    slice_number : counted from 1.
    """

    pixels: NDArray[np.uint8]
    size_mm: tuple[float, float]
    lines: tuple[Float, ...]
    ghost: tuple[Float, ...]
    slice_number: int
    letters: tuple[str, str, str, str]  # top, bottom, left, right


def picture(volume: Volume, mask: Mask, first: Mask | None = None) -> Picture | None:
    """The axial slice through the middle of `mask` (of `first` where that is empty); None when both are empty."""
    shown = first if mask.is_empty else mask
    if shown is None or shown.is_empty:
        return None
    grid = volume.grid
    plane = grid.view("axial")
    k = _middle(shown, plane.slice_axis)
    bits, ghost = (None if m is None else _slice(m, grid, plane, k) for m in (mask, first))
    image = _oriented(np.take(volume.array, k, plane.slice_axis), plane)
    step = (grid.spacing_mm[plane.vertical_axis], grid.spacing_mm[plane.horizontal_axis])
    drawn = [b for b in (bits, ghost) if b is not None and b.any()]
    rows, columns = _window(drawn, image.shape, step)
    pixels = _grey(image[rows, columns], volume)
    return Picture(
        pixels=pixels,
        size_mm=(pixels.shape[0] * step[0], pixels.shape[1] * step[1]),
        lines=_outlines(bits, rows, columns, step),
        ghost=_outlines(ghost, rows, columns, step),
        slice_number=k + 1,
        letters=(plane.top, plane.bottom, plane.left, plane.right),
    )


def _middle(mask: Mask, axis: int) -> int:
    """The slice nearest to the centre of the mask that has a good part of it."""
    areas = mask.bits.sum(axis=tuple(a for a in range(3) if a != axis))
    at = np.arange(len(areas))
    centre = float((areas * at).sum() / areas.sum())
    good = np.flatnonzero(areas >= 0.5 * areas.max())
    return int(good[np.abs(good - centre).argmin()]) + mask.offset[axis]


def _slice(mask: Mask, grid: Grid, plane: ViewPlane, k: int) -> Bits:
    box = [slice(0, n) for n in grid.shape]
    box[plane.slice_axis] = slice(k, k + 1)
    found: Bits = _oriented(mask.read((box[0], box[1], box[2])).squeeze(plane.slice_axis), plane)
    return found


def _oriented(flat: NDArray[Scalar], plane: ViewPlane) -> NDArray[Scalar]:
    """A slice as it stands on the screen."""
    out = flat.T if plane.vertical_axis > plane.horizontal_axis else flat
    out = out[::-1] if plane.flip_vertical else out
    return out[:, ::-1] if plane.flip_horizontal else out


def _window(drawn: list[Bits], shape: tuple[int, ...], step: tuple[float, float]) -> tuple[slice, slice]:
    """A square round what is drawn, with a margin, inside the image where that is large enough."""
    every = np.any(drawn, axis=0) if drawn else np.ones(shape[:2], bool)
    ends = [(int(n.min()), int(n.max()) + 1) for n in np.nonzero(every)]
    need = max((b - a) * mm for (a, b), mm in zip(ends, step, strict=True)) + 2 * _MARGIN_MM
    side = max(need, _LEAST_MM)
    out = []
    for (a, b), n, mm in zip(ends, shape, step, strict=True):
        count = min(n, round(side / mm))
        start = min(max(0, (a + b - count) // 2), n - count)
        out.append(slice(start, start + count))
    return out[0], out[1]


def _grey(image: NDArray[np.generic], volume: Volume) -> NDArray[np.uint8]:
    values = image.astype(np.float32)
    if volume.unit == "HU":
        centre, width = SOFT_TISSUE
    elif volume.window is not None:
        centre, width = volume.window
    else:
        low, high = (float(v) for v in np.percentile(values, (1, 99)))
        centre, width = (low + high) / 2, max(high - low, 1e-3)
    grey = (values - (centre - width / 2)) / width * 255
    return np.ascontiguousarray(np.clip(grey, 0, 255).astype(np.uint8))


def _outlines(bits: Bits | None, rows: slice, columns: slice, step: tuple[float, float]) -> tuple[Float, ...]:
    if bits is None or not bits.any():
        return ()
    found = find_contours(np.pad(bits, 1).astype(np.float32), 0.5)
    # Of the padded slice's indices of centres, to mm from the corner of the part that is shown.
    corner = np.array([rows.start, columns.start])
    return tuple(np.ascontiguousarray(((line - 1 - corner + 0.5) * step)[:, ::-1]) for line in found)
