"""A model to go on from: which of them training can continue, and its weights for a network with more organs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from contourdesk.app.errors import UserError
from contourdesk.inference.nnunet import Model, find_models, load_model
from contourdesk.inference.plans import Settings, count_channels, parse_settings, read_json, reason, resolve
from contourdesk.inference.train_plans import NETWORKS, SLICE_NETWORKS

# Names that the last layers of nnU-Net's networks begin with: one filter for each organ.
_HEADS = "decoder.seg_layers."


@dataclass(frozen=True, eq=False)
class Start:
    """What training needs of a model.

    Parameters
    ----------
    plans : its ``plans.json``;  labels : organ to value.
    network : one of `NETWORKS`.
    weights : float32, of the first fold.
    notes : what the user should know.
    """

    plans: dict[str, Any]
    labels: dict[str, int]
    network: str
    weights: Mapping[str, Tensor]
    notes: tuple[str, ...] = ()


def read_start(folder: Path) -> Start:
    """Read a model folder or archive that training is to go on from.

    Raises
    ------
    UserError : it can't be read, or is of a kind that training can't continue; says which.
    """
    model = load_model(folder)
    why = _refusal(model)
    if why:
        raise UserError(
            f"Training can't go on from {folder.name}: {why}.",
            "Start without it, choose another model, or let nnU-Net train it (--with nnunet).",
        )
    plans = read_json(_plans_file(model))
    labels = {name: i for i, name in enumerate(model.labels, 1)}
    several = f"{folder.name} has {len(model.folds)} folds; training goes on from the first." if model.folds[1:] else ""
    weights = model.networks[0].state_dict()
    return Start(
        plans, labels, _network_of(plans, model.settings.configuration), weights, (several,) if several else ()
    )


def _plans_file(model: Model) -> Path:
    if model.folder.is_file():
        raise UserError(
            f"{model.folder.name} is an archive, and training goes on from folders only.",
            "Unpack it: contourdesk model add does it too.",
        )
    return find_models(model.folder)[0] / "plans.json"


def _refusal(model: Model) -> str:
    """Why training can't continue a model, empty when it can."""
    settings = model.settings
    reasons = {
        "its structures are overlapping regions": model.regions,
        "it is the second stage of a cascade": model.previous is not None,
        "it takes several images at once": len(settings.normalisation) != 1,
        "it is for other images than CT": settings.normalisation[0] != "CTNormalization",
        "its last axis isn't the patient's left and right": settings.transpose[2] != 2,
        "its images are resampled in another way": settings.image.kind != "spline",
        "it is a 2D network of nnU-Net": settings.flat and type(model.networks[0]).__name__.endswith("ConvUNet"),
    }
    return next((text for text, holds in reasons.items() if holds), "")


def _network_of(plans: Mapping[str, Any], configuration: str) -> str:
    found = resolve(plans["configurations"], configuration).get("architecture", {}).get("network_class_name")
    return next((name for name, cls in SLICE_NETWORKS.items() if cls == found), NETWORKS[0])


def read_settings(folder: Path, configuration: str) -> tuple[Settings, Mapping[str, Any], dict[str, int], int]:
    """Settings, network's description, labels and batch size of a model folder that training writes.

    Raises
    ------
    UserError : it is damaged, or of another kind of network.
    """
    plans, dataset = read_json(folder / "plans.json"), read_json(folder / "dataset.json")
    if configuration not in plans.get("configurations", {}):
        raise UserError("The model to go on with is of another network.", "Name its network with --network.")
    try:
        channels = count_channels(dataset, folder / "dataset.json")
        settings, architecture = parse_settings(plans, configuration, channels)
        batch = int(resolve(plans["configurations"], configuration)["batch_size"])
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise UserError(
            f"{folder / 'plans.json'} can't be used: {reason(error)}.", "Start the training anew."
        ) from error
    labels = {k: int(v) for k, v in dataset["labels"].items() if k not in ("background", "ignore")}
    return settings, architecture, labels, batch


def put_weights(network: nn.Module, weights: Mapping[str, Tensor], organs_added: int = 0) -> None:
    """Load the weights of a model into a network that may know more organs; what is new stays as it was made at random.

    Raises
    ------
    UserError : this kind of network can't get more organs.
    """
    own = network.state_dict()
    out = dict(weights)
    if organs_added:
        heads = [name for name in weights if name.startswith(_HEADS)]
        if not heads:
            raise UserError("This kind of network can't learn more organs.", "Start without the model.")
        for name in heads:
            grown = own[name].clone()
            grown[: len(weights[name])] = weights[name].to(grown)
            out[name] = grown
    with torch.no_grad():
        network.load_state_dict(out)
