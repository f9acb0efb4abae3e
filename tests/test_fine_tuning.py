"""Training that goes on from a model: names agree, old cases come in, and what can't be continued is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from nnunet_models import LABELS, architecture, configuration, plans_of, write_model
from training_phantoms import make_dataset

from contourdesk.app.errors import UserError
from contourdesk.app.jobs import run
from contourdesk.app.training_record import training_cases
from contourdesk.inference.augment import mirror_known, mirror_left_right
from contourdesk.inference.batches import Batches
from contourdesk.inference.held_out import held_out
from contourdesk.inference.nnunet import load_model
from contourdesk.inference.sampling import Draw, PatchSampler, paired_labels
from contourdesk.inference.start_model import read_settings, read_start
from contourdesk.inference.topology import topology
from contourdesk.inference.train import FINAL, TrainConfig, train
from contourdesk.inference.train_plans import make_plans
from contourdesk.inference.training_data import RawDataset, TrainingCase, preprocess

QUICK = TrainConfig(steps=1, patch_size=(16, 16, 16), features=(4, 8), batch_size=1, threads=1, fold="all")
OTHER = {"ball, left": 1, "Spleen": 2}


def test_sides_are_paired_however_they_are_written():
    assert paired_labels({"Parotid_L": 1, "Parotid_R": 2, "Bone_Mandible": 3}) == {1: 2, 2: 1}
    assert paired_labels({"RightParotid": 3, "LeftParotid": 4, "Larynx": 6}) == {3: 4, 4: 3}
    assert paired_labels({"Lung_L": 1, "Lung_R": 2, "parotid, left": 3, "Parotid right": 4}) == {1: 2, 2: 1, 3: 4, 4: 3}
    assert paired_labels({"lung_upper_lobe_left": 5, "lung_upper_lobe_right": 7}) == {5: 7, 7: 5}
    assert paired_labels({"Glnd_Submand_L": 1, "VB_L5": 2, "Lobe_Temporal_R": 3}) == {1: 0, 3: 0}, "alone on its side"


def test_an_organ_without_its_other_side_is_unknown_in_the_mirror():
    labels = torch.zeros(1, 1, 6, dtype=torch.int16)
    labels[..., 0], labels[..., 5], labels[..., 2] = 1, 2, 3
    swap = {1: 2, 2: 1, 3: 0}
    _, out = mirror_left_right(torch.zeros(1, 1, 6), labels, swap)
    assert out.flatten().tolist() == [1, 0, 0, 0, 0, 2]
    known = torch.tensor([True, True, False, True, True])
    assert mirror_known(known, swap).tolist() == [True, False, True, False, True]


def test_old_cases_come_by_their_share():
    def case(name: str, old: bool) -> TrainingCase:
        places = {1: np.zeros((1, 3), int)}
        return TrainingCase(name, torch.zeros(1), torch.zeros(1), torch.ones(2, dtype=torch.bool), places, old)

    draw = Draw([case("new", False), *(case(f"old{i}", True) for i in range(9))], 0.3)
    rng = np.random.default_rng(0)
    drawn = [draw(rng)[0].old for _ in range(2000)]
    assert abs(np.mean(drawn) - 0.3) < 0.04
    with pytest.raises(UserError, match="Nothing is contoured"):
        Draw([replace(case("new", False), organ_voxels={})], 0.5)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A dataset of two balls and the model that was trained on it."""
    folder = tmp_path_factory.mktemp("first")
    data = make_dataset(folder / "Old", 2)
    run(train(data, folder / "model", QUICK))
    return data, folder / "model"


def test_organs_are_matched_by_meaning_and_new_ones_are_added(model: tuple[Path, Path], tmp_path: Path):
    old, first = model
    new = make_dataset(tmp_path / "New", 2, OTHER, seed=5)
    out = tmp_path / "second"
    config = replace(QUICK, learning_rate=0.0)
    notes = [told.note for told in train(new, out, config, start_from=first, mix=[old]) if told.note]
    assert any("Spleen" in note for note in notes)
    assert load_model(out).labels == ("RightBall", "LeftBall", "Spleen")
    assert json.loads((out / "dataset.json").read_text())["labels"]["Spleen"] == 3
    a, b = (torch.load(m / FINAL, weights_only=True)["network_weights"] for m in (first, out))
    for name in a:
        assert torch.equal(a[name], b[name][: len(a[name])]), name
    raw = RawDataset.open(new).with_labels({"RightBall": 1, "LeftBall": 2, "Spleen": 3})
    assert raw.known("C0").tolist() == [True, False, True, True], "the right ball is unknown, not background"
    _, labels, _ = raw.read("C0")
    assert set(np.unique(labels)) == {0, 2, 3}
    told = json.loads((out / "training.json").read_text())
    assert told["fine_tuning"] is True and told["mixed_in"] == [{"dataset": "Old", "cases": ["C0", "C1"]}]
    assert training_cases(out) == {"C0", "C1"}


def test_stopped_before_its_first_checkpoint_it_goes_on_from_the_model(model: tuple[Path, Path], tmp_path: Path):
    data, first = model
    out, config = tmp_path / "out", replace(QUICK, learning_rate=0.0)
    for told in (job := train(data, out, config, start_from=first)):
        if told.phase == "preparing":
            break
    job.close()
    run(train(data, out, config, resume=True, start_from=first))
    a, b = (torch.load(m / FINAL, weights_only=True)["network_weights"] for m in (first, out))
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_batches_made_ahead_are_the_same(model: tuple[Path, Path], tmp_path: Path):
    settings, *_ = read_settings(model[1], "3d_fullres")
    raw = RawDataset.open(model[0])
    cases = [case for name in raw.cases() if (case := preprocess(raw, name, settings, tmp_path)) is not None]
    sampler = PatchSampler(cases, QUICK, (16, 16, 16), (3.0, 4.0, 4.0), -2.0, {1: 2, 2: 1})
    ahead = Batches(sampler, 2)
    for step in range(4):
        assert all(torch.equal(a, b) for a, b in zip(ahead.take(step), sampler.batch(step), strict=True))
    ahead.close()


def test_nothing_is_mixed_in_without_a_model(model: tuple[Path, Path], tmp_path: Path):
    with pytest.raises(UserError, match="--from"):
        run(train(model[0], tmp_path / "out", QUICK, mix=[model[0]]))


def test_goes_on_from_a_model_that_nnunet_made(tmp_path: Path):
    settings = configuration(architecture=architecture(3, "ResidualEncoderUNet"), patch_size=[16, 16, 16])
    made = write_model(tmp_path / "made", plans_of({"3d_fullres": settings}), "3d_fullres", folds=(0, 1))
    data = make_dataset(tmp_path / "data", 1, {"Brainstem": 1, "Parotid_R": 2})
    out = tmp_path / "out"
    notes = [told.note for told in train(data, out, replace(QUICK, learning_rate=0.0), start_from=made) if told.note]
    assert any("2 folds" in note for note in notes)
    assert any("Mandible" in note and "forget" in note for note in notes)
    assert load_model(out).labels == tuple(LABELS)[1:]
    a = torch.load(made / FINAL, weights_only=False)["network_weights"]
    b = torch.load(out / FINAL, weights_only=True)["network_weights"]
    assert all(torch.equal(a[name].half(), b[name]) for name in a)


@pytest.mark.parametrize(
    ("settings", "labels", "why"),
    [
        (configuration(2), LABELS, "2D"),
        (configuration(normalization_schemes=["ZScoreNormalization"]), LABELS, "other images than CT"),
        (configuration(), {"background": 0, "All": [1, 2], "Inner": 2}, "regions"),
    ],
)
def test_what_can_not_be_continued_is_refused(settings: dict, labels: dict, why: str, tmp_path: Path):
    name = "2d" if len(settings["patch_size"]) == 2 else "3d_fullres"
    more = {"regions_class_order": [1, 2]} if "All" in labels else {}
    made = write_model(tmp_path / "made", plans_of({name: settings}), name, labels, **more)
    with pytest.raises(UserError, match=why):
        read_start(made)


def test_the_bundled_model_can_be_trained_on():
    start = read_start(Path(__file__).parents[1] / "resources" / "models" / "headneck")
    assert start.network == "nnunet" and "SpinalCord" in start.labels and not start.notes


def test_depth_and_patch_follow_the_data_as_in_nnunet():
    theirs = pytest.importorskip("nnunetv2.experiment_planning.experiment_planners.network_topology")
    rng = np.random.default_rng(0)
    for _ in range(200):
        spacing, patch = rng.choice([0.5, 0.8, 1, 1.2, 2, 2.5, 3.9, 5, 8], 3), rng.integers(4, 200, 3)
        _, strides, kernels, size, divisor = theirs.get_pool_and_conv_props(list(spacing), list(patch), 4, 999999)
        ours = topology(spacing, patch)
        assert (ours.strides, ours.kernels, ours.patch) == (strides, kernels, tuple(size))
        assert ours.divisor == tuple(divisor)


@pytest.mark.parametrize(
    ("spacing", "shape", "gpu", "patch", "halvings"),
    [
        ([1.0, 1.0, 1.0], [40, 40, 40], None, [40, 40, 40], [3, 3, 3]),  # small: the whole of it
        ([2.5, 3.9, 3.9], [100, 128, 128], None, [48, 56, 56], [3, 3, 3]),
        ([5.0, 0.9, 0.9], [30, 512, 512], None, [7, 112, 128], [0, 4, 4]),  # thick slices are not halved
        ([1.0, 1.0, 1.0], [200, 300, 300], 8.0, [96, 160, 160], [4, 5, 5]),
    ],
)
def test_plans_are_sane(spacing: list[float], shape: list[int], gpu: float | None, patch: list[int], halvings: list):
    dataset = RawDataset(Path(), "d", {f"o{i}": i for i in range(1, 8)}, None, {})
    measured = {"median_spacing": spacing, "median_shape": shape, "intensity": {"mean": 0.0, "std": 1.0}}
    plans = make_plans(dataset, TrainConfig(memory_gb=gpu), measured)["configurations"]["3d_fullres"]
    kwargs = plans["architecture"]["arch_kwargs"]
    assert plans["patch_size"] == patch and plans["batch_size"] >= 2
    assert np.log2(np.prod(kwargs["strides"], axis=0)).tolist() == halvings
    assert len(kwargs["strides"]) == len(kwargs["features_per_stage"]) == len(kwargs["n_conv_per_stage_decoder"]) + 1
    assert kwargs["features_per_stage"][0] == (16 if gpu is None else 32)


def test_cases_are_held_out_by_patient(tmp_path: Path):
    names = [f"C{i:02}" for i in range(24)]
    patients = {name: f"P{i // 2}" for i, name in enumerate(names)}
    dataset = RawDataset(tmp_path, "d", {"A": 1}, None, {}, patients=patients)
    kept, said = held_out(dataset, names, "0")
    assert len({patients[name] for name in kept}) == 1 and len(kept) == 2, (
        "a tenth of 12 patients, with all their cases"
    )
    assert "2 of 24" in said
    assert held_out(dataset, names, "all")[0] == []
    assert held_out(dataset, names[:6], "0")[0] == [], "three patients are too few"
    (tmp_path / "splits_final.json").write_text(json.dumps([{"train": names[3:], "val": names[:3]}]))
    assert held_out(dataset, names, "0") == (names[:3], "3 of 24 cases of d are held out (fold 0).")
    with pytest.raises(UserError, match="no fold 4"):
        held_out(dataset, names, "4")
