"""What a structure was: kept through edits, undo, saving, crashes and deletion, bit by bit."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from contourdesk.app.case import Case, Patient, Source
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import run
from contourdesk.app.project import load, open_review, save
from contourdesk.app.review import ReviewSession
from contourdesk.app.structures import Mask, Provenance, Structure, StructureSet
from contourdesk.app.versions import ghost, versions
from contourdesk.app.volume import Volume

GRID = Grid.from_spacing((6, 20, 20), (3, 1, 1))


def new_session() -> ReviewSession:
    bits = np.zeros(GRID.shape, bool)
    bits[1:4, 5:15, 5:15] = True
    items = (
        Structure("Imported", (1, 2, 3), Mask.from_dense(bits), Provenance("imported")),
        Structure("Drawn", (1, 2, 3), Mask.from_dense(bits), Provenance("reviewer")),
    )
    case = Case(Patient(), Volume(GRID, np.zeros(GRID.shape, np.int16)), Source(Path("x"), "1.2"))
    session = ReviewSession(case, "Dr Test", structures=StructureSet(GRID, items))
    session.add_proposals([Structure("Cord", (9, 9, 9), Mask.from_dense(bits), Provenance("model", model="m"))])
    return session


def paint(session, structure_id, at, value=True):
    session.paint(structure_id, at, np.full((1, 2, 2), value))


def masks(session, structure_id):
    return {v.key: v.mask for v in versions(session, structure_id)}


def test_the_proposal_is_kept_from_the_first_edit_on():
    session = new_session()
    imported, drawn, cord = (s.id for s in session.structures)
    before = session.structures.get(cord).mask
    assert [v.key for v in versions(session, cord)] == ["first", "now"]
    assert ghost(session.structures.get(cord)) is None
    for at in ((0, 0, 0), (2, 6, 6), (5, 18, 18)):
        paint(session, cord, at, at[0] != 2)
    found = masks(session, cord)
    assert found["first"].equals(before)
    assert not found["now"].equals(before)
    assert ghost(session.structures.get(cord)).equals(before)
    assert versions(session, cord)[0].text == "Proposal of the model"
    assert versions(session, imported)[0].text == "As imported"
    assert list(masks(session, drawn)) == ["now"]
    paint(session, drawn, (0, 0, 0))
    assert list(masks(session, drawn)) == ["now"]  # what a reviewer drew was never proposed
    while session.can_undo:
        session.undo()
    while session.can_redo:
        session.redo()
    assert masks(session, cord)["first"].equals(before)


def test_as_last_accepted_follows_acceptances_edits_and_undo():
    session = new_session()
    cord = session.structures.items[2].id
    paint(session, cord, (0, 0, 0))
    accepted = session.structures.get(cord).mask
    assert "accepted" not in masks(session, cord)
    session.decide(cord, "accepted")
    assert masks(session, cord)["accepted"].equals(accepted)
    for at in ((5, 1, 1), (0, 0, 0), (3, 7, 7)):
        paint(session, cord, at, at[0] == 5)
    session.rename(cord, "SpinalCord")
    assert masks(session, cord)["accepted"].equals(accepted)
    second = session.structures.get(cord).mask
    session.decide(cord, "accepted-edited")
    session.decide(cord, "unreviewed")
    paint(session, cord, (5, 1, 1), False)
    assert masks(session, cord)["accepted"].equals(second)
    for _ in range(3):
        session.undo()  # the stroke, reopening, the second acceptance
    assert masks(session, cord)["accepted"].equals(accepted)


@pytest.mark.parametrize("way", ["saved", "crashed"])
def test_it_comes_back_from_the_review_folder(tmp_path, way):
    session = new_session()
    cord = session.structures.items[2].id
    before = session.structures.get(cord).mask
    journal = run(open_review(session.snapshot(), tmp_path / "r"))
    journal.attach(session)
    session.decide(cord, "accepted")
    paint(session, cord, (0, 0, 0))
    session.regroup(cord, "Nerves")
    edited = session.structures.get(cord).mask
    session.delete(cord)
    if way == "saved":
        run(save(session.snapshot(), tmp_path / "r"))
    session.undo()
    if way == "saved":
        run(save(session.snapshot(), tmp_path / "r"))
    journal.close()
    saved = run(load(tmp_path / "r", recover=way == "crashed"))
    back = ReviewSession(session.case, structures=saved.structures, revision=saved.revision, history=saved.history)
    found = masks(back, cord)
    assert found["first"].equals(before)
    assert found["accepted"].equals(before)
    assert found["now"].equals(edited)
    assert back.structures.get(cord).group == "Nerves"


def test_a_review_of_before_it_was_kept_opens(tmp_path):
    session = new_session()
    cord = session.structures.items[2].id
    paint(session, cord, (0, 0, 0))
    run(save(session.snapshot(), tmp_path))
    file = tmp_path / "case.json"
    read = json.loads(file.read_text("utf-8"))
    for s in read["structures"]:
        s.pop("first", None)
        del s["header"]["group"]
    file.write_text(json.dumps(read), "utf-8")
    back = run(load(tmp_path)).structures
    assert back.get(cord).first is None
    assert ghost(back.get(cord)) is None
    session = ReviewSession(session.case, structures=back)
    assert list(masks(session, cord)) == ["now"]
