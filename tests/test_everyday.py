"""Everyday care: names for screen readers, drops, where window and panels were, notices, themes, help, about."""

from __future__ import annotations

import csv
import re
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from phantoms import make_ct
from qtpy.QtCore import QMimeData, QPoint, QPointF, Qt, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtWidgets import QAbstractButton, QApplication, QComboBox, QDialog, QLabel, QLineEdit, QWidget
from window_steps import child, open_case, open_window

from contourdesk.app.jobs import Progress, run
from contourdesk.app.licences import licences
from contourdesk.app.settings import Settings, load_settings
from contourdesk.widgets import work_end
from contourdesk.widgets.help_window import HelpWindow
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.theme import RESOURCES, apply_theme
from contourdesk.widgets.window_settings import take_settings

DIALOGS = (
    "settings",
    "save_export",
    "help_shortcuts",
    "models",
    "report_write",
    "case_audit",
    "about",
    "reading_begin",
    "learn_train",
    "learn_evaluate",
    "help_doctor",
)


@pytest.fixture(autouse=True)
def own_look(qapp):
    """Give the application the look back that tests in other files reckon with."""
    style, font, palette, sheet = qapp.style().objectName(), qapp.font(), qapp.palette(), qapp.styleSheet()
    yield
    if qapp.styleSheet() != sheet:
        qapp.setStyleSheet(sheet)
        qapp.setStyle(style)
        qapp.setFont(font)
        qapp.setPalette(palette)


@pytest.fixture
def window(qtbot, monkeypatch, tmp_path):
    window = open_window(qtbot, monkeypatch, tmp_path / "home")
    yield window
    window.close()


def nameless(root: QWidget) -> set[str]:
    """Visible widgets that take the keyboard and say nothing to a screen reader."""
    found = set()
    for widget in root.findChildren(QWidget):
        takes_keys = widget.isVisible() and widget.focusPolicy() != Qt.FocusPolicy.NoFocus
        inside = isinstance(widget, QLineEdit) and widget.objectName().startswith("qt_")  # its spin box has the name
        says = widget.accessibleName() or (isinstance(widget, QAbstractButton | QLabel) and widget.text())
        if takes_keys and not inside and not says:
            found.add(f"{type(widget).__name__} {widget.objectName()} in {type(widget.parent()).__name__}")
    return found


def test_every_widget_that_takes_keys_has_a_name(qtbot, window, tmp_path) -> None:
    assert nameless(window) == set()
    open_case(qtbot, window, make_ct(tmp_path / "ct", (8, 48, 40)).folder)
    window.table.set_active(window.session.add("A"))
    left = set()
    for tool in window.view.tools:
        window.view.set_tool(tool)
        left |= nameless(window)
    for command in DIALOGS:
        window.made[command].trigger()
        dialog = next(d for d in window.findChildren(QDialog) if d.isVisible())
        for row in range(dialog.list.count() if command == "settings" else 1):
            if command == "settings":
                dialog.list.setCurrentRow(row)
            left |= nameless(dialog)
        dialog.close()
    assert left == set()


def drop(window: QWidget, *paths: Path) -> None:
    """Drag files over the window and let them go."""
    data = QMimeData()
    data.setUrls([QUrl.fromLocalFile(str(path)) for path in paths])
    given = (Qt.DropAction.CopyAction, data, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier)
    enter = QDragEnterEvent(QPoint(50, 50), *given)
    QApplication.sendEvent(window, enter)
    assert enter.isAccepted() == bool(paths)
    QApplication.sendEvent(window, QDropEvent(QPointF(50, 50), *given))


def test_folders_and_zips_are_dropped_anywhere(qtbot, window, tmp_path) -> None:
    first = make_ct(tmp_path / "first", (6, 24, 24), patient="First")
    second = make_ct(tmp_path / "second", (6, 24, 24), patient="Second")
    packed = tmp_path / "second.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in second.files:
            archive.write(file, file.name)
    drop(window)
    assert not window.loading.runner.running
    drop(window, first.folder, packed)
    assert "first" in window.statusBar().currentMessage()
    qtbot.waitUntil(lambda: window.reviewing, timeout=20_000)
    assert window.patient.toolTip().startswith("First")
    drop(window, packed)
    qtbot.waitUntil(lambda: window.reviewing and window.patient.toolTip().startswith("Second"), timeout=20_000)


def test_panels_stay_where_they_were(qtbot, monkeypatch, window, tmp_path) -> None:
    ct = make_ct(tmp_path / "ct", (6, 24, 24))
    open_case(qtbot, window, ct.folder)
    structures, segment, edit, _ = window.docks
    segment.hide()
    window.addDockWidget(Qt.DockWidgetArea.LeftDockWidgetArea, edit)
    window.worklist.show()  # panels go with the page and come back as they were
    assert structures.isHidden()
    window._back()
    assert structures.isVisible() and segment.isHidden()
    window.close()
    kept = load_settings()[0]
    assert kept.window_place and kept.window_panels
    again = open_window(qtbot, monkeypatch, tmp_path / "home")
    again.open_path(ct.folder)
    qtbot.waitUntil(lambda: again.findChild(QWidget, "go_on") is not None, timeout=20_000)
    again.findChild(QAbstractButton, "go_on").click()
    qtbot.waitUntil(lambda: again.reviewing, timeout=20_000)
    assert again.docks[1].isHidden() and again.docks[0].isVisible()
    left = Qt.DockWidgetArea.LeftDockWidgetArea
    assert again.dockWidgetArea(again.docks[2]) == left
    again.made["panels_reset"].trigger()
    assert again.docks[1].isVisible() and again.dockWidgetArea(again.docks[2]) != left
    again.close()


def test_the_end_of_long_work_is_told_to_who_is_elsewhere(qtbot, monkeypatch, window) -> None:
    called: list[QWidget] = []
    monkeypatch.setattr(QApplication, "alert", lambda widget, *_: called.append(widget))
    monkeypatch.setattr(work_end, "LONG_S", 0.0)

    def work():
        yield Progress(0, 1)

    def done(title: str) -> list[QWidget]:
        called.clear()
        runner = JobRunner(window.predict, title)
        with qtbot.waitSignal(runner.succeeded, timeout=5000):
            runner.start(work())
        return list(called)

    monkeypatch.setattr(QApplication, "activeWindow", lambda: None)
    assert done("Segmentation") == [window] and done("") == []
    take_settings(window, replace(window.settings, notify=False))
    assert done("Segmentation") == []
    take_settings(window, replace(window.settings, notify=True))
    monkeypatch.setattr(QApplication, "activeWindow", lambda: window)
    assert done("Segmentation") == []
    monkeypatch.setattr(QApplication, "activeWindow", lambda: None)
    monkeypatch.setattr(work_end, "LONG_S", 10.0)
    assert done("Segmentation") == []


def contrast(one: str, other: str) -> float:
    """WCAG's contrast of two colours, "#rrggbb"."""

    def light(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_themes_can_be_read(theme: str) -> None:
    table = (RESOURCES / "styles" / "colours.csv").read_text("utf-8")
    colours = {row["name"]: row[theme] for row in csv.DictReader(table.splitlines())}
    texts = ("text", "text-soft", "text-muted", "warning", "good", "bad", "new")
    pairs = [(text, ground) for text in texts for ground in ("window", "list", "dialog", "card")]
    pairs += [("on-accent", "accent"), ("on-chosen", "chosen"), ("banner-text", "banner"), ("notice-text", "notice")]
    pairs += [("accept", "button"), ("bad", "button"), ("text", "button"), ("text-soft", "bar"), ("text", "tip")]
    assert {(t, g): c for t, g in pairs if (c := contrast(colours[t], colours[g])) < 4.5} == {}


def test_another_theme_changes_what_is_on_the_screen(qapp, window) -> None:
    before = window.made["open_folder"].icon().cacheKey()
    take_settings(window, replace(window.settings, theme="light"))
    assert window.grab().toImage().pixelColor(window.width() // 2, window.height() - 60).lightness() > 200
    assert window.made["open_folder"].icon().cacheKey() != before
    apply_theme(qapp, "dark")


def test_help_opens_searches_and_follows_links(qtbot, window) -> None:
    window.made["help_docs"].trigger()
    found = window.findChildren(HelpWindow)
    page = found[0].page
    assert len(found) == 1 and "Not a medical device" in page.toPlainText()
    page.follow(QUrl("guide.md#export"))
    assert page.verticalScrollBar().value() > 500 and "Every file is read back" in page.toPlainText()
    found[0].search.setText("audit trail")
    first = found[0].list.topLevelItem(0)
    assert first.text(0).startswith("The audit trail")
    found[0].list.setCurrentItem(first)
    assert "hash chain" in page.toPlainText() or "64 zeros" in page.toPlainText()
    page.backward()
    assert page.toPlainText().startswith("A review from start to end")
    window.made["help_docs"].trigger()
    assert len(window.findChildren(HelpWindow)) == 1
    found[0].close()


def test_about_says_what_it_is_and_under_which_licences(qtbot, window) -> None:
    window.made["about"].trigger()
    dialog = child(window, "about_dialog")
    said = " ".join(label.text() for label in dialog.findChildren(QLabel))
    assert "Not a medical device" in said and re.search(r"Version \d+\.\d+", said)
    qtbot.waitUntil(lambda: dialog.list.topLevelItemCount() > 20, timeout=30_000)
    assert dialog.list.topLevelItem(0).text(0) == "contourdesk" and "Apache License" in dialog.text.toPlainText()
    dialog.close()


def test_licences_are_those_of_what_is_needed() -> None:
    by_name = {one.package.lower(): one for one in run(licences("highdicom"))}
    assert "MIT" in by_name["pydicom"].licence and "Permission" in by_name["pydicom"].text
    assert "pytest" not in by_name


def test_privacy_and_export_choices_reach_what_they_are_for(qtbot, window, tmp_path) -> None:
    ct = make_ct(tmp_path / "ct", (6, 24, 24))
    chosen = replace(window.settings, keep_recent=False, recent=(), report_patient=False, line_width=3.0,
                     export_folder=str(tmp_path / "out"), planning_system="eclipse")  # fmt: skip
    take_settings(window, chosen)
    open_case(qtbot, window, ct.folder)
    assert window.settings.recent == () and window.view._state.line_width == 3.0
    window.made["save_export"].trigger()
    export = child(window, "export_dialog")
    assert export.folder.text() == str(tmp_path / "out") and export.rtstruct.system.currentData() == "eclipse"
    export.close()
    window.made["report_write"].trigger()
    report = child(window, "report_dialog")
    assert not report.patient.isChecked()
    report.close()
    window.made["settings"].trigger()
    dialog = child(window, "settings_dialog")
    dialog.show_page("Privacy")
    assert not dialog.privacy.recent.isChecked()
    dialog.findChild(QComboBox, "settings_theme").setCurrentIndex(1)
    with qtbot.waitSignal(dialog.changed) as told:
        dialog.findChild(QWidget, "settings_buttons").accepted.emit()
    assert told.args[0] == replace(window.settings, theme="light") and Settings().keep_recent
    apply_theme(QApplication.instance(), "dark")
