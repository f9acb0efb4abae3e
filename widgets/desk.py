"""The panels of the review page and how they follow each other; knows one session, not where it is kept."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from contourdesk.app.attention import Spot
from contourdesk.app.finding import Finding
from contourdesk.app.geometry import Box
from contourdesk.app.review import Change, ReviewSession
from contourdesk.app.settings import Settings
from contourdesk.inference.model_library import known_models
from contourdesk.widgets.confidence_panel import ConfidencePanel
from contourdesk.widgets.display_bar import DisplayBar
from contourdesk.widgets.edit_tools import EditTools
from contourdesk.widgets.findings import Findings
from contourdesk.widgets.guide import Guide
from contourdesk.widgets.language import tr
from contourdesk.widgets.looking import Looking
from contourdesk.widgets.model_dialog import ModelDialog
from contourdesk.widgets.operations_panel import OperationsPanel
from contourdesk.widgets.ortho_view import OrthoView
from contourdesk.widgets.predict_panel import PredictPanel
from contourdesk.widgets.review_panel import ReviewPanel
from contourdesk.widgets.structure_import import StructureImport
from contourdesk.widgets.structure_table import StructureTable
from contourdesk.widgets.theme import em
from contourdesk.widgets.view_box import visible_box
from contourdesk.widgets.window_parts import Banner
from contourdesk.widgets.window_presets import presets_for


class Desk(QObject):
    """Images, structure table, segment, edit and review panels of one session.

    `changed` comes after each change of the session, with the `Change`; `active_changed` when another structure is
    active; `said` with a text for the status bar; `failed` with an exception for the user.
    """

    changed = Signal(object)
    active_changed = Signal()
    said = Signal(str)
    failed = Signal(object)

    def __init__(self, settings: Settings, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.session: ReviewSession | None = None
        self.view = OrthoView()
        self.view.tools["prompt"].model.folder = settings.nninteractive
        self.tools = EditTools(self.view)
        self.operations = OperationsPanel(self.view)
        self.edit = QWidget()
        edit = QVBoxLayout(self.edit)
        edit.addWidget(self.tools)
        edit.addWidget(self.operations)
        edit.addStretch(1)
        self.table = StructureTable()
        self.predict = PredictPanel([], settings.device)
        self.predict.set_models(known_models())
        if settings.default_model:
            self.predict.choose_model(Path(settings.default_model))
        self.confidence = ConfidencePanel(self.view)
        self.segment = QWidget()
        segment = QVBoxLayout(self.segment)
        segment.setContentsMargins(0, 0, 0, 0)
        segment.setSpacing(0)
        segment.addWidget(self.predict)
        segment.addWidget(self.confidence)
        segment.addWidget(self._below())
        segment.addStretch(1)
        self.guide = Guide(self)
        self.review = ReviewPanel()
        self.display = DisplayBar(settings.display_mode, settings.opacity)
        self.findings = Findings(self)
        self.importing = StructureImport(self)
        self.banner = Banner()
        self.page = QWidget()
        self.page.setObjectName("review_page")
        column = QVBoxLayout(self.page)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(em(self.page, 0.2))
        self.looking = Looking(self.view, self.table, settings, self)
        column.addWidget(self.banner)
        column.addWidget(self.looking.versions)
        column.addWidget(self.view, 1)
        column.addWidget(self.looking.measures)
        self.view.set_display(settings.display_mode)
        self.view.set_opacity(settings.opacity)
        self.view.set_line_width(settings.line_width)
        self._connect()

    def _below(self) -> QWidget:
        """One place for how the segmentation goes and for a threshold that waits: nothing jumps, no room is lost."""
        place = QWidget()
        column = QVBoxLayout(place)
        column.setContentsMargins(em(place, 0.6), 0, em(place, 0.6), em(place, 0.4))
        parts = (self.predict.status, self.confidence.question)
        most = max(part.minimumHeight() for part in parts)
        for part in parts:
            part.setMinimumHeight(most)
            column.addWidget(part)
        self.confidence.asking.connect(self.predict.status.setHidden)
        return place

    def _connect(self) -> None:
        view, table, display = self.view, self.table, self.display
        view.error.connect(self.said)
        view.active_changed.connect(self._on_view_active)
        view.window_changed.connect(display.show_window)
        table.active_changed.connect(self._on_active)
        table.visibility_changed.connect(view.set_visible)
        table.failed.connect(self.failed)
        display.window_chosen.connect(view.set_window)
        display.mode_chosen.connect(view.set_display)
        display.opacity_chosen.connect(view.set_opacity)
        self.predict.finished.connect(self.said)
        self.predict.failed.connect(self.failed)
        self.predict.noted.connect(self.banner.add)
        self.predict.manage_wanted.connect(self.show_models)
        self.predict.options.visible_box = self._visible_box
        self.confidence.failed.connect(self.failed)
        self.confidence.said.connect(self.said)
        self.confidence.next_wanted.connect(self.guide.next)
        self.confidence.previous_wanted.connect(self.guide.previous)
        self.guide.said.connect(self.said)
        self.guide.wanted.connect(self._on_spot)
        self.findings.found.connect(self.guide.set_findings)
        self.operations.busy.connect(self.tools.hint.setHidden)  # small screens have no room for both
        self.operations.failed.connect(self.failed)
        self.operations.said.connect(self.said)
        self.looking.said.connect(self.said)
        self.looking.failed.connect(self.failed)
        self.findings.found.connect(table.set_findings)
        self.importing.said.connect(self.said)
        self.importing.failed.connect(self.failed)
        self.importing.imported.connect(self._on_imported)
        self.findings.checking.connect(self.review.findings.set_checking)
        self.findings.found.connect(self.review.findings.set_found)
        self.findings.failed.connect(lambda _: self.review.findings.set_failed())
        self.review.finding_chosen.connect(self._on_finding)
        self.review.typed.connect(lambda: view.setFocus())  # where single keys decide

    def set_session(self, session: ReviewSession | None, preset: str = "") -> None:
        """Show another session, or none; `preset` names the display window to begin with."""
        if self.session is not None:
            self.session.changed.disconnect(self._on_change, missing_ok=True)
        self.session = session
        self.view.set_session(session)
        self.table.set_session(session)
        self.predict.set_session(session)
        self.review.set_session(session)
        self.operations.set_session(session)
        self.tools.limits.set_session(session)
        self.confidence.set_session(session)
        self.looking.set_session(session)
        self.guide.set_session(session)
        self.importing.set_session(session)
        self.findings.set_session(session)
        self._on_active(self.table.active)
        self.banner.clear()
        if session is not None:
            session.changed.connect(self._on_change)
            self.display.set_presets(presets_for(session.case.volume), preset)

    def set_read_only(self, read_only: bool) -> None:
        """Leave nothing to change in reach; the session refuses it in any case."""
        for panel in (self.edit, self.predict):
            panel.setEnabled(not read_only)
        self.confidence.set_read_only(read_only)
        if read_only:
            self.view.set_tool("navigate")

    def stop(self, timeout_s: float) -> None:
        """Stop the jobs of the panels, for closing the window."""
        own = (self.predict, self.findings, self.operations, self.importing, self.confidence, self.guide, self.looking)
        runners = [part.runner for part in own]
        runners += [self.predict.reader, self.confidence.fitter, self.review.keeper.runner]
        for runner in runners:
            runner.cancel()
        for runner in runners:
            runner.wait(timeout_s)

    def next_open(self) -> None:
        """Go to the next structure without a decision, round the end of the list."""
        items = () if self.session is None else self.session.structures.items
        at = next((i for i, s in enumerate(items) if s.id == self.table.active), -1)
        for s in (*items[at + 1 :], *items[: at + 1]):
            if s.decision.state == "unreviewed" and s.id != self.table.active:
                self.table.set_active(s.id)
                self.view.centre_on(s.id)
                return
        self.said.emit(tr("Every other structure is decided."))

    def step_structure(self, steps: int) -> None:
        """Make the next or previous structure of the list the active one."""
        items = () if self.session is None else self.session.structures.items
        at = next((i for i, s in enumerate(items) if s.id == self.table.active), None)
        if items:
            self.table.set_active(items[0 if at is None else (at + steps) % len(items)].id)

    def centre(self, *, closer: bool = False) -> None:
        """Show the middle of the active structure, zoomed so that it fits; with `closer` it fills the views."""
        if self.table.active is not None:
            self.view.zoom_to(self.table.active, closer=closer)

    # -- slots ----------------------------------------------------------------------------------------------------

    def _on_change(self, change: Change) -> None:
        self.findings.note_change()
        self.changed.emit(change)

    def _on_active(self, structure_id: str | None) -> None:
        self.view.set_active(structure_id)
        self.review.set_active(structure_id)
        self.operations.set_active(structure_id)
        self.confidence.set_active(structure_id)
        self.active_changed.emit()

    def _on_view_active(self, structure_id: str | None) -> None:
        if structure_id is not None and structure_id != self.table.active:
            self.table.set_active(structure_id)

    def _on_imported(self, ids: list[str], notes: tuple[str, ...]) -> None:
        self.banner.add(notes)
        if ids:
            self.table.set_active(ids[0])
            self.view.centre_on(ids[0])

    def show_models(self) -> None:
        """Open the list of models."""
        dialog = ModelDialog(self.page.window(), self.review.reviewer.text().strip())
        dialog.changed.connect(lambda: self.predict.set_models(known_models()))
        dialog.failed.connect(self.failed)
        dialog.open()

    def _visible_box(self) -> Box:
        shape = self.session.structures.grid.shape if self.session is not None else (1, 1, 1)
        return visible_box(self.view.planes.values(), shape)

    def _on_spot(self, spot: Spot) -> None:
        self.table.set_active(spot.structure_id)
        if self.session is not None:
            self.view.go_to(self.session.structures.grid.to_world(spot.index))

    def _on_finding(self, finding: Finding) -> None:
        self.table.set_active(finding.structure_id)
        if finding.point_lps is not None:
            self.view.go_to(finding.point_lps)
        else:
            self.view.centre_on(finding.structure_id)
