"""Slices that lie at one place: copies are left out, and several volumes in one series are told apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np

from contourdesk.app.dicom_headers import Header
from contourdesk.app.dicom_slices import SPACING_TOL_MM, Layout, along_normal, directions, lay_out, position, where
from contourdesk.app.dicom_stored import pixel_digest
from contourdesk.app.errors import UserError

_FEW = 4
# What tells volumes at one place apart, tried in this order.
_TELLS: tuple[tuple[str, Callable[[Header], str]], ...] = (
    ("Acquisition", lambda header: header.text("AcquisitionNumber")),
    ("Temporal position", lambda header: header.text("TemporalPositionIndex")),
    ("Temporal position", lambda header: header.text("TemporalPositionIdentifier")),
    ("Image type", lambda header: header.text("ImageType")),
    ("Multi-frame image", lambda header: _object(header) if header.frame else ""),
)


def without_duplicates(group: Sequence[Header]) -> list[Layout]:
    """Layouts of slices of one orientation and matrix.

    Copies are left out with a note; volumes that lie at one place are told apart where something in the headers does,
    else the clash is the layout's problem.
    """
    kept, copies, clashes, damage = _compare(group)
    notes = []
    if copies:
        names = ", ".join(h.name for h in copies[:_FEW]) + (", ..." if len(copies) > _FEW else "")
        count = "1 duplicate slice was" if len(copies) == 1 else f"{len(copies)} duplicate slices were"
        notes.append(f"{count} left out: {names}.")
    if damage:
        return [Layout(tuple(kept), (damage,), tuple(notes))]
    if not clashes:
        return [lay_out(kept, notes)]
    for what, tell in _TELLS:
        parts: dict[str, list[Header]] = defaultdict(list)
        for header in kept:
            parts[tell(header)].append(header)
        if len(parts) > 1 and all(_apart(part) for part in parts.values()):
            return [
                lay_out(part, (*notes, f"{what} {value or 'without number'}, of {len(parts)} at one place."))
                for value, part in parts.items()
            ]
    one, two = clashes[0]
    place = where(position(one), np.cross(*directions(one)))
    problem = f"{one.name} and {two.name} lie at the same place ({place}) with different pixels"
    more = f", and {len(clashes) - 1} more pairs." if len(clashes) > 1 else "."
    return [Layout(tuple(kept), (problem + more,), tuple(notes))]


def _object(header: Header) -> str:
    return header.text("ConcatenationUID") or header.text("SOPInstanceUID") or header.path.name


def _apart(part: Sequence[Header]) -> bool:
    """Whether no two of the slices lie at one place."""
    return bool(np.diff(np.sort(along_normal(part))).min(initial=np.inf) > SPACING_TOL_MM)


def _compare(group: Sequence[Header]) -> tuple[list[Header], list[Header], list[tuple[Header, Header]], str]:
    """Headers kept, copies to leave out, pairs at one place whose pixels differ, and what kept it from telling."""
    along = along_normal(group)
    points = np.array([position(h) for h in group])
    kept: list[Header] = []
    copies: list[Header] = []
    clashes: list[tuple[Header, Header]] = []
    pixels: dict[int, bytes] = {}
    here: list[int] = []
    try:
        for i in (int(n) for n in np.argsort(along, kind="stable")):
            here = [n for n in here if np.abs(points[n] - points[i]).max() <= SPACING_TOL_MM]
            for n in [i, *here] if here else []:
                if n not in pixels:
                    pixels[n] = pixel_digest(group[n])
            if any(pixels[n] == pixels[i] for n in here):
                copies.append(group[i])
                continue
            clashes.extend((group[n], group[i]) for n in here[:1])
            kept.append(group[i])
            here.append(i)
    except UserError as error:
        return list(group), [], [], error.message
    return kept, copies, clashes, ""
