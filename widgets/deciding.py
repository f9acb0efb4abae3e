"""What the window does about decisions beyond a single one: reports, second readings, blind mode."""

from __future__ import annotations

from typing import TYPE_CHECKING

from contourdesk.widgets.actions import Action
from contourdesk.widgets.report_dialog import ReportDialog
from contourdesk.widgets.second_reading import BeginReading, CompareReadings

if TYPE_CHECKING:
    from contourdesk.widgets.main_window import MainWindow


def deciding_actions(w: MainWindow) -> list[Action]:
    """Commands of the menu Review."""

    def has_case() -> bool:
        return w.reviewing

    def may_read() -> bool:
        return w.reviewing and w.session is not None and len(w.session.structures) > 0 and not w.session.read_only

    def may_switch() -> bool:
        return w.reviewing and w.session is not None and not w.session.read_only

    def has_readings() -> bool:
        return w.reviewing and w.session is not None and bool(w.session.readings)

    return [
        Action("reading_begin", "Review", "Second reading…", (), lambda: ask_reading(w), may_read),
        Action("reading_compare", "Review", "Compare the readings…", (), lambda: show_readings(w), has_readings),
        Action("reading_blind", "Review", "Blind mode on or off", (), lambda: toggle_blind(w), may_switch),
        Action("report_write", "Review", "Report…", ("Ctrl+R",), lambda: ask_report(w), has_case),
    ]


def ask_report(w: MainWindow) -> None:
    """Open the dialog of the report."""
    if w.session is not None:
        ReportDialog(w.session, w, with_patient=w.settings.report_patient).open()


def ask_reading(w: MainWindow) -> None:
    """Ask for the second reader, and begin."""
    session = w.session
    if session is None:
        return

    def begin(person: str) -> None:
        session.begin_reading(person)
        session.note("second reading", by=person)
        w.review.reviewer.setText(person)
        w.review.reviewer_changed.emit(person)
        w.review.set_active(w.table.active)
        w.save()
        w.refresh_actions()

    dialog = BeginReading(session, w)
    dialog.begun.connect(begin)
    dialog.open()


def show_readings(w: MainWindow) -> None:
    """Open the comparison of the last two readings."""
    if w.session is not None and w.session.readings:
        dialog = CompareReadings(w.session, w)
        dialog.chosen.connect(w.table.set_active)
        dialog.chosen.connect(w.view.centre_on)
        dialog.open()


def toggle_blind(w: MainWindow) -> None:
    """Hide the proposals that come from now on in this case, or show them at once."""
    if w.session is None:
        return
    w.session.blind = not w.session.blind
    w.session.note("blind mode", on=w.session.blind)
    text = (
        "Blind mode: what a model proposes from now on stays hidden until you have drawn your own contour."
        if w.session.blind
        else "Blind mode is off: proposals are shown at once. Hidden ones stay hidden until you ask for them."
    )
    w.statusBar().showMessage(text, 10_000)
