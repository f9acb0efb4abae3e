"""The way back: finished logits become labels on the image's own voxels, slab by slab.

nnU-Net resamples the logits of every class to the image's size, in double precision, and then looks for the largest.
Here a few slices at a time are resampled and decided, and only where an organ can be: a voxel whose neighbours all
have background as their largest logit is background too, because linear interpolation stays between its neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from contourdesk.app.geometry import Box
from contourdesk.inference.plans import Labels
from contourdesk.inference.preprocess import Shape, label_type, nearest_index
from contourdesk.inference.sliding_window import Slab

_BUDGET_BYTES = 64 * 2**20
# Below this probability nothing is kept: it is 5 of 255, and the boxes stay small.
LEAST = 0.02


@dataclass(frozen=True, eq=False)
class Samples:
    """For each output voxel along an axis the two samples it lies between, and how far it is towards the second."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]
    weight: NDArray[np.float64]

    @property
    def same(self) -> bool:
        """Whether it only copies."""
        return bool((self.weight == 0).all()) and np.array_equal(self.low, np.arange(len(self.low)))

    def reached_by(self, first: int, last: int) -> slice:
        """Output voxels that samples ``first:last`` have a part in."""
        return slice(int(np.searchsorted(self.high, first)), int(np.searchsorted(self.low, last)))


def samples_along(old: int, new: int, nearest: bool, wanted: slice) -> Samples:
    """Where the output voxels `wanted` of an axis of `new` voxels lie among its `old` samples."""
    if nearest:
        index = nearest_index(old, new).astype(np.int64)[wanted]
        return Samples(index, index, np.zeros(len(index)))
    where = (float(old) / new * (np.arange(new) + 0.5) - 0.5).clip(0, old - 1)[wanted]
    low = np.floor(where).astype(np.int64)
    weight = where - low
    return Samples(low, np.where(weight > 0, np.minimum(low + 1, old - 1), low), weight)


@dataclass(frozen=True, eq=False)
class _Piece:
    """Probabilities (z, y, x), 0 to 255, whose first voxel lies at `start`."""

    start: Shape
    values: NDArray[np.uint8]


class Drawing:
    """Takes slabs of logits in order (`add`) and draws the labels.

    Parameters
    ----------
    labels : the model's structures.
    old, new : voxels (z, y, x) that the network saw, and of the image's box that they stand for.
    wanted : the part of the image's box that is drawn.
    axis : the axis that is resampled by nearest neighbour, or None.
    half : whether results are rounded to half precision before the largest is looked for, as nnU-Net does.
    keep : channels whose probabilities are kept.

    Attributes
    ----------
    region : the part of the network's voxels that is needed; slabs cover it.
    found : labels (z, y, x) of `wanted`; with regions bool (regions, z, y, x).
    """

    def __init__(
        self,
        labels: Labels,
        old: Shape,
        new: Shape,
        wanted: Box,
        axis: int | None = None,
        half: bool = True,
        keep: Sequence[int] = (),
    ) -> None:
        axes = [samples_along(old[a], new[a], a == axis, wanted[a]) for a in range(3)]
        starts = [int(a.low[0]) for a in axes]
        z, y, x = (slice(s, int(a.high[-1]) + 1) for s, a in zip(starts, axes, strict=True))
        self.region: Box = (z, y, x)
        self._z, self._y, self._x = (
            Samples(a.low - s, a.high - s, a.weight) for s, a in zip(starts, axes, strict=True)
        )
        self._labels, self._half, self._keep = labels, half, tuple(keep)
        shape = tuple(s.stop - s.start for s in wanted)
        if labels.regions:
            self.found: NDArray[np.generic] = np.zeros((len(labels.names), *shape), bool)
        else:
            small = label_type(labels.channels) is torch.uint8
            self.found = np.zeros(shape, np.uint8 if small else np.int16)
        self._pieces: dict[int, list[_Piece]] = {channel: [] for channel in self._keep}
        self._held: Tensor | None = None  # slices that are still needed
        self._held_from = 0
        self._next = 0

    @property
    def slices(self) -> int:
        """How many output slices there are in all."""
        return len(self._z.low)

    def add(self, slab: Slab) -> Iterator[int]:
        """Draw what `slab` completes; yields how many output slices are done after each part."""
        held = slab.logits if self._held is None else torch.cat([self._held, slab.logits], 1)
        end = self._held_from + held.shape[1]
        last = int(np.searchsorted(self._z.high, end))
        step = max(1, _BUDGET_BYTES // (12 * held.shape[0] * len(self._y.low) * len(self._x.low)))
        while self._next < last:
            part = slice(self._next, min(self._next + step, last))
            with torch.inference_mode():
                self._draw(held, part)
            self._next = part.stop
            yield self._next
        first = end if self._next == self.slices else min(end, int(self._z.low[self._next]))
        self._held = held[:, max(0, first - self._held_from) :].clone()
        self._held_from = first

    def probabilities(self, channel: int) -> tuple[Shape, NDArray[np.uint8]] | None:
        """Box of a kept channel's probabilities, 0 to 255, and its first voxel in `wanted`; None when all are 0."""
        pieces = self._pieces[channel]
        if not pieces:
            return None
        low = [min(p.start[a] for p in pieces) for a in range(3)]
        high = [max(p.start[a] + p.values.shape[a] for p in pieces) for a in range(3)]
        out = np.zeros([h - s for h, s in zip(high, low, strict=True)], np.uint8)
        for p in pieces:
            out[tuple(slice(s - o, s - o + n) for s, o, n in zip(p.start, low, p.values.shape, strict=True))] = p.values
        return (low[0], low[1], low[2]), out

    def _draw(self, held: Tensor, part: slice) -> None:
        first = int(self._z.low[part.start]) - self._held_from
        last = int(self._z.high[part.stop - 1]) + 1 - self._held_from
        values = held[:, first:last]
        box = _bounds(self._possible(values))
        if box is None:
            return
        rows, columns = self._y.reached_by(*box[0]), self._x.reached_by(*box[1])
        logits = values.float()
        for dim, axis, want, base in (
            (1, self._z, part, first + self._held_from),
            (2, self._y, rows, 0),
            (3, self._x, columns, 0),
        ):
            logits = between(logits, axis, want, dim, base)
        if self._half:
            logits = logits.half().float()
        if self._labels.regions:
            on = paint_regions(logits > 0, self._labels)
            self.found[:, part, rows, columns] = on.cpu().numpy()
        else:
            winner = logits.argmax(0).to(label_type(len(logits)))
            self.found[part, rows, columns] = winner.cpu().numpy()
        if self._keep:
            self._remember(logits, (part.start, rows.start, columns.start))

    def _possible(self, samples: Tensor) -> Tensor:
        """Bool (slices, y, x): where an organ, or a probability worth keeping, can be."""
        values = samples.float()
        if self._labels.regions:
            return values.amax(0) > (float(np.log(LEAST / (1 - LEAST))) if self._keep else 0.0)
        if not self._keep:
            return values[1:].amax(0) > values[0]
        return values.softmax(0)[1:].amax(0) > LEAST / 2

    def _remember(self, logits: Tensor, start: Shape) -> None:
        chances = logits.sigmoid() if self._labels.regions else logits.softmax(0)
        for channel in self._keep:
            values = (chances[channel] * 255).round().to(torch.uint8).cpu().numpy()
            hit = values >= round(LEAST * 255)
            where = [np.flatnonzero(hit.any(axis=tuple(a for a in range(3) if a != b))) for b in range(3)]
            if len(where[0]):
                box = tuple(slice(int(w[0]), int(w[-1]) + 1) for w in where)
                z, y, x = (s + b.start for s, b in zip(start, box, strict=True))
                self._pieces[channel].append(_Piece((z, y, x), np.where(hit, values, 0)[box].astype(np.uint8)))


def _bounds(possible: Tensor) -> tuple[tuple[int, int], tuple[int, int]] | None:
    plane = possible.any(0)
    rows, columns = plane.any(1).nonzero(), plane.any(0).nonzero()
    if not len(rows):
        return None
    return (int(rows[0]), int(rows[-1]) + 1), (int(columns[0]), int(columns[-1]) + 1)


def between(data: Tensor, axis: Samples, want: slice, dim: int, base: int) -> Tensor:
    """Samples of output voxels `want` along `dim` of `data`, whose first sample is number `base`."""
    low, high, weight = axis.low[want] - base, axis.high[want] - base, axis.weight[want]
    first = data.index_select(dim, torch.from_numpy(low).to(data.device))
    if not weight.any():
        return first
    second = data.index_select(dim, torch.from_numpy(high).to(data.device))
    shape = [1] * data.ndim
    shape[dim] = -1
    return torch.lerp(first, second, torch.from_numpy(weight).to(data).reshape(shape), out=first)


def paint_regions(on: Tensor, labels: Labels) -> Tensor:
    """Bool (regions, ...) of each region from bool (regions, ...) of each channel.

    nnU-Net paints one region after the other with its number, later over earlier, so a voxel belongs to the regions
    that hold the last number. Regions inside another widen it, and one that shares no label with another takes its
    voxels. But regions that overlap in part both keep theirs: a label map can't hold that, separate masks can.
    """
    sets = [set(r) for r in labels.regions]
    out = torch.zeros_like(on)
    for q, painted in enumerate(sets):
        for r, own in enumerate(sets):
            if painted <= own:
                out[r] |= on[q]
            elif not painted & own:
                out[r] &= ~on[q]
    return out
