"""Segment in the background: model, options, device, progress, cancel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Box
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.review import ReviewSession
from contourdesk.app.volume import Volume
from contourdesk.inference.model_library import Entry, defaults, site_of
from contourdesk.inference.options import Options, Prediction
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.predict_options import PredictOptions
from contourdesk.widgets.theme import em, icon, icon_size, named, set_role

DEVICES = (
    ("Automatic", "auto"),
    ("Graphics card (CUDA)", "cuda"),
    ("Graphics (Apple)", "mps"),
    ("Processor", "cpu"),
)


def segment(
    volume: Volume, folder: Path, device: str, options: Options, folds: Sequence[str] | None, name: str = ""
) -> Job[Prediction]:
    """Job: load a model and segment `volume`; PyTorch is imported here, in the worker.

    `name` is the model's in the library, where its weights are known; empty for a folder that is not in it.
    Raises UserError for a broken model, one that changed since it was added, or a device that isn't there.
    """
    yield Progress(0, 0, tr("Starting PyTorch…"))
    from contourdesk.inference.device import choose_device
    from contourdesk.inference.model_library import load
    from contourdesk.inference.nnunet import load_models
    from contourdesk.inference.predict import predict

    yield Progress(0, 0, tr("Loading the model…"))
    models = load(name, folds) if name else load_models(folder, folds)
    yield Progress(0, 0, tr("Preparing the image…"))
    return (yield from predict(volume, models, choose_device(device), options))


def read_model(folder: Path, device: str) -> Job[tuple[Entry, str]]:
    """Job: what is to be known of a model, and the device it would run on, in words. Raises UserError."""
    yield Progress(0, 0, tr("Reading the model…"))
    from contourdesk.inference.device import choose_device, describe
    from contourdesk.inference.model_library import read_entry

    return read_entry(folder), describe(choose_device(device))


class PredictPanel(QWidget):
    """Runs one model on the open case.

    `finished` carries a sentence for the status bar, `failed` an exception for the user, `busy` whether it runs,
    `noted` what the user should know about the result, `manage_wanted` that the list of models is to be opened.
    """

    finished = Signal(str)
    failed = Signal(object)
    busy = Signal(bool)
    noted = Signal(object)  # tuple of sentences
    model_chosen = Signal(object)  # Path
    manage_wanted = Signal()

    def __init__(self, models: Sequence[Path], device: str = "auto", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("predict_panel")
        self._session: ReviewSession | None = None
        self._base = 0
        self._entries: dict[Path, Entry] = {}
        self._box: Box | None = None
        self.runner = JobRunner(self, tr("Segmentation"))
        self.reader = JobRunner(self)
        self._reading: Path | None = None
        self.model = QComboBox()
        named(self.model, "model", tr("Model"))
        self.model.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.model.setMinimumContentsLength(12)
        for folder in models:
            self.model.addItem(folder.name, folder)
        self.model.activated.connect(self._on_model)
        self.manage = QToolButton()
        named(self.manage, "models", tr("Models"), tr("Models: what they are, add, remove, default of a body site"))
        self.manage.setIcon(icon("models"))
        self.manage.setIconSize(icon_size(self))
        self.manage.clicked.connect(self.manage_wanted)
        self.options = PredictOptions()
        self.options.unfolded.connect(self._read)
        self.device = QComboBox()
        named(self.device, "device", tr("Device that the model runs on"))
        for text, value in DEVICES:
            self.device.addItem(tr(text), value)
        self.device.setCurrentIndex(max(self.device.findData(device), 0))
        self.button = QPushButton(tr("Segment"))
        named(self.button, "segment", tr("Segment"), tr("Propose structures with the model (Ctrl+G)"))
        set_role(self.button, "primary")
        self.cancel_button = QPushButton(tr("Cancel"))
        named(self.cancel_button, "cancel_segment", tr("Cancel the segmentation"))
        self.bar = QProgressBar()
        named(self.bar, "segment_progress", tr("Progress of the segmentation"))
        self.text = QLabel()
        named(self.text, "segment_text")
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        set_role(self.text, "muted")
        self.needs = QLabel()
        named(self.needs, "segment_needs", tr("Where the segmentation runs and the memory it needs"))
        self.needs.setWordWrap(True)
        set_role(self.needs, "muted")
        self.status = QWidget()  # how the segmentation goes; the window may show it elsewhere
        self._build()
        self.button.clicked.connect(self.start)
        self.cancel_button.clicked.connect(self.cancel)
        self.runner.progressed.connect(self._on_progress)
        self.runner.succeeded.connect(self._on_result)
        self.runner.failed.connect(self._on_failure)
        self.runner.cancelled.connect(lambda: self._end(tr("Cancelled. Nothing was changed.")))
        self.reader.succeeded.connect(self._on_read)
        self.reader.failed.connect(lambda error: self.options.show_failure(str(error)))
        self.reader.cancelled.connect(self._read)
        self._show_running(False)

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(em(self, 0.6), em(self, 0.3), em(self, 0.6), em(self, 0.6))
        layout.setSpacing(em(self, 0.4))
        grid = QGridLayout()
        grid.setColumnStretch(1, 1)
        for row, (text, widget) in enumerate(((tr("Model"), self.model), (tr("Device"), self.device))):
            label = QLabel(text)
            set_role(label, "muted")
            label.setBuddy(widget)
            grid.addWidget(label, row, 0)
            grid.addWidget(widget, row, 1, 1, 1 if widget is self.model else 2)
        grid.addWidget(self.manage, 0, 2)
        layout.addLayout(grid)
        layout.addWidget(self.options)
        buttons = QHBoxLayout()
        buttons.addWidget(self.button, 2)
        buttons.addWidget(self.cancel_button, 1)
        layout.addLayout(buttons)
        column = QVBoxLayout(self.status)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(em(self, 0.3))
        for widget in (self.needs, self.text, self.bar):
            column.addWidget(widget)
        layout.addWidget(self.status)
        self.needs.hide()
        # Their room is kept, so that nothing jumps when a segmentation begins.
        lines = 4 * self.text.fontMetrics().lineSpacing()
        self.status.setMinimumHeight(lines + self.bar.sizeHint().height() + 2 * column.spacing())
        column.addStretch(1)
        for label in (self.needs, self.text):
            label.setAlignment(Qt.AlignmentFlag.AlignLeft | Qt.AlignmentFlag.AlignTop)

    # -- what the window uses -------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether a segmentation runs."""
        return self.runner.running

    def set_session(self, session: ReviewSession | None) -> None:
        """Work on another session, with its body site's default model; what runs for the last one is cancelled."""
        self.runner.cancel()
        self._session = session
        self.text.clear()
        self.needs.hide()
        self.options.set_shape(None if session is None else session.case.volume.grid.shape)
        if session is not None:
            source = session.case.source
            part = str(source.header.get("BodyPartExamined", "")) if source.header is not None else ""
            self.choose_default(site_of(f"{source.description} {part}"))
        self._show_running(self.running)

    def set_models(self, entries: Sequence[Entry]) -> None:
        """Offer these models, and those folders that are offered already and are not among them."""
        chosen = self.model.currentData()
        others = [self.model.itemData(i) for i in range(self.model.count())]
        others = [folder for folder in others if folder not in self._entries]
        there = [entry for entry in entries if entry.is_there]
        self._entries = {Path(entry.folder): entry for entry in there}
        with QSignalBlocker(self.model):
            self.model.clear()
            for folder, entry in self._entries.items():
                self.model.addItem(entry.name, folder)
                self.model.setItemData(self.model.count() - 1, _tip(entry), Qt.ItemDataRole.ToolTipRole)
            for folder in others:
                if folder not in self._entries:
                    self._add_folder(folder)
            self.model.setCurrentIndex(max(0, self._row(chosen)))
        self._show_options()

    def choose_default(self, site: str | None) -> None:
        """Choose the default model of a body site, where there is one; else leave the choice."""
        name = defaults().get(site or "")
        row = next((self._row(folder) for folder, entry in self._entries.items() if entry.name == name), -1)
        if row >= 0:
            self.model.setCurrentIndex(row)
            self._show_options()

    def choose_model(self, folder: Path) -> None:
        """Put a model folder into the list and choose it."""
        if self._row(folder) < 0:
            self._add_folder(folder)
        self.model.setCurrentIndex(self._row(folder))
        self._show_options()

    def _add_folder(self, folder: Path) -> None:
        self.model.addItem(folder.name, folder)
        self.model.setItemData(self.model.count() - 1, str(folder), Qt.ItemDataRole.ToolTipRole)

    def _row(self, folder: object) -> int:
        return next((i for i in range(self.model.count()) if self.model.itemData(i) == folder), -1)

    def set_device(self, device: str) -> None:
        """Choose a device by its name in the settings."""
        self.device.setCurrentIndex(max(self.device.findData(device), 0))

    def start(self) -> None:
        """Segment the open case."""
        folder = self.model.currentData()
        if self._session is None or self.running:
            return
        try:
            if folder is None:
                raise UserError(tr("There is no model."), tr("Add one with the button beside the list of models."))
            options, folds = self.options.chosen()
        except UserError as error:
            self.failed.emit(error)
            return
        self._base, self._case, self._box = self._session.revision, self._session, options.box
        name = self._entries[folder].name if folder in self._entries else ""
        volume = self._session.case.volume
        self.runner.start(segment(volume, folder, self.device.currentData(), options, folds, name), harmless=True)
        self.text.setText(tr("Starting…"))
        self.needs.hide()
        self.needs.clear()
        self.bar.setRange(0, 0)
        self._show_running(True)

    def cancel(self) -> None:
        """Stop the segmentation; it ends within a second."""
        if self.running:
            self.text.setText(tr("Stopping…"))
            self.cancel_button.setEnabled(False)
            self.runner.cancel()

    # -- slots ----------------------------------------------------------------------------------------------------

    _case: ReviewSession | None = None

    def _on_model(self, _row: int) -> None:
        self._show_options()
        self.model_chosen.emit(self.model.currentData())

    def _show_options(self) -> None:
        """Offer what is known of the model; read it when the options are looked at."""
        folder = self.model.currentData()
        self.options.show_entry(self._entries.get(folder))
        if self.options.is_open:
            self._read()

    def _read(self) -> None:
        folder = self.model.currentData()
        if folder is None or not self.options.is_open:
            return
        if self.reader.running:
            if self._reading != folder:
                self.reader.cancel()  # and comes back here
            return
        self._reading = folder
        self.reader.start(read_model(folder, self.device.currentData()), harmless=True)

    def _on_read(self, found: tuple[Entry, str]) -> None:
        if self._reading != self.model.currentData():
            self._read()
            return
        entry, device = found
        if self._reading in self._entries:
            self._entries[self._reading] = entry
        self.options.show_entry(entry, device)

    def _on_progress(self, step: Progress) -> None:
        if not self.cancel_button.isEnabled():
            return
        self.bar.setRange(0, step.total)
        self.bar.setValue(step.done)
        self.text.setText(step.text)
        if step.note and step.note not in self.needs.text():
            self.needs.setText(f"{self.needs.text()} {step.note}.".strip())
            self.needs.show()

    def _on_result(self, structures: Prediction) -> None:
        if self._session is None or self._session is not self._case:
            self._end(tr("The result was for another case and was dropped."))
            return
        if not self.cancel_button.isEnabled():
            self._end(tr("Cancelled. Nothing was changed."))
            return
        self._session.add_proposals(
            structures, base_revision=self._base, confidence=structures.confidence, box=self._box
        )
        if structures.notes:
            self.noted.emit(structures.notes)
        empty = [s.name for s in structures if s.mask.is_empty]
        text = f"{len(structures) - len(empty)} structures proposed by {structures.device}."
        self._end(tr("{text} Not found: {empty}.").format(text=text, empty=", ".join(empty)) if empty else text)

    def _on_failure(self, error: BaseException) -> None:
        self._end(tr("Segmentation failed. Nothing was changed."))
        self.failed.emit(error)

    def _end(self, text: str) -> None:
        self.text.setText(text)
        self._show_running(False)
        self.finished.emit(text)

    def _show_running(self, running: bool) -> None:
        self.button.setEnabled(self._session is not None and not running)
        self.button.setText(tr("Segmenting…") if running else tr("Segment"))
        self.cancel_button.setEnabled(running)
        self.bar.setVisible(running)
        for widget in (self.model, self.manage, self.device, self.options):
            widget.setEnabled(not running)
        self.busy.emit(running)


def _tip(entry: Entry) -> str:
    return entry.describe() if entry.organs else entry.folder
