"""When a training is tried on its held-out cases, and the sample picture that goes with it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from contourdesk.inference.held_out import draw_sample, evenly, propose, score
from contourdesk.inference.plans import Settings
from contourdesk.inference.train_state import State
from contourdesk.inference.training_data import TrainingCase

PARTS = 10  # of a run, after each of which it is tried
_MOST_SHARE = 0.1  # of the time
Found = tuple[dict[str, float | None], float | None, Path]


class Scores:
    """Tries the averaged weights on held-out cases after each tenth of a run, for a tenth of its time at most.

    Parameters
    ----------
    cases : held out;  instead : one to draw when there are none.
    network : a second one, for the averaged weights;  samples : folder for the pictures.
    """

    def __init__(
        self,
        cases: Sequence[TrainingCase],
        instead: Sequence[TrainingCase],
        network: nn.Module,
        settings: Settings,
        labels: Mapping[str, int],
        samples: Path,
    ) -> None:
        self.cases, self.drawn = evenly(cases), list(evenly(cases) or instead)
        self.network, self.settings, self.labels = network, settings, labels
        self.samples = samples.resolve()
        self.part, self.not_before, self.count = -1, 0.0, 0

    def due(self, fraction: float, spent: float) -> bool:
        """Whether to try it now, `spent` seconds from the beginning; at the end always."""
        part = int(fraction * PARTS + 1e-9)
        if self.part < 0:  # where this go of the run begins
            self.part = part
        if part <= self.part or (spent < self.not_before and fraction < 1):
            return False
        self.part = part
        return bool(self.drawn)

    def measure(
        self, state: State, device: torch.device, stop: Callable[[], bool]
    ) -> Generator[int, None, Found | None]:
        """Dice by organ, their mean, and the picture's path; None when it was stopped."""
        started = time.monotonic()
        self.network.load_state_dict(state.average)
        dice = yield from score(self.cases, self.network, self.settings, device, self.labels, stop)
        if dice is None:
            return None
        case = self.drawn[self.count % len(self.drawn)]
        self.count += 1
        proposal = yield from propose(case, self.network, self.settings, device)
        path = self.samples / f"step_{state.step:06d}.png"
        draw_sample(case, proposal, self.settings, path)
        seconds = time.monotonic() - started
        self.not_before = state.spent + seconds / _MOST_SHARE
        values = [value for value in dice.values() if value is not None]
        return dice, float(np.mean(values)) if values else None, path

    def forget(self) -> None:
        """Let go of the cases' files."""
        self.cases, self.drawn = [], []
