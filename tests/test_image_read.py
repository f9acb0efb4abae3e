"""NIfTI and NRRD: affine in LPS, values as stored, and what is refused."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from phantoms import make_ct, phantom_hu

from contourdesk.app.dicom_read import read_series, scan
from contourdesk.app.errors import UserError
from contourdesk.app.image_read import case_name, is_image_file, read_image_file
from contourdesk.app.jobs import run

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz", ".nrrd"])
@pytest.mark.parametrize("orientation", ["axial", "coronal", "oblique"])
def test_agrees_with_the_dicom_series_it_came_from(tmp_path: Path, orientation: str, suffix: str) -> None:
    ct = make_ct(tmp_path / "ct", (6, 20, 28), (3, 1.5, 0.8), orientation)
    (info,) = run(scan(tmp_path / "ct"))
    case = run(read_series(info))
    reader = sitk.ImageSeriesReader()
    reader.SetFileNames([str(f) for f in ct.files])
    path = tmp_path / f"HN_001_0000{suffix}"
    sitk.WriteImage(sitk.Cast(reader.Execute(), sitk.sitkInt16), str(path))
    read = read_image_file(path)
    assert read.volume.array.dtype == np.int16 and np.array_equal(read.volume.array, ct.hu)
    assert read.volume.grid.is_close(case.volume.grid, 0.001)
    assert read.volume.unit == "HU" and read.source.series_uid.startswith("file-") and read.source.image_uids == ()
    assert read.source.description == "HN_001" and read.source.notes == ()


def test_flipped_axes_by_nibabel(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(-1000, 1000, (5, 6, 7)).astype(np.int16)
    ras = np.array([[-0.9, 0, 0, 10], [0, 0, 2.5, -20], [0, -1.3, 0, 30], [0, 0, 0, 1]])
    nib.save(nib.Nifti1Image(array, ras), tmp_path / "a.nii.gz")
    volume = read_image_file(tmp_path / "a.nii.gz").volume
    assert np.array_equal(volume.array, array.transpose(2, 1, 0))
    expected = (RAS_TO_LPS @ ras)[:3] @ np.array([4.0, 3.0, 2.0, 1.0])
    assert np.allclose(volume.grid.to_world((2, 3, 4)), expected, atol=1e-4)


def test_scaled_values(tmp_path: Path) -> None:
    image = nib.Nifti1Image(np.array([[[0, 500], [1000, 4000]]], np.int16), np.eye(4))
    image.header.set_slope_inter(0.5, -1024)
    nib.save(image, tmp_path / "a.nii")
    raw = nib.load(tmp_path / "a.nii").get_fdata()
    volume = read_image_file(tmp_path / "a.nii").volume
    assert volume.array.dtype in (np.float32, np.int16)
    assert np.allclose(volume.array, raw.transpose(2, 1, 0))


def test_an_image_that_is_no_ct_gets_a_note(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.arange(60, dtype=np.uint16).reshape(3, 4, 5), np.eye(4)), tmp_path / "mr.nii")
    case = read_image_file(tmp_path / "mr.nii")
    assert case.volume.unit == "" and case.source.modality == "" and "HU" in case.source.notes[0]


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5, 2), (3, 4, 5, 1)])
def test_only_three_dimensions(tmp_path: Path, shape: tuple[int, ...]) -> None:
    nib.save(nib.Nifti1Image(np.zeros(shape, np.int16), np.eye(4)), tmp_path / "a.nii")
    if shape[-1] == 1:
        assert read_image_file(tmp_path / "a.nii").volume.array.shape == (5, 4, 3)
    else:
        with pytest.raises(UserError, match=r"a\.nii isn't a single 3D image"):
            read_image_file(tmp_path / "a.nii")


def test_colours_are_refused(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.Image((4, 5, 6), sitk.sitkVectorUInt8, 3), str(tmp_path / "a.nrrd"))
    with pytest.raises(UserError, match="3 × 4 × 5 × 6"):
        read_image_file(tmp_path / "a.nrrd")


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nrrd"])
def test_damaged_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("this is text")
    with pytest.raises(UserError, match=r"a\.n"):
        read_image_file(tmp_path / name)
    array = np.random.default_rng(0).integers(-900, 900, (9, 40, 40)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / name))
    assert np.array_equal(read_image_file(tmp_path / name).volume.array, array)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[:-30])  # SimpleITK alone reads such a NIfTI file without a word
    with pytest.raises(UserError, match=r"a\.n"):
        read_image_file(tmp_path / name)


def test_damaged_compression(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(-900, 900, (9, 40, 40)).astype(np.int16)
    sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / "a.nii.gz"))
    data = bytearray((tmp_path / "a.nii.gz").read_bytes())
    data[len(data) // 2] ^= 0xFF
    (tmp_path / "a.nii.gz").write_bytes(data)
    with pytest.raises(UserError, match="damaged"):
        read_image_file(tmp_path / "a.nii.gz")


def test_nifti_2_and_big_endian(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(-900, 900, (4, 5, 6)).astype(">i2")
    nib.save(nib.Nifti2Image(array.astype(np.int16), np.eye(4)), tmp_path / "two.nii")
    nib.save(nib.Nifti1Image(array, np.eye(4), nib.Nifti1Header(endianness=">")), tmp_path / "big.nii")
    assert np.array_equal(read_image_file(tmp_path / "big.nii").volume.array, array.transpose(2, 1, 0))
    assert np.array_equal(read_image_file(tmp_path / "two.nii").volume.array, array.transpose(2, 1, 0))


def test_one_content_one_identity(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(phantom_hu((4, 8, 9)))
    sitk.WriteImage(image, str(tmp_path / "a.nrrd"))
    (tmp_path / "b.nrrd").write_bytes((tmp_path / "a.nrrd").read_bytes())
    sitk.WriteImage(image + 1, str(tmp_path / "c.nrrd"))
    a, b, c = (read_image_file(tmp_path / f"{n}.nrrd").source.series_uid for n in "abc")
    assert a == b != c


def test_names() -> None:
    assert case_name(Path("HN_001_0000.nii.gz")) == "HN_001" and case_name(Path("x.NRRD")) == "x"
    assert is_image_file(Path("A.NII.GZ")) and not is_image_file(Path("a.dcm"))


def test_real_nifti_against_nibabel(shared_data: Path) -> None:
    path = shared_data / "abdomen_nifti" / "example_ct_sm.nii.gz"
    image = nib.load(path)
    volume = read_image_file(path).volume
    assert np.allclose(volume.array, image.get_fdata().transpose(2, 1, 0))
    index = np.array([3.0, 5.0, 7.0])
    expected = (RAS_TO_LPS @ image.affine)[:3] @ np.array([7.0, 5.0, 3.0, 1.0])
    assert np.allclose(volume.grid.to_world(index), expected, atol=1e-3)


def test_numbers_that_are_none_count_as_air(tmp_path: Path) -> None:
    array = np.full((4, 5, 6), 40, np.float32)
    array[0] = -950
    array[3, 4, 5], array[3, 0, 0] = np.nan, np.inf
    nib.save(nib.Nifti1Image(array, np.eye(4)), tmp_path / "a.nii")
    case = read_image_file(tmp_path / "a.nii")
    assert case.source.notes == ("2 voxels hold no number; they count as -1024.",)
    assert case.volume.array[5, 4, 3] == case.volume.array[0, 0, 3] == -1024 and np.isfinite(case.volume.array).all()
    nib.save(nib.Nifti1Image(np.full((4, 5, 6), np.nan, np.float32), np.eye(4)), tmp_path / "b.nii")
    with pytest.raises(UserError, match="no voxel with a number"):
        read_image_file(tmp_path / "b.nii")


def test_wide_numbers_are_narrowed_exactly(tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(-1024, 3000, (4, 5, 6))
    for kind in (np.int32, np.int64, np.float64):
        nib.save(nib.Nifti1Image(array.astype(kind), np.eye(4), dtype=kind), tmp_path / "a.nii")
        read = read_image_file(tmp_path / "a.nii").volume.array
        assert read.dtype == (np.float32 if kind is np.float64 else np.int16) and np.array_equal(read.T, array)


def test_labels_and_segmentations_are_no_images(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.arange(60, dtype=np.uint8).reshape(3, 4, 5), np.eye(4)), tmp_path / "labels.nii")
    assert "look like labels" in read_image_file(tmp_path / "labels.nii").source.notes[0]
    image = sitk.GetImageFromArray(np.ones((3, 4, 5), np.uint8))
    image.SetMetaData("Segment0_ID", "Segment_1")
    sitk.WriteImage(image, str(tmp_path / "a.seg.nrrd"))
    with pytest.raises(UserError, match=r"holds structures, not an image\. Open the image"):
        read_image_file(tmp_path / "a.seg.nrrd")


def test_img_files_are_images_only_beside_their_header(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(phantom_hu((4, 8, 9)).T, np.eye(4)), tmp_path / "a.hdr")
    assert is_image_file(tmp_path / "a.img") and case_name(tmp_path / "a.img") == "a"
    assert not is_image_file(tmp_path / "b.img")
    for name in ("a.hdr", "a.img"):
        assert np.array_equal(read_image_file(tmp_path / name).volume.array, phantom_hu((4, 8, 9)))
