"""Structures: masks with a name, a colour, a history of where they came from, and the reviewer's decision.

All types here are frozen. An edit makes a new `Mask` and a new `Structure`; so a snapshot of a `StructureSet` is a
reference, threads can share one, and undo is exact.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.contour import Contour
from contourdesk.app.geometry import Box, Grid

Bits = NDArray[np.bool_]
Colour = tuple[int, int, int]

# A reviewer's decisions, and how they are told; a review's files hold the words on the left.
STATES = {
    "unreviewed": "unreviewed",
    "accepted": "accepted",
    "accepted-edited": "accepted with minor edit",
    "rejected": "rejected",
}
ACCEPTED = ("accepted", "accepted-edited")
MAX_NAME = 64  # DICOM's LO; a longer ROI name could not be exported as it is


@dataclass(frozen=True, eq=False)
class Mask:
    """A bool box somewhere in a grid; everything outside the box is False.

    Parameters
    ----------
    offset : index (z, y, x) of the box's first voxel in the grid.
    bits : (z, y, x) bool, made read-only. May have size 0 for an empty mask.
    """

    offset: tuple[int, int, int] = (0, 0, 0)
    bits: Bits = field(default_factory=lambda: np.zeros((0, 0, 0), bool))

    def __post_init__(self) -> None:
        bits = np.asarray(self.bits, dtype=bool).view()
        bits.setflags(write=False)
        object.__setattr__(self, "bits", bits)
        object.__setattr__(self, "offset", tuple(int(n) for n in self.offset))

    @classmethod
    def from_dense(cls, array: NDArray[np.generic], offset: tuple[int, int, int] = (0, 0, 0)) -> Mask:
        """Tight mask of the non-zero voxels of `array`, whose first voxel lies at `offset`. Copies."""
        bits = np.asarray(array)
        tight = cls(offset, bits if bits.dtype == bool else bits != 0).tight
        return cls(tight.offset, tight.bits.copy())

    @property
    def box(self) -> Box:
        """The box in the grid."""
        z, y, x = (slice(o, o + n) for o, n in zip(self.offset, self.bits.shape, strict=True))
        return z, y, x

    @property
    def tight(self) -> Mask:
        """The same mask in the smallest box that holds it; a view of the same voxels. Empty ones have no box."""
        box = tight_box(self.bits)
        if box is None:
            return Mask()
        z, y, x = (o + s.start for o, s in zip(self.offset, box, strict=True))
        return Mask((z, y, x), self.bits[box])

    @property
    def count(self) -> int:
        """Number of voxels set."""
        return int(np.count_nonzero(self.bits))

    @property
    def is_empty(self) -> bool:
        """Whether no voxel is set."""
        return not self.bits.any()

    def dense(self, shape: tuple[int, int, int]) -> Bits:
        """The mask as a bool array of the grid's shape."""
        out = np.zeros(shape, bool)
        out[self.box] = self.bits
        return out

    def read(self, box: Box) -> Bits:
        """Bits of a box of the grid, which may reach outside this mask's own box. Copies."""
        out = np.zeros(tuple(s.stop - s.start for s in box), bool)
        mine, theirs = _overlap(self.box, box)
        if mine is not None and theirs is not None:
            out[theirs] = self.bits[mine]
        return out

    def write(self, offset: tuple[int, int, int], bits: Bits) -> Mask:
        """A new mask in which the box at `offset` holds `bits` and all else is as before; tight."""
        if bits.size == 0:
            return self
        boxes = [tuple((o, o + n) for o, n in zip(offset, bits.shape, strict=True))]
        if self.bits.size:
            boxes.append(tuple((s.start, s.stop) for s in self.box))
        low = [min(b[i][0] for b in boxes) for i in range(3)]
        high = [max(b[i][1] for b in boxes) for i in range(3)]
        union = self.read((slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])))
        union[tuple(slice(o - a, o - a + n) for o, a, n in zip(offset, low, bits.shape, strict=True))] = bits
        return Mask.from_dense(union, (low[0], low[1], low[2]))

    def equals(self, other: Mask) -> bool:
        """Whether both have the same voxels set."""
        a, b = self.tight, other.tight
        return a.offset == b.offset and np.array_equal(a.bits, b.bits)


def tight_box(bits: Bits) -> Box | None:
    """Smallest box round the True voxels, or None."""
    if bits.size == 0:
        return None
    slices = np.flatnonzero(np.any(bits, axis=(1, 2)))
    if slices.size == 0:
        return None
    plane: Bits = np.any(bits[slices[0] : slices[-1] + 1], axis=0)  # fewer passes over the voxels than one an axis
    z, y, x = (
        slice(int(where[0]), int(where[-1]) + 1)
        for where in (slices, np.flatnonzero(plane.any(axis=1)), np.flatnonzero(plane.any(axis=0)))
    )
    return z, y, x


def _overlap(a: Box, b: Box) -> tuple[Box | None, Box | None]:
    low = [max(p.start, q.start) for p, q in zip(a, b, strict=True)]
    high = [min(p.stop, q.stop) for p, q in zip(a, b, strict=True)]
    if any(h <= lo for lo, h in zip(low, high, strict=True)):
        return None, None
    in_a = tuple(slice(lo - p.start, h - p.start) for lo, h, p in zip(low, high, a, strict=True))
    in_b = tuple(slice(lo - q.start, h - q.start) for lo, h, q in zip(low, high, b, strict=True))
    return (in_a[0], in_a[1], in_a[2]), (in_b[0], in_b[1], in_b[2])


@dataclass(frozen=True)
class Provenance:
    """Where a structure came from. Times are ISO 8601 with offset; no patient data."""

    source: str  # "model", "imported" or "reviewer"
    person: str = ""
    time: str = ""
    model: str = ""
    weights_sha256: str = ""
    software: str = ""
    parent: str = ""  # id of the structure this one was made from, or "RTSTRUCT" and the UID of the set it was in
    remark: str = ""  # what the reviewer took upon himself: an import against the file's own references


@dataclass(frozen=True)
class Decision:
    """What the reviewer decided: state is one of `STATES`.

    "accepted-edited" is an acceptance for which the proposal needed a minor edit; wherever it matters whether a
    structure is accepted, it is.
    """

    state: str = "unreviewed"
    person: str = ""
    time: str = ""
    comment: str = ""

    @property
    def accepted(self) -> bool:
        """Whether it is accepted, as it was proposed or with a minor edit."""
        return self.state in ACCEPTED

    @property
    def text(self) -> str:
        """The state in words."""
        return STATES.get(self.state, self.state)


@dataclass(frozen=True, eq=False)
class Structure:
    """One structure.

    `edited` says whether a person changed the mask since it was made; `interpreted_type` is DICOM's
    RT ROI Interpreted Type (ORGAN, PTV, EXTERNAL, ...). `group` is the reviewer's own heading in the list, empty for
    the one that goes with the type. A `locked` structure is neither changed nor drawn over. `first` is the mask as a
    model proposed it or a file brought it, kept from the first edit on; None before it, for what a reviewer drew, and
    in reviews of before it was kept. `blind` is "hidden" while `first` must not be shown to the reviewer, who draws his
    own first, "shown" from when he asked for it, and empty where it was never hidden.

    `contours` are imported ones that still hold, as they came; None when there never were any. An edit takes away
    those of the slices whose voxels it changed, and undoing it brings them back; points, open lines and what lies off
    the images always stay. So a writer writes `contours` point for point and draws anew only
    ``contours_place.left_to_draw(structure, grid, image_uids)``, the part of `mask` that none of them stands for.
    """

    name: str
    colour: Colour
    mask: Mask
    provenance: Provenance
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    interpreted_type: str = "ORGAN"
    decision: Decision = field(default_factory=Decision)
    edited: bool = False
    contours: tuple[Contour, ...] | None = None
    group: str = ""
    locked: bool = False
    first: Mask | None = None
    blind: str = ""

    def volume_ml(self, grid: Grid) -> float:
        """Volume in millilitres: voxels set times voxel volume."""
        return self.mask.count * grid.voxel_ml


@dataclass(frozen=True, eq=False)
class StructureSet:
    """Ordered structures on one grid. They may overlap; ids and names are unique."""

    grid: Grid
    items: tuple[Structure, ...] = ()

    def __post_init__(self) -> None:
        for what in ("id", "name"):
            values = [getattr(s, what) for s in self.items]
            if len(set(values)) != len(values):
                raise ValueError(f"two structures share a {what}: {sorted(values)}")

    def __iter__(self) -> Iterator[Structure]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def get(self, structure_id: str) -> Structure:
        """The structure with this id. Raises KeyError."""
        for item in self.items:
            if item.id == structure_id:
                return item
        raise KeyError(structure_id)

    def named(self, name: str) -> Structure | None:
        """The structure with this name, or None."""
        return next((s for s in self.items if s.name == name), None)

    def put(self, structure: Structure, index: int | None = None) -> StructureSet:
        """With `structure` in the place of the one with its id, or added (at `index`, else last)."""
        items = list(self.items)
        for i, item in enumerate(items):
            if item.id == structure.id:
                items[i] = structure
                return replace(self, items=tuple(items))
        items.insert(len(items) if index is None else index, structure)
        return replace(self, items=tuple(items))

    def without(self, structure_id: str) -> StructureSet:
        """Without the structure that has this id."""
        return replace(self, items=tuple(s for s in self.items if s.id != structure_id))

    def free_name(self, wanted: str) -> str:
        """`wanted`, or with a number behind it that makes it unique (ignoring case and outer blanks).

        The number takes the place of a long name's end, so that a name that DICOM allows stays one.
        """
        taken = {s.name.strip().casefold() for s in self.items}
        name, n = wanted, 2
        while name.strip().casefold() in taken:
            number = f" ({n})"
            name, n = wanted[: max(1, MAX_NAME - len(number))] + number, n + 1
        return name
