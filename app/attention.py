"""The next slice worth a look: where a contour is most likely to need the reviewer, by a rule that can be told.

The rule. Each slice (along the acquisition axis) of each structure that is not decided gets a score, the sum of three
parts of 0 to 1:

- *uncertain*: the mean uncertainty (`confidence.UNCERTAINTY`, entropy in bits) of the model in the band within 2 mm on
  both sides of the contour, at least one voxel wide. `USUAL_BITS` and less count as 0, that is how a sharp contour
  looks; one bit, where the model does not know at all, counts as 1. Without probabilities it is 0.
- *unlike its neighbours*: the larger of 1 - Dice with the shape half way between the slices before and after it (the
  mean of their signed distances), and the relative difference of its area from the mean of theirs, each counted from
  what is usual on (`USUAL_MISFIT`, `USUAL_JUMP`). An empty slice between drawn ones counts as 1. A structure's first
  and last slice have one neighbour only, and are not judged by it.
- *finding*: 1 for an error, 0.6 for a warning, 0.2 for a remark of the checks that lies on the slice.

A slice is listed when its score is at least `LEAST` and no neighbouring slice of the same structure scores more. The
highest score comes first; slices that the reviewer was led to already go to the end.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from contourdesk.app.confidence import UNCERTAINTY, Confidence
from contourdesk.app.finding import Finding
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.structures import Bits, Mask, Structure, StructureSet

BAND_MM = 2.0
USUAL_BITS = 0.5
USUAL_MISFIT = 0.15
USUAL_JUMP = 0.25
LEAST = 0.3
_TOLD = 0.1  # a smaller part is no reason
_LARGEST = 65_536  # voxels of a plane; in larger ones every second (third, ...) row and column is enough
_WEIGHT = {"error": 1.0, "warning": 0.6, "info": 0.2}
_Plane = NDArray[np.float32]


@dataclass(frozen=True)
class Spot:
    """A slice worth a look: its number along axis 0, why, and the voxel (z, y, x) to look at."""

    structure_id: str
    slice_index: int
    score: float
    reasons: tuple[str, ...]
    index: tuple[int, int, int]

    def text(self, name: str) -> str:
        """For the status bar; slices are counted from 1 on the screen."""
        return f"{name}, slice {self.slice_index + 1}: {', '.join(self.reasons)}"

    @property
    def key(self) -> tuple[str, int]:
        """What tells it from other spots."""
        return self.structure_id, self.slice_index


def attention(
    structures: StructureSet,
    confidence: Mapping[str, Confidence],
    known: Mapping[str, tuple[Mask, tuple[Spot, ...]]] | None = None,
) -> Job[dict[str, tuple[Mask, tuple[Spot, ...]]]]:
    """Job: for each undecided structure its mask and the scores of all its slices, findings not counted.

    `known` is what it gave before; a structure with the same mask is not looked at again. See `listed`.
    """
    out: dict[str, tuple[Mask, tuple[Spot, ...]]] = {}
    items = [s for s in structures if s.decision.state == "unreviewed" and not s.mask.is_empty]
    for number, s in enumerate(items):
        before = (known or {}).get(s.id)
        if before is not None and before[0] is s.mask:
            out[s.id] = before
            continue
        yield Progress(number, len(items), f"Looking at {s.name}")
        spots = []
        for spot in slice_scores(s, confidence.get(s.id), structures.grid):
            spots.append(spot)
            yield Progress(number, len(items), f"Looking at {s.name}")
        out[s.id] = (s.mask, tuple(spots))
    return out


def listed(scored: Mapping[str, tuple[Mask, tuple[Spot, ...]]], findings: Sequence[Finding], grid: Grid) -> list[Spot]:
    """The slices that are worth a look, the one with the highest score first."""
    out: list[Spot] = []
    for key, (_, spots) in scored.items():
        mine = [f for f in findings if f.structure_id == key]
        by_slice = {spot.slice_index: spot for spot in spots}
        for finding in mine:
            if finding.point_lps is not None:
                _count_in(finding, grid, key, by_slice)
        for k, spot in by_slice.items():
            beside = [by_slice[n].score for n in (k - 1, k + 1) if n in by_slice]
            before = by_slice[k - 1].score if k - 1 in by_slice else 0.0
            # Of two equal neighbours the first is listed.
            if spot.score >= LEAST and spot.score >= max(beside, default=0.0) and spot.score > before:
                out.append(spot)
    return sorted(out, key=lambda s: (-s.score, s.structure_id, s.slice_index))


def next_spot(spots: Sequence[Spot], visited: Collection[tuple[str, int]]) -> Spot | None:
    """The first that was not visited; when all were, the one that was visited longest ago (`visited` is in order)."""
    fresh = next((s for s in spots if s.key not in visited), None)
    if fresh is not None or not spots:
        return fresh
    order = list(visited)
    return min(spots, key=lambda s: order.index(s.key))


def slice_scores(s: Structure, confidence: Confidence | None, grid: Grid) -> Iterator[Spot]:
    """Score of each slice of one structure, first to last, findings not counted."""
    mask = s.mask.tight
    if mask.is_empty:
        return
    spacing = grid.spacing_mm[1:]
    band = max(BAND_MM, *spacing)
    room = [int(np.ceil(band / d)) + 1 for d in spacing]
    step = max(1, int(np.ceil(np.sqrt(np.prod(mask.bits.shape[1:]) / _LARGEST))))
    band, spacing = max(band, step * max(spacing)), (step * spacing[0], step * spacing[1])
    rows, columns = (slice(b.start - n, b.stop + n) for b, n in zip(mask.box[1:], room, strict=True))
    first, end = mask.box[0].start, mask.box[0].stop
    thin = (slice(None, None, step), slice(None, None, step))
    before, here = None, _distance(mask.read((slice(first, first + 1), rows, columns))[0][thin], spacing)
    for z in range(first, end):
        above = mask.read((slice(z + 1, z + 2), rows, columns))[0][thin]
        after = _distance(above, spacing) if z + 1 < end else None
        if here is None:
            yield Spot(s.id, z, 1.0, ("nothing drawn between drawn slices",), _middle(mask, z))
        else:
            parts = [_unlike(before, here, after)] if before is not None and after is not None else []
            if confidence is not None:
                unsure = UNCERTAINTY[confidence.read((slice(z, z + 1), rows, columns))[0][thin]]
                parts.append(_uncertain(unsure, np.abs(here) <= band))
            place = _place_of(parts, (rows.start, columns.start), step, grid) or _middle(mask, z)[1:]
            told = tuple(p[1] for p in sorted(parts, reverse=True) if p[0] >= _TOLD)
            yield Spot(s.id, z, sum(p[0] for p in parts), told, (z, *place))
        before, here = here, after


_Part = tuple[float, str, tuple[int, int]]  # 0 to 1, why, and where in the plane


def _place_of(parts: Sequence[_Part], start: tuple[int, int], step: int, grid: Grid) -> tuple[int, int] | None:
    """Row and column that the largest part tells of; None when none is worth telling."""
    largest = max(parts, default=None)
    if largest is None or largest[0] < _TOLD:
        return None
    y, x = (int(np.clip(o + step * a, 0, n - 1)) for a, o, n in zip(largest[2], start, grid.shape[1:], strict=True))
    return y, x


def _unlike(before: _Plane, here: _Plane, after: _Plane) -> _Part:
    """How far a slice is from the shape half way between its neighbours. All are signed distances in mm."""
    between = (before + after) / 2
    a, b = here < 0, between < 0
    areas = [int(np.count_nonzero(plane < 0)) for plane in (before, here, after)]
    usual = (areas[0] + areas[2]) / 2
    jump = areas[1] / usual - 1
    dice = 2 * int(np.count_nonzero(a & b)) / max(1, areas[1] + int(np.count_nonzero(b)))
    shape = max(0.0, (1 - dice - USUAL_MISFIT) / (1 - USUAL_MISFIT))
    area = min(1.0, max(0.0, (abs(jump) - USUAL_JUMP) / (1 - USUAL_JUMP)))
    text = f"area {'jumps' if jump > 0 else 'falls'} by {abs(jump):.0%}" if area else f"shape jumps (Dice {dice:.2f})"
    far = np.where(a != b, np.abs(here - between), 0)
    return max(shape, area), text.replace("%", " %"), _place(far)


def _uncertain(unsure: _Plane, band: Bits) -> _Part:
    bits = float(unsure[band].mean())
    part = min(1.0, max(0.0, (bits - USUAL_BITS) / (1 - USUAL_BITS)))
    return part, "contour uncertain", _place(ndimage.uniform_filter(np.where(band, unsure, 0), 3))


def _place(height: NDArray[np.floating]) -> tuple[int, int]:
    y, x = np.unravel_index(int(np.argmax(height)), height.shape)
    return int(y), int(x)


def _distance(bits: Bits, spacing: Sequence[float]) -> _Plane | None:
    """Signed distance in mm from the contour of a slice, negative inside; None when nothing is drawn there."""
    if not bits.any():
        return None
    out, inside = (ndimage.distance_transform_edt(part, spacing) for part in (~bits, bits))
    return np.asarray(out - inside, np.float32)


def _middle(mask: Mask, z: int) -> tuple[int, int, int]:
    """The voxel of the slice nearest to the middle of what is drawn; of an empty slice, to the structure's middle."""
    drawn = mask.bits[z - mask.offset[0]]
    points = np.argwhere(drawn if drawn.any() else mask.bits.any(axis=0))
    y, x = points[np.argmin(((points - points.mean(axis=0)) ** 2).sum(axis=1))] + mask.offset[1:]
    return z, int(y), int(x)


def _count_in(finding: Finding, grid: Grid, key: str, by_slice: dict[int, Spot]) -> None:
    if finding.point_lps is None:
        return
    at = np.rint(grid.to_index(finding.point_lps)).astype(int)
    z, y, x = (int(np.clip(i, 0, n - 1)) for i, n in zip(at, grid.shape, strict=True))
    old = by_slice.get(z, Spot(key, z, 0.0, (), (z, y, x)))
    reasons = (*old.reasons, finding.text.rstrip("."))
    by_slice[z] = replace(old, score=old.score + _WEIGHT.get(finding.severity, 0.0), reasons=reasons, index=(z, y, x))
