"""Masks on another grid: placed exactly or refused with figures."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from phantoms import ORIENTATIONS

from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.placement import place
from contourdesk.app.structures import Mask

SHAPE = (7, 9, 8)


def grid(name: str = "oblique", spacing: tuple[float, float, float] = (2.5, 1.3, 0.8)) -> Grid:
    along, down = np.array(ORIENTATIONS[name][:3]), np.array(ORIENTATIONS[name][3:])
    affine = np.eye(4)
    affine[:3] = np.column_stack([np.cross(along, down), down, along, [-40.125, 33.5, -7.75]]) * [*spacing, 1]
    return Grid(SHAPE, affine)


def stored(where: Grid, order: tuple[int, ...], flips: tuple[bool, ...]) -> tuple[Grid, np.ndarray]:
    """The same voxels with axes in another order and sense, built the long way: voxel by voxel."""
    shape = tuple(where.shape[a] for a in order)
    affine = where.affine.copy()
    first = [where.shape[a] - 1 if f else 0 for a, f in zip(order, flips, strict=True)]
    back = np.zeros(3)
    back[list(order)] = first
    affine[:3, 3] = where.to_world(back)
    affine[:3, :3] = where.affine[:3, list(order)] * [-1 if f else 1 for f in flips]
    bits = np.random.default_rng(5).random(where.shape) > 0.7
    there = Grid(shape, affine)
    out = np.zeros(shape, bool)
    for index in np.ndindex(shape):
        out[index] = bits[tuple(np.rint(where.to_index(there.to_world(index))).astype(int))]
    return there, out


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", list(itertools.product((False, True), repeat=3)))
def test_every_way_to_store_a_grid(order: tuple[int, ...], flips: tuple[bool, ...]) -> None:
    where = grid()
    there, bits = stored(where, order, flips)
    placement = place(there, where, "a")
    truth = np.random.default_rng(5).random(where.shape) > 0.7
    mask, lost = placement.mask(bits)
    assert lost == 0 and np.array_equal(mask.dense(where.shape), truth)
    box = bits[1:4, 2:6, 3:5]
    part, _ = placement.mask(box, (1, 2, 3))
    alone = np.zeros_like(bits)
    alone[1:4, 2:6, 3:5] = box
    assert part.equals(placement.mask(alone)[0]) and part.count == np.count_nonzero(box)


def test_cut_out_and_over_the_edge() -> None:
    where = grid()
    small = where.crop((slice(2, 5), slice(1, 9), slice(3, 6)))
    bits = np.ones(small.shape, bool)
    mask, lost = place(small, where, "a").mask(bits)
    assert mask.offset == (2, 1, 3) and mask.bits.shape == small.shape and lost == 0
    mask, lost = place(where, small, "a").mask(np.ones(SHAPE, bool))
    assert mask.equals(Mask.from_dense(bits)) and lost == np.prod(SHAPE) - bits.size
    away = where.crop((slice(0, 1), slice(0, 1), slice(0, 1)))
    mask, lost = place(away, small, "a").mask(np.ones((1, 1, 1), bool))
    assert mask.is_empty and lost == 1


@pytest.mark.parametrize(("change", "message"), [
    ((2.5, 1.3, 0.81), "0.81 × 1.3 × 2.5 mm, theirs 0.8 × 1.3 × 2.5 mm"), ((5, 1.3, 0.8), "0.8 × 1.3 × 5 mm"),
    ((1.25, 1.3, 0.8), "0.8 × 1.3 × 1.25 mm"),
])  # fmt: skip
def test_other_voxels(change: tuple[float, float, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        place(grid(spacing=change), grid(), "a")


def test_turned_and_shifted() -> None:
    with pytest.raises(
        UserError, match=r"a\.nii is on another grid than the images: its axes are turned by \d+\.\d\d°"
    ):
        place(grid("axial"), grid(), "a.nii")
    affine = grid().affine.copy()
    affine[:3, 3] += grid().directions[:, 1] * (0.4 - 1.3 * 3)
    with pytest.raises(UserError, match=r"its voxels lie 0\.4 mm beside theirs"):
        place(Grid(SHAPE, affine), grid(), "a")
    assert place(Grid(SHAPE, affine), grid(), "a", tolerance_mm=0.5).corner == (0, -3, 0)
    turned = grid().affine.copy()
    turned[:3, 2] += grid().directions[:, 1] * 0.05
    with pytest.raises(UserError, match=r"turned by 3\.\d\d°"):
        place(Grid(SHAPE, turned), grid(), "a")
