"""What tools have in common that work something out: a dashed proposal in the views, Enter applies it, Esc drops it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qtpy.QtCore import QObject, QRectF, Qt, QTimer, Signal
from qtpy.QtGui import QKeyEvent, QPen, QPolygonF

from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.limits import Limits, check_unlocked, within
from contourdesk.app.prompts import Prompt, changed_box
from contourdesk.app.review import Snapshot
from contourdesk.app.structures import Mask, Structure
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.tool import Position, Sketch, Spot, Tool

if TYPE_CHECKING:
    from contourdesk.widgets.view_editing import Editor

_QUIET_MS = 120  # after the last change of a number a new proposal is made


@dataclass(frozen=True, eq=False)
class Proposal:
    """What a tool would make of a structure, and what to tell of it beside its volume."""

    mask: Mask
    text: str = ""


class Voice(QObject):
    """What a tool tells its controls: text, role of the text, and whether something was drawn."""

    said = Signal(str, str, bool)


class ProposingTool(Tool):
    """A tool whose result is worked out by a job, shown dashed, and applied as one undo step.

    A tool of this kind says in `job` what to do with what was drawn. A proposal is given to the session only if the
    structure is still as it was when the job began; if it isn't, a new one is made.
    """

    word = ""  # for the undo step

    def __init__(self, editor: Editor) -> None:
        super().__init__(editor)
        self.runner = JobRunner(editor)
        self.runner.succeeded.connect(self._on_made)
        self.runner.failed.connect(self._on_failed)
        self.runner.cancelled.connect(self._on_cancelled)
        self._timer = QTimer(editor)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET_MS)
        self._timer.timeout.connect(self.ask)
        self._asked: tuple[str, Mask] | None = None  # structure and mask that the running job began with
        self._made: tuple[str, Mask, Mask] | None = None  # structure, its mask then, and the proposal
        self._again = self._apply_when_ready = False
        self.voice = Voice(editor)

    # -- for each tool --------------------------------------------------------------------------------------------

    def job(self, structure: Structure, state: Snapshot) -> Job[Proposal] | None:
        """The job that makes a proposal of what was drawn; None when nothing was drawn."""
        raise NotImplementedError

    @property
    def drawn(self) -> bool:
        """Whether something was drawn."""
        raise NotImplementedError

    def forget(self) -> None:
        """Forget all that was drawn."""
        raise NotImplementedError

    def take_back(self) -> None:
        """Forget the last thing that was drawn."""
        self.forget()

    # -- the proposal ---------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether something was drawn, or is being worked out."""
        return self.drawn or self.runner.running

    def ask_soon(self) -> None:
        """Make a new proposal shortly; called when a number changes."""
        if self.drawn:
            self._timer.start()

    def ask(self) -> None:
        """Make a new proposal of what was drawn now."""
        self._timer.stop()
        if self.runner.running:
            self._again = True
            self.runner.cancel()
            return
        structure, session = self.editor.structure(), self.editor.session
        job = None if structure is None or session is None else self.job(structure, session.snapshot())
        if job is None or structure is None or session is None:
            self._drop_proposal()
            return
        self._asked = (structure.id, structure.mask)
        self.say(tr("Working…"))
        self.runner.start(_limited(job, structure, session.snapshot(), session.limits), harmless=True)

    def apply(self) -> None:
        """Give the structure what is proposed; when that isn't made yet, as soon as it is."""
        if not self.drawn:
            return
        structure, made = self.editor.structure(), self._made
        if structure is None:
            self.cancel()
            return
        if made is None or made[0] != structure.id or made[1] is not structure.mask or self.runner.running:
            self._apply_when_ready = True
            if not self.runner.running:
                self.ask()
            return
        before, after = made[1], made[2]
        box = changed_box(before, after)
        self.cancel()
        if box is None:
            self.editor.say(tr("Nothing to change."))
            return
        offset = (box[0].start, box[1].start, box[2].start)
        self.editor.commit(structure.id, (offset, after.read(box)), self.word)

    def cancel(self) -> None:
        """Forget what was drawn and what is proposed."""
        self.forget()
        self._timer.stop()
        self._again = self._apply_when_ready = False
        self.runner.cancel()
        self._drop_proposal()

    def key(self, event: QKeyEvent) -> bool:
        """Apply with Enter, take back the last thing with Backspace."""
        if not self.drawn:
            return False
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self.apply()
        elif event.key() == Qt.Key.Key_Backspace:
            self.take_back()
            self.ask()
        else:
            return False
        return True

    def draw(self, sketch: Sketch) -> None:
        """Notice that the structure changed under the proposal: make it anew."""
        structure = self.editor.state.structure(self.editor.state.active)
        base = self._asked if self.runner.running else self._made
        if self.drawn and base is not None and structure is not None and base[1] is not structure.mask:
            self.ask_soon()

    def say(self, text: str, role: str = "muted") -> None:
        """Tell something in the tool's options."""
        self.voice.said.emit(text, role, self.drawn)

    def _drop_proposal(self) -> None:
        if self._made is not None:
            self.editor.propose(None)
        self._made = None
        self.editor.redraw()
        self.say("")

    def _on_made(self, proposal: Proposal) -> None:
        structure, asked = self.editor.state.structure(self.editor.state.active), self._asked
        if self._again or asked is None or structure is None or asked[0] != structure.id:
            self._on_cancelled()
            return
        if asked[1] is not structure.mask:
            self.ask()
            return
        self._made = (structure.id, structure.mask, proposal.mask)
        self.editor.propose(proposal.mask)
        self.say(proposal.text)
        if self._apply_when_ready:
            self._apply_when_ready = False
            self.apply()

    def _on_failed(self, error: BaseException) -> None:
        if self._again:
            self._on_cancelled()
            return
        self._apply_when_ready = False
        self._drop_proposal()
        self.say(
            str(error) if isinstance(error, UserError) else tr("That didn't work: {error}").format(error=error),
            "warning",
        )

    def _on_cancelled(self) -> None:
        again, self._again = self._again, False
        if again and self.drawn:
            self.ask()
        else:
            self._drop_proposal()


def on_slice(at: Spot) -> Position:
    """The place of the mouse, exactly on the slice shown."""
    index = list(at.index)
    index[at.plane.slice_axis] = float(at.slice)
    return index[0], index[1], index[2]


def draw_area(sketch: Sketch, prompt: Prompt, pens: Sequence[QPen]) -> None:
    """A box, lasso or scribble, once with each pen."""
    plane, painter = sketch.plane, sketch.painter
    at = [sketch.point((p[plane.vertical_axis], p[plane.horizontal_axis])) for p in prompt.points]
    for pen in pens:
        painter.setPen(pen)
        if prompt.kind == "box" and len(at) == 2:
            painter.drawRect(QRectF(at[0], at[1]).normalized())
        elif prompt.kind == "lasso":
            painter.drawPolygon(QPolygonF(at))
        elif prompt.kind == "scribble" and len(at) > 1:
            painter.drawPolyline(QPolygonF(at))


def _limited(job: Job[Proposal], structure: Structure, state: Snapshot, limits: Limits) -> Job[Proposal]:
    """Job: the proposal as the session would take it, with what the limits forbid left as it is."""
    check_unlocked(structure)
    proposal = yield from job
    mask = yield from within(_given(proposal.mask), state.structures, structure.id, limits)
    ml = state.structures.grid.voxel_ml
    text = f"{structure.mask.count * ml:.2f} → {mask.count * ml:.2f} ml. {proposal.text}"
    return Proposal(mask, text.strip())


def _given(mask: Mask) -> Job[Mask]:
    yield Progress(0, 0)
    return mask
