"""One slice to look at while the rest is still being read: a picture, never something to draw on.

`open_with_look` shows a slice before all headers were read, so before anyone knows whether the slices fit together;
`read_image` (in `dicom_pixels`) shows the middle one when they do.
"""

from __future__ import annotations

import logging
from pathlib import Path

from contourdesk.app.case import Case
from contourdesk.app.dicom_headers import DAMAGE, Header, list_files, read_header, required
from contourdesk.app.dicom_multiframe import is_multiframe
from contourdesk.app.dicom_pixels import look_at
from contourdesk.app.dicom_read import SeriesInfo
from contourdesk.app.dicom_slices import NEEDED, bad_geometry
from contourdesk.app.dicom_stored import unclear_pixels
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, Look, Progress
from contourdesk.app.opening import open_path

log = logging.getLogger(__name__)

_TRIES = 6


def open_with_look(path: Path) -> Job[list[SeriesInfo] | Case]:
    """`open_path`; for a folder, a slice from the middle of its files comes first, as a picture of the progress."""
    path = Path(path)
    if path.is_dir():
        files = yield from list_files(path)
        look = first_look(files)
        if look is not None:
            yield Progress(0, len(files), "Reading headers", look=look)
    return (yield from open_path(path))


def first_look(files: list[Path]) -> Look | None:
    """A CT slice near the middle of a list of files; None when none of those tried is one. Raises nothing."""
    middle = len(files) // 2
    for path in files[middle : middle + _TRIES]:
        try:
            header = read_header(path)
            if isinstance(header, Header) and _is_slice(header):
                text = "A first slice. The geometry of all of them is being checked."
                return look_at(header, text)
        except (UserError, *DAMAGE):
            log.info("no first look at a file", exc_info=True)
    return None


def _is_slice(header: Header) -> bool:
    if header.pixels is None or header.text("Modality") != "CT" or is_multiframe(header):
        return False
    return not (required(header, NEEDED) or bad_geometry(header) or unclear_pixels(header))
