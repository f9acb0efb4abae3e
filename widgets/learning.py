"""From reviews to a better model: the windows for exporting many reviews, for training and for evaluating."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, Qt
from qtpy.QtWidgets import QMessageBox

from contourdesk.app.evaluation import Score
from contourdesk.app.propose_many import Proposed, propose_many
from contourdesk.app.reviews import review_root
from contourdesk.app.worklist import Row
from contourdesk.app.worklist_scan import reviews_of
from contourdesk.inference.model_library import defaults, known_models
from contourdesk.inference.proposals import proposer
from contourdesk.widgets.evaluate_dialog import EvaluateDialog
from contourdesk.widgets.export_reviews_dialog import ExportReviewsDialog
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.train_dialog import TrainDialog

if TYPE_CHECKING:
    from contourdesk.widgets.main_window import MainWindow


class Learning(QObject):
    """Opens these windows, one of each, and does for them what is the main window's to do."""

    def __init__(self, window: MainWindow) -> None:
        super().__init__(window)
        self._window = window
        self.training: TrainDialog | None = None
        self.evaluating: EvaluateDialog | None = None
        self.exporting: ExportReviewsDialog | None = None
        self._to_look_at: tuple[Path, Score] | None = None
        self.finder = JobRunner(self)
        self.finder.succeeded.connect(self._export)
        self.finder.failed.connect(window.show_failure)
        self.proposer = JobRunner(self)
        page = window.worklist.page
        self.proposer.progressed.connect(lambda step: page.set_proposing(tr("Proposing {text}").format(text=step.text)))
        self.proposer.succeeded.connect(self._on_proposed)
        self.proposer.cancelled.connect(self._on_proposed)
        self.proposer.failed.connect(lambda error: (page.set_proposing(""), window.show_failure(error)))
        page.propose_wanted.connect(self.propose)
        page.export_wanted.connect(self._export_from_worklist)
        window.pages.currentChanged.connect(lambda _: self._look())

    # -- export ---------------------------------------------------------------------------------------------------

    def export_reviews(self) -> None:
        """Export reviews of the folder of reviews, whether on the worklist or not."""
        if self.exporting is not None:
            _to_front(self.exporting)
        elif not self.finder.running:
            self.finder.start(reviews_of(review_root(self._window.settings)))

    def _export_from_worklist(self) -> None:
        page = self._window.worklist.page
        if self.exporting is not None:
            _to_front(self.exporting)
        else:
            self._export(page.all_rows, page.selected)

    def _export(self, rows: list[Row], selected: list[tuple[str, str]] | tuple[()] = ()) -> None:
        w = self._window
        dialog = ExportReviewsDialog(rows, selected, w.settings.dataset, w.autosave.folder, w, deface=w.settings.deface)
        self.exporting = dialog
        dialog.destroyed.connect(lambda: setattr(self, "exporting", None))
        dialog.started.connect(w.autosave.flush)  # so that the open review's last strokes go along
        dialog.folder_chosen.connect(lambda folder: w.keep_settings(replace(w.settings, dataset=folder)))
        dialog.own_exported.connect(self._note_own)
        dialog.train_wanted.connect(lambda folder: self.train(str(folder)))
        dialog.show()

    def _note_own(self, formats: list[str]) -> None:
        if self._window.session is not None:
            self._window.session.note("export", format=formats, by="window")

    # -- proposals ------------------------------------------------------------------------------------------------

    def propose(self) -> None:
        """Ask whether the model is to propose for the new cases of the worklist; when it does already, stop it."""
        w = self._window
        if self.proposer.running:
            self.proposer.cancel()
            return
        rows = w.worklist.page.to_propose
        model = self._model_to_propose()
        box = QMessageBox(
            QMessageBox.Icon.Question,
            "Contourdesk",
            tr("Propose structures for {count} new cases?").format(count=len(rows)),
            parent=w,
        )
        box.setObjectName("propose_dialog")
        box.setInformativeText(
            tr("Each gets the default model of its body site, else {model}. You can go on working. The cases stay new, "
               "and can be put in the order of what the model would learn most from.").format(model=model)
        )  # fmt: skip
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        yes = box.addButton(tr("Propose"), QMessageBox.ButtonRole.AcceptRole)
        yes.setObjectName("propose_yes")
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.buttonClicked.connect(lambda button: self._propose(rows, model) if button is yes else None)
        box.open()

    def _model_to_propose(self) -> str:
        """The model of the Segment panel as far as the library has it, else the first there is."""
        names = {Path(entry.folder): entry.name for entry in known_models()}
        return names.get(self._window.predict.model.currentData(), next(iter(names.values()), ""))

    def _propose(self, rows: list[Row], model: str) -> None:
        if not self.proposer.running:
            device = self._window.predict.device.currentData()
            cases = [(row.place, row.uid) for row in rows]
            self.proposer.start(propose_many(cases, proposer(model, device), self._window.settings))
            self._window.worklist.page.set_proposing(tr("Starting…"))

    def _on_proposed(self, found: Proposed | None = None) -> None:
        w = self._window
        w.worklist.page.set_proposing("")
        w.worklist.look()
        if found is None:
            w.statusBar().showMessage(tr("Stopped. The proposals that were made are kept."), 15_000)
            return
        told = tr("Cases with new proposals: {count}.").format(count=found.count)
        for place, why in found.failed.items():
            told += " " + tr("{case}: {why}").format(case=place.name, why=why)
        w.statusBar().showMessage(told, 30_000)

    # -- training -------------------------------------------------------------------------------------------------

    def train(self, dataset: str = "") -> None:
        """Show the training that is going on, or choose a new one."""
        w = self._window
        if self.training is None:
            self.training = TrainDialog(dataset or w.settings.dataset, w.settings.device, w.settings.training, w)
            self.training.said.connect(lambda text: w.statusBar().showMessage(text, 20_000))
            self.training.chosen.connect(self._keep_training)
            self.training.models_changed.connect(self._refresh_models)
            self.training.evaluate_wanted.connect(self.evaluate)
        elif dataset:
            self.training.use_dataset(Path(dataset))
        _to_front(self.training)

    def _keep_training(self, dataset: str, out: str) -> None:
        self._window.keep_settings(replace(self._window.settings, dataset=dataset, training=out))

    def may_close(self) -> bool:
        """Whether the window may close: asks what is to become of a training that is going on."""
        if self.training is None or not self.training.going_on:
            return True
        box = QMessageBox(QMessageBox.Icon.Question, "Contourdesk", tr("A training is going on."), parent=self._window)
        box.setObjectName("close_training_dialog")
        box.setInformativeText(
            tr("It can go on without this window, and is found again when you open it. Stopped, it can go on later.")
        )
        on = box.addButton(tr("Let it go on"), QMessageBox.ButtonRole.AcceptRole)
        stop = box.addButton(tr("Stop it"), QMessageBox.ButtonRole.DestructiveRole)
        stay = box.addButton(tr("Don't close"), QMessageBox.ButtonRole.RejectRole)
        for button, name in ((on, "training_goes_on"), (stop, "training_stops"), (stay, "training_stays")):
            button.setObjectName(name)
        box.setDefaultButton(on)
        box.setEscapeButton(stay)
        box.exec()
        if box.clickedButton() is stop:
            self.training.ask_to_stop()
        return box.clickedButton() in (on, stop)

    # -- evaluation -----------------------------------------------------------------------------------------------

    def evaluate(self, cases: str = "", a: str = "", b: str = "") -> None:
        """Evaluate a model, or two; empty texts leave what is chosen, or what is likely."""
        w = self._window
        if self.evaluating is None:
            dialog = EvaluateDialog(cases or w.settings.dataset, w.settings.device, w.settings.reviewer, w)
            self.evaluating = dialog
            dialog.destroyed.connect(lambda: setattr(self, "evaluating", None))
            dialog.case_wanted.connect(self._open_case)
            dialog.models_changed.connect(self._refresh_models)
        elif cases and not self.evaluating.runner.running:
            self.evaluating.cases.set_path(cases)
        self.evaluating.choose(a or (next(iter(defaults().values()), "") if b else ""), b)
        _to_front(self.evaluating)

    def _open_case(self, folder: Path, score: Score) -> None:
        self._to_look_at = folder, score
        if self._window.autosave.folder == folder and self._window.reviewing:
            self._look()
        else:
            self._window.open_review(folder)

    def _look(self) -> None:
        """Go to the structure and slice that the open case was opened for."""
        w = self._window
        if self._to_look_at is None or not w.reviewing or w.session is None:
            return
        folder, score = self._to_look_at
        if w.autosave.folder != folder:
            return
        self._to_look_at = None
        found = next((s for s in w.session.structures if s.name == score.organ), None)
        if found is None or found.mask.is_empty:
            return
        w.table.set_active(found.id)
        y, x = ((b.start + b.stop - 1) / 2 for b in found.mask.tight.box[1:])
        w.view.go_to(w.session.structures.grid.to_world((score.slice_index, y, x)))

    # -- all ------------------------------------------------------------------------------------------------------

    def _refresh_models(self) -> None:
        self._window.predict.set_models(known_models())

    def stop(self, timeout_s: float) -> None:
        """Stop the jobs, for closing the window; a training in its own process goes on."""
        runners = [self.finder, self.proposer]
        runners += [d.runner for d in (self.exporting, self.evaluating) if d is not None]
        for runner in runners:
            runner.cancel()
        for runner in runners:
            runner.wait(timeout_s)


def _to_front(dialog: TrainDialog | EvaluateDialog | ExportReviewsDialog) -> None:
    dialog.show()
    dialog.raise_()
    dialog.activateWindow()
