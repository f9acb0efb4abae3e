"""De-identified copies and training cases: nothing of what was planted is in any byte that leaves the house."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path

import leaks
import numpy as np
import pytest
from hands import load, structure
from phantoms import CtPhantom
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from contourdesk.app import project
from contourdesk.app.case import Case
from contourdesk.app.cli import main
from contourdesk.app.deface import find_face
from contourdesk.app.deidentify import Pseudonyms
from contourdesk.app.deidentify_export import REPORT, export_deidentified
from contourdesk.app.deidentify_profile import DATE, DESCEND, EMPTY, KEEP, REMOVE, UID, action
from contourdesk.app.dicom_read import SeriesInfo, read_series, scan
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import run
from contourdesk.app.review import ReviewSession
from contourdesk.app.structures import Decision, Provenance, Structure

MakeCt = Callable[..., CtPhantom]
WORDS = [
    "Leaktest",
    "Müllersohn",
    "Zürichberg",
    "PX-774411",
    "ACC-991827",
    "Quendel",
    "Hausarztkova",
    "Lindenhofspital",
]
DAYS = [date(2026, 1, 2), date(1970, 2, 3), date(2026, 1, 5)]
SECRETS = WORDS + [s for day in DAYS for s in leaks.spellings(day)]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONTOURDESK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def plant(ds: Dataset, k: int) -> None:
    """Identifiers wherever a data set can hold them."""
    ds.PatientName, ds.PatientID = "Müllersohn^Leaktest", "PX-774411"
    ds.OtherPatientIDs, ds.AccessionNumber, ds.StudyID = "PX-774411", "ACC-991827", "Quendel"
    ds.PatientBirthDate, ds.PatientAddress = "19700203", "Zürichberg 7"
    ds.InstitutionName, ds.InstitutionAddress, ds.StationName = "Lindenhofspital", "Zürichberg", "Quendel"
    ds.ReferringPhysicianName = ds.OperatorsName = ds.PerformingPhysicianName = "Hausarztkova^Quendel"
    ds.StudyDescription = ds.SeriesDescription = ds.ImageComments = ds.ProtocolName = "Kontrolle Leaktest 02.01.2026"
    ds.PatientComments = ds.AdditionalPatientHistory = "Frau Müllersohn, geb. 1970-02-03"
    ds.SoftwareVersions, ds.ConvolutionKernel = "syngo Quendel", "H31s"
    ds.ContentDate, ds.AcquisitionDate, ds.AcquisitionDateTime = "20260105", "20260102", "20260102101112.5+0100"
    ds.WindowCenterWidthExplanation = ["Leaktest", "Quendel"]
    ds.DeviceSerialNumber, ds.RetrieveAETitle = "Quendel", "LEAKTEST"
    block = ds.private_block(0x0099, "LEAKTEST PRIVATE", create=True)
    block.add_new(1, "LO", "Leaktest")
    block.add_new(2, "UN", "Müllersohn".encode("utf-16-le"))
    block.add_new(3, "OB", "Müllersohn".encode("latin-1") + b" ")
    inner, deeper = Dataset(), Dataset()
    deeper.PatientID, deeper.CodeMeaning, deeper.CodeValue = "PX-774411", "Leaktest", "1"
    deeper.private_block(0x0011, "LEAKTEST", create=True).add_new(1, "LT", "Quendel")
    inner.OtherPatientIDsSequence = Sequence([deeper])
    inner.ReferencedSOPClassUID, inner.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", f"1.2.774411.{k}"
    inner.PurposeOfReferenceCodeSequence = Sequence([deeper])
    ds.SourceImageSequence = Sequence([inner])
    ds.RequestAttributesSequence = Sequence([deeper])
    ds.ProcedureCodeSequence = Sequence([deeper])
    ds.add_new(0x60000010, "US", 8)
    ds.add_new(0x60000011, "US", 8)
    ds.add_new(0x60000022, "LO", "Leaktest overlay")
    ds.add_new(0x60003000, "OW", b"Leaktest")
    ds.add_new(0x50003000, "OW", b"Leaktest")
    ds.add_new(0xFFFCFFFC, "OB", b"Leaktest")
    ds.file_meta.SourceApplicationEntityTitle = "LEAKTEST"
    ds.preamble = b"Leaktest".ljust(128, b"\0")


@pytest.fixture
def ct(make_ct: MakeCt, tmp_path: Path) -> CtPhantom:
    names = {"edit": plant, "file_name": lambda k: f"Leaktest{k}.dcm"}
    return make_ct(tmp_path / "Leaktest" / "ct", spacing_mm=(2.5, 1.3, 0.9), **names)


def opened(ct: CtPhantom) -> tuple[Case, SeriesInfo]:
    info = run(scan(ct.folder))[0]
    return run(read_series(info)), info


def organs(case: Case) -> list[Structure]:
    bits = np.zeros(case.volume.grid.shape, bool)
    bits[3:6, 20:30, 20:30] = True
    other = np.zeros(case.volume.grid.shape, bool)
    other[2:7, 50:60, 30:40] = True
    made = Provenance("model", "Hausarztkova", "2026-01-05T08:00:00+00:00", "Leaktest", "ab" * 32, parent="PX-774411")
    decided = Decision("accepted", "Hausarztkova Quendel", "2026-01-05T09:10:11+00:00", "Müllersohn: gut")
    return [
        structure("Hirnstamm", bits, provenance=made, decision=decided),
        structure("Lesion 1", other, provenance=made, decision=decided, group="Quendel"),
    ]


def test_no_planted_word_is_in_any_byte_of_a_copy(ct: CtPhantom, tmp_path: Path, caplog) -> None:
    caplog.set_level(logging.DEBUG)
    case, info = opened(ct)
    assert leaks.find(ct.folder, SECRETS), "the search finds what is there"
    copied = run(export_deidentified(case, info, organs(case), tmp_path / "out"))
    uids = [ct.series_uid, ct.study_uid, ct.frame_of_reference_uid, *ct.image_uids, "1.2.774411"]
    assert leaks.find(copied.folder, [*SECRETS, *uids]) == []
    assert not leaks.find(tmp_path / "out", SECRETS)
    said = caplog.text + repr(copied.notes)
    assert not any(word.casefold() in said.casefold() for word in SECRETS)
    assert any("overlay" in note for note in copied.notes)


def test_a_copy_is_the_same_image_with_the_same_structures(ct: CtPhantom, tmp_path: Path) -> None:
    case, info = opened(ct)
    given = organs(case)
    copied = run(export_deidentified(case, info, given, tmp_path / "out"))
    again = run(scan(copied.folder))[0]
    clean = run(read_series(again))
    assert np.array_equal(clean.volume.array, case.volume.array)
    assert clean.volume.grid.is_close(case.volume.grid)
    both = {s.name: s.mask for s in clean.structures}
    for name, s in zip(("Brainstem", "Lesion 1"), given, strict=True):
        assert both[name].equals(s.mask)
    files = [dcmread(p) for p in sorted(copied.folder.rglob("*.dcm"))]
    assert len({f.StudyInstanceUID for f in files}) == len({f.PatientID for f in files}) == 1
    assert len({f.SeriesInstanceUID for f in files}) == 3
    assert {f.Modality for f in files} == {"CT", "RTSTRUCT", "SEG"}
    for f in files:
        assert f.PatientIdentityRemoved == "YES" and f.LongitudinalTemporalInformationModified == "MODIFIED"
        assert [c.CodeValue for c in f.DeidentificationMethodCodeSequence] == ["113100", "113107"]
        assert f.file_meta.MediaStorageSOPInstanceUID == f.SOPInstanceUID


def test_dates_move_together_and_all_is_the_same_again(ct: CtPhantom, tmp_path: Path) -> None:
    case, info = opened(ct)
    given = organs(case)
    one = run(export_deidentified(case, info, given, tmp_path / "one"))
    two = run(export_deidentified(case, info, given, tmp_path / "one"))
    other = run(export_deidentified(case, info, given, tmp_path / "two"))
    assert one.folder == two.folder
    content = [{p.name: p.read_bytes() for p in c.folder.rglob("*") if p.is_file()} for c in (two, other)]
    assert content[0] == content[1]
    assert [p.name for p in (tmp_path / "one").iterdir()] == [one.folder.name]
    ds = dcmread(one.folder / "CT" / "0001.dcm")
    days = Pseudonyms.of(case).days
    assert 365 <= days < 365 + 3650
    for value, was in ((ds.StudyDate, date(2026, 1, 2)), (ds.ContentDate, date(2026, 1, 5))):
        assert (was - date(int(value[:4]), int(value[4:6]), int(value[6:8]))).days == days
    assert str(ds.AcquisitionDateTime)[8:] == "101112.5+0100"
    assert ds.PatientBirthDate == ""


def test_the_report_names_elements_and_no_values(ct: CtPhantom, tmp_path: Path) -> None:
    case, info = opened(ct)
    copied = run(export_deidentified(case, info, organs(case), tmp_path / "out"))
    report = json.loads((copied.folder / REPORT).read_text("utf-8"))
    done = {(e["name"], e["done"]): e["times"] for e in report["elements"]}
    slices = len(ct.files)
    assert done["PatientName", "emptied"] == slices and done["StudyDate", "shifted"] == slices
    assert done["SOPInstanceUID", "new UID"] == slices and done["SoftwareVersions", "replaced"] == slices
    assert any(e["tag"] == "(0099,xxxx)" for e in report["elements"])
    assert not any(name == "ConvolutionKernel" for name, _ in done)


def test_text_burned_into_the_pixels(make_ct: MakeCt, tmp_path: Path) -> None:
    def burned(ds: Dataset, _: int) -> None:
        ds.BurnedInAnnotation = "YES"

    ct = make_ct(tmp_path / "ct", edit=burned)
    case, info = opened(ct)
    with pytest.raises(UserError, match="burned into"):
        run(export_deidentified(case, info, organs(case), tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy is not installed")
def test_dciodvfy_finds_no_error_that_the_original_has_not(ct: CtPhantom, tmp_path: Path) -> None:
    def errors(path: Path) -> set[str]:
        done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, errors="replace", check=False)
        return {line for line in (done.stdout + done.stderr).splitlines() if line.startswith("Error")}

    case, info = opened(ct)
    copied = run(export_deidentified(case, info, organs(case), tmp_path / "out"))
    assert errors(copied.folder / "CT" / "0001.dcm") <= errors(ct.files[0])
    assert not errors(copied.folder / "RTSTRUCT.dcm")
    assert not errors(copied.folder / "SEG.dcm")


@pytest.mark.parametrize(
    ("tag", "vr", "what"),
    [
        (0x00100010, "PN", EMPTY),
        (0x00080060, "CS", KEEP),
        (0x00081030, "LO", REMOVE),
        (0x00080018, "UI", UID),
        (0x00080020, "DA", DATE),
        (0x00100030, "DA", EMPTY),
        (0x00081140, "SQ", DESCEND),
        (0x00990010, "LO", REMOVE),
        (0x60003000, "OW", REMOVE),
        (0x00204000, "LT", REMOVE),  # Image Comments
        (0x00189FFF, "LO", REMOVE),  # no such element
    ],
)
def test_the_profile(tag: int, vr: str, what: str) -> None:
    assert action(tag, vr) == what


def test_pseudonyms() -> None:
    one, other = Pseudonyms(b"k" * 32, "a"), Pseudonyms(b"k" * 32, "b")
    assert one.uid("1.2.3") == other.uid("1.2.3") != one.uid("1.2.4")
    assert one.uid("1.2.840.10008.5.1.4.1.1.2") == "1.2.840.10008.5.1.4.1.1.2"
    assert len(one.uid("1.2.3")) <= 64 and one.uid("1.2.3").startswith("2.25.")
    assert one.date("2026.01.02")[:4] in {str(y) for y in range(2014, 2026)}
    assert one.date("20260102-20260103") == one.date("gestern") == ""
    assert one.days != other.days and one.code != other.code
    assert Pseudonyms(b"x" * 32, "a").uid("1.2.3") != one.uid("1.2.3")


def test_many_reviews_by_the_command_line(make_ct: MakeCt, tmp_path: Path, capsys) -> None:
    root, out = tmp_path / "reviews", tmp_path / "out"
    for n in range(2):
        ct = make_ct(tmp_path / f"Leaktest{n}", spacing_mm=(2.5, 1.3, 0.9), edit=plant)
        case = load(ct)
        session = ReviewSession(case, "Hausarztkova")
        for s in organs(case):
            session.add(s.name, mask=s.mask)
        for s in list(session.structures)[: 2 - n]:
            session.decide(s.id, "accepted")
        run(project.save(session.snapshot(), root / f"r{n}"))
    (root / "broken").mkdir()
    (root / "broken" / "case.json").write_text("{")
    arguments = ["export", str(root), "--out", str(out), "--format", "nnunet,dicom-deidentified"]
    assert main(arguments) == 2, "the broken one is told, and the others are exported"
    said = capsys.readouterr()
    assert "2 of 3 reviews" in said.out and "broken" in said.err
    folder = out / "Dataset501_Contourdesk"
    contoured = json.loads((folder / "contoured.json").read_text("utf-8"))
    assert sorted(len(e["contoured"]) for e in contoured.values()) == [1, 2]
    assert len({name.rpartition("_")[0] for name in contoured}) == 1, "one patient"
    assert len(list((out / "deidentified").iterdir())) == 2
    assert leaks.find(out, SECRETS) == []
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert main(arguments) == 2
    assert {p: p.read_bytes() for p in out.rglob("*") if p.is_file()} == before


def test_the_clinics_own_files_stay_identified(ct: CtPhantom, tmp_path: Path) -> None:
    from contourdesk.app.writers import write_format

    case, _ = opened(ct)
    ds = dcmread(write_format("seg", case, organs(case), tmp_path / "seg.dcm"))
    assert ds.PatientID == "PX-774411" and "PatientIdentityRemoved" not in ds


def test_a_copy_without_the_face(shared_data: Path, tmp_path: Path) -> None:
    info = run(scan(shared_data / "headneck_dicom" / "HN_242"))[0]
    case = run(read_series(info))
    given = [s for s in case.structures if not s.mask.is_empty]
    copied = run(export_deidentified(case, info, given, tmp_path / "out", deface=True))
    clean = run(read_series(run(scan(copied.folder))[0]))
    face = find_face(case.volume, given).face.dense(case.volume.grid.shape)
    assert np.array_equal(clean.volume.array[~face], case.volume.array[~face])
    assert (clean.volume.array[face] == -1024).all() and face.any()
    assert not any(face[s.mask.box][s.mask.bits].any() for s in given)
    ds = dcmread(next(copied.folder.glob("CT/*.dcm")))
    assert "113102" in [c.CodeValue for c in ds.DeidentificationMethodCodeSequence]
    assert any("The face was taken out" in note for note in copied.notes)
