"""Commands of looking: layouts, measuring, versions, jumps to a structure's ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from contourdesk.widgets.actions import Action
from contourdesk.widgets.tools_measure import MEASURING

if TYPE_CHECKING:
    from contourdesk.widgets.main_window import MainWindow


def looking(w: MainWindow, case: Callable[[], bool], active: Callable[[], bool]) -> list[Action]:
    """Commands of the View menu; `case` and `active` say whether there is a case, and a structure."""
    view, table, ghosts = w.view, w.table, w.view.marks.toggle_ghosts
    bars = w.desk.looking

    def end(last: bool) -> Callable[[], None]:
        return lambda: view.go_to_end(table.active, last=last) if table.active is not None else None

    def layout(kind: str) -> Callable[[], None]:
        return lambda: view.layouts.choose(kind, view.current_plane)

    def next_layout() -> None:
        layout(view.layouts.following)()

    def large(name: str) -> Callable[[], None]:
        return lambda: view.layouts.enlarge(name)

    return [
        Action("layout_next", "View", "Next layout", ("F9",), next_layout, case, "layout", True),
        Action("layout_three", "View", "One large view and small ones", ("Alt+1",), layout("three"), case),
        Action("layout_four", "View", "Two by two with surfaces in 3D", ("Alt+2",), layout("four"), case),
        Action("layout_one", "View", "One view alone", ("Alt+3",), layout("one"), case),
        Action("layout_axial", "View", "Axial view large", ("Alt+4",), large("axial"), case),
        Action("layout_sagittal", "View", "Sagittal view large", ("Alt+5",), large("sagittal"), case),
        Action("layout_coronal", "View", "Coronal view large", ("Alt+6",), large("coronal"), case),
        Action("layout_surfaces", "View", "Surfaces in 3D large", ("Alt+7",), large("surfaces"), case),
        Action("versions_ghost", "View", "First proposals dashed", ("Q",), ghosts, case, "ghost", True),
        Action("versions_compare", "View", "Compare two versions", ("Shift+Q",), bars.versions.toggle, active),
        Action("masks_solo", "View", "Show this structure alone, or all again", ("Y",), table.toggle_solo, active),
        Action("go_first", "View", "First slice of the structure", ("Home",), end(last=False), active),
        Action("go_last", "View", "Last slice of the structure", ("End",), end(last=True), active),
    ]  # fmt: skip


def measuring(w: MainWindow, case: Callable[[], bool], active: Callable[[], bool]) -> list[Action]:
    """The Measure menu."""
    statistics = w.desk.looking.measure_structure

    def tool(name: str) -> Callable[[], None]:
        return lambda: w.view.set_tool(name)

    return [
        *(
            Action(f"tool_{t.id}", "Measure", t.text, (t.shortcut,), tool(t.id), case, t.icon, t.id == "ruler")
            for t in MEASURING
        ),
        Action("measure_structure", "Measure", "Statistics of the structure", ("Ctrl+5",), statistics, active),
        Action(
            "measures_clear", "Measure", "Remove all measurements", (), w.view.marks.measurements.clear,
            lambda: case() and bool(w.view.marks.measurements.items),
        ),
    ]  # fmt: skip
