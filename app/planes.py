"""Image planes as a scanner made them: one orientation and matrix, each plane at a place of its own.

A `Grid` is even and square; a tilted gantry, a changed slice distance or a lost slice is not. `Planes` says where such
slices really lie. Its index is (plane, row, column), fractions meant, and uneven planes count one each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.contour import Contour
from contourdesk.app.contours_place import Placement, place
from contourdesk.app.contours_raster import Raster, rasterise
from contourdesk.app.geometry import Grid
from contourdesk.app.structures import Mask

Float = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Planes:
    """Where the planes lie.

    Parameters
    ----------
    origins_lps : (n, 3) LPS mm of the centre of each plane's first voxel, ascending along the normal, n at least 2.
    along_row, down_column : (3,) unit vectors along a row (columns count up) and down a column (rows count up).
    spacing_mm : distance between rows, and between columns.
    shape : (rows, columns).

    Raises
    ------
    ValueError : fewer than two planes, or not ascending.
    """

    origins_lps: Float
    along_row: Float
    down_column: Float
    spacing_mm: tuple[float, float]
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        for name in ("origins_lps", "along_row", "down_column"):
            value = np.array(getattr(self, name), dtype=np.float64)
            value.setflags(write=False)
            object.__setattr__(self, name, value)
        if self.origins_lps.ndim != 2 or len(self) < 2 or (np.diff(self.at_mm) <= 0).any():
            raise ValueError("planes must be two or more, ascending along their normal")

    def __len__(self) -> int:
        return len(self.origins_lps)

    @cached_property
    def normal(self) -> Float:
        """(3,) unit vector: along a row times down a column."""
        return np.asarray(np.cross(self.along_row, self.down_column))

    @cached_property
    def at_mm(self) -> Float:
        """(n,) place of each plane along the normal."""
        return np.asarray(self.origins_lps @ self.normal)

    @property
    def in_plane_mm(self) -> Float:
        """(n, 2) place of each plane's first voxel within its plane: down a column, along a row."""
        return np.asarray(self.origins_lps @ np.column_stack([self.down_column, self.along_row]))

    def grid_of(self, plane: int, frame_of_reference_uid: str = "") -> Grid:
        """Grid of one plane alone, shape (1, rows, columns), as thick as its nearer neighbour is far."""
        at = self.at_mm
        near = min(abs(at[i] - at[plane]) for i in (plane - 1, plane + 1) if 0 <= i < len(self))
        affine = np.eye(4)
        affine[:3] = np.column_stack(
            [
                self.normal * near,
                self.down_column * self.spacing_mm[0],
                self.along_row * self.spacing_mm[1],
                self.origins_lps[plane],
            ]
        )
        return Grid((1, *self.shape), affine, frame_of_reference_uid)

    def to_index(self, points_lps: Float, begin: Sequence[int] = (0,)) -> Float:
        """Points (m, 3) of contours, LPS mm, to (plane, row, column), on the plane nearest to each one's middle.

        The plane index has fractions: one half is half way to the neighbouring plane. `begin` says where each contour
        begins among the points.
        """
        at = self.at_mm
        height = points_lps @ self.normal
        inner = np.interp(height, at, np.arange(len(at), dtype=float))
        below = np.minimum(height - at[0], 0) / (at[1] - at[0])
        above = np.maximum(height - at[-1], 0) / (at[-1] - at[-2])
        plane = inner + below + above
        middle = (np.minimum.reduceat(plane, begin) + np.maximum.reduceat(plane, begin)) / 2
        nearest = np.clip(np.floor(middle + 0.5), 0, len(at) - 1).astype(np.int64)
        counts = np.diff([*begin, len(points_lps)])
        relative = points_lps - np.repeat(self.origins_lps[nearest], counts, axis=0)
        row, column = relative @ self.down_column, relative @ self.along_row
        return np.column_stack([plane, row / self.spacing_mm[0], column / self.spacing_mm[1]])

    def indexed(self, contours: Sequence[Contour]) -> list[Contour]:
        """Contours with (plane, row, column) instead of LPS mm, in the same order."""
        some = [c for c in contours if len(c.points_lps)]
        if not some:
            return list(contours)
        ends = np.cumsum([len(c.points_lps) for c in some])
        begin = [0, *ends[:-1].tolist()]
        parts = iter(np.split(self.to_index(np.concatenate([c.points_lps for c in some]), begin), begin[1:]))
        return [replace(c, points_lps=next(parts)) if len(c.points_lps) else c for c in contours]

    @property
    def index_grid(self) -> Grid:
        """A grid whose world is (plane, row, column) itself: what looks at `indexed` contours takes it."""
        return Grid((len(self), *self.shape), np.eye(4))

    def place(self, contours: Sequence[Contour], image_uids: Sequence[str] = ()) -> Placement:
        """Say which plane each contour of one ROI, LPS mm, belongs to.

        As `contourdesk.app.contours_place.place` does for the slices of a grid, with the local slice distance.
        """
        return place(self.indexed(contours), self.index_grid, image_uids)

    def rasterise(self, contours: Sequence[Contour], image_uids: Sequence[str] = ()) -> Raster:
        """Fill the contours of one ROI, LPS mm, on these planes; the mask's index is (plane, row, column).

        As `contourdesk.app.contours_raster.rasterise` does for the slices of a grid. Contours that don't lie in the
        planes are not filled.
        """
        placement = self.place(contours, image_uids)
        if not placement.in_slices:
            return Raster(Mask(), slanted=len(placement.closed))
        raster = rasterise(self.indexed(contours), self.index_grid, image_uids)
        return replace(raster, largest_offset_mm=self._largest_offset(contours, placement))

    def _largest_offset(self, contours: Sequence[Contour], placement: Placement) -> float:
        """The furthest, in mm, that the middle of a filled contour lies from its plane."""
        at, out = self.at_mm, 0.0
        for i in np.flatnonzero(placement.shown).tolist():
            height = contours[i].points_lps @ self.normal
            out = max(out, abs(float(height.min() + height.max()) / 2 - float(at[placement.slices[i]])))
        return out

    def is_close(self, other: Planes, tol_mm: float = 0.01) -> bool:
        """Whether both are the same planes: no corner of one lies further than `tol_mm` from the other's."""
        if len(self) != len(other) or self.shape != other.shape:
            return False
        return all(self.grid_of(k).is_close(other.grid_of(k), tol_mm) for k in range(len(self)))

    def to_json(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "origins_lps": self.origins_lps.tolist(),
            "along_row": self.along_row.tolist(),
            "down_column": self.down_column.tolist(),
            "spacing_mm": list(self.spacing_mm),
            "shape": list(self.shape),
        }

    @classmethod
    def from_json(cls, read: dict[str, Any]) -> Planes:
        """Inverse of `to_json`. Raises KeyError, TypeError, ValueError."""
        row_mm, column_mm = (float(v) for v in read["spacing_mm"])
        rows, columns = (int(v) for v in read["shape"])
        origins, along_row, down_column = (
            np.array(read[name], float) for name in ("origins_lps", "along_row", "down_column")
        )
        return cls(origins, along_row, down_column, (row_mm, column_mm), (rows, columns))
