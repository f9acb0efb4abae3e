"""A line for the path of a folder, or a file, with a button to choose it."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QWidget

from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import em, named, set_role


class PathRow(QWidget):
    """Typed or chosen; `changed` comes with each letter.

    Parameters
    ----------
    name : object name of the line; the button is called the same with "_browse".
    title : what the path is, for the file dialog and screen readers.
    kinds : of a file, as file dialogs have them; empty for a folder.
    """

    changed = Signal()

    def __init__(self, name: str, title: str, path: str = "", kinds: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title, self._kinds = title, kinds
        set_role(self, "plain")
        self.line = QLineEdit(path)
        named(self.line, name, title)
        self.browse = QPushButton(tr("Browse…"))
        named(self.browse, f"{name}_browse", tr("Choose: {what}").format(what=title))
        self.browse.setAutoDefault(False)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(em(self, 0.4))
        row.addWidget(self.line, 1)
        row.addWidget(self.browse)
        self.setFocusProxy(self.line)
        self.line.textChanged.connect(lambda _: self.changed.emit())
        self.browse.clicked.connect(self._on_browse)

    @property
    def text(self) -> str:
        """What stands there, without blanks round it."""
        return self.line.text().strip()

    @property
    def path(self) -> Path | None:
        """The path, absolute; None while nothing stands there."""
        return Path(self.text).expanduser().absolute() if self.text else None

    def set_path(self, path: Path | str) -> None:
        """Put a path there."""
        self.line.setText(str(path))

    def _on_browse(self) -> None:
        if self._kinds:
            chosen, _ = QFileDialog.getOpenFileName(self, self._title, self.text, self._kinds)
        else:
            chosen = QFileDialog.getExistingDirectory(self, self._title, self.text)
        if chosen:
            self.line.setText(chosen)
