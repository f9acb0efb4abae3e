"""What a tool of the views is: a name, a button, and what it makes of the mouse.

A tool lives in a file of its own (``tools_*.py``) and stands in the one tuple `tools.TOOLS`, from which buttons,
commands and shortcuts are made. It gets the left button in in-plane coordinates, draws its own sketch over the image,
and gives its result to the session through its `Editor`.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot
from typing import TYPE_CHECKING

from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QColor, QKeyEvent, QPainter, QTransform
from qtpy.QtWidgets import QWidget

from contourdesk.app.geometry import ViewPlane

if TYPE_CHECKING:
    from contourdesk.widgets.view_editing import Editor

Position = tuple[float, float, float]


@dataclass(frozen=True)
class Spot:
    """Where the mouse is, on which plane, and the keys held with it.

    Parameters
    ----------
    plane : the plane that the mouse is in.
    index : voxel index (z, y, x), fractions allowed; its slice is the one shown.
    pixels : screen pixels per step of the index, down and across the screen.
    """

    plane: ViewPlane
    index: Position
    pixels: tuple[float, float]
    shift: bool = False
    ctrl: bool = False
    alt: bool = False

    @property
    def slice(self) -> int:
        """Number of the slice shown."""
        return round(self.index[self.plane.slice_axis])

    @property
    def flat(self) -> tuple[float, float]:
        """In-plane index (vertical, horizontal)."""
        return self.index[self.plane.vertical_axis], self.index[self.plane.horizontal_axis]

    @property
    def voxel(self) -> tuple[int, int, int]:
        """The voxel under the mouse; may lie outside the grid."""
        z, y, x = (round(i) for i in self.index)
        return z, y, x

    @property
    def takes_away(self) -> bool:
        """Whether a key is held that turns adding into taking away."""
        return self.shift or self.ctrl or self.alt

    def distance_px(self, flat: tuple[float, float]) -> float:
        """Screen pixels to an in-plane index (vertical, horizontal)."""
        return hypot((flat[0] - self.flat[0]) * self.pixels[0], (flat[1] - self.flat[1]) * self.pixels[1])


@dataclass(frozen=True, eq=False)
class Sketch:
    """What a tool draws with, on one plane.

    Parameters
    ----------
    painter : in screen pixels, antialiased.
    to_screen : from in-plane indices, x horizontal and y vertical, to screen pixels.
    slice : number of the slice shown.
    cursor : screen position of the mouse, None when it is elsewhere.
    colour : of the structure in hand, or the one that says "takes away".
    """

    painter: QPainter
    to_screen: QTransform
    plane: ViewPlane
    slice: int
    cursor: QPointF | None
    colour: QColor

    def point(self, flat: tuple[float, float]) -> QPointF:
        """Screen position of an in-plane index (vertical, horizontal)."""
        return self.to_screen.map(QPointF(flat[1], flat[0]))


class Tool:
    """A tool of the left button; one object for all planes. What a tool doesn't do stays as here: nothing.

    Class attributes: `id`; `text` on the button; `icon` in ``resources/icons``; `shortcut`, a portable key name; `tip`,
    what it does in a few words; `hint`, how it is used; `cursor` over the images; `brush`, whether the brush's size and
    ring belong to it, and `ball`, whether it may be one; `erases`, whether it takes away without a key; `edits`,
    whether it changes the structure (measuring tools don't).
    """

    id = ""
    text = ""
    icon = ""
    shortcut = ""
    tip = ""
    hint = ""
    cursor = Qt.CursorShape.CrossCursor
    brush = False
    ball = True
    erases = False
    edits = True

    def __init__(self, editor: Editor) -> None:
        self.editor = editor

    @property
    def ring_mm(self) -> float | None:
        """Diameter of the ring round the mouse while it is another than the brush's."""
        return None

    @property
    def busy(self) -> bool:
        """Whether something is being drawn that Esc would give up."""
        return False

    def options(self) -> QWidget | None:
        """The tool's own controls, made once and shown in the Edit panel while the tool is in hand."""
        return None

    def begin(self) -> None:
        """Called when the tool is taken in hand."""

    def press(self, at: Spot) -> None:
        """The left button went down."""

    def move(self, at: Spot) -> None:
        """The mouse moved with the left button down."""

    def release(self, at: Spot) -> None:
        """The left button came up."""

    def hover(self, at: Spot) -> None:
        """The mouse moved with no button down."""

    def double_click(self, at: Spot) -> None:
        """The left button went down a second time; without a meaning of its own it is a press like the first."""
        self.press(at)

    def right_click(self, at: Spot) -> bool:
        """The right button was clicked, not dragged. Return whether it meant something."""
        return False

    def key(self, event: QKeyEvent) -> bool:
        """A key was pressed that no command of the window has. Return whether it meant something."""
        return False

    def cancel(self) -> None:
        """Give up what is being drawn: Esc, or another tool, structure or case is chosen, or the bits changed."""

    def draw(self, sketch: Sketch) -> None:
        """Draw over one plane's image; called for each plane whenever it is painted, so nothing slow here."""
