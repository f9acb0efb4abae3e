"""Names of structures: TG-263's names, their usual synonyms, their side, their colour.

The list is ``resources/structures.csv``. Names are compared without regard to case, separators and where the side is
written, so that "RightParotid", "parotid right" and "Parotid_R" are one; left and right are never one.
"""

from __future__ import annotations

import csv
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources

from contourdesk.app.errors import UserError
from contourdesk.app.structures import MAX_NAME, Colour

_SIDES = {
    **dict.fromkeys(("r", "rt", "re", "right", "rechts", "rechte", "rechter", "dx", "dext", "dexter", "droit"), "R"),
    **dict.fromkeys(("l", "lt", "li", "left", "links", "linke", "linker", "sin", "sinister", "gauche"), "L"),
}
# Words: a run of capitals or digits that no small letter follows, a capitalised word, or small letters.
_WORD = re.compile(r"[^\W\d_a-zäöüß]+(?![a-zäöüß])|[^\W\d_]?[a-zäöüß]+|\d+|[^\W_]")
# Told apart on grey; for names that the list doesn't have.
_COLOURS: tuple[Colour, ...] = (
    (230, 75, 60), (60, 170, 230), (90, 200, 90), (240, 190, 50), (180, 110, 220), (60, 200, 190),
    (240, 130, 60), (230, 110, 170), (160, 200, 70), (120, 140, 240), (210, 160, 110), (150, 220, 240),
)  # fmt: skip


@dataclass(frozen=True)
class KnownStructure:
    """One line of the list: TG-263 name, DICOM's RT ROI Interpreted Type, colour, other names for it."""

    name: str
    interpreted_type: str
    colour: Colour
    synonyms: tuple[str, ...]


@cache
def known_structures() -> tuple[KnownStructure, ...]:
    """The list, in its order."""
    text = (resources.files("contourdesk.resources") / "structures.csv").read_text("utf-8")
    out = []
    for row in csv.DictReader(text.splitlines()):
        code = row["colour"].removeprefix("#")
        colour = (int(code[0:2], 16), int(code[2:4], 16), int(code[4:6], 16))
        synonyms = tuple(s for s in row["synonyms"].split(";") if s)
        out.append(KnownStructure(row["name"], row["type"], colour, synonyms))
    return tuple(out)


@lru_cache(4096)  # a table asks for sixty names with every change
def key(name: str) -> tuple[str, str]:
    """What two names for the same thing have in common: letters and digits without the side, and the side.

    The side is "R", "L", "" for none, or "RL" when both are named.
    """
    words = [word.casefold() for word in _WORD.findall(name)]
    # A letter by itself is a side only at an end of the name: "VB L 5" is the fifth lumbar vertebra, on no side.
    ends = (0, len(words) - 1)
    sides = {i: _SIDES[w] for i, w in enumerate(words) if w in _SIDES and (len(w) > 1 or i in ends)}
    if len(sides) == len(words):
        sides = {}
    rest = "".join(w for i, w in enumerate(words) if i not in sides)
    return rest, "".join(sorted(set(sides.values()), reverse=True))


def side(name: str) -> str | None:
    """Give "R" or "L" as the name says, None when it says neither or both."""
    found = key(name)[1]
    return found if found in ("R", "L") else None


def suggest(name: str) -> str | None:
    """TG-263's name for what is meant, None when the list doesn't have it."""
    found = _lookup(name)
    return found.name if found else None


def label_key(name: str) -> tuple[str, str]:
    """What two names share when they mean one structure, whether the list has it or not."""
    return key(suggest(name) or name)


def same_meaning(names: Sequence[str]) -> tuple[str, str] | None:
    """The first two of the names that mean one structure, None when there are none: a training case can't hold both."""
    seen: dict[tuple[str, str], str] = {}
    for name in names:
        first = seen.setdefault(label_key(name), name)
        if first is not name:
            return first, name
    return None


def colour_for(name: str) -> Colour:
    """The structure's usual colour; for unknown names one of a few, always the same for a name."""
    found = _lookup(name) or _target(name)
    if found:
        return found.colour
    return _COLOURS[zlib.crc32(name.strip().casefold().encode()) % len(_COLOURS)]


def type_for(name: str) -> str:
    """DICOM's RT ROI Interpreted Type; ORGAN for unknown names."""
    found = _lookup(name) or _target(name)
    return found.interpreted_type if found else "ORGAN"


def usable_name(name: str) -> str:
    """The name without blanks round it. Raises UserError for one that DICOM forbids."""
    name = name.strip()
    if not name:
        raise UserError("A structure needs a name.", "Type a name.")
    if len(name) > MAX_NAME:
        raise UserError(f"The name is longer than {MAX_NAME} characters.", "Shorten it; DICOM allows no more.")
    if "\\" in name or not name.isprintable():
        raise UserError("The name holds a backslash or an invisible character.", "Leave it out; DICOM forbids it.")
    return name


def _lookup(name: str) -> KnownStructure | None:
    return _by_key().get(key(name))


def _target(name: str) -> KnownStructure | None:
    """Targets go by their first letters: PTV_7000, CTVn, GTV 1."""
    start = name.strip()[:3].upper()
    return _by_key().get(key(start)) if start in ("GTV", "CTV", "PTV") else None


@cache
def _by_key() -> dict[tuple[str, str], KnownStructure]:
    out: dict[tuple[str, str], KnownStructure] = {}
    for one in known_structures():
        out[key(one.name)] = one
    for one in known_structures():
        for synonym in one.synonyms:
            out.setdefault(key(synonym), one)
    return out
