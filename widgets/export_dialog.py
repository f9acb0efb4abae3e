"""Write accepted structures: for the clinic, for archives and for training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.export import FORMATS, Written, export
from contourdesk.app.jobs import Progress
from contourdesk.app.naming import same_meaning
from contourdesk.app.review import ReviewSession
from contourdesk.app.structures import Structure
from contourdesk.widgets.error_dialog import show_error
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.rtstruct_options import RtStructForm
from contourdesk.widgets.stopping_dialog import StoppingDialog
from contourdesk.widgets.theme import em, heading, named, set_role

_BY_DEFAULT = ("rtstruct", "training")


class ExportDialog(StoppingDialog):
    """Asks what and where, writes in a worker, and says what was written.

    It begins with `folder`, or one in the user's home, and with the planning system whose profile is called `system`.
    """

    def __init__(
        self, session: ReviewSession, parent: QWidget | None = None, *, folder: str = "", system: str = "generic"
    ) -> None:
        super().__init__(parent)
        self.setObjectName("export_dialog")
        self.setWindowTitle(tr("Export"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._session = session
        self.runner = JobRunner(self, tr("Export"))
        self.formats: dict[str, QCheckBox] = {}
        self.accepted_only = QRadioButton()
        named(self.accepted_only, "export_accepted", tr("Export accepted structures only"))
        self.everything = QRadioButton(tr("All that are not rejected, reviewed or not"))
        named(self.everything, "export_all", tr("Export all structures that are not rejected"))
        self.accepted_only.setChecked(True)
        self.folder = QLineEdit(folder or str(Path.home() / "contourdesk-export"))
        named(self.folder, "export_folder", tr("Folder to export to"))
        self.warning, self.report = QLabel(), QLabel()
        self.rtstruct = RtStructForm(session.case, system)
        self.bar = QProgressBar()
        named(self.bar, "export_progress", tr("Progress of the export"))
        self.button = QPushButton(tr("Export"))
        named(self.button, "export_start", tr("Export now"))
        set_role(self.button, "primary")
        self.close_button = QPushButton(tr("Close"))
        named(self.close_button, "export_close", tr("Close"))
        self._build()
        self._connect()
        self._check()

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*[em(self, 1.2)] * 4)
        layout.setSpacing(em(self, 0.45))
        layout.addWidget(heading(tr("What")))
        layout.addLayout(self._format_grid())
        layout.addWidget(self.rtstruct)
        layout.addWidget(heading(tr("Which structures")))
        layout.addWidget(self.accepted_only)
        layout.addWidget(self.everything)
        named(self.warning, "export_warning")
        self.warning.setWordWrap(True)
        layout.addWidget(self.warning)
        layout.addWidget(heading(tr("Where")))
        row = QHBoxLayout()
        browse = QPushButton(tr("Browse…"))
        named(browse, "export_browse", tr("Choose the folder to export to"))
        browse.clicked.connect(self._browse)
        row.addWidget(self.folder, 1)
        row.addWidget(browse)
        layout.addLayout(row)
        named(self.report, "export_report", tr("What was written"))
        self.report.setWordWrap(True)
        self.report.setTextFormat(Qt.TextFormat.PlainText)
        self.report.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        layout.addWidget(self.bar)
        layout.addWidget(self.report)
        layout.addStretch(1)
        buttons = QHBoxLayout()
        buttons.addStretch(1)
        buttons.addWidget(self.close_button)
        buttons.addWidget(self.button)
        layout.addLayout(buttons)
        self.button.setDefault(True)
        self.bar.hide()
        self.report.hide()
        self.setMinimumWidth(em(self, 42))

    def _format_grid(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(em(self, 1))
        grid.setVerticalSpacing(em(self, 0.35))
        is_dicom = self._session.case.source.header is not None
        for row, chosen in enumerate(FORMATS):
            box = QCheckBox(tr(chosen.title))
            named(box, f"export_{chosen.id}", f"{tr(chosen.title)}: {tr(chosen.detail)}")
            possible = is_dicom or not chosen.needs_dicom
            box.setChecked(possible and chosen.id in _BY_DEFAULT)
            box.setEnabled(possible)
            self.formats[chosen.id] = box
            note = QLabel(tr(chosen.detail) if possible else tr("needs DICOM images; these are not"))
            set_role(note, "muted")
            grid.addWidget(box, row, 0)
            grid.addWidget(note, row, 1)
        grid.setColumnStretch(1, 1)
        return grid

    def _connect(self) -> None:
        for box in self.formats.values():
            box.toggled.connect(self._check)
        self.rtstruct.found.connect(lambda _: self._check())
        self.accepted_only.toggled.connect(self._check)
        self.folder.textChanged.connect(self._check)
        self.button.clicked.connect(self._start)
        self.close_button.clicked.connect(self.reject)
        self.runner.progressed.connect(self._on_progress)
        self.runner.succeeded.connect(self._on_written)
        self.runner.failed.connect(self._on_failed)
        self.runner.cancelled.connect(lambda: self._end(tr("Stopped. Nothing more was written."), "warning"))

    def _chosen(self) -> list[Structure]:
        every = self.everything.isChecked()
        wanted = (s for s in self._session.structures if not s.mask.is_empty)
        return [s for s in wanted if s.decision.accepted or (every and s.decision.state == "unreviewed")]

    def _check(self) -> None:
        """Say what is left out, and why nothing can be exported when it can't."""
        items = self._session.structures.items
        accepted = sum(s.decision.accepted for s in items)
        self.accepted_only.setText(
            tr("Accepted structures only ({accepted} of {items})").format(accepted=accepted, items=len(items))
        )
        chosen, warnings = self._chosen(), []
        reason = ""
        with_rtstruct = self.formats["rtstruct"].isChecked()
        self.rtstruct.setVisible(with_rtstruct)
        self.rtstruct.set_structures(chosen if with_rtstruct else ())
        if not chosen:
            reason = (
                "Nothing is accepted yet. Accept structures first, or export all."
                if items
                else "There is nothing to export."
            )
            if self.everything.isChecked() and items:
                reason = "Every structure is empty."
        elif not any(box.isChecked() for box in self.formats.values()):
            reason = "Choose at least one format."
        elif not self.folder.text().strip():
            reason = "Choose a folder."
        elif self.formats["training"].isChecked() and (same := same_meaning([s.name for s in chosen])):
            reason = (
                f'"{same[0]}" and "{same[1]}" mean the same structure, and a training case can hold one of them. '
                "Reject or rename one, or leave the training case out."
            )
        elif with_rtstruct and self.rtstruct.refused:
            reason = "The planning system would refuse this; see above. Change it, or leave the RTSTRUCT out."
        open_ones = [s.name for s in items if s.decision.state == "unreviewed"]
        if chosen and open_ones:
            verb = "Not reviewed, but exported" if self.everything.isChecked() else "Not reviewed, left out"
            warnings.append(f"{verb}: {_listed(open_ones)}.")
        empty = [s.name for s in items if s.mask.is_empty and s.decision.accepted]
        if empty:
            warnings.append(f"Accepted but empty, left out: {_listed(empty)}.")
        self.warning.setText(reason or "\n".join(warnings))
        self.warning.setVisible(bool(reason or warnings))
        set_role(self.warning, "warning")
        self.button.setEnabled(not reason and not self.runner.running)

    def _browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, tr("Export to"), self.folder.text())
        if chosen:
            self.folder.setText(chosen)

    def _start(self) -> None:
        formats = [value for value, box in self.formats.items() if box.isChecked()]
        folder = Path(self.folder.text().strip()).expanduser()
        job = export(
            self._session.case,
            self._chosen(),
            folder,
            formats,
            reviewer=self._session.reviewer,
            rtstruct=self.rtstruct.options,
            only_accepted=self.accepted_only.isChecked(),
        )
        self.bar.setRange(0, 0)
        self.bar.show()
        self.report.setText(tr("Starting…"))
        self.report.show()
        self.button.setEnabled(False)
        self.close_button.setText(tr("Stop"))
        self.runner.start(job)

    def _on_progress(self, step: Progress) -> None:
        self.bar.setRange(0, step.total)
        self.bar.setValue(step.done)
        self.report.setText(step.text)

    def _on_written(self, written: list[Written]) -> None:
        for w in written:  # no path: it may hold the patient's id
            self._session.note("export", format=w.what, names=[s.name for s in self._chosen()], sha256=w.sha256)
        lines = [line for w in written for line in (f"{w.what}: {w.path.name}", *(f"    {note}" for note in w.notes))]
        self._end("\n".join(["Written. Checked: read back and equal.", *lines]), "good")

    def _on_failed(self, error: BaseException) -> None:
        self._end(tr("Not everything was written."), "warning")
        show_error(self, error, tr("Export"))

    def _end(self, text: str, role: str) -> None:
        self.bar.hide()
        self.report.setText(text)
        set_role(self.report, role)
        self.close_button.setText(tr("Close"))
        self._check()
        self.resize(self.width(), max(self.height(), self.layout().totalHeightForWidth(self.width())))


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:6])
    return f"{shown} and {len(names) - 6} more" if len(names) > 6 else shown
