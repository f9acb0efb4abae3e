"""The self-test's long part: the real window opens the sample case, segments, accepts and exports, with pictures.

It proves a new installation, or the desktop build, from the screen to the file in the end. Everything it makes goes
into one folder; the user's settings and reviews are not touched.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from qtpy.QtCore import QObject, QTimer
from qtpy.QtWidgets import QApplication, QDialog, QLineEdit, QPushButton

from contourdesk.app.doctor import Line
from contourdesk.app.settings import Settings, save_settings
from contourdesk.widgets.application import Watch, make_application
from contourdesk.widgets.main_window import MainWindow

STEP_S = 900.0
_LOOK_MS = 50
_DRAWN_MS = 700  # from a change to a picture of it: the canvases draw when they are idle
_Steps = Iterator[tuple[str, Callable[[], bool]]]


def check_window(folder: Path) -> list[Line]:
    """Work on the sample case in the real window; pictures, settings and the exported file lie in `folder` then."""
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["CONTOURDESK_HOME"] = str(folder / "home")
    save_settings(Settings(reviewer="Self-test"))
    app = make_application(["contourdesk"])
    window = MainWindow()
    watch = Watch(window, app)
    watch.install()
    window.show_on_screen()
    walk = _Walk(window, folder)
    app.exec()
    return walk.lines


class _Walk(QObject):
    """Goes on to the next step when what the last one waits for is there; ends the event loop after the last."""

    def __init__(self, window: MainWindow, folder: Path) -> None:
        super().__init__(window)
        self.lines: list[Line] = []
        self._window, self._folder = window, folder
        self._steps = self._make_steps()
        self._what, self._done = "start", window.isVisible
        self._since = time.monotonic()
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOK_MS)
        self._timer.timeout.connect(self._look)
        self._timer.start()

    def _make_steps(self) -> _Steps:
        window = self._window
        window.open_sample()
        yield "open", lambda: window.reviewing
        window.made["segment_start"].trigger()
        yield "segment", lambda: not window.predict.running and bool(self._found())
        window.table.set_active(max(self._found(), key=lambda s: s.mask.bits.sum()).id)
        window.made["go_centre"].trigger()
        for structure in self._found():
            window.table.set_active(structure.id)
            window.decide("accepted")
        yield "accept", lambda: all(s.decision.accepted for s in self._found())
        window.ask_export()
        dialog = window.findChild(QDialog, "export_dialog")
        dialog.findChild(QLineEdit, "export_folder").setText(str(self._folder / "export"))
        dialog.findChild(QPushButton, "export_start").click()
        yield "export", lambda: any((self._folder / "export").rglob("RTSTRUCT*.dcm")) and not dialog.runner.running
        dialog.reject()

    def _found(self) -> list:
        session = self._window.session
        return [] if session is None else [s for s in session.structures if not s.mask.is_empty]

    def _look(self) -> None:
        took = time.monotonic() - self._since
        error = next((w for w in QApplication.topLevelWidgets() if w.objectName() == "error_dialog"), None)
        if error is not None and error.isVisible():
            self._end(Line("Window", self._what, "fail", error.accessibleName(), "See the pictures and the log."))
        elif self._done():
            self.lines.append(Line("Window", self._what, "ok", f"done in {took:.1f} s"))
            self._timer.stop()
            QTimer.singleShot(_DRAWN_MS, self, self._next)
        elif took > STEP_S:
            self._end(Line("Window", self._what, "fail", f"not done in {took:.0f} s", "See the pictures and the log."))

    def _next(self) -> None:
        self._picture(self._what)
        try:
            self._what, self._done = next(self._steps)
        except StopIteration:
            self._end(None)
            return
        self._since = time.monotonic()
        self._timer.start()

    def _end(self, line: Line | None) -> None:
        self._timer.stop()
        if line is not None:
            self._picture(self._what)
            self.lines.append(line)
        self._window.close()
        QApplication.quit()

    def _picture(self, name: str) -> None:
        place = self._window.frameGeometry()
        shot = self._window.screen().grabWindow(0, place.x(), place.y(), place.width(), place.height())
        shot.save(str(self._folder / f"{len(self.lines)}-{name}.png"))
