"""Two structures: organs that overlap and can't, and a structure that differs from the imported one of its name."""

from __future__ import annotations

import csv
import re
from functools import cache
from importlib import resources
from itertools import combinations

import numpy as np
from scipy import ndimage

from contourdesk.app.finding import NO_ORGANS, Finding, Point, inner_point
from contourdesk.app.geometry import Grid
from contourdesk.app.measures import dice, hd95_mm
from contourdesk.app.naming import label_key, suggest
from contourdesk.app.structures import Mask, Structure, StructureSet

_MUCH_OVERLAP = 0.05
_LEAST_DICE, _MOST_HD95_MM = 0.8, 10.0


def check_overlaps(structures: StructureSet) -> list[Finding]:
    """Overlaps of organs, but those where one is a part of the other (``resources/organ_overlaps.csv``)."""
    out = []
    organs = [s for s in structures if s.interpreted_type not in NO_ORGANS and not s.mask.is_empty]
    for a, b in combinations(organs, 2):
        if _apart(a.mask, b.mask) or _organ(a) == _organ(b) or _parts(a, b):
            continue  # one organ: a proposal beside the imported or edited structure
        both = a.mask.bits & b.mask.read(a.mask.box)
        count = int(np.count_nonzero(both))
        if count == 0:
            continue
        much = count > _MUCH_OVERLAP * min(a.mask.count, b.mask.count)
        where = inner_point(both, a.mask.offset, structures.grid)
        text = f"{a.name} overlaps {b.name} by {count * structures.grid.voxel_ml:.2g} ml."
        out.append(Finding(a.id, "warning" if much else "info", text, where, "overlap"))
    return out


def _apart(a: Mask, b: Mask) -> bool:
    return any(p.start >= q.stop or q.start >= p.stop for p, q in zip(a.box, b.box, strict=True))


def _organ(s: Structure) -> tuple[str, str]:
    """What two structures of one organ share; "Brainstem (2)" is how a second Brainstem is called."""
    return label_key(re.sub(r" \(\d+\)$", "", s.name))


def _parts(a: Structure, b: Structure) -> bool:
    """Whether one of the organs holds the other, or they are drawn into each other by custom."""
    names = [re.sub(r"_[LR]$", "", suggest(re.sub(r" \(\d+\)$", "", s.name)) or "") for s in (a, b)]
    return frozenset(names) in _allowed()


@cache
def _allowed() -> frozenset[frozenset[str]]:
    text = (resources.files("contourdesk.resources") / "organ_overlaps.csv").read_text("utf-8")
    return frozenset(frozenset((row["whole"], row["part"])) for row in csv.DictReader(text.splitlines()))


def check_imported(structures: StructureSet) -> list[Finding]:
    """Structures that differ much from an imported one of the same organ, which is as it came.

    Told when Dice is under 0.8 or the 95 % Hausdorff distance over 10 mm.
    """
    out = []
    items = [s for s in structures if not s.mask.is_empty]
    came = [s for s in items if s.provenance.source == "imported" and not s.edited]
    for one in items:
        for other in came:
            if one is other or one in came or _organ(one) != _organ(other):
                continue
            same = dice(one.mask, other.mask)
            far = hd95_mm(one.mask, other.mask, structures.grid)
            if same >= _LEAST_DICE and far <= _MOST_HD95_MM:
                continue
            text = f"{one.name} differs from the imported {other.name}: Dice {same:.2f}, HD95 {far:.1f} mm."
            where = _largest_difference(one.mask, other.mask, structures.grid)
            out.append(Finding(one.id, "warning", text, where, "imported"))
    return out


def _largest_difference(a: Mask, b: Mask, grid: Grid) -> Point:
    z, y, x = (slice(min(p.start, q.start), max(p.stop, q.stop)) for p, q in zip(a.box, b.box, strict=True))
    differs = a.read((z, y, x)) != b.read((z, y, x))
    labels, _ = ndimage.label(differs)
    largest = labels == 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    return inner_point(largest, (z.start, y.start, x.start), grid)
