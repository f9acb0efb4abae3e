"""The window with a 512x512x200 image, 60 structures and 500 edits, against bare napari with the same image.

Run: xvfb-run -a -s "-screen 0 1920x1080x24" python tests/benchmarks/bench_window.py [PART ...] [--rounds 5]

Parts, all when none is named: slices, strokes, undo, memory, opening, first. Both windows are 1600x1000, each in a
process of its own; they are asked in turns, and wait while the other works. A time goes from what the user does to the
painted frame. Processor time is the whole process's, all threads. The ratio is the median over the rounds of the one's
time over the other's in the same round. Wherever our window works a watchdog notes how long its event loop doesn't turn
(tests/watchdog.py); "own" is without what the main thread waited for a processor.

Bars: slice step <= 1.5 of napari's, brush stroke <= 1.2, undo of any step <= 100 ms, memory above the image <= 1 GB,
opening a saved review <= 3 s, first slice of a folder <= 1 s, no stall over 100 ms.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import common

Row = tuple[object, ...]
_HEAD = ("what", "ours", "CPU", "napari", "CPU", "ratio", "bar", "met")


class Asked:
    """One of the windows in its process."""

    def __init__(self, kind: str, *arguments: object) -> None:
        self.kind = kind
        script = [sys.executable, str(common.HERE / "window_sides.py"), kind]
        self._process = subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self("begin", *arguments)

    def __call__(self, *what: object) -> Any:
        """Have it do something and wait for the answer."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.kind} ended while it was asked for {what[0]}")
        return json.loads(line)

    def end(self) -> None:
        """Let it go."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


class Bench:
    """The parts; `rows` and `stalls` fill up."""

    def __init__(self, work: Path, rounds: int) -> None:
        self.work, self.rounds = work, rounds
        self.rows: list[Row] = []
        self.stalls: list[tuple[str, dict[str, Any]]] = []

    @property
    def volume(self) -> str:
        """File of the image, made when it is first asked for."""
        file = self.work / "volume.npy"
        if not file.exists():
            import numpy as np
            import window_phantom

            np.save(file, window_phantom.image())
        return str(file)

    @property
    def series(self) -> Path:
        """Folder of a DICOM series of that size."""
        folder = self.work / "ct"
        if not folder.exists():
            import bench_opening

            bench_opening.write(folder, "uncompressed")
        return folder

    def slices(self) -> None:
        """A step to the next slice, `SHOWN` outlines."""
        ours, napari = Asked("ours", self.volume), Asked("napari", self.volume)
        for side in (ours, napari):
            assert side("painted"), f"{side.kind} paints no frame"
        found = self._turns(ours, napari, lambda side: side("slices"))
        self._against("slice step, 30 outlines", found, "ms", "CPU", 1.5)
        self._done("slices", ours, napari)

    def surfaces(self) -> None:
        """The same with the surfaces of all shown structures beside the planes."""
        ours, napari = Asked("ours", self.volume), Asked("napari", self.volume)
        assert ours("lay_out", "four") >= 30, "there are no surfaces"
        found = self._turns(ours, napari, lambda side: side("slices"))
        self._against("slice step, 30 outlines, with their surfaces in 3D", found, "ms", "CPU", 1.5)
        self._done("surfaces", ours, napari)

    def strokes(self) -> None:
        """A brush stroke: each move, and from the press to the last frame after letting go."""
        ours, napari = Asked("ours", self.volume), Asked("napari", self.volume)
        for where in ("organ", "body"):
            found = self._turns(ours, napari, lambda side, where=where: side("stroke", where))
            self._against(f"brush on {where}, a move", found, "ms", "CPU", 1.2)
            self._against(f"brush on {where}, whole stroke of 20 moves", found, "stroke", "stroke CPU", 1.2)
            self._against(f"brush on {where}, letting go", found, "release", "", None)
        self._done("strokes", ours, napari)

    def undo(self) -> None:
        """Undo and redo of every kind of step."""
        ours = Asked("ours", self.volume)
        found = [ours("undo") for _ in range(max(1, self.rounds // 2))]
        for name in found[0]:
            wall, cpu, again, again_cpu = (statistics.median(f[name][i] for f in found) for i in range(4))
            self._absolute(f"undo: {name}, ms", wall, cpu, 100)
            self._absolute(f"redo: {name}, ms", again, again_cpu, 100)
        self._done("undo", ours)

    def memory(self) -> None:
        """What is resident above the image."""
        ours = Asked("ours", self.volume, True)
        found = ours("memory")
        for name, mib in found.items():
            self._absolute(f"memory: {name}, MiB", mib, "", 1024 if "edits" in name else None)
        self._done("memory", ours)

    def opening(self) -> None:
        """Opening a saved review of 60 structures and 500 edits."""
        review = self.work / "review"
        if not review.exists():
            common.result("window_phantom:save_review", str(self.series), str(review))
        found = []
        for _ in range(max(1, self.rounds // 2)):
            ours = Asked("ours")
            found.append(ours("open", str(self.series), str(review)))
            self._done("opening", ours)
        self._absolute("opening a saved review, s", *(statistics.median(f[k] for f in found) for k in ("s", "CPU")), 3)

    def first(self) -> None:
        """The first slice of a folder of 200 (see bench_first_slice.py)."""
        import bench_first_slice

        found = [bench_first_slice.fresh(self.series) for _ in range(max(1, self.rounds // 2))]
        for name, bar in (("first slice", 1), ("review page", None)):
            wall, cpu = (statistics.median(one[key] for one in found) for key in (name, f"{name} CPU"))
            self._absolute(f"a folder of 200 slices: {name}, s", wall, cpu, bar)
        for one in found:
            self.stalls.append(("first", {"longest": one["stall"], "own": one["stall own"], "worst": []}))

    def _turns(self, ours: Asked, napari: Asked, ask: Callable[[Asked], Any]) -> list[tuple[Any, Any]]:
        """Both asked in turns; the first round isn't kept."""
        return [(ask(ours), ask(napari)) for _ in range(self.rounds + 1)][1:]

    def _against(self, what: str, found: Sequence[Any], key: str, cpu: str, bar: float | None) -> None:
        texts = [
            [f"{statistics.median(f[side][k] for f in found):.1f} ms" if k else "" for k in (key, cpu)]
            for side in (0, 1)
        ]
        ratio = statistics.median(a[key] / b[key] for a, b in found)
        self._add((what, *texts[0], *texts[1], f"{ratio:.2f}", bar or "", _met(ratio, bar)))

    def _absolute(self, what: str, value: float, cpu: float | str, bar: float | None) -> None:
        self._add((what, value, cpu, "", "", "", bar or "", _met(value, bar)))

    def _add(self, row: Row) -> None:
        self.rows.append(row)
        print(*row, sep=" | ", file=sys.stderr, flush=True)

    def _done(self, part: str, ours: Asked, *others: Asked) -> None:
        found = ours("stalls")
        self.stalls.append((part, found))
        for line in found["worst"]:
            print(f"{part}: stall of {line}", file=sys.stderr, flush=True)
        for side in (ours, *others):
            side.end()


def _met(value: float, bar: float | None) -> str:
    return "" if bar is None else "yes" if value <= bar else "NO"


def main() -> None:
    """Measure and print."""
    parts = ("slices", "surfaces", "strokes", "undo", "memory", "opening", "first")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=", ".join(parts))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=Path, help="folder in which phantoms are kept for the next run")
    chosen = parser.parse_args()
    if not set(chosen.parts) <= set(parts):
        parser.error(f"parts are {', '.join(parts)}")
    with tempfile.TemporaryDirectory() as temporary:
        work = chosen.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        bench = Bench(work, chosen.rounds)
        for part in chosen.parts or parts:
            getattr(bench, part)()
    common.table(_HEAD, bench.rows)
    print()
    common.table(
        ("stalls of the event loop in", "longest, ms", "own, ms", "bar", "met"),
        [(p, 1000 * s["longest"], 1000 * s["own"], 100, _met(1000 * s["longest"], 100)) for p, s in bench.stalls],
    )


if __name__ == "__main__":
    main()
