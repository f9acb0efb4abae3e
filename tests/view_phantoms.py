"""Sessions for the tests of the views: a bright ball and a few structures, on grids of every orientation."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from contourdesk.app.case import Case, Patient, Source
from contourdesk.app.geometry import Grid
from contourdesk.app.review import ReviewSession
from contourdesk.app.structures import Mask, Provenance, Structure, StructureSet
from contourdesk.app.volume import Volume
from contourdesk.widgets.ortho_view import OrthoView

CENTRE_LPS = (5.0, -7.0, 100.0)
MARKER_LPS = (25.0, -23.0, 120.0)  # to the left, front and head of the centre
# For each array axis the LPS axis it runs along, the sense, and the spacing in mm.
ORIENTATIONS = {
    "axial": ((2, 1, 4.0), (1, 1, 2.0), (0, 1, 2.0)),
    "ras": ((2, 1, 4.0), (1, -1, 2.0), (0, -1, 2.0)),
    "feet_first": ((2, -1, 4.0), (1, 1, 2.0), (0, -1, 2.0)),
    "sagittal": ((0, -1, 2.0), (2, -1, 4.0), (1, 1, 2.0)),
    "coronal": ((1, -1, 2.0), (2, -1, 4.0), (0, 1, 2.0)),
}
_EXTENT_MM = (80.0, 96.0, 112.0)  # along L, P, S


def make_grid(name: str) -> Grid:
    """Grid of the named orientation round `CENTRE_LPS`."""
    axes = ORIENTATIONS[name]
    affine = np.eye(4)
    shape = []
    for i, (world, sense, spacing) in enumerate(axes):
        affine[:3, i] = 0
        affine[world, i] = sense * spacing
        shape.append(round(_EXTENT_MM[world] / spacing))
    affine[:3, 3] = np.array(CENTRE_LPS) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
    return Grid((shape[0], shape[1], shape[2]), affine)


def ball(grid: Grid, centre_lps, radius_mm: float) -> np.ndarray:
    """Voxels whose centre lies within the radius."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    return np.linalg.norm(grid.to_world(index) - np.array(centre_lps), axis=-1) <= radius_mm


def make_session(name: str) -> ReviewSession:
    """Thin tissue, black in the soft tissue window, and a bright ball at `MARKER_LPS`.

    "Left" lies at the patient's left, "Big" round it, "Empty" is empty.
    """
    grid = make_grid(name)
    hu = np.where(ball(grid, MARKER_LPS, 9.0), 1000, -300).astype(np.int16)
    left = np.add(CENTRE_LPS, (20, 10, 0))
    items = [
        Structure("Left", (255, 0, 0), Mask.from_dense(ball(grid, left, 12.0)), Provenance("model")),
        Structure("Big", (0, 0, 255), Mask.from_dense(ball(grid, left, 16.0)), Provenance("model")),
        Structure("Empty", (255, 255, 0), Mask(), Provenance("reviewer")),
    ]
    items.insert(0, items.pop(1))  # the big one first, so that the small one is drawn over it
    volume = Volume(grid, hu)
    return ReviewSession(Case(Patient(), volume, Source(Path("phantom"), "1.2.3"), StructureSet(grid, tuple(items))))


def new_view() -> OrthoView:
    """An `OrthoView` on the screen, of 900 x 640 pixels."""
    view = OrthoView()
    view.resize(900, 640)
    view.show()
    return view


def reset(view: OrthoView, session: ReviewSession) -> None:
    """Show a session, with all settings as in a new view."""
    view.set_session(None)
    view.set_tool("navigate")
    view.set_display("outline")
    view.set_opacity(0.35)
    view.set_brush_mm(10.0)
    view.set_brush_3d(False)
    view.set_session(session)
    view.reset_view()


def pixels(view: OrthoView, plane: str) -> np.ndarray:
    """(height, width, 3) uint8: what one plane shows, in the coordinates of its native widget."""
    native = view.planes[plane].native
    image = view.screenshot()
    corner = native.mapTo(view, native.rect().topLeft())
    image = image.copy(corner.x(), corner.y(), native.width(), native.height()).convertToFormat(
        image.Format.Format_RGB32
    )
    raw = np.frombuffer(image.constBits(), np.uint8).reshape(image.height(), image.bytesPerLine() // 4, 4)
    return raw[:, : image.width(), 2::-1].copy()


def white_centre(rgb: np.ndarray) -> tuple[float, float]:
    """Middle (x, y) of the pixels that are nearly white."""
    y, x = np.nonzero((rgb > 244).all(axis=2))
    assert len(x) > 30, "nothing bright is shown"
    return float(x.mean()), float(y.mean())
