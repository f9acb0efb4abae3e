"""The formats that structures are written in besides RTSTRUCT, by the names that the command line has for them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contourdesk.app.case import Case
from contourdesk.app.structures import Structure

SEG_NAME = "segmentation.dcm"
SLICER_NAME = "structures.seg.nrrd"
NEEDS_DICOM = {"rtstruct": "an RTSTRUCT", "seg": "a DICOM SEG"}  # they refer to the images


def write_format(
    kind: str, case: Case, structures: Sequence[Structure], folder: Path, *, masks: Path, reviewer: str = ""
) -> Path:
    """Write structures in one format and return where they are.

    Parameters
    ----------
    kind : "seg", "nrrd" (Slicer's .seg.nrrd) or "nifti" (one mask for each structure).
    folder : gets the file;  masks : folder for NIfTI masks.

    Raises
    ------
    UserError : see the writers; files of an earlier export are intact then.
    ValueError : another format.
    """
    if kind == "seg":
        from contourdesk.app.seg_write import write_seg

        return write_seg(case, structures, folder / SEG_NAME, reviewer=reviewer)
    if kind == "nrrd":
        from contourdesk.app.nrrd_write import write_slicer

        return write_slicer(case, structures, folder / SLICER_NAME)
    if kind == "nifti":
        from contourdesk.app.nifti_write import write_masks

        write_masks(structures, case.volume.grid, masks)
        return masks
    raise ValueError(f"no such format: {kind}")
