"""Mask edits against their definition in mm, on voxels that are not cubes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from contourdesk.app.edits import (
    fill_holes,
    grow,
    interpolate,
    intersect,
    keep_largest,
    shrink,
    smooth,
    subtract,
    union,
)
from contourdesk.app.geometry import Grid
from contourdesk.app.structures import Mask

GRID = Grid.from_spacing((8, 11, 12), (3, 1, 1.5))
BITS = hnp.arrays(bool, GRID.shape, elements=st.sampled_from([False, False, False, True]))
FULL = np.indices(GRID.shape).reshape(3, -1).T * np.array(GRID.spacing_mm)


def within(points: np.ndarray, mm: float) -> np.ndarray:
    """Voxels whose centre lies within `mm` of a set voxel's centre: brute force."""
    near = np.zeros(GRID.shape, bool)
    for p in np.argwhere(points) * np.array(GRID.spacing_mm):
        near |= (np.linalg.norm(FULL - p, axis=1) <= mm + 1e-6).reshape(GRID.shape)
    return near


@settings(max_examples=25, deadline=None)
@given(BITS, st.sampled_from([0.0, 1.0, 1.5, 2.0, 3.0, 4.2]))
def test_grow_and_shrink_are_exact(bits: np.ndarray, mm: float) -> None:
    mask = Mask.from_dense(bits)
    assert np.array_equal(grow(mask, GRID, mm).dense(GRID.shape), within(bits, mm) if mm else bits)
    assert np.array_equal(shrink(mask, GRID, mm).dense(GRID.shape), ~within(~bits, mm) if mm else bits)


def test_the_edge_of_the_scan_is_no_surface() -> None:
    whole = Mask.from_dense(np.ones(GRID.shape, bool))
    assert shrink(whole, GRID, 5).equals(whole)
    half = np.zeros(GRID.shape, bool)
    half[:4] = True
    assert shrink(Mask.from_dense(half), GRID, 3).dense(GRID.shape).sum() == 3 * 11 * 12
    for call in (grow, shrink):
        with pytest.raises(ValueError, match="use"):
            call(whole, GRID, -1)


@settings(max_examples=25, deadline=None)
@given(BITS, BITS)
def test_booleans(a: np.ndarray, b: np.ndarray) -> None:
    one, two = Mask.from_dense(a), Mask.from_dense(b)
    assert np.array_equal(union(one, two).dense(GRID.shape), a | b)
    assert np.array_equal(intersect(one, two).dense(GRID.shape), a & b)
    assert np.array_equal(subtract(one, two).dense(GRID.shape), a & ~b)


def test_booleans_with_nothing() -> None:
    some = Mask((1, 1, 1), np.ones((2, 2, 2), bool))
    assert union(some, Mask()).equals(some)
    assert union(Mask(), some).equals(some)
    assert union(Mask(), Mask()).is_empty
    assert intersect(some, Mask()).is_empty
    assert subtract(some, Mask()).equals(some)


def test_keep_largest() -> None:
    bits = np.zeros(GRID.shape, bool)
    bits[1:3, 1:4, 1:4] = bits[3, 4, 4] = True  # touches at a corner
    bits[6, 8:10, 8:10] = True
    kept = keep_largest(Mask.from_dense(bits))
    assert kept.count == 19
    assert keep_largest(kept) is kept
    assert keep_largest(Mask()).is_empty


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_fill_holes_by_slice_and_in_3d(axis: int) -> None:
    tube = np.ones((3, 5, 5), bool)
    tube[:, 1:4, 1:4] = False  # open at both ends: a hole on each slice, no cavity
    tube = np.moveaxis(tube, 0, axis)
    assert fill_holes(Mask((2, 2, 2), tube), axis).bits.all()
    assert np.array_equal(fill_holes(Mask((2, 2, 2), tube), None).bits, tube)
    assert np.array_equal(fill_holes(Mask((2, 2, 2), tube), (axis + 1) % 3).bits, tube)
    shell = np.ones((3, 5, 5), bool)
    shell[1, 2, 2] = False
    assert fill_holes(Mask((2, 2, 2), shell), None).bits.all()
    assert fill_holes(Mask()).is_empty


def test_smooth_keeps_place_and_volume_and_drops_specks() -> None:
    grid = Grid.from_spacing((30, 60, 60), (3, 1, 1))
    z, y, x = np.indices(grid.shape)
    ball = ((z - 15) * 3) ** 2 + (y - 30) ** 2 + (x - 28) ** 2 <= 18**2
    rough = ball ^ (ndimage.binary_dilation(ball) & (np.random.default_rng(0).random(grid.shape) < 0.2))
    rough[2, 5, 5] = True
    smoothed = smooth(Mask.from_dense(rough), grid, 3)
    assert abs(smoothed.count / rough.sum() - 1) < 0.03
    assert not smoothed.dense(grid.shape)[2, 5, 5]
    centre = np.argwhere(smoothed.dense(grid.shape)).mean(axis=0)
    assert np.abs(centre - (15, 30, 28)).max() < 0.3
    plain = smoothed.dense(grid.shape)
    assert (plain ^ ball).sum() < (rough ^ ball).sum()
    assert smooth(Mask(), grid, 3).is_empty


def disc_at(row: float, column: float, radius: float) -> np.ndarray:
    y, x = np.indices((60, 60))
    return (y - row) ** 2 + (x - column) ** 2 <= radius**2


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_interpolate_makes_the_frustum_between_two_discs(axis: int) -> None:
    spacing = np.insert([1.0, 1.0], axis, 3.0)
    grid = Grid.from_spacing(np.insert([60, 60], axis, 12), spacing)
    drawn = np.zeros((12, 60, 60), bool)
    drawn[2], drawn[10] = disc_at(30, 15, 12), disc_at(30, 45, 6)  # apart: no voxel in common
    mask = Mask.from_dense(np.moveaxis(drawn, 0, axis))
    got = np.moveaxis(interpolate(mask, grid, axis).dense(grid.shape), axis, 0)
    assert np.array_equal(got[[2, 10]], drawn[[2, 10]])
    assert not got[[0, 1, 11]].any()
    for k in range(3, 10):
        t = (k - 2) / 8
        expected = disc_at(30, 15 + 30 * t, 12 - 6 * t)
        dice = 2 * (got[k] & expected).sum() / (got[k].sum() + expected.sum())
        assert dice > 0.94


def test_interpolate_leaves_complete_ones_alone() -> None:
    mask = Mask((1, 2, 3), np.ones((4, 3, 3), bool))
    assert interpolate(mask, GRID).equals(mask)
    assert interpolate(Mask(), GRID).is_empty
