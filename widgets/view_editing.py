"""From the mouse to the session: gives the events to the tool in hand, and the tool's result to the session."""

from __future__ import annotations

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtGui import QKeyEvent

from contourdesk.app.errors import UserError
from contourdesk.app.footprints import Patch
from contourdesk.app.review import ReviewSession
from contourdesk.app.structures import Mask, Structure
from contourdesk.widgets.language import tr
from contourdesk.widgets.tool import Spot, Tool
from contourdesk.widgets.tools import TOOLS
from contourdesk.widgets.tools_measure import MEASURING
from contourdesk.widgets.view_state import ViewState


class Editor(QObject):
    """The tool in hand, and what tools work with: the structure to change, previews, the way into the session.

    Attributes
    ----------
    state : what the views share; tools read it.
    tools : all tools by their id.
    """

    changed = Signal()  # something to draw again
    error = Signal(str)
    cross_wanted = Signal(object)  # voxel index (z, y, x)
    maximise_wanted = Signal(str)  # name of a plane

    def __init__(self, state: ViewState, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.state = state
        self.tools: dict[str, Tool] = {kind.id: kind(self) for kind in (*TOOLS, *MEASURING)}
        state.tool = self.tools["navigate"]

    # -- for the view ---------------------------------------------------------------------------------------------

    def take(self, name: str) -> Tool:
        """Take a tool in hand; what was being drawn with the last one is given up. Raises ValueError."""
        if name not in self.tools:
            raise ValueError(f"tool must be one of {tuple(self.tools)}, got {name!r}")
        self.cancel()
        self.state.tool = self.tools[name]
        self.state.tool.begin()
        self.redraw()
        return self.state.tool

    @property
    def busy(self) -> bool:
        """Whether something is being drawn."""
        return self.state.tool.busy

    def press(self, at: Spot) -> None:
        """The left button went down."""
        self.state.tool.press(at)

    def drag(self, at: Spot) -> None:
        """The mouse moved with the left button down."""
        self.state.tool.move(at)

    def release(self, at: Spot) -> None:
        """The left button came up."""
        self.state.tool.release(at)

    def hover(self, at: Spot) -> None:
        """The mouse moved with no button down."""
        self.state.tool.hover(at)

    def double_click(self, at: Spot) -> None:
        """The left button went down a second time."""
        self.state.tool.double_click(at)

    def right_click(self, at: Spot) -> None:
        """The right button was clicked."""
        self.state.tool.right_click(at)

    def key(self, event: QKeyEvent) -> bool:
        """Give a key to the tool; Esc gives up what it draws. Return whether it meant something."""
        if self.state.tool.key(event):
            return True
        if event.key() == Qt.Key.Key_Escape and self.busy:
            self.cancel()
            return True
        return False

    def cancel(self) -> None:
        """Forget what is being drawn."""
        self.state.tool.cancel()

    # -- for tools ------------------------------------------------------------------------------------------------

    @property
    def session(self) -> ReviewSession | None:
        """The session that is shown."""
        return self.state.session

    def structure(self) -> Structure | None:
        """The structure that tools change; None, and the user is told why, when there is none to change."""
        if self.state.session is None:
            return None
        structure = self.state.structure(self.state.active)
        if structure is None:
            self.say(tr("No structure is chosen. Choose one in the table, or add one, then draw."))
        elif structure.id in self.state.hidden:
            self.say(tr("{name} is hidden. Show it before you change it.").format(name=structure.name))
            return None
        elif structure.locked:
            self.say(tr("{name} is locked. Unlock it in the list before you change it.").format(name=structure.name))
            return None
        return structure

    def commit(self, structure_id: str, patch: Patch | None, word: str) -> None:
        """Give a box of new bits to the session, as one undo step; None changes nothing. `word` names the tool."""
        session = self.state.session
        if session is None or patch is None or patch[1].size == 0:
            return
        try:
            session.paint(structure_id, patch[0], patch[1], word)
        except UserError as problem:
            self.say(str(problem))

    def preview(self, structure_id: str, mask: Mask) -> None:
        """Show a mask in place of the structure's own while it is being changed."""
        self.state.preview = (structure_id, mask)
        self.redraw()

    def end_preview(self) -> None:
        """Show the structure's own mask again."""
        self.state.preview = None
        self.redraw()

    def propose(self, mask: Mask | None) -> None:
        """Show a mask dashed over all structures, or none."""
        self.state.proposal = mask
        self.redraw()

    def redraw(self) -> None:
        """Have the planes painted again."""
        self.changed.emit()

    def say(self, text: str) -> None:
        """Tell the user something that went wrong, in the status bar."""
        self.error.emit(text)
