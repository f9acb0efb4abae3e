"""Model folders: what is read, and what is said when a file is missing, damaged or not what it seems."""

import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import LABELS, make_model, tiny_network, tiny_plans

from contourdesk.app.errors import UserError
from contourdesk.inference.nnunet import load_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


def edit_json(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_settings(folder: Path, **changes) -> None:
    plans = json.loads((folder / "plans.json").read_text())
    plans["configurations"]["3d_fullres"].update(changes)
    (folder / "plans.json").write_text(json.dumps(plans))


def checkpoint_of(folder: Path) -> Path:
    return folder / "fold_0" / "checkpoint_final.pth"


def test_a_good_folder(folder: Path):
    model = load_model(folder)
    assert model.labels == tuple(LABELS)
    assert model.channels == 4
    assert not model.regions
    assert model.folds == ("fold_0",)
    assert model.name == "tiny"
    assert model.settings.patch_size == (16, 24, 20)
    assert model.weights_sha256 == hashlib.sha256(checkpoint_of(folder).read_bytes()).hexdigest()
    weights = list(model.networks[0].parameters())
    assert all(w.dtype == torch.float32 and not w.requires_grad for w in weights)  # stored in half precision
    assert not model.networks[0].training


def test_labels_are_ordered_by_number(folder: Path):
    edit_json(folder / "dataset.json", labels={"Mandible": 3, "background": 0, "RightParotid": 2, "Brainstem": [1]})
    assert load_model(folder).labels == ("Brainstem", "RightParotid", "Mandible")


def test_several_folds_and_fold_all(folder: Path):
    for name in ("fold_1", "fold_all"):
        shutil.copytree(folder / "fold_0", folder / name)
    (folder / "fold_2").mkdir()  # a fold whose training never ended is left out
    assert load_model(folder).folds == ("fold_0", "fold_1")
    for name in ("fold_0", "fold_1"):
        shutil.rmtree(folder / name)
    assert load_model(folder).folds == ("fold_all",)


def test_a_configuration_that_inherits(folder: Path):
    plans = json.loads((folder / "plans.json").read_text())
    full = plans["configurations"].pop("3d_fullres")
    plans["configurations"] = {"base": full, "3d_fullres": {"inherits_from": "base", "spacing": [1, 2, 3]}}
    (folder / "plans.json").write_text(json.dumps(plans))
    assert load_model(folder).settings.spacing_mm == (1.0, 2.0, 3.0)


def test_overlapping_regions(tmp_path: Path):
    folder = make_model(tmp_path / "model", {"a": 1, "b": 2, "c": 3})
    labels = {"background": 0, "all": [1, 2, 3], "core": [2, 3], "inner": 3, "rim": [1], "ignore": 4}
    edit_json(folder / "dataset.json", labels=labels, regions_class_order=[1, 2, 3, 1])
    model = load_model(folder)
    assert model.regions
    assert model.labels == ("all", "core", "inner", "rim")


@pytest.mark.parametrize("name", ["plans.json", "dataset.json", "fold_0/checkpoint_final.pth"])
def test_a_missing_file_is_named(folder: Path, name: str):
    (folder / name).unlink()
    with pytest.raises(UserError, match=Path(name).name) as raised:
        load_model(folder)
    assert raised.value.what_to_do


@pytest.mark.parametrize("name", ["plans.json", "dataset.json", "fold_0/checkpoint_final.pth"])
@pytest.mark.parametrize("keep", [0, 0.5, 0.98])
def test_a_truncated_file_is_named(folder: Path, name: str, keep: float):
    path = folder / name
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * keep)])
    with pytest.raises(UserError, match=path.name):
        load_model(folder)


def test_no_folder_and_no_fold(folder: Path, tmp_path: Path):
    with pytest.raises(UserError, match="no model folder"):
        load_model(tmp_path / "nowhere")
    shutil.rmtree(folder / "fold_0")
    with pytest.raises(UserError, match="fold_0"):
        load_model(folder)


class _Code:
    def __reduce__(self):
        return os.mkdir, ("code_was_run",)


def test_a_checkpoint_with_code_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    content = torch.load(checkpoint_of(folder), weights_only=True)
    torch.save({**content, "trainer": _Code()}, checkpoint_of(folder))
    with pytest.raises(UserError, match="program code"):
        load_model(folder)
    assert not (folder / "code_was_run").exists()


def test_numpy_numbers_in_nnunets_own_log_are_read(folder: Path):
    content = torch.load(checkpoint_of(folder), weights_only=True)
    log = {"mean_fg_dice": [np.float64(0.5), np.float32(0.25)], "epochs": np.int64(3)}
    torch.save({**content, "logging": log}, checkpoint_of(folder))
    assert load_model(folder).labels


def test_weights_of_another_network(folder: Path):
    edit_json(folder / "dataset.json", labels={"background": 0, "Brainstem": 1})
    with pytest.raises(UserError, match="do not fit"):
        load_model(folder)


def test_weights_that_are_no_numbers(folder: Path):
    content = torch.load(checkpoint_of(folder), weights_only=True)
    for weights in content["network_weights"].values():  # one weight has several names
        weights.view(-1)[0] = float("nan")
    torch.save(content, checkpoint_of(folder))
    with pytest.raises(UserError, match="no numbers"):
        load_model(folder)


def test_something_else_in_the_checkpoint(folder: Path):
    torch.save([1, 2, 3], checkpoint_of(folder))
    with pytest.raises(UserError, match="not a checkpoint"):
        load_model(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"patch_size": [32, 32]}, "2D"),
        ({"previous_stage": "3d_lowres"}, "cascade"),
        ({"normalization_schemes": ["CTNormalization", "ZScoreNormalization"]}, "2 images"),
        ({"normalization_schemes": ["RGBTo01Normalization"]}, "RGBTo01"),
        ({"resampling_fn_data": "resample_torch_fornnunet"}, "resample_torch"),
        ({"spacing": [0, 1, 1]}, "positive"),
        ({"spacing": [1, 1]}, "plans.json"),
        ({"architecture": {"network_class_name": "os.system", "arch_kwargs": {}, "_kw_requires_import": []}}, "system"),
        ({"architecture": {"network_class_name": "PlainConvUNet"}}, "arch_kwargs"),
        (
            {"architecture": {"network_class_name": "PlainConvUNet", "arch_kwargs": {}, "_kw_requires_import": []}},
            "built",
        ),
    ],
)
def test_plans_that_cannot_be_used(folder: Path, change: dict, says: str):
    edit_settings(folder, **change)
    with pytest.raises(UserError, match=says):
        load_model(folder)


def test_plans_without_the_configuration(folder: Path):
    edit_json(folder / "plans.json", configurations={})
    with pytest.raises(UserError, match="3d_fullres"):
        load_model(folder)


def test_labels_with_gaps(folder: Path):
    edit_json(folder / "dataset.json", labels={"background": 0, "Brainstem": 1, "Mandible": 3})
    with pytest.raises(UserError, match="numbered"):
        load_model(folder)


def test_tiny_plans_build_the_same_network_twice():
    plans = tiny_plans()
    a, b = (tiny_network(plans, 4).state_dict() for _ in range(2))
    assert all(torch.equal(a[k], b[k]) for k in a)
