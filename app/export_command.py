"""``contourdesk export``: what a review folder holds, written for the clinic or for training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from contourdesk.app.case import Case
from contourdesk.app.console import note, run_job
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.review import ReviewSession
from contourdesk.app.reviewed import read_review
from contourdesk.app.structures import Structure
from contourdesk.app.writers import FILE_NAMES, NEEDS_DICOM, write_format

if TYPE_CHECKING:
    from contourdesk.app.dicom_write import RtStructOptions

RTSTRUCT_NAME = "rtstruct.dcm"
MASKS_FOLDER = "masks"
DATASET_NAME = "Dataset501_Contourdesk"


def write_opened(
    case: Case,
    session: ReviewSession,
    chosen: Sequence[Structure],
    out: Path,
    formats: Sequence[str],
    written: list[str],
    notes: list[str],
    options: RtStructOptions | None = None,
) -> Job[None]:
    """Write structures of a review in the formats that the clinic and other programs take.

    Parameters
    ----------
    chosen : see `chosen_structures`.
    out : gets rtstruct.dcm, segmentation.dcm, structures.seg.nrrd and masks/, as `formats` ask ("rtstruct", "seg",
        "nrrd", "nifti").
    written, notes : get a sentence for each file, and for what there is to know, also when a later one fails.
    options : how the RTSTRUCT is drawn, and for which planning system; what that may refuse is told as notes.

    Raises
    ------
    UserError : a file can't be written.
    """
    if case.source.header is None:
        notes += [
            f"{NEEDS_DICOM[name]} needs DICOM images to refer to; it is left out."
            for name in NEEDS_DICOM.keys() & set(formats)
        ]
        formats = [f for f in formats if f not in NEEDS_DICOM]
    out.mkdir(parents=True, exist_ok=True)
    for number, name in enumerate(formats):
        yield Progress(number, len(formats), f"Writing {name}")
        if name == "rtstruct":
            place = _rtstruct(case, chosen, out, session, options, notes)
        else:
            path = out / FILE_NAMES.get(name, MASKS_FOLDER)
            place = write_format(name, case, chosen, path, reviewer=session.reviewer)
        written.append(f"{place}: {len(chosen)} structures")


def open_review(folder: Path) -> tuple[Case, ReviewSession]:
    """The images of a review and its state, with what only its journal has; the folder is not written to.

    Raises
    ------
    UserError : no review there, or its images have gone or changed.
    """
    case, session, notes = run_job(read_review(folder), "Reading the review")
    for text in notes:
        note(text)
    return case, session


def chosen_structures(session: ReviewSession, everything: bool = False) -> list[Structure]:
    """The accepted structures of a review, or `everything` but rejected ones. Raises UserError for none."""
    chosen = [s for s in session.structures if s.decision.accepted or (everything and s.decision.state == "unreviewed")]
    if not chosen:
        raise UserError(
            "No structure of this review is accepted." if len(session.structures) else "This review has no structures.",
            "Accept structures in the window, or export all with --all.",
        )
    return chosen


def _rtstruct(
    case: Case,
    structures: Sequence[Structure],
    out: Path,
    session: ReviewSession,
    options: RtStructOptions | None,
    notes: list[str],
) -> Path:
    from contourdesk.app.dicom_write import RtStructOptions, check_export, write_rtstruct

    options = options or RtStructOptions()
    # Errors end the writing, with their reason.
    notes += [f.text for f in check_export(case, structures, options=options) if f.severity != "error"]
    return write_rtstruct(case, structures, out / RTSTRUCT_NAME, reviewer=session.reviewer, options=options)
