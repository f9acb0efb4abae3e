"""Steps through the main window, for tests that use it as a person does."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QWidget

from contourdesk.app.settings import Settings, save_settings
from contourdesk.widgets.application import make_application
from contourdesk.widgets.main_window import MainWindow
from contourdesk.widgets.theme import apply_theme


def open_window(qtbot, monkeypatch, home: Path, **settings) -> MainWindow:
    """The main window on its start page; settings, reviews and log live under `home`."""
    monkeypatch.setenv("CONTOURDESK_HOME", str(home))
    if settings or not (home / "settings.json").exists():
        save_settings(Settings(**({"reviewer": "Dr Test", "device": "cpu"} | settings)))
    apply_theme(make_application([]))
    window = MainWindow()
    qtbot.addWidget(window, before_close_func=lambda w: w.close())
    window.resize(1280, 720)
    window.show()
    qtbot.waitExposed(window)
    return window


def child(window: QWidget, name: str) -> QWidget:
    """The visible widget with this object name, in the window or one of its dialogs."""
    found = [w for w in window.findChildren(QWidget, name) if w.isVisible()]
    assert found, f"no visible widget called {name}"
    return found[-1]


def is_there(window: QWidget, name: str) -> bool:
    """Whether a widget with this name can be seen."""
    return any(w.isVisible() for w in window.findChildren(QWidget, name))


def click(qtbot, window: QWidget, name: str) -> None:
    """Click a widget, once it is there and enabled."""
    qtbot.waitUntil(lambda: is_there(window, name) and child(window, name).isEnabled(), timeout=20_000)
    qtbot.mouseClick(child(window, name), Qt.MouseButton.LeftButton)


def open_case(qtbot, window: MainWindow, path: Path) -> None:
    """Open a path that needs no answer, and wait for it."""
    window.open_path(path)
    qtbot.waitUntil(lambda: window.reviewing, timeout=20_000)
    qtbot.wait(50)
