"""Measuring, ghosts, surfaces and jumps in the views: real canvases, real mouse events."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from view_phantoms import make_session, pixels

from contourdesk.widgets.measure_bar import MeasureBar
from contourdesk.widgets.version_bar import VersionBar

LEFT, RIGHT, NONE = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton, Qt.KeyboardModifier.NoModifier


def drag(pane, *at):
    points = [pane.position_of(i).toPoint() for i in at]
    QTest.mousePress(pane.native, LEFT, NONE, points[0])
    for point in points[1:]:
        QTest.mouseMove(pane.native, (point + points[0]) / 2)
        QTest.mouseMove(pane.native, point)
    QTest.mouseRelease(pane.native, LEFT, NONE, points[-1])


@pytest.fixture
def view(open_view):
    view = open_view(make_session("axial"))  # 4 x 2 x 2 mm
    yield view
    view.layouts.choose("three", "axial")
    view.marks.ghosts = False


def test_ruler_angle_probe_and_ellipse_by_mouse(qtbot, view):
    bar = MeasureBar(view.marks.measurements)
    qtbot.addWidget(bar)
    made = view.marks.measurements
    pane = view.planes["coronal"]
    z, y, x = view.cross_index
    view.set_tool("ruler")
    drag(pane, (z - 3, y, x), (z + 2, y, x + 5))
    length = np.hypot(5 * 4, 5 * 2)
    assert float(made.items[0].text.split()[0]) == pytest.approx(length, abs=1.5)  # as exact as a pixel
    view.set_tool("angle")
    for at in ((z, y, x + 5), (z, y, x), (z + 5, y, x)):
        QTest.mouseClick(pane.native, LEFT, NONE, pane.position_of(at).toPoint())
    assert float(made.items[1].text.rstrip("°")) == pytest.approx(90, abs=3)
    view.set_tool("probe")
    QTest.mouseClick(pane.native, LEFT, NONE, pane.position_of((z, y, x)).toPoint())
    assert made.items[2].text == "-300 HU"
    view.set_tool("ellipse")
    drag(pane, (z - 4, y, x - 6), (z + 4, y, x + 6))
    assert made.items[3].text == "-300.0 ± 0.0 HU"
    area = float(made.items[3].detail.split("area ")[1].split()[0])
    assert area == pytest.approx(np.pi * 16 * 12 / 100, rel=0.05)
    assert bar.list.count() == 4
    seen = pixels(view, "coronal")
    assert (np.abs(seen.astype(int) - (120, 240, 180)).max(axis=2) < 40).sum() > 100  # drawn on the view
    QTest.mouseClick(pane.native, RIGHT, NONE, pane.position_of((z, y, x + 2)).toPoint())
    assert [m.kind for m in made.items] == ["ruler", "angle", "probe"]
    bar.list.setCurrentRow(0)
    QTest.keyClick(bar.list, Qt.Key.Key_Delete)
    assert [m.kind for m in made.items] == ["angle", "probe"]
    view.set_session(make_session("axial"))
    assert made.items == []


def test_esc_gives_up_what_is_being_measured(qtbot, view):
    pane = view.planes["axial"]
    view.set_tool("ruler")
    QTest.mouseClick(pane.native, LEFT, NONE, QPoint(100, 100))
    assert view.tools["ruler"].busy
    QTest.keyClick(view, Qt.Key.Key_Escape)
    assert not view.tools["ruler"].busy
    assert view.marks.measurements.items == []


def test_the_proposal_stays_as_a_dashed_ghost_and_versions_compare(qtbot, view):
    session = view.session
    left = next(s for s in session.structures if s.name == "Left")
    view.set_active(left.id)
    view.centre_on(left.id)
    bits = left.mask.bits.copy()
    bits[:, :, : bits.shape[2] // 2] = False
    session.paint(left.id, left.mask.offset, bits)
    qtbot.wait(50)
    without = pixels(view, "axial").astype(int)
    view.marks.toggle_ghosts()
    qtbot.wait(50)
    ghosts = (np.abs(pixels(view, "axial").astype(int) - without).max(axis=2) > 60).sum()
    assert ghosts > 60
    bar = VersionBar(view)
    qtbot.addWidget(bar)
    bar.set_session(session)
    bar.toggle()
    assert [v.key for v in bar._versions] == ["first", "now"]
    assert (bar.one.currentData(), bar.other.currentData()) == ("first", "now")
    first, now = view.marks.compared
    assert first.equals(left.mask)
    assert now.equals(session.structures.get(left.id).mask)
    session.decide(left.id, "accepted")
    assert bar.other.currentData() == "now"
    assert bar.other.count() == 3
    bar.toggle()
    assert view.marks.compared is None


def test_surfaces_come_when_shown_follow_edits_and_a_click_moves_the_crosshair(qtbot, view):
    session, surfaces = view.session, view.surfaces
    assert not surfaces.surfaces  # nothing was computed
    view.layouts.choose("four", "axial")
    big, left, empty = (next(s for s in session.structures if s.name == n) for n in ("Big", "Left", "Empty"))
    qtbot.waitUntil(lambda: len(surfaces.surfaces) == 3, timeout=30_000)
    assert surfaces.surfaces[empty.id] is None
    made = surfaces.surfaces[left.id]
    assert made.volume_ml == pytest.approx(left.volume_ml(session.structures.grid), rel=0.02)
    view.set_visible(big.id, False)
    qtbot.wait(50)
    middle = made.vertices_lps.mean(axis=0)
    QTest.mouseClick(surfaces.native, LEFT, NONE, surfaces.project(middle).toPoint())
    for turned in (20.0, 110.0):  # what is drawn lies where places are projected to, not mirrored
        surfaces._camera.azimuth = turned
        qtbot.wait(50)
        rgb = surfaces._canvas.render()[..., :3].astype(int)
        row, column = np.nonzero((rgb[..., 0] > 60) & (rgb[..., 1] < 30) & (rgb[..., 2] < 30))
        scale = rgb.shape[1] / surfaces.native.width()
        expected = surfaces.project(middle) * scale
        assert (column.mean(), row.mean()) == pytest.approx((expected.x(), expected.y()), abs=4)
    z, y, x = view.cross_index
    at = session.structures.grid.to_world((z, y, x))
    assert np.linalg.norm(at - middle) == pytest.approx(12, abs=4.5)  # on the surface of the ball
    bits = left.mask.bits.copy()
    bits[: len(bits) // 2] = False
    session.paint(left.id, left.mask.offset, bits)
    half = session.structures.get(left.id).volume_ml(session.structures.grid)
    qtbot.waitUntil(lambda: surfaces.surfaces[left.id].volume_ml == pytest.approx(half, rel=0.05), timeout=30_000)
    view.layouts.choose("three", "axial")
    session.undo()
    qtbot.wait(600)
    assert surfaces.surfaces[left.id].volume_ml == pytest.approx(half, rel=0.05)  # hidden: no work is done


def test_first_and_last_slice_in_the_plane_of_the_mouse(view):
    left = next(s for s in view.session.structures if s.name == "Left")
    for name in view.planes:
        pane = view.planes[name]
        QTest.mouseMove(pane.native, pane.native.rect().center() + QPoint(3, 3))
        QTest.mouseMove(pane.native, pane.native.rect().center())
        assert view.current_plane == name
        axis = pane.plane.slice_axis
        slices = range(left.mask.tight.box[axis].start, left.mask.tight.box[axis].stop)
        view.go_to_end(left.id, last=False)
        assert view.cross_index[axis] == slices[0]
        view.go_to_end(left.id, last=True)
        assert view.cross_index[axis] == slices[-1]


def test_zoom_to_a_structure_shows_all_of_it_and_centring_never_zooms_in(view):
    structure = view.session.structures.items[0]
    view.reset_view()
    zooms = {name: view.planes[name].canvas.zoom for name in ("axial", "sagittal", "coronal")}
    view.zoom_to(structure.id, closer=False)
    assert {name: view.planes[name].canvas.zoom for name in zooms} == zooms  # it fits already
    view.zoom_to(structure.id)
    for name, before in zooms.items():
        pane = view.planes[name]
        assert pane.canvas.zoom > before
        corners = [
            pane.position_of([b.start for b in structure.mask.box]),
            pane.position_of([b.stop - 1 for b in structure.mask.box]),
        ]
        assert all(pane.native.rect().contains(corner.toPoint()) for corner in corners)
    pane = view.planes["axial"]
    pane.canvas.zoom_about(pane.position_of(view.cross_index), 8)
    close = pane.canvas.zoom
    view.zoom_to(structure.id, closer=False)
    assert pane.canvas.zoom < close
