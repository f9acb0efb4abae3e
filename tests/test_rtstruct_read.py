"""Reading structure sets: what is kept, what is filled, what is refused or told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from phantoms import CtPhantom, Roi, make_ct, make_rtstruct
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from contourdesk.app.case import Case
from contourdesk.app.dicom_read import read_series, scan
from contourdesk.app.dicom_write import write_rtstruct
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import run
from contourdesk.app.project import load as load_review
from contourdesk.app.project import save
from contourdesk.app.references import OtherImages
from contourdesk.app.review import ReviewSession
from contourdesk.app.rtstruct_read import add_rtstruct, read_rtstruct, read_rtstruct_with_notes, why_refused


def disc(
    ct: CtPhantom, k: float, radius: float = 8.4, centre: tuple[float, float] = (30.3, 25.2)
) -> NDArray[np.float64]:
    turn = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    index = np.column_stack(
        [np.full(200, k), centre[0] + radius * np.sin(turn), centre[1] + radius * np.cos(turn), np.ones(200)]
    )
    return (index @ ct.affine.T)[:, :3]


def organ(ct: CtPhantom, name: str = "Organ", **more: object) -> Roi:
    contours = [("CLOSED_PLANAR", disc(ct, k), ct.image_uids[k]) for k in range(2, 6)]
    return Roi(name, contours, **more)  # type: ignore[arg-type]


def load(folder: Path) -> Case:
    (info,) = run(scan(folder))
    return run(read_series(info))


@pytest.mark.parametrize("orientation", ["axial", "coronal", "oblique"])
def test_structures_come_with_their_series(tmp_path: Path, orientation: str) -> None:
    ct = make_ct(tmp_path, orientation=orientation)
    make_rtstruct(tmp_path / "rs.dcm", ct, [organ(ct, colour=(1, 2, 3), interpreted_type="CTV"), Roi("Empty")])
    case = load(tmp_path)
    one, empty = case.structures
    assert (one.name, one.colour, one.interpreted_type) == ("Organ", (1, 2, 3), "CTV")
    assert one.provenance.source == "imported" and one.provenance.time == "2026-01-03T10:11:12" and not one.edited
    rows, columns = np.indices(ct.hu.shape[1:])
    expected = np.zeros(ct.hu.shape, bool)
    expected[2:6] = np.hypot(rows - 30.3, columns - 25.2) < 8.4
    assert np.array_equal(one.mask.dense(ct.hu.shape), expected)
    assert one.contours is not None and len(one.contours) == 4
    assert one.contours[0].image_uid == ct.image_uids[2] and one.contours[0].kind == "CLOSED_PLANAR"
    assert np.abs(one.contours[0].points_lps - disc(ct, 2)).max() < 1e-6
    assert empty.name == "Empty" and empty.mask.is_empty and empty.contours == ()
    assert case.source.notes == ()


def test_points_and_lines_are_kept_and_not_filled(tmp_path: Path) -> None:
    ct = make_ct(tmp_path)
    rois = [
        Roi("Iso", [("POINT", np.array([[1.0, 2.0, -41.0]]), "")], interpreted_type="ISOCENTER"),
        Roi("Wire", [("OPEN_PLANAR", disc(ct, 3), "")]),
        Roi("Mixed", [("POINT", np.array([[1.0, 2.0, -41.0]]), ""), ("CLOSED_PLANAR", disc(ct, 3), "")]),
    ]
    make_rtstruct(tmp_path / "rs.dcm", ct, rois)
    iso, wire, mixed = load(tmp_path).structures
    assert iso.mask.is_empty and wire.mask.is_empty and not mixed.mask.is_empty
    assert [len(s.contours or ()) for s in (iso, wire, mixed)] == [1, 1, 2]
    assert iso.contours is not None and iso.contours[0].kind == "POINT"


def test_names_are_made_unique_and_numbers_decide(tmp_path: Path) -> None:
    ct = make_ct(tmp_path)
    rois = [organ(ct, "Lesion", number=19), Roi("lesion ", number=2), Roi("", number=5)]
    make_rtstruct(tmp_path / "rs.dcm", ct, rois)
    case = load(tmp_path)
    assert [s.name for s in case.structures] == ["Lesion", "lesion (2)", "ROI 5"]
    assert [s.mask.is_empty for s in case.structures] == [False, True, True]
    assert case.source.notes == ('A second structure called "lesion" was renamed "lesion (2)".',)


def test_contours_outside_are_kept_and_told(tmp_path: Path) -> None:
    ct = make_ct(tmp_path)
    contours = [("CLOSED_PLANAR", disc(ct, k), "") for k in (3.1, 11, 12)]
    make_rtstruct(tmp_path / "rs.dcm", ct, [Roi("Long", contours)])
    case = load(tmp_path)
    (long,) = case.structures
    assert long.contours is not None and len(long.contours) == 3 and long.mask.box[0] == slice(3, 4)
    assert case.source.notes == (
        'Outside the images and not shown: 2 contours of "Long".',
        'Contours of "Long" lie up to 0.30 mm from their slices.',
    )


def test_a_repeated_closing_point_is_kept_and_colour_may_lack(tmp_path: Path) -> None:
    ct = make_ct(tmp_path)
    points = np.vstack([disc(ct, 3), disc(ct, 3)[:1]])
    make_rtstruct(
        tmp_path / "rs.dcm", ct, [Roi("A", [("CLOSED_PLANAR", points, "")], colour=None, interpreted_type=None)]
    )
    (one,) = load(tmp_path).structures
    assert one.contours is not None and len(one.contours[0].points_lps) == 201
    assert len(one.colour) == 3 and one.interpreted_type == ""


def no_list(ds: Dataset) -> None:
    del ds.ReferencedFrameOfReferenceSequence


def other_references(ds: Dataset) -> None:
    frame = ds.ReferencedFrameOfReferenceSequence[0]
    frame.FrameOfReferenceUID = generate_uid()
    series = frame.RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    series.SeriesInstanceUID = generate_uid()
    for image in series.ContourImageSequence:
        image.ReferencedSOPInstanceUID = generate_uid()
    for roi in ds.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = generate_uid()
    for outline in ds.ROIContourSequence:
        for contour in outline.ContourSequence:
            contour.pop("ContourImageSequence", None)


def no_contour_images(ds: Dataset) -> None:
    for outline in ds.ROIContourSequence:
        for contour in outline.ContourSequence:
            contour.pop("ContourImageSequence", None)


def only_contour_images(ds: Dataset) -> None:
    del ds.ReferencedFrameOfReferenceSequence
    for roi in ds.StructureSetROISequence:
        del roi.ReferencedFrameOfReferenceUID


def only_frame(ds: Dataset) -> None:
    del ds.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence
    no_contour_images(ds)


def more_images(ds: Dataset) -> None:
    series = ds.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    for image in series.ContourImageSequence[3:]:
        image.ReferencedSOPInstanceUID = generate_uid()


@pytest.mark.parametrize("edit", [None, no_list, no_contour_images, only_contour_images, only_frame, more_images])
def test_what_is_named_agrees(tmp_path: Path, edit: Callable[[Dataset], None] | None) -> None:
    ct = make_ct(tmp_path)
    path = make_rtstruct(tmp_path / "rs.dcm", ct, [organ(ct)], edit=edit)
    case = load(tmp_path)
    assert [s.name for s in case.structures] == ["Organ"] and case.structures.items[0].provenance.remark == ""
    assert why_refused(path, case) is None


def other_frame(ds: Dataset) -> None:
    ds.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = generate_uid()
    for roi in ds.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = generate_uid()


def other_images(ds: Dataset) -> None:
    frame = ds.StructureSetROISequence[0].ReferencedFrameOfReferenceUID
    other_references(ds)
    ds.ReferencedFrameOfReferenceSequence[0].FrameOfReferenceUID = frame
    for roi in ds.StructureSetROISequence:
        roi.ReferencedFrameOfReferenceUID = frame


def no_references(ds: Dataset) -> None:
    no_contour_images(ds)
    only_contour_images(ds)


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (other_references, "its frame of reference is another; its series and images are others"),
        (other_frame, "its frame of reference is another"),
        (other_images, "its series and images are others"),
        (no_references, "it names no series, no images and no frame of reference"),
    ],
)
def test_wrong_or_missing_references_are_refused_unless_the_user_takes_it_on(
    tmp_path: Path, edit: Callable[[Dataset], None], said: str
) -> None:
    ct = make_ct(tmp_path / "ct")
    off = [("CLOSED_PLANAR", disc(ct, 9.4), ""), ("CLOSED_PLANAR", disc(ct, 40), "")]
    path = make_rtstruct(tmp_path / "ct" / "rs.dcm", ct, [organ(ct), Roi("Off", off)], edit=edit)
    case = load(tmp_path / "ct")
    assert len(case.structures) == 0
    with pytest.raises(OtherImages, match=r"rs\.dcm was not made on these images") as caught:
        read_rtstruct(path, case)
    question = why_refused(path, case)
    assert question is not None and question.reasons == caught.value.reasons
    assert f"as far as it says: {said}." in str(question)
    assert "Of its 6 closed contours 5 fall on the slices, at most 1.20 mm from them, 1 lie outside the images." in str(
        question
    )
    structures, notes = read_rtstruct_with_notes(path, case, any_reference=True)
    assert [s.name for s in structures] == ["Organ", "Off"] and not structures[0].mask.is_empty
    assert all(f"reviewer's word: {said}." in s.provenance.remark for s in structures)
    assert any("Taken over against its references" in n for n in notes)


def test_an_override_is_kept_in_the_review_and_in_what_is_exported(tmp_path: Path) -> None:
    ct = make_ct(tmp_path / "ct")
    path = make_rtstruct(tmp_path / "rs.dcm", ct, [organ(ct)], edit=other_frame)
    case = add_rtstruct(load(tmp_path / "ct"), path, any_reference=True)
    session = ReviewSession(case)
    run(save(session.snapshot(), tmp_path / "review"))
    (one,) = run(load_review(tmp_path / "review")).structures
    assert one.provenance.remark.endswith("on the reviewer's word: its frame of reference is another.")
    session.paint(one.id, (7, 30, 20), np.ones((1, 2, 2), bool))  # an edit does not wash it off
    out = dcmread(write_rtstruct(case, session.structures.items, tmp_path / "out.dcm"))
    assert one.provenance.remark in out.StructureSetROISequence[0].ROIDescription


def test_a_structure_in_another_frame_of_reference_is_left_out(tmp_path: Path) -> None:
    def edit(ds: Dataset) -> None:
        ds.StructureSetROISequence[1].ReferencedFrameOfReferenceUID = generate_uid()

    ct = make_ct(tmp_path)
    path = make_rtstruct(tmp_path / "rs.dcm", ct, [organ(ct), organ(ct, "On MR")], edit=edit)
    case = load(tmp_path)
    assert [s.name for s in case.structures] == ["Organ"]
    assert case.source.notes == ('"On MR" lies in another frame of reference. It was not loaded.',)
    bare = replace(case, structures=None)
    both = read_rtstruct_with_notes(path, bare, any_reference=True)[0]
    assert [bool(s.provenance.remark) for s in both] == [False, True]
    with pytest.raises(UserError, match="On MR"):
        read_rtstruct(path, bare)


def test_each_series_gets_its_own_structures(tmp_path: Path) -> None:
    one = make_ct(tmp_path / "a")
    two = make_ct(tmp_path / "b", (8, 60, 64), frame_of_reference_uid=one.frame_of_reference_uid)
    make_rtstruct(tmp_path / "rs1.dcm", one, [organ(one, "First")])
    make_rtstruct(tmp_path / "rs2.dcm", two, [organ(two, "Second")])
    names = {s.uid: [x.name for x in run(read_series(s)).structures] for s in run(scan(tmp_path))}
    assert names == {one.series_uid: ["First"], two.series_uid: ["Second"]}


def test_two_sets_for_one_series(tmp_path: Path) -> None:
    ct = make_ct(tmp_path)
    make_rtstruct(tmp_path / "rs1.dcm", ct, [organ(ct)])
    make_rtstruct(tmp_path / "rs2.dcm", ct, [organ(ct)])
    case = load(tmp_path)
    assert [s.name for s in case.structures] == ["Organ", "Organ (2)"] and len(case.source.notes) == 1


def test_damaged_sets_do_not_stop_the_ct(tmp_path: Path) -> None:
    def damage(ds: Dataset) -> None:
        ds.ROIContourSequence[0].ContourSequence[0].ContourData = ["1", "2", "3", "4"]

    ct = make_ct(tmp_path)
    make_rtstruct(tmp_path / "rs.dcm", ct, [organ(ct)], edit=damage)
    case = load(tmp_path)
    assert len(case.structures) == 0 and case.source.notes == (
        '"Organ" has a contour (number 1) of 4 numbers, which don\'t make points. It was not loaded.',
    )
    with pytest.raises(UserError, match=r"slice000\.dcm isn't an RT structure set"):
        read_rtstruct(ct.files[0], case)


@pytest.mark.parametrize("name", ["HN_242", "HN_246", "HN_247"])
def test_plastimatchs_sets_agree_with_the_label_maps(shared_data: Path, name: str) -> None:
    case = load(shared_data / "headneck_dicom" / name)
    labels = json.loads((shared_data / "headneck" / "dataset.json").read_text())["labels"]
    truth = sitk.GetArrayFromImage(sitk.ReadImage(str(shared_data / "headneck" / "labelsTs" / f"{name}.nii.gz")))
    assert len(case.structures) >= 5
    for structure in case.structures:
        expected = truth == labels[structure.name]
        found = structure.mask.dense(case.volume.grid.shape)
        assert 2 * (found & expected).sum() / (found.sum() + expected.sum()) >= 0.99


def test_a_clinical_set(shared_data: Path) -> None:
    (info,) = run(scan(shared_data / "rtstruct" / "dicompyler"))
    case = run(read_series(info))
    by_name = {s.name: s for s in case.structures}
    assert (
        len(case.structures) == 10
        and by_name["Areola"].contours == ()
        and by_name["BODY"].interpreted_type == "EXTERNAL"
    )
    assert len(by_name["BODY"].contours or ()) == 141 and by_name["BODY"].mask.count > 30_000
    assert any('"Heart"' in n and "Outside" in n for n in case.source.notes)
