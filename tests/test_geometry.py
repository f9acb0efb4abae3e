"""Grid: index and mm, reordering and its inverse, views."""

from __future__ import annotations

import numpy as np
import pytest
from phantoms import ORIENTATIONS

from contourdesk.app.geometry import PLANES, Grid


def grid_of(orientation: str, shape: tuple[int, int, int] = (4, 6, 5)) -> Grid:
    cosines = np.array(ORIENTATIONS[orientation], float)
    affine = np.eye(4)
    affine[:3] = np.column_stack(
        [3 * np.cross(cosines[:3], cosines[3:]), 2 * cosines[3:], 0.7 * cosines[:3], [10, -20, 30]]
    )
    return Grid(shape, affine, "1.2.3")


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_index_to_mm_and_back(orientation: str) -> None:
    grid = grid_of(orientation)
    index = np.random.default_rng(1).uniform(-3, 9, (50, 3))
    assert np.allclose(grid.to_index(grid.to_world(index)), index, atol=1e-10)
    assert np.allclose(grid.spacing_mm, (3, 2, 0.7))
    assert grid.voxel_ml == pytest.approx(3 * 2 * 0.7 / 1000)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_canonical_moves_no_voxel(orientation: str) -> None:
    grid = grid_of(orientation)
    places = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1))
    canonical, order = grid.canonical()
    moved = np.stack([order.apply(places[..., i]) for i in range(3)], axis=-1)
    assert moved.shape[:3] == canonical.shape
    assert np.allclose(canonical.to_world(np.moveaxis(np.indices(canonical.shape), 0, -1)), moved)
    assert [a[0] for a in canonical.world_axes] == [2, 1, 0] and all(a[1] > 0 for a in canonical.world_axes)
    array = np.arange(np.prod(grid.shape)).reshape(grid.shape)
    assert np.array_equal(order.undo(order.apply(array)), array)
    stack = np.stack([array, array + 1])
    assert np.array_equal(order.undo(order.apply(stack)), stack)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("plane", PLANES)
def test_views_show_the_patients_right_on_the_left(orientation: str, plane: str) -> None:
    grid = grid_of(orientation)
    view = grid.view(plane)
    letters = {"axial": ("A", "P", "R", "L"), "coronal": ("S", "I", "R", "L"), "sagittal": ("S", "I", "A", "P")}
    assert (view.top, view.bottom, view.left, view.right) == letters[plane]
    assert sorted((view.slice_axis, view.vertical_axis, view.horizontal_axis)) == [0, 1, 2]
    # Walking right and down on the screen moves the way that the letters say.
    toward = {"R": (0, -1), "L": (0, 1), "A": (1, -1), "P": (1, 1), "I": (2, -1), "S": (2, 1)}
    for axis, flip, letter in (
        (view.horizontal_axis, view.flip_horizontal, view.right),
        (view.vertical_axis, view.flip_vertical, view.bottom),
    ):
        world, sign = toward[letter]
        assert (-1 if flip else 1) * grid.directions[world, axis] * sign > 0.5


def test_crop_and_closeness() -> None:
    grid = grid_of("oblique")
    part = grid.crop((slice(1, 3), slice(2, 6), slice(0, 4)))
    assert part.shape == (2, 4, 4)
    assert np.allclose(part.to_world((0, 0, 0)), grid.to_world((1, 2, 0)))
    moved = grid.affine.copy()
    moved[0, 3] += 0.02
    assert grid.is_close(Grid(grid.shape, grid.affine)) and not grid.is_close(Grid(grid.shape, moved))
    assert not grid.is_close(part)


def test_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="invertible"):
        Grid((2, 2, 2), np.zeros((4, 4)))
    with pytest.raises(ValueError, match="three positive"):
        Grid((2, 0, 2), np.eye(4))
    with pytest.raises(ValueError, match="read-only"):
        Grid((2, 2, 2), np.eye(4)).affine[0, 0] = 2
