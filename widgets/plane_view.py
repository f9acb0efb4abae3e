"""One plane: the image, what lies over it, and the mouse."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, QPointF, Qt, Signal
from qtpy.QtGui import QMouseEvent, QNativeGestureEvent, QPointingDevice, QTabletEvent, QWheelEvent
from qtpy.QtWidgets import QToolButton, QVBoxLayout, QWidget

from contourdesk.app.geometry import Grid, ViewPlane
from contourdesk.app.volume import Volume
from contourdesk.widgets.language import tr
from contourdesk.widgets.layers import ImageCanvas
from contourdesk.widgets.tool import Spot
from contourdesk.widgets.view_overlay import Overlay
from contourdesk.widgets.view_state import ViewState

_NOTCH = 120  # one step of a mouse wheel in Qt's unit
_PAD_PX = 45  # two fingers on a touch pad go so far for one slice
_ZOOM_STEP = 1.15
_CLICK_PX = 4  # so far the right button may move and still be a click
_WINDOW_PER_PX = 0.004  # of the width, for each pixel of a right-drag
# It lies on the image, so it looks the same whatever the theme.
BUTTON_STYLE = """
QToolButton { background: rgba(0, 0, 0, 90); color: #c8ced6; border: none; border-radius: 4px; padding: 0; }
QToolButton:hover { background: rgba(90, 100, 112, 160); color: #ffffff; }
"""

_Buttons = Qt.MouseButton
_Keys = Qt.KeyboardModifier


class PlaneView(QWidget):
    """Shows one plane and turns the mouse into signals.

    Wheel: slices; Ctrl+wheel: zoom; Shift+wheel: brush size; middle drag, or Shift+drag while navigating: pan; right
    drag: window; Ctrl+move: crosshair. The left button and the right click belong to the tool.

    `hovered` and `cross_wanted` give fractional voxel indices as float tuples (z, y, x), those for the tool a `Spot`.
    """

    hovered = Signal(object)  # index under the mouse, None when it left
    cross_wanted = Signal(object)
    stepped = Signal(int)
    brush_stepped = Signal(int)
    window_dragged = Signal(float, float)  # change of centre and width
    maximise_wanted = Signal()
    pressed = Signal(object)
    dragged = Signal(object)
    released = Signal(object)
    moved = Signal(object)  # with no button down
    double_clicked = Signal(object)
    right_clicked = Signal(object)

    def __init__(self, name: str, state: ViewState, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.name = name
        self.setObjectName(f"{name}View")
        self.canvas = ImageCanvas(self)
        self.overlay = Overlay(self.canvas, state)
        self._state = state
        self._grid: Grid | None = None
        self._plane: ViewPlane | None = None
        self._drag: str | None = None  # "pan", "right" (a click until it moves), "window" or "tool"
        self._held = _Buttons.NoButton  # the button that began the drag
        self._last = QPointF()
        self._wheel = 0.0
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.canvas)
        self.setMinimumSize(160, 140)
        self._button = QToolButton(self.canvas.native)
        self._button.setObjectName(f"{name}Maximise")
        self._button.setText("⤢")
        self._button.setCursor(Qt.CursorShape.ArrowCursor)
        self._button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._button.setAccessibleName(tr("Show the {name} view alone, or all views again").format(name=name))
        self._button.setToolTip(tr("Show this plane alone, or all views again (double click)"))
        self._button.setFixedSize(26, 26)
        self._button.setStyleSheet(BUTTON_STYLE)
        self._button.clicked.connect(self.maximise_wanted)
        self.canvas.native.installEventFilter(self)

    @property
    def native(self) -> QWidget:
        """The widget that gets the mouse."""
        return self.canvas.native

    @property
    def plane(self) -> ViewPlane | None:
        """How this view shows the array, None without a case."""
        return self._plane

    def show_volume(self, volume: Volume | None) -> None:
        """Show an image from its middle, or nothing."""
        self._grid = None if volume is None else volume.grid
        self._plane = None if volume is None else volume.grid.view(self.name)
        self._drag = None
        self.canvas.show_volume(volume, self._plane)
        self.overlay.show_plane(self._plane)

    def prepare_volume(self, volume: Volume) -> None:
        """Bring to the graphics card what `show_volume` is going to show; the overlay stays as it is."""
        self.canvas.show_volume(volume, volume.grid.view(self.name))

    def refresh(self) -> None:
        """Follow the shared state: slice and overlay."""
        if self._plane is not None:
            self.canvas.show_slice(self._state.cross[self._plane.slice_axis])
        self.overlay.update()

    def index_at(self, at: QPointF) -> tuple[float, float, float]:
        """Fractional voxel index (z, y, x) under a position on the native widget."""
        plane = self._plane
        if plane is None:
            raise ValueError("no image is shown")
        back, _ = self.canvas.to_screen().inverted()
        point = back.map(at)
        index = [float(n) for n in self._state.cross]
        index[plane.vertical_axis], index[plane.horizontal_axis] = point.y(), point.x()
        return index[0], index[1], index[2]

    def position_of(self, index_zyx: tuple[float, float, float]) -> QPointF:
        """Where on the native widget a voxel is shown."""
        plane = self._plane
        if plane is None:
            raise ValueError("no image is shown")
        return self.canvas.to_screen().map(QPointF(index_zyx[plane.horizontal_axis], index_zyx[plane.vertical_axis]))

    def close_view(self) -> None:
        """Free the canvas."""
        self.canvas.native.removeEventFilter(self)
        self.overlay.show_plane(None)
        self.canvas.close_canvas()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take the mouse from napari; all else goes its way."""
        kind = event.type()
        if kind == QEvent.Type.Resize:
            self.overlay.resize(self.canvas.native.size())
            self._button.move(self.canvas.native.width() - self._button.width() - 6, 6)
            self.canvas.refit()
            return False
        if kind == QEvent.Type.Leave:
            self.overlay.cursor_at = None
            self.overlay.update()
            self.hovered.emit(None)
            return False
        handler = {
            QEvent.Type.MouseButtonPress: self._on_press,
            QEvent.Type.MouseMove: self._on_move,
            QEvent.Type.MouseButtonRelease: self._on_release,
            QEvent.Type.MouseButtonDblClick: self._on_double_click,
            QEvent.Type.TabletPress: self._on_press,
            QEvent.Type.TabletMove: self._on_move,
            QEvent.Type.TabletRelease: self._on_release,
            QEvent.Type.Wheel: self._on_wheel,
            QEvent.Type.NativeGesture: self._on_gesture,
        }.get(kind)
        if handler is None:
            return False
        if self._plane is not None:
            handler(event)  # type: ignore[arg-type]
        event.accept()
        return True

    def _spot(self, event: QMouseEvent | QTabletEvent) -> Spot:
        assert self._plane is not None  # events come only while an image is shown
        keys, to_screen = event.modifiers(), self.canvas.to_screen()
        return Spot(
            self._plane,
            self.index_at(event.position()),
            (abs(to_screen.m22()), abs(to_screen.m11())),
            shift=bool(keys & _Keys.ShiftModifier),
            ctrl=bool(keys & _Keys.ControlModifier),
            alt=bool(keys & _Keys.AltModifier) or _is_eraser(event),
        )

    def _on_press(self, event: QMouseEvent | QTabletEvent) -> None:
        if self._drag is not None and event.button() != self._held:
            return  # a second button during a drag changes nothing
        self._last, self._held = event.position(), event.button()
        button, shift = event.button(), event.modifiers() & _Keys.ShiftModifier
        if button == _Buttons.MiddleButton or (button == _Buttons.LeftButton and shift and not self._state.tool.edits):
            self._drag = "pan"
        elif button == _Buttons.RightButton:
            self._drag = "right"
        elif button == _Buttons.LeftButton:
            self._drag = "tool"
            self.pressed.emit(self._spot(event))

    def _on_move(self, event: QMouseEvent | QTabletEvent) -> None:
        at, spot = event.position(), self._spot(event)
        step = at - self._last
        if self._drag == "right" and abs(step.x()) + abs(step.y()) >= _CLICK_PX:
            self._drag = "window"
        if self._drag != "right":
            self._last = at
        self.overlay.cursor_at = at
        self.overlay.erasing = spot.takes_away
        if self._drag == "pan":
            self.canvas.pan(step.x(), step.y())
        elif self._drag == "window":
            per_px = max(1.0, self._state.window[1]) * _WINDOW_PER_PX
            self.window_dragged.emit(step.y() * per_px, step.x() * per_px)
        elif self._drag == "tool":
            self.dragged.emit(spot)
        elif self._drag is None:
            if spot.ctrl:
                self.cross_wanted.emit(spot.index)
            self.moved.emit(spot)
        self.hovered.emit(spot.index)
        self.overlay.update()

    def _on_release(self, event: QMouseEvent | QTabletEvent) -> None:
        drag = self._drag
        if event.button() != self._held:
            return
        self._drag = None
        if drag == "tool":
            self.released.emit(self._spot(event))
        elif drag == "right":
            self.right_clicked.emit(self._spot(event))

    def _on_double_click(self, event: QMouseEvent) -> None:
        if event.button() == _Buttons.LeftButton and self._drag in (None, "tool"):
            self._drag, self._held = "tool", _Buttons.LeftButton
            self._last = event.position()
            self.double_clicked.emit(self._spot(event))
        else:
            self._on_press(event)

    def _on_wheel(self, event: QWheelEvent) -> None:
        if event.phase() == Qt.ScrollPhase.ScrollMomentum:
            return  # a swipe ends where the fingers leave the pad, or one would run through fifty slices
        # Some systems turn a wheel with Shift held into a sideways one.
        turned = float(event.angleDelta().y() or event.angleDelta().x())
        if event.modifiers() & _Keys.ControlModifier:
            self.canvas.zoom_about(event.position(), _ZOOM_STEP ** (turned / _NOTCH))
            self.overlay.update()
            return
        pixels = event.pixelDelta()
        on_pad = event.phase() != Qt.ScrollPhase.NoScrollPhase or not pixels.isNull()
        if on_pad:
            turned = (pixels.y() or pixels.x() or turned) * _NOTCH / _PAD_PX
        if event.phase() == Qt.ScrollPhase.ScrollBegin:
            self._wheel = 0.0
        self._wheel += turned
        steps = int(self._wheel / _NOTCH)  # a touch pad sends many small turns
        self._wheel -= steps * _NOTCH
        if on_pad and steps:
            steps = 1 if steps > 0 else -1
        if steps and event.modifiers() & _Keys.ShiftModifier:
            self.brush_stepped.emit(steps)
        elif steps:
            self.stepped.emit(steps)

    def _on_gesture(self, event: QNativeGestureEvent) -> None:
        if event.gestureType() == Qt.NativeGestureType.ZoomNativeGesture:
            self.canvas.zoom_about(event.position(), max(0.2, 1 + event.value()))
            self.overlay.update()
        elif event.gestureType() == Qt.NativeGestureType.SmartZoomNativeGesture:  # a tap with two fingers
            self.canvas.fit()
            self.overlay.update()


def _is_eraser(event: QMouseEvent | QTabletEvent) -> bool:
    """Whether the event comes from the other end of a pen."""
    return event.pointerType() == QPointingDevice.PointerType.Eraser
