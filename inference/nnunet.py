"""Model folders in nnU-Net v2's format: ``plans.json``, ``dataset.json``, ``fold_<n>/checkpoint_final.pth``.

A model folder comes from anywhere, so it can only ever be data here: JSON, and weights read by PyTorch's restricted
unpickler. Networks are built from the allow-list in `contourdesk.inference.networks`.
"""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from contourdesk.app.errors import UserError
from contourdesk.inference.networks import build_network
from contourdesk.inference.preprocess import NORMALISATIONS

CHECKPOINT = "checkpoint_final.pth"
_RESAMPLING = "resample_data_or_seg_to_shape"
_WHOLE = "Copy the whole model folder again: plans.json, dataset.json and fold_0/checkpoint_final.pth."
# Checkpoints that nnU-Net wrote itself hold numpy numbers in their training log. These types carry numbers only.
_scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
_NUMBERS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_scalar, "numpy._core.multiarray.scalar"),
    (_scalar, "numpy.core.multiarray.scalar"),  # numpy 1
    np.dtype,
    type(np.dtype(np.float32)),
    type(np.dtype(np.float64)),
    type(np.dtype(np.int64)),
]


@dataclass(frozen=True)
class Settings:
    """What a configuration of ``plans.json`` says about prediction. Axes are those after `transpose`.

    Parameters
    ----------
    configuration : its name, e.g. "3d_fullres".
    patch_size : voxels (z, y, x);  spacing_mm : what the network sees, mm (z, y, x).
    transpose : array axes of an image in the network's order.
    normalisation : nnU-Net's name of the scheme;  intensity : the training set's intensity numbers.
    order : spline order that images are resampled with.
    separate_image, separate_result : ``force_separate_z`` for the image and for the result, None when automatic.
    """

    configuration: str
    patch_size: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    transpose: tuple[int, int, int]
    normalisation: str
    intensity: Mapping[str, float]
    order: int
    separate_image: bool | None
    separate_result: bool | None


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model, on the CPU in float32.

    Parameters
    ----------
    name : name of the dataset it was trained on.
    labels : the structures, in the order of the network's channels.
    regions : labels overlap and each has a channel of its own; otherwise channel 0 is background and `labels` follow.
    networks : one for each fold; their mean is the result.
    weights_sha256 : SHA-256 of the checkpoint file, or of all of them one after the other.
    """

    name: str
    folder: Path
    labels: tuple[str, ...]
    regions: bool
    settings: Settings
    networks: tuple[nn.Module, ...]
    folds: tuple[str, ...]
    weights_sha256: str

    @property
    def channels(self) -> int:
        """Number of the network's output channels."""
        return len(self.labels) + (0 if self.regions else 1)


def load_model(folder: Path | str) -> Model:
    """Read a model folder.

    Raises
    ------
    UserError : a file is missing, damaged, of another format, or holds anything but numbers. It names the file.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(f"There is no model folder {folder}.", "Choose the folder that holds plans.json.")
    plans, dataset = _read_json(folder / "plans.json"), _read_json(folder / "dataset.json")
    paths = _checkpoints(folder)
    checkpoints = [read_checkpoint(path) for path in paths]
    try:
        configuration = str(checkpoints[0]["init_args"]["configuration"])
        settings, architecture = _settings(plans, configuration)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{folder / 'plans.json'} can't be used: {_reason(error)}.", _WHOLE) from error
    labels, regions = _labels(dataset, folder / "dataset.json")
    outputs = len(labels) + (0 if regions else 1)
    networks = tuple(
        _network(architecture, outputs, checkpoint["network_weights"], path)
        for checkpoint, path in zip(checkpoints, paths, strict=True)
    )
    return Model(
        name=str(plans.get("dataset_name") or folder.name),
        folder=folder,
        labels=labels,
        regions=regions,
        settings=settings,
        networks=networks,
        folds=tuple(p.parent.name for p in paths),
        weights_sha256=_sha256(paths),
    )


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's content, by the unpickler that knows numbers only.

    Raises
    ------
    UserError : damaged, no checkpoint of nnU-Net, or with program code in it.
    """
    damaged = UserError(f"The model file {path} is damaged or is no PyTorch checkpoint.", _WHOLE)
    if not zipfile.is_zipfile(path):
        raise damaged
    try:
        with torch.serialization.safe_globals(_NUMBERS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"The model file {path} holds program code and was not opened.",
            "Get the model from a source that you trust, as an unmodified nnU-Net checkpoint.",
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise damaged from error
    if not isinstance(content, dict) or not isinstance(content.get("network_weights"), dict):
        raise UserError(f"The model file {path} is not a checkpoint of nnU-Net.", _WHOLE)
    return content


def _reason(error: Exception) -> str:
    return f"it has no entry {error}" if isinstance(error, KeyError) else str(error)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise UserError(f"The model folder has no {path.name}: {path.parent}.", _WHOLE)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise UserError(f"The model file {path} can't be read: {error}.", _WHOLE) from error
    if not isinstance(content, dict):
        raise UserError(f"The model file {path} is not one of nnU-Net's.", _WHOLE)
    return content


def _checkpoints(folder: Path) -> list[Path]:
    folds = sorted(p for p in folder.glob("fold_*") if p.is_dir())
    if not folds:
        raise UserError(f"The model folder has no fold_0 folder: {folder}.", _WHOLE)
    there = [p / CHECKPOINT for p in folds if (p / CHECKPOINT).is_file()]
    if not there:
        raise UserError(f"The model's weights are missing: {folds[0] / CHECKPOINT}.", _WHOLE)
    single = [p for p in there if p.parent.name != "fold_all"]
    return single or there  # nnU-Net takes the numbered folds, and "all" only when there are none


def _resolve(configurations: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A configuration with what it inherits filled in."""
    own = dict(configurations[name])
    chain = {name}
    while "inherits_from" in own:
        parent = own.pop("inherits_from")
        if parent in chain:
            raise ValueError(f"configuration '{parent}' inherits from itself")
        chain.add(parent)
        own = {**configurations[parent], **own}
    return own


def _settings(plans: Mapping[str, Any], name: str) -> tuple[Settings, Mapping[str, Any]]:
    c = _resolve(plans["configurations"], name)
    if c.get("previous_stage"):
        raise ValueError(f"'{name}' needs the result of another model first (a cascade), which is not supported")
    if len(c["patch_size"]) != 3:
        raise ValueError(f"'{name}' is a 2D network; use the 3d_fullres model")
    if len(c["normalization_schemes"]) != 1:
        raise ValueError(f"the model needs {len(c['normalization_schemes'])} images at once, not one")
    scheme = str(c["normalization_schemes"][0])
    if scheme not in NORMALISATIONS or c["use_mask_for_norm"][0]:
        raise ValueError(f"normalisation '{scheme}' (mask: {c['use_mask_for_norm'][0]}) is not supported")
    image, result = c["resampling_fn_data_kwargs"], c["resampling_fn_probabilities_kwargs"]
    if {c["resampling_fn_data"], c["resampling_fn_probabilities"]} != {_RESAMPLING}:
        raise ValueError(f"resampling by '{c['resampling_fn_data']}' is not supported")
    if image.get("order_z", 0) != 0 or result.get("order_z", 0) != 0 or result["order"] != 1:
        raise ValueError("its interpolation orders are not nnU-Net's own")
    if "architecture" not in c:
        raise KeyError("architecture (it was made by nnU-Net before 2.4)")
    settings = Settings(
        configuration=name,
        patch_size=_three(c["patch_size"], int),
        spacing_mm=_three(c["spacing"], float),
        transpose=_three(plans["transpose_forward"], int),
        normalisation=scheme,
        intensity=plans["foreground_intensity_properties_per_channel"]["0"],
        order=int(image["order"]),
        separate_image=image.get("force_separate_z"),
        separate_result=result.get("force_separate_z"),
    )
    _check(settings)
    return settings, c["architecture"]


def _check(settings: Settings) -> None:
    if sorted(settings.transpose) != [0, 1, 2]:
        raise ValueError(f"transpose_forward {settings.transpose} is no order of three axes")
    if not all(math.isfinite(s) and s > 0 for s in settings.spacing_mm) or min(settings.patch_size) < 1:
        raise ValueError("spacing and patch size must be positive")
    if not 0 <= settings.order <= 5:
        raise ValueError(f"interpolation order {settings.order} does not exist")
    if settings.normalisation == "CTNormalization":
        for key in ("percentile_00_5", "percentile_99_5", "mean", "std"):
            if not math.isfinite(float(settings.intensity[key])):
                raise ValueError(f"{key} is not a number")


def _three(values: Any, kind: type) -> Any:
    a, b, c = (kind(v) for v in values)
    return a, b, c


def _labels(dataset: Mapping[str, Any], path: Path) -> tuple[tuple[str, ...], bool]:
    """Names in the order of the channels, and whether they are overlapping regions."""
    labels = dataset.get("labels")
    try:
        wanted = {str(k): v for k, v in labels.items() if k not in ("background", "ignore")}  # type: ignore[union-attr]
        regions = any(isinstance(v, list) and len(v) > 1 for v in wanted.values())
        if regions:
            return tuple(wanted), True
        numbers = {k: int(v[0] if isinstance(v, list) else v) for k, v in wanted.items()}
    except (AttributeError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{path} has no usable list of labels.", _WHOLE) from error
    if not numbers or sorted(numbers.values()) != list(range(1, len(numbers) + 1)):
        raise UserError(f"The labels in {path} are not numbered 1, 2, 3 and so on.", _WHOLE)
    return tuple(sorted(numbers, key=lambda k: numbers[k])), False


def _network(architecture: Mapping[str, Any], outputs: int, weights: Mapping[str, Tensor], path: Path) -> nn.Module:
    try:
        network = build_network(
            architecture["network_class_name"],
            architecture["arch_kwargs"],
            architecture["_kw_requires_import"],
            1,
            outputs,
        )
    except (KeyError, TypeError, ValueError, IndexError, AssertionError, RuntimeError) as error:
        fact = f"The network in {path.parents[1] / 'plans.json'} can't be built: {_reason(error)}."
        raise UserError(fact, _WHOLE) from error
    try:
        network.load_state_dict(dict(weights))  # copies, and brings half precision to float32
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UserError(
            f"The weights in {path} do not fit the network and the labels that plans.json and dataset.json describe.",
            _WHOLE,
        ) from error
    if not all(torch.isfinite(p).all() for p in network.parameters()):
        raise UserError(f"The weights in {path} hold values that are no numbers.", _WHOLE)
    return network.requires_grad_(False).eval()


def _sha256(paths: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
