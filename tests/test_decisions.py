"""An acceptance with a minor edit is a decision of its own, and an acceptance wherever that is what counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hands import structure

from contourdesk.app.case import Case, Patient, Source
from contourdesk.app.dataset import export_case
from contourdesk.app.export_command import chosen_structures
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import run
from contourdesk.app.nrrd_write import write_slicer
from contourdesk.app.project import load, open_review, save
from contourdesk.app.review import ReviewSession
from contourdesk.app.reviews import find_reviews
from contourdesk.app.slicer_read import read_states
from contourdesk.app.structures import Decision, Mask, StructureSet
from contourdesk.app.volume import Volume

GRID = Grid.from_spacing((4, 10, 12), (3, 1, 1), (0, 0, 0))


@pytest.fixture
def session() -> ReviewSession:
    bits = np.zeros(GRID.shape, bool)
    bits[1:3, 2:6, 3:8] = True
    items = (structure("Larynx", bits, decision=Decision()), structure("Brainstem", bits, decision=Decision()))
    volume = Volume(GRID, np.zeros(GRID.shape, np.int16))
    case = Case(Patient(), volume, Source(Path("x.nii.gz"), "1"), StructureSet(GRID, items))
    return ReviewSession(case, "Dr Test")


def test_it_is_kept_and_counts_as_accepted(session: ReviewSession, tmp_path: Path) -> None:
    first = session.structures.items[0]
    session.decide(first.id, "accepted-edited", "cut a slice")
    assert session.undo_text == "Accept Larynx with minor edit"
    with run(open_review(session.snapshot(), tmp_path / "review")) as journal:
        journal.attach(session)
        run(save(session.snapshot(), tmp_path / "review"))
    (info,) = find_reviews(tmp_path)
    assert info.counts == {"unreviewed": 1, "accepted": 1, "rejected": 0}
    decision = run(load(tmp_path / "review")).structures.items[0].decision
    assert (decision.state, decision.comment, decision.accepted) == ("accepted-edited", "cut a slice", True)
    assert decision.text == "accepted with minor edit"


def test_it_is_exported_as_accepted(session: ReviewSession, tmp_path: Path) -> None:
    first = session.structures.items[0]
    session.decide(first.id, "accepted-edited")
    assert [s.name for s in chosen_structures(session)] == ["Larynx"]
    report = run(export_case(session.case, session.structures.items, tmp_path / "Dataset001_X"))
    assert list(report.labels) == ["Larynx"]
    path = write_slicer(session.case, session.structures.items, tmp_path / "x.seg.nrrd")
    assert [d.state for d in read_states(path)] == ["accepted", "unreviewed"]


def test_an_edit_reopens_it(session: ReviewSession) -> None:
    first = session.structures.items[0]
    session.decide(first.id, "accepted-edited")
    session.replace_mask(first.id, Mask(), "brush")
    assert session.structures.get(first.id).decision.state == "unreviewed"
    session.undo()
    assert session.structures.get(first.id).decision.state == "accepted-edited"
