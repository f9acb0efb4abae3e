"""Whether an RTSTRUCT file keeps DICOM's rules where planning systems are known to refuse it."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

from pydicom import config, dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from contourdesk.app.checks import Finding
from contourdesk.app.errors import UserError

# Odd values are what is looked for here; pydicom's warnings about them would say less.
config.settings.reading_validation_mode = config.IGNORE

# Attributes of type 1 (must have a value) and of type 2 (must be there).
TYPE_1 = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "Modality", "SeriesInstanceUID", "StructureSetLabel"),
    *("StructureSetROISequence", "ROIContourSequence", "RTROIObservationsSequence"),
)
TYPE_2 = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName", "SeriesNumber", "OperatorsName", "Manufacturer"),
    *("StructureSetDate", "StructureSetTime"),
)
_PARTS = (
    ("StructureSetROISequence", ("ROINumber", "ReferencedFrameOfReferenceUID"), ("ROIName", "ROIGenerationAlgorithm")),
    ("ROIContourSequence", ("ReferencedROINumber",), ()),
    ("RTROIObservationsSequence", ("ObservationNumber", "ReferencedROINumber"), ("RTROIInterpretedType",)),
)
_POINTS_NEEDED = {"POINT": 1, "OPEN_PLANAR": 2}
_MAX_DS, _MAX_NAME, _MAX_LABEL = 16, 64, 16


def check_rtstruct(path: Path) -> list[Finding]:
    """Findings on a structure set by itself, errors first; none when it is good.

    Raises
    ------
    UserError : the file can't be read or is no structure set.
    """
    try:
        ds = dcmread(path)
        if ds.get("Modality") != "RTSTRUCT":
            raise UserError(f"{path.name} isn't an RT structure set.", "Choose a DICOM RTSTRUCT file.")
        found = [*_attributes(ds), *_names(ds), *_references(ds), *_contours(ds)]
    except (OSError, InvalidDicomError, ValueError, TypeError, AttributeError, struct.error, EOFError) as error:
        raise UserError(f"{path.name} can't be read; it may be cut short or damaged.", "Export it again.") from error
    return sorted(found, key=lambda f: f.severity != "error")


def _items(ds: Dataset, keyword: str) -> Iterable[Dataset]:
    return ds.get(keyword) or ()


def _attributes(ds: Dataset) -> Iterable[Finding]:
    yield from _missing(ds, TYPE_1, TYPE_2, "The file")
    for sequence, type_1, type_2 in _PARTS:
        for n, item in enumerate(_items(ds, sequence), 1):
            yield from _missing(item, type_1, type_2, f"Item {n} of {sequence}")


def _missing(ds: Dataset, type_1: Iterable[str], type_2: Iterable[str], where: str) -> Iterable[Finding]:
    for keyword in type_1:
        if ds.get(keyword) in (None, "") or (keyword.endswith("Sequence") and not ds.get(keyword)):
            yield Finding("", "error", f"{where} has no {keyword}.")
    for keyword in type_2:
        if keyword not in ds:
            yield Finding("", "error", f"{where} lacks {keyword}, which may be empty but not absent.")


def _names(ds: Dataset) -> Iterable[Finding]:
    if len(str(ds.get("StructureSetLabel", ""))) > _MAX_LABEL:
        yield Finding("", "error", f"The structure set label is longer than {_MAX_LABEL} characters.")
    numbers: set[int] = set()
    names: dict[str, str] = {}
    for roi in _items(ds, "StructureSetROISequence"):
        name, number = str(roi.get("ROIName") or ""), int(roi.get("ROINumber", -1))
        if len(name) > _MAX_NAME:
            yield Finding("", "error", f'The name "{name[:_MAX_NAME]}..." is longer than {_MAX_NAME} characters.')
        if number in numbers:
            yield Finding("", "error", f"Two structures have the number {number}.")
        other = names.get(name.strip().casefold())
        if other is not None:
            yield Finding("", "warning", f'Two structures are called "{other}" and "{name}".')
        numbers.add(number)
        names[name.strip().casefold()] = name


def _references(ds: Dataset) -> Iterable[Finding]:
    numbers = {int(roi.get("ROINumber", -1)) for roi in _items(ds, "StructureSetROISequence")}
    for sequence in ("ROIContourSequence", "RTROIObservationsSequence"):
        for item in _items(ds, sequence):
            if int(item.get("ReferencedROINumber", -1)) not in numbers:
                yield Finding("", "error", f"{sequence} refers to a structure that isn't there.")
    frames = {str(f.get("FrameOfReferenceUID", "")) for f in _items(ds, "ReferencedFrameOfReferenceSequence")}
    if not frames:
        yield Finding("", "warning", "It doesn't say which images it belongs to.")
    used = {str(roi.get("ReferencedFrameOfReferenceUID", "")) for roi in _items(ds, "StructureSetROISequence")}
    if frames and not used <= frames:
        yield Finding("", "error", "A structure lies in a frame of reference that isn't listed.")
    images = {
        str(image.get("ReferencedSOPInstanceUID", ""))
        for frame in _items(ds, "ReferencedFrameOfReferenceSequence")
        for study in _items(frame, "RTReferencedStudySequence")
        for series in _items(study, "RTReferencedSeriesSequence")
        for image in _items(series, "ContourImageSequence")
    }
    stray = sum(
        str(image.get("ReferencedSOPInstanceUID", "")) not in images
        for outline in _items(ds, "ROIContourSequence")
        for contour in _items(outline, "ContourSequence")
        for image in _items(contour, "ContourImageSequence")
    )
    if images and stray:
        yield Finding("", "warning", f"{stray} contours refer to images that aren't listed.")


def _contours(ds: Dataset) -> Iterable[Finding]:
    names = {int(r.get("ROINumber", -1)): str(r.get("ROIName") or "") for r in _items(ds, "StructureSetROISequence")}
    drawn = {int(o.get("ReferencedROINumber", -1)): o for o in _items(ds, "ROIContourSequence")}
    for number, name in names.items():
        contours = list(_items(drawn.get(number, Dataset()), "ContourSequence"))
        if not contours:
            yield Finding("", "warning", f"{name} has no contours.")
        problems = {p for contour in contours if (p := _contour_problem(contour))}
        for problem in sorted(problems):
            yield Finding("", "error", f"{name} has a contour {problem}.")


def _contour_problem(contour: Dataset) -> str:
    raw = contour.get_item("ContourData") if "ContourData" in contour else None
    value = getattr(raw, "value", None)
    numbers = (
        value.decode("ascii").strip("\0 ").split("\\") if isinstance(value, bytes) else list(map(str, value or ()))
    )
    kind = str(contour.get("ContourGeometricType") or "")
    if not kind:
        return "without a type"
    if len(numbers) % 3 or len(numbers) // 3 != int(contour.get("NumberOfContourPoints") or 0):
        return "whose number of points is not what it says"
    if len(numbers) // 3 < _POINTS_NEEDED.get(kind, 3):
        return "with too few points"
    if max(map(len, numbers)) > _MAX_DS:
        return f"with numbers longer than {_MAX_DS} characters"
    return ""
