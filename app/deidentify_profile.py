"""What to do with each DICOM element: PS3.15 table E.1-1 (basic profile), and for what it doesn't list a stricter rule.

The table comes from the package dicom-anonymizer, which makes it from the standard's text with each edition. Its own
walk through a data set isn't used: it has no keyed UIDs and no shifted dates, and doesn't look into sequences.

Of the profile's options, dates are kept with their intervals ("Retain Longitudinal Temporal Information With Modified
Dates"): all of a patient's dates move by the same number of days; times of day stay.
"""

from __future__ import annotations

from functools import cache
from types import ModuleType

from dicomanonymizer.dicom_anonymization_databases import dicomfields_2026c  # type: ignore[import-untyped]
from pydicom.datadict import dictionary_has_tag, keyword_for_tag

EDITION = "2026c"
REMOVE, EMPTY, DUMMY, UID = "removed", "emptied", "replaced", "new UID"
DATE, KEEP, DESCEND = "shifted", "kept", "walked"
# Where the table leaves a choice (X/Z, X/D, ...), the one that keeps the object valid whatever its kind.
_ACTIONS = {
    "X_TAGS": REMOVE,
    "Z_TAGS": EMPTY,
    "D_TAGS": DUMMY,
    "U_TAGS": UID,
    "Z_D_TAGS": DUMMY,
    "X_Z_TAGS": EMPTY,
    "X_D_TAGS": REMOVE,
    "X_Z_D_TAGS": REMOVE,
    "X_Z_U_STAR_TAGS": DESCEND,
}
# Text that isn't in the table and that describes the machine, the picture or a code. All other text goes.
_PLAIN_TEXT = frozenset(
    (
        *("Manufacturer", "ManufacturerModelName", "SoftwareVersions", "ConvolutionKernel", "FilterType"),
        *("RescaleType", "StackID", "CodeValue", "LongCodeValue", "CodingSchemeDesignator"),
        *("CodingSchemeVersion", "CodeMeaning", "MappingResource"),
    )
)
_PLAIN_BYTES = frozenset(("LUTData",))
_TEXTS = frozenset(("AE", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT"))
_BYTES = frozenset(("OB", "OD", "OF", "OL", "OV", "OW", "UN", "OB or OW"))
_NUMBERS = frozenset(("AT", "DS", "FD", "FL", "IS", "SL", "SS", "SV", "UL", "US", "UV", "US or SS", "US or OW"))
# Empty rather than gone, because DICOM wants them there in an image; the rest of the table's X/D may go.
_PRESENT = frozenset(("PositionReferenceIndicator", "ContrastBolusAgent", "OperatorsName"))


def action(tag: int, vr: str) -> str:
    """What to do with an element of this tag and value representation: one of the names above."""
    group, element = tag >> 16, tag & 0xFFFF
    # Odd groups are private; 50xx curves; 60xx overlays, whose pixels may spell a name; the others are no image's.
    if group % 2 or group in (0x0004, 0xFFFA, 0xFFFC) or group >> 8 in (0x50, 0x60) or element == 0:
        return REMOVE
    if not dictionary_has_tag(tag):
        return REMOVE
    keyword = keyword_for_tag(tag)
    listed = _table().get(tag)
    if vr in ("DA", "DT") and keyword != "PatientBirthDate":
        return DATE
    if vr == "TM" and keyword != "PatientBirthTime":
        return KEEP
    if listed is not None:
        return EMPTY if keyword in _PRESENT else listed
    if vr == "UI":
        return UID
    if vr == "SQ":
        return DESCEND
    if vr in _NUMBERS or vr == "CS" or (vr in _TEXTS and keyword in _PLAIN_TEXT):
        return KEEP
    if vr in _BYTES:
        return KEEP if keyword in _PLAIN_BYTES else REMOVE
    return EMPTY if keyword in _PRESENT else REMOVE


@cache
def _table() -> dict[int, str]:
    fields: ModuleType = dicomfields_2026c
    lists = [(getattr(fields, name), what) for name, what in _ACTIONS.items()]
    return {tag[0] << 16 | tag[1]: what for tags, what in lists for tag in tags if len(tag) == 2}
