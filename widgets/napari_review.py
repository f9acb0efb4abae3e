"""The review dock of a stock napari: the desktop program's own panels, on the image of a napari layer."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from napari.layers import Image
from napari.utils.notifications import notification_manager, show_error
from napari.utils.theme import get_theme
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QHBoxLayout,
    QLabel,
    QMainWindow,
    QPushButton,
    QSizePolicy,
    QSplitter,
    QStackedWidget,
    QTabWidget,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.case import Case
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.journal import Journal
from contourdesk.app.layer_data import CASE, LayerData, case_of_image
from contourdesk.app.review import Change, ReviewSession
from contourdesk.app.settings import load_settings, save_settings
from contourdesk.widgets.actions import make_actions
from contourdesk.widgets.autosave import Autosave
from contourdesk.widgets.case_opening import CaseOpening
from contourdesk.widgets.desk import Desk
from contourdesk.widgets.export_dialog import ExportDialog
from contourdesk.widgets.keeping import Keeping
from contourdesk.widgets.language import tr
from contourdesk.widgets.loading import LoadingPage
from contourdesk.widgets.napari_actions import review_actions
from contourdesk.widgets.napari_layers import SessionLayers
from contourdesk.widgets.scroll_panel import ScrollPanel
from contourdesk.widgets.theme import RESOURCES, IconLabel, dress, em, icon_size, named, set_role
from contourdesk.widgets.window_parts import ElidedLabel, patient_texts

_PATIENCE_S = 5.0
_BAR = ("edit_undo", "edit_redo", "save_now", "import_file", "save_export", "views")


class ReviewDock(QWidget):
    """Structures, segment, edit and review panels beside napari's canvas; their keys work where the dock has the focus.

    Attributes
    ----------
    session : the open review, or None.
    desk : the panels, as in the desktop program; its page with the three views is in `views`, a dock of its own.
    layers : the session in napari's layer list.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.setObjectName("contourdesk_review")
        self._viewer = napari_viewer
        self._window: QMainWindow | None = None
        self._left = False
        self.settings, _ = load_settings()
        self.session: ReviewSession | None = None
        self.desk = Desk(self.settings, self)
        self.layers = SessionLayers(napari_viewer, self)
        self.loading = LoadingPage()
        self.autosave = Autosave(self)
        self.opening = CaseOpening(self.loading, self.autosave, self)
        self.keeping = Keeping(self.desk, self.autosave)
        self._actions = review_actions(self)
        self.made = make_actions(self, self._actions, self.settings.shortcuts)
        self.views = QWidget()
        for action in self.made.values():  # napari's keys and other plugins' stay what they are
            action.setShortcutContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            self.views.addAction(action)
        self.desk.tools.show_keys(self.made)
        self._build()
        self._connect()
        self._wear_theme()
        self._show(self.start)

    # -- building -------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        self.start = self._start_page()
        self.tabs = QTabWidget()
        named(self.tabs, "contourdesk_tabs", tr("Panels"))
        self.tabs.addTab(ScrollPanel(self.desk.segment), tr("Segment"))
        self.tabs.addTab(ScrollPanel(self.desk.edit), tr("Edit"))
        self.tabs.addTab(ScrollPanel(self.desk.review), tr("Review"))
        self.split = QSplitter(Qt.Orientation.Vertical)
        self.split.addWidget(self.desk.table)
        self.split.addWidget(self.tabs)
        self.split.setStretchFactor(0, 1)
        self.split.setCollapsible(1, False)
        self.patient = ElidedLabel()
        set_role(self.patient, "strong")
        self.status = QLabel()
        named(self.status, "contourdesk_status", tr("Whether everything is saved"))
        set_role(self.status, "muted")
        self.panels = QWidget()
        column = QVBoxLayout(self.panels)
        column.setContentsMargins(*[em(self, 0.3)] * 4)
        column.setSpacing(em(self, 0.3))
        column.addLayout(self._bar())
        column.addWidget(self.patient)
        column.addWidget(self.keeping.notice)
        column.addWidget(self.desk.banner)
        column.addWidget(self.split, 1)
        column.addWidget(self.status)
        views = QVBoxLayout(self.views)
        views.setContentsMargins(0, 0, 0, 0)
        views.setSpacing(em(self, 0.2))
        views.addWidget(self.desk.display)
        views.addWidget(self.desk.page, 1)
        self.pages = QStackedWidget()
        for page in (self.start, self.loading, self.panels):
            self.pages.addWidget(page)
        outer = QVBoxLayout(self)
        outer.setContentsMargins(0, 0, 0, 0)
        outer.addWidget(self.pages)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def _bar(self) -> QHBoxLayout:
        row = QHBoxLayout()
        row.setSpacing(0)
        for name in (*_BAR, "", "close_case"):
            if not name:
                row.addStretch(1)
                continue
            button = QToolButton()
            button.setDefaultAction(self.made[name])
            button.setIconSize(icon_size(self, 1.3))
            named(button, f"contourdesk_{name}", self.made[name].text())
            row.addWidget(button)
        return row

    def _start_page(self) -> QWidget:
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(*[em(self, 1)] * 4)
        column.setSpacing(em(self, 0.6))
        column.addStretch(1)
        column.addWidget(IconLabel("contourdesk", 3), 0, Qt.AlignmentFlag.AlignHCenter)
        text = QLabel(tr("Review and correct the structures of a CT: segment, correct, accept, export."))
        text.setWordWrap(True)
        text.setAlignment(Qt.AlignmentFlag.AlignHCenter)
        column.addWidget(text)
        for name, what, tip, act in (
            ("layer", tr("Review the selected image"), tr("The image layer that is selected"), self.review_layer),
            ("folder", tr("Open a folder…"), tr("A folder of DICOM images"), self.ask_folder),
            ("sample", tr("Open the sample case"), "", lambda: self.open_path(RESOURCES / "sample")),
        ):
            button = QPushButton(what)
            named(button, f"contourdesk_{name}", what, tip)
            button.clicked.connect(lambda _=False, act=act: act())
            column.addWidget(button)
            if name == "layer":
                set_role(button, "primary")
        note = QLabel(
            tr("Not a medical device. Work is saved in a review folder, which the desktop program opens too.")
        )
        note.setWordWrap(True)
        set_role(note, "muted")
        column.addWidget(note)
        column.addStretch(2)
        return page

    def _connect(self) -> None:
        desk, opening = self.desk, self.opening
        desk.changed.connect(self._on_change)
        desk.said.connect(self._say)
        desk.failed.connect(self.show_failure)
        desk.table.active_changed.connect(self.layers.set_active)
        desk.table.visibility_changed.connect(self.layers.set_visible)
        desk.view.place_changed.connect(lambda: self.layers.go_to(desk.view.cross_index))
        desk.review.reviewer_changed.connect(lambda name: self._keep_setting(reviewer=name))
        desk.predict.finished.connect(lambda _: self.autosave.save_if_changed())
        self.layers.failed.connect(self.show_failure)
        self.autosave.state_changed.connect(self._on_saved_state)
        self.autosave.failed.connect(self.show_failure)
        opening.opened.connect(self._on_opened)
        opening.failed.connect(self._on_opening_failed)
        opening.gave_up.connect(self._back)
        self.keeping.take_over_wanted.connect(self._take_over)
        self._viewer.events.theme.connect(self._wear_theme)
        QApplication.instance().aboutToQuit.connect(self.leave)  # type: ignore[union-attr]

    def _wear_theme(self, _: object = None) -> None:
        dark = QColor(get_theme(self._viewer.theme).background.as_hex()).lightness() < 128
        dress([self, self.views], "dark" if dark else "light")

    # -- opening --------------------------------------------------------------------------------------------------

    def review_layer(self) -> None:
        """Review the image layer that is selected, else the only one that there is."""
        images = [layer for layer in self._viewer.layers if isinstance(layer, Image) and layer.ndim == 3]
        chosen = [layer for layer in images if layer in self._viewer.layers.selection] or images
        if len(chosen) != 1:
            what = tr("There is no image.") if not images else tr("There are several images.")
            self.show_failure(UserError(what, tr("Select the layer of one image with slices, rows and columns.")))
            return
        case = chosen[0].metadata.get(CASE)
        self._show(self.loading)
        if case is not None:
            self.opening.start_case(case, self.settings)
        else:
            self.loading.start(_case_of(chosen[0].as_layer_data_tuple()), tr("Reading the layer"), self._on_layer_read)

    def _on_layer_read(self, case: Case) -> None:
        self.opening.start_case(case, self.settings)

    def ask_folder(self) -> None:
        """Ask for a folder of images and review it."""
        chosen = QFileDialog.getExistingDirectory(self, tr("Open a folder of DICOM images"))
        if chosen:
            self.open_path(Path(chosen))

    def open_path(self, path: Path) -> None:
        """Read images in a worker and review them."""
        self._show(self.loading)
        self.opening.start(path, self.settings)

    def _take_over(self, session: ReviewSession, folder: Path) -> None:
        self._show(self.loading)
        self.opening.take_over(session.case, folder)

    def _on_opened(self, session: ReviewSession, folder: Path, journal: Journal | None, notes: tuple[str, ...]) -> None:
        self._set_session(session)
        session.blind = self.settings.blind
        self.keeping.begin(session, folder, journal)
        self.desk.banner.clear()
        self.desk.banner.add(notes)
        self._show(self.panels)

    def _on_opening_failed(self, error: BaseException) -> None:
        self._back()
        self.show_failure(error)

    def _back(self) -> None:
        """Back to what was there before opening began."""
        self._show(self.start if self.session is None else self.panels)

    def _set_session(self, session: ReviewSession | None) -> None:
        self.session = session
        self.desk.set_session(session, self.settings.window_preset)
        self.layers.set_session(session)
        self.layers.set_active(self.desk.table.active)
        title, line = ("", "") if session is None else patient_texts(session.case)
        self.patient.set_full_text(line or title)
        self._refresh_actions()

    def _show(self, page: QWidget) -> None:
        self.pages.setCurrentWidget(page)
        self._refresh_actions()

    # -- commands -------------------------------------------------------------------------------------------------

    def ask_import(self) -> None:
        """Ask for a file with structures and add them."""
        self.desk.importing.ask_file(self)

    def ask_export(self) -> None:
        """Open the export dialog."""
        if self.session is not None:
            self.layers.take_over()
            ExportDialog(self.session, self).open()

    def toggle_views(self) -> None:
        """Show the three views, in which the tools of the Edit panel draw, as a dock below; or take it away."""
        if self.views.parent() is None:
            self._viewer.window.add_dock_widget(self.views, name=tr("Contourdesk views"), area="bottom")
            self.views.show()
        else:
            self._viewer.window.remove_dock_widget(self.views)

    def close_case(self) -> None:
        """Save and close the review; napari's image stays."""
        try:
            self.layers.take_over()
            job = self.autosave.last_save()
        except UserError as error:
            self.show_failure(error)
            return
        if job is None:
            self._closed_case()
        else:
            self._show(self.loading)
            self.loading.start(job, tr("Saving"), self._closed_case, self._on_opening_failed, harmless=False)

    def _closed_case(self, _: object = None) -> None:
        self.autosave.end()
        self._set_session(None)
        self._show(self.start)

    def step(self, what: str) -> None:
        """Take back the last edit ("undo"), or do it again ("redo")."""
        self.layers.take_over()
        if self.session is not None:
            getattr(self.session, what)()

    # -- following ------------------------------------------------------------------------------------------------

    def _on_change(self, change: Change) -> None:
        self.autosave.follow(change)
        self._refresh_actions()

    def _on_saved_state(self, text: str, good: bool) -> None:
        self.status.setText(text)
        set_role(self.status, "muted" if good else "warning")

    def _refresh_actions(self) -> None:
        for action in self._actions:
            self.made[action.id].setEnabled(action.enabled() and self.pages.currentWidget() is self.panels)

    def _say(self, text: str) -> None:
        if text:
            self._viewer.status = text

    def _keep_setting(self, **values: object) -> None:
        self.settings = replace(self.settings, **values)  # type: ignore[arg-type]
        try:
            save_settings(self.settings)
        except UserError as error:
            self.show_failure(error)

    def show_failure(self, error: BaseException) -> None:
        """Tell of an error by napari's notifications: as it is when it is meant for users, else with its traceback."""
        if isinstance(error, UserError):
            show_error(str(error))
        else:
            notification_manager.receive_error(type(error), error, error.__traceback__ or sys.exc_info()[2])

    # -- leaving --------------------------------------------------------------------------------------------------

    def event(self, event: QEvent) -> bool:
        """Follow into a window, and leave when napari takes the dock away."""
        if event.type() == QEvent.Type.Show and self._window is None:
            parent = self.parentWidget()
            while parent is not None and not isinstance(parent, QMainWindow):
                parent = parent.parentWidget()
            self._window = parent
            if parent is not None:
                parent.installEventFilter(self)
        elif event.type() == QEvent.Type.ParentChange and self._window is not None and self.parent() is None:
            self.leave()
        return super().event(event)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Leave when napari's window has been closed: it hides before it goes."""
        if event.type() == QEvent.Type.Hide and not event.spontaneous() and watched is self._window:
            self.leave()
        return False

    def leave(self) -> None:
        """Stop what runs, save, and let go of the viewer. The widget is of no use after it."""
        window, self._window = self._window, None
        if not self._left:
            self._left = True
            if window is not None:
                window.removeEventFilter(self)
            QApplication.instance().aboutToQuit.disconnect(self.leave)  # type: ignore[union-attr]
            self._viewer.events.theme.disconnect(self._wear_theme)
            self.layers.take_over()
            self.loading.runner.cancel()
            self.desk.stop(_PATIENCE_S)
            self.loading.runner.wait(_PATIENCE_S)
            try:
                self.autosave.finish()
            except (UserError, OSError) as error:
                self.show_failure(error)  # the journal has all edits
            self.autosave.end()
            self._set_session(None)
            if self.views.parent() is not None:
                self._viewer.window.remove_dock_widget(self.views)
            self.desk.view.close_views()
            self.views.deleteLater()
            self.deleteLater()


def _case_of(layer: LayerData) -> Job[Case]:
    yield Progress(0, 0, tr("Reading the layer"))
    return case_of_image([layer])
