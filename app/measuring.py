"""Measurements on images: lengths, angles, values, and statistics of a region; exact in mm on any grid.

Points are voxel indices (z, y, x), fractions meant; the grid's own affine carries them to LPS mm, so spacing, tilt
and shear count in any plane. Statistics are over the voxels whose centres lie in the region.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.geometry import Grid, ViewPlane
from contourdesk.app.structures import Bits, Mask
from contourdesk.app.volume import Volume

Position = tuple[float, float, float]


@dataclass(frozen=True)
class Statistics:
    """Values of a region's voxels, in the image's unit.

    `sd` has n - 1 below it, and is 0 for one voxel. `area_mm2` is the region's own area, for one in a slice;
    `volume_ml` that of its voxels.
    """

    count: int
    mean: float
    sd: float
    minimum: float
    maximum: float
    area_mm2: float | None = None
    volume_ml: float | None = None


@dataclass(frozen=True)
class Measurement:
    """One measurement: `kind` is "ruler", "angle", "probe", "ellipse" or "structure".

    Parameters
    ----------
    plane, slice : name of the plane that it was made in and the slice there; "" and -1 for a whole structure's.
    points : voxel indices (z, y, x): ends, corner in the middle, the place, or opposite corners of an ellipse's box.
    text : the result in short, to stand beside the drawing.
    detail : all of it, in one line.
    """

    kind: str
    plane: str
    slice: int
    points: tuple[Position, ...]
    text: str
    detail: str


def length_mm(grid: Grid, start: Position, end: Position) -> float:
    """Distance between two places."""
    return float(np.linalg.norm(grid.to_world(end) - grid.to_world(start)))


def angle_deg(grid: Grid, start: Position, corner: Position, end: Position) -> float:
    """Angle at `corner`, 0 to 180 degrees; 0 when an arm has no length."""
    a, b = grid.to_world(start) - grid.to_world(corner), grid.to_world(end) - grid.to_world(corner)
    # By both sine and cosine: the cosine alone loses digits near 0 and 180 degrees.
    return float(np.degrees(np.arctan2(np.linalg.norm(np.cross(a, b)), a @ b)))


def ellipse_statistics(volume: Volume, plane: ViewPlane, one: Position, other: Position) -> Statistics | None:
    """Statistics of the ellipse in a slice whose box has these opposite corners.

    The slice is that of `one`. None when no voxel centre of the image lies in it.
    """
    grid, axes = volume.grid, (plane.vertical_axis, plane.horizontal_axis)
    at = round(one[plane.slice_axis])
    middle = [(one[a] + other[a]) / 2 for a in axes]
    radius = [abs(one[a] - other[a]) / 2 for a in axes]
    if min(radius) <= 0 or not 0 <= at < grid.shape[plane.slice_axis]:
        return None
    first = [max(0, int(np.ceil(m - r))) for m, r in zip(middle, radius, strict=True)]
    last = [min(grid.shape[a] - 1, int(np.floor(m + r))) for a, m, r in zip(axes, middle, radius, strict=True)]
    if any(b < a for a, b in zip(first, last, strict=True)):
        return None
    parts = [((np.arange(a, b + 1) - m) / r) ** 2 for a, b, m, r in zip(first, last, middle, radius, strict=True)]
    inside = parts[0][:, None] + parts[1][None, :] <= 1
    box: list[slice | int] = [0, 0, 0]
    box[plane.slice_axis] = at
    for axis, a, b in zip(axes, first, last, strict=True):
        box[axis] = slice(a, b + 1)
    flat = volume.array[tuple(box)]
    values = (flat if axes[0] < axes[1] else flat.T)[inside]
    steps = grid.affine[:3, list(axes)]
    area = np.pi * radius[0] * radius[1] * float(np.linalg.norm(np.cross(steps[:, 0], steps[:, 1])))
    return _statistics(values, area_mm2=area)


def structure_statistics(volume: Volume, mask: Mask) -> Statistics | None:
    """Statistics of all voxels of a mask on the image's grid; None for an empty one."""
    return _of_mask(volume, mask.tight, None)


def slice_statistics(volume: Volume, mask: Mask, plane: ViewPlane, index: int) -> Statistics | None:
    """Statistics of a mask's voxels in one slice; None when it has none there."""
    at = index - mask.offset[plane.slice_axis]
    if mask.bits.size == 0 or not 0 <= at < mask.bits.shape[plane.slice_axis]:
        return None
    where = tuple(slice(at, at + 1) if a == plane.slice_axis else slice(None) for a in range(3))
    offset = list(mask.offset)
    offset[plane.slice_axis] = index
    steps = volume.grid.affine[:3, [plane.vertical_axis, plane.horizontal_axis]]
    voxel_mm2 = float(np.linalg.norm(np.cross(steps[:, 0], steps[:, 1])))
    return _of_mask(volume, Mask((offset[0], offset[1], offset[2]), mask.bits[where]), voxel_mm2)


def _of_mask(volume: Volume, mask: Mask, voxel_mm2: float | None) -> Statistics | None:
    bits: Bits = mask.bits
    values = volume.array[mask.box][bits]
    area = None if voxel_mm2 is None else voxel_mm2 * values.size
    return _statistics(values, area_mm2=area, volume_ml=values.size * volume.grid.voxel_ml)


def _statistics(
    values: NDArray[np.generic], area_mm2: float | None = None, volume_ml: float | None = None
) -> Statistics | None:
    if values.size == 0:
        return None
    numbers = values.astype(np.float64)
    sd = float(numbers.std(ddof=1)) if numbers.size > 1 else 0.0
    low, high = float(numbers.min()), float(numbers.max())
    return Statistics(int(numbers.size), float(numbers.mean()), sd, low, high, area_mm2, volume_ml)


# -- in words ----------------------------------------------------------------------------------------------------


def ruler(grid: Grid, plane: ViewPlane, points: Sequence[Position]) -> Measurement:
    """The distance between two places in a slice."""
    text = f"{length_mm(grid, points[0], points[1]):.1f} mm"
    return Measurement("ruler", plane.name, _slice(plane, points), tuple(points), text, f"Length {text}")


def angle(grid: Grid, plane: ViewPlane, points: Sequence[Position]) -> Measurement:
    """The angle at the second of three places in a slice."""
    text = f"{angle_deg(grid, points[0], points[1], points[2]):.1f}°"
    return Measurement("angle", plane.name, _slice(plane, points), tuple(points), text, f"Angle {text}")


def probe(volume: Volume, plane: ViewPlane, point: Position) -> Measurement | None:
    """The value of the voxel at a place, None outside the image."""
    z, y, x = (round(i) for i in point)
    value = volume.value_at((z, y, x))
    if value is None:
        return None
    text = f"{value:g} {volume.unit}".strip()
    return Measurement("probe", plane.name, _slice(plane, [point]), (point,), text, f"Value {text}")


def ellipse(volume: Volume, plane: ViewPlane, points: Sequence[Position]) -> Measurement | None:
    """Statistics of an ellipse in a slice, None when it holds no voxel."""
    found = ellipse_statistics(volume, plane, points[0], points[1])
    if found is None:
        return None
    text = f"{found.mean:.1f} ± {found.sd:.1f} {volume.unit}".strip()
    return Measurement(
        "ellipse", plane.name, _slice(plane, points), tuple(points), text, f"Ellipse: {in_words(found, volume.unit)}"
    )


def structure(volume: Volume, name: str, mask: Mask) -> Measurement | None:
    """Statistics of a structure, None for an empty one."""
    found = structure_statistics(volume, mask)
    if found is None:
        return None
    text = f"{found.mean:.1f} ± {found.sd:.1f} {volume.unit}".strip()
    return Measurement("structure", "", -1, (), text, f"{name}: {in_words(found, volume.unit)}")


def in_words(found: Statistics, unit: str) -> str:
    """All figures in one line."""
    unit = f" {unit}" if unit else ""
    parts = [f"mean {found.mean:.1f}{unit}, sd {found.sd:.1f}, min {found.minimum:g}, max {found.maximum:g}"]
    if found.area_mm2 is not None:
        parts.append(f"area {found.area_mm2 / 100:.2f} cm²")
    if found.volume_ml is not None:
        parts.append(f"volume {found.volume_ml:.2f} ml")
    return f"{', '.join(parts)}, {found.count} voxels"


def _slice(plane: ViewPlane, points: Sequence[Position]) -> int:
    return round(points[0][plane.slice_axis])
