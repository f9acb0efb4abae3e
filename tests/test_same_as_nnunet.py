"""The same answer as nnU-Net's own predictor, unmodified, for small models of every kind it makes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from nnunet_models import LABELS, RESAMPLING, architecture, configuration, old_style, plans_of, write_model
from scipy.ndimage import gaussian_filter

from contourdesk.app.geometry import Grid
from contourdesk.app.jobs import run
from contourdesk.app.volume import Volume
from contourdesk.inference import predict as module
from contourdesk.inference.drawing import Drawing
from contourdesk.inference.nnunet import load_model, load_models
from contourdesk.inference.options import Options
from contourdesk.inference.plans import label_map
from contourdesk.inference.predict import predict
from contourdesk.inference.preparing import whole_map

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]  # nnU-Net's own warnings

SHAPE, SPACING = (22, 40, 36), (2.2, 1.9, 2.4)
REGIONS = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "inner": 3}
ANISO = {"spacing": [6.0, 1.5, 1.5], "patch_size": [16, 32, 24]}


def one(
    name: str = "3d_fullres", dim: int = 3, labels=LABELS, model: dict | None = None, transpose=(0, 1, 2), **changes
):
    """A function that writes a model of one configuration."""

    def make(root: Path) -> Path:
        settings = configuration(dim, **changes)
        return write_model(
            root / f"nnUNetTrainer__nnUNetPlans__{name}",
            plans_of({name: settings}, transpose),
            name,
            labels,
            **(model or {}),
        )

    return make


def old_plans(root: Path) -> Path:
    plans = plans_of({"3d_fullres": old_style(configuration())})
    plans["foreground_intensity_properties_by_modality"] = plans.pop("foreground_intensity_properties_per_channel")
    return write_model(root / "old", plans, "3d_fullres")


def cascade(labels=LABELS, transpose=(0, 1, 2), **dataset):
    def make(root: Path) -> Path:
        low = configuration(spacing=[5.0, 4.0, 4.0], next_stage="3d_cascade_fullres")
        plans = plans_of(
            {
                "3d_lowres": low,
                "3d_fullres": configuration(),
                "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
            },
            transpose,
        )
        for name in ("3d_lowres", "3d_cascade_fullres"):
            made = write_model(root / f"nnUNetTrainer__nnUNetPlans__{name}", plans, name, labels, **dataset)
        return made

    return make


KINDS = {
    "3d": (one(), SPACING),
    "own spacing": (one(), (3.0, 2.5, 2.0)),
    "thick slices": (one(), (7.0, 1.9, 1.8)),
    "anisotropic": (one(**ANISO, architecture=architecture(3, strides=[[1, 1, 1], [1, 2, 2], [2, 2, 2]])), SPACING),
    "mirrored": (one(model={"mirror": (0, 1, 2)}), SPACING),
    "lowres": (one("3d_lowres", spacing=[5.0, 4.0, 4.0]), SPACING),
    "2d": (one("2d", 2, model={"mirror": (0, 1)}), (5.0, 1.4, 1.4)),
    "2d transposed": (one("2d", 2, transpose=(1, 0, 2)), SPACING),
    "transposed": (one(transpose=(2, 0, 1), model={"mirror": (0, 2)}), SPACING),
    "transposed, thick": (one(transpose=(2, 0, 1)), (7.0, 1.9, 1.8)),
    "residual": (one(architecture=architecture(3, "ResidualEncoderUNet")), SPACING),
    "regions": (one(labels=REGIONS, model={"regions_class_order": [1, 2, 3]}), SPACING),
    "ignore label": (one(labels=LABELS | {"ignore": 4}), SPACING),
    "two folds": (one(model={"folds": (0, 1)}), SPACING),
    "old plans": (old_plans, SPACING),
    "z-score": (one(normalization_schemes=["ZScoreNormalization"]), SPACING),
    "z-score masked": (one(normalization_schemes=["ZScoreNormalization"], use_mask_for_norm=[True]), SPACING),
    "rescaled": (one(normalization_schemes=["RescaleTo01Normalization"]), SPACING),
    "as it is": (one(normalization_schemes=["NoNormalization"]), SPACING),
    "torch resampling": (
        one(
            resampling_fn_data="resample_torch_fornnunet",
            resampling_fn_probabilities="resample_torch_fornnunet",
            resampling_fn_data_kwargs={"is_seg": False, "force_separate_z": None, "memefficient_seg_resampling": False},
            resampling_fn_probabilities_kwargs={"is_seg": False, "force_separate_z": None},
        ),
        (7.0, 1.9, 1.8),
    ),
    "never separate": (one(resampling_fn_data_kwargs=RESAMPLING | {"force_separate_z": False}), (7.0, 1.9, 1.8)),
    "cascade": (cascade(), SPACING),
    "cascade transposed": (cascade(transpose=(1, 0, 2)), SPACING),
    "cascade of regions": (cascade(REGIONS, regions_class_order=[1, 2, 3]), (7.0, 1.9, 1.8)),
}


def phantom(shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Smooth noise between air and bone, with zeros outside a box and in a hole."""
    noise = gaussian_filter(np.random.default_rng(4).normal(0, 1, shape), 2)
    hu = np.clip(noise / noise.std() * 250, -900, 1500).astype(np.int16)
    hu[hu == 0] = 1
    hu[:2], hu[:, :, -3:], hu[8:10, 10:20, 10:14], hu[3:6, 5:9, 20:30] = 0, 0, 0, -900
    hu[2, :12, :12] = 0  # not a hole: it reaches the border
    return hu


def theirs(folder: Path, hu: np.ndarray, spacing, place: Path, stage: np.ndarray | None = None, mirror: bool = True):
    """Labels and probabilities of nnU-Net's own predictor on the CPU."""
    from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    image = sitk.GetImageFromArray(hu)
    image.SetSpacing(spacing[::-1])
    sitk.WriteImage(image, str(place / "case_0000.nii.gz"))
    predictor = nnUNetPredictor(use_mirroring=mirror, device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(folder), use_folds=None)
    array, properties = SimpleITKIO().read_images([str(place / "case_0000.nii.gz")])
    stage = None if stage is None else stage[None].astype(np.int16)
    return predictor.predict_single_npy_array(array, properties, stage, None, True)


def ours(folder: Path, hu: np.ndarray, spacing, monkeypatch) -> tuple[np.ndarray, np.ndarray]:
    """Labels of the whole volume, and probabilities as floats where any were kept."""
    model = load_model(folder)
    volume = Volume(Grid.from_spacing(hu.shape, spacing), hu)
    seen: list[tuple] = []
    chances: list[tuple] = []
    real = module._masks
    monkeypatch.setattr(module, "_masks", lambda found, one: seen.append((found.copy(), one)) or real(found, one))

    def remember(self, logits, start):
        values = logits.sigmoid() if self._labels.regions else logits.softmax(0)
        chances.append((start, values.cpu().numpy()))

    monkeypatch.setattr(Drawing, "_remember", remember)
    prepared = []
    prepare = module.prepare

    def keep(*args):
        prepared.append((yield from prepare(*args)))
        return prepared[-1]

    monkeypatch.setattr(module, "prepare", keep)
    run(predict(volume, model, "cpu", Options(probabilities=True)))
    found, one_model = seen[-1]
    labels = whole_map(label_map(found, one_model.structures), prepared[-1], volume)
    total = np.full((one_model.channels, *hu.shape), np.nan, np.float32)
    for start, values in chances:
        for channel, part in enumerate(values):
            place, turned = prepared[-1].to_volume(start, part)
            total[(channel, *(slice(p, p + n) for p, n in zip(place, turned.shape, strict=True)))] = turned
    return labels, total


@pytest.mark.parametrize("kind", KINDS)
def test_labels_and_probabilities(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    make, spacing = KINDS[kind]
    folder = make(tmp_path)
    hu = phantom()
    stage = None
    if "cascade" in kind:
        stage, _ = theirs(folder.parent / "nnUNetTrainer__nnUNetPlans__3d_lowres", hu, spacing, tmp_path)
    labels, chances = theirs(folder, hu, spacing, tmp_path, stage)
    mine, my_chances = ours(folder, hu, spacing, monkeypatch)
    assert len(np.unique(labels)) >= 2
    known = np.isfinite(my_chances)
    differ = np.abs(my_chances - chances)[known].max()
    print(f"{kind}: {np.count_nonzero(mine != labels)} of {mine.size} differ, probabilities by {differ:.2g}")
    assert (mine == labels).mean() >= 0.9999
    if differ > 1e-3:
        # nnU-Net sums in half precision, and so do we; where logits are large, a last bit is worth more than that. Then
        # the measure is what this rounding does to nnU-Net's own probabilities.
        monkeypatch.setattr(torch, "half", torch.float32)
        exact = theirs(folder, hu, spacing, tmp_path, stage)[1]
        assert differ <= 0.5 * np.abs(chances - exact).max()
    first = 0 if "regions" in kind else 1
    assert (chances[first:][~known[first:]] < 0.02).all()


TRAINER = """
import json, sys
from pathlib import Path
import torch
from nnunetv2.model_sharing.model_export import export_pretrained_model
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

root, plans = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
dataset = json.loads(Path(sys.argv[3]).read_text())
for name in sys.argv[4:]:
    for fold in (0, 1):
        trainer = nnUNetTrainer({**plans, "continue_training": False}, name, fold, dataset, device=torch.device("cpu"))
        trainer.initialize()
        trainer.inference_allowed_mirroring_axes = (0, 1, 2)  # set when its data loaders are made
        place = Path(trainer.output_folder)
        trainer.logger.log("train_losses", 0.5, 0)
        trainer.save_checkpoint(str(place / "checkpoint_final.pth"))
        (place / "validation").mkdir()
        for file in (place / "progress.png", place / "validation" / "summary.json"):
            file.write_text("{}")
    base = place.parent
    for file, content in (("plans.json", plans), ("dataset.json", dataset), ("dataset_fingerprint.json", {})):
        (base / file).write_text(json.dumps(content))
export_pretrained_model(plans["dataset_name"], str(root / "export.zip"), tuple(sys.argv[4:]), folds=(0, 1))
"""


def test_what_nnunets_trainer_saves_and_exports(tmp_path: Path):
    """Checkpoints of the real trainer, with optimiser, log and all, and the archive of the real export."""
    folder = cascade()(tmp_path / "pattern")
    plans, dataset = folder / "plans.json", folder / "dataset.json"
    preprocessed = tmp_path / "preprocessed" / "Dataset999_Tiny"
    (preprocessed / "nnUNetPlans_x").mkdir(parents=True)
    (preprocessed / "nnUNetPlans_x" / "case.b2nd").touch()
    names = {"nnUNet_raw": "raw", "nnUNet_preprocessed": "preprocessed", "nnUNet_results": "results"}
    environment = os.environ | {key: str(tmp_path / value) for key, value in names.items()}
    (tmp_path / "raw" / "Dataset999_Tiny").mkdir(parents=True)
    command = [
        sys.executable,
        "-c",
        TRAINER,
        str(tmp_path),
        str(plans),
        str(dataset),
        "3d_lowres",
        "3d_cascade_fullres",
    ]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr[-3000:]
    model = load_models(tmp_path / "export.zip", configuration="3d_cascade_fullres")[0]
    assert model.folds == ("fold_0", "fold_1")
    assert model.previous.settings.configuration == "3d_lowres"
    assert model.mirror_axes == (0, 1, 2)
    hu = phantom()
    assert len(run(predict(Volume(Grid.from_spacing(hu.shape, SPACING), hu), model, "cpu"))) == 3
