"""The main window: puts the panels together, and owns the session, its saving and the way out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtGui import QCloseEvent
from qtpy.QtWidgets import QFileDialog, QLabel, QMainWindow, QStackedWidget, QWidget

from contourdesk.app.errors import UserError
from contourdesk.app.journal import Journal
from contourdesk.app.review import Change, ReviewSession
from contourdesk.app.reviews import ReviewInfo, find_reviews, review_root
from contourdesk.app.settings import Settings, load_settings, save_settings
from contourdesk.widgets.actions import Action, make_actions
from contourdesk.widgets.audit_dialog import AuditDialog
from contourdesk.widgets.autosave import Autosave
from contourdesk.widgets.case_opening import CaseOpening
from contourdesk.widgets.commands import commands
from contourdesk.widgets.desk import Desk
from contourdesk.widgets.dropping import Dropping
from contourdesk.widgets.error_dialog import close_all_the_same, show_error
from contourdesk.widgets.export_dialog import ExportDialog
from contourdesk.widgets.keeping import Keeping
from contourdesk.widgets.language import tr
from contourdesk.widgets.learning import Learning
from contourdesk.widgets.loading import LoadingPage
from contourdesk.widgets.scroll_panel import ScrollPanel
from contourdesk.widgets.start_lists import StartLists
from contourdesk.widgets.start_page import StartPage
from contourdesk.widgets.theme import RESOURCES, named, set_role
from contourdesk.widgets.turns import Turns
from contourdesk.widgets.window_parts import (
    ElidedLabel,
    ResampledLabel,
    add_dock,
    fill_menus,
    make_toolbar,
    patient_texts,
)
from contourdesk.widgets.window_place import WindowPlace
from contourdesk.widgets.work_end import WANTED
from contourdesk.widgets.worklist_control import WorklistControl

_Left, _Right = Qt.DockWidgetArea.LeftDockWidgetArea, Qt.DockWidgetArea.RightDockWidgetArea
_AREAS = (_Left, _Left, _Right, _Right)


class MainWindow(QMainWindow):
    """Start page, loading page and review page, with docks round the last.

    Attributes
    ----------
    session : the open review, or None.
    view, tools, table, predict, review, display : the panels.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("main_window")
        self.settings, note = load_settings()
        self.session: ReviewSession | None = None
        desk = self.desk = Desk(self.settings, self)
        self.view, self.tools, self.table, self.banner = desk.view, desk.tools, desk.table, desk.banner
        self.predict, self.review, self.display = desk.predict, desk.review, desk.display
        self._make_pages()
        self._make_docks()
        self.learning = Learning(self)
        self.actions_list: list[Action] = commands(self)
        self.made = make_actions(self, self.actions_list, self.settings.shortcuts)
        self.tools.show_keys(self.made)
        self.patient = ElidedLabel()
        named(self.patient, "patient", tr("Patient and series"))
        self.patient.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        fill_menus(self, self.actions_list, self.made)
        self.toolbar = make_toolbar(self, self.actions_list, self.made, self.display, self.patient)
        self.place = WindowPlace(self, list(zip(self.docks, _AREAS, strict=True)), self.toolbar, self.settings)
        self.setProperty(WANTED, self.settings.notify)
        self._make_status_bar()
        self._connect_panels()
        self._connect_services()
        self.show_start()
        if note:
            self.statusBar().showMessage(note, 15_000)

    # -- building -------------------------------------------------------------------------------------------------

    def _make_pages(self) -> None:
        self.start_page, self.loading, self.review_page = StartPage(), LoadingPage(), self.desk.page
        self.start_lists = StartLists(self.start_page, self)
        self.worklist = WorklistControl(self)
        self.pages = QStackedWidget()
        self.pages.setObjectName("pages")
        for page in (self.start_page, self.loading, self.review_page, self.worklist.page):
            self.pages.addWidget(page)
        self.setCentralWidget(self.pages)

    def _make_docks(self) -> None:
        self.setDockNestingEnabled(False)
        self.docks = [
            add_dock(self, tr("Structures"), "dock_structures", self.table, _Left),
            add_dock(self, tr("Segment"), "dock_segment", self.desk.segment, _Left),
            add_dock(self, tr("Edit"), "dock_edit", ScrollPanel(self.desk.edit), _Right),
            add_dock(self, tr("Review"), "dock_review", ScrollPanel(self.review), _Right),
        ]

    def _make_status_bar(self) -> None:
        self.cursor_text, self.saved_text, self.resampled_text = QLabel(), QLabel(), ResampledLabel()
        named(self.cursor_text, "cursor", tr("Value and place under the cursor"))
        named(self.saved_text, "saved_state", tr("Whether everything is saved"))
        self.statusBar().addWidget(self.cursor_text, 1)
        self.statusBar().addPermanentWidget(self.resampled_text)
        self.statusBar().addPermanentWidget(self.saved_text)

    def _connect_panels(self) -> None:
        desk = self.desk
        self.view.cursor_moved.connect(self.cursor_text.setText)
        desk.changed.connect(self._on_change)
        desk.active_changed.connect(self.refresh_actions)
        desk.said.connect(lambda text: self.statusBar().showMessage(text, 10_000))
        desk.failed.connect(self.show_failure)
        self.predict.busy.connect(lambda _: self.refresh_actions())
        self.predict.finished.connect(lambda _: self.autosave.save_if_changed())  # the journal has no probabilities
        self.review.reviewer_changed.connect(lambda name: self._change_settings(reviewer=name))
        self.predict.model_chosen.connect(lambda folder: self._change_settings(default_model=str(folder)))
        self.view.tools["prompt"].model.chosen.connect(lambda folder: self._change_settings(nninteractive=folder))
        self.display.preset_chosen.connect(lambda name: self._change_settings(window_preset=name))

    def _connect_services(self) -> None:
        self.autosave = Autosave(self)
        self.autosave.state_changed.connect(self._on_saved_state)
        self.autosave.failed.connect(self.show_failure)
        self.opening = CaseOpening(self.loading, self.autosave, self)
        self._turns = Turns(self, rest_ms=8)  # long enough for a frame
        self.opening.opened.connect(lambda *opened: self._turns.start(self.steps_to_show(*opened)))
        self.opening.failed.connect(self._on_opening_failed)
        self.opening.gave_up.connect(self._back)
        self.opening.ready = self.worklist.ready
        self.keeping = Keeping(self.desk, self.autosave)
        self.keeping.take_over_wanted.connect(self._take_over)
        worklist = self.worklist
        worklist.wanted.connect(lambda row: self.open_path(row.place, series=row.uid))
        worklist.shown.connect(lambda: self._show_page(worklist.page))
        worklist.left.connect(self._back)
        worklist.folders_changed.connect(lambda folders: self._change_settings(worklist=folders))
        worklist.changed.connect(self.refresh_actions)
        worklist.failed.connect(self.show_failure)
        worklist.set_places(self.settings.worklist, review_root(self.settings))
        start = self.start_page
        start.open_folder.connect(self.ask_folder)
        start.open_file.connect(self.ask_file)
        start.open_sample.connect(self.open_sample)
        start.open_recent.connect(self.open_path)
        drops = Dropping(self)
        drops.dropped.connect(self.open_path)
        drops.said.connect(lambda text: self.statusBar().showMessage(text, 10_000))
        start.open_review.connect(self.open_review)
        start.open_worklist.connect(self.worklist.show)

    def show_on_screen(self) -> None:
        """Show the window where it was last."""
        self.place.show()

    # -- opening --------------------------------------------------------------------------------------------------

    def ask_folder(self) -> None:
        """Ask for a folder and open it."""
        chosen = QFileDialog.getExistingDirectory(self, tr("Open a folder of DICOM images"))
        if chosen:
            self.open_path(Path(chosen))

    def ask_file(self) -> None:
        """Ask for a file and open it."""
        kinds = "Images (*.nii *.nii.gz *.nrrd *.nhdr *.dcm *.zip DICOMDIR);;All files (*)"
        chosen, _ = QFileDialog.getOpenFileName(self, tr("Open an image"), "", kinds)
        if chosen:
            self.open_path(Path(chosen))

    def open_sample(self) -> None:
        """Open the sample case that comes with the program."""
        self.open_path(RESOURCES / "sample")

    def open_review(self, folder: Path) -> None:
        """Go on with the review in `folder`."""
        known = self.start_lists.reviews
        info = known.get(folder) or next((r for r in find_reviews(folder.parent) if r.folder == folder), None)
        if info is None:
            self.show_failure(UserError(tr("This review can't be read any more."), tr("Open the images instead.")))
            return
        self.open_path(info.image_path, info)

    def open_path(
        self, path: Path, review: ReviewInfo | None = None, *, resample: bool = False, series: str = ""
    ) -> None:
        """Open images in a worker, resampled if they need it and `resample`; what is open now stays until then."""
        self.predict.cancel()
        self._show_page(self.loading)
        self.opening.start(Path(path), self.settings, review, resample=resample, series=series)

    def _take_over(self, session: ReviewSession, folder: Path) -> None:
        self._show_page(self.loading)
        self.opening.take_over(session.case, folder)

    def steps_to_show(
        self, session: ReviewSession, folder: Path, journal: Journal | None, notes: tuple[str, ...]
    ) -> list[Callable[[], object]]:
        """What puts an opened review into the window, in steps that are short each (see `Turns`)."""
        planes, layouts = self.view.planes.values(), self.view.layouts
        return [
            layouts.hold_back,
            *(partial(view.prepare_volume, session.case.volume) for view in planes),
            lambda: self._take(session, folder, journal, notes),
            *(view.overlay.prepare for view in planes),
            lambda: self._show_taken(session),
            *(partial(layouts.bring, name) for name in layouts.names),
        ]

    def _take(self, session: ReviewSession, folder: Path, journal: Journal | None, notes: tuple[str, ...]) -> None:
        self._set_session(session)
        self.keeping.begin(session, folder, journal)
        path = session.case.source.path
        self.worklist.opened(path, session.case.source.series_uid)
        if path != RESOURCES / "sample":
            self.keep_settings(self.settings.with_recent(path))
        self.banner.clear()
        self.banner.add(notes)

    def _show_taken(self, session: ReviewSession) -> None:
        if self.session is session and not self.loading.runner.running:  # not when another is being opened already
            self._show_page(self.review_page)
            self.view.setFocus()

    def _on_opening_failed(self, error: BaseException) -> None:
        self._back()
        self.show_failure(error)

    def _back(self) -> None:
        """Back to what was there before opening began."""
        if self.session is not None and self.autosave.session is None and not self.session.read_only:
            self._set_session(None)  # it was saved and let go for a case that then could not be opened
        if self.session is None:
            self.show_start()
        else:
            self._show_page(self.review_page)

    def close_case(self) -> None:
        """Save and close the case, and show the start page."""
        try:
            job = self.autosave.last_save()
        except UserError as error:
            self.show_failure(error)
            return
        if job is None:
            self._closed_case()
        else:
            self._show_page(self.loading)
            self.loading.start(job, "Saving", self._closed_case, self._on_opening_failed, harmless=False)

    def _closed_case(self, _: object = None) -> None:
        self.autosave.end()
        self._set_session(None)
        self.show_start()

    def _set_session(self, session: ReviewSession | None) -> None:
        self.session = session
        self.desk.set_session(session, self.settings.window_preset)
        if session is not None:
            session.blind = self.settings.blind
        title, line = ("", "") if session is None else patient_texts(session.case)
        self.setWindowTitle(title + self.resampled_text.show_of(None if session is None else session.case))
        self.patient.set_full_text(line)

    # -- pages ----------------------------------------------------------------------------------------------------

    def show_start(self) -> None:
        """Show the start page with fresh lists."""
        self.start_lists.fill(self.settings)
        self._show_page(self.start_page)

    def _show_page(self, page: QWidget) -> None:
        reviewing = page is self.review_page
        if page is not self.review_page:
            self.cursor_text.setText("")
        self.place.show_panels(reviewing)  # before the page, which would be laid out anew with each of them
        self.pages.setCurrentWidget(page)
        self.refresh_actions()

    @property
    def reviewing(self) -> bool:
        """Whether the review page is shown."""
        return self.session is not None and self.pages.currentWidget() is self.review_page

    # -- following the session ------------------------------------------------------------------------------------

    def _on_change(self, change: Change) -> None:
        self.autosave.follow(change)
        self.refresh_actions()

    def _on_saved_state(self, text: str, good: bool) -> None:
        self.saved_text.setText(text)
        set_role(self.saved_text, "muted" if good else "warning")

    def refresh_actions(self) -> None:
        """Enable what can be done now; undo and redo say what they would do."""
        if not hasattr(self, "made"):
            return
        for action in self.actions_list:
            self.made[action.id].setEnabled(action.enabled())
        session = self.session
        for name, text in (
            ("undo", session.undo_text if session else ""),
            ("redo", session.redo_text if session else ""),
        ):
            word = tr(name.capitalize())
            self.made[f"edit_{name}"].setText(f"{word}: {text}" if text else word)

    # -- commands -------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Save now."""
        self.autosave.save_now()

    def undo(self) -> None:
        """Take back the last edit."""
        if self.session is not None:
            self.session.undo()

    def redo(self) -> None:
        """Do the last undone edit again."""
        if self.session is not None:
            self.session.redo()

    def decide(self, state: str) -> None:
        """Decide on the active structure."""
        self.review.decide(state)

    def ask_export(self) -> None:
        """Open the export dialog."""
        if self.session is not None:
            folder, system = self.settings.export_folder, self.settings.planning_system
            ExportDialog(self.session, self, folder=folder, system=system).open()

    def show_audit(self) -> None:
        """Show who did what when."""
        if self.autosave.folder is not None and self.autosave.flush():
            AuditDialog(self.autosave.folder, self).open()

    def keep_settings(self, settings: Settings) -> None:
        """Save the settings, unless they are the same."""
        if settings == self.settings:
            return
        self.settings = settings
        try:
            save_settings(settings)
        except UserError as error:
            self.statusBar().showMessage(str(error), 10_000)

    def _change_settings(self, **values: object) -> None:
        self.keep_settings(replace(self.settings, **values))  # type: ignore[arg-type]

    def show_failure(self, error: BaseException) -> None:
        """Show an error and go on."""
        show_error(self, error)

    # -- closing --------------------------------------------------------------------------------------------------

    def closeEvent(self, event: QCloseEvent) -> None:
        """Stop what runs, save, and go; a failing save asks first."""
        if not self.learning.may_close():
            event.ignore()
            return
        self._turns.finish()
        self.loading.runner.cancel()
        self.learning.stop(5)
        self.worklist.stop(5)
        self.desk.stop(5)
        self.loading.runner.wait(5)
        try:
            self.autosave.finish()
        except (UserError, OSError) as error:
            if not close_all_the_same(self, error):
                event.ignore()
                return
        layout = self.view.layouts.kept.text
        self._change_settings(display_mode=self.view.display, opacity=self.view.opacity, view_layout=layout)
        self._change_settings(**self.place.kept())
        self.autosave.end()
        self._set_session(None)
        self.view.close_views()
        super().closeEvent(event)
