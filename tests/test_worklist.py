"""The worklist: an index that can be lost, of cases that are looked at once, and of reviews as they are."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from phantoms import make_ct

from contourdesk.app import worklist_scan
from contourdesk.app.dicom_read import read_series
from contourdesk.app.jobs import run
from contourdesk.app.opening import open_path
from contourdesk.app.project import open_review, save
from contourdesk.app.read_ahead import read_ahead, still_true
from contourdesk.app.review import ReviewSession
from contourdesk.app.reviews import default_review_folder
from contourdesk.app.settings import Settings
from contourdesk.app.structures import Mask
from contourdesk.app.worklist import FILE, Row, filter_rows, next_row, sort_rows, summary
from contourdesk.app.worklist_scan import known, update

CUBE = Mask((1, 2, 3), np.ones((2, 3, 4), bool))


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """A folder of cases: three CTs, an image file, a folder of something else."""
    folder = tmp_path / "cases"
    for name, patient in (("a", "Alpha^Ann"), ("b", "Beta^Bob"), ("c", "Gamma^Cid")):
        make_ct(folder / name / "images", (5, 16, 16), patient=patient)
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 8, 8), np.int16)), str(folder / "d.nii.gz"))
    (folder / "e").mkdir()
    (folder / "e" / "notes.txt").write_text("nothing here")
    (folder / "readme.txt").write_text("loose")
    return folder


def review(
    place: Path, reviews: Path, *states: str, findings: dict[str, int] | None = None, name: str = "Dr A"
) -> Path:
    """Make a saved review of a case with structures in these states."""
    opened = run(open_path(place))
    case = run(read_series(opened[0])) if isinstance(opened, list) else opened
    session = ReviewSession(case, name)
    folder = default_review_folder(case, Settings(review_root=str(reviews)))
    with run(open_review(session.snapshot(), folder)) as journal:
        journal.attach(session)
        for number, state in enumerate(states):
            new = session.add(f"S{number}", mask=CUBE)
            session.decide(new, state)
        run(save(session.snapshot(), folder, journal, {"findings": findings} if findings else None))
    return folder


def test_cases_and_their_reviews(cases: Path, tmp_path: Path) -> None:
    reviews = tmp_path / "reviews"
    assert run(known([cases], reviews)) == []
    rows = {row.place.name: row for row in run(update([cases], reviews))}
    assert list(rows) == ["a", "b", "c", "d.nii.gz", "e"]
    assert {name: row.state for name, row in rows.items()} == {
        "a": "new", "b": "new", "c": "new", "d.nii.gz": "new", "e": "can't be opened",
    }  # fmt: skip
    assert (rows["a"].patient, rows["a"].slices, rows["a"].findings) == ("Alpha^Ann", 5, None)
    assert "no DICOM images" in rows["e"].problem

    folder = review(cases / "a", reviews, "accepted", "rejected", findings={"error": 1, "warning": 2})
    review(cases / "b", reviews, "accepted", "unreviewed", name="Dr B")
    review(cases / "d.nii.gz", reviews)
    shutil.copytree(folder, folder.with_name(folder.name + "-mine-2"))  # a copy never stands for the review
    rows = {row.place.name: row for row in run(update([cases], reviews))}
    a, b, d = rows["a"], rows["b"], rows["d.nii.gz"]
    assert (a.state, a.decided, a.total, a.findings, a.reviewer, a.review) == ("done", 2, 2, 3, "Dr A", folder)
    assert (b.state, b.decided, b.total, b.findings, b.reviewer) == ("in review", 1, 2, None, "Dr B")
    assert d.state == "in review"
    assert a.when
    assert run(known([cases], reviews)) == list(rows.values())
    assert summary(list(rows.values())) == "5 cases: 1 new, 2 in review, 1 done, 1 can't be opened"


def test_a_case_is_looked_at_once_until_it_changes(
    cases: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    scan = worklist_scan.scan
    monkeypatch.setattr(worklist_scan, "scan", lambda place: (looked.append(place.name), scan(place))[1])
    reviews = tmp_path / "reviews"
    run(update([cases], reviews))
    assert looked == ["a", "b", "c", "e"]
    looked.clear()
    run(update([cases], reviews))
    assert looked == []
    next((cases / "b" / "images").iterdir()).unlink()
    shutil.rmtree(cases / "c")
    rows = run(update([cases], reviews))
    assert looked == ["b"]
    assert [row.place.name for row in rows] == ["a", "b", "d.nii.gz", "e"]
    assert [row.place.name for row in run(known([cases / "none"], reviews))] == []
    away = cases.with_name("unplugged")
    cases.rename(away)
    assert len(run(update([cases], reviews))) == 4  # a drive that is away is not an empty one


def test_the_index_can_be_lost_damaged_or_unwritable(cases: Path, tmp_path: Path) -> None:
    reviews = tmp_path / "reviews"
    review(cases / "a", reviews, "accepted")
    rows = run(update([cases], reviews))
    file = reviews / FILE
    with sqlite3.connect(file) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        connection.execute("PRAGMA user_version = 99")
    assert run(update([cases], reviews)) == rows
    file.write_bytes(b"no database" * 100)
    assert run(update([cases], reviews)) == rows
    file.unlink()
    file.mkdir()  # can't be opened
    assert run(update([cases], reviews)) == rows
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder of reviews should be")
    assert [row.state for row in run(update([cases], blocked))][:4] == ["new"] * 4


LOOK = """
import sys
from pathlib import Path
from contourdesk.app.jobs import run
from contourdesk.app.worklist_scan import update
for _ in range(6):
    rows = run(update([Path(sys.argv[1])], Path(sys.argv[2])))
    next(p for p in Path(sys.argv[1]).rglob("slice*.dcm")).touch()
print(len(rows))
"""


def test_two_may_look_at_once(cases: Path, tmp_path: Path) -> None:
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [sys.executable, "-c", LOOK, str(cases), str(tmp_path / "reviews")]
    both = [subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=env) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in both] == ["5", "5"]
    assert [process.returncode for process in both] == [0, 0]


def test_an_open_review_says_whose(cases: Path, tmp_path: Path) -> None:
    reviews = tmp_path / "reviews"
    folder = review(cases / "a", reviews, "unreviewed")
    case = run(read_series(run(open_path(cases / "a"))[0]))
    with run(open_review(ReviewSession(case, "Dr B", revision=5).snapshot(), folder)):
        row = run(update([cases], reviews))[0]
        assert row.held_by.startswith("Dr B has this case open since ")
        assert next_row([row], None) is None
    assert run(update([cases], reviews))[0].held_by == ""


def rows() -> list[Row]:
    """Five made-up cases."""
    place = Path("/cases")
    return [
        Row(place / "1", "1", "Zeta^Zoe", "2024-01-02", "CT neck", 100, state="done", total=4, accepted=4, findings=10),
        Row(place / "2", "2", "alpha^al", "2023-01-02", "CT thorax", 90, state="in review", total=4, accepted=1,
            rejected=2, findings=9, reviewer="Dr B"),
        Row(place / "3", "3", "Mu^Max", "", "CT neck", 9),
        Row(place / "4", "4", "", "", "", 0, problem="damaged", state="can't be opened"),
        Row(place / "5", "5", "Nu^Nina", "2022-01-02", "CT neck", 20, state="in review", total=3, held_by="Dr C"),
    ]  # fmt: skip


def test_sorting() -> None:
    def order(column: str, *, descending: bool = False) -> str:
        return "".join(row.uid for row in sort_rows(rows(), column, descending=descending))

    assert order("patient") == "23514"
    assert order("patient", descending=True) == "15324"
    assert order("date") == "52134"
    assert order("slices") == "43521"
    assert order("state") == "32514"
    assert order("decided") == "52134"
    assert order("findings", descending=True) == "12345"
    with pytest.raises(KeyError):
        order("nothing")


def test_filters_and_the_next_case() -> None:
    assert [row.uid for row in filter_rows(rows(), "neck zoe")] == ["1"]
    assert [row.uid for row in filter_rows(rows(), "NECK", ("new", "done"))] == ["1", "3"]
    found = rows()
    assert next_row(found, None) == found[1]
    assert next_row(found, found[1].key) == found[2]
    assert next_row(found, found[2].key) == found[1]  # round the end, past damage and another's case
    assert next_row(found[:1], None) is None
    assert next_row(found[1:2], found[1].key) is None


def test_reading_ahead(cases: Path, tmp_path: Path) -> None:
    (info,) = run(open_path(cases / "a"))
    ahead = run(read_ahead(cases / "a", info.uid))
    assert ahead is not None
    case = run(still_true(ahead))
    assert case is ahead.case
    assert np.array_equal(case.volume.array, run(read_series(info)).volume.array)
    file = info.files[2]
    os.utime(file, (1, 2**31))
    assert run(still_true(ahead)) is None
    shutil.rmtree(cases / "a")
    assert run(still_true(ahead)) is None
    assert run(read_ahead(cases / "a", info.uid)) is None
    assert run(read_ahead(cases / "e", "")) is None
    assert run(read_ahead(cases / "b", "", most_bytes=1000)) is None  # too big
    make_ct(cases / "b" / "more", (4, 8, 8))
    assert run(read_ahead(cases / "b", "")) is None  # two series: the reviewer chooses
    image = run(read_ahead(cases / "d.nii.gz", ""))
    assert image is not None
