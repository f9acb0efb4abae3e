"""Tasks in processes of this computer. A process that dies takes nothing with it: another one does its task again.

Each process has an executor of its own, so that when one dies it is known which task it was at.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")

ATTEMPTS = 2
LOST = f"The process that worked on it died {ATTEMPTS} times; there may be too little memory for it."


class _Slot:
    """One process, made anew when it has died."""

    def __init__(self, threads: int) -> None:
        self._threads = threads
        self.renew()

    def renew(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._executor = ProcessPoolExecutor(1, context, initializer=_begin, initargs=(self._threads,))
        self._pid = self._executor.submit(os.getpid)

    def submit(self, function: Callable[[Task], Result], task: Task) -> Future[Result]:
        return self._executor.submit(function, task)

    def stop(self) -> None:
        """End the process at once, whatever it is at."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        if self._pid.done() and not self._pid.cancelled() and self._pid.exception() is None:
            with contextlib.suppress(OSError):
                os.kill(self._pid.result(), signal.SIGTERM)

    def close(self) -> None:
        self._executor.shutdown()


def _begin(threads: int) -> None:
    """In a new process: leave Ctrl+C to the parent, end when the parent has ended, use so many threads."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    os.environ.setdefault("OMP_NUM_THREADS", str(threads))  # PyTorch reads it when it is imported, which comes later


def _end_with(parent: multiprocessing.process.BaseProcess) -> None:
    parent.join()
    os._exit(1)


def run_here(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int = 1
) -> Iterator[tuple[int, Result | str]]:
    """Do the tasks, several at a time, and give the number of each with its result as they end.

    A task whose process died is done again; after `ATTEMPTS` deaths its result is a sentence that says so. When the
    iterator is closed, or Ctrl+C comes, the processes are ended at once.

    Parameters
    ----------
    function : of a module; it is called in another process.
    """
    workers = max(1, min(workers, len(tasks)))
    threads = max(1, (os.cpu_count() or 1) // workers)
    slots = [_Slot(threads) for _ in range(workers)]
    free, waiting = deque(slots), deque(range(len(tasks)))
    running: dict[Future[Result], tuple[_Slot, int]] = {}
    deaths: Counter[int] = Counter()
    try:
        while waiting or running:
            while waiting and free:
                slot, number = free.popleft(), waiting.popleft()
                running[slot.submit(function, tasks[number])] = slot, number
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                slot, number = running.pop(future)
                free.append(slot)
                try:
                    yield number, future.result()
                except BrokenProcessPool:
                    slot.renew()
                    deaths[number] += 1
                    if deaths[number] < ATTEMPTS:
                        waiting.append(number)  # at the end: what kills processes shall not hold up the others
                    else:
                        yield number, LOST
        for slot in slots:
            slot.close()
    finally:
        for slot in slots:
            slot.stop()
