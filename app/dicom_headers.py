"""DICOM files as they lie in a folder: found whatever they are called, read without their pixels.

A file that is DICOM but can't be used becomes a `Broken` with the reason; one that isn't DICOM is left alone.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.uid import UID

from contourdesk.app.jobs import Job, Progress

MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
# What pydicom and its decoders raise on damaged files; elements are decoded when they are first asked for.
DAMAGE = (
    *(OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, NotImplementedError, RuntimeError),
    *(OverflowError, struct.error, InvalidDicomError, BytesLengthException),
)
_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
_DEFLATED = "1.2.840.10008.1.2.1.99"
_NAMES = {
    "ImagePositionPatient": "Image Position (Patient)",
    "ImageOrientationPatient": "Image Orientation (Patient)",
    "PixelSpacing": "Pixel Spacing",
    "Rows": "Rows",
    "Columns": "Columns",
    "RescaleSlope": "Rescale Slope",
    "RescaleIntercept": "Rescale Intercept",
    "SliceThickness": "Slice Thickness",
    "BitsAllocated": "Bits Allocated",
    "Modality": "Modality",
}
READ_TAGS = [
    *("SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "StudyDate", "SeriesDate"),
    *("AcquisitionDate", "StudyDescription", "SeriesDescription", "PatientName", "PatientID", "StudyInstanceUID"),
    *("SeriesInstanceUID", "SeriesNumber", "SeriesTime", "AcquisitionNumber", "InstanceNumber", "FrameOfReferenceUID"),
    *("NumberOfFrames", "SamplesPerPixel", *_NAMES, "BitsStored", "PixelRepresentation"),
]


@dataclass(frozen=True)
class Broken:
    """A DICOM file that can't be used, and why, in words that follow the file's name."""

    path: Path
    reason: str
    series_uid: str = ""


@dataclass(frozen=True, eq=False)
class Header:
    """One image's header, without pixels. `position_lps` (3,) mm, `cosines` (6,) and `spacing_mm` (row, column)."""

    path: Path
    dataset: Dataset

    def text(self, keyword: str) -> str:
        """An attribute as text, empty when absent; names decoded with the file's character set."""
        try:
            value = self.dataset.get(keyword)
        except DAMAGE:
            return ""
        return "" if value is None else str(value).strip()

    def numbers(self, keyword: str, count: int) -> NDArray[np.float64] | None:
        """An attribute's numbers, or None when it is absent, malformed or not `count` finite numbers."""
        try:
            value = self.dataset.get(keyword)
            if value is None:
                return None
            out = np.atleast_1d(np.array(value, dtype=np.float64))
        except DAMAGE:
            return None
        return out if out.shape == (count,) and bool(np.isfinite(out).all()) else None


def required(header: Header, keywords: Sequence[tuple[str, int]]) -> str:
    """What is missing, in words that follow the file's name; empty when nothing is."""
    for keyword, count in keywords:
        if header.numbers(keyword, count) is None:
            state = "lacks" if header.dataset.get(keyword) is None else "has an unusable"
            return f"{state} {tag_words(keyword)}"
    return ""


def tag_words(keyword: str) -> str:
    """A tag for people: its name and number."""
    tag = tag_for_keyword(keyword) or 0
    return f"{_NAMES.get(keyword, keyword_for_tag(tag))} ({tag >> 16:04X},{tag & 0xFFFF:04X})"


def list_files(folder: Path) -> Job[list[Path]]:
    """All files under `folder`, in a fixed order."""
    files: list[Path] = []
    for top, _, names in os.walk(folder):
        yield Progress(len(files), 0, "Looking for files")
        files.extend(Path(top) / name for name in names)
    return sorted(files)


def read_header(path: Path) -> Header | Broken | None:
    """The header, or why it can't be used, or None when the file isn't a DICOM object."""
    try:
        with path.open("rb") as stream:
            kind = _looks_like(stream)
            if kind == "other":
                wrong = path.suffix.lower() in _SUFFIXES
                return Broken(path, "isn't readable as DICOM; it may be cut short") if wrong else None
            stream.seek(0)
            dataset = dcmread(stream, stop_before_pixels=True, force=kind == "bare", specific_tags=[*READ_TAGS])
            for _ in dataset:  # decodes every element, so that damage shows here
                pass
            if str(dataset.get("SOPClassUID", "")) == MEDIA_DIRECTORY or "DirectoryRecordSequence" in dataset:
                return None
            series = str(dataset.get("SeriesInstanceUID", ""))
            if "Modality" not in dataset:
                return None if kind == "bare" else Broken(path, f"lacks {tag_words('Modality')}; it may be cut short")
            header = Header(path, dataset)
            reason = _pixels_missing(header, stream)
            return Broken(path, reason, series) if reason else header
    except OSError as error:
        return Broken(path, f"can't be read ({error.strerror or type(error).__name__})")
    except DAMAGE:
        return Broken(path, "isn't readable as DICOM; it may be cut short or damaged")


def _looks_like(stream: BinaryIO) -> str:
    """Tell "file" (with DICOM's mark) from "bare" (a dataset without preamble) and "other"."""
    start = stream.read(132)
    if start[128:132] == b"DICM":
        return "file"
    # Without the preamble a dataset begins with group 0008 (or file meta 0002), low element number, little endian.
    if len(start) == 132 and start[0] in (2, 8) and start[1] == 0 and start[3] == 0 and start[2] <= 0x18:
        return "bare"
    return "other"


def _pixels_missing(header: Header, stream: BinaryIO) -> str:
    """Why the pixels can't all be there, from the file's length alone; empty when they may be."""
    ds = header.dataset
    if ds.get("Rows") is None or ds.get("Modality") in ("RTSTRUCT", "RTPLAN", "SR", "REG", "PR", "KO"):
        return ""
    syntax = str(getattr(ds, "file_meta", Dataset()).get("TransferSyntaxUID", "1.2.840.10008.1.2"))
    if syntax == _DEFLATED:
        return ""
    here = stream.tell()
    left = stream.seek(0, os.SEEK_END) - here
    if left <= 12:
        return "is cut short: it holds no pixels"
    if UID(syntax).is_compressed:
        return ""
    try:
        bits = int(ds.Rows) * int(ds.Columns) * int(ds.BitsAllocated) * int(ds.get("SamplesPerPixel") or 1)
        expected = (bits * int(ds.get("NumberOfFrames") or 1) + 7) // 8
    except (AttributeError, TypeError, ValueError):
        return ""
    if left < expected:
        return f"is cut short: {left:,} of {expected:,} bytes of pixels"
    return ""
