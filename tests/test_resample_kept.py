"""That images were resampled is never lost: review folder, command line, structure set, training case; real series."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from enhanced_phantoms import make_enhanced_ct
from phantoms import make_ct
from pydicom import dcmread
from pydicom.dataset import Dataset
from scipy.ndimage import map_coordinates
from tilted_phantoms import CHANGING, ellipsoid_ct, in_ellipsoid, resampled, series, voxel_centres
from tiny_model import make_model

from contourdesk.app.case import Case
from contourdesk.app.cli import main
from contourdesk.app.dataset import export_case
from contourdesk.app.dicom_read import read_series, scan
from contourdesk.app.dicom_write import write_rtstruct
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import run
from contourdesk.app.project import CASE, load, open_review, resume
from contourdesk.app.resample import Resample
from contourdesk.app.resample_masks import masks_on_original_planes
from contourdesk.app.review import ReviewSession
from contourdesk.app.reviews import find_reviews
from contourdesk.app.rtstruct_read import read_rtstruct
from contourdesk.app.structures import Mask


@pytest.fixture
def reviewed(tmp_path: Path) -> tuple[Path, Path, Case, Mask]:
    """Folder of the images, of a review on them after resampling, the case, and an accepted ball."""
    ct = ellipsoid_ct(tmp_path / "ct", CHANGING)
    case, _ = resampled(ct.folder)
    ball = Mask.from_dense(in_ellipsoid(voxel_centres(case.volume.grid)))
    session = ReviewSession(case, "Eva")
    session.decide(session.add("Ball", mask=ball), "accepted")
    run(open_review(session.snapshot(), tmp_path / "reviews" / "one")).close()
    return ct.folder, tmp_path / "reviews" / "one", case, ball


def test_review_remembers_and_resamples_again(reviewed: tuple[Path, Path, Case, Mask]) -> None:
    images, folder, case, ball = reviewed
    saved = run(load(folder))
    (listed,) = find_reviews(folder.parent)
    for how in (saved.resampled, listed.resampled):
        assert how is not None and how.note == case.source.resampled.note
    again = run(read_series(series(images), saved.resampled))
    assert np.array_equal(again.volume.array, case.volume.array)
    assert resume(again, saved).structures.items[0].mask.equals(ball)


def test_review_keeps_its_grid_when_a_later_version_would_plan_another(reviewed: tuple[Path, Path, Case, Mask]) -> None:
    images, folder, case, ball = reviewed
    file = folder / CASE
    read = json.loads(file.read_text())
    # As an earlier version might have planned it: twice as coarse, from the third slice on.
    affine = np.array(read["grid"]["affine"])
    affine[:3, 3] += 2 * affine[:3, 0]
    affine[:3, 0] *= 2
    read["grid"] |= {"affine": affine.tolist(), "shape": [10, *read["grid"]["shape"][1:]]}
    file.write_text(json.dumps(read))
    saved = run(load(folder))
    again = run(read_series(series(images), saved.resampled))
    assert again.volume.grid.shape[0] == 10
    assert np.array_equal(again.volume.array, case.volume.array[2:22:2])
    assert resume(again, saved).structures.items[0].mask.equals(ball)


def test_review_of_images_as_they_are_and_resampled_are_two(reviewed: tuple[Path, Path, Case, Mask]) -> None:
    _, folder, case, _ = reviewed
    saved = run(load(folder))
    plain = replace(case, source=replace(case.source, resampled=None))
    with pytest.raises(UserError, match="another image"):
        resume(plain, saved)
    with pytest.raises(UserError, match="another image"):
        resume(case, replace(saved, resampled=None))


def test_review_whose_slices_changed(reviewed: tuple[Path, Path, Case, Mask]) -> None:
    images, folder, _, _ = reviewed
    sorted(images.iterdir())[20].unlink()
    with pytest.raises(UserError, match="not those that were resampled"):
        run(read_series(series(images), run(load(folder)).resampled))


def test_export_of_the_review(reviewed: tuple[Path, Path, Case, Mask], capsys: pytest.CaptureFixture[str]) -> None:
    _, folder, case, ball = reviewed
    out = folder.parent / "out"
    assert main(["export", str(folder), "--out", str(out), "--format", "rtstruct,nnunet"]) == 0
    written = dcmread(out / "rtstruct.dcm")
    assert "esampled" in written.StructureSetDescription
    how = case.source.resampled
    (back,) = read_rtstruct(out / "rtstruct.dcm", case)
    assert how.planes.rasterise(back.contours).mask.equals(masks_on_original_planes(ball, how))
    contoured = json.loads(next(out.glob("Dataset*/contoured.json")).read_text())
    assert [entry["resampled"] for entry in contoured.values()] == [how.text]
    assert "The image was resampled" in capsys.readouterr().err


def test_training_case_of_plain_images_says_nothing(tmp_path: Path) -> None:
    make_ct(tmp_path / "ct")
    case = run(read_series(series(tmp_path / "ct")))
    session = ReviewSession(case)
    session.add("Ball", mask=Mask((2, 5, 5), np.ones((3, 4, 4), bool)))
    report = run(export_case(case, list(session.structures), tmp_path / "set", only_accepted=False))
    assert not report.resampled
    assert "resampled" not in (tmp_path / "set" / "contoured.json").read_text()


# --- command line


def test_check_tells_and_counts_as_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_ct(tmp_path, (20, 8, 8), skip=[4, 12])
    assert main(["check", str(tmp_path)]) == 2
    said = capsys.readouterr().out
    assert "2 slices are missing, at z = -38.0 mm, z = -14.0 mm" in said
    assert "it can be resampled (--resample): An even grid of 20 slices" in said
    assert main(["check", str(tmp_path), "--resample"]) == 0


def test_segment_refuses_unless_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_model(tmp_path / "model")
    ct = make_ct(tmp_path / "ct", (20, 32, 32), skip=[4])
    command = ["segment", str(ct.folder), "--model", str(tmp_path / "model"), "--out", str(tmp_path / "out")]
    assert main(command) == 2
    said = capsys.readouterr().err
    assert "1 slice is missing, at z = -38.0 mm" in said and "--resample" in said
    assert not (tmp_path / "out").exists()
    assert main([*command, "--resample"]) == 0
    said = capsys.readouterr().err
    assert "The images were resampled" in said and "z = -38.0 mm" in said
    path = tmp_path / "out" / "ct" / "rtstruct.dcm"
    if path.exists():  # the tiny network found something
        uids = {
            item.ContourImageSequence[0].ReferencedSOPInstanceUID
            for roi in dcmread(path).ROIContourSequence
            for item in roi.get("ContourSequence", ())
        }
        assert uids <= set(ct.image_uids)


# --- a real series: GE, tilted by 18.5 degrees, 4 mm slices, then 7 mm


@pytest.fixture(scope="module")
def ge(shared_data: Path) -> tuple[Case, Resample]:
    (info,) = run(scan(shared_data / "odd_geometry" / "ge_tilt_variable_spacing"))
    assert not info.usable and info.resample is not None
    return run(read_series(info, info.resample)), info.resample


def test_real_tilted_series_against_scipy(shared_data: Path, ge: tuple[Case, Resample]) -> None:
    case, _ = ge
    files = [dcmread(p) for p in sorted((shared_data / "odd_geometry" / "ge_tilt_variable_spacing").glob("*.dcm"))]
    files.sort(key=lambda ds: float(ds.ImagePositionPatient[2]))
    stack = np.stack([ds.pixel_array * float(ds.RescaleSlope) + float(ds.RescaleIntercept) for ds in files])
    at = np.array([float(ds.ImagePositionPatient[2]) for ds in files])  # this scanner's slices lie straight above
    first = np.array(files[0].ImagePositionPatient, float)
    along_row, down = np.array(files[0].ImageOrientationPatient, float).reshape(2, 3)
    rng = np.random.default_rng(1)
    index = np.column_stack([rng.integers(0, n, 200_000) for n in case.volume.grid.shape])
    # Where a voxel lies in the slices, from their tilt alone: up along z to the slice, then within it.
    points = case.volume.grid.to_world(index) - first
    column, row = points[:, 0], points[:, 1] / down[1]
    z = first[2] + points[:, 2] - row * down[2]
    k = np.interp(z, at, np.arange(len(at)))
    spacing = float(files[0].PixelSpacing[0])
    coordinates = [k, row / spacing, column / spacing]
    want = map_coordinates(stack, coordinates, order=1, cval=np.nan)
    least = map_coordinates(np.where(stack == -1500, 1.0, 0.0), coordinates, order=1, cval=1.0)  # share of padding
    got = case.volume.array[tuple(index.T)]
    sure = (least == 0) & ~np.isnan(want) & (z > at[0]) & (z < at[-1])
    assert np.count_nonzero(sure) > 80_000
    assert np.abs(got - want)[sure].max() <= 0.51
    assert (got[(least > 1e-4) & (z > at[0]) & (z < at[-1])] == -1500).mean() > 0.999
    assert np.abs(along_row - (1, 0, 0)).max() == 0


def test_real_tilted_series_round_trip(tmp_path: Path, ge: tuple[Case, Resample]) -> None:
    case, how = ge
    bone = Mask.from_dense(case.volume.array > 900)
    session = ReviewSession(case)
    session.add("Bone", mask=bone)
    path = write_rtstruct(case, list(session.structures), tmp_path / "out.dcm")
    (back,) = read_rtstruct(path, case)
    assert how.planes.rasterise(back.contours).mask.equals(masks_on_original_planes(bone, how))


# --- enhanced multi-frame


def test_tilted_multiframe_with_frames_missing_and_in_random_order(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    hu = rng.integers(-900, 1500, (20, 30, 26)).astype(np.int16)
    tilt = np.radians(-10)
    order = rng.permutation([k for k in range(20) if k not in (6, 13)]).tolist()

    def straight_up(own: Dataset, k: int) -> None:
        own.PlanePositionSequence[0].ImagePositionPatient = ["-10", "-20", f"{-50 + 3 * k}"]
        own.PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, np.cos(tilt), np.sin(tilt)]

    shared = ("measures", "values", "type")
    written = make_enhanced_ct(tmp_path / "ct.dcm", hu, (3, 1, 1), order=order, shared=shared, edit_frame=straight_up)
    case, how = resampled(tmp_path)
    assert how.missing == 2 and how.tilt_degrees == pytest.approx(10, abs=1e-3)
    anchor = int(np.flatnonzero(how.plane_shift[:, 0] == np.round(how.plane_shift[:, 0]))[0])
    row = int(how.plane_shift[anchor, 0])
    original = [k for k in range(20) if k not in (6, 13)][anchor]
    assert np.array_equal(case.volume.array[int(how.plane_at[anchor]), row : row + 30], hu[original])
    session = ReviewSession(case)
    session.add("Ball", mask=Mask((4, 20, 5), np.ones((9, 6, 6), bool)))
    path = write_rtstruct(case, list(session.structures), tmp_path / "out.dcm")
    items = dcmread(path).ROIContourSequence[0].ContourSequence
    for item in items:
        image = item.ContourImageSequence[0]
        assert image.ReferencedSOPInstanceUID == written.SOPInstanceUID
        k = order[int(image.ReferencedFrameNumber) - 1]
        point = np.array(item.ContourData[:3], float) - (-10, -20, -50 + 3 * k)
        assert abs(point @ (0, -np.sin(tilt), np.cos(tilt))) < 1e-3
    assert len(items) == 8  # slice 6 of the grid is made up
    (back,) = read_rtstruct(path, case)
    got, want = (m.dense(case.volume.grid.shape) for m in (back.mask, session.structures.items[0].mask))
    assert np.array_equal(np.delete(got, 6, axis=0), np.delete(want, 6, axis=0))
    assert np.count_nonzero(got[6] ^ want[6]) <= 6  # one row: half a pixel of tilt
