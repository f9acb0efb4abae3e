"""Many cases in a row: which they are, when one is done, and what came of each.

A case is done when its folder under the output holds ``contourdesk.json`` with the same input, model and options. The
folder is put into place whole by one rename, so that a run that was killed leaves cases that are done and others that
are not, and nothing between.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from contourdesk.app.archives import is_archive
from contourdesk.app.dicom_headers import Header, read_header
from contourdesk.app.errors import UserError
from contourdesk.app.evaluate_work import CaseResult, ModelUse
from contourdesk.app.files import flush_folder, write_atomically
from contourdesk.app.image_read import case_name, is_image_file
from contourdesk.app.segment_command import expand, free_name

RECORD = "contourdesk.json"
SUMMARY = "summary.csv"
_LISTS = (".txt", ".lst")


@dataclass(frozen=True)
class How:
    """Options of a batch that segments; see `contourdesk segment`."""

    formats: tuple[str, ...] | None = None
    folds: tuple[str, ...] | None = None
    organs: tuple[str, ...] | None = None
    mirroring: bool = True
    resample: bool = False
    device: str = "auto"

    @property
    def recorded(self) -> dict[str, Any]:
        """What must be the same for a case to count as done; the model's key holds the rest."""
        return {"formats": None if self.formats is None else list(self.formats), "resample": self.resample}


@dataclass(frozen=True)
class SegmentTask:
    """One case to segment: its name in the output, where it lies, with which model and how."""

    name: str
    path: Path
    out: Path
    use: ModelUse
    how: How

    @property
    def folder(self) -> Path:
        """Where its results go."""
        return self.out / self.name


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Parameters
    ----------
    state : "done", "skipped" (done in an earlier run) or "failed".
    reason : one sentence, for a failed one.  bug : whether that is a fault of the program.
    structures : how many were found.  where : machine and process.
    result : scores, when the case was evaluated.
    """

    name: str
    state: str
    reason: str = ""
    bug: bool = False
    seconds: float = 0.0
    structures: int = 0
    where: str = ""
    notes: tuple[str, ...] = ()
    result: CaseResult | None = None


# -- which cases -----------------------------------------------------------------------------------------------------


def find_places(paths: Sequence[Path]) -> list[Path]:
    """The cases that are meant: of a folder its images or sub-folders, of a list or worklist what stands in it.

    Raises
    ------
    UserError : a list or worklist can't be read, or there is no case at all.
    """
    out: list[Path] = []
    for path in paths:
        if path.is_file() and path.suffix.lower() in _LISTS:
            out += _listed(path)
        elif path.is_file() and path.suffix.lower() == ".sqlite":
            out += _in_worklist(path)
        else:
            out += _in_folder(path) if path.is_dir() else [path]
    if not out:
        raise UserError("There are no cases.", "Give a folder of cases, cases, or a list of them.")
    return list(dict.fromkeys(out))


def _in_folder(folder: Path) -> list[Path]:
    images = list(expand([folder]))
    if images != [folder]:
        return images
    entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith("."))
    if any(entry.is_file() and not is_archive(entry) and _is_dicom(entry) for entry in entries):
        return [folder]
    inside = [entry for entry in entries if entry.is_dir() or is_archive(entry)]
    return inside or [folder]


def _is_dicom(path: Path) -> bool:
    return isinstance(read_header(path), Header)


def _listed(path: Path) -> list[Path]:
    try:
        lines = [line.strip() for line in path.read_text("utf-8-sig").splitlines()]
    except (OSError, ValueError) as error:
        raise UserError(f"The list {path} can't be read.", "Save it as plain text, one path a line.") from error
    return [path.parent / line for line in lines if line and not line.startswith("#")]


def _in_worklist(path: Path) -> list[Path]:
    try:
        with contextlib.closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as connection:
            return [Path(row[0]) for row in connection.execute("SELECT path FROM place ORDER BY path")]
    except sqlite3.Error as error:
        raise UserError(f"{path} is no worklist that can be read.", "Give the folders of its cases.") from error


def name_of(path: Path, taken: set[str]) -> str:
    """What a case is called in the output; made unique."""
    found = path.resolve()
    name = found.stem if found.is_file() and is_archive(found) else found.name
    name = case_name(found) if is_image_file(found) else name
    return free_name("".join(c if c.isalnum() or c in "-_.+ " else "_" for c in name).strip(". ") or "case", taken)


# -- done or not -----------------------------------------------------------------------------------------------------


def _files_of(place: Path) -> Iterator[tuple[str, Path]]:
    """Files of a case by their names in it, in a fixed order."""
    if place.is_dir():
        for top, folders, names in os.walk(place):
            folders.sort()
            for name in sorted(names):
                path = Path(top, name)
                yield path.relative_to(place).as_posix(), path
    else:
        yield place.name, place


def input_mark(place: Path) -> str:
    """A mark that is quick to take and changes when a file's name, size or time does. Raises OSError."""
    found = hashlib.sha256()
    for name, path in _files_of(place):
        stat = path.stat()
        found.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    return found.hexdigest()


def input_sha256(place: Path) -> str:
    """A hash of all that lies in a case, names and content. Raises OSError."""
    found = hashlib.sha256()
    for name, path in _files_of(place):
        with path.open("rb") as stream:
            found.update(f"{name}\0{hashlib.file_digest(stream, 'sha256').hexdigest()}\0".encode())
    return found.hexdigest()


def done_before(task: SegmentTask) -> dict[str, Any] | None:
    """The record of an earlier run that did the same, whose files are all still there; None when there is none.

    The input's content is read again only when a name, size or time in it has changed.
    """
    try:
        record = json.loads((task.folder / RECORD).read_text("utf-8"))
        same = record["model"] == task.use.key and record["options"] == task.how.recorded
        there = all((task.folder / name).stat().st_size == size for name, size in record["files"].items())
        if not (same and there):
            return None
        source = record["input"]
        if source["mark"] == input_mark(task.path) or source["sha256"] == input_sha256(task.path):
            return dict(record)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
    return None


def put_in_place(part: Path, task: SegmentTask, written: dict[str, Any] | None) -> None:
    """Make the finished folder `part` the case's; `written` becomes its record, and without one it does not count.

    Raises OSError.
    """
    files = {name: path.stat().st_size for name, path in _files_of(part)}
    if written is not None:
        same = {"model": task.use.key, "model_name": task.use.name, "options": task.how.recorded}
        record = json.dumps({**same, **written, "files": files}, indent=1, ensure_ascii=False)
        write_atomically(part / RECORD, record.encode())
    old = part.with_name(f"{part.name}.old")
    if task.folder.exists():
        os.replace(task.folder, old)
    os.replace(part, task.folder)
    flush_folder(task.out)
    shutil.rmtree(old, ignore_errors=True)


def part_folder(task: SegmentTask, who: str) -> Path:
    """Where a process writes until the case is finished."""
    return task.out / f".{task.name}.{who}.part"


def clear_parts(out: Path) -> None:
    """Remove what killed processes left half done; nobody may be at work there."""
    for part in [*out.glob(".*.part"), *out.glob(".*.part.old")]:
        shutil.rmtree(part, ignore_errors=True)


# -- what came of it -------------------------------------------------------------------------------------------------


def write_summary(out: Path, places: dict[str, Path], outcomes: Iterable[Outcome]) -> None:
    """Write ``summary.csv``: a line for each case, those that are still to be done too. Raises UserError."""
    by = {o.name: o for o in outcomes}
    buffer = io.StringIO(newline="")
    columns = ("case", "state", "reason", "seconds", "structures", "where", "notes", "path")
    rows = csv.DictWriter(buffer, columns)
    rows.writeheader()
    for name, path in places.items():
        o = by.get(name, Outcome(name, "to do"))
        row = {key: value for key, value in asdict(o).items() if key in columns}
        row |= {"case": name, "path": str(path), "notes": " ".join(o.notes), "seconds": round(o.seconds, 1)}
        rows.writerow(row)
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / SUMMARY, buffer.getvalue().encode())
    except OSError as error:
        raise UserError(
            f"The summary could not be written in {out} ({error.strerror}).", "Check its space and permissions."
        ) from error
