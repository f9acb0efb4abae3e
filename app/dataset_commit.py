"""Changes of a dataset folder: one program at a time, and all of a change or nothing of it, also when it is killed.

New files are made in ``.export-<process>`` in the dataset. When all are on the disk, ``plan.json`` there names the
files that they replace, which are kept beside it; then they are moved. As long as there is a plan, the change isn't
done, and whoever next takes the lock puts the old files back.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from contourdesk.app.errors import UserError
from contourdesk.app.files import flush_folder, system_lock, write_atomically
from contourdesk.app.jobs import Job, Progress

log = logging.getLogger(__name__)

LOCK = ".lock"
PLAN = "plan.json"
WAIT_S = 60.0
_WORK = ".export-*"


class DatasetLock:
    """The right to change one dataset folder; the system takes it back when this process ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: IO[bytes] | None = None

    def take(self, wait_s: float = WAIT_S) -> Job[None]:
        """Job: take it, and put back what a killed export left half-done.

        Raises
        ------
        UserError : another program has had it all the time.
        OSError : the folder can't be written.
        """
        end = time.monotonic() + wait_s
        while not self._try():
            if time.monotonic() >= end:
                raise UserError(
                    f"Another export is writing {self.folder.name}.", "Wait for it to end, or choose another folder."
                )
            yield Progress(0, 0, "Waiting for another export to this dataset")
            time.sleep(0.05)
        roll_back(self.folder)

    def _try(self) -> bool:
        path = self.folder / LOCK
        file = path.open("ab")
        try:
            system_lock(file)
            # Who had it before may have removed a folder that it left empty, and the file with it.
            if os.name == "posix" and not (path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())):
                file.close()
                return False
        except BlockingIOError:
            file.close()
            return False
        except OSError:
            log.warning("dataset folder: this drive has no locks", exc_info=True)
        self._file = file
        return True

    def release(self) -> None:
        """Give it back."""
        if self._file is not None:
            if os.name == "posix":
                with contextlib.suppress(OSError):
                    (self.folder / LOCK).unlink(missing_ok=True)
            self._file.close()
            self._file = None
        if os.name != "posix":
            with contextlib.suppress(OSError):
                (self.folder / LOCK).unlink(missing_ok=True)


@contextlib.contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A folder in the dataset to make new files in; it is gone at the end."""
    work = folder / f".export-{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def commit(folder: Path, work: Path, files: Mapping[str, Path], gone: tuple[str, ...] = ()) -> None:
    """Put proved files into place, all or none.

    Parameters
    ----------
    files : place in the dataset, with ``/``, to the new file in `work`.
    gone : files of the dataset that the new ones make superfluous.

    Raises
    ------
    OSError : the dataset is as it was before.
    """
    for new in files.values():
        _flush(new)
    kept = work / "old"
    kept.mkdir()
    before: dict[str, str | None] = {}
    for n, place in enumerate(dict.fromkeys((*files, *gone))):
        target = folder / place
        before[place] = None
        if target.exists():
            before[place] = f"old/{n}"
            _link(target, kept / str(n))
    for parent in {(folder / place).parent for place in files}:
        parent.mkdir(parents=True, exist_ok=True)
    write_atomically(work / PLAN, json.dumps(before).encode())
    try:
        for place, new in files.items():
            os.replace(new, folder / place)
        for place in gone:
            (folder / place).unlink(missing_ok=True)
        for parent in {(folder / place).parent for place in (*files, *gone)}:
            flush_folder(parent)
    except BaseException:
        _undo(folder, work)
        raise
    (work / PLAN).unlink()


def roll_back(folder: Path) -> None:
    """Put back what exports that were killed left half-done, and remove what they were making.

    Only for who holds the lock. Raises OSError.
    """
    for work in sorted(folder.glob(_WORK)):
        if (work / PLAN).exists():
            log.warning("dataset folder: an export that was killed is taken back")
            _undo(folder, work)
        shutil.rmtree(work, ignore_errors=True)


def mend(folder: Path) -> None:
    """Do `roll_back` where there is something to put back and nobody is at work; for readers. Raises OSError."""
    if not any((work / PLAN).exists() for work in folder.glob(_WORK)):
        return
    lock = DatasetLock(folder)
    try:
        for _ in lock.take(0):
            pass
    except UserError:
        log.info("dataset folder: somebody is exporting to it")
    finally:
        lock.release()


def _undo(folder: Path, work: Path) -> None:
    try:
        before = json.loads((work / PLAN).read_text("utf-8"))
    except FileNotFoundError:
        return
    for place, kept in before.items():
        if kept is None:
            (folder / place).unlink(missing_ok=True)
        else:  # a link stays in `work`, in case this is cut short too
            beside = work / "back"
            beside.unlink(missing_ok=True)
            _link(work / kept, beside)
            os.replace(beside, folder / place)
    for parent in sorted({(folder / place).parent for place in before} - {folder}, reverse=True):
        if parent.is_dir() and not any(parent.iterdir()):
            parent.rmdir()
    (work / PLAN).unlink()


def _link(old: Path, new: Path) -> None:
    """The same file under a second name, or a copy where the drive knows no links."""
    try:
        os.link(old, new)
    except OSError:
        shutil.copy2(old, new)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
