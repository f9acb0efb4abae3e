"""Tells that long work has ended when the user is in another window."""

from __future__ import annotations

from qtpy.QtCore import QObject
from qtpy.QtWidgets import QApplication, QSystemTrayIcon, QWidget

from contourdesk.widgets.language import tr

LONG_S = 10.0
_SHOWN_MS = 10_000
WANTED = "tells_ends"  # property of the main window: whether the user wants to be told


def tell_end(owner: QObject, title: str, seconds: float, *, good: bool) -> bool:
    """Call for attention if the work took long and none of our windows is the active one.

    Parameters
    ----------
    owner : whose work it was; its window is the one that calls.
    title : what the work is, such as "Segmentation".

    Returns
    -------
    Whether anybody was called.
    """
    window = _window_of(owner)
    if window is None or seconds < LONG_S or QApplication.activeWindow() is not None or not window.property(WANTED):
        return False
    QApplication.alert(window)
    if QSystemTrayIcon.isSystemTrayAvailable():
        tray = window.findChild(QSystemTrayIcon) or QSystemTrayIcon(window)
        tray.setIcon(window.windowIcon())
        tray.show()
        said = tr("{work} has ended.") if good else tr("{work} has failed.")
        tray.showMessage("Contourdesk", said.format(work=title), window.windowIcon(), _SHOWN_MS)
    return True


def _window_of(owner: QObject) -> QWidget | None:
    """The main window: the widget at the top of those that `owner` belongs to."""
    found, at = None, owner
    while at is not None:
        found, at = (at if isinstance(at, QWidget) else found), at.parent()
    return found
