"""The list of what the automatic checks found; a click leads to the place."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QLabel, QListView, QListWidget, QListWidgetItem, QSizePolicy, QVBoxLayout, QWidget

from contourdesk.app.checks import Finding
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import em, icon, icon_size, named, set_role

_WORDS = {"error": "Almost surely wrong", "warning": "Worth a look", "info": "For your information"}


class FindingsList(QWidget):
    """Heading and list. `chosen` carries the `Finding` that was clicked, or chosen with Enter."""

    chosen = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.heading = QLabel(tr("Checks"))
        named(self.heading, "findings_heading")
        set_role(self.heading, "heading")
        self.list = QListWidget()
        named(
            self.list,
            "findings",
            tr("Findings of the automatic checks"),
            tr("Click a line, or press Enter on it, to go there"),
        )
        self.list.setWordWrap(True)
        self.list.setIconSize(icon_size(self, 0.9))
        self.list.setResizeMode(QListView.ResizeMode.Adjust)  # or lines keep the height of an earlier width
        self.list.setTextElideMode(Qt.TextElideMode.ElideNone)
        self.list.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.list.setMinimumHeight(em(self, 6))
        # No height of its own: it takes what is left, and scrolls by itself, not with the whole panel.
        self.list.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
        self.list.itemClicked.connect(self._on_item)
        self.list.itemActivated.connect(self._on_item)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(em(self, 0.3))
        layout.addWidget(self.heading)
        layout.addWidget(self.list, 1)

    def clear(self) -> None:
        """Show nothing, as before any check."""
        self.list.clear()
        self._say(tr("Checks"))

    def set_checking(self) -> None:
        """Say that checks are running; what was found before stays, for it mostly still holds."""
        self._say(tr("Checking…"))

    def set_failed(self) -> None:
        """Say that the checks could not be made."""
        self.list.clear()
        self._say(tr("The checks failed; see the log"))

    def set_found(self, found: Sequence[Finding]) -> None:
        """List what was found."""
        row = self.list.currentRow()
        self.list.clear()
        for finding in found:
            item = QListWidgetItem(icon(f"finding-{finding.severity}"), finding.text)
            item.setData(Qt.ItemDataRole.UserRole, finding)
            item.setToolTip(tr("{severity}. Click to go there.").format(severity=tr(_WORDS[finding.severity])))
            item.setData(Qt.ItemDataRole.AccessibleTextRole, f"{_WORDS[finding.severity]}: {finding.text}")
            self.list.addItem(item)
        self.list.setCurrentRow(min(row, len(found) - 1))
        grave = sum(f.severity != "info" for f in found)
        notes = len(found) - grave
        parts = [f"{grave} to look at"] if grave else []
        parts += [f"{notes} note{'s' if notes != 1 else ''}"] if notes else []
        self._say(tr("Checks: {parts}").format(parts=", ".join(parts) or "nothing found"))

    def _say(self, text: str) -> None:
        self.heading.setText(text)
        self.list.setAccessibleDescription(text)

    def _on_item(self, item: QListWidgetItem) -> None:
        self.chosen.emit(item.data(Qt.ItemDataRole.UserRole))
