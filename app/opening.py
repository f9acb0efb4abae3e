"""Opening whatever the user points at."""

from __future__ import annotations

from pathlib import Path

from contourdesk.app.archives import is_archive
from contourdesk.app.case import Case
from contourdesk.app.dicom_headers import Header, read_header
from contourdesk.app.dicom_read import SeriesInfo, scan
from contourdesk.app.dicomdir import is_dicomdir
from contourdesk.app.errors import UserError
from contourdesk.app.image_read import is_image_file, read_image_file
from contourdesk.app.jobs import Job, Progress

_ADVICE = "Open a folder or zip archive of DICOM files, or a NIfTI (.nii, .nii.gz) or NRRD file."


def open_path(path: Path) -> Job[list[SeriesInfo] | Case]:
    """Open a path by what it is; the names of DICOM files don't matter.

    A folder, a zip archive, a DICOMDIR or a DICOM file gives the series there, an image file gives the case.

    Raises
    ------
    UserError : missing, unreadable, or nothing that can be opened.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return (yield from scan(path))
        if not path.exists():
            raise UserError(f'There is no file or folder "{path}".', "Check the path.")
        if is_image_file(path):
            yield Progress(0, 1, "Reading image")
            return read_image_file(path)
        if is_archive(path) or is_dicomdir(path):
            return (yield from scan(path))
        return (yield from _open_dicom_file(path))
    except OSError as error:
        raise UserError(f'"{path}" can\'t be read ({error.strerror}).', "Check that you may read it.") from error


def _open_dicom_file(path: Path) -> Job[list[SeriesInfo]]:
    """Series of the folder that a DICOM file lies in, the file's own series first."""
    header = read_header(path)
    if header is None:
        raise UserError(f"{path.name} isn't a medical image.", _ADVICE)
    if not isinstance(header, Header):
        raise UserError(f"{path.name} {header.reason}.", "Export or copy it again.")
    series = yield from scan(path.parent)
    return sorted(series, key=lambda s: path not in (*s.files, *s.rtstructs, *s.segs))
