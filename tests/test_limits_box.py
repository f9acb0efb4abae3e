"""The limits in the Edit panel: what they say, and what they make of the session."""

import pytest
from test_limits import make_session

from contourdesk.app.limits import Limits, SliceRange
from contourdesk.widgets.limits_box import LimitsBox


class View:
    """Stands for the views: they tell the slice that is shown, no more."""

    cross_index = (2, 4, 5)


@pytest.fixture
def box(qtbot):
    box = LimitsBox(View())
    qtbot.addWidget(box)
    box.show()
    return box


def test_what_is_chosen_holds_for_the_session(box) -> None:
    session = make_session()
    box.set_session(session)
    assert session.limits == Limits() and box.head.accessibleDescription() == "Limits: none"
    assert not box.plane.isVisible()
    box.head.click()
    assert box.plane.isVisible() and not box.first.isVisible()
    box.plane.setCurrentIndex(box.plane.findData("coronal"))
    assert box.first.isVisible() and session.limits == Limits(slices=SliceRange(1, 4, 4))  # the slice shown
    box.last.setValue(9)
    box.over_locked.click()
    box.inside.setCurrentIndex(box.inside.findData("body"))
    assert session.limits == Limits(True, SliceRange(1, 4, 8), "body")
    assert box.head.accessibleDescription() == "Limits: over locked, coronal 5 to 9, in Body"
    session.rename("body", "External")
    assert box.inside.currentText() == "External" and session.limits.inside == "body"
    session.delete("body")
    assert session.limits == Limits(True, SliceRange(1, 4, 8))
    session.undo()
    other = make_session()
    box.set_session(other)
    assert other.limits == Limits() and session.limits != Limits() and not box.first.isVisible()
    box.set_session(None)
    assert not box.isEnabled()
