"""What a user may choose for a training, and the ``plans.json`` of nnU-Net v2 that follows: 3D patches or slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from contourdesk.inference.augment import Augmentation
from contourdesk.inference.networks import build_network
from contourdesk.inference.overlap_tile import input_size
from contourdesk.inference.preprocess import ANISO_THRESHOLD
from contourdesk.inference.topology import Topology, fit_patch, topology
from contourdesk.inference.training_data import RawDataset

# Networks on slices by the name that the user gives, as plans.json has them. Any other training is nnU-Net's in 3D.
SLICE_NETWORKS = {
    "unet2015": "contourdesk.inference.unet2015.UNet2015",
    "fcn": "contourdesk.inference.fcn.FCN",
}
NETWORKS = ("nnunet", *SLICE_NETWORKS)
_PLAIN = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
SMALLEST_TILE, LARGEST_TILE = 204, 572
# Voxels of all feature maps of one patch together (as nnU-Net counts them): on the CPU those of a patch of 64 x 48 x 48
# in a network of 16 channels, at about a second a step on one core; on a GPU nnU-Net's own number for 8 GB.
_CPU_MAPS, _GPU_MAPS_8_GB = 12e6, 560e6
_CPU_FEATURES, _GPU_FEATURES = (16, 160), (32, 320)  # at the top, and the most
_MOST_GB = 24.0  # more makes patches larger than most organs need, and steps slow


@dataclass(frozen=True)
class TrainConfig:
    """What a user may choose. Sizes in voxels, spacings in mm, order z y x.

    The run ends after `minutes`, or after `steps` iterations where that is given (repeatable on any machine).

    Parameters
    ----------
    network : one of `NETWORKS`.
    spacing_mm : (z, y, x), for networks on slices (y, x); nnU-Net's choice, mostly the dataset's median, unless given.
    patch_size, features, batch_size : of nnU-Net's 3D network; by its rules from the data and `memory_gb` unless given.
    width : channels at the top of a network on slices, see `contourdesk.inference.unet2015`.
    learning_rate : its peak, see `peak_rate`.
    fold : of ``splits_final.json``, whose cases are held out; "all": none are.
    mix_share : the share of patches from old cases, where there are such.
    fine_tuning : whether training goes on from a model.
    memory_gb : of the GPU, None on a processor.
    """

    network: str = "nnunet"
    minutes: float = 60.0
    steps: int | None = None
    patch_size: tuple[int, int, int] | None = None
    batch_size: int | None = None
    spacing_mm: tuple[float, ...] | None = None
    window_hu: tuple[float, float] = (-300.0, 600.0)
    features: tuple[int, ...] | None = None
    width: int = 64
    learning_rate: float | None = None
    weight_decay: float = 1e-2
    seed: int = 7
    device: str = "cpu"
    threads: int = 2
    checkpoint_minutes: float = 3.0
    fold: str = "0"
    mix_share: float = 0.5
    fine_tuning: bool = False
    memory_gb: float | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)

    @property
    def slices(self) -> bool:
        """Whether the network works on slices."""
        return self.network in SLICE_NETWORKS

    @property
    def configuration(self) -> str:
        """nnU-Net's name for the kind of training."""
        return "2d" if self.slices else "3d_fullres"

    @property
    def class_name(self) -> str:
        """The network's class as ``plans.json`` has it."""
        return SLICE_NETWORKS.get(self.network, _PLAIN)

    @property
    def peak_rate(self) -> float:
        """The highest learning rate: 2e-3 in 3D, 5e-4 on slices, which aren't normalised; half of it to fine-tune."""
        if self.learning_rate is not None:
            return self.learning_rate
        return (5e-4 if self.slices else 2e-3) * (0.5 if self.fine_tuning else 1.0)


def make_plans(dataset: RawDataset, config: TrainConfig, print_: dict[str, Any]) -> dict[str, Any]:
    """``plans.json`` with one configuration, from the data's fingerprint (`training_data.fingerprint`)."""
    resampling = {"is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None}
    return {
        "dataset_name": dataset.name,
        "plans_name": "contourdeskPlans",
        "original_median_spacing_after_transp": print_["median_spacing"],
        "original_median_shape_after_transp": print_["median_shape"],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {
            config.configuration: {
                "data_identifier": f"contourdeskPlans_{config.configuration}",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": config.batch_size or 2,
                "median_image_size_in_voxels": print_["median_shape"],
                "normalization_schemes": ["CTNormalization"],
                "use_mask_for_norm": [False],
                "resampling_fn_data": "resample_data_or_seg_to_shape",
                "resampling_fn_seg": "resample_data_or_seg_to_shape",
                "resampling_fn_data_kwargs": resampling,
                "resampling_fn_seg_kwargs": {**resampling, "is_seg": True, "order": 1},
                "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
                "resampling_fn_probabilities_kwargs": {**resampling, "order": 1},
                **(_slices(config, print_) if config.slices else _volume(config, print_, len(dataset.labels) + 1)),
            }
        },
        "experiment_planner_used": "contourdesk",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": print_["intensity"]},
    }


def target_spacing(print_: Mapping[str, Any]) -> tuple[float, ...]:
    """nnU-Net's rule: the median; along an axis that is far coarser and has far fewer voxels, the finest tenth's."""
    spacing = [float(v) for v in print_["median_spacing"]]
    shape = print_["median_shape"]
    coarse = max(range(3), key=spacing.__getitem__)
    others = [a for a in range(3) if a != coarse]
    widest = max(spacing[a] for a in others)
    if spacing[coarse] > ANISO_THRESHOLD * widest and shape[coarse] * ANISO_THRESHOLD < min(shape[a] for a in others):
        fine = float(print_.get("fine_spacing", spacing)[coarse])
        spacing[coarse] = fine if fine >= widest else widest + 1e-5
    return tuple(spacing)


def _volume(config: TrainConfig, print_: dict[str, Any], classes: int) -> dict[str, Any]:
    spacing = config.spacing_mm or target_spacing(print_)
    own, shape = print_["median_spacing"], print_["median_shape"]
    resampled = [max(1, round(n * a / b)) for n, a, b in zip(shape, own, spacing, strict=True)]
    gpu = config.memory_gb is not None
    maps = _GPU_MAPS_8_GB * min(config.memory_gb or 0.0, _MOST_GB) / 8 if gpu else _CPU_MAPS

    def cost(shape: Topology) -> float:
        return _maps(_network(config, shape), shape.patch, classes)

    if config.patch_size is not None and config.features is not None:  # as they are, each stage halves all axes
        stages = len(config.features)
        found = Topology(((1,) * 3, *((2,) * 3,) * (stages - 1)), ((3,) * 3,) * stages, config.patch_size)
    elif config.patch_size is not None:
        found = topology(spacing, config.patch_size)
    else:
        found = fit_patch(spacing, resampled, cost, maps)
    batch = config.batch_size or (max(2, round(2 * maps / cost(found))) if gpu else 2)
    return {
        "batch_size": batch,
        "patch_size": list(found.patch),
        "spacing": list(spacing),
        "architecture": _network(config, found),
        "batch_dice": True,
    }


def _network(config: TrainConfig, shape: Topology) -> dict[str, Any]:
    """nnU-Net's block of ``plans.json``. On the CPU the network is narrower, with fewer convolutions at full size."""
    stages, gpu = len(shape.strides), config.memory_gb is not None
    first, most = _GPU_FEATURES if gpu else _CPU_FEATURES
    features = config.features or tuple(min(first * 2**i, most) for i in range(stages))
    kwargs = {
        "n_stages": stages,
        "features_per_stage": list(features[:stages]),
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [list(k) for k in shape.kernels],
        "strides": [list(s) for s in shape.strides],
        "n_conv_per_stage": [2 if gpu else 1] + [2] * (stages - 1),
        "n_conv_per_stage_decoder": [2 if gpu else 1] * (stages - 1),
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    return {
        "network_class_name": config.class_name,
        "arch_kwargs": kwargs,
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def _maps(architecture: Mapping[str, Any], patch: Sequence[int], classes: int) -> float:
    """nnU-Net's measure of the memory that a patch needs: values in all feature maps."""
    with torch.device("meta"):
        network = build_network(
            architecture["network_class_name"],
            architecture["arch_kwargs"],
            architecture["_kw_requires_import"],
            1,
            classes,
            True,
        )
    return float(network.compute_conv_feature_map_size(patch))  # type: ignore[operator]


def _slices(config: TrainConfig, print_: dict[str, Any]) -> dict[str, Any]:
    """The patch is the network's input; its result takes in the median slice, as long as it is no larger than 388."""
    own = print_["median_spacing"][1:]
    spacing = [float(v) for v in config.spacing_mm or own]
    sides = [round(n * a / b) for n, a, b in zip(print_["median_shape"][1:], own, spacing, strict=True)]
    return {
        "patch_size": [min(LARGEST_TILE, max(SMALLEST_TILE, input_size(n))) for n in sides],
        "spacing": spacing,
        "architecture": {
            "network_class_name": config.class_name,
            "arch_kwargs": {"width": config.width},
            "_kw_requires_import": [],
        },
        "batch_dice": False,
    }
