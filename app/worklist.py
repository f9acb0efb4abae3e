"""The worklist: the cases of one folder or several, and how far their reviews are.

Kept in ``worklist.sqlite`` beside the reviews, so that people who share the reviews share it. It is an index: all of it
can be found again in the image and review folders, and is, when the file is damaged or can't be written. On a shared
drive write-ahead logging would not be safe, so SQLite's rollback journal is used, and a busy file is waited for.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

FILE = "worklist.sqlite"
STATES = ("new", "in review", "done", "can't be opened")
_VERSION = 2
_WAIT_S = 5.0
_TABLES = """
CREATE TABLE place (path TEXT PRIMARY KEY, folder TEXT NOT NULL, mark TEXT NOT NULL);
CREATE TABLE series (
    place TEXT NOT NULL, uid TEXT NOT NULL, number INTEGER NOT NULL, patient TEXT NOT NULL, date TEXT NOT NULL,
    description TEXT NOT NULL, slices INTEGER NOT NULL, problem TEXT NOT NULL, PRIMARY KEY (place, number));
CREATE TABLE review (
    folder TEXT PRIMARY KEY, root TEXT NOT NULL, mark TEXT NOT NULL, uid TEXT NOT NULL, image TEXT NOT NULL,
    patient TEXT NOT NULL, total INTEGER NOT NULL, accepted INTEGER NOT NULL, rejected INTEGER NOT NULL,
    findings INTEGER, reviewer TEXT NOT NULL, saved_at TEXT NOT NULL, unsure TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Row:
    """One case on the list.

    Parameters
    ----------
    place : what to open: a folder or an image file.  uid : the series in it, "" where only reading tells.
    problem : why it can't be opened as it is.
    state : one of `STATES`;  total, accepted, rejected : structures of the review.
    findings : of the checks when the review was last saved; None when unknown.
    when : time of the last save, ISO 8601.  review : its folder, None when there is none.
    held_by : who has it open now, as a sentence without full stop; "" when nobody has.
    learn : how much the model would learn from it, see `learning_order`; None when nothing is known of that.
    """

    place: Path
    uid: str
    patient: str
    date: str
    description: str
    slices: int
    problem: str = ""
    state: str = "new"
    total: int = 0
    accepted: int = 0
    rejected: int = 0
    findings: int | None = None
    reviewer: str = ""
    when: str = ""
    review: Path | None = None
    held_by: str = ""
    learn: float | None = None

    @property
    def decided(self) -> int:
        """Structures with a decision."""
        return self.accepted + self.rejected

    @property
    def key(self) -> tuple[str, str]:
        """What makes it this row and no other."""
        return str(self.place), self.uid


# -- order -------------------------------------------------------------------------------------------------------

COLUMNS = (
    "patient", "date", "description", "slices", "state", "decided", "findings", "learn", "reviewer", "when", "place",
)  # fmt: skip


def sort_rows(rows: Iterable[Row], column: str, *, descending: bool = False) -> list[Row]:
    """Rows by a column; what is unknown or empty comes last either way, equal ones keep the order of their places.

    Raises KeyError for an unknown column.
    """
    if column not in COLUMNS:
        raise KeyError(column)

    def value(row: Row) -> tuple[float, str]:
        found = getattr(row, column)
        if column == "state":
            return float(STATES.index(row.state)), ""
        if column == "decided":
            return (row.decided / row.total if row.total else -1.0), ""
        return (float(found), "") if isinstance(found, int | float) else (0.0, str(found).casefold())

    def empty(row: Row) -> bool:
        return getattr(row, column) in (None, "") or (column == "decided" and not row.total)

    ordered = sorted(rows, key=lambda row: (str(row.place), row.uid))
    full, rest = [r for r in ordered if not empty(r)], [r for r in ordered if empty(r)]
    return sorted(full, key=value, reverse=descending) + rest


def filter_rows(rows: Iterable[Row], text: str = "", states: Sequence[str] = STATES) -> list[Row]:
    """Rows in one of `states` that hold each word of `text` somewhere."""
    words = text.casefold().split()

    def holds(row: Row) -> bool:
        parts = (row.patient, row.date, row.description, row.reviewer, row.state, row.place.name)
        everything = " ".join(parts).replace("^", " ").casefold()
        return all(word in everything for word in words)

    return [row for row in rows if row.state in states and holds(row)]


def next_row(rows: Sequence[Row], current: tuple[str, str] | None) -> Row | None:
    """The next row after `current` (a `Row.key`) that there is work on, round the end of the list; None for none."""
    at = next((i for i, row in enumerate(rows) if row.key == current), -1)
    for row in (*rows[at + 1 :], *rows[: max(at, 0)]):
        if row.state in ("new", "in review") and not row.held_by:
            return row
    return None


def summary(rows: Sequence[Row]) -> str:
    """``12 cases: 5 new, 4 in review, 3 done``."""
    counts = [(sum(row.state == state for row in rows), state) for state in STATES]
    parts = ", ".join(f"{n} {state}" for n, state in counts if n)
    return f"{len(rows)} case{'s' if len(rows) != 1 else ''}" + (f": {parts}" if parts else "")


# -- database ----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    """The index, made anew when it is damaged or of another version; in memory when the place can't be written."""
    connection = _connect(path)
    try:
        yield connection
    finally:
        connection.close()


def _connect(path: Path) -> sqlite3.Connection:
    for _ in range(2):
        connection: sqlite3.Connection | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            connection = sqlite3.connect(path, timeout=_WAIT_S, isolation_level=None)
            _prepare(connection)
            return connection
        except (sqlite3.OperationalError, OSError) as error:
            log.warning("the worklist's file can't be used: %s", error)
            if connection is not None:
                connection.close()
            break
        except sqlite3.DatabaseError:
            log.warning("the worklist's file is damaged and made anew", exc_info=True)
            if connection is not None:
                connection.close()
            with contextlib.suppress(OSError):
                path.unlink()
    connection = sqlite3.connect(":memory:", isolation_level=None)
    _prepare(connection)
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA busy_timeout = {round(_WAIT_S * 1000)}")
    connection.execute("PRAGMA journal_mode = DELETE")
    with writing(connection):
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version == _VERSION:
            return
        for table in ("place", "series", "review"):
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in _TABLES.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {_VERSION}")


@contextlib.contextmanager
def writing(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction that waits for its turn at the beginning, not in the middle."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
