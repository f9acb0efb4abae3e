"""The headings under which a list shows structures: targets, organs at risk, other, or the reviewer's own."""

from __future__ import annotations

from collections.abc import Sequence

from contourdesk.app.naming import type_for
from contourdesk.app.structures import Structure

TARGETS, ORGANS, OTHER = "Targets", "Organs at risk", "Other"
_TARGET_TYPES = ("GTV", "CTV", "PTV", "TREATED_VOLUME", "IRRAD_VOLUME")
_ORGAN_TYPES = ("ORGAN", "AVOIDANCE", "")


def group_of(structure: Structure) -> str:
    """The reviewer's own group, else that of DICOM's type, or of the name where the type says little."""
    if structure.group:
        return structure.group
    kind = structure.interpreted_type.upper()
    if kind in _ORGAN_TYPES:  # what is no target or the like is often written so, whatever it is
        kind = type_for(structure.name)
    return TARGETS if kind in _TARGET_TYPES else ORGANS if kind in _ORGAN_TYPES else OTHER


def grouped(items: Sequence[Structure]) -> list[tuple[str, list[int]]]:
    """Groups with the places of their structures: the reviewer's own by name, then targets, organs and others."""
    places: dict[str, list[int]] = {}
    for i, s in enumerate(items):
        places.setdefault(group_of(s), []).append(i)
    usual = (TARGETS, ORGANS, OTHER)
    own = sorted((name for name in places if name not in usual), key=str.casefold)
    return [(name, places[name]) for name in (*own, *usual) if name in places]
