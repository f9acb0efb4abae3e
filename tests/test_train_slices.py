"""Training on slices: the tiles are right, a short real run learns, and its folder segments like any other model."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from contourdesk.app.cli import main
from contourdesk.app.errors import UserError
from contourdesk.app.image_read import read_image_file
from contourdesk.app.jobs import run
from contourdesk.app.measures import dice
from contourdesk.app.structures import Mask
from contourdesk.inference.augment import Augmentation
from contourdesk.inference.losses import IGNORE
from contourdesk.inference.nnunet import load_model
from contourdesk.inference.overlap_tile import MARGIN
from contourdesk.inference.predict import predict
from contourdesk.inference.train import FINAL, TrainConfig, train
from contourdesk.inference.train_slices import SliceSampler
from contourdesk.inference.training_data import TrainingCase

QUIET = Augmentation(p_spatial=0, p_mirror=0, p_noise=0, p_blur=0, p_contrast=0, p_gamma=0, p_low_resolution=0)
QUICK = TrainConfig(
    network="unet2015",
    width=4,
    steps=60,
    spacing_mm=(4.0, 3.0),
    learning_rate=3e-3,
    augmentation=QUIET,
    batch_size=1,
    threads=1,
)


def case(shape: tuple[int, int, int] = (5, 30, 40)) -> TrainingCase:
    """The image's values say where they are; organ 1 is at the left, organ 2 at the right."""
    z, y, x = np.indices(shape)
    labels = np.zeros(shape, np.int16)
    labels[1:4, 10:14, 5:9] = 1
    labels[1:4, 20:24, 30:34] = 2
    places = {k: np.argwhere(labels == k) for k in (1, 2)}
    image = torch.from_numpy((10000 * z + 100 * y + x).astype(np.float32))
    return TrainingCase("C", image, torch.from_numpy(labels), torch.tensor([True, True, True]), places)


def test_tiles_show_the_slice_and_its_mirror_image():
    one = case()
    sampler = SliceSampler([one], replace(QUICK, batch_size=8), (220, 204), 0.0, {})
    images, labels, known, weights = sampler.batch(0)
    assert images.shape == (8, 1, 220, 204)
    assert labels.shape == weights.shape == (8, 36, 20)
    assert known.all()
    for image, label in zip(images[:, 0].round().long(), labels, strict=True):
        middle = image[MARGIN:-MARGIN, MARGIN:-MARGIN]
        inside = label != IGNORE
        assert inside.sum() == 30 * 20  # 36 rows are more than the slice has; 20 columns fit
        z = int(middle[0, 0]) // 10000
        y, x = (middle % 10000) // 100, middle % 100
        assert torch.equal(label[inside], one.labels[z, y[inside], x[inside]])
        assert (image % 100 < 40).all()  # mirrored, never filled


def test_mirroring_swaps_sides_and_what_is_known():
    one = replace(case(), known=torch.tensor([True, True, False]))
    config = replace(QUICK, batch_size=6, augmentation=replace(QUIET, p_mirror=1))
    images, labels, known, _ = SliceSampler([one], config, (220, 236), 0.0, {1: 2, 2: 1}).batch(0)
    assert known.tolist() == [[True, False, True]] * 6
    for image, label in zip(images[:, 0].round().long(), labels, strict=True):
        z, x = int(image[MARGIN, MARGIN]) // 10000, image[MARGIN:-MARGIN, MARGIN:-MARGIN] % 100
        assert set(x[label == 2].tolist()) == ({5, 6, 7, 8} if 1 <= z < 4 else set())


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three cases of a body with a dark ball at one side and a bright one at the other."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    z, y, x = np.indices((12, 30, 40))
    for sub in ("imagesTr", "labelsTr"):
        (folder / sub).mkdir()
    for i in range(3):
        hu = np.where((y - 15) ** 2 + (x - 20) ** 2 < 14**2, 0, -1000) + rng.normal(0, 10, x.shape)
        labels = np.zeros(x.shape, np.uint8)
        for value, centre, inner in ((1, 12 + i, -500), (2, 28 - i, 500)):
            inside = (z - 6) ** 2 + (y - 15) ** 2 + (x - centre) ** 2 < 16
            hu[inside] = inner + 10 * rng.standard_normal(inside.sum())
            labels[inside] = value
        for name, array in ((f"imagesTr/C{i}_0000", hu.astype(np.int16)), (f"labelsTr/C{i}", labels)):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing((4.0, 4.0, 3.0))
            sitk.WriteImage(image, str(folder / f"{name}.nii.gz"))
    info = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "RightBall": 1, "LeftBall": 2}, "numTraining": 3}
    (folder / "dataset.json").write_text(json.dumps({**info, "file_ending": ".nii.gz"}))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("network", "steps", "least_dice"), [("unet2015", 240, 0.5), ("fcn", 30, 0.0)])
def test_learns_and_segments_like_any_other_model(
    dataset: Path, tmp_path: Path, network: str, steps: int, least_dice: float
):
    out = tmp_path / "model"
    run(train(dataset, out, replace(QUICK, network=network, steps=steps)))
    model = load_model(out)
    assert model.settings.flat
    assert model.settings.patch_size == (220, 252)  # results of 36 x 68 for slices of 30 x 53 pixels
    assert model.settings.spacing_mm == (4.0, 3.0)
    image = read_image_file(dataset / "imagesTr" / "C0_0000.nii.gz")
    truth = read_image_file(dataset / "labelsTr" / "C0.nii.gz")
    found = run(predict(image.volume, model, "cpu"))
    assert [s.name for s in found] == ["RightBall", "LeftBall"]
    for value, structure in enumerate(found, 1):
        assert dice(structure.mask, Mask.from_dense(np.asarray(truth.volume.array == value))) >= least_dice


@pytest.mark.parametrize(
    ("patch", "says"), [([570, 572], "570"), ([188, 204], "204"), ([204, 204, 204], "two"), ([0, 0], "positive")]
)
def test_a_folder_with_impossible_tiles_is_refused(dataset: Path, tmp_path: Path, patch: list[int], says: str):
    out = tmp_path / "model"
    run(train(dataset, out, replace(QUICK, steps=1, width=1)))
    plans = json.loads((out / "plans.json").read_text())
    plans["configurations"]["2d"]["patch_size"] = patch
    (out / "plans.json").write_text(json.dumps(plans))
    with pytest.raises(UserError, match=says):
        load_model(out)


def test_a_run_goes_on_with_its_own_network(dataset: Path, tmp_path: Path):
    out = tmp_path / "model"
    run(train(dataset, out, replace(QUICK, steps=1, width=1)))
    weights = torch.load(out / FINAL, weights_only=True)
    assert weights["init_args"]["configuration"] == "2d"
    run(train(dataset, out, replace(QUICK, network="nnunet", spacing_mm=None, steps=2), resume=True))
    assert json.loads((out / "training.json").read_text())["network"] == "unet2015"
    after = torch.load(out / FINAL, weights_only=True)["network_weights"]
    assert set(after) == set(weights["network_weights"])
    with pytest.raises(UserError, match="--spacing Y,X"):
        next(train(dataset, out, replace(QUICK, spacing_mm=(3.0, 4.0, 4.0))))


def test_goes_on_from_a_model(dataset: Path, tmp_path: Path):
    first, second = tmp_path / "first", tmp_path / "second"
    quick = replace(QUICK, width=1)
    run(train(dataset, first, replace(quick, steps=2)))
    run(train(dataset, second, replace(quick, steps=1, learning_rate=0.0), start_from=first))
    a, b = (torch.load(m / FINAL, weights_only=True)["network_weights"] for m in (first, second))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_command_line(dataset: Path, tmp_path: Path):
    out = tmp_path / "model"
    chosen = ["--network", "fcn", "--width", "1", "--spacing", "4,3", "--steps", "1", "--device", "cpu"]
    assert main(["train", str(dataset), "--out", str(out), *chosen]) == 0
    architecture = json.loads((out / "plans.json").read_text())["configurations"]["2d"]["architecture"]
    assert architecture["network_class_name"] == "contourdesk.inference.fcn.FCN"
    assert architecture["arch_kwargs"] == {"width": 1}
    assert main(["train", str(dataset), "--out", str(out), *chosen[:4], "--spacing", "3,4,3", "--steps", "1"]) == 2
