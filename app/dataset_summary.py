"""What a training would get from a dataset: cases, patients, what is known of each organ, who is held out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contourdesk.app.dataset_index import DATASET_FILE, MASKS, REGIONS, case_names, read_index
from contourdesk.app.dataset_manifest import SPLITS_FILE
from contourdesk.app.errors import UserError
from contourdesk.app.evaluation_cases import patient_of, wrong_labels
from contourdesk.app.jobs import Job, Progress


@dataclass(frozen=True)
class DatasetSummary:
    """Numbers of a dataset's training cases.

    Parameters
    ----------
    known : organ to the number of cases in which a person contoured it.
    held_out : for each fold of ``splits_final.json`` the number of cases that it holds out; empty without that file.
    problem : why no network can be trained on it here, in a sentence; empty when one can.
    """

    name: str
    cases: int
    patients: int
    known: Mapping[str, int] = field(default_factory=dict)
    held_out: tuple[int, ...] = ()
    problem: str = ""

    @property
    def partly(self) -> int:
        """How many organs are unknown in some case."""
        return sum(count < self.cases for count in self.known.values())


def summarise_dataset(folder: Path) -> Job[DatasetSummary]:
    """Job: look at an nnU-Net raw dataset's files of text; no image is read.

    Raises
    ------
    UserError : it is none, or a file is damaged.
    """
    yield Progress(0, 0, f"Looking at {folder.name}")
    if not (folder / DATASET_FILE).is_file():
        raise UserError(f"{folder} holds no {DATASET_FILE}.", "Choose the folder of an nnU-Net raw dataset.")
    index = read_index(folder)
    wrong = wrong_labels(folder)
    names = case_names(folder)
    known = dict.fromkeys(index.organs, 0)
    for name in names:
        entry = index.contoured.get(name, {}).get("contoured", [])
        for organ in set(entry if isinstance(entry, list) else []) & set(known) - set(wrong.get(name, [])):
            known[organ] += 1
    patients = {patient_of(index, name) for name in names}
    problem = "" if names else "It has no training cases; export reviewed cases into it first."
    if index.overlaps in (REGIONS, MASKS):
        problem = "It keeps overlapping structures in a way that nnU-Net or MONAI can train, but not this program."
    return DatasetSummary(folder.name, len(names), len(patients), known, _folds(folder, set(names)), problem)


def _folds(folder: Path, names: set[str]) -> tuple[int, ...]:
    try:
        read: Any = json.loads((folder / SPLITS_FILE).read_text("utf-8"))
        return tuple(len(names & set(fold["val"])) for fold in read)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{folder / SPLITS_FILE} can't be read.", "Repair it, or take it away.") from error
