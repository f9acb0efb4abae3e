"""A training in a process of its own: what is ordered, what it tells line by line, how it is stopped and found again.

The process is ``contourdesk train … --json``, so a crash of the window doesn't end it, and it gives all memory back.
It writes one JSON object a line, the fields of `TrainingProgress`. What belongs to the run and not to the model lies
in ``working`` in the model folder: the order (``run.json``, until it is finished), preprocessed cases, sample pictures,
and ``stop`` when it is asked to stop.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import queue
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import IO, Any

from contourdesk.app.errors import UserError
from contourdesk.app.files import alone, write_atomically
from contourdesk.app.itself import itself
from contourdesk.app.jobs import Job, Progress

WORKING, ORDER_FILE, STOP_FILE, LOCK_FILE = "working", "run.json", "stop", "lock"
FOLD = "fold_0"
PROGRESS_FILE, SCORES_FILE = "progress.csv", "scores.csv"
_SEEN_S = 0.4  # how often the job comes back to whoever runs it, so that it can be cancelled
_STOP_S = 60.0  # what the process has for its last step and its checkpoint


@dataclass(frozen=True)
class TrainingOrder:
    """What is to be trained: the options of ``contourdesk train``.

    Parameters
    ----------
    minutes, steps : how long; one of them.
    start_from : model folder, or a name of ``contourdesk model list``.
    mix : datasets with old cases, which `mix_share` of the patches come from.
    fold : of ``splits_final.json``, whose cases are held out, or "all" for none.
    by : "contourdesk", or "nnunet" for nnU-Net's own planner and trainer, see `contourdesk.app.train_nnunet`; then
        `configuration` and `trainer` are nnU-Net's names, the trainer by the labels unless given.
    """

    dataset: Path
    out: Path
    minutes: float | None = 60.0
    steps: int | None = None
    start_from: str = ""
    mix: tuple[Path, ...] = ()
    mix_share: float = 0.5
    network: str = ""
    width: int | None = None
    spacing_mm: tuple[float, ...] | None = None
    fold: str = "0"
    device: str = "auto"
    threads: int | None = None
    checkpoint_minutes: float = 3.0
    by: str = "contourdesk"
    configuration: str = "3d_fullres"
    trainer: str = ""

    def arguments(self, resume: bool = False) -> list[str]:
        """What stands after ``contourdesk train`` on the command line."""
        if resume:
            return ["--resume", "--out", str(self.out)]
        out = [str(self.dataset), "--out", str(self.out), "--fold", self.fold, "--device", self.device]
        if self.by == "nnunet":
            out += ["--with", "nnunet", "--configuration", self.configuration]
            return out + (["--trainer", self.trainer] if self.trainer else [])
        out += ["--steps", str(self.steps)] if self.steps is not None else ["--minutes", f"{self.minutes:g}"]
        if self.start_from:
            out += ["--from", self.start_from]
        for folder in self.mix:
            out += ["--mix", str(folder), "--mix-share", f"{self.mix_share:g}"]
        if self.spacing_mm is not None:
            out += ["--spacing", ",".join(f"{v:g}" for v in self.spacing_mm)]
        for name in ("network", "width", "threads"):
            if getattr(self, name):
                out += [f"--{name}", str(getattr(self, name))]
        return [*out, "--checkpoint-minutes", f"{self.checkpoint_minutes:g}"]

    def write(self) -> None:
        """Keep the order in the model folder until it is carried out."""
        content = {k: _plain(v) for k, v in asdict(self).items() if k != "out"}
        write_atomically(self.out / WORKING / ORDER_FILE, json.dumps(content, indent=1).encode())


def unfinished(out: Path) -> TrainingOrder | None:
    """The order of a training in a model folder that was begun and not finished."""
    try:
        read = json.loads((out / WORKING / ORDER_FILE).read_text("utf-8"))
        known = {f.name for f in fields(TrainingOrder)}
        kept = {k: v for k, v in read.items() if k in known}
        kept |= {"dataset": Path(read["dataset"]), "mix": tuple(Path(p) for p in read["mix"]), "out": out}
        if kept["spacing_mm"] is not None:
            kept["spacing_mm"] = tuple(kept["spacing_mm"])
        return TrainingOrder(**kept)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


@dataclass(frozen=True, eq=False)
class TrainingProgress(Progress):
    """One line of what a training tells.

    Parameters
    ----------
    phase : "measuring", "preparing", "training", "scoring", "saved", "stopped" or "finished".
    minutes : of training so far, over all goes.
    dice : organ to Dice on the held-out cases, None where none of them knows it; only when they were scored.
    picture : path of a sample picture that was made.
    model : the model folder, at the end.
    """

    phase: str = "training"
    step: int = 0
    minutes: float = 0.0
    loss: float | None = None
    learning_rate: float | None = None
    dice: Mapping[str, float | None] = field(default_factory=dict)
    picture: str = ""
    model: str = ""

    def line(self) -> str:
        """The line of JSON; empty fields are left out."""
        told = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "look"}
        always = ("phase", "done", "total", "text")
        kept = {k: v for k, v in told.items() if k in always or v not in ("", None, 0, 0.0, {})}
        return json.dumps(kept, ensure_ascii=True)

    @classmethod
    def read(cls, line: str) -> TrainingProgress | None:
        """The progress of a line of JSON, None when it is none (a library's message)."""
        try:
            read = json.loads(line)
            known = {f.name for f in fields(cls)} - {"look"}
            kept = {"done": 0, "total": 0} | {k: v for k, v in read.items() if k in known}
            return cls(**kept) if "phase" in read else None
        except (ValueError, TypeError, AttributeError):
            return None


@dataclass(frozen=True)
class Curves:
    """What a training told so far: loss and rate at `steps`; Dice of each organ, and their mean, at `score_steps`."""

    steps: tuple[int, ...] = ()
    losses: tuple[float, ...] = ()
    learning_rates: tuple[float, ...] = ()
    score_steps: tuple[int, ...] = ()
    dice: Mapping[str, tuple[float | None, ...]] = field(default_factory=dict)


def curves(out: Path) -> Curves:
    """The curves of a model folder, from its ``progress.csv`` and ``scores.csv``; a torn last line is left out."""
    rows = _rows(out / FOLD / PROGRESS_FILE)
    scores = _rows(out / FOLD / SCORES_FILE)
    organs = [name for name in (scores[0] if scores else {}) if name != "step"]
    return Curves(
        tuple(int(row["step"]) for row in rows),
        tuple(float(row["loss"]) for row in rows),
        tuple(float(row["learning_rate"]) for row in rows),
        tuple(int(row["step"]) for row in scores),
        {name: tuple(float(row[name]) if row[name] else None for row in scores) for name in organs},
    )


def _rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return [row for row in csv.DictReader(file) if None not in row and None not in row.values()]
    except OSError:
        return []


def ask_to_stop(out: Path) -> None:
    """Have a training in a model folder stop after its step, with its checkpoint saved, whoever started it."""
    (out / WORKING / STOP_FILE).touch()


def is_running(out: Path) -> bool:
    """Whether a training is at work in a model folder now."""
    path = out / WORKING / LOCK_FILE
    if not path.is_file():
        return False
    with alone(path) as ours:
        return not ours


def training(order: TrainingOrder, resume: bool = False) -> Job[TrainingProgress]:
    """Train in another process and tell what it tells.

    At least twice a second the last progress is given again. Closing the job asks the process to stop and waits until
    its checkpoint is saved. Should this process die, the other goes on.

    Raises
    ------
    UserError : what the training says, or that it has died.
    """
    return (yield from follow([*itself(), "train", *order.arguments(resume), "--json"]))


def follow(command: Sequence[str]) -> Job[TrainingProgress]:
    """Run a command that tells its progress in the lines of `TrainingProgress`; see `training`."""
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    assert child.stdout is not None and child.stderr is not None
    told: queue.Queue[str | None] = queue.Queue()
    last_words: list[str] = []
    readers = [
        threading.Thread(target=pass_on, args=(child.stdout, told), daemon=True),
        threading.Thread(target=_keep_last, args=(child.stderr, last_words), daemon=True),
    ]
    for reader in readers:
        reader.start()
    latest = TrainingProgress(0, 0, "Starting", phase="measuring")
    error: dict[str, Any] | None = None
    try:
        while True:
            try:
                line = told.get(timeout=_SEEN_S)
            except queue.Empty:
                yield latest
                continue
            if line is None:
                break
            found = TrainingProgress.read(line)
            if found is None:
                continue
            if found.phase == "error":
                error = json.loads(line)
                continue
            latest = found
            yield latest
        code = child.wait()
    finally:
        _stop(child)
        for reader in readers:
            reader.join(timeout=5)
        _close(child)
    if code == 0 and latest.phase in ("finished", "stopped"):
        return latest
    if error is not None:
        raise UserError(str(error.get("text", "")), str(error.get("advice", "")))
    said = last_words[-1] if last_words else f"exit code {code}"
    raise UserError(f"The training ended unexpectedly ({said}).", "It can go on from its last checkpoint.")


def _stop(child: subprocess.Popen[str]) -> None:
    """Ask a process to stop, and end it if it doesn't."""
    if child.poll() is None and child.stdin is not None:
        with contextlib.suppress(OSError):
            child.stdin.write("stop\n")
            child.stdin.flush()
        try:
            child.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    if child.stdin is not None:
        with contextlib.suppress(OSError):
            child.stdin.close()


def _close(child: subprocess.Popen[str]) -> None:
    for stream in (child.stdout, child.stderr):
        if stream is not None:
            stream.close()


def pass_on(stream: IO[str], told: queue.Queue[str | None]) -> None:
    """Put the lines of a stream into a queue, and None at its end; for a thread of its own."""
    for line in stream:
        told.put(line)
    told.put(None)


def _keep_last(stream: IO[str], lines: list[str]) -> None:
    for line in stream:
        if line.strip():
            lines[:] = [*lines[-4:], line.strip()]


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.resolve())
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


class Stopping:
    """Whether a training was asked to stop: by a line "stop" on its standard input, a file, or a signal."""

    def __init__(self, out: Path) -> None:
        self._file = out / WORKING / STOP_FILE
        self._file.unlink(missing_ok=True)
        self._asked = threading.Event()
        self._looked = 0.0

    def __call__(self) -> bool:
        """Whether to stop now."""
        if not self._asked.is_set() and time.monotonic() - self._looked > 0.2:
            self._looked = time.monotonic()
            if self._file.exists():
                self._file.unlink(missing_ok=True)
                self._asked.set()
        return self._asked.is_set()

    def ask(self, *_: object) -> None:
        """Ask to stop; also as a handler of signals."""
        self._asked.set()

    def listen(self, handle: int) -> None:
        """Take a line "stop" from an open file, such as standard input, in a thread. Its end means nothing."""

        def read() -> None:
            got = b""
            with contextlib.suppress(OSError):
                while part := os.read(handle, 256):  # not through sys.stdin, whose lock would be held at the end
                    got += part
                    *lines, got = got.split(b"\n")
                    if any(line.strip() == b"stop" for line in lines):
                        self.ask()

        threading.Thread(target=read, daemon=True).start()
