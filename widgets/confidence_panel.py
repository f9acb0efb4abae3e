"""The model's confidence in the active structure: seen as an overlay, moved as a threshold; and the next place to look.

The overlay is drawn by `view_confidence`, the places come from `guide`.
"""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSlider,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.confidence import Confidence, Fit, fitted, moved
from contourdesk.app.errors import UserError
from contourdesk.app.review import Change, ReviewSession
from contourdesk.app.structures import Mask, Structure
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.ortho_view import OrthoView
from contourdesk.widgets.theme import em, icon, icon_size, named, set_role

_QUIET_MS, _SETTLED_MS = 40, 300
_LOW, _HIGH = 5, 95  # per cent


class ConfidencePanel(QWidget):
    """Overlay on or off, next and previous slice worth a look, threshold of the active structure.

    `failed` carries an exception for the user, `said` a text for the status bar. A threshold is previewed as a dashed
    outline, and `Apply` gives the session exactly what was previewed as one step. Edits by hand stay unless the
    reviewer says otherwise.
    """

    failed = Signal(object)
    said = Signal(str)
    asking = Signal(bool)  # whether a threshold waits to be applied
    next_wanted = Signal()
    previous_wanted = Signal()

    def __init__(self, view: OrthoView, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("confidence_panel")
        self._view = view
        self._session: ReviewSession | None = None
        self._active: str | None = None
        self._moving = False
        self._made: tuple[object, Mask] | None = None
        self._asked: object = None
        self._apply_when_ready = False
        self.runner = JobRunner(self)
        self.runner.succeeded.connect(self._on_made)
        self.runner.failed.connect(self._on_failed)
        self.runner.cancelled.connect(self._on_cancelled)
        self.fitter = JobRunner(self)
        self.fitter.succeeded.connect(self._on_fitted)
        self.fitter.cancelled.connect(self._fit)
        self._fitting: object = None
        self._fit_timer = QTimer(self)  # strokes come one after the other
        self._fit_timer.setSingleShot(True)
        self._fit_timer.setInterval(_SETTLED_MS)
        self._fit_timer.timeout.connect(self._fit)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET_MS)
        self._timer.timeout.connect(self._preview)
        self._make_widgets()
        self._build()
        self._show()

    def _make_widgets(self) -> None:
        self.overlay = QToolButton()
        tip = tr("Colour where the model was unsure of the active structure (K)")
        named(self.overlay, "confidence_overlay", tr("Show where the model was unsure"), tip)
        self.overlay.setText(tr("Confidence"))
        self.overlay.setIcon(icon("confidence"))
        self.overlay.setCheckable(True)
        self.overlay.toggled.connect(self._view.set_confidence)
        self.previous = QToolButton()
        named(
            self.previous,
            "look_previous",
            tr("Back to the last slice that was worth a look"),
            tr("Back to the last one (Shift+X)"),
        )
        self.previous.setIcon(icon("chevron-left"))
        self.previous.clicked.connect(self.previous_wanted)
        self.next = QToolButton()
        named(self.next, "look_next", tr("Next slice worth a look"), tr("Where the contour most likely needs you (X)"))
        self.next.setText(tr("Next look"))
        self.next.setIcon(icon("look"))
        self.next.clicked.connect(self.next_wanted)
        for button in (self.overlay, self.next):
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
            button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        for button in (self.overlay, self.next, self.previous):
            button.setIconSize(icon_size(self))
        self.slider = QSlider(Qt.Orientation.Horizontal)
        named(self.slider, "threshold", tr("Threshold of the active structure in per cent"),
              tr("How sure the model must be of a voxel; to the left the structure grows"))  # fmt: skip
        self.slider.setRange(_LOW, _HIGH)
        self.slider.setPageStep(5)
        self.slider.valueChanged.connect(self._on_moved)
        self.value = QLabel()
        named(self.value, "threshold_value")
        self.value.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        self.value.setMinimumWidth(self.value.fontMetrics().horizontalAdvance("100 %"))
        self.text = QLabel()
        named(self.text, "threshold_text", tr("What the threshold does"))
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        set_role(self.text, "muted")
        self.replace = QCheckBox(tr("Replace my edits too"))
        named(
            self.replace,
            "threshold_replace",
            tr("Replace edits by hand too"),
            tr("Otherwise what you changed by hand stays"),
        )
        self.replace.toggled.connect(self._ask_soon)
        self.apply_button = QPushButton(tr("Apply"))
        named(self.apply_button, "threshold_apply", tr("Apply the threshold"), tr("One step of the undo history"))
        set_role(self.apply_button, "primary")
        self.apply_button.clicked.connect(self.apply)
        self.cancel_button = QPushButton(tr("Cancel"))
        named(self.cancel_button, "threshold_cancel", tr("Leave the threshold as it was"))
        self.cancel_button.clicked.connect(self.give_up)

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(em(self, 0.6), 0, em(self, 0.6), em(self, 0.6))
        layout.setSpacing(em(self, 0.3))
        row = QHBoxLayout()
        row.setSpacing(em(self, 0.3))
        row.addWidget(self.overlay, 1)
        row.addWidget(self.next, 1)
        row.addWidget(self.previous)
        layout.addLayout(row)
        self._threshold = QWidget()
        row = QHBoxLayout(self._threshold)
        row.setContentsMargins(0, 0, 0, 0)
        label = QLabel(tr("Threshold"))
        label.setBuddy(self.slider)
        set_role(label, "muted")
        row.addWidget(label)
        row.addWidget(self.slider, 1)
        row.addWidget(self.value)
        layout.addWidget(self._threshold)
        self.question = QWidget()  # the window may show it elsewhere
        column = QVBoxLayout(self.question)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(em(self, 0.3))
        column.addWidget(self.text)
        column.addWidget(self.replace)
        buttons = QHBoxLayout()
        buttons.addWidget(self.apply_button, 2)
        buttons.addWidget(self.cancel_button, 1)
        column.addLayout(buttons)
        layout.addWidget(self.question)
        lines = 2 * self.text.fontMetrics().lineSpacing()
        rows = [self.replace.sizeHint().height(), self.apply_button.sizeHint().height(), 2 * column.spacing()]
        self.question.setMinimumHeight(lines + sum(rows))
        column.addStretch(1)

    # -- what the window uses -------------------------------------------------------------------------------------

    def set_session(self, session: ReviewSession | None) -> None:
        """Work on another session."""
        if self._session is not None:
            self._session.changed.disconnect(self._on_change, missing_ok=True)
        self._session, self._active = session, None
        if session is not None:
            session.changed.connect(self._on_change)
        self.give_up()

    def set_active(self, structure_id: str | None) -> None:
        """Work on this structure; a threshold that was not applied is given up."""
        if structure_id != self._active:
            self._active = structure_id
            self.give_up()

    def set_read_only(self, read_only: bool) -> None:
        """Leave the threshold alone; looking goes on."""
        self.give_up()
        self._threshold.setEnabled(not read_only)

    def apply(self) -> None:
        """Give the structure the previewed mask; when it isn't made yet, as soon as it is."""
        if self._session is None or not self._moving:
            return
        if self._made is None or self._made[0] != self._asking():
            self._apply_when_ready = True
            self._preview()
            return
        mask, structure_id, percent = self._made[1], self._active, self.slider.value()
        assert structure_id is not None  # there is a preview of it
        before = self._session.revision
        self._forget()
        try:
            self._session.replace_mask(structure_id, mask, "threshold")
        except UserError as error:
            self.failed.emit(error)
        if self._session.revision != before:
            self.said.emit(tr("Threshold of {percent} % applied. Undo takes it back.").format(percent=percent))
        self._show()

    def give_up(self) -> None:
        """Leave the structure as it is, and take the preview away."""
        self._forget()
        self._show()

    # -- the question and its answer ------------------------------------------------------------------------------

    def _structure(self) -> Structure | None:
        if self._session is None or self._active is None:
            return None
        return next((s for s in self._session.structures if s.id == self._active), None)

    def _confidence(self) -> Confidence | None:
        return None if self._session is None else self._session.confidence(self._active)

    def _asking(self) -> object:
        """All that the answer depends on."""
        s = self._structure()
        return None if s is None else (s.id, s.mask, self.slider.value(), self.replace.isChecked())

    def _on_moved(self, percent: int) -> None:
        self.value.setText(f"{percent} %")
        self._moving = True
        self._show_question(True)
        self._ask_soon()

    def _ask_soon(self) -> None:
        if self._moving and not self._timer.isActive():
            self._timer.start()

    def _preview(self) -> None:
        structure, confidence = self._structure(), self._confidence()
        if structure is None or confidence is None or not self._moving:
            return
        if self.runner.running:  # the answer to the last position comes first: the outline follows the hand
            return
        self._asked = self._asking()
        keep = not self.replace.isChecked()
        self.runner.start(moved(structure, confidence, self.slider.value() / 100, keep_edits=keep), harmless=True)

    def _on_made(self, result: tuple[Mask, int]) -> None:
        structure = self._structure()
        if self._session is None or structure is None or not self._moving:
            return
        mask, edited = result
        if isinstance(self._asked, tuple) and self._asked[:2] == (structure.id, structure.mask):
            self._view.set_proposal(mask)
            self._explain(structure, mask, edited)
        if self._asked != self._asking():
            self._preview()
            return
        self._made = (self._asked, mask)
        if self._apply_when_ready:
            self.apply()

    def _explain(self, structure: Structure, mask: Mask, edited: int) -> None:
        ml = self._session.structures.grid.voxel_ml  # type: ignore[union-attr]
        text = f"{structure.mask.count * ml:.2f} → {mask.count * ml:.2f} ml."
        by_hand = edited > 0 and structure.edited
        if by_hand:
            what = "would be lost" if self.replace.isChecked() else "stay as they are"
            text += f" Your edits ({edited * ml:.2g} ml) {what}."
        self.text.setText(text)
        set_role(self.text, "warning" if by_hand and self.replace.isChecked() else "muted")
        self.replace.setVisible(by_hand)

    def _on_failed(self, error: BaseException) -> None:
        self.give_up()
        self.failed.emit(error)

    def _on_cancelled(self) -> None:
        self._ask_soon()

    # -- following the session ------------------------------------------------------------------------------------

    def _on_change(self, change: Change) -> None:
        if change.structure_id in (self._active, None):
            self.give_up()

    def _forget(self) -> None:
        self._timer.stop()
        self.runner.cancel()
        if self._moving:
            self._view.set_proposal(None)
        self._moving, self._made, self._asked, self._apply_when_ready = False, None, None, False

    def _show(self) -> None:
        """As it is for the active structure, nothing moved."""
        structure, confidence = self._structure(), self._confidence()
        there = structure is not None and confidence is not None
        for button in (self.overlay, self.next, self.previous):
            button.setEnabled(self._session is not None)
        self._threshold.setVisible(there)
        self._show_question(False)
        self.replace.hide()
        with QSignalBlocker(self.replace):
            self.replace.setChecked(False)
        if there:
            self._show_percent(50)
            self._fit_timer.start()

    def _show_question(self, shown: bool) -> None:
        if shown:
            self.asking.emit(True)  # first: the two never need room at once
        self.question.setVisible(shown)
        if not shown:
            self.asking.emit(False)

    def _show_percent(self, percent: int) -> None:
        with QSignalBlocker(self.slider):
            self.slider.setValue(percent)
        self.value.setText(f"{self.slider.value()} %")

    def _fit(self) -> None:
        """Find which threshold an edited structure stands at; it may be large, so in a worker."""
        structure, confidence = self._structure(), self._confidence()
        if structure is None or confidence is None or not structure.edited:
            return
        if self.fitter.running:
            self.fitter.cancel()  # and comes back here
            return
        self._fitting = structure.mask
        self.fitter.start(fitted(structure, confidence), harmless=True)

    def _on_fitted(self, found: Fit) -> None:
        structure = self._structure()
        if structure is None or structure.mask is not self._fitting:
            self._fit()
        elif not self._moving and found.threshold is not None:
            self._show_percent(round(100 * found.threshold))
