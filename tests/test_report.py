"""The report: every number in its CSV, a PDF with text that can be read back, without a screen and from the shell."""

from __future__ import annotations

import csv
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hands import load, structure
from phantoms import make_ct

from contourdesk.app.cli import main
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import run
from contourdesk.app.pictures import picture
from contourdesk.app.project import open_review, save
from contourdesk.app.report import COLUMNS, make_report, write_csv
from contourdesk.app.review import ReviewSession
from contourdesk.app.structures import Decision, Mask, StructureSet
from contourdesk.app.volume import Volume


@pytest.fixture
def session(tmp_path: Path) -> ReviewSession:
    case = load(make_ct(tmp_path / "ct", (8, 48, 40)))
    session = ReviewSession(replace(case, structures=StructureSet(case.volume.grid)), "Dr Müller")
    bits = np.zeros(case.volume.grid.shape, bool)
    bits[2:6, 10:20, 10:20] = True
    made = [structure(name, bits, decision=Decision(), id=name) for name in ("Thing", "=Other", "Third")]
    session.add_proposals(made)
    grown = bits.copy()
    grown[2:4, 10:20, 20] = True
    session.replace_mask("Thing", Mask.from_dense(grown), "brush")
    session.work["seconds"] = {"Thing": 83.4}
    session.decide("Thing", "accepted-edited", "grown to the left")
    session.decide("=Other", "rejected")
    session.add("Drawn", mask=Mask.from_dense(bits))
    session.add("Empty")
    return session


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.DictReader(file)
        found = list(reader)
        assert tuple(reader.fieldnames or ()) == COLUMNS
    return found


def test_csv_tells_all(session: ReviewSession, tmp_path: Path) -> None:
    report = run(make_report(session.snapshot(), pictures=False))
    thing, other, third, drawn, empty = rows(write_csv(report, tmp_path / "r.csv"))
    grid = session.structures.grid
    assert thing["decision"] == "accepted-edited"
    assert (thing["decided_by"], thing["comment"], thing["seconds"]) == ("Dr Müller", "grown to the left", "83")
    assert float(thing["volume_ml"]) == pytest.approx(420 * grid.voxel_ml, abs=1e-4)
    assert float(thing["volume_change_ml"]) == pytest.approx(20 * grid.voxel_ml, abs=1e-4)
    assert float(thing["volume_change_percent"]) == pytest.approx(5)
    assert float(thing["dice"]) == pytest.approx(800 / 820, abs=1e-4)
    assert (thing["slices_touched"], thing["slices"]) == ("2", "4")
    assert thing["model"] == "headneck"
    assert thing["patient_id"] == session.case.patient.id
    assert other["structure"] == "'=Other"  # no formula
    assert other["decision"] == "rejected"
    assert (third["dice"], third["decision"]) == ("1.0000", "unreviewed")
    assert (drawn["source"], drawn["dice"], drawn["slices"]) == ("reviewer", "", "")
    assert "Empty is empty." in empty["findings"]
    assert empty["warnings"] == "1"
    assert [row.origin for row in report.rows[:4:3]] == ["headneck, edited", "drawn by a reviewer"]
    assert report.summary == "5 structures: 1 accepted (1 of them with a minor edit), 1 rejected, 3 not decided."


def test_without_the_patient(session: ReviewSession, tmp_path: Path) -> None:
    report = run(make_report(session.snapshot(), with_patient=False, pictures=False))
    text = write_csv(report, tmp_path / "r.csv").read_text("utf-8-sig") + str(report.facts)
    for secret in (session.case.patient.name, session.case.patient.id, session.case.source.series_uid):
        assert secret
        assert secret not in text


def test_a_second_reading_is_in_it(session: ReviewSession, tmp_path: Path) -> None:
    session.begin_reading("Dr Two")
    thing = session.structures.get("Thing")
    session.paint("Thing", thing.mask.offset, np.zeros((1, *thing.mask.bits.shape[1:]), bool))
    session.decide("Thing", "rejected")
    report = run(make_report(session.snapshot(), pictures=False))
    row = rows(write_csv(report, tmp_path / "r.csv"))[0]
    assert (row["former_reader"], row["former_decision"]) == ("Dr Müller", "accepted-edited")
    assert 0 < float(row["former_dice"]) < 1
    assert report.statement.startswith("Dr Müller and Dr Two both decided on 1 of 5 structures, and alike on 0.")


def test_a_hidden_proposal_is_not_in_it(session: ReviewSession, tmp_path: Path) -> None:
    session.blind = True
    bits = np.zeros(session.structures.grid.shape, bool)
    bits[1:3, 5:9, 5:9] = True
    session.add_proposals([structure("Hidden", bits, decision=Decision(), id="Hidden")])
    report = run(make_report(session.snapshot()))
    row = report.rows[-1]
    assert row.figures is None
    assert row.picture is None


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1)])
def test_picture_shows_the_axial_slice_the_right_way_round(order: tuple[int, int, int]) -> None:
    """A bright corner at the patient's left and front stands at the top right; the outline lies on it to the mm."""
    plain = Grid.from_spacing((10, 60, 80), (3, 2, 1.5), (0, 0, 0))
    array, bits = np.full(plain.shape, -160, np.int16), np.zeros(plain.shape, bool)
    array[5, 10:20, 50:70] = 240
    bits[4:7, 10:20, 50:70] = True
    affine = plain.affine.copy()
    affine[:3, :3] = plain.affine[:3, list(order)]
    grid = Grid(tuple(plain.shape[a] for a in order), affine)
    mask = Mask.from_dense(bits.transpose(order))
    shown = picture(Volume(grid, array.transpose(order)), mask, None)
    assert shown is not None
    assert shown.slice_number == 6
    assert shown.letters == ("A", "P", "R", "L")
    bright = np.argwhere(shown.pixels == 255)
    assert len(bright) == 10 * 20
    step = np.array(shown.size_mm) / shown.pixels.shape
    assert step == pytest.approx((2, 1.5))
    (line,) = shown.lines
    corner, end = bright.min(axis=0) * step, (bright.max(axis=0) + 1) * step
    assert line.min(axis=0) == pytest.approx(corner[::-1], abs=0.01)
    assert line.max(axis=0) == pytest.approx(end[::-1], abs=0.01)


def test_pdf_from_the_shell_without_a_screen(session: ReviewSession, tmp_path: Path) -> None:
    folder = tmp_path / "review"
    with run(open_review(session.snapshot(), folder)):
        run(save(session.snapshot(), folder))
    before = {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()}
    call = ["report", str(folder), "--out", str(tmp_path / "out")]
    code = f"import sys; from contourdesk.app.cli import main; sys.exit(main({call!r}))"
    home = str(tmp_path / "home")
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": ":".join(sys.path), "CONTOURDESK_HOME": home}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "1 accepted" in done.stdout
    pdf = (tmp_path / "out" / "report.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert pdf.count(b"/Type /Page\n") >= 2
    assert b"/ToUnicode" in pdf  # text, and not its picture
    assert len(rows(tmp_path / "out" / "report.csv")) == 5
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.is_file()} == before


def test_a_folder_that_is_no_review(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "no review" in capsys.readouterr().err
