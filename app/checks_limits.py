"""Volumes and CT numbers that an organ can have, from ``resources/organ_limits.csv``, which names its sources."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np

from contourdesk.app.finding import NO_ORGANS, Finding, centre, inner_point
from contourdesk.app.geometry import Grid
from contourdesk.app.naming import suggest
from contourdesk.app.structures import Structure
from contourdesk.app.volume import Volume

AIR_HU, BONE_HU = -300.0, 400.0
_FEW_VOXELS = 20  # of fewer no percentage is worth a word


@dataclass(frozen=True)
class Limits:
    """What an organ can be like; None where nothing is known.

    Parameters
    ----------
    name : TG-263 name; for paired organs without the side.
    ml : least and largest volume of the whole organ, ml.
    hu : range of the median CT number, HU.
    air_percent, bone_percent : most of its voxels that may lie under -300 HU, over 400 HU.
    tapers : whether it gets small towards its upper and lower end.
    source : where the numbers come from.
    """

    name: str
    ml: tuple[float, float] | None
    hu: tuple[float, float] | None
    air_percent: float | None
    bone_percent: float | None
    tapers: bool
    source: str


def limits_of(name: str) -> Limits | None:
    """The limits for a structure of this name, in any of its spellings; None when the table doesn't have it."""
    known = suggest(re.sub(r" \(\d+\)$", "", name))
    return None if known is None else _table().get(re.sub(r"_[LR]$", "", known))


def check_volume(s: Structure, grid: Grid, volume: Volume | None) -> list[Finding]:
    """Too small or too large for the organ. Where the scan may show a part of it only, it can't be too small."""
    limits = limits_of(s.name)
    if limits is None or limits.ml is None or s.interpreted_type in NO_ORGANS:
        return []
    low, high = limits.ml
    ml, mask = s.volume_ml(grid), s.mask.tight
    first, last = mask.box[0].start, mask.box[0].stop
    partly = first == 0 or last == grid.shape[0] or _at_blank(first - 1, volume) or _at_blank(last, volume)
    if ml > high or (ml < low and not partly):
        text = f"{s.name} has {ml:.3g} ml; from {low:g} to {high:g} ml would be usual."
        return [Finding(s.id, "warning", text, centre(mask, grid), "volume")]
    return []


def _at_blank(k: int, volume: Volume | None) -> bool:
    """Whether slice `k` of a CT shows nothing: there the images have been blanked."""
    if volume is None or volume.unit != "HU":
        return False
    return bool(volume.array[k, ::4, ::4].astype(np.float32).max() < AIR_HU)


def check_values(s: Structure, volume: Volume) -> list[Finding]:
    """CT numbers that don't fit the organ: its median, and air or bone in it."""
    limits = limits_of(s.name)
    mask = s.mask.tight
    if limits is None or volume.unit != "HU" or mask.count < _FEW_VOXELS or s.interpreted_type in NO_ORGANS:
        return []
    crop = volume.array[mask.box].astype(np.float32)
    values = crop[mask.bits]
    for most, what, beyond, strange in (
        (limits.bone_percent, f"over {BONE_HU:g} HU, like bone or metal", values > BONE_HU, crop > BONE_HU),
        (limits.air_percent, f"under {AIR_HU:g} HU, like lung or air", values < AIR_HU, crop < AIR_HU),
    ):
        percent = 100 * float(beyond.mean())
        if most is not None and percent > most:
            text = f"{s.name}: {percent:.0f} % of it is {what}."
            return [Finding(s.id, "warning", text, inner_point(mask.bits & strange, mask.offset, volume.grid), "value")]
    median = float(np.median(values))
    if limits.hu is not None and not limits.hu[0] <= median <= limits.hu[1]:
        text = f"{s.name}: its median is {median:.0f} HU; {limits.hu[0]:g} to {limits.hu[1]:g} HU would be usual."
        return [Finding(s.id, "warning", text, centre(mask, volume.grid), "value")]
    return []


@cache
def _table() -> dict[str, Limits]:
    text = (resources.files("contourdesk.resources") / "organ_limits.csv").read_text("utf-8")
    out = {}
    for row in csv.DictReader(text.splitlines()):
        out[row["name"]] = Limits(
            name=row["name"],
            ml=_range(row["ml_min"], row["ml_max"]),
            hu=_range(row["hu_min"], row["hu_max"]),
            air_percent=float(row["air_percent"]) if row["air_percent"] else None,
            bone_percent=float(row["bone_percent"]) if row["bone_percent"] else None,
            tapers=row["tapers"] == "yes",
            source=row["source"],
        )
    return out


def _range(low: str, high: str) -> tuple[float, float] | None:
    return (float(low), float(high)) if low and high else None
