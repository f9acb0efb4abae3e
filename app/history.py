"""What was done, in a form that can be undone, redone and written to the journal.

An `Edit` is what Ctrl+Z takes back in one go. It holds steps of three kinds: a box of a mask changed, the header of
a structure changed (name, colour, decision, ...), a structure came or went. Every step knows both sides, so applying
it backwards restores every bit.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from contourdesk.app.contour import Contour
from contourdesk.app.geometry import Box
from contourdesk.app.structures import (
    Bits,
    Colour,
    Decision,
    Mask,
    Provenance,
    Structure,
    StructureSet,
    tight_box,
)

DEFAULT_BUDGET = 256 * 1024 * 1024
Index = tuple[int, int, int]


def pack(bits: Bits) -> bytes:
    """Eight voxels a byte, in C order."""
    return np.packbits(bits).tobytes()


def unpack(data: bytes, shape: Index) -> Bits:
    """The (z, y, x) bool array that `pack` was given. Raises ValueError when they do not fit."""
    count = int(np.prod(shape))
    if len(data) != -(-count // 8):
        raise ValueError(f"{len(data)} bytes of bits for shape {shape}")
    flat = np.unpackbits(np.frombuffer(data, np.uint8), count=count) if count else np.zeros(0, np.uint8)
    return flat.astype(bool).reshape(shape)


@dataclass(frozen=True)
class Header:
    """All of a structure but its id, masks and imported contours."""

    name: str
    colour: Colour
    provenance: Provenance
    interpreted_type: str
    decision: Decision
    edited: bool
    group: str = ""
    locked: bool = False
    blind: str = ""

    @classmethod
    def of(cls, s: Structure) -> Header:
        """The header of a structure."""
        given = (s.name, s.colour, s.provenance, s.interpreted_type, s.decision, s.edited, s.group, s.locked, s.blind)
        return cls(*given)

    def put(self, s: Structure) -> Structure:
        """The structure with this header and its own id, masks and contours."""
        return replace(
            s,
            name=self.name,
            colour=self.colour,
            provenance=self.provenance,
            interpreted_type=self.interpreted_type,
            decision=self.decision,
            edited=self.edited,
            group=self.group,
            locked=self.locked,
            blind=self.blind,
        )


@dataclass(frozen=True)
class MaskStep:
    """The box at `offset` with `shape` held `before` and now holds `after` (packed, see `pack`)."""

    structure_id: str
    offset: Index
    shape: Index
    before: bytes
    after: bytes

    @property
    def box(self) -> Box:
        """The box in the grid."""
        z, y, x = (slice(o, o + n) for o, n in zip(self.offset, self.shape, strict=True))
        return z, y, x

    @property
    def slices(self) -> list[int]:
        """The slices on which voxels differ."""
        changed = unpack(self.before, self.shape) != unpack(self.after, self.shape)
        return [self.offset[0] + int(k) for k in np.flatnonzero(changed.any(axis=(1, 2)))]

    @property
    def nbytes(self) -> int:
        """Memory that this step holds."""
        return len(self.before) + len(self.after)

    def apply(self, items: StructureSet, forward: bool) -> StructureSet:
        """The structures with this step done (or taken back). Raises KeyError for an unknown id."""
        old = items.get(self.structure_id)
        bits = unpack(self.after if forward else self.before, self.shape)
        return items.put(replace(old, mask=write_mask(old.mask, self.offset, bits), first=first_mask(old)))


@dataclass(frozen=True, eq=False)
class HeaderStep:
    """The header of a structure changed; `dropped` are imported contours that it lost on the way, with their places."""

    structure_id: str
    before: Header
    after: Header
    dropped: tuple[tuple[int, Contour], ...] = ()

    @property
    def nbytes(self) -> int:
        """Memory that this step holds."""
        return 500 + sum(c.points_lps.nbytes for _, c in self.dropped)

    def apply(self, items: StructureSet, forward: bool) -> StructureSet:
        """The structures with this step done (or taken back). Raises KeyError for an unknown id."""
        new = (self.after if forward else self.before).put(items.get(self.structure_id))
        if self.dropped:
            contours = list(new.contours or ())
            for place, contour in self.dropped[:: -1 if forward else 1]:
                if forward:
                    del contours[place]
                else:
                    contours.insert(place, contour)
            new = replace(new, contours=tuple(contours))
        return items.put(new)


@dataclass(frozen=True, eq=False)
class PresenceStep:
    """A structure came (`added`) or went, at `index` in the order."""

    structure: Structure
    index: int
    added: bool

    @property
    def structure_id(self) -> str:
        """Id of the structure."""
        return self.structure.id

    @property
    def nbytes(self) -> int:
        """Memory that this step holds."""
        first = 0 if self.structure.first is None else self.structure.first.bits.nbytes
        points = sum(c.points_lps.nbytes for c in self.structure.contours or ())
        return 500 + self.structure.mask.bits.nbytes + first + points

    def apply(self, items: StructureSet, forward: bool) -> StructureSet:
        """The structures with this step done (or taken back). Raises KeyError when it is not as expected."""
        if self.added == forward:
            if any(s.id == self.structure.id for s in items):
                raise KeyError(self.structure.id)
            return items.put(self.structure, self.index)
        items.get(self.structure.id)
        return items.without(self.structure.id)


Step = MaskStep | HeaderStep | PresenceStep


@dataclass(frozen=True, eq=False)
class Edit:
    """One thing that the reviewer did. `text` names it for the Undo menu and may hold a structure's name.

    `tool` is a short word for the audit trail ("brush", "rename", "decide", "model", ...), `time` ISO 8601.
    """

    tool: str
    text: str
    steps: tuple[Step, ...]
    person: str = ""
    time: str = ""

    @property
    def nbytes(self) -> int:
        """Memory that this edit holds, roughly."""
        return sum(s.nbytes for s in self.steps)

    def apply(self, items: StructureSet, forward: bool = True) -> StructureSet:
        """The structures with this edit done, or taken back when not `forward`. Raises KeyError, ValueError."""
        for step in self.steps if forward else reversed(self.steps):
            items = step.apply(items, forward)
        return items


@dataclass
class EditHistory:
    """Done and undone edits under a byte budget: the oldest are forgotten first, the last one never."""

    budget: int = DEFAULT_BUDGET
    done: list[Edit] = field(default_factory=list)
    undone: list[Edit] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._held = sum(e.nbytes for e in (*self.done, *self.undone))  # kept, for a stroke must not count thousands

    @property
    def nbytes(self) -> int:
        """Memory that both stacks hold, roughly."""
        return self._held

    def push(self, edit: Edit) -> None:
        """Remember an edit that was just done; what was undone is gone."""
        self._held += edit.nbytes - sum(e.nbytes for e in self.undone)
        self.undone.clear()
        self.done.append(edit)
        spare = self.budget - self._held
        drop = 0
        while spare < 0 and drop < len(self.done) - 1:
            spare += self.done[drop].nbytes
            drop += 1
        self._held = self.budget - spare
        del self.done[:drop]

    def undo(self) -> Edit | None:
        """Move the last done edit to the undone ones and return it, or None."""
        if not self.done:
            return None
        self.undone.append(self.done.pop())
        return self.undone[-1]

    def redo(self) -> Edit | None:
        """Move the last undone edit back to the done ones and return it, or None."""
        if not self.undone:
            return None
        self.done.append(self.undone.pop())
        return self.done[-1]


def first_mask(s: Structure) -> Mask | None:
    """The mask as it came from a model or a file, None for what a reviewer drew or where it was not kept."""
    came = s.provenance.source in ("model", "imported") and not s.edited
    return s.mask if s.first is None and came else s.first


def mask_step(structure: Structure, offset: Index, bits: Bits) -> MaskStep | None:
    """The step that makes the box at `offset` hold `bits`, cut to the voxels that differ; None when none does."""
    z, y, x = (slice(o, o + n) for o, n in zip(offset, bits.shape, strict=True))
    before = structure.mask.read((z, y, x))
    box = tight_box(before != bits)
    if box is None:
        return None
    start = (offset[0] + box[0].start, offset[1] + box[1].start, offset[2] + box[2].start)
    new = bits[box]
    return MaskStep(structure.id, start, (new.shape[0], new.shape[1], new.shape[2]), pack(before[box]), pack(new))


def write_mask(mask: Mask, offset: Index, bits: Bits) -> Mask:
    """Same as `mask.write`, for a mask whose box is tight, at the cost of one copy.

    `Mask.write` looks at every voxel again to find the new box. For a big structure (the body outline) that is too
    slow for a stroke; here only the faces of the box are looked at.
    """
    new = tight_box(bits)
    boxes = [mask.box] if mask.bits.size else []
    if new is not None:
        boxes.append(_moved(new, offset))
    if not boxes:
        return Mask()
    z, y, x = (slice(min(b[i].start for b in boxes), max(b[i].stop for b in boxes)) for i in range(3))
    union = mask.bits.copy() if boxes[0] == (z, y, x) and mask.bits.size else mask.read((z, y, x))
    inside, part = [], []
    for s, o, n in zip((z, y, x), offset, bits.shape, strict=True):
        low, high = max(s.start, o), min(s.stop, o + n)
        inside.append(slice(low - s.start, max(low, high) - s.start))
        part.append(slice(low - o, max(low, high) - o))
    union[tuple(inside)] = bits[tuple(part)]
    return _trimmed(union, (z.start, y.start, x.start))


def _moved(box: Box, offset: Index) -> Box:
    z, y, x = (slice(s.start + o, s.stop + o) for s, o in zip(box, offset, strict=True))
    return z, y, x


def _trimmed(bits: Bits, offset: Index) -> Mask:
    """Mask with the empty faces of its box taken off, one after the other."""
    start = list(offset)
    whole = bits.size
    for axis in range(3):
        low, high = 0, bits.shape[axis]
        planes = np.moveaxis(bits, axis, 0)  # a view
        while low < high and not planes[low].any():
            low += 1
        while high > low and not planes[high - 1].any():
            high -= 1
        if low == high:
            return Mask()
        bits = bits[tuple(slice(low, high) if a == axis else slice(None) for a in range(3))]
        start[axis] += low
    # A small rest must not keep a big array alive.
    return Mask((start[0], start[1], start[2]), bits.copy() if bits.size < whole / 2 else bits)
