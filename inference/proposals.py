"""What makes the proposals of case after case, for `contourdesk.app.propose_many`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from contourdesk.app.case import Case
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.propose_many import Proposals
from contourdesk.inference.model_library import default_for, find, load, site_of
from contourdesk.inference.options import Options

if TYPE_CHECKING:
    from contourdesk.inference.nnunet import Model


def proposer(model: str, device: str) -> Callable[[Case], Job[Proposals]]:
    """A function that segments a case with the default model of its body site, else with `model` (its name).

    A model is read once. The function raises UserError for a broken model, or a device that isn't there.
    """
    loaded: dict[str, tuple[Model, ...]] = {}

    def propose(case: Case) -> Job[Proposals]:
        yield Progress(0, 0, "Loading the model")
        from contourdesk.inference.device import choose_device
        from contourdesk.inference.predict import predict

        part = str(case.source.header.get("BodyPartExamined", "")) if case.source.header is not None else ""
        site = site_of(f"{case.source.description} {part}")
        entry = (default_for(site) if site else None) or find(model)
        if entry.name not in loaded:
            loaded[entry.name] = load(entry.name)
        found = yield from predict(case.volume, loaded[entry.name], choose_device(device), Options(probabilities=True))
        return [s for s in found if not s.mask.is_empty], found.confidence

    return propose
