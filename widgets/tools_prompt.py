"""Prompts: points, scribbles, boxes and lassos say what belongs to the structure; a proposal follows them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QColor, QPen
from qtpy.QtWidgets import QComboBox, QSizePolicy, QWidget

from contourdesk.app.confidence import Confidence
from contourdesk.app.jobs import Job
from contourdesk.app.prompts import REACH_FACTOR, REACH_MM, Kind, Prompt, footprint, refine
from contourdesk.app.review import Snapshot
from contourdesk.app.seeds import grow_from_seeds
from contourdesk.app.structures import Mask, Structure
from contourdesk.widgets.language import tr
from contourdesk.widgets.prompt_model import ModelButton, PromptModel
from contourdesk.widgets.theme import named
from contourdesk.widgets.tool import Sketch, Spot
from contourdesk.widgets.tool_options import ToolOptions, choice_row, number
from contourdesk.widgets.tool_proposing import Proposal, ProposingTool, draw_area, on_slice

if TYPE_CHECKING:
    from contourdesk.widgets.view_editing import Editor

_IN, _OUT = QColor(120, 230, 140), QColor(255, 120, 110)
_SHADOW = QColor(0, 0, 0, 190)
_LEAST_PX = 3.0  # a line's points lie no nearer
_KINDS = (
    ("point", "Point", "Click on what belongs to the structure"),
    ("scribble", "Scribble", "Draw a line through it"),
    ("box", "Box", "Drag a box round it on this slice"),
    ("lasso", "Lasso", "Draw round it on this slice"),
)
_METHODS = (
    ("edges", "Follow the edges nearby", "Random walker on the image, the mask and the model's probabilities"),
    (
        "seeds",
        "Grow from seeds",
        "The structure and the prompts compete with the visible structures for what lies between",
    ),
    ("nninteractive", "nnInteractive", "The same marks go to an nnInteractive checkpoint that you give"),
)


class PromptTool(ProposingTool):
    """Collects prompts and shows what they make of the structure."""

    id = "prompt"
    text = "Prompt"
    icon = "tool-prompt"
    shortcut = "P"
    tip = "Refine with points, scribbles, boxes or a lasso"
    hint = (
        "Mark what belongs to the structure; with Shift, or the right button for a point, what doesn't. "
        "Enter applies the dashed outline, Backspace takes back the last mark, Esc drops all."
    )
    word = "prompts"

    def __init__(self, editor: Editor) -> None:
        super().__init__(editor)
        self.prompts: tuple[Prompt, ...] = ()
        self._kind: Kind = "point"
        self._drawing: Prompt | None = None
        self._method, self._reach_mm = "edges", REACH_MM
        self.model = PromptModel(editor)
        self.model.chosen.connect(lambda _: self.ask_soon())

    # -- what is drawn --------------------------------------------------------------------------------------------

    @property
    def drawn(self) -> bool:
        """Whether there are prompts, or one is being drawn."""
        return bool(self.prompts) or self._drawing is not None

    def forget(self) -> None:
        """Forget all prompts."""
        self.prompts, self._drawing = (), None

    def take_back(self) -> None:
        """Forget the last prompt."""
        self.prompts = self.prompts[:-1]
        self.editor.redraw()

    def press(self, at: Spot) -> None:
        """Set a point, or begin another prompt."""
        if self.editor.structure() is None:
            return
        self._drawing = Prompt(self._kind, not at.takes_away, at.plane.slice_axis, (on_slice(at),))
        if self._kind == "point":
            self.release(at)

    def move(self, at: Spot) -> None:
        """Go on with a scribble, box or lasso."""
        drawing = self._drawing
        if drawing is None or at.plane.slice_axis != drawing.slice_axis:
            return
        place = on_slice(at)
        if drawing.kind == "box":
            self._drawing = replace(drawing, points=(drawing.points[0], place))
        elif at.distance_px(_flat(drawing.points[-1], at)) >= _LEAST_PX:
            self._drawing = replace(drawing, points=(*drawing.points, place))
        self.editor.redraw()

    def release(self, at: Spot) -> None:
        """The prompt is whole: make a proposal."""
        drawing, self._drawing = self._drawing, None
        if drawing is None:
            return
        if drawing.kind != "point" and len(drawing.points) < {"box": 2, "lasso": 3}.get(drawing.kind, 1):
            self.editor.redraw()
            return
        self.prompts = (*self.prompts, drawing)
        self.ask()
        self.editor.redraw()

    def right_click(self, at: Spot) -> bool:
        """Set a point outside, whatever kind of prompt is in hand."""
        if self.editor.structure() is None:
            return True
        self.prompts = (*self.prompts, Prompt("point", False, at.plane.slice_axis, (on_slice(at),)))
        self.ask()
        return True

    # -- the proposal ---------------------------------------------------------------------------------------------

    def job(self, structure: Structure, state: Snapshot) -> Job[Proposal] | None:
        """Refine the structure by the prompts, or grow it from seeds."""
        if not self.prompts:
            return None
        reach = self._reach_mm
        if self._method == "nninteractive":
            return _followed(structure, state, self.prompts, self.model)
        if self._method == "seeds":
            shown = [s.mask for s in state.structures if s.id != structure.id and s.id not in self.editor.state.hidden]
            return _grown(structure, state, self.prompts, shown, reach)
        session = self.editor.session
        confidence = None if session is None else session.confidence(structure.id)  # hidden ones have none
        return _refined(structure, state, self.prompts, reach, confidence)

    # -- options --------------------------------------------------------------------------------------------------

    def options(self) -> QWidget:
        """Kind of prompt, method and reach."""
        method = QComboBox()
        named(method, "prompt_method", tr("Method"), tr("How the prompts are followed"))
        method.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        for key, text, tip in _METHODS:
            method.addItem(tr(text), key)
            method.setItemData(method.count() - 1, tr(tip), Qt.ItemDataRole.ToolTipRole)
        method.setCurrentIndex(method.findData(self._method))
        method.currentIndexChanged.connect(lambda _: self._set_method(method.currentData()))
        what = tr("How far a mark acts; nothing further than {times:g} times this from the marks changes").format(
            times=REACH_FACTOR
        )
        reach = number("prompt_reach", what, self._reach_mm, (3, 60), self._set_reach)
        kinds = choice_row("prompt_kind", tr("Kind of mark"), _KINDS, self._kind, self._set_kind)
        model = ModelButton(self.model)
        panel = ToolOptions(self, [kinds, (tr("Method"), method), model, (tr("Reach"), reach)])

        def show_rows() -> None:
            model.setVisible(method.currentData() == "nninteractive")
            reach.setEnabled(method.currentData() != "nninteractive")

        method.currentIndexChanged.connect(lambda _: show_rows())
        show_rows()
        return panel

    def _set_kind(self, kind: str) -> None:
        self._kind = kind  # type: ignore[assignment]

    def _set_method(self, method: str) -> None:
        self._method = method
        self.ask_soon()

    def _set_reach(self, mm: float) -> None:
        self._reach_mm = mm
        self.ask_soon()

    # -- the picture ----------------------------------------------------------------------------------------------

    def draw(self, sketch: Sketch) -> None:
        """The prompts on this slice: green with a plus, red with a minus."""
        super().draw(sketch)
        for prompt in (*self.prompts, *([self._drawing] if self._drawing is not None else [])):
            if prompt.slice_axis == sketch.plane.slice_axis and prompt.slice_index == sketch.slice:
                self._draw_prompt(sketch, prompt)

    def _draw_prompt(self, sketch: Sketch, prompt: Prompt) -> None:
        colour = _IN if prompt.inside else _OUT
        style = Qt.PenStyle.SolidLine if prompt.inside else Qt.PenStyle.DashLine
        draw_area(sketch, prompt, (QPen(_SHADOW, 3.6), QPen(colour, 1.8, style)))
        first = prompt.points[0]
        at = sketch.point((first[sketch.plane.vertical_axis], first[sketch.plane.horizontal_axis]))
        _draw_sign(sketch, at, prompt.inside, colour)


def _draw_sign(sketch: Sketch, at: QPointF, inside: bool, colour: QColor) -> None:
    """A disc with a plus or a minus: told apart without its colour."""
    painter = sketch.painter
    painter.setPen(QPen(_SHADOW, 1))
    painter.setBrush(colour)
    painter.drawEllipse(at, 6.0, 6.0)
    painter.setBrush(Qt.BrushStyle.NoBrush)
    painter.setPen(QPen(QColor(0, 0, 0), 1.8))
    painter.drawLine(at + QPointF(-3, 0), at + QPointF(3, 0))
    if inside:
        painter.drawLine(at + QPointF(0, -3), at + QPointF(0, 3))


def _flat(point: tuple[float, float, float], at: Spot) -> tuple[float, float]:
    return point[at.plane.vertical_axis], point[at.plane.horizontal_axis]


def _refined(
    structure: Structure, state: Snapshot, prompts: tuple[Prompt, ...], reach_mm: float, confidence: Confidence | None
) -> Job[Proposal]:
    likely = None if confidence is None else lambda box: confidence.read(box).astype(np.float32) / 255
    mask = yield from refine(structure.mask, state.case.volume, prompts, reach_mm=reach_mm, probability=likely)
    return Proposal(mask)


def _followed(structure: Structure, state: Snapshot, prompts: tuple[Prompt, ...], model: PromptModel) -> Job[Proposal]:
    mask = yield from model.refine(structure.mask, state.case.volume, prompts)
    return Proposal(mask)


def _grown(
    structure: Structure, state: Snapshot, prompts: tuple[Prompt, ...], shown: list[Mask], reach_mm: float
) -> Job[Proposal]:
    volume = state.case.volume
    inside, outside = structure.mask, Mask()
    for prompt in prompts:
        offset, bits = footprint(prompt, volume.grid)
        box = Mask(offset, bits).box
        more, less = (inside, outside) if prompt.inside else (outside, inside)
        more, less = more.write(offset, more.read(box) | bits), less.write(offset, less.read(box) & ~bits)
        inside, outside = (more, less) if prompt.inside else (less, more)
    mask = yield from grow_from_seeds(inside, [*shown, outside], volume, reach_mm=reach_mm)
    return Proposal(mask)
