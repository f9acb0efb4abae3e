"""What deserves a second look before a structure is accepted. Nothing here changes anything."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import ndimage

from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.naming import label_key
from contourdesk.app.structures import Mask, Structure, StructureSet, tight_box
from contourdesk.app.volume import Volume

SEVERITIES = ("error", "warning", "info")
# Types that overlap organs, or reach the edge, by their nature.
_NO_ORGANS = ("EXTERNAL", "PTV", "CTV", "GTV", "TREATED_VOLUME", "IRRAD_VOLUME", "SUPPORT", "FIXATION", "DOSE_REGION")
_SIDES = {
    "r": "R",
    "re": "R",
    "rt": "R",
    "right": "R",
    "rechts": "R",
    "l": "L",
    "li": "L",
    "lt": "L",
    "left": "L",
    "links": "L",
}
_MIDLINE_MM = 5.0  # nearer to the midline than this is no proof of a side
_BODY_HU = -300.0
_MUCH_OVERLAP = 0.05


@dataclass(frozen=True)
class Finding:
    """One remark: `severity` is "error", "warning" or "info"; `point_lps` (mm) is a place to look at, or None."""

    structure_id: str
    severity: str
    text: str
    point_lps: tuple[float, float, float] | None = None


def check(structures: StructureSet, volume: Volume | None = None) -> Job[list[Finding]]:
    """Look at every structure and pair; the gravest findings first. `volume` (HU) helps to find the body's midline."""
    found: list[Finding] = []
    items = list(structures)
    for i, s in enumerate(items):
        yield Progress(i, len(items) + 1, f"Checking {s.name}")
        found += check_structure(s, structures.grid)
    yield Progress(len(items), len(items) + 1, "Comparing structures")
    found += _sides(structures, volume)
    found += _overlaps(structures)
    return sorted(found, key=lambda f: SEVERITIES.index(f.severity))


def check_structure(s: Structure, grid: Grid) -> list[Finding]:
    """Findings on one structure by itself: empty, gaps, separate parts, edge of the scan."""
    box = tight_box(s.mask.bits)
    if box is None:
        return [Finding(s.id, "warning", f"{s.name} is empty.")]
    start = (s.mask.offset[0] + box[0].start, s.mask.offset[1] + box[1].start, s.mask.offset[2] + box[2].start)
    mask = Mask(start, s.mask.bits[box])
    return _gaps(s, mask, grid) + _parts(s, mask, grid) + _edges(s, mask, grid)


def _point(grid: Grid, index: tuple[float, ...]) -> tuple[float, float, float]:
    x, y, z = grid.to_world(index)
    return float(x), float(y), float(z)


def _gaps(s: Structure, mask: Mask, grid: Grid) -> list[Finding]:
    drawn = mask.bits.any(axis=(1, 2))
    labels, count = ndimage.label(~drawn)
    out = []
    for n in range(1, count + 1):
        gap = np.flatnonzero(labels == n)
        first, last = int(gap[0]) + mask.offset[0], int(gap[-1]) + mask.offset[0]
        # Slices are counted from 1 on the screen.
        where = f"slice {first + 1}" if first == last else f"slices {first + 1} to {last + 1}"
        row, column = np.argwhere(mask.bits[int(gap[0]) - 1]).mean(axis=0) + mask.offset[1:]
        point = _point(grid, ((first + last) / 2, row, column))
        out.append(Finding(s.id, "warning", f"{s.name} has a gap on {where}.", point))
    return out


def _parts(s: Structure, mask: Mask, grid: Grid) -> list[Finding]:
    labels, count = ndimage.label(mask.bits, np.ones((3, 3, 3)))
    if count < 2:
        return []
    sizes = np.bincount(labels.ravel())[1:]
    small = int(np.argmin(sizes))
    voxel = np.argwhere(labels == small + 1)[0] + mask.offset
    ml = sizes[small] * grid.voxel_ml
    text = f"{s.name} has {count} separate parts; the smallest has {ml:.2g} ml."
    return [Finding(s.id, "warning", text, _point(grid, tuple(voxel)))]


def _edges(s: Structure, mask: Mask, grid: Grid) -> list[Finding]:
    if s.interpreted_type in _NO_ORGANS:
        return []
    touched = []
    point = None
    for axis, n in enumerate(grid.shape):
        for end, at, last in ((0, mask.offset[axis], 0), (-1, mask.offset[axis] + mask.bits.shape[axis] - 1, n - 1)):
            if at != last:
                continue
            name = ("first" if end == 0 else "last") + " slice" if axis == 0 else "side of the images"
            touched += [name] if name not in touched else []
            index = np.argwhere(mask.bits.take([end], axis))[0] + mask.offset
            index[axis] = at
            point = point or _point(grid, tuple(index))
    if not touched:
        return []
    return [Finding(s.id, "info", f"{s.name} reaches the edge of the scan: {' and '.join(touched)}.", point)]


# -- sides -------------------------------------------------------------------------------------------------------


def side_of_name(name: str) -> tuple[str, str | None]:
    """The name without its side, for comparing pairs, and "R", "L" or None: ``Parotid_R`` gives ("parotid", "R")."""
    words = [w.lower() for w in re.findall(r"[A-ZÄÖÜ]+(?![a-zäöü])|[A-ZÄÖÜ]?[a-zäöüß]+|\d+", name)]
    sides = [i for i, w in enumerate(words) if w in _SIDES]
    if len(sides) != 1 or len(words) < 2:
        return " ".join(words), None
    return " ".join(w for i, w in enumerate(words) if i != sides[0]), _SIDES[words[sides[0]]]


def _sides(structures: StructureSet, volume: Volume | None) -> list[Finding]:
    by_organ: dict[str, dict[str, Structure]] = {}
    for s in structures:
        organ, side = side_of_name(s.name)
        if side is not None and not s.mask.is_empty:
            by_organ.setdefault(organ, {}).setdefault(side, s)
    out = []
    for pair in by_organ.values():
        at = {side: _centre(s, structures.grid) for side, s in pair.items()}
        if len(pair) == 2:
            if at["L"][0] < at["R"][0]:  # LPS: x grows to the patient's left
                text = f"{pair['L'].name} lies to the right of {pair['R'].name}: the names may be swapped."
                out += [Finding(pair[side].id, "error", text, at[side]) for side in ("L", "R")]
            continue
        (side, s), *_ = pair.items()
        midline = midline_x(s.mask, volume)
        if midline is not None and (midline - at[side][0]) * (1 if side == "L" else -1) > _MIDLINE_MM:
            where = "right" if side == "L" else "left"
            out.append(Finding(s.id, "warning", f"{s.name} lies on the patient's {where} side.", at[side]))
    return out


def _centre(s: Structure, grid: Grid) -> tuple[float, float, float]:
    return _point(grid, tuple(np.argwhere(s.mask.bits).mean(axis=0) + s.mask.offset))


def midline_x(mask: Mask, volume: Volume | None) -> float | None:
    """LPS x of the middle of the body at the structure's height, mm; None without an image in HU, or without a body."""
    if volume is None or volume.unit != "HU":
        return None
    grid = volume.grid
    up = next(axis for axis, (world, _) in enumerate(grid.world_axes) if world == 2)
    # Every 4 mm is enough, but across the patient every voxel counts, or the middle would be half a step off.
    steps = [1 if w == 0 else max(1, round(4 / s)) for s, (w, _) in zip(grid.spacing_mm, grid.world_axes, strict=True)]
    box = [slice(0, n, step) for n, step in zip(grid.shape, steps, strict=True)]
    box[up] = slice(mask.box[up].start, mask.box[up].stop, steps[up])
    body = np.argwhere(volume.array[tuple(box)] > _BODY_HU)  # type: ignore[operator]
    if len(body) < 100:
        return None
    x = grid.to_world(body * steps + [s.start for s in box])[:, 0]
    low, high = np.percentile(x, [2, 98])
    return float(low + high) / 2


# -- overlaps ----------------------------------------------------------------------------------------------------


def _organ(s: Structure) -> tuple[str, str]:
    """What two structures of one organ share; "Brainstem (2)" is how a second Brainstem is called."""
    return label_key(re.sub(r" \(\d+\)$", "", s.name))


def _overlaps(structures: StructureSet) -> list[Finding]:
    out = []
    organs = [s for s in structures if s.interpreted_type not in _NO_ORGANS and not s.mask.is_empty]
    for a, b in combinations(organs, 2):
        if any(p.start >= q.stop or q.start >= p.stop for p, q in zip(a.mask.box, b.mask.box, strict=True)):
            continue
        if _organ(a) == _organ(b):
            continue  # a proposal beside the imported or edited structure of the same organ
        both = a.mask.bits & b.mask.read(a.mask.box)
        count = int(np.count_nonzero(both))
        if count == 0:
            continue
        much = count > _MUCH_OVERLAP * min(a.mask.count, b.mask.count)
        where = _point(structures.grid, tuple(np.argwhere(both)[0] + a.mask.offset))
        text = f"{a.name} overlaps {b.name} by {count * structures.grid.voxel_ml:.2g} ml."
        out.append(Finding(a.id, "warning" if much else "info", text, where))
    return out
