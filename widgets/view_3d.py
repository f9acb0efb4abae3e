"""The fourth view: surfaces of the visible structures. It costs nothing until it is shown, and nothing while hidden.

Surfaces are made by a job (`contourdesk.app.surfaces`), only those whose mask is another than before, and only when the
structures have been left alone for a moment. The scene is in LPS mm round the middle of the image.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QObject, QPointF, Qt, QTimer, Signal
from qtpy.QtGui import QHideEvent, QMouseEvent, QShowEvent
from qtpy.QtWidgets import QToolButton, QVBoxLayout, QWidget
from vispy.scene import SceneCanvas
from vispy.scene.cameras import TurntableCamera
from vispy.scene.visuals import Mesh

from contourdesk.app.review import Change
from contourdesk.app.structures import Mask, Structure
from contourdesk.app.surfaces import Surface, first_hit, surfaces
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.plane_view import BUTTON_STYLE
from contourdesk.widgets.view_3d_overlay import Overlay3D
from contourdesk.widgets.view_state import ViewState

_QUIET_MS = 350
_CLICK_PX = 4
_SHELL_ALPHA = 0.16  # the body's outline must not hide what is in it
_ROOM = 0.9

Float = NDArray[np.float64]


class SurfaceView(QWidget):
    """Surfaces that can be turned (left drag), moved (Shift+drag) and zoomed (wheel); a click moves the crosshair.

    Signals: `point_chosen` with LPS mm, `maximise_wanted`, `failed` with an exception of the job.
    """

    point_chosen = Signal(object)
    maximise_wanted = Signal()
    failed = Signal(object)

    def __init__(self, state: ViewState, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("surfaceView")
        self.setAccessibleName(tr("Surfaces of the structures in three dimensions"))
        self.setMinimumSize(160, 140)
        self._state = state
        self._canvas: SceneCanvas | None = None
        self._overlay: Overlay3D | None = None
        self._meshes: dict[str, Any] = {}
        self._looks: dict[str, tuple[Any, tuple[float, ...]]] = {}
        self._made: dict[str, tuple[Mask, Surface | None]] = {}
        self._asked: dict[str, Mask] = {}
        self._centre = np.zeros(3)
        self._cross: tuple[int, int, int] | None = None  # as it was drawn last
        self._pressed: QPointF | None = None
        self.runner = JobRunner(self)
        self.runner.succeeded.connect(self._on_made)
        self.runner.failed.connect(self._on_failed)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_QUIET_MS)
        self._timer.timeout.connect(self._make)
        self._layout = QVBoxLayout(self)
        self._layout.setContentsMargins(0, 0, 0, 0)

    @property
    def surfaces(self) -> Mapping[str, Surface | None]:
        """Surfaces made so far, by structure id; None for an empty structure."""
        return {key: made for key, (_, made) in self._made.items()}

    @property
    def native(self) -> QWidget | None:
        """The OpenGL widget that gets the mouse; None before the view was first shown."""
        return None if self._canvas is None else self._canvas.native

    def reset(self) -> None:
        """Another session: forget the surfaces of the last one."""
        self.runner.cancel()
        self._made.clear()
        for mesh in self._meshes.values():
            mesh.parent = None
        self._meshes.clear()
        self._looks.clear()
        if self._canvas is not None:
            self._frame()
        if self.isVisible():
            self._timer.start(0)

    def note_change(self, change: Change) -> None:
        """Follow a change of the session, soon."""
        if self.isVisible():
            self._timer.start(0 if change.what in ("recoloured", "reset") else _QUIET_MS)

    def refresh(self) -> None:
        """Follow crosshair and visibility."""
        if not self.isVisible():
            return
        self._show_meshes()
        if any(self._lacks(s) for s, _ in self._state.shown()) and not self._timer.isActive():
            self._timer.start()
        # This comes with every move of a brush: the scene is drawn anew only for what is another in it.
        if self._overlay is not None and self._cross != self._state.cross:
            self._cross = self._state.cross
            self._overlay.update()

    def fit(self) -> None:
        """Look from the front at all that is shown."""
        if self._canvas is None:
            return
        shown = [made.vertices_lps for made in self._shown_surfaces()]
        session = self._state.session
        if shown:
            low = np.min([v.min(axis=0) for v in shown], axis=0)
            high = np.max([v.max(axis=0) for v in shown], axis=0)
        elif session is not None:
            grid = session.structures.grid
            corners = grid.to_world([[0, 0, 0], np.array(grid.shape) - 1])
            low, high = corners.min(axis=0), corners.max(axis=0)
        else:
            return
        self._camera.azimuth, self._camera.elevation, self._camera.roll = 20.0, 10.0, 0.0
        self._camera.center = tuple((low + high) / 2 - self._centre)
        self._camera.scale_factor = float(np.linalg.norm(high - low)) * _ROOM
        self._canvas.update()

    def close_view(self) -> None:
        """Stop the job and free the canvas."""
        self._timer.stop()
        self.runner.cancel()
        self.runner.wait(5)
        if self._canvas is not None:
            self._canvas.native.removeEventFilter(self)
            self._canvas.close()
            self._canvas = None

    # -- Qt -------------------------------------------------------------------------------------------------------

    def showEvent(self, event: QShowEvent) -> None:
        """Make the canvas when it is first needed, and what surfaces lack."""
        super().showEvent(event)
        if self._canvas is None:
            self._build()
            self._frame()
        self._timer.start(0)

    def hideEvent(self, event: QHideEvent) -> None:
        """Do no more work."""
        super().hideEvent(event)
        self._timer.stop()
        self.runner.cancel()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Clicks and double clicks are ours; the camera gets all else."""
        kind = event.type()
        if kind == QEvent.Type.Resize and self._overlay is not None:
            self._overlay.resize(watched.size())  # type: ignore[attr-defined]
            self._button.move(watched.width() - self._button.width() - 6, 6)  # type: ignore[attr-defined]
        elif kind == QEvent.Type.MouseButtonDblClick:
            self.maximise_wanted.emit()
            return True
        elif kind == QEvent.Type.MouseButtonPress and _is_left(event):
            self._pressed = event.position()  # type: ignore[attr-defined]
        elif kind == QEvent.Type.MouseButtonRelease and _is_left(event) and self._pressed is not None:
            at, start = event.position(), self._pressed  # type: ignore[attr-defined]
            self._pressed = None
            if (at - start).manhattanLength() < _CLICK_PX:
                self._click(at)
        return False

    # -- scene ----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        canvas = self._canvas = SceneCanvas(keys=None, bgcolor="black", show=False)
        self._view = canvas.central_widget.add_view()
        self._camera = TurntableCamera(fov=0)
        self._view.camera = self._camera
        native = canvas.native
        native.setObjectName("surfaceCanvas")
        native.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        native.setAcceptDrops(False)
        self._layout.addWidget(native)
        self._overlay = Overlay3D(native, self._state, self.project, self.axes)
        self._button = QToolButton(native)
        self._button.setObjectName("surfaceMaximise")
        self._button.setAccessibleName(tr("Show the surfaces alone, or all views again"))
        self._button.setText("⤢")
        self._button.setCursor(Qt.CursorShape.ArrowCursor)
        self._button.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._button.setToolTip(tr("Show the surfaces alone, or all views again (double click)"))
        self._button.setFixedSize(26, 26)
        self._button.setStyleSheet(BUTTON_STYLE)
        self._button.clicked.connect(self.maximise_wanted)
        native.installEventFilter(self)
        self._view.scene.transform.changed.connect(self._on_turned)

    def _frame(self) -> None:
        session = self._state.session
        if session is not None:
            grid = session.structures.grid
            self._centre = grid.to_world([(n - 1) / 2 for n in grid.shape])
            self.fit()

    def _on_turned(self, _: object = None) -> None:
        light = self.light()
        for mesh in self._meshes.values():
            mesh.shading_filter.light_dir = light
        if self._overlay is not None:
            self._overlay.update()

    def axes(self) -> tuple[Float, Float, Float]:
        """LPS unit vectors to the right, up, and away from the eye."""
        turn, tilt = np.radians(self._camera.azimuth), np.radians(self._camera.elevation)
        right = np.array([np.cos(turn), np.sin(turn), 0.0])
        away = np.array([-np.sin(turn) * np.cos(tilt), np.cos(turn) * np.cos(tilt), -np.sin(tilt)])
        return right, np.cross(right, away), away

    def light(self) -> tuple[float, float, float]:
        """Where the light goes: from above the left shoulder of the one who looks."""
        right, up, away = self.axes()
        x, y, z = away + 0.35 * right - 0.45 * up
        return float(x), float(y), float(z)

    def project(self, point_lps: Float) -> QPointF:
        """Screen position of a place in LPS mm."""
        assert self._canvas is not None
        right, up, _ = self.axes()
        size = self._canvas.native.size()
        per_mm = min(size.width(), size.height()) / self._camera.scale_factor
        offset = np.asarray(point_lps) - self._centre - np.asarray(self._camera.center)
        x, y = float(offset @ right) * per_mm, float(offset @ up) * per_mm
        return QPointF(size.width() / 2 + x, size.height() / 2 - y)

    def _click(self, at: QPointF) -> None:
        if self._canvas is None or self._state.session is None:
            return
        right, up, away = self.axes()
        size = self._canvas.native.size()
        mm = self._camera.scale_factor / min(size.width(), size.height())
        x, y = (at.x() - size.width() / 2) * mm, (size.height() / 2 - at.y()) * mm
        start = self._centre + np.asarray(self._camera.center) + x * right + y * up - 2000 * away
        solid = [made for s, made in self._shown_pairs() if not _is_shell(s)]
        hit = first_hit(solid, start, away)
        if hit is not None:
            self.point_chosen.emit(hit + 0.25 * away)  # a hair inside, so that the slice is one of the structure's

    # -- surfaces -------------------------------------------------------------------------------------------------

    def _lacks(self, s: Structure) -> bool:
        return s.id not in self._made or self._made[s.id][0] is not s.mask

    def _make(self) -> None:
        session = self._state.session
        if session is None or not self.isVisible():
            return
        self._show_meshes()
        if self.runner.running:
            self._timer.start()
            return
        self._asked = {s.id: s.mask for s in session.structures if s.id not in self._state.hidden and self._lacks(s)}
        if self._asked:
            self.runner.start(surfaces(list(self._asked.items()), session.structures.grid), harmless=True)

    def _on_made(self, made: dict[str, Surface | None]) -> None:
        if self._state.session is None or self._canvas is None:
            return
        first = not any(surface for _, surface in self._made.values())
        known = {s.id for s in self._state.session.structures}
        for key, one in made.items():
            if key in known and key in self._asked:
                self._made[key] = (self._asked[key], one)
                self._put_mesh(key, one)
        self._show_meshes()
        if first:
            self.fit()
        self._canvas.update()

    def _on_failed(self, error: BaseException) -> None:
        for key, mask in self._asked.items():
            self._made[key] = (mask, None)  # not again and again
        self.failed.emit(error)

    def _put_mesh(self, key: str, made: Surface | None) -> None:
        old = self._meshes.pop(key, None)
        if old is not None:
            old.parent = None
        if made is None:
            return
        points = (made.vertices_lps - self._centre).astype(np.float32)
        mesh = Mesh(points, made.faces.astype(np.uint32), color=(1, 1, 1, 1), shading="smooth", parent=self._view.scene)
        mesh.shading_filter.ambient_light = (1, 1, 1, 0.35)
        mesh.shading_filter.specular_light = (1, 1, 1, 0.15)
        mesh.shading_filter.shininess = 30
        mesh.shading_filter.light_dir = self.light()
        self._meshes[key] = mesh

    def _show_meshes(self) -> None:
        """Give each mesh its colour, or hide it; draw only when one is another than before."""
        changed = False
        items = {} if self._state.session is None else {s.id: s for s in self._state.session.structures}
        for key in [key for key in self._meshes if key not in items]:
            self._meshes.pop(key).parent = None
            changed = True
        self._made = {key: made for key, made in self._made.items() if key in items}
        for key, mesh in self._meshes.items():
            s, shell = items[key], _is_shell(items[key])
            visible = key not in self._state.hidden
            if mesh.visible != visible:
                mesh.visible = visible
                changed = True
            colour = (*(c / 255 for c in s.colour), _SHELL_ALPHA if shell else 1.0)
            if self._looks.get(key) != (mesh, colour):
                self._looks[key] = (mesh, colour)
                changed = True
                mesh.color = colour
                mesh.set_gl_state("translucent" if shell else "opaque", depth_test=True, cull_face=False)
                mesh.order = 10 if shell else 0
        if changed and self._canvas is not None:
            self._canvas.update()

    def _shown_pairs(self) -> list[tuple[Structure, Surface]]:
        pairs = [(s, self._made[s.id][1]) for s, _ in self._state.shown() if s.id in self._made]
        return [(s, made) for s, made in pairs if made is not None]

    def _shown_surfaces(self) -> list[Surface]:
        return [made for _, made in self._shown_pairs()]


def _is_shell(s: Structure) -> bool:
    return s.interpreted_type == "EXTERNAL"


def _is_left(event: QEvent) -> bool:
    return isinstance(event, QMouseEvent) and event.button() == Qt.MouseButton.LeftButton
