"""``contourdesk export``: what a review folder holds, written for the clinic or for training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from contourdesk.app.case import Case
from contourdesk.app.console import GOOD, note, run_job, say
from contourdesk.app.errors import UserError
from contourdesk.app.review import ReviewSession
from contourdesk.app.reviewed import read_review
from contourdesk.app.structures import Structure
from contourdesk.app.writers import FILE_NAMES, NEEDS_DICOM, write_format

if TYPE_CHECKING:
    from contourdesk.app.dicom_write import RtStructOptions

RTSTRUCT_NAME = "rtstruct.dcm"
MASKS_FOLDER = "masks"
DATASET_NAME = "Dataset501_Contourdesk"


def export_review(
    folder: Path,
    out: Path,
    formats: Sequence[str],
    everything: bool = False,
    options: RtStructOptions | None = None,
) -> int:
    """Write the accepted structures of a review, or `everything` but rejected ones, and return the exit code.

    Parameters
    ----------
    folder : review folder; it is read, with what only its journal has, and never written to.
    out : gets rtstruct.dcm, segmentation.dcm, structures.seg.nrrd, masks/ and Dataset501_Contourdesk/, as `formats`
        ask ("rtstruct", "seg", "nrrd", "nifti", "nnunet").
    options : how the RTSTRUCT is drawn, and for which planning system; what that may refuse is told as notes.

    Raises
    ------
    UserError : no review there, its images have gone or changed, nothing is accepted, or a file can't be written.
    """
    case, session = open_review(folder)
    chosen = chosen_structures(session, everything)
    if case.source.header is None:
        for name in NEEDS_DICOM.keys() & set(formats):
            note(f"{NEEDS_DICOM[name]} needs DICOM images to refer to; it is left out.")
        formats = [f for f in formats if f not in NEEDS_DICOM]
    out.mkdir(parents=True, exist_ok=True)
    for name in formats:
        written = _rtstruct(case, chosen, out, session, options) if name == "rtstruct" else None
        say(f"{written or _write(name, case, chosen, out, session)}: {len(chosen)} structures")
    return GOOD


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
    chosen = [
        s for s in session.structures if s.decision.accepted or (everything and s.decision.state == "unreviewed")
    ]
    if not chosen:
        raise UserError(
            "No structure of this review is accepted." if len(session.structures) else "This review has no structures.",
            "Accept structures in the window, or export all with --all.",
        )
    return chosen


def _rtstruct(
    case: Case, structures: Sequence[Structure], out: Path, session: ReviewSession, options: RtStructOptions | None
) -> Path:
    from contourdesk.app.dicom_write import RtStructOptions, check_export, write_rtstruct

    options = options or RtStructOptions()
    for finding in check_export(case, structures, options=options):
        if finding.severity != "error":  # errors end the writing, with their reason
            note(finding.text)
    return write_rtstruct(case, structures, out / RTSTRUCT_NAME, reviewer=session.reviewer, options=options)


def _write(kind: str, case: Case, structures: Sequence[Structure], out: Path, session: ReviewSession) -> Path:
    if kind != "nnunet":
        path = out / FILE_NAMES.get(kind, MASKS_FOLDER)
        return write_format(kind, case, structures, path, reviewer=session.reviewer)
    from contourdesk.app.dataset import export_case

    job = export_case(case, structures, out / DATASET_NAME, only_accepted=False)  # chosen by the caller
    for text in run_job(job, "Writing the training case").notes:
        note(text)
    return out / DATASET_NAME
