"""Measures against an outside implementation, plain arithmetic and brute force."""

import math

import numpy as np
import pytest
from scipy import ndimage

from contourdesk.app.geometry import Grid
from contourdesk.app.measures import (
    added_path_length_mm,
    dice,
    hd95_mm,
    mean_surface_distance_mm,
    surface_dice,
    surface_distances,
    volume_ml,
)
from contourdesk.app.structures import Mask

SPACING = (3.0, 1.2, 0.9)
GRID = Grid.from_spacing((24, 40, 44), SPACING, (-10, 5, 7))


def blob(seed: int, sigma: float = 2.5) -> np.ndarray:
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).random(GRID.shape), sigma)
    out = noise > np.quantile(noise, 0.9)
    out[[0, -1]] = out[:, [0, -1]] = out[:, :, [0, -1]] = False
    return out


def ellipsoid(radius: float, shift: float = 0) -> np.ndarray:
    z, y, x = (np.arange(n) * s for n, s in zip(GRID.shape, SPACING, strict=True))
    r2 = (z[:, None, None] - 36) ** 2 + (y[None, :, None] - 24) ** 2 + (x[None, None, :] - 20 - shift) ** 2
    return r2 <= radius**2


@pytest.mark.filterwarnings("ignore:Please import:DeprecationWarning")
@pytest.mark.parametrize("pair", [(blob(1), blob(2)), (blob(3), blob(3, 2.2)), (ellipsoid(12), ellipsoid(11, 2))])
def test_against_the_published_implementation(pair: tuple[np.ndarray, np.ndarray]) -> None:
    other = pytest.importorskip("surface_distance")
    a, b = pair
    theirs = other.compute_surface_distances(a, b, SPACING)
    ours = surface_distances(Mask.from_dense(a), Mask.from_dense(b), GRID)
    for percent in (50, 95, 100):
        assert ours.hausdorff_mm(percent) == pytest.approx(
            other.compute_robust_hausdorff(theirs, percent), rel=0.02, abs=0.05
        )
    for tolerance in (1.0, 2.0, 3.0):
        assert ours.dice(tolerance) == pytest.approx(
            other.compute_surface_dice_at_tolerance(theirs, tolerance), abs=0.01
        )
    average = other.compute_average_surface_distance(theirs)
    assert min(average) * 0.98 <= ours.mean_mm() <= max(average) * 1.02
    assert dice(Mask.from_dense(a), Mask.from_dense(b)) == pytest.approx(other.compute_dice_coefficient(a, b))
    # A sheet that bends within one cell counts as flat with us.
    assert ours.a_area.sum() == pytest.approx(theirs["surfel_areas_gt"].sum(), rel=0.04)


def test_two_shifted_boxes_by_hand() -> None:
    a, b = Mask((2, 5, 5), np.ones((10, 10, 10), bool)), Mask((2, 5, 8), np.ones((10, 10, 10), bool))
    assert dice(a, b) == pytest.approx(0.7)
    assert hd95_mm(a, b, GRID) == pytest.approx(3 * 0.9)
    assert surface_dice(a, b, GRID, 3 * 0.9) == 1
    assert 0 < surface_dice(a, b, GRID, 0.5) < 1
    assert 0 < mean_surface_distance_mm(a, b, GRID) < 2.7
    assert volume_ml(a, GRID) == pytest.approx(1000 * 3 * 1.2 * 0.9 / 1000)
    far = Mask((2, 5, 30), np.ones((10, 10, 10), bool))
    assert surface_dice(a, far, GRID, 1) == 0


def test_the_surface_of_a_ball_has_its_area() -> None:
    grid = Grid.from_spacing((50, 50, 50), (1, 1, 1))
    index = np.indices(grid.shape) - 24.5
    ball = Mask.from_dense((index**2).sum(axis=0) <= 20**2)
    area = surface_distances(ball, ball, grid).a_area.sum()
    # Marching cubes on voxels overestimates a little: its facets zigzag.
    assert 1.0 < area / (4 * math.pi * 20**2) < 1.12


def test_measures_follow_the_patient_not_the_array() -> None:
    """The same voxels on an array that is turned and flipped measure the same."""
    a, b = ellipsoid(12), ellipsoid(11, 2)
    affine = GRID.affine[:, [2, 0, 1, 3]].copy()
    affine[:3, 1] *= -1
    turned = Grid((GRID.shape[2], GRID.shape[0], GRID.shape[1]), affine)
    a2, b2 = (Mask.from_dense(m.transpose(2, 0, 1)[:, ::-1]) for m in (a, b))
    a1, b1 = Mask.from_dense(a), Mask.from_dense(b)
    assert hd95_mm(a2, b2, turned) == pytest.approx(hd95_mm(a1, b1, GRID))
    assert surface_dice(a2, b2, turned, 1) == pytest.approx(surface_dice(a1, b1, GRID, 1))


def test_empty_masks() -> None:
    some = Mask((1, 1, 1), np.ones((2, 2, 2), bool))
    assert dice(Mask(), Mask()) == 1
    assert dice(some, Mask()) == dice(Mask(), some) == 0
    assert surface_dice(Mask(), Mask(), GRID, 1) == 1
    assert surface_dice(some, Mask(), GRID, 1) == 0
    assert hd95_mm(Mask(), Mask(), GRID) == mean_surface_distance_mm(Mask(), Mask(), GRID) == 0
    assert hd95_mm(some, Mask(), GRID) == hd95_mm(Mask(), some, GRID) == math.inf
    assert mean_surface_distance_mm(some, Mask(), GRID) == math.inf
    assert added_path_length_mm(Mask(), some, GRID) == 0


def test_added_path_length() -> None:
    square = Mask((3, 10, 10), np.ones((1, 6, 6), bool))
    assert added_path_length_mm(square, square, GRID) == 0
    assert added_path_length_mm(square, Mask(), GRID) == pytest.approx(20 * 1.05)
    longer = Mask((3, 10, 10), np.ones((1, 6, 8), bool))
    # Of the 24 outline voxels, those of the three shared sides without the old right side are in place: 5 + 5 + 4.
    # The old right side's corners lie on the new outline too.
    assert added_path_length_mm(longer, square, GRID) == pytest.approx((24 - 16) * 1.05)
    two = Mask((3, 10, 10), np.ones((2, 6, 6), bool))
    assert added_path_length_mm(two, square, GRID) == pytest.approx(20 * 1.05)
