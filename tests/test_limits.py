"""Limits and locks: what may change, whatever the tool."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contourdesk.app import project
from contourdesk.app.case import Case, Patient, Source
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.history import Header
from contourdesk.app.jobs import Progress, run
from contourdesk.app.journal import Journal
from contourdesk.app.limits import Limits, SliceRange, allowed, limit, within
from contourdesk.app.review import Change, ReviewSession
from contourdesk.app.review_format import header_from_json, header_to_json
from contourdesk.app.structures import Mask, Provenance, Structure, StructureSet
from contourdesk.app.volume import Volume

GRID = Grid.from_spacing((6, 9, 11), (3, 1, 1.5))
WHOLE = (slice(0, 6), slice(0, 9), slice(0, 11))


def block(z: slice, y: slice, x: slice) -> Mask:
    bits = np.zeros(GRID.shape, bool)
    bits[z, y, x] = True
    return Mask.from_dense(bits)


def make_session() -> ReviewSession:
    """A cord beside a parotid, and a body round both."""
    items = (
        Structure("Cord", (1, 2, 3), block(slice(1, 5), slice(3, 6), slice(2, 5)), Provenance("model"), id="cord"),
        Structure("Gland", (4, 5, 6), block(slice(1, 5), slice(3, 6), slice(5, 8)), Provenance("model"), id="gland"),
        Structure("Body", (7, 8, 9), block(slice(0, 6), slice(1, 8), slice(1, 9)), Provenance("model"), id="body"),
    )
    volume = Volume(GRID, np.zeros(GRID.shape, np.int16))
    return ReviewSession(Case(Patient(), volume, Source(Path("nowhere"), "1.2"), StructureSet(GRID, items)), "Dr Demo")


def fill(session: ReviewSession, value: bool, structure_id: str = "cord") -> np.ndarray:
    """Paint or erase everywhere, and return what the structure then holds."""
    session.paint(structure_id, (0, 0, 0), np.full(GRID.shape, value))
    return session.structures.get(structure_id).mask.dense(GRID.shape)


def dense(session: ReviewSession, structure_id: str) -> np.ndarray:
    return session.structures.get(structure_id).mask.dense(GRID.shape)


def test_a_locked_structure_is_not_changed_by_anything() -> None:
    session = make_session()
    session.set_locked("cord", True)
    assert session.is_locked("cord") and not session.is_locked("gland")
    assert session.undo_text == "Lock Cord"
    revision = session.revision
    for attempt in (
        lambda: fill(session, True),
        lambda: session.replace_mask("cord", Mask(), "smooth"),
        lambda: session.delete("cord"),
    ):
        with pytest.raises(UserError, match="Cord is locked"):
            attempt()
    assert session.revision == revision
    session.rename("cord", "SpinalCord")  # its name is not its shape
    session.decide("cord", "accepted")
    assert session.is_locked("cord")


def test_a_lock_is_an_edit() -> None:
    session = make_session()
    seen: list[Change] = []
    session.changed.connect(seen.append)
    session.set_locked("cord", True)
    session.set_locked("cord", True)  # nothing to do
    assert seen == [Change("locked", "cord")]
    session.undo()
    assert not session.is_locked("cord") and seen[-1] == Change("locked", "cord")
    session.redo()
    assert session.is_locked("cord")
    session.set_locked("cord", False)
    assert fill(session, True).all()


def test_nothing_grows_over_a_locked_neighbour_unless_it_may() -> None:
    session = make_session()
    session.set_locked("gland", True)
    gland = dense(session, "gland")
    cord = fill(session, True)
    assert (cord == ~gland).all()
    assert (dense(session, "gland") == gland).all()
    session.limits = Limits(over_locked=True)
    assert fill(session, True).all()
    session.limits = Limits()
    assert not fill(session, False).any()  # taking away hurts no neighbour
    session.set_locked("gland", False)
    assert fill(session, True).all()


def test_where_it_lay_over_a_locked_neighbour_it_stays_until_it_is_taken_away() -> None:
    session = make_session()
    session.set_locked("gland", True)
    before = dense(session, "body")
    fill(session, True, "body")
    assert (dense(session, "body") | ~before).all()  # no voxel of it went


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_only_a_range_of_slices(axis: int) -> None:
    session = make_session()
    session.limits = Limits(slices=SliceRange(axis, 4, 3))  # in either order
    before = dense(session, "cord")
    index = np.indices(GRID.shape)[axis]
    there = (index >= 3) & (index <= 4)
    assert (fill(session, True) == (before | there)).all()
    assert (fill(session, False) == (before & ~there)).all()


def test_only_inside_another_structure() -> None:
    session = make_session()
    session.limits = Limits(inside="body")
    body = dense(session, "body")
    assert (fill(session, True) == body).all()
    assert not fill(session, False).any()
    assert fill(session, True, "body").all()  # the body itself isn't held
    session.limits = Limits(inside="gland")
    with pytest.raises(UserError, match="allow no change"):
        session.paint("cord", (0, 0, 0), np.ones((1, 2, 2), bool))
    session.limits = Limits(inside="no such")
    with pytest.raises(UserError, match="gone"):
        fill(session, True)


def test_an_edit_that_changes_nothing_is_none_whatever_the_limits() -> None:
    session = make_session()
    session.limits = Limits(inside="gland")
    session.paint("cord", (0, 0, 0), np.zeros((1, 2, 2), bool))
    assert session.revision == 0


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000), over=st.booleans(), inside=st.sampled_from(["", "body", "gland"]),
    axis=st.sampled_from([None, 0, 1, 2]), locked=st.booleans(),
)  # fmt: skip
def test_any_limits_are_what_they_say(seed: int, over: bool, inside: str, axis: int | None, locked: bool) -> None:
    rng = np.random.default_rng(seed)
    session = make_session()
    session.set_locked("gland", locked)
    ranges = None if axis is None else SliceRange(axis, int(rng.integers(6)), int(rng.integers(6)))
    limits = Limits(over, ranges, inside)
    before = dense(session, "cord")
    wanted = rng.random(GRID.shape) < 0.5
    after = limit(limits, session.structures, "cord", (0, 0, 0), wanted)
    gland, body = dense(session, "gland"), dense(session, "body")
    may = np.ones(GRID.shape, bool)
    if ranges is not None:
        index = np.indices(GRID.shape)[ranges.axis]
        may &= (index >= min(ranges.first, ranges.last)) & (index <= max(ranges.first, ranges.last))
    may &= {"": may, "body": body, "gland": gland}[inside]
    free = may & ~gland if locked and not over else may
    assert (after == np.where(before, wanted | ~may, wanted & free)).all()
    part = (slice(1, 4), slice(2, 9), slice(0, 5))  # a box of it gives the same
    some = limit(limits, session.structures, "cord", (1, 2, 0), wanted[part])
    assert (some == after[part]).all()
    room = allowed(limits, session.structures, "cord", WHOLE, adding=True)
    assert (free == (True if room is None else room)).all()


def test_what_an_operation_makes_is_shown_within_the_limits() -> None:
    session = make_session()
    session.set_locked("gland", True)

    def job():
        yield Progress(0, 0)
        return Mask.from_dense(np.ones(GRID.shape, bool))

    shown = run(within(job(), session.structures, "cord", session.limits))
    session.replace_mask("cord", Mask.from_dense(np.ones(GRID.shape, bool)), "grow")
    assert shown.equals(session.structures.get("cord").mask) and not shown.dense(GRID.shape).all()
    with pytest.raises(UserError, match="is locked"):
        run(within(job(), session.structures, "gland", session.limits))


def test_a_lock_is_kept_with_the_review_and_older_ones_open(tmp_path: Path) -> None:
    session = make_session()
    run(project.save(session.snapshot(), tmp_path))
    with Journal(tmp_path, session.revision) as journal:
        journal.attach(session)
        session.set_locked("gland", True)
        again = project.resume(session.case, run(project.load(tmp_path, recover=True)))
        assert again.is_locked("gland") and again.undo_text == "Lock Gland"
        run(project.save(session.snapshot(), tmp_path))
    assert project.resume(session.case, run(project.load(tmp_path))).is_locked("gland")
    old = header_to_json(Header.of(session.structures.get("gland")))
    assert old.pop("locked") is True
    assert header_from_json(old).locked is False
