"""The plane under the mouse is drawn at once, each other one in a frame of its own."""

from __future__ import annotations

import pytest
from view_phantoms import ORIENTATIONS, make_session

from contourdesk.widgets.plane_view import PlaneView

NAME = next(iter(ORIENTATIONS))


@pytest.fixture
def drawn(monkeypatch):
    """Names of the planes in the order in which they are drawn."""
    names, refresh = [], PlaneView.refresh

    def noted(self):
        names.append(self.name)
        refresh(self)

    monkeypatch.setattr(PlaneView, "refresh", noted)
    return names


def test_the_others_follow_one_by_one(open_view, qtbot, drawn):
    view = open_view(make_session(NAME))
    drawn.clear()
    view.step_slice(1)
    assert drawn == ["axial"]
    qtbot.waitUntil(lambda: len(drawn) == 3)
    assert set(drawn) == {"axial", "sagittal", "coronal"}


def test_changes_that_never_rest_leave_no_plane_behind(open_view, qtbot, drawn):
    view = open_view(make_session(NAME))
    drawn.clear()
    for n in range(30):
        view.step_slice(1 if n % 2 else -1)
        qtbot.wait(5)
    assert {"sagittal", "coronal"} <= set(drawn)


def test_a_picture_shows_no_plane_that_is_behind(open_view, drawn):
    view = open_view(make_session(NAME))
    drawn.clear()
    view.step_slice(1)
    view.screenshot()
    assert drawn[0] == "axial" and set(drawn) == {"axial", "sagittal", "coronal"}


def test_a_decision_draws_nothing(open_view, drawn):
    session = make_session(NAME)
    view = open_view(session)
    drawn.clear()
    session.decide(session.structures.items[0].id, "accepted")
    assert not drawn
    session.undo()
    assert not drawn
    assert view.session is session
