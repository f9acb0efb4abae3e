"""Layouts of the views, with plain widgets in their places."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtWidgets import QWidget

from contourdesk.widgets.view_layouts import Arrangement, ViewLayouts

NAMES = ("axial", "sagittal", "coronal", "surfaces")
LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def layouts(qtbot):
    views = {name: QWidget() for name in NAMES}
    for view in views.values():
        view.setMinimumSize(160, 140)
    made = ViewLayouts(views, "surfaces")
    made.views = views
    qtbot.addWidget(made)
    made.resize(1000, 604)
    made.show()
    qtbot.waitExposed(made)
    return made


def shown(layouts):
    return {name for name, view in layouts.views.items() if view.isVisible()}


def covered(layouts):
    """Pixels that the views cover; each must lie in the room, none over another."""
    places = [view.geometry() for view in layouts.views.values() if view.isVisible()]
    for i, one in enumerate(places):
        assert layouts.rect().contains(one)
        assert not any(one.intersects(other) for other in places[i + 1 :])
    return sum(p.width() * p.height() for p in places)


def test_one_large_and_two_small_any_plane_large(layouts):
    assert shown(layouts) == {"axial", "sagittal", "coronal"}
    for name in ("coronal", "sagittal", "axial"):
        layouts.enlarge(name)
        assert shown(layouts) == {"axial", "sagittal", "coronal"}
        assert layouts.views[name].height() == 604
        assert layouts.views[name].width() > 600
        assert covered(layouts) == pytest.approx(1000 * 604, rel=0.02)
    layouts.enlarge("surfaces")
    assert shown(layouts) == set(NAMES)
    assert covered(layouts) == pytest.approx(1000 * 604, rel=0.02)
    with pytest.raises(ValueError, match="view must be"):
        layouts.enlarge("oblique")


def test_two_by_two_and_one(layouts):
    layouts.choose("four", "axial")
    assert shown(layouts) == set(NAMES)
    assert {(v.width(), v.height()) for v in layouts.views.values()} == {(498, 300)}
    layouts.choose("one", "sagittal")
    assert shown(layouts) == {"sagittal"}
    assert layouts.views["sagittal"].geometry() == layouts.rect()
    with pytest.raises(ValueError, match="layout must be"):
        layouts.choose("nine", "axial")
    assert [layouts.following] == ["three"]


def test_maximising_gives_back_what_was_there_and_is_not_remembered(qtbot, layouts):
    layouts.choose("four", "axial")
    before = layouts.arrangement
    layouts.toggle_maximised("coronal")
    assert shown(layouts) == {"coronal"}
    assert layouts.kept == before
    layouts.toggle_maximised("coronal")
    assert layouts.arrangement == before
    layouts.choose("one", "axial")  # chosen, not maximised
    layouts.toggle_maximised("axial")
    assert layouts.arrangement.kind == "three"


def test_gaps_can_be_dragged_within_limits(qtbot, layouts):
    with qtbot.waitSignal(layouts.changed):
        qtbot.mousePress(layouts, LEFT, pos=QPoint(round(996 * 0.64) + 1, 200))
        qtbot.mouseMove(layouts, QPoint(400, 200))
        qtbot.mouseRelease(layouts, LEFT, pos=QPoint(400, 200))
    assert layouts.views["axial"].width() == pytest.approx(400, abs=5)
    gap = layouts.views["sagittal"].geometry().bottom() + 2
    qtbot.mousePress(layouts, LEFT, pos=QPoint(800, gap))
    qtbot.mouseMove(layouts, QPoint(800, 2))
    qtbot.mouseRelease(layouts, LEFT, pos=QPoint(800, 2))
    assert layouts.views["sagittal"].height() == pytest.approx(150, abs=3)
    covered(layouts)


def test_an_arrangement_survives_the_settings(layouts):
    layouts.enlarge("coronal")
    text = layouts.kept.text
    assert Arrangement.from_text(text, NAMES) == layouts.kept
    for bad in (
        "",
        "three",
        "three oblique 0.5 0.5",
        "nine axial 0.5 0.5",
        "three axial 0.99 0.5",
        "three axial x 0.5",
    ):
        assert Arrangement.from_text(bad, NAMES) == Arrangement()
