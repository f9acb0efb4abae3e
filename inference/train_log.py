"""The tables that a training writes: ``progress.csv`` (loss, learning rate) and ``scores.csv`` (Dice)."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from contourdesk.app.files import write_atomically
from contourdesk.app.training_run import PROGRESS_FILE, SCORES_FILE
from contourdesk.inference.train_state import State

EVERY = 10  # steps that a line of progress.csv is the mean of
_COLUMNS = ("step", "minutes", "learning_rate", "loss")


class TrainLog:
    """Appends to the two tables in `folder`. `names` are the columns of ``scores.csv`` after the step."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.progress, self.score_table = folder / PROGRESS_FILE, folder / SCORES_FILE
        self.names = list(names)

    def cut_after(self, step: int) -> None:
        """Leave out what was written after a step that training goes on from, so that no line stands there twice."""
        for path, columns in ((self.progress, _COLUMNS), (self.score_table, ("step", *self.names))):
            lines = [_line(columns)]
            if step and path.is_file():
                with path.open(encoding="utf-8", newline="") as file:
                    rows = [row for row in csv.reader(file) if len(row) == len(columns) and row[0].isdigit()]
                lines += [_line(row) for row in rows if int(row[0]) <= step]
            write_atomically(path, "".join(lines).encode())

    def step(self, state: State) -> None:
        """Note a step; a line is written for `EVERY` of them."""
        if len(state.losses) < EVERY:
            return
        rate = state.optimiser.param_groups[0]["lr"]
        row = (state.step, f"{state.spent / 60:.2f}", f"{rate:.6f}", f"{np.mean(state.losses):.4f}")
        state.losses = []
        self._append(self.progress, row)

    def scores(self, step: int, found: Mapping[str, float | None]) -> None:
        """Note Dice by organ; empty where it is unknown."""
        values = [found.get(name) for name in self.names]
        if any(value is not None for value in values):
            self._append(self.score_table, (step, *("" if v is None else f"{v:.4f}" for v in values)))

    @staticmethod
    def _append(path: Path, row: Sequence[object]) -> None:
        with path.open("a", encoding="utf-8", newline="") as file:
            file.write(_line(row))


def _line(row: Sequence[object]) -> str:
    quoted = (f'"{text}"' if any(c in text for c in ',"\n') else text for text in (str(v) for v in row))
    return ",".join(quoted) + "\n"
