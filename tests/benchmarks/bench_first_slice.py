"""From choosing a folder of 200 slices of 512x512 to the first slice on the screen, and to the whole review page.

Run: xvfb-run -a -s "-screen 0 1920x1080x24" python tests/benchmarks/bench_first_slice.py [ROUNDS]

Each round is a fresh process with its window open and idle, as when a reviewer chooses a folder. The clock starts with
the choice and stops when the slice has been painted. CPU seconds are the process's own, user and system: on a busy
machine they tell more than the clock does. Bar: first slice <= 1 s. The longest stall is how long the window's event
loop did not turn in that time.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common

sys.path.insert(0, str(common.HERE.parent))


def measure(folder: str) -> dict[str, float]:
    """Seconds and CPU seconds until the first slice, and until the review page, are painted."""
    os.environ["CONTOURDESK_HOME"] = tempfile.mkdtemp()
    from qtpy.QtCore import QElapsedTimer, QEventLoop, QTimer
    from watchdog import Watchdog

    from contourdesk.widgets.application import make_application

    app = make_application([])
    from contourdesk.widgets.main_window import MainWindow

    window = MainWindow()
    window.show_on_screen()
    loop = QEventLoop()
    QTimer.singleShot(1500, loop.quit)  # settle
    loop.exec()
    out: dict[str, float] = {}
    clock, cpu = QElapsedTimer(), time.process_time()

    def note(name: str) -> None:
        if name not in out:
            out[name], out[f"{name} CPU"] = clock.nsecsElapsed() / 1e9, time.process_time() - cpu

    def look() -> None:
        if window.reviewing:
            window.view.repaint()
            note("review page")
            loop.quit()

    window.loading.look.painted.connect(lambda: note("first slice"))
    timer = QTimer()
    timer.timeout.connect(look)
    timer.start(10)
    QTimer.singleShot(120_000, loop.quit)
    clock.start()
    cpu = time.process_time()
    with Watchdog() as dog:
        window.open_path(Path(folder))
        loop.exec()
    out |= {"stall": dog.longest, "stall own": dog.longest_own}
    for stall in dog.worst():
        print(stall, file=sys.stderr)
    window.close()
    app.processEvents()
    return out


def main() -> None:
    """Make the series, measure in fresh processes, print."""
    import bench_opening

    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for kind in bench_opening.KINDS:
            place = Path(folder) / kind.replace(" ", "")
            bench_opening.write(place, kind)
            found = [fresh(place) for _ in range(rounds)]
            for name in ("first slice", "review page"):
                values = [statistics.median(one[key] for one in found) for key in (name, f"{name} CPU")]
                stall = statistics.median(one["stall"] for one in found)
                rows.append((kind, name, *values, max(one[name] for one in found), stall))
    common.table(("512x512x200", "until", "median s", "CPU s", "longest s", "longest stall s"), rows)


def fresh(folder: Path) -> dict[str, float]:
    code = "import sys, json, bench_first_slice as b; print(json.dumps(b.measure(sys.argv[1])))"
    path = os.pathsep.join([str(common.HERE), *sys.path])
    arguments = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(
        arguments, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | {"PYTHONPATH": path}
    )
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main()
