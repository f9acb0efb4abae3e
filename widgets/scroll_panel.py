"""Panels in one column of docks: shown whole where there is room for them, scrolled where there isn't."""

from __future__ import annotations

from typing import cast

from qtpy.QtCore import QEvent, QObject, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QResizeEvent
from qtpy.QtWidgets import QDockWidget, QFrame, QMainWindow, QScrollArea, QWidget

from contourdesk.widgets.theme import em

_LEAST_EM = 11  # a panel keeps this height whatever the other needs: its title, its most used buttons


class ScrollPanel(QScrollArea):
    """Holds a panel. `needs_changed` comes when the panel's height for showing all of it is another."""

    needs_changed = Signal()

    def __init__(self, panel: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(f"{panel.objectName()}_scroll")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setWidget(panel)
        self.setWidgetResizable(True)
        self._width = self._needs = 0
        panel.installEventFilter(self)
        self._fit()

    @property
    def needs(self) -> int:
        """Height in which the panel is shown whole."""
        return self._needs

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the panel when its parts come and go."""
        if event.type() == QEvent.Type.LayoutRequest and watched is self.widget():
            self._fit()
        return super().eventFilter(watched, event)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Another width breaks the lines elsewhere."""
        super().resizeEvent(event)
        if event.size().width() != event.oldSize().width():
            self._fit()

    def minimumSizeHint(self) -> QSize:
        """What `_fit` found."""
        return self.minimumSize()

    def sizeHint(self) -> QSize:
        """The whole panel."""
        return QSize(self.minimumWidth(), self._needs)

    def _fit(self) -> None:
        hint = self.widget().minimumSizeHint()
        # Room for the scroll bar is always kept, and the width only grows: nothing jumps sideways.
        self._width = max(self._width, hint.width() + self.verticalScrollBar().sizeHint().width())
        self.setMinimumSize(self._width, min(hint.height(), em(self, _LEAST_EM)))
        # Broken lines of text need more in a narrow column than the hint knows.
        needs = max(hint.height(), self.widget().heightForWidth(max(self.viewport().width(), hint.width())))
        if needs != self._needs:
            self._needs = needs
            self.needs_changed.emit()


def share_column(window: QMainWindow, upper: QDockWidget, lower: QDockWidget) -> None:
    """Give the upper dock the height that its panel needs and the lower the rest, now and when their needs change.

    Where there isn't room for both, each gets at least what it needs or half. The user may still drag the border.
    """
    first, second = cast(ScrollPanel, upper.widget()), cast(ScrollPanel, lower.widget())

    def share(again: bool = True) -> None:
        first.setMaximumHeight(first.needs)  # what a larger window has more is for the other
        total = first.height() + second.height()
        if not (upper.isVisible() and lower.isVisible()) or total <= 0:
            return
        height = min(first.needs, max(total - second.needs, total // 2))
        title = upper.height() - first.height()
        rest = total - height + lower.height() - second.height()
        window.resizeDocks([upper, lower], [height + title, rest], Qt.Orientation.Vertical)
        if again:  # Qt shares by what it knew of the panels before this call
            QTimer.singleShot(0, window, lambda: share(False))

    timer = QTimer(window)
    timer.setSingleShot(True)
    timer.timeout.connect(lambda: share())
    for panel in (first, second):
        panel.needs_changed.connect(timer.start)
    share()
