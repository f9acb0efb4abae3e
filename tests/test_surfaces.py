"""Surfaces of phantoms whose area, volume and place are known, on even, anisotropic, flipped and oblique grids."""

from __future__ import annotations

import numpy as np
import pytest

from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import run
from contourdesk.app.structures import Mask
from contourdesk.app.surfaces import first_hit, surface, surfaces

RADIUS_MM = 21.0


def oblique(spacing, sense=1):
    """Axes turned by 25 and 15 degrees, far from the origin; with sense -1 a left-handed array."""
    a, b = np.radians(25), np.radians(15)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn = turn @ np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.array([[0, 0, spacing[2]], [0, spacing[1], 0], [sense * spacing[0], 0, 0]])
    affine[:3, 3] = (-230.0, 410.0, -900.0)
    return Grid(tuple(int(60 / s) for s in spacing), affine)


GRIDS = {
    "even": Grid.from_spacing((60, 60, 60), (1, 1, 1)),
    "ct": Grid.from_spacing((22, 62, 62), (3, 1, 1), (-40, 12, 700)),
    "oblique": oblique((2.5, 0.9, 0.9)),
    "left-handed": oblique((2.0, 1.2, 0.8), -1),
}


def ball(grid, radius_mm=RADIUS_MM):
    centre = grid.to_world([(n - 1) / 2 + 0.2 for n in grid.shape])
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    return centre, Mask.from_dense(np.linalg.norm(grid.to_world(index) - centre, axis=-1) <= radius_mm)


@pytest.mark.parametrize("triangles", [10**9, 12_000, 2_500])
@pytest.mark.parametrize("name", GRIDS)
def test_a_ball_has_its_area_volume_and_place(name, triangles):
    grid = GRIDS[name]
    centre, mask = ball(grid)
    found = surface(mask, grid, triangles)
    assert found.volume_ml == pytest.approx(4 / 3 * np.pi * RADIUS_MM**3 / 1000, rel=0.02)
    assert found.volume_ml == pytest.approx(mask.count * grid.voxel_ml, rel=1e-3)
    assert found.area_mm2 == pytest.approx(4 * np.pi * RADIUS_MM**2, rel=0.02)
    assert np.linalg.norm(found.vertices_lps.mean(axis=0) - centre) < 0.5 * min(grid.spacing_mm)
    away = np.linalg.norm(found.vertices_lps - centre, axis=1)
    assert np.abs(away - RADIUS_MM).max() < 0.75 * max(grid.spacing_mm)
    assert len(found.faces) < 1.4 * triangles
    outwards = ((found.vertices_lps - centre) / away[:, None] * found.normals).sum(axis=1)
    assert outwards.min() > 0.7
    # Counter-clockwise seen from outside, closed, of one piece: two triangles at each edge, Euler's number 2.
    edges = np.sort(np.concatenate([found.faces[:, [0, 1]], found.faces[:, [1, 2]], found.faces[:, [2, 0]]]), axis=1)
    _, counts = np.unique(edges, axis=0, return_counts=True)
    assert (counts == 2).all()
    assert len(found.vertices_lps) - len(counts) + len(found.faces) == 2


def test_thin_parts_single_voxels_and_the_border_of_the_scan_stay_closed():
    grid = Grid.from_spacing((6, 40, 40), (3, 1, 1))
    sheet = np.zeros(grid.shape, bool)
    sheet[:, 20, :] = True  # one voxel thin, from border to border
    one = np.zeros(grid.shape, bool)
    one[0, 0, 0] = True
    for bits in (sheet, one):
        mask = Mask.from_dense(bits)
        found = surface(mask, grid)
        assert 0 < found.volume_ml < 1.2 * mask.count * grid.voxel_ml
        low, high = found.vertices_lps.min(axis=0), found.vertices_lps.max(axis=0)
        index = np.argwhere(bits)
        assert (low - grid.to_world(index.min(axis=0)) >= [-1.5, -1.5, -4]).all()
        assert (high - grid.to_world(index.max(axis=0)) <= [1.5, 1.5, 4]).all()


def test_blocks_that_nothing_fills_fall_back_to_voxels():
    grid = Grid.from_spacing((40, 40, 40), (1, 1, 1))
    bits = np.zeros(grid.shape, bool)
    bits[::4, ::4, ::4] = True
    assert surface(Mask.from_dense(bits), grid, 100) is not None


def test_an_empty_mask_has_none_and_a_job_gives_all():
    grid = GRIDS["ct"]
    found = run(surfaces([("a", Mask()), ("b", ball(grid)[1])], grid))
    assert found["a"] is None
    assert found["b"].volume_ml > 30


def test_a_ray_meets_the_near_side():
    grid = GRIDS["oblique"]
    centre, mask = ball(grid)
    found = surface(mask, grid)
    for towards in ([0, 1, 0], [1, -2, 0.5]):
        start = centre - np.array(towards, float) * 200
        hit = first_hit([found], start, towards)
        expected = centre - np.array(towards) / np.linalg.norm(towards) * RADIUS_MM
        assert np.linalg.norm(hit - expected) < 2
    assert first_hit([found], centre + np.array([0, 0, 500]), [1, 0, 0]) is None
    assert first_hit([found], centre + np.array([0, -500, 0]), [0, -1, 0]) is None  # behind the eye
    assert first_hit([], centre, [0, 0, 1]) is None
