"""How a training stands, put together from what it tells, or from its files when another program started it."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass, field, replace
from pathlib import Path

from contourdesk.app.jobs import Job, Progress
from contourdesk.app.training_run import WORKING, Curves, TrainingProgress, curves, is_running, unfinished

SAMPLES = "samples"
MEAN = "mean"
_TELL_S = 0.25
_LOOK_S = 1.0


@dataclass(frozen=True, eq=False)
class TrainingState(Progress):
    """Everything that is to be shown of a training; it needs none of the states before.

    Parameters
    ----------
    phase : see `TrainingProgress`.
    curves : loss and Dice so far, over all goes;  dice : of the last scoring.
    picture : path of the newest sample picture;  notes : sentences that were said, each once.
    seconds_left : until the end, None when that can't be told.
    """

    phase: str = "measuring"
    step: int = 0
    curves: Curves = field(default_factory=Curves)
    picture: str = ""
    notes: tuple[str, ...] = ()
    seconds_left: float | None = None

    @property
    def over(self) -> bool:
        """Whether it has ended, finished or not."""
        return self.phase in ("stopped", "finished")


def followed(job: Generator[TrainingProgress, None, TrainingProgress], out: Path) -> Job[TrainingState]:
    """A training as `training_run.training` tells of it, as states; each has all that was told before.

    Raises
    ------
    UserError : as the training does.
    """
    gathered = _Gathered(curves(out))
    told = 0.0
    try:
        yield gathered.state
        while True:
            try:
                step = next(job)
            except StopIteration as end:
                gathered.take(end.value)
                return gathered.state
            gathered.take(step)
            if time.monotonic() - told >= _TELL_S:
                told = time.monotonic()
                yield gathered.state
    finally:
        job.close()


class _Gathered:
    """What was told so far."""

    def __init__(self, before: Curves) -> None:
        self._steps, self._losses, self._rates = list(before.steps), list(before.losses), list(before.learning_rates)
        self._score_steps = list(before.score_steps)
        self._dice = {organ: list(values) for organ, values in before.dice.items()}
        self._notes: dict[str, None] = {}
        self._picture, self._last, self._begun = "", TrainingProgress(0, 0, "Starting"), (0.0, 0)

    def take(self, step: TrainingProgress) -> None:
        """Add what a line tells; the same object again tells nothing new."""
        if step is self._last:
            return
        if step.phase == "training" and self._last.phase != "training":
            self._begun = time.monotonic(), step.done
        self._last = step
        if step.note:
            self._notes[step.note] = None
        self._picture = step.picture or self._picture
        if step.loss is not None:
            while self._steps and self._steps[-1] >= step.step:  # it went on from an older checkpoint
                self._steps.pop(), self._losses.pop(), self._rates.pop()
            self._steps.append(step.step)
            self._losses.append(step.loss)
            self._rates.append(step.learning_rate or 0.0)
        if step.dice:
            self._take_dice(step)

    def _take_dice(self, step: TrainingProgress) -> None:
        values = [value for name, value in step.dice.items() if value is not None and name != MEAN]
        dice = {**step.dice, MEAN: sum(values) / len(values) if values else None}
        while self._score_steps and self._score_steps[-1] >= step.step:
            self._score_steps.pop()
            for row in self._dice.values():
                row.pop()
        self._score_steps.append(step.step)
        for organ in {**self._dice, **dice}:
            row = self._dice.setdefault(organ, [None] * (len(self._score_steps) - 1))
            row.append(dice.get(organ))

    @property
    def state(self) -> TrainingState:
        """A picture of it as it is now."""
        last = self._last
        return TrainingState(
            last.done,
            last.total,
            last.text,
            phase=last.phase,
            step=last.step or (self._steps[-1] if self._steps else 0),
            curves=Curves(
                tuple(self._steps),
                tuple(self._losses),
                tuple(self._rates),
                tuple(self._score_steps),
                {organ: tuple(values) for organ, values in self._dice.items()},
            ),
            picture=self._picture,
            notes=tuple(self._notes),
            seconds_left=self._left(),
        )

    def _left(self) -> float | None:
        started, at = self._begun
        done = self._last.done - at
        if self._last.phase != "training" or done <= 0 or not self._last.total:
            return None
        return (time.monotonic() - started) / done * (self._last.total - self._last.done)


def watched(out: Path) -> Job[TrainingState]:
    """A training that another program started, from its files, until it ends. Closing the job leaves it alone."""
    while is_running(out):
        yield state_of(out, "training")
        time.sleep(_LOOK_S)
    return state_of(out, "finished" if unfinished(out) is None else "stopped")


def state_of(out: Path, phase: str) -> TrainingState:
    """What a model folder's files tell of its training."""
    found, order = curves(out), unfinished(out)
    step = found.steps[-1] if found.steps else 0
    done, total = (step, order.steps) if order is not None and order.steps else (0, 0)
    pictures = sorted((out / WORKING / SAMPLES).glob("*.png"), key=lambda path: path.stat().st_mtime)
    told = TrainingState(done, total, f"Step {step}", phase=phase, step=step, curves=found)
    return replace(told, picture=str(pictures[-1])) if pictures else told
