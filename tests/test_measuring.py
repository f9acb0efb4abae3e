"""Measurements against answers known by construction, in all planes of even, anisotropic, oblique and sheared grids."""

from __future__ import annotations

import numpy as np
import pytest

from contourdesk.app import measuring
from contourdesk.app.geometry import Grid
from contourdesk.app.structures import Mask
from contourdesk.app.volume import Volume

PLANES = ("axial", "sagittal", "coronal")


def turned(spacing, shear=0.0):
    a, b = np.radians(20), np.radians(12)
    turn = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    turn = turn @ np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.array([[0, 0, spacing[2]], [shear * spacing[0], spacing[1], 0], [spacing[0], 0, 0]])
    affine[:3, 3] = (-130.0, 88.0, 1200.0)
    return Grid((40, 50, 60), affine)


GRIDS = {
    "ct": Grid.from_spacing((40, 50, 60), (3, 0.9, 0.7), (10, -20, 300)),
    "oblique": turned((2.5, 1.1, 0.8)),
    "tilted gantry": turned((3.0, 1.0, 1.0), shear=0.25),
}


def flat(grid, plane, vertical, horizontal, at=10):
    view = grid.view(plane)
    index = [0.0, 0.0, 0.0]
    index[view.slice_axis], index[view.vertical_axis], index[view.horizontal_axis] = float(at), vertical, horizontal
    return tuple(index)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("name", GRIDS)
def test_lengths_and_angles_are_those_of_the_patient(name, plane):
    grid = GRIDS[name]
    corner = flat(grid, plane, 8.3, 9.1)
    view = grid.view(plane)
    down, across = grid.affine[:3, view.vertical_axis], grid.affine[:3, view.horizontal_axis]
    one, other = flat(grid, plane, 8.3 + 6, 9.1), flat(grid, plane, 8.3 - 2.5, 9.1 + 4)
    assert measuring.length_mm(grid, corner, one) == pytest.approx(6 * np.linalg.norm(down))
    assert measuring.length_mm(grid, corner, other) == pytest.approx(np.linalg.norm(-2.5 * down + 4 * across))
    a, b = 6 * down, -2.5 * down + 4 * across
    expected = np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
    assert measuring.angle_deg(grid, one, corner, other) == pytest.approx(expected)
    assert measuring.angle_deg(grid, one, corner, one) == 0
    straight = flat(grid, plane, 8.3 - 6, 9.1)
    assert measuring.angle_deg(grid, one, corner, straight) == pytest.approx(180)
    assert measuring.angle_deg(grid, corner, corner, one) == 0
    made = measuring.ruler(grid, view, [corner, one])
    assert (made.plane, made.slice) == (plane, 10)
    assert made.text == f"{6 * np.linalg.norm(down):.1f} mm"


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("name", GRIDS)
def test_an_ellipse_has_its_area_and_its_own_voxels(name, plane):
    grid = GRIDS[name]
    rng = np.random.default_rng(3)
    volume = Volume(grid, rng.integers(-1000, 3000, grid.shape).astype(np.int16))
    view = grid.view(plane)
    one, other = flat(grid, plane, 5.2, 30.4), flat(grid, plane, 21.9, 12.6)
    found = measuring.ellipse_statistics(volume, view, one, other)
    middle, radius = ((5.2 + 21.9) / 2, (30.4 + 12.6) / 2), ((21.9 - 5.2) / 2, (30.4 - 12.6) / 2)
    values = []
    for v in range(grid.shape[view.vertical_axis]):  # the plainest way
        for h in range(grid.shape[view.horizontal_axis]):
            if ((v - middle[0]) / radius[0]) ** 2 + ((h - middle[1]) / radius[1]) ** 2 <= 1:
                values.append(int(volume.array[tuple(int(i) for i in flat(grid, plane, v, h))]))
    assert found.count == len(values)
    assert (found.minimum, found.maximum) == (min(values), max(values))
    assert found.mean == pytest.approx(np.mean(values))
    assert found.sd == pytest.approx(np.std(values, ddof=1))
    down, across = grid.affine[:3, view.vertical_axis], grid.affine[:3, view.horizontal_axis]
    assert found.area_mm2 == pytest.approx(np.pi * radius[0] * radius[1] * np.linalg.norm(np.cross(down, across)))
    assert found.area_mm2 == pytest.approx(len(values) * np.linalg.norm(np.cross(down, across)), rel=0.03)


def test_an_ellipse_over_the_edge_or_without_a_voxel():
    grid = GRIDS["ct"]
    volume = Volume(grid, np.full(grid.shape, 7, np.int16))
    view = grid.view("axial")
    over = measuring.ellipse_statistics(volume, view, (10, -20, -20), (10, 20, 20))
    assert 0 < over.count < 21 * 21
    assert (over.mean, over.sd) == (7, 0)
    assert measuring.ellipse_statistics(volume, view, (10, 3.2, 3.2), (10, 3.4, 3.4)) is None
    assert measuring.ellipse_statistics(volume, view, (10, 3, 3), (10, 3, 9)) is None
    assert measuring.ellipse_statistics(volume, view, (10, -9, -9), (10, -3, -3)) is None


@pytest.mark.parametrize("name", GRIDS)
def test_statistics_of_a_structure_and_of_one_slice(name):
    grid = GRIDS[name]
    rng = np.random.default_rng(5)
    volume = Volume(grid, rng.normal(40, 20, grid.shape).astype(np.float32))
    bits = rng.random(grid.shape) < 0.1
    bits[:, :4] = False
    mask = Mask.from_dense(bits)
    found = measuring.structure_statistics(volume, mask)
    values = volume.array[bits].astype(float)
    assert (found.count, found.minimum, found.maximum) == (values.size, values.min(), values.max())
    assert found.mean == pytest.approx(values.mean())
    assert found.sd == pytest.approx(values.std(ddof=1))
    assert found.volume_ml == pytest.approx(values.size * abs(np.linalg.det(grid.affine[:3, :3])) / 1000)
    for plane in PLANES:
        view = grid.view(plane)
        at = grid.shape[view.slice_axis] // 2
        one = measuring.slice_statistics(volume, mask, view, at)
        values = volume.array.take(at, view.slice_axis)[bits.take(at, view.slice_axis)].astype(float)
        assert one.count == values.size
        assert one.mean == pytest.approx(values.mean())
        steps = grid.affine[:3, [view.vertical_axis, view.horizontal_axis]]
        assert one.area_mm2 == pytest.approx(values.size * np.linalg.norm(np.cross(steps[:, 0], steps[:, 1])))
        assert measuring.slice_statistics(volume, mask, view, -1) is None
    assert measuring.structure_statistics(volume, Mask()) is None


def test_the_probe_gives_the_voxel_and_nothing_outside():
    grid = GRIDS["ct"]
    array = np.zeros(grid.shape, np.int16)
    array[10, 20, 30] = 77
    volume = Volume(grid, array)
    view = grid.view("axial")
    assert measuring.probe(volume, view, (10, 20.4, 29.6)).text == "77 HU"
    assert measuring.probe(volume, view, (10, -3, 0)) is None


def test_results_in_words():
    grid = Grid.from_spacing((3, 20, 20), (2, 1, 1))
    volume = Volume(grid, np.full(grid.shape, 40, np.int16))
    made = measuring.ellipse(volume, grid.view("axial"), [(1, 2, 2), (1, 12, 12)])
    assert made.text == "40.0 ± 0.0 HU"
    assert "area 0.79 cm²" in made.detail
    bits = np.zeros(grid.shape, bool)
    bits[0, :10, :10] = True
    made = measuring.structure(volume, "Cord", Mask.from_dense(bits))
    assert made.detail == "Cord: mean 40.0 HU, sd 0.0, min 40, max 40, volume 0.20 ml, 100 voxels"
    assert measuring.structure(volume, "Cord", Mask()) is None
