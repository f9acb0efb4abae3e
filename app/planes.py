"""Image planes as a scanner made them: one orientation and matrix, each plane at a place of its own.

A `Grid` is even and square; a tilted gantry, a changed slice distance or a lost slice is not. `Planes` says where such
slices really lie. Its index is (plane, row, column), fractions meant, and uneven planes count one each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.contour import Contour
from contourdesk.app.contours_raster import FILLED_KINDS, Raster, rasterise
from contourdesk.app.geometry import Grid

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

    @property
    def normal(self) -> Float:
        """(3,) unit vector: along a row times down a column."""
        return np.asarray(np.cross(self.along_row, self.down_column))

    @property
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

    def to_index(self, points_lps: Float) -> Float:
        """Points (m, 3) of one contour, LPS mm, to (plane, row, column) on the plane nearest to their middle.

        The plane index has fractions: one half is half way to the neighbouring plane.
        """
        at = self.at_mm
        height = points_lps @ self.normal
        inner = np.interp(height, at, np.arange(len(at), dtype=float))
        below = np.minimum(height - at[0], 0) / (at[1] - at[0])
        above = np.maximum(height - at[-1], 0) / (at[-1] - at[-2])
        plane = inner + below + above
        nearest = int(np.clip(np.floor((plane.min() + plane.max()) / 2 + 0.5), 0, len(at) - 1))
        relative = points_lps - self.origins_lps[nearest]
        row, column = relative @ self.down_column, relative @ self.along_row
        return np.column_stack([plane, row / self.spacing_mm[0], column / self.spacing_mm[1]])

    def nearest(self, points_lps: Float) -> int | None:
        """Number of the plane that a contour (m, 3) belongs to: all of it within half the local distance; else None."""
        plane = self.to_index(points_lps)[:, 0]
        k = int(np.floor(float(plane.min() + plane.max()) / 2 + 0.5))
        return k if 0 <= k < len(self) and float(np.abs(plane - k).max()) <= 0.5 + 1e-4 else None

    def indexed(self, contours: Sequence[Contour]) -> list[Contour]:
        """Contours with (plane, row, column) instead of LPS mm."""
        return [replace(c, points_lps=self.to_index(c.points_lps)) for c in contours if len(c.points_lps)]

    def rasterise(self, contours: Sequence[Contour]) -> Raster:
        """Fill contours on these planes; the mask's index is (plane, row, column).

        A contour belongs to the nearest plane, at most half the local distance away. Else as
        `contourdesk.app.contours_raster.rasterise`.
        """
        indexed = self.indexed(contours)
        raster = rasterise(indexed, Grid((len(self), *self.shape), np.eye(4)))
        return replace(raster, largest_offset_mm=self._largest_offset(contours))

    def _largest_offset(self, contours: Sequence[Contour]) -> float:
        """The furthest, in mm, that the middle of a filled contour lies from its plane."""
        at, out = self.at_mm, 0.0
        for contour in contours:
            if contour.kind in FILLED_KINDS and len(contour.points_lps) > 2:
                k = self.nearest(contour.points_lps)
                height = contour.points_lps @ self.normal
                out = max(out, 0.0 if k is None else abs(float(height.min() + height.max()) / 2 - float(at[k])))
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
