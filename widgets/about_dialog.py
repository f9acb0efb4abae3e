"""Which version this is, that it is no medical device, and the licences of all that comes with it."""

from __future__ import annotations

import platform

from qtpy import PYSIDE_VERSION
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QPlainTextEdit,
    QTreeWidget,
    QTreeWidgetItem,
    QVBoxLayout,
    QWidget,
)

import contourdesk
from contourdesk.app.licences import Licence, licences
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import IconLabel, em, named, set_role

NOT_A_DEVICE = (
    "Not a medical device. For research and teaching; a qualified person must check every contour before any use."
)


class AboutDialog(QDialog):
    """Name, version, notice, and the list of licences with their texts."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("about_dialog")
        self.setWindowTitle(tr("About Contourdesk"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.list, self.text = QTreeWidget(), QPlainTextEdit()
        named(self.list, "about_licences", tr("Packages and their licences"))
        self.list.setHeaderLabels([tr("Package"), tr("Version"), tr("Licence")])
        self.list.setRootIsDecorated(False)
        self.list.setUniformRowHeights(True)
        self.list.header().setSectionResizeMode(0, QHeaderView.ResizeMode.ResizeToContents)
        self.list.currentItemChanged.connect(self._on_chosen)
        named(self.text, "about_text", tr("Text of the chosen licence"))
        self.text.setReadOnly(True)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        named(buttons, "about_buttons")
        buttons.rejected.connect(self.reject)
        self.note = QLabel(tr("Reading the licences…"))
        named(self.note, "about_note")
        set_role(self.note, "muted")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*[em(self, 1.2)] * 4)
        layout.setSpacing(em(self, 0.6))
        layout.addLayout(self._head())
        layout.addWidget(self.list, 3)
        layout.addWidget(self.text, 2)
        last = QHBoxLayout()
        last.addWidget(self.note, 1)
        last.addWidget(buttons)
        layout.addLayout(last)
        self.resize(em(self, 46), min(em(self, 40), em(self, 40) if parent is None else round(parent.height() * 0.9)))
        self.runner = JobRunner(self)
        self.runner.succeeded.connect(self._on_read)
        self.runner.failed.connect(lambda error: self.note.setText(str(error)))
        self.runner.start(licences(), harmless=True)

    def _head(self) -> QHBoxLayout:
        title = QLabel("Contourdesk")
        set_role(title, "title")
        versions = QLabel(
            tr("Version {version}, on Python {python}, Qt for Python {qt}, {system}").format(
                version=contourdesk.__version__,
                python=platform.python_version(),
                qt=PYSIDE_VERSION,
                system=f"{platform.system()} {platform.release()}",
            )
        )
        versions.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        set_role(versions, "muted")
        notice = QLabel(tr(NOT_A_DEVICE))
        notice.setWordWrap(True)
        column = QVBoxLayout()
        for label in (title, versions, notice):
            column.addWidget(label)
        row = QHBoxLayout()
        row.setSpacing(em(self, 1))
        row.addWidget(IconLabel("contourdesk", 4), 0, Qt.AlignmentFlag.AlignTop)
        row.addLayout(column, 1)
        return row

    def _on_read(self, found: list[Licence]) -> None:
        for one in found:
            item = QTreeWidgetItem(self.list, [one.package, one.version, one.licence])
            item.setToolTip(2, one.licence)
            item.setData(0, Qt.ItemDataRole.UserRole, one.text)
        self.note.setText(tr("{count} packages, as they state it themselves").format(count=len(found)))
        self.list.setCurrentItem(self.list.topLevelItem(0))

    def _on_chosen(self, item: QTreeWidgetItem | None, *_: object) -> None:
        text = "" if item is None else item.data(0, Qt.ItemDataRole.UserRole)
        self.text.setPlainText(text or tr("Its package brings no text; the name of the licence says which it is."))

    def done(self, result: int) -> None:
        """Stop reading and close."""
        self.runner.cancel()
        super().done(result)
