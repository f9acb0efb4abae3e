"""Operations on the whole active structure: choose one, see what it would do, apply it."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Qt, QTimer, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.errors import UserError
from contourdesk.app.limits import within
from contourdesk.app.operations import OPERATIONS, Field, Operation, Scene, Value, apply
from contourdesk.app.review import ReviewSession
from contourdesk.app.structures import Mask, Structure
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.ortho_view import OrthoView
from contourdesk.widgets.theme import em, named, set_role

_QUIET_MS = 250  # after the last change of a number the preview is made
_UNITS = {"mm": " mm", "ml": " ml", "value": "", "structure": ""}
_COLUMNS = 2


class OperationsPanel(QWidget):
    """A list of operations, the fields of the chosen one, a dashed preview in the views, and Apply.

    `failed` carries an exception for the user, `said` a text for the status bar. The preview is made in a worker from
    frozen masks; `Apply` gives the session exactly what was previewed, as one step of the undo history.
    """

    failed = Signal(object)
    said = Signal(str)
    busy = Signal(bool)  # whether an operation is chosen

    def __init__(self, view: OrthoView, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("operations_panel")
        self._view = view
        self._session: ReviewSession | None = None
        self._active: str | None = None
        self._inputs: dict[str, QDoubleSpinBox | QComboBox] = {}
        self._made: tuple[object, Mask] | None = None  # what was previewed: for which question, and the answer
        self._asked: object = None
        self._apply_when_ready = False
        self.runner = JobRunner(self)
        self.runner.succeeded.connect(self._on_made)
        self.runner.failed.connect(self._on_failed)
        self.runner.cancelled.connect(self._on_cancelled)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET_MS)
        self._timer.timeout.connect(self._preview)
        self.choice = QComboBox()
        named(self.choice, "operation", tr("Operation on the whole structure"))
        self.choice.addItem(tr("Whole structure…"), None)
        for operation in OPERATIONS:
            self.choice.addItem(tr(operation.text), operation)
            self.choice.setItemData(self.choice.count() - 1, tr(operation.tip), Qt.ItemDataRole.ToolTipRole)
        self.choice.setMaxVisibleItems(20)
        self.choice.currentIndexChanged.connect(self._on_chosen)
        self.text = QLabel()
        named(self.text, "operation_text", tr("What the operation does"))
        self.text.setWordWrap(True)
        self.text.setTextFormat(Qt.TextFormat.PlainText)
        set_role(self.text, "muted")
        self.text.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.text.setMinimumHeight(em(self, 2.6))  # docks don't ask for the height of broken lines
        self.apply_button = QPushButton(tr("Apply"))
        named(
            self.apply_button,
            "operation_apply",
            tr("Apply the operation to the active structure"),
            tr("Apply to the active structure (Enter)"),
        )
        set_role(self.apply_button, "primary")
        self.apply_button.clicked.connect(self.apply)
        self.close_button = QPushButton(tr("Cancel"))
        named(self.close_button, "operation_cancel", tr("Give up the operation"), tr("Give up (Esc)"))
        self.close_button.clicked.connect(self.give_up)
        self._fields = QWidget()
        self._grid = QGridLayout(self._fields)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setHorizontalSpacing(em(self, 0.5))
        self._grid.setVerticalSpacing(em(self, 0.3))
        buttons = self._buttons = QWidget()
        row = QHBoxLayout(buttons)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.apply_button, 2)
        row.addWidget(self.close_button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(em(self, 0.4))
        for widget in (self.choice, self.text, self._fields, buttons):
            layout.addWidget(widget)
        view.place_changed.connect(self._ask_soon)
        self._on_chosen()

    @property
    def operation(self) -> Operation | None:
        """The operation that is chosen."""
        chosen = self.choice.currentData()
        return chosen if isinstance(chosen, Operation) else None

    def set_session(self, session: ReviewSession | None) -> None:
        """Work on another session."""
        if self._session is not None:
            self._session.changed.disconnect(self._on_change, missing_ok=True)
        self._session, self._active = session, None
        if session is not None:
            session.changed.connect(self._on_change)
        self.give_up()

    def set_active(self, structure_id: str | None) -> None:
        """Work on this structure."""
        self._active = structure_id
        self.choice.setEnabled(structure_id is not None)
        if self.operation is not None:
            self._fill_structures()
            self._ask_soon()

    def start(self, operation_id: str) -> None:
        """Choose an operation by its id; its first field, or Apply, gets the keyboard."""
        index = next(i for i, o in enumerate(OPERATIONS) if o.id == operation_id)
        self.choice.setCurrentIndex(index + 1)
        first = next(iter(self._inputs.values()), self.apply_button)
        first.show()  # what is new in a layout is shown later, and only what is shown takes the keyboard
        first.setFocus()
        if isinstance(first, QDoubleSpinBox):
            first.selectAll()

    def give_up(self) -> None:
        """Choose nothing, and take the preview away; the images get the keyboard back."""
        focus = self.window().focusWidget()
        if focus is not None and self.isAncestorOf(focus):
            self._view.setFocus()
        self.choice.setCurrentIndex(0)
        self._forget()

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Apply with Enter, give up with Esc."""
        if self.operation is not None and event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.apply()
        elif self.operation is not None and event.key() == Qt.Key.Key_Escape:
            self.give_up()
        else:
            super().keyPressEvent(event)

    def apply(self) -> None:
        """Give the structure the previewed mask; when it isn't made yet, as soon as it is."""
        if self._session is None or self._structure() is None or self.operation is None:
            return
        if self._made is None or self._made[0] != self._question():
            self._apply_when_ready = True
            self._preview()
            return
        operation, mask, structure_id = self.operation, self._made[1], self._active
        assert structure_id is not None  # there is a structure
        before = self._session.revision
        self.give_up()  # first: the change must not start another preview
        try:
            self._session.replace_mask(structure_id, mask, operation.text.lower())
        except UserError as error:
            self.failed.emit(error)
            return
        if self._session.revision == before:
            self.said.emit(tr("{text}: nothing to change.").format(text=tr(operation.text)))

    # -- the question and its answer ------------------------------------------------------------------------------

    def _structure(self) -> Structure | None:
        if self._session is None or self._active is None:
            return None
        return next((s for s in self._session.structures if s.id == self._active), None)

    def _values(self) -> dict[str, Value]:
        return {
            key: str(w.currentData() or "") if isinstance(w, QComboBox) else w.value()
            for key, w in self._inputs.items()
        }

    def _question(self) -> object:
        """All that the answer depends on; an answer to another question is not shown."""
        s, operation = self._structure(), self.operation
        if self._session is None or s is None or operation is None:
            return None
        plane = self._view.planes[self._view.current_plane].plane
        axis = 0 if plane is None else plane.slice_axis
        slice_ = self._view.cross_index[axis]
        values, limits = tuple(self._values().items()), self._session.limits
        return operation.id, self._session.revision, s.id, values, limits, axis, slice_, self._hidden()

    def _hidden(self) -> frozenset[str]:
        shown = () if self._session is None else self._session.structures
        return frozenset(s.id for s in shown if not self._view.is_visible(s.id))

    def _ask_soon(self) -> None:
        if self.operation is not None and self._question() != self._asked:
            self._timer.start()

    def _preview(self) -> None:
        question, structure, operation = self._question(), self._structure(), self.operation
        if self._session is None or structure is None or operation is None or question is None:
            return
        if self.runner.running:
            if question != self._asked:
                self.runner.cancel()
                self._timer.start()
            return
        self._asked = question
        self._reveal()
        case = self._session.case
        others = {s.id: s.mask for s in self._session.structures if s.id != structure.id}
        plane = self._view.planes[self._view.current_plane].plane
        axis = 0 if plane is None else plane.slice_axis
        scene = Scene(case.volume, others, self._view.cross_index, axis, self._hidden())
        self._say(tr("{tip} Working…").format(tip=tr(operation.tip)))
        job = apply(operation, structure.mask, scene, self._values())
        self.runner.start(within(job, self._session.structures, structure.id, self._session.limits), harmless=True)

    def _on_made(self, mask: Mask) -> None:
        structure, operation = self._structure(), self.operation
        if self._session is None or structure is None or operation is None or self._asked != self._question():
            self._ask_soon()
            return
        self._made = (self._asked, mask)
        grid = self._session.structures.grid
        before, after = structure.mask.count * grid.voxel_ml, mask.count * grid.voxel_ml
        if mask.equals(structure.mask):  # most often a length below a voxel's
            voxel = " × ".join(f"{mm:.3g}" for mm in grid.spacing_mm)
            self._say(tr("Nothing would change. A voxel is {voxel} mm.").format(voxel=voxel), "warning")
        else:
            told = tr("{tip} {before:.2f} → {after:.2f} ml.")
            self._say(told.format(tip=tr(operation.tip), before=before, after=after))
        self._view.set_proposal(mask)
        self._reveal()
        if self._apply_when_ready:
            self._apply_when_ready = False
            self.apply()

    def _reveal(self) -> None:
        """Scroll to the buttons where a small screen has no room for the whole column."""
        area = self.parentWidget()
        while area is not None and not isinstance(area, QScrollArea):
            area = area.parentWidget()
        if area is not None:
            area.ensureWidgetVisible(self._buttons)

    def _on_failed(self, error: BaseException) -> None:
        wanted, self._apply_when_ready = self._apply_when_ready, False
        self._made = None
        self._view.set_proposal(None)
        self._say(str(error), "warning")
        if wanted:
            self.failed.emit(error)

    def _on_cancelled(self) -> None:
        self._asked = None
        self._ask_soon()

    # -- the form -------------------------------------------------------------------------------------------------

    def _on_chosen(self) -> None:
        operation = self.operation
        self._forget()
        while self._grid.count():
            item = self._grid.takeAt(0)
            if item is not None and item.widget() is not None:
                item.widget().deleteLater()
        self._inputs.clear()
        for widget in (self.text, self._fields, self._buttons):
            widget.setVisible(operation is not None)
        self.busy.emit(operation is not None)
        if operation is None:
            return
        self._say(tr(operation.tip))
        pairs = _COLUMNS if len(operation.fields) > 1 and all(f.kind != "structure" for f in operation.fields) else 1
        for i, field in enumerate(operation.fields):
            label = QLabel(tr(field.label))
            widget = self._input(field)
            label.setBuddy(widget)
            self._inputs[field.key] = widget
            row, column = i // pairs, i % pairs * 2
            self._grid.addWidget(label, row, column)
            self._grid.addWidget(widget, row, column + 1)
        self._fill_structures()
        self._timer.start()

    def _input(self, field: Field) -> QDoubleSpinBox | QComboBox:
        if field.kind == "structure":
            box = QComboBox()
            named(box, f"operation_{field.key}", tr(field.label))
            box.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            box.currentIndexChanged.connect(self._ask_soon)
            return box
        spin = QDoubleSpinBox()
        named(spin, f"operation_{field.key}", tr(field.label))
        spin.setDecimals(0 if field.kind == "value" else 2 if field.kind == "ml" else 1)
        spin.setRange(field.low, field.high)
        spin.setValue(field.default)
        spin.setSuffix(_UNITS[field.kind])
        spin.valueChanged.connect(self._ask_soon)
        return spin

    def _fill_structures(self) -> None:
        """List the other structures, keeping what was chosen."""
        box = self._inputs.get("other")
        if self._session is None or not isinstance(box, QComboBox):
            return
        chosen = box.currentData()
        with QSignalBlocker(box):
            box.clear()
            for s in self._session.structures:
                if s.id != self._active and not s.mask.is_empty:
                    box.addItem(s.name, s.id)
            box.setCurrentIndex(max(0, box.findData(chosen)))

    def _on_change(self, _: object) -> None:
        if self.operation is not None:
            self._fill_structures()
            self._ask_soon()

    def _forget(self) -> None:
        self._timer.stop()
        self.runner.cancel()
        self._made, self._asked, self._apply_when_ready = None, None, False
        self._view.set_proposal(None)

    def _say(self, text: str, role: str = "muted") -> None:
        self.text.setText(text)
        set_role(self.text, role)
