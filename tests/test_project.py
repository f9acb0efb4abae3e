"""The review folder: comes back as it was left, also after a crash at any moment."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import test_review
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contourdesk.app import project, reviews
from contourdesk.app.case import Case, Patient, Source
from contourdesk.app.contour import Contour
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import run
from contourdesk.app.journal import JOURNAL, Journal, last_revision, read_journal
from contourdesk.app.review import ReviewSession
from contourdesk.app.settings import Settings
from contourdesk.app.structures import Mask, Provenance, Structure, StructureSet
from contourdesk.app.volume import Volume

GRID = Grid.from_spacing((20, 64, 64), (3, 1, 1), (-10, -20, 30), "1.2.9")
NAME = "LEAKTEST^Name"


def make_case(path: Path = Path("/nowhere/images"), series_uid: str = "1.2.840.7") -> Case:
    contours = (
        Contour(np.array([[0.1, 0.2, 30], [4, 0, 30], [4, 4.123456789, 30]]), image_uid="1.2.3"),
        Contour(np.array([[1.0, 2, 33]]), kind="POINT"),
    )
    rng = np.random.default_rng(1)
    items = (
        Structure("Drüse", (1, 2, 3), Mask((1, 5, 6), rng.random((3, 9, 7)) < 0.5), Provenance("imported"), id="a",
                  contours=contours, interpreted_type="PTV"),
        Structure("Empty", (4, 5, 6), Mask(), Provenance("model", model="m", weights_sha256="ab"), id="b"),
    )  # fmt: skip
    source = Source(path, series_uid, date="20240203", description="CT neck")
    volume = Volume(GRID, np.zeros(GRID.shape, np.int16))
    return Case(Patient(NAME, "LEAKTEST-ID"), volume, source, StructureSet(GRID, items))


def paint(session: ReviewSession, k: int, structure_id: str = "b") -> None:
    session.paint(structure_id, (k % 20, k // 60 % 60, k % 60), np.ones((1, 4, 4), bool))


def comparable(structures: StructureSet) -> list[tuple[object, ...]]:
    return [
        (s.id, s.name, s.colour, s.provenance, s.decision, s.edited, s.interpreted_type,
         None if s.contours is None else [(c.points_lps.tobytes(), c.kind, c.image_uid) for c in s.contours],
         s.mask.dense(structures.grid.shape).tobytes())
        for s in structures
    ]  # fmt: skip


def start(folder: Path, session: ReviewSession) -> Journal:
    journal = run(project.open_review(session.snapshot(), folder))
    journal.attach(session)
    return journal


def busy_session(folder: Path) -> ReviewSession:
    """All kinds of edits with a journal; not saved after the start."""
    session = ReviewSession(make_case(), "Dr Demo")
    with start(folder, session):
        new = session.add("Larynx")
        paint(session, 5, new)
        paint(session, 9, "a")  # drops the contours
        session.undo()  # and brings them back
        session.rename("b", "Cord")
        session.decide("a", "accepted", "gut")
        session.delete("a")
        session.undo()
        cube = Mask((0, 0, 0), np.ones((2, 2, 2), bool))
        session.add_proposals([Structure("Cord", (9, 9, 9), cube, Provenance("model"))])
        session.undo()
        session.redo()
    return session


def test_what_was_saved_comes_back(tmp_path: Path) -> None:
    session = busy_session(tmp_path)
    run(project.save(session.snapshot(), tmp_path))
    assert not project.needs_recovery(tmp_path)
    saved = run(project.load(tmp_path))
    assert comparable(saved.structures) == comparable(session.structures)
    assert (saved.revision, saved.recovered, saved.notes, saved.reviewer) == (session.revision, 0, (), "Dr Demo")
    assert saved.structures.grid.is_close(GRID, 1e-9)
    assert saved.structures.grid.frame_of_reference_uid == "1.2.9"


def test_the_journal_alone_brings_everything_back(tmp_path: Path) -> None:
    session = busy_session(tmp_path)
    assert project.needs_recovery(tmp_path)
    saved = run(project.load(tmp_path, recover=True))
    assert comparable(saved.structures) == comparable(session.structures)
    assert saved.recovered == session.revision


def test_undo_goes_on_after_reopening(tmp_path: Path) -> None:
    session = busy_session(tmp_path)
    run(project.save(session.snapshot(), tmp_path))
    again = project.resume(make_case(), run(project.load(tmp_path)))
    with start(tmp_path, again):
        assert again.undo_text == session.undo_text
        while session.can_undo:
            session.undo()
            again.undo()
            assert comparable(again.structures) == comparable(session.structures)
        assert not again.can_undo
    recovered = run(project.load(tmp_path, recover=True))
    assert comparable(recovered.structures) == comparable(make_case().structures)


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(test_review.ACTIONS, st.integers(0, 25))
def test_any_edits_come_back_from_any_save(actions: list[tuple[str, int, int]], save_after: int) -> None:
    """The journal tells the same as the session, from whichever moment the last save is, undo history included."""
    with tempfile.TemporaryDirectory() as name:
        folder, session = Path(name), test_review.make_session()
        with start(folder, session):
            for k, action in enumerate(actions):
                test_review.act(session, *action)
                if k == save_after:
                    run(project.save(session.snapshot(), folder))
        again = project.resume(session.case, run(project.load(folder, recover=True)))
        assert (again.revision, again.can_redo) == (session.revision, session.can_redo)
        assert comparable(again.structures) == comparable(session.structures)
        while session.can_undo:
            assert again.undo_text == session.undo_text
            session.undo()
            again.undo()
            assert comparable(again.structures) == comparable(session.structures)
        assert not again.can_undo


def test_a_declined_recovery_stays_declined(tmp_path: Path) -> None:
    busy_session(tmp_path)
    again = project.resume(make_case(), run(project.load(tmp_path, recover=False)))
    assert comparable(again.structures) == comparable(make_case().structures)
    with start(tmp_path, again):
        assert not project.needs_recovery(tmp_path)
        paint(again, 3)
    saved = run(project.load(tmp_path, recover=True))
    assert comparable(saved.structures) == comparable(again.structures)
    assert len(saved.history.done) == 1


def test_a_torn_or_damaged_line(tmp_path: Path) -> None:
    session = ReviewSession(make_case())
    states = [comparable(session.structures)]
    with start(tmp_path, session):
        for k in range(4):
            paint(session, k)
            states.append(comparable(session.structures))
    journal = tmp_path / JOURNAL
    whole = journal.read_bytes()
    journal.write_bytes(whole[:-40])
    saved = run(project.load(tmp_path, recover=True))
    assert comparable(saved.structures) == states[3]
    assert saved.notes == ()
    again = project.resume(make_case(), saved)
    with start(tmp_path, again):  # goes on behind the torn line
        paint(again, 50)
    assert comparable(run(project.load(tmp_path, recover=True)).structures) == comparable(again.structures)

    lines = whole.split(b"\n")
    lines[2] = lines[2].replace(b'"tool":"brush"', b'"tool":"brusk"')
    journal.write_bytes(b"\n".join(lines))
    folder_save = json.loads((tmp_path / project.CASE).read_text())
    (tmp_path / project.CASE).write_text(json.dumps(folder_save | {"revision": 0}))
    saved = run(project.load(tmp_path, recover=True))
    assert saved.revision == 1
    assert len(saved.notes) == 2


def test_a_damaged_save_gives_way_to_the_one_before(tmp_path: Path) -> None:
    session = ReviewSession(make_case())
    with start(tmp_path, session):
        for k in range(3):
            paint(session, k)
            run(project.save(session.snapshot(), tmp_path))
    assert len(list(tmp_path.glob("masks-*.npz"))) == 2
    assert list(tmp_path.glob(".*.tmp")) == []
    newest = tmp_path / json.loads((tmp_path / project.CASE).read_text())["masks"]["file"]
    newest.write_bytes(newest.read_bytes()[:-7])
    saved = run(project.load(tmp_path))
    assert saved.revision == 2
    assert "damaged" in saved.notes[0]
    assert comparable(run(project.load(tmp_path, recover=True)).structures) == comparable(session.structures)
    (tmp_path / project.CASE).write_text("{")
    assert project.needs_recovery(tmp_path)
    assert run(project.load(tmp_path, recover=True)).revision == 3
    (tmp_path / project.PREVIOUS).unlink()
    with pytest.raises(UserError, match="damaged"):
        run(project.load(tmp_path))


def test_a_save_stopped_anywhere_leaves_a_usable_one(tmp_path: Path) -> None:
    session = ReviewSession(make_case())
    with start(tmp_path, session):
        paint(session, 1)
        job = project.save(session.snapshot(), tmp_path)
        next(job)
        job.close()
        assert run(project.load(tmp_path)).revision == 0


CHILD = """
import sys
sys.path.insert(0, {tests!r})
from test_project import *
folder = Path(sys.argv[1])
session = ReviewSession(make_case(), "Dr Demo")
journal = start(folder, session)
for k in range(100000):
    paint(session, k)
    print(session.revision, flush=True)
    if {saving} and k % 3 == 0:
        run(project.save(session.snapshot(), folder))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
@pytest.mark.parametrize("saving", [False, True])
def test_sigkill_costs_at_most_the_last_stroke(tmp_path: Path, saving: bool) -> None:
    for attempt in range(3):
        folder = tmp_path / str(attempt)
        code = CHILD.format(tests=str(Path(__file__).parent), saving=saving)
        env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, env=env) as child:
            assert child.stdout is not None
            child.stdout.readline()
            with pytest.raises(UserError, match="already open"):
                run(project.open_review(ReviewSession(make_case()).snapshot(), folder))
            time.sleep(0.2 + 0.0137 * attempt)
            child.kill()
            told = [int(n) for n in child.stdout.read().split(b"\n")[:-1]]
        last = told[-1] if told else 1
        saved = run(project.load(folder, recover=True))
        assert last <= saved.revision <= last + 1
        assert saved.notes == ()
        reference = ReviewSession(make_case())
        for k in range(saved.revision):
            paint(reference, k)
        got = [s[-1] for s in comparable(saved.structures)]
        assert got == [s[-1] for s in comparable(reference.structures)]
        # The dead process's lock does not stand in the way.
        start(folder, project.resume(make_case(), saved)).close()


FULL_DISK = """
import resource, signal, sys
sys.path.insert(0, {tests!r})
from test_project import *
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
session = ReviewSession(make_case(), "Dr Demo")
journal = start(folder, session)
paint(session, 0)
run(project.save(session.snapshot(), folder))
size = (folder / JOURNAL).stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, size + 100))
errors = 0
for k in range(1, 4):
    try:
        paint(session, k)
    except UserError:
        errors += 1
assert errors == 1, errors
assert session.revision == 4
assert (folder / JOURNAL).stat().st_size == size
resource.setrlimit(resource.RLIMIT_FSIZE, (600, size + 100))
session.add("More")
try:
    run(project.save(session.snapshot(), folder))
except UserError as error:
    assert "last save is intact" in str(error)
else:
    raise AssertionError("saved on a full disk")
saved = run(project.load(folder, recover=True))
assert saved.revision == 1
assert not list(folder.glob(".*.tmp"))
print("fine")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a full disk is played with a POSIX limit")
def test_a_full_disk(tmp_path: Path) -> None:
    code = FULL_DISK.format(tests=str(Path(__file__).parent))
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, env=env)
    assert done.stdout.strip() == "fine", done.stderr


def test_what_could_not_be_journalled_is_tried_again(tmp_path: Path) -> None:
    session = ReviewSession(make_case())
    with start(tmp_path, session) as journal:
        paint(session, 0)
        working = journal._file
        with (tmp_path / JOURNAL).open("rb", buffering=0) as read_only:
            journal._file = read_only
            with pytest.raises(UserError, match="can't be written"):
                paint(session, 1)
            paint(session, 2)
        journal._file = working
        paint(session, 3)
    assert [r.revision for r in read_journal(tmp_path).records] == [1, 2, 3, 4]


def test_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = tmp_path / "images"
    images.mkdir()
    monkeypatch.setenv("CONTOURDESK_HOME", str(tmp_path / "home"))
    case = make_case(images)
    folder = reviews.default_review_folder(case, Settings())
    assert folder.is_relative_to(tmp_path / "home")
    assert folder == reviews.default_review_folder(make_case(images / "again"), Settings())
    assert folder != reviews.default_review_folder(make_case(images, "1.2.840.8"), Settings())
    assert not folder.exists()
    with pytest.raises(UserError, match="image folder"):
        reviews.default_review_folder(case, Settings(review_root=str(images / "reviews")))
    with pytest.raises(UserError, match="image folder"):
        run(project.save(ReviewSession(case).snapshot(), images))
    assert list(images.iterdir()) == []
    in_the_way = tmp_path / "file"
    in_the_way.write_text("x")
    with pytest.raises(UserError, match="could not be saved"):
        run(project.open_review(ReviewSession(case).snapshot(), in_the_way / "review"))


def test_the_start_page_lists_reviews(tmp_path: Path) -> None:
    assert reviews.find_reviews(tmp_path / "none") == []
    session = ReviewSession(make_case())
    session.decide("a", "accepted")
    run(project.save(session.snapshot(), tmp_path / "one"))
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "case.json").write_text("[]")
    (found,) = reviews.find_reviews(tmp_path)
    assert found.title == NAME
    assert found.counts == {"unreviewed": 1, "accepted": 1, "rejected": 0}
    assert found.folder == tmp_path / "one"


def test_no_patient_in_the_journal(tmp_path: Path) -> None:
    busy_session(tmp_path)
    assert b"LEAKTEST" not in (tmp_path / JOURNAL).read_bytes()


def test_another_review_is_not_written_over(tmp_path: Path) -> None:
    session = busy_session(tmp_path)
    run(project.save(session.snapshot(), tmp_path))
    for other in (make_case(), make_case(series_uid="1.5")):
        with pytest.raises(UserError, match="already a review"):
            run(project.open_review(ReviewSession(other).snapshot(), tmp_path))
    with pytest.raises(UserError, match="another image"):
        project.resume(make_case(series_uid="1.5"), run(project.load(tmp_path)))
    content = json.loads((tmp_path / project.CASE).read_text())
    (tmp_path / project.CASE).write_text(json.dumps(content | {"schema": 99}))
    with pytest.raises(UserError, match="newer version"):
        run(project.load(tmp_path))
    with pytest.raises(UserError, match="no review"):
        run(project.load(tmp_path / "none"))


def test_two_at_once_are_refused(tmp_path: Path) -> None:
    session = ReviewSession(make_case())
    journal = start(tmp_path, session)
    with pytest.raises(UserError, match="already open: Somebody has this case open since"):
        Journal(tmp_path, 0)
    journal.close()
    journal.close()
    paint_free = replace(make_case(), structures=None)
    assert len(paint_free.structures) == 0
    with Journal(tmp_path, 0) as second:
        session.journal = None
        paint(session, 0)
        with pytest.raises(ValueError, match="revision"):
            second.attach(session)


def test_a_stroke_is_journalled_fast(tmp_path: Path) -> None:
    """A limit far above the measured time, so that only a mistake (reading, rewriting) trips it."""
    grid = Grid.from_spacing((100, 512, 512), (3, 1, 1))
    volume = Volume(grid, np.broadcast_to(np.int16(0), grid.shape))
    session = ReviewSession(Case(Patient(), volume, Source(Path("/nowhere"), "1.2")))
    new = session.add("Cord")
    rng = np.random.default_rng(0)
    with start(tmp_path, session):
        times = []
        for k in range(20):
            begin = time.perf_counter()
            session.paint(new, (k, 100, 100), rng.random((1, 80, 80)) < 0.5)
            times.append(time.perf_counter() - begin)
    assert last_revision(tmp_path) == 21
    assert np.median(times) < 0.5
    print(f"paint with journal: median {np.median(times) * 1000:.1f} ms")
