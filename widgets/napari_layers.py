"""A review session in a stock napari viewer: its image, all its structures as one label layer, and the active one.

The session is the only holder of masks; both label layers are pictures of it. What is painted on the layer of the
active structure goes to the session, which keeps to limits and locks, writes the journal and has the history for undo.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels, Layer
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray
from qtpy.QtCore import QObject, QTimer, Signal

from contourdesk.app.changes import Change
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import AxisOrder, Box, Grid, whole_box
from contourdesk.app.layer_data import CASE, image_layer, label_colours, placed
from contourdesk.app.review import ReviewSession
from contourdesk.app.structures import Structure, tight_box
from contourdesk.widgets.language import tr

_MOST = 255  # structures whose numbers fit a byte
_IGNORED = ("decided", "locked", "regrouped")


class SessionLayers(QObject):
    """Shows one session at a time; `failed` carries an exception for the user."""

    failed = Signal(object)

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.session: ReviewSession | None = None
        self.overview: Labels | None = None
        self.active: Labels | None = None
        self._order = AxisOrder((0, 1, 2), (False, False, False))
        self._id: str | None = None
        self._hidden: set[str] = set()
        self._numbers: dict[str, int] = {}
        self._timer = QTimer(self, singleShot=True, interval=0)  # napari may tell of a change before it makes it
        self._timer.timeout.connect(self.take_over)

    # -- session --------------------------------------------------------------------------------------------------

    def set_session(self, session: ReviewSession | None) -> None:
        """Show another session, or none; the image layer stays."""
        if self.session is not None:
            self.session.changed.disconnect(self._on_change, missing_ok=True)
        for layer in (self.overview, self.active):
            if layer is not None and layer in self._viewer.layers:
                self._viewer.layers.remove(layer)
        self.session, self.overview, self.active, self._id = session, None, None, None
        self._hidden.clear()
        self._numbers.clear()
        if session is None:
            return
        image = self._image_of(session)
        grid, self._order = session.structures.grid.canonical()
        kind = np.uint8 if len(session.structures) < _MOST else np.uint16
        self.overview = self._add(tr("Structures under review"), grid, kind, image)
        self.overview.editable = False
        self.active = self._add(tr("Active structure"), grid, np.uint8, image)
        self.active.visible = False
        for event in (self.active.events.paint, self.active.events.data):
            event.connect(lambda _: self._timer.start())
        self.active.bind_key("Control-Z", lambda _: self._step("undo"), overwrite=True)
        for key in ("Control-Shift-Z", "Control-Y"):
            self.active.bind_key(key, lambda _: self._step("redo"), overwrite=True)
        session.changed.connect(self._on_change)
        self._draw_all()

    def _image_of(self, session: ReviewSession) -> Layer:
        """The layer of the session's image, added where there is none; labels that were read with it are hidden."""
        mine = [layer for layer in self._viewer.layers if layer.metadata.get(CASE) is session.case]
        for layer in mine:
            if isinstance(layer, Labels):
                layer.visible = False
        same = [layer for layer in self._viewer.layers if _shows(layer, session.case.volume.array)]
        found = next((layer for layer in (*mine, *same) if not isinstance(layer, Labels)), None)
        return found or self._viewer.add_layer(Layer.create(*image_layer(session.case)))

    def _add(self, name: str, grid: Grid, kind: type[np.unsignedinteger], image: Layer) -> Labels:
        place = placed(grid) | {"units": image.units, "axis_labels": image.axis_labels}
        layer = Labels(np.zeros(grid.shape, kind), name=name, opacity=0.5, **place)
        self._viewer.add_layer(layer)
        return layer

    def set_active(self, structure_id: str | None) -> None:
        """Put another structure into the layer to paint on."""
        if self.session is None or structure_id == self._id:
            return
        self.take_over()
        before, self._id = self._id, structure_id
        if before is not None and self._structure(before) is not None:
            self._draw(self._structure(before).mask.box)  # type: ignore[union-attr]
        self._load()

    def set_visible(self, structure_id: str, visible: bool) -> None:
        """Show or hide one structure."""
        (self._hidden.discard if visible else self._hidden.add)(structure_id)
        structure = self._structure(structure_id)
        if structure is not None:
            self._draw(structure.mask.box)

    def go_to(self, index: tuple[float, float, float]) -> None:
        """Let napari show the slices through a voxel (z, y, x) of the session's grid."""
        if self.session is not None:
            x, y, z = self.session.structures.grid.to_world(index)
            for axis, value in enumerate((z, y, x)):
                self._viewer.dims.set_point(axis, float(value))

    # -- from napari ----------------------------------------------------------------------------------------------

    def take_over(self, _: object = None) -> None:
        """Give the session what was painted on the active structure's layer since the last time."""
        session, structure = self.session, self._structure(self._id)
        if session is None or structure is None or self.active is None:
            return
        drawn = self._native(self.active) != 0
        changed = tight_box(drawn != structure.mask.dense(session.structures.grid.shape))
        if changed is None:
            return
        z, y, x = (s.start for s in changed)
        try:
            session.paint(structure.id, (z, y, x), drawn[changed].copy(), "brush")
        except UserError as error:
            self.failed.emit(error)
        self._draw(changed)  # limits may have kept a part of it from being painted

    def _step(self, what: str) -> None:
        self.take_over()
        if self.session is not None:
            try:
                getattr(self.session, what)()
            except UserError as error:
                self.failed.emit(error)

    # -- to napari ------------------------------------------------------------------------------------------------

    def _on_change(self, change: Change) -> None:
        if change.what in _IGNORED or self.session is None:
            return
        if change.what == "mask" and change.box is not None:
            self._draw(change.box)
        elif change.what in ("renamed", "recoloured"):
            self._name()
        else:
            self._draw_all()

    def _draw_all(self) -> None:
        if self.session is None:
            return
        ids = {s.id for s in self.session.structures}
        if self._id not in ids:
            self._id = None
        self._numbers = {k: n for k, n in self._numbers.items() if k in ids}
        free = iter(sorted(set(range(1, len(ids) + 1)) - set(self._numbers.values())))
        for s in self.session.structures:
            if s.id not in self._numbers:
                self._numbers[s.id] = next(free)
        if self.overview is not None and len(ids) > np.iinfo(self.overview.data.dtype).max:
            self.overview.data = self.overview.data.astype(np.uint16)
        self._load()
        self._name()
        self._draw(whole_box(self.session.structures.grid.shape))

    def _load(self) -> None:
        """Fill the active structure's layer anew."""
        structure, layer = self._structure(self._id), self.active
        if layer is None:
            return
        array = np.zeros_like(layer.data)
        if structure is not None:
            view = self._order.undo(array)
            view[structure.mask.box] = structure.mask.bits
        with layer.events.data.blocker():
            layer.data = array  # napari's own history is of the structure before
        layer.visible = structure is not None
        layer.selected_label = 1
        self._name()
        if structure is not None:
            self._draw(structure.mask.box)
            self._viewer.layers.selection.active = layer

    def _draw(self, box: Box) -> None:
        """Draw a box (native axes) of both layers from the session's masks; what comes later in the list is on top."""
        session = self.session
        if session is None or any(s.stop <= s.start for s in box):
            return
        if self.overview is not None:
            part = self._native(self.overview)[box]
            part[...] = 0
            for s in session.structures:
                if s.id not in self._hidden and s.id != self._id:
                    _stamp(part, box, s, self._numbers[s.id])
            self.overview.refresh()
        structure = self._structure(self._id)
        if self.active is not None and structure is not None:
            part = self._native(self.active)[box]
            part[...] = 0
            _stamp(part, box, structure, 1)
            self.active.refresh()

    def _name(self) -> None:
        """Names and colours of the structures, for napari's status bar and controls."""
        session, overview, active = self.session, self.overview, self.active
        if session is None or overview is None or active is None:
            return
        items = {self._numbers[s.id]: s for s in session.structures if s.id in self._numbers}
        overview.colormap = DirectLabelColormap(color_dict=label_colours({n: s.colour for n, s in items.items()}))
        overview.features = {"index": [0, *items], "structure": ["", *(s.name for s in items.values())]}
        structure = self._structure(self._id)
        if structure is not None:
            ink = (*(c / 255 for c in structure.colour), 1.0)
            active.colormap = DirectLabelColormap(color_dict={None: ink, 0: (0, 0, 0, 0), 1: ink})
            active.name = tr("Active: {name}").format(name=structure.name)

    def _structure(self, structure_id: str | None) -> Structure | None:
        items = () if self.session is None else self.session.structures.items
        return next((s for s in items if s.id == structure_id), None)

    def _native(self, layer: Labels) -> NDArray[Any]:
        """A layer's array with the session's axes; a view."""
        return self._order.undo(np.asarray(layer.data))


def _stamp(part: NDArray[Any], box: Box, structure: Structure, number: int) -> None:
    """Write a structure's voxels into `part`, the array of `box`."""
    mask = structure.mask
    both = [(max(a.start, b.start), min(a.stop, b.stop)) for a, b in zip(mask.box, box, strict=True)]
    if mask.bits.size == 0 or any(stop <= start for start, stop in both):
        return
    here = tuple(slice(a - s.start, b - s.start) for (a, b), s in zip(both, box, strict=True))
    there = tuple(slice(a - o, b - o) for (a, b), o in zip(both, mask.offset, strict=True))
    part[here][mask.bits[there]] = number


def _shows(layer: Layer, array: NDArray[Any]) -> bool:
    """Whether a layer has the very same array."""
    data = getattr(layer, "data", None)
    return isinstance(data, np.ndarray) and data.ndim == 3 and np.may_share_memory(data, array)
