"""Contours to voxels: against a plain point-in-polygon test, analytic shapes, and every way to draw a hole."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from phantoms import ORIENTATIONS, phantom_marker

from contourdesk.app.contour import Contour
from contourdesk.app.contours_raster import contours_to_mask, fill_polygons, rasterise
from contourdesk.app.geometry import Grid

SHAPE = (5, 40, 50)
PLAIN = Grid.from_spacing(SHAPE, (3, 1, 1))


def grid_of(orientation: str) -> Grid:
    cosines = np.array(ORIENTATIONS[orientation], float)
    affine = np.eye(4)
    affine[:3] = np.column_stack(
        [2.5 * np.cross(cosines[:3], cosines[3:]), 1.7 * cosines[3:], 0.9 * cosines[:3], [-12.5, 30.25, 7]]
    )
    return Grid(SHAPE, affine)


def inside(polygon: NDArray[np.float64], row: float, column: float) -> bool:
    """Plain even-odd test, edge by edge."""
    odd = False
    for (r0, c0), (r1, c1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        if (r0 > row) != (r1 > row) and column < c0 + (row - r0) * (c1 - c0) / (r1 - r0):
            odd = not odd
    return odd


def circle(radius: float, row: float = 18.37, column: float = 24.81, n: int = 500) -> NDArray[np.float64]:
    turn = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return np.column_stack([row + radius * np.sin(turn), column + radius * np.cos(turn)])


def contour(grid: Grid, points: NDArray[np.float64], k: float = 2, kind: str = "CLOSED_PLANAR") -> Contour:
    return Contour(grid.to_world(np.column_stack([np.full(len(points), k), points])), kind)


def plane(contours: list[Contour], k: int = 2, grid: Grid = PLAIN) -> NDArray[np.bool_]:
    return contours_to_mask(contours, grid).dense(grid.shape)[k]


def distance(row: float = 18.37, column: float = 24.81) -> NDArray[np.float64]:
    rows, columns = np.indices(SHAPE[1:])
    return np.hypot(rows - row, columns - column)


@pytest.mark.parametrize("seed", range(6))
def test_random_polygons_against_a_plain_test(seed: int) -> None:
    # Self-crossing on purpose, and partly outside the image.
    points = np.random.default_rng(seed).uniform((-8, -8), (48, 58), (9, 2))
    filled = fill_polygons([points], SHAPE[1:])
    expected = np.array([[inside(points, r, c) for c in range(SHAPE[2])] for r in range(SHAPE[1])])
    assert np.array_equal(filled, expected)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_every_orientation_fills_the_same_voxels(orientation: str) -> None:
    grid = grid_of(orientation)
    assert np.array_equal(plane([contour(grid, circle(9.3))], grid=grid), distance() < 9.3)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_voxel_edges_give_back_every_bit(orientation: str) -> None:
    grid, bits = grid_of(orientation), phantom_marker(SHAPE) ^ (np.random.default_rng(5).random(SHAPE) > 0.8)
    square = np.array([(-0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0.5, -0.5)])
    contours = []
    for k, row, column in np.argwhere(bits):
        one = contour(grid, square + np.array([row, column]), k)
        contours.append(Contour(np.char.mod("%.6f", one.points_lps).astype(float)))  # as a file would hold it
    raster = rasterise(contours, grid)
    assert np.array_equal(raster.mask.dense(SHAPE), bits)
    assert (raster.outside, raster.slanted, raster.clipped, raster.overlapping) == (0, 0, 0, 0)


@pytest.mark.parametrize("radius", [2.0, 3.3, 5.0, 10.0])
def test_areas_are_right_on_average(radius: float) -> None:
    places = np.random.default_rng(7).uniform(15, 25, (40, 2))
    counts = [fill_polygons([circle(radius, r, c)], SHAPE[1:]).sum() for r, c in places]
    assert np.mean(counts) == pytest.approx(np.pi * radius**2, rel=0.02)


def test_holes_islands_and_keyholes() -> None:
    rings = [circle(12), circle(8), circle(4)]
    expected = ((distance() < 12) & (distance() > 8)) | (distance() < 4)
    assert np.array_equal(plane([contour(PLAIN, p) for p in rings]), expected)
    assert np.array_equal(plane([contour(PLAIN, p, kind="CLOSEDPLANAR_XOR") for p in rings]), expected)
    keyhole = np.concatenate([rings[0], rings[0][:1], rings[1][:1], rings[1][::-1]])
    ring = (distance() < 12) & (distance() > 8)
    # The bridge runs along a slanted line, a row of voxel centres, and a column of them.
    assert np.array_equal(plane([contour(PLAIN, keyhole)]), ring)
    for turn in ((0, 125), (62, 190)):
        outer, inner = (np.round(circle(r, 18, 25), 3) for r in (12, 8))
        outer, inner = np.roll(outer, -turn[0], axis=0), np.roll(inner, -turn[1], axis=0)
        bridged = np.concatenate([outer, outer[:1], inner[:1], inner[::-1]])
        apart = plane([contour(PLAIN, outer), contour(PLAIN, inner)])
        assert np.array_equal(plane([contour(PLAIN, bridged)]), apart)


def test_neighbours_that_share_an_edge_neither_overlap_nor_leave_a_gap() -> None:
    # The shared edge runs exactly through voxel centres.
    left = np.array([(5, 5), (5, 20), (30, 20), (30, 5)], float)
    right = np.array([(5, 20), (5, 40), (30, 40), (30, 20)], float)
    a, b = plane([contour(PLAIN, left)]), plane([contour(PLAIN, right)])
    both = plane([contour(PLAIN, np.array([(5, 5), (5, 40), (30, 40), (30, 5)], float))])
    assert not (a & b).any() and np.array_equal(a | b, both)


@pytest.mark.parametrize(("offset", "where"), [(0.0003, 2), (0.04, 2), (0.47, 2), (-0.47, 2), (0.53, 3)])
def test_nearest_slice_within_half_a_slice(offset: float, where: int) -> None:
    raster = rasterise([contour(PLAIN, circle(6), 2 + offset)], PLAIN)
    assert raster.mask.offset[0] == where and raster.mask.bits.shape[0] == 1
    assert raster.largest_offset_mm == pytest.approx(3 * abs(2 + offset - where))


def test_what_can_not_be_placed_is_counted() -> None:
    raster = rasterise([contour(PLAIN, circle(6), k) for k in (-3, -0.6, -0.4, 4.4, 4.6, 9)], PLAIN)
    assert (raster.outside, raster.slanted, raster.problem) == (4, 0, "")
    assert (
        raster.mask.offset[0] == 0 and raster.mask.bits.shape[0] == 5 and raster.mask.bits.any(axis=(1, 2)).sum() == 2
    )


def test_clipped_at_the_edge_of_the_image() -> None:
    raster = rasterise([contour(PLAIN, circle(12, 2, 3))], PLAIN)
    assert raster.clipped == 1
    assert np.array_equal(raster.mask.dense(SHAPE)[2], distance(2, 3) < 12)
    beside = rasterise([contour(PLAIN, circle(5, -30, 3))], PLAIN)
    assert beside.mask.is_empty and (beside.outside, beside.clipped) == (1, 0)


def test_overlapping_outlines_are_told() -> None:
    crossing = [contour(PLAIN, circle(6, 15, 20)), contour(PLAIN, circle(6, 15, 26))]
    assert rasterise(crossing, PLAIN).overlapping == 1
    square = np.array([(5, 5), (5, 15), (15, 15), (15, 5)], float)
    assert rasterise([contour(PLAIN, square), contour(PLAIN, square + 6)], PLAIN).overlapping == 1
    apart = [contour(PLAIN, circle(6, 12, 12)), contour(PLAIN, circle(6, 26, 36)), contour(PLAIN, circle(3, 26, 36))]
    assert rasterise(apart, PLAIN).overlapping == 0


def test_an_inner_loop_may_run_either_way() -> None:
    outer, inner = circle(12), circle(8)
    ring = (distance() < 12) & (distance() > 8)
    assert np.array_equal(plane([contour(PLAIN, outer), contour(PLAIN, inner[::-1])]), ring)
    assert np.array_equal(plane([contour(PLAIN, inner), contour(PLAIN, outer)]), ring)  # and come first


def test_a_contour_that_is_there_twice_counts_once() -> None:
    # Also when it begins elsewhere, runs the other way, or repeats its first point.
    again = np.roll(circle(9)[::-1], 77, axis=0)
    raster = rasterise([contour(PLAIN, circle(9)), contour(PLAIN, again), contour(PLAIN, circle(4))], PLAIN)
    assert raster.repeated == 1
    assert np.array_equal(raster.mask.dense(SHAPE)[2], (distance() < 9) & (distance() > 4))
    closed = np.vstack([circle(9), circle(9)[:1]])
    assert rasterise([contour(PLAIN, circle(9)), contour(PLAIN, closed)], PLAIN).mask.count == (distance() < 9).sum()
    # Where a file asks for parity in so many words, it has its way.
    both = [contour(PLAIN, circle(9), kind="CLOSEDPLANAR_XOR")] * 2
    assert rasterise(both, PLAIN).mask.is_empty


def test_finer_planes_than_the_slices_do_not_cancel_each_other() -> None:
    # A cone on planes 1 mm apart, slices 3 mm apart: each slice shows the plane at its own height.
    contours = [contour(PLAIN, circle(5 + 6 * k), k) for k in np.arange(0, 1.4, 1 / 3)]
    raster = rasterise(contours, PLAIN)
    assert raster.between == 3
    dense = raster.mask.dense(SHAPE)
    for k in (0, 1):
        assert np.array_equal(dense[k], distance() < 5 + 6 * k)
    # Two planes equally near: always the lower one.
    pair = [contour(PLAIN, circle(5), 1.8), contour(PLAIN, circle(9), 2.2)]
    for contours in (pair, pair[::-1]):
        assert np.array_equal(plane(contours), distance() < 5)


def test_a_ring_a_little_off_its_slice_stays_a_ring() -> None:
    contours = [contour(PLAIN, circle(12), 2 + 0.13 / 3), contour(PLAIN, circle(8), 2.0)]
    assert np.array_equal(plane(contours), (distance() < 12) & (distance() > 8))


def test_the_named_image_decides_between_two_slices() -> None:
    one = Contour(contour(PLAIN, circle(6), 2.5).points_lps, image_uid="1.3")
    assert rasterise([one], PLAIN, [f"1.{k}" for k in range(5)]).mask.offset[0] == 3
    assert rasterise([one], PLAIN).mask.offset[0] == 2


def test_absurd_coordinates_cost_nothing() -> None:
    far = [contour(PLAIN, circle(6) * scale, k) for scale in (1e6, 1e15) for k in (2, 1e12)]
    raster = rasterise([*far, contour(PLAIN, circle(6), 3)], PLAIN)
    assert raster.outside == 4 and raster.mask.count == (distance() < 6).sum()


def test_points_and_lines_fill_nothing() -> None:
    line = contour(PLAIN, circle(6), kind="OPEN_PLANAR")
    point = contour(PLAIN, np.array([[3.0, 4.0]]), kind="POINT")
    assert contours_to_mask([line, point], PLAIN).is_empty
    assert contours_to_mask([point, contour(PLAIN, circle(6))], PLAIN).count == (distance() < 6).sum()
    assert contours_to_mask([], PLAIN).is_empty
