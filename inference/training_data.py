"""nnU-Net raw datasets as training cases: read, cut to whole anatomy, normalise, resample, cache.

``contoured.json`` beside ``dataset.json`` says which organs each case was contoured for; without it every organ
of every case counts as contoured. ``quality.json`` (optional) lists labels known to be wrong, which become unknown.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import torch
from scipy import ndimage
from torch import Tensor

from contourdesk.app.dataset_commit import mend
from contourdesk.app.errors import UserError
from contourdesk.inference.preprocess import ct_normalise, resample, resampled_shape

AIR_HU = -1024.0
# A slice counts as whole anatomy when at least this much of it is tissue outside the contoured organs.
WHOLE_SLICE_MM2 = 5000.0


@dataclass(frozen=True)
class TrainingCase:
    """One preprocessed case. `image` (z, y, x) float32 normalised; `labels` int16; `known` (classes,) bool."""

    name: str
    image: Tensor
    labels: Tensor
    known: Tensor
    organ_voxels: Mapping[int, np.ndarray]


@dataclass(frozen=True)
class RawDataset:
    """An nnU-Net raw dataset folder. `labels` maps organ name to its value, background (0) left out."""

    folder: Path
    name: str
    labels: dict[str, int]
    contoured: dict[str, list[str]] | None
    wrong: dict[str, list[str]]

    @classmethod
    def open(cls, folder: Path) -> RawDataset:
        """Read ``dataset.json`` and what lies beside it. Raises UserError when the folder is no such dataset."""
        path = folder / "dataset.json"
        if not path.is_file():
            raise UserError(f"{folder} holds no dataset.json.", "Choose the folder of an nnU-Net raw dataset.")
        mend(folder)
        info = json.loads(path.read_text())
        if not all(isinstance(value, int) for value in info["labels"].values()) or (folder / "masksTr").is_dir():
            raise UserError(
                f"{folder.name} holds regions or one mask for each structure, which this training can't use.",
                'Train it with nnU-Net or MONAI, or export it with overlaps "smaller".',
            )
        # What nnU-Net calls "ignore" is where an unknown organ may be; contoured.json says that better.
        labels = {name: value for name, value in info["labels"].items() if name not in ("background", "ignore")}
        contoured = None
        if (folder / "contoured.json").is_file():
            listed = json.loads((folder / "contoured.json").read_text())
            contoured = {case: entry["contoured"] for case, entry in listed.items()}
        wrong: dict[str, list[str]] = {}
        if (folder / "quality.json").is_file():
            wrong = json.loads((folder / "quality.json").read_text()).get("wrong_labels", {})
        return cls(folder, folder.name, labels, contoured, wrong)

    def cases(self, split: str = "Tr") -> list[str]:
        """Names of the cases in ``images<split>``."""
        return sorted(p.name.removesuffix("_0000.nii.gz") for p in (self.folder / f"images{split}").glob("*.nii.gz"))

    def known(self, case: str) -> np.ndarray:
        """(classes,) bool: which labels were contoured in this case, background always."""
        names = self.labels if self.contoured is None else self.contoured.get(case, [])
        out = np.zeros(max(self.labels.values()) + 1, bool)
        out[0] = True
        out[[self.labels[n] for n in names if n not in self.wrong.get(case, [])]] = True
        return out

    def read(self, case: str, split: str = "Tr") -> tuple[np.ndarray, np.ndarray, tuple[float, float, float]]:
        """HU (z, y, x) int16, labels (z, y, x) int16, spacing in mm (z, y, x)."""
        image = sitk.ReadImage(str(self.folder / f"images{split}" / f"{case}_0000.nii.gz"))
        label = sitk.ReadImage(str(self.folder / f"labels{split}" / f"{case}.nii.gz"))
        if image.GetSize() != label.GetSize():
            raise UserError(f"Image and labels of {case} differ in size.", "Export the case again.")
        x, y, z = image.GetSpacing()
        hu, values = sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(label)
        values = values.astype(np.int16)
        values[values > max(self.labels.values())] = 0  # nnU-Net's ignore label, the last
        return hu, values, (z, y, x)


def whole_anatomy(hu: np.ndarray, labels: np.ndarray, spacing_mm: tuple[float, float, float]) -> slice:
    """Longest run of slices whose anatomy was not blanked outside the contoured organs."""
    organs = ndimage.binary_dilation(labels > 0, ndimage.generate_binary_structure(3, 1))
    area = ((hu > -500) & ~organs).sum(axis=(1, 2)) * spacing_mm[1] * spacing_mm[2]
    runs, count = ndimage.label(area >= WHOLE_SLICE_MM2)
    if count == 0:
        return slice(0, 0)
    longest = 1 + int(np.argmax(np.bincount(runs)[1:]))
    where = np.flatnonzero(runs == longest)
    return slice(int(where[0]), int(where[-1]) + 1)


def fingerprint(dataset: RawDataset, cases: list[str], window_hu: tuple[float, float]) -> dict[str, object]:
    """nnU-Net's dataset fingerprint: spacings, shapes and foreground intensity over the training cases.

    Intensities are cut to `window_hu` first: bone and air in the contours would otherwise stretch the scale until
    soft tissue has no contrast left.
    """
    spacings, shapes, samples = [], [], []
    rng = np.random.default_rng(1234)
    for case in cases:
        hu, labels, spacing = dataset.read(case)
        spacings.append(spacing)
        shapes.append(hu.shape)
        inside = hu[labels > 0]
        if inside.size:
            samples.append(rng.choice(inside, min(inside.size, 5000)))
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
        "median_spacing": [round(float(v), 4) for v in np.median(spacings, axis=0)],
        "median_shape": [int(v) for v in np.median(shapes, axis=0)],
        "intensity": properties,
    }


def preprocess_cases(
    dataset: RawDataset,
    cases: list[str],
    spacing_mm: tuple[float, ...],
    intensity: Mapping[str, float],
    cache: Path,
) -> Iterator[TrainingCase]:
    """Preprocessed cases one by one, from the cache folder where they were made before.

    `spacing_mm` is (z, y, x), or (y, x) where slices stay as they are (a "2d" configuration of nnU-Net).
    """
    cache.mkdir(parents=True, exist_ok=True)
    for case in cases:
        path = cache / f"{case}.npz"
        if not path.is_file():
            hu, labels, spacing = dataset.read(case)
            slab = whole_anatomy(hu, labels, spacing)
            if slab.stop - slab.start < 8:
                continue
            hu, labels = hu[slab], labels[slab]
            target = (*spacing[: 3 - len(spacing_mm)], *spacing_mm)
            shape = resampled_shape(hu.shape, spacing, target)
            image = resample(ct_normalise(hu, intensity)[None], shape, spacing, target, order=3)[0]
            small = _resample_labels(labels, shape)
            np.savez(path, image=image.astype(np.float16), labels=small.astype(np.int8))
        with np.load(path) as stored:
            image, small = stored["image"].astype(np.float32), stored["labels"].astype(np.int16)
        known = dataset.known(case)
        small[~known[small]] = 0
        places = {int(k): np.argwhere(small == k) for k in np.flatnonzero(known) if k > 0 and (small == k).any()}
        yield TrainingCase(case, torch.from_numpy(image), torch.from_numpy(small), torch.from_numpy(known), places)


def _resample_labels(labels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Each organ resampled linearly and cut at one half, so that edges keep their place."""
    from skimage.transform import resize

    out = np.zeros(shape, np.int16)
    for value in np.unique(labels[labels > 0]):
        part = resize((labels == value).astype(np.float32), shape, 1, mode="edge", anti_aliasing=False)
        out[part > 0.5] = value
    return out
