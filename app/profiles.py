"""What planning systems take in an RT structure set: a table that physicists can read and change.

The table is ``resources/profiles.csv``; lines of a file of that name in the folder of the settings go before it.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from contourdesk.app.contours import HOLES
from contourdesk.app.errors import UserError
from contourdesk.app.naming import side, suggest
from contourdesk.app.settings import config_dir

FILE_NAME = "profiles.csv"
GENERIC = "generic"
_COLUMNS = ("profile", "limit", "value", "broken", "source")
_BROKEN = ("error", "warning")


@dataclass(frozen=True)
class Profile:
    """Limits of one planning system. None, where a number may be, means that no limit is known.

    Parameters
    ----------
    name : as it is chosen;  title : as it is shown.
    name_length, label_length : characters of ROI names and of the structure set's label.
    name_forbidden : characters that no ROI name may have;  name_ascii : whether names are ASCII only.
    name_same_ignoring_case : whether names may be equal but for case and outer blanks.
    holes : how holes are drawn, see `contourdesk.app.contours.ContourStyle`.
    contour_points, contour_bytes : points and bytes of Contour Data in a contour.
    contour_types : Contour Geometric Types that are taken.
    contours_per_roi, rois, all_points : how many.
    empty_rois : whether ROIs without contours are taken.
    image_for_each_contour : whether every contour must name its image.
    image_list : whether the set must list its images.
    broken, source : by limit, "error" or "warning", and where the value is from.
    """

    name: str
    title: str
    name_length: int | None
    name_forbidden: str
    name_ascii: bool
    name_same_ignoring_case: bool
    holes: str
    contour_points: int | None
    label_length: int | None
    contour_types: tuple[str, ...]
    contour_bytes: int | None
    contours_per_roi: int | None
    rois: int | None
    all_points: int | None
    empty_rois: bool
    image_for_each_contour: bool
    image_list: bool
    broken: Mapping[str, str] = field(default_factory=dict, compare=False)
    source: Mapping[str, str] = field(default_factory=dict, compare=False)

    def fitting_names(self, names: Sequence[str]) -> list[str]:
        """The names, those shortened and changed that don't fit, no two of them the same but for case.

        A name keeps its side: TG-263's name where the list has one that fits, else the front and the end of it.
        """
        out: list[str] = []
        trimmed = [name.strip() for name in names]
        fits = [self._fits(name) for name in trimmed]
        # Names that fit stay as they are, whatever comes before them.
        taken = {name.casefold() for name, good in zip(trimmed, fits, strict=True) if good}
        for name, good in zip(trimmed, fits, strict=True):
            new = name if good else next(n for n in self._shorter(name) if n.casefold() not in taken)
            taken.add(new.casefold())
            out.append(new)
        return out

    def _fits(self, name: str) -> bool:
        short = self.name_length is None or len(name) <= self.name_length
        return short and not any(c in self.name_forbidden for c in name)

    def _shorter(self, name: str) -> Iterator[str]:
        """Names for `name` that fit, the best first; endless."""
        known = suggest(name)
        if known is not None and self._fits(known):
            yield known
        clean = "".join("_" if c in self.name_forbidden else c for c in name)
        length = self.name_length or len(clean)
        if len(clean) <= length:
            yield clean
        which = side(name)
        end = f"_{which}" if which else clean[len(clean) - min(6, length // 3) :]
        for number in range(1, 100_000):
            tail = f"~{end if number == 1 else f'{number}{end}'}"[-length:]
            yield clean[: length - len(tail)].rstrip() + tail


def profile(name: str) -> Profile:
    """The profile of this name, in any case of letters.

    Raises
    ------
    UserError : there is none, or the user's table can't be used.
    """
    known = profiles()
    found = known.get(name.strip().casefold())
    if found is None:
        raise UserError(f'There is no planning system "{name}" in the table.', f"Choose from {', '.join(known)}.")
    return found


def profiles(extra: Path | None = None) -> dict[str, Profile]:
    """All profiles by name, generic first.

    Parameters
    ----------
    extra : the user's own table; the one in the folder of the settings unless given. It need not exist.

    Raises
    ------
    UserError : the user's table can't be used.
    """
    rows: dict[str, dict[str, tuple[str, str, str]]] = {}
    _add(rows, (resources.files("contourdesk.resources") / FILE_NAME).read_text("utf-8"), FILE_NAME)
    path = config_dir() / FILE_NAME if extra is None else extra
    try:
        _add(rows, path.read_text("utf-8-sig"), str(path))
    except FileNotFoundError:
        pass
    except (OSError, UnicodeError) as error:
        raise UserError(f"The table {path} can't be read.", "Save it as text in UTF-8, or take it away.") from error
    return {name: _profile(name, rows[GENERIC] | {"title": (name, "", "")} | own) for name, own in rows.items()}


def _add(rows: dict[str, dict[str, tuple[str, str, str]]], text: str, where: str) -> None:
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    table = csv.DictReader(lines)
    if tuple(table.fieldnames or ()) != _COLUMNS:
        raise UserError(f"The first line of {where} isn't {','.join(_COLUMNS)}.", "Put that line above the values.")
    for row in table:
        name, limit = (row["profile"] or "").strip().casefold(), (row["limit"] or "").strip()
        value, broken = row["value"] or "", (row["broken"] or "").strip() or "warning"
        problem = None
        if not name or (limit != "title" and limit not in _READERS):
            problem = f'there is no limit "{limit}"'
        elif broken not in _BROKEN:
            problem = f'"broken" is error or warning, not "{broken}"'
        elif limit != "title":
            try:
                _READERS[limit](value)
            except ValueError:
                problem = f'{limit} can\'t be "{value}"'
        if problem:
            raise UserError(f"In {where}, profile {name or '(no name)'}: {problem}.", "Put the line right.")
        rows.setdefault(name, {})[limit] = (value, broken, (row["source"] or "").strip())


def _profile(name: str, own: Mapping[str, tuple[str, str, str]]) -> Profile:
    values = {limit: read(own[limit][0]) for limit, read in _READERS.items()}
    return Profile(
        name=name,
        title=own["title"][0].strip() or name,
        broken={limit: broken for limit, (_, broken, _) in own.items()},
        source={limit: source for limit, (_, _, source) in own.items()},
        **values,
    )


def _number(text: str) -> int | None:
    if not text.strip():
        return None
    value = int(text)
    if value < 1:
        raise ValueError("below 1")
    return value


def _yes(text: str) -> bool:
    word = text.strip().casefold()
    if word not in ("yes", "no"):
        raise ValueError("neither yes nor no")
    return word == "yes"


def _holes(text: str) -> str:
    if text.strip() not in HOLES:
        raise ValueError(f"not one of {HOLES}")
    return text.strip()


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.upper().split())


_READERS: dict[str, Callable[[str], Any]] = {
    "name_length": _number,
    "name_forbidden": str.strip,
    "name_ascii": _yes,
    "name_same_ignoring_case": _yes,
    "holes": _holes,
    "contour_points": _number,
    "label_length": _number,
    "contour_types": _words,
    "contour_bytes": _number,
    "contours_per_roi": _number,
    "rois": _number,
    "all_points": _number,
    "empty_rois": _yes,
    "image_for_each_contour": _yes,
    "image_list": _yes,
}
