"""The audit trail for people: a sentence for each entry, filters, and a table for other programs."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from contourdesk.app.audit import Entry

COLUMNS = (
    *("n", "time", "who", "what", "tool", "structure", "slices", "added", "removed", "revision", "text", "hash"),
)
KINDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Everything", ()),
    ("Decisions", ("decision", "second reading", "blind mode")),
    ("Edits", ("edit", "undo", "redo")),
    ("Segmentation and import", ("segmentation", "import")),
    ("Exports and reports", ("export", "report")),
    ("Open, close, take over", ("new review", "open", "close", "recovery", "declined", "take over")),
)
_KNOWN = {
    *("n", "time", "who", "what", "tool", "structures", "revision", "prev", "hash", "op", "at", "from_journal"),
}
_WORDS = {
    "new review": "Review begun",
    "open": "Opened",
    "close": "Closed",
    "recovery": "Reopened after a crash",
    "declined": "Edits that were not saved were left out",
    "take over": "Taken over",
    "export": "Exported",
    "undo": "Undo",
    "redo": "Redo",
}


def sentence(entry: Entry) -> str:
    """What an entry tells, without person and time."""
    what = str(entry.get("what", ""))
    tool = str(entry.get("tool", ""))
    head = _WORDS.get(what, what.capitalize())
    if what in ("edit", "decision", "segmentation", "import"):
        head = tool.capitalize() if tool and what == "edit" else head
    elif what in ("undo", "redo") and tool:
        head = f"{head} {tool}"
    parts = [_about(part) for part in entry.get("structures", ()) if isinstance(part, dict)]
    more = [f"{key.replace('_', ' ')} {_plain(value)}" for key, value in entry.items() if key not in _KNOWN]
    tail = "; ".join([*(part for part in parts if part), *more])
    return f"{head}: {tail}" if tail else head


def _about(part: Mapping[str, Any]) -> str:
    """What happened to one structure."""
    name = str(part.get("name") or part.get("id", ""))
    out = []
    if "was" in part:
        out.append(f"renamed from {part['was']}")
    if "to" in part:
        out.append(f"{part.get('from')} to {part['to']}{', with a comment' if part.get('comment') else ''}")
    if "came" in part:
        out.append(f"added, {part['came']} voxels" if part["came"] else "added")
    if "went" in part:
        out.append("taken away")
    if "slices" in part:
        out.append(f"{part.get('added', 0)} voxels added, {part.get('removed', 0)} removed, slices {part['slices']}")
    if "colour" in part:
        out.append("colour changed")
    for key in ("interpreted_type", "group", "locked", "blind"):
        if key in part:
            out.append(f"{key.replace('_', ' ')} {part[key]}")
    return f"{name} {', '.join(out)}" if out else name


def _plain(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def clock(entry: Entry) -> str:
    """An entry's time in this computer's zone, to the second."""
    try:
        return datetime.fromisoformat(str(entry.get("time"))).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return str(entry.get("time", ""))


def chosen(entries: Iterable[Entry], text: str = "", kinds: Sequence[str] = ()) -> list[Entry]:
    """Entries of some kinds (all when none are given) that hold each word of `text`."""
    words = text.casefold().split()

    def holds(entry: Entry) -> bool:
        whole = f"{clock(entry)} {entry.get('who', '')} {sentence(entry)}".casefold()
        return all(word in whole for word in words)

    return [entry for entry in entries if (not kinds or entry.get("what") in kinds) and holds(entry)]


def to_csv(entries: Iterable[Entry]) -> str:
    """The trail as a table: a line for each structure of each entry, the hash with the first."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for entry in entries:
        parts = [p for p in entry.get("structures", ()) if isinstance(p, dict)] or [{}]
        for number, part in enumerate(parts):
            row = {**entry, **part, "structure": part.get("name") or part.get("id", ""), "text": sentence(entry)}
            if number:
                row |= {"text": "", "hash": ""}
            writer.writerow([_cell(row.get(column, "")) for column in COLUMNS])
    return out.getvalue()


def _cell(value: object) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = _plain(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
