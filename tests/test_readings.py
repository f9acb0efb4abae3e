"""A former reader's work is kept bit for bit; two readings are compared; hidden proposals stay hidden."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hands import structure

from contourdesk.app.case import Case, Patient, Source
from contourdesk.app.confidence import Confidence
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import run
from contourdesk.app.project import CASE, load, open_review, resume, save
from contourdesk.app.readings import agreement, differences
from contourdesk.app.review import ReviewSession
from contourdesk.app.structures import Decision, Mask
from contourdesk.app.versions import ghost, versions
from contourdesk.app.volume import Volume

GRID = Grid.from_spacing((6, 20, 24), (3, 1, 1), (0, 0, 0))


def box(z0: int, z1: int, y0: int, y1: int, x0: int, x1: int) -> Mask:
    bits = np.zeros(GRID.shape, bool)
    bits[z0:z1, y0:y1, x0:x1] = True
    return Mask.from_dense(bits)


def proposal(name: str, mask: Mask):
    return structure(name, mask.dense(GRID.shape), decision=Decision(), id=name)


@pytest.fixture
def case() -> Case:
    return Case(Patient(), Volume(GRID, np.zeros(GRID.shape, np.int16)), Source(Path("x.nii.gz"), "1"))


@pytest.fixture
def session(case: Case) -> ReviewSession:
    session = ReviewSession(case, "Dr A")
    session.add_proposals(
        [proposal("Larynx", box(1, 4, 4, 10, 4, 10)), proposal("Brainstem", box(1, 4, 12, 18, 4, 10))]
    )
    session.decide("Larynx", "accepted", "fine")
    session.decide("Brainstem", "rejected")
    return session


def test_the_first_reading_is_kept_and_the_second_starts_open(session: ReviewSession, tmp_path: Path) -> None:
    before = session.structures
    session.begin_reading("Dr B")
    assert {s.decision.state for s in session.structures} == {"unreviewed"}
    session.replace_mask("Larynx", box(1, 4, 4, 10, 4, 12), "brush")
    session.decide("Larynx", "accepted-edited")
    session.decide("Brainstem", "accepted")
    with run(open_review(session.snapshot(), tmp_path)) as journal:
        journal.attach(session)
    saved = run(load(tmp_path))
    again = resume(session.case, saved)
    (reading,) = again.readings
    assert reading.person == "Dr A"
    for old in before:
        kept = reading.structures.get(old.id)
        assert kept.mask.equals(old.mask)
        assert kept.decision == old.decision
    assert again.structures.get("Larynx").decision.person == "Dr B"


def test_a_reading_is_packed_once_and_never_removed(session: ReviewSession, tmp_path: Path) -> None:
    session.begin_reading("Dr B")
    run(save(session.snapshot(), tmp_path))
    (file,) = tmp_path.glob("reading-*.npz")
    written = file.stat().st_mtime_ns
    for _ in range(3):
        session.decide("Larynx", "accepted" if session.structures.get("Larynx").decision.comment else "rejected", "x")
        run(save(session.snapshot(), tmp_path))
    assert file.stat().st_mtime_ns == written
    file.write_bytes(b"damaged")
    saved = run(load(tmp_path))
    assert saved.readings == ()
    assert any("former reading" in note for note in saved.notes)


def test_differences_and_what_is_said_of_them(session: ReviewSession) -> None:
    session.begin_reading("Dr B")
    session.replace_mask("Larynx", box(1, 4, 4, 10, 4, 13), "brush")
    session.rename("Brainstem", "brain stem")
    session.decide("Larynx", "accepted-edited")
    session.decide("Brainstem", "accepted")
    session.add("Cord", mask=box(0, 2, 0, 2, 0, 2))
    found = run(differences(session.readings[0].structures, session.structures))
    by_name = {d.name: d for d in found}
    assert list(by_name) == ["Larynx", "brain stem", "Cord"]
    larynx = by_name["Larynx"]
    assert larynx.figures is not None
    assert larynx.figures.dice == pytest.approx(2 * 36 / (36 + 54))
    assert larynx.figures.slices_touched == 3
    assert larynx.agreed
    assert not by_name["brain stem"].agreed
    assert by_name["Cord"].figures is None
    text = agreement(found, "Dr A", "Dr B")
    assert text.startswith("Dr A and Dr B both decided on 2 of 3 structures, and alike on 1.")
    assert "They differ on brain stem." in text
    assert "1 are the same voxel for voxel; mean Dice 0.900, lowest 0.800 (Larynx)." in text
    assert "The largest HD95 is 3.0 mm (Larynx)." in text
    assert "Only one of them has Cord." in text


def test_undo_brings_the_first_decisions_back(session: ReviewSession) -> None:
    session.begin_reading("Dr B")
    assert session.undo_text == "Next reading, by Dr B"
    session.undo()
    assert session.structures.get("Larynx").decision.person == "Dr A"
    assert len(session.readings) == 1


# -- blind -----------------------------------------------------------------------------------------------------------


def test_a_hidden_proposal_is_nowhere_to_be_seen_until_asked_for(case: Case, tmp_path: Path) -> None:
    session = ReviewSession(case, "Dr A")
    session.blind = True
    made = proposal("Larynx", box(1, 4, 4, 10, 4, 10))
    confidence = Confidence((1, 4, 4), np.full((3, 6, 6), 200, np.uint8))
    session.add_proposals([made], confidence={"Larynx": confidence})
    (s,) = session.structures
    assert s.mask.is_empty
    assert session.confidence("Larynx") is None
    assert [v.key for v in versions(session, "Larynx")] == ["now"]
    assert ghost(s) is None
    with pytest.raises(UserError, match="empty"):
        session.show_proposal("Larynx")
    session.paint("Larynx", (1, 4, 4), np.ones((3, 6, 5), bool))
    with run(open_review(session.snapshot(), tmp_path)) as journal:
        journal.attach(session)
        session.paint("Larynx", (1, 3, 4), np.ones((1, 1, 1), bool))
    again = resume(case, run(load(tmp_path, recover=True)))
    assert ghost(again.structures.get("Larynx")) is None
    again.show_proposal("Larynx")
    shown = ghost(again.structures.get("Larynx"))
    assert shown is not None
    assert shown.equals(made.mask)
    assert again.confidence("Larynx") is not None
    assert again.undo_text == "Show the proposal of Larynx"
    assert again.structures.get("Larynx").blind == "shown"


def test_a_second_run_replaces_what_nobody_drew(case: Case) -> None:
    session = ReviewSession(case, "Dr A")
    session.blind = True
    session.add_proposals([proposal("Larynx", box(1, 4, 4, 10, 4, 10))])
    other = structure("Larynx", box(1, 4, 4, 10, 4, 12).dense(GRID.shape), decision=Decision(), id="other")
    session.add_proposals([other])
    (s,) = session.structures
    assert s.id == "other"
    assert s.mask.is_empty
    assert s.first is not None
    assert s.first.equals(other.mask)


def test_work_is_kept(session: ReviewSession, tmp_path: Path) -> None:
    session.work = {"seconds": {"Larynx": 12.5}, "figures": {}}
    run(save(session.snapshot(), tmp_path))
    assert json.loads((tmp_path / CASE).read_text())["work"]["seconds"] == {"Larynx": 12.5}
    assert resume(session.case, run(load(tmp_path))).work["seconds"] == {"Larynx": 12.5}
