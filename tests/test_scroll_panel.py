"""Panels in a column of two docks: whole where there is room, scrolling where there is none."""

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QLabel, QMainWindow, QVBoxLayout, QWidget

from contourdesk.widgets.scroll_panel import ScrollPanel, share_column


def panel_of(*heights: int) -> tuple[ScrollPanel, list[QLabel]]:
    panel = QWidget()
    layout = QVBoxLayout(panel)
    labels = [QLabel(str(height)) for height in heights]
    for label, height in zip(labels, heights, strict=True):
        label.setMinimumSize(180, height)
        layout.addWidget(label)
    return ScrollPanel(panel), labels


def test_a_high_panel_asks_for_little_and_keeps_room_for_the_bar(qtbot) -> None:
    scroll, (_, large) = panel_of(100, 4000)
    qtbot.addWidget(scroll)
    large.hide()
    scroll.show()
    qtbot.waitUntil(lambda: scroll.needs < 200)
    assert scroll.minimumHeight() <= scroll.needs
    assert scroll.minimumWidth() > scroll.widget().minimumSizeHint().width()  # room for the bar
    width = scroll.minimumWidth()
    with qtbot.waitSignal(scroll.needs_changed):
        large.show()
    assert scroll.needs > 4000
    assert scroll.minimumHeight() < 300
    assert scroll.minimumWidth() == width


def test_the_upper_panel_is_whole_and_the_lower_gets_the_rest(qtbot) -> None:
    window = QMainWindow()
    window.setCentralWidget(QWidget())
    qtbot.addWidget(window)
    docks = []
    for scroll, labels in (panel_of(120, 60), panel_of(300, 500)):
        dock = QDockWidget("D", window)
        dock.setWidget(scroll)
        window.addDockWidget(Qt.DockWidgetArea.RightDockWidgetArea, dock)
        docks.append((dock, scroll, labels))
    (upper, first, parts), (lower, second, _) = docks
    parts[1].hide()
    window.resize(800, 700)
    window.show()
    qtbot.waitExposed(window)
    share_column(window, upper, lower)
    qtbot.waitUntil(lambda: first.height() == first.needs and second.height() > 400, timeout=3000)
    parts[1].show()
    qtbot.waitUntil(lambda: first.needs > 180 and first.height() == first.needs, timeout=3000)
    window.resize(800, 900)
    qtbot.waitUntil(lambda: window.height() == 900 and first.height() == first.needs, timeout=3000)
    window.resize(800, 500)  # too low for both: none is squeezed out, the window keeps its height
    qtbot.waitUntil(lambda: window.height() == 500, timeout=3000)
    assert first.height() > 100 and second.height() > 100
