"""Model folders: what is read, and what is said when a file is missing, damaged or not what it seems."""

import hashlib
import json
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import LABELS, make_model, tiny_network, tiny_plans

from contourdesk.app.errors import UserError
from contourdesk.inference.nnunet import find_models, load_model, load_models


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model")


def edit_json(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_settings(folder: Path, **changes) -> None:
    plans = json.loads((folder / "plans.json").read_text())
    plans["configurations"]["3d_fullres"].update(changes)
    (folder / "plans.json").write_text(json.dumps(plans))


def architecture_with(**changes) -> dict:
    block = tiny_plans()["configurations"]["3d_fullres"]["architecture"]
    return {"architecture": {**block, "arch_kwargs": {**block["arch_kwargs"], **changes}}}


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
        ({"patch_size": [32, 32]}, "as many each"),
        ({"patch_size": [100000, 100000, 100000]}, "too large for any computer"),
        ({"patch_size": ["a", 1, 1]}, "plans.json"),
        ({"previous_stage": "3d_lowres"}, "first stage, 3d_lowres, is missing"),
        ({"previous_stage": "3d_fullres"}, "circle"),
        ({"normalization_schemes": ["CTNormalization", "ZScoreNormalization"]}, "2 images"),
        ({"normalization_schemes": ["MagicNormalization"]}, "MagicNormalization"),
        ({"resampling_fn_data": "os.system"}, "os.system"),
        ({"resampling_fn_probabilities_kwargs": {"order": 3}}, "interpolation"),
        ({"inherits_from": "3d_fullres"}, "inherits from itself"),
        ({"spacing": [0, 1, 1]}, "positive"),
        ({"spacing": [1, 1]}, "plans.json"),
        ({"architecture": {"network_class_name": "os.system", "arch_kwargs": {}, "_kw_requires_import": []}}, "system"),
        ({"architecture": {"network_class_name": "PlainConvUNet"}}, "arch_kwargs"),
        (architecture_with(n_stages=10**9), "10000"),
        (architecture_with(n_stages=10_000), "n_stages"),
        (architecture_with(features_per_stage=[10**12, 8]), "too large a number"),
        (architecture_with(features_per_stage=[65536, 65536]), "do not fit"),
        (architecture_with(features_per_stage=[4] * 1000), "list of 1000"),
        (architecture_with(kernel_sizes=[[[[[[[[[[3]]]]]]]]]]), "nested"),
        (architecture_with(nonlin="os.system"), "os.system"),
        (architecture_with(surprise=1), "built"),
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


def test_json_that_is_nested_without_end(folder: Path):
    (folder / "dataset.json").write_text("[" * 100_000)
    with pytest.raises(UserError, match=r"dataset\.json"):
        load_model(folder)


@pytest.mark.parametrize("labels", [None, [], {"background": 0}, {"a": "x"}, {"a": []}, {"a": {"b": 1}}, {"a": [1, 2]}])
def test_labels_of_the_wrong_kind(folder: Path, labels):
    edit_json(folder / "dataset.json", labels=labels)
    with pytest.raises(UserError, match=r"dataset\.json"):
        load_model(folder)


@pytest.mark.parametrize("channels", [None, {}, 7, {str(i): "x" for i in range(100)}])
def test_channels_of_the_wrong_kind(folder: Path, channels):
    edit_json(folder / "dataset.json", channel_names=channels)
    with pytest.raises(UserError, match="channel_names"):
        load_model(folder)


@pytest.mark.parametrize("missing", ["network_weights", "init_args"])
def test_a_checkpoint_without_a_key(folder: Path, missing: str):
    content = torch.load(checkpoint_of(folder), weights_only=True)
    del content[missing]
    torch.save(content, checkpoint_of(folder))
    with pytest.raises(UserError):
        load_model(folder)


@pytest.mark.parametrize("axes", [(3,), (-1,), (0, 0), "ab", 5])
def test_mirroring_axes_that_there_are_not(folder: Path, axes):
    content = torch.load(checkpoint_of(folder), weights_only=True)
    torch.save({**content, "inference_allowed_mirroring_axes": axes}, checkpoint_of(folder))
    with pytest.raises(UserError, match=r"plans\.json"):
        load_model(folder)


def test_weights_that_are_no_tensors(folder: Path):
    content = torch.load(checkpoint_of(folder), weights_only=True)
    content["network_weights"] = dict.fromkeys(content["network_weights"], 1)
    torch.save(content, checkpoint_of(folder))
    with pytest.raises(UserError, match="something else than weights"):
        load_model(folder)


def test_a_checkpoint_that_would_grow_absurdly(folder: Path):
    path = checkpoint_of(folder)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/data/0", bytes(200 * 2**20))
    with pytest.raises(UserError, match="unpack to"):
        load_model(folder)


def test_names_that_wrappers_lengthen(folder: Path):
    content = torch.load(checkpoint_of(folder), weights_only=True)
    content["network_weights"] = {f"module.{k}": v for k, v in content["network_weights"].items()}
    torch.save(content, checkpoint_of(folder))
    assert load_model(folder).labels


def test_the_best_checkpoint_stands_in_for_the_final_one(folder: Path):
    checkpoint_of(folder).rename(folder / "fold_0" / "checkpoint_best.pth")
    assert "checkpoint_best.pth is used" in load_model(folder).notes[0]


def test_folds_can_be_chosen(folder: Path):
    for name in ("fold_1", "fold_all"):
        shutil.copytree(folder / "fold_0", folder / name)
    assert load_model(folder, ["1"]).folds == ("fold_1",)
    assert load_model(folder, ["all", "fold_0"]).folds == ("fold_all", "fold_0")
    with pytest.raises(UserError, match="no fold_7") as raised:
        load_model(folder, ["7"])
    assert "fold_0, fold_1, fold_all" in raised.value.what_to_do


def test_a_licence_in_the_folder(folder: Path):
    (folder / "LICENSE.txt").write_text("For research alone.")
    assert load_model(folder).licence == "For research alone."


def test_postprocessing_is_read_from_json_and_never_from_a_pickle(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(folder)
    place = folder / "crossval_results_folds_0"
    place.mkdir()
    (place / "postprocessing.pkl").write_bytes(pickle.dumps(_Code()))
    model = load_model(folder)
    assert model.postprocessing == ()
    assert "was not opened" in " ".join(model.notes)
    assert not (folder / "code_was_run").exists()
    name = "remove_all_but_largest_component_from_segmentation"
    steps = {
        "postprocessing_fns": [name, name, "os.system"],
        "postprocessing_kwargs": [{"labels_or_regions": [1, [2, 3]]}, {"labels_or_regions": 2}, {"command": "ls"}],
    }
    (place / "postprocessing.json").write_text(json.dumps(steps))
    model = load_model(folder)
    assert [s.numbers for s in model.postprocessing] == [(1, 2, 3), (2,)]
    assert any("'os.system' is not known" in note for note in model.notes)
    (place / "postprocessing.json").write_text(json.dumps({"postprocessing_fns": 1}))
    with pytest.raises(UserError, match=r"postprocessing\.json"):
        load_model(folder)


def test_a_dataset_folder_with_several_configurations(tmp_path: Path):
    root = tmp_path / "Dataset001_Tiny"
    for name in ("2d", "3d_lowres", "3d_fullres"):
        make_model(root / f"nnUNetTrainer__nnUNetPlans__{name}")
    assert find_models(tmp_path) == [root / "nnUNetTrainer__nnUNetPlans__3d_fullres"]
    assert find_models(root, "2d") == [root / "nnUNetTrainer__nnUNetPlans__2d"]
    best = {"best_model_or_ensemble": {"selected_model_or_models": [{"configuration": "3d_lowres"}]}}
    (root / "inference_information.json").write_text(json.dumps(best))
    assert find_models(root) == [root / "nnUNetTrainer__nnUNetPlans__3d_lowres"]
    with pytest.raises(UserError, match="no model of configuration 3d_cascade_fullres"):
        find_models(root, "3d_cascade_fullres")


def test_several_parts(tmp_path: Path):
    for number in (2, 1):
        make_model(
            tmp_path / f"Dataset00{number}_Part" / "nnUNetTrainer__nnUNetPlans__3d_fullres", {f"organ{number}": 1}
        )
    assert [m.labels for m in load_models(tmp_path)] == [("organ1",), ("organ2",)]
    with pytest.raises(UserError, match="holds 2 models"):
        load_model(tmp_path)
