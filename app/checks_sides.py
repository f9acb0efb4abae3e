"""Left and right: swapped names, and a structure on the wrong side of the body."""

from __future__ import annotations

import numpy as np

from contourdesk.app.finding import Finding, centre
from contourdesk.app.naming import label_key
from contourdesk.app.structures import Mask, Structure, StructureSet
from contourdesk.app.volume import Volume

_MIDLINE_MM = 5.0  # nearer to the midline than this is no proof of a side
_BODY_HU = -300.0


def check_sides(structures: StructureSet, volume: Volume | None) -> list[Finding]:
    """Pairs that lie the wrong way round, and single ones beyond the middle of the body."""
    by_organ: dict[str, dict[str, list[Structure]]] = {}
    for s in structures:
        organ, side = label_key(s.name)
        if side in ("R", "L") and not s.mask.is_empty:
            by_organ.setdefault(organ, {}).setdefault(side, []).append(s)
    out = []
    for pair in by_organ.values():
        swapped = _swapped(pair, structures)
        out += swapped or [f for group in pair.items() for f in _beyond(*group, structures, volume)]
    return out


def _swapped(pair: dict[str, list[Structure]], structures: StructureSet) -> list[Finding]:
    if len(pair) < 2:
        return []
    left, right = pair["L"][0], pair["R"][0]
    at = {s.id: centre(s.mask, structures.grid) for s in (left, right)}
    if at[left.id][0] >= at[right.id][0]:  # LPS: x grows to the patient's left
        return []
    text = f"{left.name} lies to the right of {right.name}: the names may be swapped."
    return [Finding(s.id, "error", text, at[s.id], "side") for s in (left, right)]


def _beyond(side: str, group: list[Structure], structures: StructureSet, volume: Volume | None) -> list[Finding]:
    out = []
    for s in group:
        at, midline = centre(s.mask, structures.grid), midline_x(s.mask, volume)
        if midline is not None and (midline - at[0]) * (1 if side == "L" else -1) > _MIDLINE_MM:
            where = "right" if side == "L" else "left"
            out.append(Finding(s.id, "warning", f"{s.name} lies on the patient's {where} side.", at, "side"))
    return out


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
