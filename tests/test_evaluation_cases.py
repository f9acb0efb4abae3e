"""Held-out cases from datasets and review folders: only what is known, patients told apart, predictions kept."""

import json
from pathlib import Path

import numpy as np
import pytest
from evaluation_phantoms import SHAPE, make_dataset, make_review
from tiny_model import make_model

from contourdesk.app.errors import UserError
from contourdesk.app.evaluate_work import EvaluateTask, evaluate_case, use_model
from contourdesk.app.evaluation_cases import find_cases, read_truth
from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import run
from contourdesk.app.prediction_cache import cache_file, image_key, load_masks, save_masks
from contourdesk.app.structures import Mask
from contourdesk.app.training_record import training_cases
from contourdesk.app.volume import Volume
from contourdesk.inference.identity import loaded


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONTOURDESK_HOME", str(tmp_path / "home"))


def test_a_dataset_gives_known_organs_only(tmp_path: Path):
    folder = make_dataset(tmp_path / "data", 3, unknown={"case_1": ["Mandible"], "case_2": ["Brainstem"]})
    (folder / "quality.json").write_text(json.dumps({"wrong_labels": {"case_2": ["RightParotid"]}}))
    cases, notes = find_cases(folder)
    assert [(c.name, sorted(c.labels)) for c in cases] == [
        ("case_0", ["Brainstem", "Mandible", "RightParotid"]),
        ("case_1", ["Brainstem", "RightParotid"]),
        ("case_2", ["Mandible"]),
    ]
    assert notes == ["1 labels that quality.json calls wrong are left out."]
    truth = run(read_truth(cases[1]))
    assert sorted(truth.masks) == ["Brainstem", "RightParotid"] and truth.patient == "case_1"
    assert cases[1].opens == folder / "imagesTs" / "case_1_0000.nii.gz"


def test_exports_of_one_patient_are_one_patient(tmp_path: Path):
    names = ["CD_0123abcd_00000001", "CD_0123abcd_00000002", "CD_ffffffff_00000003"]
    cases, _ = find_cases(make_dataset(tmp_path / "data", 3, names=names))
    assert [c.patient for c in cases] == ["CD_0123abcd", "CD_0123abcd", "CD_ffffffff"]


def test_what_cannot_be_evaluated_on(tmp_path: Path):
    with pytest.raises(UserError, match="There is no"):
        find_cases(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="neither a dataset nor a folder of reviews"):
        find_cases(tmp_path / "empty")
    folder = make_dataset(tmp_path / "data", 1, unknown={"case_0": ["Brainstem", "RightParotid", "Mandible"]})
    with pytest.raises(UserError, match="nothing known to compare"):
        find_cases(folder)
    with pytest.raises(UserError, match=r"nothing known|no held-out"):
        find_cases(folder, "Val")
    folder = make_dataset(tmp_path / "training", 1, split="Tr")
    with pytest.raises(UserError, match="no held-out cases"):
        find_cases(folder)
    assert "training cases" in find_cases(folder, "Tr")[1][0]


def test_accepted_structures_of_a_review_are_the_truth(tmp_path: Path, make_ct):
    ct = make_ct(tmp_path / "images", shape=SHAPE, patient_id="LEAK-7")
    make_review(tmp_path / "reviews" / "one", ct.folder, accepted=("Brainstem",), rejected=("Mandible",))
    (case,), _ = find_cases(tmp_path / "reviews")
    truth = run(read_truth(case))
    assert list(truth.masks) == ["Brainstem"]
    assert truth.patient.startswith("CD_") and "LEAK" not in truth.patient
    assert case.opens == tmp_path / "reviews" / "one"
    make_review(tmp_path / "none", ct.folder, rejected=("Mandible",))
    with pytest.raises(UserError, match="Nobody accepted"):
        run(read_truth(find_cases(tmp_path / "none")[0][0]))


def test_a_prediction_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = make_dataset(tmp_path / "data", 1)
    use = use_model("A", "tiny", make_model(tmp_path / "model"))
    task = EvaluateTask(find_cases(folder)[0][0], (use,), tmp_path / "cache", 2.0, "cpu")
    first = run(evaluate_case(task))
    assert first.kept == 0 and len(first.scores) == 3
    monkeypatch.setattr("contourdesk.inference.predict.predict", None)  # would be a bug to call it again
    again = run(evaluate_case(task))
    assert again.kept == 1 and again.scores == first.scores


def test_weights_that_change_meanwhile_are_not_used(tmp_path: Path):
    folder = make_dataset(tmp_path / "data", 1)
    use = use_model("A", "tiny", make_model(tmp_path / "model"))
    task = EvaluateTask(find_cases(folder)[0][0], (use,), tmp_path / "cache", 2.0, "cpu")
    other = make_model(tmp_path / "other", seed=4) / "fold_0" / "checkpoint_final.pth"
    (tmp_path / "model" / "fold_0" / "checkpoint_final.pth").write_bytes(other.read_bytes())
    loaded.cache_clear()  # as in a process that starts now
    with pytest.raises(UserError, match="weights changed"):
        run(evaluate_case(task))
    assert not (tmp_path / "cache").exists()


def test_another_model_or_use_has_another_key(tmp_path: Path):
    one, other = make_model(tmp_path / "one"), make_model(tmp_path / "other", seed=4)
    keys = {use_model("A", "x", one).key, use_model("A", "x", other).key}
    assert len(keys) == 2
    copy = make_model(tmp_path / "copy")
    assert use_model("B", "y", copy).key in keys  # of the same weights, wherever it lies
    plans = json.loads((copy / "plans.json").read_text())
    plans["foreground_intensity_properties_per_channel"]["0"]["mean"] = 41.0
    changed = make_model(tmp_path / "changed")
    (changed / "plans.json").write_text(json.dumps(plans))
    assert use_model("B", "y", changed).key not in keys


def test_kept_masks_come_back_and_damage_is_noticed(tmp_path: Path):
    masks = {"Larynx": Mask((1, 2, 3), np.random.default_rng(0).random((3, 4, 5)) < 0.5), "Drüse": Mask()}
    file = cache_file(tmp_path, "a" * 64, "b" * 64)
    save_masks(file, masks)
    back = load_masks(file)
    assert back is not None
    assert list(back) == list(masks) and all(back[n].equals(masks[n]) for n in masks)
    file.write_bytes(file.read_bytes()[:-30])
    assert load_masks(file) is None and load_masks(tmp_path / "nowhere.npz") is None


def test_image_key_depends_on_values_and_place():
    array = np.zeros((3, 4, 5), np.int16)
    grid = Grid.from_spacing(array.shape, (3, 1, 1))
    moved = Grid.from_spacing(array.shape, (3, 1, 1), (1, 0, 0))
    other = array.copy()
    other[0, 0, 0] = 1
    keys = [image_key(Volume(g, a)) for g, a in ((grid, array), (moved, array), (grid, other), (grid, array.copy()))]
    assert len(set(keys)) == 3 and keys[0] == keys[3]


def test_training_cases(tmp_path: Path):
    assert training_cases(tmp_path) is None
    (tmp_path / "training.json").write_text(json.dumps({"minutes": 5, "cases": ["a", "b"], "earlier_cases": ["z"]}))
    (tmp_path / "manifest.json").write_text(json.dumps({"cases": [{"name": "c"}]}))
    assert training_cases(tmp_path) == {"a", "b", "c", "z"}
    (tmp_path / "training.json").write_text("{")
    assert training_cases(tmp_path) == {"c"}
