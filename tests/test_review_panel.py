"""Figures on a change, time at work and hidden proposals in the review panel, used as a reviewer does."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from view_phantoms import make_session

from contourdesk.app.structures import Decision, Mask, Provenance, Structure
from contourdesk.widgets.change_figures import FigureKeeper
from contourdesk.widgets.review_panel import ReviewPanel

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def session():
    session = make_session("axial")
    session.reviewer = "Dr Test"
    return session


@pytest.fixture
def panel(qtbot, session):
    panel = ReviewPanel()
    qtbot.addWidget(panel)
    panel.show()
    qtbot.waitExposed(panel)
    panel.set_session(session)
    yield panel
    panel.set_session(None)
    assert panel.keeper.runner.wait(5)


def shown(panel: ReviewPanel, key: str) -> str:
    return panel.figures.values[key].text()


def test_figures_follow_the_edits(qtbot, session, panel):
    big = session.structures.named("Big")
    panel.set_active(big.id)
    qtbot.waitUntil(lambda: shown(panel, "dice") == "1.000", timeout=10_000)
    assert panel.figures.heading.text().startswith("Change of the")
    z, y, x = (s.start for s in big.mask.box)
    whole = np.zeros((1, *big.mask.bits.shape[1:]), bool)
    session.paint(big.id, (z, y, x), whole)
    assert shown(panel, "dice") == "…" or panel.keeper.figures(big.id) is None  # not the old ones
    qtbot.waitUntil(lambda: panel.keeper.figures(big.id) is not None, timeout=10_000)
    f = panel.keeper.figures(big.id)
    assert f.slices_touched == 1
    assert shown(panel, "slices_touched") == f"1 of {big.mask.bits.shape[0]}"
    assert shown(panel, "volume_change_ml").startswith("−")
    assert session.work["figures"][big.id]["slices_touched"] == 1
    assert "Vaassen" in panel.figures.values["added_path_mm"].toolTip()
    empty = session.structures.named("Empty")
    panel.set_active(empty.id)  # drawn by the reviewer: nothing to compare with
    assert not panel.figures.isVisible()


def test_time_at_work_is_counted_from_real_events(qtbot, session, panel, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr("contourdesk.widgets.change_figures.time.monotonic", lambda: clock[0])
    big, left = session.structures.named("Big"), session.structures.named("Left")
    panel.set_active(big.id)
    window = panel.window().windowHandle()
    for seconds in (20, 30, 300, 10):  # the third is a pause
        clock[0] += seconds
        QTest.mouseClick(window, LEFT, Qt.KeyboardModifier.NoModifier, QPoint(3, 3))
        qtbot.wait(20)
    panel.set_active(left.id)
    clock[0] += 7
    panel.set_active(big.id)
    assert panel.keeper.seconds(big.id) == 60
    assert panel.keeper.seconds(left.id) == 7
    assert session.work["seconds"][left.id] == 7
    other = FigureKeeper()
    other.set_session(session)  # reopened: it goes on from there
    assert other.seconds(big.id) == 60


def test_a_hidden_proposal_is_shown_once_the_reviewer_has_drawn(qtbot, session, panel):
    session.blind = True
    mask = session.structures.named("Left").mask
    (new,) = session.add_proposals([Structure("Larynx", (1, 2, 3), mask, Provenance("model", model="m"))])
    panel.set_active(new)
    assert "hidden" in panel.state.text()
    assert panel.reveal_button.isVisible()
    assert not panel.reveal_button.isEnabled()
    assert not panel.figures.isVisible()
    session.paint(new, mask.offset, mask.bits[:2])
    assert panel.reveal_button.isEnabled()
    assert not panel.figures.isVisible()
    qtbot.mouseClick(panel.reveal_button, LEFT)
    assert not panel.reveal_button.isVisible()
    qtbot.waitUntil(lambda: panel.figures.isVisible() and shown(panel, "dice") not in ("…", ""), timeout=10_000)
    assert panel.keeper.figures(new).slices_touched == mask.bits.shape[0] - 2


def test_what_a_former_reader_decided_stands_there(qtbot, session, panel):
    big = session.structures.named("Big")
    session.decide(big.id, "rejected", "cut off")
    session.begin_reading("Dr Second")
    panel.set_active(big.id)
    assert panel.former.text() == "Dr Test: rejected"
    assert panel.former.toolTip() == "cut off"
    assert session.structures.get(big.id).decision == Decision()
    assert isinstance(big.mask, Mask)
