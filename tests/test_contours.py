from __future__ import annotations

import numpy as np
import pytest
from hands import fill
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from phantoms import ORIENTATIONS
from scipy import ndimage

from contourdesk.app.contours import contours_to_mask, mask_to_contours
from contourdesk.app.contours_raster import rasterise
from contourdesk.app.geometry import Grid
from contourdesk.app.structures import Mask

AXIAL = Grid.from_spacing((4, 24, 20), (3.0, 0.9, 1.1), (-20.0, 7.0, 30.0))


def draw(*rows: str) -> np.ndarray:
    return np.array([[c == "#" for c in row] for row in rows])[None]


SHAPES = {
    "voxel": draw("#"),
    "ring": draw("#####", "#...#", "#...#", "#####"),
    "two holes in a row": draw("#######", "#.#.#.#", "#######"),
    "holes above each other": draw("#####", "#.#.#", "##.##", "#.#.#", "#####"),
    "island in a hole": draw("#######", "#.....#", "#..#..#", "#.....#", "#######"),
    "ring in a ring": draw("#########", "#.......#", "#.#####.#", "#.#...#.#", "#.#####.#", "#.......#", "#########"),
    "diagonal pair": draw("#.", ".#"),
    "chessboard": np.indices((1, 6, 7)).sum(axis=0) % 2 == 0,
    "hole that touches outside": draw("####", "#.##", "##.#", "###."),
    "inner corners touch": draw("#####", "#.###", "##.##", "#####"),
    "pinched ring": draw(".###", "##.#", "#.##", "###."),
    "everything": np.ones((1, 24, 20), bool),
    "line": draw("######"),
}


@pytest.mark.parametrize("bits", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("union", [False, True], ids=["parity", "union"])
def test_an_outside_reader_gets_the_same_voxels(bits: np.ndarray, union: bool) -> None:
    # By union too: holes are keyholes, so a reader that adds contours up sees them as well.
    mask = Mask((1, 0, 0), bits)
    contours = mask_to_contours(mask, AXIAL)
    points = [c.points_lps for c in contours]
    assert np.array_equal(fill(points, AXIAL.affine, AXIAL.shape, union=union), mask.dense(AXIAL.shape))


@pytest.mark.parametrize("bits", SHAPES.values(), ids=SHAPES.keys())
def test_one_polygon_for_each_part_with_no_needless_points(bits: np.ndarray) -> None:
    contours = mask_to_contours(Mask((0, 0, 0), bits), AXIAL)
    assert len(contours) == ndimage.label(bits[0])[1]
    for contour in contours:
        p = contour.points_lps
        assert len(p) >= 4
        a, b = p - np.roll(p, 1, axis=0), np.roll(p, -1, axis=0) - p
        straight = np.isclose(np.linalg.norm(np.cross(a, b), axis=1), 0) & ((a * b).sum(axis=1) > 0)
        bridge_ends = 2 * ndimage.label(~np.pad(bits[0], 1), np.ones((3, 3)))[1]
        assert straight.sum() <= bridge_ends
    assert len(mask_to_contours(Mask((0, 0, 0), SHAPES["everything"]), AXIAL)[0].points_lps) == 4


def test_edges_lie_half_a_voxel_out() -> None:
    (contour,) = mask_to_contours(Mask((2, 5, 6), np.ones((1, 1, 1), bool)), AXIAL)
    x, y, z = contour.points_lps.T
    assert set(np.round(z, 9)) == {36.0}
    assert np.allclose([x.min(), x.max()], [-20 + 1.1 * 5.5, -20 + 1.1 * 6.5])
    assert np.allclose([y.min(), y.max()], [7 + 0.9 * 4.5, 7 + 0.9 * 5.5])


@pytest.mark.parametrize("cosines", ORIENTATIONS.values(), ids=ORIENTATIONS.keys())
def test_every_orientation_comes_back_bit_for_bit(cosines: tuple[float, ...]) -> None:
    along, down = np.array(cosines[:3]), np.array(cosines[3:])
    affine = np.eye(4)
    affine[:3] = np.column_stack([2.5 * np.cross(along, down), down * 0.977, along * 1.3, [-40.1, 33.3, -7.7]])
    grid = Grid((5, 40, 30), affine)
    noise = ndimage.gaussian_filter(np.random.default_rng(3).standard_normal(grid.shape), 1.2) > 0.05
    contours = mask_to_contours(Mask.from_dense(noise), grid)
    assert np.array_equal(contours_to_mask(contours, grid).dense(grid.shape), noise)
    rounded = [np.round(c.points_lps, 4) for c in contours]
    assert np.array_equal(fill(rounded, affine, grid.shape, union=False), noise)


@settings(max_examples=60, deadline=None)
@given(arrays(bool, array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9)))
def test_any_mask_comes_back(bits: np.ndarray) -> None:
    grid = Grid.from_spacing((12, 12, 12), (2.0, 0.7, 1.3), (1.0, 2.0, 3.0))
    mask = Mask((1, 2, 3), bits)
    raster = rasterise(mask_to_contours(mask, grid), grid)
    assert raster.mask.equals(mask)
    assert (raster.outside, raster.slanted, raster.clipped, raster.overlapping) == (0, 0, 0, 0)


def test_an_empty_mask_has_no_contours() -> None:
    assert mask_to_contours(Mask(), AXIAL) == []
    assert mask_to_contours(Mask((0, 0, 0), np.zeros((2, 3, 4), bool)), AXIAL) == []


@pytest.mark.parametrize("radius", [2, 3, 5, 10])
def test_a_disc_keeps_its_area(radius: int) -> None:
    y, x = np.ogrid[:24, :20]
    disc = ((y - 11) ** 2 + (x - 9) ** 2 <= radius**2)[None]
    (contour,) = mask_to_contours(Mask((0, 0, 0), disc), AXIAL)
    x_mm, y_mm, _ = contour.points_lps.T
    area = abs(np.sum(x_mm * np.roll(y_mm, -1) - y_mm * np.roll(x_mm, -1))) / 2
    assert area == pytest.approx(disc.sum() * 0.9 * 1.1)
