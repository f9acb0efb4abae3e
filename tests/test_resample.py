"""Tilted, unevenly spaced and gapped series on an even grid: against scipy, SimpleITK and shapes known beforehand."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from phantoms import ORIENTATIONS, make_ct
from pydicom.dataset import Dataset
from scipy.ndimage import map_coordinates
from tilted_phantoms import (
    CENTRE,
    CHANGING,
    EVEN,
    RADII,
    TILTED,
    UNEVEN,
    Float,
    at_places,
    ellipsoid_ct,
    in_ellipsoid,
    resampled,
    series,
    voxel_centres,
)

from contourdesk.app.dicom_read import read_series, scan
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import run
from contourdesk.app.resample import Resample
from contourdesk.app.resample_image import resample_volume
from contourdesk.app.volume import Volume

# --- the image


def index_space(array: NDArray[np.generic], how: Resample, grid: Grid) -> Float:
    """What scipy makes of it: linear in the original stack's own (plane, row, column) index."""
    planes = how.planes
    points = voxel_centres(grid)
    at = planes.at_mm
    height = points @ planes.normal
    k = np.interp(height, at, np.arange(len(at)))
    origin = np.stack([np.interp(height, at, planes.origins_lps[:, i]) for i in range(3)], axis=-1)
    inside = points - origin
    coordinates = [
        k,
        inside @ planes.down_column / planes.spacing_mm[0],
        inside @ planes.along_row / planes.spacing_mm[1],
    ]
    out = map_coordinates(array.astype(float), coordinates, order=1, cval=np.nan, mode="constant")
    beyond = (height < at[0] - 1e-6) | (height > at[-1] + 1e-6)
    return np.where(beyond, np.nan, out)


@pytest.mark.parametrize("places", [[-50 + 3.0 * k for k in range(24)], UNEVEN])
@pytest.mark.parametrize("tag", ["13.5", "-13.5", "0", None])
def test_tilted_image_against_scipy(tmp_path: Path, places: list[float], tag: str | None) -> None:
    rng = np.random.default_rng(5)
    hu = rng.integers(-900, 1500, (24, 30, 26)).astype(np.int16)

    def tags(ds: Dataset) -> None:
        if tag is not None:
            ds.GantryDetectorTilt = tag

    make_ct(tmp_path, hu.shape, (3, 1, 1.25), TILTED, hu=hu, edit=at_places(places, tags))
    case, how = resampled(tmp_path)
    grid = case.volume.grid
    assert how.tilt_degrees == pytest.approx(13.5, abs=1e-3)
    # Even and square to the slices, with their rows and columns.
    assert np.abs(grid.directions.T @ grid.directions - np.eye(3)).max() < 1e-9
    assert np.abs(grid.directions[:, 2] - (1, 0, 0)).max() < 1e-9
    want = index_space(hu, how, grid)
    known = ~np.isnan(want)
    assert np.count_nonzero(known) > 0.6 * hu.size
    assert np.abs(case.volume.array - want)[known].max() <= 0.501
    assert case.volume.array.dtype == np.int16 and case.volume.padding == -1024
    assert case.volume.array[0, -1, 0] == -1024 or case.volume.array[0, 0, 0] == -1024  # beyond the slices


@pytest.mark.parametrize("orientation", ["sagittal", "coronal", "oblique", "axial_feet_first"])
@pytest.mark.parametrize("skip", [[], [4, 9, 10]])
def test_any_orientation_sheared_any_way(tmp_path: Path, orientation: str, skip: list[int]) -> None:
    cosines = np.array(ORIENTATIONS[orientation], float)
    step = 3 * np.cross(cosines[:3], cosines[3:]) + 0.4 * cosines[:3] - 0.7 * cosines[3:]
    rng = np.random.default_rng(7)
    hu = rng.integers(-900, 1500, (20, 30, 26)).astype(np.int16)
    make_ct(tmp_path, hu.shape, (3, 1, 1.25), orientation, hu=hu, step_lps=step, skip=skip)
    case, how = resampled(tmp_path)
    assert how.tilt_degrees == pytest.approx(np.degrees(np.arctan(np.hypot(0.4, 0.7) / 3)), abs=1e-3)
    assert how.missing == len(skip) and case.volume.grid.shape[0] == 20
    want = index_space(hu[[k for k in range(20) if k not in skip]], how, case.volume.grid)
    known = ~np.isnan(want)
    assert np.count_nonzero(known) > 0.6 * hu.size
    assert np.abs(case.volume.array - want)[known].max() <= 0.501


def test_original_planes_stay_to_the_last_bit(tmp_path: Path) -> None:
    ct = make_ct(tmp_path, (20, 12, 10), skip=[4, 12, 13])
    case, how = resampled(tmp_path)
    assert case.volume.array.shape == ct.hu.shape and how.missing == 3 and how.kept == 17
    assert np.abs(case.volume.grid.affine - ct.affine).max() < 1e-4
    kept = [k for k in range(20) if k not in (4, 12, 13)]
    assert np.array_equal(case.volume.array[kept], ct.hu[kept])
    assert np.array_equal(case.volume.array[4], np.rint((ct.hu[3].astype(float) + ct.hu[5]) / 2))
    third = ct.hu[11] + (ct.hu[14].astype(float) - ct.hu[11]) / 3
    assert np.abs(case.volume.array[12] - third).max() <= 0.501
    assert case.source.image_uids == tuple(ct.image_uids)
    assert how.places == ("z = -38.0 mm", "z = -14.0 mm", "z = -11.0 mm")
    assert "3 missing slices are made up" in case.source.notes[0] and "z = -38.0 mm" in case.source.notes[0]


def test_uneven_spacing_against_simpleitk(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    hu = rng.integers(-900, 1500, (24, 20, 22)).astype(np.int16)
    make_ct(tmp_path, hu.shape, (3, 1, 1), hu=hu, edit=at_places(UNEVEN))
    case, how = resampled(tmp_path)
    grid = case.volume.grid
    assert grid.spacing_mm[0] == pytest.approx(2.5) and how.kept == 16
    for m in range(grid.shape[0]):
        z = float(grid.to_world((m, 0, 0))[2])
        k = int(np.clip(np.searchsorted(UNEVEN, z + 1e-6) - 1, 0, 22))
        pair = sitk.GetImageFromArray(hu[k : k + 2].astype(np.float64))
        pair.SetOrigin((-31.5, -42.25, UNEVEN[k]))
        pair.SetSpacing((1, 1, UNEVEN[k + 1] - UNEVEN[k]))
        target = sitk.Image(22, 20, 1, sitk.sitkFloat64)
        target.SetOrigin((-31.5, -42.25, min(z, UNEVEN[-1])))
        want = sitk.GetArrayFromImage(sitk.Resample(pair, target, sitk.Transform(), sitk.sitkLinear))[0]
        assert np.abs(case.volume.array[m] - want).max() <= 0.501, m


def test_padding_does_not_mix_with_tissue(tmp_path: Path) -> None:
    hu = np.full((8, 20, 20), 40, np.int16)
    hu[:, :6] = -2000

    def tags(ds: Dataset) -> None:
        ds.PixelPaddingValue = -2000 - int(ds.RescaleIntercept)

    make_ct(tmp_path, hu.shape, (3, 1, 1), TILTED, hu=hu, edit=at_places([3.0 * k for k in range(8)], tags))
    case, _ = resampled(tmp_path)
    assert set(np.unique(case.volume.array)) == {-2000, 40} and case.volume.padding == -2000


def test_slices_a_little_off_are_taken_at_their_places(tmp_path: Path) -> None:
    places = [-50 + round(0.625 * k, 1) for k in range(40)]  # a writer that kept one decimal
    ct = make_ct(tmp_path, (40, 8, 8), edit=at_places(places))
    case, how = resampled(tmp_path)
    assert case.volume.grid.spacing_mm[0] == pytest.approx(np.diff(places).mean())
    assert np.nanmax(np.abs(case.volume.array - index_space(ct.hu, how, case.volume.grid))) <= 0.501


# --- the choice


def test_refused_unless_chosen(tmp_path: Path) -> None:
    make_ct(tmp_path, (20, 8, 8), skip=[4])
    with pytest.raises(UserError, match=r"1 slice is missing, at z = -38\.0 mm") as caught:
        run(read_series(series(tmp_path)))
    assert "--resample" in str(caught.value)


@pytest.mark.parametrize(
    ("skip", "reason"),
    [
        (list(range(4, 11)), "widest gap, 24 mm, is more than the 20 mm"),
        ([3, 4, 8, 9, 12, 13], "6 slices are missing of 20, more than the quarter"),
    ],
)
def test_too_much_is_missing(tmp_path: Path, skip: list[int], reason: str) -> None:
    make_ct(tmp_path, (20, 8, 8), skip=skip)
    with pytest.raises(UserError, match=reason):
        run(scan(tmp_path))


def test_shifted_and_damaged_stay_refused(tmp_path: Path) -> None:
    def shift(ds: Dataset, k: int) -> None:
        ds.ImagePositionPatient = [ds.ImagePositionPatient[0] + 0.6 * (k == 5), *at[k]]

    at = [(-42.25, -50 + 3.0 * k) for k in range(10)]
    make_ct(tmp_path / "shifted", (10, 8, 8), orientation=TILTED, edit=shift)
    with pytest.raises(UserError, match="shifted against each other"):
        run(scan(tmp_path / "shifted"))
    ct = make_ct(tmp_path / "damaged", (10, 8, 8), skip=[4])
    ct.files[2].write_bytes(ct.files[2].read_bytes()[:-40])
    with pytest.raises(UserError, match="is cut short"):
        run(scan(tmp_path / "damaged"))


def test_another_set_of_slices_than_the_recorded_one(tmp_path: Path) -> None:
    ct = make_ct(tmp_path, (20, 8, 8), skip=[4])
    recorded = series(tmp_path).resample
    ct.files[10].unlink()
    with pytest.raises(UserError, match="not those that were resampled"):
        run(read_series(series(tmp_path), recorded))


def test_record_comes_back_from_json(tmp_path: Path) -> None:
    make_ct(tmp_path, (24, 8, 8), orientation=TILTED, edit=at_places(UNEVEN))
    how = series(tmp_path).resample
    assert how is not None
    back = Resample.from_json(how.to_json(), how.grid)
    assert back.planes.is_close(how.planes, 1e-9) and back.text == how.text and back.note == how.note
    assert len(how.short) <= 64 and how.short.isascii()


# --- shapes known beforehand


@pytest.mark.parametrize("places", [EVEN, CHANGING])
def test_ellipsoid_in_the_image_stays_in_its_place(tmp_path: Path, places: list[float]) -> None:
    ellipsoid_ct(tmp_path / "empty", places)
    planes = series(tmp_path / "empty").resample.planes
    # An edge as soft as a scanner's: the surface is where the value is 500.
    points = np.stack([voxel_centres(planes.grid_of(k))[0] for k in range(len(places))])
    rho = np.linalg.norm((points - CENTRE) / RADII, axis=-1)
    hu = np.clip(500 + 1500 * (1 - rho), 0, 1000).astype(np.int16)
    ellipsoid_ct(tmp_path / "full", places, hu)
    case, _ = resampled(tmp_path / "full")
    inside = case.volume.array >= 500
    points = voxel_centres(case.volume.grid)
    assert np.abs(points[inside].mean(axis=0) - CENTRE).max() < 0.1
    truth = in_ellipsoid(points)
    assert 2 * np.count_nonzero(inside & truth) / (inside.sum() + truth.sum()) >= 0.98


def test_memory_beside_input_and_output_is_a_few_slices(tmp_path: Path) -> None:
    make_ct(tmp_path, (60, 128, 128), orientation=TILTED, edit=at_places([-50 + 2.0 * k for k in range(60)]))
    info = series(tmp_path)
    assert info.resample is not None
    case = run(read_series(info, info.resample))
    original = Volume(Grid((60, 128, 128), np.eye(4)), np.zeros((60, 128, 128), np.int16))
    tracemalloc.start()
    made = run(resample_volume(original, info.resample, case.volume.grid))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    slice_bytes = 4 * int(np.prod(made.grid.shape[1:]))
    assert peak < made.array.nbytes + 8 * slice_bytes
    assert made.array.nbytes < 2 * original.array.nbytes
