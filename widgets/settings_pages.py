"""The pages of the settings: each shows a part of `Settings`, and gives it back with the user's choices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.profiles import profiles
from contourdesk.app.settings import LINE_WIDTHS, Settings, data_dir
from contourdesk.widgets.language import ENGLISH, language_name, languages, tr
from contourdesk.widgets.predict_panel import DEVICES
from contourdesk.widgets.theme import em, named, set_role

_THEMES = (("Dark", "dark"), ("Light", "light"), ("As the system", "system"))


class SettingsPage(QWidget):
    """A form, and notes in soft ink below what they explain."""

    title = ""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.form = QFormLayout(self)
        self.form.setContentsMargins(em(self, 0.8), 0, 0, 0)
        self.form.setVerticalSpacing(em(self, 0.6))
        self.form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)

    def taken(self, settings: Settings) -> Settings:
        """`settings` with what is chosen on this page."""
        raise NotImplementedError

    def _note(self, text: str) -> QLabel:
        note = QLabel(text)
        note.setWordWrap(True)
        note.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        set_role(note, "muted")
        self.form.addRow(note)
        return note

    def _tick(self, name: str, text: str, on: bool) -> QCheckBox:
        box = QCheckBox(text)
        named(box, name, text)
        box.setChecked(on)
        self.form.addRow(box)
        return box

    def _folder(self, label: str, name: str, accessible: str, path: str, default: str) -> QLineEdit:
        """A row for a folder; empty means `default`."""
        line, browse = QLineEdit(path), QPushButton(tr("Browse…"))
        named(line, name, accessible)
        line.setPlaceholderText(default)
        named(browse, f"{name}_browse", f"{tr('Choose')}: {accessible}")

        def ask() -> None:
            chosen = QFileDialog.getExistingDirectory(self, accessible, line.text() or default)
            if chosen:
                line.setText(chosen)

        browse.clicked.connect(ask)
        row = QHBoxLayout()
        row.addWidget(line, 1)
        row.addWidget(browse)
        self.form.addRow(label, row)
        return line


class GeneralPage(SettingsPage):
    """Reviewer, folder of the reviews, device, language, notices, blind mode."""

    def __init__(self, settings: Settings, default_root: str) -> None:
        super().__init__()
        self.title = tr("General")
        self.reviewer = QLineEdit(settings.reviewer)
        named(self.reviewer, "settings_reviewer", tr("Reviewer's name"))
        self.form.addRow(tr("Your name"), self.reviewer)
        self.root = self._folder(
            tr("Reviews are kept in"), "settings_review_root", tr("Folder of the reviews"), settings.review_root,
            default_root,
        )  # fmt: skip
        self._note(tr("Reviews are never written into an image folder. A new folder is used from the next case on."))
        self.device = QComboBox()
        named(self.device, "settings_device", tr("Device that models run on"))
        for text, value in DEVICES:
            self.device.addItem(tr(text), value)
        self.device.setCurrentIndex(max(self.device.findData(settings.device), 0))
        self.form.addRow(tr("Models run on"), self.device)
        self.language = QComboBox()
        named(self.language, "settings_language", tr("Language"))
        self.language.addItem(tr("As the system"), "")
        for code in (ENGLISH, *languages()):
            self.language.addItem(language_name(code), code)
        self.language.setCurrentIndex(max(self.language.findData(settings.language), 0))
        if languages():  # nothing to choose from otherwise
            self.form.addRow(tr("Language"), self.language)
            self._note(tr("Another language is used from the next start on."))
        self.notify = self._tick(
            "settings_notify", tr("Tell me when long work ends while I am in another window"), settings.notify
        )
        self.blind = self._tick(
            "settings_blind",
            tr("Hide a model's proposals until I have drawn my own contour (blind mode)"),
            settings.blind,
        )

    def taken(self, settings: Settings) -> Settings:
        return replace(
            settings,
            reviewer=self.reviewer.text().strip(),
            review_root=self.root.text().strip(),
            device=self.device.currentData(),
            language=self.language.currentData(),
            notify=self.notify.isChecked(),
            blind=self.blind.isChecked(),
        )


class DisplayPage(SettingsPage):
    """Colours of the window, width of outlines."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.title = tr("Display")
        self.theme = QComboBox()
        named(self.theme, "settings_theme", tr("Colours of the window"))
        for text, value in _THEMES:
            self.theme.addItem(tr(text), value)
        self.theme.setCurrentIndex(self.theme.findData(settings.theme))
        self.form.addRow(tr("Colours"), self.theme)
        self.line_width = QDoubleSpinBox()
        named(self.line_width, "settings_line_width", tr("Width of outlines in pixels"))
        self.line_width.setRange(*LINE_WIDTHS)
        self.line_width.setSingleStep(0.1)
        self.line_width.setDecimals(1)
        self.line_width.setSuffix(" px")
        self.line_width.setValue(settings.line_width)
        self.form.addRow(tr("Outlines"), self.line_width)
        self._note(
            tr(
                "The images stay on black in every theme. Text is as large as the system's. Layout of the views, "
                "display window, outline or fill and opacity are kept by themselves; View > Panels as at first "
                "undoes what you did to the panels."
            )
        )

    def taken(self, settings: Settings) -> Settings:
        return replace(settings, theme=self.theme.currentData(), line_width=round(self.line_width.value(), 1))


class ExportPage(SettingsPage):
    """Where exports go, and for which planning system."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.title = tr("Export")
        self.folder = self._folder(
            tr("Exports go to"), "settings_export_folder", tr("Folder of exports"), settings.export_folder,
            str(Path.home() / "contourdesk-export"),
        )  # fmt: skip
        self.system = QComboBox()
        named(self.system, "settings_system", tr("Planning system that RTSTRUCT is written for"))
        for name, profile in profiles().items():
            self.system.addItem(tr("Any system") if name == "generic" else profile.title, name)
        self.system.setCurrentIndex(max(self.system.findData(settings.planning_system), 0))
        self.form.addRow(tr("RTSTRUCT for"), self.system)
        self._note(tr("Both can be changed in each export."))

    def taken(self, settings: Settings) -> Settings:
        return replace(settings, export_folder=self.folder.text().strip(), planning_system=self.system.currentData())


class PrivacyPage(SettingsPage):
    """Recent cases, patients' names in reports, faces, and what the log holds."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.title = tr("Privacy")
        self.recent = self._tick(
            "settings_keep_recent", tr("Keep a list of recent cases on the start page"), settings.keep_recent
        )
        self._cleared = False
        self.clear = QPushButton(tr("Clear the list"))
        named(self.clear, "settings_clear_recent", tr("Clear the list of recent cases"))
        self.clear.setEnabled(bool(settings.recent))
        self.clear.clicked.connect(self._clear)
        row = QHBoxLayout()
        row.addWidget(self.clear)
        row.addStretch(1)
        self.form.addRow(row)
        self._note(tr("It holds the paths of images, which may tell a name. Reviews are listed from their own folder."))
        self.patient = self._tick(
            "settings_report_patient", tr("Reports hold the patient's name and ID"), settings.report_patient
        )
        self.deface = self._tick(
            "settings_deface",
            tr("Take the face out when many reviews are exported for training or research"),
            settings.deface,
        )
        self._note(
            tr(
                "What is exported for training and research never holds a name, an ID, a date or an original UID. The "
                "key that turns patients into codes is deidentify.key beside the settings: keep it to yourself."
            )
        )
        self._note(
            tr(
                "The log holds times, series UIDs and errors; no name, no ID and no comment. It never leaves this "
                "computer by itself: the program uses no network."
            )
        )
        show = QPushButton(tr("Show its folder"))
        named(show, "settings_show_log", tr("Show the folder of the log"))
        show.clicked.connect(lambda: QDesktopServices.openUrl(QUrl.fromLocalFile(str(data_dir()))))
        last = QHBoxLayout()
        last.addWidget(show)
        last.addStretch(1)
        self.form.addRow(last)

    def _clear(self) -> None:
        self._cleared = True
        self.clear.setEnabled(False)

    def taken(self, settings: Settings) -> Settings:
        keep = self.recent.isChecked()
        return replace(
            settings,
            keep_recent=keep,
            recent=settings.recent if keep and not self._cleared else (),
            report_patient=self.patient.isChecked(),
            deface=self.deface.isChecked(),
        )


def framed(page: QWidget) -> QWidget:
    """A page that keeps its height and stays at the top."""
    frame = QWidget()
    column = QVBoxLayout(frame)
    column.setContentsMargins(0, 0, 0, 0)
    column.addWidget(page)
    column.addStretch(1)
    return frame
