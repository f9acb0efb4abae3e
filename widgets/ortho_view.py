"""Axial, sagittal and coronal views of a case, linked by one crosshair, with the editing tools."""

from __future__ import annotations

from collections.abc import Mapping

from numpy.typing import ArrayLike
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QHideEvent, QImage, QKeyEvent
from qtpy.QtWidgets import QHBoxLayout, QWidget

from contourdesk.app.geometry import Grid
from contourdesk.app.places import central_voxel, end_voxel
from contourdesk.app.review import Change, ReviewSession
from contourdesk.app.structures import Mask
from contourdesk.widgets.following import Following
from contourdesk.widgets.language import tr
from contourdesk.widgets.plane_view import PlaneView
from contourdesk.widgets.tool import Tool
from contourdesk.widgets.view_3d import SurfaceView
from contourdesk.widgets.view_editing import Editor
from contourdesk.widgets.view_layouts import ViewLayouts
from contourdesk.widgets.view_marks import Marks
from contourdesk.widgets.view_overlay import axis_text
from contourdesk.widgets.view_state import BRUSH_RANGE_MM, DISPLAYS, ViewState
from contourdesk.widgets.window_presets import default_window

PLANES = ("axial", "sagittal", "coronal")
SURFACES = "surfaces"
_BRUSH_STEP = 1.15
_UNSEEN = ("decided", "renamed", "locked", "regrouped")  # changes that the pictures don't show


class OrthoView(QWidget):
    """Three linked planes of one `ReviewSession`. Main thread only.

    The session is the only holder of masks; this widget shows them, and gives it one `paint` per stroke, polygon or
    fill. `brush_mm` is a diameter.
    """

    cursor_moved = Signal(str)  # value and place under the mouse, empty when it is elsewhere
    tool_changed = Signal(str)
    brush_changed = Signal(float)
    brush_3d_changed = Signal(bool)
    window_changed = Signal(float, float)  # centre, width
    active_changed = Signal(object)  # structure id or None
    place_changed = Signal()  # the crosshair moved, or the mouse went into another plane
    error = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("orthoView")
        self.setAccessibleName(tr("Views of the images"))
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._state = ViewState()
        self._editor = Editor(self._state, self)
        self._editor.changed.connect(self._redraw_sketch)
        self._editor.error.connect(self.error)
        self._editor.cross_wanted.connect(self._move_cross)
        self._editor.maximise_wanted.connect(self.toggle_maximised)
        self._state.marks.changed.connect(self._redraw)
        self._closed = False
        self._current = "axial"
        self.planes = {name: PlaneView(name, self._state) for name in PLANES}
        self._following = Following(self.planes, self)
        self._build_layout()
        for view in self.planes.values():
            self._connect(view)
        self.set_tool("navigate")

    def _build_layout(self) -> None:
        self.surfaces = SurfaceView(self._state)
        self.layouts = ViewLayouts({**self.planes, SURFACES: self.surfaces}, SURFACES)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self.layouts)
        self.surfaces.point_chosen.connect(self.go_to)
        self.surfaces.maximise_wanted.connect(lambda: self.toggle_maximised(SURFACES))
        self.surfaces.failed.connect(
            lambda problem: self.error.emit(tr("The surfaces could not be made. {problem}").format(problem=problem))
        )

    def _connect(self, view: PlaneView) -> None:
        view.hovered.connect(lambda index, name=view.name: self._on_hover(name, index))
        view.cross_wanted.connect(self._move_cross)
        view.stepped.connect(lambda steps, name=view.name: self._step(name, steps))
        view.brush_stepped.connect(self.step_brush)
        view.window_dragged.connect(self._on_window_dragged)
        view.maximise_wanted.connect(lambda name=view.name: self.toggle_maximised(name))
        view.pressed.connect(self._editor.press)
        view.dragged.connect(self._editor.drag)
        view.released.connect(self._editor.release)
        view.moved.connect(self._editor.hover)
        view.double_clicked.connect(self._editor.double_click)
        view.right_clicked.connect(self._editor.right_click)

    # -- session -------------------------------------------------------------------------------------------------

    @property
    def session(self) -> ReviewSession | None:
        """The session that is shown."""
        return self._state.session

    def set_session(self, session: ReviewSession | None) -> None:
        """Show another session from the middle of its image, or nothing. The active structure is then none."""
        state = self._state
        self._editor.cancel()
        if state.session is not None:
            state.session.changed.disconnect(self._on_changed)
        state.session = session
        state.hidden.clear()
        state.marks.reset()
        self.set_active(None)
        volume = None if session is None else session.case.volume
        if volume is not None:
            z, y, x = (n // 2 for n in volume.grid.shape)
            state.cross = (z, y, x)
        for view in self.planes.values():
            view.show_volume(volume)
        if session is not None and volume is not None:
            session.changed.connect(self._on_changed)
            self.set_window(*default_window(volume))
        self.surfaces.reset()
        self.cursor_moved.emit("")
        self._redraw()

    def _on_changed(self, change: Change) -> None:
        state = self._state
        preview = state.preview
        gone = preview is not None and (preview[0] == change.structure_id or state.structure(preview[0]) is None)
        if change.what == "reset" or gone:
            self._editor.cancel()  # it was begun on bits that are gone
        if state.active is not None and state.structure(state.active) is None:
            self.set_active(None)
        if change.what == "removed" and state.session is not None:
            state.hidden &= {s.id for s in state.session.structures}
        self.surfaces.note_change(change)
        if change.what not in _UNSEEN:
            self._redraw()

    @property
    def active(self) -> str | None:
        """Id of the structure that the tools change."""
        return self._state.active

    def set_active(self, structure_id: str | None) -> None:
        """Choose the structure that the tools change. What is being drawn is given up."""
        if structure_id is not None and self._state.structure(structure_id) is None:
            raise KeyError(structure_id)
        if structure_id != self._state.active:
            self._editor.cancel()
            self._state.active = structure_id
            self.active_changed.emit(structure_id)
            self._redraw()

    # -- display -------------------------------------------------------------------------------------------------

    def set_visible(self, structure_id: str, visible: bool) -> None:
        """Show or hide a structure."""
        if visible:
            self._state.hidden.discard(structure_id)
        else:
            self._state.hidden.add(structure_id)
            if self._state.active == structure_id:
                self._editor.cancel()
        self._redraw()

    def is_visible(self, structure_id: str) -> bool:
        """Whether a structure is shown."""
        return structure_id not in self._state.hidden

    @property
    def display(self) -> str:
        """How structures are drawn: "outline", "fill" or "both"."""
        return self._state.display

    def set_display(self, display: str) -> None:
        """Draw structures as "outline", "fill" or "both". Raises ValueError for another word."""
        if display not in DISPLAYS:
            raise ValueError(f"display must be one of {DISPLAYS}, got {display!r}")
        self._state.display = display
        self._redraw()

    @property
    def opacity(self) -> float:
        """Opacity of fills, 0 to 1."""
        return self._state.opacity

    def set_opacity(self, opacity: float) -> None:
        """Set the opacity of fills, 0 to 1. Outlines without fill grow fainter only below 0.35."""
        self._state.opacity = min(max(float(opacity), 0.0), 1.0)
        self._redraw()

    def set_line_width(self, pixels: float) -> None:
        """Set the width of outlines; the active structure's is thicker."""
        self._state.line_width = pixels
        self._redraw()

    @property
    def window(self) -> tuple[float, float]:
        """Display window: centre and width in the image's unit."""
        return self._state.window

    def set_window(self, centre: float, width: float) -> None:
        """Set the display window, in the image's unit."""
        smallest = 1.0 if self.session is None or self.session.case.volume.unit == "HU" else 1e-6
        self._state.window = (float(centre), max(float(width), smallest))
        for view in self.planes.values():
            view.canvas.show_window(*self._state.window)
        self.window_changed.emit(*self._state.window)
        self._redraw()

    def _on_window_dragged(self, centre: float, width: float) -> None:
        self.set_window(self.window[0] + centre, self.window[1] + width)

    def set_proposal(self, mask: Mask | None) -> None:
        """Show a mask dashed over all structures: what an operation would make of the active one. None: none."""
        self._state.proposal = mask
        self._redraw()

    def set_confidence(self, shown: bool) -> None:
        """Colour where the model was unsure of the active structure, or not."""
        self._state.confidence = bool(shown)
        self._redraw()

    @property
    def marks(self) -> Marks:
        """Measurements, ghosts of first versions, and two versions that are compared."""
        return self._state.marks

    # -- place ---------------------------------------------------------------------------------------------------

    @property
    def current_plane(self) -> str:
        """Name of the plane that the mouse was in last."""
        return self._current

    @property
    def cross_index(self) -> tuple[int, int, int]:
        """Voxel (z, y, x) where the planes meet."""
        return self._state.cross

    def go_to(self, point_lps: ArrayLike) -> None:
        """Move the crosshair to a place in LPS mm (the nearest voxel of the image)."""
        if self.session is not None:
            index = self.session.structures.grid.to_index(point_lps)
            self._move_cross((float(index[0]), float(index[1]), float(index[2])))

    def centre_on(self, structure_id: str) -> None:
        """Move the crosshair to the structure's voxel nearest to its centre; nothing when it is empty."""
        structure = self._state.structure(structure_id)
        self._jump(None if structure is None else central_voxel(structure.mask))

    def zoom_to(self, structure_id: str, *, closer: bool = True) -> None:
        """Go to the structure's middle and let all of it fit into each view; zoom in for that only if `closer`."""
        structure = self._state.structure(structure_id)
        if structure is not None and not structure.mask.is_empty:
            self.centre_on(structure_id)
            for view in self.planes.values():
                view.canvas.fit_box(structure.mask.box, closer=closer)
            self._redraw()

    def go_to_end(self, structure_id: str, *, last: bool) -> None:
        """Go to a structure's first slice in the current plane (towards the feet, right or front), or to its last."""
        structure, plane = self._state.structure(structure_id), self.planes[self._current].plane
        if structure is not None and plane is not None and self.session is not None:
            _, sense = self.session.structures.grid.world_axes[plane.slice_axis]
            self._jump(end_voxel(structure.mask, plane.slice_axis, last=last == (sense > 0)))

    def _jump(self, voxel: tuple[int, int, int] | None) -> None:
        if voxel is not None:
            self._move_cross(voxel)

    def step_slice(self, delta: int) -> None:
        """Move the current plane by slices: positive is towards the head, the patient's left or back."""
        self._step(self._current, delta)

    def _step(self, name: str, steps: int) -> None:
        plane = self.planes[name].plane
        if plane is None or self.session is None:
            return
        _, sense = self.session.structures.grid.world_axes[plane.slice_axis]
        index = list(self._state.cross)
        index[plane.slice_axis] += steps * sense
        self._move_cross((index[0], index[1], index[2]))

    def _move_cross(self, index_zyx: tuple[float, float, float]) -> None:
        if self.session is None:
            return
        shape = self.session.structures.grid.shape
        z, y, x = (min(max(round(i), 0), n - 1) for i, n in zip(index_zyx, shape, strict=True))
        moved, self._state.cross = (z, y, x) != self._state.cross, (z, y, x)
        for view in self.planes.values():
            view.canvas.reveal(view.position_of(self._state.cross))
        if moved:
            self.place_changed.emit()
        self._redraw()

    def toggle_maximised(self, name: str | None = None) -> None:
        """Show one view alone (the current plane when no name is given), or all as before."""
        self.layouts.toggle_maximised(name or self._current)

    def reset_view(self) -> None:
        """Fit the patient into each plane again."""
        for view in self.planes.values():
            view.canvas.fit()
        self.surfaces.fit()
        self._redraw()

    # -- tools ---------------------------------------------------------------------------------------------------

    @property
    def tool(self) -> str:
        """Id of the tool of the left button (see `tools.TOOLS`)."""
        return self._state.tool.id

    @property
    def tools(self) -> Mapping[str, Tool]:
        """All tools by their id."""
        return self._editor.tools

    def set_tool(self, name: str) -> None:
        """Choose the tool of the left button. Raises ValueError for an unknown one."""
        tool = self._editor.take(name)
        for view in self.planes.values():
            view.native.setCursor(tool.cursor)
        self.tool_changed.emit(name)

    @property
    def brush_mm(self) -> float:
        """Diameter of the brush."""
        return self._state.brush_mm

    def set_brush_mm(self, mm: float) -> None:
        """Set the diameter of the brush, within `BRUSH_RANGE_MM`."""
        mm = min(max(float(mm), BRUSH_RANGE_MM[0]), BRUSH_RANGE_MM[1])
        if mm != self._state.brush_mm:
            self._state.brush_mm = mm
            self.brush_changed.emit(mm)
            self._redraw()

    def step_brush(self, steps: int) -> None:
        """Make the brush larger (positive) or smaller: by a seventh, at least half a mm."""
        mm = self.brush_mm
        grown = mm * _BRUSH_STEP**steps
        self.set_brush_mm(round(2 * (max(grown, mm + 0.5) if steps > 0 else min(grown, mm - 0.5))) / 2)

    @property
    def brush_3d(self) -> bool:
        """Whether the brush is a ball, not a disc."""
        return self._state.brush_3d

    def set_brush_3d(self, ball: bool) -> None:
        """Paint with a ball, or with a disc in the plane painted on."""
        if bool(ball) != self._state.brush_3d:
            self._state.brush_3d = bool(ball)
            self.brush_3d_changed.emit(self._state.brush_3d)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Keys of the tool in hand, and the slice keys."""
        key, keys = event.key(), Qt.Key
        if self._editor.key(event):
            return
        if key in (keys.Key_Up, keys.Key_PageUp):
            self.step_slice(1 if key == keys.Key_Up else 10)
        elif key in (keys.Key_Down, keys.Key_PageDown):
            self.step_slice(-1 if key == keys.Key_Down else -10)
        else:
            super().keyPressEvent(event)

    # -- drawing -------------------------------------------------------------------------------------------------

    def _redraw_sketch(self) -> None:
        """Show what is being drawn."""
        if not self._closed:
            self._following.draw(self._current, stroke=True)

    def _redraw(self) -> None:
        """Show a change: at once in the plane under the mouse, one frame later in each of the others."""
        if not self._closed:
            self._following.draw(self._current)
            self.surfaces.refresh()

    def _on_hover(self, name: str, index: tuple[float, float, float] | None) -> None:
        if index is None or self.session is None:
            self.cursor_moved.emit("")
            return
        if name != self._current:
            self._current = name
            self.place_changed.emit()
        volume = self.session.case.volume
        z, y, x = (round(i) for i in index)
        value = volume.value_at((z, y, x))
        self.cursor_moved.emit("" if value is None else cursor_text(value, volume.unit, volume.grid, index))

    def screenshot(self) -> QImage:
        """The views as they are on the screen when all have followed."""
        self._following.finish()
        return self.grab().toImage()

    def hideEvent(self, event: QHideEvent) -> None:
        """A stroke cannot go on unseen."""
        self._editor.cancel()
        super().hideEvent(event)

    def close_views(self) -> None:
        """Free the canvases; call it before the window goes. The widget is of no use after it."""
        if not self._closed:
            self._closed = True
            self._following.stop()
            self.set_session(None)
            for view in self.planes.values():
                view.close_view()
            self.surfaces.close_view()


def cursor_text(value: float, unit: str, grid: Grid, index_zyx: tuple[float, float, float]) -> str:
    """The read-out: ``HU 43 · L 12.3 P 45.6 S 78.9 mm``."""
    number = f"{value:.0f}" if value == round(value) else f"{value:.3g}"
    place = " ".join(axis_text(world, mm) for world, mm in enumerate(grid.to_world(index_zyx).tolist()))
    return f"{unit or 'Value'} {number} · {place} mm"
