"""A de-identified copy of a reviewed DICOM series with its structures: for research, never for the clinic."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from contourdesk.app.case import Case
from contourdesk.app.deface import AIR_HU, Defacing, find_face
from contourdesk.app.deidentify import Pseudonyms
from contourdesk.app.deidentify_case import deidentified_case, deidentified_structures, put_missing_uids
from contourdesk.app.deidentify_dicom import Removals, deidentify, refuse_burned_in, warnings_of
from contourdesk.app.deidentify_profile import EDITION
from contourdesk.app.dicom_headers import Header
from contourdesk.app.dicom_pixels import whole_header
from contourdesk.app.dicom_read import SeriesInfo
from contourdesk.app.dicom_stored import open_pixels, read_stored
from contourdesk.app.errors import UserError
from contourdesk.app.files import flush_folder
from contourdesk.app.identifiers import Identifiers
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.resample_masks import masks_on_original_planes
from contourdesk.app.structures import Mask, Structure
from contourdesk.app.writers import write_format

log = logging.getLogger(__name__)

REPORT = "deidentification.json"
IMAGES, STRUCTURES, SEGMENTATION = "CT", "RTSTRUCT.dcm", "SEG.dcm"


@dataclass(frozen=True)
class Copied:
    """`folder` holds the copy; `notes` are what the user should know, in sentences."""

    folder: Path
    images: int
    notes: tuple[str, ...]


def export_deidentified(
    case: Case, series: SeriesInfo, structures: Sequence[Structure], out: Path, *, deface: bool = False
) -> Job[Copied]:
    """Write ``<code>/CT``, ``RTSTRUCT.dcm``, ``SEG.dcm`` and a report of what was taken out into `out`.

    The same review gives the same files again, which take the place of the old ones when all are written.

    Parameters
    ----------
    series : the files that the case was read from.
    structures : on the case's grid, with a voxel each.
    deface : take the face out of the images too.

    Raises
    ------
    UserError : not from DICOM, text is burned into the pixels, a name tells who it is, structures lie in the face, or
        a file can't be written; what was there before stays.
    """
    names, identifiers = Pseudonyms.of(case), Identifiers.of(case, structures)
    refuse_burned_in(case.source.header)
    face = find_face(case.volume, structures) if deface else None
    clean = deidentified_case(case, names, identifiers, defaced=face is not None)
    clean_structures = deidentified_structures(structures, names, identifiers)
    folder = out / names.case_name(case.source.series_uid)
    work = out / f".export-{os.getpid()}-{folder.name}"
    done = Removals()
    notes: dict[str, None] = {}
    try:
        _make(work)
        yield from _images(case, series, names, identifiers, face, work / IMAGES, done, notes)
        count = len(list((work / IMAGES).iterdir()))
        yield Progress(count, count, "Writing the structures")
        _structures(clean, clean_structures, identifiers, work)
        text = face.text if face else "A CT of the head shows the shape of the face; it was not taken out."
        (work / REPORT).write_bytes(_report(folder.name, count, done, text, notes))
        _put_in_place(work, folder)
    except OSError as error:
        raise UserError(f"The copy could not be written in {out} ({error.strerror}).", "Check its space.") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    log.info("exported a de-identified copy of %d images", count)
    return Copied(folder, count, (text, *notes))


def _make(work: Path) -> None:
    """An empty folder to work in; those that killed exports left go first."""
    for stale in work.parent.glob(".export-*-CD_*"):
        process = stale.name.split("-")[1]
        if process == str(os.getpid()) or (process.isdigit() and not _alive(int(process))):
            shutil.rmtree(stale, ignore_errors=True)
    (work / IMAGES).mkdir(parents=True)


def _alive(process: int) -> bool:
    """Whether a process may be running; not known on Windows."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _images(
    case: Case,
    series: SeriesInfo,
    names: Pseudonyms,
    identifiers: Identifiers,
    face: Defacing | None,
    folder: Path,
    done: Removals,
    notes: dict[str, None],
) -> Job[None]:
    if series.stack is None:
        raise ValueError("the series has no stack")
    headers = series.stack.headers
    hidden = _on_images(case, face)
    number = {(h.path, h.frame): k for k, h in enumerate(headers)}
    by_file: dict[Path, list[Header]] = {}
    for header in headers:
        by_file.setdefault(header.path, []).append(header)
    for n, group in enumerate(by_file.values()):
        yield Progress(n, len(by_file), "De-identifying the images")
        group.sort(key=lambda h: h.frame)
        ds = whole_header(group[0])
        notes.update(dict.fromkeys(warnings_of(ds)))
        deidentify(ds, names, identifiers, done, defaced=face is not None)
        put_missing_uids(ds, names, case.source.series_uid, number[group[0].path, group[0].frame])
        _write(ds, _pixels(ds, group, number, hidden), folder / f"{n + 1:04d}.dcm", identifiers)


def _on_images(case: Case, face: Defacing | None) -> Mask:
    """The face's voxels by image, row and column."""
    if face is None:
        return Mask()
    how = case.source.resampled
    return face.face if how is None else masks_on_original_planes(face.face, how)


def _pixels(ds: Dataset, group: Sequence[Header], number: Mapping[tuple[Path, int], int], hidden: Mask) -> bytes:
    """Stored values of all frames of a file, the face set to air. Raises UserError."""
    frames = int(ds.get("NumberOfFrames") or 1)
    if frames != len(group):
        raise UserError(
            f"{group[0].path.name} holds frames that aren't of this image.", "It can't be copied de-identified."
        )
    slope, intercept = (group[0].numbers(k, 1) for k in ("RescaleSlope", "RescaleIntercept"))
    parts = []
    with open_pixels(group[0]) as stream:
        for header in group:
            values = read_stored(header, stream)
            k = number[header.path, header.frame] - hidden.offset[0]
            if hidden.bits.size and 0 <= k < len(hidden.bits) and slope is not None and intercept is not None:
                values = values.copy()
                air = round((AIR_HU - float(intercept[0])) / float(slope[0]))
                low = -(1 << (int(ds.BitsStored) - 1)) if values.dtype.kind == "i" else 0
                values[hidden.box[1:]][hidden.bits[k]] = max(air, low)
            parts.append(np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<")).tobytes())
    ds.BitsAllocated, ds.HighBit = 8 * values.dtype.itemsize, int(ds.BitsStored) - 1
    return b"".join(parts)


def _write(ds: Dataset, pixels: bytes, path: Path, identifiers: Identifiers) -> None:
    """Write an image uncompressed, with a file head of its own."""
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, ds.SOPInstanceUID
    ds.preamble = b"\0" * 128
    buffer = BytesIO()
    ds.save_as(buffer, enforce_file_format=True, implicit_vr=False, little_endian=True)
    if identifiers.found_in_bytes(buffer.getvalue()):
        raise UserError("A name stayed in a copied image.", "This is a fault of Contourdesk; please report it.")
    ds.add_new("PixelData", "OW" if int(ds.BitsAllocated) > 8 else "OB", pixels + bytes(len(pixels) % 2))
    ds.save_as(path, enforce_file_format=True, implicit_vr=False, little_endian=True)


def _structures(clean: Case, structures: Sequence[Structure], identifiers: Identifiers, folder: Path) -> None:
    from contourdesk.app.dicom_write import write_rtstruct

    write_rtstruct(clean, structures, folder / STRUCTURES)
    write_format("seg", clean, structures, folder / SEGMENTATION)
    for path in (folder / STRUCTURES, folder / SEGMENTATION):
        if identifiers.found_in_bytes(path.read_bytes()):
            raise UserError(f"A name stayed in {path.name}.", "This is a fault of Contourdesk; please report it.")


def _report(name: str, images: int, done: Removals, face: str, notes: Sequence[str] | dict[str, None]) -> bytes:
    content = {
        "case": name,
        "profile": f"DICOM PS3.15 {EDITION} table E.1-1, basic profile, dates moved with their intervals kept",
        "images": images,
        "face": face,
        "warnings": list(notes),
        "elements": done.to_json(),
    }
    return json.dumps(content, indent=1).encode()


def _put_in_place(work: Path, folder: Path) -> None:
    """Swap the new folder for the old one; the old one comes back when that fails. Raises OSError."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        os.replace(folder, old)
    try:
        os.replace(work, folder)
    except OSError:
        if old.exists():
            os.replace(old, folder)
        raise
    flush_folder(folder.parent)
    shutil.rmtree(old, ignore_errors=True)
