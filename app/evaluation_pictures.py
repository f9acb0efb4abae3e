"""A slice of a CT with the truth and what models drew, as a PNG: patient's right on the left, voxels to scale."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from skimage.measure import find_contours

from contourdesk.app.geometry import ViewPlane
from contourdesk.app.structures import Mask
from contourdesk.app.volume import Volume

# Truth, A, B. They differ in how they are dashed too, for prints without colour.
COLOURS = {"truth": (240, 228, 66), "A": (86, 180, 233), "B": (255, 128, 40)}
DASHES = {"truth": (0, 0), "A": (9, 5), "B": (3, 4)}  # pixels drawn and left out
_WINDOW_HU = (-160.0, 240.0)  # soft tissue
_SIDE = 360  # pixels of the finished picture, its longer side
_FINER = 2  # drawn so much larger, then made smaller: smooth lines
_MARGIN_MM = 30.0
_LEAST_MM = 90.0

Grey = NDArray[np.uint8]


def picture(volume: Volume, masks: Mapping[str, Mask], slice_index: int) -> bytes:
    """PNG of a slice (array axis 0) round the masks, which are "truth", "A", "B"; empty ones are left out.

    The slice is shown as it was acquired, turned to the clinical convention where it is axial, and cut to the truth and
    the newest model; what an older one drew far off may lie outside.
    """
    grid = volume.grid
    plane = grid.view("axial")
    if plane.slice_axis != 0:  # acquired in another plane: shown as stored
        plane = ViewPlane("", 0, 1, 2, False, False, "", "", "", "")
    slices = {name: mask.read(_slab(slice_index, grid.shape))[0] for name, mask in masks.items() if not mask.is_empty}
    pixels = volume.array[slice_index].astype(np.float32)
    rows_mm, columns_mm = grid.spacing_mm[1:]
    newest = max((name for name in masks if name != "truth"), default="")
    centre = [bits for name, bits in slices.items() if name in ("truth", newest)]
    box = _box(centre, pixels.shape, (rows_mm, columns_mm))
    pixels, slices = pixels[box], {name: bits[box] for name, bits in slices.items()}
    if plane.vertical_axis == 2:
        pixels, slices = pixels.T, {name: bits.T for name, bits in slices.items()}
        rows_mm, columns_mm = columns_mm, rows_mm
    flips = tuple(axis for axis, flip in enumerate((plane.flip_vertical, plane.flip_horizontal)) if flip)
    pixels, slices = np.flip(pixels, flips), {name: np.flip(bits, flips) for name, bits in slices.items()}
    scale = _SIDE * _FINER / max(pixels.shape[0] * rows_mm, pixels.shape[1] * columns_mm)
    return _draw(_grey(volume, pixels), slices, (rows_mm * scale, columns_mm * scale))


def data_uri(png: bytes) -> str:
    """A PNG as it can stand in a page."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _slab(index: int, shape: tuple[int, int, int]) -> tuple[slice, slice, slice]:
    return slice(index, index + 1), slice(0, shape[1]), slice(0, shape[2])


def _grey(volume: Volume, pixels: NDArray[np.float32]) -> Grey:
    if volume.unit == "HU":
        low, high = _WINDOW_HU
    else:
        low, high = (float(v) for v in np.percentile(pixels, (1, 99)))
    return np.asarray(np.clip((pixels - low) / max(high - low, 1e-6), 0, 1) * 255, np.uint8)


def _box(
    slices: Iterable[NDArray[np.bool_]], shape: tuple[int, ...], spacing_mm: tuple[float, float]
) -> tuple[slice, slice]:
    """The part of a slice (rows, columns) round all that is drawn in it, with a margin; all when nothing is."""
    together = np.zeros(shape, bool)
    for bits in slices:
        together |= bits
    if not together.any():
        return slice(0, shape[0]), slice(0, shape[1])
    out = []
    for axis, mm in enumerate(spacing_mm):
        where = np.flatnonzero(together.any(axis=1 - axis))
        middle, half = (where[0] + where[-1]) / 2, (where[-1] - where[0] + 1) / 2 + _MARGIN_MM / mm
        half = max(half, _LEAST_MM / 2 / mm)
        out.append(slice(max(0, int(middle - half)), min(shape[axis], int(np.ceil(middle + half)) + 1)))
    return out[0], out[1]


def _draw(grey: Grey, slices: Mapping[str, NDArray[np.bool_]], size: tuple[float, float]) -> bytes:
    """`size` is that of a voxel in pixels of the large drawing, (down, across)."""
    down, across = size
    whole = round(grey.shape[1] * across), round(grey.shape[0] * down)
    image = Image.fromarray(grey).resize(whole, Image.Resampling.BICUBIC).convert("RGB")
    pen = ImageDraw.Draw(image)
    for name, bits in slices.items():
        for line in find_contours(np.pad(bits, 1).astype(np.float32), 0.5):
            # The middle of the first voxel lies half a voxel inside; the padding took another one.
            points = np.column_stack([(line[:, 1] - 0.5) * across, (line[:, 0] - 0.5) * down])
            _dashed(pen, points, COLOURS[name], DASHES[name])
    small = image.resize((whole[0] // _FINER, whole[1] // _FINER), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    small.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _dashed(
    pen: ImageDraw.ImageDraw, points: NDArray[np.float64], colour: tuple[int, int, int], dash: tuple[int, int]
) -> None:
    width = 2 * _FINER
    if not dash[1]:
        pen.line([(float(x), float(y)) for x, y in points], fill=colour, width=width, joint="curve")
        return
    lengths = np.hypot(*np.diff(points, axis=0).T)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    on, period = dash[0] * _FINER, sum(dash) * _FINER
    for start in np.arange(0.0, along[-1], period):
        marks = np.unique(np.concatenate([[start, min(start + on, along[-1])], along]))
        marks = marks[(marks >= start) & (marks <= start + on)]
        if marks.size > 1:
            part = np.column_stack([np.interp(marks, along, points[:, i]) for i in (0, 1)])
            pen.line([(float(x), float(y)) for x, y in part], fill=colour, width=width)
