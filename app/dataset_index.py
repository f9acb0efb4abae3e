"""The text files of a training dataset: ``dataset.json`` (nnU-Net's), ``contoured.json`` (what is known), and more.

``manifest.json`` holds how overlaps are kept, which structure names mean which label, and what each case came from
(see `dataset_manifest`). ``splits_final.json`` and ``datalist.json`` are made from it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from contourdesk.app.errors import UserError
from contourdesk.app.naming import label_key, side, suggest

DATASET_FILE = "dataset.json"
CONTOURED_FILE = "contoured.json"
MANIFEST_FILE = "manifest.json"
FILE_ENDING = ".nii.gz"
CHANNELS = {"0": "CT"}
SPLITS = ("Tr", "Val", "Ts")
IGNORE = "ignore"  # nnU-Net's name for voxels that nothing is known of
SMALLER, REGIONS, MASKS = "smaller", "regions", "masks"
OVERLAPS = (SMALLER, REGIONS, MASKS)


@dataclass(frozen=True)
class DatasetIndex:
    """What a dataset folder says of itself.

    Parameters
    ----------
    labels : organ to value, without background; a value never changes once it is given.
    contoured : case to its split and the organs that were contoured in it. Any other organ is unknown there.
    other : what else stands in ``dataset.json``; kept.
    overlaps : how structures that overlap are kept, one of `OVERLAPS`.
    parents : of regions, the label that a label lies in.
    names : structure name to label, as it was mapped once.
    cases : what ``manifest.json`` tells of each case.
    """

    folder: Path
    labels: dict[str, int] = field(default_factory=dict)
    contoured: dict[str, dict[str, Any]] = field(default_factory=dict)
    other: dict[str, Any] = field(default_factory=dict)
    overlaps: str = SMALLER
    parents: dict[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    cases: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def organs(self) -> list[str]:
        """The labels that are organs, by value."""
        return [label for label in sorted(self.labels, key=self.labels.__getitem__) if label != IGNORE]

    def label_of(self, structure_name: str) -> str | None:
        """The dataset's label for what `structure_name` means, however it is spelled."""
        mapped = self.names.get(structure_name)
        if mapped in self.labels:
            return mapped
        wanted = label_key(structure_name if mapped is None else mapped)
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
            if name.strip().casefold() in ("background", IGNORE):
                raise UserError(f'nnU-Net keeps the name "{name}" for itself.', "Rename the structure.")
            if IGNORE in out:
                raise UserError(
                    f'The dataset ends with an ignore label, so "{name}" can\'t be added to it.',
                    "Rename the structure to one of the dataset's, or choose another dataset folder.",
                )
            label = self.names.get(name) or (name.strip() if as_given else suggest(name) or name.strip())
            out[label] = max(out.values(), default=0) + 1
        return replace(self, labels=out)

    def with_names(self, names: Mapping[str, str]) -> DatasetIndex:
        """With structure names that mean labels from now on.

        Raises
        ------
        UserError : one is mapped to another label already, or to the other side of the body.
        """
        for name, label in names.items():
            if self.names.get(name, label) != label:
                raise UserError(
                    f'"{name}" means {self.names[name]} in this dataset already.', "Choose another dataset."
                )
            if side(name) and side(label) and side(name) != side(label):
                raise UserError(f'"{name}" and "{label}" are on two sides of the body.', "Correct the names.")
        return replace(self, names=dict(sorted({**self.names, **names}.items())))

    def with_ignore(self) -> DatasetIndex:
        """With nnU-Net's ignore label at the end; no label can be added after it."""
        if IGNORE in self.labels:
            return self
        return replace(self, labels={**self.labels, IGNORE: max(self.labels.values(), default=0) + 1})

    def with_overlaps(self, overlaps: str | None) -> DatasetIndex:
        """With another way to keep overlaps, which the whole dataset has.

        Raises
        ------
        UserError : there are cases that were written another way.
        """
        if overlaps is None or overlaps == self.overlaps:
            return self
        if self.contoured:
            raise UserError(
                f'The cases in {self.folder.name} keep overlaps as "{self.overlaps}", not as "{overlaps}".',
                "Choose another dataset folder, or the same way.",
            )
        return replace(self, overlaps=overlaps)

    def with_case(self, case: str, organs: Sequence[str], resampled: str = "") -> DatasetIndex:
        """With a training case and the labels that were contoured in it, instead of what was said of it before.

        `resampled` tells how its image was resampled from what the scanner made; empty when it was not.
        """
        entry: dict[str, Any] = {"split": "Tr", "contoured": list(organs)}
        if resampled:
            entry["resampled"] = resampled
        return replace(self, contoured=dict(sorted({**self.contoured, case: entry}.items())))

    def inner(self, label: str) -> list[str]:
        """The labels that lie in `label`, and in those again."""
        direct = [child for child in self.organs if self.parents.get(child) == label]
        return [*direct, *(deeper for child in direct for deeper in self.inner(child))]

    def depth(self, label: str) -> int:
        """In how many others `label` lies."""
        return 1 + self.depth(self.parents[label]) if label in self.parents else 0

    def dataset_json(self, training_cases: int) -> bytes:
        """Content of ``dataset.json``."""
        # nnU-Net writes regions over each other in the order in which they stand: what lies inside comes later.
        order = sorted(self.organs, key=lambda label: (self.depth(label), self.labels[label]))
        labels: dict[str, Any] = {"background": 0}
        for label in order:
            inside = sorted(self.labels[deeper] for deeper in self.inner(label))
            labels[label] = [self.labels[label], *inside] if inside else self.labels[label]
        if IGNORE in self.labels:
            labels[IGNORE] = self.labels[IGNORE]
        regions = {"regions_class_order": [self.labels[label] for label in order]} if self.parents else {}
        content = {
            **self.other,
            "channel_names": CHANNELS,
            "labels": labels,
            **regions,
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
    UserError : there is a dataset that a CT case can't be added to, or a damaged file.
    """
    info = _read_json(folder / DATASET_FILE)
    if info is None:
        if any((folder / "imagesTr").glob(f"*{FILE_ENDING}")):
            raise UserError(f"{folder.name} holds cases but no {DATASET_FILE}.", "Choose another folder.")
        return DatasetIndex(folder)
    manifest = _read_json(folder / MANIFEST_FILE) or {}
    overlaps = manifest.get("overlaps", SMALLER)
    labels = info.get("labels")
    if isinstance(labels, dict) and overlaps == REGIONS:
        labels = {name: value[0] if isinstance(value, list) else value for name, value in labels.items()}
    if not isinstance(labels, dict) or not all(isinstance(v, int) for v in labels.values()):
        raise UserError(f"The labels in {folder.name} aren't plain numbers.", "Choose another dataset folder.")
    if info.get("file_ending") != FILE_ENDING or info.get("channel_names") != CHANNELS:
        raise UserError(f"{folder.name} isn't a dataset of CT in {FILE_ENDING} files.", "Choose another folder.")
    organs = {name: value for name, value in labels.items() if name != "background"}
    if sorted(organs.values()) != list(range(1, len(organs) + 1)):
        raise UserError(f"The labels in {folder.name} aren't 1, 2, 3 and so on.", "Choose another dataset folder.")
    organs = dict(sorted(organs.items(), key=lambda pair: pair[1]))
    contoured = _read_json(folder / CONTOURED_FILE)
    if contoured is None:
        # Without the file every organ of every case counts as contoured; that stays so for the cases there are.
        known = [name for name in organs if name != IGNORE]
        contoured = {
            case: {"split": split, "contoured": known} for split in SPLITS for case in case_names(folder, split)
        }
    ours = ("labels", "channel_names", "numTraining", "file_ending", "regions_class_order")
    other = {k: v for k, v in info.items() if k not in ours}
    kept = [manifest.get(key) or {} for key in ("parents", "names", "cases")]
    if overlaps not in OVERLAPS or not all(isinstance(part, dict) for part in kept):
        raise UserError(f"{folder / MANIFEST_FILE} isn't what it should be.", "Repair it, or choose another folder.")
    return DatasetIndex(folder, organs, contoured, other, overlaps, *kept)


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
