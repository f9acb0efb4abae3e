"""The few things that a user sets once."""

from __future__ import annotations

from dataclasses import replace

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.settings import Settings
from contourdesk.widgets.language import tr
from contourdesk.widgets.predict_panel import DEVICES
from contourdesk.widgets.theme import em, named, set_role


class SettingsDialog(QDialog):
    """Reviewer, review folder, device; `changed` carries the new `Settings`."""

    changed = Signal(object)

    def __init__(self, settings: Settings, default_root: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("settings_dialog")
        self.setWindowTitle(tr("Settings"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._settings = settings
        self.reviewer = QLineEdit(settings.reviewer)
        named(self.reviewer, "settings_reviewer", tr("Reviewer's name"))
        self.root = QLineEdit(settings.review_root)
        named(self.root, "settings_review_root", tr("Folder of the reviews"))
        self.root.setPlaceholderText(default_root)
        browse = QPushButton(tr("Browse…"))
        named(browse, "settings_browse", tr("Choose the folder of the reviews"))
        browse.clicked.connect(self._browse)
        row = QHBoxLayout()
        row.addWidget(self.root, 1)
        row.addWidget(browse)
        self.device = QComboBox()
        named(self.device, "settings_device", tr("Device that models run on"))
        for text, value in DEVICES:
            self.device.addItem(text, value)
        self.device.setCurrentIndex(max(self.device.findData(settings.device), 0))
        form = QFormLayout()
        form.setVerticalSpacing(em(self, 0.6))
        form.addRow(tr("Your name"), self.reviewer)
        form.addRow(tr("Reviews are kept in"), row)
        form.addRow(tr("Models run on"), self.device)
        self.blind = QCheckBox(tr("Hide a model's proposals until I have drawn my own contour (blind mode)"))
        named(self.blind, "settings_blind", self.blind.text())
        self.blind.setChecked(settings.blind)
        form.addRow("", self.blind)
        note = QLabel(tr("Reviews are never written into an image folder. A new folder is used from the next case on."))
        note.setWordWrap(True)
        set_role(note, "muted")
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel)
        named(buttons, "settings_buttons")
        buttons.accepted.connect(self._on_ok)
        buttons.rejected.connect(self.reject)
        layout = QVBoxLayout(self)
        layout.setSpacing(em(self, 0.8))
        layout.addLayout(form)
        layout.addWidget(note)
        layout.addStretch(1)
        layout.addWidget(buttons)
        self.resize(em(self, 36), self.sizeHint().height())

    def _browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, tr("Folder of the reviews"), self.root.text())
        if chosen:
            self.root.setText(chosen)

    def _on_ok(self) -> None:
        self.accept()
        self.changed.emit(
            replace(
                self._settings,
                reviewer=self.reviewer.text().strip(),
                review_root=self.root.text().strip(),
                device=self.device.currentData(),
                blind=self.blind.isChecked(),
            )
        )
