"""Versions of one structure's mask: as a model proposed it or a file brought it, as last accepted, as it is now."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from contourdesk.app.history import Edit, HeaderStep, MaskStep, PresenceStep, first_mask, unpack
from contourdesk.app.review import ReviewSession
from contourdesk.app.structures import Mask, Structure


@dataclass(frozen=True, eq=False)
class Version:
    """One version: `key` is "first", "accepted" or "now"; `text` names it for the user."""

    key: str
    text: str
    mask: Mask


def versions(session: ReviewSession, structure_id: str) -> list[Version]:
    """The versions that there are, the oldest first; "now" is always among them. Raises KeyError."""
    structure = session.structures.get(structure_id)
    out = []
    first = shown_first(structure)
    if first is not None:
        out.append(Version("first", first_text(structure), first))
    accepted = accepted_mask(structure, session.edits)
    if accepted is not None:
        out.append(Version("accepted", "As last accepted", accepted))
    out.append(Version("now", "Now", structure.mask))
    return out


def first_text(structure: Structure) -> str:
    """What the first version is called: a model's proposal, or an import."""
    return "Proposal of the model" if structure.provenance.model else "As imported"


def shown_first(structure: Structure) -> Mask | None:
    """The mask as it was proposed or imported, None where there is none or the reviewer must not see it yet."""
    return None if structure.blind == "hidden" else first_mask(structure)


def ghost(structure: Structure) -> Mask | None:
    """The first version where the mask is another by now, else None."""
    first = shown_first(structure)
    return None if first is structure.mask else first


def accepted_mask(structure: Structure, done: tuple[Edit, ...]) -> Mask | None:
    """The mask when it was last accepted; None when it never was, or longer ago than the undo history reaches.

    Parameters
    ----------
    structure : as it is now.
    done : the edits that led to it, the last one last.
    """
    if structure.decision.accepted:
        return structure.mask
    steps: list[MaskStep] = []
    for edit in reversed(done):
        accepted = False
        for step in reversed(edit.steps):
            if step.structure_id != structure.id:
                continue
            if isinstance(step, PresenceStep):
                return None  # here it came into being
            if isinstance(step, MaskStep):
                steps.append(step)
            elif isinstance(step, HeaderStep):
                accepted = step.before.decision.accepted
        if accepted:
            return _taken_back(structure.mask, steps)
    return None


def _taken_back(mask: Mask, steps: list[MaskStep]) -> Mask:
    """The mask before these steps, the last one first; one array, however many steps there are."""
    if not steps:
        return mask
    boxes = [s.box for s in steps] + ([mask.box] if mask.bits.size else [])
    low = [min(b[i].start for b in boxes) for i in range(3)]
    high = [max(b[i].stop for b in boxes) for i in range(3)]
    bits = mask.read((slice(low[0], high[0]), slice(low[1], high[1]), slice(low[2], high[2])))
    for step in steps:
        where = tuple(slice(b.start - a, b.stop - a) for b, a in zip(step.box, low, strict=True))
        bits[where] = unpack(step.before, step.shape)
    return Mask.from_dense(np.asarray(bits), (low[0], low[1], low[2]))
