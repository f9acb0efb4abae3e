"""What a check found, and small helpers of the checks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from contourdesk.app.geometry import Grid
from contourdesk.app.structures import Bits, Mask

SEVERITIES = ("error", "warning", "info")
# Types that overlap organs, or reach the edge, by their nature.
NO_ORGANS = ("EXTERNAL", "PTV", "CTV", "GTV", "TREATED_VOLUME", "IRRAD_VOLUME", "SUPPORT", "FIXATION", "DOSE_REGION")
Point = tuple[float, float, float]


@dataclass(frozen=True)
class Finding:
    """One remark.

    Parameters
    ----------
    structure_id : the structure that it is about.
    severity : "error" (almost surely wrong), "warning" (look at it) or "info".
    text : a sentence with the structure's name in it.
    point_lps : a place to look at, mm; None when there is none.
    kind : a short word for what was checked: "empty", "truncated", "gap", "island", "hole", "edge", "side", "outside",
        "volume", "position", "overlap", "value" or "imported".
    """

    structure_id: str
    severity: str
    text: str
    point_lps: Point | None = None
    kind: str = ""


def point(grid: Grid, index_zyx: ArrayLike) -> Point:
    """LPS mm of an index, which need not be whole."""
    x, y, z = grid.to_world(index_zyx)
    return float(x), float(y), float(z)


def centre(mask: Mask, grid: Grid) -> Point:
    """Mean of the voxels' centres, LPS mm. The mask must not be empty."""
    return point(grid, np.argwhere(mask.bits).mean(axis=0) + mask.offset)


def inner_point(bits: Bits, offset: tuple[int, int, int], grid: Grid) -> Point:
    """The set voxel that is nearest to the middle of all of them, LPS mm. At least one must be set."""
    where = np.argwhere(bits)
    distance = ((where - where.mean(axis=0)) * grid.spacing_mm) ** 2
    return point(grid, where[int(distance.sum(axis=1).argmin())] + offset)
