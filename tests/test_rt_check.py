from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from phantoms import CtPhantom, Roi
from pydicom import DataElement, config
from pydicom.dataset import Dataset

from contourdesk.app.errors import UserError
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
