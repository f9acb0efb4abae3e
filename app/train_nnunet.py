"""The same dataset to nnU-Net's own planner and trainer, and what comes out of it as a model folder.

nnU-Net is no part of this program (``pip install contourdesk[nnunet]``). It is run as a user would run it, by its own
commands, with its folders in ``working/nnunet`` of the model folder.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from contourdesk.app.errors import UserError
from contourdesk.app.files import write_atomically
from contourdesk.app.itself import how_to_get
from contourdesk.app.jobs import Job
from contourdesk.app.naming import label_key
from contourdesk.app.training_run import WORKING, Stopping, TrainingOrder, TrainingProgress, pass_on

_PLAN = "nnunetv2.experiment_planning.plan_and_preprocess_entrypoints", "plan_and_preprocess_entry"
_TRAIN = "nnunetv2.run.run_training", "run_training_entry"
_EPOCHS = 1000  # of nnU-Net's trainer unless its name says something else
_IGNORE = "ignore"


def train_with_nnunet(order: TrainingOrder, resume: bool, stopping: Stopping) -> Job[TrainingProgress]:
    """Plan, preprocess and train with nnU-Net; the model folder is then `order.out`.

    Raises
    ------
    UserError : nnU-Net isn't installed, refuses the dataset, or fails; with its own last words.
    """
    if importlib.util.find_spec("nnunetv2") is None:
        raise UserError("nnU-Net isn't installed.", how_to_get("nnunet"))
    place = order.out / WORKING / "nnunet"
    name = _dataset_name(order.dataset)
    number = str(int(name[7:10]))
    device = _device(order.device)
    raw = place / "raw" / name
    yield TrainingProgress(0, 0, "Handing the cases over", phase="measuring")
    for note in hand_over(order.dataset, raw):
        yield TrainingProgress(0, 0, "Handing the cases over", note, phase="measuring")
    trainer = order.trainer or _trainer_for(order.dataset)
    if trainer != "nnUNetTrainer":
        yield TrainingProgress(0, 0, "Choosing the trainer", f"nnU-Net trains with {trainer}.", phase="measuring")
    environment = _environment(place)
    planned = place / "preprocessed" / name / "nnUNetPlans.json"
    if not (resume and planned.is_file()):
        processes = str(min(4, os.cpu_count() or 1))
        arguments = ["-d", number, "--verify_dataset_integrity", "--clean", "-c", order.configuration]
        arguments += ["-npfp", processes, "-np", processes]
        yield from _run(_PLAN, arguments, environment, stopping, "measuring", 0, ())
    epochs = int(found[1]) if (found := re.search(r"_(\d+)epochs?", trainer)) else _EPOCHS
    named = json.loads((raw / "dataset.json").read_text("utf-8"))["labels"]
    labels = [n for n in named if n not in ("background", _IGNORE)]
    arguments = [number, order.configuration, order.fold, "-tr", trainer, "-device", device]
    if not stopping():
        more = ["--c"] if resume else []
        yield from _run(_TRAIN, [*arguments, *more], environment, stopping, "training", epochs, labels)
    result = place / "results" / name / f"{trainer}__nnUNetPlans__{order.configuration}"
    final = result / f"fold_{order.fold}" / "checkpoint_final.pth"
    if stopping():
        last = TrainingProgress(0, 0, "Stopped", "nnU-Net goes on from its last checkpoint.", phase="stopped")
    else:
        if not final.is_file():
            raise UserError("nnU-Net ended without a model.", f"Look into its log in {final.parent}.")
        take_over(result, order)
        last = TrainingProgress(epochs, epochs, "Finished", phase="finished", model=str(order.out))
    yield last
    return last


def hand_over(dataset: Path, raw: Path) -> list[str]:
    """Make nnU-Net's raw folder out of a dataset, with links where the system has them; notes for the user.

    To nnU-Net what isn't labelled is background. Where ``contoured.json`` says that organs are unknown in a case, all
    that isn't labelled there gets nnU-Net's ignore label, for an unknown organ may be anywhere in it.

    Raises
    ------
    UserError : it is no dataset that nnU-Net can take.
    """
    try:
        info = json.loads((dataset / "dataset.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{dataset} holds no dataset.json.", "Choose the folder of an nnU-Net raw dataset.") from error
    if (dataset / "masksTr").is_dir():
        raise UserError(
            f"{dataset.name} has one mask for each structure, which nnU-Net doesn't take.",
            'Export it with overlaps "smaller" or "regions".',
        )
    shutil.rmtree(raw, ignore_errors=True)
    for sub in ("imagesTr", "labelsTr"):
        (raw / sub).mkdir(parents=True)
    for path in sorted((dataset / "imagesTr").iterdir()):
        _link(path, raw / "imagesTr" / path.name)
    unknown = _unknown(dataset, info)
    ending = str(info.get("file_ending", ".nii.gz"))
    value = max(_numbers(info["labels"])) + 1
    changed = 0
    for path in sorted((dataset / "labelsTr").iterdir()):
        where = raw / "labelsTr" / path.name
        if unknown.get(path.name.removesuffix(ending)):
            _write_ignored(path, where, value)
            changed += 1
        else:
            _link(path, where)
    if changed:
        info = {**info, "labels": {**info["labels"], _IGNORE: value}}
    splits = dataset / "splits_final.json"
    if splits.is_file():
        shutil.copyfile(splits, raw / splits.name)
    count = len(list((raw / "labelsTr").iterdir()))
    write_atomically(raw / "dataset.json", json.dumps({**info, "numTraining": count}, indent=1).encode())
    if not changed:
        return []
    return [f"In {changed} of {count} cases organs are unknown: what isn't labelled there gets nnU-Net's ignore label."]


def _unknown(dataset: Path, info: Mapping[str, Any]) -> dict[str, list[str]]:
    """Case to the organs that nobody contoured in it; nothing where the dataset has an ignore label of its own."""
    path = dataset / "contoured.json"
    if not path.is_file() or _IGNORE in info["labels"]:
        return {}
    listed = json.loads(path.read_text("utf-8"))
    if any(isinstance(value, list) for value in info["labels"].values()):
        regions = {n for n in info["labels"] if n != "background"}
        if any(regions - set(entry["contoured"]) for entry in listed.values()):
            raise UserError(
                f"{dataset.name} holds regions, and some are unknown in some cases.",
                "Export it anew with --ignore-label.",
            )
        return {}
    organs = [n for n in info["labels"] if n != "background"]
    return {case: [n for n in organs if n not in entry["contoured"]] for case, entry in listed.items()}


def _numbers(labels: Mapping[str, Any]) -> list[int]:
    return [int(n) for v in labels.values() for n in (v if isinstance(v, list) else [v])]


def _write_ignored(path: Path, where: Path, value: int) -> None:
    import SimpleITK as sitk

    label = sitk.ReadImage(str(path))
    array = sitk.GetArrayFromImage(label)
    array = array.astype(np.uint8 if value < 256 else np.uint16)
    array[array == 0] = value
    out = sitk.GetImageFromArray(array)
    out.CopyInformation(label)
    sitk.WriteImage(out, str(where))


def _link(path: Path, where: Path) -> None:
    for way in (os.symlink, os.link, shutil.copyfile):
        with contextlib.suppress(OSError, NotImplementedError):
            way(path.resolve(), where)
            return
    raise UserError(f"{path.name} can't be put into {where.parent}.", "Check the folder's space and permissions.")


def _dataset_name(dataset: Path) -> str:
    name = dataset.resolve().name
    if re.fullmatch(r"Dataset\d{3}_\w+", name):
        return name
    return f"Dataset001_{re.sub(r'[^A-Za-z0-9]', '', name) or 'Cases'}"


def _trainer_for(dataset: Path) -> str:
    """nnU-Net mirrors left and right without trading the labels, so pairs of organs get the trainer that doesn't."""
    keys = [label_key(name) for name in json.loads((dataset / "dataset.json").read_text("utf-8"))["labels"]]
    sided = {(rest, side) for rest, side in keys if side in ("L", "R")}
    return "nnUNetTrainer_onlyMirror01" if sided else "nnUNetTrainer"


def _device(wanted: str) -> str:
    from contourdesk.inference.device import choose_device

    return choose_device(wanted).type


def _environment(place: Path) -> dict[str, str]:
    out = dict(os.environ)
    for name in ("raw", "preprocessed", "results"):
        (place / name).mkdir(parents=True, exist_ok=True)
        out[f"nnUNet_{name}"] = str((place / name).resolve())
    if out.get("nnUNet_n_proc_DA") == "0":  # nnU-Net's planner can't take it
        out["nnUNet_n_proc_DA"] = "1"
    return out | {"PYTHONUNBUFFERED": "1"}


def _run(
    entry: tuple[str, str],
    arguments: Sequence[str],
    environment: Mapping[str, str],
    stopping: Stopping,
    phase: str,
    epochs: int,
    labels: Sequence[str],
) -> Job[None]:
    """Run one of nnU-Net's commands and tell what it prints."""
    child = subprocess.Popen(
        [sys.executable, "-m", "contourdesk.app.nnunet_main", *entry, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
        errors="replace",
        env=dict(environment),
        start_new_session=True,  # its helpers end with it
    )
    assert child.stdout is not None
    told: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=pass_on, args=(child.stdout, told), daemon=True).start()
    log = NnunetLog(phase, epochs, labels)
    try:
        while not stopping():
            try:
                line = told.get(timeout=0.5)
            except queue.Empty:
                continue  # an epoch takes minutes, and nothing is said in it
            if line is None:
                break
            progress = log.read(line)
            if progress is not None:
                yield progress
        if not stopping() and child.wait() != 0:
            raise UserError(f"nnU-Net failed: {log.last_words}", "Its log lies in working/nnunet of the model folder.")
    finally:
        _end(child)


class NnunetLog:
    """Understands what nnU-Net prints. `labels` are the organs in the order of its Dice; `epochs` 0 when unknown."""

    def __init__(self, phase: str, epochs: int, labels: Sequence[str]) -> None:
        self.phase, self.epochs, self.labels = phase, epochs, labels
        self.epoch, self.loss, self.rate = 0, None, None  # type: int, float | None, float | None
        self._last: list[str] = []

    @property
    def last_words(self) -> str:
        """The last line that tells of an error, or the last one."""
        errors = [text for text in self._last if "error" in text.casefold()]
        return ([*self._last[-1:], *errors] or ["it said nothing"])[-1][:300]

    def read(self, line: str) -> TrainingProgress | None:
        """The progress that a line tells, None for an empty one."""
        text = re.sub(r"^\d{4}-\d\d-\d\d [\d:.]+:(\s|$)", "", line.strip()).strip()
        if not text:
            return None
        self._last = [*self._last[-20:], text]
        dice: dict[str, float | None] = {}
        if found := re.match(r"Epoch (\d+)$", text):
            self.epoch = int(found[1])
        elif found := re.match(r"Current learning rate: (\S+)", text):
            self.rate = _number(found[1])
        elif found := re.match(r"train_loss (\S+)", text):
            self.loss = _number(found[1])
        elif text.startswith("Pseudo dice"):
            values = re.findall(r"nan|\d+\.\d*(?:e-?\d+)?", text.replace("np.float32", "").replace("float32", ""))
            dice = dict(zip(self.labels, map(_number, values), strict=False))
        return TrainingProgress(
            self.epoch,
            self.epochs,
            text[:120],
            phase="scoring" if dice else self.phase,
            step=self.epoch,
            loss=self.loss,
            learning_rate=self.rate,
            dice=dice,
        )


def _number(text: str) -> float | None:
    with contextlib.suppress(ValueError):
        value = float(text)
        return value if value == value else None
    return None


def _end(child: subprocess.Popen[str]) -> None:
    """End nnU-Net and the processes that it started."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
    elif child.poll() is None:
        subprocess.run(["taskkill", "/T", "/F", "/PID", str(child.pid)], check=False, capture_output=True)
    child.wait()
    if child.stdout is not None:
        child.stdout.close()


def take_over(result: Path, order: TrainingOrder) -> None:
    """Copy a trained-model folder of nnU-Net to where a model is expected, and note which cases it learnt from."""
    from contourdesk.inference.nnunet import load_model

    fold = f"fold_{order.fold}"
    (order.out / fold).mkdir(parents=True, exist_ok=True)
    for name in ("plans.json", "dataset.json", "dataset_fingerprint.json"):
        if (result / name).is_file():
            shutil.copyfile(result / name, order.out / name)
    for path in sorted((result / fold).glob("checkpoint_*.pth")):
        if path.name != "checkpoint_latest.pth":
            shutil.copyfile(path, order.out / fold / path.name)
    for path in sorted((result / fold).glob("progress.png")):
        shutil.copyfile(path, order.out / fold / path.name)
    names = sorted(p.name.removesuffix(".nii.gz") for p in (order.dataset / "labelsTr").glob("*.nii.gz"))
    splits = result.parents[1].parent / "preprocessed" / result.parent.name / "splits_final.json"
    if order.fold != "all" and splits.is_file():
        names = json.loads(splits.read_text("utf-8"))[int(order.fold)]["train"]
    told = {"trained_with": "nnU-Net", "dataset": order.dataset.resolve().name, "cases": names}
    write_atomically(order.out / "training.json", json.dumps(told, indent=1).encode())
    load_model(order.out)
