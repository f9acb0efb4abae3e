"""The operations panel: real widgets, a real view and session; what was previewed is what is applied."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDoubleSpinBox
from view_phantoms import make_session, pixels

from contourdesk.app.edits import grow, subtract
from contourdesk.app.operations import OPERATIONS
from contourdesk.widgets.operations_panel import OperationsPanel


@pytest.fixture
def desk(open_view, qtbot):
    """A session, its view, and the panel with "Left" active."""
    session = make_session("axial")
    view = open_view(session)
    panel = OperationsPanel(view)
    qtbot.addWidget(panel)
    panel.resize(300, 400)
    panel.show()
    panel.set_session(session)
    left = session.structures.named("Left")
    view.set_active(left.id)
    view.centre_on(left.id)
    panel.set_active(left.id)
    yield session, view, panel
    panel.set_session(None)


def ready(panel):
    """Whether the preview of what is asked now is shown."""
    return panel._view._state.proposal is not None and "→" in panel.text.text()


def test_preview_then_apply_is_one_undo_step(desk, qtbot):
    session, view, panel = desk
    before = session.structures.named("Left").mask
    panel.start("grow")
    qtbot.waitUntil(lambda: ready(panel))
    assert session.structures.named("Left").mask is before  # a preview changes nothing
    spin = panel.findChild(QDoubleSpinBox, "operation_mm")
    spin.setValue(4.0)
    wanted = grow(before, session.structures.grid, 4.0)
    qtbot.waitUntil(lambda: ready(panel) and view._state.proposal.equals(wanted))
    qtbot.mouseClick(panel.apply_button, Qt.MouseButton.LeftButton)
    assert session.structures.named("Left").mask.equals(wanted)
    assert session.undo_text == "Grow or shrink on Left"
    assert view._state.proposal is None
    assert panel.operation is None
    session.undo()
    assert session.structures.named("Left").mask.equals(before)


def test_apply_before_the_preview_is_there_waits_for_it(desk, qtbot):
    session, _, panel = desk
    before = session.structures.named("Left").mask
    panel.start("grow")
    panel.apply()
    qtbot.waitUntil(lambda: session.can_undo)
    assert session.structures.named("Left").mask.equals(grow(before, session.structures.grid, 3.0))


def test_other_structures_are_offered_without_empty_ones_and_itself(desk, qtbot):
    session, _, panel = desk
    panel.start("subtract")
    box = panel._inputs["other"]
    assert [box.itemText(i) for i in range(box.count())] == ["Big"]
    session.rename(session.structures.named("Big").id, "Large")
    assert box.itemText(0) == "Large"
    qtbot.waitUntil(lambda: ready(panel))
    big, left = session.structures.named("Large").mask, session.structures.named("Left").mask
    assert panel._view._state.proposal.equals(subtract(left, big))


def test_the_preview_follows_the_slice(desk, qtbot):
    session, view, panel = desk
    panel.start("cut_up")
    qtbot.waitUntil(lambda: ready(panel))
    first = view._state.proposal
    view.step_slice(-1)
    qtbot.waitUntil(lambda: ready(panel) and view._state.proposal is not first)
    slices = view._state.proposal.dense(session.structures.grid.shape).any(axis=(1, 2)).nonzero()[0]
    assert slices[-1] == view.cross_index[0]


def test_the_preview_is_drawn_dashed_and_goes_away(desk, qtbot):
    _, view, panel = desk
    bare = pixels(view, "axial")
    panel.start("grow")
    qtbot.waitUntil(lambda: ready(panel))
    shown = pixels(view, "axial")
    drawn = (shown > 230).all(axis=2) & ~(bare > 230).all(axis=2)
    assert drawn.sum() > 40
    qtbot.mouseClick(panel.close_button, Qt.MouseButton.LeftButton)
    assert np.array_equal(pixels(view, "axial"), bare)


def test_a_value_that_makes_no_sense_says_so_and_changes_nothing(desk, qtbot):
    session, _, panel = desk
    panel.start("margin")
    panel._inputs["left"].setValue(3)
    panel._inputs["right"].setValue(-3)
    qtbot.waitUntil(lambda: "two steps" in panel.text.text())
    with qtbot.waitSignal(panel.failed):
        panel.apply()
    assert not session.can_undo


def test_every_operation_makes_its_form(desk):
    _, _, panel = desk
    for operation in OPERATIONS:
        panel.start(operation.id)
        assert set(panel._inputs) == {f.key for f in operation.fields}
    panel.give_up()


def test_enter_applies_esc_gives_up_and_the_images_get_the_keyboard_back(desk, qtbot):
    session, view, panel = desk
    before = session.structures.named("Left").mask
    panel.activateWindow()
    qtbot.waitUntil(lambda: panel.isActiveWindow(), timeout=5000)
    panel.start("grow")
    spin = panel.findChild(QDoubleSpinBox, "operation_mm")
    assert panel.focusWidget() is spin
    qtbot.keyClicks(spin, "4")  # in place of what stood there
    qtbot.keyClick(spin, Qt.Key.Key_Return)
    wanted = grow(before, session.structures.grid, 4.0)
    qtbot.waitUntil(lambda: session.structures.named("Left").mask.equals(wanted))
    assert panel.operation is None
    panel.start("largest")
    assert panel.focusWidget() is panel.apply_button
    qtbot.keyClick(panel.apply_button, Qt.Key.Key_Escape)
    assert panel.operation is None and view._state.proposal is None
    assert session.structures.named("Left").mask.equals(wanted)
