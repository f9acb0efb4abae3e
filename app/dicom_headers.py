"""DICOM files as they lie in a folder or a zip archive: found whatever they are called, read without their pixels.

A file that is DICOM but can't be used becomes a `Broken` with the reason; one that isn't DICOM is left alone.
"""

from __future__ import annotations

import os
import struct
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.valuerep import TEXT_VR_DELIMS, PersonName

from contourdesk.app.archives import archive_of, check_to_end, fingerprint, inflated, open_binary
from contourdesk.app.dicom_elements import PIXELS, Encoding, Place, Window, encoding_of, walk
from contourdesk.app.dicom_places import MOST_INFLATED, Pixels, locate
from contourdesk.app.dicom_syntaxes import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, Progress

MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
# What pydicom and the decoders raise on damaged files; elements are decoded when they are first asked for.
DAMAGE = (
    *(OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, NotImplementedError, RuntimeError),
    *(OverflowError, struct.error, InvalidDicomError, BytesLengthException, zlib.error, zipfile.BadZipFile),
)
_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
_NOT_IMAGES = frozenset({"RTSTRUCT", "RTPLAN", "SR", "REG", "PR", "KO"})
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
    "BitsStored": "Bits Stored",
    "SamplesPerPixel": "Samples per Pixel",
    "PixelRepresentation": "Pixel Representation",
    "PhotometricInterpretation": "Photometric Interpretation",
    "SOPInstanceUID": "SOP Instance UID",
    "Modality": "Modality",
}
READ_TAGS = [
    *("SpecificCharacterSet", "ImageType", "SOPClassUID", "StudyDate", "SeriesDate"),
    *("AcquisitionDate", "StudyDescription", "SeriesDescription", "PatientName", "PatientID", "StudyInstanceUID"),
    *("PatientBirthDate", "PatientSex", "ConvolutionKernel", "TemporalPositionIdentifier", "TransferSyntaxUID"),
    *("SeriesInstanceUID", "SeriesNumber", "SeriesTime", "AcquisitionNumber", "InstanceNumber", "FrameOfReferenceUID"),
    *("NumberOfFrames", *_NAMES, "HighBit", "RescaleType"),
    *("PixelPaddingValue", "PixelPaddingRangeLimit", "WindowCenter", "WindowWidth", "ConcatenationUID"),
    *("InConcatenationNumber", "InConcatenationTotalNumber", "StackID", "TemporalPositionIndex"),
    "DirectoryRecordSequence",
]
_TAGS = {int(tag_for_keyword(keyword) or 0): dictionary_VR(keyword).split()[0].encode() for keyword in READ_TAGS}
_TAG_OF = {keyword: int(tag_for_keyword(keyword) or 0) for keyword in READ_TAGS}
_NUMBERS = {b"US": "u2", b"SS": "i2", b"UL": "u4", b"SL": "i4", b"FL": "f4", b"FD": "f8", b"UV": "u8", b"SV": "i8"}


@dataclass(frozen=True)
class Broken:
    """A DICOM file that can't be used, and why, in words that follow the file's name."""

    path: Path
    reason: str
    series_uid: str = ""


@dataclass(frozen=True, eq=False)
class Header:
    """One slice's header: of a single-frame file, or of one frame of a multi-frame file; without pixels.

    Parameters
    ----------
    values : VR and undecoded value of what was asked for, by tag.
    little : byte order of numbers among them.
    pixels : None for what isn't an image.
    frame : number of the frame in its file, counted from 1; 0 for a single-frame file.
    """

    path: Path
    values: Mapping[int, tuple[bytes, bytes]]
    little: bool = True
    pixels: Pixels | None = None
    frame: int = 0
    _numbers: dict[str, NDArray[np.float64] | None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What to call it: the file's name, with the frame's number where there are several."""
        return f"{self.path.name} frame {self.frame}" if self.frame else self.path.name

    def has(self, keyword: str) -> bool:
        """Whether the attribute is there and not empty."""
        return bool(self.values.get(_TAG_OF[keyword], (b"", b""))[1])

    def text(self, keyword: str) -> str:
        """An attribute as text, empty when absent; names decoded with the file's character set."""
        vr, value = self.values.get(_TAG_OF[keyword], (b"", b""))
        if vr in _NUMBERS:
            numbers = self._decoded(keyword)
            return "" if numbers is None else "\\".join(f"{n:g}" for n in numbers)
        return _text(vr, value, self.values.get(_TAG_OF["SpecificCharacterSet"], (b"", b""))[1])

    def numbers(self, keyword: str, count: int) -> NDArray[np.float64] | None:
        """An attribute's numbers, or None when it is absent, malformed or not `count` finite numbers."""
        out = self._decoded(keyword)
        return out if out is not None and len(out) == count else None

    def number(self, keyword: str, default: float) -> float:
        """An attribute's one number, `default` when there is none."""
        found = self.numbers(keyword, 1)
        return default if found is None else float(found[0])

    def first_number(self, keyword: str) -> float | None:
        """The first of an attribute's numbers."""
        found = self._decoded(keyword)
        return None if found is None else float(found[0])

    def _decoded(self, keyword: str) -> NDArray[np.float64] | None:
        if keyword not in self._numbers:
            self._numbers[keyword] = _decode_numbers(*self.values.get(_TAG_OF[keyword], (b"", b"")), self.little)
        return self._numbers[keyword]


def _decode_numbers(vr: bytes, value: bytes, little: bool) -> NDArray[np.float64] | None:
    """(n,) with n at least 1; None when there are none, or not only finite numbers."""
    try:
        if vr in _NUMBERS:
            out = np.frombuffer(value, ("<" if little else ">") + _NUMBERS[vr]).astype(np.float64)
        elif vr in (b"DS", b"IS") and b"_" not in value:  # Python reads 1_0 as ten
            # NUL may fill up the end; anywhere else it was written over digits, and `float` refuses it.
            out = np.array([float(part) for part in value.rstrip(b" \0").split(b"\\")])
        else:
            return None
    except ValueError:
        return None
    return out if len(out) and bool(np.isfinite(out).all()) else None


@lru_cache(maxsize=4096)
def _text(vr: bytes, value: bytes, character_set: bytes) -> str:
    """Decode a text; files repeat the same few."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pydicom about character sets that don't exist
            names = [name.strip() for name in character_set.decode("ascii").split("\\")]
            encodings = convert_encodings(names if len(names) > 1 else names[0])
            if vr == b"PN":
                text = str(PersonName(value, encodings=encodings))
            else:
                text = decode_bytes(value, encodings, TEXT_VR_DELIMS)
    except DAMAGE:
        text = value.decode("ascii", "replace")
    return text.strip(" \0\r\n\t")


def required(header: Header, keywords: Sequence[tuple[str, int]]) -> str:
    """What is missing, in words that follow the file's name; empty when nothing is."""
    for keyword, count in keywords:
        if header.numbers(keyword, count) is None:
            return f"{'has an unusable' if header.has(keyword) else 'lacks'} {tag_words(keyword)}"
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
    """The header, or why it can't be used, or None when the file isn't a DICOM object.

    Raises
    ------
    UserError : it lies in an archive which is damaged.
    """
    try:
        with open_binary(path) as stream:
            found = _read_stream(path, stream)
            check_to_end(stream)
            return found
    except (zlib.error, zipfile.BadZipFile) as error:
        archive = archive_of(path) or path
        raise UserError(
            f"{archive.name} is damaged: {path.name} in it can't be unpacked.", "Copy the archive again."
        ) from error
    except OSError as error:
        return Broken(path, f"can't be read ({error.strerror or type(error).__name__})")


def _read_stream(path: Path, stream: BinaryIO) -> Header | Broken | None:
    values: dict[int, tuple[bytes, bytes]] = {}
    try:
        kind = _looks_like(stream)
        if kind != "other":
            return _read(path, stream, values, kind)
        wrong = path.suffix.lower() in _SUFFIXES
        return Broken(path, "isn't readable as DICOM; it may be cut short") if wrong else None
    except OSError:
        raise
    except DAMAGE:
        reason = "isn't readable as DICOM; it may be cut short or damaged"
        return Broken(path, reason, Header(path, values).text("SeriesInstanceUID"))


def _looks_like(stream: BinaryIO) -> str:
    """Tell "file" (with DICOM's mark) from "bare" (a dataset without preamble) and "other"."""
    start = stream.read(132)
    if start[128:132] == b"DICM":
        return "file"
    # Without the preamble a dataset begins with group 0008 (or file meta 0002), low element number, little endian.
    if len(start) == 132 and start[0] in (2, 8) and start[1] == 0 and start[3] == 0 and start[2] <= 0x18:
        return "bare"
    return "other"


def _read(path: Path, stream: BinaryIO, values: dict[int, tuple[bytes, bytes]], kind: str) -> Header | Broken | None:
    """Walk over a file; what was found before damage was met is in `values` then."""
    mark = fingerprint(path)
    window = Window(stream, mark[0])
    at = _read_meta(window, 132 if kind == "file" else 0, values)
    declared = values.get(_TAG_OF["TransferSyntaxUID"], (b"", b""))[1].rstrip(b" \0").decode("ascii")
    deflated_from = 0
    if declared == DEFLATED:
        deflated_from, at = at, 0
        unpacked = inflated(stream, deflated_from, mark[0], MOST_INFLATED, keep_open=True)
        window = Window(unpacked, MOST_INFLATED)
    encoding = encoding_of(window, at, Encoding(declared != IMPLICIT, declared != BIG_ENDIAN))
    pixels = _read_dataset(window, at, encoding, values)
    header = Header(path, values, encoding.little)
    if header.text("SOPClassUID") == MEDIA_DIRECTORY or header.has("DirectoryRecordSequence"):
        return None
    series = header.text("SeriesInstanceUID")
    if not header.has("Modality"):
        return None if kind == "bare" else Broken(path, f"lacks {tag_words('Modality')}; it may be cut short", series)
    if not header.has("Rows") or header.text("Modality") in _NOT_IMAGES:
        return header
    if pixels is None:
        return Broken(path, "is cut short: it holds no pixels", series)
    syntax = declared or (EXPLICIT if encoding.explicit else IMPLICIT)
    found = locate(window, pixels, syntax, encoding, mark, at, deflated_from)
    if isinstance(found, str):
        return Broken(path, found, series)
    reason = _wrong_length(header, found)
    return Broken(path, reason, series) if reason else Header(path, values, encoding.little, found)


def _read_meta(window: Window, at: int, values: dict[int, tuple[bytes, bytes]]) -> int:
    """Put what is asked for of the file meta information into `values`; where it ends."""
    while True:
        i = window.index(at, 2)
        if window.data[i : i + 2] != b"\2\0":
            return at
        place = next(walk(window, at, window.size, Encoding(True)), None)
        if place is None:
            return at
        if place.tag in _TAGS:
            values[place.tag] = (place.vr, window.value(place))
        at = place.end


def _read_dataset(window: Window, at: int, encoding: Encoding, values: dict[int, tuple[bytes, bytes]]) -> Place | None:
    """Put what is asked for into `values`; where the pixels are."""
    rows = _TAG_OF["Rows"]
    for place in walk(window, at, window.size, encoding):
        if place.tag in PIXELS:
            return place
        if place.tag in _TAGS:
            vr = place.vr if place.vr and place.vr != b"UN" else _TAGS[place.tag]
            values[place.tag] = (vr, b"..." if vr == b"SQ" else window.value(place))
        elif place.tag >> 16 > 0x0028 and rows not in values:  # not an image: the rest isn't asked for
            return None
    return None


def _wrong_length(header: Header, pixels: Pixels) -> str:
    """Why the pixels can't all be there, or aren't those of the header; empty when they may be."""
    if pixels.fragments is not None:
        return ""
    rows, columns, bits = (header.numbers(k, 1) for k in ("Rows", "Columns", "BitsAllocated"))
    if rows is None or columns is None or bits is None:
        return ""
    frames = max(1, int(header.number("NumberOfFrames", 1)))
    needed = int(rows[0] * columns[0] * bits[0] * header.number("SamplesPerPixel", 1) * frames + 7) // 8
    said, there = pixels.length, pixels.length_there
    if there < min(needed, said):
        return f"is cut short: {there:,} of {needed:,} bytes of pixels"
    if not needed <= said <= needed + 1:
        image = f"{rows[0]:g} × {columns[0]:g} image needs" if frames == 1 else f"{frames} frames need"
        return f"holds {said:,} bytes of pixels where its {image} {needed:,}"
    return ""
