"""Structures to an RTSTRUCT file that a planning system takes, read back and compared before it counts as written."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Sequence
from datetime import datetime
from io import BytesIO
from pathlib import Path

from pydicom import dcmread, dcmwrite
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import ImplicitVRLittleEndian, RTStructureSetStorage, generate_uid

from contourdesk import __version__
from contourdesk.app.case import Case
from contourdesk.app.dicom_contours import IDENTITY, contour_items, copy_identity, put_character_set, same_contours
from contourdesk.app.errors import UserError
from contourdesk.app.files import flush_folder, write_atomically
from contourdesk.app.rtstruct_read import read_rtstruct
from contourdesk.app.structures import Structure, StructureSet

log = logging.getLogger(__name__)

MAX_ROI_NAME = 64  # LO
MAX_LABEL = 16  # SH
MAX_PERSON = 64  # PN, one component group
STUDY_CLASS = "1.2.840.10008.3.1.2.3.1"  # Detached Study Management, retired but what RTSTRUCT readers expect


def write_rtstruct(
    case: Case,
    structures: Sequence[Structure],
    path: Path,
    *,
    reviewer: str = "",
    label: str = "Contourdesk",
    approve: bool | None = None,
) -> Path:
    """Write structures as a DICOM RT Structure Set that refers to the case's images.

    Masks become contours on voxel edges. Imported contours that nobody edited are written point for point. The same
    structures, names and decisions give the same UIDs again, anything else new ones.

    Parameters
    ----------
    case : must come from DICOM, with SOP Instance UIDs and a frame of reference.
    structures : on the case's grid, in the order wanted.
    path : file to write; an older export there is replaced only when the new one is proved good.
    reviewer : name for the approval; the person who decided last when empty.
    label : structure set label, 16 characters at most.
    approve : whether to mark the set APPROVED. None: when every structure is accepted.

    Raises
    ------
    UserError : the images can't be referred to, a name doesn't fit, the file can't be written, or what was read back
        differs from what was to be written; then no file is left.
    """
    _check_case(case, path)
    _check_texts(structures, label)
    approved = _approved(structures, approve)
    dataset = _dataset(case, structures, label)
    _put_approval(dataset, structures, approved, reviewer)
    put_character_set(dataset, case)
    data = _serialise(dataset)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(beside, data)
        _compare(beside, case, structures)
        os.replace(beside, path)
        flush_folder(path.parent)
    except OSError as error:
        raise UserError(
            f"{path.name} could not be written ({error.strerror}).", "Check the folder's space and permissions."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
    log.info("wrote a structure set of %d structures, %d bytes", len(structures), len(data))
    return path


def _check_case(case: Case, path: Path) -> None:
    instead = "Export NIfTI masks or a training case instead."
    source = case.source
    if source.header is None or not source.image_uids:
        raise UserError("An RTSTRUCT refers to DICOM images, and this case isn't from DICOM.", instead)
    if not all(source.image_uids) or not source.study_uid:
        raise UserError("The images have no UIDs, so an RTSTRUCT can't refer to them.", instead)
    if not case.volume.grid.frame_of_reference_uid:
        raise UserError("The images name no frame of reference, so an RTSTRUCT can't refer to it.", instead)
    if path.exists() and path.parent.resolve() == source.path.resolve():
        raise UserError(f"{path.name} lies among the patient's images and is never written over.", "Choose a new name.")


def _check_texts(structures: Sequence[Structure], label: str) -> None:
    if not structures:
        raise UserError("There is no structure to export.", "Accept structures first, or export all.")
    texts = [("structure", s.name.strip(), MAX_ROI_NAME) for s in structures]
    for what, text, limit in [*texts, ("structure set label", label, MAX_LABEL)]:
        if not text or len(text) > limit or "\\" in text or not text.isprintable():
            raise UserError(
                f'The {what} "{text[:80]}" can\'t be a DICOM name: that has 1 to {limit} characters and no backslash.',
                "Rename it.",
            )
    seen: dict[str, str] = {}
    for _, name, _ in texts:
        other = seen.setdefault(name.casefold(), name)
        if other is not name:
            raise UserError(f'Two structures are called "{other}" and "{name}".', "Rename one of them.")


def _approved(structures: Sequence[Structure], approve: bool | None) -> bool:
    open_ones = [s.name for s in structures if s.decision.state != "accepted"]
    if approve and open_ones:
        raise UserError(
            f"\"{open_ones[0]}\" isn't accepted, so the set can't be approved.", "Accept it or leave it out."
        )
    return not open_ones if approve is None else approve


def _dataset(case: Case, structures: Sequence[Structure], label: str) -> Dataset:
    """The whole structure set except UIDs of its own, approval and character set."""
    ds = Dataset()
    ds.SOPClassUID = RTStructureSetStorage
    copy_identity(ds, case)
    date, time = _latest([t for s in structures for t in (s.decision.time, s.provenance.time)])
    ds.Modality, ds.SeriesNumber, ds.InstanceNumber, ds.OperatorsName = "RTSTRUCT", 1, 1, ""
    ds.SeriesDescription = f"{label} structures"
    ds.SeriesDate = ds.InstanceCreationDate = ds.StructureSetDate = date
    ds.SeriesTime = ds.InstanceCreationTime = ds.StructureSetTime = time
    ds.Manufacturer, ds.ManufacturerModelName, ds.SoftwareVersions = "Contourdesk", "Contourdesk", __version__
    ds.FrameOfReferenceUID = case.volume.grid.frame_of_reference_uid
    ds.PositionReferenceIndicator = ""
    ds.StructureSetLabel, ds.StructureSetName = label, label
    ds.ReferencedFrameOfReferenceSequence = [_references(case)]
    ds.StructureSetROISequence = [_roi(s, i, case) for i, s in enumerate(structures, 1)]
    ds.ROIContourSequence = [_outline(s, i, case) for i, s in enumerate(structures, 1)]
    ds.RTROIObservationsSequence = [_observation(s, i) for i, s in enumerate(structures, 1)]
    return ds


def _references(case: Case) -> Dataset:
    """Frame of reference, study, series and every image."""
    frame, study, series = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = case.source.series_uid
    series.ContourImageSequence = []
    for uid, kind in zip(case.source.image_uids, case.source.image_class_uids, strict=True):
        image = Dataset()
        image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID = kind, uid
        series.ContourImageSequence.append(image)
    study.ReferencedSOPClassUID, study.ReferencedSOPInstanceUID = STUDY_CLASS, case.source.study_uid
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = case.volume.grid.frame_of_reference_uid
    frame.RTReferencedStudySequence = [study]
    return frame


def _roi(structure: Structure, number: int, case: Case) -> Dataset:
    item = Dataset()
    item.ROINumber = number
    item.ReferencedFrameOfReferenceUID = case.volume.grid.frame_of_reference_uid
    item.ROIName = structure.name.strip()
    item.ROIGenerationAlgorithm = _algorithm(structure)
    made = structure.provenance
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


def _outline(structure: Structure, number: int, case: Case) -> Dataset:
    item = Dataset()
    item.ROIDisplayColor = [int(v) for v in structure.colour]
    contours = contour_items(structure, case)
    if contours:  # a ROI without contours is valid only without the sequence
        item.ContourSequence = contours
    item.ReferencedROINumber = number
    return item


def _observation(structure: Structure, number: int) -> Dataset:
    item = Dataset()
    item.ObservationNumber = item.ReferencedROINumber = number
    item.RTROIInterpretedType, item.ROIInterpreter = structure.interpreted_type, ""
    return item


def _put_approval(ds: Dataset, structures: Sequence[Structure], approved: bool, reviewer: str) -> None:
    if not approved:
        ds.ApprovalStatus = "UNAPPROVED"
        return
    last = max((s.decision for s in structures), key=lambda d: d.time)
    ds.ApprovalStatus = "APPROVED"
    ds.ReviewDate, ds.ReviewTime = _latest([last.time])
    ds.ReviewerName = _person(reviewer.strip() or last.person)


def _person(name: str) -> str:
    """A name as typed, as DICOM's family^given: "Eva Müller" and "Müller, Eva" alike."""
    clean = "".join(c for c in name if c.isprintable() and c not in "\\=").strip()
    if "^" not in clean:
        family, comma, given = (part.strip() for part in clean.partition(","))
        if not comma:
            given, _, family = (part.strip() for part in clean.rpartition(" "))
        clean = f"{family}^{given}" if given else family
    return clean[:MAX_PERSON]


def _latest(times: Sequence[str]) -> tuple[str, str]:
    """The latest of ISO times as DICOM date and time, in the zone it was noted in; now when there is none."""
    valid = []
    for text in times:
        with contextlib.suppress(ValueError):
            valid.append(datetime.fromisoformat(text))
    latest = max(valid, key=lambda t: t.timestamp(), default=datetime.now().astimezone())
    return latest.strftime("%Y%m%d"), latest.strftime("%H%M%S")


def _serialise(ds: Dataset) -> bytes:
    """The file's bytes; UIDs of its own are made from all the rest.

    Implicit VR: with an explicit one, contours over 64 kB would lose their type.
    """
    body = BytesIO()
    dcmwrite(body, ds, implicit_vr=True, little_endian=True)
    digest = hashlib.sha256(body.getvalue()).hexdigest()
    ds.SOPInstanceUID = generate_uid(entropy_srcs=[digest, "instance"])
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=[digest, "series"])
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    meta.TransferSyntaxUID = ImplicitVRLittleEndian
    out = BytesIO()
    FileDataset(out, ds, preamble=b"\0" * 128, file_meta=meta, is_implicit_VR=True, is_little_endian=True).save_as(
        out, enforce_file_format=True
    )
    return out.getvalue()


def _compare(path: Path, case: Case, structures: Sequence[Structure]) -> None:
    """Raise UserError unless the file holds what was to be written, as our own reader sees it."""
    blank = Case(case.patient, case.volume, case.source, StructureSet(case.volume.grid))
    found = read_rtstruct(path, blank)
    problem = "" if len(found) == len(structures) else f"{len(found)} structures instead of {len(structures)}"
    for want, got in zip(structures, found, strict=False):
        if got.name != want.name.strip():
            problem = problem or f'the name of "{want.name}"'
        elif got.colour != tuple(want.colour):
            problem = problem or f'the colour of "{want.name}"'
        elif not got.mask.equals(want.mask) or not same_contours(want.contours, got.contours):
            problem = problem or f'the shape of "{want.name}"'
    header, head = case.source.header, dcmread(path, specific_tags=[*IDENTITY, "SpecificCharacterSet"])
    if header is not None:
        for keyword in IDENTITY:
            if str(header.get(keyword) or "") != str(head.get(keyword) or ""):
                problem = problem or f"the patient or study ({keyword})"
    if problem:
        raise UserError(
            f"The structure set was not written: read back, {problem} came out different.",
            "This is a fault of Contourdesk; please report it with the log.",
        )
