"""The journal's records, applied to a save, and the undo history that they tell."""

from __future__ import annotations

import logging

from contourdesk.app.history import EditHistory
from contourdesk.app.review import Record
from contourdesk.app.structures import StructureSet

log = logging.getLogger(__name__)


def replay(items: StructureSet, revision: int, records: tuple[Record, ...]) -> tuple[StructureSet, int]:
    """Apply the records after `revision`, up to the first that is missing or does not fit."""
    for record in records:
        if record.revision <= revision:
            continue
        if record.revision != revision + 1:
            break
        try:
            items = record.edit.apply(items, forward=record.op != "undo")
        except (KeyError, ValueError):
            log.warning("journal: revision %d does not fit", record.revision, exc_info=True)
            break
        revision = record.revision
    return items, revision


def rebuild(records: tuple[Record, ...], revision: int) -> EditHistory:
    """The undo history at `revision`, from the last stretch of records without a gap."""
    history = EditHistory()
    expected = 1
    for record in records:
        if record.revision > revision:
            break
        if record.revision != expected:
            history = EditHistory()
        expected = record.revision + 1
        if record.op == "do":
            history.push(record.edit)
        elif (history.undo() if record.op == "undo" else history.redo()) is None:
            history = EditHistory()  # its edit lies before the gap
    return history if expected == revision + 1 else EditHistory()
