"""Training in the window: what to train, its curves while it goes on, stop, resume, and the finished model."""

from __future__ import annotations

import re
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QDialog,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.training_run import TrainingOrder, ask_to_stop, is_running, training, unfinished
from contourdesk.app.training_state import TrainingState, followed, state_of, watched
from contourdesk.inference import model_library as library
from contourdesk.widgets.error_dialog import show_error
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import em, named, set_role
from contourdesk.widgets.train_form import TrainForm
from contourdesk.widgets.training_view import TrainingView, time_left
from contourdesk.widgets.window_parts import ElidedLabel

PLANS = "plans.json"


class TrainDialog(QDialog):
    """Starts a training in a process of its own and shows it; hidden, it goes on following.

    A training that is going on in `last`, whoever started it, is followed too; one that was stopped there can go on.

    `said` carries a sentence for the status bar; `chosen` the dataset and the model folder of a training that was
    started, as texts; `models_changed` comes when a model was added; `evaluate_wanted` with dataset, model that it
    began with, and new model.

    Parameters
    ----------
    dataset : to begin with;  device : see `Settings`;  last : the model folder of the training before; may be empty.
    """

    said = Signal(str)
    chosen = Signal(str, str)
    models_changed = Signal()
    evaluate_wanted = Signal(str, str, str)

    def __init__(self, dataset: str = "", device: str = "auto", last: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("train_dialog")
        self.setWindowTitle(tr("Train a model"))
        self._out: Path | None = None
        self._stopped: TrainingOrder | None = None
        self._stopping = False
        self.runner, self.helper = JobRunner(self), JobRunner(self)
        self.form = TrainForm(dataset, device)
        self.view = TrainingView()
        self._make_foot()
        self._build()
        self._connect()
        self._check()
        if last:
            self.look_again(Path(last))

    # -- building -------------------------------------------------------------------------------------------------

    def _make_foot(self) -> None:
        self.text = ElidedLabel()
        named(self.text, "train_text", tr("How the training goes"))
        self.bar = QProgressBar()
        named(self.bar, "train_progress", tr("Progress of the training"))
        self.bar.hide()
        self.start, self.stop, self.resume, self.close_button = (
            QPushButton(tr("Start")),
            QPushButton(tr("Stop")),
            QPushButton(tr("Go on")),
            QPushButton(tr("Close")),
        )
        self.add, self.evaluate = QPushButton(tr("Add to the models")), QPushButton(tr("Evaluate…"))
        self.name = QLineEdit()
        named(self.name, "train_name", tr("Name of the new model"))
        for button, name, tip in (
            (self.start, "train_start", tr("Start the training in a process of its own")),
            (self.stop, "train_stop", tr("After this step; it can go on later from there")),
            (self.resume, "train_resume", tr("Go on with the training that was stopped")),
            (self.close_button, "train_close", tr("A training that is going on goes on")),
            (self.add, "train_add", tr("It can then be chosen; nobody's default changes")),
            (self.evaluate, "train_evaluate", tr("Is it better than the one before?")),
        ):
            named(button, name, button.text().rstrip("…"), tip)
            button.setAutoDefault(False)
        set_role(self.start, "primary")
        self.finished_row = QWidget()
        set_role(self.finished_row, "plain")
        self.finished_row.hide()

    def _build(self) -> None:
        both = QSplitter(Qt.Orientation.Horizontal)
        both.setChildrenCollapsible(False)
        both.addWidget(self.form)
        both.addWidget(self.view)
        both.setStretchFactor(0, 2)
        both.setStretchFactor(1, 3)
        row = QHBoxLayout(self.finished_row)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(QLabel(tr("New model")))
        row.addWidget(self.name)
        row.addWidget(self.add)
        row.addWidget(self.evaluate)
        foot = QHBoxLayout()
        foot.addWidget(self.text, 1)
        foot.addWidget(self.finished_row)
        for button in (self.resume, self.stop, self.start, self.close_button):
            foot.addWidget(button)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(*[em(self, 1)] * 4)
        layout.setSpacing(em(self, 0.5))
        layout.addWidget(both, 1)
        layout.addWidget(self.bar)
        layout.addLayout(foot)
        self.resize(em(self, 66), em(self, 40))

    def _connect(self) -> None:
        self.form.changed.connect(self._check)
        self.start.clicked.connect(self._on_start)
        self.stop.clicked.connect(self.ask_to_stop)
        self.resume.clicked.connect(self._on_resume)
        self.close_button.clicked.connect(self.hide)
        self.add.clicked.connect(self._on_add)
        self.evaluate.clicked.connect(self._on_evaluate)
        self.runner.progressed.connect(self._on_state)
        self.runner.succeeded.connect(self._on_end)
        self.runner.failed.connect(self._on_failed)
        self.runner.cancelled.connect(lambda: self._end(tr("The training is not followed any more."), "muted"))
        self.helper.succeeded.connect(self._on_helped)
        self.helper.failed.connect(lambda error: show_error(self, error, tr("Train a model")))

    # -- what the window uses -------------------------------------------------------------------------------------

    @property
    def going_on(self) -> bool:
        """Whether a training is going on."""
        return self.runner.running

    def ask_to_stop(self) -> None:
        """Have the training stop after its step, with its checkpoint saved."""
        if self._out is not None and self.runner.running:
            self._stopping = True
            ask_to_stop(self._out)
            self.text.set_full_text(tr("Stopping after this step…"))
            self.stop.setEnabled(False)

    def look_again(self, out: Path) -> None:
        """Look for a training in a model folder: follow the one that is going on, offer to go on with a stopped one."""
        if not self.runner.running and not self.helper.running:
            self.helper.start(found_again(out), harmless=True)

    def use_dataset(self, folder: Path) -> None:
        """Have another dataset chosen, unless a training is going on."""
        if not self.runner.running:
            self.form.dataset.set_path(folder)
            self.form.suggest_out()

    # -- the training ---------------------------------------------------------------------------------------------

    def _check(self) -> None:
        running = self.runner.running
        reason = self.form.reason
        self.form.setEnabled(not running)
        self.start.setEnabled(not running and not reason)
        self.start.setVisible(not running)
        self.stop.setVisible(running)
        self.resume.setVisible(not running and self._stopped is not None)
        if not running and not self.finished_row.isVisibleTo(self) and self._stopped is None:
            self.text.set_full_text(reason)
            set_role(self.text, "muted")

    def _on_start(self) -> None:
        order = self.form.order
        if order is not None:
            self._begin(order, resume=False)

    def _on_resume(self) -> None:
        if self._stopped is not None:
            self._begin(self._stopped, resume=True)

    def _begin(self, order: TrainingOrder, *, resume: bool) -> None:
        if self.runner.running:
            return
        self._out, self._stopped, self._stopping = order.out, None, False
        self.chosen.emit(str(order.dataset), str(order.out))
        self._follow(_trained(order, resume), tr("Starting…"))

    def _follow(self, job: Job[TrainingState], text: str) -> None:
        self.runner.start(job)
        self.finished_row.hide()
        self.stop.setEnabled(True)
        self.bar.setRange(0, 0)
        self.bar.show()
        self.text.set_full_text(text)
        set_role(self.text, "")
        self._check()

    def _on_state(self, state: TrainingState) -> None:
        self.view.show_state(state)
        self.bar.setRange(0, state.total)
        self.bar.setValue(state.done)
        if not self._stopping:
            left = "" if state.seconds_left is None else f", {time_left(state.seconds_left)}"
            self.text.set_full_text(f"{state.text}{left}")

    def _on_end(self, state: TrainingState) -> None:
        self.view.show_state(state)
        if state.phase == "finished":
            self._end(tr("Finished. The model is in {folder}.").format(folder=self._out), "good")
            self._offer()
        else:
            self._stopped = unfinished(self._out) if self._out is not None else None
            self._end(tr("Stopped at step {step}. It can go on from there.").format(step=state.step), "warning")

    def _on_failed(self, error: BaseException) -> None:
        self._stopped = unfinished(self._out) if self._out is not None else None
        told = tr("The training ended early. It can go on from its last checkpoint.")
        self._end(told if self._stopped is not None else tr("The training did not begin."), "warning")
        show_error(self if self.isVisible() else self.parentWidget(), error, tr("Train a model"))

    def _end(self, text: str, role: str) -> None:
        self.bar.hide()
        self._check()
        self.text.set_full_text(text)
        set_role(self.text, role)
        self.said.emit(tr("Training: {text}").format(text=text))

    # -- what comes after -----------------------------------------------------------------------------------------

    def _offer(self) -> None:
        """Offer the finished model; nothing is done with it by itself."""
        if self._out is None:
            return
        self.name.setText(re.sub(r"[^\w-]+", "_", self._out.name).strip("_"))
        self.name.setVisible(True)
        self.add.setVisible(True)
        self.finished_row.show()
        self.form.suggest_out()

    def _on_add(self) -> None:
        if self._out is not None and not self.helper.running:
            self.helper.start(_added(self._out, self.name.text().strip()))

    def _on_evaluate(self) -> None:
        order = self.form.order
        if self._out is not None:
            began = order.start_from if order is not None else ""
            self.evaluate_wanted.emit(self.form.dataset.text, began, str(self._out))

    def _on_helped(self, found: object) -> None:
        if isinstance(found, Found):
            self._on_found(found)
        elif isinstance(found, str):
            self.name.hide()
            self.add.hide()
            self.text.set_full_text(tr("{name} is in the list of models now. Choose it in the Segment panel.").format(
                name=found))  # fmt: skip
            set_role(self.text, "good")
            self.models_changed.emit()

    def _on_found(self, found: Found) -> None:
        """A training of before: follow it, or offer to go on."""
        if self.runner.running:
            return
        self._out = found.order.out
        self.form.show_order(found.order)
        self.view.show_state(found.state)
        if found.running:
            self._follow(watched(found.order.out), tr("A training is going on here."))
        else:
            self._stopped = found.order
            self._end(tr("A training was stopped at step {step}. It can go on from there.").format(
                step=found.state.step), "warning")  # fmt: skip

    def reject(self) -> None:
        """Escape hides; what goes on goes on."""
        self.hide()


class Found:
    """A training of before that is not finished: its order, how it stands, and whether it is going on."""

    def __init__(self, order: TrainingOrder, state: TrainingState, running: bool) -> None:
        self.order, self.state, self.running = order, state, running


# From here on: the worker thread.


def found_again(out: Path) -> Job[Found | None]:
    """Job: the training in a model folder that is going on or was stopped; None when there is none."""
    yield Progress(0, 0, tr("Looking for a training"))
    order = unfinished(out)
    return None if order is None else Found(order, state_of(out, "training"), is_running(out))


def _trained(order: TrainingOrder, resume: bool) -> Job[TrainingState]:
    """Raises UserError when there is another model in the folder, or as the training does."""
    yield TrainingState(0, 0, tr("Starting…"))
    if not resume and (order.out / PLANS).exists():
        raise UserError(
            tr("There is a model in {folder} already.").format(folder=order.out),
            tr("Choose another folder for the new model."),
        )
    return (yield from followed(training(order, resume), order.out))


def _added(folder: Path, name: str) -> Job[str]:
    entry = yield from library.add(folder, name)
    return entry.name
