"""Starts the program with its window: one QApplication, logging, and what happens when something breaks."""

from __future__ import annotations

import gc
import logging
import logging.handlers
import os
import sys
import threading
from pathlib import Path
from types import TracebackType

from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import QApplication, QWidget

from contourdesk.app.reviews import review_at
from contourdesk.app.settings import data_dir, load_settings
from contourdesk.widgets.error_dialog import ErrorDialog
from contourdesk.widgets.language import load_language
from contourdesk.widgets.theme import apply_theme

log = logging.getLogger(__name__)


def start_logging() -> Path | None:
    """Log to ``contourdesk.log`` in the data folder (three files of 1 MB); None when that can't be written."""
    root = logging.getLogger()
    root.setLevel(logging.INFO)
    path = data_dir() / "contourdesk.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(path, maxBytes=1_000_000, backupCount=2, encoding="utf-8")
    except OSError:
        logging.basicConfig()
        log.warning("no log file can be written", exc_info=True)
        return None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    root.addHandler(handler)
    return path


class Watch(QObject):
    """Catches every exception that nobody else caught, in whatever thread: log, save, tell."""

    _caught = Signal(object)

    def __init__(self, window: QWidget, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._window = window
        self._shown: QWidget | None = None
        self._caught.connect(self._tell, Qt.ConnectionType.QueuedConnection)

    def install(self) -> None:
        """Become the hook for uncaught exceptions."""
        sys.excepthook = self.on_exception
        threading.excepthook = lambda args: self.on_exception(args.exc_type, args.exc_value, args.exc_traceback)

    def on_exception(self, kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
        """Python's hook; may come from any thread."""
        if issubclass(kind, KeyboardInterrupt):
            QApplication.quit()
            return
        log.critical("uncaught", exc_info=(kind, error or kind(), trace))
        self._caught.emit(error or kind())

    def _tell(self, error: BaseException) -> None:
        save = getattr(self._window, "save", None)
        if save is not None:
            save()
        if self._shown is not None:
            return  # one dialog is enough; the log has the rest
        dialog = ErrorDialog(self._window, error)
        self._shown = dialog
        dialog.finished.connect(self._forget)
        dialog.open()

    def _forget(self) -> None:
        self._shown = None


def make_application(arguments: list[str]) -> QApplication:
    """The one QApplication, with the program's name, and the user's language and look."""
    os.environ.setdefault("QT_API", "pyside6")
    existing = QApplication.instance()
    if isinstance(existing, QApplication):
        return existing
    # Each call into Qt lets Python's lock go, and by default takes 5 ms to get it back from a thread that works: a
    # progress bar would stop the window for half a second.
    sys.setswitchinterval(0.001)
    app = QApplication(arguments)
    app.setApplicationName("contourdesk")
    app.setApplicationDisplayName("Contourdesk")
    app.setDesktopFileName("contourdesk")
    settings, _ = load_settings()
    load_language(settings.language)
    apply_theme(app, settings.theme)
    return app


def run_gui(path: Path | None = None, sample: bool = False, resample: bool = False) -> int:
    """Open the window, with `path` (images or a review) or the sample case in it; return the exit code when it closes.

    With `resample`, a series at `path` that only resampling makes usable is resampled without asking.
    """
    start_logging()
    app = make_application(sys.argv[:1])
    from contourdesk.widgets.main_window import MainWindow  # napari takes seconds to import
    from contourdesk.widgets.warm_up import warm_up

    window = MainWindow()
    gc.freeze()  # what is there by now stays: collections need not look at it, which would take 0.1 s in mid-stroke
    watch = Watch(window, app)
    watch.install()
    window.show_on_screen()
    warming = warm_up(window, [view.canvas.prepare for view in window.view.planes.values()])
    app.lastWindowClosed.connect(warming.stop)
    if path is not None:
        review = review_at(path.absolute())  # a review folder stands for the images it was made on
        images = path if review is None else review.image_path
        QTimer.singleShot(0, window, lambda: window.open_path(images, review, resample=resample))
    elif sample:
        QTimer.singleShot(0, window, window.open_sample)
    return int(app.exec())
