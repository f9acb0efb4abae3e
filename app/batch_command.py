"""``contourdesk batch``: many cases overnight; one that goes wrong stops no other, and a stopped run goes on."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from contourdesk.app.batch import (
    SUMMARY,
    How,
    Outcome,
    SegmentTask,
    clear_parts,
    find_places,
    name_of,
    write_summary,
)
from contourdesk.app.batch_work import evaluate_one, segment_one
from contourdesk.app.console import BUG, GOOD, USER_ERROR, note, say
from contourdesk.app.errors import UserError
from contourdesk.app.evaluate_command import Found, finish, make_plan
from contourdesk.app.evaluate_work import ModelUse, use_model
from contourdesk.app.files import alone
from contourdesk.app.segment_command import BUNDLED, model_folder

Task = TypeVar("Task")
_SUMMARY_EVERY_S = 2.0


@dataclass(frozen=True)
class Where:
    """Where a batch runs: in so many processes here, or on a Dask cluster."""

    workers: int = 1
    scheduler: str | None = None

    def run(self, function: Callable[[Task], Outcome], tasks: Sequence[Task]) -> Iterator[tuple[int, Outcome | str]]:
        """Do the tasks; see `run_here` and `run_on_cluster`."""
        if self.scheduler:
            from contourdesk.app.batch_dask import run_on_cluster

            return run_on_cluster(function, tasks, self.scheduler)
        from contourdesk.app.batch_local import run_here

        return run_here(function, tasks, self.workers)


def segment_many(paths: Sequence[Path], models: Sequence[str] | None, out: Path, where: Where, how: How) -> int:
    """Segment every case, each into a folder of its own under `out`, and return the exit code.

    Raises
    ------
    UserError : no cases, no such model, `out` can't be written, or another batch is at work there.
    """
    places = [place.absolute() for place in find_places(paths)]
    name = models[0] if models else None
    folder = model_folder(name).absolute()
    as_wanted = ModelUse("A", "", "", "", folds=how.folds, organs=how.organs, mirroring=how.mirroring)
    use = use_model("A", name or BUNDLED, folder, as_wanted)
    out = out.absolute()
    taken: set[str] = set()
    tasks = [SegmentTask(name_of(place, taken), place, out, use, how) for place in places]
    with _at_work(out):
        outcomes = _run(segment_one, tasks, {t.name: t.path for t in tasks}, out, where)
    return _end(outcomes, out)


def evaluate_many(paths: Sequence[Path], models: Sequence[str], out: Path, where: Where, **options: Any) -> int:
    """Evaluate models on every held-out case, write the report, and return the exit code.

    `options` go to `contourdesk.app.evaluate_command.make_plan`, as do the errors.
    """
    out = out.absolute()
    plan = make_plan([path.absolute() for path in paths], models, out, **options)
    with _at_work(out):
        outcomes = _run(evaluate_one, plan.tasks, {t.name: t.held.opens for t in plan.tasks}, out, where)
        found = Found([o.result for o in outcomes if o.result is not None])
        found.failed = {o.name: o.reason for o in outcomes if o.state == "failed"}
        finish(plan, found)
    return _end(outcomes, out)


@contextlib.contextmanager
def _at_work(out: Path) -> Iterator[None]:
    """Have the output folder to oneself. Raises UserError when another batch is at work there."""
    try:
        out.mkdir(parents=True, exist_ok=True)
        with alone(out / ".batch.lock") as got:
            if not got:
                raise UserError(f"Another batch is at work in {out}.", "Wait for it, or choose another folder.")
            clear_parts(out)
            try:
                yield
            finally:
                clear_parts(out)
    except OSError as error:
        raise UserError(f"{out} can't be written ({error.strerror}).", "Check its space and permissions.") from error


def _run(
    function: Callable[[Task], Outcome], tasks: Sequence[Task], places: dict[str, Path], out: Path, where: Where
) -> list[Outcome]:
    """Do the tasks, tell of each, and keep ``summary.csv`` up to date; also when Ctrl+C ends it."""
    from tqdm import tqdm

    names = list(places)
    outcomes: dict[str, Outcome] = {}
    write_summary(out, places, ())
    written = time.monotonic()
    bar = tqdm(total=len(tasks), desc="Cases", disable=None if sys.stderr is not None else True, dynamic_ncols=True)
    running = where.run(function, tasks)
    try:
        for number, result in running:
            outcome = Outcome(names[number], "failed", result) if isinstance(result, str) else result
            outcomes[outcome.name] = outcome
            _tell(outcome)
            bar.set_postfix_str(_failed(outcomes.values()))
            bar.update()
            if time.monotonic() - written > _SUMMARY_EVERY_S:
                write_summary(out, places, outcomes.values())
                written = time.monotonic()
    except KeyboardInterrupt:
        note(f"{len(outcomes)} of {len(tasks)} cases are done; the same command goes on with the others.")
        raise
    finally:
        running.close()  # type: ignore[attr-defined]
        bar.close()
        write_summary(out, places, outcomes.values())
    return [outcomes[name] for name in names]


def _failed(outcomes: Any) -> str:
    count = sum(o.state == "failed" for o in outcomes)
    return f"{count} failed" if count else ""


def _tell(o: Outcome) -> None:
    if o.state == "failed":
        note(f"error: {o.name}: {o.reason}")
    elif o.state == "done":
        say(f"{o.name}: {o.structures} structures, {o.seconds:.0f} s")
    for text in o.notes:
        note(f"{o.name}: {text}")


def _end(outcomes: Sequence[Outcome], out: Path) -> int:
    """Say how it went, with the reasons of those that failed, and return the exit code."""
    counts = {state: sum(o.state == state for o in outcomes) for state in ("done", "skipped", "failed")}
    told = f"{counts['done']} done, {counts['skipped']} done before, {counts['failed']} failed"
    failed = [o for o in outcomes if o.state == "failed"]
    for o in failed:
        say(f"failed: {o.name}: {o.reason}")
    say(f"{len(outcomes)} cases: {told}. See {out / SUMMARY}.")
    if any(o.bug for o in failed):
        return BUG
    return USER_ERROR if failed else GOOD
