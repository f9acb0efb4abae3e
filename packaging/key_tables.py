"""Write the table of all commands and keys into docs/tools.md, from the program itself.

    python packaging/key_tables.py     (QT_QPA_PLATFORM=offscreen where there is no display)

tests/test_docs.py says when the page is out of date.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from contourdesk.widgets.actions import Action

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tools.md"
BEGIN, END = "<!-- keys -->\n", "<!-- end of keys -->"


def tables(actions: Sequence[Action], mouse: Sequence[tuple[str, str]]) -> str:
    """The commands under their menus, then what has fixed keys, as Markdown."""
    parts = []
    for menu in dict.fromkeys(action.menu for action in actions):
        rows = [f"| {a.text} | {_keys(a.shortcuts)} |" for a in actions if a.menu == menu]
        parts.append("\n".join([f"### {menu}", "", "| Command | Keys |", "| --- | --- |", *rows, ""]))
    fixed = [f"| {text} | {keys} |" for keys, text in mouse]
    parts.append("\n".join(["### Mouse and fixed keys", "", "| What it does | How |", "| --- | --- |", *fixed, ""]))
    return "\n".join(parts)


def _keys(shortcuts: Sequence[str]) -> str:
    return ", ".join(f"`{key}`" for key in shortcuts)


def with_tables(page: str, made: str) -> str:
    """The page with these tables between its marks."""
    head, rest = page.split(BEGIN, 1)
    return f"{head}{BEGIN}\n{made}\n{END}{rest.split(END, 1)[1]}"


def main() -> None:
    """Make a window, without showing it, and bring the page up to date."""
    os.environ["CONTOURDESK_HOME"] = tempfile.mkdtemp()
    from contourdesk.widgets.application import make_application
    from contourdesk.widgets.commands import MOUSE

    make_application(sys.argv[:1])
    from contourdesk.widgets.main_window import MainWindow

    window = MainWindow()
    made = tables(window.actions_list, MOUSE)
    PAGE.write_text(with_tables(PAGE.read_text("utf-8"), made), "utf-8")
    sys.stdout.flush()
    os._exit(0)  # a window that was never shown has nothing to end


if __name__ == "__main__":
    main()
