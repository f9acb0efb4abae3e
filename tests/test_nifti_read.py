"""NIfTI against nibabel and SimpleITK: place within 0.001 mm, values the same, and what is refused."""

from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from phantoms import ORIENTATIONS, phantom_hu

from contourdesk.app.errors import UserError
from contourdesk.app.nifti_read import is_nifti, read_nifti

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])
SHAPE = (9, 8, 7)  # x, y, z


def ras_affine(orientation: str, spacing: tuple[float, float, float] = (0.8, 1.3, 2.5)) -> NDArray[np.float64]:
    """RAS affine (x, y, z) of an image lying so, off the origin."""
    along, down = np.array(ORIENTATIONS[orientation][:3]), np.array(ORIENTATIONS[orientation][3:])
    out = np.eye(4)
    out[:3] = np.column_stack([along, down, np.cross(along, down), [-123.4, 56.7, 890.1]]) * [*spacing, 1]
    return RAS_TO_LPS @ out


def image(affine: NDArray[np.float64], array: NDArray[np.generic] | None = None) -> nib.Nifti1Image:
    return nib.Nifti1Image(phantom_hu(SHAPE) if array is None else array, affine)


def corners_ras(path: Path) -> NDArray[np.float64]:
    """Where nibabel says that the corners are."""
    loaded = nib.load(path)
    ends = itertools.product(*[(0, n - 1) for n in loaded.shape[:3]])
    return np.array([(loaded.affine @ [*end, 1])[:3] for end in ends])


def corners_lps(path: Path) -> NDArray[np.float64]:
    """Where we say that they are, in the same order."""
    grid = read_nifti(path).grid
    ends = itertools.product(*[(0, n - 1) for n in grid.shape[::-1]])
    return np.array([grid.to_world(end[::-1]) for end in ends])


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("forms", ["sform", "qform", "both"])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_place_and_values_as_nibabel_and_simpleitk_see_them(
    tmp_path: Path, orientation: str, forms: str, name: str
) -> None:
    made = image(ras_affine(orientation))
    made.set_sform(made.affine, 0 if forms == "qform" else 1)
    made.set_qform(made.affine, 0 if forms == "sform" else 1)
    nib.save(made, tmp_path / name)
    raw = read_nifti(tmp_path / name)
    assert np.array_equal(raw.array, made.get_fdata().T) and raw.notes == ()
    assert np.allclose(corners_lps(tmp_path / name), corners_ras(tmp_path / name) * [-1, -1, 1], atol=1e-3)
    itk = sitk.ReadImage(str(tmp_path / name))
    for index in ((0, 0, 0), (8, 7, 6), (8, 0, 3)):
        ours = raw.grid.to_world(index[::-1])
        assert np.allclose(ours, itk.TransformIndexToPhysicalPoint(index), atol=1e-3)
        assert itk[index] == raw.array[index[::-1]]


@pytest.mark.parametrize("flips", list(itertools.product((1, -1), repeat=3)))
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 0, 2)])
def test_flipped_and_permuted_axes(tmp_path: Path, flips: tuple[int, ...], order: tuple[int, ...]) -> None:
    affine = np.eye(4)
    affine[:3, :3] = np.eye(3)[:, order] * flips * [0.8, 1.3, 2.5]
    affine[:3, 3] = 10, -20, 30.5
    nib.save(image(affine), tmp_path / "a.nii")
    assert np.allclose(corners_lps(tmp_path / "a.nii"), corners_ras(tmp_path / "a.nii") * [-1, -1, 1], atol=1e-4)


def test_qform_near_a_half_turn_as_nibabel_reads_it(tmp_path: Path) -> None:
    """What is left for the quaternion's first number is rounding there: 0.1 mm and more if it were believed."""
    for tiny in (0, 1e-6, 1e-4, 1e-3, 0.02):
        turned = np.diag([-300.0 / SHAPE[0], 300.0 / SHAPE[1], -1, 1])
        cos, sin = np.cos(tiny), np.sin(tiny)
        turned[:3, :3] = [[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]] @ turned[:3, :3]
        made = image(turned)
        made.set_sform(None, 0)
        made.set_qform(turned, 1)
        nib.save(made, tmp_path / "a.nii")
        assert np.allclose(corners_lps(tmp_path / "a.nii"), corners_ras(tmp_path / "a.nii") * [-1, -1, 1], atol=1e-3)


def test_forms_that_differ(tmp_path: Path) -> None:
    first = ras_affine("axial")
    moved = first.copy()
    moved[0, 3] += 4
    made = image(moved)
    made.set_sform(moved, 2)
    made.set_qform(first, 1)
    nib.save(made, tmp_path / "a.nii")
    raw = read_nifti(tmp_path / "a.nii")
    assert raw.notes == ("Its sform and its qform differ by up to 4.00 mm; the sform was used.",)
    assert raw.grid.origin_lps[0] == pytest.approx(-moved[0, 3], abs=1e-4)
    made = image(first @ np.diag([-1, 1, 1, 1]))
    made.set_sform(made.affine, 2)
    made.set_qform(first, 1)
    nib.save(made, tmp_path / "b.nii")
    with pytest.raises(UserError, match="contradicts itself"):
        read_nifti(tmp_path / "b.nii")


def test_no_form_at_all_is_refused(tmp_path: Path) -> None:
    made = image(np.eye(4))
    made.set_sform(None, 0)
    made.set_qform(None, 0)
    nib.save(made, tmp_path / "a.nii")
    with pytest.raises(UserError, match="which side is left"):
        read_nifti(tmp_path / "a.nii")
    nib.save(nib.AnalyzeImage(phantom_hu(SHAPE), np.eye(4)), tmp_path / "b.img")
    with pytest.raises(UserError, match="Analyze file"):
        read_nifti(tmp_path / "b.img")


def test_shear_is_refused_with_its_angle(tmp_path: Path) -> None:
    affine = ras_affine("axial", (1, 1, 3))
    affine[1, 2] += 0.7  # tilted gantry
    nib.save(image(affine), tmp_path / "a.nii")
    with pytest.raises(UserError, match=r"aren't at right angles \(two of them meet at 76\.\d+°\)\. Resample"):
        read_nifti(tmp_path / "a.nii")


@pytest.mark.parametrize(("unit", "factor"), [("unknown", 1), ("mm", 1), ("micron", 1e-3), ("meter", 1e3)])
def test_units(tmp_path: Path, unit: str, factor: float) -> None:
    affine = ras_affine("axial")
    stored = affine.copy()
    stored[:3] /= factor
    made = image(stored)
    made.header.set_xyzt_units(unit)
    nib.save(made, tmp_path / "a.nii")
    raw = read_nifti(tmp_path / "a.nii")
    assert np.allclose(raw.grid.affine, (RAS_TO_LPS @ affine)[:, [2, 1, 0, 3]], atol=1e-3)
    assert bool(raw.notes) == (factor != 1)


@pytest.mark.parametrize("kind", ["u1", "i1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("version", [nib.Nifti1Image, nib.Nifti2Image])
def test_kinds_of_numbers(tmp_path: Path, kind: str, order: str, version: type) -> None:
    array = np.random.default_rng(3).integers(0, 100, SHAPE).astype(kind)
    made = version(array.astype(order + kind), np.eye(4), version.header_class(endianness=order), dtype=order + kind)
    nib.save(made, tmp_path / "a.nii.gz")
    read = read_nifti(tmp_path / "a.nii.gz").array
    assert read.dtype == np.dtype(kind) and np.array_equal(read, array.T)


@pytest.mark.parametrize(
    ("slope", "intercept", "kind"), [(1, -1024, np.int16), (2, 0, np.int16), (40, 7, np.int32), (0.5, 0.25, np.float32)]
)
def test_scale_is_applied(tmp_path: Path, slope: float, intercept: float, kind: type) -> None:
    stored = np.random.default_rng(4).integers(0, 4000, SHAPE).astype(np.int16)
    made = nib.Nifti1Image(stored, np.eye(4))
    nib.save(made, tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[112:120] = np.array([slope, intercept], "<f4").tobytes()
    (tmp_path / "a.nii").write_bytes(data)
    read = read_nifti(tmp_path / "a.nii").array
    assert read.dtype == kind and np.allclose(read.T, nib.load(tmp_path / "a.nii").get_fdata())
    assert np.allclose(read, sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "a.nii"))))


@pytest.mark.parametrize("kind", [np.complex64, np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])])
def test_no_plain_numbers(tmp_path: Path, kind: object) -> None:
    nib.save(nib.Nifti1Image(np.zeros(SHAPE, kind), np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(UserError, match="not plain numbers"):
        read_nifti(tmp_path / "a.nii")


@pytest.mark.parametrize(("where", "value"), [
    (40, b"\xff\xff"), (42, b"\xff\x7f"), (42, b"\0\0"), (44, b"\xff\xff"), (70, b"\x07\0"), (72, b"\x20\0"),
    (108, np.float32("nan").tobytes()), (108, np.float32(1e30).tobytes()), (108, np.float32(12).tobytes()),
    (123, b"\x07"), (280, np.float32("inf").tobytes()), (280, bytes(16)), (344, b"n+9\0"), (0, bytes(4)),
])  # fmt: skip
def test_damaged_headers_end_in_words(tmp_path: Path, where: int, value: bytes) -> None:
    made = image(ras_affine("oblique"))
    made.set_qform(None, 0)
    nib.save(made, tmp_path / "a.nii")
    data = bytearray((tmp_path / "a.nii").read_bytes())
    data[where : where + len(value)] = value
    (tmp_path / "a.nii").write_bytes(data)
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(data))
    for name in ("a.nii", "b.nii.gz"):
        with pytest.raises(UserError, match=name.replace(".", r"\.")):
            read_nifti(tmp_path / name)


def test_a_bomb_and_a_torso(tmp_path: Path) -> None:
    nib.save(image(np.eye(4)), tmp_path / "a.nii")
    data = (tmp_path / "a.nii").read_bytes()
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(data + bytes(1 << 26)))
    with pytest.raises(UserError, match="more data in it"):
        read_nifti(tmp_path / "b.nii.gz")
    for end in (0, 3, 100, 348, 352, len(data) - 1):
        (tmp_path / "c.nii").write_bytes(data[:end])
        with pytest.raises(UserError):
            read_nifti(tmp_path / "c.nii")


def test_is_nifti_by_content(tmp_path: Path) -> None:
    nib.save(image(np.eye(4)), tmp_path / "a.nii.gz")
    (tmp_path / "b").write_bytes((tmp_path / "a.nii.gz").read_bytes())
    (tmp_path / "c.nii").write_text("no")
    assert is_nifti(tmp_path / "b") and not is_nifti(tmp_path / "c.nii") and not is_nifti(tmp_path / "none")


def test_real_files_against_nibabel(shared_data: Path) -> None:
    for path in sorted((shared_data / "abdomen_nifti").glob("*.nii.gz")):
        raw, loaded = read_nifti(path), nib.load(path)
        assert np.array_equal(raw.array, np.asarray(loaded.dataobj).T)
        assert np.allclose(corners_lps(path), corners_ras(path) * [-1, -1, 1], atol=1e-3)
