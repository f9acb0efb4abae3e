"""A model is made the default of a body site here, by a person who presses a button, and by nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QLabel, QMessageBox, QPushButton, QWidget

from contourdesk.app.jobs import Job, Progress
from contourdesk.inference import model_library as library
from contourdesk.inference.model_library import SITES
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import em, named, set_role


class Promotion(QWidget):
    """Body site, the button, who is the default there, and the way back to who was before.

    `changed` comes when another model is the default; `failed` with an exception for the user.
    """

    changed = Signal()
    failed = Signal(object)

    def __init__(self, who: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._who, self._name, self._folder, self._verdict = who, "", Path(), ""
        set_role(self, "plain")
        self.runner = JobRunner(self)
        self.runner.succeeded.connect(self._on_done)
        self.runner.failed.connect(self._on_failed)
        self.site = QComboBox()
        named(self.site, "promote_site", tr("Body site"))
        for site in SITES:
            self.site.addItem(tr(site.capitalize()), site)
        self.button = QPushButton()
        named(self.button, "promote", tr("Make the model the default of the body site"))
        self.back = QPushButton()
        named(self.back, "promote_back", tr("Make the model before the default again"))
        self.text = QLabel()
        named(self.text, "promote_text", tr("Which model is the default"))
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        set_role(self.text, "muted")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(em(self, 0.5))
        row.addWidget(self.site)
        row.addWidget(self.text, 1)
        row.addWidget(self.back)
        row.addWidget(self.button)
        for button in (self.button, self.back):
            button.setAutoDefault(False)
        self.site.currentIndexChanged.connect(self._show)
        self.button.clicked.connect(self._ask)
        self.back.clicked.connect(self._put_back)
        self._show()

    def set_model(self, name: str, folder: Path, verdict: str) -> None:
        """Which model is meant: its name, where it lies, and what the evaluation says of it in a sentence."""
        known = next((e for e in library.known_models() if Path(e.folder).resolve() == folder.resolve()), None)
        self._name, self._folder, self._verdict = known.name if known else name, folder, verdict
        site = next((s for s, one in library.defaults().items() if one == self._name), None)
        if site is not None:
            self.site.setCurrentIndex(self.site.findData(site))
        self._show()

    def _show(self) -> None:
        site = self.site.currentData()
        present, former = library.defaults().get(site, ""), library.former_default(site)
        free = not self.runner.running
        is_default = bool(self._name) and present == self._name
        self.button.setText(tr("Make {model} the default…").format(model=self._name or tr("it")))
        self.button.setVisible(bool(self._name) and not is_default)
        self.button.setEnabled(free)
        self.back.setText(tr("Put {model} back").format(model=former))
        self.back.setVisible(bool(former))
        self.back.setEnabled(free)
        told = tr("Default: {model}").format(model=present) if present else tr("No default")
        self.text.setText(told + (tr(", before it {model}").format(model=former) if former else ""))

    def _ask(self) -> None:
        site = self.site.currentData()
        present = library.defaults().get(site, "")
        box = QMessageBox(
            QMessageBox.Icon.Question,
            "Contourdesk",
            tr("Make {model} the default for {site}?").format(model=self._name, site=tr(site)),
            parent=self,
        )
        box.setObjectName("promote_dialog")
        box.setTextFormat(Qt.TextFormat.PlainText)
        kept = tr("{model} stays in the list of models and can be put back.").format(model=present) if present else ""
        box.setInformativeText("\n".join(text for text in (self._verdict, kept) if text))
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        yes = box.addButton(tr("Make it the default"), QMessageBox.ButtonRole.AcceptRole)
        yes.setObjectName("promote_yes")
        box.setDefaultButton(box.addButton(QMessageBox.StandardButton.Cancel))
        box.buttonClicked.connect(lambda button: self._promote(site) if button is yes else None)
        box.open()

    def _promote(self, site: str) -> None:
        self.runner.start(promoted(self._folder, self._name, site, self._who))
        self._show()

    def _put_back(self) -> None:
        site = self.site.currentData()
        former = library.former_default(site)
        if former and not self.runner.running:
            self.runner.start(_made_default(site, former, self._who))
            self._show()

    def _on_done(self, _: object) -> None:
        self._show()
        self.changed.emit()

    def _on_failed(self, error: BaseException) -> None:
        self._show()
        self.failed.emit(error)


# From here on: the worker thread.


def promoted(folder: Path, name: str, site: str, who: str) -> Job[None]:
    """Job: add a model to the library, unless it is there, and make it the default of a body site. Raises UserError."""
    if not any(Path(e.folder).resolve() == folder.resolve() for e in library.known_models()):
        yield from library.add(folder, name)
    yield from _made_default(site, name, who)


def _made_default(site: str, name: str, who: str) -> Iterator[Progress]:
    yield Progress(0, 0, tr("Changing the default"))
    library.set_default(site, name, who)
