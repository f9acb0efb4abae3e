"""A person at the screen: real mouse and key events through the windowing system, each counted; every warning is noted.

Events go to windows, not to widgets: what lies under the mouse gets them, a dialog or a popup in the way keeps them
off, and shortcuts are found as they are for a user. What can't be seen is scrolled to first, or it is an error.
"""

from __future__ import annotations

import collections
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from qtpy.QtCore import QModelIndex, QPoint, QPointF, Qt, QTimer, QtMsgType, qInstallMessageHandler
from qtpy.QtGui import QKeySequence, QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import (
    QAbstractItemView,
    QApplication,
    QComboBox,
    QDialog,
    QFileDialog,
    QLineEdit,
    QMessageBox,
    QPushButton,
    QScrollArea,
    QWidget,
)

LEFT, RIGHT = Qt.MouseButton.LeftButton, Qt.MouseButton.RightButton
NONE, SHIFT = Qt.KeyboardModifier.NoModifier, Qt.KeyboardModifier.ShiftModifier
_GRAVE = (QtMsgType.QtWarningMsg, QtMsgType.QtCriticalMsg, QtMsgType.QtFatalMsg)


class Trouble(Exception):
    """Something that must not happen, or something that didn't."""


class Ears(logging.Handler):
    """Hears every warning of Qt and of Python's logging. Make it before the application."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.heard: list[str] = []
        qInstallMessageHandler(self._on_qt)
        logging.getLogger().addHandler(self)

    def _on_qt(self, kind: QtMsgType, _context: object, text: str) -> None:
        if kind in _GRAVE:
            self.heard.append(f"Qt: {text}")

    def emit(self, record: logging.LogRecord) -> None:
        """Python's logging."""
        trace = f"\n{logging.Formatter().formatException(record.exc_info)}" if record.exc_info else ""
        self.heard.append(f"{record.name}: {record.getMessage()}{trace}")


class Person:
    """Clicks, drags, turns the wheel and types; `counts` has how often, `out` gets the pictures."""

    def __init__(self, app: QApplication, window: QWidget, out: Path, ears: Ears) -> None:
        self.app, self.window, self.out, self.ears = app, window, out, ears
        self.counts: collections.Counter[str] = collections.Counter()
        self.sent = 0.0  # when the last event went off: the release of a button, a key

    # -- waiting and watching -------------------------------------------------------------------------------------

    def check(self, doing: str) -> None:
        """Raise Trouble when a warning was heard or an error is on the screen."""
        if self.ears.heard:
            raise Trouble(f"{doing}: " + "; ".join(self.ears.heard))
        for top in self.app.topLevelWidgets():
            bad = top.objectName() == "error_dialog" or isinstance(top, QMessageBox)
            if bad and top.isVisible():
                raise Trouble(f"{doing}: {top.objectName() or 'a message box'}: {top.accessibleName()}")

    def wait(self, doing: str, until: Callable[[], bool], timeout_s: float = 60) -> float:
        """Let the program live until something holds; the seconds that took."""
        start = time.monotonic()
        while not until():
            QTest.qWait(10)
            self.check(doing)
            if time.monotonic() - start > timeout_s:
                raise Trouble(f"{doing}: nothing happened in {timeout_s:.0f} s")
        self.check(doing)
        return time.monotonic() - start

    def pause(self, milliseconds: int = 60) -> None:
        """Let the program catch up."""
        QTest.qWait(milliseconds)
        self.check("pausing")

    def picture(self, name: str) -> None:
        """Save what is on the screen, dialogs and popups too."""
        QTest.qWait(400)
        self.window.screen().grabWindow(0).save(str(self.out / f"{name}.png"))

    # -- finding --------------------------------------------------------------------------------------------------

    def see(self, name: str) -> QWidget | None:
        """The visible widget with this object name, the newest one; None when there is none."""
        found = [w for top in self.app.topLevelWidgets() for w in _with(top, name) if w.isVisible()]
        return found[-1] if found else None

    def find(self, name: str) -> QWidget:
        """The visible widget with this object name."""
        self.wait(f"looking for {name}", lambda: self.see(name) is not None, 10)
        return self.see(name)  # type: ignore[return-value]

    def reach(self, widget: QWidget, at: QPoint) -> None:
        """Scroll until a place of a widget can be seen."""
        for _ in range(60):
            if widget.visibleRegion().contains(at):
                return
            area = widget.parentWidget()
            while area is not None and not isinstance(area, QScrollArea):
                area = area.parentWidget()
            if area is None:
                break
            below = widget.mapTo(area, at).y() > area.height() // 2
            self.wheel(area.viewport(), area.viewport().rect().center(), -1 if below else 1)
        raise Trouble(f"{widget.objectName() or widget} can't be seen")

    # -- the mouse ------------------------------------------------------------------------------------------------

    def click_at(self, widget: QWidget, at: QPoint, button=LEFT, keys=NONE, *, double: bool = False) -> None:
        """Click a place of a widget."""
        self.reach(widget, at)
        top = widget.window()
        place = widget.mapTo(top, at)
        QTest.mouseMove(top.windowHandle(), place)
        self.sent = time.monotonic()
        QTest.mouseClick(top.windowHandle(), button, keys, place)
        if double:
            QTest.mouseDClick(top.windowHandle(), button, keys, place)
        self.counts["click"] += 2 if double else 1
        self.pause(20)

    def click(self, name: str) -> None:
        """Click the middle of a widget, once it can be clicked."""
        widget = self.find(name)
        self.wait(f"{name} is grey", widget.isEnabled, 30)
        self.click_at(widget, widget.rect().center())

    def drag(self, widget: QWidget, points: Sequence[QPoint], button=LEFT, keys=NONE) -> None:
        """Press at the first place, move over the others, let go at the last."""
        self.reach(widget, points[0])
        top = widget.window()
        handle, places = top.windowHandle(), [widget.mapTo(top, point) for point in points]
        QTest.mouseMove(handle, places[0])
        QTest.mousePress(handle, button, keys, places[0])
        for place in places[1:]:
            QTest.mouseMove(handle, place)
            QTest.qWait(8)
        self.sent = time.monotonic()
        QTest.mouseRelease(handle, button, keys, places[-1])
        self.counts["drag"] += 1
        self.pause(20)

    def hover(self, widget: QWidget, at: QPoint) -> None:
        """Move the mouse to a place of a widget."""
        QTest.mouseMove(widget.window().windowHandle(), widget.mapTo(widget.window(), at))
        self.pause(20)

    def wheel(self, widget: QWidget, at: QPoint, notches: int) -> None:
        """Turn the wheel over a place, towards the person when negative."""
        for _ in range(abs(notches)):
            turn = QPoint(0, 120 if notches > 0 else -120)
            place = QPointF(widget.mapToGlobal(at))
            event = QWheelEvent(
                QPointF(at), place, QPoint(), turn, Qt.MouseButton.NoButton, NONE, Qt.ScrollPhase.NoScrollPhase, False
            )
            self.app.sendEvent(widget, event)
            self.counts["wheel"] += 1
            QTest.qWait(10)

    # -- the keyboard ---------------------------------------------------------------------------------------------

    def _front(self) -> QWidget:
        """The window that has the keyboard; there is no window manager to give it back after a dialog."""
        front = self.app.activePopupWidget() or self.app.activeModalWidget()
        if front is None:
            front = self.window
        if self.app.activePopupWidget() is None and self.app.activeWindow() is not front:
            front.activateWindow()
            self.wait("the keyboard", lambda: self.app.activeWindow() is front, 5)
        return front

    def key(self, keys: str, *, count: bool = True) -> None:
        """Press keys such as "Ctrl+Z" or "A"."""
        handle = self._front().windowHandle()
        self.sent = time.monotonic()
        with contextlib.suppress(RuntimeError):  # the window went away with the key, before its release
            QTest.keySequence(handle, QKeySequence(keys))
        self.counts["key"] += count
        self.pause(20)

    def type(self, text: str) -> None:
        """Type a text; every character counts."""
        handle = self._front().windowHandle()
        for letter in text:
            QTest.keyClick(handle, letter)
        self.counts["key"] += len(text)
        self.pause(20)

    def write(self, name: str, text: str, *, enter: bool = False) -> None:
        """Click a field, and put a text in place of what stands there."""
        self._front()
        self.click(name)
        self.wait(f"the keyboard in {name}", lambda: self.app.focusWidget() is self.see(name), 5)
        self.key("Ctrl+A")
        self.type(text)
        if enter:
            self.key("Return")

    # -- what takes more than one event -----------------------------------------------------------------------------

    def choose(self, name: str, text: str) -> None:
        """Choose a line of a box that opens: two clicks."""
        box = self.find(name)
        if not isinstance(box, QComboBox):
            raise Trouble(f"{name} is no box")
        self.click(name)
        lines = box.view()
        self.wait(f"opening {name}", lines.isVisible, 5)
        row = next(i for i in range(box.count()) if text in box.itemText(i))
        index = lines.model().index(row, 0)
        lines.scrollTo(index)
        self.pause(250)  # popups leave out a release that comes with their opening
        self.click_at(lines.viewport(), lines.visualRect(index).center())
        self.wait(f"{text} in {name}", lambda: text in box.currentText() and not lines.isVisible(), 5)

    def line(self, view: QAbstractItemView, index: QModelIndex) -> None:
        """Turn the wheel over a list until a line is there, and click it."""
        room = view.viewport().rect()
        for _ in range(60):
            place = view.visualRect(index)
            if room.contains(place.center()):
                break
            self.wheel(view.viewport(), room.center(), 1 if place.center().y() < 0 else -1)
        self.click_at(view.viewport(), place.center())

    def open_folder(self, keys: str, folder: Path) -> None:
        """Press the keys that ask for a folder, and type it into the dialog that comes."""
        wrong: list[Trouble] = []

        def answer() -> None:
            dialog = self.app.activeModalWidget()
            if not isinstance(dialog, QFileDialog):
                QTimer.singleShot(50, answer)
                return
            try:
                self.pause(300)
                field = dialog.findChild(QLineEdit, "fileNameEdit")
                self.click_at(field, field.rect().center())
                self.key("Ctrl+A")
                self.type(str(folder))
                self.pause(200)
                self.picture("asked")
                if self.app.activePopupWidget() is not None:
                    self.key("Esc")  # the list of completions
                    self.pause(200)
                buttons = [b for b in dialog.findChildren(QPushButton) if b.text().replace("&", "") == "Choose"]
                for _ in range(3):
                    if dialog.isVisible():  # a click may only close the list
                        self.click_at(buttons[0], buttons[0].rect().center())
                        QTest.qWait(300)
            except Trouble as trouble:
                wrong.append(trouble)
            if dialog.isVisible():
                self.picture("asked-in-vain")
                wrong.append(Trouble("the file dialog took no folder"))
                dialog.reject()

        QTimer.singleShot(50, answer)
        self.key(keys)
        if wrong:
            raise wrong[0]

    def dialog(self, name: str) -> QDialog:
        """The dialog with this object name, once it is there and has the keyboard."""
        found = self.find(name)
        if not isinstance(found, QDialog):
            raise Trouble(f"{name} is no dialog")
        self.pause(100)
        return found


def _with(top: QWidget, name: str) -> list[QWidget]:
    own = [top] if top.objectName() == name else []
    return own + top.findChildren(QWidget, name)
