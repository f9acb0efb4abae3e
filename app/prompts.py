"""Points, scribbles, boxes and lassos that say what belongs to a structure, and the mask that they make of it.

Everything near the prompts is judged by the image's edges, by how alike the voxels are to those under a prompt, by the
mask as it is, and by a model's probabilities where there are some. Two things hold whatever the image: no voxel further
than `REACH_FACTOR` times the reach from all that was drawn changes, and what is added or taken away hangs together with
a prompt that asked for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from contourdesk.app.footprints import Patch, polygon, sphere, stroke
from contourdesk.app.geometry import Box, Grid
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.random_walk import Floats, solve
from contourdesk.app.structures import Bits, Mask, tight_box
from contourdesk.app.volume import Volume

Kind = Literal["point", "scribble", "box", "lasso"]
KINDS: tuple[Kind, ...] = ("point", "scribble", "box", "lasso")
Position = tuple[float, float, float]
Probability = Callable[[Box], NDArray[np.floating]]

REACH_MM = 15.0
REACH_FACTOR = 2.5  # beyond it a prompt's word weighs 4 %

_POINT_MM = 2.0
_SCRIBBLE_MM = 1.0
_THICK = 1.6  # times the finest spacing
_CORNERS = np.ones((3, 3, 3), bool)
_LEAST_TONE_HU = 12.0
_MASK_TRUST = 0.08  # of the mask as it is, beside a prompt's own word of 1
_MODEL_TRUST = 0.12
_PRIOR = 0.2
_SURE = 0.3
_HEARD = 0.06
_DEAREST = 40.0  # mm that a step of 1 mm through quite other tissue counts


@dataclass(frozen=True)
class Prompt:
    """One thing that the reviewer drew: `inside` says whether it marks the structure or what isn't it.

    `points` are voxel indices (z, y, x), fractions allowed, all on one slice across `slice_axis`: the place of a point,
    the way of a scribble, two opposite corners of a box, the outline of a lasso.
    """

    kind: Kind
    inside: bool
    slice_axis: int
    points: tuple[Position, ...]

    @property
    def slice_index(self) -> int:
        """The slice that it was drawn on."""
        return int(np.floor(self.points[0][self.slice_axis] + 0.5))


def footprint(prompt: Prompt, grid: Grid) -> Patch:
    """The voxels that a prompt covers: for a point a small ball, for a scribble a thin line, else the area."""
    if prompt.kind == "point":
        return sphere(grid, prompt.points[0], 0.0)
    if prompt.kind == "scribble":
        return stroke(grid, prompt.points, _SCRIBBLE_MM, prompt.slice_axis)
    if prompt.kind == "lasso":
        return polygon(grid, prompt.points, prompt.slice_axis, prompt.slice_index)
    corners = np.array(prompt.points, float)
    low = np.maximum(np.ceil(corners.min(axis=0)).astype(int), 0)
    high = np.minimum(np.floor(corners.max(axis=0)).astype(int) + 1, grid.shape)
    low[prompt.slice_axis], high[prompt.slice_axis] = prompt.slice_index, prompt.slice_index + 1
    if (high <= low).any() or not 0 <= prompt.slice_index < grid.shape[prompt.slice_axis]:
        return (0, 0, 0), np.zeros((0, 0, 0), bool)
    return (int(low[0]), int(low[1]), int(low[2])), np.ones(tuple(high - low), bool)


def refine(
    mask: Mask, volume: Volume, prompts: Sequence[Prompt], *, reach_mm: float = REACH_MM,
    probability: Probability | None = None,
) -> Job[Mask]:  # fmt: skip
    """Job: the mask as the prompts, all together, want it.

    Parameters
    ----------
    mask : the structure before the first of the prompts.
    reach_mm : how far a prompt's word goes in tissue like that under it; edges end it sooner.
    probability : gives the model's probability of the structure, 0 to 1, in a box of the grid; None without a model.
    """
    marked = [(p, footprint(p, volume.grid)) for p in prompts]
    groups = _groups([m for m in marked if m[1][1].size], volume.grid, REACH_FACTOR * reach_mm)
    for i, (box, group) in enumerate(groups):
        yield Progress(i, len(groups), "Following the edges")
        where = _Where(volume, box, group)
        bits = where.decide(mask.read(box), reach_mm, probability)
        mask = mask.write((box[0].start, box[1].start, box[2].start), bits)
    return mask


_Marked = tuple[Prompt, Patch]


def _groups(marked: Sequence[_Marked], grid: Grid, mm: float) -> list[tuple[Box, list[_Marked]]]:
    """Prompts whose surroundings touch, with the box round these."""
    groups: list[tuple[Box, list[_Marked]]] = []
    for item in marked:
        box, together = _around(item[1], grid, mm), [item]
        apart = []
        for other, members in groups:
            if all(a.start < b.stop and b.start < a.stop for a, b in zip(box, other, strict=True)):
                box, together = _joined(box, other), members + together
            else:
                apart.append((other, members))
        groups = [*apart, (box, together)]
    return groups


def _around(patch: Patch, grid: Grid, mm: float) -> Box:
    z, y, x = (
        slice(max(0, o - int(np.ceil(mm / step))), min(size, o + n + int(np.ceil(mm / step))))
        for o, n, size, step in zip(patch[0], patch[1].shape, grid.shape, grid.spacing_mm, strict=True)
    )
    return z, y, x


def _joined(a: Box, b: Box) -> Box:
    z, y, x = (slice(min(p.start, q.start), max(p.stop, q.stop)) for p, q in zip(a, b, strict=True))
    return z, y, x


class _Where:
    """A box of the image with the prompts in it."""

    def __init__(self, volume: Volume, box: Box, marked: Sequence[_Marked]) -> None:
        self._grid, self._marked, self._box = volume.grid, marked, box
        self._spacing = volume.grid.spacing_mm
        values = volume.array[box].astype(np.float32)
        # A median takes noise away and leaves edges where they are; thick slices are not mixed with others.
        size = [3 if s <= _THICK * min(self._spacing) else 1 for s in self._spacing]
        self._smooth: Floats = ndimage.median_filter(values, size, mode="nearest")
        coarse = int(np.argmax(self._spacing))
        self._in_plane = ndimage.generate_binary_structure(3, 1)
        self._in_plane[tuple(slice(None) if a != coarse else [0, 2] for a in range(3))] = False
        self._tone = _noise(self._smooth, _LEAST_TONE_HU if volume.unit == "HU" else 0.0)

    def decide(self, before: Bits, reach_mm: float, probability: Probability | None) -> Bits:
        """What the box holds after the prompts."""
        inside, outside, unlike_in, unlike_out = self._seeds(before)
        heard_in = self._heard(inside, unlike_in, reach_mm)
        heard_out = self._heard(outside, unlike_out, reach_mm)
        likely, total = _MASK_TRUST * before.astype(np.float32), heard_in + heard_out + _MASK_TRUST
        if probability is not None:
            likely += _MODEL_TRUST * np.asarray(probability(self._box), np.float32)
            total += _MODEL_TRUST
        prior = (heard_in + likely) / total
        weight = _PRIOR * np.minimum(total / _SURE, 1) ** 2  # where no prompt is heard the image says most
        # Voxels that are partly another tissue are unlike either; they lie one or two beyond.
        free = ndimage.binary_dilation((heard_in > _HEARD) | (heard_out > _HEARD))
        free = ndimage.binary_dilation(free, self._in_plane) & ~inside & ~outside
        fixed = before.astype(np.float32)
        fixed[inside], fixed[outside] = 1, 0
        walked = solve(self._smooth, self._spacing, 1.5 * self._tone, free, fixed, prior, weight)
        after = np.where(free, walked >= 0.5, fixed > 0.5)
        added = _asked_for(after & ~before, inside, before & (heard_in > 0.3))
        taken = _asked_for(before & ~after, outside, ~before & (heard_out > 0.3))
        drawn = np.logical_or.reduce([self._local(patch) for _, patch in self._marked])
        near = ndimage.distance_transform_edt(~drawn, self._spacing) <= REACH_FACTOR * reach_mm
        return np.where(near, self._without_rind((before | added) & ~taken, taken), before)

    def _without_rind(self, after: Bits, taken: Bits) -> Bits:
        """Voxels that are partly another tissue are unlike it: they stay as a rind round what was taken away."""
        if not taken.any():
            return after
        near = ndimage.binary_dilation(taken, _CORNERS, 2)
        after = after & (~near | ndimage.binary_opening(after, self._in_plane))
        labels, _ = ndimage.label(after, _CORNERS)
        elsewhere = np.unique(labels[after & ~near])
        return np.asarray(after & (~near | np.isin(labels, elsewhere[elsewhere > 0])))

    def _seeds(self, before: Bits) -> tuple[Bits, Bits, Floats, Floats]:
        """Voxels that are certainly in or out, and how unlike each voxel is to either kind."""
        inside, outside = np.zeros(before.shape, bool), np.zeros(before.shape, bool)
        unlike = [np.full(before.shape, np.inf, np.float32) for _ in range(2)]
        for prompt, patch in self._marked:
            area = self._local(patch)
            if prompt.kind in ("box", "lasso") and prompt.inside:
                core, ring = self._core(area, prompt.slice_axis)
                ring |= self._sticking_out(before, area)
                np.minimum(unlike[0], self._unlike(core), out=unlike[0])
                inside, outside = (inside | core) & ~ring, (outside | ring) & ~core
                continue
            seeds = area
            if prompt.kind == "point":
                seeds = self._dab(prompt, area)
            elif prompt.kind != "scribble" and (area & before).any():
                area = area & before  # what is circled to be taken away
            mine = unlike[0 if prompt.inside else 1]
            np.minimum(mine, self._unlike(area), out=mine)
            # The later prompt is right where two contradict each other.
            if prompt.inside:
                inside, outside = inside | seeds, outside & ~seeds
            else:
                inside, outside = inside & ~seeds, outside | seeds
        return inside, outside, unlike[0], unlike[1]

    def _local(self, patch: Patch) -> Bits:
        return Mask(*patch).read(self._box)

    def _dab(self, prompt: Prompt, area: Bits) -> Bits:
        """The voxel of a click with its neighbours of the same kind, so that noise in one voxel means little."""
        ball = self._local(sphere(self._grid, prompt.points[0], _POINT_MM))
        return (ball & (self._unlike(area) < 1.5)) | area

    def _unlike(self, sample: Bits) -> Floats:
        """How many tones each voxel is off the values under and beside `sample`."""
        if not sample.any():
            return np.full(sample.shape, np.inf, np.float32)
        values = self._smooth[sample]
        middle = float(np.median(values))
        spread = max(self._tone, 1.5 * float(np.median(np.abs(values - middle))))
        return np.asarray(np.abs(self._smooth - np.float32(middle)) / np.float32(spread))

    def _core(self, area: Bits, slice_axis: int) -> tuple[Bits, Bits]:
        """In an area that holds the structure: what surely is it, and the ring round the area that surely isn't."""
        in_plane = _CORNERS.copy()
        in_plane[tuple(slice(None) if a != slice_axis else [0, 2] for a in range(3))] = False
        ring = ndimage.binary_dilation(area, in_plane, 2) & ~area
        sampling = [s if a != slice_axis else 1e6 for a, s in enumerate(self._spacing)]
        depth = ndimage.distance_transform_edt(area, sampling)
        # Who draws round something has it in the middle.
        tone = np.median(self._smooth[depth >= 0.7 * depth.max()])
        likeliest = np.abs(self._smooth - np.float32(tone)) < 2 * self._tone
        return (depth >= 0.4 * depth.max()) & likeliest, ring

    def _sticking_out(self, before: Bits, area: Bits) -> Bits:
        """What of the structure's parts in an area reaches out of it on the area's slice."""
        on_slice = np.zeros(area.shape, bool)
        where = tight_box(area)
        if where is None:
            return on_slice
        thin = tuple(s if s.stop - s.start == 1 else slice(None) for s in where)
        on_slice[thin] = before[thin]
        labels, _ = ndimage.label(on_slice, _CORNERS)
        own = np.unique(labels[area & on_slice])
        return np.asarray(np.isin(labels, own[own > 0]) & ~area)

    def _heard(self, seeds: Bits, unlike: Floats, reach_mm: float) -> Floats:
        """How much the prompts' word counts at each voxel, from 1 at them to 0: it fades with the way through tissue.

        A mm through tissue unlike that under the prompts counts as many.
        """
        if not seeds.any():
            return np.zeros(seeds.shape, np.float32)
        cost = np.minimum(1 + 3 * np.maximum(unlike - 1.5, 0) ** 2, _DEAREST)
        way = geodesic(cost, seeds, self._spacing, REACH_FACTOR * reach_mm)
        heard: Floats = np.exp(-0.5 * (way / np.float32(reach_mm)) ** 2)
        return heard


def geodesic(cost: Floats, seeds: Bits, spacing_mm: tuple[float, float, float], furthest: float) -> Floats:
    """Length of the cheapest way from any seed, in mm times cost, by fast marching; infinite beyond `furthest`."""
    import SimpleITK as sitk  # 90 MB, for those who prompt

    # Many trial points take long, so there is one for each part of the seeds, in which a way costs nothing.
    labels, count = ndimage.label(seeds, _CORNERS)
    starts = ndimage.maximum_position(seeds, labels, range(1, count + 1))
    points = [[int(i) for i in reversed(place)] for place in starts]
    speed = sitk.GetImageFromArray(np.where(seeds, np.float32(1e4), 1 / cost.astype(np.float32)))
    speed.SetSpacing(tuple(float(s) for s in reversed(spacing_mm)))
    way = sitk.GetArrayFromImage(sitk.FastMarching(speed, trialPoints=points, stoppingValue=float(furthest)))
    way = np.where(way < furthest, way, np.inf).astype(np.float32)
    way[seeds] = 0
    return way


def _asked_for(changed: Bits, seeds: Bits, bridge: Bits) -> Bits:
    """Parts of a change that hang together with a prompt, over what already is as it was asked for too."""
    labels, _ = ndimage.label(changed | (seeds & ~changed) | bridge, _CORNERS)
    wanted = np.unique(labels[seeds])
    return np.asarray(changed & np.isin(labels, wanted[wanted > 0]))


def _noise(values: Floats, least: float) -> float:
    """Spread of values in even tissue: from differences of neighbours, which edges hardly change."""
    differences = np.abs(np.diff(values, axis=2))
    spread = float(np.median(differences)) / 0.6745 / np.sqrt(2) if differences.size else 0.0
    span = float(np.ptp(values)) if values.size else 0.0
    return max(2 * spread, least, 0.01 * span if least == 0 else 0.0, 1e-6)


def changed_box(before: Mask, after: Mask) -> Box | None:
    """The smallest box in which two masks differ, or None."""
    boxes = [m.box for m in (before, after) if m.bits.size]
    if not boxes:
        return None
    box = boxes[0] if len(boxes) == 1 else _joined(boxes[0], boxes[1])
    tight = tight_box(before.read(box) != after.read(box))
    if tight is None:
        return None
    z, y, x = (slice(b.start + t.start, b.start + t.stop) for b, t in zip(box, tight, strict=True))
    return z, y, x
