"""What a structure is, in the codes that DICOM SEG and Slicer use (SNOMED CT, or DICOM's own)."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from importlib import resources

from contourdesk.app.naming import side, suggest
from contourdesk.app.structures import Structure


@dataclass(frozen=True)
class Code:
    """A coded concept: scheme ("SCT" is SNOMED CT), value and meaning."""

    scheme: str
    value: str
    meaning: str


ANATOMY = Code("SCT", "123037004", "Anatomical Structure")
TISSUE = Code("SCT", "85756007", "Tissue")
TARGET = Code("SCT", "309825002", "Spatial and Relational Concept")
OBJECT = Code("SCT", "260787004", "Physical object")
SIDES = {"L": Code("SCT", "7771000", "Left"), "R": Code("SCT", "24028007", "Right")}
_TYPES = {"228791009": "GTV", "228792002": "CTV", "228793007": "PTV", "38266002": "EXTERNAL"}


@dataclass(frozen=True)
class Anatomy:
    """Category, type, and the side as its modifier; both of the first are "Tissue" when it isn't known better."""

    category: Code
    type: Code
    side: Code | None = None


def anatomy(structure: Structure) -> Anatomy:
    """What a structure is by its name, else by its DICOM type (GTV, CTV, PTV, EXTERNAL)."""
    code = _codes().get(suggest(structure.name) or "") or _codes().get(
        {"EXTERNAL": "External"}.get(structure.interpreted_type, structure.interpreted_type)
    )
    if code is None:
        return Anatomy(TISSUE, TISSUE)
    if _TYPES.get(code.value, "EXTERNAL") != "EXTERNAL":
        return Anatomy(TARGET, code)
    if structure.interpreted_type in ("SUPPORT", "BOLUS"):
        return Anatomy(OBJECT, code)
    return Anatomy(ANATOMY, code, SIDES.get(side(structure.name) or ""))


def interpreted_type(code_value: str) -> str | None:
    """DICOM's RT ROI Interpreted Type for a property type, None for codes that say nothing of it."""
    return _TYPES.get(code_value)


@cache
def _codes() -> dict[str, Code]:
    """By TG-263 name."""
    text = (resources.files("contourdesk.resources") / "structures.csv").read_text("utf-8")
    out = {}
    for row in csv.DictReader(text.splitlines()):
        scheme, _, value = (row["code"] or "").partition(" ")
        if value:
            out[row["name"]] = Code(scheme, value, row["meaning"])
    return out
