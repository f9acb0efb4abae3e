"""Cases that are held out of a training: which, the Dice on them while it goes on, and a picture to look at."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from contourdesk.app.errors import UserError
from contourdesk.app.evaluation_pictures import picture
from contourdesk.app.files import write_atomically
from contourdesk.app.geometry import Grid
from contourdesk.app.structures import Mask
from contourdesk.app.volume import Volume
from contourdesk.inference.networks import is_unpadded
from contourdesk.inference.overlap_tile import overlap_tile
from contourdesk.inference.plans import Settings
from contourdesk.inference.sliding_window import sliding_window
from contourdesk.inference.training_data import RawDataset, TrainingCase

MOST_SCORED = 8
_LEAST_PATIENTS = 10
_PART = 10  # one patient of so many is held out where no splits_final.json says which


def held_out(dataset: RawDataset, names: Sequence[str], fold: str) -> tuple[list[str], str]:
    """Which of the cases are kept out of training, and a sentence about it.

    Raises
    ------
    UserError : the dataset has no such fold, or nothing would be left.
    """
    if fold == "all":
        return [], f"No case of {dataset.name} is held out."
    path = dataset.folder / "splits_final.json"
    if path.is_file():
        try:
            chosen = set(json.loads(path.read_text("utf-8"))[int(fold)]["val"])
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise UserError(f"{path} has no fold {fold}.", 'Choose another fold, or "all".') from error
        kept = [name for name in names if name in chosen]
        if len(kept) == len(names):
            return [], f"No case of {dataset.name} is held out: fold {fold} would leave none to learn from."
        return kept, f"{len(kept)} of {len(names)} cases of {dataset.name} are held out (fold {fold})."
    patients = {dataset.patients.get(name, name) for name in names}
    if len(patients) < _LEAST_PATIENTS:
        return [], f"No case of {dataset.name} is held out: it has fewer than {_LEAST_PATIENTS} patients."
    order = sorted(patients, key=lambda one: hashlib.sha256(f"held out {one}".encode()).digest())
    out = set(order[: len(order) // _PART])
    kept = [name for name in names if dataset.patients.get(name, name) in out]
    return kept, f"{len(kept)} of {len(names)} cases of {dataset.name} are held out, a tenth of the patients by chance."


def propose(
    case: TrainingCase, network: nn.Module, settings: Settings, device: torch.device
) -> Generator[int, None, NDArray[np.int64]]:
    """Label map (z, y, x) that a network gives for a preprocessed case; yields after every window."""
    image = case.image.float()[None]
    classes = len(case.known)

    def run(patches: Tensor) -> Tensor:
        out = network(patches.to(device))
        logits: Tensor = out[0] if isinstance(out, list | tuple) else out
        return logits.float().cpu()

    if is_unpadded(network):
        job = overlap_tile(image.to(device), settings.patch_size, classes, network, "cpu")
        while True:
            try:
                with torch.inference_mode():
                    next(job)
            except StopIteration as end:
                return np.asarray(end.value.argmax(0).cpu().numpy())
            yield 1
    logits = yield from sliding_window(image, settings.patch_size, classes, run)
    return np.asarray(logits.argmax(0).numpy())


def dice_of(case: TrainingCase, found: NDArray[np.int64]) -> dict[int, float]:
    """Dice of each organ that is known in the case and there."""
    truth = case.labels.numpy()
    out = {}
    for k in case.organ_voxels:
        a, b = truth == k, found == k
        out[k] = float(2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b)))
    return out


def score(
    cases: Sequence[TrainingCase],
    network: nn.Module,
    settings: Settings,
    device: torch.device,
    labels: Mapping[str, int],
    stop: Callable[[], bool],
) -> Generator[int, None, dict[str, float | None] | None]:
    """Mean Dice of each organ over the cases, None for those that no case knows; None at all when it was stopped."""
    found: dict[int, list[float]] = {}
    for case in cases:
        job = propose(case, network, settings, device)
        while True:
            try:
                next(job)
            except StopIteration as end:
                for k, value in dice_of(case, end.value).items():
                    found.setdefault(k, []).append(value)
                break
            if stop():
                return None
            yield 1
    return {name: float(np.mean(found[k])) if k in found else None for name, k in labels.items()}


def evenly(cases: Sequence[TrainingCase], most: int = MOST_SCORED) -> list[TrainingCase]:
    """Some of the cases, from the first to the last."""
    if len(cases) <= most:
        return list(cases)
    return [cases[round(i * (len(cases) - 1) / (most - 1))] for i in range(most)]


def draw_sample(case: TrainingCase, found: NDArray[np.int64], settings: Settings, path: Path) -> None:
    """Write a PNG of the slice that shows the most known organs: the truth's outlines and the proposal's."""
    truth, known = case.labels.numpy(), case.known.numpy()
    proposal = found * known[found]
    intensity = settings.intensity[0]
    hu = case.image.float().numpy() * intensity["std"] + intensity["mean"]
    spacing = settings.spacing_mm if len(settings.spacing_mm) == 3 else (3.0, *settings.spacing_mm)
    back = np.argsort(settings.transpose)
    hu, truth, proposal = (np.ascontiguousarray(a.transpose(back)) for a in (hu, truth, proposal))
    grid = Grid.from_spacing(hu.shape, [spacing[axis] for axis in back])
    if settings.orientation == "RAS":
        hu, truth, proposal = (np.ascontiguousarray(a[:, ::-1, ::-1]) for a in (hu, truth, proposal))
    organs = np.array([len(np.unique(slice_)) for slice_ in truth])
    index = int(np.lexsort(((truth > 0).sum(axis=(1, 2)), organs))[-1])
    masks = {"truth": Mask.from_dense(truth), "A": Mask.from_dense(proposal)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, picture(Volume(grid, hu.astype(np.int16)), masks, index))
