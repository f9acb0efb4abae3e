"""The dataset of an RT structure set: what goes into it, and how it may be drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pydicom.charset import default_encoding
from pydicom.dataset import Dataset
from pydicom.uid import RTStructureSetStorage

from contourdesk import __version__
from contourdesk.app.case import Case
from contourdesk.app.contours import ContourStyle
from contourdesk.app.dicom_contours import Drawn, contour_sequence
from contourdesk.app.dicom_identity import copy_identity, put_character_set
from contourdesk.app.dicom_people import date_and_time, latest_moment, moment, person_name
from contourdesk.app.profiles import GENERIC, Profile
from contourdesk.app.structures import Structure

STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management, retired but what RTSTRUCT readers expect
_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_MAX_DESCRIPTION = 1024  # ST
_FROM_SET = "RTSTRUCT "  # before the UID in `Provenance.parent`


@dataclass(frozen=True)
class RtStructOptions:
    """How an RT structure set is written.

    Parameters
    ----------
    contours : "voxel edges", along the edges of voxels, or "smooth", as curves between voxel centres. Voxel centres
        lie on the same side either way, so the very same mask is read back.
    holes : "keyhole", "inner loops" or "xor" (see `contourdesk.app.contours.ContourStyle`); empty as `profile` says.
    profile : the planning system that is to take it, see `contourdesk.app.profiles`. Names that don't fit are
        shortened, with the whole name in ROI Description, and contours with too many points are drawn with fewer.
    """

    contours: str = "voxel edges"
    holes: str = ""
    profile: str = GENERIC

    def style(self, system: Profile) -> ContourStyle:
        """How masks are drawn for a planning system. Raises ValueError for words that there aren't."""
        return ContourStyle(self.contours, self.holes or system.holes, system.contour_points or 0)


def build(
    case: Case,
    structures: Sequence[Structure],
    names: Sequence[str],
    drawn: Sequence[Sequence[Drawn]],
    label: str,
) -> Dataset:
    """The whole structure set except UIDs of its own, approval and character set.

    Parameters
    ----------
    names, drawn : for each structure its name in the file and its contours.
    """
    ds = Dataset()
    ds.SOPClassUID = RTStructureSetStorage
    copy_identity(ds, case)
    times = (t for s in structures for t in (s.decision.time, s.provenance.time))
    date, time = date_and_time(latest_moment(times))
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber, ds.OperatorsName = "RTSTRUCT", 1, 1, ""
    ds.SeriesDescription = f"{label} structures"
    ds.StructureSetDate, ds.StructureSetTime = date, time
    if date:
        ds.SeriesDate = ds.InstanceCreationDate = date
        ds.SeriesTime = ds.InstanceCreationTime = time
    ds.Manufacturer, ds.ManufacturerModelName, ds.SoftwareVersions = "Contourdesk", "Contourdesk", __version__
    ds.FrameOfReferenceUID = case.volume.grid.frame_of_reference_uid
    ds.PositionReferenceIndicator = ""
    ds.StructureSetLabel, ds.StructureSetName = label, label
    if case.source.resampled is not None:
        ds.StructureSetDescription = case.source.resampled.short
    ds.ReferencedFrameOfReferenceSequence = [_references(case)]
    _put_predecessors(ds, structures)
    ds.StructureSetROISequence = [
        _roi(s, n, i, case) for i, (s, n) in enumerate(zip(structures, names, strict=True), 1)
    ]
    ds.ROIContourSequence = [_outline(s, d, i, case) for i, (s, d) in enumerate(zip(structures, drawn, strict=True), 1)]
    ds.RTROIObservationsSequence = [_observation(s, i) for i, s in enumerate(structures, 1)]
    return ds


def _references(case: Case) -> Dataset:
    """Frame of reference, study, series and every image, a multi-frame one with the frames that were read."""
    frame, study, series, source = Dataset(), Dataset(), Dataset(), case.source
    series.SeriesInstanceUID = source.series_uid
    frames: dict[tuple[str, str], list[int]] = {}
    for k, (uid, kind) in enumerate(zip(source.image_uids, source.image_class_uids, strict=True)):
        frames.setdefault((kind, uid), []).extend(source.image_frames[k : k + 1])
    images = []
    for (kind, uid), numbers in frames.items():
        image = _reference(kind, uid)
        if numbers:
            image.ReferencedFrameNumber = sorted(numbers)
        images.append(image)
    series.ContourImageSequence = images
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = STUDY_CLASS, source.study_uid
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = case.volume.grid.frame_of_reference_uid
    frame.RTReferencedStudySequence = [study]
    return frame


def _reference(class_uid: str, uid: str) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = class_uid, uid
    return item


def _put_predecessors(ds: Dataset, structures: Sequence[Structure]) -> None:
    """The set that structures were read from (PS3.3 C.8.8.5); where there are several, as sources (C.12.4)."""
    parents = [s.provenance.parent.removeprefix(_FROM_SET) for s in structures if s.provenance.parent[:9] == _FROM_SET]
    items = [_reference(RTStructureSetStorage, uid) for uid in dict.fromkeys(parents)]
    if len(items) == 1:
        ds.PredecessorStructureSetSequence = items
    elif items:
        ds.SourceInstanceSequence = items


def _roi(structure: Structure, name: str, number: int, case: Case) -> Dataset:
    item = Dataset()
    item.ROINumber = number
    item.ReferencedFrameOfReferenceUID = case.volume.grid.frame_of_reference_uid
    item.ROIName = name
    made = structure.provenance
    told = ["" if name == structure.name.strip() else structure.name.strip(), made.remark]
    if any(told):
        item.ROIDescription = " ".join(t for t in told if t)[:_MAX_DESCRIPTION]
    item.ROIGenerationAlgorithm = _algorithm(structure)
    if made.model:
        item.ROIGenerationDescription = f"{made.model[:40].replace(chr(92), '/')} weights {made.weights_sha256[:12]}"
    return item


def _algorithm(structure: Structure) -> str:
    """DICOM's word for who drew it; empty (allowed) for imported contours, which don't tell us."""
    made = structure.provenance
    if made.source == "imported" and not structure.edited:
        return ""
    if made.source == "model" or made.model:
        return "SEMIAUTOMATIC" if structure.edited else "AUTOMATIC"
    return "MANUAL"


def _outline(structure: Structure, drawn: Sequence[Drawn], number: int, case: Case) -> Dataset:
    item = Dataset()
    item.ROIDisplayColor = [int(v) for v in structure.colour]
    if drawn:  # a ROI without contours is valid only without the sequence
        sequence = contour_sequence(drawn, case)
        item[sequence.tag] = sequence
        # Said to come from a file of the kind that is written; else pydicom makes objects of the bytes and then bytes.
        item.set_original_encoding(True, True, default_encoding)
    item.ReferencedROINumber = number
    return item


def _observation(structure: Structure, number: int) -> Dataset:
    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = number
    item.RTROIInterpretedType, item.ROIInterpreter = structure.interpreted_type, ""
    return item


def put_approval(ds: Dataset, case: Case, structures: Sequence[Structure], approved: bool, reviewer: str) -> None:
    """Who approved it and when, and the character set that all texts need."""
    ds.ApprovalStatus = "APPROVED" if approved else "UNAPPROVED"
    if approved:
        last = max((s.decision for s in structures), key=lambda d: moment(d.time) or _LONG_AGO)
        ds.ReviewDate, ds.ReviewTime = date_and_time(moment(last.time))
        ds.ReviewerName = person_name(reviewer.strip() or last.person)
    put_character_set(ds, case, _new_texts(ds))


def _new_texts(ds: Dataset) -> Iterator[str]:
    """Texts that don't come from the images and so may lie outside their character set."""
    keywords = ("ROIName", "ROIDescription", "ROIGenerationDescription")
    yield from (str(item.get(k, "")) for item in ds.StructureSetROISequence for k in keywords)
    yield from (str(ds.get(k, "")) for k in ("ReviewerName", "StructureSetLabel", "SeriesDescription"))
