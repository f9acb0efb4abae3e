"""A disk that is full, a folder that goes away, a share that can't be written: nothing is lost, and it goes on."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from test_project import comparable, make_case, paint, start

from contourdesk.app import project
from contourdesk.app.audit import read_audit, verify
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import run
from contourdesk.app.journal import JOURNAL, read_journal
from contourdesk.app.record_keeper import RecordKeeper
from contourdesk.app.rescue import Kept, Place, keep, rescue_folders
from contourdesk.app.review import Record, ReviewSession


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """User data in the test's own folder."""
    monkeypatch.setenv("CONTOURDESK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = sys.platform == "linux" and os.geteuid() == 0
    if mounted:
        command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
        mounted = subprocess.run(command, check=False, capture_output=True).returncode == 0
    if not mounted:
        pytest.skip("no small disk can be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


class Desk:
    """A session that is kept as autosave does it, without a window."""

    def __init__(self, folder: Path) -> None:
        self.session = ReviewSession(make_case(), "Dr Demo")
        self.keeper = RecordKeeper()
        self._put(Place(folder, start(folder, self.session)))

    def _put(self, place: Place) -> None:
        self.place = place
        if place.journal is not None:
            place.journal.attach(self.session)
        self.keeper.journal, self.keeper.rescue = place.journal, place.rescue
        self.session.journal = self.keeper.put

    def save(self) -> Kept:
        """Save, wherever it can be done."""
        waiting = self.place.waiting
        records = (*waiting.records, *self.keeper.take_missed())
        place = Place(self.place.folder, self.place.journal, self.place.rescue, type(waiting)(records, waiting.entries,
                      waiting.epoch), self.place.lost_to)  # fmt: skip
        kept = run(keep(self.session.snapshot(), place))
        self._put(kept.place)
        return kept

    def paint(self, *numbers: int) -> None:
        """Some strokes."""
        for k in numbers:
            paint(self.session, k)
        assert self.keeper.flush(10)

    def close(self) -> None:
        """End it."""
        self.keeper.close(5)
        for journal in (self.place.journal, self.place.rescue):
            if journal is not None:
                journal.close()

    def same(self, folder: Path) -> bool:
        """Whether a folder has all of it, by its last save and journal."""
        saved = run(project.load(folder, recover=True))
        return comparable(saved.structures) == comparable(self.session.structures)


def test_a_full_disk(small_disk: Path, home: Path) -> None:
    desk = Desk(small_disk / "review")
    desk.paint(0, 1)
    assert desk.save().error is None
    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(1024))
    rng = np.random.default_rng(0)
    for k in range(6):  # noise doesn't get smaller by packing
        desk.session.paint("b", (0, 0, 0), rng.random((20, 64, 64)) < 0.5, f"noise{k}")
    assert desk.keeper.flush(10)
    failure = desk.keeper.take_failure()
    assert failure is not None
    assert "No space left" in str(failure)
    kept = desk.save()
    assert kept.error is not None
    assert "No space left" in str(kept.error)
    assert kept.place.rescue is not None
    rescue = kept.place.rescue.folder
    assert rescue.is_relative_to(home)
    assert desk.same(rescue)
    assert run(project.load(small_disk / "review")).revision == 2  # the last save on the full disk is intact
    desk.paint(40, 41)  # work goes on, each stroke at once in the copy
    assert desk.same(rescue)
    assert desk.save().error is not None

    ballast.unlink()
    kept = desk.save()
    assert kept.error is None
    assert not rescue.exists()
    assert desk.same(small_disk / "review")
    revisions = [r.revision for r in read_journal(small_disk / "review").records]
    assert revisions == list(range(1, desk.session.revision + 1))  # the undo history has no gap
    desk.close()
    assert verify(small_disk / "review") == []
    edits = [e["revision"] for e in read_audit(small_disk / "review") if "revision" in e]
    assert edits == revisions


def test_a_folder_that_goes_away_and_comes_back(tmp_path: Path) -> None:
    folder = tmp_path / "drive" / "review"
    desk = Desk(folder)
    desk.paint(0)
    (tmp_path / "drive").rename(tmp_path / "pulled")
    desk.paint(1)
    assert desk.keeper.take_failure() is not None
    (tmp_path / "drive").write_text("no drive here")
    kept = desk.save()
    assert kept.error is not None
    assert kept.place.rescue is not None
    desk.paint(2)
    assert desk.same(kept.place.rescue.folder)
    (tmp_path / "drive").unlink()
    (tmp_path / "pulled").rename(tmp_path / "drive")
    assert desk.save().error is None
    assert desk.same(folder)
    assert [r.revision for r in read_journal(folder).records] == [1, 2, 3]
    desk.paint(3)
    desk.close()
    assert desk.same(folder)
    assert verify(folder) == []


def test_a_folder_that_is_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "review"
    desk = Desk(folder)
    desk.paint(0)
    shutil.rmtree(folder)
    desk.paint(1)
    failure = desk.keeper.take_failure()
    assert failure is not None  # a file that is gone swallows what is written without a word
    assert "can't be written" in str(failure)
    first = desk.save()
    if first.error is not None:
        assert desk.save().error is None
    desk.paint(2)
    desk.close()
    assert desk.same(folder)


READ_ONLY = """
import sys
sys.path.insert(0, {tests!r})
from test_rescue import *
import encodings.cp437  # of zip files; what is imported later can't be read any more
os.setresuid(65534, 65534, 65534)
desk = Desk(Path(sys.argv[1]) / "review")
desk.paint(0)
assert desk.save().error is None
os.chmod(desk.place.folder, 0o500)
for file in desk.place.folder.iterdir():
    os.chmod(file, 0o400)
desk.paint(1)  # an open file can still be written
desk.save()
desk.paint(2)
kept = desk.save()
assert "Permission denied" in str(kept.error), kept.error
assert desk.same(kept.place.rescue.folder)
desk.close()
print("fine")
"""


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="needs to become a user without rights")
def test_a_share_that_turns_read_only(home: Path, tmp_path: Path) -> None:
    share = Path("/tmp") / f"share-{os.getpid()}"  # pytest's own folder is closed to others
    share.mkdir(mode=0o777)
    os.chmod(share, 0o777)
    try:
        env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "CONTOURDESK_HOME": str(share / "home")}
        code = READ_ONLY.format(tests=str(Path(__file__).parent))
        arguments = [sys.executable, "-c", code, str(share)]
        done = subprocess.run(arguments, capture_output=True, text=True, env=env, check=False)
        assert done.stdout.strip() == "fine", done.stderr
    finally:
        shutil.rmtree(share)


class SlowJournal:
    """A journal on a drive that hangs."""

    def __init__(self) -> None:
        self.go_on = threading.Event()
        self.written: list[int] = []

    def append(self, record: Record) -> None:
        self.go_on.wait(20)
        self.written.append(record.revision)


def test_a_drive_that_hangs_stops_no_hand() -> None:
    journal, session = SlowJournal(), ReviewSession(make_case())
    keeper = RecordKeeper(journal)  # type: ignore[arg-type]
    session.journal = keeper.put
    for k in range(3):
        paint(session, k)
    assert journal.written == []  # and yet the strokes are done
    assert not keeper.flush(0.01)
    journal.go_on.set()
    assert keeper.flush(10)
    keeper.close(5)
    assert journal.written == [1, 2, 3]


def test_nowhere_at_all_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(tmp_path / "review")
    desk.paint(0)
    file = tmp_path / "file"
    file.write_text("")
    monkeypatch.setattr("contourdesk.app.rescue.rescue_folders", lambda folder: iter([file / "x"]))
    shutil.rmtree(tmp_path / "review")
    (tmp_path / "review").write_text("in the way")
    with pytest.raises(UserError, match="review could not be saved"):
        run(keep(desk.session.snapshot(), desk.place))
    desk.close()


def test_the_copy_never_lies_where_the_review_lies(home: Path) -> None:
    inside = home / "rescued" / "review"
    assert all(folder.parent != inside.parent for folder in rescue_folders(inside))
    assert JOURNAL
