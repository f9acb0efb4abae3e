"""Which case next: the rule on cases that can be reckoned by hand, and proposals made ahead by a real model."""

from __future__ import annotations

import numpy as np
import pytest
from evaluation_phantoms import body
from phantoms import make_ct
from qtpy.QtCore import QPoint, Qt
from tiny_model import library_home, make_model
from window_steps import child, click, open_window

from contourdesk.app.audit import verify
from contourdesk.app.confidence import Confidence
from contourdesk.app.jobs import run
from contourdesk.app.learning_order import MOST_BITS, scores, unsure_in, unsure_of
from contourdesk.app.project import load
from contourdesk.app.worklist import COLUMNS, Row, sort_rows
from contourdesk.inference import model_library as library


def confidence(*values: int) -> Confidence:
    return Confidence((0, 0, 0), np.array(values, np.uint8).reshape(1, 1, -1))


def test_how_unsure_a_proposal_is():
    assert unsure_of(confidence(255, 255)) == pytest.approx(0, abs=1e-6)
    assert unsure_of(confidence(128, 255)) == pytest.approx(0.5, abs=1e-4)  # one bit on two voxels
    assert unsure_of(confidence(128, 127)) == pytest.approx(2, abs=1e-3)
    assert unsure_of(confidence(60, 60)) == MOST_BITS  # nothing is likely, but something might be
    assert unsure_of(confidence(0, 0)) == 0
    sharp, blurred = confidence(30, 250, 250, 30), confidence(90, 160, 160, 90)
    assert unsure_of(sharp) < unsure_of(blurred)


def test_organs_are_compared_with_themselves():
    found = scores({
        "a": {"Brainstem": 0.1, "Lens_L": 0.8},
        "b": {"Brainstem": 0.1, "Lens_L": 1.6},  # a lens is all edge: 0.8 is nothing special, 1.6 is
        "c": {"Brainstem": 0.3},
        "d": {},
    })  # fmt: skip
    assert found == {
        "a": pytest.approx((1 + 0.8 / 1.2) / 2),
        "b": pytest.approx((1 + 1.6 / 1.2) / 2),
        "c": pytest.approx(3),
    }


def test_what_is_unknown_comes_last_either_way(tmp_path):
    rows = [Row(tmp_path / n, "", "", "", "", 1, learn=v) for n, v in (("a", None), ("b", 0.5), ("c", 2.0))]
    assert [r.place.name for r in sort_rows(rows, "learn", descending=True)] == ["c", "b", "a"]
    assert [r.place.name for r in sort_rows(rows, "learn")] == ["b", "c", "a"]


def test_proposals_overnight_and_the_order_they_give(qtbot, monkeypatch, tmp_path):
    library_home(tmp_path, monkeypatch)
    run(library.add(make_model(tmp_path / "mine"), "mine"))
    library.set_default("head and neck", "mine")
    for name in "abc":
        make_ct(tmp_path / "cases" / name, (14, 26, 22), patient=f"Patient^{name.upper()}", hu=body(ord(name)))
    window = open_window(qtbot, monkeypatch, tmp_path / "home", worklist=(str(tmp_path / "cases"),))
    window.predict.choose_model(tmp_path / "mine")
    click(qtbot, window, "start_worklist")
    page = window.worklist.page
    qtbot.waitUntil(lambda: len(page.rows) == 3, timeout=20_000)
    click(qtbot, window, "worklist_propose")
    assert "3 new cases" in child(window, "propose_dialog").text()
    click(qtbot, window, "propose_yes")
    qtbot.waitUntil(lambda: all(row.learn is not None for row in page.rows), timeout=90_000)
    assert [row.state for row in page.rows] == ["new"] * 3  # nobody has looked at them
    assert all(row.total and not row.decided for row in page.rows)
    assert not child(window, "worklist_propose").isEnabled()

    header = page.table.horizontalHeader()
    x = header.sectionPosition(COLUMNS.index("learn")) - header.offset() + 10
    qtbot.mouseClick(header.viewport(), Qt.MouseButton.LeftButton, pos=QPoint(x, 8))
    order = [row.learn for row in page.rows]
    assert order == sorted(order, reverse=True)
    first = page.rows[0]
    assert window.worklist.page.next_row() == first
    saved = run(load(first.review))
    assert {s.provenance.source for s in saved.structures} == {"model"}
    assert not verify(first.review)
    assert set(unsure_in(first.review)) <= {"Brainstem", "Parotid_R", "Bone_Mandible"}
    click(qtbot, window, "worklist_next")  # no question: there is nothing that could be begun anew
    qtbot.waitUntil(lambda: window.reviewing, timeout=30_000)
    assert window.autosave.folder == first.review
    assert window.session.reviewer == "Dr Test"
    assert window.close()
