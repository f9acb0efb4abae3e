"""nnU-Net raw datasets as training cases: read, cut to whole anatomy, normalise, resample, cache.

``contoured.json`` beside ``dataset.json`` says which organs each case was contoured for; without it every organ
of every case counts as contoured. ``quality.json`` (optional) lists labels known to be wrong, which become unknown.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from contourdesk.app.dataset_commit import mend
from contourdesk.app.errors import UserError
from contourdesk.app.naming import label_key
from contourdesk.inference.plans import Settings
from contourdesk.inference.preprocess import ct_normalise, resample, resampled_shape

AIR_HU = -1024.0
# A slice counts as whole anatomy when at least this much of it is tissue outside the contoured organs (or a tenth of
# a small field of view).
WHOLE_SLICE_MM2 = 5000.0
LEAST_SLICES = 8
MOST_PLACES = 10_000  # voxels of an organ that are kept to cut patches round, as in nnU-Net

Values = NDArray[np.int16]


@dataclass(frozen=True)
class TrainingCase:
    """One preprocessed case. `image` (z, y, x) float16 or 32, normalised; `labels` integer; `known` (classes,) bool.

    `organ_voxels` has indices (n, 3) of each organ's voxels; `old` says that it was mixed in against forgetting.
    """

    name: str
    image: Tensor
    labels: Tensor
    known: Tensor
    organ_voxels: Mapping[int, np.ndarray]
    old: bool = False


@dataclass(frozen=True)
class RawDataset:
    """An nnU-Net raw dataset folder.

    Parameters
    ----------
    labels : organ name to its value, background (0) left out: those that a network has, see `with_labels`.
    contoured : case to the dataset's own names of the organs that were contoured in it, None: all, always.
    wrong : case to labels that are known to be wrong.
    own : the dataset's own labels by name.
    patients : case to its patient, as far as the dataset tells.
    """

    folder: Path
    name: str
    labels: dict[str, int]
    contoured: dict[str, list[str]] | None
    wrong: dict[str, list[str]]
    own: dict[str, int] = field(default_factory=dict)
    patients: dict[str, str] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path) -> RawDataset:
        """Read ``dataset.json`` and what lies beside it. Raises UserError when the folder is no such dataset."""
        path = folder / "dataset.json"
        if not path.is_file():
            raise UserError(f"{folder} holds no dataset.json.", "Choose the folder of an nnU-Net raw dataset.")
        mend(folder)
        info = json.loads(path.read_text("utf-8"))
        if not all(isinstance(value, int) for value in info["labels"].values()) or (folder / "masksTr").is_dir():
            raise UserError(
                f"{folder.name} holds regions or one mask for each structure, which this training can't use.",
                'Train it with nnU-Net or MONAI, or export it with overlaps "smaller".',
            )
        channels = info.get("channel_names") or info.get("modality") or {}
        if len(channels) != 1 or str(next(iter(channels.values()))).upper() != "CT":
            raise UserError(
                f"{folder.name} is not of CT alone, which this training can't use.",
                "Let nnU-Net train it: contourdesk train --with nnunet.",
            )
        if info.get("file_ending", ".nii.gz") != ".nii.gz":
            raise UserError(f"{folder.name} has files that are no .nii.gz.", "Let nnU-Net train it, or convert them.")
        # What nnU-Net calls "ignore" is where an unknown organ may be; contoured.json says that better.
        labels = {name: value for name, value in info["labels"].items() if name not in ("background", "ignore")}
        if not labels or sorted(labels.values()) != list(range(1, len(labels) + 1)):
            raise UserError(f"The labels of {folder.name} are not numbered 1, 2, 3 and so on.", "Number them so.")
        listed = _json(folder / "contoured.json")
        contoured = {case: list(entry["contoured"]) for case, entry in listed.items()} if listed is not None else None
        patients = {case: str(entry["patient"]) for case, entry in (listed or {}).items() if "patient" in entry}
        told = (_json(folder / "manifest.json") or {}).get("cases")
        if isinstance(told, dict):
            patients |= {case: str(entry["patient"]) for case, entry in told.items() if "patient" in entry}
        wrong = dict((_json(folder / "quality.json") or {}).get("wrong_labels", {}))
        return cls(folder, folder.resolve().name, labels, contoured, wrong, labels, patients)

    def cases(self, split: str = "Tr") -> list[str]:
        """Names of the cases in ``images<split>``."""
        return sorted(p.name.removesuffix("_0000.nii.gz") for p in (self.folder / f"images{split}").glob("*.nii.gz"))

    def new_labels(self, labels: Mapping[str, int]) -> list[str]:
        """The dataset's own organs, by value, that are none of `labels`, however they are spelled."""
        known = {label_key(name) for name in labels}
        return [name for name in sorted(self.own, key=self.own.__getitem__) if label_key(name) not in known]

    def with_labels(self, labels: Mapping[str, int]) -> RawDataset:
        """The same cases with other names and values for the same organs; those that it lacks are unknown.

        Raises
        ------
        UserError : an organ of the dataset is none of `labels`, or two are one.
        """
        missing = self.new_labels(labels)
        if missing:
            raise UserError(f"There is no label for {', '.join(missing)} of {self.name}.", "Rename them.")
        out = replace(self, labels=dict(labels))
        meant = [value for value in out.values().values() if value]
        if len(set(meant)) != len(meant):
            raise UserError(f"Two labels of {self.name} mean one organ.", "Rename one of them in dataset.json.")
        return out

    def values(self) -> dict[int, int]:
        """The dataset's own value of each label to the one in `labels`."""
        by_key = {label_key(name): value for name, value in self.labels.items()}
        return {value: self.labels.get(name) or by_key[label_key(name)] for name, value in self._own().items()}

    def _own(self) -> dict[str, int]:
        return self.own or self.labels

    def known(self, case: str) -> np.ndarray:
        """(classes,) bool: which labels were contoured in this case, background always."""
        own, values = self._own(), self.values()
        names = own if self.contoured is None else self.contoured.get(case, [])
        out = np.zeros(max(self.labels.values()) + 1, bool)
        out[0] = True
        out[[values[own[n]] for n in names if n in own and n not in self.wrong.get(case, [])]] = True
        return out

    def paths(self, case: str, split: str = "Tr") -> tuple[Path, Path]:
        """The files of image and labels."""
        return (
            self.folder / f"images{split}" / f"{case}_0000.nii.gz",
            self.folder / f"labels{split}" / f"{case}.nii.gz",
        )

    def read(
        self, case: str, split: str = "Tr", orientation: str = "LPS"
    ) -> tuple[np.ndarray, Values, tuple[float, float, float]]:
        """HU (z, y, x), labels (z, y, x) int16, spacing in mm (z, y, x); axes turned as `Settings.orientation` says.

        Raises
        ------
        UserError : a file is missing or damaged, or image and labels don't fit.
        """
        found = []
        for path in self.paths(case, split):
            try:
                found.append(sitk.ReadImage(str(path)))
            except RuntimeError as error:
                raise UserError(f"{path} is missing or damaged.", "Export the case again.") from error
        image, label = found
        if image.GetSize() != label.GetSize() or image.GetDimension() != 3:
            raise UserError(f"Image and labels of {case} differ in size.", "Export the case again.")
        if orientation == "stored":
            across = np.abs(np.array(image.GetDirection()).reshape(3, 3)[0])
            if across[0] < across.max():  # mirroring needs to know where left and right are
                raise UserError(
                    f"The slices of {case} are not axial, and the model takes images as they are stored.",
                    "Store them with axial slices, or start without the model.",
                )
        else:
            image, label = (sitk.DICOMOrient(one, orientation) for one in (image, label))
        x, y, z = image.GetSpacing()
        hu, stored = sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(label).astype(np.int64)
        table = np.zeros(max(int(stored.max(initial=0)), *self._own().values()) + 1, np.int16)
        for value, meant in self.values().items():  # what is in none of them is nnU-Net's ignore label
            table[value] = meant
        return hu, table[stored], (z, y, x)


def _json(path: Path) -> dict[str, Any] | None:
    try:
        read = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} can't be read: {error}.", "Export the dataset again.") from error
    return read if isinstance(read, dict) else None


def whole_anatomy(hu: np.ndarray, labels: np.ndarray, spacing_mm: tuple[float, float, float]) -> slice:
    """Longest run of slices whose anatomy was not blanked outside the contoured organs."""
    organs = ndimage.binary_dilation(labels > 0, ndimage.generate_binary_structure(3, 1))
    area = ((hu > -500) & ~organs).sum(axis=(1, 2)) * spacing_mm[1] * spacing_mm[2]
    whole_mm2 = hu.shape[1] * hu.shape[2] * spacing_mm[1] * spacing_mm[2]
    runs, count = ndimage.label(area >= min(WHOLE_SLICE_MM2, 0.1 * whole_mm2))
    if count == 0:
        return slice(0, 0)
    longest = 1 + int(np.argmax(np.bincount(runs)[1:]))
    where = np.flatnonzero(runs == longest)
    return slice(int(where[0]), int(where[-1]) + 1)


def fingerprint(
    chosen: Sequence[tuple[RawDataset, str]], window_hu: tuple[float, float]
) -> Generator[str, None, dict[str, Any]]:
    """nnU-Net's dataset fingerprint: spacings, shapes and foreground intensity over the training cases.

    Intensities are cut to `window_hu` first: bone and air in the contours would otherwise stretch the scale until
    soft tissue has no contrast left. Yields the name of each case when it is measured.

    Raises
    ------
    UserError : nothing is contoured in any case.
    """
    spacings, shapes, samples = [], [], []
    rng = np.random.default_rng(1234)
    for dataset, case in chosen:
        hu, labels, spacing = dataset.read(case)
        spacings.append(spacing)
        shapes.append(hu.shape)
        inside = hu[labels > 0]
        if inside.size:
            samples.append(rng.choice(inside, min(inside.size, 5000)))
        yield case
    if not samples:
        raise UserError("Nothing is contoured in any training case.", "Accept structures in reviews and export them.")
    values = np.concatenate(samples).astype(np.float64).clip(*window_hu)
    properties = {
        "max": float(values.max()),
        "mean": float(values.mean()),
        "median": float(np.median(values)),
        "min": float(values.min()),
        "percentile_00_5": float(np.percentile(values, 0.5)),
        "percentile_99_5": float(np.percentile(values, 99.5)),
        "std": float(values.std()),
    }
    return {
        "fine_spacing": [round(float(v), 4) for v in np.percentile(spacings, 10, axis=0)],
        "median_spacing": [round(float(v), 4) for v in np.median(spacings, axis=0)],
        "median_shape": [int(v) for v in np.median(shapes, axis=0)],
        "intensity": properties,
    }


def preprocess(
    dataset: RawDataset, case: str, settings: Settings, cache: Path, *, old: bool = False
) -> TrainingCase | None:
    """A preprocessed case, from the cache folder where it was made before; None when too little of it is whole.

    It is not read into memory: patches are taken out of the files as they are needed. A 2D configuration keeps slices
    as they are.
    """
    path = cache / case
    known = dataset.known(case)
    stamp = _stamp(dataset, case, known, settings)
    if not _is_whole(path, stamp) and not _make(dataset, case, known, settings, path, stamp):
        return None
    image, labels = (np.load(path / f"{name}.npy", mmap_mode="c") for name in ("image", "labels"))
    with np.load(path / "places.npz") as stored:
        places = {int(name): stored[name] for name in stored.files}
    return TrainingCase(case, torch.from_numpy(image), torch.from_numpy(labels), torch.from_numpy(known), places, old)


def _is_whole(path: Path, stamp: str) -> bool:
    mark = path / "stamp.txt"
    return mark.is_file() and mark.read_text() == stamp


def _stamp(dataset: RawDataset, case: str, known: np.ndarray, settings: Settings) -> str:
    """Changes when anything does that the preprocessed case is made from."""
    files = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in dataset.paths(case) if p.exists()]
    how = (settings.spacing_mm, settings.transpose, settings.intensity, settings.image, settings.orientation)
    content = repr((files, sorted(dataset.values().items()), known.tolist(), how))
    return hashlib.sha256(content.encode()).hexdigest()


def _make(dataset: RawDataset, case: str, known: np.ndarray, settings: Settings, path: Path, stamp: str) -> bool:
    hu, labels, spacing = dataset.read(case, orientation=settings.orientation)
    slab = whole_anatomy(hu, labels, spacing)
    if slab.stop - slab.start < min(LEAST_SLICES, len(hu)):
        return False
    hu, labels = (array[slab].transpose(settings.transpose) for array in (hu, labels))
    z, y, x = (spacing[axis] for axis in settings.transpose)
    spacing = (z, y, x)
    target = settings.spacing_for(spacing)
    shape = resampled_shape(hu.shape, spacing, target)
    normal = ct_normalise(hu, settings.intensity[0])[None]
    image = resample(normal, shape, spacing, target, settings.image.order, settings.image.separate)[0]
    small = _resample_labels(labels, shape)
    small[~known[small]] = 0
    rng = np.random.default_rng(0)
    places = {}
    for k in np.flatnonzero(known)[1:]:
        where = np.argwhere(small == k)
        if len(where):
            few = where if len(where) <= MOST_PLACES else where[np.sort(rng.permutation(len(where))[:MOST_PLACES])]
            places[str(k)] = few.astype(np.int32)
    path.mkdir(parents=True, exist_ok=True)
    (path / "stamp.txt").unlink(missing_ok=True)
    np.save(path / "image.npy", image.astype(np.float16))
    np.save(path / "labels.npy", small)
    np.savez(path / "places.npz", **places)  # type: ignore[arg-type]
    part = path / "stamp.part"  # last: without it the case is made again
    part.write_text(stamp)
    os.replace(part, path / "stamp.txt")
    return True


def _resample_labels(labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Each organ resampled linearly and cut at one half, so that edges keep their place."""
    from skimage.transform import resize

    out = np.zeros(shape, np.int16)
    for value in np.unique(labels[labels > 0]):
        part = resize((labels == value).astype(np.float32), shape, 1, mode="edge", anti_aliasing=False)
        out[part > 0.5] = value
    return out
