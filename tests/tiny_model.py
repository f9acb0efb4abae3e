"""A small model folder with random weights, in the format that training writes."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from contourdesk.inference.networks import build_network
from contourdesk.inference.train import TrainConfig, make_plans, write_checkpoint
from contourdesk.inference.training_data import RawDataset

LABELS = {"Brainstem": 1, "RightParotid": 2, "Mandible": 3}
INTENSITY = {"max": 600.0, "mean": 40.0, "median": 30.0, "min": -300.0}
INTENSITY |= {"percentile_00_5": -300.0, "percentile_99_5": 600.0, "std": 200.0}


def tiny_plans(
    labels: dict[str, int] = LABELS,
    spacing_mm: tuple[float, float, float] = (3.0, 2.5, 2.0),
    patch_size: tuple[int, int, int] = (16, 24, 20),
) -> dict[str, Any]:
    """``plans.json`` of a network with two stages."""
    config = TrainConfig(patch_size=patch_size, spacing_mm=spacing_mm, features=(4, 8))
    dataset = RawDataset(Path(), "tiny", labels, None, {})
    return make_plans(
        dataset, config, {"median_spacing": [3.0, 2.0, 2.0], "median_shape": [20, 30, 30], "intensity": INTENSITY}
    )


def tiny_network(plans: dict[str, Any], outputs: int, seed: int = 3) -> torch.nn.Module:
    """The network of these plans with random weights, which gives each voxel a clear winner."""
    torch.manual_seed(seed)
    architecture = plans["configurations"]["3d_fullres"]["architecture"]
    network = build_network(
        architecture["network_class_name"],
        architecture["arch_kwargs"],
        architecture["_kw_requires_import"],
        1,
        outputs,
        deep_supervision=True,
    )
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return network


def make_model(folder: Path, labels: dict[str, int] = LABELS, seed: int = 3, **plan: Any) -> Path:
    """Write a model folder and return it. `plan` goes to `tiny_plans`."""
    plans = tiny_plans(labels, **plan)
    fold = folder / "fold_0"
    fold.mkdir(parents=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    dataset = {"channel_names": {"0": "CT"}, "labels": {"background": 0, **labels}, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(dataset | {"numTraining": 1}))
    write_checkpoint(fold / "checkpoint_final.pth", tiny_network(plans, len(labels) + 1, seed).state_dict())
    return folder


def library_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder without models of their own, beside one bundled model, "headneck", that knows the larynx."""
    from contourdesk.inference import model_library

    monkeypatch.setenv("CONTOURDESK_HOME", str(tmp_path / "home"))
    make_model(tmp_path / "bundled" / "headneck", {"Larynx": 1})
    monkeypatch.setattr(model_library, "_bundled_root", lambda: tmp_path / "bundled")
    return tmp_path / "home"
