"""The two text files of a training dataset: ``dataset.json`` (nnU-Net's) and ``contoured.json`` (what is known)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from contourdesk.app.errors import UserError
from contourdesk.app.naming import label_key, suggest

DATASET_FILE = "dataset.json"
CONTOURED_FILE = "contoured.json"
FILE_ENDING = ".nii.gz"
CHANNELS = {"0": "CT"}
SPLITS = ("Tr", "Val", "Ts")


@dataclass(frozen=True)
class DatasetIndex:
    """What a dataset folder says of itself.

    Parameters
    ----------
    labels : organ to value, without background; a value never changes once it is given.
    contoured : case to its split and the organs that were contoured in it. Any other organ is unknown there.
    other : what else stands in ``dataset.json``; kept.
    """

    folder: Path
    labels: dict[str, int] = field(default_factory=dict)
    contoured: dict[str, dict[str, Any]] = field(default_factory=dict)
    other: dict[str, Any] = field(default_factory=dict)

    def label_of(self, structure_name: str) -> str | None:
        """The dataset's label for what `structure_name` means, however it is spelled."""
        wanted = label_key(structure_name)
        return next((label for label in self.labels if label_key(label) == wanted), None)

    def with_labels(self, names: Sequence[str], *, as_given: bool = False) -> DatasetIndex:
        """With a new label at the end for each name that has none, called as in TG-263 unless taken as given.

        Raises
        ------
        UserError : the dataset has an ignore label, which must stay the last; or a name means something to nnU-Net.
        """
        out = dict(self.labels)
        for name in names:
            if replace(self, labels=out).label_of(name) is not None:
                continue
            if name.strip().casefold() in ("background", "ignore"):
                raise UserError(f'nnU-Net keeps the name "{name}" for itself.', "Rename the structure.")
            if "ignore" in out:
                raise UserError(
                    f'The dataset ends with an ignore label, so "{name}" can\'t be added to it.',
                    "Rename the structure to one of the dataset's, or choose another dataset folder.",
                )
            out[name.strip() if as_given else suggest(name) or name.strip()] = max(out.values(), default=0) + 1
        return replace(self, labels=out)

    def with_case(self, case: str, organs: Sequence[str], resampled: str = "") -> DatasetIndex:
        """With a training case and the labels that were contoured in it, instead of what was said of it before.

        `resampled` tells how its image was resampled from what the scanner made; empty when it was not.
        """
        entry: dict[str, Any] = {"split": "Tr", "contoured": list(organs)}
        if resampled:
            entry["resampled"] = resampled
        return replace(self, contoured=dict(sorted({**self.contoured, case: entry}.items())))

    def dataset_json(self, training_cases: int) -> bytes:
        """Content of ``dataset.json``."""
        content = {
            **self.other,
            "channel_names": CHANNELS,
            "labels": {"background": 0, **self.labels},
            "numTraining": training_cases,
            "file_ending": FILE_ENDING,
        }
        return json.dumps(content, indent=1, ensure_ascii=False).encode()

    def contoured_json(self) -> bytes:
        """Content of ``contoured.json``."""
        return json.dumps(self.contoured, indent=1, ensure_ascii=False).encode()


def read_index(folder: Path) -> DatasetIndex:
    """Read a dataset folder's index; an empty one where there is no dataset yet.

    Raises
    ------
    UserError : there is a dataset that a CT case with one label each can't be added to, or a damaged file.
    """
    info = _read_json(folder / DATASET_FILE)
    if info is None:
        if any((folder / "imagesTr").glob(f"*{FILE_ENDING}")):
            raise UserError(f"{folder.name} holds cases but no {DATASET_FILE}.", "Choose another folder.")
        return DatasetIndex(folder)
    labels = info.get("labels")
    if not isinstance(labels, dict) or not all(isinstance(v, int) for v in labels.values()):
        raise UserError(f"The labels in {folder.name} aren't plain numbers.", "Choose another dataset folder.")
    if info.get("file_ending") != FILE_ENDING or info.get("channel_names") != CHANNELS:
        raise UserError(f"{folder.name} isn't a dataset of CT in {FILE_ENDING} files.", "Choose another folder.")
    organs = {name: value for name, value in labels.items() if name != "background"}
    if sorted(organs.values()) != list(range(1, len(organs) + 1)):
        raise UserError(f"The labels in {folder.name} aren't 1, 2, 3 and so on.", "Choose another dataset folder.")
    contoured = _read_json(folder / CONTOURED_FILE)
    if contoured is None:
        # Without the file every organ of every case counts as contoured; that stays so for the cases there are.
        contoured = {
            case: {"split": split, "contoured": list(organs)} for split in SPLITS for case in case_names(folder, split)
        }
    known = ("labels", "channel_names", "numTraining", "file_ending")
    return DatasetIndex(folder, organs, contoured, {k: v for k, v in info.items() if k not in known})


def case_names(folder: Path, split: str = "Tr") -> list[str]:
    """Names of the cases in ``images<split>``."""
    return sorted(
        p.name.removesuffix(f"_0000{FILE_ENDING}") for p in (folder / f"images{split}").glob(f"*{FILE_ENDING}")
    )


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        read = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read.", "Repair it, or choose another dataset folder.") from error
    if not isinstance(read, dict):
        raise UserError(f"{path} isn't what it should be.", "Repair it, or choose another dataset folder.")
    return read
