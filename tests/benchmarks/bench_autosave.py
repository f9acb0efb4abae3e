"""The window's longest pause while 60 structures on 512x512x200 are saved, and what a stroke costs by its journal.

Run: xvfb-run -a -s "-screen 0 1920x1080x24" python tests/benchmarks/bench_autosave.py

A timer that is due every 2 ms tells how long the main thread was kept from it: the pause is the longest delay. What
other programs do to it is told apart (on Linux): the time that threads of ours were ready and waited for a processor is
taken off for the second figure. Bar: < 50 ms.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import common
import numpy as np

sys.path.insert(0, str(common.HERE.parent))

SHAPE = (200, 512, 512)
ROUNDS = 5
_EVERY_MS = 2


def make_session():
    """Sixty ellipsoids, from a lens to the body."""
    from contourdesk.app.case import Case, Patient, Source
    from contourdesk.app.geometry import Grid
    from contourdesk.app.review import ReviewSession
    from contourdesk.app.structures import Mask, Provenance, Structure, StructureSet
    from contourdesk.app.volume import Volume

    grid = Grid.from_spacing(SHAPE, (2, 0.9, 0.9), (0, 0, 0), "1.2.3")
    rng = np.random.default_rng(0)
    items = []
    for number in range(60):
        radii = (90, 200, 240) if number == 0 else rng.integers((5, 10, 10), (40, 70, 70))
        z, y, x = np.ogrid[tuple(slice(-r, r + 1) for r in radii)]
        bits = (z / radii[0]) ** 2 + (y / radii[1]) ** 2 + (x / radii[2]) ** 2 <= 1
        low = [
            int(rng.integers(0, n - 2 * r - 1)) if number else (n - 2 * r - 1) // 2
            for n, r in zip(SHAPE, radii, strict=True)
        ]
        items.append(
            Structure(f"S{number}", (200, 90, number * 4), Mask(tuple(low), bits), Provenance("model"), id=f"s{number}")
        )
    volume = Volume(grid, np.zeros(SHAPE, np.int16))
    case = Case(Patient(), volume, Source(Path("/nowhere"), "1.2.3.4"), StructureSet(grid, tuple(items)))
    return ReviewSession(case, "Dr Bench")


def waits() -> dict[str, float]:
    """Seconds that each thread of this process was ready and waited for a processor; nothing where that isn't told."""
    out = {}
    for thread in os.listdir("/proc/self/task") if os.path.isdir("/proc/self/task") else ():
        with contextlib.suppress(OSError), open(f"/proc/self/task/{thread}/schedstat") as file:
            out[thread] = int(file.read().split()[1]) / 1e9
    return out


def main() -> None:
    """Measure and print."""
    os.environ["CONTOURDESK_HOME"] = tempfile.mkdtemp()
    from qtpy.QtCore import QEventLoop, Qt, QTimer

    from contourdesk.app.jobs import run
    from contourdesk.app.project import open_review
    from contourdesk.widgets.application import make_application
    from contourdesk.widgets.autosave import Autosave

    make_application([])
    session = make_session()
    folder = Path(tempfile.mkdtemp()) / "review"
    autosave = Autosave()
    autosave.begin(session, folder, run(open_review(session.snapshot(), folder)))
    pauses: dict[str, list[tuple[float, float]]] = {"at rest": [], "while saving": []}
    took: list[float] = []
    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    last, waited, worst, own = time.perf_counter(), waits(), 0.0, 0.0

    def tick() -> None:
        nonlocal last, waited, worst, own
        pause, before, waited = time.perf_counter() - last - _EVERY_MS / 1000, waited, waits()
        worst = max(worst, pause)
        own = max(own, pause - sum(value - before.get(thread, value) for thread, value in waited.items()))
        last = time.perf_counter()

    timer.timeout.connect(tick)
    timer.start(_EVERY_MS)

    def watch(loop_ms: int = 0) -> tuple[float, float]:
        nonlocal last, worst, own
        loop = QEventLoop()
        last, worst, own = time.perf_counter(), 0.0, 0.0
        autosave.runner.succeeded.connect(loop.quit)
        if loop_ms:
            QTimer.singleShot(loop_ms, loop.quit)
        loop.exec()
        autosave.runner.succeeded.disconnect(loop.quit)
        return worst, own

    brush = np.ones((1, 20, 20), bool)
    strokes = []
    for number in range(ROUNDS):
        for k in range(10):
            start = time.perf_counter()
            session.paint("s0", (k, 10 * number, 3 * k), brush)
            strokes.append(time.perf_counter() - start)
            time.sleep(0.2)  # nobody draws faster
        start = time.perf_counter()
        autosave.save_now()
        pauses["while saving"].append(watch())
        took.append(time.perf_counter() - start)
        pauses["at rest"].append(watch(round(took[-1] * 1000)))
    rows = [
        (f"{name}{text}", statistics.median(v[i] for v in values) * 1000, max(v[i] for v in values) * 1000)
        for name, values in pauses.items()
        for i, text in enumerate(("", ", without waits for a processor"))
    ]
    common.table(("longest pause, ms", "median of rounds", "longest"), rows)
    common.table(("", "median", "longest"), [
        ("save, s", statistics.median(took), max(took)),
        ("stroke on the body, with its journal, ms", statistics.median(strokes) * 1000, max(strokes) * 1000),
    ])  # fmt: skip
    autosave.finish()
    autosave.end()


if __name__ == "__main__":
    main()
