"""Margins in mm, one for each of the six directions, exact on voxels of any shape."""

from __future__ import annotations

from dataclasses import astuple, dataclass

import numpy as np

from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Box, Grid
from contourdesk.app.structures import Bits, Mask, tight_box

_TOLERANCE_MM = 1e-6
_MAX_MM = 100.0


@dataclass(frozen=True)
class Margins:
    """mm towards the patient's right, left, anterior, posterior, inferior and superior; negative ones shrink."""

    right: float = 0.0
    left: float = 0.0
    anterior: float = 0.0
    posterior: float = 0.0
    inferior: float = 0.0
    superior: float = 0.0

    @classmethod
    def uniform(cls, mm: float) -> Margins:
        """The same on all sides."""
        return cls(mm, mm, mm, mm, mm, mm)


def margin(mask: Mask, grid: Grid, margins: Margins) -> Mask:
    """Grow or shrink a mask by a margin.

    Growing adds every voxel whose centre a voxel of the mask reaches: the reach is an ellipsoid with one half axis
    (mm) in each of the six directions of the patient, whatever the grid's axes and spacing. Shrinking is growing of
    what lies outside, seen from there; the edge of the scan is no surface, so nothing is taken off there.

    Raises
    ------
    UserError : margins that grow on one side and shrink on another, or of more than 100 mm.
    """
    values = np.array(astuple(margins))
    if not np.isfinite(values).all() or np.abs(values).max() > _MAX_MM:
        raise UserError(f"A margin must lie between -{_MAX_MM:g} and {_MAX_MM:g} mm.", "Correct the number.")
    if (values > 0).any() and (values < 0).any():
        raise UserError("A margin can't grow on one side and shrink on another.", "Do it in two steps.")
    if mask.is_empty or not values.any():
        return mask
    reach = _reach(grid, np.abs(values))
    half = np.array(reach.shape) // 2
    if (values > 0).any():
        box = _wider(mask, half, grid.shape)
        return Mask.from_dense(_touched(mask.read(box), reach), (box[0].start, box[1].start, box[2].start))
    # A voxel goes when one that it reaches, in the direction of a margin, lies outside.
    box = _wider(mask, half, grid.shape)
    inside = mask.read(box)
    outside = _touched(~inside, reach[::-1, ::-1, ::-1])
    return Mask.from_dense(inside & ~outside, (box[0].start, box[1].start, box[2].start))


def _reach(grid: Grid, mm: np.ndarray) -> Bits:
    """Bool box of odd sizes: the offsets of voxels within the ellipsoid round its middle."""
    steps = grid.affine[:3, :3]
    # Half the width along each index axis of a ball with the largest margin; cut down to what is used below.
    half = np.floor(mm.max() * np.sqrt(np.diag(np.linalg.inv(steps.T @ steps))) + _TOLERANCE_MM).astype(int)
    offsets = np.stack(np.meshgrid(*[np.arange(-n, n + 1) for n in half], indexing="ij"), axis=-1) @ steps.T
    low, high = mm[[0, 2, 4]], mm[[1, 3, 5]]  # towards -x (right), -y (anterior), -z (inferior), and the opposite
    axes = np.where(offsets < 0, low, high)
    with np.errstate(divide="ignore", invalid="ignore"):
        parts = np.where(np.abs(offsets) <= _TOLERANCE_MM, 0.0, offsets / axes)
    inside: Bits = (parts**2).sum(axis=-1) <= 1 + _TOLERANCE_MM
    tight = tight_box(inside | inside[::-1, ::-1, ::-1])
    assert tight is not None  # the middle is always inside
    return inside[tight]


def _touched(bits: Bits, reach: Bits) -> Bits:
    """Voxels that a set voxel reaches."""
    from scipy.signal import fftconvolve  # with scipy.stats: a second of the program's start

    return np.asarray(fftconvolve(bits.astype(np.float32), reach.astype(np.float32), mode="same") > 0.5)


def _wider(mask: Mask, half: np.ndarray, shape: tuple[int, int, int]) -> Box:
    tight = tight_box(mask.bits) or (slice(0, 0), slice(0, 0), slice(0, 0))
    z, y, x = (
        slice(max(0, s.start + o - int(h) - 1), min(n, s.stop + o + int(h) + 1))
        for s, o, h, n in zip(tight, mask.offset, half, shape, strict=True)
    )
    return z, y, x
