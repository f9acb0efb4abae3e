"""JobRunner: exactly one end, on the main thread, whatever the job does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from contourdesk.app.jobs import Job, Progress
from contourdesk.widgets.jobs import JobRunner


class Ends:
    """Writes down what a runner reports and in which thread."""

    def __init__(self, runner: JobRunner) -> None:
        self.seen: list[tuple[str, object]] = []
        self.progress: list[Progress] = []
        self.threads: set[int] = set()
        runner.succeeded.connect(lambda result: self._note("succeeded", result))
        runner.failed.connect(lambda error: self._note("failed", error))
        runner.cancelled.connect(lambda: self._note("cancelled", None))
        runner.progressed.connect(self._step)

    def _note(self, what: str, payload: object) -> None:
        self.seen.append((what, payload))
        self.threads.add(threading.get_ident())

    def _step(self, step: Progress) -> None:
        self.progress.append(step)
        self.threads.add(threading.get_ident())


@pytest.fixture
def runner(qtbot) -> Iterator[JobRunner]:
    runner = JobRunner()
    yield runner
    runner.cancel()
    assert runner.wait(5)


def count(n: int, log: list[object], pause: float = 0.0) -> Job[int]:
    try:
        for i in range(n):
            time.sleep(pause)
            yield Progress(i, n, f"step {i}")
        return n
    finally:
        log.append(threading.get_ident())


def breaks(error: BaseException) -> Job[None]:
    yield Progress(0, 1)
    raise error


def settle(qtbot, ends: Ends) -> None:
    qtbot.waitUntil(lambda: bool(ends.seen), timeout=5000)
    qtbot.wait(50)


def test_success(qtbot, runner):
    ends, cleaned = Ends(runner), []
    runner.start(count(3, cleaned, 0.06))
    assert runner.running
    settle(qtbot, ends)
    assert ends.seen == [("succeeded", 3)]
    assert not runner.running
    assert [p.done for p in ends.progress] == [0, 1, 2]
    assert ends.threads == {threading.get_ident()}
    assert cleaned and cleaned[0] != threading.get_ident()


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA out of memory"), ValueError("x"), MemoryError(), OSError(28, "full")]
)
def test_failure_of_any_kind_is_reported_once(qtbot, runner, error):
    ends = Ends(runner)
    runner.start(breaks(error))
    settle(qtbot, ends)
    assert ends.seen == [("failed", error)]


def test_cancel_within_one_yield_and_clean_up_on_the_worker(qtbot, runner):
    ends, cleaned = Ends(runner), []
    runner.start(count(10_000, cleaned, 0.02))
    qtbot.waitUntil(lambda: bool(ends.progress), timeout=5000)
    asked = time.monotonic()
    runner.cancel()
    runner.cancel()
    settle(qtbot, ends)
    assert ends.seen == [("cancelled", None)]
    assert time.monotonic() - asked < 1
    assert len(cleaned) == 1 and cleaned[0] != threading.get_ident()


def test_cancel_at_once(qtbot, runner):
    ends, cleaned = Ends(runner), []
    runner.start(count(10_000, cleaned, 0.01))
    runner.cancel()
    settle(qtbot, ends)
    assert [what for what, _ in ends.seen] == ["cancelled"]


def test_clean_up_that_fails_is_reported(qtbot, runner):
    def job() -> Job[None]:
        try:
            while True:
                time.sleep(0.01)
                yield Progress(0, 0)
        finally:
            raise RuntimeError("clean-up")

    ends = Ends(runner)
    runner.start(job())
    qtbot.waitUntil(lambda: bool(ends.progress), timeout=5000)
    runner.cancel()
    settle(qtbot, ends)
    assert [what for what, _ in ends.seen] == ["failed"]


def test_a_harmless_job_in_a_long_step_does_not_keep_the_user_waiting(qtbot, runner):
    gate, order = threading.Event(), []

    def slow() -> Job[None]:
        yield Progress(0, 0)
        gate.wait(10)
        order.append("slow ended")
        yield Progress(1, 1)

    def next_one() -> Job[str]:
        order.append("next began")
        yield Progress(0, 1)
        return "done"

    ends = Ends(runner)
    runner.start(slow(), harmless=True)
    qtbot.waitUntil(lambda: bool(ends.progress), timeout=5000)
    runner.cancel()
    qtbot.waitUntil(lambda: bool(ends.seen), timeout=1500)
    assert ends.seen == [("cancelled", None)]
    runner.start(next_one())
    qtbot.wait(50)
    assert order == []  # it waits for the thread that is still in its step
    gate.set()
    qtbot.waitUntil(lambda: len(ends.seen) == 2, timeout=5000)
    assert ends.seen[1] == ("succeeded", "done")
    assert order == ["slow ended", "next began"]


def test_only_one_at_a_time(qtbot, runner):
    ends = Ends(runner)
    runner.start(count(5, [], 0.02))
    other = count(1, [])
    with pytest.raises(RuntimeError, match="running"):
        runner.start(other)
    settle(qtbot, ends)
    assert ends.seen == [("succeeded", 5)]
    runner.start(other)
    qtbot.waitUntil(lambda: len(ends.seen) == 2, timeout=5000)


def test_a_slot_may_start_the_next_job(qtbot, runner):
    ends = Ends(runner)
    follow = [count(2, [])]
    runner.succeeded.connect(lambda _: runner.start(follow.pop()) if follow else None)
    runner.start(count(1, []))
    qtbot.waitUntil(lambda: len(ends.seen) == 2, timeout=5000)
    assert [payload for _, payload in ends.seen] == [1, 2]


def test_runner_that_is_gone_does_not_break_the_thread(qtbot, recwarn):
    gate, cleaned = threading.Event(), []

    def job() -> Job[None]:
        try:
            yield Progress(0, 0)
            gate.wait(5)
            yield Progress(1, 1)
        finally:
            cleaned.append(True)

    runner = JobRunner()
    runner.start(job())
    thread = runner._thread
    assert thread is not None
    runner.deleteLater()
    del runner
    qtbot.wait(50)
    gate.set()
    thread.join(5)
    assert not thread.is_alive()
    assert cleaned == [True]
