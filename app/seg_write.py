"""Structures to a DICOM Segmentation (SEG) through highdicom, read back and compared before it counts as written.

Frames are those of the original images, so that every frame refers to the image it lies on; where nothing is drawn
there is none. highdicom wants dense arrays and compares each frame with each image: structures go through it one by
one with the images they are on, and the parts become one file.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.uid import generate_uid

from contourdesk import __version__
from contourdesk.app.case import Case
from contourdesk.app.dicom_identity import IDENTITY, copy_identity, put_character_set
from contourdesk.app.dicom_people import latest_time, person_name
from contourdesk.app.errors import UserError
from contourdesk.app.files import proved, write_atomically
from contourdesk.app.resample_masks import masks_on_original_planes
from contourdesk.app.seg_describe import describe
from contourdesk.app.seg_read import segment_masks
from contourdesk.app.seg_stack import Stack, stack_of
from contourdesk.app.structures import Mask, Structure

log = logging.getLogger(__name__)

BINARY, LABELMAP = "BINARY", "LABELMAP"
MAX_NAME = 64  # LO
_PLACEHOLDER = "1.2.3"


def write_seg(
    case: Case,
    structures: Sequence[Structure],
    path: Path,
    *,
    kind: str = BINARY,
    reviewer: str = "",
    label: str = "Contourdesk",
) -> Path:
    """Write structures as a DICOM SEG that refers to the case's images.

    The same structures, names and decisions give the same file again, anything else new UIDs.

    Parameters
    ----------
    case : must come from DICOM, with SOP Instance UIDs and a frame of reference.
    structures : on the case's grid, in the order wanted; they may overlap, but not in a label map.
    path : file to write; an older export there is replaced only when the new one is proved good.
    kind : "BINARY" or "LABELMAP".
    reviewer : content creator; the person who decided last when empty.
    label : description of the content.

    Raises
    ------
    UserError : the images can't be referred to, a name doesn't fit, all masks are empty, structures of a label map
        overlap, the file can't be written, or what was read back differs; then no file is left.
    """
    _check(case, structures, path)
    masks = _on_slices(case, structures)
    overlap = _overlap(masks, structures)
    if kind == LABELMAP and overlap:
        raise UserError(
            f'"{overlap[0]}" and "{overlap[1]}" overlap, which a label map can\'t hold.',
            "Export a BINARY segmentation.",
        )
    dataset = _dataset(case, structures, masks, kind, bool(overlap))
    _finish(dataset, case, structures, reviewer, label)
    data = _serialise(dataset)
    with proved(path) as beside:
        write_atomically(beside, data)
        _compare(beside, case, structures, masks)
    log.info("wrote a segmentation of %d structures, %d bytes", len(structures), len(data))
    return path


def _check(case: Case, structures: Sequence[Structure], path: Path) -> None:
    source, instead = case.source, "Export .seg.nrrd or NIfTI masks instead."
    if source.header is None or not source.image_uids:
        raise UserError("A DICOM SEG refers to DICOM images, and this case isn't from DICOM.", instead)
    if not all(source.image_uids) or not source.study_uid:
        raise UserError("The images have no UIDs, so a DICOM SEG can't refer to them.", instead)
    if not case.volume.grid.frame_of_reference_uid:
        raise UserError("The images name no frame of reference, so a DICOM SEG can't refer to it.", instead)
    if path.exists() and path.parent.resolve() == source.path.resolve():
        raise UserError(f"{path.name} lies among the patient's images and is never written over.", "Choose a new name.")
    if all(s.mask.is_empty for s in structures):
        raise UserError("There is no structure with voxels to export.", "Accept structures first, or export all.")
    for structure in structures:
        name = structure.name.strip()
        if not name or len(name) > MAX_NAME or "\\" in name or not name.isprintable():
            raise UserError(
                f'"{name[:80]}" can\'t be a DICOM name: that has 1 to {MAX_NAME} characters and no backslash.',
                "Rename it.",
            )


def _on_slices(case: Case, structures: Sequence[Structure]) -> list[Mask]:
    """The masks on the images as they came, index (image, row, column)."""
    how = case.source.resampled
    return [s.mask if how is None else masks_on_original_planes(s.mask, how) for s in structures]


def _overlap(masks: Sequence[Mask], structures: Sequence[Structure]) -> tuple[str, str] | None:
    """Names of the first two that share a voxel."""
    for i, one in enumerate(masks):
        for j, other in enumerate(masks[:i]):
            if one.bits.size and other.bits.size and bool((one.read(other.box) & other.bits).any()):
                return structures[j].name, structures[i].name
    return None


def _dataset(case: Case, structures: Sequence[Structure], masks: Sequence[Mask], kind: str, overlap: bool) -> Dataset:
    """The segmentation with all segments and frames, and UIDs that are yet to be made."""
    stack = stack_of(case)
    descriptions = [describe(s, n, case.source.series_uid) for n, s in enumerate(structures, 1)]
    if kind == LABELMAP:
        used = sorted({k for mask in masks for k in range(mask.box[0].start, mask.box[0].stop)})
        ds = _through_highdicom(stack, used, _label_map(masks, used, stack), kind, descriptions)
    else:
        parts = []
        for number, (structure, mask) in enumerate(zip(structures, masks, strict=True), 1):
            if not mask.is_empty:
                used = list(range(mask.box[0].start, mask.box[0].stop))
                alone = [describe(structure, 1, case.source.series_uid)]
                bits = _label_map([mask], used, stack)
                parts.append((number, _through_highdicom(stack, used, bits, kind, alone)))
        ds = _joined(parts, stack)
        ds.SegmentSequence = descriptions
        ds.SegmentsOverlap = "YES" if overlap else "NO"
        if len(structures) > 1:
            ds.pop("DimensionOrganizationType", None)  # "3D" would mean one segment
    stack.refer(ds)
    return ds


def _label_map(masks: Sequence[Mask], used: Sequence[int], stack: Stack) -> NDArray[np.unsignedinteger]:
    """Segment numbers (image, row, column) on the images numbered in `used`."""
    out = np.zeros((len(used), *stack.shape), np.uint8 if len(masks) < 256 else np.uint16)
    for number, mask in enumerate(masks, 1):
        for place, k in enumerate(used):
            if 0 <= k - mask.offset[0] < mask.bits.shape[0]:
                out[place][mask.box[1:]][mask.bits[k - mask.offset[0]]] = number
    return out


def _through_highdicom(
    stack: Stack, used: Sequence[int], pixels: NDArray[np.generic], kind: str, descriptions: Sequence[Any]
) -> Dataset:
    from highdicom.seg import Segmentation

    segmentation: Dataset = Segmentation(
        source_images=stack.sources(used),
        pixel_array=pixels,
        segmentation_type=kind,
        segment_descriptions=descriptions,
        series_instance_uid=_PLACEHOLDER,
        series_number=1,
        sop_instance_uid=_PLACEHOLDER,
        instance_number=1,
        manufacturer="Contourdesk",
        manufacturer_model_name="Contourdesk",
        software_versions=__version__,
        device_serial_number="0",
        content_label="SEGMENTATION",
        omit_empty_frames=True,
    )
    return segmentation


def _joined(parts: Sequence[tuple[int, Dataset]], stack: Stack) -> Dataset:
    """One segmentation of several that have a segment each, by its number in the whole."""
    ds = parts[0][1]
    size = stack.shape[0] * stack.shape[1]
    frames: list[Dataset] = []
    pixels: list[bytes] = []
    own_frames: list[slice] = []  # which frames are one segment's
    left = np.zeros(0, np.uint8)  # bits that don't fill a byte yet
    for number, part in parts:
        items = list(part.PerFrameFunctionalGroupsSequence)
        for item in items:
            identification = Dataset()
            identification.ReferencedSegmentNumber = number
            item.SegmentIdentificationSequence = [identification]
        own_frames.append(slice(len(frames), len(frames) + len(items)))
        frames += items
        bits = np.unpackbits(np.frombuffer(part.PixelData, np.uint8), count=len(items) * size, bitorder="little")
        bits = np.concatenate([left, bits])
        whole = len(bits) - len(bits) % 8
        pixels.append(np.packbits(bits[:whole], bitorder="little").tobytes())
        left = bits[whole:]
    data = b"".join([*pixels, np.packbits(left, bitorder="little").tobytes()])
    ds.PixelData = data + bytes(len(data) % 2)
    ds.SharedFunctionalGroupsSequence[0].pop("SegmentIdentificationSequence", None)
    at = [stack.nearest(item.PlanePositionSequence[0].ImagePositionPatient) for item in frames]
    backwards = any(b < a for part in own_frames for a, b in pairwise(at[part]))  # highdicom's order, not the images'
    rank = {k: n for n, k in enumerate(sorted(set(at), reverse=backwards), 1)}
    for item, k in zip(frames, at, strict=True):
        number = int(item.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        item.FrameContentSequence[0].DimensionIndexValues = [number, rank[k]]
    ds.PerFrameFunctionalGroupsSequence = frames
    ds.NumberOfFrames = len(frames)
    return ds


def _finish(ds: Dataset, case: Case, structures: Sequence[Structure], reviewer: str, label: str) -> None:
    """Patient and study as the images have them; who and when; the same for the same review."""
    copy_identity(ds, case)
    decided = max((s.decision for s in structures), key=lambda d: d.time)
    ds.ContentCreatorName = person_name(reviewer.strip() or decided.person)
    ds.ContentDescription = ds.SeriesDescription = label[:MAX_NAME]
    date, time = latest_time(t for s in structures for t in (s.decision.time, s.provenance.time))
    ds.ContentDate = ds.SeriesDate = ds.InstanceCreationDate = date
    ds.ContentTime = ds.SeriesTime = ds.InstanceCreationTime = time
    for item in ds.get("ContributingEquipmentSequence") or ():
        item.ContributionDateTime = f"{date}{time}"
    names = [str(item.SegmentLabel) for item in ds.SegmentSequence]
    more = [str(item.get("SegmentAlgorithmName", "")) for item in ds.SegmentSequence]
    put_character_set(ds, case, [*names, *more, str(ds.ContentCreatorName), ds.ContentDescription])
    organization = generate_uid(entropy_srcs=[case.source.series_uid, "dimensions"])
    for item in (*ds.DimensionOrganizationSequence, *ds.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization


def _serialise(ds: Dataset) -> bytes:
    """The file's bytes; UIDs of its own are made from all the rest."""
    body = BytesIO()
    dcmwrite(body, ds, enforce_file_format=True)
    digest = hashlib.sha256(body.getvalue()).hexdigest()
    ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=[digest, "instance"])
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=[digest, "series"])
    out = BytesIO()
    dcmwrite(out, ds, enforce_file_format=True)
    return out.getvalue()


def _compare(path: Path, case: Case, structures: Sequence[Structure], masks: Sequence[Mask]) -> None:
    """Raise UserError unless the file holds what was to be written, as our own reader sees it."""
    found = segment_masks(path, case)
    problem = "" if len(found) == len(structures) else f"{len(found)} segments instead of {len(structures)}"
    for structure, mask, (name, colour, back) in zip(structures, masks, found, strict=False):
        if name != structure.name.strip():
            problem = problem or f'the name of "{structure.name}"'
        elif colour != tuple(structure.colour):
            problem = problem or f'the colour of "{structure.name}"'
        elif not back.equals(mask):
            problem = problem or f'the shape of "{structure.name}"'
    header, head = case.source.header, dcmread(path, specific_tags=[*IDENTITY, "SpecificCharacterSet"])
    if header is not None:
        for keyword in IDENTITY:
            if str(header.get(keyword) or "") != str(head.get(keyword) or ""):
                problem = problem or f"the patient or study ({keyword})"
    if problem:
        raise UserError(
            f"The segmentation was not written: read back, {problem} came out different.",
            "This is a fault of Contourdesk; please report it with the log.",
        )
