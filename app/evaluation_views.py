"""A case of an evaluation as a review folder, to look at in the window: the truth and what each model drew."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from contourdesk.app.evaluate_work import ModelUse
from contourdesk.app.evaluation_cases import Truth
from contourdesk.app.evaluation_pictures import COLOURS
from contourdesk.app.evaluation_score import by_meaning, organ_name
from contourdesk.app.jobs import Job
from contourdesk.app.naming import label_key, type_for
from contourdesk.app.project import save
from contourdesk.app.review import ReviewSession
from contourdesk.app.structures import Mask, Provenance, Structure, StructureSet


def save_view(
    folder: Path, truth: Truth, found: Mapping[str, Mapping[str, Mask]], models: Sequence[ModelUse]
) -> Job[Path]:
    """Write a review folder with three groups of locked structures: Truth, Model A, Model B.

    Raises
    ------
    UserError : it can't be written, or would lie among the images.
    """
    grid = truth.case.volume.grid
    case = replace(truth.case, structures=StructureSet(grid, tuple(_structures(truth, found, models))))
    yield from save(ReviewSession(case).snapshot(), folder)
    return folder


def _structures(
    truth: Truth, found: Mapping[str, Mapping[str, Mask]], models: Sequence[ModelUse]
) -> Iterator[Structure]:
    organs = {label_key(name): organ_name(name) for name in truth.masks}
    for key, mask in by_meaning(truth.masks.items()).items():
        yield _structure(organs[key], "truth", mask, Provenance("imported"), "Truth")
    for use in models:
        drawn = by_meaning(found.get(use.letter, {}).items())
        origin = Provenance("model", model=use.name, weights_sha256=" ".join(use.weights_sha256))
        for key, organ in organs.items():
            if key in drawn:
                yield _structure(f"{organ} {use.letter}", use.letter, drawn[key], origin, f"Model {use.letter}")


def _structure(name: str, colour: str, mask: Mask, origin: Provenance, group: str) -> Structure:
    kind = type_for(name.rpartition(" ")[0] or name)
    return Structure(name, COLOURS[colour], mask, origin, interpreted_type=kind, group=group, locked=True)
