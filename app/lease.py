"""Who may write a review folder: one holder at a time, also on a shared drive, also against the holder's wish.

``lease-7.json`` says that the seventh holder has the folder: reviewer, machine, process, since when. A new holder makes
the file with the next number, which only one program can do; whoever finds a higher number than its own has lost the
folder and must not write to it again (`Lease.check`, before every write). The holder's sign of life is the time of the
file, renewed every `BEAT_S` seconds by a thread; ages are measured with the drive's own clock.

Where the system knows locks, ``lock`` is locked too: it tells at once, and surely, that a holder on the same machine
has died.
"""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import os
import socket
import sys
import threading
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from contourdesk.app.errors import UserError
from contourdesk.app.files import system_lock, write_atomically

log = logging.getLogger(__name__)

LOCK = "lock"
BEAT_S = 20.0
STALE_S = 120.0
_ended: set[str] = set()  # leases that this process has given back, though their drive may not have been there


@dataclass(frozen=True)
class Holder:
    """Who has a review folder open.

    `stale`: no sign of life for `STALE_S` seconds; `dead`: its program has surely ended.
    """

    name: str
    machine: str
    process: int
    since: str
    epoch: int
    stale: bool = False
    dead: bool = False

    @property
    def text(self) -> str:
        """``Dr X has this case open since 10:12 on PC7``, without a full stop."""
        who = self.name or "Somebody"
        return f"{who} has this case open since {_clock(self.since)} on {self.machine or 'another machine'}"


class ReviewHeld(UserError):
    """Another program has the review open; `holder` says whose."""

    def __init__(self, holder: Holder) -> None:
        advice = "Close it there, or look at it without changing it."
        super().__init__(f"This review is already open: {holder.text}.", advice)
        self.holder = holder


class LeaseLost(UserError):
    """Someone took the review over; nothing may be written to its folder any more."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(
            f"{holder.name or 'Somebody'} took this review over at {_clock(holder.since)} on {holder.machine}.",
            "What you do from now on is kept in a copy beside it.",
        )
        self.holder = holder


def holder_of(folder: Path) -> Holder | None:
    """Who has a review folder open, or None. Takes nothing, writes nothing that stays. Raises OSError."""
    if not folder.is_dir():
        return None
    lock = _try_lock(folder, create=False)
    try:
        return _holder(folder, lock)
    finally:
        if lock is not None and lock.file is not None:
            lock.file.close()


class Lease:
    """The right to write one review folder, until `release` or until somebody takes it over.

    Parameters
    ----------
    folder : the review folder, which exists.
    person : the reviewer's name, for others to read.
    take_over : take it from a holder that is alive, because the user said so.
    follows : number of a lease that we had before: go on only if nobody else has had the folder since.

    Attributes
    ----------
    before : the holder whose sign of life had stopped, or who was asked to give way; None for a free folder.

    Raises
    ------
    ReviewHeld : someone else has the folder, and shows signs of life.
    LeaseLost : someone else has, or has had it, since `follows`.
    OSError : the folder can't be written.
    """

    def __init__(self, folder: Path, person: str = "", *, take_over: bool = False, follows: int = 0) -> None:
        self.folder = folder
        self._token = uuid.uuid4().hex
        lock = _try_lock(folder, create=True)
        self._file = None if lock is None else lock.file
        try:
            held = _holder(folder, lock)
            if held is not None and not (held.dead or held.stale or (take_over and held.epoch)):
                raise ReviewHeld(held) from BlockingIOError(errno.EAGAIN, "locked")
            self.before = held
            last = max(_epochs(folder), default=0)
            if follows and last > follows:
                raise LeaseLost(_described(folder, last, _load(folder, last)))
            self.epoch = max(last, follows) + 1
            self._write_first(person, locked=lock is not None and lock.file is not None)
        except BaseException:
            self._unlock()
            raise
        self._ended = threading.Event()
        self.lost = False
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._thread.start()

    def _write_first(self, person: str, *, locked: bool) -> None:
        content = {
            "name": person, "machine": socket.gethostname(), "process": os.getpid(), "since": _now(),
            "token": self._token, "locked": locked,
        }  # fmt: skip
        self._content = json.dumps(content, ensure_ascii=False).encode()
        try:
            with _path(self.folder, self.epoch).open("xb") as file:  # of several, one succeeds
                file.write(self._content)
                file.flush()
                os.fsync(file.fileno())
        except FileExistsError as error:
            raise ReviewHeld(_described(self.folder, self.epoch, _load(self.folder, self.epoch))) from error
        except OSError:
            with contextlib.suppress(OSError):
                _path(self.folder, self.epoch).unlink(missing_ok=True)
            raise
        for epoch in _epochs(self.folder):
            if epoch < self.epoch:
                _path(self.folder, epoch).unlink(missing_ok=True)

    def check(self) -> None:
        """Make sure that the folder is still ours; two looks at the drive.

        Raises
        ------
        LeaseLost : somebody took it over.
        OSError : the folder, or our lease in it, is gone.
        """
        later = _path(self.folder, self.epoch + 1)
        if _path(self.folder, self.epoch).exists() and not later.exists():
            return
        last = max(_epochs(self.folder), default=0)
        if last > self.epoch:
            self.lost = True
            raise LeaseLost(_described(self.folder, last, _load(self.folder, last)))
        raise FileNotFoundError(errno.ENOENT, "the folder is gone", str(self.folder))

    def release(self) -> None:
        """Give the folder back; twice does no harm."""
        if self._ended.is_set():
            return
        self._ended.set()
        _ended.add(self._token)
        try:
            self.check()
            content = json.loads(self._content) | {"released": _now()}
            write_atomically(_path(self.folder, self.epoch), json.dumps(content, ensure_ascii=False).encode())
        except UserError:
            log.info("a review folder is someone else's by now")
        except OSError as error:
            log.warning("the lease on a review folder could not be given back: %s", error)
        self._unlock()

    def _unlock(self) -> None:
        if self._file is not None:
            self._file.close()

    def _beat(self) -> None:
        """Renew the sign of life, never making a file that someone removed."""
        while not self._ended.wait(BEAT_S):
            try:
                self.check()
                with _path(self.folder, self.epoch).open("r+b") as file:
                    file.write(self._content)
            except UserError:
                return
            except OSError:
                log.info("no sign of life could be left in a review folder", exc_info=True)


# -- reading -----------------------------------------------------------------------------------------------------


def _path(folder: Path, epoch: int) -> Path:
    return folder / f"lease-{epoch}.json"


def _epochs(folder: Path) -> list[int]:
    numbers = (name[6:-5] for name in os.listdir(folder) if name.startswith("lease-") and name.endswith(".json"))
    return [int(number) for number in numbers if number.isdigit()]


def _holder(folder: Path, lock: _Lock | None) -> Holder | None:
    epochs = _epochs(folder)
    if epochs:
        read = _load(folder, max(epochs))
        return None if "released" in read else _described(folder, max(epochs), read, lock)
    if lock is not None and lock.blocked:  # a version of the program that knows no leases
        return Holder(lock.text or "Another program", "", 0, "", 0)
    return None


def _load(folder: Path, epoch: int) -> dict[str, Any]:
    """What a lease says; nothing when it is being written just now, or damaged: then it is someone's until stale."""
    try:
        read = json.loads(_path(folder, epoch).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _described(folder: Path, epoch: int, read: Mapping[str, Any], lock: _Lock | None = None) -> Holder:
    name, machine, since = (str(read.get(key, "")) for key in ("name", "machine", "since"))
    process = read.get("process")
    number = process if isinstance(process, int) else 0
    here = machine == socket.gethostname()
    dead = read.get("token") in _ended or (here and _has_ended(number, bool(read.get("locked")), lock))
    return Holder(name, machine, number, since, epoch, _age_s(_path(folder, epoch)) > STALE_S, dead)


def _has_ended(process: int, locked: bool, lock: _Lock | None) -> bool:
    """Whether a holder on this machine has ended: its lock is free, or there is no such process."""
    if locked and lock is not None and (lock.file is not None or lock.blocked):
        return not lock.blocked
    if sys.platform == "win32" or process <= 0:
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _age_s(path: Path) -> float:
    """Seconds since a file was written, by the clock of the drive that it lies on."""
    probe = path.with_name(f".probe-{uuid.uuid4().hex[:8]}.tmp")
    try:
        written = path.stat().st_mtime
    except OSError:
        return 0.0
    try:
        probe.write_bytes(b"")
        return probe.stat().st_mtime - written
    except OSError:
        return time.time() - written  # a place that we can't write to
    finally:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def _clock(since: str) -> str:
    """``10:12``, with the day when it was another."""
    try:
        when = datetime.fromisoformat(since).astimezone()
    except ValueError:
        return "an unknown time"
    return when.strftime("%H:%M" if when.date() == datetime.now().date() else "%d %b %Y, %H:%M")


# -- the system's lock -------------------------------------------------------------------------------------------


@dataclass
class _Lock:
    """`file` is open and locked; or None: then `blocked` says that another has it, else the drive knows no locks."""

    file: IO[bytes] | None
    blocked: bool = False
    text: str = ""


def _try_lock(folder: Path, *, create: bool) -> _Lock | None:
    """Try the lock of a review folder; None where there is none. The system releases it when this process ends.

    What the file says is only for a message: a file left by a dead process locks nobody out. Raises OSError.
    """
    try:
        file = (folder / LOCK).open("ab+" if create else "rb+")
    except OSError:  # it isn't there, or may not be written
        if create:
            raise
        return None
    try:
        system_lock(file, at=1 << 30)
    except BlockingIOError:
        file.seek(0)
        text = file.read(200).decode("utf-8", "replace").strip()
        file.close()
        return _Lock(None, True, text)
    except OSError:
        # Some network drives know no locks. The lease does without.
        log.warning("review folder: this drive has no locks", exc_info=True)
        file.close()
        return _Lock(None)
    if create:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        file.flush()
    return _Lock(file)
