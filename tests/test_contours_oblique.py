"""Contours on planes that are not the images': against a plain test of every voxel, and exact where planes agree."""

from __future__ import annotations

import numpy as np
import pytest
from hands import inside
from numpy.typing import NDArray
from phantoms import ORIENTATIONS

from contourdesk.app.contour import Contour
from contourdesk.app.contours_oblique import points_inside
from contourdesk.app.contours_raster import rasterise
from contourdesk.app.geometry import Grid

SHAPE = (14, 36, 40)
AXIAL = Grid.from_spacing(SHAPE, (3, 1, 1.2), (-20, 30, -100))
CENTRE = AXIAL.to_world((6.6, 17.2, 19.4))


def grid_of(orientation: str) -> Grid:
    cosines = np.array(ORIENTATIONS[orientation], float)
    affine = np.eye(4)
    normal = np.cross(cosines[:3], cosines[3:])
    affine[:3, :3] = np.column_stack([2.5 * normal, 1.3 * cosines[3:], 0.9 * cosines[:3]])
    affine[:3, 3] = CENTRE - affine[:3, :3] @ (np.array(SHAPE) / 2)
    return Grid(SHAPE, affine)


def basis(normal: tuple[float, float, float]) -> NDArray[np.float64]:
    n = np.array(normal, float) / np.linalg.norm(normal)
    u = np.cross(n, [0.3, 0.5, 0.8])
    u /= np.linalg.norm(u)
    return np.array([u, np.cross(n, u), n])


def circle(axes: NDArray[np.float64], height: float, radius: float, n: int = 60) -> Contour:
    """On the plane `height` mm from CENTRE along the last of the axes."""
    turn = np.linspace(0, 2 * np.pi, n, endpoint=False)
    flat = np.column_stack([radius * np.cos(turn), radius * np.sin(turn), np.full(n, height)])
    return Contour(CENTRE + flat @ axes)


def ball(axes: NDArray[np.float64], spacing: float, radius: float = 14.0, hole: float = 0.0) -> list[Contour]:
    out = []
    for height in np.arange(-radius + spacing / 3, radius, spacing):
        out.append(circle(axes, float(height), float(np.sqrt(radius**2 - height**2))))
        if abs(height) < hole:
            out.append(circle(axes, float(height), float(np.sqrt(hole**2 - height**2))))
    return out


def plainly(contours: list[Contour], axes: NDArray[np.float64], spacing: float, grid: Grid) -> NDArray[np.bool_]:
    """Every voxel's centre: nearest plane, at most half the distance away; even-odd there."""
    at = grid.to_world(np.moveaxis(np.indices(grid.shape), 0, -1).reshape(-1, 3)) - CENTRE
    flat = at @ axes.T
    heights = np.array([float((c.points_lps[0] - CENTRE) @ axes[2]) for c in contours])
    planes = np.unique(np.round(heights, 6))
    nearest = np.abs(flat[:, 2:] - planes).argmin(axis=1)
    near = np.abs(flat[:, 2] - planes[nearest]) <= spacing / 2
    out = np.zeros(len(at), bool)
    for contour, height in zip(contours, heights, strict=True):
        here = near & (np.abs(planes[nearest] - height) < 1e-6)
        polygon = (contour.points_lps - CENTRE) @ axes.T
        out[here] ^= inside(polygon[:, :2], flat[here][:, :2])
    return out.reshape(grid.shape)


@pytest.mark.parametrize("orientation", ["axial", "coronal", "oblique"])
@pytest.mark.parametrize(
    ("normal", "spacing"),
    [((1, 0, 0), 3.1), ((0, -1, 0), 0.7), ((0, 0, 1), 2.2), ((0.24, 0, -0.97), 3), ((1, 2, 3), 2)],
)
def test_against_a_plain_test_of_every_voxel(
    orientation: str, normal: tuple[float, float, float], spacing: float
) -> None:
    grid, axes = grid_of(orientation), basis(normal)
    contours = ball(axes, spacing, hole=6)
    raster = rasterise(contours, grid)
    assert raster.problem == ""
    if raster.slanted:
        assert raster.plane_spacing_mm == pytest.approx(spacing, abs=1e-6)
        assert np.array_equal(raster.mask.dense(SHAPE), plainly(contours, axes, spacing, grid))
    else:
        assert abs(float(axes[2] @ grid.directions[:, 0])) > 0.999


@pytest.mark.parametrize("axis", [1, 2])
def test_planes_through_voxel_centres_give_what_those_images_would(axis: int) -> None:
    # The same voxels seen as sagittal or coronal slices: there the contours lie in the slices' planes.
    order = (2, 0, 1) if axis == 2 else (1, 0, 2)
    affine = AXIAL.affine.copy()
    affine[:, :3] = AXIAL.affine[:, list(order)]
    turned = Grid((SHAPE[order[0]], SHAPE[order[1]], SHAPE[order[2]]), affine)
    turn = np.linspace(0, 2 * np.pi, 50, endpoint=False)
    contours = []
    for k in range(9, 24):
        index = np.column_stack([np.full(50, k), 6 + 5 * np.sin(turn), 18 + (2 + k / 2) * np.cos(turn)])
        contours.append(Contour(np.round(turned.to_world(index), 3)))  # as a file would hold it
    expected = rasterise(contours, turned)
    assert expected.slanted == 0 and expected.mask.count > 500
    found = rasterise(contours, AXIAL)
    assert found.slanted == len(contours)
    back = np.argsort(order)
    assert np.array_equal(found.mask.dense(SHAPE), expected.mask.dense(turned.shape).transpose(back))


@pytest.mark.parametrize("spacing", [0.5, 1.2, 3.0])
def test_volume_of_a_ball_on_sagittal_planes(spacing: float) -> None:
    count = rasterise(ball(basis((1, 0, 0)), spacing), AXIAL).mask.count
    assert count * AXIAL.voxel_ml == pytest.approx(4 / 3 * np.pi * 1.4**3, rel=0.03)


def test_neighbouring_slabs_share_no_voxel_and_leave_none_out() -> None:
    axes = basis((1, 0, 0))
    # Planes half-way between columns, so that slabs end exactly on voxel centres.
    heights = [float(AXIAL.to_world((0, 0, k + 0.5))[0] - CENTRE[0]) for k in range(4, 30, 2)]
    square = np.array([(-9.3, -9.1), (-9.3, 8.2), (9.1, 8.2), (9.1, -9.1)])
    contours = [Contour(CENTRE + np.column_stack([square, np.full(4, h)]) @ axes) for h in heights]
    layers = rasterise(contours, AXIAL).mask.dense(SHAPE).sum(axis=(0, 1))
    assert set(layers[layers > 0].tolist()) == {int(layers.max())}
    assert np.count_nonzero(layers) == 2 * len(heights)


def test_one_plane_fills_one_layer_and_a_gap_stays_open() -> None:
    axes = basis((1, 0, 0))
    one = rasterise([circle(axes, 0.3, 9)], AXIAL).mask
    assert one.bits.shape[2] == 1 and one.count * 3.0 == pytest.approx(np.pi * 81, rel=0.05)
    heights = [-9, -6, -3, 9, 12]
    columns = rasterise([circle(axes, h, 9) for h in heights], AXIAL).mask.dense(SHAPE).any(axis=(0, 1))
    x = AXIAL.to_world(np.column_stack([np.zeros(40), np.zeros(40), np.arange(40)]))[:, 0] - CENTRE[0]
    sign = float(axes[2][0])
    expected = np.zeros(40, bool)
    for h in heights:
        expected |= np.abs(x * sign - h) <= 1.5
    assert np.array_equal(columns, expected)


def test_what_can_not_be_filled_is_refused_with_its_reason() -> None:
    axes = basis((1, 0, 0))
    turn = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    helix = Contour(CENTRE + np.column_stack([9 * np.cos(turn), 9 * np.sin(turn), np.linspace(0, 9, 60)]))
    axial = Contour(CENTRE + np.column_stack([9 * np.cos(turn), 9 * np.sin(turn), np.zeros(60)]))
    for contours in ([helix], [axial, helix], [axial, circle(axes, 0, 9)]):
        raster = rasterise(contours, AXIAL)
        assert "neither in the planes" in raster.problem and raster.mask.is_empty
    assert "25 mm apart" in rasterise([circle(axes, h, 9) for h in (-12.5, 12.5)], AXIAL).problem
    line = Contour(CENTRE + np.array([[0, 0, 0], [0, 0, 5], [0, 0, 9]]))
    assert "without an area" in rasterise([line], AXIAL).problem


def test_beside_the_images_and_over_their_edge() -> None:
    axes = basis((1, 0, 0))
    assert rasterise([circle(axes, h, 5) for h in (200, 203)], AXIAL).mask.is_empty
    contours = ball(axes, 2.0, 30.0)
    found = rasterise(contours, AXIAL).mask.dense(SHAPE)
    assert np.array_equal(found, plainly(contours, axes, 2.0, AXIAL)) and found[0].any() and found[-1].any()


@pytest.mark.parametrize("seed", range(4))
def test_scattered_points_against_a_plain_test(seed: int) -> None:
    rng = np.random.default_rng(seed)
    polygons = [rng.uniform(-5, 5, (7, 2)), rng.uniform(-5, 5, (5, 2))]
    points = rng.uniform(-6, 6, (400, 2))
    expected = inside(polygons[0][:, ::-1], points[:, ::-1]) ^ inside(polygons[1][:, ::-1], points[:, ::-1])
    assert np.array_equal(points_inside(points, polygons), expected)
