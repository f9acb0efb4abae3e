"""Smooth contours: every voxel centre on its side, whatever the mask, and near to the truth; holes and islands stay."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hands import fill
from hypothesis import given, settings
from hypothesis.extra.numpy import array_shapes, arrays
from phantoms import ORIENTATIONS
from scipy import ndimage
from test_contours import AXIAL, SHAPES

from contourdesk.app.contour import Contour
from contourdesk.app.contours import HOLES, STYLES, ContourStyle, mask_to_contours
from contourdesk.app.contours_raster import rasterise
from contourdesk.app.geometry import Grid
from contourdesk.app.structures import Mask

SMOOTH = ContourStyle("smooth")


def written(contours: list[Contour]) -> list[Contour]:
    """Contours with the decimals that a file keeps."""
    return [Contour(np.round(c.points_lps, 4), c.kind) for c in contours]


def area(points: np.ndarray) -> float:
    x, y, _ = points.T
    return abs(float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))) / 2


@pytest.mark.parametrize("bits", SHAPES.values(), ids=SHAPES.keys())
@pytest.mark.parametrize("holes", HOLES)
def test_an_outside_reader_gets_the_same_voxels(bits: np.ndarray, holes: str) -> None:
    mask = Mask((1, 0, 0), bits)
    points = [c.points_lps for c in written(mask_to_contours(mask, AXIAL, ContourStyle("smooth", holes)))]
    for union in [False, True] if holes == "keyhole" else [False]:
        assert np.array_equal(fill(points, AXIAL.affine, AXIAL.shape, union=union), mask.dense(AXIAL.shape))


@settings(max_examples=80, deadline=None)
@given(arrays(bool, array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9)))
def test_any_mask_comes_back_in_any_style(bits: np.ndarray) -> None:
    grid = Grid.from_spacing((12, 12, 12), (2.0, 0.7, 1.3), (1.0, 2.0, 3.0))
    mask = Mask((1, 2, 3), bits)
    for style, holes, points in itertools.product(STYLES, HOLES, (0, 6)):
        raster = rasterise(written(mask_to_contours(mask, grid, ContourStyle(style, holes, points))), grid)
        assert raster.mask.equals(mask), (style, holes, points)
        assert (raster.outside, raster.slanted, raster.clipped) == (0, 0, 0)


@pytest.mark.parametrize("cosines", ORIENTATIONS.values(), ids=ORIENTATIONS.keys())
@pytest.mark.parametrize("level", [-0.8, 0.05, 0.8], ids=["mostly set", "half", "few"])
def test_every_orientation_comes_back_bit_for_bit(cosines: tuple[float, ...], level: float) -> None:
    along, down = np.array(cosines[:3]), np.array(cosines[3:])
    affine = np.eye(4)
    affine[:3] = np.column_stack([2.5 * np.cross(along, down), down * 0.977, along * 1.3, [-40.1, 33.3, -7.7]])
    grid = Grid((3, 30, 24), affine)
    noise = np.random.default_rng(3).standard_normal(grid.shape)
    for blur in (0.0, 1.2):  # diagonal neighbours, holes and islands in them; the volume's edges
        field = ndimage.gaussian_filter(noise, blur) if blur else noise
        bits = field > level * field.std()
        for style in (SMOOTH, ContourStyle("smooth", "xor"), ContourStyle("voxel edges", "inner loops", 40)):
            contours = written(mask_to_contours(Mask.from_dense(bits), grid, style))
            assert np.array_equal(rasterise(contours, grid).mask.dense(grid.shape), bits)


def test_one_contour_for_each_part_and_hole() -> None:
    bits = SHAPES["ring in a ring"]
    parts, gaps = ndimage.label(bits[0])[1], ndimage.label(~np.pad(bits[0], 1), np.ones((3, 3)))[1]
    for style in STYLES:
        assert len(mask_to_contours(Mask((0, 0, 0), bits), AXIAL, ContourStyle(style))) == parts
        inner = mask_to_contours(Mask((0, 0, 0), bits), AXIAL, ContourStyle(style, "inner loops"))
        assert len(inner) == parts + gaps - 1
        assert {c.kind for c in inner} == {"CLOSED_PLANAR"}
        xor = mask_to_contours(Mask((0, 0, 0), bits), AXIAL, ContourStyle(style, "xor"))
        assert {c.kind for c in xor} == {"CLOSEDPLANAR_XOR"}
    whole = mask_to_contours(Mask((0, 0, 0), SHAPES["everything"]), AXIAL, ContourStyle("smooth", "xor"))
    assert [c.kind for c in whole] == ["CLOSED_PLANAR"]  # no hole, nothing to combine


def crossings(points: np.ndarray) -> int:
    """How many pairs of a polygon's sides cross each other properly."""
    a, b = points, np.roll(points, -1, axis=0)
    d = b - a

    def turn(p: np.ndarray, v: np.ndarray, q: np.ndarray) -> np.ndarray:
        return v[:, None, 0] * (q[None, :, 1] - p[:, None, 1]) - v[:, None, 1] * (q[None, :, 0] - p[:, None, 0])

    one, two = turn(a, d, a), turn(a, d, b)
    apart = (one * two) < -1e-12
    return int(np.count_nonzero(np.triu(apart & apart.T, 1)))


@pytest.mark.parametrize("name", [n for n in SHAPES if "chess" not in n])
def test_no_polygon_crosses_itself(name: str) -> None:
    for contour in mask_to_contours(Mask((0, 0, 0), SHAPES[name]), AXIAL, ContourStyle("smooth", "inner loops")):
        assert crossings(contour.points_lps[:, :2]) == 0


@pytest.mark.parametrize("spacing", [(3.0, 1.0, 1.0), (1.0, 0.5, 0.5), (2.0, 0.7, 1.4)], ids=str)
@pytest.mark.parametrize("diameter_mm", [9.0, 4.0, 40.0])
def test_a_ball_is_drawn_nearer_to_the_truth(spacing: tuple[float, float, float], diameter_mm: float) -> None:
    grid = Grid.from_spacing((1, 96, 96), spacing, (-31.1, -22.2, 0.0))
    y, x = np.indices(grid.shape[1:])
    centre, radius = grid.to_world((0, 47.3, 46.8)), diameter_mm / 2
    world = grid.to_world(np.stack([0 * y, y, x], axis=-1))
    disc = (np.hypot(*np.moveaxis((world - centre)[..., :2], -1, 0)) < radius)[None]
    off = {}
    for style in STYLES:
        (contour,) = mask_to_contours(Mask.from_dense(disc), grid, ContourStyle(style))
        a, b = contour.points_lps, np.roll(contour.points_lps, -1, axis=0)
        line = np.concatenate([a + (b - a) * t for t in np.linspace(0, 1, 20, endpoint=False)])
        off[style] = float(np.sqrt(np.mean((np.hypot(*(line - centre)[:, :2].T) - radius) ** 2)))
        assert area(contour.points_lps) == pytest.approx(disc.sum() * spacing[1] * spacing[2], rel=0.01)
    assert off["smooth"] < 0.8 * off["voxel edges"]
    assert off["smooth"] < 0.25 * max(spacing[1:])


def test_smooth_contours_have_blunt_corners() -> None:
    y, x = np.indices((60, 60))
    disc = (np.hypot(y - 29.7, x - 30.2) < 22)[None]
    turns = {}
    for style in STYLES:
        (contour,) = mask_to_contours(
            Mask.from_dense(disc), Grid.from_spacing((1, 60, 60), (1, 1, 1)), ContourStyle(style)
        )
        step = np.diff(contour.points_lps[:, :2], axis=0, append=contour.points_lps[:1, :2])
        angle = np.unwrap(np.arctan2(step[:, 1], step[:, 0]))
        turns[style] = float(np.sqrt(np.mean(np.diff(angle) ** 2)))
    assert turns["smooth"] < 0.4 * turns["voxel edges"]


@pytest.mark.parametrize("style", STYLES)
def test_points_are_limited_and_no_voxel_changes_its_side(style: str) -> None:
    y, x = np.indices((128, 128))
    wavy = np.hypot(y - 64.0, x - 64.0) < 40 + 9 * np.sin(9 * np.arctan2(y - 64.0, x - 64.0))
    wavy &= ~(np.hypot(y - 60.0, x - 70.0) < 8)
    grid = Grid.from_spacing((1, 128, 128), (3, 1, 1))
    mask = Mask.from_dense(wavy[None])
    free = max(len(c.points_lps) for c in mask_to_contours(mask, grid, ContourStyle(style)))
    few = mask_to_contours(mask, grid, ContourStyle(style, max_points=180))
    assert free > 200 and max(len(c.points_lps) for c in few) <= 180
    assert rasterise(few, grid).mask.equals(mask)
    impossible = mask_to_contours(mask, grid, ContourStyle(style, max_points=5))  # stays as good as can be
    assert rasterise(impossible, grid).mask.equals(mask)
    assert max(len(c.points_lps) for c in impossible) > 5


def test_words_that_there_are_not() -> None:
    for wrong in ({"style": "round"}, {"holes": "none"}):
        with pytest.raises(ValueError, match="must be one of"):
            ContourStyle(**wrong)
