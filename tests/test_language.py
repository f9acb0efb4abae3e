"""The window in another language: every text goes through one function, and a translation that is there is used."""

from __future__ import annotations

import ast
import importlib.util
import re
import string
from pathlib import Path

import pytest
from phantoms import make_ct
from qtpy.QtCore import QCoreApplication, QModelIndex, QTranslator
from qtpy.QtWidgets import QAbstractButton, QAbstractItemView, QComboBox, QDialog, QLabel, QWidget
from window_steps import open_case, open_window

from contourdesk.widgets.language import CONTEXT, language_name, languages, load_language, tr

ROOT = Path(__file__).resolve().parents[1]
# What is the same in every language: names, what a person typed; Qt translates its standard buttons itself; of
# "Undo: Add X" the second half comes from `app`.
SAME = re.compile(r"Contourdesk|headneck|Phan.*|Dr Test|Varian.*|RaySearch.*|Philips.*|«Undo»: .*|OK|Cancel|Close")


class Pseudo(QTranslator):
    """A language in which every text stands in guillemets."""

    def isEmpty(self) -> bool:
        return False

    def translate(self, context: str, text: str, *_: object) -> str | None:
        return f"«{text}»" if context == CONTEXT and text else None


@pytest.fixture
def pseudo(qapp):
    translator = Pseudo(qapp)
    QCoreApplication.installTranslator(translator)
    yield translator
    QCoreApplication.removeTranslator(translator)


def words_in_english(root: QWidget) -> set[str]:
    """What can be read on the screen and was not translated."""
    found = set()
    for widget in root.findChildren(QWidget):
        if not widget.isVisible():
            continue
        shown = [widget.toolTip(), widget.accessibleName()]
        if isinstance(widget, QLabel | QAbstractButton):
            shown.append(widget.text())
        if isinstance(widget, QComboBox):
            shown += [widget.itemText(n) for n in range(widget.count())]
        if isinstance(widget, QAbstractItemView) and widget.objectName() == "shortcut_list":
            model = widget.model()
            groups = [model.index(n, 0, QModelIndex()) for n in range(model.rowCount(QModelIndex()))]
            shown += [model.index(k, 0, g).data() for g in groups for k in range(model.rowCount(g))]
        found |= {text for text in shown if not SAME.fullmatch(text)}
    rest = {text: re.sub(r"«[^«»]*»", "", re.sub(r"«[^«»]*»", "", text)) for text in found}
    keys = r"\(?((Ctrl|Shift|Alt)\+\S+|PgUp|PgDown|Home|End|Down|Up|Del)\)?"
    return {text for text, left in rest.items() if re.search(r"[^\W\d_]{3}", re.sub(keys, "", left))}


def test_menus_panels_and_dialogs_speak_the_language(qtbot, monkeypatch, tmp_path, pseudo) -> None:
    window = open_window(qtbot, monkeypatch, tmp_path / "home")
    qtbot.waitUntil(lambda: not window.start_lists.runner.running)
    assert words_in_english(window) == set()
    assert all(action.text().startswith("«") for action in window.made.values())
    assert all(top.text().startswith("&«") for top in window.menuBar().actions())
    ct = make_ct(tmp_path / "ct", (8, 48, 40))
    open_case(qtbot, window, ct.folder)
    structure = window.session.add("Dr Test")
    window.table.set_active(structure)
    left = set()
    for tool in window.view.tools:
        window.view.set_tool(tool)
        left |= words_in_english(window)
    for command in ("settings", "help_shortcuts"):
        window.made[command].trigger()
        dialog = next(d for d in window.findChildren(QDialog) if d.isVisible())
        for page in range(dialog.list.count() if command == "settings" else 0):
            dialog.list.setCurrentRow(page)
            left |= words_in_english(dialog)
        left |= words_in_english(dialog)
        dialog.close()
    left = {text for text in left if not text.startswith(("/", str(tmp_path))) and "empty" not in text}
    assert left == set()
    window.close()


def test_a_translation_is_found_and_used(qtbot, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("CONTOURDESK_HOME", str(tmp_path))
    make = translate_script()
    ts = tmp_path / "de.ts"
    total, done = make.write_ts(ts, "de")
    assert total > 600 and done == 0
    ts.write_text(ts.read_text("utf-8").replace(
        '<source>Open folder…</source>\n      <translation type="unfinished" />',
        "<source>Open folder…</source>\n      <translation>Ordner öffnen …</translation>"), "utf-8")  # fmt: skip
    assert make.write_ts(ts, "de") == (total, 1)
    make.finish(ts, tmp_path / "languages" / "de.qm")
    assert "de" in languages() and language_name("de") == "Deutsch"
    translator = load_language("de")
    assert translator is not None
    try:
        assert tr("Open folder…") == "Ordner öffnen …" and tr("Open file…") == "Open file…"
    finally:
        QCoreApplication.removeTranslator(translator)
    assert load_language("en") is None and load_language("xx") is None


def test_values_fit_into_their_texts() -> None:
    """Each `tr("… {name} …").format(name=…)` gives the names that its text has, and each literal can be gathered."""
    checked = 0
    for file in (ROOT / "widgets").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            call = node.func.value if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) else None
            if is_tr(call) and node.func.attr == "format" and isinstance(call.args[0], ast.Constant):
                names = {name for _, name, _, _ in string.Formatter().parse(call.args[0].value) if name is not None}
                assert names == {k.arg for k in node.keywords}, f"{file.name}:{node.lineno}"
                checked += 1
            assert not (is_tr(node) and isinstance(node.args[0], ast.JoinedStr)), f"{file.name}:{node.lineno}"
    assert checked > 50


def is_tr(node: object) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "tr"


def translate_script():
    """packaging/translate.py as a module."""
    spec = importlib.util.spec_from_file_location("translate", ROOT / "packaging" / "translate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
