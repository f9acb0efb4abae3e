"""Painting, erasing, polygons and fills with real mouse events; the panel of tools."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QDoubleSpinBox, QSlider, QToolButton
from view_phantoms import CENTRE_LPS, ORIENTATIONS, make_session

from contourdesk.app.structures import Mask
from contourdesk.widgets.edit_tools import EditTools
from contourdesk.widgets.tools import TOOLS

LEFT = Qt.MouseButton.LeftButton
NONE, SHIFT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier
PLANES = ("axial", "sagittal", "coronal")


def begin(open_view, name="axial", structure="Empty", tool="paint"):
    """A view with this structure active, the tool in hand and the planes at the phantom's centre."""
    session = make_session(name)
    view = open_view(session)
    view.go_to(CENTRE_LPS)
    view.set_active(session.structures.named(structure).id)
    view.set_tool(tool)
    return session, view


def drag(pane, points, modifiers=NONE):
    """Press at the first screen point, move over the others, let go at the last."""
    QTest.mousePress(pane.native, LEFT, modifiers, points[0])
    for point in points[1:]:
        QTest.mouseMove(pane.native, point)
    QTest.mouseRelease(pane.native, LEFT, modifiers, points[-1])


def world_of(session, structure):
    """LPS of all voxels of a structure, (n, 3)."""
    mask = session.structures.named(structure).mask
    return session.structures.grid.to_world(np.argwhere(mask.bits) + mask.offset)


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("name", ORIENTATIONS)
def test_a_dab_covers_the_brush_in_mm_on_one_slice(open_view, name, plane):
    session, view = begin(open_view, name)
    view.set_brush_mm(24)
    grid = session.structures.grid
    pane = view.planes[plane]
    drag(pane, [pane.position_of(view.cross_index).toPoint()])
    painted = world_of(session, "Empty")
    along = {"axial": 2, "sagittal": 0, "coronal": 1}[plane]
    assert np.ptp(painted[:, along]) < 1e-6  # one slice
    centre = grid.to_world(view.cross_index)
    assert np.linalg.norm(painted - centre, axis=1).max() <= 12 + 1.5  # a screen pixel is more than half a mm
    area = len(painted) * grid.voxel_ml * 1000 / grid.spacing_mm[grid.view(plane).slice_axis]
    assert area == pytest.approx(np.pi * 12**2, rel=0.15)


def test_ball_reaches_through_the_slices(open_view):
    session, view = begin(open_view)
    view.set_brush_mm(24)
    view.set_brush_3d(True)
    pane = view.planes["axial"]
    drag(pane, [pane.position_of(view.cross_index).toPoint()])
    painted = world_of(session, "Empty")
    # Slices are 4 mm apart: those at +-8 mm are in, those at +-12 mm only if the mouse is exactly on a voxel's centre.
    assert np.ptp(painted[:, 2]) in (pytest.approx(16), pytest.approx(24))
    assert np.linalg.norm(painted - session.structures.grid.to_world(view.cross_index), axis=1).max() <= 12 + 1.5
    volume = len(painted) * session.structures.grid.voxel_ml * 1000
    assert volume == pytest.approx(4 / 3 * np.pi * 12**3, rel=0.1)


def test_stroke_has_no_gaps_and_is_one_undo_step(open_view):
    session, view = begin(open_view)
    view.set_brush_mm(4)
    pane = view.planes["axial"]
    z, y, x = view.cross_index
    revision = session.revision
    ends = [pane.position_of((z, y, i)).toPoint() for i in (5, x, 45)]  # two far jumps of the mouse
    drag(pane, ends)
    mask = session.structures.named("Empty").mask
    row = mask.dense(session.structures.grid.shape)[z, y]
    assert row[5:46].all() and not row[:3].any()
    assert session.revision == revision + 1 and session.undo_text == "Paint on Empty"
    session.undo()
    assert session.structures.named("Empty").mask.is_empty
    session.redo()
    assert session.structures.named("Empty").mask.equals(mask)


def test_preview_is_drawn_before_the_session_changes(open_view, qtbot):
    session, view = begin(open_view)
    pane = view.planes["axial"]
    at = pane.position_of(view.cross_index).toPoint()
    QTest.mousePress(pane.native, LEFT, NONE, at)
    QTest.mouseMove(pane.native, at + QPoint(40, 0))
    assert session.revision == 0
    shown = {s.name: mask for s, mask in view._state.shown()}
    assert shown["Empty"].count > 10
    session.rename(view.active, "Renamed while drawing")  # e.g. a shortcut: the stroke was begun on another state
    QTest.mouseRelease(pane.native, LEFT, NONE, at)
    assert session.structures.get(view.active).mask.is_empty


def test_erase_and_shift_change_the_active_structure_alone(open_view):
    session, view = begin(open_view, "ras", "Left", "erase")
    before = {s.name: s.mask for s in session.structures}
    view.centre_on(view.active)
    view.set_brush_mm(8)
    pane = view.planes["coronal"]
    at = pane.position_of(view.cross_index).toPoint()
    drag(pane, [at])
    after = session.structures.named("Left").mask
    taken = before["Left"].dense(session.structures.grid.shape) & ~after.dense(session.structures.grid.shape)
    grid = session.structures.grid
    voxel_mm2 = grid.voxel_ml * 1000 / grid.spacing_mm[grid.view("coronal").slice_axis]
    assert taken[view.cross_index]
    assert taken.sum() * voxel_mm2 == pytest.approx(np.pi * 4**2, rel=0.4)  # few voxels, so a rough circle
    drag(pane, [at], SHIFT)  # Shift turns it round
    assert session.structures.named("Left").mask.equals(before["Left"])
    for other in ("Big", "Empty"):
        assert session.structures.named(other).mask is before[other]
    assert session.structures.named("Left").edited and not session.structures.named("Big").edited


@pytest.mark.parametrize("how", ["double click", "enter", "first corner"])
def test_polygon(open_view, how):
    session, view = begin(open_view, "sagittal", tool="polygon")
    pane = view.planes["axial"]
    plane = pane.plane
    corners = []
    for v, h in ((-8, -8), (-8, 8), (8, 8), (8, -8)):
        index = [float(i) for i in view.cross_index]
        index[plane.vertical_axis] += v + 0.5
        index[plane.horizontal_axis] += h + 0.5
        corners.append(pane.position_of(tuple(index)).toPoint())
    for corner in corners:
        QTest.mouseClick(pane.native, LEFT, NONE, corner)
    assert session.revision == 0
    if how == "double click":
        QTest.mouseDClick(pane.native, LEFT, NONE, corners[-1])
    elif how == "enter":
        QTest.keyClick(view, Qt.Key.Key_Return)
    else:
        QTest.mouseClick(pane.native, LEFT, NONE, corners[0] + QPoint(3, 2))
    mask = session.structures.named("Empty").mask
    assert mask.bits.shape[plane.slice_axis] == 1
    assert mask.offset[plane.slice_axis] == view.cross_index[plane.slice_axis]
    assert 15 * 15 <= mask.count <= 17 * 17
    for corner in corners:  # take it away again
        QTest.mouseClick(pane.native, LEFT, NONE, corner)
    QTest.keyClick(view, Qt.Key.Key_Return, SHIFT)
    assert session.structures.named("Empty").mask.is_empty


def test_polygon_can_be_given_up(open_view, qtbot):
    session, view = begin(open_view, tool="polygon")
    pane = view.planes["axial"]
    for x, y in ((100, 100), (200, 100), (200, 200)):
        QTest.mouseClick(pane.native, LEFT, NONE, QPoint(x, y))
    QTest.keyClick(view, Qt.Key.Key_Backspace)
    with qtbot.waitSignal(view.error) as told:
        QTest.keyClick(view, Qt.Key.Key_Return)
    assert told.args == ["A polygon needs at least three corners."]
    QTest.keyClick(view, Qt.Key.Key_Escape)
    QTest.keyClick(view, Qt.Key.Key_Return)
    assert session.revision == 0


def test_fill_closes_a_ring_and_shift_removes_the_part(open_view, qtbot):
    session, view = begin(open_view, "coronal", tool="fill")
    plane = view.planes["axial"].plane
    bits = np.zeros(session.structures.grid.shape, bool)
    ring = [slice(i - 6, i + 7) for i in view.cross_index]
    hole = [slice(i - 4, i + 5) for i in view.cross_index]
    for box in (ring, hole):
        box[plane.slice_axis] = slice(view.cross_index[plane.slice_axis], view.cross_index[plane.slice_axis] + 1)
    bits[tuple(ring)] = True
    bits[tuple(hole)] = False
    session.replace_mask(view.active, Mask.from_dense(bits), "test")
    pane = view.planes["axial"]
    at = pane.position_of(view.cross_index).toPoint()
    drag(pane, [at])
    assert session.structures.named("Empty").mask.count == 13 * 13
    drag(pane, [at], SHIFT)
    assert session.structures.named("Empty").mask.is_empty
    with qtbot.waitSignal(view.error) as told:
        drag(pane, [at])
    assert "does not enclose" in told.args[0]


def test_no_or_a_hidden_structure_is_told_and_not_painted(open_view, qtbot):
    session, view = begin(open_view)
    pane = view.planes["axial"]
    view.set_visible(view.active, False)
    with qtbot.waitSignal(view.error) as told:
        drag(pane, [QPoint(100, 100), QPoint(120, 100)])
    assert told.args[0].startswith("Empty is hidden.")
    view.set_active(None)
    with qtbot.waitSignal(view.error) as told:
        drag(pane, [QPoint(100, 100), QPoint(120, 100)])
    assert told.args[0].startswith("No structure is chosen.")
    assert session.revision == 0


def test_painting_beyond_the_edge_of_the_image(open_view):
    session, view = begin(open_view)
    view.set_brush_mm(30)
    pane = view.planes["axial"]
    drag(pane, [pane.position_of((0, 0, 0)).toPoint(), QPoint(-50, -50), QPoint(5, 5)])
    mask = session.structures.named("Empty").mask
    assert mask.count > 0 and min(mask.offset) >= 0


def test_panel_and_view_follow_each_other(open_view, qtbot):
    view = open_view(make_session("axial"))
    panel = EditTools(view)
    qtbot.addWidget(panel)
    panel.show()
    for tool in reversed(TOOLS):
        button = panel.findChild(QToolButton, f"tool_{tool.id}")
        QTest.mouseClick(button, LEFT)
        assert view.tool == tool.id and button.isChecked() and tool.shortcut in button.toolTip()
        assert panel.findChild(QSlider, "brush_slider").isVisible() == tool.brush
    view.set_tool("erase")
    assert panel.findChild(QToolButton, "tool_erase").isChecked()
    spin, slider = panel.findChild(QDoubleSpinBox, "brush_size"), panel.findChild(QSlider, "brush_slider")
    spin.setValue(12.5)
    assert view.brush_mm == 12.5 and slider.value() == 12
    slider.setValue(20)
    assert view.brush_mm == 20 and spin.value() == 20
    view.step_brush(1)
    assert view.brush_mm == 23 and spin.value() == 23
    view.step_brush(-1)
    assert view.brush_mm == 20
    view.set_brush_mm(0.1)
    assert view.brush_mm == 1
    QTest.mouseClick(panel.findChild(QToolButton, "brush_3d"), LEFT)
    assert view.brush_3d
    view.set_brush_3d(False)
    assert panel.findChild(QToolButton, "brush_2d").isChecked()
    for wrong in (lambda: view.set_tool("hammer"), lambda: view.set_display("x")):
        with pytest.raises(ValueError, match="must be one of"):
            wrong()
