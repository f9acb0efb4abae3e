"""An RTSTRUCT to structures: the original contours are kept, the masks are filled from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydicom import Dataset

from contourdesk.app.case import Case
from contourdesk.app.contour import Contour
from contourdesk.app.contours_place import FILLED_KINDS, Placement, place
from contourdesk.app.contours_raster import Raster, rasterise
from contourdesk.app.errors import UserError
from contourdesk.app.references import OtherImages, References, differences, remark
from contourdesk.app.resample_masks import rasterise_resampled
from contourdesk.app.rtstruct_file import Roi, open_rtstruct, reading, references_of, rois_of
from contourdesk.app.structures import Mask, Provenance, Structure

__all__ = ["References", "add_rtstruct", "read_rtstruct", "read_rtstruct_with_notes", "references", "why_refused"]

_OFFSET_TOLD_MM = 0.01


def references(path: Path) -> References:
    """Read what a structure set refers to.

    Raises
    ------
    UserError : the file can't be read.
    """
    dataset = open_rtstruct(path)
    with reading(path):
        return references_of(dataset)


def read_rtstruct(path: Path, case: Case, *, any_reference: bool = False) -> list[Structure]:
    """Read all structures of a structure set, for callers that have nowhere to show notes.

    Raises
    ------
    UserError : as `read_rtstruct_with_notes`, and when any one structure can't be read for certain.
    """
    structures, _, refused = _read(path, case, any_reference)
    if refused:
        raise UserError(refused[0], "Correct it where it was made, and export it again.")
    return structures


def read_rtstruct_with_notes(
    path: Path, case: Case, *, any_reference: bool = False
) -> tuple[list[Structure], tuple[str, ...]]:
    """Read the structures of a structure set, on the case's grid; names unique among themselves and the case's.

    Parameters
    ----------
    any_reference : take it also when its references are missing or wrong for this case, as the user asked; each
        structure's provenance records that.

    Returns
    -------
    Structures in the file's order, and what the reviewer should know: structures left out because they can't be read
    for certain, contours not placed, names changed.

    Raises
    ------
    OtherImages : its references are missing or wrong for this case (see `references.differences`); a UserError.
    UserError : the file can't be read or isn't a structure set.
    """
    structures, notes, refused = _read(path, case, any_reference)
    return structures, (*refused, *notes)


def add_rtstruct(case: Case, path: Path, *, any_reference: bool = False) -> Case:
    """The case with a structure set's structures; when it can't be used, with a note that says why instead."""
    try:
        structures, notes = read_rtstruct_with_notes(path, case, any_reference=any_reference)
    except UserError as error:
        structures, notes = [], (f"{error.message} Its structures were not loaded.",)
    source = replace(case.source, notes=(*case.source.notes, *notes))
    return replace(case, source=source, structures=replace(case.structures, items=(*case.structures, *structures)))


def why_refused(path: Path, case: Case) -> OtherImages | None:
    """What to ask the user before a structure set is read with `any_reference`; None when there is nothing to ask.

    Raises
    ------
    UserError : it can't be read in any case.
    """
    dataset = open_rtstruct(path)
    with reading(path):
        return _other_images(dataset, rois_of(dataset), case, path)


def _read(path: Path, case: Case, any_reference: bool) -> tuple[list[Structure], list[str], list[str]]:
    """Structures, notes on them, and why others were left out."""
    dataset = open_rtstruct(path)
    with reading(path):
        rois = rois_of(dataset)
        other = _other_images(dataset, rois, case, path)
        time = _time(dataset)
        parent = f"RTSTRUCT {dataset.get('SOPInstanceUID') or ''}".strip()  # a writer refers to it as predecessor
        no_contours = "ROIContourSequence" not in dataset
    if other is not None and not any_reference:
        raise other
    notes = [f"{path.name} holds no contours."] if rois and no_contours else []
    made = Provenance("imported", time=time, parent=parent)
    if other is not None:
        made = replace(made, remark=remark(other.reasons))
        notes.append(f"{path.name}: {made.remark}")
    structures, more, refused = _structures(rois, case, made, any_reference)
    return structures, notes + more, refused


def _structures(
    rois: Sequence[Roi], case: Case, made: Provenance, any_reference: bool
) -> tuple[list[Structure], list[str], list[str]]:
    frame, names = case.volume.grid.frame_of_reference_uid, case.structures
    out: list[Structure] = []
    notes: list[str] = []
    refused: list[str] = []
    for roi in rois:
        own, problem = made, roi.problem
        if frame and roi.frame_uid not in ("", frame):
            own = replace(made, remark=made.remark or remark(("its frame of reference is another",)))
            problem = problem or ("" if any_reference else "lies in another frame of reference")
        raster = Raster(Mask(), problem) if problem else _filled(roi.contours, case)
        if raster.problem:
            refused.append(f'"{roi.name}" {raster.problem}. It was not loaded.')
            continue
        name = names.free_name(roi.name)
        if name != roi.name:
            notes.append(f'A second structure called "{roi.name}" was renamed "{name}".')
        notes.extend(f'"{name}" {note}.' for note in roi.notes)
        notes.extend(_contour_notes(name, roi.contours))
        notes.extend(_raster_notes(name, raster))
        out.append(
            Structure(name, roi.colour, raster.mask, own, interpreted_type=roi.interpreted_type, contours=roi.contours)
        )
        names = names.put(out[-1])
    return out, notes, refused


def _filled(contours: Sequence[Contour], case: Case) -> Raster:
    source = case.source
    if source.resampled is not None:
        return rasterise_resampled(contours, source.resampled, source.image_uids)
    return rasterise(contours, case.volume.grid, source.image_uids)


# -- whose images --------------------------------------------------------------------------------------------------


def _other_images(dataset: Dataset, rois: Sequence[Roi], case: Case, path: Path) -> OtherImages | None:
    """What to ask when the references don't agree. Raises one of `DAMAGE`."""
    reasons = differences(references_of(dataset), case)
    return OtherImages(path, reasons, _fit(rois, case)) if reasons else None


def _fit(rois: Iterable[Roi], case: Case) -> str:
    """How the contours lie to the slices, in a sentence: what the user can judge an override by."""
    grid, resampled = case.volume.grid, case.source.resampled
    closed = placed = slanted = 0
    furthest = 0.0
    for roi in rois:
        where: Placement = place(roi.contours, grid) if resampled is None else resampled.planes.place(roi.contours)
        closed += len(where.closed)
        if not where.in_slices:
            slanted += len(where.closed)
            continue
        on = where.slices >= 0
        placed += int(np.count_nonzero(on))
        distance = where.offset * grid.spacing_mm[0]
        furthest = max(furthest, float(distance[on].max(initial=0.0)))
    if not closed:
        return "It has no closed contours."
    tilted = f", {slanted} lie on planes of another direction" if slanted else ""
    off = closed - placed - slanted
    return (
        f"Of its {closed} closed contours {placed} fall on the slices, at most {furthest:.2f} mm from them{tilted}, "
        f"{off} lie outside the images."
    )


# -- notes ---------------------------------------------------------------------------------------------------------


def _contour_notes(name: str, contours: Sequence[Contour]) -> Iterator[str]:
    """Contours that are kept and written back, but fill nothing whatever the images are."""
    small = sum(c.kind in FILLED_KINDS and len(c.points_lps) < 3 for c in contours)
    if small:
        yield f"Of fewer than three points, kept and not filled: {_some(small, name)}."
    kinds = sorted({c.kind for c in contours if c.kind not in FILLED_KINDS})
    if kinds:
        count = sum(c.kind in kinds for c in contours)
        yield f"Points or lines, kept and not filled: {_some(count, name)} ({', '.join(kinds)})."


def _raster_notes(name: str, raster: Raster) -> Iterator[str]:
    if raster.outside:
        yield f"Outside the images and not shown: {_some(raster.outside, name)}."
    if raster.between:
        yield (f"Between slices and not shown, as another plane is nearer to the slice: {_some(raster.between, name)}.")
    if raster.repeated:
        yield f"There a second time with the same points, and counted once: {_some(raster.repeated, name)}."
    if raster.slanted:
        planes = f"planes {raster.plane_spacing_mm:.2f} mm apart" if raster.plane_spacing_mm else "one plane"
        yield (
            f'"{name}" is drawn on {planes} that are not the images\'. Each voxel belongs to the plane nearest to it; '
            "once it is edited, it is written on the slices."
        )
    if raster.clipped:
        yield f"Over the edge of the images and shown as far as those go: {_some(raster.clipped, name)}."
    if raster.overlapping:
        slices = "1 slice" if raster.overlapping == 1 else f"{raster.overlapping} slices"
        yield (
            f'On {slices} outlines of "{name}" overlap each other; '
            "where they do, it counts as outside (programs disagree on this)."
        )
    if raster.largest_offset_mm > _OFFSET_TOLD_MM:
        yield f'Contours of "{name}" lie up to {raster.largest_offset_mm:.2f} mm from their slices.'


def _some(count: int, name: str) -> str:
    return f'{count} contour{"" if count == 1 else "s"} of "{name}"'


def _time(dataset: Dataset) -> str:
    """ISO time of the structure set without zone (the file gives none), empty when it is not said."""
    date, time = str(dataset.get("StructureSetDate") or ""), str(dataset.get("StructureSetTime") or "")
    if len(date) != 8:
        return ""
    clock = f"T{time[:2]}:{time[2:4]}:{time[4:6]}" if len(time) >= 6 else ""
    return f"{date[:4]}-{date[4:6]}-{date[6:]}{clock}"
