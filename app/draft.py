"""A structure while it is being drawn on: a copy of its mask that keeps to the limits, shown until it is done."""

from __future__ import annotations

import numpy as np

from contourdesk.app.footprints import Patch
from contourdesk.app.geometry import Box
from contourdesk.app.limits import Limits, allowed
from contourdesk.app.structures import Bits, Mask, StructureSet, tight_box


class Draft:
    """Changes on a copy of one structure's mask.

    Parameters
    ----------
    items, structure_id : the structures as they are, and the one to draw on.
    limits : see `limits`; what they forbid stays.

    Raises
    ------
    KeyError : an unknown structure.
    """

    def __init__(self, items: StructureSet, structure_id: str, limits: Limits) -> None:
        self._items, self._id, self._limits = items, structure_id, limits
        self._mask = items.get(structure_id).mask
        # Memory that is never touched costs nothing; a stroke touches little.
        self._work = self._mask.dense(items.grid.shape)
        self._low, self._high = np.array(items.grid.shape), np.zeros(3, int)

    def stamp(self, footprint: Patch, *, erase: bool) -> None:
        """Add what a footprint covers, or take it away. Raises UserError (see `limits.allowed`)."""
        offset, bits = footprint
        if bits.size:
            box = _box(offset, bits)
            may = allowed(self._limits, self._items, self._id, box, adding=not erase)
            covered = bits if may is None else bits & may
            # A voxel added in this draft may be taken away again.
            if erase:
                self._work[box] &= ~covered
            else:
                self._work[box] |= covered
            self._touch(box)

    def put(self, footprint: Patch) -> None:
        """Make the box of a footprint hold its bits. Raises UserError (see `limits.allowed`)."""
        offset, bits = footprint
        if bits.size:
            box = _box(offset, bits)
            add, take = (allowed(self._limits, self._items, self._id, box, adding=adding) for adding in (True, False))
            old = self._mask.read(box)
            added, kept = bits & ~old, bits & old
            if add is not None:
                added &= add
            if take is not None:
                kept |= old & ~take
            self._work[box] = added | kept
            self._touch(box)

    @property
    def mask(self) -> Mask:
        """The mask as it would become; a view that later changes show in."""
        low, high = self._low, self._high
        if self._mask.bits.size:
            low = np.minimum(low, self._mask.offset)
            high = np.maximum(high, np.add(self._mask.offset, self._mask.bits.shape))
        return self._read(low, high)

    @property
    def patch(self) -> Patch | None:
        """The tight box of voxels that changed, as offset and new bits; None when none did."""
        after = self._read(self._low, self._high)
        changed = tight_box(after.bits != self._mask.read(after.box)) if after.bits.size else None
        if changed is None:
            return None
        z, y, x = (o + s.start for o, s in zip(after.offset, changed, strict=True))
        return (z, y, x), after.bits[changed].copy()

    def _touch(self, box: Box) -> None:
        self._low = np.minimum(self._low, [s.start for s in box])
        self._high = np.maximum(self._high, [s.stop for s in box])

    def _read(self, low: np.ndarray, high: np.ndarray) -> Mask:
        if (high <= low).any():
            return Mask()
        z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        return Mask((z.start, y.start, x.start), self._work[z, y, x])


def _box(offset: tuple[int, int, int], bits: Bits) -> Box:
    z, y, x = (slice(o, o + n) for o, n in zip(offset, bits.shape, strict=True))
    return z, y, x
