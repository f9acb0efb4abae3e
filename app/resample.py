"""Slices that don't fill a box evenly to an even grid: the plan, which the reviewer may choose, and its record.

A series with a tilted gantry, changing slice distances or missing slices is refused as it is. Where an interpolation
solves it, a `Resample` says what would be done. The grid keeps the planes of the slices, their pixels and their row
direction; so contours drawn on the slices stay in the grid's planes. It is stacked square to the slices, and as wide
as the slices of a tilted gantry reach. Slices between the original ones are taken from both neighbours, moved along
the line on which the gantry moved, which is what acquisition geometry regularisation does elsewhere.

`resample_image.py` makes the image, `resample_masks.py` takes masks and contours there and back.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.geometry import Grid
from contourdesk.app.planes import Planes

Float = NDArray[np.float64]
Int = NDArray[np.int64]

EXPORTED = "RTSTRUCT and SEG are written on the original slices alone."
METHOD = "linear between neighbouring slices, at their true positions"
MAX_GAP_MM = 20.0
MAX_MISSING = 0.25  # of all slices that there should be
MAX_TILT_DEGREES = 45.0
MAX_GROWTH = 4.0  # voxels of the grid for each original one
SAME_PLACE_MM = 0.011  # a slice this near to the grid's lies on it; readers take 0.01 mm for even
_SAME_PIXEL = 1e-3
_EVEN_RATIO = 1.2  # gaps that differ by less come from rounded positions: their mean is the slice distance
_FINE_PART = 0.1  # the finest distance that this part of the slices have is the grid's
_MANY = 12


@dataclass(frozen=True, eq=False)
class Resample:
    """What is or was done to a series to make its grid even.

    Parameters
    ----------
    planes : the original slices, in the order of the case's `image_uids`.
    grid : the even grid, shape (slices, rows, columns).
    places : where slices are missing or distances change, in words, along the normal.
    largest_gap_mm : the widest distance between neighbouring slices.
    tilt_degrees : between the slices' normal and the line on which they lie.
    missing : how many slices are made up because they are missing.
    method : how values between slices are found.
    """

    planes: Planes
    grid: Grid
    places: tuple[str, ...] = ()
    largest_gap_mm: float = 0.0
    tilt_degrees: float = 0.0
    missing: int = 0
    method: str = METHOD

    @cached_property
    def plane_at(self) -> Float:
        """(n,) slice index in the grid of each original plane; a whole number where it lies on one of the grid's."""
        at = (self.planes.at_mm - float(self.grid.origin_lps @ self.planes.normal)) / self.grid.spacing_mm[0]
        near = np.round(at)
        return np.where(np.abs(at - near) * self.grid.spacing_mm[0] <= SAME_PLACE_MM, near, at)

    @cached_property
    def plane_shift(self) -> Float:
        """(n, 2) row and column index in the grid of each original plane's first voxel."""
        axes = np.column_stack([self.planes.down_column, self.planes.along_row])
        shift = (self.planes.in_plane_mm - self.grid.origin_lps @ axes) / self.planes.spacing_mm
        near = np.round(shift)
        return np.where(np.abs(shift - near) <= _SAME_PIXEL, near, shift)

    @cached_property
    def below(self) -> Int:
        """(slices,) for each slice of the grid the original plane at or below it; the first or last beyond them."""
        # What lies on a plane counts as at it whatever the last bit says; equal indices mean the very same place.
        at = np.searchsorted(self.plane_at, np.arange(self.grid.shape[0]), side="right") - 1
        return np.asarray(np.clip(at, 0, len(self.planes) - 1), dtype=np.int64)

    @cached_property
    def weight(self) -> Float:
        """(slices,) share of the plane above `below`; 0 on an original plane and beyond the first and last."""
        low = self.below
        high = np.minimum(low + 1, len(self.planes) - 1)
        gap = self.plane_at[high] - self.plane_at[low]
        above = np.arange(self.grid.shape[0]) - self.plane_at[low]
        share = np.where((gap > 0) & (above > 0), above / np.where(gap > 0, gap, 1), 0.0)
        # Half way is half way whatever the last bit says, on every processor.
        return np.asarray(np.round(share, 9), np.float64)

    @cached_property
    def slice_shift(self) -> Float:
        """(slices, 2) row and column index of the first voxel that a plane would have at each slice of the grid.

        It moves from plane to plane as the gantry did, and on along the same line beyond the first and last.
        """
        index = np.arange(self.grid.shape[0])
        at, shift = self.plane_at, self.plane_shift
        slope = (shift[-1] - shift[0]) / (at[-1] - at[0])
        out = np.column_stack([np.interp(index, at, shift[:, i]) for i in range(2)])
        out += np.minimum(index - at[0], 0)[:, None] * slope + np.maximum(index - at[-1], 0)[:, None] * slope
        near = np.round(out)
        return np.where(np.abs(out - near) <= _SAME_PIXEL, near, out)

    @property
    def kept(self) -> int:
        """How many original slices lie on slices of the grid."""
        return int(np.count_nonzero(self.plane_at == np.round(self.plane_at)))

    @property
    def text(self) -> str:
        """What is done, in sentences for the reviewer."""
        slices, rows, columns = self.grid.shape
        row_mm, column_mm = self.planes.spacing_mm
        out = [
            f"An even grid of {slices} slices of {columns} x {rows} pixels, {column_mm:.3g} x {row_mm:.3g} x "
            f"{self.grid.spacing_mm[0]:.3g} mm, in the planes of the {len(self.planes)} original slices, "
            f"{'all' if self.kept == len(self.planes) else self.kept} of which lie on it.",
            f"Values are interpolated linearly between neighbouring slices (widest gap {self.largest_gap_mm:.3g} mm).",
        ]
        if self.tilt_degrees:
            out.append(f"The tilt of {self.tilt_degrees:.1f} degrees is undone.")
        if self.missing:
            out.append(f"{count(self.missing, 'missing slice')} made up from their neighbours.")
        return " ".join(out)

    @property
    def places_text(self) -> str:
        """A sentence with `places`, shortened when they are many; empty when there are none."""
        if not self.places:
            return ""
        more = f", and {len(self.places) - _MANY} more" if len(self.places) > _MANY else ""
        return f"{'Missing' if self.missing else 'Slice distances'}: {', '.join(self.places[:_MANY])}{more}."

    @property
    def note(self) -> str:
        """What the reviewer is told of a case that was resampled."""
        parts = (
            "The images were resampled.",
            self.text,
            self.places_text,
            "Contours are exported on the original slices.",
        )
        return " ".join(part for part in parts if part)

    @property
    def reason(self) -> str:
        """Why it is needed, in a few words of ASCII."""
        parts = [f"tilt {self.tilt_degrees:.1f} deg"] if self.tilt_degrees else []
        parts += [f"{self.missing} missing"] if self.missing else []
        parts += [f"gaps to {self.largest_gap_mm:.3g} mm"] if self.places or not parts else []
        return ", ".join(parts)

    @property
    def short(self) -> str:
        """What was done within 64 characters of ASCII, for DICOM."""
        return f"Reviewed on resampled images: {self.reason}"[:64]

    def to_json(self) -> dict[str, Any]:
        """As plain JSON, all but the grid, which a review keeps in any case."""
        return {
            "method": self.method,
            "text": self.text,
            "places": list(self.places),
            "largest_gap_mm": self.largest_gap_mm,
            "tilt_degrees": self.tilt_degrees,
            "missing": self.missing,
            "planes": self.planes.to_json(),
        }

    @classmethod
    def from_json(cls, read: dict[str, Any], grid: Grid) -> Resample:
        """Inverse of `to_json`. Raises KeyError, TypeError, ValueError."""
        return cls(
            Planes.from_json(read["planes"]),
            grid,
            tuple(str(p) for p in read["places"]),
            float(read["largest_gap_mm"]),
            float(read["tilt_degrees"]),
            int(read["missing"]),
            str(read["method"]),
        )


def count(number: int, what: str) -> str:
    """Say "1 slice is" or "3 slices are"."""
    return f"1 {what} is" if number == 1 else f"{number} {what}s are"


def plan(planes: Planes, tilt_degrees: float, missing: int, places: tuple[str, ...]) -> Resample | str:
    """Plan how to make the grid even, or say in a sentence why it can't be.

    Parameters
    ----------
    planes : on a straight line.
    tilt_degrees : between that line and the planes' normal; 0 for none.
    missing : slices known to be missing;  places : see `Resample`.
    """
    gaps = np.diff(planes.at_mm)
    widest = float(gaps.max())
    if tilt_degrees > MAX_TILT_DEGREES:
        return f"A tilt of {tilt_degrees:.0f} degrees is more than a gantry can have, so it can't be resampled."
    if widest > MAX_GAP_MM:
        return f"The widest gap, {widest:.3g} mm, is more than the {MAX_GAP_MM:g} mm that may be filled by resampling."
    if missing > MAX_MISSING * (len(planes) + missing):
        return (
            f"{count(missing, 'slice')} missing of {len(planes) + missing}, more than the quarter that may be filled "
            "by resampling."
        )
    grid = _grid(planes, gaps)
    growth = float(np.prod(grid.shape)) / (len(planes) * planes.shape[0] * planes.shape[1])
    if growth > MAX_GROWTH:
        return f"An even grid would have {growth:.1f} times as many voxels as the series, too many to resample it."
    return Resample(planes, grid, places, widest, tilt_degrees, missing)


def _grid(planes: Planes, gaps: Float) -> Grid:
    """The grid: a plane of the original slices lies on it pixel by pixel, and as many more as can be."""
    anchor, step = _lattice(planes.at_mm, gaps)
    at = (planes.at_mm - planes.at_mm[anchor]) / step
    # The first and last slice of the grid lie no further than half a slice beyond the original ones.
    first, last = int(np.ceil(at[0] - 0.5 - 1e-3)), int(np.floor(at[-1] + 0.5 - 1e-3))
    shift = (planes.in_plane_mm - planes.in_plane_mm[anchor]) / planes.spacing_mm
    low = np.floor(shift.min(axis=0) + 0.05).astype(int)
    high = np.ceil(shift.max(axis=0) - 0.05).astype(int)
    axes = np.column_stack(
        [planes.normal * step, planes.down_column * planes.spacing_mm[0], planes.along_row * planes.spacing_mm[1]]
    )
    affine = np.eye(4)
    affine[:3, :3] = axes
    affine[:3, 3] = planes.origins_lps[anchor] + axes @ np.array([first, *low])
    rows, columns = (int(n + b - a) for n, a, b in zip(planes.shape, low, high, strict=True))
    return Grid((last - first + 1, rows, columns), affine)


def _lattice(at: Float, gaps: Float) -> tuple[int, float]:
    """Number of the slice that the grid is hung on, and its slice distance in mm."""
    if gaps.max() < _EVEN_RATIO * gaps.min():
        return 0, float(gaps.mean())
    rank = int(_FINE_PART * (len(gaps) - 1))
    fine = float(np.sort(gaps)[rank])
    step = float(np.median(gaps[np.abs(gaps - fine) <= 0.05 * fine]))
    index = np.concatenate([[0], np.cumsum(np.round(gaps / step))])
    if index[-1] > 0:
        even = float((at[-1] - at[0]) / index[-1])
        if np.abs(at - at[0] - index * even).max() <= SAME_PLACE_MM:  # slices are missing; the rest lie evenly
            return 0, even
    on = [int(np.count_nonzero(_beside(at - a, step) <= SAME_PLACE_MM)) for a in at]
    return int(np.argmax(on)), step


def _beside(distance: Float, step: float) -> Float:
    """Distance to the nearest multiple of `step`."""
    return np.asarray(np.abs(distance - np.round(distance / step) * step))
