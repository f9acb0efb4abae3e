"""Importing structures through the window's own import: one undo step, and a question where references don't agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QMessageBox, QPushButton, QWidget
from view_phantoms import make_session

from contourdesk.app.dicom_read import read_series, scan
from contourdesk.app.dicom_write import write_rtstruct
from contourdesk.app.jobs import run
from contourdesk.app.nifti_write import write_masks
from contourdesk.app.review import ReviewSession
from contourdesk.app.structures import Mask, Provenance, Structure
from contourdesk.widgets.structure_import import StructureImport


@pytest.fixture
def importing(qtbot):
    """An import, whose jobs are over before the test ends."""
    one = StructureImport()
    yield one
    one.set_session(None)
    assert one.runner.wait(10)


def test_masks_of_a_folder_come_as_one_undo_step_under_free_names(qtbot, importing, tmp_path: Path) -> None:
    session = make_session("axial")
    before = session.structures
    full = [s for s in before if not s.mask.is_empty]
    write_masks(full, before.grid, tmp_path)
    importing.set_session(session)
    with qtbot.waitSignal(importing.imported) as heard:
        importing.start(tmp_path)
    ids, _ = heard.args
    assert {session.structures.get(i).name for i in ids} == {"Left (2)", "Big (2)"}
    for name in ("Left", "Big"):
        assert session.structures.named(f"{name} (2)").mask.equals(before.named(name).mask)
    session.undo()
    assert [s.name for s in session.structures] == [s.name for s in before]


def test_what_can_not_be_read_is_told(qtbot, importing, tmp_path: Path) -> None:
    session = make_session("axial")
    importing.set_session(session)
    (tmp_path / "x.dcm").write_text("no structures")
    with qtbot.waitSignal(importing.failed) as heard:
        importing.start(tmp_path / "x.dcm")
    assert "x.dcm" in str(heard.args[0])
    assert not session.can_undo


@pytest.fixture
def other_set(make_ct, tmp_path: Path) -> tuple[ReviewSession, Path]:
    """A session, and a structure set of another frame of reference."""
    case = run(read_series(run(scan(make_ct(tmp_path / "a").folder))[0]))
    bits = np.zeros(case.volume.grid.shape, bool)
    bits[2:5, 20:30, 20:30] = True
    organ = Structure("Heart", (1, 2, 3), Mask.from_dense(bits), Provenance("reviewer"))
    path = write_rtstruct(case, [organ], tmp_path / "set.dcm")
    other = run(read_series(run(scan(make_ct(tmp_path / "b").folder))[0]))
    return ReviewSession(other, "Reviewer"), path


@pytest.mark.parametrize("take", [True, False])
def test_a_set_of_other_images_is_asked_about(qtbot, importing, other_set, take: bool) -> None:
    session, path = other_set
    window = QWidget()
    qtbot.addWidget(window)
    window.show()
    importing.set_session(session)
    importing.start(path, window)
    qtbot.waitUntil(lambda: bool(window.findChildren(QMessageBox)))
    question = window.findChild(QMessageBox)
    assert "was not made on these images" in question.text()
    if not take:
        question.reject()
        assert not session.can_undo
        return
    with qtbot.waitSignal(importing.imported):
        qtbot.mouseClick(question.findChild(QPushButton, "import_anyway"), Qt.MouseButton.LeftButton)
    heart = session.structures.named("Heart")
    assert heart.mask.count == 300
    assert session.undo_text == "Import set.dcm"
    assert "against its references" in heart.provenance.remark
