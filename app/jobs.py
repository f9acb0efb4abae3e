"""The contract of long work: a job is a generator that yields `Progress` and returns its result.

Jobs take frozen inputs, know nothing of threads or widgets, and clean up in ``finally``. The command line and the
tests loop over them with `run`; the GUI runs them in a thread (``widgets.jobs.JobRunner``) and cancels with
``close()`` between two yields.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Look:
    """A slice to look at while a job goes on: grey values (row, column), row and column spacing in mm, a text."""

    pixels: NDArray[np.uint8]
    spacing_mm: tuple[float, float]
    text: str


@dataclass(frozen=True)
class Progress:
    """`done` of `total` steps (total 0: unknown) and a short text for the user.

    `note` is what stays true for the rest of the job, such as where it runs; `look` a picture. A step with one of them
    is never left out.
    """

    done: int
    total: int
    text: str = ""
    note: str = ""
    look: Look | None = None


Job = Generator[Progress, None, T]


def run(job: Job[T], on_progress: Callable[[Progress], None] | None = None) -> T:
    """Run a job to its end in this thread and return its result."""
    while True:
        try:
            step = next(job)
        except StopIteration as end:
            result: T = end.value
            return result
        if on_progress is not None:
            on_progress(step)


SHARES = 1000  # of one part in the progress of several


def part(job: Job[T], number: int, count: int, title: str = "") -> Job[T]:
    """`job` as one of `count` parts that take about as long, the `number`-th from 0; `title` begins each text."""
    whole = count * SHARES
    yield Progress(number * SHARES, whole, title)
    try:
        while True:
            step = next(job)
            share = SHARES * step.done // step.total if step.total else 0
            text = f"{title}: {step.text}" if title and step.text else title or step.text
            yield Progress(number * SHARES + share, whole, text, step.note, step.look)
    except StopIteration as end:
        result: T = end.value
        return result
    finally:
        job.close()
