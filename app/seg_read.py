"""A DICOM Segmentation (SEG) to structures on the grid of a case: binary, fractional and label map.

Frames may come in any order, be left out where nothing is drawn, overlap, and cover a part of the image. They are
placed by their position in the patient, and only where their pixels are the image's own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread

from contourdesk.app.anatomy import interpreted_type
from contourdesk.app.archives import open_binary
from contourdesk.app.case import Case
from contourdesk.app.colours import lab_to_rgb
from contourdesk.app.dicom_headers import DAMAGE
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.naming import colour_for, type_for
from contourdesk.app.placement import TOLERANCE_MM, Placement, label_boxes, union
from contourdesk.app.references import OtherImages, References, differences, remark
from contourdesk.app.resample import Resample
from contourdesk.app.resample_masks import mask_on_grid
from contourdesk.app.seg_frames import Frames, on_grid, on_planes
from contourdesk.app.structures import Colour, Mask, Provenance, Structure

log = logging.getLogger(__name__)

BINARY_CLASS, LABELMAP_CLASS = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7"
SEG_CLASSES = (BINARY_CLASS, LABELMAP_CLASS)
THRESHOLD = 0.5  # of the full value of a fractional segmentation; what is at least that is inside
_BACKGROUND = ("125040", "DCM")


def references(path: Path) -> References:
    """Read what a segmentation refers to.

    Raises
    ------
    UserError : the file can't be read.
    """
    wanted = ["FrameOfReferenceUID", "ReferencedSeriesSequence", "SourceImageSequence", "SOPClassUID"]
    try:
        with open_binary(path) as stream:
            return _references(dcmread(stream, stop_before_pixels=True, specific_tags=wanted))
    except DAMAGE as error:
        raise _damaged(path) from error


def add_seg(case: Case, path: Path) -> Case:
    """The case with a segmentation's structures; when it can't be used, with a note that says why instead."""
    try:
        structures, notes = read_seg(path, case)
    except UserError as error:
        structures, notes = [], (f"{error.message} Its structures were not loaded.",)
    source = replace(case.source, notes=(*case.source.notes, *notes))
    return replace(case, source=source, structures=replace(case.structures, items=(*case.structures, *structures)))


def read_seg(
    path: Path, case: Case, *, any_reference: bool = False, tolerance_mm: float = TOLERANCE_MM
) -> tuple[list[Structure], tuple[str, ...]]:
    """Read the segments as structures; names unique among themselves and the case's.

    Parameters
    ----------
    any_reference : take it by its position also when it refers to other images; a note records that.
    tolerance_mm : how far its voxels may lie from the image's.

    Returns
    -------
    The structures in the order of the segment numbers, and what the reviewer should know.

    Raises
    ------
    UserError : damaged, no segmentation, of other images, or not on their voxels.
    """
    dataset = _read(path)
    try:
        taken_over = _check_refers(dataset, case, path, any_reference)
        segments, masks, resampled, more = _read_masks(dataset, case, path, tolerance_mm)
        made = Provenance(
            "imported",
            person=str(dataset.get("ContentCreatorName") or ""),
            time=_time(dataset),
            parent=f"SEG {dataset.get('SOPInstanceUID') or ''}".strip(),
            remark=taken_over,
        )
    except DAMAGE as error:
        raise _damaged(path) from error
    if resampled is not None:
        masks = {number: mask_on_grid(mask, resampled) for number, mask in masks.items()}
    structures, renamed = _structures(case, segments, masks, made)
    notes = [f"{path.name}: {taken_over}"] if taken_over else []
    return structures, (*notes, *more, *renamed)


def segment_masks(path: Path, case: Case) -> list[tuple[str, Colour, Mask]]:
    """Names, colours and masks as the file has them: on the original images, index (image, row, column).

    Raises
    ------
    UserError : as `read_seg`.
    """
    dataset = _read(path)
    try:
        _check_refers(dataset, case, path, False)
        segments, masks, _, _ = _read_masks(dataset, case, path, TOLERANCE_MM)
    except DAMAGE as error:
        raise _damaged(path) from error
    return [(one.name, one.colour, masks.get(number, Mask())) for number, one in segments.items()]


def own_grid(path: Path) -> Grid:
    """The smallest grid that holds a segmentation's frames, for one without its images. Raises UserError."""
    dataset = _read(path)
    try:
        return Frames(dataset, path).own_grid()
    except DAMAGE as error:
        raise _damaged(path) from error


@dataclass(frozen=True)
class _Segment:
    number: int
    name: str
    colour: Colour
    interpreted_type: str
    algorithm_type: str
    algorithm: str


def _read(path: Path) -> Dataset:
    try:
        with open_binary(path) as stream:
            dataset = dcmread(stream)
        kind = str(dataset.get("SOPClassUID"))
        is_seg = kind in SEG_CLASSES or "SegmentSequence" in dataset
    except DAMAGE as error:
        raise _damaged(path) from error
    if not is_seg:
        raise UserError(f"{path.name} isn't a DICOM segmentation.", "Choose a DICOM SEG file.")
    return dataset


def _damaged(path: Path) -> UserError:
    return UserError(f"{path.name} can't be read; it may be cut short or damaged.", "Export it again.")


def _items(dataset: Dataset, keyword: str) -> Iterable[Dataset]:
    return dataset.get(keyword) or ()


def _references(dataset: Dataset) -> References:
    series, images = set(), set()
    for one in _items(dataset, "ReferencedSeriesSequence"):
        series.add(str(one.get("SeriesInstanceUID", "")))
        images |= {str(i.get("ReferencedSOPInstanceUID", "")) for i in _items(one, "ReferencedInstanceSequence")}
    images |= {str(i.get("ReferencedSOPInstanceUID", "")) for i in _items(dataset, "SourceImageSequence")}
    frames = {str(dataset.get("FrameOfReferenceUID") or "")}
    return References(frozenset(series - {""}), frozenset(images - {""}), frozenset(frames - {""}))


def _check_refers(dataset: Dataset, case: Case, path: Path, any_reference: bool) -> str:
    """What to remember when it is taken over against its references; raises `OtherImages` unless that was asked for."""
    reasons = differences(_references(dataset), case)
    if reasons and not any_reference:
        raise OtherImages(path, reasons)
    return remark(reasons)


def _segments(dataset: Dataset) -> dict[int, _Segment]:
    """Segments by number, without the background of a label map."""
    out: dict[int, _Segment] = {}
    for item in _items(dataset, "SegmentSequence"):
        number = int(item.SegmentNumber)
        kind = next(iter(_items(item, "SegmentedPropertyTypeCodeSequence")), Dataset())
        code = (str(kind.get("CodeValue") or ""), str(kind.get("CodingSchemeDesignator") or ""))
        if number == 0 or code == _BACKGROUND:
            continue
        if number in out:
            raise ValueError(f"two segments have the number {number}")
        names = (item.get("SegmentLabel"), item.get("SegmentDescription"), kind.get("CodeMeaning"))
        name = next((str(n).strip() for n in names if n and str(n).strip()), f"Segment {number}")
        out[number] = _Segment(
            number,
            name,
            _colour(item, name),
            interpreted_type(code[0]) or type_for(name),
            str(item.get("SegmentAlgorithmType") or ""),
            str(item.get("SegmentAlgorithmName") or ""),
        )
    if not out:
        raise ValueError("no segments")
    return dict(sorted(out.items()))


def _colour(item: Dataset, name: str) -> Colour:
    try:
        return lab_to_rgb([int(v) for v in item.RecommendedDisplayCIELabValue])
    except (AttributeError, TypeError, ValueError):
        return colour_for(name)


def _read_masks(
    dataset: Dataset, case: Case, path: Path, tolerance_mm: float
) -> tuple[dict[int, _Segment], dict[int, Mask], Resample | None, list[str]]:
    """Segments, their masks, how these must be resampled to the case's grid, notes. Raises one of `DAMAGE`."""
    segments = _segments(dataset)
    frames = Frames(dataset, path)
    placements, how = _placements(frames, case, path, tolerance_mm)
    masks, notes = _masks(dataset, segments, frames, placements, path)
    return segments, masks, how, notes


def _placements(frames: Frames, case: Case, path: Path, tolerance_mm: float) -> tuple[list[Placement], Resample | None]:
    """Where the frames lie: on the original slices of a resampled case (given back then), else on the grid."""
    grid, how = case.volume.grid, case.source.resampled
    if how is not None:
        try:
            return frames.placements(on_planes(how.planes, path.name, tolerance_mm)), how
        except UserError:
            log.info("a segmentation isn't on the original slices")
    placements = frames.placements(on_grid(grid, path.name, tolerance_mm))
    frames.check_spacing(placements, grid)
    return placements, None


def _masks(
    dataset: Dataset, segments: dict[int, _Segment], frames: Frames, placements: Sequence[Placement], path: Path
) -> tuple[dict[int, Mask], list[str]]:
    """Mask of each segment that has frames, and notes."""
    kind = str(dataset.get("SegmentationType") or "BINARY").upper()
    if str(dataset.get("SOPClassUID")) == LABELMAP_CLASS or kind == "LABELMAP":
        padding = dataset.get("PixelPaddingValue")
        parts = _label_parts(frames, placements, {0} if padding is None else {0, int(padding)})
    elif kind in ("BINARY", "FRACTIONAL"):
        least = max(1.0, THRESHOLD * int(dataset.MaximumFractionalValue)) if kind == "FRACTIONAL" else 1.0
        parts = _binary_parts(frames, placements, least)
    else:
        raise UserError(f"{path.name} is a segmentation of an unknown kind ({kind}).", "Export it as BINARY.")
    pieces: dict[int, list[Mask]] = {}
    taken: set[tuple[int, tuple[int, int, int]]] = set()
    described = {int(item.SegmentNumber) for item in _items(dataset, "SegmentSequence")}
    lost = 0
    for number, corner, mask, outside in parts:
        if number not in described:
            raise UserError(f"{path.name} has pixels of a segment, {number}, that isn't described.", "Export it again.")
        if number not in segments:  # the background
            continue
        if (number, corner) in taken:
            raise UserError(
                f'{path.name} contradicts itself: two frames of "{segments[number].name}" lie in one place.',
                "Export it again.",
            )
        taken.add((number, corner))
        lost += outside
        pieces.setdefault(number, []).append(mask)
    notes = []
    if kind == "FRACTIONAL":
        notes.append(f"{path.name} is fractional; what is at least {THRESHOLD:g} counts as inside.")
    if lost:
        notes.append(f"{path.name} reaches over the edge of the images; {lost} voxels were left out.")
    return {number: union(masks) for number, masks in pieces.items()}, notes


_Part = tuple[int, tuple[int, int, int], Mask, int]  # segment, corner in the grid, mask, voxels outside


def _binary_parts(frames: Frames, placements: Sequence[Placement], least: float) -> Iterator[_Part]:
    for i, (placement, pixels) in enumerate(zip(placements, frames.pixels(), strict=True)):
        bits: NDArray[np.bool_] = pixels >= least
        yield (frames.segment_number(i), placement.corner, *placement.mask(bits[None]))


def _label_parts(frames: Frames, placements: Sequence[Placement], empty: set[int]) -> Iterator[_Part]:
    for placement, pixels in zip(placements, frames.pixels(), strict=True):
        for label, box in label_boxes(pixels[None]):
            if label not in empty:
                bits = pixels[None][box] == label
                start = (box[0].start, box[1].start, box[2].start)
                yield (label, placement.corner, *placement.mask(bits, start))


def _structures(
    case: Case, segments: dict[int, _Segment], masks: dict[int, Mask], made: Provenance
) -> tuple[list[Structure], list[str]]:
    out: list[Structure] = []
    notes = []
    names = case.structures
    for number, segment in segments.items():
        name = names.free_name(segment.name)
        if name != segment.name:
            notes.append(f'A second structure called "{segment.name}" was renamed "{name}".')
        by_hand = segment.algorithm_type == "MANUAL"
        origin = replace(made, person=made.person if by_hand else "", model="" if by_hand else segment.algorithm)
        mask = masks.get(number, Mask())
        out.append(Structure(name, segment.colour, mask, origin, interpreted_type=segment.interpreted_type))
        names = names.put(out[-1])
    return out, notes


def _time(dataset: Dataset) -> str:
    """ISO time of the content without zone (the file gives none), empty when it is not said."""
    date, time = str(dataset.get("ContentDate") or ""), str(dataset.get("ContentTime") or "")
    if len(date) != 8:
        return ""
    clock = f"T{time[:2]}:{time[2:4]}:{time[4:6]}" if len(time) >= 6 else ""
    return f"{date[:4]}-{date[4:6]}-{date[6:]}{clock}"
