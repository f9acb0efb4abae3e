"""Runs the worklist: looks for cases in a worker, says which is next, and reads it ahead."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import QObject, QTimer, Signal
from qtpy.QtWidgets import QFileDialog

from contourdesk.app.case import Case
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.read_ahead import Ahead, read_ahead, still_true
from contourdesk.app.worklist import Row
from contourdesk.app.worklist_scan import known, update
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.worklist_page import WorklistPage

_CALM_MS = 3000  # after a case was opened, before the next is read: its own reading comes first


class WorklistControl(QObject):
    """Keeps a `WorklistPage` filled.

    `wanted` carries the `Row` to open; `shown` and `left` ask for the page and away from it; `folders_changed` carries
    the paths of the folders as texts; `changed` comes when there may be another next case; `failed` an exception.
    """

    wanted = Signal(object)
    shown = Signal()
    left = Signal()
    folders_changed = Signal(object)
    changed = Signal()
    failed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.page = WorklistPage()
        self._folders: tuple[Path, ...] = ()
        self._reviews = Path()
        self._open: tuple[Path, str] | None = None
        self._ahead: Ahead | None = None
        self._waiting: Job[list[Row]] | None = None
        self.runner, self.reader = JobRunner(self), JobRunner(self)
        self.runner.progressed.connect(self._on_progress)
        self.runner.succeeded.connect(self._on_rows)
        self.runner.failed.connect(self._on_failed)
        self.reader.succeeded.connect(self._on_read)
        self._calm = QTimer(self)
        self._calm.setSingleShot(True)
        self._calm.setInterval(_CALM_MS)
        self._calm.timeout.connect(self._read_next)
        page = self.page
        page.refresh_wanted.connect(self.look)
        page.open_row.connect(self.wanted)
        page.left.connect(self.left)
        page.folder_wanted.connect(self._ask_folder)
        page.folder_unwanted.connect(lambda folder: self._change_folders([f for f in self._folders if f != folder]))

    # -- what the window uses -------------------------------------------------------------------------------------

    def set_places(self, folders: Sequence[str], reviews: Path) -> None:
        """Make the list of these folders, with the reviews in `reviews`; what was found last is shown at once."""
        paths = tuple(Path(folder) for folder in folders)
        if (paths, reviews) == (self._folders, self._reviews):
            return
        self._folders, self._reviews = paths, reviews
        self.page.set_folders(paths)
        self.page.set_rows(())
        if paths:
            self._start(known(paths, reviews))

    def show(self) -> None:
        """Show the page, and look what is new."""
        self.shown.emit()
        self.look()
        self.page.table.setFocus()

    def look(self) -> None:
        """Look for cases and reviews."""
        if self._folders:
            self._start(update(self._folders, self._reviews))

    @property
    def has_next(self) -> bool:
        """Whether there is a next case."""
        return self.page.next_row() is not None

    def open_next(self) -> None:
        """Open the next case that is not done."""
        self.page.open_next()

    def opened(self, place: Path, series: str) -> None:
        """A case was opened, from the list or otherwise: the next one is after it."""
        self._ahead, self._open = None, (place, series)
        self._find_open()

    def ready(self, place: Path, series: str) -> Job[Case | None] | None:
        """The job that gives a case which was read ahead, if this is the one."""
        self._calm.stop()
        self.reader.cancel()
        ahead, self._ahead = self._ahead, None
        return still_true(ahead) if ahead is not None and (ahead.place, ahead.uid) == (place, series) else None

    def stop(self, timeout_s: float) -> None:
        """Stop all that runs, for closing the window."""
        self._calm.stop()
        for runner in (self.runner, self.reader):
            runner.cancel()
        for runner in (self.runner, self.reader):
            runner.wait(timeout_s)

    # -- slots ----------------------------------------------------------------------------------------------------

    def _ask_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self.page, tr("Add a folder of cases"))
        if chosen:
            self.add_folder(Path(chosen))

    def add_folder(self, folder: Path) -> None:
        """Put a folder of cases on the list."""
        if folder not in self._folders:
            self._change_folders([*self._folders, folder])

    def _change_folders(self, folders: Sequence[Path]) -> None:
        self.folders_changed.emit(tuple(str(folder) for folder in folders))
        self.set_places([str(folder) for folder in folders], self._reviews)
        self.look()

    def _start(self, job: Job[list[Row]]) -> None:
        if self.runner.running:
            self._waiting = job
            return
        self.page.set_busy(tr("Looking for cases…"))
        self.runner.start(job, harmless=True)

    def _on_progress(self, step: Progress) -> None:
        self.page.set_busy(
            tr("{text} ({done} of {total})").format(text=step.text, done=step.done + 1, total=step.total)
            if step.total
            else step.text
        )

    def _on_rows(self, rows: list[Row]) -> None:
        self.page.set_busy("")
        waiting, self._waiting = self._waiting, None
        self.page.set_rows(rows)
        self._find_open()
        if waiting is not None:
            self._start(waiting)

    def _on_failed(self, error: Exception) -> None:
        self.page.set_busy("")
        self.failed.emit(error)

    def _find_open(self) -> None:
        """Note which row is the open case, and read the one after it when all is calm."""
        place, series = self._open or (None, "")
        mine = [row for row in self.page.rows if row.uid in ("", series)]
        key = next((row.key for row in mine if place is not None and _holds(row.place, place)), None)
        if key is not None:
            self.page.set_current(key)
            if self._ahead is None:
                self._calm.start()
        self.changed.emit()

    def _read_next(self) -> None:
        row = self.page.next_row()
        if row is not None and not self.reader.running:
            self.reader.start(read_ahead(row.place, row.uid), harmless=True)

    def _on_read(self, ahead: Ahead | None) -> None:
        self._ahead = ahead


def _holds(place: Path, image: Path) -> bool:
    """Whether the images at `image` are those of a case's place, which may be a folder above them."""
    return image == place or place in image.parents
