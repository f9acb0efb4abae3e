"""Margins: every voxel within the ellipsoid and none beyond it, on anisotropic and oblique grids."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.margins import Margins, margin
from contourdesk.app.structures import Mask

MM = Margins(right=3.0, left=7.0, anterior=2.0, posterior=6.0, inferior=5.0, superior=9.0)


def _grid(oblique: bool = False) -> Grid:
    affine = np.array([[0, 0, 1.2, -20.0], [0, 0.8, 0, 5.0], [3.0, 0, 0, 7.0], [0, 0, 0, 1.0]])
    if oblique:
        affine[:3, :3] = Rotation.from_euler("xyz", [20, -10, 35], degrees=True).as_matrix() @ affine[:3, :3]
    return Grid((15, 40, 36), affine)


def _reached(grid: Grid, mask: Mask, mm: Margins) -> np.ndarray:
    """By brute force: voxels within the ellipsoid round some voxel of the mask."""
    index = np.stack(np.meshgrid(*[np.arange(n) for n in grid.shape], indexing="ij"), axis=-1)
    points = grid.to_world(index)
    out = np.zeros(grid.shape, bool)
    for centre in grid.to_world(np.argwhere(mask.dense(grid.shape))):
        d = points - centre
        low = np.array([mm.right, mm.anterior, mm.inferior])
        high = np.array([mm.left, mm.posterior, mm.superior])
        out |= ((d / np.where(d < 0, low, high)) ** 2).sum(axis=-1) <= 1 + 1e-6
    return out


@pytest.mark.parametrize("oblique", [False, True])
def test_a_margin_by_direction_reaches_exactly_its_ellipsoid(oblique: bool) -> None:
    grid = _grid(oblique)
    bits = np.zeros(grid.shape, bool)
    bits[7, 20, 18] = bits[6, 22:25, 17] = True
    mask = Mask.from_dense(bits)
    np.testing.assert_array_equal(margin(mask, grid, MM).dense(grid.shape), _reached(grid, mask, MM))


def test_shrinking_is_growing_of_the_outside() -> None:
    grid = _grid()
    bits = np.zeros(grid.shape, bool)
    bits[2:13, 5:34, 6:30] = True
    shrunk = margin(Mask.from_dense(bits), grid, Margins(left=-2.5, superior=-3.0)).dense(grid.shape)
    wanted = bits.copy()
    wanted[:, :, 28:] = False  # 2.5 mm from the left side: two columns of 1.2 mm
    wanted[12] = False  # 3 mm from above: one slice
    np.testing.assert_array_equal(shrunk, wanted)


def test_the_edge_of_the_scan_is_no_surface() -> None:
    grid = _grid()
    bits = np.ones(grid.shape, bool)
    assert margin(Mask.from_dense(bits), grid, Margins.uniform(-6)).dense(grid.shape).all()


def test_margins_that_make_no_sense() -> None:
    mask = Mask.from_dense(np.ones((1, 1, 1), bool))
    with pytest.raises(UserError, match="two steps"):
        margin(mask, _grid(), Margins(left=2, right=-2))
    with pytest.raises(UserError, match="between"):
        margin(mask, _grid(), Margins(left=float("nan")))
    assert margin(mask, _grid(), Margins()) is mask
