"""Train a network on an nnU-Net raw dataset; the result is a model folder.

Unless another network is asked for it is a 3D U-Net, and nnU-Net loads the folder too.

The schedule follows the time that the user gives (``minutes``), so a run ends when it was said to, on a laptop and
on a GPU alike. Weights that are kept are an exponential moving average. A run that was stopped goes on from its
last checkpoint.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Generator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Progress
from contourdesk.app.training_record import training_cases
from contourdesk.inference.augment import blank_outside_organs, change_intensity, cut_patch, mirror_left_right
from contourdesk.inference.losses import deep_supervision_loss
from contourdesk.inference.networks import build_network
from contourdesk.inference.train_plans import TrainConfig, make_plans
from contourdesk.inference.train_slices import SliceSampler
from contourdesk.inference.training_data import AIR_HU, RawDataset, TrainingCase, fingerprint, preprocess_cases

FINAL = "fold_0/checkpoint_final.pth"


def paired_labels(labels: dict[str, int]) -> dict[int, int]:
    """Label values that trade places when the patient is mirrored: names that differ in left and right alone."""
    pairs: dict[int, int] = {}
    for name, value in labels.items():
        for left, right in (("Left", "Right"), ("left", "right"), ("_L", "_R")):
            for a, b in ((left, right), (right, left)):
                other = name.replace(a, b)
                if other != name and other in labels:
                    pairs[value] = labels[other]
    return pairs


def _save(path: Path, content: dict[str, Any]) -> None:
    part = path.with_suffix(".part")
    torch.save(content, part)
    os.replace(part, path)


def write_checkpoint(
    path: Path, weights: Mapping[str, Tensor], half: bool = True, configuration: str = "3d_fullres"
) -> None:
    """``checkpoint_final.pth`` with the keys that nnU-Net's predictor reads; fp16 weights unless told otherwise."""
    # nnU-Net's decoder holds its encoder, so every encoder weight has two names: store it once.
    stored: dict[str, Tensor] = {}
    kept = {}
    for name, value in weights.items():
        once = name.removeprefix("decoder.") if name.startswith("decoder.encoder.") else name
        kept[name] = stored.setdefault(once, value.half() if half and value.is_floating_point() else value.clone())
    _save(
        path,
        {
            "network_weights": kept,
            "trainer_name": "nnUNetTrainer",
            "init_args": {"configuration": configuration, "fold": 0},
            "inference_allowed_mirroring_axes": None,
        },
    )


class _Sampler:
    """Draws augmented batches: mostly round a voxel of a known organ, each organ as often as the others."""

    loss = staticmethod(deep_supervision_loss)  # of the network's outputs and what `batch` gives after the images

    def __init__(
        self, cases: list[TrainingCase], config: TrainConfig, spacing: list[float], air: float, swap: Mapping[int, int]
    ):
        self.cases, self.config, self.air, self.swap = cases, config, air, swap
        self.rng = np.random.default_rng(config.seed)
        z, y, x = spacing
        self.spacing = (z, y, x)
        self.having = {k: [c for c in cases if k in c.organ_voxels] for k in {k for c in cases for k in c.organ_voxels}}

    def batch(self) -> tuple[Tensor, ...]:
        """Images (batch, 1, z, y, x), labels (batch, z, y, x), known organs (batch, classes)."""
        drawn = [self._patch() for _ in range(self.config.batch_size)]
        images, labels, known = zip(*drawn, strict=True)
        return torch.stack(images)[:, None], torch.stack(labels), torch.stack(known)

    def _patch(self) -> tuple[Tensor, Tensor, Tensor]:
        rng, how = self.rng, self.config.augmentation
        if rng.random() < 0.75:
            organ = int(rng.choice(list(self.having)))
            case = self.having[organ][rng.integers(len(self.having[organ]))]
            places = case.organ_voxels[organ]
            centre = places[rng.integers(len(places))] + rng.uniform(-0.25, 0.25, 3) * self.config.patch_size
        else:
            case = self.cases[rng.integers(len(self.cases))]
            centre = rng.uniform(0, 1, 3) * (np.array(case.image.shape) - 1)
        image, labels = cut_patch(
            case.image, case.labels, centre, self.config.patch_size, self.air, self.spacing, rng, how
        )
        known = case.known
        if rng.random() < how.p_mirror:
            image, labels = mirror_left_right(image, labels, self.swap)
            known = known.clone()
            for a, b in self.swap.items():
                known[b] = case.known[a]
        image = change_intensity(image, self.air, rng, how)
        if rng.random() < how.p_blank:
            image = blank_outside_organs(image, labels, self.air, rng)
        return image, labels, known


def train(
    dataset_folder: Path, out: Path, config: TrainConfig, resume: bool = False, start_from: Path | None = None
) -> Generator[Progress, None, Path]:
    """Train and write a model folder `out` (plans.json, dataset.json, fold_0/checkpoint_final.pth, progress.csv).

    With `start_from`, a model folder that this function wrote, go on from its weights with its plans and a new
    schedule. With `resume`, go on with a run that was stopped; everything that it needs is in
    ``fold_0/checkpoint_latest.pth``. Yields after every iteration.

    Raises
    ------
    UserError : a dataset or a model that can't be used.
    """
    if config.spacing_mm is not None and len(config.spacing_mm) != (2 if config.slices else 3):
        raise UserError(
            f"The network {config.network} can't be trained at a spacing of {len(config.spacing_mm)} numbers.",
            "Give --spacing Y,X for networks on slices, and Z,Y,X for nnunet.",
        )
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    device = torch.device(config.device)
    dataset = RawDataset.open(dataset_folder)
    names = dataset.cases()
    if not names:
        raise UserError(f"{dataset_folder} has no training images.", "Export reviewed cases into it first.")
    fold = out / "fold_0"
    fold.mkdir(parents=True, exist_ok=True)
    if not (resume and (out / "plans.json").is_file()):
        yield Progress(0, 0, "Measuring the dataset")
        _write_plans(dataset, names, out, config, start_from)
    plans = _read_plans(out, config)
    settings = plans["configurations"][config.configuration]
    cases: list[TrainingCase] = []
    intensity = plans["foreground_intensity_properties_per_channel"]["0"]
    for case in preprocess_cases(dataset, names, tuple(settings["spacing"]), intensity, out / "preprocessed"):
        cases.append(case)
        yield Progress(len(cases), len(names), f"Preprocessing {case.name}")

    sampler = _make_sampler(cases, config, settings, intensity, paired_labels(dataset.labels))
    arch = settings["architecture"]
    classes = len(dataset.labels) + 1
    network = build_network(
        arch["network_class_name"], arch["arch_kwargs"], arch["_kw_requires_import"], 1, classes, not config.slices
    ).to(device)
    decay = [p for p in network.parameters() if p.ndim > 1]
    rest = [p for p in network.parameters() if p.ndim <= 1]
    optimiser = torch.optim.AdamW(
        [{"params": decay, "weight_decay": config.weight_decay}, {"params": rest, "weight_decay": 0.0}],
        lr=config.peak_rate,
    )
    if start_from is not None:
        weights = torch.load(start_from / FINAL, map_location=device, weights_only=True)["network_weights"]
        network.load_state_dict(weights)
    average = {k: v.detach().clone() for k, v in network.state_dict().items()}
    step, spent = 0, 0.0
    latest = fold / "checkpoint_latest.pth"
    if resume and latest.is_file():
        state = torch.load(latest, map_location=device, weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        average, step, spent = state["average"], state["step"], state["spent"]
        sampler.rng = np.random.default_rng([config.seed, step])

    budget = config.minutes * 60
    log = (fold / "progress.csv").open("a")
    if step == 0:
        log.write("step,minutes,learning_rate,loss\n")
    losses: list[float] = []
    saved = spent
    try:
        while (fraction := step / config.steps if config.steps else spent / budget) < 1:
            started = time.monotonic()
            _set_rate(optimiser, config.peak_rate, fraction, step)
            loss = _step(network, optimiser, sampler, device)
            step += 1
            _average(average, network, min(0.998, (1 + step) / (10 + step)))
            losses.append(loss)
            spent += time.monotonic() - started
            if len(losses) == 50:
                log.write(f"{step},{spent / 60:.2f},{optimiser.param_groups[0]['lr']:.6f},{np.mean(losses):.4f}\n")
                log.flush()
                losses = []
            if spent - saved > config.checkpoint_minutes * 60:
                saved = spent
                _save(latest, _state(network, optimiser, average, step, spent))
                write_checkpoint(fold / "checkpoint_best.pth", average, True, config.configuration)
            done, total = (step, config.steps) if config.steps else (int(spent), int(budget))
            yield Progress(done, total, f"Step {step}, loss {loss:.3f}")
        write_checkpoint(out / FINAL, average, True, config.configuration)
    finally:
        _save(latest, _state(network, optimiser, average, step, spent))
        log.close()
    return out


def _write_plans(
    dataset: RawDataset, names: list[str], out: Path, config: TrainConfig, start_from: Path | None
) -> None:
    """Write what a run is described by: plans.json, dataset.json, training.json."""
    if start_from is None:
        plans = make_plans(dataset, config, fingerprint(dataset, names, config.window_hu))
    else:
        plans = _plans_of(start_from, dataset)
    (out / "plans.json").write_text(json.dumps(plans, indent=1))
    info = json.loads((dataset.folder / "dataset.json").read_text())
    (out / "dataset.json").write_text(json.dumps(info, indent=1))
    earlier = training_cases(start_from) if start_from is not None else None
    told = {"dataset": dataset.name, "cases": names, "earlier_cases": sorted(earlier or ())}  # for an evaluation to see
    (out / "training.json").write_text(json.dumps({**asdict(config), **told}, indent=1))


def _read_plans(out: Path, config: TrainConfig) -> dict[str, Any]:
    """The plans in a folder, which must be of the network that is to be trained."""
    plans: dict[str, Any] = json.loads((out / "plans.json").read_text())
    configuration = plans["configurations"].get(config.configuration)
    if configuration is None or configuration["architecture"]["network_class_name"] != config.class_name:
        raise UserError("The model to go on with is of another network.", "Name its network with --network.")
    return plans


def _make_sampler(
    cases: list[TrainingCase],
    config: TrainConfig,
    settings: dict[str, Any],
    intensity: Mapping[str, float],
    swap: dict[int, int],
) -> _Sampler | SliceSampler:
    air = (max(AIR_HU, intensity["percentile_00_5"]) - intensity["mean"]) / max(intensity["std"], 1e-8)
    if config.slices:
        return SliceSampler(cases, config, settings["patch_size"], air, swap)
    return _Sampler(cases, config, settings["spacing"], air, swap)


def _plans_of(model: Path, dataset: RawDataset) -> dict[str, Any]:
    """The plans of a model to go on from, whose organs must be the dataset's."""
    for part in ("plans.json", "dataset.json", FINAL):
        if not (model / part).is_file():
            raise UserError(f"The model folder {model} has no {part}.", "Choose a folder that a training wrote.")
    labels = json.loads((model / "dataset.json").read_text())["labels"]
    if {k: int(v) for k, v in labels.items() if k != "background"} != dataset.labels:
        raise UserError("The model knows other organs than the dataset.", "Start without it, or use its dataset.")
    plans: dict[str, Any] = json.loads((model / "plans.json").read_text())
    return plans


def _state(
    network: nn.Module, optimiser: torch.optim.Optimizer, average: dict[str, Tensor], step: int, spent: float
) -> dict[str, Any]:
    return {
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "average": average,
        "step": step,
        "spent": spent,
    }


def _set_rate(optimiser: torch.optim.Optimizer, peak: float, fraction: float, step: int) -> None:
    rate = peak * min(1.0, (step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(fraction, 1.0))))
    for group in optimiser.param_groups:
        group["lr"] = rate


def _step(
    network: nn.Module, optimiser: torch.optim.Optimizer, sampler: _Sampler | SliceSampler, device: torch.device
) -> float:
    images, *truth = (t.to(device) for t in sampler.batch())
    optimiser.zero_grad(set_to_none=True)
    loss = sampler.loss(network(images), *truth)
    if not torch.isfinite(loss):
        raise UserError("Training diverged: the loss is not a number.", "Start again with a lower learning rate.")
    loss.backward()
    nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimiser.step()
    return float(loss.detach())


def _average(average: dict[str, Tensor], network: nn.Module, decay: float) -> None:
    with torch.no_grad():
        for name, value in network.state_dict().items():
            average[name].lerp_(value, 1 - decay)
