"""What an RTSTRUCT file needs from below: contours as text, the patient's identity, the character set."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from pydicom.charset import convert_encodings, decode_bytes, encode_string
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from contourdesk.app.case import Case
from contourdesk.app.contour import Contour
from contourdesk.app.contours import mask_to_contours
from contourdesk.app.contours_place import left_to_draw
from contourdesk.app.geometry import Grid
from contourdesk.app.structures import Structure

# Patient and study, taken over from the images as they are. Those that must be there even when empty come first.
REQUIRED = ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyInstanceUID", "StudyDate", "StudyTime")
REQUIRED_STUDY = ("StudyID", "AccessionNumber", "ReferringPhysicianName")
OPTIONAL = ("IssuerOfPatientID", "StudyDescription", "PatientAge", "PatientSize", "PatientWeight")
IDENTITY = (*REQUIRED, *REQUIRED_STUDY, *OPTIONAL)

UTF_8 = "ISO_IR 192"
MAX_DS = 16  # characters of a decimal string
CONTOUR_DATA = Tag(0x3006, 0x0050)
TOLERANCE_MM = 1e-4  # contours read back may differ by what the decimals lose
_DELIMITERS = {0x0D, 0x0A, 0x09, 0x0C}


def copy_identity(ds: Dataset, case: Case) -> None:
    """Patient and study of the first image, element by element."""
    header = cast(Dataset, case.source.header)
    for keyword in IDENTITY:
        if keyword in header:
            ds[keyword] = copy.deepcopy(header[keyword])
        elif keyword not in OPTIONAL:
            setattr(ds, keyword, "")


def put_character_set(ds: Dataset, case: Case) -> None:
    """The images' own character set, or UTF-8 when a text needs it."""
    header = cast(Dataset, case.source.header)
    own = header.get("SpecificCharacterSet")
    codes = [own or ""] if own is None or isinstance(own, str) else list(own)
    if all(_fits(text, codes) for text in _new_texts(ds)):
        if own is not None:
            ds["SpecificCharacterSet"] = copy.deepcopy(header["SpecificCharacterSet"])
        return
    ds.SpecificCharacterSet = UTF_8


def _new_texts(ds: Dataset) -> Iterator[str]:
    """Texts that don't come from the images and so may lie outside their character set."""
    yield from (
        str(item.get(k, "")) for item in ds.StructureSetROISequence for k in ("ROIName", "ROIGenerationDescription")
    )
    yield from (str(ds.get(k, "")) for k in ("ReviewerName", "StructureSetLabel", "SeriesDescription"))


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


def contour_items(structure: Structure, case: Case) -> list[Dataset]:
    """Items of the Contour Sequence: imported contours as they came, then the mask's edges where none stands for it."""
    grid = case.volume.grid
    out = [_item(c.points_lps, c.kind, _image_of(c, case), exact=True) for c in structure.contours or ()]
    for contour in mask_to_contours(left_to_draw(structure, grid, case.source.image_uids), grid):
        out.append(_item(contour.points_lps, contour.kind, _slice_image(contour, grid, case), exact=False))
    return out


def _item(points_lps: NDArray[np.float64], kind: str, image: tuple[str, str], *, exact: bool) -> Dataset:
    item = Dataset()
    class_uid, uid = image
    if uid:
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = class_uid, uid
        item.ContourImageSequence = [reference]
    item.ContourGeometricType, item.NumberOfContourPoints = kind, len(points_lps)
    to_text = exact_decimal if exact else short_decimal
    text = "\\".join([to_text(v) for v in points_lps.ravel().tolist()]).encode("ascii")
    # As raw bytes: a million numbers as pydicom objects would take minutes.
    data = text + b" " * (len(text) % 2)
    item[CONTOUR_DATA] = RawDataElement(CONTOUR_DATA, "DS", len(data), data, 0, True, True)
    return item


def short_decimal(value: float) -> str:
    """A coordinate in mm with at most four decimals: a tenth of a micrometre, and never an exponent."""
    text = f"{value:.4f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def exact_decimal(value: float) -> str:
    """The shortest text that gives the value again, cut to DICOM's 16 characters, and never an exponent."""
    text = repr(value + 0.0).removesuffix(".0")  # adding zero turns -0.0 into 0.0
    if len(text) <= MAX_DS and "e" not in text:
        return text
    whole = len(f"{value:.0f}")
    text = f"{value:.{max(0, MAX_DS - whole - 2)}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _slice_image(contour: Contour, grid: Grid, case: Case) -> tuple[str, str]:
    k = round(float(grid.to_index(contour.points_lps[:1])[0, 0]))
    return case.source.image_class_uids[k], case.source.image_uids[k]


def _image_of(contour: Contour, case: Case) -> tuple[str, str]:
    """Class and UID of the image an imported contour was drawn on; of the nearest slice when it didn't say."""
    source, grid = case.source, case.volume.grid
    if contour.image_uid in source.image_uids:
        return source.image_class_uids[source.image_uids.index(contour.image_uid)], contour.image_uid
    if contour.image_uid:  # on an image that isn't loaded: kept as it came
        return source.image_class_uids[0], contour.image_uid
    z = grid.to_index(contour.points_lps)[:, 0]
    k = round(float(z.mean()))
    if 0 <= k < grid.shape[0] and float(np.abs(z - k).max()) <= 0.5:
        return source.image_class_uids[k], source.image_uids[k]
    return "", ""


def same_contours(wanted: Sequence[Contour] | None, found: Sequence[Contour] | None) -> bool:
    """Whether imported contours came back point for point; True where there were none to keep."""
    if wanted is None:
        return True
    if found is None or len(wanted) > len(found):
        return False
    return all(
        a.kind == b.kind
        and a.points_lps.shape == b.points_lps.shape
        and np.allclose(a.points_lps, b.points_lps, rtol=0, atol=TOLERANCE_MM)
        for a, b in zip(wanted, found, strict=False)  # those drawn anew come behind
    )
