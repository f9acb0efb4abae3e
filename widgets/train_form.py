"""What is to be trained: dataset, start, old cases, time, device, and where the model goes."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QSpinBox,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.dataset_summary import DatasetSummary, summarise_dataset
from contourdesk.app.errors import UserError
from contourdesk.app.settings import data_dir
from contourdesk.app.training_run import TrainingOrder
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.model_choice import ModelChoice
from contourdesk.widgets.path_row import PathRow
from contourdesk.widgets.predict_panel import DEVICES
from contourdesk.widgets.theme import em, ink, level_labels, named, set_role

NETWORKS = (
    ("nnU-Net, 3D", "nnunet"),
    ("U-Net of 2015, slices", "unet2015"),
    ("without skip connections, slices", "fcn"),
)


class TrainForm(QWidget):
    """Gives a `TrainingOrder`; `changed` comes when it, or whether it can be carried out, is another."""

    changed = Signal()

    def __init__(self, dataset: str = "", device: str = "auto", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.summary: DatasetSummary | None = None
        self._looked_at: Path | None = None
        self._own_out = True
        set_role(self, "plain")
        self.runner = JobRunner(self)
        self.runner.succeeded.connect(self._on_summary)
        self.runner.failed.connect(self._on_no_dataset)
        self.runner.cancelled.connect(self._look)
        self._make(dataset, device)
        self._build()
        self._connect()
        self._on_dataset()

    def _make(self, dataset: str, device: str) -> None:
        self.dataset = PathRow("train_dataset", tr("Dataset to train on"), dataset)
        self.told = QLabel()
        named(self.told, "train_summary", tr("What is in the dataset"))
        self.told.setWordWrap(True)
        self.told.setTextFormat(Qt.TextFormat.PlainText)
        self.organs = QTableWidget(0, 2)
        named(self.organs, "train_organs", tr("In how many cases each organ is known"))
        self._dress_organs()
        self.fold = QComboBox()
        named(self.fold, "train_fold", tr("Cases that are held out, to see how good the model gets"))
        self.start = ModelChoice("train_from", tr("Model to go on from"), tr("nothing: from scratch"))
        self.mix = PathRow("train_mix", tr("Dataset with old cases"))
        self.mix.line.setPlaceholderText(tr("none; else a dataset, against forgetting"))
        self.share = QSpinBox()
        named(self.share, "train_share", tr("Share of old cases"), tr("Share of the patches that old cases get"))
        self.share.setRange(5, 95)
        self.share.setValue(50)
        self.share.setSuffix(" %")
        self.length, self.unit = QSpinBox(), QComboBox()
        named(self.length, "train_length", tr("How long to train"))
        named(self.unit, "train_unit", tr("In minutes or steps"))
        self.length.setRange(1, 1_000_000)
        self.length.setValue(60)
        for text, value in ((tr("minutes"), "minutes"), (tr("steps"), "steps")):
            self.unit.addItem(text, value)
        self.device = QComboBox()
        named(self.device, "train_device", tr("Device to train on"))
        for text, value in DEVICES:
            self.device.addItem(tr(text), value)
        self.device.setCurrentIndex(max(self.device.findData(device), 0))
        self.network = QComboBox()
        named(self.network, "train_network", tr("Network"))
        for text, value in NETWORKS:
            self.network.addItem(tr(text), value)
        self.out = PathRow("train_out", tr("Folder of the new model"))

    def _dress_organs(self) -> None:
        table = self.organs
        table.setHorizontalHeaderLabels([tr("Organ"), tr("Known in")])
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        table.setAlternatingRowColors(True)
        table.setShowGrid(False)
        table.setTabKeyNavigation(False)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(em(self, 1.45))
        table.horizontalHeader().setSectionResizeMode(0, QHeaderView.ResizeMode.Stretch)
        table.horizontalHeader().setDefaultAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignVCenter)
        table.setMinimumHeight(em(self, 5))

    def _build(self) -> None:
        form = QFormLayout()
        form.setVerticalSpacing(em(self, 0.4))
        form.addRow(tr("Start from"), self.start)
        row = QHBoxLayout()
        row.addWidget(self.mix, 1)
        row.addWidget(self.share)
        form.addRow(tr("Old cases"), row)
        form.addRow(tr("Held out"), self.fold)
        form.addRow(tr("Network"), self.network)
        row = QHBoxLayout()
        row.addWidget(self.length)
        row.addWidget(self.unit)
        row.addWidget(self.device, 1)
        form.addRow(tr("Time, device"), row)
        form.addRow(tr("Model folder"), self.out)
        level_labels(form)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(em(self, 0.4))
        heading = QLabel(tr("Dataset"))
        set_role(heading, "heading")
        layout.addWidget(heading)
        layout.addWidget(self.dataset)
        layout.addWidget(self.told)
        layout.addWidget(self.organs, 1)
        heading = QLabel(tr("Training"))
        set_role(heading, "heading")
        layout.addWidget(heading)
        layout.addLayout(form)

    def _connect(self) -> None:
        self.dataset.changed.connect(self._on_dataset)
        self.start.changed.connect(self._on_start)
        self.out.line.textEdited.connect(lambda _: setattr(self, "_own_out", False))
        self.out.browse.clicked.connect(lambda: setattr(self, "_own_out", False))
        for row in (self.mix, self.out):
            row.changed.connect(self.changed)
        self.fold.currentIndexChanged.connect(lambda _: self.changed.emit())
        self.network.currentIndexChanged.connect(lambda _: self.changed.emit())

    # -- what is chosen -------------------------------------------------------------------------------------------

    @property
    def reason(self) -> str:
        """Why it can't be trained as it is; empty when it can."""
        if not self.dataset.text:
            return tr("Choose the dataset to train on.")
        if self.summary is None:
            return tr("Looking at the dataset…") if self.runner.running else self.told.text()
        if self.summary.problem:
            return self.summary.problem
        return "" if self.out.text else tr("Choose a folder for the model.")

    @property
    def order(self) -> TrainingOrder | None:
        """What is chosen; None while a path is missing."""
        dataset, out, mix = self.dataset.path, self.out.path, self.mix.path
        if dataset is None or out is None:
            return None
        start, in_steps = self.start.model, self.unit.currentData() == "steps"
        return TrainingOrder(
            dataset=dataset,
            out=out,
            minutes=None if in_steps else float(self.length.value()),
            steps=self.length.value() if in_steps else None,
            start_from=start,
            mix=(mix,) if mix is not None and start else (),
            mix_share=self.share.value() / 100,
            network="" if start else self.network.currentData(),
            fold=self.fold.currentData() or "0",
            device=self.device.currentData(),
        )

    def show_order(self, order: TrainingOrder) -> None:
        """Show what is being trained in a folder that was found again."""
        self._own_out = False
        self.dataset.set_path(order.dataset)
        self.out.set_path(order.out)
        if order.start_from:
            self.start.choose(order.start_from)
        self.mix.set_path(order.mix[0] if order.mix else "")
        self.share.setValue(round(order.mix_share * 100))
        in_steps = order.steps is not None
        self.length.setValue(order.steps if order.steps is not None else max(1, round(order.minutes or 1)))
        for choice, value in (
            (self.device, order.device),
            (self.network, order.network),
            (self.unit, "steps" if in_steps else "minutes"),
        ):
            choice.setCurrentIndex(max(choice.findData(value), 0))
        self._wanted_fold = order.fold

    def suggest_out(self) -> None:
        """Another folder for the next model."""
        self._own_out = True
        self._suggest()

    def _suggest(self) -> None:
        if self._own_out and self.dataset.path is not None:
            stem = re.sub(r"[^\w-]+", "_", self.dataset.path.name).strip("_") or "model"
            self.out.set_path(data_dir() / "training" / f"{stem}-{datetime.now():%Y-%m-%d-%H%M%S}")

    # -- the dataset ----------------------------------------------------------------------------------------------

    _wanted_fold = ""

    def _on_start(self) -> None:
        begun = bool(self.start.model)
        for widget in (self.mix, self.share):
            widget.setEnabled(begun)
        self.network.setEnabled(not begun)  # it has the network of the model
        self.changed.emit()

    def _on_dataset(self) -> None:
        self._on_start()
        self._suggest()
        self._look()

    def _look(self) -> None:
        """Look at the dataset, unless that was done; when another one is being looked at, after it."""
        path = self.dataset.path
        if path == self._looked_at and self.summary is not None:
            return
        self.summary = None
        if self.runner.running:
            self.runner.cancel()
            return
        self._looked_at = path
        if path is None:
            self._show()
            return
        self.told.setText(tr("Looking at the dataset…"))
        set_role(self.told, "muted")
        self.runner.start(summarise_dataset(path), harmless=True)

    def _on_summary(self, summary: DatasetSummary) -> None:
        if self._looked_at != self.dataset.path:
            self._look()
            return
        self.summary = summary
        self._show()

    def _on_no_dataset(self, error: BaseException) -> None:
        if self._looked_at != self.dataset.path:
            self._look()
            return
        self._show(str(error) if isinstance(error, UserError) else tr("The dataset can't be read."))

    def _show(self, problem: str = "") -> None:
        s = self.summary
        self.organs.setRowCount(0 if s is None else len(s.known))
        for y, (organ, count) in enumerate(s.known.items() if s is not None else ()):
            self.organs.setItem(y, 0, QTableWidgetItem(organ))
            item = QTableWidgetItem(tr("{count} of {all}").format(count=count, all=s.cases if s else 0))
            item.setForeground(ink("warning" if not count else "text"))
            self.organs.setItem(y, 1, item)
        if s is None:
            self.told.setText(problem or tr("An nnU-Net raw dataset, such as the export of reviews makes."))
        else:
            told = tr("Cases: {cases}, patients: {patients}, organs: {organs}.").format(
                cases=s.cases, patients=s.patients, organs=len(s.known)
            )
            if s.partly:
                told += " " + tr("What nobody contoured in a case counts as unknown there, not as background.")
            self.told.setText(s.problem or told)
        set_role(self.told, "warning" if problem or (s is not None and s.problem) else "muted")
        self._show_folds()
        self.changed.emit()

    def _show_folds(self) -> None:
        folds = () if self.summary is None else self.summary.held_out
        chosen = self._wanted_fold or self.fold.currentData()
        self._wanted_fold = ""
        blocked = self.fold.blockSignals(True)
        self.fold.clear()
        for number, count in enumerate(folds):
            self.fold.addItem(tr("fold {number}, cases: {count}").format(number=number, count=count), str(number))
        if not folds:
            self.fold.addItem(tr("a tenth of the patients, from ten patients on"), "0")
        self.fold.addItem(tr("nobody: all are trained on"), "all")
        self.fold.setCurrentIndex(max(self.fold.findData(chosen), 0))
        self.fold.blockSignals(blocked)
