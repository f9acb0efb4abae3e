"""The models that there are: what each one is, add a folder or a zip, remove, default of a body site."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QMessageBox,
    QProgressBar,
    QPushButton,
    QTextBrowser,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.jobs import Job, Progress
from contourdesk.inference import model_library as library
from contourdesk.inference.model_library import SITES, Entry
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import colours, em, named, set_role

_KINDS = {"bundled": "came with the program", "folder": "used where it lies", "unpacked": "unpacked from a zip"}
Listed = tuple[list[Entry], dict[str, str], str]  # models, default of each site, name of the one to show


class ModelDialog(QDialog):
    """Models on the left, the chosen one described on the right.

    `changed` comes when there are other models, or other defaults, than before. Models are read in a worker; one that
    is damaged, or tries to do harm, is told and not added. `who` is the person who may change a default.
    """

    changed = Signal()
    failed = Signal(object)

    def __init__(self, parent: QWidget | None = None, who: str = "") -> None:
        super().__init__(parent)
        self._who = who
        self.setObjectName("model_dialog")
        self.setWindowTitle(tr("Models"))
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self._entries: dict[str, Entry] = {}
        self._defaults: dict[str, str] = {}
        self._changes = False
        self.runner = JobRunner(self)
        self.runner.progressed.connect(self._on_progress)
        self.runner.succeeded.connect(self._on_listed)
        self.runner.failed.connect(self._on_failed)
        self.runner.cancelled.connect(self._on_cancelled)
        self._make_widgets()
        self._build()
        self._start(_listing())

    def _make_widgets(self) -> None:
        self.list = QListWidget()
        named(self.list, "model_list", tr("Models"))
        self.list.currentItemChanged.connect(lambda *_: self._show())
        self.about = QTextBrowser()
        named(self.about, "model_about", tr("The chosen model"))
        self.about.setOpenLinks(False)
        self.add_folder, self.add_zip, self.remove = (
            QPushButton(tr("Add folder…")),
            QPushButton(tr("Add zip…")),
            QPushButton(tr("Remove")),
        )
        for button, name, tip, slot in (
            (
                self.add_folder,
                "model_add_folder",
                tr("A model folder of nnU-Net v2, used where it lies"),
                self._ask_folder,
            ),
            (
                self.add_zip,
                "model_add_zip",
                tr("A zip as nnUNetv2_export_model_to_zip writes it, unpacked"),
                self._ask_zip,
            ),
            (
                self.remove,
                "model_remove",
                tr("Take it off the list; a folder of yours is left as it is"),
                self._on_remove,
            ),
        ):
            named(button, name, button.text().rstrip("…"), tip)
            button.setAutoDefault(False)
            button.clicked.connect(slot)
        self.site = QComboBox()
        named(self.site, "model_site", tr("Body site"))
        for site in SITES:
            self.site.addItem(site.capitalize(), site)
        self.site.currentIndexChanged.connect(self._show)
        self.default = QPushButton(tr("Make it the default"))
        named(self.default, "model_default", tr("Make the model the default of the body site"),
              tr("For images whose description names this body site, unless you choose another"))  # fmt: skip
        self.default.setAutoDefault(False)
        self.default.clicked.connect(self._on_default)
        self.back = QPushButton()
        named(self.back, "model_back", tr("Make the model before the default of the body site again"))
        self.back.setAutoDefault(False)
        self.back.clicked.connect(self._on_back)
        self.text = QLabel()
        named(self.text, "model_text", tr("What is being done"))
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        set_role(self.text, "muted")
        self.bar = QProgressBar()
        named(self.bar, "model_progress", tr("Progress of reading a model"))
        self.bar.setTextVisible(False)
        self.stop = QPushButton(tr("Stop"))
        named(self.stop, "model_stop", tr("Stop reading the model"))
        self.stop.setAutoDefault(False)
        self.stop.clicked.connect(self.runner.cancel)

    def _build(self) -> None:
        left, right = QVBoxLayout(), QVBoxLayout()
        left.addWidget(self.list, 1)
        row = QHBoxLayout()
        for button in (self.add_folder, self.add_zip, self.remove):
            row.addWidget(button)
        left.addLayout(row)
        right.addWidget(self.about, 1)
        row = QHBoxLayout()
        label = QLabel(tr("Body site"))
        set_role(label, "muted")
        label.setBuddy(self.site)
        row.addWidget(label)
        row.addWidget(self.site)
        row.addWidget(self.default)
        row.addWidget(self.back)
        row.addStretch(1)
        right.addLayout(row)
        both = QHBoxLayout()
        both.addLayout(left, 2)
        both.addLayout(right, 3)
        buttons = QDialogButtonBox(QDialogButtonBox.StandardButton.Close)
        named(buttons, "model_buttons")
        buttons.rejected.connect(self.reject)
        row = QHBoxLayout()
        row.addWidget(self.text, 1)
        row.addWidget(self.bar)
        row.addWidget(self.stop)
        row.addWidget(buttons)
        layout = QVBoxLayout(self)
        layout.addLayout(both, 1)
        layout.addLayout(row)
        self.resize(em(self, 60), em(self, 34))

    # -- what is done ---------------------------------------------------------------------------------------------

    def add(self, path: Path) -> None:
        """Check a model folder or zip, and add it."""
        if not self.runner.running:
            self._start(_then_listing(library.add(path)), changes=True)

    def done(self, result: int) -> None:
        """Stop what runs; nothing half done is left."""
        self.runner.cancel()
        super().done(result)

    def _ask_folder(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, tr("Add a model folder"))
        if chosen:
            self.add(Path(chosen))

    def _ask_zip(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(
            self, tr("Add a model from a zip"), "", tr("Zip archives (*.zip);;All files (*)")
        )
        if chosen:
            self.add(Path(chosen))

    def _on_remove(self) -> None:
        entry = self._entry()
        if entry is None:
            return
        what = "Its unpacked files are deleted." if entry.kind == "unpacked" else "Its folder is left as it is."
        box = QMessageBox(
            QMessageBox.Icon.Question,
            "Contourdesk",
            tr("Remove the model {name}?").format(name=entry.name),
            parent=self,
        )
        box.setObjectName("model_remove_dialog")
        box.setTextFormat(Qt.TextFormat.PlainText)
        box.setInformativeText(what)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        yes = box.addButton(tr("Remove"), QMessageBox.ButtonRole.AcceptRole)
        yes.setObjectName("model_remove_yes")
        box.addButton(QMessageBox.StandardButton.Cancel)
        box.buttonClicked.connect(
            lambda button: self._call(lambda: library.remove(entry.name)) if button is yes else None
        )
        box.open()

    def _on_default(self) -> None:
        entry, site = self._entry(), self.site.currentData()
        if entry is not None:
            self._call(lambda: library.set_default(site, entry.name, self._who), entry.name)

    def _on_back(self) -> None:
        site = self.site.currentData()
        former = library.former_default(site)
        if former:
            self._call(lambda: library.set_default(site, former, self._who), former)

    def _call(self, action: Callable[[], None], show: str = "") -> None:
        if not self.runner.running:
            self._start(_then_listing(_as_job(action), show), changes=True)

    def _start(self, job: Job[Listed], *, changes: bool = False) -> None:
        self._changes = changes
        self.runner.start(job, harmless=not changes)
        self._show_running(tr("Reading the models…"))

    # -- slots ----------------------------------------------------------------------------------------------------

    def _on_progress(self, step: Progress) -> None:
        self.bar.setRange(0, step.total)
        self.bar.setValue(step.done)
        self.text.setText(step.text)

    def _on_listed(self, listed: Listed) -> None:
        entries, self._defaults, wanted = listed
        before = self.list.currentItem()
        wanted = wanted or (before.data(Qt.ItemDataRole.UserRole) if before is not None else "")
        self._entries = {entry.name: entry for entry in entries}
        self.list.clear()
        for entry in entries:
            item = QListWidgetItem(_line(entry, self._defaults))
            item.setData(Qt.ItemDataRole.UserRole, entry.name)
            self.list.addItem(item)
            if entry.name == wanted:
                self.list.setCurrentItem(item)
        if self.list.currentItem() is None and self.list.count():
            self.list.setCurrentRow(0)
        self._show_running("")
        self._show()
        if self._changes:
            self.changed.emit()

    def _on_failed(self, error: BaseException) -> None:
        self._show_running(tr("Nothing was added or changed.") if self._changes else "")
        self.failed.emit(error)

    def _on_cancelled(self) -> None:
        self._show_running(tr("Stopped. Nothing was added."))

    def _entry(self) -> Entry | None:
        item = self.list.currentItem()
        return None if item is None else self._entries.get(item.data(Qt.ItemDataRole.UserRole))

    def _show(self) -> None:
        entry, site = self._entry(), self.site.currentData()
        self.about.setHtml("" if entry is None else about(entry, self._defaults))
        is_default = entry is not None and self._defaults.get(site) == entry.name
        free = not self.runner.running
        self.default.setText(tr("It is the default") if is_default else tr("Make it the default"))
        self.default.setEnabled(entry is not None and not is_default and free)
        former, change = library.former_default(site), library.last_change(site)
        self.back.setText(tr("Put {model} back").format(model=former))
        self.back.setVisible(bool(former))
        self.back.setEnabled(free)
        if change is not None:
            self.back.setToolTip(tr("{model} is the default since {when}{who}").format(
                model=change.name, when=change.when[:10], who=tr(", by {who}").format(who=change.who)
                if change.who else ""))  # fmt: skip
        self.remove.setEnabled(entry is not None and entry.kind != "bundled" and free)

    def _show_running(self, text: str) -> None:
        running = self.runner.running
        self.text.setText(text)
        for widget in (self.bar, self.stop):
            widget.setVisible(running)
        self.bar.setRange(0, 0 if running else 1)
        for widget in (self.add_folder, self.add_zip, self.default, self.back, self.remove):
            widget.setEnabled(not running)
        if not running:
            self._show()


def about(entry: Entry, defaults: Mapping[str, str]) -> str:
    """A model's description as HTML; nothing in it is taken for markup."""
    sites = [site for site, name in defaults.items() if name == entry.name]
    times = " × "
    muted, care = (colours()[name] for name in ("text-muted", "warning"))
    rows = [
        ("Structures", ", ".join(entry.organs)),
        ("Configuration", entry.configuration + (f", {entry.parts} models make one list" if entry.parts > 1 else "")),
        ("Voxels", f"{times.join(f'{s:g}' for s in entry.spacing_mm)} mm"),
        ("Window", f"{times.join(str(n) for n in entry.patch_size)} voxels"),
        ("Folds", ", ".join(fold.removeprefix("fold_") for fold in entry.folds)),
        ("Mirroring", {0: "", 1: "none"}.get(entry.passes, f"{entry.passes} passes")),
        ("Default of", ", ".join(sites) or "no body site"),
        ("Where", f"{entry.folder} ({_KINDS.get(entry.kind, entry.kind)})"),
        ("SHA-256", ", ".join(entry.sha256)),
    ]
    lines = "".join(
        f"<tr><td style='color:{muted}; padding-right:1em'>{label}</td><td>{html.escape(value)}</td></tr>"
        for label, value in rows
        if value
    )
    gone = "" if entry.is_there else f"<p style='color:{care}'>Its folder is not there any more.</p>"
    notes = "".join(f"<p style='color:{care}'>{html.escape(note)}</p>" for note in entry.notes)
    licence = f"<h4>Licence</h4><pre style='white-space:pre-wrap'>{html.escape(entry.licence)}</pre>"
    return f"<h3>{html.escape(entry.name)}</h3>{gone}<table>{lines}</table>{notes}" + (
        licence if entry.licence else f"<p style='color:{muted}'>No licence text came with it.</p>"
    )


def _line(entry: Entry, defaults: Mapping[str, str]) -> str:
    sites = [site for site, name in defaults.items() if name == entry.name]
    return entry.name + (f"\n   default for {', '.join(sites)}" if sites else "")


# From here on: the worker thread.


def _listing(show: str = "") -> Job[Listed]:
    yield Progress(0, 0, tr("Reading the models…"))
    return library.list_models(), library.defaults(), show


def _then_listing(job: Job[Entry | None], show: str = "") -> Job[Listed]:
    added = yield from job
    return (yield from _listing(added.name if added is not None else show))


def _as_job(action: Callable[[], None]) -> Job[Entry | None]:
    yield Progress(0, 0, tr("Working…"))
    action()
    return None
