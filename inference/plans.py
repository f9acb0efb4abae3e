"""What ``plans.json`` and ``dataset.json`` of nnU-Net v2 say about prediction, checked and without surprises.

Both files come from anywhere: every number is looked at before anything is built or allocated from it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from contourdesk.app.errors import UserError
from contourdesk.inference.preprocess import ANISO_THRESHOLD, NORMALISATIONS

WHOLE = "Copy the whole model folder again: plans.json, dataset.json and fold_0/checkpoint_final.pth."
MAX_JSON_BYTES = 64 * 2**20
MAX_PATCH_VOXELS = 2**27  # 512 x 512 x 512: no network sees more at once
MAX_NUMBER = 65536  # largest number that any network's description needs
MAX_LABELS = 4096
_CLASSES = {
    "PlainConvUNet": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
    "ResidualEncoderUNet": "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet",
}
# Readers that turn every image to (S, A, R) before the network sees it; the others give the array as it is stored.
_TURNING_READERS = ("NibabelIOWithReorient", "SimpleITKIOWithReorient")


@dataclass(frozen=True)
class Resampling:
    """How images or results are resampled.

    Parameters
    ----------
    kind : "spline" (nnU-Net's default), "torch" (``resample_torch_fornnunet``) or "none".
    order : spline order, 1 for linear.
    separate : ``force_separate_z``, None when automatic;  threshold : how coarse an axis must be to be separate.
    """

    kind: str
    order: int
    separate: bool | None
    threshold: float = ANISO_THRESHOLD


@dataclass(frozen=True)
class Settings:
    """What a configuration of ``plans.json`` says about prediction. Axes are those after `transpose`.

    Parameters
    ----------
    configuration : its name, e.g. "3d_fullres".
    patch_size : voxels (z, y, x), or (y, x) of a 2D network.
    spacing_mm : what the network sees, mm, as many axes as `patch_size`.
    transpose : array axes of an image in the network's order.
    normalisation : nnU-Net's name of the scheme, one for each image channel;  masked : whether the voxels that are
        not zero alone are normalised;  intensity : the training set's intensity numbers of each channel.
    image, result : how the image is resampled, and how the network's result is.
    orientation : "LPS" (arrays are turned to axes S, P, L first), "RAS" (to S, A, R) or "stored" (as they lie).
    previous : name of the configuration whose result is part of the input (a cascade), or empty;  stage : how that
        result is resampled.
    """

    configuration: str
    patch_size: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    transpose: tuple[int, int, int]
    normalisation: tuple[str, ...]
    masked: tuple[bool, ...]
    intensity: tuple[Mapping[str, float], ...]
    image: Resampling
    result: Resampling
    orientation: str
    previous: str = ""
    stage: Resampling | None = None

    @property
    def flat(self) -> bool:
        """Whether the network sees one slice at a time."""
        return len(self.patch_size) == 2

    def spacing_for(self, spacing_mm: tuple[float, float, float]) -> tuple[float, float, float]:
        """Voxels (z, y, x) in mm that the network sees of an image of `spacing_mm`; a 2D network keeps its slices."""
        if self.flat:
            return spacing_mm[0], self.spacing_mm[0], self.spacing_mm[1]
        return self.spacing_mm[0], self.spacing_mm[1], self.spacing_mm[2]


@dataclass(frozen=True)
class Labels:
    """The structures of ``dataset.json``.

    Parameters
    ----------
    names : in the order of the network's channels (background's left out).
    regions : for each of `names` the label numbers it is made of when labels overlap, each then has a channel of its
        own; empty when they don't, and channel 0 is background.
    order : number that each region is painted with, later over earlier (``regions_class_order``).
    numbers : all label numbers but background's.
    """

    names: tuple[str, ...]
    regions: tuple[tuple[int, ...], ...] = ()
    order: tuple[int, ...] = ()
    numbers: tuple[int, ...] = ()

    @property
    def channels(self) -> int:
        """Number of the network's output channels."""
        return len(self.names) + (0 if self.regions else 1)


def reason(error: Exception) -> str:
    """What an error of reading says, for the user."""
    return f"it has no entry {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of sane size.

    Raises
    ------
    UserError : no such file, too large, damaged or no object.
    """
    if not path.is_file():
        raise UserError(f"The model folder has no {path.name}: {path.parent}.", WHOLE)
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ValueError("it is far too large")
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise UserError(f"The model file {path} can't be read: {error}.", WHOLE) from error
    if not isinstance(content, dict):
        raise UserError(f"The model file {path} is not one of nnU-Net's.", WHOLE)
    return content


def resolve(configurations: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A configuration with what it inherits filled in. Raises KeyError, ValueError."""
    own = dict(configurations[name])
    chain = {name}
    while "inherits_from" in own:
        parent = own.pop("inherits_from")
        if parent in chain:
            raise ValueError(f"configuration '{parent}' inherits from itself")
        chain.add(parent)
        own = {**configurations[parent], **own}
    return own


def parse_settings(plans: Mapping[str, Any], name: str, channels: int) -> tuple[Settings, Mapping[str, Any]]:
    """Settings of a configuration, and its network's description.

    Parameters
    ----------
    channels : how many images the model takes at once (``channel_names`` of ``dataset.json``).

    Raises
    ------
    KeyError, TypeError, ValueError, IndexError : something is missing or makes no sense; the text says what.
    """
    c = resolve(plans["configurations"], name)
    schemes = tuple(str(s) for s in c["normalization_schemes"])
    if len(schemes) != channels or len(c["use_mask_for_norm"]) != channels:
        raise ValueError(f"it normalises {len(schemes)} images, and dataset.json has {channels}")
    for scheme in schemes:
        if scheme not in NORMALISATIONS:
            raise ValueError(f"normalisation '{scheme}' is not supported")
    key = "foreground_intensity_properties_per_channel"
    per_channel = plans[key] if key in plans else plans["foreground_intensity_properties_by_modality"]
    previous = str(c.get("previous_stage") or "")
    settings = Settings(
        configuration=name,
        patch_size=tuple(int(n) for n in c["patch_size"]),
        spacing_mm=tuple(float(s) for s in c["spacing"]),
        transpose=_three(plans["transpose_forward"]),
        normalisation=schemes,
        masked=tuple(bool(m) for m in c["use_mask_for_norm"]),
        intensity=tuple(dict(per_channel.get(str(i), {})) for i in range(channels)),
        image=_resampling(c["resampling_fn_data"], c["resampling_fn_data_kwargs"], range(6)),
        result=_resampling(c["resampling_fn_probabilities"], c["resampling_fn_probabilities_kwargs"], (1,)),
        orientation=_orientation(plans),
        previous=previous,
        stage=_resampling(c["resampling_fn_seg"], c["resampling_fn_seg_kwargs"], (1,), True) if previous else None,
    )
    _check(settings)
    return settings, c["architecture"] if "architecture" in c else old_architecture(c)


def old_architecture(c: Mapping[str, Any]) -> dict[str, Any]:
    """The network's description in today's form, of plans that nnU-Net made before 2.4."""
    name = c["UNet_class_name"]
    if name not in _CLASSES:
        raise ValueError(f"the network '{name}' is not supported")
    stages, dim = len(c["n_conv_per_stage_encoder"]), len(c["patch_size"])
    _check_numbers({k: c[k] for k in ("UNet_base_num_features", "unet_max_num_features")})
    features = [min(c["UNet_base_num_features"] * 2 ** min(i, 32), c["unet_max_num_features"]) for i in range(stages)]
    kwargs = {
        "n_stages": stages,
        "features_per_stage": features,
        "conv_op": f"torch.nn.modules.conv.Conv{dim}d",
        "kernel_sizes": c["conv_kernel_sizes"],
        "strides": c["pool_op_kernel_sizes"],
        "n_conv_per_stage" if name == "PlainConvUNet" else "n_blocks_per_stage": c["n_conv_per_stage_encoder"],
        "n_conv_per_stage_decoder": c["n_conv_per_stage_decoder"],
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{dim}d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }
    return {
        "network_class_name": _CLASSES[name],
        "arch_kwargs": kwargs,
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def check_architecture(architecture: Mapping[str, Any]) -> None:
    """Refuse numbers that no network needs, before one is built. Raises KeyError, TypeError, ValueError."""
    kwargs = architecture["arch_kwargs"]
    _check_numbers(kwargs)
    for key in kwargs:
        counts = kwargs[key] if isinstance(kwargs[key], list) else [kwargs[key]]
        if key.startswith("n_") and any(not isinstance(n, int) or not 0 <= n <= 64 for n in counts):
            raise ValueError(f"{key} {kwargs[key]} describes no network")


def _check_numbers(value: object, depth: int = 0) -> None:
    if depth > 8:
        raise ValueError("the network's description is nested too deeply")
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        if len(value) > 64:
            raise ValueError(f"a list of {len(value)} entries describes no network")
        for one in value:
            _check_numbers(one, depth + 1)
    elif isinstance(value, int | float):
        if not math.isfinite(value) or abs(value) > MAX_NUMBER:
            raise ValueError(f"{value} is too large a number for a network")
    else:
        raise TypeError(f"{value!r} describes no network")


def parse_labels(dataset: Mapping[str, Any], path: Path) -> Labels:
    """The structures that ``dataset.json`` names.

    Raises
    ------
    UserError : there is no usable list of them.
    """
    labels = dataset.get("labels")
    try:
        wanted = {str(k): v for k, v in labels.items() if k not in ("background", "ignore")}  # type: ignore[union-attr]
        groups = {k: tuple(int(n) for n in (v if isinstance(v, list) else [v])) for k, v in wanted.items()}
        groups = {k: v for k, v in groups.items() if set(v) != {0}}  # a region that is background has no channel
        order = tuple(int(n) for n in dataset.get("regions_class_order") or ())
        if any(len(v) == 0 or len(v) > MAX_LABELS for v in groups.values()) or len(groups) > MAX_LABELS:
            raise ValueError("too many labels, or none")
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{path} has no usable list of labels.", WHOLE) from error
    if any(len(v) > 1 for v in groups.values()):
        return _regions(groups, order, path)
    numbers = {k: v[0] for k, v in groups.items()}
    if not numbers or sorted(numbers.values()) != list(range(1, len(numbers) + 1)):
        raise UserError(f"The labels in {path} are not numbered 1, 2, 3 and so on.", WHOLE)
    names = tuple(sorted(numbers, key=lambda k: numbers[k]))
    return Labels(names, numbers=tuple(range(1, len(names) + 1)))


def label_map(found: NDArray[np.generic], labels: Labels) -> NDArray[np.generic]:
    """One number for each voxel, as nnU-Net writes it: regions painted in their order, later over earlier."""
    if not labels.regions:
        return found
    out = np.zeros(found.shape[1:], np.uint8 if max(labels.order) < 256 else np.int16)
    for mask, number in zip(found, labels.order, strict=True):
        out[mask.astype(bool)] = number
    return out


def _regions(groups: Mapping[str, tuple[int, ...]], order: tuple[int, ...], path: Path) -> Labels:
    numbers = sorted({n for v in groups.values() for n in v} - {0})
    if len(order) != len(groups):
        raise UserError(
            f"{path} has overlapping labels, and its regions_class_order doesn't have one number for each.", WHOLE
        )
    return Labels(tuple(groups), tuple(groups.values()), order, tuple(numbers))


def count_channels(dataset: Mapping[str, Any], path: Path) -> int:
    """How many images the model takes at once. Raises UserError."""
    channels = dataset.get("modality") or dataset.get("channel_names")
    if not isinstance(channels, dict | list) or not 0 < len(channels) <= 64:
        raise UserError(f"{path} doesn't say which images the model takes (channel_names).", WHOLE)
    return len(channels)


def _orientation(plans: Mapping[str, Any]) -> str:
    if plans.get("experiment_planner_used") == "contourdesk":
        return "LPS"
    return "RAS" if plans.get("image_reader_writer") in _TURNING_READERS else "stored"


def _resampling(function: str, kwargs: Mapping[str, Any], orders: Collection[int], labels: bool = False) -> Resampling:
    separate, threshold = kwargs.get("force_separate_z"), float(kwargs.get("separate_z_anisotropy_threshold", 3))
    if not math.isfinite(threshold):
        raise ValueError("separate_z_anisotropy_threshold is not a number")
    if function == "resample_data_or_seg_to_shape":
        order = int(kwargs.get("order", 3))
        if kwargs.get("order_z", 0) != 0 or bool(kwargs.get("is_seg")) != labels or order not in orders:
            raise ValueError("its interpolation orders are not nnU-Net's own")
        # nnU-Net's function itself takes False when nothing is said; None is automatic.
        return Resampling("spline", order, kwargs.get("force_separate_z", False), threshold)
    if function == "resample_torch_fornnunet" and not labels:
        modes = kwargs.get("mode", "linear"), kwargs.get("aniso_axis_mode", "nearest-exact")
        if modes != ("linear", "nearest-exact") or kwargs.get("is_seg"):
            raise ValueError(f"resampling by {modes[0]} and {modes[1]} is not supported")
        return Resampling("torch", 1, separate, threshold)
    if function == "no_resampling_hack":
        return Resampling("none", 1, False)
    raise ValueError(f"resampling by '{function}' is not supported")


def _check(settings: Settings) -> None:
    if sorted(settings.transpose) != [0, 1, 2]:
        raise ValueError(f"transpose_forward {settings.transpose} is no order of three axes")
    patch, spacing = settings.patch_size, settings.spacing_mm
    if len(patch) not in (2, 3) or len(spacing) != len(patch):
        raise ValueError("spacing and patch size need two or three numbers, as many each")
    if not all(math.isfinite(s) and s > 0 for s in spacing) or min(patch) < 1:
        raise ValueError("spacing and patch size must be positive")
    if math.prod(patch) > MAX_PATCH_VOXELS:
        raise ValueError(f"a patch of {' x '.join(str(n) for n in patch)} voxels is too large for any computer")
    for scheme, intensity in zip(settings.normalisation, settings.intensity, strict=True):
        if scheme == "CTNormalization":
            for key in ("percentile_00_5", "percentile_99_5", "mean", "std"):
                if not math.isfinite(float(intensity[key])):
                    raise ValueError(f"{key} is not a number")


def _three(values: Any) -> tuple[int, int, int]:
    a, b, c = (int(v) for v in values)
    return a, b, c
