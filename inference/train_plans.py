"""What a user may choose for a training, and the ``plans.json`` of nnU-Net v2 that follows: 3D patches or slices."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from contourdesk.inference.augment import Augmentation
from contourdesk.inference.overlap_tile import input_size
from contourdesk.inference.training_data import RawDataset

# Networks on slices by the name that the user gives, as plans.json has them. Any other training is nnU-Net's in 3D.
SLICE_NETWORKS = {
    "unet2015": "contourdesk.inference.unet2015.UNet2015",
    "fcn": "contourdesk.inference.fcn.FCN",
}
NETWORKS = ("nnunet", *SLICE_NETWORKS)
_PLAIN = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
SMALLEST_TILE, LARGEST_TILE = 204, 572


@dataclass(frozen=True)
class TrainConfig:
    """What a user may choose. Sizes in voxels, spacings in mm, order z y x.

    The run ends after `minutes`, or after `steps` iterations where that is given (repeatable on any machine).

    Parameters
    ----------
    network : one of `NETWORKS`.
    spacing_mm : (z, y, x), for networks on slices (y, x); the dataset's median unless given.
    patch_size, features : of nnU-Net's 3D network.
    width : channels at the top of a network on slices, see `contourdesk.inference.unet2015`.
    learning_rate : its peak, 2e-3 for the 3D network and 5e-4 for those on slices, which don't normalise, unless given.
    """

    network: str = "nnunet"
    minutes: float = 60.0
    steps: int | None = None
    patch_size: tuple[int, int, int] = (64, 48, 48)
    batch_size: int = 2
    spacing_mm: tuple[float, ...] | None = None
    window_hu: tuple[float, float] = (-300.0, 600.0)
    features: tuple[int, ...] = (16, 32, 64, 128, 160)
    width: int = 64
    learning_rate: float | None = None
    weight_decay: float = 1e-2
    seed: int = 7
    device: str = "cpu"
    threads: int = 2
    checkpoint_minutes: float = 3.0
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
        """The highest learning rate."""
        if self.learning_rate is not None:
            return self.learning_rate
        return 5e-4 if self.slices else 2e-3


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
                "batch_size": config.batch_size,
                "median_image_size_in_voxels": print_["median_shape"],
                "normalization_schemes": ["CTNormalization"],
                "use_mask_for_norm": [False],
                "resampling_fn_data": "resample_data_or_seg_to_shape",
                "resampling_fn_seg": "resample_data_or_seg_to_shape",
                "resampling_fn_data_kwargs": resampling,
                "resampling_fn_seg_kwargs": {**resampling, "is_seg": True, "order": 1},
                "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
                "resampling_fn_probabilities_kwargs": {**resampling, "order": 1},
                **(_slices(config, print_) if config.slices else _volume(config, print_)),
            }
        },
        "experiment_planner_used": "contourdesk",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": print_["intensity"]},
    }


def _volume(config: TrainConfig, print_: dict[str, Any]) -> dict[str, Any]:
    stages = len(config.features)
    kwargs = {
        "n_stages": stages,
        "features_per_stage": list(config.features),
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "kernel_sizes": [[3, 3, 3]] * stages,
        "strides": [[1, 1, 1]] + [[2, 2, 2]] * (stages - 1),
        "n_conv_per_stage": [1] + [2] * (stages - 1),
        "n_conv_per_stage_decoder": [1] * (stages - 1),
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    return {
        "patch_size": list(config.patch_size),
        "spacing": list(config.spacing_mm or print_["median_spacing"]),
        "architecture": {
            "network_class_name": config.class_name,
            "arch_kwargs": kwargs,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
        "batch_dice": True,
    }


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
