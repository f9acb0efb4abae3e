"""The three planes: orientation, linking, read-out, window, drawing. Real canvases, real mouse events."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest
from qtpy.QtCore import QEvent, QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from view_phantoms import CENTRE_LPS, MARKER_LPS, ORIENTATIONS, make_session, pixels, white_centre

from contourdesk.app.geometry import Grid
from contourdesk.app.structures import Mask
from contourdesk.widgets.ortho_view import OrthoView, cursor_text
from contourdesk.widgets.view_outlines import slice_outline
from contourdesk.widgets.window_presets import default_window, presets_for

LEFT, NONE = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier


def wheel(view, steps, modifiers=NONE):
    native = view.native
    at = QPointF(native.rect().center())
    event = QWheelEvent(
        at, QPointF(native.mapToGlobal(at.toPoint())), QPoint(), QPoint(0, 120 * steps), Qt.MouseButton.NoButton,
        modifiers, Qt.ScrollPhase.NoScrollPhase, False,
    )  # fmt: skip
    QApplication.sendEvent(native, event)


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_marker_appears_on_the_clinical_side(qtbot, open_view, name):
    session = make_session(name)
    view = open_view(session)
    grid = session.structures.grid
    view.go_to(MARKER_LPS)
    qtbot.wait(50)
    left, front, up = (np.array(MARKER_LPS) - CENTRE_LPS) * (1, -1, 1)
    assert min(left, front, up) > 0  # to the patient's left, front and head
    expected = {"axial": (1, -1), "coronal": (1, -1), "sagittal": (-1, -1)}  # the nose points left
    for plane, (across, down) in expected.items():
        pane = view.planes[plane]
        centre = pane.position_of(tuple(grid.to_index(CENTRE_LPS)))
        seen = white_centre(pixels(view, plane))
        assert (seen[0] - centre.x()) * across > 10, plane
        assert (seen[1] - centre.y()) * down > 10, plane
        told = pane.position_of(tuple(grid.to_index(MARKER_LPS)))
        # What napari draws is where the mouse and the outlines are counted from.
        assert np.hypot(seen[0] - told.x(), seen[1] - told.y()) < 2.5, plane


def test_aspect_follows_the_spacing(qtbot, open_view):
    view = open_view(make_session("axial"))  # 4 x 2 x 2 mm
    pane = view.planes["coronal"]
    a, b, c = (pane.position_of(i) for i in ((0, 0, 0), (10, 0, 0), (0, 0, 10)))
    assert abs(b.y() - a.y()) == pytest.approx(2 * abs(c.x() - a.x()))


def test_click_moves_the_crosshair_of_all_planes(qtbot, open_view):
    view = open_view(make_session("axial"))
    pane = view.planes["axial"]
    z = view.cross_index[0]
    QTest.mouseClick(pane.native, LEFT, NONE, pane.position_of((z, 12, 31)).toPoint())
    assert view.cross_index == (z, 12, 31)
    pane = view.planes["sagittal"]
    QTest.mouseClick(pane.native, LEFT, NONE, pane.position_of((5, 20, 31)).toPoint())
    assert view.cross_index == (5, 20, 31)
    assert view.current_plane in ("axial", "sagittal")


@pytest.mark.parametrize("name", ORIENTATIONS)
def test_wheel_goes_towards_the_head(qtbot, open_view, name):
    session = make_session(name)
    view = open_view(session)
    grid = session.structures.grid
    before = grid.to_world(view.cross_index)
    wheel(view.planes["axial"], 2)
    after = grid.to_world(view.cross_index)
    assert after[2] - before[2] == pytest.approx(8, abs=1)  # 4 mm apart, slightly tilted at most
    wheel(view.planes["axial"], 999)
    assert 0 <= view.cross_index[grid.view("axial").slice_axis] < max(grid.shape)


def test_ctrl_wheel_zooms_about_the_mouse_and_leaves_the_slice(qtbot, open_view):
    view = open_view(make_session("axial"))
    pane = view.planes["axial"]
    at = QPointF(pane.native.rect().center())
    before, slices = pane.index_at(at), view.cross_index
    zoom = pane.canvas.zoom
    wheel(pane, 3, Qt.KeyboardModifier.ControlModifier)
    qtbot.wait(30)
    assert pane.canvas.zoom == pytest.approx(zoom * 1.15**3, rel=1e-3)
    assert np.allclose(pane.index_at(at), before, atol=0.02)
    assert view.cross_index == slices


def test_drags_pan_and_change_the_window(qtbot, open_view):
    view = open_view(make_session("axial"))
    pane = view.planes["axial"]
    start = pane.native.rect().center()
    before = pane.position_of((0, 0, 0))
    for button in (Qt.MouseButton.MiddleButton, Qt.MouseButton.RightButton):
        QTest.mousePress(pane.native, button, NONE, start)
        QTest.mouseMove(pane.native, start + QPoint(30, 20))
        QTest.mouseRelease(pane.native, button, NONE, start + QPoint(30, 20))
    after = pane.position_of((0, 0, 0))
    assert (after.x() - before.x(), after.y() - before.y()) == pytest.approx((30, 20), abs=0.5)
    centre, width = view.window
    assert centre > 40 and width > 400


def test_double_click_shows_one_plane_and_all_again(qtbot, open_view):
    view = open_view(make_session("axial"))
    pane = view.planes["coronal"]
    for alone in (True, False):
        QTest.mouseDClick(pane.native, LEFT, NONE, pane.native.rect().center())
        qtbot.wait(50)
        assert [p.isVisible() for p in view.planes.values()] == [not alone, not alone, True]


def test_read_out_gives_value_and_place(qtbot, open_view):
    session = make_session("ras")
    view = open_view(session)
    view.go_to(MARKER_LPS)
    qtbot.wait(30)
    pane = view.planes["axial"]
    QTest.mouseMove(pane.native, pane.native.rect().center())
    with qtbot.waitSignal(view.cursor_moved) as told:
        QTest.mouseMove(pane.native, pane.position_of(view.cross_index).toPoint())
    place = session.structures.grid.to_world(view.cross_index)
    assert told.args[0].startswith("HU 1000 · L ")
    numbers = [float(word) for word in told.args[0].split() if word.replace(".", "").isdigit()][1:]
    assert np.allclose(numbers, np.abs(place), atol=1.0)
    with qtbot.waitSignal(view.cursor_moved) as told:
        QApplication.sendEvent(pane.native, QEvent(QEvent.Type.Leave))
    assert told.args == [""]


def test_read_out_text():
    grid = Grid.from_spacing((5, 5, 5), (2, 1, 1), (-12.3, 45.6, -78.9))
    assert cursor_text(43.0, "HU", grid, (0, 0, 0)) == "HU 43 · R 12.3 P 45.6 I 78.9 mm"
    assert cursor_text(0.25, "", grid, (0, -50, 20)) == "Value 0.25 · L 7.7 A 4.4 I 78.9 mm"


def test_window_presets():
    session = make_session("axial")
    assert [p.name for p in presets_for(session.case.volume)] == ["Soft tissue", "Bone", "Lung", "Brain"]
    assert default_window(session.case.volume) == (40, 400)


def test_structures_are_drawn_in_their_colour_and_can_be_hidden(qtbot, open_view):
    session = make_session("axial")
    view = open_view(session)
    structure = session.structures.named("Left")
    view.set_display("fill")
    view.set_opacity(1.0)
    view.centre_on(structure.id)
    view.set_tool("paint")  # a pale crosshair
    at = view.planes["axial"].position_of(view.cross_index)

    def colour():
        qtbot.wait(40)
        return pixels(view, "axial")[round(at.y()) + 4, round(at.x()) + 4].tolist()

    assert colour() == [255, 0, 0]
    session.recolour(structure.id, (0, 255, 0))
    assert colour() == [0, 255, 0]
    below = [0, 0, 255]  # "Big" lies round it
    view.set_visible(structure.id, False)
    assert colour() == below and not view.is_visible(structure.id)
    view.set_visible(structure.id, True)
    session.delete(structure.id)
    assert colour() == below
    session.undo()
    assert colour() == [0, 255, 0]


def test_active_structure_goes_with_its_structure(qtbot, open_view):
    session = make_session("axial")
    view = open_view(session)
    structure = session.structures.items[0].id
    view.set_active(structure)
    with qtbot.waitSignal(view.active_changed) as told:
        session.delete(structure)
    assert told.args == [None] and view.active is None
    with pytest.raises(KeyError):
        view.set_active("nobody")


def test_outline_runs_between_set_and_unset_voxels():
    grid = Grid.from_spacing((4, 10, 12), (4, 2, 2))
    bits = np.zeros(grid.shape, bool)
    bits[2, 3:7, 4:9] = True
    bits[2, 5, 6] = False
    box = slice_outline(Mask.from_dense(bits), grid.view("axial"), 2).boundingRect()
    assert (box.left(), box.right(), box.top(), box.bottom()) == pytest.approx((3.5, 8.5, 2.5, 6.5), abs=0.3)
    path = slice_outline(Mask.from_dense(bits), grid.view("axial"), 2)
    assert path.contains(QPointF(5, 4)) and not path.contains(QPointF(6, 5))
    box = slice_outline(Mask.from_dense(bits), grid.view("sagittal"), 7).boundingRect()
    # Corners are rounded, but every voxel centre stays inside.
    assert (box.left(), box.right(), box.top(), box.bottom()) == pytest.approx((2.5, 6.5, 1.5, 2.5), abs=0.45)
    assert slice_outline(Mask.from_dense(bits), grid.view("axial"), 3).isEmpty()


def test_closing_lets_go_of_the_session(qtbot):
    view = OrthoView()

    def show_and_close():
        # In a frame of its own: napari looks at the locals of its callers, and Python keeps what it saw.
        session = make_session("axial")
        view.resize(600, 400)
        view.show()
        view.set_session(session)
        qtbot.wait(50)
        kept = weakref.ref(session)
        view.close_views()
        view.close_views()
        view.close()
        session.rename(session.structures.items[0].id, "Nobody listens any more")
        qtbot.wait(50)
        return kept

    kept = show_and_close()
    gc.collect()
    assert kept() is None


def test_a_place_outside_the_zoomed_picture_is_brought_into_it(open_view):
    session = make_session("axial")
    view = open_view(session)
    for pane in view.planes.values():
        pane.canvas.zoom_about(pane.native.rect().topLeft().toPointF(), 6.0)
    view.go_to(CENTRE_LPS)
    for pane in view.planes.values():
        assert pane.native.rect().contains(pane.position_of(view.cross_index).toPoint())
