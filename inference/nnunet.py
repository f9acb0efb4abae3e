"""Model folders in nnU-Net v2's format: ``plans.json``, ``dataset.json``, ``fold_<n>/checkpoint_final.pth``.

A model folder comes from anywhere, so it can only ever be data here: JSON, and weights read by PyTorch's restricted
unpickler. Networks are built from the allow-list in `contourdesk.inference.networks`, first without memory of their
own, so that what doesn't fit the weights is never allocated.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from contourdesk.app.errors import UserError
from contourdesk.app.jobs import run
from contourdesk.inference.checkpoints import plain_weights, read_checkpoint, sha256
from contourdesk.inference.model_zip import is_model_zip, unpack
from contourdesk.inference.networks import UNPADDED, build_network
from contourdesk.inference.overlap_tile import check_tile
from contourdesk.inference.plans import (
    WHOLE,
    Labels,
    Settings,
    check_architecture,
    count_channels,
    parse_labels,
    parse_settings,
    read_json,
    reason,
)
from contourdesk.inference.postprocess import KeepLargest, read_postprocessing

CHECKPOINT = "checkpoint_final.pth"
BEST = "checkpoint_best.pth"
# What to take when a dataset's folder holds several configurations and does not say which was best.
PREFERENCE = ("3d_fullres", "3d_cascade_fullres", "3d_lowres", "2d")
_MAX_LICENCE = 200_000


@dataclass(frozen=True, eq=False)
class Model:
    """A loaded model, on the CPU in float32.

    Parameters
    ----------
    name : name of the dataset it was trained on.
    structures : its labels, and whether they are overlapping regions.
    networks : one for each fold; their mean is the result.
    weights_sha256 : SHA-256 of the checkpoint file, or of all of them one after the other (a first stage's too).
    mirror_axes : network axes along which it may see mirror images, as its training had them.
    previous : the first stage of a cascade.
    postprocessing : steps after the prediction.
    notes : what the user should know about how the folder was read.
    licence : text of a licence file in the folder, or empty.
    """

    name: str
    folder: Path
    structures: Labels
    settings: Settings
    networks: tuple[nn.Module, ...]
    folds: tuple[str, ...]
    weights_sha256: str
    mirror_axes: tuple[int, ...] = ()
    previous: Model | None = None
    postprocessing: tuple[KeepLargest, ...] = ()
    notes: tuple[str, ...] = ()
    licence: str = field(default="", repr=False)

    @property
    def labels(self) -> tuple[str, ...]:
        """The structures' names, in the order of the network's channels."""
        return self.structures.names

    @property
    def regions(self) -> bool:
        """Whether labels overlap and each has a channel of its own; otherwise channel 0 is background."""
        return bool(self.structures.regions)

    @property
    def channels(self) -> int:
        """Number of the network's output channels."""
        return self.structures.channels


def load_model(path: Path | str, folds: Sequence[str] | None = None) -> Model:
    """Read a model folder, or a zip archive or dataset folder that holds one model.

    Parameters
    ----------
    folds : such as "0", "fold_1" or "all"; all that are there unless given.

    Raises
    ------
    UserError : a file is missing, damaged, of another format, or holds anything but numbers. It names the file.
    """
    models = load_models(path, folds)
    if len(models) != 1:
        names = ", ".join(model.name for model in models)
        raise UserError(f"{path} holds {len(models)} models: {names}.", "Choose the folder of one of them.")
    return models[0]


def load_models(
    path: Path | str, folds: Sequence[str] | None = None, configuration: str | None = None
) -> tuple[Model, ...]:
    """Read a model folder, a folder of several (parts of one list of structures), or a zip archive of either.

    Parameters
    ----------
    folds : see `load_model`.
    configuration : which one to take where a dataset has several, e.g. "2d"; see `find_models`.

    Raises
    ------
    UserError : see `load_model`.
    """
    path = Path(path)
    if path.is_file():
        if not is_model_zip(path):
            raise UserError(
                f"{path} is no archive of a model.",
                "Choose a zip that nnUNetv2_export_model_to_zip wrote, or a folder.",
            )
        with tempfile.TemporaryDirectory(prefix="contourdesk-") as place:
            found = load_models(run(unpack(path, Path(place))), folds, configuration)
            return tuple(replace(model, folder=path) for model in found)
    if not path.is_dir():
        raise UserError(f"There is no model folder {path}.", "Choose the folder that holds plans.json.")
    return tuple(_load(folder, folds) for folder in find_models(path, configuration))


def find_models(path: Path, configuration: str | None = None) -> list[Path]:
    """Trained-model folders in `path`: itself, or one for each dataset folder below it.

    Of a dataset's configurations that one is taken that its ``inference_information.json`` says was best, else the
    first of `PREFERENCE`.

    Raises
    ------
    UserError : there is none.
    """
    if any((path / name).exists() for name in ("plans.json", "dataset.json")) or list(path.glob("fold_*")):
        return [path]
    groups: dict[Path, list[Path]] = {}
    for depth in ("*", "*/*", "*/*/*"):
        for plans in sorted(path.glob(f"{depth}/plans.json")):
            if list(plans.parent.glob("fold_*")):
                groups.setdefault(plans.parent.parent, []).append(plans.parent)
    chosen = [one for parent in sorted(groups) if (one := _choose(parent, groups[parent], configuration)) is not None]
    if not chosen:
        wanted = f" of configuration {configuration}" if configuration else ""
        raise UserError(f"There is no model{wanted} in {path}.", "Choose the folder that holds plans.json and fold_0.")
    return chosen


def _choose(parent: Path, folders: list[Path], configuration: str | None) -> Path | None:
    by_name = {folder.name.rsplit("__", 1)[-1]: folder for folder in reversed(folders)}
    if configuration:
        return by_name.get(configuration)
    best = _best_of(parent)
    if best in by_name:
        return by_name[best]
    return next((by_name[name] for name in PREFERENCE if name in by_name), folders[0])


def _best_of(parent: Path) -> str:
    """Configuration that nnU-Net found to be best by itself, empty when it was an ensemble or is not known."""
    try:
        best = read_json(parent / "inference_information.json")["best_model_or_ensemble"]
        models = best["selected_model_or_models"]
        return str(models[0]["configuration"]) if len(models) == 1 else ""
    except (UserError, KeyError, TypeError, IndexError):
        return ""


def _load(folder: Path, folds: Sequence[str] | None, chain: tuple[str, ...] = ()) -> Model:
    plans, dataset = read_json(folder / "plans.json"), read_json(folder / "dataset.json")
    paths, notes = _checkpoints(folder, folds)
    first = read_checkpoint(paths[0])
    labels = parse_labels(dataset, folder / "dataset.json")
    channels = count_channels(dataset, folder / "dataset.json")
    try:
        configuration = str(first["init_args"]["configuration"])
        settings, architecture = parse_settings(plans, configuration, channels)
        if architecture["network_class_name"] in UNPADDED:
            check_tile(settings.patch_size)
        mirror = _mirror_axes(first.get("inference_allowed_mirroring_axes"), len(settings.patch_size))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise UserError(f"{folder / 'plans.json'} can't be used: {reason(error)}.", WHOLE) from error
    previous = _previous(folder, settings, folds, (*chain, configuration)) if settings.previous else None
    inputs = channels + (len(labels.numbers) if previous else 0)
    networks = []
    for path in paths:
        checkpoint = first if path == paths[0] else read_checkpoint(path)
        weights = plain_weights(checkpoint["network_weights"], path)
        networks.append(network_with_weights(architecture, inputs, labels.channels, weights, path))
    names = tuple(p.parent.name for p in paths)
    steps, more = read_postprocessing(folder, names)
    if settings.orientation == "stored":
        more = (*more, "The model takes images as they are stored, as nnU-Net does, and does not turn them.")
    return Model(
        name=str(plans.get("dataset_name") or folder.name)[:200],
        folder=folder,
        structures=labels,
        settings=settings,
        networks=tuple(networks),
        folds=names,
        weights_sha256=sha256([*paths, *(_paths_of(previous) if previous else ())]),
        mirror_axes=mirror,
        previous=previous,
        postprocessing=steps,
        notes=(*notes, *more, *(previous.notes if previous else ())),
        licence=_licence(folder),
    )


def _paths_of(model: Model) -> list[Path]:
    return _checkpoints(model.folder, model.folds)[0]


def _checkpoints(folder: Path, folds: Sequence[str] | None) -> tuple[list[Path], tuple[str, ...]]:
    there = sorted((p for p in folder.glob("fold_*") if p.is_dir()), key=_fold_key)
    if not there:
        raise UserError(f"The model folder has no fold_0 folder: {folder}.", WHOLE)
    name = CHECKPOINT if any((p / CHECKPOINT).is_file() for p in there) else BEST
    usable = [p / name for p in there if (p / name).is_file()]
    if not usable:
        raise UserError(f"The model's weights are missing: {there[0] / CHECKPOINT}.", WHOLE)
    notes = () if name == CHECKPOINT else (f"The model has no {CHECKPOINT}; {BEST} is used.",)
    if folds is None:
        single = [p for p in usable if p.parent.name != "fold_all"]
        return single or usable, notes  # nnU-Net takes the numbered folds, and "all" only when there are none
    wanted = [f"fold_{fold.strip().removeprefix('fold_')}" for fold in folds]
    by_name = {p.parent.name: p for p in usable}
    missing = [fold for fold in wanted if fold not in by_name]
    if missing or not wanted:
        raise UserError(
            f"The model {folder.name} has no {', '.join(missing) or 'folds to use'}.",
            f"It has {', '.join(by_name)}.",
        )
    return [by_name[fold] for fold in dict.fromkeys(wanted)], notes


def _fold_key(path: Path) -> tuple[int, str]:
    number = re.fullmatch(r"fold_(\d{1,9})", path.name)
    return (int(number[1]) if number else 10**9, path.name)


def _mirror_axes(axes: Any, dimensions: int) -> tuple[int, ...]:
    found = tuple(int(a) for a in axes) if axes is not None else ()
    if len(set(found)) != len(found) or any(not 0 <= a < dimensions for a in found):
        raise ValueError(f"mirroring axes {found} are no axes of its network")
    return found


def _previous(folder: Path, settings: Settings, folds: Sequence[str] | None, chain: tuple[str, ...]) -> Model:
    """The first stage of a cascade, from the folder beside this one."""
    if settings.previous in chain:
        raise UserError(f"The cascade in {folder / 'plans.json'} goes round in a circle.", WHOLE)
    start, _, _ = folder.name.rpartition("__")
    names = [f"{start}__{settings.previous}" if start else settings.previous, settings.previous]
    places = [place / name for name in names for place in (folder.parent, folder)]
    places += sorted(folder.parent.glob(f"*__{settings.previous}"))
    for place in places:
        if (place / "plans.json").is_file():
            return _load(place, None if folds is None else folds, chain)
    raise UserError(
        f"The model {folder.name} is the second stage of a cascade; its first stage, {settings.previous}, is missing.",
        f"Put the folder {names[0]} beside it.",
    )


def network_with_weights(
    architecture: Mapping[str, Any], inputs: int, outputs: int, weights: Mapping[str, Tensor], path: Path
) -> nn.Module:
    """A network ready for use: from the table of known ones, with weights that fit it.

    Parameters
    ----------
    architecture : the block of that name in ``plans.json``.
    inputs, outputs : channels.
    path : the checkpoint, two folders below ``plans.json``; for the message.

    Raises
    ------
    UserError : a network that is not known, makes no sense or doesn't fit the weights.
    """
    try:
        check_architecture(architecture)
        with torch.device("meta"):  # without memory: sizes are compared with the weights' first
            network = build_network(
                architecture["network_class_name"],
                architecture["arch_kwargs"],
                architecture["_kw_requires_import"],
                inputs,
                outputs,
            )
    except (KeyError, TypeError, ValueError, IndexError, AssertionError, RuntimeError, AttributeError) as error:
        fact = f"The network in {path.parents[1] / 'plans.json'} can't be built: {reason(error)}."
        raise UserError(fact, WHOLE) from error
    try:
        network.load_state_dict(dict(weights), assign=True)
    except (RuntimeError, TypeError, AttributeError) as error:
        raise UserError(
            f"The weights in {path} do not fit the network and the labels that plans.json and dataset.json describe.",
            WHOLE,
        ) from error
    return network.requires_grad_(False).eval()


def _licence(folder: Path) -> str:
    for place in (folder, folder.parent):
        for path in sorted(place.glob("*")):
            if re.match(r"(licen[cs]e|copying)", path.name, re.IGNORECASE) and path.is_file():
                with path.open("rb") as file:
                    return file.read(_MAX_LICENCE).decode("utf-8", "replace")
    return ""
