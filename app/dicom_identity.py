"""What a new DICOM file takes over from the images: the patient, the study, the character set."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable
from typing import cast

from pydicom.charset import convert_encodings, decode_bytes, encode_string
from pydicom.dataset import Dataset

from contourdesk.app.case import Case

# Taken over from the images as they are. Those that must be there even when empty come first.
REQUIRED = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime")
REQUIRED_STUDY = ("StudyID", "AccessionNumber", "ReferringPhysicianName")
OPTIONAL = ("IssuerOfPatientID", "StudyDescription", "PatientAge", "PatientSize", "PatientWeight")
IDENTITY = (*REQUIRED, *REQUIRED_STUDY, *OPTIONAL)
# What is made of de-identified images says that it is, too.
_DEIDENTIFIED = (
    *("PatientIdentityRemoved", "DeidentificationMethod", "DeidentificationMethodCodeSequence"),
    "LongitudinalTemporalInformationModified",
)

UTF_8 = "ISO_IR 192"
_DELIMITERS = {0x0D, 0x0A, 0x09, 0x0C}


def copy_identity(ds: Dataset, case: Case) -> None:
    """Patient and study of the first image, element by element."""
    header = cast(Dataset, case.source.header)
    for keyword in IDENTITY:
        if keyword in header:
            ds[keyword] = copy.deepcopy(header[keyword])
        elif keyword not in OPTIONAL:
            setattr(ds, keyword, "")
    for keyword in _DEIDENTIFIED:
        if keyword in header:
            ds[keyword] = copy.deepcopy(header[keyword])


def put_character_set(ds: Dataset, case: Case, texts: Iterable[str]) -> None:
    """The images' own character set, or UTF-8 when one of `texts`, which don't come from the images, needs it."""
    header = cast(Dataset, case.source.header)
    own = header.get("SpecificCharacterSet")
    codes = [own or ""] if own is None or isinstance(own, str) else list(own)
    if all(_fits(text, codes) for text in texts):
        if own is not None:
            ds["SpecificCharacterSet"] = copy.deepcopy(header["SpecificCharacterSet"])
        return
    ds.SpecificCharacterSet = UTF_8


def _fits(text: str, codes: list[str]) -> bool:
    """Whether the text comes back the same when it is written in these character sets."""
    if text.isascii():
        return True
    if codes == [""]:
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            encodings = convert_encodings(codes)
            return decode_bytes(encode_string(text, encodings), encodings, _DELIMITERS) == text
        except (UserWarning, UnicodeError, LookupError):
            return False
