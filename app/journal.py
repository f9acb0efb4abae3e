"""The journal of a review: audit trail, and what brings back the work after a crash.

``journal.jsonl`` holds one JSON object a line. Every edit, undo and redo is appended at once, with its bits (packed,
deflated, base64), and flushed to the disk before the next one can be made. Each line carries a CRC, so that a line
torn by a crash is known as such. The file is only ever appended to; no patient's name or id is in it.
"""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from contourdesk.app.errors import UserError
from contourdesk.app.review import Record, now
from contourdesk.app.review_format import record_from_json, record_to_json

if TYPE_CHECKING:
    from contourdesk.app.review import ReviewSession

log = logging.getLogger(__name__)

JOURNAL = "journal.jsonl"
LOCK = "lock"
_EDIT_OPS = ("do", "undo", "redo")
_CRC = b',"crc":"'
_HEAD = re.compile(rb'^\{"revision":(\d+),"op":"(\w+)"')


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
    for number, line in enumerate(lines):
        if not whole(line):
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
    for line in _lines(folder):
        head = _HEAD.match(line)
        if head and head[2].decode() in (*_EDIT_OPS, "rewind") and whole(line):
            last = int(head[1])
    return last


def _lines(folder: Path) -> list[bytes]:
    try:
        content = (folder / JOURNAL).read_bytes()
    except FileNotFoundError:
        return []
    return [line for line in content.split(b"\n") if line]


# -- writing -----------------------------------------------------------------------------------------------------


class Journal:
    """The open journal of one review folder, and the lock on that folder. Use one at a time; close it.

    Parameters
    ----------
    folder : the review folder, which exists.
    revision : the revision to go on from. Later edits in the file (a recovery that the user declined, or a part
        that can't be read) are marked as rewound; they stay in the file.

    Raises
    ------
    UserError : the folder can't be written, or another running program has this review open.
    """

    def __init__(self, folder: Path, revision: int, person: str = "", software: str = "") -> None:
        self.folder = folder
        self.revision = revision
        self._waiting: list[bytes] = []  # lines that could not be written yet
        self._failed = False
        self._session: ReviewSession | None = None
        self._lock = _lock(folder)
        try:
            self._file = _open_for_append(folder / JOURNAL)
            self._size = self._file.tell()
            if last_revision(folder) > revision:
                self._write({"revision": revision, "op": "rewind", "time": now(), "person": person})
            self._write({"revision": revision, "op": "open", "time": now(), "person": person, "software": software})
        except OSError as error:
            self._lock.close()
            raise _cannot_write(folder, error) from error

    def attach(self, session: ReviewSession) -> None:
        """Let `session` write here from now on. Raises ValueError when it has moved on from our revision."""
        if session.revision != self.revision:
            raise ValueError(f"session is at revision {session.revision}, journal at {self.revision}")
        session.journal = self.append
        self._session = session

    def append(self, record: Record) -> None:
        """Write one record and flush it to the disk.

        When that fails, the line is kept and tried again with the next one; the user is told once.

        Raises
        ------
        UserError : it could not be written, and the one before it could.
        """
        self.revision = record.revision
        try:
            self._write(record_to_json(record))
        except OSError as error:
            log.warning("journal: %s", error)
            if not self._failed:
                self._failed = True
                raise _cannot_write(self.folder, error) from error
        else:
            self._failed = False

    def _write(self, content: dict[str, Any]) -> None:
        self._waiting.append(encode_line(content))
        data = b"".join(self._waiting)
        try:
            written = 0
            while written < len(data):
                written += self._file.write(data[written:])
            os.fsync(self._file.fileno())
        except OSError:
            self._take_back()
            raise
        self._size += len(data)
        self._waiting.clear()

    def _take_back(self) -> None:
        """Cut off half a line, so that the next one does not hang on to it."""
        try:
            self._file.truncate(self._size)
        except OSError:
            log.warning("journal: half a line is left", exc_info=True)

    def close(self) -> None:
        """Let go of the session, close the file and release the lock; closing twice does no harm."""
        if self._session is not None and self._session.journal == self.append:
            self._session.journal = None
        if not self._file.closed:
            try:
                if self._waiting:
                    self._write({"revision": self.revision, "op": "close", "time": now(), "person": ""})
            except OSError:
                log.warning("journal: the last edits are not in it")
            self._file.close()
            self._lock.close()

    def __enter__(self) -> Journal:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


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


def _lock(folder: Path) -> IO[bytes]:
    """Take the lock of a review folder. The system releases it when this process ends, however it ends.

    What the file says is only for the message: a file left by a dead process locks nobody out.
    """
    try:
        file = (folder / LOCK).open("ab+")
    except OSError as error:
        raise _cannot_write(folder, error) from error
    try:
        _system_lock(file)
    except BlockingIOError as error:
        file.seek(0)
        who = file.read(200).decode("utf-8", "replace").strip() or "another program"
        file.close()
        raise UserError(f"This review is already open in {who}.", "Close it there, then open it again.") from error
    except OSError:
        # Some network drives know no locks. Better a review without a lock than no review.
        log.warning("review folder: this drive has no locks", exc_info=True)
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    file.flush()
    return file


if sys.platform == "win32":
    import msvcrt

    def _system_lock(file: IO[bytes]) -> None:
        """Lock a byte far behind the text, so that others can read the text. Raises OSError."""
        file.seek(1 << 30)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(str(error)) from error

else:
    import fcntl

    def _system_lock(file: IO[bytes]) -> None:
        """Raise BlockingIOError when another open file holds the lock, OSError where locks are unknown."""
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
