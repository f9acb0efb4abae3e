from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from hands import fill, load, read_contours, structure
from phantoms import ORIENTATIONS, CtPhantom, Roi
from pydicom import dcmread
from pydicom.dataset import Dataset

from contourdesk.app import rtstruct_build
from contourdesk.app.case import Case
from contourdesk.app.contour import Contour
from contourdesk.app.contours import contours_to_mask
from contourdesk.app.dicom_read import read_series, scan
from contourdesk.app.dicom_text import exact_decimal, short_decimal
from contourdesk.app.dicom_write import RtStructOptions, check_export, write_rtstruct
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import run
from contourdesk.app.rt_check import check_rtstruct
from contourdesk.app.rtstruct_read import read_rtstruct
from contourdesk.app.structures import Decision, Mask, Provenance, Structure

MakeCt = Callable[..., CtPhantom]
CHARACTERS = {
    "latin": ("ISO_IR 100", "Müller^Jörg"),
    "utf-8": ("ISO_IR 192", "山田^太郎"),
    "japanese": (["", "ISO 2022 IR 87"], "Yamada^Tarou=山田^太郎"),
    "none": (None, "Doe^John"),
}


def tricky(shape: tuple[int, int, int]) -> dict[str, np.ndarray]:
    """A ring, an island in it, a chessboard, single voxels, and a blob at the edge of the images."""
    z, y, x = np.indices(shape)
    away = np.hypot(y - 30, x - 25)
    return {
        "Ring": (away < 12) & (away > 7) & (z > 1) & (z < 8),
        "Island": ((away < 20) & (away > 15)) | (away < 3),
        "Chess": ((z + y + x) % 2 == 0) & (away < 6),
        "Voxel": (z == 4) & (y == 50) & (x == 40),
        "Edge": np.hypot(np.hypot(y, x), z * 3) < 18,
    }


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_an_outside_reader_gets_the_same_masks(make_ct: MakeCt, tmp_path: Path, orientation: str) -> None:
    ct = make_ct(tmp_path / "ct", spacing_mm=(2.5, 1.3, 0.9), orientation=orientation)
    case = load(ct)
    masks = tricky(case.volume.grid.shape)
    path = write_rtstruct(case, [structure(n, m) for n, m in masks.items()], tmp_path / "out" / "rt.dcm")
    found = read_contours(path)
    assert list(found) == list(masks)
    for name, bits in masks.items():
        assert np.array_equal(fill(found[name], ct.affine, ct.hu.shape, union=False), bits), name
    assert check_rtstruct(path) == []
    assert [p.name for p in path.parent.iterdir()] == ["rt.dcm"]


def test_attributes_and_references(make_ct: MakeCt, tmp_path: Path) -> None:
    ct = make_ct(tmp_path / "ct")
    case = load(ct)
    bits = tricky(case.volume.grid.shape)["Ring"]
    drawn = Provenance("reviewer", "Eva Müller", "2026-11-25T09:00:00+00:00")
    edited = replace(drawn, model="headneck", weights_sha256="cd" * 32)
    structures = [
        structure("Parotid_R", bits, colour=(255, 159, 67)),
        structure("Parotid_L", bits, provenance=edited, edited=True, interpreted_type="AVOIDANCE"),
        structure("PTV_70", bits, provenance=drawn, edited=True, interpreted_type="PTV"),
    ]
    ds = dcmread(write_rtstruct(case, structures, tmp_path / "rt.dcm", reviewer="Eva Müller", label="HN plan 1"))
    assert ds.SOPClassUID == "1.2.840.10008.5.1.4.1.1.481.3"
    assert ds.Modality == "RTSTRUCT" and ds.StructureSetLabel == "HN plan 1"
    assert ds.StudyInstanceUID == ct.study_uid
    assert ds.SeriesInstanceUID not in ("", ct.series_uid)
    assert (ds.ApprovalStatus, str(ds.ReviewerName), ds.ReviewDate, ds.ReviewTime) == (
        *("APPROVED", "Müller^Eva", "20261125", "091011"),
    )
    rois = ds.StructureSetROISequence
    assert [r.ROIGenerationAlgorithm for r in rois] == ["AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"]
    assert [o.RTROIInterpretedType for o in ds.RTROIObservationsSequence] == ["ORGAN", "AVOIDANCE", "PTV"]
    assert ds.ROIContourSequence[0].ROIDisplayColor == [255, 159, 67]
    (frame,) = ds.ReferencedFrameOfReferenceSequence
    (study,) = frame.RTReferencedStudySequence
    (series,) = study.RTReferencedSeriesSequence
    assert frame.FrameOfReferenceUID == ct.frame_of_reference_uid
    assert study.ReferencedSOPInstanceUID == ct.study_uid and series.SeriesInstanceUID == ct.series_uid
    assert [i.ReferencedSOPInstanceUID for i in series.ContourImageSequence] == ct.image_uids
    heights = {uid: ct.affine[2, 3] + ct.affine[2, 0] * k for k, uid in enumerate(ct.image_uids)}
    for contour in ds.ROIContourSequence[0].ContourSequence:
        assert contour.ContourData[2] == pytest.approx(
            heights[contour.ContourImageSequence[0].ReferencedSOPInstanceUID]
        )


@pytest.mark.parametrize("state", ["unreviewed", "rejected"])
def test_one_open_structure_makes_the_set_unapproved(make_ct: MakeCt, tmp_path: Path, state: str) -> None:
    case = load(make_ct(tmp_path / "ct"))
    bits = tricky(case.volume.grid.shape)["Ring"]
    structures = [structure("A", bits), structure("B", bits, decision=Decision(state))]
    ds = dcmread(write_rtstruct(case, structures, tmp_path / "rt.dcm"))
    assert ds.ApprovalStatus == "UNAPPROVED" and "ReviewerName" not in ds
    with pytest.raises(UserError, match="isn't accepted"):
        write_rtstruct(case, structures, tmp_path / "rt.dcm", approve=True)


def test_same_content_same_uids(make_ct: MakeCt, tmp_path: Path) -> None:
    case = load(make_ct(tmp_path / "ct"))
    bits = tricky(case.volume.grid.shape)["Ring"]
    one = write_rtstruct(case, [structure("A", bits)], tmp_path / "1.dcm").read_bytes()
    assert write_rtstruct(case, [structure("A", bits)], tmp_path / "2.dcm").read_bytes() == one
    bits[4, 0, 0] = True
    other = dcmread(write_rtstruct(case, [structure("A", bits)], tmp_path / "3.dcm"))
    assert other.SOPInstanceUID != dcmread(tmp_path / "1.dcm").SOPInstanceUID


@pytest.mark.parametrize(("code", "patient"), CHARACTERS.values(), ids=CHARACTERS.keys())
@pytest.mark.parametrize("name", ["Lens_L", "Drüse", "耳下腺"])
def test_text_in_any_script(make_ct: MakeCt, tmp_path: Path, code: object, patient: str, name: str) -> None:
    def put(ds: Dataset, _: int) -> None:
        ds.SpecificCharacterSet = code
        ds.PatientName = patient

    ct = make_ct(tmp_path / "ct", edit=put)
    case = load(ct)
    path = write_rtstruct(case, [structure(name, tricky(case.volume.grid.shape)["Ring"])], tmp_path / "rt.dcm")
    written, image = dcmread(path), dcmread(ct.files[0])
    assert written.StructureSetROISequence[0].ROIName == name
    assert str(written.PatientName) == str(image.PatientName)
    if written.get("SpecificCharacterSet") == image.get("SpecificCharacterSet"):
        raw = [bytes(dcmread(p).get_item("PatientName").value) for p in (path, ct.files[0])]
        assert raw[0] == raw[1]
    else:
        assert written.SpecificCharacterSet == "ISO_IR 192"
    if name == "Lens_L" and code != CHARACTERS["none"][0]:
        assert written.SpecificCharacterSet == image.SpecificCharacterSet


def test_undeclared_bytes_of_a_name_are_kept(make_ct: MakeCt, tmp_path: Path) -> None:
    def put(ds: Dataset, _: int) -> None:
        ds.SpecificCharacterSet, ds.PatientName = "ISO_IR 100", "Müller"

    ct = make_ct(tmp_path / "ct", edit=put)
    for file in ct.files:  # the declaration is cut out of the files, the bytes stay
        data = file.read_bytes()
        at = data.index(b"\x08\x00\x05\x00CS")
        file.write_bytes(data[:at] + data[at + 8 + int.from_bytes(data[at + 6 : at + 8], "little") :])
    case = load(ct)
    plain = replace(structure("A", tricky(case.volume.grid.shape)["Ring"]), decision=Decision())
    path = write_rtstruct(case, [plain], tmp_path / "rt.dcm")
    assert dcmread(path).get_item("PatientName").value.rstrip() == "Müller".encode("latin-1")


def test_imported_contours_come_out_point_for_point(make_ct: MakeCt, make_rtstruct: MakeCt, tmp_path: Path) -> None:
    ct = make_ct(tmp_path / "ct", shape=(10, 80, 64))
    z = [float(ct.affine[2, 3] + 3 * k) for k in range(10)]
    square = np.array([[-5.123456789, 0, z[3]], [8.25, 0, z[3]], [8.25, 9.1, z[3]], [-5.1, 9.1, z[3]]])
    rois = [
        Roi("Iso", [("POINT", np.array([[1.5, 2.5, z[2]]]), "")], interpreted_type="ISOCENTER"),
        Roi("Wire", [("OPEN_PLANAR", np.array([[0, 0, z[2]], [1, 1, z[2]], [2.000001, 1, z[2]]]), ct.image_uids[2])]),
        Roi(
            "Organ",
            [("CLOSED_PLANAR", square, ct.image_uids[3]), ("CLOSED_PLANAR", square + np.array([0, 0, 99]), "1.2.3")],
        ),
        Roi("Empty"),
    ]
    original = make_rtstruct(tmp_path / "rt.dcm", ct, rois)
    case = load(ct)
    structures = read_rtstruct(original, case)
    out = write_rtstruct(case, structures, tmp_path / "out.dcm")
    a, b = dcmread(original), dcmread(out)
    for one, two in zip(a.ROIContourSequence, b.ROIContourSequence, strict=True):
        assert ("ContourSequence" in one) == ("ContourSequence" in two)
        for p, q in zip(one.get("ContourSequence") or (), two.get("ContourSequence") or (), strict=True):
            assert p.ContourGeometricType == q.ContourGeometricType
            assert list(p.ContourData) == list(q.ContourData)
            if "ContourImageSequence" in p:
                assert p.ContourImageSequence == q.ContourImageSequence
    assert [r.ROIGenerationAlgorithm for r in b.StructureSetROISequence] == [""] * 4
    assert [o.RTROIInterpretedType for o in b.RTROIObservationsSequence] == ["ISOCENTER", "ORGAN", "ORGAN", "ORGAN"]


def test_numbers_fit_and_never_have_an_exponent() -> None:
    for value in (0.0, -0.0, 1e-9, -1e-9, 1e-5, -6.3554956912994385, -123.456789012345, 12345678.123456789, 1e15, -2.5):
        for text in (short_decimal(value), exact_decimal(value)):
            assert "e" not in text and text != "-0"
            assert abs(float(text) - value) <= 1e-4
            assert len(text) <= 16 or value == 1e15
        assert abs(float(exact_decimal(value)) - value) <= abs(value) * 1e-8 + 1e-13 or abs(value) < 1e-4


@pytest.mark.parametrize(
    ("names", "label", "match"),
    [
        (["x" * 65], "ok", "64 characters"),
        (["a\\b"], "ok", "backslash"),
        ([" "], "ok", "can't be a DICOM name"),
        (["Lens", "lens "], "ok", "Two structures"),
        (["A"], "x" * 17, "16 characters"),
        ([], "ok", "no structure"),
    ],
)
def test_names_that_do_not_fit(make_ct: MakeCt, tmp_path: Path, names: list[str], label: str, match: str) -> None:
    case = load(make_ct(tmp_path / "ct"))
    bits = tricky(case.volume.grid.shape)["Ring"]
    with pytest.raises(UserError, match=match):
        write_rtstruct(case, [structure(n, bits) for n in names], tmp_path / "rt.dcm", label=label)
    assert not (tmp_path / "rt.dcm").exists()


def test_images_that_cannot_be_referred_to(make_ct: MakeCt, tmp_path: Path) -> None:
    ct = make_ct(tmp_path / "ct")
    case = load(ct)
    organ = structure("A", tricky(case.volume.grid.shape)["Ring"])
    nifti = Case(case.patient, case.volume, replace(case.source, image_uids=(), image_class_uids=(), header=None))
    with pytest.raises(UserError, match="isn't from DICOM"):
        write_rtstruct(nifti, [organ], tmp_path / "rt.dcm")
    blanked = Case(case.patient, case.volume, replace(case.source, image_uids=("",) * 10))
    with pytest.raises(UserError, match="no UIDs"):
        write_rtstruct(blanked, [organ], tmp_path / "rt.dcm")
    before = ct.files[0].read_bytes()
    with pytest.raises(UserError, match="never written over"):
        write_rtstruct(case, [organ], ct.files[0])
    assert ct.files[0].read_bytes() == before


def test_a_difference_is_an_error_and_the_old_file_stays(
    make_ct: MakeCt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = load(make_ct(tmp_path / "ct"))
    organ = structure("A", tricky(case.volume.grid.shape)["Ring"])
    path = write_rtstruct(case, [organ], tmp_path / "rt.dcm")
    before = path.read_bytes()
    real = rtstruct_build.contour_sequence
    monkeypatch.setattr(rtstruct_build, "contour_sequence", lambda d, c: real(d[:-1], c))  # a writer that loses one
    with pytest.raises(UserError, match="came out different"):
        write_rtstruct(case, [organ], path)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ct", "rt.dcm"]


def test_a_folder_that_cannot_be_written(make_ct: MakeCt, tmp_path: Path) -> None:
    case = load(make_ct(tmp_path / "ct"))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UserError, match="could not be written"):
        write_rtstruct(case, [structure("A", tricky(case.volume.grid.shape)["Ring"])], tmp_path / "file" / "rt.dcm")


def test_contours_over_64_kb_keep_their_type(make_ct: MakeCt, tmp_path: Path) -> None:
    case = load(make_ct(tmp_path / "ct", shape=(2, 256, 256)))
    stairs = np.zeros(case.volume.grid.shape, bool)
    stairs[0] = np.random.default_rng(0).random((256, 256)) > 0.3
    ds = dcmread(write_rtstruct(case, [structure("Noise", stairs)], tmp_path / "rt.dcm"))
    longest = max(ds.ROIContourSequence[0].ContourSequence, key=lambda c: c.NumberOfContourPoints)
    assert longest.NumberOfContourPoints > 10_000
    assert longest["ContourData"].VR == "DS"


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} isn't installed")
    return found


def shared_case(shared_data: Path) -> tuple[Case, list[Structure]]:
    """A real case whose imported contours are left aside: the masks' own edges are written."""
    case = run(read_series(run(scan(shared_data / "headneck_dicom" / "HN_242"))[0]))
    made = Provenance("model", model="headneck", weights_sha256="ab" * 32)
    accepted = Decision("accepted", "Eva Müller", "2026-11-25T09:10:11+00:00")
    return case, [replace(s, contours=None, provenance=made, decision=accepted) for s in case.structures]


def test_dciodvfy_finds_no_error(shared_data: Path, tmp_path: Path) -> None:
    tool = _tool("dciodvfy")
    case, structures = shared_case(shared_data)
    imported = write_rtstruct(case, case.structures.items, tmp_path / "imported.dcm")
    for path in (imported, write_rtstruct(case, structures, tmp_path / "edges.dcm")):
        said = subprocess.run([tool, str(path)], capture_output=True, text=True, errors="replace", check=False)
        assert "RTStructureSet" in said.stderr + said.stdout
        assert "Error" not in said.stderr + said.stdout


def test_plastimatch_reads_the_same_masks(shared_data: Path, tmp_path: Path) -> None:
    tool = _tool("plastimatch")
    case, structures = shared_case(shared_data)
    z, y, x = np.indices(case.volume.grid.shape)
    away = np.hypot(y - 30, x - 50)
    ring = (away < 14) & (away > 8) & (z > 40) & (z < 60)
    chess = ((z + y + x) % 2 == 0) & (away < 5) & (z > 40) & (z < 44)
    structures += [
        replace(structures[0], name=n, id=n, mask=Mask.from_dense(b)) for n, b in (("Ring", ring), ("Chess", chess))
    ]
    path = write_rtstruct(case, structures, tmp_path / "rt.dcm")
    ct = shared_data / "headneck_dicom" / "HN_242"
    arguments = [
        "--input",
        path,
        "--referenced-ct",
        ct,
        "--output-prefix",
        tmp_path / "pm",
        "--prefix-format",
        "nii.gz",
    ]
    subprocess.run([tool, "convert", *map(str, arguments)], capture_output=True, check=True)
    for s in structures:
        found = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / "pm" / f"{s.name}.nii.gz"))) > 0
        assert np.array_equal(found, s.mask.dense(case.volume.grid.shape)), s.name


OPTIONS = [
    RtStructOptions(contours, holes, profile)
    for contours in ("voxel edges", "smooth")
    for holes, profile in (("", "eclipse"), ("inner loops", "raystation"), ("xor", "generic"), ("", "pinnacle"))
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_every_option_gives_a_good_file(make_ct: MakeCt, tmp_path: Path, options: RtStructOptions) -> None:
    case = load(make_ct(tmp_path / "ct"))
    long_name = "Submandibular node level two right"
    masks = {**tricky(case.volume.grid.shape), long_name: tricky(case.volume.grid.shape)["Voxel"]}
    structures = [structure(n, m) for n, m in masks.items()]
    path = write_rtstruct(case, structures, tmp_path / "rt.dcm", options=options)  # reads back and compares
    ds = dcmread(path)
    assert check_rtstruct(path) == []
    kinds = {c.ContourGeometricType for o in ds.ROIContourSequence for c in o.ContourSequence}
    assert kinds == ({"CLOSED_PLANAR", "CLOSEDPLANAR_XOR"} if options.holes == "xor" else {"CLOSED_PLANAR"})
    last = ds.StructureSetROISequence[-1]
    if options.profile in ("eclipse", "pinnacle"):
        assert len(last.ROIName) <= 16 and last.ROIName.endswith("R") and last.ROIDescription == long_name
    else:
        assert last.ROIName == long_name and "ROIDescription" not in last
    again = write_rtstruct(case, structures, tmp_path / "again.dcm", options=options)
    assert again.read_bytes() == path.read_bytes()
    tool = shutil.which("dciodvfy")
    if tool is not None:
        said = subprocess.run([tool, str(path)], capture_output=True, text=True, errors="replace", check=False)
        lines = (said.stderr + said.stdout).splitlines()
        # dciodvfy 2022 is older than CLOSEDPLANAR_XOR in the standard.
        assert [n for n in lines if "Error" in n and "<CLOSEDPLANAR_XOR> for value 1" not in n] == []


def test_what_a_system_would_refuse_is_told_before_and_not_written(
    make_ct: MakeCt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = load(make_ct(tmp_path / "ct"))
    bits = tricky(case.volume.grid.shape)["Ring"]
    wire = (Contour(np.array([[0.0, 0, -44], [5, 0, -44]]), "OPEN_PLANAR"),)
    structures = [structure("Marker wire of the left breast", bits, contours=wire), structure("Drüse", bits)]
    found = check_export(case, structures, options=RtStructOptions(profile="eclipse"))
    texts = " ".join(f.text for f in found)
    assert "OPEN_PLANAR" in texts and "will be called" in texts and "plain English" in texts
    assert {f.severity for f in found} == {"warning"}
    write_rtstruct(case, structures, tmp_path / "rt.dcm", options=RtStructOptions(profile="eclipse"))

    monkeypatch.setenv("CONTOURDESK_HOME", str(tmp_path))
    (tmp_path / "profiles.csv").write_text("profile,limit,value,broken,source\nours,rois,1,error,tried\n")
    ours = RtStructOptions(profile="ours")
    assert [f.severity for f in check_export(case, structures, options=ours)] == ["error"]
    with pytest.raises(UserError, match="2 structures, and it takes 1"):
        write_rtstruct(case, structures, tmp_path / "no.dcm", options=ours)
    assert not (tmp_path / "no.dcm").exists()
    with pytest.raises(UserError, match="no planning system"):
        write_rtstruct(case, structures, tmp_path / "no.dcm", options=RtStructOptions(profile="ecplise"))


def test_points_of_a_contour_are_limited_for_a_system(make_ct: MakeCt, tmp_path: Path) -> None:
    case = load(make_ct(tmp_path / "ct", shape=(2, 256, 256)))
    y, x = np.indices((256, 256))
    star = np.hypot(y - 128.0, x - 128.0) < 80 + 35 * np.sin(40 * np.arctan2(y - 128.0, x - 128.0))
    bits = np.stack([star, np.zeros_like(star)])
    longest = {}
    for name in ("generic", "eclipse"):
        path = write_rtstruct(
            case, [structure("Star", bits)], tmp_path / f"{name}.dcm", options=RtStructOptions(profile=name)
        )
        contours = dcmread(path).ROIContourSequence[0].ContourSequence
        longest[name] = max(int(c.NumberOfContourPoints) for c in contours)
    assert longest["generic"] > 2000 >= longest["eclipse"]


def test_a_file_depends_on_the_review_alone(make_ct: MakeCt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = load(make_ct(tmp_path / "ct"))
    bits = tricky(case.volume.grid.shape)["Ring"]
    timeless = structure("A", bits, provenance=Provenance("reviewer"), decision=Decision())
    files = []
    for zone, name in (("UTC", "1"), ("Asia/Tokyo", "2")):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        mixed = structure("B", bits, provenance=Provenance("imported", time="2026-11-25T12:00:00"))
        for one in (timeless, mixed):
            path = write_rtstruct(case, [one], tmp_path / f"{one.name}{name}.dcm")
            files.append(path.read_bytes())
    monkeypatch.undo()
    time.tzset()
    assert files[0] == files[2] and files[1] == files[3] != files[0]
    ds = dcmread(tmp_path / "A1.dcm")
    assert (ds.StructureSetDate, ds.StructureSetTime) == ("", "") and "SeriesDate" not in ds
    assert ds.SOPInstanceUID.startswith("2.25.") and ds.SOPInstanceUID != ds.SeriesInstanceUID
    assert check_rtstruct(tmp_path / "A1.dcm") == []
    mixed_ds = dcmread(tmp_path / "B1.dcm")
    assert (mixed_ds.StructureSetDate, mixed_ds.StructureSetTime) == ("20261125", "120000")


def test_the_set_that_structures_came_from_is_referred_to(
    make_ct: MakeCt, make_rtstruct: MakeCt, tmp_path: Path
) -> None:
    ct = make_ct(tmp_path / "ct")
    square = np.array([[-5.0, 0, -44], [8, 0, -44], [8, 9, -44], [-5, 9, -44]])
    sets = [
        make_rtstruct(tmp_path / f"{n}.dcm", ct, [Roi(n, [("CLOSED_PLANAR", square, ct.image_uids[2])])])
        for n in ("One", "Two")
    ]
    case = load(ct)
    first, second = (read_rtstruct(path, case) for path in sets)
    uids = [dcmread(path).SOPInstanceUID for path in sets]
    ds = dcmread(write_rtstruct(case, first, tmp_path / "a.dcm"))
    (item,) = ds.PredecessorStructureSetSequence
    assert (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) == (ds.SOPClassUID, uids[0])
    assert uids[0] not in (ds.SOPInstanceUID, ds.SeriesInstanceUID)
    both = dcmread(write_rtstruct(case, [*first, *second], tmp_path / "b.dcm"))
    assert "PredecessorStructureSetSequence" not in both
    assert [i.ReferencedSOPInstanceUID for i in both.SourceInstanceSequence] == uids
    mask = structure("New", tricky(case.volume.grid.shape)["Ring"])
    new = dcmread(write_rtstruct(case, [mask], tmp_path / "c.dcm"))
    assert "PredecessorStructureSetSequence" not in new and "SourceInstanceSequence" not in new


def test_frames_of_multi_frame_images_are_referred_to(make_ct: MakeCt, tmp_path: Path) -> None:
    case = load(make_ct(tmp_path / "ct"))
    source, count = case.source, case.volume.grid.shape[0]
    frames = tuple(range(count, 0, -1))  # stored the other way round
    case = replace(case, source=replace(source, image_uids=source.image_uids[:1] * count, image_frames=frames))
    bits = tricky(case.volume.grid.shape)["Ring"]
    ds = dcmread(write_rtstruct(case, [structure("Ring", bits)], tmp_path / "rt.dcm"))
    series = ds.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0].RTReferencedSeriesSequence[0]
    (image,) = series.ContourImageSequence
    assert image.ReferencedSOPInstanceUID == source.image_uids[0]
    assert list(image.ReferencedFrameNumber) == sorted(frames)
    for contour in ds.ROIContourSequence[0].ContourSequence:
        k = round((float(contour.ContourData[2]) + 50) / 3)
        assert contour.ContourImageSequence[0].ReferencedFrameNumber == frames[k]


def test_new_slices_of_an_imported_structure_do_not_mix_kinds(make_ct: MakeCt, tmp_path: Path) -> None:
    ct = make_ct(tmp_path / "ct")
    case = load(ct)
    square = np.array([[-5.5, 0.25, -44], [8.5, 0.25, -44], [8.5, 9.25, -44], [-5.5, 9.25, -44]])
    for kind, holes in (("CLOSED_PLANAR", "xor"), ("CLOSEDPLANAR_XOR", "")):
        kept = (Contour(square, kind, ct.image_uids[2]),)
        mask = contours_to_mask(kept, case.volume.grid).dense(case.volume.grid.shape)
        mask[5] = tricky(mask.shape)["Ring"][5]
        organ = Structure("A", (1, 2, 3), Mask.from_dense(mask), Provenance("imported"), contours=kept)
        path = write_rtstruct(case, [organ], tmp_path / "rt.dcm", options=RtStructOptions("smooth", holes))
        contours = dcmread(path).ROIContourSequence[0].ContourSequence
        assert {c.ContourGeometricType for c in contours} == {kind}
        assert list(contours[0].ContourData) == square.ravel().tolist()


def test_kept_contours_need_not_be_tidy(make_ct: MakeCt, tmp_path: Path) -> None:
    ct = make_ct(tmp_path / "ct")
    case = load(ct)
    points = np.array([[0.1, 0.2, -44.0], [5, 0.2, -44.0], [5, 6, -43.9]])  # a little off its slice
    kept = (Contour(points, "CLOSED_PLANAR", ""), Contour(points[:1], "POINT", ""))
    mask = contours_to_mask(kept, case.volume.grid)
    organ = Structure("A", (1, 2, 3), mask, Provenance("imported"), contours=kept)
    ds = dcmread(write_rtstruct(case, [organ], tmp_path / "rt.dcm"))
    first = ds.ROIContourSequence[0].ContourSequence[0]
    assert first.ContourImageSequence[0].ReferencedSOPInstanceUID == ct.image_uids[2]
    assert list(first.ContourData) == points.ravel().tolist()
