"""What a worker of a batch does with one case. It never raises: what goes wrong is told in the outcome.

It runs in a process of its own, here or on another machine, and talks to nobody: no bar, no screen.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from contourdesk.app.batch import Outcome, SegmentTask, done_before, input_mark, input_sha256, part_folder, put_in_place
from contourdesk.app.case import Case
from contourdesk.app.console import log_traceback
from contourdesk.app.dicom_read import SeriesInfo, read_series
from contourdesk.app.errors import UserError
from contourdesk.app.evaluate_work import EvaluateTask, evaluate_case
from contourdesk.app.jobs import run
from contourdesk.app.opening import open_path
from contourdesk.app.review_format import software
from contourdesk.app.segment_command import usable_series, write_results


def who() -> str:
    """Machine and process, as part of a file's name."""
    machine = re.sub(r"[^\w-]+", "-", socket.gethostname()) or "here"
    return f"{machine}-{os.getpid()}"


def segment_one(task: SegmentTask) -> Outcome:
    """Segment one case, unless that was done before."""
    return _safely(task.name, lambda: _segment(task))


def evaluate_one(task: EvaluateTask) -> Outcome:
    """Evaluate one case; predictions that are kept from before are not made again."""

    def work() -> Outcome:
        result = run(evaluate_case(task))
        known = len(task.models) == result.kept
        state = "skipped" if known else "done"
        return Outcome(task.name, state, structures=len(result.scores), notes=result.notes, result=result)

    return _safely(task.name, work)


def _safely(name: str, work: Callable[[], Outcome]) -> Outcome:
    start = time.monotonic()
    reason, bug = "", False
    try:
        found = work()
    except UserError as error:
        reason = error.message
    except MemoryError:
        reason = "There was not enough memory."
    except OSError as error:
        reason = f"A file could not be read or written ({error.strerror or type(error).__name__})."
    except Exception as error:  # noqa: BLE001 - one case must not end the night; the log has the traceback
        log_traceback()
        reason, bug = f"A fault in the program ({type(error).__name__}); the log file has the details.", True
    if reason:
        found = Outcome(name, "failed", " ".join(reason.split()), bug)
    return Outcome(
        found.name,
        found.state,
        found.reason,
        found.bug,
        time.monotonic() - start,
        found.structures,
        who(),
        found.notes,
        found.result,
    )


def _segment(task: SegmentTask) -> Outcome:
    before = done_before(task)
    if before is not None:
        return Outcome(task.name, "skipped", structures=int(before.get("structures", 0)))
    part = part_folder(task, who())
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        start = time.monotonic()
        source = {"mark": input_mark(task.path), "sha256": input_sha256(task.path)} if task.path.exists() else {}
        structures, notes, failed = 0, [], []
        for name, read in _cases(task):
            try:
                found, said = _one(read, part / name, task)
                structures += found
                notes += [f"{name}: {text}" if name else text for text in said]
            except UserError as error:
                failed.append(error)
                notes.append(f"{name}: {error.message}")
                if not name:
                    raise
        if failed and not structures:
            raise failed[0]
        record = {
            "input": source,
            "structures": structures,
            "notes": notes,
            "seconds": round(time.monotonic() - start, 1),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
            "software": software(),
        }
        put_in_place(part, task, None if failed else record)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    if failed:
        reason = f"{len(failed)} of its series failed: {failed[0].message}"
        return Outcome(task.name, "failed", reason, structures=structures, notes=tuple(notes))
    return Outcome(task.name, "done", structures=structures, notes=tuple(notes))


def _cases(task: SegmentTask) -> Iterator[tuple[str, Callable[[], Case]]]:
    """Sub-folder ("" for the case's own) and reading, for each image of the case."""
    opened = run(open_path(task.path))
    if isinstance(opened, Case):
        yield "", lambda: opened
        return
    chosen = usable_series(task.path, opened, task.how.resample)
    taken: set[str] = set()
    for name, series in chosen:
        folder = ""
        if len(chosen) > 1:
            folder, n = name, 2
            while folder.casefold() in taken:
                folder, n = f"{name}_{n}", n + 1
            taken.add(folder.casefold())
        yield folder, _reader(series)


def _reader(series: SeriesInfo) -> Callable[[], Case]:
    return lambda: run(read_series(series, series.resample))


def _one(read: Callable[[], Case], folder: Path, task: SegmentTask) -> tuple[int, list[str]]:
    """Segment one image into `folder`; the number of structures found, and what the user should know."""
    from contourdesk.inference.device import choose_device
    from contourdesk.inference.identity import loaded_as
    from contourdesk.inference.options import Options
    from contourdesk.inference.predict import predict

    case = read()
    notes = [case.source.resampled.note] if case.source.resampled is not None else []
    options = Options(organs=task.how.organs, mirroring=task.how.mirroring)
    models = loaded_as(task.use.path, task.how.folds, task.use.weights_sha256)
    found = run(predict(case.volume, models, choose_device(task.how.device), options))
    written = write_results(case, found, folder, task.how.formats)
    return written.found, [*notes, *found.notes, *written.notes]
