"""The held-out cases of an evaluation: where the truth is, and reading it.

The truth is what a person contoured or accepted. In a dataset ``contoured.json`` says which organs those are in each
case; in a review folder the accepted structures are. Any other organ is unknown there, and never counts.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.case import Case
from contourdesk.app.dataset_index import DATASET_FILE, FILE_ENDING, DatasetIndex, case_names, read_index
from contourdesk.app.deidentify import secret_key
from contourdesk.app.errors import UserError
from contourdesk.app.image_read import read_image_file
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.nifti_read import read_nifti
from contourdesk.app.reviewed import read_review
from contourdesk.app.reviews import CASE
from contourdesk.app.structures import Mask

_TOLERANCE_MM = 0.1  # between an image and its labels
_PATIENT = re.compile(r"(CD_[0-9a-f]{8})_[0-9a-f]{8}")  # how exports are called, see `deidentify`


@dataclass(frozen=True)
class HeldOut:
    """One case to evaluate on; small, so that it can be sent to another process.

    Parameters
    ----------
    name : what it is called in the report.
    place : the dataset's folder, or the review folder.
    split : "Ts", "Val" or "Tr" in a dataset; empty for a review.
    labels : label values of the known organs in a dataset.
    patient : stands for the patient where that is known before reading; for a review it is told by `read_truth`.
    salt : key for naming a review's patient.
    """

    name: str
    place: Path
    split: str = ""
    labels: dict[str, int] = field(default_factory=dict)
    patient: str = ""
    salt: bytes = b""

    @property
    def opens(self) -> Path:
        """What ``contourdesk review`` is to be given."""
        return self.place / f"images{self.split}" / f"{self.name}_0000{FILE_ENDING}" if self.split else self.place


@dataclass(frozen=True, eq=False)
class Truth:
    """A case's image and its known organs; `notes` are for the user."""

    case: Case
    masks: dict[str, Mask]
    patient: str
    notes: tuple[str, ...] = ()


def find_cases(path: Path, split: str | None = None) -> tuple[list[HeldOut], list[str]]:
    """The cases of a dataset (one split) or of a folder of reviews, and what the user should know.

    Parameters
    ----------
    split : "Ts", "Val" or "Tr"; unless given Ts where there is such a case, else Val.

    Raises
    ------
    UserError : no dataset and no reviews there, or none of the cases has a known organ.
    """
    if (path / DATASET_FILE).is_file():
        return _of_dataset(path, split)
    folders = [path] if (path / CASE).is_file() else sorted(p.parent for p in path.glob(f"*/{CASE}"))
    if not folders:
        fact = f"{path} is neither a dataset nor a folder of reviews." if path.is_dir() else f"There is no {path}."
        raise UserError(
            fact, "Choose an nnU-Net raw dataset (with dataset.json), a review folder, or a folder of them."
        )
    salt = hmac.new(secret_key(), b"evaluation", hashlib.sha256).digest()
    return [HeldOut(folder.name, folder, salt=salt) for folder in folders], []


def _of_dataset(folder: Path, split: str | None) -> tuple[list[HeldOut], list[str]]:
    index = read_index(folder)
    chosen = split or next((s for s in ("Ts", "Val") if _labelled(folder, s)), None)
    if chosen is None:
        raise UserError(
            f"{folder.name} holds no held-out cases: no imagesTs or imagesVal with labels.",
            "Keep some cases out of training, or evaluate on training cases with --split Tr.",
        )
    notes = []
    if chosen == "Tr":
        notes.append("These are the dataset's training cases: figures on them say little of a model trained on them.")
    names = _labelled(folder, chosen)
    without = len(case_names(folder, chosen)) - len(names)
    if without:
        notes.append(f"{without} cases in images{chosen} have no labels; they are left out.")
    wrong = wrong_labels(folder)
    out, unknown, doubted = [], 0, 0
    for name in names:
        organs = [o for o in _contoured(index, name) if o in index.labels]
        good = [o for o in organs if o not in wrong.get(name, [])]
        doubted += len(organs) - len(good)
        if good:
            labels = {o: index.labels[o] for o in good}
            out.append(HeldOut(name, folder, chosen, labels, patient_of(index, name)))
        else:
            unknown += 1
    if doubted:
        notes.append(f"{doubted} labels that quality.json calls wrong are left out.")
    if unknown and out:
        notes.append(f"{unknown} cases without a known organ are left out.")
    if not out:
        raise UserError(
            f"There is nothing known to compare with: no organ is contoured in any case of labels{chosen}.",
            "Accept structures and export the cases again, or choose another split.",
        )
    return out, notes


def _labelled(folder: Path, split: str) -> list[str]:
    return [n for n in case_names(folder, split) if (folder / f"labels{split}" / f"{n}{FILE_ENDING}").is_file()]


def _contoured(index: DatasetIndex, name: str) -> Sequence[str]:
    found = index.contoured.get(name, {}).get("contoured", [])
    return found if isinstance(found, list) else []


def patient_of(index: DatasetIndex, name: str) -> str:
    """What stands for a case's patient in a dataset; the case's own name where nothing tells."""
    told = index.contoured.get(name, {}).get("patient")
    match = _PATIENT.fullmatch(name)
    return str(told) if told else match[1] if match else name


def wrong_labels(folder: Path) -> dict[str, list[str]]:
    """Labels that ``quality.json`` calls wrong, by case."""
    try:
        read: Any = json.loads((folder / "quality.json").read_text("utf-8"))
        return {str(case): [str(o) for o in organs] for case, organs in read.get("wrong_labels", {}).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise UserError(f"{folder / 'quality.json'} can't be read.", "Repair it, or take it away.") from error


def read_truth(held: HeldOut) -> Job[Truth]:
    """Read a case's image and its known organs.

    Raises
    ------
    UserError : a file is missing or damaged, image and labels don't fit, or nothing is known in this case.
    """
    yield Progress(0, 0, f"Reading {held.name}")
    if held.split:
        return _from_dataset(held)
    case, session, notes = yield from read_review(held.place)
    masks = {s.name: s.mask for s in session.structures if s.decision.accepted}
    if not masks:
        raise UserError("Nobody accepted a structure in this review.", "Accept structures, or leave this review out.")
    empty = [name for name, mask in masks.items() if mask.is_empty]
    who = case.patient.id or case.source.study_uid or case.source.series_uid
    patient = f"CD_{hmac.new(held.salt, who.encode(), hashlib.sha256).hexdigest()[:8]}"
    return Truth(case, masks, patient, (*notes, *_empty(empty)))


def _from_dataset(held: HeldOut) -> Truth:
    case = read_image_file(held.opens)
    raw = read_nifti(held.place / f"labels{held.split}" / f"{held.name}{FILE_ENDING}")
    if not raw.grid.is_close(case.volume.grid, _TOLERANCE_MM):
        raise UserError("Image and labels do not lie on one grid.", "Export the case again.")
    masks = dict(_masks(raw.array, held.labels))
    return Truth(case, masks, held.patient, tuple(_empty([n for n, m in masks.items() if m.is_empty])))


def _masks(labels: NDArray[np.generic], wanted: dict[str, int]) -> Iterator[tuple[str, Mask]]:
    for name, value in wanted.items():
        yield name, Mask.from_dense(labels == value)


def _empty(names: Sequence[str]) -> Iterator[str]:
    if names:
        yield f"{', '.join(names)}: said to be contoured, but without a voxel; not compared."
