"""Prompts, flood, range and livewire with real mouse and key events."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QLabel, QPushButton, QToolButton
from view_phantoms import MARKER_LPS, ball, make_session

from contourdesk.widgets.edit_tools import EditTools

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
NONE, SHIFT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier
PLANES = ("axial", "sagittal", "coronal")


def begin(open_view, tool, structure="Empty", name="axial"):
    session = make_session(name)
    view = open_view(session)
    view.set_active(session.structures.named(structure).id)
    view.go_to(MARKER_LPS)
    view.set_tool(tool)
    return session, view, view.tools[tool]


def at(view, plane, offset=(0, 0)):
    pane = view.planes[plane]
    return pane.position_of(view.cross_index).toPoint() + QPoint(*offset)


def drag(pane, points, modifiers=NONE):
    QTest.mousePress(pane.native, LEFT, modifiers, points[0])
    for point in points[1:]:
        QTest.mouseMove(pane.native, point)
    QTest.mouseRelease(pane.native, LEFT, modifiers, points[-1])


def made(qtbot, view, tool):
    """Wait for the proposal."""
    qtbot.waitUntil(lambda: not tool.runner.running and view._state.proposal is not None, timeout=20_000)
    return view._state.proposal


def marker(session):
    return ball(session.structures.grid, MARKER_LPS, 9.0)


def dice(mask, truth):
    bits = mask.dense(truth.shape)
    return 2 * (bits & truth).sum() / (bits.sum() + truth.sum())


@pytest.mark.parametrize("plane", PLANES)
def test_a_click_proposes_and_enter_applies_one_step(open_view, qtbot, plane):
    session, view, tool = begin(open_view, "prompt", name="ras")
    QTest.mouseClick(view.planes[plane].native, LEFT, NONE, at(view, plane))
    proposal = made(qtbot, view, tool)
    assert session.revision == 0
    assert dice(proposal, marker(session)) > 0.85
    QTest.keyClick(view, Qt.Key.Key_Return)
    assert session.revision == 1 and session.undo_text == "Prompts on Empty"
    assert session.structures.named("Empty").mask.equals(proposal)
    assert view._state.proposal is None and not tool.busy
    session.undo()
    assert session.structures.named("Empty").mask.is_empty


def test_prompts_add_up_are_taken_back_and_dropped(open_view, qtbot):
    session, view, tool = begin(open_view, "prompt")
    native = view.planes["axial"].native
    QTest.mouseClick(native, LEFT, NONE, at(view, "axial"))
    first = made(qtbot, view, tool)
    QTest.mouseClick(native, RIGHT, NONE, at(view, "axial"))  # a point outside, on the same place
    qtbot.waitUntil(lambda: not tool.runner.running)
    assert [p.inside for p in tool.prompts] == [True, False]
    assert view._state.proposal is None or view._state.proposal.is_empty
    QTest.keyClick(view, Qt.Key.Key_Backspace)
    qtbot.waitUntil(lambda: not tool.runner.running and view._state.proposal is not None)
    assert view._state.proposal.equals(first)
    QTest.keyClick(view, Qt.Key.Key_Escape)
    assert view._state.proposal is None and tool.prompts == () and session.revision == 0


@pytest.mark.parametrize("kind", ["box", "lasso", "scribble"])
def test_each_kind_is_drawn_by_a_drag(open_view, qtbot, request, kind):
    session, view, tool = begin(open_view, "prompt")
    panel = EditTools(view)
    qtbot.addWidget(panel)
    panel.findChild(QToolButton, f"prompt_kind_{kind}").click()
    request.addfinalizer(lambda: tool._set_kind("point"))
    zoom = view.planes["axial"].canvas.zoom
    r = 11 * zoom if kind != "scribble" else 5 * zoom
    if kind == "lasso":
        offsets = [(r * np.cos(a), r * np.sin(a)) for a in np.linspace(0, 6.1, 24)]
    else:
        offsets = [(-r, -r), (0, 0), (r, r)]
    drag(view.planes["axial"], [at(view, "axial", (round(x), round(y))) for x, y in offsets])
    assert [p.kind for p in tool.prompts] == [kind]
    assert dice(made(qtbot, view, tool), marker(session)) > 0.7
    view.set_tool("navigate")
    assert view._state.proposal is None


def test_a_change_meanwhile_makes_a_new_proposal(open_view, qtbot):
    session, view, tool = begin(open_view, "prompt")
    QTest.mouseClick(view.planes["axial"].native, LEFT, NONE, at(view, "axial"))
    made(qtbot, view, tool)
    drawn = np.zeros((3, 3, 3), bool)
    drawn[1] = True
    session.paint(view.active, (2, 2, 2), drawn)
    QTest.keyClick(view, Qt.Key.Key_Return)  # what is proposed was made of other voxels
    qtbot.waitUntil(lambda: session.revision == 2, timeout=20_000)
    mask = session.structures.named("Empty").mask.dense(session.structures.grid.shape)
    assert mask[3, 2:5, 2:5].all()
    assert mask[marker(session)].mean() > 0.8


def test_grow_from_seeds_in_the_prompt_tool(open_view, qtbot):
    session, view, tool = begin(open_view, "prompt")
    panel = EditTools(view)
    qtbot.addWidget(panel)
    method = panel.findChild(QComboBox, "prompt_method")
    method.setCurrentIndex(method.findData("seeds"))
    native = view.planes["axial"].native
    QTest.mouseClick(native, LEFT, NONE, at(view, "axial"))
    proposal = made(qtbot, view, tool)
    QTest.mouseClick(native, LEFT, SHIFT, at(view, "axial", (round(14 * view.planes["axial"].canvas.zoom), 0)))
    qtbot.waitUntil(lambda: not tool.runner.running and view._state.proposal is not proposal)
    assert dice(view._state.proposal, marker(session)) > 0.6
    method.setCurrentIndex(0)
    QTest.keyClick(view, Qt.Key.Key_Escape)


def test_flood_takes_the_ball_and_shift_takes_it_away(open_view, qtbot):
    session, view, tool = begin(open_view, "flood")
    panel = EditTools(view)
    qtbot.addWidget(panel)
    panel.findChild(QToolButton, "flood_depth_volume").click()
    QTest.mouseClick(view.planes["sagittal"].native, LEFT, NONE, at(view, "sagittal"))
    assert np.array_equal(made(qtbot, view, tool).dense(session.structures.grid.shape), marker(session))
    QTest.keyClick(view, Qt.Key.Key_Return)
    assert session.undo_text == "Flood on Empty"
    panel.findChild(QToolButton, "flood_depth_slice").click()
    QTest.mouseClick(view.planes["axial"].native, LEFT, SHIFT, at(view, "axial"))
    made(qtbot, view, tool)
    QTest.keyClick(view, Qt.Key.Key_Return)
    left = session.structures.named("Empty").mask.dense(session.structures.grid.shape)
    expected = marker(session).copy()
    expected[view.cross_index[0]] = False
    assert np.array_equal(left, expected)


def test_a_leak_is_told(open_view, qtbot):
    _, view, tool = begin(open_view, "flood")
    panel = EditTools(view)
    qtbot.addWidget(panel)
    radius = panel.findChild(QDoubleSpinBox, "flood_radius")
    radius.setValue(8)
    view.go_to(np.subtract(MARKER_LPS, (40, 0, 0)))
    QTest.mouseClick(view.planes["axial"].native, LEFT, NONE, at(view, "axial"))
    made(qtbot, view, tool)
    assert "may leak" in panel.findChild(QLabel, "flood_text").text()
    radius.setValue(30)
    QTest.keyClick(view, Qt.Key.Key_Escape)


def test_a_range_follows_its_numbers(open_view, qtbot):
    session, view, tool = begin(open_view, "range")
    panel = EditTools(view)
    qtbot.addWidget(panel)
    r = round(15 * view.planes["coronal"].canvas.zoom)
    drag(view.planes["coronal"], [at(view, "coronal", (-r, -r)), at(view, "coronal"), at(view, "coronal", (r, r))])
    one = made(qtbot, view, tool).dense(session.structures.grid.shape)
    middle = marker(session).copy()
    axis = view.planes["coronal"].plane.slice_axis
    keep = [slice(None)] * 3
    keep[axis] = view.cross_index[axis]
    expected = np.zeros_like(middle)
    expected[tuple(keep)] = middle[tuple(keep)]
    assert np.array_equal(one, expected)
    panel.findChild(QDoubleSpinBox, "range_depth").setValue(30)
    qtbot.waitUntil(lambda: view._state.proposal.count > one.sum(), timeout=20_000)
    assert np.array_equal(view._state.proposal.dense(middle.shape), middle)
    panel.findChild(QDoubleSpinBox, "range_low").setValue(2000)
    qtbot.waitUntil(lambda: view._state.proposal.is_empty, timeout=20_000)
    panel.findChild(QDoubleSpinBox, "range_low").setValue(100)
    panel.findChild(QDoubleSpinBox, "range_depth").setValue(0)
    QTest.keyClick(view, Qt.Key.Key_Escape)


@pytest.mark.parametrize("plane", PLANES)
def test_livewire_clings_to_the_ball_in_each_plane(open_view, plane):
    session, view, tool = begin(open_view, "livewire")
    view.set_window(300, 1600)
    pane = view.planes[plane]
    r = 9 * pane.canvas.zoom
    for angle in (0, 1.6, 3.1, 4.7):
        QTest.mouseClick(pane.native, LEFT, NONE, at(view, plane, (round(r * np.cos(angle)), round(r * np.sin(angle)))))
        QTest.mouseMove(pane.native, at(view, plane, (round(r * np.cos(angle + 0.8)), round(r * np.sin(angle + 0.8)))))
    QTest.keyClick(view, Qt.Key.Key_Backspace)
    QTest.mouseClick(pane.native, LEFT, NONE, at(view, plane, (0, round(-r))))
    QTest.keyClick(view, Qt.Key.Key_Return)
    assert session.undo_text == "Livewire on Empty" and session.revision == 1
    axis = pane.plane.slice_axis
    truth = np.take(marker(session), view.cross_index[axis], axis)
    drawn = np.take(
        session.structures.named("Empty").mask.dense(session.structures.grid.shape), view.cross_index[axis], axis
    )
    assert 2 * (drawn & truth).sum() / (drawn.sum() + truth.sum()) > 0.8
    assert not tool.busy


def test_without_a_checkpoint_nninteractive_says_what_to_do(open_view, qtbot):
    _, view, tool = begin(open_view, "prompt")
    panel = EditTools(view)
    qtbot.addWidget(panel)
    method, chooser = panel.findChild(QComboBox, "prompt_method"), panel.findChild(QPushButton, "prompt_model")
    assert chooser.isHidden()
    method.setCurrentIndex(method.findData("nninteractive"))
    assert not chooser.isHidden() and "Choose" in chooser.text()
    QTest.mouseClick(view.planes["axial"].native, LEFT, NONE, at(view, "axial"))
    text = panel.findChild(QLabel, "prompt_text")
    qtbot.waitUntil(lambda: "checkpoint" in text.text(), timeout=20_000)
    method.setCurrentIndex(0)
    assert made(qtbot, view, tool).count > 10  # the mark is still there
    QTest.keyClick(view, Qt.Key.Key_Escape)
