"""The nnInteractive checkpoint that prompts may go to: a folder that the user gives, loaded when first needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QPushButton, QWidget

from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.prompts import Prompt
from contourdesk.app.structures import Mask
from contourdesk.app.volume import Volume
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import named


class PromptModel(QObject):
    """Which folder, and the network once it is loaded. `chosen` gives a folder that the user chose."""

    chosen = Signal(str)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self.folder = ""
        self._loaded: tuple[str, Any] | None = None  # used by one job at a time

    def ask(self, parent: QWidget) -> None:
        """Ask for a folder."""
        folder = QFileDialog.getExistingDirectory(parent, tr("Choose an nnInteractive checkpoint"), self.folder)
        if folder:
            self.set_folder(folder)

    def set_folder(self, folder: str) -> None:
        """Use this folder from now on."""
        self.folder = folder
        self.chosen.emit(folder)

    def refine(self, mask: Mask, volume: Volume, prompts: tuple[Prompt, ...]) -> Job[Mask]:
        """Job: load the checkpoint if it isn't, and follow the prompts. Raises UserError."""
        if not self.folder:
            raise UserError(tr("No nnInteractive checkpoint is chosen."), tr("Choose its folder above."))
        yield Progress(0, 0, tr("Loading nnInteractive"))
        from contourdesk.inference.nninteractive import load

        if self._loaded is None or self._loaded[0] != self.folder:
            self._loaded = None
            self._loaded = (self.folder, load(Path(self.folder)))
        return (yield from self._loaded[1].refine(mask, volume, prompts))


class ModelButton(QPushButton):
    """Says which folder it is, and asks for another."""

    def __init__(self, model: PromptModel) -> None:
        super().__init__()
        self._model = model
        tip = "Folder of an nnInteractive checkpoint: plans.json, dataset.json, inference_info.json, fold_0"
        named(self, "prompt_model", tr("Choose the nnInteractive checkpoint"), tip)
        self.clicked.connect(lambda: model.ask(self))
        model.chosen.connect(self.show_folder)
        self.show_folder(model.folder)

    def show_folder(self, folder: str) -> None:
        """Show the folder's name."""
        self.setText(Path(folder).name or tr("Choose a checkpoint…"))
