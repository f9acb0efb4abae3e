"""What makes a prediction the same prediction: the model's weights, how it is used, and this program's version."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

from contourdesk import __version__
from contourdesk.app.errors import UserError
from contourdesk.inference.nnunet import Model, load_models
from contourdesk.inference.options import Options


@lru_cache(maxsize=4)
def loaded(path: str, folds: tuple[str, ...] | None = None) -> tuple[Model, ...]:
    """The parts of a model, kept in memory: a worker does many cases with one model. Raises UserError."""
    return load_models(path, folds)


def loaded_as(path: str, folds: tuple[str, ...] | None, weights_sha256: tuple[str, ...]) -> tuple[Model, ...]:
    """The same, but only with these weights: a process that starts late must not use what was put there meanwhile.

    Raises
    ------
    UserError : it can't be read, or its weights are others.
    """
    models = loaded(path, folds)
    if tuple(model.weights_sha256 for model in models) != weights_sha256:
        loaded.cache_clear()
        raise UserError("The model's weights changed while the cases were worked on.", "Start again with the new ones.")
    return models


def model_key(models: Sequence[Model], options: Options) -> str:
    """A hash that changes with everything that changes a model's predictions; not with where the model lies."""
    found = hashlib.sha256(f"{__version__} {options!r}".encode())
    for model in models:
        _add(found, model)
    return found.hexdigest()


def _add(found: hashlib._Hash, model: Model) -> None:
    parts = (model.weights_sha256, model.structures, model.settings, model.mirror_axes, model.postprocessing)
    found.update(repr(parts).encode())
    if model.previous is not None:
        _add(found, model.previous)
