"""A review folder with the images it was made on, as a job; nothing is written."""

from __future__ import annotations

from pathlib import Path

from contourdesk.app.case import Case
from contourdesk.app.dicom_read import SeriesInfo, read_series
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job
from contourdesk.app.opening import open_path
from contourdesk.app.project import SavedReview, load, needs_recovery, resume
from contourdesk.app.review import ReviewSession


def read_review(folder: Path) -> Job[tuple[Case, ReviewSession, tuple[str, ...]]]:
    """The images of a review, its state with what only its journal has, and what the user should know.

    Raises
    ------
    UserError : no review there, or its images have gone or changed.
    """
    saved = yield from load(folder, recover=needs_recovery(folder))
    case = yield from _images_of(saved)
    return case, resume(case, saved), saved.notes


def _images_of(saved: SavedReview) -> Job[Case]:
    """Read the image that a review was made on. Raises UserError when it is not there any more."""
    opened = yield from open_path(saved.image_path)
    if isinstance(opened, Case):
        return opened
    shape = saved.structures.grid.shape
    for series in opened:
        if series.uid != saved.series_uid:
            continue
        if saved.resampled is not None and series.resample is not None:
            return (yield from read_series(series, saved.resampled))
        if saved.resampled is None and series.usable and series.shape == shape:
            return (yield from read_series(series))
    raise UserError("The images of this review are not there any more.", f"Look in {saved.image_path}.")


def series_of(case: Case) -> Job[SeriesInfo]:
    """The files that a case was read from. Raises UserError when they are not there any more, or aren't DICOM."""
    opened = yield from open_path(case.source.path)
    planes = len(case.source.image_uids)
    for series in [] if isinstance(opened, Case) else opened:
        if series.uid == case.source.series_uid and series.stack is not None and series.slices == planes:
            return series
    raise UserError("The images of this review are not there any more.", f"Look in {case.source.path}.")
