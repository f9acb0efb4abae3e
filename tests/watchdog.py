"""A watchdog over the event loop of the window: how long it did not turn, and what the main thread was doing then."""

from __future__ import annotations

import collections
import contextlib
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from types import FrameType

EVERY_MS = 5
_LOOK_S = 0.01
_OURS = ("/app/", "/widgets/", "/inference/")


@dataclass(frozen=True)
class Stall:
    """The loop did not turn for `seconds`; for `waited` of them the main thread was ready and had no processor."""

    seconds: float
    waited: float
    where: str

    def __str__(self) -> str:
        return f"{self.seconds * 1000:.0f} ms (waited {self.waited * 1000:.0f}) in {self.where or 'unknown'}"


class Watchdog:
    """Notes every stall of the main thread's event loop that is longer than `least_s`, from `start` to `stop`.

    A timer in the main thread, due every 5 ms, says that the loop turns. What is late is a stall. A thread looks at the
    main thread's stack meanwhile; it only tells where, so that a stall in which Python holds its lock is counted too.
    Needs a QApplication; make and use it in the main thread.
    """

    def __init__(self, least_s: float = 0.03) -> None:
        from qtpy.QtCore import Qt, QTimer

        self.stalls: list[Stall] = []
        self._least = least_s
        self._timer = QTimer()
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(EVERY_MS)
        self._timer.timeout.connect(self._beat)
        self._last, self._waited = 0.0, 0.0
        self._seen: list[tuple[float, str]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watchdog", daemon=True)

    def __enter__(self) -> Watchdog:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin, or go on after `pause`."""
        self._last, self._waited = time.perf_counter(), _waited()
        self._timer.start()
        if not self._thread.is_alive():
            self._thread.start()

    def pause(self) -> None:
        """Don't count from now on; a stall that goes on until now still counts."""
        if self._timer.isActive():
            self._beat()
            self._timer.stop()

    def stop(self) -> None:
        """End for good."""
        self.pause()
        self._over.set()
        if self._thread.is_alive():
            self._thread.join()

    @contextlib.contextmanager
    def paused(self):
        """Don't count what is done inside: the work of who measures."""
        self.pause()
        yield
        self.start()

    @property
    def longest(self) -> float:
        """Seconds of the longest stall."""
        return max((s.seconds for s in self.stalls), default=0.0)

    @property
    def longest_own(self) -> float:
        """Seconds of the longest stall without what the main thread waited for a processor."""
        return max((s.seconds - s.waited for s in self.stalls), default=0.0)

    def worst(self, count: int = 5) -> list[Stall]:
        """The longest ones, the longest first."""
        return sorted(self.stalls, key=lambda s: -s.seconds)[:count]

    def _beat(self) -> None:
        now, waited = time.perf_counter(), _waited()
        late = now - self._last - EVERY_MS / 1000
        if late > self._least:
            places = collections.Counter(where for at, where in list(self._seen) if at >= self._last)
            where = places.most_common(1)[0][0] if places else ""
            self.stalls.append(Stall(late, min(late, waited - self._waited), where))
        self._seen.clear()
        self._last, self._waited = now, waited

    def _look(self) -> None:
        main = threading.main_thread().ident
        while not self._over.wait(_LOOK_S):
            if time.perf_counter() - self._last > self._least:
                self._seen.append((time.perf_counter(), _place(sys._current_frames().get(main))))


def _waited() -> float:
    """Seconds that the main thread was ready and waited for a processor; 0 where the system doesn't tell."""
    with (
        contextlib.suppress(OSError, ValueError, IndexError),
        open(f"/proc/self/task/{threading.main_thread().native_id}/schedstat") as file,
    ):
        return int(file.read().split()[1]) / 1e9
    return 0.0


def _place(frame: FrameType | None) -> str:
    """The innermost function of the program on the stack, and the innermost of all."""
    stack = traceback.extract_stack(frame) if frame is not None else []
    ours = [f for f in stack if any(part in f.filename for part in _OURS) and "site-packages" not in f.filename]
    chosen = [*ours[-2:], *stack[-1:]]
    names = [f"{f.filename.rsplit('/', 1)[-1]}:{f.lineno} {f.name}" for f in chosen]
    return " > ".join(dict.fromkeys(names))
