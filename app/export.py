"""Structures of a case to files in any of the formats: one job, each format by its own writer.

Every writer reads back what it wrote and compares, so what is listed as written is right.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contourdesk.app.case import Case
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.rtstruct_build import RtStructOptions
from contourdesk.app.structures import Structure

DATASET_NAME = "Dataset501_Contourdesk"


@dataclass(frozen=True)
class Format:
    """A format to choose: `needs_dicom` when it refers to DICOM images."""

    id: str
    title: str
    detail: str
    needs_dicom: bool = False


FORMATS: tuple[Format, ...] = (
    Format("rtstruct", "RTSTRUCT", "DICOM structure set, for planning systems", True),
    Format("seg", "DICOM SEG", "DICOM segmentation, for archives and research", True),
    Format("training", "Training case", "nnU-Net raw dataset, de-identified: no name, ID, dates or DICOM UIDs"),
    Format("nifti", "NIfTI masks", "one .nii.gz for each structure, on the image's own grid"),
    Format("nrrd", "3D Slicer segmentation", "one .seg.nrrd with all structures"),
)


@dataclass(frozen=True)
class Written:
    """One thing that was written and read back, what the user should know about it, and a file's SHA-256."""

    what: str
    path: Path
    notes: tuple[str, ...] = ()
    sha256: str = ""


def export(
    case: Case,
    structures: Sequence[Structure],
    folder: Path,
    formats: Sequence[str],
    *,
    reviewer: str = "",
    rtstruct: RtStructOptions | None = None,
    only_accepted: bool = True,
) -> Job[list[Written]]:
    """Job: write structures into a folder, in each of the formats.

    Parameters
    ----------
    structures : what is to be written, chosen by the caller.
    folder : made when it isn't there; files of the same names are replaced, each when its successor is proved good.
    formats : ids of `FORMATS`.
    rtstruct : how an RTSTRUCT is drawn.
    only_accepted : whether a training case refuses structures that nobody accepted.

    Raises
    ------
    UserError : a format can't be written, with the reason; what was written before it stays.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} can't be made ({error.strerror}).", "Choose another folder.") from error
    done: list[Written] = []
    for chosen in (f for f in FORMATS if f.id in formats):
        yield Progress(len(done), len(formats), f"Writing {chosen.title} and reading it back…")
        if chosen.id == "training":
            from contourdesk.app.dataset import export_case

            report = yield from export_case(case, structures, folder / DATASET_NAME, only_accepted=only_accepted)
            done.append(Written(f"Training case {report.name}", report.folder, report.notes))
            continue
        path = _write(chosen.id, case, structures, folder, reviewer, rtstruct)
        done.append(Written(chosen.title, path, sha256=file_digest(path)))
    return done


def _write(
    kind: str,
    case: Case,
    structures: Sequence[Structure],
    folder: Path,
    reviewer: str,
    rtstruct: RtStructOptions | None,
) -> Path:
    name = file_stem(case)
    if kind == "rtstruct":
        from contourdesk.app.dicom_write import write_rtstruct

        options = rtstruct or RtStructOptions()
        return write_rtstruct(case, structures, folder / f"RTSTRUCT_{name}.dcm", reviewer=reviewer, options=options)
    from contourdesk.app.writers import write_format

    names = {"seg": f"SEG_{name}.dcm", "nrrd": f"{name}.seg.nrrd", "nifti": f"masks_{name}"}
    return write_format(kind, case, structures, folder / names[kind], reviewer=reviewer)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, for the audit trail; empty for a folder."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_stem(case: Case) -> str:
    """A name for files about this case, without blanks and slashes."""
    text = case.patient.id or case.source.path.name.split(".")[0]
    return re.sub(r"[^\w.-]+", "_", text).strip("_.") or "case"
