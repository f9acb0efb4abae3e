"""Small models of each kind that nnU-Net makes, with random weights, in the folders that its training leaves."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from contourdesk.inference.networks import build_network

LABELS = {"background": 0, "Brainstem": 1, "RightParotid": 2, "Mandible": 3}
INTENSITY = {"max": 600.0, "mean": 40.0, "median": 30.0, "min": -300.0}
INTENSITY |= {"percentile_00_5": -900.0, "percentile_99_5": 600.0, "std": 200.0}
RESAMPLING = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
CLASSES = "dynamic_network_architectures.architectures.unet."


def architecture(dim: int, network: str = "PlainConvUNet", strides: Sequence[Sequence[int]] | None = None) -> dict:
    strides = strides or [[1] * dim, [2] * dim, [2] * dim]
    stages = len(strides)
    blocks = "n_blocks_per_stage" if network == "ResidualEncoderUNet" else "n_conv_per_stage"
    return {
        "network_class_name": CLASSES + network,
        "arch_kwargs": {
            "n_stages": stages,
            "features_per_stage": [4, 8, 12][:stages],
            "conv_op": f"torch.nn.modules.conv.Conv{dim}d",
            "kernel_sizes": [[3] * dim] * stages,
            "strides": [list(s) for s in strides],
            blocks: [1, 2, 2][:stages],
            "n_conv_per_stage_decoder": [1, 1][: stages - 1],
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dim}d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def configuration(dim: int = 3, **changes: Any) -> dict[str, Any]:
    settings = {
        "data_identifier": "nnUNetPlans_x",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [16, 24, 20][-dim:],
        "median_image_size_in_voxels": [20, 30, 30][-dim:],
        "spacing": [3.0, 2.5, 2.0][-dim:],
        "normalization_schemes": ["CTNormalization"],
        "use_mask_for_norm": [False],
        "resampling_fn_data": "resample_data_or_seg_to_shape",
        "resampling_fn_seg": "resample_data_or_seg_to_shape",
        "resampling_fn_data_kwargs": RESAMPLING,
        "resampling_fn_seg_kwargs": RESAMPLING | {"is_seg": True, "order": 1},
        "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
        "resampling_fn_probabilities_kwargs": RESAMPLING | {"order": 1},
        "batch_dice": True,
        "architecture": architecture(dim),
    }
    return {k: v for k, v in (settings | changes).items() if v is not None}


def old_style(settings: dict[str, Any]) -> dict[str, Any]:
    """A configuration as nnU-Net wrote it before it had an architecture block."""
    kwargs = settings.pop("architecture")["arch_kwargs"]
    return settings | {
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": 4,
        "unet_max_num_features": 12,
        "n_conv_per_stage_encoder": kwargs["n_conv_per_stage"],
        "n_conv_per_stage_decoder": kwargs["n_conv_per_stage_decoder"],
        "num_pool_per_axis": [2, 2, 2],
        "pool_op_kernel_sizes": kwargs["strides"],
        "conv_kernel_sizes": kwargs["kernel_sizes"],
    }


def plans_of(configurations: dict[str, Any], transpose: Sequence[int] = (0, 1, 2), channels: int = 1, **more: Any):
    return {
        "dataset_name": "Dataset999_Tiny",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": [3.0, 2.0, 2.0],
        "original_median_shape_after_transp": [20, 30, 30],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": list(transpose),
        "transpose_backward": [list(transpose).index(a) for a in range(3)],
        "configurations": configurations,
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {str(i): INTENSITY for i in range(channels)},
    } | more


def random_network(settings: dict[str, Any], inputs: int, outputs: int, seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    block = settings.get("architecture") or architecture(len(settings["patch_size"]))
    keys = ("network_class_name", "arch_kwargs", "_kw_requires_import")
    if "features_per_stage" in block["arch_kwargs"] and "UNet_class_name" in settings:
        block["arch_kwargs"]["features_per_stage"] = [4, 8, 12]
    network = build_network(*(block[k] for k in keys), inputs, outputs, deep_supervision=True)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.2)
    return network


def write_model(
    folder: Path,
    plans: dict[str, Any],
    name: str,
    labels: dict[str, Any] = LABELS,
    folds: Sequence[int | str] = (0,),
    mirror: Sequence[int] | None = None,
    channels: int = 1,
    **dataset: Any,
) -> Path:
    """Write one trained-model folder for configuration `name` and return it."""
    settings = dict(plans["configurations"][name])
    while "inherits_from" in settings:
        settings = {**plans["configurations"][settings.pop("inherits_from")], **settings}
    values = [v for k, v in labels.items() if k not in ("background", "ignore")]
    regions = any(isinstance(v, list) for v in values)
    numbers = {n for v in values for n in (v if isinstance(v, list) else [v])}
    inputs = channels + (len(numbers) if settings.get("previous_stage") else 0)
    outputs = len(values) + (0 if regions else 1)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plans.json").write_text(json.dumps(plans))
    info = {"channel_names": {str(i): "CT" for i in range(channels)}, "labels": labels, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(info | {"numTraining": 1} | dataset))
    for fold in folds:
        place = folder / f"fold_{fold}"
        place.mkdir()
        seed = 3 + sum(map(ord, f"{name}{fold}"))
        checkpoint = {
            "network_weights": random_network(settings, inputs, outputs, seed).state_dict(),
            "trainer_name": "nnUNetTrainer",
            "init_args": {"configuration": name, "fold": fold, "plans": plans, "device": torch.device("cpu")},
            "inference_allowed_mirroring_axes": None if mirror is None else tuple(mirror),
            "_best_ema": None,
            "current_epoch": 1,
        }
        torch.save(checkpoint, place / "checkpoint_final.pth")
    return folder
