"""Small training datasets: a body with a bright ball at each side."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

BALLS = {"RightBall": 1, "LeftBall": 2}


def make_dataset(
    folder: Path,
    cases: int = 3,
    labels: Mapping[str, int] = BALLS,
    known: Mapping[str, Sequence[str]] | None = None,
    shape: tuple[int, int, int] = (24, 32, 40),
    spacing_mm: tuple[float, float, float] = (3.0, 4.0, 4.0),
    seed: int = 0,
) -> Path:
    """Write an nnU-Net raw dataset and return its folder.

    The ball at the patient's right has the first label, the other the second. `known` gives the organs that are
    contoured in a case where these are not all.
    """
    rng = np.random.default_rng(seed)
    z, y, x = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    middle = [n // 2 for n in shape]
    for sub in ("imagesTr", "labelsTr"):
        (folder / sub).mkdir(parents=True)
    names = [f"C{i}" for i in range(cases)]
    for name in names:
        shift = rng.integers(-2, 3)
        body = ((y - middle[1]) / shape[1]) ** 2 + ((x - middle[2]) / shape[2]) ** 2 < 0.2
        hu = np.where(body, 0, -1000) + rng.normal(0, 10, shape)
        found = np.zeros(shape, np.uint8)
        radius = min(shape) / 5
        for value, side in zip(labels.values(), (-1, 1), strict=False):
            centre = middle[2] + side * shape[2] // 5 + shift
            inside = (z - middle[0]) ** 2 + (y - middle[1]) ** 2 + (x - centre) ** 2 < radius**2
            hu[inside] = 200 + 10 * rng.standard_normal(inside.sum())
            found[inside] = value
        for path, array in ((f"imagesTr/{name}_0000", hu.astype(np.int16)), (f"labelsTr/{name}", found)):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing(spacing_mm[::-1])
            sitk.WriteImage(image, str(folder / f"{path}.nii.gz"))
    info = {"channel_names": {"0": "CT"}, "labels": {"background": 0, **labels}, "numTraining": cases}
    (folder / "dataset.json").write_text(json.dumps({**info, "file_ending": ".nii.gz"}))
    listed = {n: {"split": "Tr", "contoured": list((known or {}).get(n, labels))} for n in names}
    (folder / "contoured.json").write_text(json.dumps(listed))
    return folder
