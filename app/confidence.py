"""A model's probabilities beside the masks: what is unsure in a contour, and what another threshold would make of it.

A `Confidence` goes with one proposal and never changes; the reviewer's edits change the mask alone. 8 bits a voxel in
the box where the probability is at least 2 %, so it takes about the memory of the mask itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.geometry import Box
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.structures import Bits, Mask, Structure

# What is kept for structures that are gone, so that undoing a deletion brings it back, is no more than this.
SPARE_BYTES = 128 * 2**20
LEVELS = 256
_CHANCE = np.clip(np.arange(LEVELS) / 255, 1e-9, 1 - 1e-9)
# For each value of a `Confidence` its uncertainty: the entropy of "belongs to it or not", 0 to 1 bit; 1 is 50 %.
UNCERTAINTY: NDArray[np.float32] = -(
    _CHANCE * np.log2(_CHANCE) + (1 - _CHANCE) * np.log2(1 - _CHANCE)
).astype(np.float32)  # fmt: skip


@dataclass(frozen=True, eq=False)
class Confidence:
    """A structure's probability at each voxel of a box; outside it is below 2 %.

    Parameters
    ----------
    offset : index (z, y, x) of the box's first voxel in the volume.
    values : (z, y, x) uint8, probability times 255, 0 where it is below 2 %. Made read-only.
    """

    offset: tuple[int, int, int]
    values: NDArray[np.uint8]

    def __post_init__(self) -> None:
        values = np.ascontiguousarray(self.values, dtype=np.uint8).view()
        if values.ndim != 3:
            raise ValueError(f"probabilities must have three axes, got shape {values.shape}")
        values.setflags(write=False)
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "offset", tuple(int(n) for n in self.offset))

    @property
    def box(self) -> Box:
        """The box in the volume."""
        z, y, x = (slice(o, o + n) for o, n in zip(self.offset, self.values.shape, strict=True))
        return z, y, x

    @property
    def nbytes(self) -> int:
        """Memory that it holds."""
        return self.values.nbytes

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that it holds."""
        found = hashlib.sha256(f"{self.offset} {self.values.shape}".encode())
        found.update(self.values.data)
        return found.hexdigest()

    def mask(self, threshold: float) -> Mask:
        """Voxels whose probability is at least `threshold` (0.02 to 1).

        At 0.5 this is the model's own mask but for voxels where it gave several structures some and none half.
        """
        return Mask.from_dense(self.values >= level(threshold), self.offset)

    def read(self, box: Box) -> NDArray[np.uint8]:
        """Values of a box of the volume, which may reach outside; 0 there. Copies."""
        out = np.zeros([s.stop - s.start for s in box], np.uint8)
        inside, mine = [], []
        for s, own in zip(box, self.box, strict=True):
            low, high = max(s.start, own.start), min(s.stop, own.stop)
            if high <= low:
                return out
            inside.append(slice(low - s.start, high - s.start))
            mine.append(slice(low - own.start, high - own.start))
        out[tuple(inside)] = self.values[tuple(mine)]
        return out


def level(threshold: float) -> int:
    """The smallest value of a `Confidence` that reaches a threshold (0 to 1); at least 1, for 0 means unknown."""
    return max(1, min(255, round(threshold * 255)))


# -- moving the threshold ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fit:
    """Which mask of the model's a mask is nearest to: that of `threshold`, or when None the proposal.

    The proposal is none of the thresholds': each voxel went to the structure with the highest probability there.

    `differing` voxels are not as in that mask: nobody but a person (or another tool) made them so.
    """

    threshold: float | None
    differing: int


def fit(s: Structure, confidence: Confidence) -> Fit:
    """Find the threshold that a structure's mask was made with, or was drawn on from."""
    proposed = proposal(s)
    if proposed is s.mask:
        return Fit(None, 0)
    box = _together(s, confidence)
    bits, values = s.mask.read(box), confidence.read(box)
    as_proposed = bits.size if proposed is None else int(np.count_nonzero(bits != proposed.read(box)))
    on = np.bincount(values[bits], minlength=LEVELS)
    off = np.bincount(values.ravel(), minlength=LEVELS) - on
    # At threshold t, voxels below it that are set and voxels from it on that are not are the ones that differ.
    wrong = np.concatenate([[0], np.cumsum(on)[:-1]]) + np.cumsum(off[::-1])[::-1]
    wrong = wrong[1:]
    least = int(wrong.min())
    if as_proposed <= least:
        return Fit(None, as_proposed)
    candidates = np.flatnonzero(wrong == least) + 1
    best = int(candidates[np.argmin(np.abs(candidates - 127.5))])
    return Fit(best / 255, least)


def fitted(s: Structure, confidence: Confidence) -> Job[Fit]:
    """Job: what `fit` finds."""
    yield Progress(0, 0, "Finding the threshold")
    return fit(s, confidence)


def proposal(s: Structure) -> Mask | None:
    """The mask as the model proposed it; None when that is not known any more."""
    return s.mask if s.first is None and not s.edited else s.first


def moved(s: Structure, confidence: Confidence, threshold: float, *, keep_edits: bool) -> Job[tuple[Mask, int]]:
    """Job: a structure's mask with another threshold, and how many voxels were edited by hand in the old one.

    Parameters
    ----------
    threshold : 0.02 to 1, see `Confidence.mask`.
    keep_edits : voxels that are not as in the mask that `fit` finds stay as they are; otherwise the threshold alone
        decides, and hand edits are gone.
    """
    yield Progress(0, 0, "Moving the threshold")
    from_ = fit(s, confidence)
    new = confidence.mask(threshold)
    if keep_edits and from_.differing:
        box = _together(s, confidence)
        before = proposal(s) if from_.threshold is None else confidence.mask(from_.threshold)
        bits = s.mask.read(box)
        edited = bits != (before or Mask()).read(box)
        result: Bits = np.where(edited, bits, new.read(box))
        new = Mask.from_dense(result, (box[0].start, box[1].start, box[2].start))
    return new, from_.differing


def _together(s: Structure, confidence: Confidence) -> Box:
    boxes = [m.box for m in (s.mask, s.first) if m is not None and m.bits.size] + [confidence.box]
    z, y, x = (slice(min(b[a].start for b in boxes), max(b[a].stop for b in boxes)) for a in range(3))
    return z, y, x


# -- a proposal for a part of the image --------------------------------------------------------------------------


def merge_mask(old: Mask, new: Mask, box: Box) -> Mask:
    """`new` inside `box` and `old` outside it."""
    return old.write((box[0].start, box[1].start, box[2].start), new.read(box))


def merge(old: Confidence, new: Confidence, box: Box) -> Confidence:
    """`new` inside `box` and `old` outside it."""
    z, y, x = (
        slice(min(o.start, max(n.start, b.start)), max(o.stop, min(n.stop, b.stop)))
        for o, n, b in zip(old.box, new.box, box, strict=True)
    )
    values = old.read((z, y, x))
    part = tuple(
        slice(max(b.start, w.start) - w.start, max(min(b.stop, w.stop) - w.start, 0))
        for b, w in zip(box, (z, y, x), strict=True)
    )
    values[part] = new.read((z, y, x))[part]
    return Confidence((z.start, y.start, x.start), values)


def bounded(
    kept: Mapping[str, Confidence], present: Iterable[str], spare_bytes: int = SPARE_BYTES
) -> dict[str, Confidence]:
    """`kept` without the oldest of those whose structure is not `present`, as far as `spare_bytes` ask for it."""
    there = set(present)
    gone = [key for key in kept if key not in there]
    spare = spare_bytes - sum(kept[key].nbytes for key in gone)
    while gone and spare < 0:
        spare += kept[gone.pop(0)].nbytes
    return {key: one for key, one in kept.items() if key in there or key in gone}
