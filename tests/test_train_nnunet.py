"""What nnU-Net gets from us, what it tells, and what comes back; its own training takes minutes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from nnunet_models import configuration, plans_of, write_model
from training_phantoms import make_dataset

from contourdesk.app.errors import UserError
from contourdesk.app.train_command import carry_out
from contourdesk.app.train_nnunet import NnunetLog, hand_over, take_over
from contourdesk.app.training_record import training_cases
from contourdesk.app.training_run import Stopping, TrainingOrder, unfinished
from contourdesk.inference.nnunet import load_model

LABELS = {"Parotid_R": 1, "Parotid_L": 2}
# As nnU-Net 2.8.1 prints it.
SAID = """2026-11-28 19:44:49.414012: Epoch 3
2026-11-28 19:44:49.414189: Current learning rate: 0.00973
2026-11-28 19:46:25.772123: train_loss -0.4021
2026-11-28 19:46:25.772281: val_loss -0.3
2026-11-28 19:46:25.772356: Pseudo dice [np.float32(0.8119), np.float32(nan)]
"""


def test_unknown_organs_get_the_ignore_label(tmp_path: Path):
    integrity = pytest.importorskip("nnunetv2.experiment_planning.verify_dataset_integrity")
    data = make_dataset(tmp_path / "data", 2, LABELS, {"C1": ["Parotid_R"]})
    (data / "splits_final.json").write_text("[]")
    raw = tmp_path / "raw" / "Dataset001_data"
    notes = hand_over(data, raw)
    assert len(notes) == 1 and "1 of 2 cases" in notes[0]
    info = json.loads((raw / "dataset.json").read_text())
    assert info["labels"] == {"background": 0, **LABELS, "ignore": 3}
    before, after = (sitk.GetArrayFromImage(sitk.ReadImage(str(f / "labelsTr" / "C1.nii.gz"))) for f in (data, raw))
    assert np.array_equal(after == 3, before == 0)
    assert np.array_equal(after[before > 0], before[before > 0])
    assert (raw / "splits_final.json").is_file()
    assert (raw / "labelsTr" / "C0.nii.gz").read_bytes() == (data / "labelsTr" / "C0.nii.gz").read_bytes()
    integrity.verify_dataset_integrity(str(raw), num_processes=1)
    assert hand_over(make_dataset(tmp_path / "all", 1, LABELS), raw) == [], "all is known"


def test_what_nnunet_says_is_understood():
    log = NnunetLog("training", 50, list(LABELS))
    told = [log.read(line) for line in SAID.splitlines()]
    last = told[-1]
    assert last is not None and (last.done, last.total, last.step, last.phase) == (3, 50, 3, "scoring")
    assert (last.loss, last.learning_rate, last.dice) == (-0.4021, 0.00973, {"Parotid_R": 0.8119, "Parotid_L": None})
    assert log.read("\n") is None
    log.read("RuntimeError: no more memory")
    log.read("Exception in thread Thread-4:")
    assert log.last_words == "RuntimeError: no more memory"


def test_its_model_becomes_one_of_ours(tmp_path: Path):
    place = tmp_path / "out" / "working" / "nnunet"
    result = place / "results" / "Dataset001_data" / "nnUNetTrainer__nnUNetPlans__3d_fullres"
    write_model(result, plans_of({"3d_fullres": configuration()}), "3d_fullres")
    splits = place / "preprocessed" / "Dataset001_data" / "splits_final.json"
    splits.parent.mkdir(parents=True)
    splits.write_text(json.dumps([{"train": ["C1"], "val": ["C0"]}]))
    data = make_dataset(tmp_path / "data", 2, LABELS)
    take_over(result, TrainingOrder(data, tmp_path / "out"))
    assert load_model(tmp_path / "out").labels == ("Brainstem", "RightParotid", "Mandible")
    assert training_cases(tmp_path / "out") == {"C1"}


def test_without_nnunet_a_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    order = TrainingOrder(tmp_path / "data", tmp_path / "out", by="nnunet", trainer="nnUNetTrainer_5epochs")
    (order.out / "working").mkdir(parents=True)
    with pytest.raises(UserError, match=r"contourdesk\[nnunet\]"):
        list(carry_out(order, False, Stopping(order.out)))
    kept = unfinished(order.out)
    assert kept is not None and kept.by == "nnunet" and kept.arguments()[-1] == "nnUNetTrainer_5epochs"
