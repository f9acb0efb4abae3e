"""The self-test in the window: what was looked at, what was found, and what to do."""

from __future__ import annotations

import html
from collections.abc import Sequence

from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QLabel,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.doctor import Line, as_text, examine, log_folder, summary, worst
from contourdesk.app.jobs import Progress
from contourdesk.widgets.error_dialog import show_error
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import colours, em, named, set_role

_ROLES = {"ok": "good", "warn": "warning", "fail": "bad"}
_WORDS = {"ok": "ok", "warn": "warning", "fail": "failed"}


class DoctorDialog(QDialog):
    """Runs the self-test in a worker and lists its lines; nothing is changed by it."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("doctor_dialog")
        self.setWindowTitle(tr("Self-test"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.lines: Sequence[Line] = ()
        self.state = QLabel(tr("Looking at this computer…"))
        named(self.state, "doctor_state", tr("What the self-test found"))
        self.state.setWordWrap(True)
        set_role(self.state, "muted")
        self.list = QTextBrowser()
        named(self.list, "doctor_list", tr("What was looked at"))
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*[em(self, 1.2)] * 4)
        layout.setSpacing(em(self, 0.6))
        layout.addWidget(self.state)
        layout.addWidget(self.list, 1)
        layout.addWidget(self._buttons())
        room = self.screen().availableGeometry()
        self.resize(min(em(self, 46), room.width()), min(em(self, 42), round(room.height() * 0.85)))
        self.runner = JobRunner(self)
        self.runner.progressed.connect(self._on_progress)
        self.runner.succeeded.connect(self._on_found)
        self.runner.failed.connect(lambda error: show_error(self, error))
        self.runner.start(examine(), harmless=True)

    def _buttons(self) -> QDialogButtonBox:
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        named(buttons, "doctor_buttons")
        buttons.rejected.connect(self.reject)
        self.copy = buttons.addButton(tr("Copy as text"), QDialogButtonBox.ButtonRole.ActionRole)
        named(self.copy, "doctor_copy", tr("Copy what was found as text, for an e-mail"))
        self.copy.setEnabled(False)
        self.copy.clicked.connect(lambda: QApplication.clipboard().setText("\n".join(as_text(self.lines))))
        show = buttons.addButton(tr("Open log folder"), QDialogButtonBox.ButtonRole.ActionRole)
        named(show, "doctor_log", tr("Open the folder of the log files"))
        show.clicked.connect(open_log_folder)
        return buttons

    def _on_progress(self, step: Progress) -> None:
        self.state.setText(tr("Looking at this computer: {what}…").format(what=tr(step.text)))

    def _on_found(self, lines: Sequence[Line]) -> None:
        self.lines = lines
        self.state.setText(summary(lines))
        set_role(self.state, "good" if worst(lines) == "ok" else "warning")
        self.list.setHtml(_as_html(lines))
        self.copy.setEnabled(True)

    def done(self, result: int) -> None:
        self.runner.cancel()
        super().done(result)


def _as_html(lines: Sequence[Line]) -> str:
    """A table in the theme's colours; states in words too, for those who don't see colours."""
    inks, rows, group = colours(), [], ""
    cell = '<td style="padding: 2px 14px 2px 0; color: {ink}">{text}</td>'
    for line in lines:
        if line.group != group:
            group = line.group
            rows.append(f'<tr><td colspan="3" style="padding: 9px 0 3px 0"><b>{html.escape(tr(group))}</b></td></tr>')
        advice = f'<br><span style="color: {inks["text-muted"]}">{html.escape(line.what_to_do)}</span>'
        found = html.escape(line.found) + (advice if line.what_to_do else "")
        state = cell.format(ink=inks[_ROLES[line.state]], text=tr(_WORDS[line.state]).replace(" ", "&nbsp;"))
        what = cell.format(ink=inks["text"], text=html.escape(tr(line.what)).replace(" ", "&nbsp;"))
        rows.append(f"<tr>{state}{what}{cell.format(ink=inks['text'], text=found)}</tr>")
    return f"<table>{''.join(rows)}</table>"


def open_log_folder() -> None:
    """Show the folder of the log files in the system's file manager; made if it isn't there yet."""
    log_folder().mkdir(parents=True, exist_ok=True)
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(log_folder())))
