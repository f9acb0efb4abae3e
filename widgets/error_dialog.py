"""Says what went wrong: a fact and an advice, or for a bug that the work is safe and where the log is."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

from contourdesk.app.errors import UserError
from contourdesk.widgets.theme import em
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox, QWidget

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


def make_error_dialog(parent: QWidget | None, error: BaseException, title: str = "") -> QMessageBox:
    """The dialog for an error, not shown yet. A bug's traceback is behind "Show Details"."""
    fact, advice = describe(error)
    expected = isinstance(error, UserError | OSError | MemoryError)
    box = QMessageBox(parent)
    box.setObjectName("error_dialog")
    box.setWindowTitle(title or "Contourdesk")
    box.setIcon(QMessageBox.Icon.Warning if expected else QMessageBox.Icon.Critical)
    box.setTextFormat(Qt.TextFormat.PlainText)
    box.setText(fact)
    box.setInformativeText(advice)
    box.setStyleSheet(f"QLabel#qt_msgbox_label {{ font-weight: bold; min-width: {em(box, 22)}px; }}")
    box.setStandardButtons(QMessageBox.StandardButton.Ok)
    box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
    if not expected:
        where = log_file()
        if where is not None:
            box.setInformativeText(f"{advice}\n\nLog file: {where}")
        box.setDetailedText("".join(traceback.format_exception(error)))
    return box


def show_error(parent: QWidget | None, error: BaseException, title: str = "") -> None:
    """Show the dialog and return at once; the program goes on behind it."""
    make_error_dialog(parent, error, title).open()
