"""Fills the worklist: looks for cases in folders and for their reviews, and reads only what has changed since."""

from __future__ import annotations

import json
import logging
import os
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from contourdesk.app.archives import is_archive
from contourdesk.app.dicom_read import scan
from contourdesk.app.errors import UserError
from contourdesk.app.image_read import is_image_file
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.learning_order import scores, unsure_in
from contourdesk.app.lease import holder_of
from contourdesk.app.structures import ACCEPTED
from contourdesk.app.worklist import FILE, Row, database, writing

log = logging.getLogger(__name__)

_CASE = "case.json"
_COPIES = ("-kept-", "-mine-")  # in the names of reviews that lie beside the one in force
_PICTURE = "image file"


def known(folders: Sequence[Path], reviews: Path) -> Job[list[Row]]:
    """The rows as they were found last; quick, to have something to show. `reviews` is the folder of reviews."""
    yield Progress(0, 0, "Reading the worklist")
    with database(reviews / FILE) as connection:
        return _rows(connection, folders, reviews)


def update(folders: Sequence[Path], reviews: Path) -> Job[list[Row]]:
    """Look through the folders for cases and for reviews, and return the rows.

    A case is a sub-folder of one of `folders`, an image file in it, or the folder itself when DICOM files lie in it.
    What can't be read becomes a row that says so; folders that aren't there are left as they were.
    """
    with database(reviews / FILE) as connection:
        yield Progress(0, 0, "Looking for cases")
        wanted = [(folder, place) for folder in folders if folder.is_dir() for place in _places(folder)]
        for number, (folder, place) in enumerate(wanted):
            yield Progress(number, len(wanted), f"Looking at {place.name}")
            yield from _look_at(connection, folder, place)
        _forget(connection, [folder for folder in folders if folder.is_dir()], {str(place) for _, place in wanted})
        yield Progress(len(wanted), len(wanted), "Looking for reviews")
        _read_reviews(connection, reviews)
        return _rows(connection, folders, reviews)


def reviews_of(reviews: Path) -> Job[list[Row]]:
    """The reviews in a folder of reviews as rows, whether their cases are on a worklist or not; copies are left out."""
    yield Progress(0, 0, "Looking for reviews")
    with database(reviews / FILE) as connection:
        _read_reviews(connection, reviews)
        by_uid, by_image = _reviews_in_force(connection, reviews)
        found = {r[0]: r for r in (*by_uid.values(), *by_image.values()) if not _is_copy(r[0])}
        rows = [_with_review(Row(Path(r[2]), r[1], r[3], "", "", 0), r) for r in found.values()]
        return sorted(rows, key=lambda row: (row.patient, str(row.place)))


# -- cases -------------------------------------------------------------------------------------------------------


def _places(folder: Path) -> list[Path]:
    """What may be a case in a folder."""
    found, loose = [], False
    for entry in sorted(folder.iterdir()):
        if entry.is_dir() or is_image_file(entry) or is_archive(entry):
            found.append(entry)
        else:
            loose = loose or not entry.name.startswith(".")
    return [folder, *found] if loose and _has_dicom(folder) else found


def _has_dicom(folder: Path) -> bool:
    for path in folder.iterdir():
        if path.is_file():
            with path.open("rb") as file:
                if file.read(132)[128:] == b"DICM":
                    return True
    return False


def place_mark(place: Path, *, deep: bool = True) -> str:
    """A mark that changes when files of a case come, go or change. Raises OSError."""
    if place.is_file():
        found = place.stat()
        return f"{found.st_size} {found.st_mtime_ns}"
    count = size = newest = 0
    for top, folders, names in os.walk(place):
        if not deep:
            folders.clear()
        for name in names:
            found = os.stat(os.path.join(top, name))
            count, size, newest = count + 1, size + found.st_size, max(newest, found.st_mtime_ns)
    return f"{count} {size} {newest}"


def _look_at(connection: sqlite3.Connection, folder: Path, place: Path) -> Job[None]:
    """Note the series of a place, unless they were noted and nothing has changed."""
    try:
        mark = place_mark(place, deep=place != folder)
    except OSError:
        return
    row = connection.execute("SELECT mark, folder FROM place WHERE path = ?", (str(place),)).fetchone()
    if row is not None and row[0] == mark:
        if row[1] != str(folder):
            with writing(connection):
                connection.execute("UPDATE place SET folder = ? WHERE path = ?", (str(folder), str(place)))
        return
    series = yield from _series(place)
    with writing(connection):
        connection.execute("INSERT OR REPLACE INTO place VALUES (?, ?, ?)", (str(place), str(folder), mark))
        connection.execute("DELETE FROM series WHERE place = ?", (str(place),))
        for number, values in enumerate(series):
            uid, *others = values
            connection.execute("INSERT INTO series VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (str(place), uid, number, *others))


def _series(place: Path) -> Job[list[tuple[str, str, str, str, int, str]]]:
    """UID, patient, date, description, slices and problem of each series of a place that could be reviewed."""
    if place.is_file() and not is_archive(place):
        return [("", "", "", _PICTURE, 0, "")]
    try:
        found = yield from scan(place)
    except UserError as error:
        return [("", "", "", "", 0, error.message)]
    chosen = [s for s in found if s.usable or s.resample is not None]
    return [(s.uid, s.patient_name, s.date, s.description, s.slices, "") for s in chosen]


def _forget(connection: sqlite3.Connection, folders: Sequence[Path], places: set[str]) -> None:
    """Take places off the list that are gone from their folders."""
    marks = ", ".join("?" * len(folders))
    there = connection.execute(f"SELECT path FROM place WHERE folder IN ({marks})", [str(f) for f in folders])
    gone = [path for (path,) in there.fetchall() if path not in places]
    if gone:
        with writing(connection):
            for path in gone:
                connection.execute("DELETE FROM place WHERE path = ?", (path,))
                connection.execute("DELETE FROM series WHERE place = ?", (path,))


# -- reviews -----------------------------------------------------------------------------------------------------


def _read_reviews(connection: sqlite3.Connection, root: Path) -> None:
    """Note the state of all reviews in a folder that were saved since they were noted."""
    noted = connection.execute("SELECT folder, mark FROM review WHERE root = ?", (str(root),)).fetchall()
    before: dict[str, str] = dict(noted)
    seen = set()
    for file in sorted(root.glob(f"*/{_CASE}")):
        folder = str(file.parent)
        try:
            found = file.stat()
            mark = f"{found.st_size} {found.st_mtime_ns}"
            seen.add(folder)
            if before.get(folder) == mark:
                continue
            values = (*review_values(json.loads(file.read_text("utf-8"))), json.dumps(unsure_in(file.parent)))
        except (OSError, ValueError, KeyError, TypeError):
            log.warning("a review could not be listed", exc_info=True)
            continue
        with writing(connection):
            marks = ", ".join("?" * (3 + len(values)))
            connection.execute(f"INSERT OR REPLACE INTO review VALUES ({marks})", (folder, str(root), mark, *values))
    gone = before.keys() - seen
    if gone:
        with writing(connection):
            connection.executemany("DELETE FROM review WHERE folder = ?", [(folder,) for folder in gone])


def review_values(read: dict[str, Any]) -> tuple[object, ...]:
    """What the worklist notes of a ``case.json``. Raises KeyError, TypeError, ValueError."""
    states = [s["header"]["decision"]["state"] for s in read["structures"]]
    accepted, rejected = sum(state in ACCEPTED for state in states), states.count("rejected")
    findings = read.get("findings")
    count = sum(int(n) for n in findings.values()) if isinstance(findings, dict) else None
    case = read["case"]
    texts = (str(case["series_uid"]), str(case["path"]), str(case["patient_name"]))
    return (*texts, len(states), accepted, rejected, count, str(read["reviewer"]), str(read["saved_at"]))


# -- rows --------------------------------------------------------------------------------------------------------


def _rows(connection: sqlite3.Connection, folders: Sequence[Path], reviews: Path) -> list[Row]:
    """All rows of these folders with the reviews in `reviews`."""
    marks = ", ".join("?" * len(folders))
    query = (
        "SELECT s.place, s.uid, s.patient, s.date, s.description, s.slices, s.problem FROM series s "
        f"JOIN place p ON p.path = s.place WHERE p.folder IN ({marks}) ORDER BY s.place, s.number"
    )
    by_uid, by_image = _reviews_in_force(connection, reviews)
    out, unsure = list[Row](), dict[tuple[str, str], dict[str, float]]()
    for place, uid, patient, date, description, slices, problem in connection.execute(query, [str(f) for f in folders]):
        row = Row(Path(place), uid, patient, date, description, slices, problem)
        review = by_uid.get(uid) if uid else by_image.get(place)
        out.append(_with_review(row, review))
        unsure[row.key] = {} if review is None else json.loads(review[10])
    learn = scores(unsure)
    return [replace(row, learn=learn.get(row.key)) for row in out]


_Review = tuple[str, str, str, str, int, int, int, int | None, str, str, str]


def _reviews_in_force(connection: sqlite3.Connection, root: Path) -> tuple[dict[str, _Review], dict[str, _Review]]:
    """Reviews by the UID of their series, and by the path of their image."""
    names = "folder, uid, image, patient, total, accepted, rejected, findings, reviewer, saved_at, unsure"
    found: Iterable[_Review] = connection.execute(f"SELECT {names} FROM review WHERE root = ?", (str(root),)).fetchall()
    # Copies come first, and of equals the last saved last, so that the one in force is put in last.
    ordered = sorted(found, key=lambda r: (not _is_copy(r[0]), r[9]))
    return {r[1]: r for r in ordered}, {r[2]: r for r in ordered}


def _is_copy(folder: str) -> bool:
    return any(word in Path(folder).name for word in _COPIES)


def _with_review(row: Row, review: _Review | None) -> Row:
    if review is None:
        return replace(row, state="can't be opened" if row.problem else "new")
    folder, _, _, patient, total, accepted, rejected, findings, reviewer, when, _ = review
    done = 0 < total == accepted + rejected
    untouched = not reviewer and not accepted + rejected  # proposals that were made overnight
    return replace(
        row,
        patient=row.patient or patient,
        state="can't be opened" if row.problem else "done" if done else "new" if untouched else "in review",
        total=total,
        accepted=accepted,
        rejected=rejected,
        findings=findings,
        reviewer=reviewer,
        when=when,
        review=Path(folder),
        held_by=_held_by(Path(folder)),
    )


def _held_by(folder: Path) -> str:
    try:
        holder = holder_of(folder)
    except OSError:
        return ""
    return holder.text if holder is not None and not (holder.dead or holder.stale) else ""
