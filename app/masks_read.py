"""Structures from whatever another tool wrote them into, onto the grid of the case that is open.

What a file is decides its content, not its name: an RTSTRUCT, a DICOM SEG, one of Slicer's segmentations, a label map
(NIfTI or NRRD), or a folder with one mask for each structure as TotalSegmentator writes it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contourdesk.app import nrrd_read
from contourdesk.app.case import Case
from contourdesk.app.dicom_headers import Header, read_header
from contourdesk.app.errors import UserError
from contourdesk.app.image_read import case_name, is_image_file
from contourdesk.app.jobs import Job, Progress, run
from contourdesk.app.label_names import IGNORE, label_names
from contourdesk.app.naming import colour_for, type_for
from contourdesk.app.nifti_read import is_nifti, read_nifti
from contourdesk.app.placement import TOLERANCE_MM, label_boxes, place, union
from contourdesk.app.raw_image import RawImage
from contourdesk.app.seg_read import SEG_CLASSES, read_seg
from contourdesk.app.slicer_read import is_slicer_segmentation, read_slicer
from contourdesk.app.structures import Mask, Provenance, Structure

log = logging.getLogger(__name__)

_MOST_LABELS = 1000  # no label map has more; an image has
_ADVICE = "Choose an RTSTRUCT, a DICOM SEG, a .seg.nrrd, a label map, or a folder of masks."

Found = tuple[list[Structure], tuple[str, ...]]


def read_structures(
    path: Path, case: Case, *, any_reference: bool = False, tolerance_mm: float = TOLERANCE_MM
) -> Found:
    """Read structures from a file or a folder of masks; see `import_structures`, which is the same as a job."""
    return run(import_structures(path, case, any_reference=any_reference, tolerance_mm=tolerance_mm))


def import_structures(
    path: Path, case: Case, *, any_reference: bool = False, tolerance_mm: float = TOLERANCE_MM
) -> Job[Found]:
    """Read structures, with names unique among themselves and the case's.

    Parameters
    ----------
    any_reference : take DICOM structures by their position also when they refer to other images, and record that.
    tolerance_mm : how far voxels of masks may lie from the image's; not for the contours of an RTSTRUCT.

    Returns
    -------
    The structures, each from "imported", and what the reviewer should know.

    Raises
    ------
    UserError : not readable, holds no structures, of other images, or on another grid; says which.
    """
    path = Path(path)
    try:
        if not path.exists():
            raise UserError(f'There is no file or folder "{path}".', "Check the path.")
        if path.is_dir():
            return (yield from _folder(path, case, any_reference, tolerance_mm))
        yield Progress(0, 1, f"Reading {path.name}")
        return _file(path, case, any_reference, tolerance_mm)
    except OSError as error:
        raise UserError(f'"{path}" can\'t be read ({error.strerror}).', "Check that you may read it.") from error
    except MemoryError as error:
        raise UserError(f"{path.name} is too big for this computer's memory.", "Export a smaller part.") from error


def _file(path: Path, case: Case, any_reference: bool, tolerance_mm: float) -> Found:
    if nrrd_read.is_nrrd(path):
        header = nrrd_read.read_header(path)
        if is_slicer_segmentation(header):
            return read_slicer(path, case, tolerance_mm=tolerance_mm)
        return _labels(path, nrrd_read.nrrd_image(*nrrd_read.read_nrrd(path), path), case, tolerance_mm)
    if is_nifti(path) or is_image_file(path):
        return _labels(path, read_nifti(path), case, tolerance_mm)
    found = read_header(path)
    if found is None:
        raise UserError(f"{path.name} holds no structures that can be read.", _ADVICE)
    if not isinstance(found, Header):
        raise UserError(f"{path.name} {found.reason}.", "Export or copy it again.")
    kind, modality = found.text("SOPClassUID"), found.text("Modality")
    if kind in SEG_CLASSES or modality == "SEG":
        return read_seg(path, case, any_reference=any_reference, tolerance_mm=tolerance_mm)
    if modality == "RTSTRUCT":
        from contourdesk.app.rtstruct_read import read_rtstruct_with_notes

        return read_rtstruct_with_notes(path, case, any_reference=any_reference)
    raise UserError(f"{path.name} is a DICOM {modality or 'file'}, which holds no structures.", _ADVICE)


def _folder(path: Path, case: Case, any_reference: bool, tolerance_mm: float) -> Job[Found]:
    """One mask per file, or what else lies there; files that don't fit become notes, unless none fits."""
    files = sorted(p for p in path.iterdir() if p.is_file() and is_image_file(p) and p.suffix.lower() != ".img")
    if not files:
        files = sorted(p for p in path.iterdir() if p.is_file() and isinstance(read_header(p), Header))
    if not files:
        raise UserError(f'There are no masks in "{path.name}".', _ADVICE)
    structures: list[Structure] = []
    notes: list[str] = []
    errors: list[UserError] = []
    empty = 0
    so_far = case
    for i, file in enumerate(files):
        yield Progress(i, len(files), f"Reading {file.name}")
        try:
            found, more = _file(file, so_far, any_reference, tolerance_mm)
        except UserError as error:
            errors.append(error)
            notes.append(f"Left out: {error.message}")
            continue
        kept = [s for s in found if not s.mask.is_empty or s.contours]
        empty += len(found) - len(kept)
        notes.extend(more)
        structures.extend(kept)
        so_far = replace(so_far, structures=replace(so_far.structures, items=(*so_far.structures, *kept)))
    if errors and not structures:
        more_text = f" The other {len(errors) - 1} files can't be used either." if len(errors) > 1 else ""
        raise UserError(f"{errors[0].message}{more_text}", errors[0].what_to_do)
    if empty:
        notes.append(f"{empty} of the masks are empty; they were left out.")
    log.info("read %d structures from %d files", len(structures), len(files))
    return structures, tuple(notes)


def _labels(path: Path, raw: RawImage, case: Case, tolerance_mm: float) -> Found:
    """A label map, or a mask of one structure: then the file's name is the structure's."""
    array = _whole_numbers(raw.array, path)
    placement = place(raw.grid, case.volume.grid, path.name, tolerance_mm)
    masks: dict[int, Mask] = {}
    lost = 0
    for count, (label, box) in enumerate(label_boxes(array)):
        if label < 0 or count >= _MOST_LABELS:
            raise UserError(f"{path.name} looks like an image, not like labels of structures.", _ADVICE)
        start = (box[0].start, box[1].start, box[2].start)
        masks[label], outside = placement.mask(array[box] == label, start)
        lost += outside
    notes = list(raw.notes)
    if lost:
        notes.append(f"{path.name} reaches over the edge of the images; {lost} voxels were left out.")
    out: list[Structure] = []
    names = case.structures
    for wanted, mask in _named(path, masks, notes):
        name = names.free_name(wanted)
        if name != wanted:
            notes.append(f'A second structure called "{wanted}" was renamed "{name}".')
        made = Structure(name, colour_for(wanted), mask, Provenance("imported"), interpreted_type=type_for(wanted))
        out.append(made)
        names = names.put(made)
    return out, tuple(notes)


def _named(path: Path, masks: dict[int, Mask], notes: list[str]) -> Iterator[tuple[str, Mask]]:
    """Names and masks; what has no name is called by the file's and its number."""
    names = label_names(path)
    stem = case_name(path)
    if not names and len(masks) <= 1:
        yield stem, next(iter(masks.values()), Mask())
        return
    used: set[int] = set()
    for name, numbers in names.items():
        used.update(numbers)
        there = [masks[n] for n in numbers if n in masks]
        if name.casefold() == IGNORE:
            if there:
                notes.append(f'{path.name} has voxels marked "{name}"; they were left out.')
        elif there:
            yield name, union(there)
    for number in sorted(set(masks) - used):
        yield f"{stem} {number}", masks[number]


def _whole_numbers(array: NDArray[np.generic], path: Path) -> NDArray[np.generic]:
    """The array as integers. Raises UserError unless its values are whole."""
    if array.dtype.kind in "iu":
        return array
    out = np.empty(array.shape, np.int32)
    for k, plane in enumerate(array):
        with np.errstate(invalid="ignore"):
            out[k] = plane
        if not np.array_equal(out[k], plane):
            raise UserError(
                f"{path.name} has values that aren't whole numbers: it holds an image or probabilities, no labels.",
                "Export it as a label map.",
            )
    return out
