"""What became of a proposal: figures on the change of a structure, each with its definition, kept with the review."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from contourdesk.app.geometry import Grid
from contourdesk.app.history import first_mask
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.measures import compare
from contourdesk.app.structures import Mask, Structure

TOLERANCE_MM = 3.0


@dataclass(frozen=True)
class Figures:
    """Figures on the step from one mask (a proposal, or another reader's) to another (the final one).

    Infinite where one of the two is empty and the figure is a distance. See `DEFINITIONS`.
    """

    dice: float
    surface_dice: float
    tolerance_mm: float
    hd95_mm: float
    added_path_mm: float
    path_mm: float
    before_ml: float
    after_ml: float
    slices_touched: int
    slices: int

    @property
    def volume_change_ml(self) -> float:
        """How much larger the final one is, ml; negative when it is smaller."""
        return self.after_ml - self.before_ml

    @property
    def volume_change_percent(self) -> float:
        """The same in per cent of the proposal; infinite when only that is empty."""
        if self.before_ml == 0:
            return 0.0 if self.after_ml == 0 else math.inf
        return 100 * self.volume_change_ml / self.before_ml

    @property
    def unchanged(self) -> bool:
        """Whether both are the same, voxel for voxel."""
        return self.slices_touched == 0


@dataclass(frozen=True)
class Definition:
    """A figure's name on the screen, its unit, and what it is, in a sentence or two."""

    key: str
    label: str
    unit: str
    text: str


DEFINITIONS = (
    Definition(
        "dice",
        "Dice",
        "",
        "Twice the voxels in both, over the sum of the voxels in each. 1: the same; 0: none shared.",
    ),
    Definition(
        "surface_dice",
        "Surface Dice",
        "",
        f"Share of the area of both surfaces that lies within {TOLERANCE_MM:g} mm of the other surface (Nikolov 2018).",
    ),
    Definition(
        "hd95_mm",
        "HD95",
        "mm",
        "95 % Hausdorff distance: 95 % of each surface's area lies no further than this from the other surface; the "
        "larger of the two directions.",
    ),
    Definition(
        "added_path_mm",
        "Added path",
        "mm",
        "Length of outline that had to be drawn: on each slice the outline voxels of the final contour that are none "
        "of the proposal's, times the pixel spacing, no tolerance (Vaassen 2020). What is only taken away adds none.",
    ),
    Definition("volume_change_ml", "Volume", "ml", "Volume of the final contour minus the proposal's; voxels counted."),
    Definition("slices_touched", "Slices", "", "Slices on which at least one voxel differs, of those that either has."),
    Definition(
        "seconds",
        "Time",
        "s",
        "Time at work with this structure active: from one key, click or move of the mouse to the next; pauses of more "
        "than 60 s don't count.",
    ),
)


def figures(before: Mask, after: Mask, grid: Grid, *, tolerance_mm: float = TOLERANCE_MM) -> Figures:
    """All figures on the step from `before` to `after`."""
    c = compare(after, before, grid, tolerance_mm=tolerance_mm)
    touched, slices = _slices(before, after)
    return Figures(
        dice=c.dice,
        surface_dice=c.surface_dice,
        tolerance_mm=tolerance_mm,
        hd95_mm=c.hd95_mm,
        added_path_mm=c.added_path_mm,
        path_mm=c.path_mm,
        before_ml=c.other_ml,
        after_ml=c.reference_ml,
        slices_touched=touched,
        slices=slices,
    )


def _slices(a: Mask, b: Mask) -> tuple[int, int]:
    """Slices that differ, and slices on which either has a voxel."""
    boxes = [m.box for m in (a.tight, b.tight) if m.bits.size]
    if not boxes:
        return 0, 0
    z, y, x = (slice(min(b[i].start for b in boxes), max(b[i].stop for b in boxes)) for i in range(3))
    one, other = a.read((z, y, x)), b.read((z, y, x))
    differs, either = (one != other).any(axis=(1, 2)), (one | other).any(axis=(1, 2))
    return int(np.count_nonzero(differs)), int(np.count_nonzero(either))


Known = Mapping[str, tuple[Mask, Mask, Figures]]


def change_figures(structures: Sequence[Structure], grid: Grid, known: Known) -> Job[Known]:
    """Figures of every structure that has a proposal (or came from a file), by id, with the two masks they are of.

    `known` is what this returned before: of masks that are still the same it is taken over.
    """
    out = {}
    for i, s in enumerate(structures):
        yield Progress(i, len(structures), f"Comparing {s.name}")
        first = first_mask(s)
        if first is None:
            continue
        before = known.get(s.id)
        if before is None or before[0] is not first or before[1] is not s.mask:
            before = (first, s.mask, figures(first, s.mask, grid))
        out[s.id] = before
    return out


# -- kept with the review ----------------------------------------------------------------------------------------


def to_json(known: Known, seconds: Mapping[str, float]) -> dict[str, Any]:
    """What is kept with a review (`ReviewSession.work`); an infinite figure is null there."""
    kept = {
        key: {k: (v if math.isfinite(v) else None) for k, v in asdict(f).items()} for key, (_, _, f) in known.items()
    }
    return {"figures": kept, "seconds": {key: round(value, 1) for key, value in seconds.items()}}


def seconds_of(work: Mapping[str, Any]) -> dict[str, float]:
    """Seconds spent so far by structure id, from what is kept with a review; what makes no sense is left out."""
    read = work.get("seconds")
    items = read.items() if isinstance(read, dict) else ()
    return {str(k): float(v) for k, v in items if isinstance(v, int | float) and math.isfinite(v) and v >= 0}


# -- in words ----------------------------------------------------------------------------------------------------


def texts(f: Figures | None, seconds: float | None = None) -> dict[str, str]:
    """Each figure of `DEFINITIONS` as it is shown, by key; without figures only the time."""
    out = {"seconds": duration(seconds)}
    if f is None:
        return out
    percent = f"{f.volume_change_percent:+.0f} %" if math.isfinite(f.volume_change_percent) else "new"
    return {
        "dice": f"{f.dice:.3f}",
        "surface_dice": f"{f.surface_dice:.3f}",
        "hd95_mm": f"{f.hd95_mm:.1f} mm" if math.isfinite(f.hd95_mm) else "–",
        "added_path_mm": f"{f.added_path_mm:.0f} mm",
        "volume_change_ml": f"{f.volume_change_ml:+.1f} ml ({percent})".replace("-", "−"),
        "slices_touched": f"{f.slices_touched} of {f.slices}",
        **out,
    }


def duration(seconds: float | None) -> str:
    """Minutes and seconds, hours where needed."""
    if seconds is None:
        return "–"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} h" if hours else f"{minutes}:{rest:02} min"
