"""Reading the next case while the reviewer is still on this one: within a bound of memory, used only if still true."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from contourdesk.app.case import Case
from contourdesk.app.dicom_read import SeriesInfo, read_series
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.opening import open_path
from contourdesk.app.worklist_scan import place_mark

MOST_BYTES = 1 << 30
_SHARE = 0.25  # of the memory that is free


@dataclass(frozen=True, eq=False)
class Ahead:
    """A case that was read ahead, and the mark of its files then."""

    place: Path
    uid: str
    mark: str
    case: Case


def read_ahead(place: Path, uid: str, most_bytes: int = MOST_BYTES) -> Job[Ahead | None]:
    """Read a case; None when it is too big, needs an answer from the reviewer, or can't be read: opening tells why.

    Raises nothing that the reviewer would have to see.
    """
    try:
        mark = place_mark(place)
        if place.is_file() and place.stat().st_size > most_bytes:
            return None
        opened = yield from open_path(place)
        if isinstance(opened, list):
            info = _series(opened, uid)
            if info is None or _bytes(info) > min(most_bytes, _SHARE * _free_bytes()):
                return None
            opened = yield from read_series(info)
        return Ahead(place, uid, mark, opened) if opened.volume.array.nbytes <= most_bytes else None
    except (UserError, OSError):
        return None


def still_true(ahead: Ahead) -> Job[Case | None]:
    """The case, unless its files have changed since it was read."""
    yield Progress(0, 0, "Checking the images")
    try:
        return ahead.case if place_mark(ahead.place) == ahead.mark else None
    except OSError:
        return None


def _series(found: list[SeriesInfo], uid: str) -> SeriesInfo | None:
    """The series that opening would take without asking."""
    wanted = [s for s in found if s.uid == uid] or found
    return wanted[0] if len(wanted) == 1 and wanted[0].usable else None


def _bytes(info: SeriesInfo) -> int:
    slices, rows, columns = info.shape
    return slices * rows * columns * 2


def _free_bytes() -> float:
    """Memory that is free; the bound alone counts where the system doesn't say."""
    try:
        return float(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return float(MOST_BYTES / _SHARE)
