"""A short real training run: it learns, stops, goes on, and leaves a model folder."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from training_phantoms import make_dataset

from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Progress, run
from contourdesk.inference.plans import Resampling, Settings
from contourdesk.inference.train import FINAL, TrainConfig, paired_labels, train
from contourdesk.inference.training_data import RawDataset, preprocess, whole_anatomy

QUICK = TrainConfig(steps=40, patch_size=(16, 16, 16), features=(8, 16), batch_size=2, learning_rate=5e-3, threads=1)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Three small cases with a bright left and a bright right ball in a body; one case knows the right one only."""
    return make_dataset(tmp_path / "data", known={"C2": ["RightBall"]})


def test_unknown_organs_are_not_background_but_unknown(dataset: Path, tmp_path: Path):
    raw = RawDataset.open(dataset)
    intensity = {"percentile_00_5": -1000, "percentile_99_5": 300, "mean": 0.0, "std": 100.0}
    how = Resampling("spline", 3, None)
    settings = Settings(
        "3d_fullres", (16, 16, 16), (3.0, 4.0, 4.0), (0, 1, 2), ("CTNormalization",), (False,), (intensity,), how, how,
        "LPS",
    )  # fmt: skip
    *_, last = (preprocess(raw, case, settings, tmp_path / "cache") for case in raw.cases())
    assert last.known.tolist() == [True, True, False]
    assert set(last.organ_voxels) == {1}
    assert not (last.labels == 2).any()


def test_blanked_slices_are_left_out():
    hu = np.zeros((30, 50, 50), np.int16)
    labels = np.zeros(hu.shape, np.int16)
    labels[:, 20:24, 20:24] = 1
    hu[:10] = -1024
    hu[25:] = -1024
    hu[labels > 0] = 40
    assert whole_anatomy(hu, labels, (3.0, 4.0, 4.0)) == slice(10, 25)
    assert whole_anatomy(hu[:10], labels[:10], (3.0, 4.0, 4.0)) == slice(0, 0)


def test_sides_are_paired_by_name():
    assert paired_labels({"RightParotid": 3, "LeftParotid": 4, "Larynx": 6}) == {3: 4, 4: 3}
    assert paired_labels({"Parotid_R": 1, "Parotid_L": 2, "Bone_Mandible": 3}) == {1: 2, 2: 1}


def test_trains_stops_and_goes_on(dataset: Path, tmp_path: Path):
    out = tmp_path / "model"
    job = train(dataset, out, QUICK)
    steps = 0
    for progress in job:
        steps += progress.text.startswith("Step")
        if steps == 3:
            job.close()
    before = torch.load(out / "fold_0" / "checkpoint_latest.pth", weights_only=True)
    assert before["step"] == 3
    seen: list[Progress] = list(train(dataset, out, QUICK, resume=True))
    first = next(p for p in seen if p.text.startswith("Step"))
    assert first.text.startswith("Step 4,")
    losses = [float(p.text.rsplit(" ", 1)[1]) for p in seen if p.text.startswith("Step")]
    assert len(losses) == 37
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    weights = torch.load(out / "fold_0" / "checkpoint_final.pth", weights_only=True)
    assert weights["init_args"]["configuration"] == "3d_fullres"
    assert all(v.dtype == torch.float16 for v in weights["network_weights"].values())
    for name in ("plans.json", "dataset.json"):
        assert json.loads((out / name).read_text())


def test_goes_on_from_a_model(dataset: Path, tmp_path: Path):
    first, second = tmp_path / "first", tmp_path / "second"
    run(train(dataset, first, replace(QUICK, steps=20)))
    run(train(dataset, second, replace(QUICK, steps=1, learning_rate=0.0), start_from=first))
    a, b = (torch.load(m / FINAL, weights_only=True)["network_weights"] for m in (first, second))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert (first / "plans.json").read_text() == (second / "plans.json").read_text()
    with pytest.raises(UserError, match="overwritten"):
        run(train(dataset, first, QUICK, start_from=first))


def test_a_folder_that_is_no_dataset_is_refused(tmp_path: Path):
    with pytest.raises(UserError, match=r"dataset\.json"):
        next(train(tmp_path, tmp_path / "out", QUICK))
