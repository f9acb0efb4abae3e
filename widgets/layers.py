"""One plane of an image on a napari canvas. The only module that touches napari.

The canvas shows the image alone. All that lies over it (structures, crosshair, letters) is drawn by
`view_overlay.Overlay`, a transparent child of the canvas: lines of constant screen width, every overlap visible, and
no layer of napari's that would keep a second copy of a mask or an undo history of its own.
"""

from __future__ import annotations

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image
from napari.qt import QtViewer
from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QTransform
from qtpy.QtWidgets import QVBoxLayout, QWidget

from contourdesk.app.geometry import Box, Grid, ViewPlane
from contourdesk.app.volume import Volume

_ROUND = 0.6  # part of the view that a structure takes when it is zoomed to
_MARGIN = 0.92  # of the canvas is filled by the patient when it is fitted
_BORDER = 0.15  # of the canvas: nearer to its edge a place that was looked for is not left
_NOTHING = np.zeros((2, 2, 2), np.int16)
_ZOOM_RANGE = (0.1, 60.0)  # screen pixels per mm


class ImageCanvas(QWidget):
    """A napari canvas that shows one plane of a `Volume`, as the clinic looks at it.

    The array is shown as it is: spacing as scale, the order of axes by napari's `dims.order`, and the flips by the
    camera's orientation. "In plane" coordinates below are fractional array indices (vertical axis, horizontal axis).
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = ViewerModel(ndisplay=2)
        self._viewer = QtViewer(self._model)
        self._viewer.dims.hide()  # napari's own slider
        self._viewer.widget(0).layout().setContentsMargins(0, 0, 0, 0)
        for widget in (self._viewer, *self._viewer.findChildren(QWidget)):
            widget.setAcceptDrops(False)  # a file dropped here would open as a napari layer
            widget.setFocusPolicy(Qt.FocusPolicy.NoFocus)  # or napari's own keys would turn the view
        self._model.scene.camera.mouse_pan = self._model.scene.camera.mouse_zoom = False
        self._layer: Image | None = None  # made once: to give it another array takes a third of the time
        self._grid: Grid | None = None
        self._body: Box | None = None
        self._plane: ViewPlane | None = None
        self._fitted = True
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._viewer)

    @property
    def native(self) -> QWidget:
        """The OpenGL widget that gets the mouse."""
        return self._viewer.canvas.native  # type: ignore[no-any-return]

    @property
    def zoom(self) -> float:
        """Screen pixels per mm."""
        return float(self._model.scene.camera.zoom)

    def show_volume(self, volume: Volume | None, plane: ViewPlane | None) -> None:
        """Show `plane` of `volume`, the patient filling it; None empties the canvas."""
        if volume is not None and self._layer is not None and self._layer.data is volume.array and plane == self._plane:
            self.fit()
            return
        self._grid, self._plane = None, None
        if volume is None or plane is None:
            if self._layer is not None:
                self._layer.visible, self._layer.data = False, _NOTHING  # the volume's memory is let go
            return
        grid = volume.grid
        self._grid, self._plane, self._body = grid, plane, volume.body_box()
        layer = self._image()
        layer.data, layer.scale, layer.visible = volume.array, grid.spacing_mm, True
        self._model.dims.order = (plane.slice_axis, plane.vertical_axis, plane.horizontal_axis)
        self._model.scene.camera.orientation2d = (
            "up" if plane.flip_vertical else "down",
            "left" if plane.flip_horizontal else "right",
        )
        self.fit()

    def show_window(self, centre: float, width: float) -> None:
        """Set the display window, in the image's unit."""
        if self._layer is not None:
            self._layer.contrast_limits = (centre - width / 2, centre + width / 2)

    def show_slice(self, index: int) -> None:
        """Show one slice along the plane's slice axis."""
        if self._plane is not None and self._model.dims.current_step[self._plane.slice_axis] != index:
            self._model.dims.set_current_step(self._plane.slice_axis, index)

    def fit(self) -> None:
        """Centre the patient and make it fill the canvas. It stays so while the canvas changes its size."""
        if self._grid is None or self._plane is None or self._body is None:
            return
        size_mm = [(b.stop - b.start) * s for b, s in zip(self._body, self._grid.spacing_mm, strict=True)]
        height, width = size_mm[self._plane.vertical_axis], size_mm[self._plane.horizontal_axis]
        centre = [(b.start + b.stop - 1) / 2 * s for b, s in zip(self._body, self._grid.spacing_mm, strict=True)]
        self._look_at(centre[self._plane.vertical_axis], centre[self._plane.horizontal_axis])
        size = self.native.size()
        if size.width() > 1 and size.height() > 1:
            self._model.scene.camera.zoom = _MARGIN * min(size.width() / width, size.height() / height)
        self._fitted = True

    def fit_box(self, box: Box, *, closer: bool) -> None:
        """Show all of a box of voxels, and some of what is round it; zoom in for that only if `closer`."""
        if self._grid is None or self._plane is None or self.native.width() < 2 or self.native.height() < 2:
            return
        spacing, axes = self._grid.spacing_mm, (self._plane.vertical_axis, self._plane.horizontal_axis)
        sides = (self.native.height(), self.native.width())
        fits = min(
            _ROUND * side / ((box[a].stop - box[a].start) * spacing[a]) for a, side in zip(axes, sides, strict=True)
        )
        if closer or fits < self.zoom:
            self._model.scene.camera.zoom = min(max(fits, _ZOOM_RANGE[0]), _ZOOM_RANGE[1])
            self._look_at(*((box[a].start + box[a].stop - 1) / 2 * spacing[a] for a in axes))
            self._fitted = False

    def refit(self) -> None:
        """After a change of size: fit again, unless the user zoomed or panned."""
        if self._fitted:
            self.fit()

    def reveal(self, at: QPointF) -> None:
        """Pan, as little as is needed, until a screen position lies well inside the canvas."""
        x_room, y_room = self.native.width() * _BORDER, self.native.height() * _BORDER
        dx = max(0.0, x_room - at.x()) + min(0.0, self.native.width() - x_room - at.x())
        dy = max(0.0, y_room - at.y()) + min(0.0, self.native.height() - y_room - at.y())
        if (dx or dy) and not self.native.rect().contains(at.toPoint()):
            self.pan(dx, dy)

    def pan(self, dx: float, dy: float) -> None:
        """Move the image by screen pixels."""
        if self._plane is None:
            return
        vertical, horizontal = self._model.scene.camera.center[-2:]
        signs = self._signs()
        self._look_at(vertical - dy / self.zoom * signs[0], horizontal - dx / self.zoom * signs[1])
        self._fitted = False

    def zoom_about(self, at: QPointF, factor: float) -> None:
        """Zoom so that the point under the screen position stays there."""
        if self._plane is None:
            return
        before = self.zoom
        after = min(max(before * factor, _ZOOM_RANGE[0]), _ZOOM_RANGE[1])
        vertical, horizontal = self._model.scene.camera.center[-2:]
        dx, dy = at.x() - self.native.width() / 2, at.y() - self.native.height() / 2
        signs, grow = self._signs(), 1 / before - 1 / after
        self._model.scene.camera.zoom = after
        self._look_at(vertical + dy * signs[0] * grow, horizontal + dx * signs[1] * grow)
        self._fitted = False

    def to_screen(self) -> QTransform:
        """From in-plane indices, x horizontal and y vertical, to screen pixels; voxel centres at whole numbers."""
        if self._grid is None or self._plane is None:
            return QTransform()
        spacing = self._grid.spacing_mm
        vertical, horizontal = self._model.scene.camera.center[-2:]
        signs, zoom = self._signs(), self.zoom
        m11 = signs[1] * spacing[self._plane.horizontal_axis] * zoom
        m22 = signs[0] * spacing[self._plane.vertical_axis] * zoom
        dx = self.native.width() / 2 - signs[1] * horizontal * zoom
        dy = self.native.height() / 2 - signs[0] * vertical * zoom
        return QTransform(m11, 0, 0, m22, dx, dy)

    def prepare(self) -> None:
        """Make napari's layer and draw an unseen frame, so that OpenGL is ready before the first image comes."""
        if self._layer is None:
            layer = self._image()
            layer.visible = True
            self.native.grabFramebuffer()  # type: ignore[attr-defined]
            layer.visible = False

    def close_canvas(self) -> None:
        """Free napari's objects; the widget is of no use after it."""
        if self._layer is not None:
            self._model.layers.remove(self._layer)
            self._layer = None
        self._viewer.close()

    def _image(self) -> Image:
        if self._layer is None:
            # rgb must be said: napari takes an array of 3 or 4 columns for a colour image.
            self._layer = Image(
                _NOTHING, rgb=False, contrast_limits=(-160.0, 240.0), interpolation2d="linear", visible=False
            )
            self._model.add_layer(self._layer)
        return self._layer

    def _signs(self) -> tuple[int, int]:
        plane = self._plane
        if plane is None:
            return 1, 1
        return -1 if plane.flip_vertical else 1, -1 if plane.flip_horizontal else 1

    def _look_at(self, vertical: float, horizontal: float) -> None:
        self._model.scene.camera.center = (0.0, vertical, horizontal)
