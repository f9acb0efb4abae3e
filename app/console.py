"""What the command line says, and how it runs a job there: progress bars, one-line errors, exit codes."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, Progress, run
from contourdesk.app.settings import data_dir

log = logging.getLogger(__name__)

T = TypeVar("T")

GOOD, BUG, USER_ERROR, STOPPED = 0, 1, 2, 130


def say(text: str) -> None:
    """One line on standard output."""
    _write(sys.stdout, text)


def note(text: str) -> None:
    """One line on standard error, for what the user should know and what is no result."""
    _write(sys.stderr, f"contourdesk: {text}")


def _write(stream: object, text: str) -> None:
    from tqdm import tqdm

    if stream is not None:  # a windowed program on Windows has no streams
        tqdm.write(" ".join(text.splitlines()), file=stream)


def run_job(job: Job[T], title: str) -> T:
    """Run a job with a progress bar, which a terminal alone gets to see."""
    from tqdm import tqdm

    with tqdm(
        desc=title,
        disable=None if sys.stderr is not None else True,
        leave=False,
        dynamic_ncols=True,
        bar_format="{desc}: {percentage:3.0f}%|{bar}| {postfix}",
        total=1,
    ) as bar:
        shown = 0.0

        def show(step: Progress) -> None:
            nonlocal shown
            if bar.disable or time.monotonic() - shown < 0.1:
                return
            shown = time.monotonic()
            bar.total = max(step.total, 1)
            bar.n = min(step.done, bar.total)
            bar.postfix = step.text
            bar.refresh()

        return run(job, show)


def guarded(action: Callable[[], int], about: str = "") -> int:
    """Run `action` and return its exit code; an error becomes one line on the screen and an exit code.

    2 for what the user can do something about, 1 for a bug, whose traceback goes to the log file, 130 for Ctrl+C.
    """
    prefix = f"error: {about}: " if about else "error: "
    try:
        return action()
    except UserError as error:
        note(prefix + str(error))
        return USER_ERROR
    except KeyboardInterrupt:
        note("stopped.")
        return STOPPED
    except BrokenPipeError:
        return STOPPED  # whoever read our output has gone
    except Exception as error:  # noqa: BLE001 - the one place where the command line meets its bugs
        path = log_traceback()
        where = f"The details are in {path}." if path is not None else "No log file could be written."
        note(f"{prefix}this is a bug in Contourdesk ({type(error).__name__}: {error}). {where}")
        return BUG


def log_traceback() -> Path | None:
    """Append the exception that is being handled to the log file and return that; None when it can't be written."""
    path = data_dir() / "contourdesk.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(f"{datetime.now(UTC).isoformat(timespec='seconds')} command line\n{traceback.format_exc()}\n")
    except OSError:
        log.debug("no log file", exc_info=True)
        return None
    return path
