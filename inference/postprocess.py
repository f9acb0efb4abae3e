"""nnU-Net's post-processing: of some labels, keep the largest connected part.

nnU-Net writes what it found useful as ``postprocessing.json`` and, with the functions themselves, as
``postprocessing.pkl``. A pickle is a program, so that file is never opened; the JSON says the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.errors import UserError
from contourdesk.app.structures import tight_box
from contourdesk.inference.plans import MAX_LABELS, Labels, label_map, read_json

_FUNCTION = "remove_all_but_largest_component_from_segmentation"


@dataclass(frozen=True)
class KeepLargest:
    """Of the voxels that bear one of these label numbers, keep the largest connected part."""

    numbers: tuple[int, ...]


def read_postprocessing(folder: Path, folds: Sequence[str]) -> tuple[tuple[KeepLargest, ...], tuple[str, ...]]:
    """Steps to apply after a model's prediction, and notes for the user.

    Looked for in the model folder and in its ``crossval_results_folds_*``, that of just these folds first.
    """
    numbers = "_".join(fold.removeprefix("fold_") for fold in folds)
    places = [folder, folder / f"crossval_results_folds_{numbers}", *sorted(folder.glob("crossval_results_folds_*"))]
    for place in places:
        if (place / "postprocessing.json").is_file():
            return _parse(place / "postprocessing.json")
    if any((place / "postprocessing.pkl").exists() for place in places):
        return (), (
            "The model's post-processing is there as postprocessing.pkl only, which is a program: it was not opened and"
            " is not applied.",
        )
    return (), ()


def _parse(path: Path) -> tuple[tuple[KeepLargest, ...], tuple[str, ...]]:
    content = read_json(path)
    steps, notes = [], []
    try:
        functions, kwargs = list(content["postprocessing_fns"]), list(content["postprocessing_kwargs"])
        if len(functions) != len(kwargs) or len(functions) > MAX_LABELS:
            raise ValueError("its functions and their numbers do not match")
        for function, what in zip(functions, kwargs, strict=True):
            if function != _FUNCTION or what.get("background_label", 0) != 0:
                notes.append(f"The model's post-processing step '{function}' is not known and is not applied.")
                continue
            steps.append(KeepLargest(tuple(sorted(set(_flat(what["labels_or_regions"]))))))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UserError(
            f"The model file {path} can't be used: {error}.", "Copy it again, or take it out of the model folder."
        ) from error
    if steps:
        notes.append("Post-processing of the model: the largest connected part is kept of some structures.")
    return tuple(steps), tuple(notes)


def _flat(value: Any) -> list[int]:
    if isinstance(value, list):
        return [n for one in value for n in _flat(one)]
    return [int(value)]


def apply_steps(found: NDArray[np.generic], labels: Labels, steps: Sequence[KeepLargest]) -> None:
    """Take what is not kept out of `found`, in place: labels (z, y, x), or bool (regions, z, y, x)."""
    for step in steps:
        mask = np.isin(label_map(found, labels), step.numbers)
        box = tight_box(mask)
        if box is None:
            continue
        remove = mask[box] & ~_largest(mask[box])
        found[(..., *box)][(..., remove)] = 0


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest part, touching corners counted as connected; several when they are of one size."""
    from scipy.ndimage import label

    parts, _ = label(mask, structure=np.ones((3, 3, 3), bool))
    sizes = np.bincount(parts.ravel())
    sizes[0] = 0
    return np.asarray((sizes == sizes.max())[parts])


def describe_steps(steps: Sequence[KeepLargest], names: Mapping[int, str]) -> str:
    """In words, empty when there are none."""
    parts = [", ".join(names.get(n, str(n)) for n in step.numbers) for step in steps]
    return "; ".join(f"largest part of {part}" for part in parts)
