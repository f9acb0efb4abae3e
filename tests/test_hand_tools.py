"""Hand tools with real mouse events: smart brush, nudge, freehand, points, limits and locks, pen and touch pad."""

import numpy as np
import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QInputDevice, QNativeGestureEvent, QPointingDevice, QTabletEvent, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from test_edit_tools import LEFT, NONE, PLANES, SHIFT, begin, drag

from contourdesk.app.homotopy import count_parts
from contourdesk.app.limits import Limits, SliceRange
from contourdesk.app.structures import Mask


def flat(session, view, plane, structure):
    """The slice shown of a structure, (rows, columns)."""
    axis = view.planes[plane].plane.slice_axis
    dense = session.structures.named(structure).mask.dense(session.structures.grid.shape)
    return np.take(dense, view.cross_index[axis], axis=axis)


def screen(view, plane, structure_index):
    return view.planes[plane].position_of(structure_index).toPoint()


def way(a, b, steps=6):
    return [a + (b - a) * n / steps for n in range(steps + 1)]


@pytest.mark.parametrize("plane", PLANES)
def test_nudge_pushes_out_and_in_and_is_one_step(open_view, plane):
    session, view = begin(open_view, "axial", "Big", "nudge")
    view.centre_on(view.active)
    view.set_brush_mm(12)
    pane = view.planes[plane]
    before = flat(session, view, plane, "Big")
    middle = screen(view, plane, view.cross_index)
    zoom = pane.canvas.zoom
    revision = session.revision
    out = QPoint(round(18 * zoom), 0)  # a ball of 16 mm: the brush reaches 18 + 6 mm
    drag(pane, way(middle, middle + out))
    after = flat(session, view, plane, "Big")
    assert session.revision == revision + 1 and session.undo_text == "Nudge on Big"
    assert (after & ~before).any() and not (before & ~after).any()
    assert count_parts(after) == count_parts(before)
    end = pane.index_at(QPointF(middle + out))
    grid = session.structures.grid
    added = np.argwhere(
        session.structures.named("Big").mask.dense(grid.shape) & ~np.expand_dims(before, pane.plane.slice_axis)
    )
    added = added[added[:, pane.plane.slice_axis] == view.cross_index[pane.plane.slice_axis]]
    reach = np.linalg.norm(grid.to_world(added) - grid.to_world(end), axis=1)
    assert reach.max() <= 30
    session.undo()
    assert (flat(session, view, plane, "Big") == before).all()
    far = middle + QPoint(0, round(30 * zoom))
    drag(pane, way(far, middle + QPoint(0, round(10 * zoom))))  # from outside it pushes in
    after = flat(session, view, plane, "Big")
    assert (before & ~after).any()
    assert count_parts(after) == count_parts(before)


def test_nudge_shows_while_it_drags_and_esc_takes_it_back(open_view, qtbot):
    session, view = begin(open_view, "axial", "Big", "nudge")
    view.centre_on(view.active)
    pane, middle = view.planes["axial"], screen(view, "axial", view.cross_index)
    QTest.mousePress(pane.native, LEFT, NONE, middle)
    QTest.mouseMove(pane.native, middle + QPoint(round(16 * pane.canvas.zoom), 0))
    assert session.revision == 0
    shown = {s.name: mask for s, mask in view._state.shown()}
    assert shown["Big"].count > session.structures.named("Big").mask.count
    QTest.keyClick(view, Qt.Key.Key_Escape)
    QTest.mouseRelease(pane.native, LEFT, NONE, middle)
    assert session.revision == 0 and view._state.preview is None
    view.set_active(session.structures.named("Empty").id)
    with qtbot.waitSignal(view.error) as told:
        drag(pane, [middle])
    assert "no outline on this slice" in told.args[0]


def test_smart_brush_keeps_to_the_bright_ball(open_view):
    session, view = begin(open_view, "axial", "Empty", "smart")
    from view_phantoms import MARKER_LPS, ball

    view.go_to(MARKER_LPS)
    view.set_brush_mm(60)
    pane = view.planes["axial"]
    drag(pane, [screen(view, "axial", view.cross_index)])
    bright = ball(session.structures.grid, MARKER_LPS, 9.0)
    wanted = np.zeros_like(bright)
    wanted[view.cross_index[0]] = bright[view.cross_index[0]]
    got = session.structures.named("Empty").mask.dense(bright.shape)
    assert (got == wanted).all()
    assert session.undo_text == "Smart on Empty"
    view.set_brush_3d(True)
    drag(pane, [screen(view, "axial", view.cross_index)])
    assert (session.structures.named("Empty").mask.dense(bright.shape) == bright).all()
    drag(pane, [screen(view, "axial", view.cross_index)], SHIFT)
    assert session.structures.named("Empty").mask.is_empty


def test_freehand_adds_takes_away_and_replaces(open_view):
    session, view = begin(open_view, "axial", "Big", "polygon")
    view.centre_on(view.active)
    pane, middle = view.planes["axial"], screen(view, "axial", view.cross_index)
    before = flat(session, view, "axial", "Big")
    zoom = pane.canvas.zoom

    def ring(at, mm):
        angles = np.linspace(0, 2 * np.pi, 40)
        return [at + QPoint(round(mm * zoom * np.cos(a)), round(mm * zoom * np.sin(a))) for a in angles]

    drag(pane, ring(middle + QPoint(round(16 * zoom), 0), 6))
    grown = flat(session, view, "axial", "Big")
    assert not (before & ~grown).any() and (grown & ~before).sum() * 4 == pytest.approx(np.pi * 36 / 2, rel=0.35)
    assert session.undo_text == "Polygon on Big"
    drag(pane, ring(middle, 4), SHIFT)
    holed = flat(session, view, "axial", "Big")
    assert (grown & ~holed).sum() * 4 == pytest.approx(np.pi * 16, rel=0.2)
    assert count_parts(holed) == (1, 1)
    view.tools["polygon"]._choose("replace")
    drag(pane, ring(middle, 10))
    view.tools["polygon"]._choose("add")
    only = flat(session, view, "axial", "Big")
    assert only.sum() * 4 == pytest.approx(np.pi * 100, rel=0.1) and count_parts(only) == (1, 0)
    assert session.structures.named("Big").mask.bits.shape[0] > 1  # other slices are as they were


def test_corners_can_be_dragged_before_the_polygon_closes(open_view):
    session, view = begin(open_view, "axial", "Empty", "polygon")
    pane, middle = view.planes["axial"], screen(view, "axial", view.cross_index)
    corners = [middle + QPoint(x, y) for x, y in ((-150, -150), (150, -150), (150, 150), (-150, 150))]
    for corner in corners:
        QTest.mouseClick(pane.native, LEFT, NONE, corner)
    drag(pane, way(corners[2], middle + QPoint(25, 25)))
    assert session.revision == 0
    QTest.keyClick(view, Qt.Key.Key_Return)
    count = session.structures.named("Empty").mask.count
    pixel = pane.canvas.zoom * 2
    # The square without the two triangles that the drag cut off.
    assert count * pixel**2 == pytest.approx(300 * 300 - 2 * 0.5 * 300 * 125, rel=0.1)


@pytest.mark.parametrize("plane", PLANES)
def test_points_are_dragged_added_and_removed(open_view, plane):
    session, view = begin(open_view, "coronal", "Big", "points")
    view.centre_on(view.active)
    pane = view.planes[plane]
    tool = view.tools["points"]
    before = session.structures.named("Big").mask
    shape = session.structures.grid.shape
    start = flat(session, view, plane, "Big")
    QTest.mouseMove(pane.native, screen(view, plane, view.cross_index))
    loops = tool._outline.loops
    assert len(loops) == 1
    axes = [a for a in range(3) if a != pane.plane.slice_axis]

    def at(row_column):
        index = [float(i) for i in view.cross_index]
        index[axes[0]], index[axes[1]] = row_column
        return pane.position_of(tuple(index)).toPoint()

    point = at(loops[0][0])
    outwards = point + (point - screen(view, plane, view.cross_index)) * 0.4
    drag(pane, way(point, outwards))
    after = session.structures.named("Big").mask
    assert session.revision == 1 and session.undo_text == "Contour points on Big"
    assert (flat(session, view, plane, "Big") & ~start).any()
    changed = np.argwhere(after.dense(shape) != before.dense(shape))
    assert set(changed[:, pane.plane.slice_axis]) == {view.cross_index[pane.plane.slice_axis]}
    count = len(tool._outline.loops[0])
    assert count == len(loops[0])  # the points are still the same, one elsewhere
    QTest.mouseMove(pane.native, outwards)
    QTest.keyClick(view, Qt.Key.Key_Delete)
    assert session.revision == 2 and len(tool._outline.loops[0]) == count - 1
    loop = tool._outline.loops[0]
    ends = np.roll(loop, -1, axis=0)
    k = int(np.argmax(np.linalg.norm(ends - loop, axis=1)))
    edge = at((loop[k] + ends[k]) / 2)
    drag(pane, way(edge, edge + QPoint(25, 20)))
    assert len(tool._outline.loops[0]) == count and session.revision == 3
    QTest.mouseClick(pane.native, Qt.MouseButton.RightButton, NONE, edge + QPoint(25, 20))
    assert len(tool._outline.loops[0]) == count - 1
    while session.can_undo:
        session.undo()
    assert session.structures.named("Big").mask.equals(before)
    QTest.mouseMove(pane.native, screen(view, plane, view.cross_index))
    assert len(tool._outline.loops[0]) == len(loops[0])  # made anew from what is there


def test_a_locked_structure_is_told_and_limits_hold_while_drawing(open_view, qtbot):
    session, view = begin(open_view, "axial", "Left", "paint")
    view.centre_on(view.active)
    pane, middle = view.planes["axial"], screen(view, "axial", view.cross_index)
    session.set_locked(view.active, True)
    for tool in ("paint", "nudge", "polygon", "points", "fill", "smart"):
        view.set_tool(tool)
        with qtbot.waitSignal(view.error) as told:
            QTest.mouseClick(pane.native, LEFT, NONE, middle)
        assert told.args[0].startswith("Left is locked")
    empty = session.structures.named("Empty").id
    view.set_active(empty)
    view.set_tool("paint")
    view.set_brush_mm(60)
    left = session.structures.named("Left").mask
    drag(pane, [middle])
    grid = session.structures.grid
    painted = session.structures.get(empty).mask.dense(grid.shape)
    assert painted.any() and not (painted & left.dense(grid.shape)).any()
    k = view.cross_index[0]
    session.limits = Limits(True, SliceRange(0, k + 1, k + 3))
    with qtbot.waitSignal(view.error, timeout=200, raising=False) as told:
        drag(pane, [middle])
    assert not told.signal_triggered  # nothing was drawn, so nothing was asked of the session
    view.set_brush_3d(True)
    drag(pane, [middle])
    more = session.structures.get(empty).mask.dense(grid.shape) & ~painted
    assert set(np.nonzero(more)[0]) == {k + 1, k + 2, k + 3}


def pen(widget, kind, at, *, eraser=False, pressed=True):
    """A pen's event at a place of the widget."""
    kinds = QPointingDevice.PointerType
    device = QPointingDevice(
        "pen", 7, QInputDevice.DeviceType.Stylus, kinds.Eraser if eraser else kinds.Pen,
        QInputDevice.Capability.Position, 1, 2,
    )  # fmt: skip
    button = Qt.MouseButton.LeftButton if kind != QTabletEvent.Type.TabletMove else Qt.MouseButton.NoButton
    buttons = Qt.MouseButton.LeftButton if pressed else Qt.MouseButton.NoButton
    event = QTabletEvent(
        kind, device, QPointF(at), QPointF(widget.mapToGlobal(at)), 0.7, 0, 0, 0, 0, 0, NONE, button, buttons
    )
    QApplication.sendEvent(widget, event)


def stroke(widget, points, *, eraser=False):
    kinds = QTabletEvent.Type
    pen(widget, kinds.TabletPress, points[0], eraser=eraser)
    for at in points[1:]:
        pen(widget, kinds.TabletMove, at, eraser=eraser)
    pen(widget, kinds.TabletRelease, points[-1], eraser=eraser, pressed=False)


def test_a_pen_draws_and_its_other_end_erases(open_view):
    session, view = begin(open_view, "axial", "Empty", "paint")
    pane, middle = view.planes["axial"], screen(view, "axial", view.cross_index)
    stroke(pane.native, way(middle, middle + QPoint(60, 0)))
    painted = session.structures.named("Empty").mask
    assert painted.count > 20 and session.revision == 1
    stroke(pane.native, way(middle, middle + QPoint(60, 0)), eraser=True)
    assert session.structures.named("Empty").mask.is_empty


def test_the_mask_of_a_preview_is_gone_after_it(open_view):
    session, view = begin(open_view, "axial", "Empty", "paint")
    pane, middle = view.planes["axial"], screen(view, "axial", view.cross_index)
    drag(pane, way(middle, middle + QPoint(30, 0)))
    assert view._state.preview is None
    assert isinstance(session.structures.named("Empty").mask, Mask)


def swipe(widget, pixels, phase):
    """One event of two fingers on a touch pad."""
    at = QPointF(widget.rect().center())
    event = QWheelEvent(
        at, QPointF(widget.mapToGlobal(at.toPoint())), QPoint(0, pixels), QPoint(0, pixels * 2),
        Qt.MouseButton.NoButton, NONE, phase, False,
    )  # fmt: skip
    QApplication.sendEvent(widget, event)


def test_a_swipe_goes_slice_by_slice_and_a_pinch_zooms(open_view):
    _, view = begin(open_view, "axial", tool="navigate")
    native, phases = view.planes["axial"].native, Qt.ScrollPhase
    start = view.cross_index[0]
    swipe(native, 0, phases.ScrollBegin)
    for _ in range(40):
        swipe(native, 9, phases.ScrollUpdate)  # 360 pixels
    moved = abs(view.cross_index[0] - start)
    assert moved == 8
    for _ in range(60):
        swipe(native, 40, phases.ScrollMomentum)
    assert abs(view.cross_index[0] - start) == moved
    swipe(native, -2000, phases.ScrollUpdate)  # one event is one slice, however wild
    assert abs(view.cross_index[0] - start) == moved - 1
    zoom = view.planes["axial"].canvas.zoom
    pad = QPointingDevice.primaryPointingDevice()
    at = QPointF(native.rect().center())
    pinch = QNativeGestureEvent(
        Qt.NativeGestureType.ZoomNativeGesture,
        pad,
        2,
        at,
        at,
        QPointF(native.mapToGlobal(at.toPoint())),
        0.25,
        QPointF(),
    )
    QApplication.sendEvent(native, pinch)
    assert view.planes["axial"].canvas.zoom == pytest.approx(zoom * 1.25)
