"""A panel in a column of two: whole where there is room, scrolling where there is none."""

from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from contourdesk.widgets.scroll_panel import ScrollPanel


def test_it_takes_what_the_panel_needs_and_no_more_than_half_the_screen(qtbot) -> None:
    panel = QWidget()
    layout = QVBoxLayout(panel)
    small, large = QLabel("A"), QLabel("B")
    small.setMinimumSize(180, 100)
    large.setMinimumHeight(4000)
    layout.addWidget(small)
    layout.addWidget(large)
    large.hide()
    scroll = ScrollPanel(panel)
    qtbot.addWidget(scroll)
    scroll.show()
    screen = scroll.screen().availableGeometry().height()
    assert scroll.minimumHeight() == panel.minimumSizeHint().height() < 200
    assert scroll.minimumWidth() == panel.minimumSizeHint().width()
    large.show()
    qtbot.waitUntil(lambda: scroll.minimumHeight() > 200)
    assert scroll.minimumHeight() <= screen / 2
    assert scroll.minimumWidth() > panel.minimumSizeHint().width()  # room for the bar
    large.hide()
    qtbot.waitUntil(lambda: scroll.minimumHeight() < 200)
