"""Writing a file so that a reader, or a power cut, meets the old content or the new, never half of it."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from contourdesk.app.errors import UserError

log = logging.getLogger(__name__)


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside `path`, flush to the disk, then take its place. Raises OSError; the old file is intact then."""
    beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    flush_folder(path.parent)


@contextlib.contextmanager
def proved(path: Path) -> Iterator[Path]:
    """A name beside `path` to write and read back; the file there takes the place of `path` when nothing was raised.

    What is raised on the way leaves `path` as it was, and nothing beside it. Raises UserError in place of OSError.
    """
    beside = path.with_name(f".{os.getpid()}.part-{path.name}")  # the ending stays: some readers go by it
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield beside
        os.replace(beside, path)
        flush_folder(path.parent)
    except OSError as error:
        raise UserError(
            f"{path.name} could not be written ({error.strerror}).", "Check the folder's space and permissions."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Make renames in `folder` last over a power cut, where the system can do it (Windows can't and needn't)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def system_lock(file: IO[bytes], at: int = 0) -> None:
    """Lock an open file; the system frees it when the file is closed or the program dies.

    `at` is the byte that Windows locks: one far behind the text lets others read the text.

    Raises
    ------
    BlockingIOError : another program, or another open file, has it.
    OSError : the drive knows no locks.
    """
    if os.name == "nt":
        import msvcrt

        file.seek(at)
        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except PermissionError as error:
            raise BlockingIOError(str(error)) from error
    else:
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def alone(path: Path) -> Iterator[bool]:
    """Whether we have a lock file to ourselves until the block ends; the system frees it when the program dies.

    True also where the drive knows no locks. Raises OSError when the file can't be made.
    """
    with path.open("ab") as file:
        try:
            system_lock(file)
        except BlockingIOError:
            yield False
            return
        except OSError:
            log.warning("this drive has no locks", exc_info=True)
        yield True
