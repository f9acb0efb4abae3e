"""From a path to an open review: find, choose, read, and go on with a review that is there already."""

from __future__ import annotations

import getpass
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QMessageBox, QWidget

from contourdesk.app.case import Case
from contourdesk.app.dicom_read import SeriesInfo, read_series
from contourdesk.app.errors import UserError
from contourdesk.app.first_look import open_with_look
from contourdesk.app.jobs import Job
from contourdesk.app.journal import Journal
from contourdesk.app.lease import Holder, ReviewHeld
from contourdesk.app.project import SavedReview, load, open_review, resume
from contourdesk.app.reopening import ReviewState, load_all, review_state
from contourdesk.app.resample import Resample
from contourdesk.app.review import ReviewSession
from contourdesk.app.reviews import ReviewInfo, default_review_folder
from contourdesk.app.settings import Settings
from contourdesk.widgets.autosave import Autosave
from contourdesk.widgets.case_browser import SeriesDialog
from contourdesk.widgets.language import tr
from contourdesk.widgets.loading import LoadingPage
from contourdesk.widgets.review_panel import when

log = logging.getLogger(__name__)


def account_name() -> str:
    """The computer account's name, as a first proposal for the reviewer's; empty when there is none."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return ""


class CaseOpening(QObject):
    """Reads in workers, asks where a choice is the user's, and ends with exactly one of its signals.

    `opened` carries (session, review folder, journal or None, notes); `failed` an exception; `gave_up` nothing.
    While it goes on, the case that is open stays open; it is saved and let go at the very end.

    A review that someone else has open comes as a session that is `read_only`, without a journal.

    Attributes
    ----------
    ready : asked with a path and a series (or "") for a job that gives its case, read ahead; None when there is none.
    """

    opened = Signal(object, object, object, object)
    failed = Signal(object)
    gave_up = Signal()

    def __init__(self, page: LoadingPage, autosave: Autosave, window: QWidget) -> None:
        super().__init__(window)
        self._page, self._autosave, self._window = page, autosave, window
        self._settings = Settings()
        self._review: ReviewInfo | None = None
        self._series = ""
        self._resample = False
        self.ready: Callable[[Path, str], Job[Case | None] | None] = lambda path, series: None
        page.failed.connect(self.failed)
        page.cancelled.connect(self.gave_up)

    def start(
        self,
        path: Path,
        settings: Settings,
        review: ReviewInfo | None = None,
        *,
        resample: bool = False,
        series: str = "",
    ) -> None:
        """Open what lies at `path`; with `review`, the series that it is about, to go on with it.

        With `resample`, a series that needs it is resampled without asking, as is one that a review was made on so.
        `series` is the UID of the one to open where there are several.
        """
        self._settings, self._review, self._resample = settings, review, resample
        self._series = series or (review.series_uid if review is not None else "")
        self._page.look.show_look(None)
        ahead = self.ready(path, self._series)
        if ahead is None:
            self._find(path)
        else:
            self._page.start(ahead, f"Opening {path.name or path}", lambda case: self._on_ahead(path, case))

    def start_case(self, case: Case, settings: Settings) -> None:
        """Go on with a case that was read already."""
        self._settings, self._review, self._resample, self._series = settings, None, False, ""
        self._page.look.show_look(None)
        self._on_case(case)

    def _on_ahead(self, path: Path, case: Case | None) -> None:
        if case is None:  # its files have changed since
            self._find(path)
        else:
            self._on_case(case)

    def _find(self, path: Path) -> None:
        self._page.start(open_with_look(path), f"Opening {path.name or path}", self._on_found)

    # -- finding --------------------------------------------------------------------------------------------------

    def _on_found(self, found: list[SeriesInfo] | Case) -> None:
        if isinstance(found, Case):
            self._on_case(found)
            return
        if self._review is not None:
            self._read_reviewed(found, self._review)
            return
        possible = [s for s in found if s.usable or s.resample is not None]
        possible = [s for s in possible if s.uid == self._series] or possible
        if len(possible) == 1 and (possible[0].usable or self._resample):
            self._read(possible[0], possible[0].resample)
            return
        dialog = SeriesDialog(found, self._window, resample=self._resample)
        dialog.chosen.connect(self._read)
        dialog.rejected.connect(self.gave_up)
        dialog.open()

    def _read_reviewed(self, found: list[SeriesInfo], review: ReviewInfo) -> None:
        """Read the series of a review; resampled as it was then."""
        for info in found:
            if info.uid == review.series_uid and (info.usable or (info.resample and review.resampled)):
                self._read(info, review.resampled)
                return
        self.failed.emit(
            UserError(
                tr("The images of this review are not there any more."),
                tr("Look in {image_path}.").format(image_path=review.image_path),
            )
        )

    def _read(self, info: SeriesInfo, resample: Resample | None) -> None:
        title = f"Reading {info.description or 'the series'}"
        self._page.start(read_series(info, resample), title, self._on_case)

    # -- a review that is there already ---------------------------------------------------------------------------

    def _on_case(self, case: Case) -> None:
        try:
            folder = self._review.folder if self._review else default_review_folder(case, self._settings)
        except UserError as error:
            self.failed.emit(error)
            return
        if folder == self._autosave.folder:
            self._autosave.state_changed.emit(tr("This case is open already"), True)
            self.gave_up.emit()
            return
        self._page.start(
            review_state(folder), "Looking for a review", lambda state: self._on_state(case, folder, state)
        )

    def _on_state(self, case: Case, folder: Path, state: ReviewState) -> None:
        if state.holder is not None:
            self._view(case, folder, state.holder)
        elif not state.exists:
            self._begin(ReviewSession(case, self._reviewer()), folder, ())
        elif state.unsaved:
            self._ask_recovery(case, folder)
        elif self._review is not None or state.untouched:
            self._load(case, folder, recover=False)
        else:
            self._ask_reopen(case, folder)

    def _view(self, case: Case, folder: Path, holder: Holder) -> None:
        """Show a review that someone else has open, without a way to change it."""

        def then(found: tuple[SavedReview, Holder | None]) -> None:
            saved, still = found
            try:
                session = resume(case, saved)
            except UserError as error:
                self.failed.emit(error)
                return
            session.read_only = f"{(still or holder).text}."
            session.reviewer = self._reviewer()
            self._leave(lambda: self._finish(session, folder, None, saved.notes))

        self._page.start(load_all(folder), "Reading the review", then)

    def take_over(self, case: Case, folder: Path) -> None:
        """Ask whether to take a review over from who has it open, and do it."""

        def then(found: tuple[SavedReview, Holder | None]) -> None:
            _, holder = found
            if holder is None:
                self._load(case, folder, recover=True)
                return
            self._ask(
                "take_over_dialog",
                tr("{text}. Take it over?").format(text=holder.text),
                tr(
                    "They may be working on it now. What they have done so far comes to you. What they do from now on "
                    "is kept in a copy of their own, and they are told. The audit trail notes it."
                ),
                [("Take over", "take_over", lambda: self._load(case, folder, recover=True, take_over=True))],
            )

        self._page.look.show_look(None)
        self._page.start(load_all(folder), "Reading the review", then)

    def _ask_recovery(self, case: Case, folder: Path) -> None:
        self._ask(
            "recovery_dialog",
            tr("The program ended before your last edits were saved. They are in the journal and can be recovered."),
            tr("Without them the review opens as it was at its last save. The journal keeps them in any case."),
            [
                ("Recover my edits", "recover", lambda: self._load(case, folder, recover=True)),
                ("Last save", "last_save", lambda: self._load(case, folder, recover=False)),
            ],
        )

    def _ask_reopen(self, case: Case, folder: Path) -> None:
        self._ask(
            "reopen_dialog",
            tr("There is a review of this series already."),
            tr("Go on with it as you left it, or start anew; the old one is then kept beside it."),
            [
                ("Go on", "go_on", lambda: self._load(case, folder, recover=False)),
                ("Start anew", "start_anew", lambda: self._start_anew(case, folder)),
            ],
        )

    def _ask(self, name: str, text: str, advice: str, answers: list[tuple[str, str, Callable[[], None]]]) -> None:
        box = QMessageBox(self._window)
        box.setObjectName(name)
        box.setWindowTitle("Contourdesk")
        box.setIcon(QMessageBox.Icon.Question)
        box.setText(text)
        box.setInformativeText(advice)
        box.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        actions = {}
        for label, button_name, action in answers:
            button = box.addButton(label, QMessageBox.ButtonRole.ActionRole)
            button.setObjectName(button_name)
            actions[button_name] = action
        cancel = box.addButton(QMessageBox.StandardButton.Cancel)
        cancel.setObjectName("cancel_opening")
        box.setEscapeButton(cancel)
        first = box.findChild(QWidget, answers[0][1])
        box.setDefaultButton(first)  # type: ignore[arg-type]
        box.buttonClicked.connect(lambda button: actions.get(button.objectName(), self.gave_up.emit)())
        box.open()

    def _start_anew(self, case: Case, folder: Path) -> None:
        kept = folder.with_name(f"{folder.name}-kept-{datetime.now():%Y%m%d-%H%M%S}")
        try:
            folder.rename(kept)
        except OSError as error:
            self.failed.emit(error)
            return
        self._begin(ReviewSession(case, self._reviewer()), folder, (f"The old review is kept as {kept.name}.",))

    def _load(self, case: Case, folder: Path, *, recover: bool, take_over: bool = False) -> None:
        def then(saved: SavedReview) -> None:
            try:
                session = resume(case, saved)
            except UserError as error:
                self.failed.emit(error)
                return
            if self._settings.reviewer:
                session.reviewer = self._settings.reviewer
            edits = f"{saved.recovered} edit{'s' if saved.recovered != 1 else ''} recovered from the journal. "
            note = f"{edits if saved.recovered else ''}Reopened as you left it on {when(saved.saved_at)}."
            if recover and saved.recovered:
                note = f"{edits}The last save was on {when(saved.saved_at)}."
            self._begin(session, folder, (note, *saved.notes), take_over=take_over)

        self._page.start(load(folder, recover=recover), "Reopening the review", then)

    def _reviewer(self) -> str:
        return self._settings.reviewer or account_name()

    # -- the end --------------------------------------------------------------------------------------------------

    def _begin(self, session: ReviewSession, folder: Path, notes: tuple[str, ...], *, take_over: bool = False) -> None:
        """Save and let go of the case that is open, then make the review folder of the new one."""
        self._leave(
            lambda: self._page.start(
                open_review(session.snapshot(), folder, take_over=take_over),
                "Preparing the review",
                lambda journal: self._finish(session, folder, journal, (*_taken_from(journal), *notes)),
                lambda error: self._without_journal(session, folder, notes, error),
                harmless=False,
            )
        )

    def _leave(self, then: Callable[[], None]) -> None:
        """Save and let go of the case that is open; then go on."""

        def let_go(_: object = None) -> None:
            self._autosave.end()
            then()

        try:
            leaving = self._autosave.last_save()
        except UserError as error:
            self.failed.emit(error)
            return
        if leaving is None:
            let_go()
        else:
            self._page.start(leaving, "Saving the open review", let_go, harmless=False)

    def _finish(self, session: ReviewSession, folder: Path, journal: Journal | None, notes: tuple[str, ...]) -> None:
        self.opened.emit(session, folder, journal, (*session.case.source.notes, *notes))

    def _without_journal(
        self, session: ReviewSession, folder: Path, notes: tuple[str, ...], error: BaseException
    ) -> None:
        """Show the case though its review folder can't be written; what someone else has just opened, read-only."""
        if isinstance(error, ReviewHeld):
            self._view(session.case, folder, error.holder)
        elif isinstance(error, UserError):
            self._finish(session, folder, None, (*notes, str(error)))
        else:
            self.failed.emit(error)


def _taken_from(journal: Journal) -> tuple[str, ...]:
    """What there is to say of a holder that has shown no sign of life."""
    before = journal.lease.before
    if before is None or before.dead or not before.stale:
        return ()
    return (f"{before.text}, but gave no sign of life for a while. You have taken it over.",)
