"""Whether an RTSTRUCT file keeps DICOM's rules, and what planning systems are known to refuse of it."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from pydicom import config, dcmread
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import RTStructureSetStorage

from contourdesk.app.dicom_text import MAX_DS
from contourdesk.app.errors import UserError
from contourdesk.app.profiles import GENERIC, Profile, profile
from contourdesk.app.rt_findings import ContourSummary, RoiSummary, RtFinding, SetSummary, profile_findings

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
_POINTS_NEEDED = {"POINT": 1, "OPEN_PLANAR": 2, "OPEN_NONPLANAR": 2}
_PLANAR = ("CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "OPEN_PLANAR")
_FLAT_MM = 0.05
MAX_EXPLICIT = 65534  # bytes of DS in explicit VR


def check_rtstruct(path: Path, system: Profile | None = None) -> list[RtFinding]:
    """Findings on a structure set by itself, errors first; none when it is good.

    Parameters
    ----------
    path : RTSTRUCT file of any program; its images are not needed.
    system : planning system that is to take it; DICOM itself unless given.

    Raises
    ------
    UserError : the file can't be read or is no structure set.
    """
    try:
        ds = dcmread(path)
        if ds.get("Modality") != "RTSTRUCT":
            raise UserError(f"{path.name} isn't an RT structure set.", "Choose a DICOM RTSTRUCT file.")
        system = system or profile(GENERIC)
        summary, problems = _summary(ds, system)
        found = [*_attributes(ds), *_numbers(ds), *_references(ds), *problems]
    except (OSError, InvalidDicomError, ValueError, TypeError, AttributeError, struct.error, EOFError) as error:
        raise UserError(f"{path.name} can't be read; it may be cut short or damaged.", "Export it again.") from error
    found += profile_findings(summary, system)
    return sorted(found, key=lambda f: f.severity != "error")


def _items(ds: Dataset, keyword: str) -> Iterable[Dataset]:
    return ds.get(keyword) or ()


def _attributes(ds: Dataset) -> Iterator[RtFinding]:
    yield from _missing(ds, TYPE_1, TYPE_2, "The file")
    if ds.get("SOPClassUID") not in (None, "", RTStructureSetStorage):
        yield RtFinding("error", "", "Its SOP class is not that of an RT structure set.")
    for sequence, type_1, type_2 in _PARTS:
        for n, item in enumerate(_items(ds, sequence), 1):
            yield from _missing(item, type_1, type_2, f"Item {n} of {sequence}")


def _missing(ds: Dataset, type_1: Iterable[str], type_2: Iterable[str], where: str) -> Iterator[RtFinding]:
    for keyword in type_1:
        if ds.get(keyword) in (None, "") or (keyword.endswith("Sequence") and not ds.get(keyword)):
            yield RtFinding("error", "", f"{where} has no {keyword}.")
    for keyword in type_2:
        if keyword not in ds:
            yield RtFinding("error", "", f"{where} lacks {keyword}, which may be empty but not absent.")


def _numbers(ds: Dataset) -> Iterator[RtFinding]:
    numbers: set[int] = set()
    for roi in _items(ds, "StructureSetROISequence"):
        name, number = str(roi.get("ROIName") or ""), int(roi.get("ROINumber", -1))
        if number in numbers:
            yield RtFinding("error", name, f"Two structures have the number {number}.")
        if not name.strip():
            yield RtFinding("warning", "", f"Structure number {number} has no name.")
        numbers.add(number)
    for sequence in ("ROIContourSequence", "RTROIObservationsSequence"):
        used = [int(item.get("ReferencedROINumber", -1)) for item in _items(ds, sequence)]
        if not set(used) <= numbers:
            yield RtFinding("error", "", f"{sequence} refers to a structure that isn't there.")
        if sequence == "ROIContourSequence" and len(set(used)) < len(used):
            yield RtFinding("error", "", "The contours of one structure are in two items of ROIContourSequence.")


def _listed_images(ds: Dataset) -> tuple[set[str], set[str]]:
    """SOP Instance UIDs and Series Instance UIDs that the set says it was drawn on."""
    images, series_uids = set(), set()
    for frame in _items(ds, "ReferencedFrameOfReferenceSequence"):
        for study in _items(frame, "RTReferencedStudySequence"):
            for series in _items(study, "RTReferencedSeriesSequence"):
                series_uids.add(str(series.get("SeriesInstanceUID", "")))
                images |= _image_uids(series)
    return images - {""}, series_uids - {""}


def _image_uids(item: Dataset) -> set[str]:
    return {str(image.get("ReferencedSOPInstanceUID", "")) for image in _items(item, "ContourImageSequence")}


def _references(ds: Dataset) -> Iterator[RtFinding]:
    frames = {str(f.get("FrameOfReferenceUID", "")) for f in _items(ds, "ReferencedFrameOfReferenceSequence")}
    if not frames:
        yield RtFinding("warning", "", "It doesn't say which images it belongs to.")
    used = {str(roi.get("ReferencedFrameOfReferenceUID", "")) for roi in _items(ds, "StructureSetROISequence")}
    if frames and not used <= frames:
        yield RtFinding("error", "", "A structure lies in a frame of reference that isn't listed.")
    images, series = _listed_images(ds)
    if str(ds.get("SeriesInstanceUID", "")) in series:
        yield RtFinding("error", "", "It has the series UID of its images; a structure set needs a series of its own.")
    stray = sum(
        not _image_uids(contour) <= images
        for outline in _items(ds, "ROIContourSequence")
        for contour in _items(outline, "ContourSequence")
    )
    if images and stray:
        yield RtFinding("warning", "", f"{stray} contours refer to images that aren't listed.")


def _summary(ds: Dataset, system: Profile) -> tuple[SetSummary, list[RtFinding]]:
    """What `profile_findings` asks about, and what is wrong with single contours."""
    explicit = not ds.original_encoding[0]
    outlines = {int(o.get("ReferencedROINumber", -1)): o for o in _items(ds, "ROIContourSequence")}
    rois, found = [], []
    for roi in _items(ds, "StructureSetROISequence"):
        name = str(roi.get("ROIName") or "")
        outline = outlines.get(int(roi.get("ROINumber", -1)), Dataset())
        contours, problems = [], set()
        for item in _items(outline, "ContourSequence"):
            contour, problem = _contour(item, explicit)
            contours.append(contour)
            problems |= {problem} - {""}
        rois.append(RoiSummary(name, contours))
        if not contours and system.empty_rois:  # else it is told as the system's own
            found.append(RtFinding("warning", name, f"{name} has no contours."))
        found += [RtFinding("error", name, f"{name} has a contour {problem}.") for problem in sorted(problems)]
    return SetSummary(str(ds.get("StructureSetLabel") or ""), rois, bool(_listed_images(ds)[0])), found


def _contour(item: Dataset, explicit: bool) -> tuple[ContourSummary, str]:
    """A contour's summary, and what is wrong with it as words after "a contour"; empty for nothing."""
    raw = item.get_item("ContourData") if "ContourData" in item else None
    value = getattr(raw, "value", None)
    text = value.decode("ascii") if isinstance(value, bytes) else "\\".join(map(str, value or ()))
    numbers = text.strip("\0 ").split("\\") if text.strip("\0 ") else []
    kind = str(item.get("ContourGeometricType") or "").strip()
    summary = ContourSummary(kind, len(numbers) // 3, len(text), bool(_image_uids(item) - {""}))
    if not kind:
        return summary, "without a type"
    if len(numbers) % 3 or len(numbers) // 3 != int(item.get("NumberOfContourPoints") or 0):
        return summary, "whose number of points is not what it says"
    if len(numbers) // 3 < _POINTS_NEEDED.get(kind, 3):
        return summary, "with too few points"
    if explicit and summary.size > MAX_EXPLICIT:
        return summary, "of over 64 kB, whose points have no type in explicit VR"
    if max(map(len, numbers)) > MAX_DS:
        return summary, f"with numbers longer than {MAX_DS} characters"
    points = np.array(numbers, np.float64).reshape(-1, 3)
    if not np.isfinite(points).all():
        return summary, "with a point that is not a number"
    return summary, "whose points don't lie in one plane" if kind in _PLANAR and not _is_flat(points) else ""


def _is_flat(points: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> bool:
    """Whether points (n, 3) in mm lie in one plane."""
    if np.ptp(points, axis=0).min() <= _FLAT_MM:
        return True
    shifted = points - points.mean(axis=0)
    normal = np.linalg.svd(shifted, full_matrices=False)[2][-1]
    return bool(np.abs(shifted @ normal).max() <= _FLAT_MM)
