"""Small datasets and reviews with known truth, for tests of evaluation and batches."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from tiny_model import LABELS

from contourdesk.app.case import Case
from contourdesk.app.dicom_read import read_series, scan
from contourdesk.app.jobs import run
from contourdesk.app.project import save
from contourdesk.app.review import ReviewSession
from contourdesk.app.structures import Mask

SHAPE = (14, 26, 22)
SPACING_XYZ = (2.0, 2.0, 3.0)
BOXES = {"Brainstem": (3, 4, 4), "RightParotid": (5, 12, 3), "Mandible": (6, 12, 12)}
SIZE = (4, 6, 6)


def labels() -> np.ndarray:
    """Label map (z, y, x): one box for each organ of the tiny model."""
    out = np.zeros(SHAPE, np.uint8)
    for organ, (z, y, x) in BOXES.items():
        out[z : z + SIZE[0], y : y + SIZE[1], x : x + SIZE[2]] = LABELS[organ]
    return out


def body(seed: int = 0) -> np.ndarray:
    """HU (z, y, x): air round noise."""
    hu = np.full(SHAPE, -1000, np.int16)
    hu[2:-2, 2:-2, 2:-2] = np.random.default_rng(seed).normal(0, 100, [n - 4 for n in SHAPE])
    return hu


def write(array: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING_XYZ)
    sitk.WriteImage(image, str(path))
    return path


def make_dataset(
    folder: Path,
    count: int,
    *,
    split: str = "Ts",
    unknown: Mapping[str, Sequence[str]] | None = None,
    names: Sequence[str] | None = None,
) -> Path:
    """An nnU-Net raw dataset of `count` cases; `unknown` organs were not contoured in a case."""
    contoured = {}
    for i, name in enumerate(names or [f"case_{i}" for i in range(count)]):
        write(body(i), folder / f"images{split}" / f"{name}_0000.nii.gz")
        write(labels(), folder / f"labels{split}" / f"{name}.nii.gz")
        organs = [o for o in LABELS if o not in (unknown or {}).get(name, ())]
        contoured[name] = {"split": split, "contoured": organs}
    info = {"channel_names": {"0": "CT"}, "labels": {"background": 0, **LABELS}}
    (folder / "dataset.json").write_text(json.dumps(info | {"numTraining": 0, "file_ending": ".nii.gz"}))
    (folder / "contoured.json").write_text(json.dumps(contoured))
    return folder


def make_review(folder: Path, images: Path, accepted: Sequence[str] = (), rejected: Sequence[str] = ()) -> Path:
    """A saved review of a DICOM series with one box for each name."""
    (series,) = run(scan(images))
    case: Case = run(read_series(series))
    session = ReviewSession(case, "Dr. Phantom")
    for state, names in (("accepted", accepted), ("rejected", rejected)):
        for name in names:
            made = session.add(name, mask=Mask(BOXES[name], np.ones(SIZE, bool)))
            session.decide(made, state)
    run(save(session.snapshot(), folder))
    return folder
