"""One case's figures: what models drew against what people accepted, only where it is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from contourdesk.app.evaluation import Score
from contourdesk.app.geometry import Grid
from contourdesk.app.measures import compare, dice
from contourdesk.app.naming import label_key, suggest
from contourdesk.app.structures import Mask

Key = tuple[str, str]


def organ_name(name: str) -> str:
    """What an organ is called in a report: TG-263's name, else its own."""
    return suggest(name) or name


def by_meaning(masks: Iterable[tuple[str, Mask]]) -> dict[Key, Mask]:
    """Masks by what their names mean; of two that mean one thing the first."""
    out: dict[Key, Mask] = {}
    for name, mask in masks:
        out.setdefault(label_key(name), mask)
    return out


def score_case(
    case: str,
    patient: str,
    truth: Mapping[str, Mask],
    found: Mapping[str, Mapping[str, Mask]],
    grid: Grid,
    tolerance_mm: float,
) -> list[Score]:
    """Compare each model's masks with the truth.

    Parameters
    ----------
    truth : known organs, by any name that means them. Those without a voxel are left out: there is nothing to measure.
    found : for "A" and "B" the masks by name. A name that a model doesn't have is an organ that it doesn't know, and
        not compared; an empty mask is one that it did not find.
    """
    known = {label_key(name): (organ_name(name), mask) for name, mask in truth.items() if not mask.is_empty}
    out = []
    for model, masks in found.items():
        drawn = by_meaning(masks.items())
        for key, (organ, true) in known.items():
            if key not in drawn:
                continue
            mask = drawn[key]
            figures = compare(true, mask, grid, tolerance_mm=tolerance_mm)
            other = known.get(_other_side(key))
            out.append(
                Score(
                    case=case,
                    patient=patient,
                    organ=organ,
                    model=model,
                    dice=figures.dice,
                    surface_dice=figures.surface_dice,
                    hd95_mm=figures.hd95_mm,
                    mean_mm=figures.mean_surface_distance_mm,
                    truth_ml=figures.reference_ml,
                    found_ml=figures.other_ml,
                    missing=mask.is_empty,
                    swapped=other is not None and dice(other[1], mask) > figures.dice,
                    slice_index=widest_difference(true, mask),
                )
            )
    return out


def _other_side(key: Key) -> Key:
    return key[0], {"R": "L", "L": "R"}.get(key[1], "-")


def widest_difference(a: Mask, b: Mask) -> int:
    """The slice (array axis 0) in which most voxels are set in one of the masks alone; the middle one when none is."""
    boxes = [m.tight.box for m in (a, b) if not m.is_empty]
    if not boxes:
        return 0
    low = [int(min(box[i].start for box in boxes)) for i in range(3)]
    high = [int(max(box[i].stop for box in boxes)) for i in range(3)]
    both = slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])
    differs = np.count_nonzero(a.read(both) != b.read(both), axis=(1, 2))
    return low[0] + int(np.argmax(differs)) if differs.any() else (low[0] + high[0]) // 2
