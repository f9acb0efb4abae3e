"""De-identifying a DICOM data set, and saying what was done to which element."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pydicom import DataElement, Dataset
from pydicom.datadict import keyword_for_tag

from contourdesk.app.deidentify import Pseudonyms
from contourdesk.app.deidentify_profile import DATE, DESCEND, DUMMY, EDITION, EMPTY, KEEP, REMOVE, UID, action
from contourdesk.app.errors import UserError
from contourdesk.app.identifiers import Identifiers

# DCM codes of PS3.16 CID 7050.
_BASIC = ("113100", "Basic Application Confidentiality Profile")
_DATES = ("113107", "Retain Longitudinal Temporal Information Modified Dates Option")
_FACE = ("113102", "Clean Recognizable Visual Features Option")
_DUMMIES = {"AS": "000Y", "DS": "0", "IS": "0", "UR": "http://removed.invalid"}
_DUMMY_TEXT = "REMOVED"
_SCHEMES = frozenset(("DCM", "SCT", "SRT", "LN", "UCUM", "RADLEX", "FMA", "MA", "I10", "I9C", "NCIt", "UMLS"))
_PIXELS = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))


@dataclass
class Removals:
    """How often what was done to which element: counts by (tag, what). Never a value."""

    counts: Counter[tuple[int, str]] = field(default_factory=Counter)

    def note(self, tag: int, what: str) -> None:
        """Count one."""
        self.counts[tag, what] += 1

    def to_json(self) -> list[dict[str, Any]]:
        """A line for each tag and action; of private ones the group alone, for a creator's name may say too much."""
        lines: Counter[tuple[str, str, str]] = Counter()
        for (tag, what), count in self.counts.items():
            group = tag >> 16
            place = f"({group:04x},xxxx)" if group % 2 else f"({group:04x},{tag & 0xFFFF:04x})"
            lines[place, "private" if group % 2 else keyword_for_tag(tag), what] += count
        return [{"tag": t, "name": n, "done": w, "times": c} for (t, n, w), c in sorted(lines.items())]


def deidentify(
    ds: Dataset, names: Pseudonyms, identifiers: Identifiers, done: Removals, *, defaced: bool = False
) -> None:
    """De-identify a data set in place, all its sequences too; pixels are left to the caller.

    Parameters
    ----------
    identifiers : no text that stays may hold one of them.
    done : gets what was done.
    defaced : whether the face was taken out of the pixels, which the data set shall say.
    """
    _walk(ds, names, identifiers, done)
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName, ds.PatientID = f"{names.code}^", names.code
    for keyword in ("PatientBirthDate", "PatientSex", "ReferringPhysicianName", "StudyID", "AccessionNumber"):
        if keyword not in ds:
            setattr(ds, keyword, "")
    ds.PatientIdentityRemoved = "YES"
    ds.DeidentificationMethod = f"Contourdesk, PS3.15 {EDITION} table E.1-1"
    ds.DeidentificationMethodCodeSequence = [_code(*c) for c in (_BASIC, _DATES, *([_FACE] if defaced else []))]
    ds.LongitudinalTemporalInformationModified = "MODIFIED"


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, "DCM", meaning
    return item


def _walk(ds: Dataset, names: Pseudonyms, identifiers: Identifiers, done: Removals) -> None:
    for tag in list(ds.keys()):
        number = int(tag)
        if number in _PIXELS:
            continue
        try:
            element = ds[tag]
        except (ValueError, TypeError, KeyError, NotImplementedError, AttributeError):  # what can't be read can't stay
            ds.__delitem__(tag)
            done.note(number, REMOVE)
            continue
        what = action(number, element.VR)
        if what == REMOVE:
            del ds[tag]
        elif element.VR == "SQ":
            what = _sequence(element, what, names, identifiers, done)
        elif not element.is_empty:
            what = _value(element, what, names, identifiers)
        else:
            continue
        if what != KEEP:
            done.note(number, what)
    if ds.get("CodeMeaning") and str(ds.get("CodingSchemeDesignator") or "") not in _SCHEMES:
        ds.CodeMeaning = _DUMMY_TEXT  # a house's own codes say what the house likes
        done.note(int(ds["CodeMeaning"].tag), DUMMY)


def _sequence(element: DataElement, what: str, names: Pseudonyms, identifiers: Identifiers, done: Removals) -> str:
    """De-identify a sequence's items, or empty it as the profile says; gives what was done."""
    if what not in (DESCEND, KEEP):
        element.value = []
        return EMPTY
    for item in element.value:
        _walk(item, names, identifiers, done)
    return KEEP


def _value(element: DataElement, what: str, names: Pseudonyms, identifiers: Identifiers) -> str:
    """Do to a value what the profile says; gives what was done."""
    if what == UID:
        new = _each(element, names.uid)
        what = KEEP if new == element.value else UID  # those that say what kind of thing it is stay
        element.value = new
        return what
    if what == DATE:
        element.value = _each(element, names.date)
        return DATE
    if what == DUMMY:
        if element.VR == "UI":
            element.value = _each(element, names.uid)
        else:
            element.value = _DUMMIES.get(element.VR, _DUMMY_TEXT if element.VR in ("SH", "LO", "PN", "CS") else None)
        return DUMMY
    if what == EMPTY:
        element.value = None
        return EMPTY
    if _is_plain(element, identifiers):
        return KEEP
    # Not empty, because DICOM may want a value here.
    element.value = None if element.VR in ("TM", "UR") else _DUMMY_TEXT
    return EMPTY if element.is_empty else DUMMY


def _is_plain(element: DataElement, identifiers: Identifiers) -> bool:
    """Whether a value that may stay is of its kind, and names nobody."""
    texts = [str(v) for v in (element.value if element.VM > 1 else [element.value])]
    if element.VR == "TM":
        return all(re.fullmatch(r"[0-9:. ]*", t) for t in texts)
    if element.VR == "CS":
        return all(re.fullmatch(r"[A-Z0-9_ ]{0,16}", t) for t in texts) and not any(map(identifiers.found_in, texts))
    if element.VR in ("IS", "DS", "US", "SS", "UL", "SL", "FD", "FL", "AT", "OB", "OW", "SV", "UV"):
        return True
    return not any(map(identifiers.found_in, texts))


def _each(element: DataElement, change: Any) -> Any:
    """The value, or each of several, changed."""
    if element.VM > 1:
        return [change(str(v)) for v in element.value]
    return change(str(element.value))


def refuse_burned_in(header: Dataset | None) -> None:
    """Raise UserError when the images say of themselves that text is burned into their pixels."""
    if header is not None and str(header.get("BurnedInAnnotation") or "") == "YES":
        raise UserError(
            "The images say that text is burned into their pixels (Burned In Annotation is YES).",
            "It may be a name, and can't be taken out here; have them made again without it.",
        )


def warnings_of(header: Dataset | None) -> tuple[str, ...]:
    """What a person should look at before the images leave the house, in sentences."""
    if header is None:
        return ()
    out = []
    kind = header.get("ImageType")
    if not isinstance(kind, str) and "SECONDARY" in (kind or ()) and header.get("ConversionType"):
        out.append("The images are secondary captures; text may be burned into their pixels.")
    if any(int(tag) >> 24 == 0x60 for tag in header.keys()):  # noqa: SIM118 - a data set's own iterator decodes
        out.append("The images had overlay planes, which may spell a name; they were left out.")
    return tuple(out)
