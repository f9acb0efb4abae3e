"""Train a network on nnU-Net raw datasets; the result is a model folder.

Unless another network is asked for it is a 3D U-Net, and nnU-Net loads the folder too.

The schedule follows the time that the user gives (``minutes``), so a run ends when it was said to, on a laptop and
on a GPU alike. Weights that are kept are an exponential moving average. A run that was stopped or killed goes on from
its last checkpoint, with the very numbers that it would have had.
"""

from __future__ import annotations

import contextlib
import json
import math
import shutil
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from contourdesk.app.errors import UserError
from contourdesk.app.files import alone, write_atomically
from contourdesk.app.training_record import training_cases
from contourdesk.app.training_run import FOLD, LOCK_FILE, WORKING, TrainingProgress
from contourdesk.inference.batches import Batches
from contourdesk.inference.device import describe
from contourdesk.inference.held_out import held_out
from contourdesk.inference.networks import build_network
from contourdesk.inference.sampling import PatchSampler, paired_labels
from contourdesk.inference.start_model import Start, put_weights, read_settings, read_start
from contourdesk.inference.train_log import TrainLog
from contourdesk.inference.train_plans import TrainConfig, make_plans
from contourdesk.inference.train_scores import Scores
from contourdesk.inference.train_slices import SliceSampler
from contourdesk.inference.train_state import FINAL, LATEST, State, write_checkpoint
from contourdesk.inference.training_data import AIR_HU, RawDataset, TrainingCase, fingerprint, preprocess

__all__ = ["FINAL", "TrainConfig", "make_plans", "paired_labels", "train", "write_checkpoint"]

Steps = Generator[TrainingProgress, None, None]
_FILES = ("plans.json", "dataset.json", "training.json")  # in the order in which they are written
_WARMING = 100  # steps, a tenth of a short run


def never() -> bool:
    """Nobody asks to stop."""
    return False


def train(
    dataset_folder: Path,
    out: Path,
    config: TrainConfig,
    resume: bool = False,
    start_from: Path | None = None,
    mix: Sequence[Path] = (),
    stop: Callable[[], bool] = never,
) -> Generator[TrainingProgress, None, Path]:
    """Train and write a model folder `out` (plans.json, dataset.json, fold_0/checkpoint_final.pth, progress.csv).

    With `start_from`, a model folder, go on from its weights with its plans and a new schedule; `mix` are datasets with
    old cases, so that what the model knows isn't forgotten. Organs that the model doesn't know are added to it. With
    `resume`, go on with a run that was stopped; everything that it needs is in ``fold_0/checkpoint_latest.pth``. Yields
    after every iteration. When `stop` says so the checkpoint is saved and the run ends.

    Raises
    ------
    UserError : a dataset or a model that can't be used.
    """
    _check(out, config, start_from, mix)
    (out / FOLD).mkdir(parents=True, exist_ok=True)
    (out / WORKING).mkdir(exist_ok=True)
    with _to_ourselves(out):
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)
        datasets = [RawDataset.open(folder) for folder in (dataset_folder, *mix)]
        begun = resume and all((out / name).is_file() for name in _FILES)
        start = None
        if not begun:
            start = None if start_from is None else read_start(start_from)
            config = replace(config, network=start.network, fine_tuning=True) if start is not None else config
            yield from _begin(datasets, out, config, start, start_from)
        run = _Run(out, config, datasets, stop)
        for told in run.prepare():
            yield told
            if stop():
                yield TrainingProgress(0, 0, "Stopped before the first step", phase="stopped")
                return out
        if begun and start_from is not None and not (out / LATEST).is_file():
            start = read_start(start_from)  # it was stopped before its first checkpoint
        run.build(start)
        if begun:
            run.state.load(out, run.device)
        yield from run.learn()
        return out


def _check(out: Path, config: TrainConfig, start_from: Path | None, mix: Sequence[Path]) -> None:
    if config.spacing_mm is not None and len(config.spacing_mm) != (2 if config.slices else 3):
        raise UserError(
            f"The network {config.network} can't be trained at a spacing of {len(config.spacing_mm)} numbers.",
            "Give --spacing Y,X for networks on slices, and Z,Y,X for nnunet.",
        )
    if start_from is not None and start_from.resolve() == out.resolve():
        raise UserError("The model to go on from would be overwritten.", "Choose another folder for the new model.")
    if start_from is None and mix and not (out / "training.json").is_file():
        raise UserError("Old cases are mixed in only where a model is trained on.", "Name the model with --from.")


@contextlib.contextmanager
def _to_ourselves(out: Path) -> Iterator[None]:
    for tries in range(5):  # somebody may be looking whether we are here
        with alone(out / WORKING / LOCK_FILE) as ours:
            if ours:
                yield
                return
        time.sleep(0.1 * (tries + 1))
    raise UserError(f"Another training is at work in {out}.", "Wait for it, stop it, or choose another folder.")


def _begin(
    datasets: Sequence[RawDataset], out: Path, config: TrainConfig, start: Start | None, start_from: Path | None
) -> Steps:
    """Write what a run is described by: plans.json, dataset.json and, last, training.json."""
    for old in (*(out / name for name in _FILES), *(out / FOLD).glob("*")):
        old.unlink(missing_ok=True)
    names = [dataset.cases() for dataset in datasets]
    for dataset, cases in zip(datasets, names, strict=True):
        if not cases:
            raise UserError(f"{dataset.folder} has no training images.", "Export reviewed cases into it first.")
    labels = dict(datasets[0].labels)
    if start is None:
        measured = fingerprint([(datasets[0], case) for case in names[0]], config.window_hu)
        yield TrainingProgress(0, len(names[0]), "Measuring the dataset", phase="measuring")
        done = 0
        while True:
            try:
                case = next(measured)
            except StopIteration as end:
                plans = make_plans(datasets[0], config, end.value)
                break
            done += 1
            yield TrainingProgress(done, len(names[0]), f"Measuring {case}", phase="measuring")
    else:
        plans, labels = start.plans, dict(start.labels)
        for dataset in datasets:
            for name in dataset.new_labels(labels):
                labels[name] = len(labels) + 1
        for note in (*start.notes, *_about_organs(start, datasets, labels)):
            yield TrainingProgress(0, 0, "Reading the model", note, phase="measuring")
    kept, said = zip(*(held_out(d, c, config.fold) for d, c in zip(datasets, names, strict=True)), strict=True)
    for text in said:
        yield TrainingProgress(0, 0, "Choosing the cases", text, phase="measuring")
    learnt = [[case for case in cases if case not in out_] for cases, out_ in zip(names, kept, strict=True)]
    info = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, **labels},
        "numTraining": sum(map(len, learnt)),
        "file_ending": ".nii.gz",
    }
    earlier = training_cases(start_from) if start_from is not None else None
    told = {  # for an evaluation to see
        "dataset": datasets[0].name,
        "cases": learnt[0],
        "mixed_in": [{"dataset": d.name, "cases": c} for d, c in zip(datasets[1:], learnt[1:], strict=True)],
        "earlier_cases": sorted({*(earlier or ()), *(case for cases in learnt[1:] for case in cases)}),
        "held_out": kept,
    }
    for name, content in zip(_FILES, (plans, info, {**asdict(config), **told}), strict=True):
        write_atomically(out / name, json.dumps(content, indent=1, ensure_ascii=False).encode())


def _about_organs(start: Start, datasets: Sequence[RawDataset], labels: Mapping[str, int]) -> list[str]:
    out = []
    added = [name for name in labels if name not in start.labels]
    if added:
        out.append(f"The model learns {', '.join(added)} anew.")
    absent = [n for n in start.labels if all(n not in _common(d, labels) for d in datasets)]
    if absent:
        out.append(f"No dataset has {', '.join(absent)}: the model may forget what it knows of them.")
    return out


def _common(dataset: RawDataset, labels: Mapping[str, int]) -> set[str]:
    values = set(dataset.with_labels(labels).values().values())
    return {name for name, value in labels.items() if value in values}


class _Run:
    """A training from the first case to the model, as the files in its folder describe it."""

    def __init__(
        self, out: Path, config: TrainConfig, datasets: Sequence[RawDataset], stop: Callable[[], bool]
    ) -> None:
        told = json.loads((out / "training.json").read_text("utf-8"))
        self.config = replace(config, network=told["network"], fine_tuning=told.get("fine_tuning", False))
        self.settings, self.architecture, self.labels, batch = read_settings(out, self.config.configuration)
        self.config = replace(self.config, batch_size=self.config.batch_size or batch)
        learnt = [told["cases"], *(one["cases"] for one in told["mixed_in"])]
        self.held_out: list[list[str]] = told["held_out"]
        self.cases = [sorted({*a, *b}) for a, b in zip(learnt, self.held_out, strict=True)]
        self.out, self.stop = out, stop
        self.datasets = [dataset.with_labels(self.labels) for dataset in datasets]
        self.device = torch.device(config.device)
        self.learnt: list[TrainingCase] = []
        self.scored: list[TrainingCase] = []

    def prepare(self) -> Steps:
        """Preprocess all cases."""
        todo = [(i, name) for i, names in enumerate(self.cases) for name in names]
        left_out = []
        for done, (i, name) in enumerate(todo, 1):
            place = self.out / WORKING / "preprocessed" / str(i)
            case = preprocess(self.datasets[i], name, self.settings, place, old=i > 0)
            if case is None:
                left_out.append(name)
            else:
                (self.scored if name in self.held_out[i] else self.learnt).append(case)
            yield TrainingProgress(done, len(todo), f"Preprocessing {name}", phase="preparing")
        if left_out:
            text = f"Left out, because hardly a slice of them shows the whole body: {', '.join(left_out)}."
            yield TrainingProgress(len(todo), len(todo), "Preprocessing", text, phase="preparing")
        yield TrainingProgress(len(todo), len(todo), "Preprocessing", self._about(), phase="preparing")

    def _about(self) -> str:
        s = self.settings
        patch, spacing = " x ".join(map(str, s.patch_size)), " x ".join(f"{v:g}" for v in s.spacing_mm)
        return (
            f"Training on {describe(self.device)} with {len(self.learnt)} cases: {self.config.batch_size} patches of "
            f"{patch} voxels a step, voxels of {spacing} mm."
        )

    def build(self, start: Start | None) -> None:
        """Make the network, the optimiser and what draws the patches."""
        network = self._network()
        if start is not None:
            put_weights(network, start.weights, len(self.labels) - len(start.labels))
        self.state = State(network.to(self.device), self.config)
        self.batches = Batches(self._sampler(), 0 if self.device.type == "cpu" else self.config.threads)
        self.log = TrainLog(self.out / FOLD, ["mean", *self.labels])
        self.scores = Scores(
            self.scored, self.learnt[:1], self._network().to(self.device).eval(), self.settings, self.labels,
            self.out / WORKING / "samples",
        )  # fmt: skip

    def _network(self) -> nn.Module:
        a = self.architecture
        return build_network(
            a["network_class_name"],
            a["arch_kwargs"],
            a["_kw_requires_import"],
            1,
            len(self.labels) + 1,
            not self.config.slices,
        )

    def _sampler(self) -> PatchSampler | SliceSampler:
        s, intensity = self.settings, self.settings.intensity[0]
        low = max(AIR_HU, intensity["percentile_00_5"])
        air = (low - intensity["mean"]) / max(intensity["std"], 1e-8)
        swap = paired_labels(self.labels)
        if self.config.slices:
            return SliceSampler(self.learnt, self.config, s.patch_size, air, swap)
        (pz, py, px), (z, y, x) = s.patch_size, s.spacing_mm
        return PatchSampler(self.learnt, self.config, (pz, py, px), (z, y, x), air, swap)

    def learn(self) -> Generator[TrainingProgress, None, None]:
        """All steps, from where the state is."""
        state, config = self.state, self.config
        self.log.cut_after(state.step)
        saved = state.spent
        warming = min(_WARMING, max(1, config.steps // 10)) if config.steps else _WARMING
        try:
            while (fraction := self._fraction()) < 1 and not self.stop():
                started = time.monotonic()
                set_rate(state.optimiser, config.peak_rate, fraction, state.step, warming)
                batch = self.batches.take(state.step)
                loss = take_step(state.network, state.optimiser, self.batches.sampler.loss, batch, self.device)
                state.after_step(loss)
                state.spent += time.monotonic() - started
                self.log.step(state)
                yield self._told("training", f"Step {state.step}, loss {loss:.3f}", loss=loss)
                if state.spent - saved >= config.checkpoint_minutes * 60:
                    saved = state.spent
                    self._save()
                    yield self._told("saved", f"Step {state.step}: checkpoint saved")
                if self.scores.due(self._fraction(), state.spent) and not self.stop():
                    yield from self._score()
        except GeneratorExit:
            self._save()
            raise
        finally:
            self.batches.close()
        if self._fraction() < 1:
            self._save()
            yield self._told("stopped", f"Stopped after step {state.step}", model=str(self.out))
            return
        write_checkpoint(self.out / FINAL, state.average, True, config.configuration)
        self._save()
        self._clear_up()
        yield self._told("finished", f"Finished after {state.spent / 60:.0f} min", model=str(self.out))

    def _fraction(self) -> float:
        c = self.config
        return self.state.step / c.steps if c.steps else self.state.spent / (c.minutes * 60)

    def _score(self) -> Steps:
        started = time.monotonic()
        job = self.scores.measure(self.state, self.device, self.stop)
        while True:
            try:
                next(job)
            except StopIteration as end:
                found = end.value
                break
            yield self._told("scoring", "Trying it on held-out cases")
        self.state.spent += time.monotonic() - started
        if found is not None:
            dice, mean, path = found
            self.log.scores(self.state.step, {"mean": mean, **dice})
            text = f"Step {self.state.step}, mean Dice {mean:.3f}" if mean is not None else "Sample picture"
            yield self._told("scoring", text, dice=dice, picture=str(path))

    def _save(self) -> None:
        self.state.save(self.out, self.config.configuration)

    def _clear_up(self) -> None:
        """Nothing of patients stays but the sample pictures, which are to be looked at."""
        self.learnt, self.scored = [], []
        self.scores.forget()
        self.batches.sampler.draw.forget()
        shutil.rmtree(self.out / WORKING / "preprocessed", ignore_errors=True)

    def _told(self, phase: str, text: str, **more: Any) -> TrainingProgress:
        state, c = self.state, self.config
        done, total = (state.step, c.steps) if c.steps else (int(state.spent), int(c.minutes * 60))
        rate = state.optimiser.param_groups[0]["lr"]
        return TrainingProgress(
            min(done, total), total, text, phase=phase, step=state.step, minutes=round(state.spent / 60, 3),
            learning_rate=rate, **more,
        )  # fmt: skip


def set_rate(
    optimiser: torch.optim.Optimizer, peak: float, fraction: float, step: int, warming: int = _WARMING
) -> None:
    """Some steps of warming up, then down along a cosine as `fraction` of the run is done."""
    rate = peak * min(1.0, (step + 1) / warming) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * min(fraction, 1.0))))
    for group in optimiser.param_groups:
        group["lr"] = rate


def take_step(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    loss_of: Callable[..., Tensor],
    batch: Sequence[Tensor],
    device: torch.device,
) -> float:
    """One iteration; returns the loss.

    Raises
    ------
    UserError : the loss is no number, or memory doesn't suffice.
    """
    images, *truth = (t.to(device) for t in batch)
    optimiser.zero_grad(set_to_none=True)
    try:
        loss = loss_of(network(images), *truth)
        if not torch.isfinite(loss):
            raise UserError("Training diverged: the loss is not a number.", "Start again with a lower learning rate.")
        loss.backward()
    except torch.OutOfMemoryError as error:
        size = " x ".join(str(n) for n in images.shape[2:])
        raise UserError(
            f"The graphics processor has too little memory for {len(images)} patches of {size} voxels.",
            "Close other programs that use it, or train on the processor (--device cpu).",
        ) from error
    nn.utils.clip_grad_norm_(network.parameters(), 5.0)
    optimiser.step()
    return float(loss.detach())
