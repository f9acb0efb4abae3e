"""Segment in the background: model, device, progress, cancel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.review import ReviewSession
from contourdesk.app.structures import Structure
from contourdesk.app.volume import Volume
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.theme import em, icon, named, set_role

DEVICES = (("Automatic", "auto"), ("Graphics card (CUDA)", "cuda"), ("Processor", "cpu"))


def segment(volume: Volume, folder: Path, device: str) -> Job[list[Structure]]:
    """Job: load the model in `folder` and segment `volume`; PyTorch is imported here, in the worker.

    Raises UserError for a broken model or a device that isn't there.
    """
    yield Progress(0, 0, "Starting PyTorch…")
    from contourdesk.inference.device import choose_device
    from contourdesk.inference.nnunet import load_model
    from contourdesk.inference.predict import predict

    yield Progress(0, 0, "Loading the model…")
    model = load_model(folder)
    yield Progress(0, 0, "Preparing the image…")
    return (yield from predict(volume, model, choose_device(device)))


def find_models(folder: Path) -> list[Path]:
    """Model folders directly in `folder`, by name."""
    return sorted(p.parent for p in folder.glob("*/plans.json"))


class PredictPanel(QWidget):
    """Runs one model on the open case.

    `finished` carries a sentence for the status bar, `failed` an exception for the user, `busy` whether it runs.
    """

    finished = Signal(str)
    failed = Signal(object)
    busy = Signal(bool)
    model_chosen = Signal(object)  # Path

    def __init__(self, models: Sequence[Path], device: str = "auto", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("predict_panel")
        self._session: ReviewSession | None = None
        self._base = 0
        self.runner = JobRunner(self)
        self.model = QComboBox()
        named(self.model, "model", "Model")
        self.model.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.model.setMinimumContentsLength(12)
        for folder in models:
            self.model.addItem(folder.name, folder)
        self.model.addItem("Other model folder…", None)
        self.model.activated.connect(self._on_model)
        self.device = QComboBox()
        named(self.device, "device", "Device that the model runs on")
        for text, value in DEVICES:
            self.device.addItem(text, value)
        self.device.setCurrentIndex(max(self.device.findData(device), 0))
        self.button = QPushButton(icon("segment"), "Segment")
        named(self.button, "segment", "Segment", "Propose structures with the model (Ctrl+G)")
        set_role(self.button, "primary")
        self.cancel_button = QPushButton("Cancel")
        named(self.cancel_button, "cancel_segment", "Cancel the segmentation")
        self.bar = QProgressBar()
        named(self.bar, "segment_progress", "Progress of the segmentation")
        self.text = QLabel()
        named(self.text, "segment_text")
        self.text.setWordWrap(True)
        set_role(self.text, "muted")
        self._build()
        self.button.clicked.connect(self.start)
        self.cancel_button.clicked.connect(self.cancel)
        self.runner.progressed.connect(self._on_progress)
        self.runner.succeeded.connect(self._on_result)
        self.runner.failed.connect(self._on_failure)
        self.runner.cancelled.connect(lambda: self._end("Cancelled. Nothing was changed."))
        self._show_running(False)

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(em(self, 0.6), em(self, 0.3), em(self, 0.6), em(self, 0.6))
        layout.setSpacing(em(self, 0.4))
        grid = QGridLayout()
        grid.setColumnStretch(1, 1)
        for row, (text, widget) in enumerate((("Model", self.model), ("Device", self.device))):
            label = QLabel(text)
            set_role(label, "muted")
            label.setBuddy(widget)
            grid.addWidget(label, row, 0)
            grid.addWidget(widget, row, 1)
        layout.addLayout(grid)
        buttons = QHBoxLayout()
        buttons.addWidget(self.button, 2)
        buttons.addWidget(self.cancel_button, 1)
        layout.addLayout(buttons)
        layout.addWidget(self.text)
        layout.addWidget(self.bar)
        # Their room is kept, so that nothing jumps when a segmentation begins.
        self.text.setMinimumHeight(2 * self.text.fontMetrics().lineSpacing())
        self.text.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)
        policy = self.bar.sizePolicy()
        policy.setRetainSizeWhenHidden(True)
        self.bar.setSizePolicy(policy)

    # -- what the window uses -------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether a segmentation runs."""
        return self.runner.running

    def set_session(self, session: ReviewSession | None) -> None:
        """Work on another session; what runs for the last one is cancelled."""
        self.runner.cancel()
        self._session = session
        self.text.clear()
        self._show_running(self.running)

    def choose_model(self, folder: Path) -> None:
        """Put a model folder into the list and choose it."""
        row = next((i for i in range(self.model.count()) if self.model.itemData(i) == folder), -1)
        if row < 0:
            row = self.model.count() - 1
            self.model.insertItem(row, folder.name, folder)
            self.model.setItemData(row, str(folder), 3)  # the tool tip
        self.model.setCurrentIndex(row)
        self._last_model = row

    def set_device(self, device: str) -> None:
        """Choose a device by its name in the settings."""
        self.device.setCurrentIndex(max(self.device.findData(device), 0))

    def start(self) -> None:
        """Segment the open case."""
        folder = self.model.currentData()
        if self._session is None or self.running:
            return
        if folder is None:
            self.failed.emit(UserError("No model is chosen.", "Choose a model folder in the list first."))
            return
        self._base, self._case = self._session.revision, self._session
        self.runner.start(segment(self._session.case.volume, folder, self.device.currentData()), harmless=True)
        self.text.setText("Starting…")
        self.bar.setRange(0, 0)
        self._show_running(True)

    def cancel(self) -> None:
        """Stop the segmentation; it ends within a second."""
        if self.running:
            self.text.setText("Stopping…")
            self.cancel_button.setEnabled(False)
            self.runner.cancel()

    # -- slots ----------------------------------------------------------------------------------------------------

    _last_model = 0
    _case: ReviewSession | None = None

    def _on_model(self, row: int) -> None:
        if self.model.itemData(row) is not None:
            self._last_model = row
            self.model_chosen.emit(self.model.itemData(row))
            return
        self.model.setCurrentIndex(self._last_model)
        chosen = QFileDialog.getExistingDirectory(self, "Choose a model folder (with plans.json)")
        if chosen:
            self.choose_model(Path(chosen))
            self.model_chosen.emit(Path(chosen))

    def _on_progress(self, step: Progress) -> None:
        if not self.cancel_button.isEnabled():
            return
        self.bar.setRange(0, step.total)
        self.bar.setValue(step.done)
        self.text.setText(step.text)

    def _on_result(self, structures: list[Structure]) -> None:
        if self._session is None or self._session is not self._case:
            self._end("The result was for another case and was dropped.")
            return
        if not self.cancel_button.isEnabled():
            self._end("Cancelled. Nothing was changed.")
            return
        self._session.add_proposals(structures, base_revision=self._base)
        empty = [s.name for s in structures if s.mask.is_empty]
        text = f"{len(structures) - len(empty)} structures proposed."
        self._end(f"{text} Not found: {', '.join(empty)}." if empty else text)

    def _on_failure(self, error: BaseException) -> None:
        self._end("Segmentation failed. Nothing was changed.")
        self.failed.emit(error)

    def _end(self, text: str) -> None:
        self.text.setText(text)
        self._show_running(False)
        self.finished.emit(text)

    def _show_running(self, running: bool) -> None:
        self.button.setEnabled(self._session is not None and not running)
        self.button.setText("Segmenting…" if running else "Segment")
        self.cancel_button.setEnabled(running)
        self.bar.setVisible(running)
        self.model.setEnabled(not running)
        self.device.setEnabled(not running)
        self.busy.emit(running)
