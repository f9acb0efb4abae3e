from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from phantoms import CtPhantom, Roi
from pydicom import DataElement, config, dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ImplicitVRLittleEndian

from contourdesk.app.errors import UserError
from contourdesk.app.profiles import profile
from contourdesk.app.rt_check import check_rtstruct

TRIANGLE = np.array([[0.0, 0, -50], [5, 0, -50], [5, 5, -50]])


def _whole(ds: Dataset) -> None:
    """Add what the phantom's structure set lacks."""
    ds.PatientBirthDate = ds.PatientSex = ds.StudyDate = ds.StudyTime = ds.StudyID = ds.AccessionNumber = ""
    ds.ReferringPhysicianName = ds.OperatorsName = ds.Manufacturer = ""
    ds.SeriesNumber = None


def _long_name(ds: Dataset) -> None:
    name = DataElement("ROIName", "LO", "x" * 65, validation_mode=config.IGNORE)
    ds.StructureSetROISequence[0]["ROIName"] = name


def _wrong_count(ds: Dataset) -> None:
    ds.ROIContourSequence[0].ContourSequence[0].NumberOfContourPoints = 4


def _same_number(ds: Dataset) -> None:
    ds.StructureSetROISequence[1].ROINumber = 1


def _stray_frame(ds: Dataset) -> None:
    ds.StructureSetROISequence[0].ReferencedFrameOfReferenceUID = "1.2.3"


def _no_accession(ds: Dataset) -> None:
    del ds.AccessionNumber


def _no_label(ds: Dataset) -> None:
    ds.StructureSetLabel = ""


def _series_of_the_images(ds: Dataset) -> None:
    series = ds.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    ds.SeriesInstanceUID = series.SeriesInstanceUID


def _outline_twice(ds: Dataset) -> None:
    ds.ROIContourSequence[1].ReferencedROINumber = 1


def _crooked(ds: Dataset) -> None:
    contour = ds.ROIContourSequence[0].ContourSequence[0]
    contour.ContourData = [0, 0, -50, 5, 0, -49, 5, 5, -50, 0, 5, -51.5]
    contour.NumberOfContourPoints = 4


def _no_type(ds: Dataset) -> None:
    ds.ROIContourSequence[0].ContourSequence[0].ContourGeometricType = ""


def _two_points(ds: Dataset) -> None:
    contour = ds.ROIContourSequence[0].ContourSequence[0]
    contour.ContourData, contour.NumberOfContourPoints = [0, 0, -50, 5, 0, -50], 2


def _unknown_type(ds: Dataset) -> None:
    ds.ROIContourSequence[0].ContourSequence[0].ContourGeometricType = "CLOSED_CURVED"


def _other_class(ds: Dataset) -> None:
    ds.SOPClassUID = "1.2.840.10008.5.1.4.1.1.2"


@pytest.mark.parametrize(
    ("damage", "severity", "text"),
    [
        (lambda ds: None, "", ""),
        (_long_name, "error", "longer than 64"),
        (_wrong_count, "error", "number of points"),
        (_same_number, "error", "the number 1"),
        (_stray_frame, "error", "frame of reference"),
        (_no_accession, "error", "AccessionNumber"),
        (_no_label, "error", "StructureSetLabel"),
        (_series_of_the_images, "error", "series of its own"),
        (_outline_twice, "error", "two items of ROIContourSequence"),
        (_crooked, "error", "don't lie in one plane"),
        (_no_type, "error", "without a type"),
        (_two_points, "error", "too few points"),
        (_unknown_type, "error", "type CLOSED_CURVED"),
        (_other_class, "error", "SOP class"),
    ],
)
def test_findings(
    make_ct: Callable[..., CtPhantom],
    make_rtstruct: Callable[..., Path],
    tmp_path: Path,
    damage: Callable[[Dataset], None],
    severity: str,
    text: str,
) -> None:
    def edit(ds: Dataset) -> None:
        _whole(ds)
        damage(ds)

    ct = make_ct(tmp_path / "ct")
    rois = [Roi(name, [("CLOSED_PLANAR", TRIANGLE, ct.image_uids[0])]) for name in ("A", "B")]
    found = check_rtstruct(make_rtstruct(tmp_path / "rt.dcm", ct, rois, edit=edit))
    if not text:
        assert found == []
    else:
        assert any(f.severity == severity and text in f.text for f in found), found


def test_empty_and_equal_names_are_warnings(
    make_ct: Callable[..., CtPhantom], make_rtstruct: Callable[..., Path], tmp_path: Path
) -> None:
    ct = make_ct(tmp_path / "ct")
    path = make_rtstruct(tmp_path / "rt.dcm", ct, [Roi("Lens"), Roi("lens ")], edit=_whole)
    found = check_rtstruct(path)
    assert {f.severity for f in found} == {"warning"}
    assert sum("no contours" in f.text for f in found) == 2
    assert any("Two structures" in f.text for f in found)


def test_files_that_are_none(make_ct: Callable[..., CtPhantom], tmp_path: Path) -> None:
    ct = make_ct(tmp_path / "ct")
    with pytest.raises(UserError, match="isn't an RT structure set"):
        check_rtstruct(ct.files[0])
    (tmp_path / "text.dcm").write_text("hello")
    with pytest.raises(UserError, match="can't be read"):
        check_rtstruct(tmp_path / "text.dcm")


def test_a_real_set_that_planning_systems_refuse(shared_data: Path) -> None:
    found = check_rtstruct(next((shared_data / "rtstruct" / "dicompyler").rglob("rtss.dcm")))
    assert [f.text for f in found if f.severity == "error"] == [
        "The file lacks OperatorsName, which may be empty but not absent."
    ]
    assert any("no contours" in f.text for f in found)


def test_numbers_that_are_too_long(
    make_ct: Callable[..., CtPhantom], make_rtstruct: Callable[..., Path], tmp_path: Path
) -> None:
    ct = make_ct(tmp_path / "ct")
    points = np.array([[-6.35549569, 1.2500001, -50], [5, 0, -50], [5, 5, -50]])
    path = make_rtstruct(tmp_path / "rt.dcm", ct, [Roi("A", [("CLOSED_PLANAR", points, "")])], edit=_whole)
    assert check_rtstruct(path) == []
    data, old, new = path.read_bytes(), b"-6.35549569\\1.2500001\\", b"-6.355495690000000\\01\\"
    assert old in data and len(old) == len(new)
    path.write_bytes(data.replace(old, new))
    assert [f.text for f in check_rtstruct(path)] == ["A has a contour with numbers longer than 16 characters."]


@pytest.mark.parametrize(
    ("system", "severity", "text"),
    [
        ("eclipse", "error", 'the name "GlandSubmandibular_Left" is longer than 16 characters: it has 23.'),
        ("eclipse", "error", 'two structures are called "lens_L" and "Lens_L".'),
        ("eclipse", "warning", "POI has 1 contour of type OPEN_PLANAR, which it doesn't take."),
        ("eclipse", "warning", "POI has 1 contour that names no image."),
        ("raystation", "error", 'two structures are called "lens_L" and "Lens_L".'),
        ("pinnacle", "warning", 'the name "a:b" has : in it.'),
        ("pinnacle", "warning", "Drüse has no contours."),
        ("pinnacle", "warning", 'the name "Drüse" has letters beyond plain English ones.'),
    ],
)
def test_what_planning_systems_would_refuse(
    make_ct: Callable[..., CtPhantom],
    make_rtstruct: Callable[..., Path],
    tmp_path: Path,
    system: str,
    severity: str,
    text: str,
) -> None:
    ct = make_ct(tmp_path / "ct")

    def drawn(name: str) -> Roi:
        return Roi(name, [("CLOSED_PLANAR", TRIANGLE, ct.image_uids[0])])

    rois = [drawn(n) for n in ("GlandSubmandibular_Left", "lens_L", "Lens_L", "a:b")]
    rois += [Roi("Drüse"), Roi("POI", [("OPEN_PLANAR", TRIANGLE, "")])]

    def whole(ds: Dataset) -> None:
        _whole(ds)
        ds.SpecificCharacterSet = "ISO_IR 100"

    path = make_rtstruct(tmp_path / "rt.dcm", ct, rois, edit=whole)
    assert all(f.severity == "warning" for f in check_rtstruct(path))  # by DICOM alone it is good
    found = check_rtstruct(path, profile(system))
    (one,) = [f for f in found if f.text.endswith(text)]
    assert one.severity == severity and one.text.startswith(profile(system).title)
    assert one.roi and (one.roi.strip() in text or one.roi == "POI")


def test_long_contours_and_many_structures(
    make_ct: Callable[..., CtPhantom], make_rtstruct: Callable[..., Path], tmp_path: Path
) -> None:
    ct = make_ct(tmp_path / "ct")
    turn = np.linspace(0, 2 * np.pi, 4000, endpoint=False)
    circle = np.round(np.column_stack([30 * np.cos(turn), 30 * np.sin(turn), np.full(4000, -50.0)]), 6)
    rois = [Roi("A", [("CLOSED_PLANAR", circle, ct.image_uids[0])])]
    with pytest.warns(UserWarning, match="64 kByte"):
        path = make_rtstruct(tmp_path / "rt.dcm", ct, rois, edit=_whole)
    assert [f.text for f in check_rtstruct(path)] == [
        "A has a contour of over 64 kB, whose points have no type in explicit VR."
    ]
    ds = dcmread(path)
    ds.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    ds.save_as(path, implicit_vr=True, little_endian=True)
    assert check_rtstruct(path) == []
    texts = [f.text for f in check_rtstruct(path, profile("eclipse"))]
    assert any("a contour of 4000 points" in t for t in texts)
    assert any("bytes, and only 65534 are safe" in t for t in texts)
    strict = replace(profile("generic"), name="ours", title="Ours", rois=0, all_points=10, contours_per_roi=0)
    texts = [f.text for f in check_rtstruct(path, strict)]
    assert texts == [
        "Ours: 1 structures, and it takes 0.",
        "Ours: 4000 points in all, and it takes 10.",
        "Ours: A has 1 contours, and it takes 0.",
    ]
