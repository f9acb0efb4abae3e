"""Surface elements against scikit-image's marching cubes, DeepMind's package and a plain loop."""

import numpy as np
import pytest
from phantoms import tilted_grid

from contourdesk.app import surfels
from contourdesk.app.geometry import Grid
from contourdesk.app.structures import Mask
from contourdesk.app.surfels import cell_areas, cell_steps, surface_cells

SPACINGS = [(1.0, 1.0, 1.0), (3.0, 1.2, 0.9), (0.7, 2.0, 5.0)]


def marching_cubes_area(code: int, steps: np.ndarray) -> float:
    """Area by scikit-image's classic cases, on the side with the fewer corners (of two with four, the lower code)."""
    from skimage.measure import marching_cubes

    corners = min(code, 255 - code, key=lambda side: (side.bit_count(), side))
    cell = np.array([corners >> (7 - i) & 1 for i in range(8)], np.float32).reshape(2, 2, 2)
    vertices, triangles, _, _ = marching_cubes(cell, 0.5, method="lorensen")
    a, b, c = np.moveaxis((vertices.astype(float) @ steps.T)[triangles], 1, 0)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


@pytest.mark.parametrize("grid", [*(Grid.from_spacing((2, 2, 2), s) for s in SPACINGS), tilted_grid()])
def test_the_table_is_that_of_marching_cubes(grid: Grid) -> None:
    steps = cell_steps(grid)
    areas = cell_areas(steps)
    assert areas[0] == areas[255] == 0
    assert areas[1:255] == pytest.approx([marching_cubes_area(code, steps) for code in range(1, 255)], abs=1e-9)


@pytest.mark.parametrize("spacing", SPACINGS)
def test_the_table_is_that_of_surface_distance(spacing: tuple[float, float, float]) -> None:
    tables = pytest.importorskip("surface_distance.lookup_tables")
    expected = tables.create_table_neighbour_code_to_surface_area(spacing)
    assert cell_areas(np.diag(spacing)) == pytest.approx(expected, abs=1e-12)


def test_a_shear_by_whole_steps_leaves_the_area_of_a_cut_through_the_slices() -> None:
    """Half of a cell cut off along z has the area of its face, however the z axis leans."""
    upright, leaning = np.diag((3.0, 1.2, 0.9)), np.diag((3.0, 1.2, 0.9))
    leaning[1, 0] = 1.0
    assert cell_areas(leaning)[0b11110000] == pytest.approx(cell_areas(upright)[0b11110000]) == pytest.approx(1.08)
    assert cell_areas(leaning)[0b11001100] > cell_areas(upright)[0b11001100]


def test_cells_by_hand() -> None:
    index, codes = surface_cells(Mask((5, 6, 7), np.ones((1, 1, 1), bool)))
    assert index.T.tolist() == [[z, y, x] for z in (5, 6) for y in (6, 7) for x in (7, 8)]
    assert codes.tolist() == [1, 2, 4, 8, 16, 32, 64, 128]


@pytest.mark.parametrize("block", [1, 100, 1 << 18])
def test_cells_against_a_loop(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surfels, "_BLOCK", block)
    bits = np.random.default_rng(4).random((7, 8, 9)) < 0.4
    bits[:2] = bits[:, :, 8] = False  # a box that is not tight
    index, codes = surface_cells(Mask((3, 0, 2), bits))
    padded = np.pad(bits, 1)
    expected = {}
    for z, y, x in np.ndindex(8, 9, 10):
        corners = padded[z : z + 2, y : y + 2, x : x + 2].ravel()
        if 0 < corners.sum() < 8:
            expected[z + 3, y, x + 2] = int("".join(str(int(c)) for c in corners), 2)
    assert dict(zip(map(tuple, index.T.tolist()), codes.tolist(), strict=True)) == expected
    assert index.T.tolist() == sorted(index.T.tolist())


def test_an_empty_mask_has_no_cells() -> None:
    for mask in (Mask(), Mask((1, 2, 3), np.zeros((4, 4, 4), bool))):
        index, codes = surface_cells(mask)
        assert index.shape == (3, 0) and codes.shape == (0,)


def test_steps_of_a_turned_grid_are_its_spacing() -> None:
    turn = np.deg2rad(30)
    affine = Grid.from_spacing((9, 9, 9), (3, 1.2, 0.9)).affine.copy()
    affine[:3, :3] = [[1, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]] @ affine[:3, :3]
    assert cell_steps(Grid((9, 9, 9), affine)) == pytest.approx(np.diag((3, 1.2, 0.9)))
    assert np.count_nonzero(cell_steps(tilted_grid())) > 3
