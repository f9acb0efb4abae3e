"""A move of the brush to the screen, against bare napari: 512 x 512 x 200, 60 structures, 30 of them shown.

Run under Xvfb: ``xvfb-run -a -s "-screen 0 1920x1080x24" python tests/benchmarks/bench_strokes.py``. Each way drags the
mouse over the same places, `MOVES` times, and lets Qt paint after each move; bare napari has the image and one Labels
layer on one canvas, ours shows three planes with their outlines.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from common import times

SHAPE, SPACING = (200, 512, 512), (3.0, 1.0, 1.0)
MOVES = 20


@cache
def _volume():
    rng = np.random.default_rng(1)
    return rng.normal(40, 30, SHAPE).astype(np.int16)


@cache
def _app():
    from contourdesk.widgets.application import make_application

    return make_application([])


def _drag(native, start, moves: int = MOVES) -> None:
    from qtpy.QtCore import QPoint, Qt
    from qtpy.QtTest import QTest

    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    QTest.mousePress(native, left, none, start)
    for n in range(1, moves + 1):
        QTest.mouseMove(native, start + QPoint(4 * n, round(10 * np.sin(n))))
        _app().processEvents()
    QTest.mouseRelease(native, left, none, start + QPoint(4 * moves, 0))
    _app().processEvents()


@cache
def _napari():
    _app()
    from napari.components import ViewerModel
    from napari.qt import QtViewer

    model = ViewerModel()
    viewer = QtViewer(model)
    viewer.resize(900, 900)
    model.add_image(_volume(), scale=SPACING, contrast_limits=(-160, 240))
    labels = model.add_labels(np.zeros(SHAPE, np.uint8), scale=SPACING)
    labels.mode, labels.brush_size = "paint", 20
    viewer.show()
    for _ in range(20):
        _app().processEvents()
    return viewer


@cache
def _view():
    from contourdesk.app.case import Case, Patient, Source
    from contourdesk.app.geometry import Grid
    from contourdesk.app.review import ReviewSession
    from contourdesk.app.structures import Mask, Provenance, Structure, StructureSet
    from contourdesk.app.volume import Volume
    from contourdesk.widgets.ortho_view import OrthoView

    grid = Grid.from_spacing(SHAPE, SPACING)
    row, column = np.ogrid[:512, :512]
    items = []
    for n in range(60):
        y, x = 60 + 55 * (n // 8), 60 + 55 * (n % 8)
        flat = np.hypot(row - y, column - x) <= 30
        items.append(
            Structure(f"S{n}", (255, 200, 3 * n), Mask.from_dense(np.broadcast_to(flat, SHAPE)), Provenance("model"))
        )
    app, view = _app(), OrthoView()
    view.resize(1300, 900)
    view.show()
    case = Case(Patient(), Volume(grid, _volume()), Source(Path("phantom"), "1.2.3"), StructureSet(grid, tuple(items)))
    view.set_session(ReviewSession(case))
    for structure in items[30:]:
        view.set_visible(structure.id, False)
    view.set_active(items[20].id)
    view.centre_on(items[20].id)
    view.set_brush_mm(20)
    for _ in range(20):
        app.processEvents()
    return view


def napari_paint() -> None:
    """Bare napari's brush."""
    native = _napari().canvas.native
    _drag(native, native.rect().center())


def _ours(tool: str) -> None:
    view = _view()
    view.set_tool(tool)
    pane = view.planes["axial"]
    _drag(pane.native, pane.position_of(view.cross_index).toPoint())
    view.session.undo()


def paint() -> None:
    """Our brush."""
    _ours("paint")


def smart() -> None:
    """Our smart brush."""
    _ours("smart")


def nudge() -> None:
    """Our nudge brush."""
    _ours("nudge")


def main() -> None:
    """Print milliseconds a move, and ratios."""
    ways = {name: f"bench_strokes:{name}" for name in ("napari_paint", "paint", "smart", "nudge")}
    found = times(ways, rounds=3)
    for name in ways:
        ms = found.median(name) / MOVES * 1000
        sys.stdout.write(f"{name}: {ms:.0f} ms a move, {found.ratio(name, 'napari_paint'):.2f} of napari's\n")


if __name__ == "__main__":
    main()
