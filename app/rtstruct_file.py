"""What an RTSTRUCT file holds, ROI by ROI, before anything is made of it.

A ROI that can't be read for certain has a `problem` instead of a part of its contours.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.tag import BaseTag, Tag

from contourdesk.app.archives import open_binary
from contourdesk.app.contour import Contour
from contourdesk.app.decimals import parse_decimals
from contourdesk.app.dicom_headers import DAMAGE
from contourdesk.app.dicom_whole import read_whole
from contourdesk.app.errors import UserError
from contourdesk.app.references import References
from contourdesk.app.structures import MAX_NAME, Colour

MAX_MM = 1e6  # no patient lies a kilometre off
# For ROIs without a colour of their own; told apart on grey.
_COLOURS: tuple[Colour, ...] = ((230, 75, 60), (60, 170, 230), (90, 200, 90), (240, 190, 50), (180, 110, 220))
_DATA, _KIND, _COUNT, _IMAGES, _OFFSET = (
    Tag(0x3006, n) for n in (0x0050, 0x0042, 0x0046, 0x0016, 0x0045)
)  # Contour Data, Geometric Type, Number of Contour Points, Image Sequence, Offset Vector


@dataclass(frozen=True, eq=False)
class Roi:
    """One ROI as the file has it.

    Parameters
    ----------
    number : ROI Number, None when the file gives none.
    name : usable as it is: printable, 1 to 64 characters.
    frame_uid : frame of reference that its points lie in, empty when the file does not say.
    problem : why it can't be read, in words that follow its name; then it has no contours.
    notes : what was noticed, in words that follow its name.
    """

    number: int | None
    name: str
    colour: Colour
    interpreted_type: str = ""
    frame_uid: str = ""
    contours: tuple[Contour, ...] = ()
    problem: str = ""
    notes: tuple[str, ...] = ()


@dataclass
class _Outline:
    """All that the file says of one ROI number's contours."""

    colour: Dataset = field(default_factory=Dataset)
    items: list[Dataset] = field(default_factory=list)


class _Unreadable(ValueError):
    """Why a ROI's contours can't be read, in words that follow its name."""


def open_rtstruct(path: Path) -> Dataset:
    """Read a structure set's file, with the DICOM preamble or without it.

    Raises
    ------
    UserError : it can't be read, or is something else.
    """
    with reading(path):
        with open_binary(path) as stream:
            dataset = read_whole(stream)
        modality = dataset.get("Modality")
    if modality != "RTSTRUCT" and "StructureSetROISequence" not in dataset:
        raise UserError(f"{path.name} isn't an RT structure set.", "Choose a DICOM RTSTRUCT file.")
    return dataset


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What pydicom makes of damaged elements, which it decodes when they are asked for, becomes one clear error."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about character sets; what is lost shows in the names
            yield
    except DAMAGE as error:
        raise damaged(path) from error


def damaged(path: Path) -> UserError:
    """What to say of a file that breaks off or makes no sense."""
    return UserError(f"{path.name} can't be read; it may be cut short or damaged.", "Export it again.")


def references_of(dataset: Dataset) -> References:
    """What a structure set says that it was drawn on. Raises one of `DAMAGE`.

    The contours' own images count where the set has no list of images.
    """
    frames, series, images = set(), set(), set()
    for frame in _items(dataset, "ReferencedFrameOfReferenceSequence"):
        frames.add(str(frame.get("FrameOfReferenceUID") or ""))
        for study in _items(frame, "RTReferencedStudySequence"):
            for one in _items(study, "RTReferencedSeriesSequence"):
                series.add(str(one.get("SeriesInstanceUID") or ""))
                images |= set(_images(one))
    frames |= {
        str(roi.get("ReferencedFrameOfReferenceUID") or "") for roi in _items(dataset, "StructureSetROISequence")
    }
    if not images - {""}:
        for outline in _items(dataset, "ROIContourSequence"):
            images |= {uid for contour in _items(outline, "ContourSequence") for uid in _images(contour)}
    return References(frozenset(series - {""}), frozenset(images - {""}), frozenset(frames - {""}))


def rois_of(dataset: Dataset) -> list[Roi]:
    """ROIs in the file's order, joined by number; contours that none claims come last. Raises one of `DAMAGE`."""
    outlines: dict[int | None, _Outline] = {}
    for item in _items(dataset, "ROIContourSequence"):
        outline = outlines.setdefault(_number(item, "ReferencedROINumber"), _Outline(item))
        outline.items.extend(_items(item, "ContourSequence"))
    kinds: dict[int | None, str] = {}
    for item in _items(dataset, "RTROIObservationsSequence"):
        number, kind = _number(item, "ReferencedROINumber"), str(item.get("RTROIInterpretedType") or "").strip()
        kinds[number] = kinds.get(number) or kind
    listed = list(_items(dataset, "StructureSetROISequence"))
    numbers = [_number(roi, "ROINumber") for roi in listed]
    images: dict[bytes, str] = {}
    out = []
    for i, (item, number) in enumerate(zip(listed, numbers, strict=True)):
        outline = outlines.get(number, _Outline())
        name, notes = _name(item, number)
        roi = Roi(
            number,
            name,
            _colour(outline.colour, i),
            kinds.get(number) or "",
            str(item.get("ReferencedFrameOfReferenceUID") or "").strip(),
            notes=notes,
        )
        out.append(_with_contours(roi, outline.items, numbers.count(number), images))
    nobodys = [n for n in outlines if n not in numbers and outlines[n].items]
    for number in nobodys:
        name, note = (
            "ROI" if number is None else f"ROI {number}",
            "is not named in the file; only its contours are there",
        )
        roi = Roi(number, name, _colour(outlines[number].colour, len(out)), notes=(note,))
        out.append(_with_contours(roi, outlines[number].items, 1, images))
    return out


def _with_contours(roi: Roi, items: Sequence[Dataset], same: int, images: dict[bytes, str]) -> Roi:
    if roi.number is None:
        problem = "has no number in the file, so that its contours can't be told from others'"
    elif same > 1:
        problem = f"shares the number {roi.number} with another structure; whose contours are whose can't be told"
    else:
        try:
            contours, notes = _contours(items, images)
        except _Unreadable as error:
            problem = str(error)
        else:
            return replace(roi, contours=contours, notes=roi.notes + notes)
    return replace(roi, problem=problem)


def _contours(items: Sequence[Dataset], images: dict[bytes, str]) -> tuple[tuple[Contour, ...], tuple[str, ...]]:
    """Contours as they came, and notes. Raises _Unreadable."""
    texts = [_text(item, _DATA) for item in items]
    counts = np.array([text.count(b"\\") + 1 if text else 0 for text in texts], np.int64)
    for n in np.flatnonzero(counts % 3):
        raise _Unreadable(f"has a contour (number {n + 1}) of {counts[n]} numbers, which don't make points")
    points = np.split(_numbers(texts).reshape(-1, 3), np.cumsum(counts // 3)[:-1]) if texts else []
    out, wrong, untyped, empty = [], 0, 0, 0
    for item, own in zip(items, points, strict=True):
        if not len(own):
            empty += 1
            continue
        if _OFFSET in item and any(float(v) for v in item[_OFFSET].value or ()):
            raise _Unreadable("has contours with an offset of their own (Contour Offset Vector), which isn't supported")
        kind = _text(item, _KIND).decode("ascii", "replace").strip().upper()
        untyped += not kind
        wrong += _text(item, _COUNT) != b"%d" % len(own)
        out.append(Contour(own, kind or "CLOSED_PLANAR", _image(item, images)))
    notes = [
        f"has {_some(empty)} without points, left out" if empty else "",
        f"has {_some(untyped)} of no stated kind, taken for closed" if untyped else "",
        f"has {_some(wrong)} of another number of points than stated; the points count" if wrong else "",
    ]
    return tuple(out), tuple(note for note in notes if note)


def _some(count: int) -> str:
    return "1 contour" if count == 1 else f"{count} contours"


def _text(item: Dataset, tag: BaseTag) -> bytes:
    """An element as it lies in the file, whatever value representation it has there; decoding it all takes longest."""
    value = getattr(item.get_item(tag), "value", None) if tag in item else None
    if isinstance(value, bytes):
        return value.rstrip(b" \0").lstrip(b" ")
    return "\\".join(map(str, np.atleast_1d(value))).encode("ascii") if value is not None else b""


def _numbers(texts: Sequence[bytes]) -> NDArray[np.float64]:
    """All contours' numbers, one after the other; a wrong one is named by its contour."""
    try:
        out = parse_decimals(b"\\".join(text for text in texts if text))
    except ValueError:
        for n, text in enumerate(texts, 1):
            try:
                parse_decimals(text)
            except ValueError as error:
                raise _Unreadable(f"has a contour (number {n}) with a wrong number: {error}") from error
        raise
    if len(out) and np.abs(out).max() > MAX_MM:
        raise _Unreadable(f"has a point {np.abs(out).max():.0g} mm away")
    return out


def _image(item: Dataset, known: dict[bytes, str]) -> str:
    """SOP Instance UID of the image that a contour was drawn on, empty when it does not say.

    Contours of one slice have the same bytes there; each is decoded once.
    """
    raw = item.get_item(_IMAGES) if _IMAGES in item else None
    if isinstance(raw, RawDataElement) and isinstance(raw.value, bytes):
        if raw.value not in known:
            known[raw.value] = next(_images(item), "")
        return known[raw.value]
    return next(_images(item), "")


def _images(item: Dataset) -> Iterator[str]:
    return (str(image.get("ReferencedSOPInstanceUID") or "").strip() for image in _items(item, "ContourImageSequence"))


def _items(dataset: Dataset, keyword: str) -> Iterable[Dataset]:
    return dataset.get(keyword) or ()


def _number(item: Dataset, keyword: str) -> int | None:
    value = item.get(keyword)
    return None if value is None or value == "" else int(value)


def _name(item: Dataset, number: int | None) -> tuple[str, tuple[str, ...]]:
    """A usable name, and how it differs from the file's."""
    value = item.get("ROIName")
    told = "\\".join(map(str, value)) if isinstance(value, MultiValue) else str(value or "")
    told = told.strip(" \0")
    clean = "".join(c if c.isprintable() else " " for c in told.replace("\\", "/"))
    if clean != told:
        clean = " ".join(clean.split())
    name = clean[:MAX_NAME].strip()
    if not name:
        return ("ROI" if number is None else f"ROI {number}"), (("has no name in the file",) if told else ())
    if "\ufffd" in name:
        return name, ("has characters in its name that the file's character set doesn't have",)
    if len(clean) > MAX_NAME:
        return name, (f"has a name of {len(told)} characters in the file, cut to the {MAX_NAME} that DICOM allows",)
    return name, (("has characters in its name that DICOM forbids, replaced",) if clean != told else ())


def _colour(outline: Dataset, index: int) -> Colour:
    try:
        red, green, blue = (min(255, max(0, int(v))) for v in outline.get("ROIDisplayColor"))
    except DAMAGE:
        return _COLOURS[index % len(_COLOURS)]
    return red, green, blue
