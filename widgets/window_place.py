"""Where window and panels are: remembered from one start to the next, and put back as at first when asked."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QByteArray, Qt, QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow, QToolBar

from contourdesk.app.settings import Settings
from contourdesk.widgets.scroll_panel import share_column
from contourdesk.widgets.theme import em

_VERSION = 1  # of the panels there are; what another version has kept is not taken


class WindowPlace:
    """Shows the window, and its panels while a case is reviewed.

    `docks` are four, two for each side, with their area; the toolbar comes and goes with them.
    """

    def __init__(
        self,
        window: QMainWindow,
        docks: Sequence[tuple[QDockWidget, Qt.DockWidgetArea]],
        toolbar: QToolBar,
        settings: Settings,
    ) -> None:
        self._window, self._docks, self._toolbar = window, docks, toolbar
        self._place = QByteArray.fromBase64(settings.window_place.encode())
        self._panels = QByteArray.fromBase64(settings.window_panels.encode())
        self._shown = False

    def show(self) -> None:
        """Show the window where it was, or else filling a small screen and leaving a margin on a large one."""
        window = self._window
        if not self._place.isEmpty() and window.restoreGeometry(self._place):
            window.show()
            return
        room = window.screen().availableGeometry()
        if room.height() < 1000:
            window.resize(room.size())
            window.showMaximized()
        else:
            window.resize(round(room.width() * 0.92), round(room.height() * 0.92))
            window.move(room.center() - window.rect().center())
            window.show()

    def show_panels(self, shown: bool) -> None:
        """Show the panels as they were when they were last seen, or hide them."""
        if self._shown and not shown:
            self._panels = self._window.saveState(_VERSION)
        arriving, self._shown = shown and not self._shown, shown
        if shown and not arriving:
            return
        for bar in (self._toolbar, *(dock for dock, _ in self._docks)):
            bar.setVisible(shown)
        if arriving and (self._panels.isEmpty() or not self._window.restoreState(self._panels, _VERSION)):
            QTimer.singleShot(0, self._window, self._arrange)

    def reset(self) -> None:
        """Put the panels back as at first."""
        for dock, area in self._docks:
            self._window.removeDockWidget(dock)
            self._window.addDockWidget(area, dock)
            dock.setVisible(self._shown)
        self._panels.clear()
        QTimer.singleShot(0, self._window, self._arrange)

    def kept(self) -> dict[str, str]:
        """What is to be kept in the settings."""
        panels = self._window.saveState(_VERSION) if self._shown else self._panels
        return {
            "window_place": self._window.saveGeometry().toBase64().data().decode(),
            "window_panels": panels.toBase64().data().decode(),
        }

    def _arrange(self) -> None:
        """Narrow docks, the lists as high as can be."""
        structures, segment, edit, review = (dock for dock, _ in self._docks)
        window = self._window
        window.resizeDocks([structures, edit], [em(window, 17), em(window, 19)], Qt.Orientation.Horizontal)
        window.resizeDocks([structures, segment], [5000, 1], Qt.Orientation.Vertical)
        share_column(window, edit, review)
