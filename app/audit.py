"""The audit trail of a review: who did what when, in a chain that shows tampering.

``audit.jsonl`` holds one entry a line, only ever appended to. Each entry names the hash of the one before it and ends
with its own: SHA-256 over the previous hash and the entry's canonical JSON (sorted keys, no blanks, ASCII). So a line
that was changed, removed, moved or put in doesn't fit any more, and `verify` names it. Each save notes how many
entries there were and the last hash, so that lines cut off at the end are missed too. Who can write the folder could
forge the whole chain anew; a hash that was noted elsewhere (on a printed report, say) shows that as well.

No patient's name or id is in it, no file name, and no comment: only that there was one.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contourdesk.app.history import Edit, HeaderStep, MaskStep, PresenceStep, unpack
from contourdesk.app.review import Record, now

log = logging.getLogger(__name__)

AUDIT = "audit.jsonl"
START = "0" * 64
Entry = dict[str, Any]


@dataclass(frozen=True)
class Head:
    """How many entries there are, and the hash of the last one."""

    entries: int = 0
    hash: str = START


@dataclass(frozen=True)
class Problem:
    """A sign of tampering or damage: `line` of the file counted from 1, and what is wrong in words."""

    line: int
    text: str


def seal(entry: Mapping[str, Any], previous: str) -> str:
    """The hash of an entry (without its own ``hash``) that follows the one with the hash `previous`."""
    content = {key: value for key, value in entry.items() if key not in ("hash", "prev")}
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(f"{previous}\n{canonical}".encode()).hexdigest()


# -- writing -----------------------------------------------------------------------------------------------------


class AuditTrail:
    """The open trail of one review folder; one writer at a time, which the lease on the folder sees to.

    What can't be written is kept and tried again with the next entry.

    Raises
    ------
    OSError : the folder can't be read or written.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / AUDIT
        self.torn = _cut_torn_end(self._path)
        entries = [entry for _, entry in _parsed(_lines(self._path)) if entry is not None]
        last = entries[-1] if entries else {}
        self.head = Head(int(last.get("n", 0) or 0), str(last.get("hash", START)))
        self.revision = next((int(e["revision"]) for e in reversed(entries) if "revision" in e), 0)
        self._file = self._path.open("ab", buffering=0)
        self._size = self._file.seek(0, os.SEEK_END)
        self._waiting: list[Entry] = []

    def add(self, what: str, who: str, details: Mapping[str, object], *, flush: bool = True) -> None:
        """Append an entry with the time now, and flush it to the disk unless the next one will. Raises OSError."""
        entry = {"what": what, "who": who, "time": now()} | {k: v for k, v in details.items() if v not in (None, "")}
        if "revision" in entry:
            self.revision = int(str(entry["revision"]))
        self._waiting.append(entry)
        self._write(flush=flush)

    def add_record(self, record: Record, *, from_journal: bool = False) -> None:
        """Append what a record of the journal tells. Raises OSError."""
        details = entry_of(record) | ({"from_journal": True} if from_journal else {})
        self.add(details.pop("what"), details.pop("who"), details, flush=False)

    def take_waiting(self) -> list[Entry]:
        """Hand out the entries that could not be written."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def put_waiting(self, entries: Iterable[Entry]) -> None:
        """Append entries that another trail could not write, but for edits, which come from the journal."""
        self._waiting += [entry for entry in entries if "revision" not in entry]
        self._write(flush=True)

    def _write(self, *, flush: bool) -> None:
        head, data = self.head, b""
        for waiting in self._waiting:
            entry = {"n": head.entries + 1, **waiting}
            entry |= {"prev": head.hash, "hash": seal(entry, head.hash)}
            data += json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            head = Head(head.entries + 1, entry["hash"])
        try:
            written = 0
            while written < len(data):
                written += self._file.write(data[written:])
            if flush:
                os.fsync(self._file.fileno())
        except OSError:
            try:
                self._file.truncate(self._size)
            except OSError:
                log.warning("audit trail: half a line is left", exc_info=True)
            raise
        self._size += len(data)
        self._waiting.clear()
        self.head = head

    def flush(self) -> Head:
        """Make what was written last; returns the head. Raises OSError."""
        os.fsync(self._file.fileno())
        return self.head

    def close(self) -> None:
        """Close the file; twice does no harm."""
        self._file.close()


def _cut_torn_end(path: Path) -> int:
    """Cut off a last line that a crash left without its end; returns its length."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return 0
    torn = len(content) - (content.rfind(b"\n") + 1)
    if torn:
        os.truncate(path, len(content) - torn)
    return torn


def entry_of(record: Record) -> dict[str, Any]:
    """What an entry says of an edit, undo or redo: tool, structures, slices and voxel counts."""
    edit, forward = record.edit, record.op != "undo"
    parts = list(_parts(edit, forward))
    out: dict[str, Any] = {"what": _what(edit, record.op), "who": record.person, "revision": record.revision}
    out |= {"op": record.op, "tool": edit.tool, "at": record.time}
    return out | ({"structures": parts} if parts else {})


def _what(edit: Edit, op: str) -> str:
    if op != "do":
        return op
    return {"decide": "decision", "model": "segmentation", "import": "import"}.get(edit.tool, "edit")


def _parts(edit: Edit, forward: bool) -> Iterator[dict[str, Any]]:
    """One part for each structure that an edit touches."""
    parts: dict[str, dict[str, Any]] = {}
    for step in edit.steps:
        part = parts.setdefault(step.structure_id, {"id": step.structure_id})
        if isinstance(step, MaskStep):
            before, after = unpack(step.before, step.shape), unpack(step.after, step.shape)
            if not forward:
                before, after = after, before
            part["added"] = part.get("added", 0) + int(np.count_nonzero(after & ~before))
            part["removed"] = part.get("removed", 0) + int(np.count_nonzero(before & ~after))
            part["slices"] = ranges([step.offset[0] + int(k) for k in np.flatnonzero((before ^ after).any((1, 2)))])
        elif isinstance(step, HeaderStep):
            old, new = (step.before, step.after) if forward else (step.after, step.before)
            part["name"] = new.name
            part |= {"was": old.name} if old.name != new.name else {}
            part |= {"colour": list(new.colour)} if old.colour != new.colour else {}
            for key in ("interpreted_type", "group", "locked", "blind"):
                part |= {key: getattr(new, key)} if getattr(old, key) != getattr(new, key) else {}
            if old.decision != new.decision:
                part |= {"from": old.decision.state, "to": new.decision.state}
                part |= {"comment": True} if new.decision.comment else {}
        elif isinstance(step, PresenceStep):
            made = step.structure.provenance
            part["name"] = step.structure.name
            part["came" if step.added == forward else "went"] = step.structure.mask.count
            part |= {k: v for k, v in (("model", made.model), ("weights", made.weights_sha256)) if v}
    yield from parts.values()


def ranges(slices: Iterable[int]) -> str:
    """``3, 5-8`` for slice numbers counted from 0 in array order."""
    out: list[list[int]] = []
    for k in sorted(slices):
        if out and k == out[-1][1] + 1:
            out[-1][1] = k
        else:
            out.append([k, k])
    return ", ".join(f"{a}" if a == b else f"{a}-{b}" for a, b in out)


# -- reading -----------------------------------------------------------------------------------------------------


def _lines(path: Path) -> list[bytes]:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    lines = content.split(b"\n")
    return lines[:-1] if lines[-1] == b"" else lines


def _parsed(lines: Iterable[bytes]) -> Iterator[tuple[int, Entry | None]]:
    for number, line in enumerate(lines, 1):
        try:
            read = json.loads(line)
            yield number, read if isinstance(read, dict) and isinstance(read.get("n"), int) else None
        except ValueError:
            yield number, None


def read_audit(folder: Path) -> list[Entry]:
    """The entries of a trail, as they lie there; none when there is no trail. Raises OSError."""
    return [entry for _, entry in _parsed(_lines(folder / AUDIT)) if entry is not None]


def saved_head(folder: Path) -> Head | None:
    """What the last save noted of the trail; None when it noted nothing, or can't be read."""
    try:
        noted = json.loads((folder / "case.json").read_text("utf-8"))["audit"]
        return Head(int(noted["entries"]), str(noted["hash"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def verify(folder: Path) -> list[Problem]:
    """What is wrong with a trail, in the order of its lines; empty when the chain is whole. Raises OSError."""
    found = list(_parsed(_lines(folder / AUDIT)))
    numbers = [entry["n"] for _, entry in found if entry is not None]
    problems: list[Problem] = []
    expected, previous = 1, START
    for line, entry in found:
        if entry is None:
            problems.append(Problem(line, f"Line {line} is no entry: it was changed, or a crash cut it short."))
            expected += expected not in numbers  # it stood for the entry that is nowhere else
            previous = ""
            continue
        n = entry["n"]
        said, sealed = entry.get("hash"), seal(entry, str(entry.get("prev")))
        if n < expected:
            twice = numbers.count(n) > 1
            what = "was put in: there is another entry of its number" if twice else "was moved from its place"
            problems.append(Problem(line, f"Entry {n} (line {line}) {what}."))
            continue
        missing = [m for m in range(expected, n) if m not in numbers]
        if missing:
            problems.append(Problem(line, f"{_counted(missing)} missing before line {line}."))
        moved = n != expected and not missing
        if said != sealed:
            problems.append(Problem(line, f"Entry {n} (line {line}) was changed."))
        elif n == expected and previous and entry.get("prev") != previous:
            text = f"Entry {n - 1} isn't the one that entry {n} (line {line}) was written after: one was exchanged."
            problems.append(Problem(line, text))
        elif moved:
            problems.append(Problem(line, f"Entry {n} (line {line}) stands before entry {expected}: one was moved."))
        expected, previous = n + 1, str(said)
    return problems + _at_the_end(folder, found)


def _at_the_end(folder: Path, found: list[tuple[int, Entry | None]]) -> list[Problem]:
    """Whether the last save knew of more, or of others."""
    head = saved_head(folder)
    if head is None or head.entries == 0:
        return []
    there = [entry for _, entry in found if entry is not None and entry["n"] == head.entries]
    last = max((entry["n"] for _, entry in found if entry is not None), default=0)
    if not there and last < head.entries:
        text = f"{_counted(range(last + 1, head.entries + 1))} missing at the end: the last save knew of them."
        return [Problem(len(found) + 1, text)]
    if there and all(entry.get("hash") != head.hash for entry in there):
        return [Problem(len(found), f"Entry {head.entries} isn't the one that the last save knew.")]
    return []


def _counted(numbers: Iterable[int]) -> str:
    listed = ranges(numbers)
    return f"Entries {listed} are" if "-" in listed or "," in listed else f"Entry {listed} is"
