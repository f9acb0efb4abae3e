"""The decision on the active structure, what became of its proposal, how far the review is, what the checks found."""

from __future__ import annotations

from datetime import datetime

from qtpy.QtCore import QSignalBlocker, Qt, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from contourdesk.app.errors import UserError
from contourdesk.app.history import first_mask
from contourdesk.app.review import Change, ReviewSession
from contourdesk.app.structures import Structure
from contourdesk.widgets.change_figures import ChangeFigures, FigureKeeper
from contourdesk.widgets.findings_list import FindingsList
from contourdesk.widgets.language import tr
from contourdesk.widgets.structure_model import state_text
from contourdesk.widgets.theme import em, named, set_role
from contourdesk.widgets.window_parts import ElidedLabel

# State, text, name, role, tip.
_BUTTONS = (
    ("accepted", "Accept", "accept", "accept", "Accept the active structure (A)"),
    ("accepted-edited", "Minor edit", "accept_edited", "accept",
     "Accept the active structure; what was proposed needed a minor edit (W)"),
    ("rejected", "Reject", "reject", "reject", "Reject the active structure; it is not exported (R)"),
    ("unreviewed", "Reopen", "reopen", "", "Take the decision on the active structure back (U)"),
)  # fmt: skip


def when(time: str) -> str:
    """An ISO time in short local form, or as it is."""
    try:
        return datetime.fromisoformat(time).astimezone().strftime("%d %b %Y, %H:%M")
    except ValueError:
        return time


class ReviewPanel(QWidget):
    """Accept, reject, reopen with a comment; reviewer's name; figures on the change; progress; findings.

    `decided` comes after a decision, `reviewer_changed` with the new name, `finding_chosen` with a `Finding`, `typed`
    after Enter in a field. `keeper` has the figures of all structures.
    """

    decided = Signal()
    reviewer_changed = Signal(str)
    finding_chosen = Signal(object)
    typed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("review_panel")
        self._session: ReviewSession | None = None
        self._active: str | None = None
        self.buttons: dict[str, QPushButton] = {}  # by the state that they decide
        self.name = ElidedLabel()
        named(self.name, "review_structure")
        set_role(self.name, "strong")
        self.state = QLabel()
        named(self.state, "review_state")
        self.state.setTextFormat(Qt.TextFormat.PlainText)
        self.state.setWordWrap(True)
        set_role(self.state, "muted")
        self.comment = QLineEdit()
        named(self.comment, "review_comment", tr("Comment on the active structure"), tr("Kept with the decision"))
        self.comment.setPlaceholderText(tr("Comment"))
        self.reviewer = QLineEdit()
        named(self.reviewer, "reviewer", tr("Reviewer's name"))
        self.reviewer.setPlaceholderText(tr("Your name"))
        self.reviewer.editingFinished.connect(self._on_reviewer)
        self.progress = QLabel()
        named(self.progress, "review_progress")
        set_role(self.progress, "muted")
        self.former = QLabel()
        named(self.former, "review_former", tr("What former readers decided"))
        self.former.setTextFormat(Qt.TextFormat.PlainText)
        self.former.setWordWrap(True)
        set_role(self.former, "muted")
        self.reveal_button = QPushButton(tr("Show proposal"))
        named(
            self.reveal_button,
            "show_proposal",
            tr("Show the hidden proposal"),
            tr("Show the proposal beside your own contour (Shift+P)"),
        )
        self.reveal_button.clicked.connect(self.reveal)
        self.keeper = FigureKeeper(self)
        self.figures = ChangeFigures(self.keeper)
        self.findings = FindingsList()
        self.findings.chosen.connect(self.finding_chosen)
        self.comment.returnPressed.connect(self._on_comment)
        for field in (self.comment, self.reviewer):
            field.returnPressed.connect(self.typed)
        self._build()
        self._show()

    def _build(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(em(self, 0.6), em(self, 0.3), em(self, 0.6), em(self, 0.6))
        layout.setSpacing(em(self, 0.4))
        head = QHBoxLayout()
        head.addWidget(self.name, 1)
        head.addWidget(self.progress)
        layout.addLayout(head)
        layout.addWidget(self.state)
        layout.addWidget(self.former)
        layout.addWidget(self.reveal_button)
        grid = QGridLayout()
        grid.setSpacing(em(self, 0.3))
        for place, (state, text, name, role, tip) in enumerate(_BUTTONS):
            button = QPushButton(tr(text))
            named(button, name, tr(tip), tr(tip))
            if role:
                set_role(button, role)
                button.setCheckable(True)
            button.clicked.connect(lambda _=False, state=state: self.decide(state))
            grid.addWidget(button, place // 2, place % 2)
            self.buttons[state] = button
        layout.addLayout(grid)
        layout.addWidget(self.comment)
        name_row = QHBoxLayout()
        label = QLabel(tr("Reviewer"))
        set_role(label, "muted")
        label.setBuddy(self.reviewer)
        name_row.addWidget(label)
        name_row.addWidget(self.reviewer, 1)
        layout.addLayout(name_row)
        layout.addSpacing(em(self, 0.2))
        layout.addWidget(self.figures)
        layout.addWidget(self.findings, 1)

    # -- what the window uses -------------------------------------------------------------------------------------

    def set_session(self, session: ReviewSession | None) -> None:
        """Show a session."""
        if self._session is not None:
            self._session.changed.disconnect(self._on_change, missing_ok=True)
        self._session, self._active = session, None
        self.findings.clear()
        self.keeper.set_session(session)
        if session is not None:
            session.changed.connect(self._on_change)
            with QSignalBlocker(self.reviewer):
                self.reviewer.setText(session.reviewer)
        self._show()

    def set_active(self, structure_id: str | None) -> None:
        """Show the decision on this structure."""
        self._active = structure_id
        self.keeper.set_active(structure_id)
        self._show()

    def decide(self, state: str) -> None:
        """Decide on the active structure, with the comment that stands in the field."""
        structure = self._structure()
        if self._session is None or structure is None:
            self._show()
            return
        if self._session.read_only:
            self.state.setText(self._session.read_only)
            set_role(self.state, "warning")
            return
        self._on_reviewer()
        if not self._session.reviewer:
            self.reviewer.setFocus()
            self.state.setText(tr("Type your name under Reviewer first: it is kept with each decision."))
            set_role(self.state, "warning")
            self._check_buttons(structure)
            return
        self._session.decide(structure.id, state, self.comment.text().strip())
        self._show()
        self.decided.emit()

    def showEvent(self, event: QShowEvent) -> None:
        """Signs of life come from the whole window."""
        super().showEvent(event)
        self.keeper.watch(self.window().windowHandle())

    @property
    def hides_proposal(self) -> bool:
        """Whether the active structure has a proposal that is not to be seen yet."""
        structure = self._structure()
        return structure is not None and structure.blind == "hidden"

    def reveal(self) -> None:
        """Show the hidden proposal of the active structure."""
        structure = self._structure()
        if self._session is None or structure is None or self._session.read_only:
            return
        try:
            self._session.show_proposal(structure.id)
        except UserError as error:
            self.state.setText(str(error))
            set_role(self.state, "warning")

    # -- slots ----------------------------------------------------------------------------------------------------

    def _on_change(self, change: Change) -> None:
        self.keeper.note_change()
        if change.structure_id in (self._active, None) or change.what in ("added", "removed", "decided", "revealed"):
            self._show(keep_comment=change.what == "mask")

    def _on_comment(self) -> None:
        structure = self._structure()
        if structure is not None:
            self.decide(structure.decision.state)

    def _on_reviewer(self) -> None:
        name = self.reviewer.text().strip()
        if self._session is not None and name != self._session.reviewer:
            self._session.reviewer = name
            self.reviewer_changed.emit(name)

    def _structure(self) -> Structure | None:
        if self._session is None or self._active is None:
            return None
        return next((s for s in self._session.structures if s.id == self._active), None)

    def _check_buttons(self, structure: Structure | None) -> None:
        state = structure.decision.state if structure else "none"
        for wanted, button in self.buttons.items():
            button.setEnabled(structure is not None and (wanted != "unreviewed" or state != "unreviewed"))
            if button.isCheckable():
                button.setChecked(state == wanted)

    def _show_figures(self, structure: Structure | None) -> None:
        """The figures, or the button that shows the proposal; and what former readers decided."""
        hidden = self.hides_proposal
        self.reveal_button.setVisible(hidden)
        self.reveal_button.setEnabled(structure is not None and not structure.mask.is_empty)
        heading = ""
        if structure is not None and not hidden and first_mask(structure) is not None:
            heading = "Change of the proposal" if structure.provenance.model else "Change of the import"
        self.figures.show_structure(self._active, heading)
        readings = () if self._session is None else self._session.readings
        told = [(r, next((s for s in r.structures if s.id == self._active), None)) for r in readings]
        lines = [f"{r.person or 'First reader'}: {s.decision.text}" for r, s in told if s is not None]
        self.former.setText("\n".join(lines))
        self.former.setToolTip("\n".join(s.decision.comment for _, s in told if s is not None and s.decision.comment))
        self.former.setVisible(bool(lines))

    def _show(self, *, keep_comment: bool = False) -> None:
        structure = self._structure()
        self._show_figures(structure)
        self._check_buttons(structure)
        self.comment.setEnabled(structure is not None)
        set_role(self.state, "muted")
        if structure is None:
            self.name.set_full_text(tr("No structure chosen"))
            self.state.setText(tr("Choose one in the list to decide on it."))
            self.comment.clear()
        else:
            decision = structure.decision
            self.name.set_full_text(structure.name)
            text = {"open": tr("not reviewed yet"), "edited": tr("edited, not accepted yet")}.get(state_text(structure))
            if structure.blind == "hidden":
                text = tr("the proposal is hidden until you have drawn your own contour and ask for it")
            if decision.state != "unreviewed":
                text = tr("{decision} by {person}, {time}").format(
                    decision=tr(decision.text), person=decision.person or tr("nobody named"), time=when(decision.time)
                )
                set_role(self.state, "good" if decision.accepted else "warning")
            self.state.setText(text[0].upper() + text[1:] if text else "")
            if not keep_comment:
                self.comment.setText(decision.comment)
        items = () if self._session is None else self._session.structures.items
        done = sum(s.decision.state != "unreviewed" for s in items)
        self.progress.setText(tr("{done} of {items} decided").format(done=done, items=len(items)) if items else "")
