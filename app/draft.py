"""A structure while it is being drawn on: a copy of its mask that keeps to the limits, shown until it is done."""

from __future__ import annotations

import numpy as np

from contourdesk.app.footprints import Patch
from contourdesk.app.geometry import Box
from contourdesk.app.limits import Limits, allowed
from contourdesk.app.structures import Bits, Mask, StructureSet, tight_box

_MARGIN = 24  # voxels more than are needed, when the working copy grows


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
        # A box that grows: a whole grid would be slow to fill, and a stroke touches little.
        self._offset, self._work = self._mask.offset, self._mask.bits.copy()
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
                self._part(box)[...] &= ~covered
            else:
                self._part(box)[...] |= covered

    def put(self, footprint: Patch) -> None:
        """Make the box of a footprint hold its bits. Raises UserError (see `limits.allowed`)."""
        offset, bits = footprint
        differs = tight_box(bits != Mask(self._offset, self._work).read(_box(offset, bits))) if bits.size else None
        if differs is not None:
            bits = bits[differs]
            z, y, x = (o + s.start for o, s in zip(offset, differs, strict=True))
            box = _box((z, y, x), bits)
            add, take = (allowed(self._limits, self._items, self._id, box, adding=adding) for adding in (True, False))
            old = self._mask.read(box)
            added, kept = bits & ~old, bits & old
            if add is not None:
                added &= add
            if take is not None:
                kept |= old & ~take
            self._part(box)[...] = added | kept

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

    def _part(self, box: Box) -> Bits:
        """A view of a box of the working copy, which grows where it must."""
        self._low = np.minimum(self._low, [s.start for s in box])
        self._high = np.maximum(self._high, [s.stop for s in box])
        low, high = np.array(self._offset), np.add(self._offset, self._work.shape)
        first, last = np.array([s.start for s in box]), np.array([s.stop for s in box])
        if not self._work.size:
            low, high = first, last
        if (first < low).any() or (last > high).any() or not self._work.size:
            low = np.where(first < low, np.maximum(first - _MARGIN, 0), low)
            high = np.where(last > high, np.minimum(last + _MARGIN, self._items.grid.shape), high)
            z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
            self._work = Mask(self._offset, self._work).read((z, y, x))
            self._offset = (z.start, y.start, x.start)
        z, y, x = (slice(s.start - o, s.stop - o) for s, o in zip(box, self._offset, strict=True))
        return self._work[z, y, x]

    def _read(self, low: np.ndarray, high: np.ndarray) -> Mask:
        if (high <= low).any():
            return Mask()
        z, y, x = (int(n) for n in low)
        a, b, c = (slice(int(p - o), int(q - o)) for p, q, o in zip(low, high, self._offset, strict=True))
        return Mask((z, y, x), self._work[a, b, c])


def _box(offset: tuple[int, int, int], bits: Bits) -> Box:
    z, y, x = (slice(o, o + n) for o, n in zip(offset, bits.shape, strict=True))
    return z, y, x
