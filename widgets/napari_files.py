"""What napari calls when it opens or saves with Contourdesk. Errors and notes become napari's notifications."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from napari import current_viewer
from napari.utils import progress
from napari.utils.notifications import show_error, show_info

from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, Progress, run
from contourdesk.app.layer_data import LayerData
from contourdesk.app.layer_read import read_layers
from contourdesk.app.layer_write import write_layers
from contourdesk.widgets.theme import RESOURCES

T = TypeVar("T")
_NOTHING: list[Any] = [(None,)]  # napari's word for: it was dealt with, there is no layer


def get_reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[Any]] | None:
    """A function that reads `path`; None for what is no file or folder of this computer."""
    first = Path(path if isinstance(path, str) else path[0])
    return read if first.exists() else None


def read(path: str | Sequence[str]) -> list[Any]:
    """Layers from a path, or from a stack of files: then the series that the first one is of.

    Raises
    ------
    UserError : it can't be read and there is no window to say so in.
    """
    first = Path(path if isinstance(path, str) else path[0])
    try:
        layers, notes = _shown(read_layers(first.absolute()), f"Reading {first.name}")
    except UserError as error:
        if current_viewer() is None:
            raise
        # Raised, it would come up as "Tried opening with contourdesk, but failed", and without its text.
        show_error(str(error))
        return _NOTHING
    for note in notes:
        show_info(note)
    return list(layers)


def sample() -> list[Any]:
    """The sample case's layers."""
    return read(str(RESOURCES / "sample"))


def write_rtstruct(path: str, layers: list[LayerData]) -> list[str]:
    """Write label layers as RTSTRUCT. Raises UserError."""
    return _write("rtstruct", path, layers)


def write_seg(path: str, layers: list[LayerData]) -> list[str]:
    """Write label layers as DICOM SEG. Raises UserError."""
    return _write("seg", path, layers)


def write_training(path: str, layers: list[LayerData]) -> list[str]:
    """Add image and labels to an nnU-Net dataset, given by its ``dataset.json``. Raises UserError."""
    return _write("training", path, layers)


def _write(kind: str, path: str, layers: list[LayerData]) -> list[str]:
    written = _shown(write_layers(kind, Path(path).absolute(), layers), f"Writing {Path(path).name}")
    return [str(one) for one in written]


def _shown(job: Job[T], title: str) -> T:
    """Run a job under napari's own progress bar."""
    with progress(desc=title, total=0) as bar:

        def show(step: Progress) -> None:
            if step.total and bar.total != step.total:
                bar.reset(total=step.total)
            bar.n = step.done
            bar.set_description(step.text or title)

        return run(job, show)
