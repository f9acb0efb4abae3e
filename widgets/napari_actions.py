"""The commands of the review dock in napari, under the ids and keys that they have in the desktop program."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from contourdesk.widgets.actions import Action
from contourdesk.widgets.language import tr
from contourdesk.widgets.tools import TOOLS

if TYPE_CHECKING:
    from contourdesk.widgets.napari_review import ReviewDock


def review_actions(dock: ReviewDock) -> list[Action]:
    """All commands of the dock."""
    desk, view = dock.desk, dock.desk.view

    def case() -> bool:
        return dock.session is not None

    def active() -> bool:
        return dock.session is not None and desk.table.active is not None

    def tool(name: str) -> Callable[[], None]:
        return lambda: view.set_tool(name)

    def decide(state: str) -> Callable[[], None]:
        return lambda: desk.review.decide(state)

    def step(what: str) -> Callable[[], None]:
        return lambda: dock.step(what)

    return [
        Action("edit_undo", "Edit", tr("Undo"), ("Ctrl+Z",), step("undo"), case, "undo"),
        Action("edit_redo", "Edit", tr("Redo"), ("Ctrl+Y", "Ctrl+Shift+Z"), step("redo"), case, "redo"),
        Action("save_now", "File", tr("Save"), ("Ctrl+S",), dock.autosave.save_now, case, "save"),
        Action("import_file", "File", tr("Import structures…"), ("Ctrl+I",), dock.ask_import, case, "import"),
        Action("save_export", "File", tr("Export…"), ("Ctrl+E",), dock.ask_export, case, "export"),
        Action("views", "View", tr("Three views to draw in"), (), dock.toggle_views, case, "layout"),
        Action("close_case", "File", tr("Close the case"), (), dock.close_case, case, "close"),
        Action("decide_accept", "Review", tr("Accept"), ("A",), decide("accepted"), active),
        Action(
            "decide_accept_edited", "Review", tr("Accept with minor edit"), ("W",), decide("accepted-edited"), active
        ),
        Action("decide_reject", "Review", tr("Reject"), ("R",), decide("rejected"), active),
        Action("decide_reopen", "Review", tr("Reopen"), ("U",), decide("unreviewed"), active),
        Action("list_next_open", "Review", tr("Next undecided structure"), ("J",), desk.next_open, case),
        Action("go_centre", "View", tr("Centre on the structure"), ("C",), desk.centre, active),
        *(
            Action(f"tool_{t.id}", "Edit", t.text, (t.shortcut,) if t.shortcut else (), tool(t.id), case, t.icon)
            for t in TOOLS
        ),
        Action("brush_smaller", "Edit", tr("Smaller brush"), ("[",), lambda: view.step_brush(-1), case),
        Action("brush_larger", "Edit", tr("Larger brush"), ("]",), lambda: view.step_brush(1), case),
    ]
