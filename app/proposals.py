"""How a model's results come into a review: what they replace, and what they stand beside."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from contourdesk.app.confidence import Confidence, merge, merge_mask
from contourdesk.app.geometry import Box
from contourdesk.app.history import PresenceStep, Step
from contourdesk.app.structures import Mask, Structure, StructureSet


@dataclass(frozen=True, eq=False)
class Placed:
    """Steps of one edit, the ids of the results in their order, their probabilities, and the structures after it."""

    steps: tuple[Step, ...]
    ids: tuple[str, ...]
    confidence: Mapping[str, Confidence]
    items: StructureSet


def place_results(
    items: StructureSet,
    results: Sequence[Structure],
    touched: Collection[str],
    before: Mapping[str, Confidence],
    confidence: Mapping[str, Confidence],
    box: Box | None,
    blind: bool = False,
) -> Placed:
    """Put a model's results among the structures.

    A structure of the same name is replaced, in its place and colour, when it is itself a model's proposal that nobody
    edited or decided on. Any other stays as it is, and the result is added under a free name.

    Parameters
    ----------
    touched : ids of structures that were changed while the model ran.
    before : probabilities of the structures that are there, by id;  confidence : of the results.
    box : the part of the image that the model was asked for, all when None. A proposal of the same weights stays as it
        was outside it, one of other weights is not replaced.
    blind : whether the reviewer draws before he sees the results: then each comes empty, with the result behind it.
    """
    steps: list[Step] = []
    ids: list[str] = []
    kept = dict(confidence)
    for new in results:
        if blind:
            new = replace(new, mask=Mask(), first=new.mask, blind="hidden")
            box = None  # what is hidden is not mended in parts
        old = by_name(items, new.name)
        if old is not None and old.id not in ids and old.id not in touched and _replaceable(old, new, box):
            if box is not None:
                new = _merged(old, new, before.get(old.id), kept, box)
            index = items.items.index(old)
            steps.append(PresenceStep(old, index, added=False))
            step = PresenceStep(replace(new, name=old.name, colour=old.colour), index, added=True)
            items = items.without(old.id)
        else:
            step = PresenceStep(replace(new, name=items.free_name(new.name)), len(items), added=True)
        steps.append(step)
        items = step.apply(items, forward=True)
        ids.append(step.structure.id)
    return Placed(tuple(steps), tuple(ids), kept, items)


def by_name(items: StructureSet, name: str) -> Structure | None:
    """The structure with this name, case and outer blanks ignored."""
    key = name.strip().casefold()
    return next((s for s in items if s.name.strip().casefold() == key), None)


def _replaceable(old: Structure, new: Structure, box: Box | None) -> bool:
    one_model = box is None or old.provenance.weights_sha256 == new.provenance.weights_sha256
    proposal = old.provenance.source == "model" and not old.edited and not old.locked
    return one_model and proposal and old.decision.state == "unreviewed"


def _merged(
    old: Structure, new: Structure, before: Confidence | None, kept: dict[str, Confidence], box: Box
) -> Structure:
    if before is not None:
        nothing = Confidence(before.offset, before.read(before.box) * 0)
        kept[new.id] = merge(before, kept.get(new.id, nothing), box)
    return replace(new, mask=merge_mask(old.mask, new.mask, box))
