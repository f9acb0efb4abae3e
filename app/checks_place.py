"""Where a structure lies: outside the body, or where the organ can't be as seen from others."""

from __future__ import annotations

import csv
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from contourdesk.app.edits_image import body
from contourdesk.app.finding import NO_ORGANS, Finding, Point, centre, inner_point
from contourdesk.app.geometry import Grid
from contourdesk.app.naming import suggest
from contourdesk.app.structures import Bits, Structure, StructureSet
from contourdesk.app.volume import Volume

_STEP_MM = 4.0  # the body need not be known more finely
_OUTSIDE_PERCENT, _OUTSIDE_ML = 2.0, 0.5  # both must be passed
_MOSTLY = 50.0
# For each relation: LPS axis, and the sign of organ minus other.
_RELATIONS = {
    "above": (2, 1),
    "below": (2, -1),
    "left of": (0, 1),
    "right of": (0, -1),
    "behind": (1, 1),
    "in front of": (1, -1),
}
_OPPOSITE = {
    "above": "below",
    "below": "above",
    "left of": "right of",
    "right of": "left of",
    "behind": "in front of",
    "in front of": "behind",
}


@dataclass(frozen=True, eq=False)
class Body:
    """The patient's body on every `steps`-th voxel of the grid along each axis, a step wider across than it is."""

    steps: tuple[int, int, int]
    inside: Bits


def find_body(volume: Volume | None) -> Body | None:
    """Find the body; None without an image in HU, or without a body in it."""
    if volume is None or volume.unit != "HU":
        return None
    grid = volume.grid
    z, y, x = (max(1, round(_STEP_MM / mm)) for mm in grid.spacing_mm)
    affine = grid.affine.copy()
    affine[:3, :3] = affine[:3, :3] * (z, y, x)
    coarse = volume.array[::z, ::y, ::x]
    shape = (coarse.shape[0], coarse.shape[1], coarse.shape[2])
    found = body(Volume(Grid(shape, affine), coarse))
    if found.count < 100:
        return None
    up = next(axis for axis, (world, _) in enumerate(grid.world_axes) if world == 2)
    inside = _wider(found.dense(shape), [axis for axis in range(3) if axis != up])
    return Body((z, y, x), inside)


def _wider(bits: Bits, axes: Sequence[int]) -> Bits:
    """One voxel wider along these axes: what lies on the skin is not outside."""
    out = bits.copy()
    for axis in axes:
        here = np.moveaxis(out, axis, 0)
        before = here.copy()
        here[1:] |= before[:-1]
        here[:-1] |= before[1:]
    return out


def check_outside(s: Structure, body: Body, grid: Grid) -> list[Finding]:
    """Parts of a structure in the air round the patient."""
    if s.mask.is_empty or s.interpreted_type in NO_ORGANS:
        return []
    first = [-(-o // step) for o, step in zip(s.mask.offset, body.steps, strict=True)]  # the first sample in the box
    taken = tuple(slice(f * step - o, None, step) for f, step, o in zip(first, body.steps, s.mask.offset, strict=True))
    bits = s.mask.bits[taken]
    where = tuple(slice(f, f + n) for f, n in zip(first, bits.shape, strict=True))
    outside = bits & ~body.inside[where]
    count, total = int(outside.sum()), int(bits.sum())
    ml = count * grid.voxel_ml * float(np.prod(body.steps))
    if total == 0 or ml < _OUTSIDE_ML or 100 * count < _OUTSIDE_PERCENT * total:
        return []
    at = np.argwhere(outside)
    nearest = at[int(((at - at.mean(axis=0)) ** 2).sum(axis=1).argmin())]
    x, y, z = grid.to_world((nearest + first) * body.steps)
    percent = 100 * count / total
    text = f"{s.name} lies outside the body with {percent:.0f} % of its volume ({ml:.2g} ml)."
    severity = "error" if percent > _MOSTLY else "warning"
    return [Finding(s.id, severity, text, (float(x), float(y), float(z)), "outside")]


def check_positions(structures: StructureSet) -> list[Finding]:
    """Organs that lie wrongly as seen from others, by ``resources/organ_places.csv``.

    Each contradiction counts against both; told is the structure that has the most of them against it, then the next
    among what is left, so that one misplaced organ makes one finding.
    """
    items = [s for s in structures if not s.mask.is_empty and s.interpreted_type not in NO_ORGANS]
    at = {s.id: centre(s.mask, structures.grid) for s in items}
    wrong = _contradictions(items, at)
    out = []
    while wrong:
        counts: dict[str, int] = defaultdict(int)
        for a, b, _ in wrong:
            counts[a.id] += 1
            counts[b.id] += 1
        worst = max((s for s in items if s.id in counts), key=lambda s: counts[s.id])
        mine = [w for w in wrong if worst.id in (w[0].id, w[1].id)]
        wrong = [w for w in wrong if worst.id not in (w[0].id, w[1].id)]
        text = f"{worst.name} isn't {_expected(worst, mine)}, where it would be."
        place = inner_point(worst.mask.bits, worst.mask.offset, structures.grid)
        out.append(Finding(worst.id, "error" if len(mine) > 1 else "warning", text, place, "position"))
    return out


def _expected(s: Structure, wrong: list[tuple[Structure, Structure, str]]) -> str:
    parts = [
        f"{relation} {b.name}" if a.id == s.id else f"{_OPPOSITE[relation]} {a.name}" for a, b, relation in wrong[:2]
    ]
    return " and ".join(parts)


def _contradictions(items: list[Structure], at: dict[str, Point]) -> list[tuple[Structure, Structure, str]]:
    by_organ: dict[str, list[Structure]] = defaultdict(list)
    for s in items:
        by_organ[_organ(s.name)].append(s)
    out = []
    for organ, relation, other, least_mm in _relations():
        axis, sign = _RELATIONS[relation]
        for a in by_organ.get(organ, ()):
            for b in by_organ.get(other, ()):
                if sign * (at[a.id][axis] - at[b.id][axis]) < least_mm:
                    out.append((a, b, relation))
    return out


def _organ(name: str) -> str:
    """TG-263's name without the side; empty for names that the list doesn't have."""
    return re.sub(r"_[LR]$", "", suggest(re.sub(r" \(\d+\)$", "", name)) or "")


@cache
def _relations() -> tuple[tuple[str, str, str, float], ...]:
    text = (resources.files("contourdesk.resources") / "organ_places.csv").read_text("utf-8")
    rows = csv.DictReader(text.splitlines())
    return tuple((r["organ"], r["relation"], r["other"], float(r["least_mm"])) for r in rows)
