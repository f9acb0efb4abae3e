"""A list to choose a model from: those of the library, or a folder or zip of one."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QHBoxLayout, QPushButton, QWidget

from contourdesk.inference.model_library import known_models
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import em, named, set_role


class ModelChoice(QWidget):
    """Gives the name of a model of the library, or the path of a folder; "" for `nothing`.

    Parameters
    ----------
    name : object name of the list; the button is called the same with "_browse".
    title : what the model is for, for screen readers;  nothing : what the choice of none is called; "" for no such.
    """

    changed = Signal()

    def __init__(self, name: str, title: str, nothing: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._title, self._nothing = title, nothing
        set_role(self, "plain")
        self.list = QComboBox()
        named(self.list, name, title)
        self.list.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.list.setMinimumContentsLength(14)
        self.browse = QPushButton(tr("Folder…"))
        named(self.browse, f"{name}_browse", tr("A model folder that is not in the list"))
        self.browse.setAutoDefault(False)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(em(self, 0.4))
        row.addWidget(self.list, 1)
        row.addWidget(self.browse)
        self.setFocusProxy(self.list)
        self.refresh()
        self.list.currentIndexChanged.connect(lambda _: self.changed.emit())
        self.browse.clicked.connect(self._on_browse)

    @property
    def model(self) -> str:
        """Name or path, as ``--model`` takes it."""
        return self.list.currentData() or ""

    def refresh(self) -> None:
        """Fill the list anew; what is chosen stays so."""
        chosen = self.model
        blocked = self.list.blockSignals(True)
        self.list.clear()
        if self._nothing:
            self.list.addItem(self._nothing, "")
        for entry in known_models():
            if entry.is_there:
                self.list.addItem(entry.name, entry.name)
        self.list.blockSignals(blocked)
        if chosen:
            self.choose(chosen)

    def choose(self, model: str) -> None:
        """Choose a model by its name or path; a path that is not in the list is put there."""
        at = self.list.findData(model)
        if at < 0:
            self.list.addItem(_short(Path(model)), model)
            at = self.list.count() - 1
            self.list.setItemData(at, model, 3)  # tool tip
        self.list.setCurrentIndex(at)

    def _on_browse(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, self._title)
        if chosen:
            self.choose(chosen)


def _short(path: Path) -> str:
    return str(Path("…", *path.parts[-2:])) if len(path.parts) > 3 else str(path)
