"""The review session: the only thing that changes structures. Main thread only; plain Python."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from typing import Any

import numpy as np
from psygnal import Signal

from contourdesk.app.case import Case
from contourdesk.app.changes import Change, changes_of
from contourdesk.app.colours import PALETTE
from contourdesk.app.confidence import Confidence, bounded
from contourdesk.app.contour import Contour
from contourdesk.app.contours_place import place, touched
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Box
from contourdesk.app.history import (
    Edit,
    EditHistory,
    Header,
    HeaderStep,
    Index,
    PresenceStep,
    Step,
    mask_step,
)
from contourdesk.app.limits import Limits, check_unlocked, limit
from contourdesk.app.naming import usable_name
from contourdesk.app.proposals import by_name, place_results
from contourdesk.app.readings import Reading, reader_of
from contourdesk.app.resample_masks import planes_of_slices
from contourdesk.app.structures import (
    MAX_NAME,
    STATES,
    Bits,
    Colour,
    Decision,
    Mask,
    Provenance,
    Structure,
    StructureSet,
)

log = logging.getLogger(__name__)

_place = lru_cache(maxsize=4)(place)  # contours are the same from stroke to stroke on a slice


@dataclass(frozen=True, eq=False)
class Record:
    """One line of the journal: `op` is "do", "undo" or "redo"; `revision` is the session's after it."""

    op: str
    edit: Edit
    revision: int
    time: str
    person: str


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A session at one moment. All parts are frozen, so it may go to another thread."""

    case: Case
    structures: StructureSet
    revision: int
    reviewer: str
    confidence: Mapping[str, Confidence] = field(default_factory=dict)
    readings: tuple[Reading, ...] = ()
    work: Mapping[str, Any] = field(default_factory=dict)


def now() -> str:
    """The time as ISO 8601 with the offset from UTC, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


class ReviewSession:
    """Edits, decisions and one undo history over the structures of a case.

    Parameters
    ----------
    case : what was read.
    reviewer : name written into decisions and edits; may be set later.
    structures, revision, history, confidence, readings, work : a state to go on from (see `project.resume`); else the
        case's own.

    Attributes
    ----------
    changed : psygnal signal with a `Change`, after each change.
    limits : what all edits of masks keep to from now on (see `limits`); not kept with the review.
    journal : called with a `Record` after each change, or None. What it raises reaches the caller of the edit; the
        edit itself stands by then.
    audit : called with what `note` is given, or None.
    blind : whether a model's results are hidden until the reviewer has drawn his own.
    readings : what former readers made of the structures, the oldest first.
    work : what is kept with the review besides, as JSON: figures and seconds by structure id (see `figures`).
    read_only : why nothing may be changed, a sentence; empty when all may be.
    """

    changed = Signal(Change)

    def __init__(
        self,
        case: Case,
        reviewer: str = "",
        *,
        structures: StructureSet | None = None,
        revision: int = 0,
        history: EditHistory | None = None,
        confidence: Mapping[str, Confidence] | None = None,
        readings: Sequence[Reading] = (),
        work: Mapping[str, Any] | None = None,
    ) -> None:
        self.case = case
        self.reviewer = reviewer
        self.limits = Limits()
        self.journal: Callable[[Record], None] | None = None
        self.audit: Callable[[str, dict[str, object]], None] | None = None
        self.read_only = ""
        self.blind = False
        self.readings = tuple(readings)
        self.work = dict(work or {})
        self._structures = case.structures if structures is None else structures
        self._revision = revision
        self._history = EditHistory() if history is None else history
        self._confidence = dict(confidence or {})
        self._touched: dict[str, int] = {}  # structure id -> revision of its last change

    # -- state ---------------------------------------------------------------------------------------------------

    @property
    def structures(self) -> StructureSet:
        """The structures as they are now."""
        return self._structures

    @property
    def revision(self) -> int:
        """Counts up by one with every edit, undo and redo."""
        return self._revision

    @property
    def can_undo(self) -> bool:
        """Whether there is something to undo."""
        return bool(self._history.done) and not self.read_only

    @property
    def can_redo(self) -> bool:
        """Whether there is something to redo."""
        return bool(self._history.undone) and not self.read_only

    @property
    def undo_text(self) -> str:
        """What `undo` would take back, or an empty text."""
        return self._history.done[-1].text if self._history.done else ""

    @property
    def redo_text(self) -> str:
        """What `redo` would do again, or an empty text."""
        return self._history.undone[-1].text if self._history.undone else ""

    @property
    def edits(self) -> tuple[Edit, ...]:
        """The edits that `undo` could take back, the last one last."""
        return tuple(self._history.done)

    def snapshot(self) -> Snapshot:
        """The state now, frozen. Costs nothing: no voxel is copied."""
        kept = {s.id: self._confidence[s.id] for s in self._structures if s.id in self._confidence}
        state = (self.case, self._structures, self._revision, self.reviewer)
        return Snapshot(*state, kept, self.readings, dict(self.work))

    def confidence(self, structure_id: str | None) -> Confidence | None:
        """The model's probabilities of a structure, None where there are none, or are not to be shown yet."""
        hidden = any(s.id == structure_id and s.blind == "hidden" for s in self._structures)
        return None if structure_id is None or hidden else self._confidence.get(structure_id)

    # -- masks ---------------------------------------------------------------------------------------------------

    def paint(self, structure_id: str, offset: Index, bits: Bits, tool: str = "brush") -> None:
        """Make the box at `offset` of one structure hold `bits` (z, y, x); what lies outside the grid is ignored.

        The structure counts as edited by the reviewer, loses its imported contours on the slices that change, and a
        decision on it is reopened. What `limits` forbid stays as it is; nothing happens when no voxel would change.

        Raises KeyError for an unknown one, UserError for a locked one and where the limits allow nothing at all.
        """
        old = self._structures.get(structure_id)
        check_unlocked(old)
        offset, bits = _clip(offset, np.asarray(bits, dtype=bool), self._structures.grid.shape)
        step = mask_step(old, offset, limit(self.limits, self._structures, structure_id, offset, bits))
        if step is None and mask_step(old, offset, bits) is not None:
            raise UserError("The limits in force allow no change here.", "Look at Limits in the Edit panel.")
        if step is not None:
            text = f"{tool.capitalize()} on {old.name}"
            header = HeaderStep(structure_id, Header.of(old), self._edited_header(old), self._dropped(old, step.slices))
            self._do(tool, text, [step, header])

    def _dropped(self, old: Structure, slices: Sequence[int]) -> tuple[tuple[int, Contour], ...]:
        """Imported contours, with their places, that a change of these slices makes untrue."""
        contours, source = old.contours or (), self.case.source
        if source.resampled is None:
            placement = _place(contours, self._structures.grid, source.image_uids)
        else:
            placement = source.resampled.planes.place(contours, source.image_uids)
            slices = planes_of_slices(slices, source.resampled)
        return tuple((i, contours[i]) for i in touched(placement, slices))

    def replace_mask(self, structure_id: str, mask: Mask, tool: str) -> None:
        """Give a structure a new mask (smoothing, margin, ...); else like `paint`."""
        old = self._structures.get(structure_id)
        boxes = [m.box for m in (old.mask, mask) if m.bits.size]
        if boxes:
            low = [min(b[i].start for b in boxes) for i in range(3)]
            high = [max(b[i].stop for b in boxes) for i in range(3)]
            box = (slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2]))
            self.paint(structure_id, (low[0], low[1], low[2]), mask.read(box), tool)

    def _edited_header(self, s: Structure) -> Header:
        # Model and weights stay in the provenance: an edited proposal is still known to come from that model.
        made = replace(s.provenance, source="reviewer", person=self.reviewer, time=now())
        decision = s.decision
        if decision.state != "unreviewed":
            decision = Decision(person=self.reviewer, time=made.time, comment=decision.comment)
        return replace(Header.of(s), provenance=made, decision=decision, edited=True)

    # -- structures ----------------------------------------------------------------------------------------------

    def add(
        self, name: str, colour: Colour | None = None, mask: Mask | None = None, interpreted_type: str = "ORGAN"
    ) -> str:
        """Add a structure drawn by the reviewer and return its id; a taken name gets a number.

        Raises UserError for a name that can't be used.
        """
        new = Structure(
            name=self._structures.free_name(usable_name(name)),
            colour=self._free_colour() if colour is None else colour,
            mask=self._inside(Mask() if mask is None else mask),
            provenance=Provenance("reviewer", person=self.reviewer, time=now()),
            interpreted_type=interpreted_type,
            edited=mask is not None and not mask.is_empty,
        )
        self._do("add", f"Add {new.name}", [PresenceStep(new, len(self._structures), added=True)])
        return new.id

    def add_proposals(
        self,
        structures: Sequence[Structure],
        *,
        base_revision: int | None = None,
        confidence: Mapping[str, Confidence] | None = None,
        box: Box | None = None,
    ) -> list[str]:
        """Add a model's results as one undo step and return their ids, in order.

        A structure of the same name is replaced, in its place and colour, when it is itself a model's proposal
        that nobody edited or decided on, nor touched since `base_revision` (the session's revision when the model
        started). Any other stays as it is, and the new one is added under a free name. `confidence` are the model's
        probabilities by structure id. `box` is the part of the image that the model was asked for: outside it, a
        proposal of the same weights that is replaced stays as it was.

        Raises ValueError when a mask reaches outside the grid.
        """
        for new in structures:
            self._inside(new.mask)
        base = self._revision if base_revision is None else base_revision
        touched = {key for key, at in self._touched.items() if at > base}
        before = self._structures, structures, touched, self._confidence, confidence or {}
        placed = place_results(*before, box, self.blind)
        if placed.steps:
            self._confidence = bounded({**self._confidence, **placed.confidence}, (s.id for s in placed.items))
            self._do("model", "Add model results", placed.steps)
        return list(placed.ids)

    def add_imported(self, structures: Sequence[Structure], what: str) -> list[str]:
        """Add structures from a file, under free names, as one undo step; returns ids. ValueError: off the grid."""
        steps: list[Step] = []
        items = self._structures
        for new in structures:
            self._inside(new.mask)
            step = PresenceStep(replace(new, name=items.free_name(new.name)), len(items), added=True)
            steps.append(step)
            items = step.apply(items, forward=True)
        if steps:
            self._do("import", f"Import {what}", steps)
        return [s.id for s in structures]

    def rename(self, structure_id: str, name: str) -> None:
        """Rename a structure. Raises UserError for an empty, taken or unusable name."""
        old = self._structures.get(structure_id)
        name = usable_name(name)
        other = by_name(self._structures.without(structure_id), name)
        if other is not None:
            raise UserError(f"There is already a structure called {other.name}.", "Choose another name.")
        self._put_header(old, "rename", f"Rename {old.name} to {name}", replace(Header.of(old), name=name))

    def recolour(self, structure_id: str, colour: Colour) -> None:
        """Give a structure another colour, (red, green, blue) of 0 to 255. Raises ValueError."""
        old = self._structures.get(structure_id)
        if len(colour) != 3 or not all(0 <= int(c) <= 255 for c in colour):
            raise ValueError(f"colour must be three numbers from 0 to 255, got {colour!r}")
        new = (int(colour[0]), int(colour[1]), int(colour[2]))
        self._put_header(old, "recolour", f"Recolour {old.name}", replace(Header.of(old), colour=new))

    def regroup(self, structure_id: str, group: str) -> None:
        """Put a structure under a heading of the reviewer's own in the list; empty: the one that goes with its type."""
        old = self._structures.get(structure_id)
        group = group.strip()[:MAX_NAME]
        self._put_header(old, "group", f"Group of {old.name}", replace(Header.of(old), group=group))

    def delete(self, structure_id: str) -> None:
        """Delete a structure. Raises KeyError, and UserError for a locked one."""
        old = self._structures.get(structure_id)
        check_unlocked(old)
        self._do("delete", f"Delete {old.name}", [PresenceStep(old, self._structures.items.index(old), added=False)])

    def decide(self, structure_id: str, state: str, comment: str = "") -> None:
        """Record a decision with the reviewer's name and the time; "unreviewed" reopens it.

        Raises ValueError for a state that is none of `STATES`.
        """
        old = self._structures.get(structure_id)
        if state not in STATES:
            raise ValueError(f"state must be one of {tuple(STATES)}, got {state!r}")
        if (old.decision.state, old.decision.comment) == (state, comment):
            return
        text = {"rejected": "Reject {}", "unreviewed": "Reopen {}", "accepted-edited": "Accept {} with minor edit"}
        wording = "Comment on {}" if old.decision.state == state else text.get(state, "Accept {}")
        decision = Decision(state, self.reviewer, now(), comment)
        self._put_header(old, "decide", wording.format(old.name), replace(Header.of(old), decision=decision))

    def set_locked(self, structure_id: str, locked: bool) -> None:
        """Lock a structure, so that no edit changes or overwrites it, or unlock it. Raises KeyError."""
        old = self._structures.get(structure_id)
        word = "lock" if locked else "unlock"
        self._put_header(old, word, f"{word.capitalize()} {old.name}", replace(Header.of(old), locked=locked))

    def is_locked(self, structure_id: str) -> bool:
        """Whether a structure is locked. Raises KeyError."""
        return self._structures.get(structure_id).locked

    def show_proposal(self, structure_id: str) -> None:
        """Let a hidden proposal be seen. Raises UserError while the reviewer has drawn nothing, KeyError."""
        old = self._structures.get(structure_id)
        if old.blind != "hidden":
            return
        if old.mask.is_empty:
            raise UserError(f"{old.name} is empty yet.", "Draw your own contour before you look at the proposal.")
        self._put_header(old, "reveal", f"Show the proposal of {old.name}", replace(Header.of(old), blind="shown"))

    def begin_reading(self, person: str) -> None:
        """Keep all contours and decisions as the reading of who made them; `person` reads from now on.

        All decisions are open again, as one undo step; the contours stay for the next reader to change.
        """
        self._check_writable()
        reader = reader_of(self._structures, self.reviewer)
        self.readings = (*self.readings, Reading(reader, now(), self._structures))
        self.reviewer = person
        decided = [s for s in self._structures if s.decision.state != "unreviewed"]
        steps = [HeaderStep(s.id, Header.of(s), replace(Header.of(s), decision=Decision())) for s in decided]
        if steps:
            self._do("reading", f"Next reading, by {person}", steps)

    def _put_header(self, old: Structure, tool: str, text: str, after: Header) -> None:
        before = Header.of(old)
        if before != after:
            self._do(tool, text, [HeaderStep(old.id, before, after)])

    def _free_colour(self) -> Colour:
        used = [s.colour for s in self._structures]
        return min(PALETTE, key=used.count)

    def _inside(self, mask: Mask) -> Mask:
        shape = self._structures.grid.shape
        if mask.bits.size and any(s.start < 0 or s.stop > n for s, n in zip(mask.box, shape, strict=True)):
            raise ValueError(f"mask {mask.box} reaches outside the grid {shape}")
        return mask

    # -- history -------------------------------------------------------------------------------------------------

    def note(self, what: str, **details: object) -> None:
        """Have something put into the audit trail that is no edit: an export, blind mode, ... No patient's data."""
        if self.audit is not None:
            self.audit(what, details)

    def _check_writable(self) -> None:
        if self.read_only:
            raise UserError(self.read_only, "You can look at everything, but change nothing.")

    def undo(self) -> None:
        """Take back the last edit, of whatever kind; nothing when there is none."""
        self._check_writable()
        edit = self._history.undo()
        if edit is not None:
            self._structures = edit.apply(self._structures, forward=False)
            self._announce("undo", edit)

    def redo(self) -> None:
        """Do the last undone edit again; nothing when there is none."""
        self._check_writable()
        edit = self._history.redo()
        if edit is not None:
            self._structures = edit.apply(self._structures)
            self._announce("redo", edit)

    def _do(self, tool: str, text: str, steps: Sequence[Step]) -> None:
        self._check_writable()
        edit = Edit(tool, text, tuple(steps), self.reviewer, now())
        self._structures = edit.apply(self._structures)
        self._history.push(edit)
        self._announce("do", edit)

    def _announce(self, op: str, edit: Edit) -> None:
        self._revision += 1
        for step in edit.steps:
            self._touched[step.structure_id] = self._revision
        log.debug("%s %s, revision %d", op, edit.tool, self._revision)
        try:  # the journal first: what a view makes of the change may take long, fail, or lead to the next edit
            if self.journal is not None:
                self.journal(Record(op, edit, self._revision, now(), self.reviewer))
        finally:
            for change in changes_of(edit, op != "undo"):
                self.changed.emit(change)


def _clip(offset: Index, bits: Bits, shape: Index) -> tuple[Index, Bits]:
    low = [max(0, -o) for o in offset]
    high = [max(a, min(k, n - o)) for a, k, o, n in zip(low, bits.shape, offset, shape, strict=True)]
    start = (offset[0] + low[0], offset[1] + low[1], offset[2] + low[2])
    return start, bits[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
