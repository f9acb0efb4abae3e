"""Folders, files and zips that are dropped anywhere on the window."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QEvent, QMimeData, QObject, Signal
from qtpy.QtGui import QDropEvent
from qtpy.QtWidgets import QWidget

from contourdesk.widgets.language import tr


class Dropping(QObject):
    """Watches a window: `dropped` carries the path, `said` a text when there were several."""

    dropped = Signal(object)  # Path
    said = Signal(str)

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        window.setAcceptDrops(True)
        window.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take what has a place on this computer; all else goes its way."""
        if isinstance(event, QDropEvent) and event.type() in (QEvent.Type.DragEnter, QEvent.Type.Drop):
            paths = local_paths(event.mimeData())
            if paths:
                event.acceptProposedAction()
                if event.type() == QEvent.Type.Drop:
                    self._take(paths)
                return True
        return super().eventFilter(watched, event)

    def _take(self, paths: list[Path]) -> None:
        self.dropped.emit(paths[0])
        if len(paths) > 1:
            self.said.emit(tr("One case is open at a time: {name} was taken.").format(name=paths[0].name))


def local_paths(data: QMimeData) -> list[Path]:
    """The files and folders that are dragged."""
    return [Path(url.toLocalFile()) for url in data.urls() if url.isLocalFile()]
