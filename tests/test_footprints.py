"""Brush, polygon and fill against the plain definition, voxel by voxel."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contourdesk.app.errors import UserError
from contourdesk.app.footprints import connected, disc, enclosed, polygon, sphere, stamp, stroke
from contourdesk.app.geometry import Grid
from contourdesk.app.structures import Mask

SHEAR = np.array([[0.3, 0.1, 0.9, 5], [-0.8, 1.1, 0, 6], [2.7, 0.2, -0.1, 7], [0, 0, 0, 1.0]])
GRIDS = [
    Grid.from_spacing((12, 30, 26), (3, 0.9, 1.2)),
    Grid.from_spacing((30, 20, 22), (1, 2, 1)),
    Grid((14, 25, 27), SHEAR),
]


def dense(grid: Grid, patch: tuple[tuple[int, int, int], np.ndarray]) -> np.ndarray:
    return Mask(*patch).dense(grid.shape) if patch[1].size else np.zeros(grid.shape, bool)


def distance_mm(grid: Grid, index: tuple[float, ...]) -> np.ndarray:
    return np.linalg.norm(grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1)) - grid.to_world(index), axis=-1)


CENTRE = st.tuples(*[st.floats(-5, 33) for _ in range(3)])


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(GRIDS), CENTRE, st.floats(0, 15), st.sampled_from([0, 1, 2, None]))
def test_a_dab_is_the_voxels_within_its_radius(
    grid: Grid, centre: tuple[float, ...], radius: float, axis: int | None
) -> None:
    at = list(centre)
    if axis is not None:
        at[axis] = np.floor(at[axis] + 0.5)
    distance = distance_mm(grid, tuple(at))
    must, may = distance <= radius - 1e-6, distance <= radius + 1e-6
    if axis is not None:
        plane = np.indices(grid.shape)[axis] == at[axis]
        must, may = must & plane, may & plane
    nearest = tuple(int(np.floor(v + 0.5)) for v in at)
    if all(0 <= i < n for i, n in zip(nearest, grid.shape, strict=True)):
        must[nearest] = may[nearest] = True
    got = dense(grid, sphere(grid, centre, radius) if axis is None else disc(grid, centre, radius, axis))
    assert (got >= must).all()
    assert (got <= may).all()


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("axis", [0, None])
def test_a_fast_stroke_has_no_gaps(grid: Grid, axis: int | None) -> None:
    points = [(5.2, 3.1, 4.0), (6.0, 17.7, 18.2), (2.0, 10.0, 1.5)]
    got = dense(grid, stroke(grid, points, 2.5, axis))
    path = np.array(points)
    if axis is not None:
        path[:, axis] = 5
    dabs = np.zeros(grid.shape, bool)
    for a, b in pairwise(path):
        for t in np.linspace(0, 1, 40):
            at = tuple(a + t * (b - a))
            dabs |= dense(grid, sphere(grid, at, 2.5) if axis is None else disc(grid, at, 2.5, axis))
    assert (got >= dabs).all()
    assert np.count_nonzero(got & ~dabs) <= 0.05 * np.count_nonzero(dabs)
    thin = dense(grid, stroke(grid, points[:2], 0, 0)).any(axis=0)
    assert thin.any(axis=1)[3:19].all()


def test_a_stroke_outside_the_image_is_empty() -> None:
    assert disc(GRIDS[0], (40, 5, 5), 3, 0)[1].size == 0
    assert sphere(GRIDS[0], (-9, -9, -9), 3)[1].size == 0
    with pytest.raises(ValueError, match="point"):
        stroke(GRIDS[0], [], 3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_polygon_in_each_plane(axis: int) -> None:
    grid = Grid.from_spacing((20, 20, 20), (3, 1, 2))
    outline = np.array([[2.6, 3.5], [2.6, 9.4], [8.5, 9.4], [8.5, 6.5], [5.5, 6.5], [5.5, 3.5]])
    got = dense(grid, polygon(grid, np.insert(outline, axis, 4, axis=1), axis, 4))
    plane = np.moveaxis(got, axis, 0)
    expected = np.zeros((20, 20), bool)
    expected[3:6, 4:10] = expected[6:9, 7:10] = True
    assert np.array_equal(plane[4], expected)
    assert np.count_nonzero(plane) == np.count_nonzero(expected)


def test_polygon_over_the_edge_and_degenerate() -> None:
    grid = GRIDS[0]
    around = [[0, -9, -9], [0, -9, 99], [0, 99, 99], [0, 99, -9]]
    assert dense(grid, polygon(grid, around, 0, 3))[3].all()
    assert polygon(grid, around[:2], 0, 3)[1].size == 0
    assert polygon(grid, around, 0, 12)[1].size == 0
    assert polygon(grid, np.array(around) + 200, 0, 3)[1].size == 0


def ring(diagonal: bool) -> Mask:
    bits = np.zeros((1, 9, 9), bool)
    if diagonal:
        for i in range(9):
            for j in range(9):
                bits[0, i, j] = abs(i - 4) + abs(j - 4) == 4
    else:
        bits[0, 1:8, 1:8] = True
        bits[0, 3:6, 3:6] = False
    return Mask((4, 10, 10), bits)


@pytest.mark.parametrize(("diagonal", "inside"), [(False, 9), (True, 25)])
def test_fill_takes_the_enclosed_area_of_the_slice(diagonal: bool, inside: int) -> None:
    grid, mask = GRIDS[0], ring(diagonal)
    patch = enclosed(mask, grid, (4, 14, 14), 0)
    assert np.count_nonzero(dense(grid, patch)) == inside
    filled = mask.write(*stamp(mask, patch))
    assert filled.count == mask.count + inside
    assert enclosed(filled, grid, (4, 14, 14), 0)[1].size == 0
    with pytest.raises(UserError, match="does not enclose"):
        enclosed(mask, grid, (4, 2, 2), 0)
    with pytest.raises(UserError, match="does not enclose"):
        enclosed(mask, grid, (5, 14, 14), 0)


def test_fill_works_on_the_plane_that_is_clicked() -> None:
    grid = Grid.from_spacing((20, 20, 20), (1, 1, 1))
    bits = np.ones((5, 1, 5), bool)
    bits[1:4, 0, 1:4] = False
    patch = enclosed(Mask((3, 8, 3), bits), grid, (5, 8, 5), 1)
    assert np.count_nonzero(patch[1]) == 9


def test_erase_fill_takes_one_part_of_the_slice() -> None:
    grid = GRIDS[0]
    bits = np.zeros((2, 9, 9), bool)
    bits[:, 1:3, 1:3] = bits[:, 3, 3] = bits[:, 7, 7] = True
    mask = Mask((4, 10, 10), bits)
    patch = connected(mask, grid, (4, 11, 11), 0)
    assert np.count_nonzero(patch[1]) == 5
    left = mask.write(*stamp(mask, patch, erase=True))
    assert left.count == 12 - 5
    assert left.dense(grid.shape)[4].sum() == 1
    assert connected(mask, grid, (4, 0, 0), 0)[1].size == 0
    assert connected(mask, grid, (4, -1, 0), 0)[1].size == 0
