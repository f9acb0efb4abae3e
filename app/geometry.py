"""Where voxels are: the one place that knows the project's geometry convention.

Arrays are (z, y, x), meaning (slice, row, column) as stored; world coordinates are DICOM patient coordinates (LPS:
x to the patient's left, y to the back, z to the head) in mm. A `Grid` carries the affine from the one to the other,
to voxel *centres*. Nothing is flipped when it is read: views and models ask the Grid how an array lies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float = NDArray[np.float64]
Scalar = TypeVar("Scalar", bound=np.generic)
Box = tuple[slice, slice, slice]

# The letters at the low and the high end of each LPS axis.
_LETTERS = (("R", "L"), ("A", "P"), ("I", "S"))
PLANES = ("axial", "coronal", "sagittal")
# For each plane: LPS axis looked along, LPS axis down the screen, LPS axis across, and whether it runs backwards.
# Clinical convention: axial and coronal seen with the patient's right on the left of the screen, head up, and the
# nose of a sagittal view to the left.
_VIEWS = {
    "axial": (2, (1, False), (0, False)),
    "coronal": (1, (2, True), (0, False)),
    "sagittal": (0, (2, True), (1, False)),
}


@dataclass(frozen=True)
class AxisOrder:
    """A permutation and flips of array axes, and their exact inverse."""

    permutation: tuple[int, int, int]
    flips: tuple[bool, bool, bool]

    def apply(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """Array (..., z, y, x) in the new order, a view."""
        lead = array.ndim - 3
        out = array.transpose(*range(lead), *(lead + a for a in self.permutation))
        return np.flip(out, tuple(lead + i for i, flip in enumerate(self.flips) if flip))

    def undo(self, array: NDArray[Scalar]) -> NDArray[Scalar]:
        """Array back in the old order, a view; ``undo(apply(a))`` is ``a``."""
        lead = array.ndim - 3
        out = np.flip(array, tuple(lead + i for i, flip in enumerate(self.flips) if flip))
        return out.transpose(*range(lead), *(lead + int(a) for a in np.argsort(self.permutation)))


@dataclass(frozen=True)
class ViewPlane:
    """How one clinical view shows an array: axis numbers, and whether the screen runs against the index.

    `top`, `bottom`, `left`, `right` are the letters to write at the edges of the screen.
    """

    name: str
    slice_axis: int
    vertical_axis: int
    horizontal_axis: int
    flip_vertical: bool
    flip_horizontal: bool
    top: str
    bottom: str
    left: str
    right: str


@dataclass(frozen=True, eq=False)
class Grid:
    """Shape and place of a voxel array.

    Parameters
    ----------
    shape : (slices, rows, columns).
    affine : (4, 4) float64, index (slice, row, column, 1) to LPS mm of the voxel's centre.
    frame_of_reference_uid : DICOM frame of reference, empty when unknown.

    Raises
    ------
    ValueError : shape not three positive numbers; affine not invertible or not finite.
    """

    shape: tuple[int, int, int]
    affine: Float
    frame_of_reference_uid: str = ""

    def __post_init__(self) -> None:
        affine = np.array(self.affine, dtype=np.float64)
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or abs(np.linalg.det(affine[:3, :3])) < 1e-9:
            raise ValueError(f"affine must be an invertible 4x4 matrix, got {affine!r}")
        if len(self.shape) != 3 or any(int(n) < 1 for n in self.shape):
            raise ValueError(f"shape must be three positive numbers, got {self.shape!r}")
        affine.setflags(write=False)
        object.__setattr__(self, "affine", affine)
        object.__setattr__(self, "shape", tuple(int(n) for n in self.shape))

    @classmethod
    def from_spacing(
        cls,
        shape: Sequence[int],
        spacing_mm: Sequence[float],
        origin_lps: Sequence[float] = (0.0, 0.0, 0.0),
        frame_of_reference_uid: str = "",
    ) -> Grid:
        """Grid of an axial array lying head first supine: axes (S, P, L), spacing (z, y, x) in mm."""
        affine = np.eye(4)
        affine[:3, :3] = np.array([[0, 0, spacing_mm[2]], [0, spacing_mm[1], 0], [spacing_mm[0], 0, 0]])
        affine[:3, 3] = origin_lps
        return cls((int(shape[0]), int(shape[1]), int(shape[2])), affine, frame_of_reference_uid)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between neighbouring voxel centres along (slice, row, column) axes: mm."""
        z, y, x = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(z), float(y), float(x)

    @property
    def directions(self) -> Float:
        """(3, 3): column i is the LPS unit vector along array axis i."""
        return np.asarray(self.affine[:3, :3] / np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def origin_lps(self) -> Float:
        """(3,) LPS mm of the centre of voxel (0, 0, 0)."""
        return np.asarray(self.affine[:3, 3])

    @property
    def voxel_ml(self) -> float:
        """Volume of a voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine[:3, :3])) / 1000)

    def to_world(self, index_zyx: ArrayLike) -> Float:
        """Indices (..., 3) in (slice, row, column), fractions allowed, to LPS mm (..., 3)."""
        index = np.asarray(index_zyx, dtype=np.float64)
        return np.asarray(index @ self.affine[:3, :3].T + self.affine[:3, 3])

    def to_index(self, points_lps: ArrayLike) -> Float:
        """LPS mm (..., 3) to fractional indices (..., 3) in (slice, row, column)."""
        points = np.asarray(points_lps, dtype=np.float64)
        return np.asarray((points - self.affine[:3, 3]) @ np.linalg.inv(self.affine[:3, :3]).T)

    def is_close(self, other: Grid, tol_mm: float = 0.01) -> bool:
        """Whether both have one shape and no corner lies further apart than `tol_mm`."""
        if self.shape != other.shape:
            return False
        corners = np.array(np.meshgrid(*[(0, n - 1) for n in self.shape], indexing="ij")).reshape(3, -1).T
        return bool(np.abs(self.to_world(corners) - other.to_world(corners)).max() <= tol_mm)

    def crop(self, box: Box) -> Grid:
        """Grid of ``array[box]``; the slices must have plain non-negative bounds."""
        start = [s.start or 0 for s in box]
        stop = [n if s.stop is None else s.stop for s, n in zip(box, self.shape, strict=True)]
        affine = self.affine.copy()
        affine[:3, 3] = self.to_world(start)
        shape = tuple(b - a for a, b in zip(start, stop, strict=True))
        return Grid((shape[0], shape[1], shape[2]), affine, self.frame_of_reference_uid)

    @property
    def world_axes(self) -> tuple[tuple[int, int], ...]:
        """For each array axis the LPS axis (0 L, 1 P, 2 S) that it lies nearest to, and +1 or -1 for its sense.

        Every LPS axis is given to exactly one array axis, also for oblique grids.
        """
        d = np.abs(self.directions).copy()
        out: dict[int, tuple[int, int]] = {}
        for _ in range(3):
            world, axis = np.unravel_index(int(np.argmax(d)), d.shape)
            out[int(axis)] = (int(world), 1 if self.directions[world, axis] >= 0 else -1)
            d[world, :] = -1
            d[:, axis] = -1
        return tuple(out[i] for i in range(3))

    def canonical(self) -> tuple[Grid, AxisOrder]:
        """The same voxels with axes nearest to (S, P, L), and how to get an array there and back.

        Models are trained on arrays that lie so. An oblique grid stays oblique.
        """
        axes = self.world_axes
        permutation = tuple(next(i for i, (w, _) in enumerate(axes) if w == world) for world in (2, 1, 0))
        flips = tuple(axes[a][1] < 0 for a in permutation)
        affine = self.affine.copy()
        origin = [n - 1 if s < 0 else 0 for n, (_, s) in zip(self.shape, axes, strict=True)]
        affine[:3, 3] = self.to_world(origin)
        for new, (old, flip) in enumerate(zip(permutation, flips, strict=True)):
            affine[:3, new] = self.affine[:3, old] * (-1 if flip else 1)
        order = AxisOrder((permutation[0], permutation[1], permutation[2]), (flips[0], flips[1], flips[2]))
        shape = (self.shape[permutation[0]], self.shape[permutation[1]], self.shape[permutation[2]])
        return Grid(shape, affine, self.frame_of_reference_uid), order

    def view(self, plane: str) -> ViewPlane:
        """How the "axial", "coronal" or "sagittal" view shows this array, patient's right on the screen's left."""
        along, (down, down_backwards), (across, across_backwards) = _VIEWS[plane]
        axes = self.world_axes
        where = {world: i for i, (world, _) in enumerate(axes)}
        vertical, horizontal = where[down], where[across]
        low_first = (axes[vertical][1] > 0) != down_backwards
        left_first = (axes[horizontal][1] > 0) != across_backwards
        top, bottom = _LETTERS[down] if not down_backwards else _LETTERS[down][::-1]
        left, right = _LETTERS[across] if not across_backwards else _LETTERS[across][::-1]
        return ViewPlane(
            plane, where[along], vertical, horizontal, not low_first, not left_first, top, bottom, left, right
        )


def whole_box(shape: Sequence[int]) -> Box:
    """The box of a whole array."""
    return slice(0, int(shape[0])), slice(0, int(shape[1])), slice(0, int(shape[2]))
