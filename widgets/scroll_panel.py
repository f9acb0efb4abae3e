"""A panel that is shown whole where the screen has room for it, and scrolls where it hasn't."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import QFrame, QScrollArea, QWidget

_OTHERS_PX = 170  # menu, toolbar, status bar and the titles of two docks


class ScrollPanel(QScrollArea):
    """Holds a panel in a column of two docks. It takes the height that the panel needs, at most half the screen's."""

    def __init__(self, panel: QWidget, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName(f"{panel.objectName()}_scroll")
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setWidget(panel)
        self.setWidgetResizable(True)
        panel.installEventFilter(self)
        self._fit()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Follow the panel when its parts come and go."""
        if event.type() == QEvent.Type.LayoutRequest and watched is self.widget():
            self._fit()
        return super().eventFilter(watched, event)

    def minimumSizeHint(self) -> QSize:
        """What `_fit` found."""
        return self.minimumSize()

    def _fit(self) -> None:
        needs = self.widget().minimumSizeHint()
        room = (self.screen().availableGeometry().height() - _OTHERS_PX) // 2
        bar = self.verticalScrollBar().sizeHint().width() if needs.height() > room else 0
        self.setMinimumSize(needs.width() + bar, min(needs.height(), room))
