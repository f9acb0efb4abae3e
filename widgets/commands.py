"""The window's commands: the one list that menus, toolbar and shortcuts come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from contourdesk.app.operations import OPERATIONS
from contourdesk.widgets.about_dialog import AboutDialog
from contourdesk.widgets.actions import Action
from contourdesk.widgets.commands_view import looking, measuring
from contourdesk.widgets.deciding import deciding_actions
from contourdesk.widgets.doctor_dialog import DoctorDialog, open_log_folder
from contourdesk.widgets.help_window import HelpWindow
from contourdesk.widgets.shortcuts_dialog import ShortcutsDialog
from contourdesk.widgets.tools import TOOLS
from contourdesk.widgets.window_settings import ask_settings, take_settings

if TYPE_CHECKING:
    from contourdesk.widgets.main_window import MainWindow

MOUSE = (
    ("Wheel, Up, Down", "Next or previous slice"),
    ("Two fingers on a touch pad", "Next or previous slice, one at a time"),
    ("PgUp, PgDown", "Ten slices on or back"),
    ("Click, Ctrl+move", "Move the crosshair (tool: navigate)"),
    ("Ctrl+wheel, pinch", "Zoom"),
    ("Tap with two fingers", "Fit the patient"),
    ("Middle drag, Shift+drag", "Pan (Shift: tool navigate)"),
    ("Right drag", "Change the display window"),
    ("Double click", "One view alone, or all as before"),
    ("Drag between views", "Share the room otherwise"),
    ("Left drag, wheel (3D)", "Turn, zoom; Shift+drag moves, click goes there"),
    ("Stroke with Shift, Ctrl or Alt", "Take away instead of add, and the other way round"),
    ("Other end of a pen", "Take away instead of add"),
    ("Shift+wheel", "Brush size"),
    ("Right click, Del", "Remove a corner or point of an outline"),
    ("Enter, Esc, Backspace", "Close or give up an outline, apply or drop marks, take back the last one"),
    ("Right click", "A point that is outside (tool: prompt)"),
    ("Space", "Show or hide (in the list)"),
    ("Del", "Delete (in the list)"),
    ("/", "Search (in the list)"),
    ("Left, Right", "Fold or unfold a group (in the list)"),
    ("Alt+click on an eye", "Show one structure alone"),
)


def commands(window: MainWindow) -> list[Action]:
    """All commands; the part of an id before "_" makes the groups of a menu."""
    measure = measuring(window, _has_case(window), _has_active(window))
    review = [*_review(window), *deciding_actions(window)]
    return [
        *_file(window), *_edit(window), *_structure(window), *_view(window), *measure, *review, *_models(window),
        *_help(window),
    ]  # fmt: skip


def _has_case(window: MainWindow) -> Callable[[], bool]:
    return lambda: window.reviewing


def _has_active(window: MainWindow) -> Callable[[], bool]:
    return lambda: window.reviewing and window.table.active is not None


def _has_hidden(window: MainWindow) -> Callable[[], bool]:
    return lambda: window.reviewing and window.review.hides_proposal


def _file(w: MainWindow) -> list[Action]:
    case, read = _has_case(w), w.desk.importing
    return [
        Action("open_folder", "File", "Open folder…", ("Ctrl+O",), w.ask_folder, icon="open-folder", toolbar=True),
        Action("open_file", "File", "Open file…", ("Ctrl+Shift+O",), w.ask_file, icon="open-file"),
        Action("open_sample", "File", "Open the sample case", (), w.open_sample, icon="sample"),
        Action("open_worklist", "File", "Worklist", ("Ctrl+L",), w.worklist.show, icon="worklist", toolbar=True),
        Action("save_now", "File", "Save", ("Ctrl+S",), w.save, case, "save", True),
        Action(
            "import_file", "File", "Import structures…", ("Ctrl+I",), lambda: read.ask_file(w), case, "import", True
        ),
        Action("import_folder", "File", "Import a folder of masks…", (), lambda: read.ask_folder(w), case),
        Action("save_export", "File", "Export…", ("Ctrl+E",), w.ask_export, case, "export", True),
        Action("close_case", "File", "Close the case", ("Ctrl+W",), w.close_case, case),
        Action("settings", "File", "Settings…", ("Ctrl+,",), lambda: ask_settings(w, MOUSE), icon="settings"),
        Action("quit", "File", "Quit", ("Ctrl+Q",), w.close),
    ]


def _edit(w: MainWindow) -> list[Action]:
    case, active = _has_case(w), _has_active(w)

    def tool(name: str) -> Callable[[], None]:
        return lambda: w.view.set_tool(name)

    return [
        Action(
            "edit_undo", "Edit", "Undo", ("Ctrl+Z",), w.undo,
            lambda: w.reviewing and w.session is not None and w.session.can_undo, "undo", True,
        ),
        Action(
            "edit_redo", "Edit", "Redo", ("Ctrl+Y", "Ctrl+Shift+Z"), w.redo,
            lambda: w.reviewing and w.session is not None and w.session.can_redo, "redo", True,
        ),
        Action("structure_add", "Edit", "Add a structure", ("Ctrl+N",), w.table.add, case, "add"),
        Action("structure_rename", "Edit", "Rename", ("F2",), w.table.rename, active, "rename"),
        Action("structure_colour", "Edit", "Colour…", (), w.table.recolour, active, "colour"),
        Action("structure_delete", "Edit", "Delete the structure", (), w.table.delete, active, "delete"),
        *(
            Action(f"tool_{t.id}", "Edit", t.text, (t.shortcut,) if t.shortcut else (), tool(t.id), case, t.icon)
            for t in TOOLS
        ),
        Action("brush_smaller", "Edit", "Smaller brush", ("[",), lambda: w.view.step_brush(-1), case),
        Action("brush_larger", "Edit", "Larger brush", ("]",), lambda: w.view.step_brush(1), case),
        Action("brush_3d", "Edit", "Brush in 2D or 3D", ("D",), lambda: w.view.set_brush_3d(not w.view.brush_3d), case),
    ]  # fmt: skip


_OPERATION_KEYS = {
    "grow": "Shift+M",
    "interpolate": "Shift+B",
    "copy_up": "Shift+Up",
    "copy_down": "Shift+Down",
    "cut_up": "Shift+PgUp",
    "cut_down": "Shift+PgDown",
    "largest": "Shift+L",
    "holes": "Shift+F",
    "subtract": "Shift+S",
    "mirror": "Shift+O",
}


def _structure(w: MainWindow) -> list[Action]:
    active = _has_active(w)

    def start(operation_id: str) -> None:
        w.docks[2].setVisible(True)
        w.desk.operations.start(operation_id)

    return [
        Action(
            f"operation_{o.id}", "Structure", f"{o.text}…", (_OPERATION_KEYS[o.id],) if o.id in _OPERATION_KEYS else (),
            lambda o=o: start(o.id), active,
        )
        for o in OPERATIONS
    ]  # fmt: skip


def _view(w: MainWindow) -> list[Action]:
    case, active = _has_case(w), _has_active(w)
    keys = (("Soft tissue", "1"), ("Bone", "2"), ("Lung", "3"), ("Brain", "4"), ("The file's own window", "5"))
    return [
        *(
            Action(f"window_{key}", "View", name, (key,), lambda key=key: w.display.choose_key(key), case)
            for name, key in keys
        ),
        Action("masks_mode", "View", "Outline, fill or both", ("O",), w.display.next_mode, case),
        Action("masks_toggle", "View", "Show or hide the structure", ("H",), w.table.toggle_visible, active),
        Action("masks_show_all", "View", "Show all structures", ("Shift+H",), lambda: w.table.show_all(True), case),
        Action("go_centre", "View", "Centre on the structure", ("C",), w.desk.centre, active),
        Action("go_zoom", "View", "Zoom to the structure", ("Shift+C",), lambda: w.desk.centre(closer=True), active),
        Action("masks_confidence", "View", "Confidence of the model", ("K",), w.desk.confidence.overlay.toggle, case),
        *looking(w, case, active),
        Action("go_fit", "View", "Fit the patient", ("0",), w.view.reset_view, case),
        Action("go_maximise", "View", "One view or all", ("M",), w.view.toggle_maximised, case),
        Action("panels_left", "View", "Left panels", ("F7",), lambda: _toggle(w, 0), case),
        Action("panels_right", "View", "Right panels", ("F8",), lambda: _toggle(w, 2), case),
        Action("panels_reset", "View", "Panels as at first", (), lambda: w.place.reset(), case),
        Action("panels_search", "View", "Search structures", ("Ctrl+F",), lambda: _search(w), case),
    ]


def _review(w: MainWindow) -> list[Action]:
    active = _has_active(w)
    case = _has_case(w)
    return [
        Action(
            "segment_start", "Review", "Segment", ("Ctrl+G",), w.predict.start,
            lambda: w.reviewing and not w.predict.running, "segment",
        ),
        Action("segment_cancel", "Review", "Cancel the segmentation", ("Ctrl+.",), w.predict.cancel,
               lambda: w.predict.running),
        Action("decide_accept", "Review", "Accept", ("A",), lambda: w.decide("accepted"), active, "accepted"),
        Action("decide_accept_edited", "Review", "Accept with minor edit", ("W",), lambda: w.decide("accepted-edited"),
               active, "accepted-edited"),
        Action("decide_reject", "Review", "Reject", ("R",), lambda: w.decide("rejected"), active, "rejected"),
        Action("decide_reopen", "Review", "Reopen", ("U",), lambda: w.decide("unreviewed"), active, "unreviewed"),
        Action("decide_reveal", "Review", "Show the hidden proposal", ("Shift+P",), w.review.reveal, _has_hidden(w)),
        Action("case_next", "Review", "Next case", ("Ctrl+J",), w.worklist.open_next, lambda: w.worklist.has_next),
        Action("case_audit", "Review", "Audit trail…", (), w.show_audit, case),
        Action("list_next_open", "Review", "Next undecided structure", ("J",), w.desk.next_open, case),
        Action("look_next", "Review", "Next slice worth a look", ("X",), w.desk.guide.next, case, "look"),
        Action("look_previous", "Review", "Back to the slice before", ("Shift+X",), w.desk.guide.previous, case),
        Action("list_next", "Review", "Next structure", ("Ctrl+Down",), lambda: w.desk.step_structure(1), case),
        Action("list_previous", "Review", "Previous structure", ("Ctrl+Up",), lambda: w.desk.step_structure(-1), case),
    ]  # fmt: skip


def _models(w: MainWindow) -> list[Action]:
    return [
        Action("models", "Models", "List of models…", (), w.desk.show_models, icon="models"),
        Action("learn_export", "Models", "Export reviews…", ("Ctrl+Shift+E",), w.learning.export_reviews),
        Action("learn_train", "Models", "Train a model…", ("Ctrl+T",), w.learning.train),
        Action("learn_evaluate", "Models", "Evaluate models…", ("Ctrl+Shift+T",), w.learning.evaluate),
    ]


def _help(w: MainWindow) -> list[Action]:
    return [
        Action("help_docs", "Help", "Documentation", ("F1",), lambda: _documentation(w)),
        Action("help_shortcuts", "Help", "Keyboard and mouse", ("?",), lambda: _keys(w), icon="help", toolbar=True),
        Action("help_doctor", "Help", "Self-test…", (), lambda: DoctorDialog(w).open()),
        Action("help_log", "Help", "Open log folder", (), open_log_folder),
        Action("about", "Help", "About Contourdesk", (), lambda: AboutDialog(w).open()),
    ]


def _toggle(w: MainWindow, first: int) -> None:
    """Hide or show the two docks of one side."""
    show = w.docks[first].isHidden()
    for dock in w.docks[first : first + 2]:
        dock.setVisible(show)


def _documentation(w: MainWindow) -> None:
    """Show the documentation in its window, the one that is open if there is one."""
    (w.findChild(HelpWindow) or HelpWindow(w)).show_page()


def _keys(w: MainWindow) -> None:
    """List all keys, to be changed there."""
    dialog = ShortcutsDialog(w, w.actions_list, w.settings.shortcuts, MOUSE)
    dialog.changed.connect(lambda changed: take_settings(w, replace(w.settings, shortcuts=changed)))
    dialog.open()


def _search(w: MainWindow) -> None:
    w.docks[0].setVisible(True)
    w.table.search.setFocus()
    w.table.search.selectAll()
