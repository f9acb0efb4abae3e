"""Masks that were made on another grid, placed on this one: exactly, or not at all.

A grid fits when its axes are the other's in some order and sense, its voxels as big, and shifted by whole voxels. So a
copy stored flipped, with other axes first, or cut out of the image fits; anything that would need resampling doesn't.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from contourdesk.app.errors import UserError
from contourdesk.app.geometry import AxisOrder, Box, Grid
from contourdesk.app.structures import Bits, Mask, tight_box

TOLERANCE_MM = 0.01  # what headers of 32-bit or decimal numbers lose
_ADVICE = "Export it on the grid of the images."


@dataclass(frozen=True)
class Placement:
    """Where an array on another grid lies in this one.

    Parameters
    ----------
    order : how its axes become this grid's.
    corner : index in this grid of its first voxel after that; may lie outside.
    own_shape : its shape as stored;  shape : this grid's shape.
    """

    order: AxisOrder
    corner: tuple[int, int, int]
    own_shape: tuple[int, int, int]
    shape: tuple[int, int, int]

    def mask(self, bits: Bits, start: tuple[int, int, int] = (0, 0, 0)) -> tuple[Mask, int]:
        """A mask of this grid from a box of the other array.

        Parameters
        ----------
        bits : bool, axes as stored there;  start : index of its first voxel there.

        Returns
        -------
        The mask, and how many of the voxels set lie outside this grid and are lost.
        """
        tight = tight_box(np.asarray(bits, bool))
        if tight is None:
            return Mask(), 0
        start = (start[0] + tight[0].start, start[1] + tight[1].start, start[2] + tight[2].start)
        bits = np.asarray(bits, bool)[tight]
        turned = self.order.apply(bits)
        offset = []
        for axis, (old, flip) in enumerate(zip(self.order.permutation, self.order.flips, strict=True)):
            ahead = self.own_shape[old] - start[old] - bits.shape[old] if flip else start[old]
            offset.append(self.corner[axis] + ahead)
        inside = tuple(
            slice(max(0, -o), max(0, min(n, limit - o)))
            for o, n, limit in zip(offset, turned.shape, self.shape, strict=True)
        )
        kept = turned[inside]
        lost = 0 if kept.shape == turned.shape else int(np.count_nonzero(turned)) - int(np.count_nonzero(kept))
        first = tuple(o + s.start for o, s in zip(offset, inside, strict=True))
        return Mask.from_dense(kept, (first[0], first[1], first[2])), lost


def place(other: Grid, grid: Grid, what: str, tolerance_mm: float = TOLERANCE_MM) -> Placement:
    """Where voxels of `other` lie in `grid`.

    Parameters
    ----------
    what : name of the file, for the message.
    tolerance_mm : how far voxel centres may lie apart.

    Raises
    ------
    UserError : the grids don't fit; says in which way, with figures.
    """
    steps = np.linalg.inv(grid.affine[:3, :3]) @ other.affine[:3, :3]  # other's axes, counted in this grid's voxels
    whole = np.rint(steps)
    is_permutation = (np.abs(whole).sum(axis=0) == 1).all() and (np.abs(whole).sum(axis=1) == 1).all()
    if not is_permutation or _drift_mm(steps - whole, other, grid) > tolerance_mm:
        raise UserError(f"{what} is on another grid than the images: {_difference(other, grid)}.", _ADVICE)
    first = grid.to_index(other.origin_lps)
    beside = float(np.linalg.norm(grid.affine[:3, :3] @ (first - np.rint(first))))
    if beside > tolerance_mm or _corners_mm(steps, first, other, grid) > tolerance_mm:
        raise UserError(
            f"{what} is on another grid than the images: its voxels lie {beside:.3g} mm beside theirs.", _ADVICE
        )
    return _placement(whole.astype(int), np.rint(first).astype(int), other, grid)


def _drift_mm(error: NDArray[np.float64], other: Grid, grid: Grid) -> float:
    """How far voxels of the far corners come to lie beside those of this grid, when the first ones meet."""
    return max(float(np.linalg.norm(grid.affine[:3, :3] @ error @ end)) for end in _ends(other))


def _corners_mm(steps: NDArray[np.float64], first: NDArray[np.float64], other: Grid, grid: Grid) -> float:
    whole, start = np.rint(steps), np.rint(first)
    errors = (steps @ end + first - whole @ end - start for end in _ends(other))
    return max(float(np.linalg.norm(grid.affine[:3, :3] @ error)) for error in errors)


def _ends(grid: Grid) -> NDArray[np.float64]:
    """(8, 3) indices of the corners."""
    return np.array(np.meshgrid(*[(0, n - 1) for n in grid.shape], indexing="ij"), np.float64).reshape(3, -1).T


def _placement(whole: NDArray[np.int_], first: NDArray[np.int_], other: Grid, grid: Grid) -> Placement:
    """`whole` is a signed permutation: column = axis there, row = axis here."""
    old = [int(np.flatnonzero(whole[axis])[0]) for axis in range(3)]
    flips = [bool(whole[axis, old[axis]] < 0) for axis in range(3)]
    corner = [int(first[axis]) - (other.shape[old[axis]] - 1 if flips[axis] else 0) for axis in range(3)]
    return Placement(
        AxisOrder((old[0], old[1], old[2]), (flips[0], flips[1], flips[2])),
        (corner[0], corner[1], corner[2]),
        other.shape,
        grid.shape,
    )


def _difference(other: Grid, grid: Grid) -> str:
    """In what way the axes differ: turned, or of another size."""
    cosines = np.abs(grid.directions.T @ other.directions)
    nearest = [int(i) for i in np.argmax(cosines, axis=0)]
    angle = math.degrees(math.acos(min(1.0, float(cosines.max(axis=0).min()))))
    if len(set(nearest)) < 3 or angle > 0.01:
        return f"its axes are turned by {angle:.2f}° against theirs"
    there = [other.spacing_mm[nearest.index(axis)] for axis in range(3)]
    sizes = [" × ".join(f"{v:.6g}" for v in spacing[::-1]) for spacing in (there, grid.spacing_mm)]
    return f"its voxels measure {sizes[0]} mm, theirs {sizes[1]} mm"


def union(masks: Sequence[Mask]) -> Mask:
    """All voxels that any of the masks has."""
    full = [m for m in masks if m.bits.size]
    if len(full) < 2:
        return full[0] if full else Mask()
    low = [min(m.offset[i] for m in full) for i in range(3)]
    high = [max(m.offset[i] + m.bits.shape[i] for m in full) for i in range(3)]
    out = np.zeros([b - a for a, b in zip(low, high, strict=True)], bool)
    for mask in full:
        out[tuple(slice(o - a, o - a + n) for o, a, n in zip(mask.offset, low, mask.bits.shape, strict=True))] |= (
            mask.bits
        )
    return Mask.from_dense(out, (low[0], low[1], low[2]))


def label_boxes(labels: NDArray[np.generic]) -> Iterator[tuple[int, Box]]:
    """Every whole number but zero in an integer array (z, y, x), and the smallest box round its places."""
    values = _values(labels)
    if values.size == 0:
        return
    numbers = values
    if values[0] < 0 or int(values[-1]) > max(4096, 4 * values.size):
        # Few but large or negative labels: counted through, so that no list of millions is made.
        counted = (np.searchsorted(values, labels) + 1).astype(np.int32)
        counted[labels == 0] = 0
        labels, numbers = counted, np.arange(1, values.size + 1)
    boxes = ndimage.find_objects(labels)
    for value, number in zip(values, numbers, strict=True):
        yield int(value), boxes[int(number) - 1]


def _values(labels: NDArray[np.generic]) -> NDArray[np.int_]:
    """Sorted values other than zero, found slice by slice."""
    is_byte = labels.dtype.kind == "u" and labels.dtype.itemsize == 1
    found: set[int] = set()
    for plane in labels:
        values = np.flatnonzero(np.bincount(plane.ravel())) if is_byte else np.unique(plane)
        found.update(values.tolist())
    return np.array(sorted(found - {0}), int)
