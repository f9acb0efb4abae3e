"""Measures against an outside implementation, plain arithmetic and brute force."""

import math
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from contourdesk.app import measures
from contourdesk.app.geometry import Grid
from contourdesk.app.measures import (
    Comparison,
    added_path_length_mm,
    compare,
    dice,
    hd95_mm,
    mean_surface_distance_mm,
    surface_dice,
    surface_distances,
    volume_ml,
)
from contourdesk.app.structures import Mask

try:
    import surface_distance as deepmind
except ImportError:
    deepmind = None

needs_deepmind = pytest.mark.skipif(deepmind is None, reason="surface-distance is not installed")
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


def theirs(a: np.ndarray, b: np.ndarray, spacing: tuple[float, ...], tolerance: float) -> dict[str, object]:
    """The figures of DeepMind's package on two masks that are not empty."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses old names of scipy's
        found = deepmind.compute_surface_distances(a, b, spacing)
    return {
        "dice": deepmind.compute_dice_coefficient(a, b),
        "surface_dice": deepmind.compute_surface_dice_at_tolerance(found, tolerance),
        "hausdorff": [deepmind.compute_robust_hausdorff(found, percent) for percent in (50, 95, 100)],
        "means": deepmind.compute_average_surface_distance(found),
        "areas": [found["surfel_areas_gt"].sum(), found["surfel_areas_pred"].sum()],
        "distances": np.concatenate([found["distances_gt_to_pred"], found["distances_pred_to_gt"]]),
    }


def check_against_deepmind(a: np.ndarray, b: np.ndarray, grid: Grid, tolerance: float) -> None:
    expected = theirs(a, b, grid.spacing_mm, tolerance)
    mask_a, mask_b = Mask.from_dense(a), Mask.from_dense(b)
    ours = surface_distances(mask_a, mask_b, grid)
    figures = compare(mask_a, mask_b, grid, tolerance_mm=tolerance)
    near = partial(pytest.approx, rel=0, abs=1e-6)
    assert figures.dice == near(expected["dice"])
    assert figures.surface_dice == ours.dice(tolerance) == near(expected["surface_dice"])
    assert surface_dice(mask_a, mask_b, grid, tolerance) == near(expected["surface_dice"])
    assert [ours.hausdorff_mm(50), figures.hd95_mm, figures.hausdorff_mm] == near(expected["hausdorff"])
    assert ours.directed_means_mm() == near(expected["means"])
    assert figures.mean_surface_distance_mm == near(np.average(expected["means"], weights=expected["areas"]))
    assert [ours.a_area.sum(), ours.b_area.sum()] == pytest.approx(expected["areas"], rel=1e-9)
    assert np.concatenate([ours.a_mm, ours.b_mm]) == near(expected["distances"])


@needs_deepmind
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), SPACING, (0.7, 0.7, 2.5), (5.0, 0.9765625, 0.9765625)], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_blobs_against_surface_distance(spacing: tuple[float, float, float], seed: int) -> None:
    grid = Grid.from_spacing(GRID.shape, spacing)
    check_against_deepmind(blob(seed), blob(seed + 10), grid, 2.0)
    check_against_deepmind(blob(seed), blob(seed, 2.3), grid, spacing[0])


@needs_deepmind
def test_masks_at_the_edge_of_the_scan_and_apart_against_surface_distance() -> None:
    a, b = np.zeros(GRID.shape, bool), np.zeros(GRID.shape, bool)
    a[:4, :5] = a[20:, 30:, 40:] = True
    b[21:, 33:, 30:38] = b[3, 3, 3] = True
    check_against_deepmind(a, b, GRID, 3.0)
    check_against_deepmind(np.ones(GRID.shape, bool), b, GRID, 3.0)
    check_against_deepmind(ellipsoid(12), ellipsoid(11, 2), GRID, 1.0)


@needs_deepmind
@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(*[st.integers(1, 9)] * 3),
    st.floats(0.02, 0.9),
    st.tuples(*[st.floats(0.3, 6)] * 3),
    st.floats(0, 8),
)
def test_any_voxels_against_surface_distance(
    seed: int, shape: tuple[int, int, int], share: float, spacing: tuple[float, float, float], tolerance: float
) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.random(shape) < share, rng.random(shape) < share
    a.flat[rng.integers(a.size)] = b.flat[rng.integers(a.size)] = True
    check_against_deepmind(a, b, Grid.from_spacing(shape, spacing), tolerance)


@needs_deepmind
@pytest.mark.parametrize("case", ["HN_242", "HN_246", "HN_260"])
def test_head_and_neck_organs_against_surface_distance(shared_data: Path, case: str) -> None:
    """Each organ against itself worn at the surface, and against the next organ, which lies apart."""
    image = sitk.ReadImage(shared_data / "headneck" / "labelsTs" / f"{case}.nii.gz")
    labels = sitk.GetArrayFromImage(image)
    grid = Grid.from_spacing(labels.shape, image.GetSpacing()[::-1])
    organs = [labels == n for n in np.unique(labels) if n]
    assert len(organs) > 2
    for organ, other in zip(organs, organs[1:] + organs[:1], strict=True):
        check_against_deepmind(organ, worn(organ), grid, 3.0)
        check_against_deepmind(organ, other, grid, 3.0)


@needs_deepmind
def test_abdominal_organs_against_surface_distance(shared_data: Path) -> None:
    image = sitk.ReadImage(shared_data / "abdomen_nifti" / "example_seg.nii.gz")
    labels = sitk.GetArrayFromImage(image)
    grid = Grid.from_spacing(labels.shape, image.GetSpacing()[::-1])
    numbers, counts = np.unique(labels[labels > 0], return_counts=True)
    assert len(numbers) > 30
    for number in numbers[counts > 500]:
        check_against_deepmind(labels == number, worn(labels == number), grid, 3.0)


def worn(organ: np.ndarray) -> np.ndarray:
    """An organ whose surface was gnawed at and added to, as a network might draw it."""
    noise = np.random.default_rng(7).normal(0, 1.5, organ.shape)
    out = ndimage.gaussian_filter(organ + noise * ndimage.binary_dilation(organ, iterations=2), 1.0) > 0.4
    return out if out.any() else organ


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


def test_distances_on_a_tilted_grid_are_the_patients() -> None:
    """A gantry tilt: slices are pushed along the columns, so a shift across slices is a longer way."""
    affine = GRID.affine.copy()
    affine[1, 0] = 1.0
    tilted = Grid(GRID.shape, affine)
    a, b = Mask.from_dense(ellipsoid(12)), Mask.from_dense(ellipsoid(11, 2))
    shifted = Mask((a.offset[0] + 2, *a.offset[1:]), a.bits)
    assert compare(a, shifted, tilted).hausdorff_mm == pytest.approx(2 * math.hypot(3, 1))
    assert compare(a, shifted, GRID).hausdorff_mm == pytest.approx(6)
    figures = compare(a, b, tilted)
    affine[:3, 0] *= -1
    turned = compare(*(Mask.from_dense(m[::-1]) for m in (ellipsoid(12), ellipsoid(11, 2))), Grid(GRID.shape, affine))
    for name in ("hd95_mm", "hausdorff_mm", "mean_surface_distance_mm", "surface_dice"):
        assert getattr(turned, name) == pytest.approx(getattr(figures, name))


voxels = st.builds(
    lambda seed, share: np.random.default_rng(seed).random((5, 7, 6)) < share,
    st.integers(0, 2**32 - 1),
    st.floats(0, 0.7),
)
offsets = st.tuples(st.integers(0, 19), st.integers(0, 33), st.integers(0, 38))


@settings(max_examples=60, deadline=None)
@given(voxels, voxels, offsets, offsets)
def test_exchanging_the_two_changes_only_what_has_a_direction(a, b, at_a, at_b) -> None:
    mask_a, mask_b = Mask(at_a, a), Mask(at_b, b)
    there, back = compare(mask_a, mask_b, GRID), compare(mask_b, mask_a, GRID)
    for name in ("dice", "surface_dice", "hd95_mm", "hausdorff_mm"):
        assert getattr(there, name) == pytest.approx(getattr(back, name), abs=1e-12)
    assert there.mean_surface_distance_mm == pytest.approx(back.mean_surface_distance_mm, rel=1e-12)
    assert there.volume_change_ml == pytest.approx(-back.volume_change_ml)
    assert 0 <= there.dice <= 1 and 0 <= there.surface_dice <= 1 + 1e-12
    assert there.hd95_mm <= there.hausdorff_mm and there.mean_surface_distance_mm <= there.hausdorff_mm + 1e-12
    assert 0 <= there.added_path_mm <= there.path_mm


@settings(max_examples=30, deadline=None)
@given(voxels, offsets)
def test_a_mask_is_like_itself_however_it_is_boxed(a, at) -> None:
    mask = Mask(at, a)
    loose = Mask((0, 0, 0), mask.dense(GRID.shape))
    assert mask.equals(loose)
    figures = compare(mask, loose, GRID)
    assert figures.dice == 1 and figures.surface_dice == pytest.approx(1)
    assert figures.hd95_mm == figures.hausdorff_mm == figures.mean_surface_distance_mm == 0
    assert figures.added_path_mm == figures.volume_change_ml == figures.volume_change_percent == 0


@settings(max_examples=60, deadline=None)
@given(voxels, st.sampled_from([0, 1, 2]), st.integers(1, 15))
def test_a_shift_by_whole_voxels_is_measured_exactly(a, axis, voxels_shifted) -> None:
    at = [2, 2, 2]
    first = Mask((2, 2, 2), a)
    if first.is_empty:
        return
    at[axis] += voxels_shifted
    shift_mm = voxels_shifted * SPACING[axis]
    figures = compare(first, Mask((at[0], at[1], at[2]), a), GRID, tolerance_mm=shift_mm)
    assert figures.hausdorff_mm == shift_mm  # the foremost element has no nearer one
    assert figures.hd95_mm <= shift_mm and figures.mean_surface_distance_mm <= shift_mm
    assert figures.surface_dice == pytest.approx(1, abs=1e-12)
    assert figures.volume_change_ml == 0


@settings(max_examples=30, deadline=None)
@given(voxels, voxels, st.floats(0.2, 5))
def test_figures_grow_with_the_voxels(a, b, factor) -> None:
    one, other = Mask((1, 1, 1), a), Mask((3, 2, 4), b)
    if one.is_empty or other.is_empty:
        return
    grown = Grid.from_spacing(GRID.shape, [s * factor for s in SPACING])
    small = compare(one, other, GRID, tolerance_mm=2.0001)
    large = compare(one, other, grown, tolerance_mm=2.0001 * factor)
    assert (large.dice, large.surface_dice) == pytest.approx((small.dice, small.surface_dice))
    for name in ("hausdorff_mm", "mean_surface_distance_mm", "path_mm", "added_path_mm"):
        assert getattr(large, name) == pytest.approx(factor * getattr(small, name))
    # Just 95 % of the area may end with an element; then a last bit decides between it and the next.
    distances = surface_distances(one, other, GRID)
    low, high = (factor * distances.hausdorff_mm(percent) for percent in (95 - 1e-6, 95 + 1e-6))
    assert low * (1 - 1e-9) <= large.hd95_mm <= high * (1 + 1e-9)
    assert large.volume_change_ml == pytest.approx(factor**3 * small.volume_change_ml)


def test_empty_masks() -> None:
    some, none = Mask((1, 1, 1), np.ones((2, 2, 2), bool)), Mask((4, 4, 4), np.zeros((3, 3, 3), bool))
    inf = math.inf
    for empty in (Mask(), none):
        both = compare(empty, Mask(), GRID)
        assert both == Comparison(0, 0, 1, 3.0, 1, 0, 0, 0, 0, 0)
        assert both.volume_change_ml == both.volume_change_percent == 0
        ml = 8 * GRID.voxel_ml
        lost, made_up = compare(some, empty, GRID), compare(empty, some, GRID)
        assert lost == Comparison(ml, 0, 0, 3.0, 0, inf, inf, inf, 8 * 1.05, 8 * 1.05)
        assert (lost.volume_change_ml, lost.volume_change_percent) == (-ml, -100)
        assert made_up == Comparison(0, ml, 0, 3.0, 0, inf, inf, inf, 0, 0)
        assert (made_up.volume_change_ml, made_up.volume_change_percent) == (ml, inf)
        assert surface_distances(some, empty, GRID).directed_means_mm() == (inf, inf)
        assert surface_distances(empty, empty, GRID).directed_means_mm() == (0, 0)
        assert dice(some, empty) == surface_dice(some, empty, GRID, 1) == 0
        assert hd95_mm(empty, some, GRID) == mean_surface_distance_mm(some, empty, GRID) == inf
        assert added_path_length_mm(empty, some, GRID) == 0


def test_volume_change() -> None:
    figures = compare(Mask((1, 1, 1), np.ones((2, 2, 2), bool)), Mask((1, 1, 1), np.ones((2, 2, 3), bool)), GRID)
    assert figures.volume_change_ml == pytest.approx(4 * 3 * 1.2 * 0.9 / 1000)
    assert figures.volume_change_percent == pytest.approx(50)


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
    assert added_path_length_mm(square, two, GRID) == 0  # to take a slice away is no drawing


@pytest.mark.parametrize("block", [1, 500, 1 << 18])
def test_added_path_length_against_plain_arithmetic(block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measures, "_BLOCK", block)
    a, b = blob(1), blob(1, 2.2)
    a[:, :2] = True  # up to the edge of the scan
    cross = ndimage.generate_binary_structure(2, 1)
    outlines = [[s & ~ndimage.binary_erosion(s, cross) for s in m] for m in (a, b)]
    new = sum(np.count_nonzero(p & ~q) for p, q in zip(*outlines, strict=True))
    figures = compare(Mask.from_dense(a), Mask.from_dense(b), GRID)
    assert figures.added_path_mm == pytest.approx(new * 1.05)
    assert figures.path_mm == pytest.approx(np.count_nonzero(outlines[0]) * 1.05)


def test_two_threads_find_what_one_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = Mask.from_dense(blob(1)), Mask.from_dense(blob(2))
    alone = compare(a, b, GRID)
    monkeypatch.setattr(measures, "_THREADS", 0)
    assert compare(a, b, GRID) == alone
