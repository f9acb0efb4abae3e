"""Adding structures from files of other tools to the open case."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from contourdesk.app.masks_read import Found, import_structures
from contourdesk.app.references import OtherImages
from contourdesk.app.review import ReviewSession
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr

_KINDS = "Structures (*.dcm *.nii *.nii.gz *.nrrd);;All files (*)"


class StructureImport(QObject):
    """Reads in a worker, asks where references don't agree, and adds what was read as one undo step.

    `imported` carries the new ids and notes; `said` a text for the status bar; `failed` an exception for the user.
    """

    imported = Signal(object, object)
    said = Signal(str)
    failed = Signal(object)

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session: ReviewSession | None = None
        self._path = Path()
        self._window: QWidget | None = None
        self.runner = JobRunner(self)
        self.runner.progressed.connect(lambda step: self.said.emit(step.text))
        self.runner.succeeded.connect(self._on_read)
        self.runner.failed.connect(self._on_failed)

    def set_session(self, session: ReviewSession | None) -> None:
        """Add to another session from now on; what is being read for the last one is given up."""
        self.runner.cancel()
        self._session = session

    def ask_file(self, window: QWidget) -> None:
        """Ask for a file and add its structures."""
        chosen, _ = QFileDialog.getOpenFileName(window, tr("Import structures"), "", _KINDS)
        if chosen:
            self.start(Path(chosen), window)

    def ask_folder(self, window: QWidget) -> None:
        """Ask for a folder of masks and add them."""
        chosen = QFileDialog.getExistingDirectory(window, tr("Import a folder of masks"))
        if chosen:
            self.start(Path(chosen), window)

    def start(self, path: Path, window: QWidget | None = None, *, any_reference: bool = False) -> None:
        """Add the structures that lie at `path`; with `any_reference` whatever images they say they belong to."""
        if self._session is None:
            return
        if self.runner.running:
            self.said.emit(tr("Structures are being read already."))
            return
        self._path, self._window = path, window
        case = replace(self._session.case, structures=self._session.structures)
        self.said.emit(tr("Reading {name}…").format(name=path.name))
        self.runner.start(import_structures(path, case, any_reference=any_reference), harmless=True)

    def _on_read(self, found: Found) -> None:
        structures, notes = found
        if self._session is None:
            return
        ids = self._session.add_imported(structures, self._path.name)
        count = "1 structure" if len(ids) == 1 else f"{len(ids)} structures"
        self.said.emit(tr("{count} imported from {name}.").format(count=count, name=self._path.name))
        self.imported.emit(ids, notes)

    def _on_failed(self, error: BaseException) -> None:
        self.said.emit("")
        if not isinstance(error, OtherImages) or self._session is None:
            self.failed.emit(error)
            return
        question = QMessageBox(self._window)
        question.setObjectName("import_question")
        question.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        question.setIcon(QMessageBox.Icon.Warning)
        question.setWindowTitle(tr("Import structures"))
        question.setText(error.message)
        question.setInformativeText(
            tr(
                "Import them only if you know that their coordinates hold for these images. "
                "That you did so is kept with each structure."
            )
        )
        take = question.addButton(tr("Import all the same"), QMessageBox.ButtonRole.AcceptRole)
        take.setObjectName("import_anyway")
        question.setDefaultButton(question.addButton(QMessageBox.StandardButton.Cancel))
        path, window = self._path, self._window
        take.clicked.connect(lambda: self.start(path, window, any_reference=True))
        question.open()
