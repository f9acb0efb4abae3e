"""The formats that structures are written in besides RTSTRUCT, by the names that the command line has for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contourdesk.app.case import Case
from contourdesk.app.structures import Structure

FILE_NAMES = {"seg": "segmentation.dcm", "nrrd": "structures.seg.nrrd"}  # on the command line
NEEDS_DICOM = {"rtstruct": "an RTSTRUCT", "seg": "a DICOM SEG"}  # they refer to the images


def write_format(kind: str, case: Case, structures: Sequence[Structure], path: Path, *, reviewer: str = "") -> Path:
    """Write structures in one format and return where they are.

    Parameters
    ----------
    kind : "seg", "nrrd" (Slicer's .seg.nrrd) or "nifti" (one mask for each structure).
    path : the file to write; for NIfTI masks the folder, which is made.

    Raises
    ------
    UserError : see the writers; files of an earlier export are intact then.
    ValueError : another format.
    """
    if kind == "seg":
        from contourdesk.app.seg_write import write_seg

        return write_seg(case, structures, path, reviewer=reviewer)
    if kind == "nrrd":
        from contourdesk.app.nrrd_write import write_slicer

        return write_slicer(case, structures, path)
    if kind == "nifti":
        from contourdesk.app.nifti_write import write_masks

        path.mkdir(parents=True, exist_ok=True)
        write_masks(structures, case.volume.grid, path)
        return path
    raise ValueError(f"no such format: {kind}")
