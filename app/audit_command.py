"""``contourdesk audit``: print the audit trail of a review folder, and say whether its chain is whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from contourdesk.app.audit import AUDIT, AuditTrail, read_audit, verify
from contourdesk.app.audit_text import clock, sentence, to_csv
from contourdesk.app.console import GOOD, note, say
from contourdesk.app.errors import UserError
from contourdesk.app.lease import Lease
from contourdesk.app.settings import load_settings

TAMPERED = 3


def show_audit(folder: Path, *, as_csv: bool = False) -> int:
    """Print a review's trail; returns `TAMPERED` when the chain is broken, with each break named.

    Raises UserError when there is no trail, or it can't be read.
    """
    if not (folder / AUDIT).is_file():
        raise UserError(f"There is no audit trail in {folder}.", "Name a review folder; it holds an audit.jsonl.")
    try:
        entries, problems = read_audit(folder), verify(folder)
    except OSError as error:
        raise UserError(
            f"The audit trail can't be read ({error.strerror}).", "Check that the drive is there."
        ) from error
    if as_csv:
        for line in to_csv(entries).splitlines():
            say(line)
    else:
        for entry in entries:
            say(f"{entry['n']:6}  {clock(entry)}  {entry.get('who') or '-'}  {sentence(entry)}")
    for problem in problems:
        note(problem.text)
    if problems:
        note(f"The chain is broken in {len(problems)} place{'s' if len(problems) != 1 else ''}.")
        return TAMPERED
    note(f"{len(entries)} entries, the chain is whole. Last hash: {entries[-1]['hash'] if entries else '-'}")
    return GOOD


def record_export(folder: Path, formats: Sequence[str], by: str = "command line") -> str:
    """Put an export into the trail of a review that is not open here; a sentence when that can't be done, else ""."""
    who = load_settings()[0].reviewer
    try:
        lease = Lease(folder, who)
        try:
            trail = AuditTrail(folder)
            trail.add("export", who, {"format": list(formats), "by": by})
            trail.close()
        finally:
            lease.release()
    except UserError as error:
        return f"This export is not in the audit trail. {error}"
    except OSError as error:
        return f"This export is not in the audit trail ({error.strerror})."
    return ""
