"""The window's longest pause while 60 structures on 512x512x200 are saved, and what a stroke costs by its journal.

Run: xvfb-run -a -s "-screen 0 1920x1080x24" python tests/benchmarks/bench_autosave.py

A timer that is due every 2 ms tells how long the main thread was kept from it: the pause is the longest delay. It is
taken in turns with and without a save, so that what a busy machine does to both can be told from what the save does.
Bar: < 50 ms.
"""

from __future__ import annotations

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
    pauses: dict[str, list[float]] = {"at rest": [], "while saving": []}
    took: list[float] = []
    timer = QTimer()
    timer.setTimerType(Qt.TimerType.PreciseTimer)
    last, worst = time.perf_counter(), 0.0

    def tick() -> None:
        nonlocal last, worst
        now = time.perf_counter()
        worst, last = max(worst, now - last - _EVERY_MS / 1000), now

    timer.timeout.connect(tick)
    timer.start(_EVERY_MS)

    def watch(loop_ms: int = 0) -> float:
        nonlocal last, worst
        loop = QEventLoop()
        last, worst = time.perf_counter(), 0.0
        autosave.runner.succeeded.connect(loop.quit)
        if loop_ms:
            QTimer.singleShot(loop_ms, loop.quit)
        loop.exec()
        autosave.runner.succeeded.disconnect(loop.quit)
        return worst

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
    rows = [(name, statistics.median(values) * 1000, max(values) * 1000) for name, values in pauses.items()]
    common.table(("longest pause, ms", "median of rounds", "longest"), rows)
    common.table(("", "median", "longest"), [
        ("save, s", statistics.median(took), max(took)),
        ("stroke on the body, with its journal, ms", statistics.median(strokes) * 1000, max(strokes) * 1000),
    ])  # fmt: skip
    autosave.finish()
    autosave.end()


if __name__ == "__main__":
    main()
