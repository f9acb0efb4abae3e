"""A bar above the images for what stays true until it is over: not saved, taken over, someone else's review."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QWidget

from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import em, named, set_role


class Notice(QFrame):
    """Shows one text with at most one button; can't be dismissed, only be over."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        named(self, "notice", tr("Notice"))
        set_role(self, "notice")
        self._action: Callable[[], None] | None = None
        self.label, self.button = QLabel(), QPushButton()
        named(self.label, "notice_text", tr("Notice"))
        self.label.setWordWrap(True)
        self.label.setTextFormat(Qt.TextFormat.PlainText)
        self.label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        named(self.button, "notice_button", tr("Act on the notice"))
        self.button.clicked.connect(self._on_clicked)
        row = QHBoxLayout(self)
        row.setContentsMargins(em(self, 0.7), em(self, 0.3), em(self, 0.5), em(self, 0.3))
        row.setSpacing(em(self, 0.8))
        row.addWidget(self.label, 1)
        row.addWidget(self.button, 0, Qt.AlignmentFlag.AlignVCenter)
        self.hide()

    def tell(self, text: str, button: str = "", action: Callable[[], None] | None = None, tip: str = "") -> None:
        """Show a text, and a button if it has a name; an empty text hides the bar."""
        self._action = action
        self.label.setText(text)
        self.setAccessibleDescription(text)
        self.button.setText(button)
        self.button.setAccessibleName(button)
        self.button.setToolTip(tip)
        self.button.setVisible(bool(button))
        self.setVisible(bool(text))

    def _on_clicked(self) -> None:
        if self._action is not None:
            self._action()
