"""A session's structures as table rows: eye, colour, name, findings, lock, volume, state."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QPersistentModelIndex, Qt, Signal
from qtpy.QtWidgets import QWidget

from contourdesk.app.errors import UserError
from contourdesk.app.finding import SEVERITIES, Finding
from contourdesk.app.review import Change, ReviewSession
from contourdesk.app.structures import Mask, Structure
from contourdesk.widgets.language import tr
from contourdesk.widgets.theme import icon, ink, swatch

SHOW, COLOUR, NAME, FINDINGS, LOCK, VOLUME, STATE = range(7)
HEADERS = ("", "", "Name", "", "", "ml", "State")
Index = QModelIndex | QPersistentModelIndex
_Role = Qt.ItemDataRole
ID_ROLE = _Role.UserRole
_FINDING_INK = {"error": "bad", "warning": "warning", "info": "text-soft"}


def state_text(structure: Structure) -> str:
    """The state in one word: accepted, rejected, edited or open."""
    if structure.decision.state != "unreviewed":
        return "accepted" if structure.decision.accepted else structure.decision.state
    return "edited" if structure.edited and structure.provenance.model else "open"


class StructureModel(QAbstractTableModel):
    """A session's structures as table rows, in the session's order. `words` is whether the state stands in words."""

    visibility_changed = Signal(str, bool)
    failed = Signal(object)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session: ReviewSession | None = None
        self.hidden: set[str] = set()
        self.words = True
        self.swatch_px = 12
        self._volumes: dict[str, tuple[Mask, float]] = {}
        self._found: dict[str, list[Finding]] = {}

    def set_session(self, session: ReviewSession | None) -> None:
        """Show this session's structures, all visible."""
        if self.session is not None:
            self.session.changed.disconnect(self.on_change, missing_ok=True)
        self.beginResetModel()
        self.session, self.hidden, self._volumes, self._found = session, set(), {}, {}
        self.endResetModel()
        if session is not None:
            session.changed.connect(self.on_change)

    def on_change(self, change: Change) -> None:
        """Follow one change of the session."""
        row = self.row_of(change.structure_id)
        if change.what in ("added", "removed", "regrouped", "reset") or row is None:
            self.beginResetModel()
            self.endResetModel()
            return
        self.dataChanged.emit(self.index(row, 0), self.index(row, STATE))

    def set_findings(self, found: Sequence[Finding] | None) -> None:
        """Count what the checks found for each structure."""
        self._found = {}
        for finding in found or ():
            self._found.setdefault(finding.structure_id, []).append(finding)
        self._repaint(FINDINGS)

    def set_words(self, words: bool) -> None:
        """Show states in words or as icons alone."""
        if words != self.words:
            self.words = words
            self._repaint(STATE)

    def _repaint(self, column: int) -> None:
        if self.items():
            self.dataChanged.emit(self.index(0, column), self.index(len(self.items()) - 1, column))

    def items(self) -> tuple[Structure, ...]:
        """The structures, in row order."""
        return () if self.session is None else self.session.structures.items

    def row_of(self, structure_id: str | None) -> int | None:
        """Row of a structure, or None."""
        return next((i for i, s in enumerate(self.items()) if s.id == structure_id), None)

    def set_visible(self, structure_id: str, visible: bool) -> None:
        """Show or hide one structure."""
        if visible == (structure_id not in self.hidden):
            return
        (self.hidden.discard if visible else self.hidden.add)(structure_id)
        row = self.row_of(structure_id)
        if row is not None:
            self.dataChanged.emit(self.index(row, SHOW), self.index(row, SHOW))
            self.visibility_changed.emit(structure_id, visible)

    def volume_ml(self, structure: Structure) -> float:
        """Volume in ml; counted once for each mask."""
        known = self._volumes.get(structure.id)
        if known is None or known[0] is not structure.mask:
            grid = self.session.structures.grid  # type: ignore[union-attr]
            known = (structure.mask, structure.volume_ml(grid))
            self._volumes[structure.id] = known
        return known[1]

    # Qt's own names from here on.

    def rowCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return 0 if parent.isValid() else len(self.items())

    def columnCount(self, parent: Index = QModelIndex()) -> int:  # noqa: B008
        return len(HEADERS)

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = _Role.DisplayRole) -> Any:
        if orientation == Qt.Orientation.Horizontal and role == _Role.DisplayRole:
            return tr(HEADERS[section]) if self.words or section != STATE else ""
        if role == _Role.TextAlignmentRole:
            side = Qt.AlignmentFlag.AlignRight if section == VOLUME else Qt.AlignmentFlag.AlignLeft
            return side | Qt.AlignmentFlag.AlignVCenter
        return None

    def flags(self, index: Index) -> Qt.ItemFlag:
        flags = super().flags(index)
        return flags | Qt.ItemFlag.ItemIsEditable if index.column() == NAME else flags

    def data(self, index: Index, role: int = _Role.DisplayRole) -> Any:
        s, column = self.items()[index.row()], index.column()
        if role == ID_ROLE:
            return s.id
        if role in (_Role.DisplayRole, _Role.EditRole):
            return self._text(s, column)
        if role == _Role.DecorationRole:
            return self._icon(s, column)
        if role == _Role.TextAlignmentRole and column in (VOLUME, FINDINGS):
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == _Role.ForegroundRole and column == NAME and s.mask.is_empty:
            return ink("text-muted")
        if role == _Role.ForegroundRole and column == FINDINGS and s.id in self._found:
            worst = min(self._found[s.id], key=lambda f: SEVERITIES.index(f.severity))
            return ink(_FINDING_INK[worst.severity])
        if role == _Role.AccessibleTextRole:
            return self._spoken(s, column)
        return self._tip(s, column) if role == _Role.ToolTipRole else None

    def _text(self, s: Structure, column: int) -> str | None:
        if column == FINDINGS:
            return str(len(self._found[s.id])) if s.id in self._found else None
        if column == STATE:
            return state_text(s) if self.words else None
        if column == VOLUME:
            ml = self.volume_ml(s)
            return f"{ml:.1f}" if ml < 1000 else f"{ml:.0f}"
        return s.name if column == NAME else None

    def _icon(self, s: Structure, column: int) -> Any:
        if column == SHOW:
            return icon("eye-off" if s.id in self.hidden else "eye")
        if column == COLOUR:
            return swatch(s.colour, self.swatch_px)
        if column == LOCK and s.locked:
            return icon("lock")
        if column == STATE:
            return icon("rename" if state_text(s) == "edited" else s.decision.state)
        return None

    def _spoken(self, s: Structure, column: int) -> str | None:
        if column == SHOW:
            return f"{s.name} {'hidden' if s.id in self.hidden else 'shown'}"
        if column == LOCK:
            return f"{s.name} {'locked' if s.locked else 'not locked'}"
        if column == FINDINGS:
            return f"{len(self._found.get(s.id, ()))} findings"
        return state_text(s) if column == STATE else None

    def _tip(self, s: Structure, column: int) -> str:
        if column == SHOW:
            return "Click to show or hide (Space); Alt+click shows it alone (Y)"
        if column == COLOUR:
            return "Click to choose another colour"
        if column == LOCK:
            return "Locked: click to unlock" if s.locked else "Click to lock: it can then not be changed"
        if column == FINDINGS:
            return "\n".join(f.text for f in self._found.get(s.id, ())) or "Nothing found"
        made = {"model": "proposed by a model", "imported": "imported", "reviewer": "drawn or edited by a reviewer"}
        lines = [s.name, made.get(s.provenance.source, s.provenance.source)]
        if s.provenance.model:
            lines.append(f"model {s.provenance.model}")
        if s.decision.person:
            lines.append(f"{s.decision.text} by {s.decision.person}")
        elif column == STATE:
            lines.append(state_text(s))
        return "\n".join(lines)

    def setData(self, index: Index, value: Any, role: int = _Role.EditRole) -> bool:
        if role != _Role.EditRole or index.column() != NAME or self.session is None:
            return False
        try:
            self.session.rename(self.items()[index.row()].id, str(value))
        except UserError as error:
            self.failed.emit(error)
            return False
        return True
