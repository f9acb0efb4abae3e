"""``contourdesk train``: a model from an nnU-Net raw dataset, by this program's own training or by nnU-Net itself."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from contourdesk.app.arguments import count, positive, spacing
from contourdesk.app.console import BUG, GOOD, STOPPED, USER_ERROR, log_traceback, note, run_job, say
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, run
from contourdesk.app.train_nnunet import train_with_nnunet
from contourdesk.app.training_run import (
    FOLD,
    ORDER_FILE,
    WORKING,
    Stopping,
    TrainingOrder,
    TrainingProgress,
    unfinished,
)

_NETWORKS = ("nnunet", "unet2015", "fcn")
_NETWORK = "nnunet (default, in 3D), unet2015 (the U-Net of 2015, on slices) or fcn (the same without skip connections)"
_DEVICE = "where networks run: auto (default), cpu, cuda, cuda:1, mps"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Options of ``contourdesk train``."""
    parser.add_argument(
        "dataset", type=Path, nargs="?", metavar="DATASET", help="nnU-Net raw dataset: imagesTr, labelsTr, ..."
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="model folder to write")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=positive, metavar="M", help="how long to train (60)")
    length.add_argument("--steps", type=count, metavar="N", help="how many iterations to train, repeatable")
    parser.add_argument("--from", dest="start_from", default="", metavar="MODEL", help="model to go on from")
    parser.add_argument(
        "--mix",
        type=Path,
        action="append",
        default=[],
        metavar="DATASET",
        help="with --from: old cases, so that what the model knows isn't forgotten; more than once for several",
    )
    parser.add_argument(
        "--mix-share", type=_share, default=0.5, metavar="P", help="part of what is learnt that is old (0.5)"
    )
    parser.add_argument("--resume", action="store_true", help="go on with what is in the model folder")
    parser.add_argument(
        "--fold", default="0", choices=("0", "1", "2", "3", "4", "all"), help="which cases are held out (0); all: none"
    )
    parser.add_argument("--network", choices=_NETWORKS, default="", help=_NETWORK)
    parser.add_argument("--width", type=count, metavar="N", help="channels at the top of unet2015 and fcn (64)")
    parser.add_argument(
        "--spacing", type=spacing, metavar="Z,Y,X", help="mm, for slices Y,X; by nnU-Net's rule unless given"
    )
    parser.add_argument(
        "--with",
        dest="by",
        choices=("contourdesk", "nnunet"),
        default="contourdesk",
        help="nnunet: hand the dataset to nnU-Net's own planner and trainer (pip install contourdesk[nnunet])",
    )
    parser.add_argument(
        "--configuration", default="3d_fullres", metavar="C", help="of nnU-Net: 2d, 3d_fullres (default) or 3d_lowres"
    )
    parser.add_argument(
        "--trainer",
        default="",
        metavar="T",
        help="of nnU-Net, such as nnUNetTrainer_250epochs; unless given by the labels",
    )
    parser.add_argument("--device", default="auto", help=_DEVICE)
    parser.add_argument("--threads", type=count, metavar="N", help="of the processor; one gives the same numbers again")
    parser.add_argument(
        "--checkpoint-minutes", type=positive, default=3.0, metavar="M", help="how often to save a checkpoint (3)"
    )
    parser.add_argument(
        "--json", action="store_true", help='one JSON object a line, and a line "stop" on standard input stops it'
    )


def _share(text: str) -> float:
    value = positive(text)
    if value >= 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a part of one, such as 0.5")
    return value


def train(options: argparse.Namespace) -> int:
    """Run ``contourdesk train``."""
    if not options.json:
        return _train(options)
    try:
        return _train(options)
    except UserError as error:
        return _tell_error(error.message, error.what_to_do, USER_ERROR)
    except KeyboardInterrupt:
        return STOPPED
    except Exception as error:  # noqa: BLE001 - as in `console.guarded`; who started this reads lines
        path = log_traceback()
        where = f"The details are in {path}." if path is not None else "No log file could be written."
        return _tell_error(f"This is a bug in Contourdesk ({type(error).__name__}: {error}).", where, BUG)


def _train(options: argparse.Namespace) -> int:
    order = _order(options)
    if not options.resume:
        _spare_what_is_there(order.out)
    (order.out / WORKING).mkdir(parents=True, exist_ok=True)
    stopping = Stopping(order.out)
    names = [name for name in ("SIGTERM", "SIGINT", "SIGBREAK") if hasattr(signal, name)]  # the last is Windows'
    before = [(name, signal.signal(getattr(signal, name), stopping.ask)) for name in names]
    if options.json:
        stopping.listen(0)
    try:
        last = _run(carry_out(order, options.resume, stopping), options.json)
    finally:
        for name, handler in before:
            signal.signal(getattr(signal, name), handler)
    if last.phase == "finished":
        (order.out / WORKING / ORDER_FILE).unlink(missing_ok=True)
    if not options.json:
        say(f"The model is in {order.out}." if last.phase == "finished" else f"{last.text}. Go on with --resume.")
    return GOOD


def _spare_what_is_there(out: Path) -> None:
    if (out / FOLD / "checkpoint_final.pth").is_file():
        raise UserError(f"There is a model in {out} already.", "Choose another folder.")
    if (out / FOLD / "checkpoint_latest.pth").is_file():
        raise UserError(f"A training in {out} isn't finished.", "Go on with --resume, or choose another folder.")


def _order(options: argparse.Namespace) -> TrainingOrder:
    """What is to be done: as the options say, or as the order in the model folder says."""
    before = unfinished(options.out) if options.resume else None
    if options.dataset is None:
        if before is None:
            what = "no training that could go on" if options.resume else "no dataset"
            raise UserError(f"There is {what} in {options.out}.", "Name the dataset: contourdesk train DATASET.")
        return before
    order = TrainingOrder(
        dataset=options.dataset,
        out=options.out,
        minutes=None if options.steps else options.minutes or 60.0,
        steps=options.steps,
        start_from=options.start_from,
        mix=tuple(options.mix),
        mix_share=options.mix_share,
        network=options.network,
        width=options.width,
        spacing_mm=options.spacing,
        fold=options.fold,
        device=options.device,
        threads=options.threads,
        checkpoint_minutes=options.checkpoint_minutes,
        by=options.by,
        configuration=options.configuration,
        trainer=options.trainer,
    )
    if order.by == "nnunet" and (order.start_from or order.mix or order.steps or options.minutes):
        raise UserError(
            "nnU-Net's own training takes no --from, --mix, --minutes and --steps.",
            "Its length is in the trainer's name: --trainer nnUNetTrainer_250epochs.",
        )
    if order.start_from and order.network:
        raise UserError("The network is the model's when training goes on from one.", "Leave out --network or --from.")
    return order


def carry_out(order: TrainingOrder, resume: bool, stopping: Stopping) -> Job[TrainingProgress]:
    """Train as ordered, in this process; returns the last progress."""
    if order.by == "nnunet":
        order.write()
        return (yield from train_with_nnunet(order, resume, stopping))
    import torch

    from contourdesk.app.segment_command import model_folder
    from contourdesk.inference import train as training
    from contourdesk.inference.device import choose_device
    from contourdesk.inference.train_plans import TrainConfig

    device = choose_device(order.device)
    memory = torch.cuda.get_device_properties(device).total_memory / 2**30 if device.type == "cuda" else None
    config = TrainConfig(
        network=order.network or TrainConfig.network,
        minutes=order.minutes or TrainConfig.minutes,
        steps=order.steps,
        spacing_mm=order.spacing_mm,
        width=order.width or TrainConfig.width,
        device=str(device),
        threads=order.threads or torch.get_num_threads(),
        checkpoint_minutes=order.checkpoint_minutes,
        fold=order.fold,
        mix_share=order.mix_share,
        memory_gb=memory,
    )
    start = model_folder(order.start_from) if order.start_from else None
    last, kept = TrainingProgress(0, 0), False
    for last in training.train(order.dataset, order.out, config, resume, start, order.mix, stopping):
        if not kept:
            order.write()  # when it can be carried out as far as can be seen
            kept = True
        yield last
    return last


def _run(job: Job[TrainingProgress], as_json: bool) -> TrainingProgress:
    if as_json:
        return run(job, lambda step: _tell(step.line() if isinstance(step, TrainingProgress) else ""))
    return run_job(_with_notes(job), "Training")


def _with_notes(job: Job[TrainingProgress]) -> Job[TrainingProgress]:
    while True:
        try:
            step = next(job)
        except StopIteration as end:
            last: TrainingProgress = end.value
            return last
        if step.note:
            note(step.note)
        yield step


def _tell(line: str) -> None:
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except OSError:  # the window that started this has died; training goes on
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115


def _tell_error(fact: str, advice: str, code: int) -> int:
    _tell(json.dumps({"phase": "error", "text": fact, "advice": advice}))
    return code
