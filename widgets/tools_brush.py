"""Brush, smart brush and eraser: strokes in mm, a disc on the slice or a ball.

A stroke is shown while it is drawn and reaches the session once, when the button is let go; so one undo takes back
one stroke.
"""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QPen
from qtpy.QtWidgets import QCheckBox, QDoubleSpinBox, QGridLayout, QLabel, QStackedWidget, QWidget

from contourdesk.app.draft import Draft
from contourdesk.app.errors import UserError
from contourdesk.app.footprints import Patch, stroke
from contourdesk.app.smart_brush import Window, smart_stroke, window_at
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import em, named
from contourdesk.widgets.tool import Position, Sketch, Spot, Tool


class Paint(Tool):
    """Adds with the brush."""

    id = "paint"
    text = "Paint"
    icon = "tool-paint"
    shortcut = "B"
    tip = "Add to the structure with the brush"
    hint = "Drag to add. Hold Shift to erase."
    cursor = Qt.CursorShape.BlankCursor
    brush = True
    _draft: Draft | None = None
    _structure_id = ""
    _axis: int | None = None
    _erasing = False
    _last: Position = (0.0, 0.0, 0.0)

    @property
    def busy(self) -> bool:
        """Whether a stroke is being drawn."""
        return self._draft is not None

    def press(self, at: Spot) -> None:
        """Begin a stroke."""
        structure, session = self.editor.structure(), self.editor.session
        if structure is None or session is None or not self._ready(at):
            return
        self._axis = None if self.editor.state.brush_3d else at.plane.slice_axis
        self._erasing = at.takes_away != self.erases
        self._draft = Draft(session.structures, structure.id, session.limits)
        self._structure_id, self._last = structure.id, at.index
        self.move(at)

    def move(self, at: Spot) -> None:
        """Sweep the brush from the last place to this one."""
        if self._draft is None:
            return
        try:
            self._draft.stamp(self._covered([self._last, at.index]), erase=self._erasing)
        except UserError as problem:
            self.cancel()
            self.editor.say(str(problem))
            return
        self._last = at.index
        self.editor.preview(self._structure_id, self._draft.mask)

    def release(self, at: Spot) -> None:
        """Give the stroke to the session."""
        draft = self._draft
        if draft is None:
            return
        self.cancel()
        self.editor.commit(self._structure_id, draft.patch, "erase" if self._erasing else self.id)

    def cancel(self) -> None:
        """Forget the stroke."""
        self._draft = None
        self.editor.end_preview()

    def _ready(self, at: Spot) -> bool:
        """Whether a stroke can begin here."""
        return True

    def _covered(self, points: Sequence[Position]) -> Patch:
        """What the brush covers on its way."""
        session = self.editor.session
        assert session is not None  # a stroke ends with its session
        return stroke(session.structures.grid, points, self.editor.state.brush_mm / 2, self._axis)


class SmartPaint(Paint):
    """Adds, of what the brush covers, what has a value like its middle and hangs together with it."""

    id = "smart"
    text = "Smart"
    icon = "tool-smart"
    shortcut = "S"
    tip = "Brush that keeps to values like the one under it"
    hint = (
        "Press on tissue and drag: only voxels with values near those under the press, that hang together with the "
        "brush's middle, are added. Hold Shift to take such voxels away."
    )
    by_hand = False
    tolerance = 40.0
    hand = Window(0.0, 100.0)
    _window: Window | None = None

    def options(self) -> QWidget:
        """How far values may lie from the one pressed on, or a range by hand."""
        box = QWidget()
        grid = QGridLayout(box)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(em(box, 0.5))
        grid.setColumnStretch(1, 1)
        by_hand = QCheckBox(tr("Range by hand"))
        named(by_hand, "smart_by_hand", tr("Range of values by hand"), tr("Set the range here, not by where you press"))
        near = _number("smart_tolerance", tr("How far values may lie from the one pressed on"), self.tolerance, 0, " ±")
        near.valueChanged.connect(lambda value: setattr(self, "tolerance", value))
        self._low = _number("smart_low", tr("Lowest value that is added"), self.hand.low)
        self._high = _number("smart_high", tr("Highest value that is added"), self.hand.high)
        ends = QWidget()
        pair = QGridLayout(ends)
        pair.setContentsMargins(0, 0, 0, 0)
        for n, spin in enumerate((self._low, self._high)):
            pair.addWidget(spin, 0, n)
            spin.valueChanged.connect(self._on_range)
        stack = QStackedWidget()
        stack.addWidget(near)
        stack.addWidget(ends)
        by_hand.toggled.connect(stack.setCurrentIndex)
        by_hand.toggled.connect(self._on_by_hand)
        grid.addWidget(QLabel(tr("Values")), 0, 0)
        grid.addWidget(stack, 0, 1)
        grid.addWidget(by_hand, 1, 0, 1, 2)
        return box

    def _on_by_hand(self, by_hand: bool) -> None:
        self.by_hand = by_hand
        if by_hand and self._window is not None:  # a range by hand begins with the last one
            for spin, value in ((self._low, self._window.low), (self._high, self._window.high)):
                spin.setValue(value)
        self.editor.redraw()

    def _on_range(self) -> None:
        low, high = sorted((self._low.value(), self._high.value()))
        self.hand = Window(low, high)
        self.editor.redraw()

    def _ready(self, at: Spot) -> bool:
        session = self.editor.session
        assert session is not None  # press has looked
        here = window_at(session.case.volume, at.index, at.plane.slice_axis, self.tolerance)
        self._window = self.hand if self.by_hand else here
        return self._window is not None

    def _covered(self, points: Sequence[Position]) -> Patch:
        session = self.editor.session
        assert session is not None and self._window is not None  # press has looked
        radius = self.editor.state.brush_mm / 2
        return smart_stroke(session.case.volume, points, radius, self._axis, self._window)

    def draw(self, sketch: Sketch) -> None:
        """The range in force, beside the ring."""
        window = self.hand if self.by_hand else self._window
        if sketch.cursor is None or window is None or not (self.busy or self.by_hand):
            return
        at = sketch.cursor + QPointF(14, -14)
        for pen, shift in ((QPen(Qt.GlobalColor.black), 1), (QPen(sketch.colour), 0)):
            sketch.painter.setPen(pen)
            sketch.painter.drawText(at + QPointF(shift, shift), f"{window.low:.0f} to {window.high:.0f}")


class Erase(Paint):
    """Takes away with the brush."""

    id = "erase"
    text = "Erase"
    icon = "tool-erase"
    shortcut = "E"
    tip = "Take away with the brush"
    hint = "Drag to take away. Hold Shift to add."
    erases = True


def _number(name: str, what: str, value: float, low: float = -40000, unit: str = "") -> QDoubleSpinBox:
    spin = QDoubleSpinBox()
    named(spin, name, what, what)
    spin.setDecimals(0)
    spin.setRange(low, 40000)
    spin.setValue(value)
    spin.setSuffix(unit)
    return spin
