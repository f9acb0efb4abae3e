"""Lines of the journal: whole or known to be broken, and exact."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contourdesk.app.contour import Contour
from contourdesk.app.history import Edit, Header, HeaderStep, MaskStep, PresenceStep, pack
from contourdesk.app.journal import JOURNAL, encode_line, last_revision, read_journal, whole
from contourdesk.app.review import Record
from contourdesk.app.review_format import record_from_json, record_to_json
from contourdesk.app.structures import Decision, Mask, Provenance, Structure


def record(revision: int = 3) -> Record:
    rng = np.random.default_rng(0)
    contours = (Contour(rng.random((5, 3))), Contour(rng.random((1, 3)), "POINT", "1.2"), Contour(np.zeros((0, 3))))
    s = Structure("Drüse", (1, 2, 3), Mask((1, 2, 3), rng.random((3, 5, 7)) < 0.5), Provenance("imported"), id="x",
                  decision=Decision("accepted", "Dr Ä", "2026", "ok\n"), contours=contours)  # fmt: skip
    bits = rng.random((2, 3, 5)) < 0.5
    steps = (
        PresenceStep(s, 2, added=True),
        MaskStep("x", (4, 5, 6), (2, 3, 5), pack(bits), pack(~bits)),
        HeaderStep("x", Header.of(s), Header.of(s), dropped=((0, contours[0]), (2, contours[1]), (3, contours[2]))),
        PresenceStep(Structure("e", (0, 0, 0), Mask(), Provenance("reviewer"), id="e", contours=()), 0, added=False),
    )
    return Record("undo", Edit("brush", "Brush on Drüse", steps, "Dr Ä", "2026"), revision, "2026", "Dr B")


def test_a_record_comes_back_exactly() -> None:
    line = encode_line(record_to_json(record()))
    assert line.count(b"\n") == 1
    back = record_from_json(json.loads(line))
    assert json.dumps(record_to_json(back)) == json.dumps(record_to_json(record()))
    first, mask, header, _ = back.edit.steps
    assert isinstance(first, PresenceStep)
    assert isinstance(mask, MaskStep)
    assert isinstance(header, HeaderStep)
    original = record().edit.steps
    assert first.structure.mask.equals(original[0].structure.mask)  # type: ignore[union-attr]
    assert mask == original[1]
    assert first.structure.contours is not None
    assert [c.points_lps.tobytes() for c in first.structure.contours] == [
        c.points_lps.tobytes() for _, c in original[2].dropped  # type: ignore[union-attr]
    ]  # fmt: skip
    assert [i for i, _ in header.dropped] == [0, 2, 3]


def test_a_journal_of_the_first_version_is_understood() -> None:
    read = record_to_json(record())
    del read["edit"]["steps"][2]["at"]
    header = record_from_json(read).edit.steps[2]
    assert isinstance(header, HeaderStep)
    assert [i for i, _ in header.dropped] == [0, 1, 2]


LINE = encode_line({"revision": 1, "op": "do", "text": 'a,"crc":"12345678"}'})[:-1]


@given(st.integers(0, len(LINE) - 1), st.integers(1, 255))
def test_any_cut_or_changed_byte_is_noticed(at: int, flip: int) -> None:
    assert whole(LINE)
    assert not whole(LINE[:at])
    damaged = bytearray(LINE)
    damaged[at] ^= flip
    assert not whole(bytes(damaged))


def test_rewound_edits_do_not_count(tmp_path: Path) -> None:
    assert read_journal(tmp_path).records == ()
    assert last_revision(tmp_path) == 0
    lines = [encode_line(record_to_json(record(n))) for n in (1, 2, 3)]
    lines.append(encode_line({"revision": 1, "op": "rewind"}))
    lines.append(encode_line({"revision": 1, "op": "from the future"}))
    (tmp_path / JOURNAL).write_bytes(b"".join(lines))
    assert [r.revision for r in read_journal(tmp_path).records] == [1]
    assert last_revision(tmp_path) == 1


@pytest.mark.parametrize("change", [{"edit": {}}, {"edit": None}, {"edit": {"steps": [{"kind": "?"}]}}])
def test_a_line_that_is_not_understood_is_counted(tmp_path: Path, change: dict[str, object]) -> None:
    (tmp_path / JOURNAL).write_bytes(encode_line(record_to_json(record()) | change))
    content = read_journal(tmp_path)
    assert (content.records, content.damaged) == ((), 1)
