"""Says what went wrong: a fact and an advice, or for a bug that the work is safe and where the log is."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog, QDialogButtonBox, QLabel, QMessageBox, QPlainTextEdit, QVBoxLayout, QWidget

from contourdesk.app.errors import UserError
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import em, named, set_role

log = logging.getLogger(__name__)


def describe(error: BaseException) -> tuple[str, str]:
    """Fact and advice for an error, in words that a clinician can use."""
    if isinstance(error, UserError):
        return error.message, error.what_to_do
    if isinstance(error, OSError) and error.errno == 28:
        return "The disk is full.", "Free some space, then save again. The session stays open and loses nothing."
    if isinstance(error, PermissionError | OSError) and error.errno in (1, 13, 30):
        where = f" {Path(str(error.filename)).name}" if error.filename else ""
        return f"This place can't be written to:{where}", "Choose another folder. The session stays open."
    if isinstance(error, MemoryError):
        return "There is not enough memory for this.", "Close other programs and try again."
    return "Something went wrong. Your work is saved.", "You can go on. If it happens again, send us the log file."


def log_file() -> Path | None:
    """The file that the program's log goes to, or None."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            return Path(handler.baseFilename)
    return None


class ErrorDialog(QDialog):
    """Fact in bold, advice below; for a bug the traceback behind a button, and the path of the log."""

    def __init__(self, parent: QWidget | None, error: BaseException, title: str = "") -> None:
        super().__init__(parent)
        self.setObjectName("error_dialog")
        self.setWindowTitle(title or "Contourdesk")
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        fact, advice = describe(error)
        expected = isinstance(error, UserError | OSError | MemoryError)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*[em(self, 1.2)] * 4)
        layout.setSpacing(em(self, 0.5))
        for name, text, role in (("error_fact", fact, "strong"), ("error_advice", advice, "")):
            label = QLabel(text)
            named(label, name)
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            label.setVisible(bool(text))
            set_role(label, role)
            layout.addWidget(label)
        self.details = QPlainTextEdit("".join(traceback.format_exception(error)))
        named(self.details, "error_details", tr("Details of the error"))
        self.details.setReadOnly(True)
        self.details.setMinimumHeight(em(self, 12))
        self.details.hide()
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok)
        named(buttons, "error_buttons")
        buttons.accepted.connect(self.accept)
        where = log_file()
        if not expected:
            more = buttons.addButton(tr("Details"), QDialogButtonBox.ButtonRole.ActionRole)
            named(more, "error_show_details", tr("Show or hide the details"))
            more.clicked.connect(self._toggle_details)
        if not expected and where is not None:
            path = QLabel(tr("Log file: {where}").format(where=where))
            named(path, "error_log")
            path.setWordWrap(True)
            path.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
            set_role(path, "muted")
            layout.addWidget(path)
        layout.addWidget(self.details, 1)
        layout.addSpacing(em(self, 0.5))
        layout.addWidget(buttons)
        self.setMinimumWidth(em(self, 28))
        self.setAccessibleName(f"{fact} {advice}")

    def _toggle_details(self) -> None:
        self.details.setVisible(self.details.isHidden())
        self.adjustSize()


def show_error(parent: QWidget | None, error: BaseException, title: str = "") -> None:
    """Show the dialog and return at once; the program goes on behind it."""
    ErrorDialog(parent, error, title).open()


def close_all_the_same(parent: QWidget, error: BaseException) -> bool:
    """Ask whether to close although the last edits could be saved nowhere."""
    fact, advice = describe(error)
    box = QMessageBox(
        QMessageBox.Icon.Warning,
        "Contourdesk",
        tr("The last edits could not be saved. {fact}").format(fact=fact),
        parent=parent,
    )
    box.setObjectName("close_unsaved_dialog")
    box.setInformativeText(advice)
    keep = box.addButton(tr("Keep open"), QMessageBox.ButtonRole.RejectRole)
    lose = box.addButton(tr("Close and lose them"), QMessageBox.ButtonRole.DestructiveRole)
    box.setDefaultButton(keep)
    box.exec()
    return box.clickedButton() is lose
