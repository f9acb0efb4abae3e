"""An RTSTRUCT to structures: the original contours are kept, the masks are filled from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.dataelem import RawDataElement

from contourdesk.app.case import Case
from contourdesk.app.contour import Contour
from contourdesk.app.contours_raster import FILLED_KINDS, Raster, rasterise
from contourdesk.app.dicom_headers import DAMAGE
from contourdesk.app.errors import UserError
from contourdesk.app.resample_masks import rasterise_resampled
from contourdesk.app.structures import Colour, Provenance, Structure

_OFFSET_TOLD_MM = 0.01
# For ROIs without a colour of their own; told apart on grey.
_COLOURS: tuple[Colour, ...] = ((230, 75, 60), (60, 170, 230), (90, 200, 90), (240, 190, 50), (180, 110, 220))


@dataclass(frozen=True)
class References:
    """What a structure set says that it was drawn on."""

    series_uids: frozenset[str]
    image_uids: frozenset[str]
    frame_uids: frozenset[str]


def references(path: Path) -> References:
    """Read what a structure set refers to.

    Raises
    ------
    UserError : the file can't be read.
    """
    return _references(_read(path), path)


def read_rtstruct(path: Path, case: Case) -> list[Structure]:
    """Read the structures of a structure set, on the case's grid; names unique among themselves and the case's.

    Raises
    ------
    UserError : the file can't be read, isn't a structure set, or refers to another image.
    """
    return read_rtstruct_with_notes(path, case)[0]


def add_rtstruct(case: Case, path: Path) -> Case:
    """The case with a structure set's structures; when it can't be used, with a note that says why instead."""
    try:
        structures, notes = read_rtstruct_with_notes(path, case)
    except UserError as error:
        structures, notes = [], (f"{error.message} Its structures were not loaded.",)
    source = replace(case.source, notes=(*case.source.notes, *notes))
    return replace(case, source=source, structures=replace(case.structures, items=(*case.structures, *structures)))


def read_rtstruct_with_notes(path: Path, case: Case) -> tuple[list[Structure], tuple[str, ...]]:
    """Like `read_rtstruct`, with what the reviewer should know: contours not placed, names changed."""
    dataset = _read(path)
    _check_refers(dataset, case, path)
    try:
        rois, time = list(_rois(dataset)), _time(dataset)
        parent = f"RTSTRUCT {dataset.get('SOPInstanceUID') or ''}".strip()  # a writer refers to it as predecessor
    except DAMAGE as error:
        raise _damaged(path) from error
    notes: list[str] = []
    names = case.structures
    out: list[Structure] = []
    for roi in rois:
        name = names.free_name(roi.name)
        if name != roi.name:
            notes.append(f'A second structure called "{roi.name}" was renamed "{name}".')
        raster = _filled(roi.contours, case)
        notes.extend(_raster_notes(name, raster))
        provenance = Provenance("imported", time=time, parent=parent)
        out.append(
            Structure(
                name, roi.colour, raster.mask, provenance, interpreted_type=roi.interpreted_type, contours=roi.contours
            )
        )
        names = names.put(out[-1])
    return out, tuple(notes)


def _filled(contours: Sequence[Contour], case: Case) -> Raster:
    source = case.source
    if source.resampled is not None:
        return rasterise_resampled(contours, source.resampled, source.image_uids)
    return rasterise(contours, case.volume.grid, source.image_uids)


@dataclass(frozen=True)
class _Roi:
    name: str
    colour: Colour
    interpreted_type: str
    contours: tuple[Contour, ...]


def _rois(dataset: Dataset) -> Iterator[_Roi]:
    """ROIs in the file's order, joined by their numbers. Raises one of `DAMAGE`."""
    outlines = {_number(item, "ReferencedROINumber"): item for item in _items(dataset, "ROIContourSequence")}
    kinds = {
        _number(item, "ReferencedROINumber"): str(item.get("RTROIInterpretedType") or "")
        for item in _items(dataset, "RTROIObservationsSequence")
    }
    for i, roi in enumerate(_items(dataset, "StructureSetROISequence")):
        number = _number(roi, "ROINumber")
        name = str(roi.get("ROIName") or "").strip() or f"ROI {number}"
        outline = outlines.get(number, Dataset())
        yield _Roi(name, _colour(outline, i), kinds.get(number) or "", tuple(_contours(outline)))


def _read(path: Path) -> Dataset:
    try:
        dataset = dcmread(path)
        modality = dataset.get("Modality")
    except DAMAGE as error:
        raise _damaged(path) from error
    if modality != "RTSTRUCT" and "StructureSetROISequence" not in dataset:
        raise UserError(f"{path.name} isn't an RT structure set.", "Choose a DICOM RTSTRUCT file.")
    return dataset


def _damaged(path: Path) -> UserError:
    return UserError(f"{path.name} can't be read; it may be cut short or damaged.", "Export it again.")


def _items(dataset: Dataset, keyword: str) -> Iterable[Dataset]:
    return dataset.get(keyword) or ()


def _number(item: Dataset, keyword: str) -> int:
    value = item.get(keyword)
    return -1 if value is None else int(value)


def _references(dataset: Dataset, path: Path) -> References:
    try:
        frames, series, images = _referred(dataset)
        for roi in _items(dataset, "StructureSetROISequence"):
            frames.add(str(roi.get("ReferencedFrameOfReferenceUID", "")))
        for outline in _items(dataset, "ROIContourSequence"):
            for contour in _items(outline, "ContourSequence"):
                images |= _images(contour)
    except DAMAGE as error:
        raise _damaged(path) from error
    return References(frozenset(series - {""}), frozenset(images - {""}), frozenset(frames - {""}))


def _referred(dataset: Dataset) -> tuple[set[str], set[str], set[str]]:
    """Frames of reference, series and images in the set's own list of references."""
    frames, series, images = set(), set(), set()
    for frame in _items(dataset, "ReferencedFrameOfReferenceSequence"):
        frames.add(str(frame.get("FrameOfReferenceUID", "")))
        for study in _items(frame, "RTReferencedStudySequence"):
            for one in _items(study, "RTReferencedSeriesSequence"):
                series.add(str(one.get("SeriesInstanceUID", "")))
                images |= _images(one)
    return frames, series, images


def _images(item: Dataset) -> set[str]:
    return {str(i.get("ReferencedSOPInstanceUID", "")) for i in _items(item, "ContourImageSequence")}


def _check_refers(dataset: Dataset, case: Case, path: Path) -> None:
    """Raise when nothing that the structure set refers to is this image."""
    refers = _references(dataset, path)
    if (
        case.source.series_uid in refers.series_uids
        or refers.image_uids & set(case.source.image_uids)
        or case.volume.grid.frame_of_reference_uid in refers.frame_uids
    ):
        return
    raise UserError(
        f"{path.name} refers to another image: neither its frame of reference nor its series or images are these.",
        "Open the CT that it was drawn on.",
    )


def _contours(outline: Dataset) -> Iterator[Contour]:
    """Contours as they came. Raises one of `DAMAGE`."""
    for item in _items(outline, "ContourSequence"):
        points = _points(item)
        if not np.isfinite(points).all():
            raise ValueError("a contour's point is not a number")
        kind = str(item.get("ContourGeometricType") or "CLOSED_PLANAR").strip()
        if kind in FILLED_KINDS and len(points) > 1 and np.array_equal(points[0], points[-1]):
            points = points[:-1]
        if len(points):
            yield Contour(points, kind, next(iter(_images(item)), ""))


def _points(item: Dataset) -> NDArray[np.float64]:
    """(n, 3) LPS mm. A clinical set has a million numbers: they are taken from the raw text where it is still there."""
    raw = item.get_item("ContourData") if "ContourData" in item else None
    if isinstance(raw, RawDataElement) and isinstance(raw.value, bytes):
        text = raw.value.decode("ascii").strip("\0 ")
        return np.array(text.split("\\") if text else [], dtype=np.float64).reshape(-1, 3)
    value = item.get("ContourData")
    return np.array([] if value is None else value, dtype=np.float64).reshape(-1, 3)


def _raster_notes(name: str, raster: Raster) -> Iterator[str]:
    def some(count: int) -> str:
        return f'{count} contour{"" if count == 1 else "s"} of "{name}"'

    if raster.outside:
        yield f"Outside the images and not shown: {some(raster.outside)}."
    if raster.slanted:
        yield f"Not in the planes of the images and not shown: {some(raster.slanted)}."
    if raster.clipped:
        yield f"Over the edge of the images and shown as far as those go: {some(raster.clipped)}."
    if raster.overlapping:
        slices = "1 slice" if raster.overlapping == 1 else f"{raster.overlapping} slices"
        yield (
            f'On {slices} outlines of "{name}" overlap each other; '
            "where they do, it counts as outside (programs disagree on this)."
        )
    if raster.largest_offset_mm > _OFFSET_TOLD_MM:
        yield f'Contours of "{name}" lie up to {raster.largest_offset_mm:.2f} mm from their slices.'


def _colour(outline: Dataset, index: int) -> Colour:
    value = outline.get("ROIDisplayColor")
    try:
        red, green, blue = (min(255, max(0, int(v))) for v in value)
    except (TypeError, ValueError):
        return _COLOURS[index % len(_COLOURS)]
    return red, green, blue


def _time(dataset: Dataset) -> str:
    """ISO time of the structure set without zone (the file gives none), empty when it is not said."""
    date, time = str(dataset.get("StructureSetDate") or ""), str(dataset.get("StructureSetTime") or "")
    if len(date) != 8:
        return ""
    clock = f"T{time[:2]}:{time[2:4]}:{time[4:6]}" if len(time) >= 6 else ""
    return f"{date[:4]}-{date[4:6]}-{date[6:]}{clock}"
