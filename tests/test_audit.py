"""The audit trail: complete, readable, and broken where somebody was at it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from test_project import NAME, busy_session, make_case, paint, start

from contourdesk.app import project
from contourdesk.app.audit import AUDIT, AuditTrail, Head, ranges, read_audit, saved_head, seal, verify
from contourdesk.app.audit_text import chosen, sentence, to_csv
from contourdesk.app.cli import main
from contourdesk.app.jobs import run
from contourdesk.app.review import ReviewSession
from contourdesk.app.structures import Mask, Provenance, Structure


def make_trail(folder: Path) -> list[dict[str, object]]:
    """A review with some of everything, and what its trail says."""
    session = ReviewSession(make_case(), "Dr Demo")
    with start(folder, session) as journal:
        session.audit = lambda what, details: journal.note(what, **details)
        new = session.add("Larynx")
        session.paint(new, (3, 4, 5), np.ones((2, 3, 4), bool))
        session.paint(new, (3, 4, 5), np.zeros((1, 2, 4), bool), "erase")
        session.undo()
        session.decide(new, "accepted", "LEAKTEST comment")
        cube = Mask((0, 0, 0), np.ones((2, 2, 2), bool))
        session.add_proposals([Structure("Cord", (9, 9, 9), cube, Provenance("model", model="m", weights_sha256="ff"))])
        session.add_imported([Structure("PTV", (9, 9, 9), cube, Provenance("imported"))], "LEAKTEST^Name.dcm")
        session.note("export", formats=["rtstruct"], sha256="ab", structures_exported=3)
        run(project.save(session.snapshot(), folder, journal))
    return read_audit(folder)


def test_it_says_who_did_what_when(tmp_path: Path) -> None:
    entries = make_trail(tmp_path)
    assert verify(tmp_path) == []
    assert [e["what"] for e in entries] == [
        *("new review", "edit", "edit", "edit", "undo", "decision", "segmentation", "import", "export", "close"),
    ]
    assert {e["who"] for e in entries} == {"Dr Demo"}
    assert [e["n"] for e in entries] == list(range(1, 11))
    texts = [sentence(e) for e in entries]
    assert texts[2] == "Brush: Larynx 24 voxels added, 0 removed, slices 3-4"
    assert texts[3] == "Erase: Larynx 0 voxels added, 8 removed, slices 3"
    assert texts[4] == "Undo erase: Larynx 8 voxels added, 0 removed, slices 3"
    assert texts[5] == "Decision: Larynx unreviewed to accepted, with a comment"
    assert texts[6] == "Segmentation: Cord added, 8 voxels"
    assert "PTV added, 8 voxels" in texts[7]
    assert "formats rtstruct" in texts[8]
    parts = entries[6]["structures"]
    assert isinstance(parts, list)
    assert parts[0]["weights"] == "ff"


def test_no_patient_in_it(tmp_path: Path) -> None:
    make_trail(tmp_path)
    content = (tmp_path / AUDIT).read_text()
    assert "LEAKTEST" not in content
    assert NAME not in content
    assert "1.2.840.7" not in content


def _edit(lines: list[str], at: int, old: str, new: str) -> None:
    assert old in lines[at]
    lines[at] = lines[at].replace(old, new)


def _changed(lines: list[str]) -> None:
    _edit(lines, 2, '"added":24', '"added":25')


def _changed_and_sealed(lines: list[str]) -> None:
    entry = json.loads(lines[5].replace("accepted", "rejected"))
    entry["hash"] = seal(entry, entry["prev"])
    lines[5] = json.dumps(entry)


def _removed(lines: list[str]) -> None:
    del lines[3:5]


def _swapped(lines: list[str]) -> None:
    lines[3], lines[4] = lines[4], lines[3]


def _copied_in(lines: list[str]) -> None:
    lines.insert(5, lines[2])


def _forged(lines: list[str]) -> None:
    entry = json.loads(lines[4]) | {"what": "decision"}
    entry["hash"] = seal(entry, entry["prev"])
    lines.insert(4, json.dumps(entry))


def _cut_off(lines: list[str]) -> None:
    del lines[-3:]


def _garbage(lines: list[str]) -> None:
    lines[6] = "{not json"


def _other_person(lines: list[str]) -> None:
    _edit(lines, 5, '"who":"Dr Demo"', '"who":"Dr Else"')


@pytest.mark.parametrize(
    ("tamper", "said"),
    [
        (_changed, "Entry 3 (line 3) was changed."),
        (_other_person, "Entry 6 (line 6) was changed."),
        (_changed_and_sealed, "Entry 6 isn't the one that entry 7 (line 7) was written after"),
        (_removed, "Entries 4-5 are missing before line 4."),
        (_swapped, "Entry 4 (line 5) was moved from its place."),
        (_copied_in, "Entry 3 (line 6) was put in: there is another entry of its number."),
        (_forged, "Entry 5 (line 6) was put in"),
        (_cut_off, "Entries 8-9 are missing at the end: the last save knew of them."),
        (_garbage, "Line 7 is no entry"),
    ],
)
def test_tampering_is_found_and_named(
    tmp_path: Path, tamper: Callable[[list[str]], None], said: str, capfd: pytest.CaptureFixture[str]
) -> None:
    make_trail(tmp_path)
    file = tmp_path / AUDIT
    lines = file.read_text().splitlines()
    tamper(lines)
    file.write_text("\n".join(lines) + "\n")
    problems = [p.text for p in verify(tmp_path)]
    assert any(text.startswith(said) for text in problems), problems
    assert main(["audit", str(tmp_path)]) == 3
    assert said in capfd.readouterr().err


def test_every_line_that_is_changed_anywhere_is_found(tmp_path: Path) -> None:
    make_trail(tmp_path)
    file = tmp_path / AUDIT
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    for at in rng.choice(len(whole) - 1, 300, replace=False):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        file.write_bytes(bytes(damaged))
        assert verify(tmp_path), at


def test_a_trail_made_anew_differs_from_what_the_save_knew(tmp_path: Path) -> None:
    make_trail(tmp_path)
    head = saved_head(tmp_path)
    assert head is not None
    (tmp_path / AUDIT).unlink()
    assert verify(tmp_path)[0].text.startswith("Entries 1-9 are missing at the end")
    trail = AuditTrail(tmp_path)
    for n in range(12):
        trail.add("edit", "Dr Demo", {"revision": n})
    trail.close()
    assert [p.text for p in verify(tmp_path)] == ["Entry 9 isn't the one that the last save knew."]
    assert Head(9) != head


def test_it_goes_on_after_a_crash_in_mid_line(tmp_path: Path) -> None:
    session = busy_session(tmp_path)
    file = tmp_path / AUDIT
    content = file.read_bytes()
    file.write_bytes(content[:-30])
    assert "crash" in verify(tmp_path)[0].text
    again = project.resume(make_case(), run(project.load(tmp_path, recover=True)))
    with start(tmp_path, again):
        paint(again, 70, "a")
    assert verify(tmp_path) == []
    entries = read_audit(tmp_path)
    assert any(e.get("torn_bytes") for e in entries)
    assert [e["revision"] for e in entries if "op" in e] == list(range(1, session.revision + 2))


def test_what_the_journal_alone_has_is_added(tmp_path: Path) -> None:
    """A review of an older version, and a crash between journal and trail."""
    session = busy_session(tmp_path)
    (tmp_path / AUDIT).unlink()
    content = json.loads((tmp_path / project.CASE).read_text())
    content.pop("audit")  # older versions noted nothing
    (tmp_path / project.CASE).write_text(json.dumps(content))
    again = project.resume(make_case(), run(project.load(tmp_path, recover=True)))
    with start(tmp_path, again):
        pass
    entries = [e for e in read_audit(tmp_path) if "op" in e]
    assert [e["revision"] for e in entries] == list(range(1, session.revision + 1))
    assert all(e["from_journal"] for e in entries)
    assert verify(tmp_path) == []


def test_a_declined_recovery_is_noted(tmp_path: Path) -> None:
    session = busy_session(tmp_path)
    again = project.resume(make_case(), run(project.load(tmp_path, recover=False)))
    with start(tmp_path, again):
        paint(again, 3)
    entries = read_audit(tmp_path)
    (declined,) = [e for e in entries if e["what"] == "declined"]
    assert declined["edits"] == session.revision
    assert [e["revision"] for e in entries if e["what"] == "edit"][-1] == 1
    assert verify(tmp_path) == []


def test_csv_and_filters(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    entries = make_trail(tmp_path)
    assert [e["n"] for e in chosen(entries, "larynx demo", ("decision",))] == [6]
    assert chosen(entries, "nobody") == []
    table = list(csv.DictReader(io.StringIO(to_csv(entries))))
    assert [row["n"] for row in table] == [str(e["n"]) for e in entries]
    assert table[2]["slices"] == "3-4"
    assert table[2]["hash"] == entries[2]["hash"]
    nasty = [{"n": 1, "what": "edit", "who": "=cmd|' /C calc'!A0"}]
    assert next(csv.DictReader(io.StringIO(to_csv(nasty))))["who"].startswith("'=")
    assert main(["audit", str(tmp_path)]) == 0
    printed = capfd.readouterr()
    assert "24 voxels added" in printed.out
    assert "the chain is whole" in printed.err
    assert main(["audit", "--csv", str(tmp_path)]) == 0
    assert capfd.readouterr().out.splitlines()[0].startswith("n,time,who,what")
    assert main(["audit", str(tmp_path / "nothing")]) == 2


def test_ranges() -> None:
    assert ranges([5, 3, 6, 7, 10]) == "3, 5-7, 10"
    assert ranges([]) == ""
