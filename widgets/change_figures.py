"""Figures on the change of the active structure: computed in a worker, shown in a few lines, time at work counted."""

from __future__ import annotations

import time

from qtpy.QtCore import QEvent, QObject, Qt, QTimer, Signal
from qtpy.QtGui import QShowEvent, QWindow
from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QToolButton, QVBoxLayout, QWidget

from contourdesk.app.active_time import ActiveTime
from contourdesk.app.figures import DEFINITIONS, Figures, Known, change_figures, seconds_of, texts, to_json
from contourdesk.app.review import ReviewSession
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import em, named, set_role

_QUIET_MS = 700
_HIGH_PX = 900  # height of a screen that has room for all
# Figure, row, column, columns for its value.
_PLACES = (
    ("dice", 0, 0, 1),
    ("surface_dice", 0, 2, 1),
    ("hd95_mm", 1, 0, 1),
    ("added_path_mm", 1, 2, 1),
    ("slices_touched", 2, 0, 1),
    ("seconds", 2, 2, 1),
    ("volume_change_ml", 3, 0, 3),
)
_ALIVE = {
    QEvent.Type.MouseButtonPress,
    QEvent.Type.MouseButtonRelease,
    QEvent.Type.MouseMove,
    QEvent.Type.Wheel,
    QEvent.Type.KeyPress,
    QEvent.Type.TabletPress,
    QEvent.Type.TabletMove,
    QEvent.Type.TouchUpdate,
}


class FigureKeeper(QObject):
    """Keeps the figures of all structures up to date, and the seconds that were spent on each.

    `changed` comes when there are new figures.
    """

    changed = Signal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session: ReviewSession | None = None
        self._known: Known = {}
        self._time = ActiveTime()
        self._active: str | None = None
        self._window: QWindow | None = None
        self.runner = JobRunner(self)
        self.runner.succeeded.connect(self._on_computed)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET_MS)
        self._timer.timeout.connect(self._compute)

    def set_session(self, session: ReviewSession | None) -> None:
        """Keep the figures of another session, and go on counting its seconds."""
        self._keep()
        self.runner.cancel()
        self._session, self._known, self._active = session, {}, None
        self._time = ActiveTime({} if session is None else seconds_of(session.work))
        self._timer.stop()
        if session is not None:
            self._timer.start()
        self.changed.emit()

    def watch(self, window: QWindow | None) -> None:
        """Take every key, click and move of the mouse in this window for a sign of life."""
        if window is self._window:
            return
        if self._window is not None:
            self._window.removeEventFilter(self)
        self._window = window
        if window is not None:
            window.installEventFilter(self)

    def set_active(self, structure_id: str | None) -> None:
        """Count the time for this structure from now on."""
        self._active = structure_id
        self.note_life()

    def note_change(self) -> None:
        """Compute anew when no further change comes."""
        self.note_life()
        self._timer.start()

    def note_life(self) -> None:
        """Note a sign of life of the reviewer."""
        if self._session is not None:
            self._time.note(self._active, time.monotonic())
            self._session.work["seconds"] = self.all_seconds()

    def figures(self, structure_id: str | None) -> Figures | None:
        """Figures of a structure as it is now; None while they are being computed, and where there is no proposal."""
        if self._session is None or structure_id not in self._known:
            return None
        _, mask, figures = self._known[structure_id]
        now = next((s.mask for s in self._session.structures if s.id == structure_id), None)
        return figures if now is mask else None

    def seconds(self, structure_id: str | None) -> float:
        """Seconds spent on a structure."""
        return 0.0 if structure_id is None else self._time.seconds.get(structure_id, 0.0)

    def all_seconds(self) -> dict[str, float]:
        """Seconds spent on each structure that there is."""
        ids = () if self._session is None else [s.id for s in self._session.structures]
        return {key: value for key, value in self._time.seconds.items() if key in ids}

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """See the signs of life; swallow none."""
        if event.type() in _ALIVE:
            self.note_life()
        return False

    def _compute(self) -> None:
        if self._session is None:
            return
        if self.runner.running:
            self._timer.start()
            return
        structures = self._session.structures
        self.runner.start(change_figures(structures.items, structures.grid, self._known), harmless=True)

    def _on_computed(self, known: Known) -> None:
        if self._session is not None:
            self._known = known
            self._keep()
            self.changed.emit()

    def _keep(self) -> None:
        """Hand the figures to the session, to be kept with the review."""
        if self._session is not None and self._known:
            self._session.work.update(to_json(self._known, self.all_seconds()))


class ChangeFigures(QWidget):
    """The figures of one structure in two columns; hover, or ask the screen reader, for a figure's definition.

    The heading folds them away, and tells the main ones then; on a small screen they begin so.
    """

    def __init__(self, keeper: FigureKeeper, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._keeper = keeper
        self._shown: str | None = None
        self._title = ""
        self._placed = False
        self.heading = QToolButton()
        named(
            self.heading, "figures_heading", tr("Figures on the change"), tr("Show or hide the figures on the change")
        )
        set_role(self.heading, "heading")
        self.heading.setCheckable(True)
        self.heading.setChecked(True)
        self.heading.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.heading.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)  # no wider than the panel
        self.heading.toggled.connect(self._fold)
        self.values: dict[str, QLabel] = {}
        self._body = QWidget()
        grid = QGridLayout(self._body)
        grid.setContentsMargins(em(self, 0.3), 0, 0, 0)
        grid.setHorizontalSpacing(em(self, 0.4))
        grid.setVerticalSpacing(em(self, 0.1))
        by_key = {d.key: d for d in DEFINITIONS}
        for key, row, column, columns in _PLACES:
            definition = by_key[key]
            label, value = QLabel(tr(definition.label)), QLabel()
            set_role(label, "muted")
            named(value, f"figure_{key}", tr(definition.label), tr(definition.text))
            label.setToolTip(tr(definition.text))
            value.setAccessibleDescription(definition.text)
            grid.addWidget(label, row, column)
            grid.addWidget(value, row, column + 1, 1, columns)
            self.values[key] = value
        grid.setColumnStretch(1, 1)
        grid.setColumnStretch(3, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(em(self, 0.2))
        layout.addWidget(self.heading)
        layout.addWidget(self._body)
        self._fold(True)
        self._clock = QTimer(self)  # the time goes on while nothing else changes
        self._clock.setInterval(1000)
        self._clock.timeout.connect(self._refresh)
        self._clock.start()
        keeper.changed.connect(self._refresh)
        self.show_structure(None)

    def show_structure(self, structure_id: str | None, heading: str = "") -> None:
        """Show the figures of this structure; without a heading it has none to show."""
        self._shown, self._title = structure_id, heading
        self.setVisible(bool(heading) and structure_id is not None)
        self._refresh()

    def showEvent(self, event: QShowEvent) -> None:
        """Leave the room to the checks on a small screen."""
        super().showEvent(event)
        if not self._placed:
            self._placed = True
            self.heading.setChecked(self.screen().availableGeometry().height() >= _HIGH_PX)

    def _fold(self, shown: bool) -> None:
        self._body.setVisible(shown)
        self.heading.setArrowType(Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow)
        self._refresh()

    def _refresh(self) -> None:
        if not self.isVisibleTo(self.parentWidget()) and self.parentWidget() is not None:
            return
        found = texts(self._keeper.figures(self._shown), self._keeper.seconds(self._shown))
        for key, label in self.values.items():
            label.setText(found.get(key, "…"))
        short = f"Dice {found.get('dice', '…')}, {found.get('volume_change_ml', '…').split(' (')[0]}"
        self.heading.setText(self._title if self.heading.isChecked() else short)
