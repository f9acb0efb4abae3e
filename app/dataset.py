"""A reviewed case to training data in nnU-Net's raw layout, de-identified, read back before it counts.

The dataset folder holds ``imagesTr/<case>_0000.nii.gz``, ``labelsTr/<case>.nii.gz``, ``dataset.json`` and, beside what
nnU-Net knows, ``contoured.json``: which organs a person accepted in each case. An organ that isn't named there is
unknown in that case, not background.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.case import Case
from contourdesk.app.dataset_index import (
    CONTOURED_FILE,
    DATASET_FILE,
    FILE_ENDING,
    DatasetIndex,
    case_names,
    read_index,
)
from contourdesk.app.deidentify import case_name
from contourdesk.app.errors import UserError
from contourdesk.app.files import flush_folder, write_atomically
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.nifti_write import write_image
from contourdesk.app.structures import Structure

log = logging.getLogger(__name__)

MAX_NAME = 60


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    Parameters
    ----------
    name : the case's name in the dataset, which tells nothing about the patient.
    image, label, folder : the files and the dataset.
    labels : label values of the structures in this case, by the dataset's names.
    lost_voxels : by structure, voxels that another, smaller structure got, because a label map holds one each.
    left_out : structure and why.
    replaced : whether the case was there before.
    resampled : how its image was resampled from what the scanner made; empty when it was not.
    """

    name: str
    folder: Path
    image: Path
    label: Path
    labels: dict[str, int]
    lost_voxels: dict[str, int]
    left_out: dict[str, str]
    replaced: bool
    resampled: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know, in sentences."""
        out = []
        if self.replaced:
            out.append(f"{self.name} was in the dataset already and was replaced.")
        if self.resampled:
            out.append(f"The image was resampled: {self.resampled}")
        for name, count in self.lost_voxels.items():
            out.append(f"{name} lost {count} voxels to smaller structures that overlap it.")
        for name, reason in self.left_out.items():
            out.append(f"{name} was left out: {reason}.")
        out.append("Names, IDs, dates and UIDs were left out. A CT of the head still shows the shape of the face.")
        return tuple(out)


def export_case(
    case: Case,
    structures: Sequence[Structure],
    folder: Path,
    *,
    labels: Sequence[str] | None = None,
    name: str | None = None,
    only_accepted: bool = True,
) -> Job[ExportReport]:
    """Add a case to a dataset, or replace it there; the dataset is made when it isn't there yet.

    Where structures overlap, the smaller one gets the voxels. Until everything is written and proved, the dataset
    stays as it was.

    Parameters
    ----------
    structures : on the case's grid.
    labels : organ names that the dataset shall have, in this order, before others are added.
    name : the case's name instead of a hash; must tell nothing about the patient.
    only_accepted : whether only accepted structures go in.

    Raises
    ------
    UserError : nothing to export, two structures mean one organ, another kind of dataset, or a file can't be written.
    """
    yield Progress(0, 4, "Looking at the dataset")
    chosen, left_out = _choose(structures, only_accepted)
    index = read_index(folder).with_labels(labels or (), as_given=True).with_labels([s.name for s in chosen])
    by_label = _by_label(chosen, index)
    name = case_name(case) if name is None else _checked(name)
    how = case.source.resampled
    organs = [label for label in index.labels if label in by_label]
    index = index.with_case(name, organs, "" if how is None else how.text)
    array, lost = flatten([(index.labels[label], s) for label, s in by_label.items()], case.volume.grid)
    image, label_file = folder / "imagesTr" / f"{name}_0000{FILE_ENDING}", folder / "labelsTr" / f"{name}{FILE_ENDING}"
    replaced = image.exists()
    made_here = not folder.exists()
    work = folder / f".export-{os.getpid()}"
    try:
        work.mkdir(parents=True, exist_ok=True)
        yield Progress(1, 4, "Writing the image")
        write_image(case.volume.array, case.volume.grid, work / image.name)
        yield Progress(2, 4, "Writing the labels")
        write_image(array, case.volume.grid, work / label_file.name)
        yield Progress(3, 4, "Putting them into the dataset")
        _move_in(work, image, label_file, index)
    except OSError as error:
        raise UserError(
            f"The case could not be written in {folder} ({error.strerror}).", "Check its space and permissions."
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
        if made_here and folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
    log.info("exported a training case with %d organs", len(by_label))
    values = {label: index.labels[label] for label in index.labels if label in by_label}
    return ExportReport(
        name, folder, image, label_file, values, lost, left_out, replaced, "" if how is None else how.text
    )


def _choose(structures: Sequence[Structure], only_accepted: bool) -> tuple[list[Structure], dict[str, str]]:
    chosen, left_out = [], {}
    for s in structures:
        if s.decision.state == "rejected":
            left_out[s.name] = "it was rejected"
        elif only_accepted and not s.decision.accepted:
            left_out[s.name] = "nobody accepted it"
        elif s.mask.is_empty:
            left_out[s.name] = "it is empty"
        else:
            chosen.append(s)
    if not chosen:
        raise UserError("There is no structure to train on in this case.", "Accept structures first.")
    return chosen, left_out


def _by_label(structures: Sequence[Structure], index: DatasetIndex) -> dict[str, Structure]:
    out: dict[str, Structure] = {}
    for s in structures:
        label = index.label_of(s.name)
        if label is None:
            raise ValueError(f"no label for {s.name}")
        if label in out:
            raise UserError(f'"{out[label].name}" and "{s.name}" both mean {label}.', "Reject or rename one of them.")
        out[label] = s
    return out


def _checked(name: str) -> str:
    """A case name that nnU-Net and every file system take. Raises UserError."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name) or len(name) > MAX_NAME or name.endswith("_0000"):
        raise UserError(
            f'"{name}" can\'t be the name of a training case.', "Use letters, digits, _ and - only, and no _0000."
        )
    return name


def flatten(values: Sequence[tuple[int, Structure]], grid: Grid) -> tuple[NDArray[np.generic], dict[str, int]]:
    """Label map (z, y, x) of structures, smaller over larger, and the voxels that each structure lost by that."""
    array = np.zeros(grid.shape, np.uint8 if max(v for v, _ in values) < 256 else np.uint16)
    for value, s in sorted(values, key=lambda pair: -pair[1].mask.count):
        array[s.mask.box][s.mask.bits] = value
    lost = {s.name: s.mask.count - int(np.count_nonzero(array[s.mask.box] == value)) for value, s in values}
    return array, {name: count for name, count in lost.items() if count}


def _move_in(work: Path, image: Path, label: Path, index: DatasetIndex) -> None:
    """Put proved files into place, the index last; on an error what was there before is put back."""
    targets = [label, image, index.folder / CONTOURED_FILE, index.folder / DATASET_FILE]
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
    old = {t: t.read_bytes() for t in targets if t.exists()}
    try:
        for target in (label, image):  # a label without an image counts for nothing, so it comes first
            os.replace(work / target.name, target)
            flush_folder(target.parent)
        write_atomically(targets[2], index.contoured_json())
        write_atomically(targets[3], index.dataset_json(len(case_names(index.folder))))
    except OSError:
        for target in targets:
            if target in old:
                write_atomically(target, old[target])
            else:
                target.unlink(missing_ok=True)
        raise
