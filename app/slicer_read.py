"""Slicer's segmentations (.seg.nrrd) to structures on the grid of a case, overlapping layers included.

A segment is the voxels of one value in one layer; its name, colour and codes are in the header. The file may hold a
part of the image (Slicer crops it when told to): its own origin says where that lies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.anatomy import interpreted_type
from contourdesk.app.case import Case
from contourdesk.app.errors import UserError
from contourdesk.app.naming import colour_for, type_for
from contourdesk.app.nrrd_read import NrrdHeader, read_header, read_nrrd, spatial_grid
from contourdesk.app.placement import TOLERANCE_MM, label_boxes, place
from contourdesk.app.structures import Colour, Decision, Mask, Provenance, Structure

_SEGMENT = re.compile(r"Segment(\d+)_(\w+)")
# Slicer's status of a segment, and the decision it stands for.
STATES = {"completed": "accepted", "flagged": "rejected", "inprogress": "unreviewed", "notstarted": "unreviewed"}


@dataclass(frozen=True)
class _Segment:
    name: str
    colour: Colour
    interpreted_type: str
    layer: int
    value: int | None  # None: everything that isn't zero
    state: str


def is_slicer_segmentation(header: NrrdHeader) -> bool:
    """Whether a NRRD is one of Slicer's segmentations."""
    return any(_SEGMENT.match(key) for key in header.keys)


def read_slicer(
    path: Path, case: Case, *, tolerance_mm: float = TOLERANCE_MM
) -> tuple[list[Structure], tuple[str, ...]]:
    """Read the segments as structures; names unique among themselves and the case's.

    Such a file doesn't say which images it belongs to: its voxels must be theirs.

    Returns
    -------
    The structures in the file's order, and what the reviewer should know.

    Raises
    ------
    UserError : damaged, no segmentation, fractional, or not on the images' voxels.
    """
    header = read_header(path)
    if not is_slicer_segmentation(header):
        raise UserError(f"{path.name} isn't one of Slicer's segmentations.", "Choose a .seg.nrrd file.")
    kind = header.keys.get("Segmentation_SourceRepresentation") or header.keys.get("Segmentation_MasterRepresentation")
    if kind not in (None, "Binary labelmap"):
        raise UserError(f'{path.name} is stored as "{kind}".', "Save it as binary labelmap.")
    segments = list(_segments(header, path))
    # A file of one voxel stands for segments that are all empty; its place means nothing.
    no_voxels = all(header.sizes[i] == 1 for i in header.spatial_axes)
    masks, lost = ({}, 0) if no_voxels else _masks(header, segments, case, path, tolerance_mm)
    notes = [f"{path.name} reaches over the edge of the images; {lost} voxels were left out."] if lost else []
    out: list[Structure] = []
    names = case.structures
    for number, segment in enumerate(segments):
        name = names.free_name(segment.name)
        if name != segment.name:
            notes.append(f'A second structure called "{segment.name}" was renamed "{name}".')
        mask, made = masks.get(number, Mask()), Provenance("imported", software="3D Slicer")
        structure = Structure(name, segment.colour, mask, made, interpreted_type=segment.interpreted_type)
        out.append(structure)
        names = names.put(structure)
    return out, tuple(notes)


def read_states(path: Path) -> list[Decision]:
    """The segments' states, as decisions nobody signed; in the file's order.

    Raises
    ------
    UserError : damaged.
    """
    return [Decision(segment.state) for segment in _segments(read_header(path), path)]


def _segments(header: NrrdHeader, path: Path) -> Iterator[_Segment]:
    by_number: dict[int, dict[str, str]] = {}
    for key, text in header.keys.items():
        match = _SEGMENT.fullmatch(key)
        if match:
            by_number.setdefault(int(match[1]), {})[match[2]] = text
    for key in ("Layer", "LabelValue"):
        missing = [number for number, fields in sorted(by_number.items()) if key not in fields]
        if missing and len(missing) < len(by_number):
            raise _damaged(path, f"it doesn't say the {key} of its segment {missing[0]}")
    old = not any("Layer" in fields for fields in by_number.values())
    for number in sorted(by_number):
        fields = by_number[number]
        try:
            # Before layers could be shared, each segment had one of its own and no value.
            layer = number if old and len(header.sizes) > 3 else int(fields.get("Layer", "0"))
            value = int(fields["LabelValue"]) if "LabelValue" in fields else None
        except ValueError as error:
            raise _damaged(path, f"its segment {number} makes no sense") from error
        name = _text(fields.get("Name", "")).strip() or fields.get("ID", "").strip() or f"Segment {number + 1}"
        tags = dict(part.partition(":")[::2] for part in _text(fields.get("Tags", "")).split("|") if part)
        yield _Segment(
            name,
            _colour(fields.get("Color", ""), name),
            _type(tags.get("TerminologyEntry", "")) or type_for(name),
            layer,
            value,
            STATES.get(tags.get("Segmentation.Status", ""), "unreviewed"),
        )


def _text(value: str) -> str:
    """A value with the format's escapes undone."""
    return re.sub(r"\\([n\\])", lambda m: "\n" if m[1] == "n" else "\\", value)


def _colour(text: str, name: str) -> Colour:
    try:
        red, green, blue = (min(255, max(0, round(float(v) * 255))) for v in text.split())
    except (ValueError, OverflowError):
        return colour_for(name)
    return red, green, blue


def _type(entry: str) -> str | None:
    parts = entry.split("~")
    codes = parts[2].split("^") if len(parts) > 2 else []
    return interpreted_type(codes[1]) if len(codes) > 1 else None


def _masks(
    header: NrrdHeader, segments: list[_Segment], case: Case, path: Path, tolerance_mm: float
) -> tuple[dict[int, Mask], int]:
    """Mask of each segment that has voxels, and how many lie outside the images."""
    placement = place(spatial_grid(header, path), case.volume.grid, path.name, tolerance_mm)
    layers = _layers(*read_nrrd(path), path)
    beyond = [s.name for s in segments if not 0 <= s.layer < len(layers)]
    if beyond:
        raise _damaged(path, f'"{beyond[0]}" is said to be in a layer that it doesn\'t have')
    out: dict[int, Mask] = {}
    lost = 0
    for layer, labels in enumerate(layers):
        mine = {i: s for i, s in enumerate(segments) if s.layer == layer}
        boxes = dict(label_boxes(labels))
        _check_claims(layer, [s.value for s in mine.values()], boxes, path)
        for number, segment in mine.items():
            if segment.value is None:
                out[number], outside = placement.mask(labels != 0)
            elif segment.value in boxes:
                box = boxes[segment.value]
                start = (box[0].start, box[1].start, box[2].start)
                out[number], outside = placement.mask(labels[box] == segment.value, start)
            else:
                continue
            lost += outside
    return out, lost


def _check_claims(layer: int, values: list[int | None], there: Iterable[int], path: Path) -> None:
    """Raise UserError unless every voxel of a layer that isn't zero is one segment's."""
    if len(set(values)) < len(values) or 0 in values or (None in values and len(values) > 1):
        raise _damaged(path, f"it doesn't say which segment the voxels of layer {layer} belong to")
    nobodys = set(there) - set(values)
    if nobodys and None not in values:
        raise _damaged(path, f"the voxels of value {min(nobodys)} in layer {layer} are no segment's")


def _layers(header: NrrdHeader, array: NDArray[np.generic], path: Path) -> list[NDArray[np.generic]]:
    """Label maps (z, y, x), views of the file's array."""
    if array.dtype.kind not in "iu":
        raise _damaged(path, "its labels are no whole numbers")
    space = header.spatial_axes
    others = [i for i, n in enumerate(header.sizes) if i not in space and n > 1]
    if len(others) > 1:
        raise _damaged(path, "it has more than one axis beside those in space")
    last = len(header.sizes) - 1
    # The array has the file's axes the other way round.
    order = [last - i for i in (*others, *space[::-1])]
    rest = [last - i for i in range(len(header.sizes)) if i not in (*others, *space)]
    turned = array.transpose(*rest, *order).reshape(-1, *[header.sizes[i] for i in space[::-1]])
    return list(turned)


def _damaged(path: Path, what: str) -> UserError:
    return UserError(f"{path.name} can't be read as a segmentation: {what}.", "Save it again.")
