"""napari's layers to files, by the same writers as the program's own export; each reads back what it wrote."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contourdesk.app.case import Case
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.layer_data import LayerData, case_of, case_of_image, structures_of
from contourdesk.app.structures import Structure

DATASET_FILE = "dataset.json"


def write_layers(kind: str, path: Path, layers: Sequence[LayerData]) -> Job[list[Path]]:
    """Write label layers and the image that they lie on.

    Parameters
    ----------
    kind : "rtstruct", "seg", or "training" (nnU-Net's raw dataset, made or added to).
    path : the file; for "training" the ``dataset.json`` of the dataset's folder.

    Raises
    ------
    UserError : the layers don't fit together, or a format can't hold them; nothing is left of it then.
    """
    yield Progress(0, 0, "Looking at the layers")
    case = case_of(layers)
    if kind == "training":
        return (yield from _training(case or case_of_image(layers), path, layers))
    if case is None:
        raise UserError(
            "These layers don't say which DICOM images they belong to.",
            "Open the images with Contourdesk, and select their layer too when you save.",
        )
    if case.source.header is None:
        raise UserError(
            f"{case.source.path.name} is no DICOM series, and such a file refers to one.",
            "Open the DICOM images, or save in another format.",
        )
    structures = structures_of(case, layers)
    yield Progress(0, 0, f"Writing {path.name} and reading it back")
    return [_write(kind, case, structures, path)]


def _write(kind: str, case: Case, structures: Sequence[Structure], path: Path) -> Path:
    if kind == "rtstruct":
        from contourdesk.app.dicom_write import write_rtstruct

        return write_rtstruct(case, structures, path)
    from contourdesk.app.writers import write_format

    return write_format(kind, case, structures, path)


def _training(case: Case, path: Path, layers: Sequence[LayerData]) -> Job[list[Path]]:
    from contourdesk.app.dataset import export_case

    if path.name != DATASET_FILE:
        raise UserError(
            f"A training case goes into a folder of its dataset, not into {path.name}.",
            f"Choose the name {DATASET_FILE} in that folder; other cases there stay.",
        )
    report = yield from export_case(case, structures_of(case, layers), path.parent, only_accepted=False)
    return [report.image, report.label, path]
