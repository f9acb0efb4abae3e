"""What a session's change means to those who show it."""

from __future__ import annotations

from dataclasses import dataclass

from contourdesk.app.geometry import Box
from contourdesk.app.history import Edit, MaskStep, PresenceStep


@dataclass(frozen=True)
class Change:
    """What a view has to redraw.

    `what` is "mask", "added", "removed", "renamed", "recoloured", "decided", "regrouped", "locked", "revealed" (its
    hidden proposal) or "reset" (everything); `box` is the tight box of changed voxels for "mask". `structure_id` is
    None for "reset", and where more than a few structures came or went at once.
    """

    what: str
    structure_id: str | None = None
    box: Box | None = None


_FEW = 3


def changes_of(edit: Edit, forward: bool) -> list[Change]:
    """What an edit changes, or taking it back when not `forward`."""
    out: list[Change] = []
    for step in edit.steps if forward else reversed(edit.steps):
        if isinstance(step, MaskStep):
            out.append(Change("mask", step.structure_id, step.box))
        elif isinstance(step, PresenceStep):
            out.append(Change("added" if step.added == forward else "removed", step.structure_id))
        else:
            a, b = step.before, step.after
            for what, differs in (
                ("renamed", a.name != b.name),
                ("recoloured", a.colour != b.colour),
                ("decided", a.decision != b.decision),
                ("locked", a.locked != b.locked),
                ("regrouped", a.group != b.group),
                ("revealed", a.blind != b.blind),
            ):
                if differs:
                    out.append(Change(what, step.structure_id))
    return _together(out)


def _together(changes: list[Change]) -> list[Change]:
    """One change for many structures that come, and one for many that go: lists are made anew once, not sixty times."""
    for what in ("removed", "added"):
        if sum(change.what == what for change in changes) > _FEW:
            changes = [change for change in changes if change.what != what]
            changes.append(Change(what))
    return changes
