"""Where the report of a review goes, and whether the patient stands in it; it is made in a worker."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QCheckBox,
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.errors import UserError
from contourdesk.app.export import file_stem
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.report import make_report, write_csv
from contourdesk.app.review import ReviewSession, Snapshot
from contourdesk.widgets.error_dialog import describe
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.report_pdf import write_pdf
from contourdesk.widgets.theme import em, named, set_role


def report_job(snapshot: Snapshot, folder: Path, stem: str, *, with_patient: bool) -> Job[tuple[Path, Path]]:
    """Make and write both files. Raises UserError."""
    report = yield from make_report(snapshot, with_patient=with_patient)
    yield Progress(1, 1, tr("Writing"))
    return write_pdf(report, folder / f"{stem}.pdf"), write_csv(report, folder / f"{stem}.csv")


class ReportDialog(QDialog):
    """Folder, patient's name or not, progress, and what was written."""

    def __init__(self, session: ReviewSession, parent: QWidget | None = None, *, with_patient: bool = True) -> None:
        super().__init__(parent)
        self.setObjectName("report_dialog")
        self.setWindowTitle(tr("Report"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._session = session
        self._written: Path | None = None
        self.folder = QLineEdit(str(Path.home()))
        named(self.folder, "report_folder", tr("Folder that the report is written into"))
        self.folder.textChanged.connect(self._check)
        browse = QPushButton(tr("Browse…"))
        named(browse, "report_browse", tr("Choose the folder of the report"))
        browse.clicked.connect(self._browse)
        self.patient = QCheckBox(tr("With the patient's name and ID, the study date and UIDs"))
        named(self.patient, "report_patient", self.patient.text())
        self.patient.setChecked(with_patient)
        self.bar = QProgressBar()
        named(self.bar, "report_progress", tr("Progress of the report"))
        self.bar.hide()
        self.text = QLabel(tr("A PDF with pictures of each structure, and a CSV with one line for each."))
        named(self.text, "report_text")
        self.text.setWordWrap(True)
        self.text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.show_button, self.close_button, self.button = (
            QPushButton(tr("Show")),
            QPushButton(tr("Close")),
            QPushButton(tr("Write")),
        )
        for button, name, accessible, slot in (
            (self.show_button, "report_show", tr("Show the PDF"), self._show_pdf),
            (self.close_button, "report_close", tr("Close this dialog"), self.reject),
            (self.button, "report_write", tr("Write the report"), self._start),
        ):
            named(button, name, accessible)
            button.clicked.connect(slot)
        self.show_button.hide()
        set_role(self.button, "primary")
        self.button.setDefault(True)
        self.runner = JobRunner(self, tr("Report"))
        self.runner.progressed.connect(self._on_progress)
        self.runner.succeeded.connect(self._on_written)
        self.runner.failed.connect(self._on_failed)
        self.runner.cancelled.connect(lambda: self._end(tr("Stopped. Nothing was written."), "warning"))
        self._build(browse)

    def _build(self, browse: QPushButton) -> None:
        row = QHBoxLayout()
        row.addWidget(self.folder, 1)
        row.addWidget(browse)
        buttons = QHBoxLayout()
        buttons.addWidget(self.show_button)
        buttons.addStretch(1)
        buttons.addWidget(self.close_button)
        buttons.addWidget(self.button)
        layout = QVBoxLayout(self)
        layout.setSpacing(em(self, 0.7))
        layout.addWidget(QLabel(tr("Write the report of this review into")))
        layout.addLayout(row)
        layout.addWidget(self.patient)
        layout.addWidget(self.text)
        layout.addWidget(self.bar)
        layout.addLayout(buttons)
        self.setMinimumWidth(em(self, 34))

    def _browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, tr("Report into"), self.folder.text())
        if chosen:
            self.folder.setText(chosen)

    def _check(self) -> None:
        self.button.setEnabled(bool(self.folder.text().strip()) and not self.runner.running)

    def _start(self) -> None:
        with_patient = self.patient.isChecked()
        stem = f"{file_stem(self._session.case)}-report" if with_patient else "report"
        folder = Path(self.folder.text().strip()).expanduser()
        self.bar.setRange(0, 0)
        self.bar.show()
        self.text.setText(tr("Making the report…"))
        set_role(self.text, "")
        self.runner.start(report_job(self._session.snapshot(), folder, stem, with_patient=with_patient))
        self._check()

    def _on_progress(self, step: Progress) -> None:
        self.bar.setRange(0, step.total)
        self.bar.setValue(step.done)

    def _on_written(self, files: tuple[Path, Path]) -> None:
        self._written = files[0]
        self._session.note("report", with_patient=self.patient.isChecked())
        self.show_button.show()
        self._end(tr("Written: {files} and {name}.").format(files=files[0], name=files[1].name), "good")

    def _on_failed(self, error: Exception) -> None:
        fact, advice = describe(error)
        self._end(f"{fact} {advice}" if isinstance(error, UserError) else fact, "warning")

    def _end(self, text: str, role: str) -> None:
        self.bar.hide()
        self.text.setText(text)
        set_role(self.text, role)
        self._check()

    def _show_pdf(self) -> None:
        if self._written is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._written)))

    def done(self, result: int) -> None:
        """Stop what runs and close."""
        self.runner.cancel()
        self.runner.wait(5)
        super().done(result)
