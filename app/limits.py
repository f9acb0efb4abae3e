"""Where edits may change a structure: locked neighbours, a range of slices, the inside of another structure.

`ReviewSession.paint` goes by it, and so every edit does: brush, operations, prompts. Pure functions without state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Box
from contourdesk.app.history import Index
from contourdesk.app.jobs import Job
from contourdesk.app.structures import Bits, Mask, Structure, StructureSet


@dataclass(frozen=True)
class SliceRange:
    """Slices `first` to `last`, both included and in either order, across array axis `axis`."""

    axis: int
    first: int
    last: int

    @property
    def ends(self) -> tuple[int, int]:
        """The lower slice and the higher one."""
        return min(self.first, self.last), max(self.first, self.last)


@dataclass(frozen=True)
class Limits:
    """What edits keep to.

    Parameters
    ----------
    over_locked : whether a structure may grow over a locked neighbour. Taking away is always allowed there, for it
        leaves the neighbour as it is.
    slices : only there; None for all.
    inside : id of the structure inside which alone voxels may change; empty for everywhere. That structure itself
        isn't held by it.
    """

    over_locked: bool = False
    slices: SliceRange | None = None
    inside: str = ""


def locked_neighbours(items: StructureSet, structure_id: str) -> list[Structure]:
    """Locked structures other than this one."""
    return [s for s in items if s.locked and s.id != structure_id and s.mask.bits.size]


def allowed(limits: Limits, items: StructureSet, structure_id: str, box: Box, *, adding: bool) -> Bits | None:
    """Where in a box of the grid the structure's voxels may be set (`adding`), or be taken away.

    Returns
    -------
    bool (z, y, x) of the box's shape, or None for everywhere.

    Raises
    ------
    UserError : the structure to stay inside is gone.
    """
    shape = tuple(s.stop - s.start for s in box)
    out: Bits | None = None
    if limits.slices is not None:
        axis, (low, high) = limits.slices.axis, limits.slices.ends
        at = np.arange(box[axis].start, box[axis].stop)
        along = np.reshape((at >= low) & (at <= high), [-1 if a == axis else 1 for a in range(3)])
        if not along.all():
            out = np.array(np.broadcast_to(along, shape))
    if limits.inside and limits.inside != structure_id:
        outer = next((s for s in items if s.id == limits.inside), None)
        if outer is None:
            raise UserError("The structure to stay inside is gone.", "Choose another one under Limits, or none.")
        inside = outer.mask.read(box)
        out = inside if out is None else out & inside
    if adding and not limits.over_locked:
        for neighbour in locked_neighbours(items, structure_id):
            if _touch(neighbour.mask.box, box):
                free = ~neighbour.mask.read(box)
                out = free if out is None else out & free
    return out


def limit(limits: Limits, items: StructureSet, structure_id: str, offset: Index, bits: Bits) -> Bits:
    """Bits (z, y, x) of the box at `offset` as an edit may leave them: what it may not change stays as it is.

    Raises
    ------
    UserError : the structure to stay inside is gone.
    KeyError : an unknown structure.
    """
    z, y, x = (slice(o, o + n) for o, n in zip(offset, bits.shape, strict=True))
    box = (z, y, x)
    add, take = (allowed(limits, items, structure_id, box, adding=adding) for adding in (True, False))
    if add is None and take is None:
        return bits
    old = items.get(structure_id).mask.read(box)
    added, kept = bits & ~old, bits & old
    if add is not None:
        added &= add
    if take is not None:
        kept |= old & ~take
    return np.asarray(added | kept)


def within(job: Job[Mask], items: StructureSet, structure_id: str, limits: Limits) -> Job[Mask]:
    """Job: the mask that another job makes for a structure, as the limits leave it. Raises as `limit` does.

    Raises UserError for a locked structure too, before the job begins.
    """
    old = items.get(structure_id)
    check_unlocked(old)
    new = yield from job
    boxes = [m.box for m in (old.mask, new) if m.bits.size]
    if not boxes:
        return new
    z, y, x = (slice(min(b[i].start for b in boxes), max(b[i].stop for b in boxes)) for i in range(3))
    offset = (z.start, y.start, x.start)
    return Mask.from_dense(limit(limits, items, structure_id, offset, new.read((z, y, x))), offset)


def check_unlocked(structure: Structure) -> None:
    """Raise UserError for a locked structure."""
    if structure.locked:
        raise UserError(f"{structure.name} is locked.", "Unlock it in the list before you change it.")


def _touch(a: Box, b: Box) -> bool:
    return all(p.start < q.stop and q.start < p.stop for p, q in zip(a, b, strict=True))
