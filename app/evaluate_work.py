"""One case of an evaluation from end to end: read the truth, predict (or take the kept prediction), compare.

It runs in this process or in another, on this machine or another: what goes in and out is small and can be sent.
PyTorch is imported only when something has to be predicted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

from contourdesk.app.evaluation import Score
from contourdesk.app.evaluation_cases import HeldOut, Truth, read_truth
from contourdesk.app.evaluation_score import score_case
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.prediction_cache import cache_file, image_key, load_masks, save_masks
from contourdesk.app.structures import Mask
from contourdesk.app.volume import Volume


@dataclass(frozen=True)
class ModelUse:
    """A model as it is used: where it lies, which folds, how.

    Parameters
    ----------
    letter : "A" or "B";  name : what the user called it;  path : folder or archive.
    key : see `contourdesk.inference.identity.model_key`.
    labels : names of its structures;  folds, organs, mirroring : see `segment`.
    weights_sha256 : of its parts.
    """

    letter: str
    name: str
    path: str
    key: str
    labels: tuple[str, ...] = ()
    weights_sha256: tuple[str, ...] = ()
    folds: tuple[str, ...] | None = None
    organs: tuple[str, ...] | None = None
    mirroring: bool = True


@dataclass(frozen=True)
class EvaluateTask:
    """What one case needs to be evaluated; `cache` keeps predictions."""

    held: HeldOut
    models: tuple[ModelUse, ...]
    cache: Path
    tolerance_mm: float
    device: str = "auto"

    @property
    def name(self) -> str:
        """The case's name."""
        return self.held.name


@dataclass(frozen=True)
class CaseResult:
    """One case's scores; `kept` counts the predictions that were there already."""

    name: str
    patient: str
    image: str
    scores: tuple[Score, ...]
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    kept: int = 0
    spacing_mm: tuple[float, float, float] = field(default=(0.0, 0.0, 0.0))


def use_model(letter: str, name: str, path: Path, use: ModelUse | None = None) -> ModelUse:
    """Read a model and say how it is used; folds, organs and mirroring are those of `use`. Raises UserError."""
    from contourdesk.inference.identity import loaded, model_key
    from contourdesk.inference.options import Options

    use = use or ModelUse(letter, name, str(path), "")
    models = loaded(str(path), use.folds)
    options = Options(organs=use.organs, mirroring=use.mirroring)
    return ModelUse(
        letter,
        name,
        str(path),
        model_key(models, options),
        tuple(label for model in models for label in model.labels),
        tuple(model.weights_sha256 for model in models),
        use.folds,
        use.organs,
        use.mirroring,
    )


def evaluate_case(task: EvaluateTask) -> Job[CaseResult]:
    """Evaluate the models on one case.

    Raises
    ------
    UserError : the case can't be read, nothing is known in it, or it can't be segmented.
    """
    start = time.monotonic()
    truth = yield from read_truth(task.held)
    volume = truth.case.volume
    image = image_key(volume)
    found: dict[str, dict[str, Mask]] = {}
    notes = list(truth.notes)
    kept = 0
    for use in task.models:
        file = cache_file(task.cache, use.key, image)
        masks = load_masks(file)
        kept += masks is not None
        if masks is None:
            masks, more = yield from _predict(volume, use, task.device)
            notes += more
            save_masks(file, masks)
        found[use.letter] = masks
    yield Progress(1, 1, f"Comparing {task.name}")
    scores = score_case(task.name, truth.patient, truth.masks, found, volume.grid, task.tolerance_mm)
    seconds = time.monotonic() - start
    spacing = volume.grid.spacing_mm
    return CaseResult(
        task.name, truth.patient, image, tuple(scores), tuple(dict.fromkeys(notes)), seconds, kept, spacing
    )


def _predict(volume: Volume, use: ModelUse, device: str) -> Job[tuple[dict[str, Mask], tuple[str, ...]]]:
    from contourdesk.inference.device import choose_device
    from contourdesk.inference.identity import loaded_as
    from contourdesk.inference.options import Options
    from contourdesk.inference.predict import predict

    options = Options(organs=use.organs, mirroring=use.mirroring)
    models = loaded_as(use.path, use.folds, use.weights_sha256)
    found = yield from predict(volume, models, choose_device(device), options)
    return {s.name: s.mask for s in found}, found.notes


def read_again(task: EvaluateTask, image: str) -> Job[tuple[Truth, dict[str, dict[str, Mask]]]]:
    """A case's truth and the kept predictions of each model, for pictures. Raises UserError."""
    truth = yield from read_truth(task.held)
    found = {use.letter: load_masks(cache_file(task.cache, use.key, image)) or {} for use in task.models}
    return truth, found
