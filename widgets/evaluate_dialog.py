"""Evaluation in the window: a model, or two, on held-out cases; figures, verdict, worst cases, and what follows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Qt, QUrl, Signal
from qtpy.QtGui import QCloseEvent, QDesktopServices
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.evaluate_command import REPORT, evaluation
from contourdesk.app.evaluation_files import Evaluation
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.settings import data_dir
from contourdesk.widgets.error_dialog import show_error
from contourdesk.widgets.evaluation_table import FiguresTable, WorstTable, told
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.model_choice import ModelChoice
from contourdesk.widgets.path_row import PathRow
from contourdesk.widgets.promotion import Promotion
from contourdesk.widgets.theme import em, level_labels, named, set_role
from contourdesk.widgets.window_parts import ElidedLabel

_ROLES = {"better": "good", "worse": "warning", "better, but": "warning"}


class EvaluateDialog(QDialog):
    """Runs in a worker, beside other work; closing stops it, and starting again goes on.

    `case_wanted` carries a review folder that shows truth and models, and the `Score` of the structure to look at;
    `models_changed` comes when there are other models or defaults.

    Parameters
    ----------
    cases : dataset or reviews to begin with;  device : see `Settings`;  who : the person who may change the default.
    """

    case_wanted = Signal(object, object)
    models_changed = Signal()

    def __init__(self, cases: str = "", device: str = "auto", who: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("evaluate_dialog")
        self.setWindowTitle(tr("Evaluate models"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._device, self._out = device, Path()
        self._evaluation: Evaluation | None = None
        self.runner = JobRunner(self, tr("Evaluation"))
        self._make_choices(cases)
        self._make_results(who)
        self._build()
        self._connect()
        self._check()

    # -- building -------------------------------------------------------------------------------------------------

    def _make_choices(self, cases: str) -> None:
        self.cases = PathRow("evaluate_cases", tr("Dataset, or folder of reviews"), cases)
        self.split = QComboBox()
        named(self.split, "evaluate_split", tr("Which cases of a dataset"))
        for text, value in (
            (tr("test cases, else validation"), None),
            (tr("test cases (Ts)"), "Ts"),
            (tr("validation cases (Val)"), "Val"),
            (tr("training cases (Tr)"), "Tr"),
        ):
            self.split.addItem(text, value)
        self.a = ModelChoice("evaluate_a", tr("Model A"))
        self.b = ModelChoice("evaluate_b", tr("Model B"), tr("none: how good is A?"))
        self.button, self.stop = QPushButton(tr("Evaluate")), QPushButton(tr("Stop"))
        named(self.button, "evaluate_start", tr("Evaluate"))
        named(self.stop, "evaluate_stop", tr("Stop"), tr("What was predicted is kept; Evaluate goes on from there"))
        set_role(self.button, "primary")
        for button in (self.button, self.stop):
            button.setAutoDefault(False)
        self.bar = QProgressBar()
        named(self.bar, "evaluate_progress", tr("Progress of the evaluation"))
        self.text = ElidedLabel()
        named(self.text, "evaluate_text", tr("How the evaluation goes"))
        self.bar.hide()
        self.stop.hide()

    def _make_results(self, who: str) -> None:
        self.verdict, self.doubts = QLabel(), QLabel()
        named(self.verdict, "evaluate_verdict", tr("Verdict"))
        named(self.doubts, "evaluate_warnings", tr("What puts the figures in doubt"))
        for label in (self.verdict, self.doubts):
            label.setWordWrap(True)
            label.setTextFormat(Qt.TextFormat.PlainText)
            label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        set_role(self.doubts, "warning")
        self.figures, self.worst = FiguresTable(), WorstTable()
        self.open_case, self.open_report = QPushButton(tr("Open the case")), QPushButton(tr("Report…"))
        named(
            self.open_case, "evaluate_open_case", tr("Open the case"), tr("Truth and what each model drew, to look at")
        )
        named(self.open_report, "evaluate_report", tr("Open the report"), tr("One HTML file, to print or to hand on"))
        for button in (self.open_case, self.open_report):
            button.setAutoDefault(False)
        self.promotion = Promotion(who)
        self.results = QWidget()
        set_role(self.results, "plain")
        self.results.hide()

    def _build(self) -> None:
        form = QFormLayout()
        form.setVerticalSpacing(em(self, 0.4))
        row = QHBoxLayout()
        row.setSpacing(em(self, 0.6))
        row.addWidget(self.cases, 1)
        row.addWidget(self.split)
        form.addRow(tr("Cases"), row)
        row = QHBoxLayout()
        row.setSpacing(em(self, 0.6))
        row.addWidget(self.a, 1)
        row.addWidget(QLabel(tr("B, the new one")))
        row.addWidget(self.b, 1)
        form.addRow(tr("Model A"), row)
        level_labels(form)
        row = QHBoxLayout()
        row.addWidget(self.text, 1)
        row.addWidget(self.stop)
        row.addWidget(self.button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*[em(self, 1)] * 4)
        layout.setSpacing(em(self, 0.5))
        layout.addLayout(form)
        layout.addLayout(row)
        layout.addWidget(self.bar)
        layout.addWidget(self.results, 1)
        self._room = QLabel(
            tr("How good is a model on cases that it was not trained on, and is a new one (B) better?\n"
               "Only organs that a person contoured or accepted count.")
        )  # fmt: skip
        self._room.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._room.setWordWrap(True)
        set_role(self._room, "muted")
        layout.addWidget(self._room, 1)
        self._build_results()
        self.resize(em(self, 58), em(self, 42))

    def _build_results(self) -> None:
        layout = QVBoxLayout(self.results)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(em(self, 0.5))
        layout.addWidget(self.verdict)
        layout.addWidget(self.doubts)
        below = QWidget()
        set_role(below, "plain")
        column = QVBoxLayout(below)
        column.setContentsMargins(0, 0, 0, 0)
        row = QHBoxLayout()
        heading = QLabel(tr("Worst cases"))
        set_role(heading, "heading")
        row.addWidget(heading, 1)
        row.addWidget(self.open_case)
        row.addWidget(self.open_report)
        column.addLayout(row)
        column.addWidget(self.worst, 1)
        both = QSplitter(Qt.Orientation.Vertical)
        both.setChildrenCollapsible(False)
        both.addWidget(self.figures)
        both.addWidget(below)
        both.setStretchFactor(0, 3)
        both.setStretchFactor(1, 2)
        layout.addWidget(both, 1)
        layout.addWidget(self.promotion)

    def _connect(self) -> None:
        self.cases.changed.connect(self._check)
        self.a.changed.connect(self._check)
        self.b.changed.connect(self._check)
        self.button.clicked.connect(self._start)
        self.stop.clicked.connect(self.runner.cancel)
        self.open_case.clicked.connect(lambda: self._on_worst(self.worst.chosen))
        self.worst.wanted.connect(self._on_worst)
        self.open_report.clicked.connect(lambda: QDesktopServices.openUrl(QUrl.fromLocalFile(str(self._out / REPORT))))
        self.promotion.changed.connect(self._on_promoted)
        self.promotion.failed.connect(lambda error: show_error(self, error, tr("Evaluate models")))
        self.runner.progressed.connect(self._on_progress)
        self.runner.succeeded.connect(self._on_done)
        self.runner.failed.connect(self._on_failed)
        self.runner.cancelled.connect(
            lambda: self._end(tr("Stopped. What was predicted is kept; Evaluate goes on from there."), "warning")
        )

    # -- the evaluation -------------------------------------------------------------------------------------------

    def choose(self, a: str = "", b: str = "") -> None:
        """Choose the models, by name or path."""
        for choice, model in ((self.a, a), (self.b, b)):
            if model:
                choice.choose(model)

    def _check(self) -> None:
        running = self.runner.running
        reason = ""
        if not self.cases.text:
            reason = tr("Choose a dataset with held-out cases, or a folder of reviews with accepted structures.")
        elif self.a.model == self.b.model:
            reason = tr("A and B are the same model.")
        self.button.setEnabled(not running and not reason)
        for widget in (self.cases, self.split, self.a, self.b):
            widget.setEnabled(not running)
        if not running and (reason or not self.results.isVisibleTo(self)):
            self.text.set_full_text(reason)
            set_role(self.text, "muted")

    def _start(self) -> None:
        cases = self.cases.path
        if cases is None:
            return
        models = [m for m in (self.a.model, self.b.model) if m]
        self._out = evaluations() / folder_name(cases, models)
        self._evaluation = None
        self.results.hide()
        self._room.show()
        split = self.split.currentData()
        self.runner.start(_evaluated(cases, models, self._out, split, self._device))
        self.bar.setRange(0, 0)
        for widget in (self.bar, self.stop):
            widget.show()
        self.button.hide()
        self._check()

    def _on_progress(self, step: Progress) -> None:
        self.bar.setRange(0, step.total)
        self.bar.setValue(step.done)
        self.text.set_full_text(step.text)
        set_role(self.text, "")

    def _on_done(self, e: Evaluation) -> None:
        self._evaluation = e
        headline, *lines = told(e)
        self.verdict.setText("\n".join((headline, *lines)))
        set_role(self.verdict, _ROLES.get(e.verdict.kind if e.verdict is not None else "", "strong"))
        doubts = list(e.warnings)
        if e.failed:
            first = next(iter(e.failed.items()))
            doubts.append(tr("Cases that failed: {count}, such as {case}: {why}").format(
                count=len(e.failed), case=first[0], why=first[1]))  # fmt: skip
        self.doubts.setText("\n".join(doubts))
        self.doubts.setVisible(bool(doubts))
        self.figures.show_evaluation(e)
        self.worst.show_evaluation(e)
        self.open_case.setEnabled(self.worst.rowCount() > 0)
        newest = e.models[-1]
        self.promotion.set_model(_clean(Path(newest.name).name), Path(newest.path), headline)
        self._end(tr("The report is in {folder}.").format(folder=self._out), "muted")
        self._room.hide()
        self.results.show()

    def _on_failed(self, error: BaseException) -> None:
        self._end(tr("There is no result."), "warning")
        show_error(self, error, tr("Evaluate models"))

    def _end(self, text: str, role: str) -> None:
        for widget in (self.bar, self.stop):
            widget.hide()
        self.button.show()
        self._check()
        self.text.set_full_text(text)
        set_role(self.text, role)

    def _on_worst(self, score: object) -> None:
        e = self._evaluation
        case = getattr(score, "case", None)
        if e is not None and case in e.views:
            self.case_wanted.emit(e.views[case], score)

    def _on_promoted(self) -> None:
        for choice in (self.a, self.b):
            choice.refresh()
        self.models_changed.emit()

    # -- leaving --------------------------------------------------------------------------------------------------

    def closeEvent(self, event: QCloseEvent) -> None:
        """Stop what runs; predictions that were made are kept."""
        self.runner.cancel()
        super().closeEvent(event)

    def reject(self) -> None:
        """Escape closes, but not while it runs: one key too much should not end an hour's work."""
        if not self.runner.running:
            super().reject()


def evaluations() -> Path:
    """The folder of all reports that the window made."""
    return data_dir() / "evaluations"


def folder_name(cases: Path, models: Sequence[str]) -> str:
    """The same for the same comparison, so that it goes on where it was stopped."""
    texts = (str(cases), *models)
    mark = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:6]
    return "-".join(_clean(Path(text).name) for text in texts)[:100] + f"-{mark}"


def _clean(text: str) -> str:
    return re.sub(r"[^\w-]+", "_", text).strip("_") or "model"


def _evaluated(cases: Path, models: Sequence[str], out: Path, split: str | None, device: str) -> Job[Evaluation]:
    """In the worker: evaluate; PyTorch is imported here. Raises UserError."""
    yield Progress(0, 0, tr("Starting PyTorch…"))
    from contourdesk.inference.device import choose_device

    on = str(choose_device(device))
    return (yield from evaluation([cases], models, out, split=split, device=on, cache=evaluations() / "predictions"))
