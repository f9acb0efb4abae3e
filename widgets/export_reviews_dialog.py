"""Export of many reviews at once: which, as what, where; what came of each stands in the list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Qt, QUrl, Signal
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QRadioButton,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.errors import UserError
from contourdesk.app.export_job import (
    COPY,
    TRAINING,
    Exported,
    ExportProgress,
    How,
    TrainingOptions,
    dataset_folder,
    export_many,
    read_meanings,
)
from contourdesk.app.worklist import Row
from contourdesk.widgets.error_dialog import show_error
from contourdesk.widgets.exported_list import ExportedList
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.path_row import PathRow
from contourdesk.widgets.stopping_dialog import StoppingDialog
from contourdesk.widgets.theme import em, heading, level_labels, named, set_role
from contourdesk.widgets.window_parts import ElidedLabel


class ExportReviewsDialog(StoppingDialog):
    """Asks, exports in a worker, says which failed and why. Other work can go on beside it.

    `started` comes before reviews are read, so that the open one can be written out; `own_exported` with the formats
    when that one was among them; `train_wanted` with a dataset's folder.

    Parameters
    ----------
    rows : the worklist;  selected : keys of the rows that are selected there.
    folder : where to, to begin with;  own : folder of the review that is open in this program.
    deface : whether the face is to be taken out, to begin with.
    """

    started = Signal()
    own_exported = Signal(object)
    train_wanted = Signal(object)
    folder_chosen = Signal(str)

    def __init__(
        self,
        rows: Sequence[Row],
        selected: Sequence[tuple[str, str]] = (),
        folder: str = "",
        own: Path | None = None,
        parent: QWidget | None = None,
        *,
        deface: bool = False,
    ) -> None:
        super().__init__(parent)
        self.setObjectName("export_reviews_dialog")
        self.setWindowTitle(tr("Export reviews"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._rows = [row for row in rows if row.review is not None and row.accepted and not row.problem]
        self._selected = {row.key for row in self._rows} & set(selected)
        self._own, self._how, self._out = own, How(()), Path()
        self._results: dict[Path, Exported] = {}
        self.runner = JobRunner(self, tr("Export"))
        self._make_choices(folder)
        self.deface.setChecked(deface)
        self.list = ExportedList()
        self._make_foot()
        self._build()
        self._connect()
        self._fill()
        self._check()

    # -- building -------------------------------------------------------------------------------------------------

    def _make_choices(self, folder: str) -> None:
        titles = {
            "selected": tr("Selected in the worklist ({count})"),
            "done": tr("Done ({count})"),
            "all": tr("All with an accepted structure ({count})"),
        }
        self.which = {n: QRadioButton(text.format(count=len(self._of(n)))) for n, text in titles.items()}
        for name, button in self.which.items():
            named(button, f"export_reviews_{name}", button.text())
        first = "selected" if len(self._selected) > 1 else "done" if self._of("done") else "all"
        self.which[first].setChecked(True)
        kinds = {
            TRAINING: (tr("Training dataset"), tr("for nnU-Net, MONAI and the training here; de-identified")),
            COPY: (tr("De-identified DICOM"), tr("a copy of the images with RTSTRUCT and SEG, to share")),
            "rtstruct": ("RTSTRUCT", tr("for planning systems, with the patient's name")),
            "seg": ("DICOM SEG", tr("for archives, with the patient's name")),
            "nifti": (tr("NIfTI masks"), tr("a file for each structure")),
            "nrrd": ("3D Slicer", tr("one .seg.nrrd with all structures")),
        }  # fmt: skip
        self.formats = {key: QCheckBox(title) for key, (title, _) in kinds.items()}
        self.details = {key: text for key, (_, text) in kinds.items()}
        for key, box in self.formats.items():
            named(box, f"export_reviews_{key.replace('-', '_')}", f"{kinds[key][0]}: {kinds[key][1]}")
        self.formats[TRAINING].setChecked(True)
        self.overlaps = QComboBox()
        named(self.overlaps, "export_reviews_overlaps", tr("Structures that overlap"))
        for text, value in (
            (tr("as the dataset has it; in a new one the smaller wins"), None),
            (tr("the smaller one gets the voxels"), "smaller"),
            (tr("regions of nnU-Net (GTV in CTV in PTV)"), "regions"),
            (tr("a mask file for each structure"), "masks"),
        ):
            self.overlaps.addItem(text, value)
        self.ignore = QCheckBox(tr("Ignore label where an organ may be that nobody accepted"))
        named(self.ignore, "export_reviews_ignore", self.ignore.text(),
              tr("For nnU-Net itself, which takes what is not labelled for background.\n"
                 "Such a dataset takes no new labels later."))  # fmt: skip
        self.deface = QCheckBox(tr("Take the face out of a CT of the head"))
        named(self.deface, "export_reviews_deface", self.deface.text())
        self.names = PathRow("export_reviews_names", tr("Meaning of names"), kinds="JSON (*.json);;All files (*)")
        self.names.line.setPlaceholderText(tr('none; or a JSON file, {"name in the review": "label"}'))
        self.folder = PathRow("export_reviews_folder", tr("Folder to export to"), folder)

    def _make_foot(self) -> None:
        self.text = ElidedLabel()
        named(self.text, "export_reviews_text", tr("How the export goes"))
        self.bar = QProgressBar()
        named(self.bar, "export_reviews_progress", tr("Progress of the export"))
        self.show_button, self.train_button, self.close_button, self.button = (
            QPushButton(tr("Show the folder")),
            QPushButton(tr("Train with it…")),
            QPushButton(tr("Close")),
            QPushButton(tr("Export")),
        )
        for button, name in (
            (self.show_button, "export_reviews_show"),
            (self.train_button, "export_reviews_train"),
            (self.close_button, "export_reviews_close"),
            (self.button, "export_reviews_start"),
        ):
            named(button, name, button.text())
            button.setAutoDefault(False)
        self.show_button.hide()
        self.train_button.hide()
        self.bar.hide()
        set_role(self.button, "primary")

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*[em(self, 1)] * 4)
        layout.setSpacing(em(self, 0.45))
        row = QHBoxLayout()
        row.addWidget(heading(tr("Reviews")))
        row.setSpacing(em(self, 1.2))
        for button in self.which.values():
            row.addWidget(button)
        row.addStretch(1)
        layout.addLayout(row)
        layout.addWidget(self.list, 1)
        layout.addLayout(self._format_grid())
        self.training = QWidget()
        set_role(self.training, "plain")
        form = QFormLayout(self.training)
        form.setContentsMargins(0, em(self, 0.3), 0, 0)
        form.setVerticalSpacing(em(self, 0.35))
        form.addRow(tr("Overlaps"), self.overlaps)
        form.addRow(tr("Names"), self.names)
        both = QHBoxLayout()
        both.setSpacing(em(self, 1.2))
        both.addWidget(self.ignore)
        both.addWidget(self.deface)
        both.addStretch(1)
        form.addRow("", both)
        level_labels(form)
        layout.addWidget(self.training)
        where = QHBoxLayout()
        where.addWidget(heading(tr("Where")))
        where.addWidget(self.folder, 1)
        layout.addLayout(where)
        layout.addWidget(self.text)
        layout.addWidget(self.bar)
        buttons = QHBoxLayout()
        buttons.addWidget(self.show_button)
        buttons.addWidget(self.train_button)
        buttons.addStretch(1)
        buttons.addWidget(self.close_button)
        buttons.addWidget(self.button)
        layout.addLayout(buttons)
        self.resize(em(self, 52), em(self, 36))

    def _format_grid(self) -> QGridLayout:
        grid = QGridLayout()
        grid.setHorizontalSpacing(em(self, 0.8))
        grid.setVerticalSpacing(em(self, 0.1))
        for number, (key, box) in enumerate(self.formats.items()):
            note = QLabel(self.details[key])
            set_role(note, "muted")
            grid.addWidget(box, number % 3, 2 * (number // 3))
            grid.addWidget(note, number % 3, 2 * (number // 3) + 1)
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        return grid

    def _connect(self) -> None:
        for button in self.which.values():
            button.toggled.connect(self._fill)
        for box in self.formats.values():
            box.toggled.connect(self._check)
        self.overlaps.currentIndexChanged.connect(self._check)
        self.folder.changed.connect(self._check)
        self.button.clicked.connect(self._start)
        self.close_button.clicked.connect(self.reject)
        self.show_button.clicked.connect(lambda: QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._out))))
        self.train_button.clicked.connect(lambda: self.train_wanted.emit(dataset_folder(self._out)))
        self.runner.progressed.connect(self._on_progress)
        self.runner.succeeded.connect(self._on_done)
        self.runner.failed.connect(self._on_failed)
        self.runner.cancelled.connect(self._on_stopped)

    # -- what is chosen -------------------------------------------------------------------------------------------

    @property
    def chosen(self) -> list[Row]:
        """The rows whose reviews are to be exported."""
        return self._of(next(name for name, button in self.which.items() if button.isChecked()))

    def _of(self, which: str) -> list[Row]:
        if which == "selected":
            return [row for row in self._rows if row.key in self._selected]
        return [row for row in self._rows if row.state == "done" or which == "all"]

    def _fill(self) -> None:
        self.list.set_rows(self.chosen)
        self._check()

    def _check(self) -> None:
        """Enable what can be done; say why nothing can."""
        running = self.runner.running
        self.training.setVisible(self.formats[TRAINING].isChecked() or self.formats[COPY].isChecked())
        dataset = self.formats[TRAINING].isChecked()
        self.overlaps.setEnabled(dataset)
        self.names.setEnabled(dataset)
        self.ignore.setEnabled(dataset and self.overlaps.currentData() != "masks")
        reason = ""
        if not self.chosen:
            reason = tr("No review on the worklist has an accepted structure.")
        elif not any(box.isChecked() for box in self.formats.values()):
            reason = tr("Choose at least one format.")
        elif not self.folder.text:
            reason = tr("Choose a folder.")
        if not running and (reason or not self._results):
            self.text.set_full_text(reason or self._where())
            set_role(self.text, "warning" if reason else "muted")
        self.button.setEnabled(not running and not reason)
        for widget in (*self.formats.values(), self.training, self.folder):
            widget.setEnabled(not running)
        for name, button in self.which.items():
            button.setEnabled(not running and bool(self._of(name)))

    def _where(self) -> str:
        if not self.formats[TRAINING].isChecked():
            return ""
        return tr("Training cases are added to the dataset there; a case that it has already is replaced.")

    # -- the export -----------------------------------------------------------------------------------------------

    def _start(self) -> None:
        out = self.folder.path
        if out is None:
            return
        try:
            names = {} if self.names.path is None else read_meanings(self.names.path)
        except UserError as error:
            self.text.set_full_text(str(error))
            set_role(self.text, "warning")
            return
        training = TrainingOptions(
            self.overlaps.currentData(),
            self.ignore.isChecked() and self.ignore.isEnabled(),
            self.deface.isChecked(),
            names,
        )
        formats = [key for key, box in self.formats.items() if box.isChecked()]
        self._how = How(formats, training=training, by="window")
        self._out, self._results = out, {}
        self.folder_chosen.emit(str(out))
        self.started.emit()
        self.list.show_results(self._results)
        reviews = [row.review for row in self.chosen if row.review is not None]
        self.runner.start(export_many(reviews, out, self._how, [] if self._own is None else [self._own]))
        self.bar.setRange(0, 0)
        self.bar.show()
        self.show_button.hide()
        self.train_button.hide()
        self.close_button.setText(tr("Stop"))
        self._check()

    def _on_progress(self, step: ExportProgress) -> None:
        self.bar.setRange(0, step.total)
        self.bar.setValue(step.done)
        self.text.set_full_text(step.text)
        set_role(self.text, "")
        self._take(step.exported)

    def _on_done(self, exported: list[Exported]) -> None:
        self._take(exported)
        failed = sum(e.error is not None for e in exported)
        told = tr("{good} of {all} reviews were exported.").format(good=len(exported) - failed, all=len(exported))
        if failed:
            told += " " + tr("{count} failed; the list says why.").format(count=failed)
        self._end(told, "warning" if failed else "good")

    def _on_stopped(self) -> None:
        good = sum(e.error is None for e in self._results.values())
        told = tr("Stopped. {good} reviews were exported; nothing was left half done.").format(good=good)
        self._end(told, "warning")

    def _on_failed(self, error: BaseException) -> None:
        self._end(tr("Not everything was exported."), "warning")
        show_error(self, error, tr("Export reviews"))

    def _take(self, exported: Sequence[Exported]) -> None:
        """Note what is finished with."""
        for one in exported:
            if one.review not in self._results:
                self._results[one.review] = one
                if one.review == self._own and one.error is None:
                    self.own_exported.emit(list(self._how.formats))
        self.list.show_results(self._results)

    def _end(self, text: str, role: str) -> None:
        self.bar.hide()
        self.close_button.setText(tr("Close"))
        self._check()
        self.text.set_full_text(text)
        set_role(self.text, role)
        good = any(e.error is None for e in self._results.values())
        self.show_button.setVisible(good)
        self.train_button.setVisible(good and TRAINING in self._how.formats)
        self.list.show_results(self._results, choose_failed=True)
