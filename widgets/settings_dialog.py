"""What a user sets once, in pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QHBoxLayout,
    QListWidget,
    QScrollArea,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.settings import Settings
from contourdesk.widgets.actions import Action
from contourdesk.widgets.language import tr
from contourdesk.widgets.settings_pages import DisplayPage, ExportPage, GeneralPage, PrivacyPage, SettingsPage, framed
from contourdesk.widgets.shortcuts_dialog import ShortcutsEditor
from contourdesk.widgets.theme import em, named


class SettingsDialog(QDialog):
    """General, display, shortcuts, export and privacy; `changed` carries the new `Settings` when OK is pressed.

    `actions` are the window's commands and `mouse` what has fixed keys, for the page of shortcuts.
    """

    changed = Signal(object)

    def __init__(
        self,
        settings: Settings,
        default_root: str,
        parent: QWidget | None = None,
        *,
        actions: Sequence[Action] = (),
        mouse: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(parent)
        self.setObjectName("settings_dialog")
        self.setWindowTitle(tr("Settings"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._settings = settings
        self.general = GeneralPage(settings, default_root)
        self.display, self.export, self.privacy = DisplayPage(settings), ExportPage(settings), PrivacyPage(settings)
        self._forms: tuple[SettingsPage, ...] = (self.general, self.display, self.export, self.privacy)
        self.shortcuts = ShortcutsEditor(actions, settings.shortcuts, mouse)
        self.list, self.pages = QListWidget(), QStackedWidget()
        named(self.list, "settings_pages", tr("Pages of the settings"))
        for title, page in (
            *((form.title, _scrolling(form)) for form in self._forms[:2]),
            (tr("Shortcuts"), self.shortcuts),
            *((form.title, _scrolling(form)) for form in self._forms[2:]),
        ):
            self.list.addItem(title)
            self.pages.addWidget(page)
            self.list.item(self.list.count() - 1).setSizeHint(QSize(0, em(self, 2)))
        self.list.setFixedWidth(em(self, 9))
        self.list.currentRowChanged.connect(self.pages.setCurrentIndex)
        self.list.setCurrentRow(0)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        named(buttons, "settings_buttons")
        buttons.accepted.connect(self._on_ok)
        buttons.rejected.connect(self.reject)
        row = QHBoxLayout()
        row.setSpacing(em(self, 0.8))
        row.addWidget(self.list)
        row.addWidget(self.pages, 1)
        layout = QVBoxLayout(self)
        layout.setSpacing(em(self, 0.8))
        layout.addLayout(row, 1)
        layout.addWidget(buttons)
        room = em(self, 34) if parent is None else round(parent.height() * 0.85)
        self.resize(em(self, 56), min(em(self, 32), room))

    def show_page(self, title: str) -> None:
        """Turn to the page with this title."""
        self.list.setCurrentItem(self.list.findItems(title, Qt.MatchFlag.MatchExactly)[0])

    def _on_ok(self) -> None:
        self.accept()
        settings = replace(self._settings, shortcuts=self.shortcuts.changes)
        for form in self._forms:
            settings = form.taken(settings)
        self.changed.emit(settings)


def _scrolling(page: QWidget) -> QScrollArea:
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    area.setFocusPolicy(Qt.FocusPolicy.NoFocus)
    area.setWidget(framed(page))
    return area
