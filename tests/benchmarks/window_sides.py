"""The two windows that bench_window.py compares, each in a process of its own that does what it is asked.

``python window_sides.py ours|napari`` reads one JSON list a line, ``["method", argument, ...]``, and answers with one
JSON line; the first one makes the window. Both windows have the same size. A frame is what Qt paints when it is told
to: posted events first, then the pending update of the whole window.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import window_phantom as phantom

SIZE = (1600, 1000)
STEPS, MOVES = 20, 20
BRUSH_MM, MOVE_MM = 20.0, 3.0


def clock() -> tuple[float, float]:
    """Seconds now, and processor seconds of all threads."""
    return time.perf_counter(), time.process_time()


def since(start: tuple[float, float]) -> tuple[float, float]:
    """Seconds and processor seconds from `start` on."""
    return time.perf_counter() - start[0], time.process_time() - start[1]


def resident_mib() -> float:
    """What of this process is in memory."""
    gc.collect()
    with open("/proc/self/statm") as stream:
        return int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


class Side:
    """What both have: an application, a window, frames, strokes."""

    def begin(self) -> None:
        """Something is going to be asked."""

    def end(self) -> None:
        """Nothing is done until the next question."""

    def frame(self) -> None:
        """Paint what is to be painted, once: what was posted first, then the window's pending update."""
        from qtpy.QtCore import QEvent

        self.app.sendPostedEvents()
        self.app.sendEvent(self.window, QEvent(QEvent.Type.UpdateRequest))

    def settle(self, least_s: float = 0.3, most_s: float = 15.0) -> None:
        """Wait until nothing works in the background, or no longer."""
        begun = time.perf_counter()
        until = begun + least_s
        while time.perf_counter() < min(until, begun + most_s):
            self.app.processEvents()
            time.sleep(0.005)
            if any(t.name.startswith("job-") for t in threading.enumerate()):
                until = max(until, time.perf_counter() + 0.1)

    def slices(self) -> dict[str, float]:
        """Milliseconds from a step to the painted frame, the median of `STEPS`."""
        self.go(phantom.MIDDLE)
        self.settle()
        took = []
        for n in range(1, STEPS + 1):
            start = clock()
            self.go(phantom.MIDDLE + n)
            self.frame()
            took.append(since(start))
            self.app.processEvents()
        return _medians(took)

    def stroke(self, where: str) -> dict[str, float]:
        """Milliseconds of a move with its frame (median), and of the whole stroke from press to the last frame."""
        from qtpy.QtCore import QPoint, Qt
        from qtpy.QtTest import QTest

        left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        self.prepare(where)
        self.settle()
        native, at, px = self.target(where)
        took, whole = [], clock()
        QTest.mousePress(native, left, none, at)
        self.frame()
        for n in range(1, MOVES + 1):
            start = clock()
            point = at + QPoint(round(n * MOVE_MM * px / 2), round(MOVE_MM * px * np.sin(n)))
            QTest.mouseMove(native, point)
            self.frame()
            took.append(since(start))
            self.app.processEvents()
        end = clock()
        QTest.mouseRelease(native, left, none, point)
        self.frame()
        released, total = since(end), since(whole)
        self.take_back()
        self.settle(2.0)
        out = _medians(took)
        out |= {"release": released[0] * 1000, "stroke": total[0] * 1000, "stroke CPU": total[1] * 1000}
        return out

    def painted(self) -> int:
        """How often the image's canvas is painted in the frame after a step: never, and what is timed is no frame."""
        from qtpy.QtCore import QEvent, QObject

        class Counter(QObject):
            seen = 0

            def eventFilter(self, watched, event):
                self.seen += event.type() == QEvent.Type.Paint
                return False

        counter = Counter()
        self.go(phantom.MIDDLE - 1)
        self.settle()
        native, _, _ = self.target("organ")
        native.installEventFilter(counter)
        self.go(phantom.MIDDLE)
        self.frame()
        native.removeEventFilter(counter)
        return counter.seen


def _medians(took: list[tuple[float, float]]) -> dict[str, float]:
    wall, cpu = zip(*took, strict=True)
    return {"ms": statistics.median(wall) * 1000, "CPU": statistics.median(cpu) * 1000, "longest": max(wall) * 1000}


class Napari(Side):
    """Bare napari: the image and one Labels layer with the same shown structures."""

    def __init__(self, volume: str) -> None:
        import napari
        from qtpy.QtWidgets import QApplication

        array = np.load(volume)
        self.viewer = napari.Viewer()
        self.app, self.window = QApplication.instance(), self.viewer.window._qt_window
        self.window.resize(*SIZE)
        self.viewer.add_image(array, scale=phantom.SPACING, contrast_limits=(-160, 240))
        labels = np.zeros(phantom.SHAPE, np.uint8)
        for n, mask in enumerate(phantom.masks()[: phantom.SHOWN], 1):
            labels[mask.box][mask.bits] = n
        self.layer = self.viewer.add_labels(labels, scale=phantom.SPACING)
        self.settle(1.0)

    def go(self, z: int) -> None:
        """Show a slice."""
        self.viewer.dims.set_current_step(0, z)

    def prepare(self, where: str) -> None:
        """Take the brush."""
        self.go(phantom.MIDDLE)
        self.layer.mode = "paint"
        self.layer.brush_size = round(BRUSH_MM / phantom.SPACING[1])
        self.layer.selected_label = 1 if where == "body" else 5

    def target(self, where: str):
        """The widget to press on, where, and pixels per mm."""
        from qtpy.QtCore import QPoint

        native = self.viewer.window._qt_viewer.canvas.native
        return native, native.rect().center() - QPoint(0, 60), self.viewer.scene.camera.zoom

    def take_back(self) -> None:
        """Undo the stroke, which must be there."""
        before = self.layer.data[phantom.MIDDLE].copy()
        self.layer.undo()
        assert (before != self.layer.data[phantom.MIDDLE]).any(), "the mouse painted nothing"


class Ours(Side):
    """The whole main window with a review in it, kept in a folder; `SHOWN` of the structures are shown."""

    def __init__(self, volume: str = "", empty: bool = False) -> None:
        os.environ["CONTOURDESK_HOME"] = tempfile.mkdtemp()
        from contourdesk.widgets.application import make_application

        self.app = make_application([])
        from watchdog import Watchdog

        from contourdesk.widgets.main_window import MainWindow
        from contourdesk.widgets.warm_up import warm_up

        self.window = MainWindow()
        gc.freeze()  # as `run_gui` does
        self.window.resize(*SIZE)
        self.window.show()
        warm_up(self.window, [view.canvas.prepare for view in self.window.view.planes.values()])
        self.settle(2.0)  # as long as it takes a user to choose a case
        self.dog = Watchdog()
        if volume:
            self.array = np.load(volume)
            self.show(phantom.session(self.array, empty=empty))

    def show(self, review) -> None:
        """Put a review into the window, as opening does at its end."""
        from contourdesk.app.jobs import run
        from contourdesk.app.project import open_review

        self.review = review
        if self.window.session is not None:
            self.window.autosave.end()
        folder = Path(tempfile.mkdtemp()) / "review"
        journal = run(open_review(review.snapshot(), folder))
        self.dog.start()
        for step in self.window.steps_to_show(review, folder, journal, ()):
            step()
            self.app.processEvents()
        for s in list(review.structures)[phantom.SHOWN :]:
            self.window.table.model.set_visible(s.id, False)
        self.settle(2.5)

    def begin(self) -> None:
        """The watchdog watches while the window works."""
        self.dog.start()

    def end(self) -> None:
        """And not while it waits for its turn."""
        self.dog.pause()

    def go(self, z: int) -> None:
        """Show a slice."""
        view = self.window.view
        view.step_slice(z - view.cross_index[0])

    def lay_out(self, kind: str) -> int:
        """Another layout of the views; returns how many surfaces there are when all have been made."""
        view = self.window.view
        view.layouts.choose(kind, "axial")
        self.settle(4.0)
        return len(view.surfaces.surfaces)

    def _chosen(self, where: str):
        return list(self.review.structures)[0 if where == "body" else 5]

    def prepare(self, where: str) -> None:
        """Take the brush for a structure."""
        view, s = self.window.view, self._chosen(where)
        self.window.table.set_active(s.id)
        self.go(phantom.MIDDLE)
        view.set_tool("paint")
        view.set_brush_mm(BRUSH_MM)

    def target(self, where: str):
        """The widget to press on, where, and pixels per mm."""
        pane = self.window.view.planes["axial"]
        y, x = (100, 200) if where == "body" else (137, 320)
        return pane.native, pane.position_of((phantom.MIDDLE, y, x)).toPoint(), pane.canvas.zoom

    def take_back(self) -> None:
        """Undo the stroke, which must be there."""
        assert self.review.undo_text.startswith("Paint"), "the mouse painted nothing"
        self.window.undo()

    def undo(self) -> dict[str, list[float]]:
        """Milliseconds of undo and of redo, to the painted frame, for each kind of step."""
        review, out = self.review, {}
        with self.dog.paused():
            more = phantom.structures(review.structures.grid, "other", "P")
        body, organ = (self._chosen(where).id for where in ("body", "organ"))
        steps = {
            "brush stroke on an organ": lambda: phantom.stroke(review, organ, (100, 137, 320), ball=False),
            "brush stroke on the body": lambda: phantom.stroke(review, body, (100, 100, 200), ball=False),
            "ball on an organ": lambda: phantom.stroke(review, organ, (100, 137, 320), ball=True),
            "ball on the body": lambda: phantom.stroke(review, body, (100, 100, 200), ball=True, mm=60),
            "margin of an organ": lambda: phantom.grow(review, organ),
            "margin of the body": lambda: phantom.grow(review, body, shrink=True),
            "delete of the body": lambda: review.delete(body),
            "decision": lambda: review.decide(organ, "accepted"),
            "60 proposals": lambda: review.add_proposals(more),
        }
        for name, do in steps.items():
            before = review.revision
            with self.dog.paused():  # the margin itself is computed in a worker in the real window
                do()
            assert review.revision > before, name
            self.frame()
            self.settle(0.5, 2.0)
            out[name] = []
            for change in (self.window.undo, self.window.redo):
                start = clock()
                change()
                self.frame()
                out[name] += [1000 * t for t in since(start)]
                self.settle(0.5, 2.0)
            self.window.undo()
            self.frame()
        return out

    def memory(self) -> dict[str, float]:
        """MiB: what is resident with the image alone, with the structures, and after all edits; without the image."""
        size = self.array.nbytes / 2**20
        out = {"window and image": resident_mib() - size}
        with self.dog.paused():
            self.show(phantom.session(self.array))
        out["with 60 structures"] = resident_mib() - size
        todo = phantom.edits(self.review)
        while True:
            with self.dog.paused():
                if next(todo, self) is self:
                    break
            self.frame()
            self.app.processEvents()
        self.settle(3.0)
        held = sum(s.mask.bits.nbytes for s in self.review.structures) / 2**20
        assert len(self.review.edits) == phantom.EDITS, "the history has forgotten edits"
        history = self.review._history.nbytes / 2**20
        return out | {"with 500 edits": resident_mib() - size, "masks": held, "history": history}

    def open(self, ct: str, folder: str) -> dict[str, float]:
        """Seconds from choosing a saved review to its painted page."""
        from qtpy.QtCore import QEventLoop, QTimer

        from contourdesk.app.reviews import review_at

        info, loop, timer = review_at(Path(folder)), QEventLoop(), QTimer()
        timer.timeout.connect(lambda: self.window.reviewing and loop.quit())
        timer.start(5)
        QTimer.singleShot(120_000, loop.quit)
        start = clock()
        self.window.open_path(Path(ct), info)
        loop.exec()
        self.frame()
        took = since(start)
        found = self.window.session
        assert (len(found.structures), len(found.edits)) == (phantom.STRUCTURES, phantom.EDITS)
        self.settle(3.0)
        return {"s": took[0], "CPU": took[1]}

    def stalls(self) -> dict[str, object]:
        """How long the event loop did not turn at the most, until now."""
        own = self.dog.longest_own
        return {"longest": self.dog.longest, "own": own, "worst": [str(s) for s in self.dog.worst(8)]}


def main() -> None:
    """Answer until the input ends."""
    answers, sys.stdout = sys.stdout, sys.stderr
    side: Side | None = None
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        if side is None:
            side = {"ours": Ours, "napari": Napari}[sys.argv[1]](*arguments)
            side.end()
            result: object = "ready"
        else:
            side.begin()
            result = getattr(side, name)(*arguments)
            side.end()
        print(json.dumps(result), file=answers, flush=True)
    os._exit(0)  # nothing that was measured is to be kept


if __name__ == "__main__":
    main()
