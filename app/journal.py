"""The journal of a review: what brings back the work after a crash.

``journal.jsonl`` holds one JSON object a line. Every edit, undo and redo is appended at once, with its bits (packed,
deflated, base64), and flushed to the disk before the next one can be made. Each line carries a CRC, so that a line
torn by a crash is known as such. The file is only ever appended to; no patient's name or id is in it.

Lines name the lease that they were written under (see `lease`): what a holder that had lost the folder could still
write, in the very moment, is known by its lower number and left out. The open journal keeps the audit trail (`audit`).
"""

from __future__ import annotations

import errno
import json
import logging
import os
import re
import threading
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contourdesk.app.audit import AuditTrail, Entry, Head
from contourdesk.app.errors import UserError
from contourdesk.app.lease import Holder, Lease, LeaseLost
from contourdesk.app.review import Record, now
from contourdesk.app.review_format import record_from_json, record_to_json

if TYPE_CHECKING:
    from contourdesk.app.review import ReviewSession

log = logging.getLogger(__name__)

JOURNAL = "journal.jsonl"
_EDIT_OPS = ("do", "undo", "redo")
_CRC = b',"crc":"'
_HEAD = re.compile(rb'^\{"revision":(\d+),"op":"(\w+)"')
_EPOCH = re.compile(rb',"epoch":(\d+),"crc":"[0-9a-f]{8}"\}$')


# -- lines -------------------------------------------------------------------------------------------------------


def encode_line(content: dict[str, Any]) -> bytes:
    """One line of the journal, with its CRC and line end."""
    body = json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()[:-1]
    return body + _CRC + b'%08x"}\n' % zlib.crc32(body)


def whole(line: bytes) -> bool:
    """Whether a line (without its end) is complete and undamaged."""
    body, found, rest = line.rpartition(_CRC)
    return bool(found) and rest == b'%08x"}' % zlib.crc32(body)


# -- reading -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class JournalContent:
    """Records that still count, in order, and how many lines were damaged (a torn last one is not counted)."""

    records: tuple[Record, ...]
    damaged: int


def read_journal(folder: Path) -> JournalContent:
    """All edits of the journal but those that were rewound. An absent journal is an empty one. Raises OSError."""
    records: list[Record] = []
    damaged = 0
    lines = _lines(folder)
    for number, line in _in_force(lines):
        if line is None:
            damaged += number < len(lines) - 1
            continue
        try:
            read = json.loads(line)
            if read["op"] == "rewind":
                records = [r for r in records if r.revision <= read["revision"]]
            elif read["op"] in _EDIT_OPS:
                records.append(record_from_json(read))
        except (KeyError, TypeError, ValueError):
            damaged += 1
    return JournalContent(tuple(records), damaged)


def last_revision(folder: Path) -> int:
    """Revision of the last edit in the journal, 0 when there is none; reads no bits. Raises OSError."""
    last = 0
    for _, line in _in_force(_lines(folder)):
        head = _HEAD.match(line or b"")
        if head and head[2].decode() in (*_EDIT_OPS, "rewind"):
            last = int(head[1])
    return last


def _in_force(lines: list[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Number and text of each line, None for a damaged one, without those of a holder that had lost the folder."""
    highest = 0
    for number, line in enumerate(lines):
        if not whole(line):
            yield number, None
            continue
        found = _EPOCH.search(line)
        epoch = int(found[1]) if found else 0
        if epoch >= highest:
            highest = epoch
            yield number, line
        else:
            log.warning("journal: line %d came from a holder that had lost the folder", number + 1)


def _lines(folder: Path) -> list[bytes]:
    try:
        content = (folder / JOURNAL).read_bytes()
    except FileNotFoundError:
        return []
    return [line for line in content.split(b"\n") if line]


# -- writing -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Waiting:
    """What a journal could not write: records, and entries of the audit trail; and the number of its lease."""

    records: tuple[Record, ...] = ()
    entries: tuple[Entry, ...] = ()
    epoch: int = 0


class Journal:
    """The open journal and audit trail of one review folder, and the lease on it. Use one at a time; close it.

    All methods but `attach` may be called from any thread.

    Parameters
    ----------
    folder : the review folder, which exists.
    revision : the revision to go on from. Later edits in the file (a recovery that the user declined, or a part
        that can't be read) are marked as rewound; they stay in the file.
    take_over : take the folder from someone who has it open (see `Lease`).
    waiting : what an earlier journal of this folder could not write.

    Raises
    ------
    UserError : the folder can't be written; `ReviewHeld` when someone else has this review open, `LeaseLost` when
        someone has had it since the journal that `waiting` came from.
    """

    def __init__(
        self,
        folder: Path,
        revision: int,
        person: str = "",
        software: str = "",
        *,
        take_over: bool = False,
        waiting: Waiting | None = None,
    ) -> None:
        self.folder = folder
        self.revision = revision
        self.person = person
        waiting = waiting or Waiting()
        self._waiting: list[Record] = list(waiting.records)
        self._failed = False
        self._session: ReviewSession | None = None
        self._busy = threading.RLock()
        try:
            self.lease = Lease(folder, person, take_over=take_over, follows=waiting.epoch)
            try:
                self._open(revision, software, waiting)
            except BaseException:
                self.lease.release()
                raise
        except OSError as error:
            raise _cannot_write(folder, error) from error

    def _open(self, revision: int, software: str, waiting: Waiting) -> None:
        new = not (self.folder / JOURNAL).exists()
        self._file = _open_for_append(self.folder / JOURNAL)
        self._size = self._file.tell()
        self._mark = os.fstat(self._file.fileno())
        self.audit = AuditTrail(self.folder)
        self._write_waiting()
        self._catch_up()
        self.audit.put_waiting(waiting.entries)
        before = self.lease.before
        if before is not None:
            self.note("recovery" if before.dead else "take over", **_holder_details(before))
        there = last_revision(self.folder)
        if there > revision:
            self._write({"revision": revision, "op": "rewind", "time": now(), "person": self.person})
            self.note("declined", revision=revision, edits=there - revision)
        self._write({"revision": revision, "op": "open", "time": now(), "person": self.person, "software": software})
        self.note("new review" if new else "open", software=software, torn_bytes=self.audit.torn or None)

    def _catch_up(self) -> None:
        """Put into the audit trail what only the journal has: a crash came between the two, or it is an old review."""
        if last_revision(self.folder) > self.audit.revision:
            for record in read_journal(self.folder).records:
                if record.revision > self.audit.revision:
                    self.audit.add_record(record, from_journal=True)

    def attach(self, session: ReviewSession) -> None:
        """Let `session` write here from now on. Raises ValueError when it has moved on from our revision."""
        if session.revision != self.revision:
            raise ValueError(f"session is at revision {session.revision}, journal at {self.revision}")
        session.journal = self.append
        self._session = session

    def append(self, record: Record) -> None:
        """Write one record, flush it to the disk, and note it in the audit trail.

        When that fails, the record is kept and tried again with the next one; the user is told once.

        Raises
        ------
        LeaseLost : somebody took the review over; nothing was written.
        UserError : it could not be written, and the one before it could.
        """
        with self._busy:
            self.revision = record.revision
            self._waiting.append(record)
            try:
                self._write_waiting()
            except OSError as error:
                log.warning("journal: %s", error)
                if not self._failed:
                    self._failed = True
                    raise _cannot_write(self.folder, error) from error
            else:
                self._failed = False

    def note(self, what: str, **details: object) -> None:
        """Note in the audit trail what is no edit: an export, who came and went, ... Raises OSError, LeaseLost."""
        with self._busy:
            self.lease.check()
            who = self.person if self._session is None else self._session.reviewer
            self.audit.add(what, who, details)

    def head(self) -> Head:
        """Number and hash of the trail's last entry, flushed to the disk. Raises OSError."""
        with self._busy:
            return self.audit.flush()

    def waiting(self) -> Waiting:
        """What could not be written, for the next journal of this folder."""
        with self._busy:
            return Waiting(tuple(self._waiting), tuple(self.audit.take_waiting()), self.lease.epoch)

    def give_up(self) -> Waiting:
        """Close it, and hand out what could not be written."""
        with self._busy:
            waiting = self.waiting()
            self.close()
            return waiting

    def _write_waiting(self) -> None:
        """Write the records that wait, then note them in the audit trail."""
        if self._waiting:
            self._write(*(record_to_json(record) for record in self._waiting))
            written, self._waiting = self._waiting, []
            for record in written:
                self.audit.add_record(record)

    def _write(self, *contents: dict[str, Any]) -> None:
        self._check()
        data = b"".join(encode_line(content | {"epoch": self.lease.epoch}) for content in contents)
        try:
            written = 0
            while written < len(data):
                written += self._file.write(data[written:])
            os.fsync(self._file.fileno())
        except OSError:
            self._take_back()
            raise
        self._size += len(data)

    def _check(self) -> None:
        """Make sure that the file is still the one in the folder, and the folder ours. Raises OSError, LeaseLost."""
        self.lease.check()
        there = os.stat(self.folder / JOURNAL)
        if (there.st_dev, there.st_ino) != (self._mark.st_dev, self._mark.st_ino):
            raise FileNotFoundError(errno.ENOENT, "the journal was exchanged")

    def _take_back(self) -> None:
        """Cut off half a line, so that the next one does not hang on to it."""
        try:
            self._file.truncate(self._size)
        except OSError:
            log.warning("journal: half a line is left", exc_info=True)

    def close(self) -> None:
        """Let go of the session, close the files and give the folder back; closing twice does no harm."""
        if self._session is not None and self._session.journal == self.append:
            self._session.journal = None
        with self._busy:
            if self._file.closed:
                return
            try:
                self._write_waiting()
                self.note("close")
            except (OSError, LeaseLost):
                log.warning("journal: the end is not in it")
            self._file.close()
            self.audit.close()
            self.lease.release()

    def __enter__(self) -> Journal:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def _holder_details(holder: Holder) -> dict[str, object]:
    return {"from": holder.name, "machine": holder.machine, "since": holder.since, "stale": holder.stale or None}


def _open_for_append(path: Path) -> Any:
    """Open unbuffered at the end, on a fresh line even after a crash in mid-line."""
    file = path.open("ab+", buffering=0)
    size = file.seek(0, os.SEEK_END)
    if size:
        file.seek(size - 1)
        if file.read(1) != b"\n":
            file.write(b"\n")
        file.seek(0, os.SEEK_END)
    return file


def _cannot_write(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"The review folder {folder} can't be written ({error.strerror}). Your work is not on disk yet.",
        "Free some space or correct its permissions, then go on; it is tried again with each edit.",
    )
