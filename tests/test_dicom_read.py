"""Reading CT series: against SimpleITK, and everything that must be refused or reported by name."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from phantoms import CT_IMAGE, ORIENTATIONS, CtPhantom, make_ct, phantom_hu
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, generate_uid

from contourdesk.app.case import Case
from contourdesk.app.dicom_read import SeriesInfo, read_series, scan
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Progress, run


def only(folder: Path) -> SeriesInfo:
    (info,) = run(scan(folder))
    return info


def load(folder: Path) -> Case:
    return run(read_series(only(folder)))


def by_simpleitk(files: Sequence[Path]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(slice, row, column) values and the affine, by an independent reader given the files in order."""
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(f) for f in files])
    image = reader.Execute()
    affine = np.eye(4)
    affine[:3, :3] = (np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing())[:, ::-1]
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image).astype(float), affine


def error_of(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        run(read_series(run(scan(folder))[0]))
    return str(caught.value)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_agrees_with_simpleitk(tmp_path: Path, orientation: str) -> None:
    ct = make_ct(tmp_path, (7, 20, 28), (3.25, 1.5, 0.8), orientation)
    case = load(tmp_path)
    values, affine = by_simpleitk(ct.files)
    assert np.array_equal(case.volume.array, values) and np.array_equal(case.volume.array, ct.hu)
    assert case.volume.array.dtype == np.int16
    assert np.abs(case.volume.grid.affine - affine).max() < 0.001
    assert np.abs(case.volume.grid.affine - ct.affine).max() < 0.001
    assert case.source.image_uids == tuple(ct.image_uids) and set(case.source.image_class_uids) == {CT_IMAGE}


def test_order_comes_from_positions_alone(tmp_path: Path) -> None:
    shuffled = np.random.default_rng(3).permutation(10)

    def edit(ds: Dataset, k: int) -> None:
        ds.InstanceNumber, ds.SliceLocation = int(shuffled[k]), -3 * k

    ct = make_ct(tmp_path, edit=edit, file_name=lambda k: f"{shuffled[::-1][k]}.ima")
    case = load(tmp_path)
    assert np.array_equal(case.volume.array, ct.hu) and case.source.image_uids == tuple(ct.image_uids)


def test_slices_written_from_head_to_foot(tmp_path: Path) -> None:
    ct = make_ct(tmp_path, step_lps=(0, 0, -3))
    case = load(tmp_path)
    assert np.array_equal(case.volume.array, ct.hu[::-1])
    assert case.source.image_uids == tuple(ct.image_uids[::-1])
    assert np.allclose(case.volume.grid.to_world((0, 0, 0)), (-31.5, -42.25, -77))
    assert np.allclose(case.volume.grid.affine[:3, 0], (0, 0, 3))


def test_metadata(tmp_path: Path) -> None:
    def edit(ds: Dataset, k: int) -> None:
        ds.SpecificCharacterSet = "ISO_IR 100"
        ds.PixelPaddingValue = -2000

    ct = make_ct(tmp_path, patient="Müller^Jörg", edit=edit)
    info = only(tmp_path)
    assert (info.patient_name, info.date, info.description, info.slices) == ("Müller^Jörg", "2026-01-02", "Phantom", 10)
    assert info.spacing_text == "1 x 1 x 3 mm" and info.shape == ct.hu.shape and info.usable
    case = run(read_series(info))
    assert case.patient.name == "Müller^Jörg" and case.patient.id == "PH-1"
    assert case.volume.window == (40, 400) and case.volume.padding == -3024 and case.volume.unit == "HU"
    assert case.source.series_uid == ct.series_uid and case.source.study_uid == ct.study_uid
    assert case.volume.grid.frame_of_reference_uid == ct.frame_of_reference_uid
    assert case.source.header is not None and "PixelData" not in case.source.header
    assert case.source.header.SOPInstanceUID == ct.image_uids[0]


def test_progress_counts_up(tmp_path: Path) -> None:
    make_ct(tmp_path, (20, 8, 8))
    seen: list[Progress] = []
    (info,) = run(scan(tmp_path), seen.append)
    run(read_series(info), seen.append)
    assert any(p.total == 20 and p.done == 16 for p in seen)
    assert seen[-1] == Progress(20, 20, "Reading images")


def test_rescale_per_slice_and_fractions(tmp_path: Path) -> None:
    hu = phantom_hu((4, 10, 12))

    def edit(ds: Dataset, k: int) -> None:
        if k == 2:
            ds.RescaleSlope, ds.RescaleIntercept = "0.5", "-1000.25"

    make_ct(tmp_path, (4, 10, 12), edit=edit)
    volume = load(tmp_path).volume
    expected = hu.astype(float)
    expected[2] = (expected[2] + 1024) * 0.5 - 1000.25
    assert volume.array.dtype == np.float32 and np.array_equal(volume.array, expected)


def test_values_beyond_int16(tmp_path: Path) -> None:
    def edit(ds: Dataset, k: int) -> None:
        ds.PixelRepresentation = 0
        ds.PixelData = np.full((6, 7), 65000, "<u2").tobytes()

    make_ct(tmp_path, (3, 6, 7), edit=edit)
    volume = load(tmp_path).volume
    assert volume.array.dtype == np.float32 and (volume.array == 65000 - 1024).all()


def test_twelve_bits_with_dirty_high_bits(tmp_path: Path) -> None:
    def edit(ds: Dataset, k: int) -> None:
        ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 12, 11, 0
        stored = np.frombuffer(ds.PixelData, "<u2") | 0xA000
        ds.PixelData = stored.tobytes()

    ct = make_ct(tmp_path, (3, 16, 18), edit=edit)
    assert np.array_equal(load(tmp_path).volume.array, ct.hu)


def test_jpeg2000(tmp_path: Path) -> None:
    def edit(ds: Dataset, k: int) -> None:
        image = np.frombuffer(ds.PixelData, "<i2").reshape(ds.Rows, ds.Columns).astype(np.uint16)
        ds.PixelRepresentation = 0
        ds.PixelData = image.tobytes()
        ds.compress(JPEG2000Lossless, generate_instance_uid=False)

    ct = make_ct(tmp_path, (3, 32, 40), edit=edit)
    assert np.array_equal(load(tmp_path).volume.array, ct.hu)


def test_one_slice_takes_its_thickness(tmp_path: Path) -> None:
    make_ct(tmp_path / "a", (1, 12, 10), (2.5, 1, 1))
    case = load(tmp_path / "a")
    assert case.volume.grid.spacing_mm == (2.5, 1, 1) and "thickness" in case.source.notes[0]

    def edit(ds: Dataset, k: int) -> None:
        del ds.SliceThickness

    make_ct(tmp_path / "b", (1, 12, 10), edit=edit)
    text = error_of(tmp_path / "b")
    assert "slice000.dcm" in text and "Slice Thickness (0018,0050)" in text


def test_finds_dicom_whatever_it_is_called_and_however_deep(tmp_path: Path) -> None:
    ct = make_ct(tmp_path / "a" / "b", file_name=lambda k: f"IM{k}")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "a" / "picture.png").write_bytes(b"\x89PNG")
    assert np.array_equal(load(tmp_path).volume.array, ct.hu)


def test_without_preamble(tmp_path: Path) -> None:
    ct = make_ct(tmp_path)
    for path in ct.files:
        ds = pydicom.dcmread(path)
        bare = Dataset({e.tag: e for e in ds})
        bare.save_as(path, implicit_vr=True, little_endian=True, enforce_file_format=False)
    assert path.read_bytes()[128:132] != b"DICM"
    assert np.array_equal(load(tmp_path).volume.array, ct.hu)


# --- slices that don't fill a box


def test_missing_slices_are_named_in_mm(tmp_path: Path) -> None:
    make_ct(tmp_path, (20, 8, 8), skip=[4, 12, 13])
    text = error_of(tmp_path)
    assert "3 slices are missing, at z = -38.0 mm, z = -14.0 mm, z = -11.0 mm" in text


def test_missing_oblique_slice(tmp_path: Path) -> None:
    make_ct(tmp_path, skip=[4], orientation="oblique")
    assert "1 slice is missing" in error_of(tmp_path) and "along the normal" in error_of(tmp_path)


def test_uneven_spacing(tmp_path: Path) -> None:
    def edit(ds: Dataset, k: int) -> None:
        z = -50 + 3 * k if k < 5 else -38 + 5 * (k - 4)
        ds.ImagePositionPatient = ["-31.5", "-42.25", str(z)]

    make_ct(tmp_path, edit=edit)
    text = error_of(tmp_path)
    assert (
        "isn't even: from 3.000 to 5.000 mm" in text and "from 3.000 to 5.000 mm at z = -38.0 mm (slice004.dcm)" in text
    )


def test_jitter_below_a_hundredth_of_a_mm_is_fine(tmp_path: Path) -> None:
    def edit(ds: Dataset, k: int) -> None:
        ds.ImagePositionPatient = ["-31.5", "-42.25", f"{-50 + 0.625 * k:.2f}"]

    make_ct(tmp_path, edit=edit)
    assert load(tmp_path).volume.grid.spacing_mm[0] == pytest.approx(0.625, abs=1e-3)


def test_gantry_tilt(tmp_path: Path) -> None:
    angle = np.radians(13.5)
    make_ct(tmp_path, orientation=(1, 0, 0, 0, np.cos(angle), np.sin(angle)), step_lps=(0, 0, 3))
    assert "13.5 degrees" in error_of(tmp_path)


def test_slices_shifted_within_their_plane(tmp_path: Path) -> None:
    def edit(ds: Dataset, k: int) -> None:
        if k == 5:
            ds.ImagePositionPatient = ["-30.5", "-42.25", str(-50 + 3 * k)]

    make_ct(tmp_path, edit=edit)
    text = error_of(tmp_path)
    assert "1.00 mm within their plane" in text and "slice005.dcm" in text


# --- duplicates


def test_copies_are_left_out_with_a_note(tmp_path: Path) -> None:
    ct = make_ct(tmp_path)
    shutil.copy(ct.files[3], tmp_path / "copy.dcm")
    ds = pydicom.dcmread(ct.files[6])  # the same pixels under a new UID
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.save_as(tmp_path / "twin.dcm")
    info = only(tmp_path)
    assert info.slices == 10 and info.notes[0].startswith("2 duplicate slices were left out")
    case = run(read_series(info))
    assert np.array_equal(case.volume.array, ct.hu) and case.source.notes == info.notes


def test_one_place_with_different_pixels(tmp_path: Path) -> None:
    ct = make_ct(tmp_path)
    ds = pydicom.dcmread(ct.files[3])
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    ds.PixelData = bytes(len(ds.PixelData))
    ds.save_as(tmp_path / "other.dcm")
    text = error_of(tmp_path)
    assert "other.dcm" in text and "slice003.dcm" in text and "z = -41.0 mm" in text


def test_two_acquisitions_become_two_series(tmp_path: Path) -> None:
    ct = make_ct(tmp_path / "1", hu=np.zeros((10, 9, 8), np.int16), shape=(10, 9, 8))

    def edit(ds: Dataset, k: int) -> None:
        ds.AcquisitionNumber = 2

    second = phantom_hu((10, 9, 8))
    make_ct(
        tmp_path / "2", (10, 9, 8), hu=second, series_uid=ct.series_uid, edit=edit,
        frame_of_reference_uid=ct.frame_of_reference_uid, study_uid=ct.study_uid,
    )  # fmt: skip
    found = run(scan(tmp_path))
    assert [s.slices for s in found] == [10, 10] and all(s.usable for s in found)
    arrays = [run(read_series(s)).volume.array for s in found]
    assert any(np.array_equal(a, second) for a in arrays) and any((a == 0).all() for a in arrays)


# --- mixed and damaged series


def add_scout(folder: Path, ct: CtPhantom, image_type: list[str]) -> None:
    def edit(ds: Dataset, k: int) -> None:
        ds.ImageType = image_type

    make_ct(
        folder, (1, 40, 30), (5, 2, 2), "sagittal", series_uid=ct.series_uid, edit=edit,
        frame_of_reference_uid=ct.frame_of_reference_uid, file_name=lambda k: "scout.dcm",
    )  # fmt: skip


@pytest.mark.parametrize("kind", ["LOCALIZER", "AXIAL"])
def test_a_scout_under_the_same_uid(tmp_path: Path, kind: str) -> None:
    ct = make_ct(tmp_path)
    add_scout(tmp_path, ct, ["ORIGINAL", "PRIMARY", kind])
    main, scout = run(scan(tmp_path))
    assert main.slices == 10 and main.usable and "1 more image" in main.notes[0]
    assert scout.slices == 1 and scout.usable == (kind != "LOCALIZER")
    assert np.array_equal(run(read_series(main)).volume.array, ct.hu)


def test_truncated_pixels_are_named(tmp_path: Path) -> None:
    ct = make_ct(tmp_path)
    data = ct.files[9].read_bytes()
    ct.files[9].write_bytes(data[:-500])
    text = error_of(tmp_path)
    assert "slice009.dcm is cut short" in text
    # Another whole series in the folder can still be opened, and the picker says why the first can't.
    make_ct(tmp_path / "good")
    good, bad = run(scan(tmp_path))
    assert good.usable and not bad.usable and "slice009.dcm" in bad.problems[0]
    with pytest.raises(UserError, match=r"slice009\.dcm"):
        run(read_series(bad))


@pytest.mark.parametrize("length", [100, 140, 400, 900])
def test_truncated_headers_are_named(tmp_path: Path, length: int) -> None:
    ct = make_ct(tmp_path, (1, 8, 8))
    ct.files[0].write_bytes(ct.files[0].read_bytes()[:length])
    assert "slice000.dcm" in error_of(tmp_path)


def test_a_stray_broken_file_is_told_of(tmp_path: Path) -> None:
    ct = make_ct(tmp_path)
    (tmp_path / "junk.dcm").write_bytes(b"junk" * 200)
    info = only(tmp_path)
    assert info.usable and "junk.dcm" in info.notes[0]
    assert np.array_equal(run(read_series(info)).volume.array, ct.hu)


def test_truncated_after_the_scan(tmp_path: Path) -> None:
    ct = make_ct(tmp_path)
    info = only(tmp_path)
    ct.files[2].write_bytes(ct.files[2].read_bytes()[:-100])
    with pytest.raises(UserError, match=r"slice002\.dcm"):
        run(read_series(info))
    ct.files[2].unlink()
    with pytest.raises(UserError, match=r"slice002\.dcm"):
        run(read_series(info))


def test_truncated_compressed_pixels(tmp_path: Path) -> None:
    def edit(ds: Dataset, k: int) -> None:
        ds.file_meta.TransferSyntaxUID = JPEG2000Lossless
        ds.PixelData = encapsulate([b"not a codestream"])
        ds["PixelData"].is_undefined_length = True

    make_ct(tmp_path, edit=edit)
    with pytest.raises(UserError, match=r"slice000\.dcm"):
        load(tmp_path)


def test_rows_that_do_not_match_the_pixels(tmp_path: Path) -> None:
    def edit(ds: Dataset, k: int) -> None:
        ds.Rows = 40

    make_ct(tmp_path, edit=edit)
    with pytest.raises(UserError, match=r"slice000\.dcm holds 10,240 bytes of pixels where its 40 × 64 image needs"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("keyword", "words"),
    [
        ("ImagePositionPatient", "Image Position (Patient) (0020,0032)"),
        ("ImageOrientationPatient", "Image Orientation (Patient) (0020,0037)"),
        ("PixelSpacing", "Pixel Spacing (0028,0030)"),
        ("RescaleSlope", "Rescale Slope (0028,1053)"),
        ("RescaleIntercept", "Rescale Intercept (0028,1052)"),
    ],
)
def test_missing_tags_are_named_with_their_file(tmp_path: Path, keyword: str, words: str) -> None:
    def edit(ds: Dataset, k: int) -> None:
        if k == 3:
            delattr(ds, keyword)

    make_ct(tmp_path, edit=edit)
    text = error_of(tmp_path)
    assert "slice003.dcm" in text and words in text


def test_blanked_uids_load_as_one_series(tmp_path: Path) -> None:
    def edit(ds: Dataset, k: int) -> None:
        ds.SOPInstanceUID = ds.SeriesInstanceUID = ds.StudyInstanceUID = ds.SOPClassUID = ""

    ct = make_ct(tmp_path, edit=edit)
    case = load(tmp_path)
    assert np.array_equal(case.volume.array, ct.hu) and case.source.series_uid.startswith("file-")
    assert load(tmp_path).source.series_uid == case.source.series_uid


# --- nothing to open


def test_empty_folder(tmp_path: Path) -> None:
    assert "is empty" in error_of(tmp_path)
    assert "no folder" in error_of(tmp_path / "nowhere")


def test_only_text(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("hello")
    assert "no DICOM images" in error_of(tmp_path) and "a.txt" in error_of(tmp_path)


def test_only_mr(tmp_path: Path) -> None:
    make_ct(tmp_path, modality="MR")
    assert "no CT" in error_of(tmp_path) and "1 MR series" in error_of(tmp_path)


def test_enhanced_ct_is_refused_by_name(tmp_path: Path) -> None:
    def edit(ds: Dataset, k: int) -> None:
        ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2.1"

    make_ct(tmp_path, (1, 8, 8), edit=edit)
    assert "multi-frame" in error_of(tmp_path) and "slice000.dcm" in error_of(tmp_path)


# --- real files


@pytest.mark.parametrize(
    "folder",
    [*(f"headneck_dicom/HN_{n}" for n in (242, 246, 247)), "abdomen_dicom/ct", "rtstruct/rt_utils/oriented_data"],
)
def test_real_series_against_simpleitk(shared_data: Path, folder: str) -> None:
    (info,) = run(scan(shared_data / folder))
    case = run(read_series(info))
    values, affine = by_simpleitk(info.files)
    assert np.abs(case.volume.array - values).max() < 1e-5
    assert np.abs(case.volume.grid.affine - affine).max() < 0.001


def test_real_tilted_series_is_refused_with_its_angle(shared_data: Path) -> None:
    text = error_of(shared_data / "odd_geometry" / "ge_tilt_variable_spacing")
    assert "18.5 degrees" in text and "isn't even" in text
