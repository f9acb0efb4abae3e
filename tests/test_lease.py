"""Two people, two real processes, one review folder: nobody writes over the other, and nothing is lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from test_project import comparable, make_case, paint, start

from contourdesk.app import lease, project
from contourdesk.app.audit import read_audit, verify
from contourdesk.app.jobs import run
from contourdesk.app.journal import JOURNAL, Journal, encode_line, read_journal
from contourdesk.app.lease import Lease, LeaseLost, ReviewHeld, holder_of
from contourdesk.app.rescue import Place, keep
from contourdesk.app.review import ReviewSession
from contourdesk.app.review_format import record_to_json

# The other reviewer: does one thing for each line that comes in, and answers with a line.
OTHER = """
import sys
sys.path.insert(0, {tests!r})
from test_lease import *
folder = Path(sys.argv[1])
session = ReviewSession(make_case(), "Dr Other")
place = Place(folder, start(folder, session))
print("ready", flush=True)
for line in sys.stdin:
    word = line.strip()
    try:
        if word == "paint":
            paint(session, session.revision)
        elif word == "save":
            kept = run(keep(session.snapshot(), place))
            if kept.place.journal is not place.journal:
                kept.place.journal.attach(session)
            place = kept.place
        print("fine", place.folder.name, flush=True)
    except UserError as error:
        print(type(error).__name__, error, flush=True)
"""


@contextmanager
def other_reviewer(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that has the review open."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    code = "from contourdesk.app.errors import UserError\n" + OTHER.format(tests=str(Path(__file__).parent))
    arguments = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        yield child
        child.kill()


def ask(child: subprocess.Popen[str], word: str) -> str:
    """Have the other reviewer do something."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write(word + "\n")
    child.stdin.flush()
    return child.stdout.readline().strip()


def test_the_second_is_told_who_and_takes_over_on_purpose_only(tmp_path: Path) -> None:
    folder = tmp_path / "review"
    with other_reviewer(folder) as child:
        assert ask(child, "paint").startswith("fine")
        holder = holder_of(folder)
        assert holder is not None
        assert (holder.name, holder.stale, holder.dead) == ("Dr Other", False, False)
        assert holder.text.startswith("Dr Other has this case open since ")
        before = {p.name: p.read_bytes() for p in folder.iterdir()}
        with pytest.raises(ReviewHeld, match="Dr Other has this case open since"):
            run(project.open_review(ReviewSession(make_case(), "Dr Me").snapshot(), folder))
        assert {p.name: p.read_bytes() for p in folder.iterdir()} == before  # looking changes nothing

        mine = project.resume(make_case(), run(project.load(folder, recover=True)))
        mine.reviewer = "Dr Me"
        assert mine.revision == 1
        journal = run(project.open_review(mine.snapshot(), folder, take_over=True))
        journal.attach(mine)
        paint(mine, 7)
        run(project.save(mine.snapshot(), folder, journal))
        kept = {p.name: p.read_bytes() for p in folder.iterdir()}

        assert ask(child, "paint").startswith("LeaseLost Dr Me took this review over at ")
        answer = ask(child, "save")
        assert answer.startswith("fine review-mine-")  # the loser's edits lie beside it
        assert ask(child, "paint").startswith("fine")
        assert {p.name: p.read_bytes() for p in folder.iterdir()} == kept
        side = folder.with_name(answer.split()[1])
    theirs = run(project.load(side, recover=True))
    reference = ReviewSession(make_case())
    for k in range(3):
        paint(reference, k)
    assert [s[-1] for s in comparable(theirs.structures)] == [s[-1] for s in comparable(reference.structures)]
    journal.close()
    again = run(project.load(folder))
    assert comparable(again.structures) == comparable(mine.structures)
    assert holder_of(folder) is None
    assert [e["from"] for e in read_audit(folder) if e["what"] == "take over"] == ["Dr Other"]
    assert verify(folder) == []
    assert verify(side) == []


def test_a_dead_holder_on_this_machine_is_no_holder(tmp_path: Path) -> None:
    with other_reviewer(tmp_path) as child:
        child.kill()
    with start(tmp_path, ReviewSession(make_case())) as journal:
        assert journal.lease.before is not None
        assert journal.lease.before.dead
    assert any(e["what"] == "recovery" for e in read_audit(tmp_path))


def elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let leases look as if another machine wrote them, on a drive without locks."""
    monkeypatch.setattr(lease.socket, "gethostname", lambda: "PC7")
    monkeypatch.setattr(lease, "system_lock", lambda file, at: (_ for _ in ()).throw(OSError("no locks")))


def test_without_locks_the_sign_of_life_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        elsewhere(patch)
        first = Lease(tmp_path, "Dr X")
    with pytest.raises(ReviewHeld, match="on PC7"):
        Lease(tmp_path, "Dr Y")
    file = tmp_path / "lease-1.json"
    old = file.stat().st_mtime - lease.STALE_S - 5
    os.utime(file, (old, old))
    holder = holder_of(tmp_path)
    assert holder is not None
    assert holder.stale
    second = Lease(tmp_path, "Dr Y")
    assert second.before is not None
    assert second.before.stale
    with pytest.raises(LeaseLost, match="Dr Y took this review over"):
        first.check()
    second.check()
    first.release()  # the loser's way out must not free the folder
    with pytest.raises(ReviewHeld):
        Lease(tmp_path, "Dr Z")
    second.release()
    Lease(tmp_path, "Dr Z").release()


def test_the_beat_keeps_it_alive_and_notices_the_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "BEAT_S", 0.02)
    first = Lease(tmp_path, "Dr X")
    file = tmp_path / "lease-1.json"
    os.utime(file, (1, 1))
    for _ in range(200):
        if file.stat().st_mtime > 1:
            break
        first._thread.join(0.02)
    assert file.stat().st_mtime > 1
    second = Lease(tmp_path, "Dr Y", take_over=True)
    first._thread.join(5)
    assert first.lost
    assert not file.exists()  # nor is it made anew
    second.release()
    first.release()


def test_one_of_many_gets_a_stale_folder(tmp_path: Path) -> None:
    """The file with the next number is made by one only, whoever else wanted it in the same moment."""
    first = Lease(tmp_path, "Dr X")
    (tmp_path / "lease-2.json").write_text("")  # another is quicker, and has not written its name yet
    with pytest.raises(LeaseLost):
        first.check()
    with pytest.raises(ReviewHeld):
        Lease(tmp_path, "Dr Z")
    first.release()


def test_lines_of_one_who_had_lost_the_folder_do_not_count(tmp_path: Path) -> None:
    session = ReviewSession(make_case())
    records = []
    with start(tmp_path, session) as journal:
        session.journal = lambda record: (records.append(record), journal.append(record))
        paint(session, 0)
        paint(session, 1)
        session.journal = None
    with (tmp_path / JOURNAL).open("ab") as file:
        for epoch, record in ((3, records[1]), (2, records[1]), (2, records[0])):
            file.write(encode_line(record_to_json(record) | {"epoch": epoch}))
    assert [r.revision for r in read_journal(tmp_path).records] == [1, 2, 2]


def test_going_on_after_a_pause_only_if_nobody_was_here(tmp_path: Path) -> None:
    session = ReviewSession(make_case())
    journal = start(tmp_path, session)
    paint(session, 0)
    journal.close()
    place = Place(tmp_path, None, None, journal.give_up())
    assert place.waiting.epoch == 1
    kept = run(keep(session.snapshot(), place))
    assert kept.place.folder == tmp_path
    assert kept.place.journal is not None
    place = Place(tmp_path, None, None, kept.place.journal.give_up())
    with Journal(tmp_path, 1, "Dr Y"):
        pass
    paint(session, 1)
    kept = run(keep(session.snapshot(), place))
    assert kept.place.folder != tmp_path
    assert kept.place.lost_to is not None
    assert kept.place.lost_to.name == "Dr Y"
    assert kept.place.journal is not None
    kept.place.journal.close()


def test_coming_back_to_a_drive_that_was_away_without_a_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that could not be given back is known as our own, though nothing else tells that it has ended."""
    folder, away = tmp_path / "review", tmp_path / "away"
    session = ReviewSession(make_case())
    elsewhere(monkeypatch)
    journal = start(folder, session)
    folder.rename(away)
    waiting = journal.give_up()
    away.rename(folder)
    assert "released" not in (folder / "lease-1.json").read_text()
    kept = run(keep(session.snapshot(), Place(folder, None, None, waiting)))
    assert kept.place.folder == folder
    assert kept.place.journal is not None
    kept.place.journal.close()
