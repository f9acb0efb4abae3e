"""The session: one writer, one history, nothing else changes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contourdesk.app.case import Case, Patient, Source
from contourdesk.app.contour import Contour
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.review import Change, Record, ReviewSession
from contourdesk.app.structures import Decision, Mask, Provenance, Structure, StructureSet
from contourdesk.app.volume import Volume

GRID = Grid.from_spacing((6, 9, 11), (3, 1, 1.5))


def ball(z: int, y: int, x: int, size: int = 3) -> Mask:
    return Mask((z, y, x), np.ones((1, size, size), bool))


def make_session() -> ReviewSession:
    contour = Contour(np.array([[0.0, 0, 0], [4, 0, 0], [4, 4, 0]]), image_uid="1.2.3")
    items = (
        Structure("Cord", (1, 2, 3), ball(1, 1, 1), Provenance("imported"), id="cord", contours=(contour,)),
        Structure("Liver", (4, 5, 6), ball(2, 2, 2, 5), Provenance("model", model="m"), id="liver"),
    )
    volume = Volume(GRID, np.zeros(GRID.shape, np.int16))
    source = Source(Path("nowhere"), "1.2.840.1")
    return ReviewSession(Case(Patient(), volume, source, StructureSet(GRID, items)), "Dr Demo")


def state(session: ReviewSession) -> list[tuple[object, ...]]:
    return [
        (s.id, s.name, s.colour, s.provenance, s.decision, s.edited, s.interpreted_type, s.contours,
         s.mask.dense(GRID.shape).tobytes())
        for s in session.structures
    ]  # fmt: skip


def test_a_stroke_changes_its_own_structure_only_and_says_where() -> None:
    session = make_session()
    liver = session.structures.get("liver")
    seen: list[Change] = []
    session.changed.connect(seen.append)
    bits = np.zeros((1, 4, 4), bool)
    bits[0, 2, 3] = True
    session.paint("cord", (3, 1, 1), bits)
    assert session.structures.get("liver") is liver
    cord = session.structures.get("cord")
    assert cord.mask.dense(GRID.shape)[3, 3, 4]
    assert cord.mask.count == 10
    assert cord.edited
    assert cord.contours == session.case.structures.get("cord").contours  # they lie on another slice
    assert cord.provenance.source == "reviewer"
    assert seen == [Change("mask", "cord", (slice(3, 4), slice(3, 4), slice(4, 5)))]
    assert session.undo_text == "Brush on Cord"


def test_a_stroke_that_changes_nothing_is_no_edit() -> None:
    session = make_session()
    session.paint("cord", (1, 1, 1), np.ones((1, 3, 3), bool))
    session.paint("cord", (1, 50, 50), np.ones((1, 3, 3), bool))
    session.replace_mask("cord", ball(1, 1, 1), "smooth")
    session.decide("cord", "unreviewed")
    session.recolour("cord", (1, 2, 3))
    session.rename("cord", " Cord ")
    assert session.revision == 0
    assert not session.can_undo
    session.undo()
    session.redo()
    assert session.revision == 0


def test_a_stroke_over_the_edge_is_cut() -> None:
    session = make_session()
    session.paint("cord", (5, -2, 9), np.ones((4, 5, 5), bool))
    assert session.structures.get("cord").mask.count == 9 + 1 * 3 * 2
    assert session.structures.get("cord").mask.dense(GRID.shape)[5, :3, 9:].all()


def test_an_edit_reopens_the_decision_in_the_same_undo_step() -> None:
    session = make_session()
    session.decide("liver", "accepted", "fine")
    accepted = session.structures.get("liver").decision
    assert (accepted.state, accepted.person, accepted.comment) == ("accepted", "Dr Demo", "fine")
    assert accepted.time
    before = state(session)
    session.paint("liver", (0, 0, 0), np.ones((1, 1, 1), bool))
    assert session.structures.get("liver").decision.state == "unreviewed"
    assert session.structures.get("liver").decision.comment == "fine"
    session.undo()
    assert state(session) == before
    session.undo()
    assert session.structures.get("liver").decision == Decision()


def test_names() -> None:
    session = make_session()
    for bad in ("", "   ", "a\\b", "a\nb", "x" * 65):
        with pytest.raises(UserError):
            session.rename("cord", bad)
        with pytest.raises(UserError):
            session.add(bad)
    with pytest.raises(UserError, match="already"):
        session.rename("cord", " lIVER ")
    session.rename("cord", "CORD")
    new = session.add(" liver ")
    assert session.structures.get(new).name == "liver (2)"
    with pytest.raises(KeyError):
        session.rename("nobody", "x")
    with pytest.raises(ValueError, match="state"):
        session.decide("cord", "maybe")


def test_new_structures_get_colours_that_differ() -> None:
    session = make_session()
    new = [session.add(f"s{i}") for i in range(12)]
    assert len({session.structures.get(i).colour for i in new}) == 12


def proposal(name: str, mask: Mask) -> Structure:
    return Structure(name, (9, 9, 9), mask, Provenance("model", model="m2"))


def test_proposals_replace_only_untouched_proposals() -> None:
    session = make_session()
    session.add("Drawn", mask=ball(0, 0, 0))
    before = state(session)
    new = session.add_proposals([proposal(n, ball(3, 3, 3)) for n in ("Liver", "Cord", "Drawn", "Larynx")])
    assert [s.name for s in session.structures] == ["Cord", "Liver", "Drawn", "Cord (2)", "Drawn (2)", "Larynx"]
    liver = session.structures.named("Liver")
    assert liver is not None
    assert liver.id == new[0]
    assert liver.colour == (4, 5, 6)
    session.undo()
    assert state(session) == before
    session.redo()

    for touch in (
        lambda: session.paint(new[0], (0, 0, 0), np.ones((1, 1, 1), bool)),
        lambda: session.decide(new[0], "rejected"),
    ):
        touch()
        kept = session.structures.get(new[0])
        session.add_proposals([proposal("Liver", ball(4, 4, 4))])
        assert session.structures.get(new[0]) is kept
        assert session.structures.named("Liver (2)") is not None
        session.undo()
        session.undo()


def test_proposals_never_replace_what_changed_while_the_model_ran() -> None:
    session = make_session()
    base = session.revision
    session.recolour("liver", (7, 7, 7))
    session.add_proposals([proposal("Liver", ball(4, 4, 4))], base_revision=base)
    assert [s.name for s in session.structures] == ["Cord", "Liver", "Liver (2)"]
    with pytest.raises(ValueError, match="outside"):
        session.add_proposals([proposal("Far", ball(9, 0, 0))])


def test_many_that_come_or_go_are_one_change() -> None:
    session = make_session()
    seen: list[Change] = []
    session.changed.connect(seen.append)
    session.add_proposals([proposal(f"P{n}", ball(2, 2, 2)) for n in range(9)])
    session.undo()
    session.redo()
    assert seen == [Change("added"), Change("removed"), Change("added")]
    del seen[:]
    ids = session.add_proposals([proposal("Q1", ball(2, 2, 2)), proposal("Q2", ball(2, 2, 2))])
    assert seen == [Change("added", key) for key in ids]


def test_the_journal_is_told_first_and_a_failing_one_loses_nothing() -> None:
    session = make_session()
    seen: list[object] = []

    def journal(record: Record) -> None:
        seen.append((record.op, record.revision))
        raise UserError("Disk full.")

    session.journal = journal
    session.changed.connect(lambda change: seen.append(change.what))
    with pytest.raises(UserError):
        session.recolour("cord", (0, 0, 0))
    with pytest.raises(UserError):
        session.undo()
    assert seen == [("do", 1), "recoloured", ("undo", 2), "recoloured"]
    assert session.structures.get("cord").colour == (1, 2, 3)


def test_a_snapshot_stays_as_it_was() -> None:
    session = make_session()
    before, snapshot = state(session), session.snapshot()
    session.paint("cord", (0, 0, 0), np.ones(GRID.shape, bool))
    session.delete("liver")
    items = ReviewSession(session.case, structures=snapshot.structures)
    assert state(items) == before
    assert snapshot.revision == 0


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["paint", "replace", "rename", "colour", "add", "delete", "decide", "propose", "undo", "redo"]),
        st.integers(0, 5),
        st.integers(0, 2**32 - 1),
    ),
    max_size=25,
)


def act(session: ReviewSession, what: str, which: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids = [s.id for s in session.structures]
    name = f"n{seed % 4}"
    if what == "undo":
        session.undo()
    elif what == "redo":
        session.redo()
    elif what == "add":
        session.add(name)
    elif what == "propose":
        session.add_proposals([proposal(n, Mask((0, 0, 0), rng.random(GRID.shape) < 0.1)) for n in ("Liver", name)])
    elif ids:
        target = ids[which % len(ids)]
        if what == "paint":
            shape = rng.integers(1, 6, 3)
            offset = rng.integers(-3, 9, 3)
            session.paint(target, tuple(int(o) for o in offset), rng.random(tuple(shape)) < rng.random())
        elif what == "replace":
            session.replace_mask(target, Mask.from_dense(rng.random(GRID.shape) < rng.random() * 0.1), "smooth")
        elif what == "rename":
            taken = session.structures.without(target)
            session.rename(target, taken.free_name(name))
        elif what == "colour":
            session.recolour(target, (seed % 256, 0, 0))
        elif what == "delete":
            session.delete(target)
        else:
            session.decide(target, ["unreviewed", "accepted", "rejected"][seed % 3], name)


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(ACTIONS)
def test_undo_of_any_edits_restores_every_bit(actions: list[tuple[str, int, int]]) -> None:
    session = make_session()
    first = state(session)
    for action in actions:
        before = state(session)
        revision = session.revision
        act(session, *action)
        after = state(session)
        if session.revision != revision and action[0] not in ("undo", "redo"):
            session.undo()
            assert state(session) == before
            session.redo()
            assert state(session) == after
    last = state(session)
    steps = 0
    while session.can_undo:
        session.undo()
        steps += 1
    assert state(session) == first
    for _ in range(steps):
        session.redo()
    assert state(session) == last
