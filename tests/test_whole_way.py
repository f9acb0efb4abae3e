"""The whole way as a reviewer goes it, by clicking the real widgets: no mocks, a small phantom and a tiny network."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
import SimpleITK as sitk
from phantoms import make_ct
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication
from tiny_model import make_model
from window_steps import child, click, is_there, open_case, open_window

from contourdesk.app.dicom_read import read_series
from contourdesk.app.jobs import run
from contourdesk.app.opening import open_path
from contourdesk.app.rtstruct_read import read_rtstruct
from contourdesk.app.structures import Structure

LEFT = Qt.MouseButton.LeftButton


def stroke(qtbot, window, start: QPoint, steps: int = 8) -> None:
    """Drag the left button to the right over the axial view."""
    canvas = window.view.planes["axial"].native
    QTest.mouseMove(canvas, start)
    QTest.mousePress(canvas, LEFT, pos=start)
    for i in range(1, steps + 1):
        QTest.mouseMove(canvas, start + QPoint(5 * i, 0))
        qtbot.wait(10)
    QTest.mouseRelease(canvas, LEFT, pos=start + QPoint(5 * steps, 0))
    qtbot.wait(30)


def choose(qtbot, window, name: str) -> Structure:
    """Click a structure's row in the table."""
    view = window.table.view
    row = next(i for i, s in enumerate(window.session.structures) if s.name == name)
    rect = view.visualRect(view.model().index(row, 2))
    qtbot.mouseClick(view.viewport(), LEFT, pos=rect.center())
    assert window.session.structures.get(window.table.active).name == name
    return window.session.structures.get(window.table.active)


def segment_and_cancel(qtbot, window) -> None:
    click(qtbot, window, "segment")
    qtbot.waitUntil(lambda: window.predict.bar.maximum() > 0 and window.predict.bar.value() > 1, timeout=60_000)
    window.view.step_slice(1)  # the window lives meanwhile
    asked = time.monotonic()
    click(qtbot, window, "cancel_segment")
    qtbot.waitUntil(lambda: not window.predict.running, timeout=5000)
    assert time.monotonic() - asked < 1.5
    assert len(window.session.structures) == 0


@pytest.mark.slow
def test_the_whole_way(qtbot, monkeypatch, tmp_path):
    ct = make_ct(tmp_path / "images", (20, 60, 60), (3.0, 2.0, 2.0))
    before = {f: f.read_bytes() for f in ct.files}
    model = make_model(tmp_path / "model", patch_size=(16, 16, 16), spacing_mm=(1.5, 1.0, 1.0))
    window = open_window(qtbot, monkeypatch, tmp_path / "home", default_model=str(model))
    open_case(qtbot, window, ct.folder)

    segment_and_cancel(qtbot, window)
    click(qtbot, window, "segment")
    qtbot.waitUntil(lambda: not window.predict.running, timeout=120_000)
    names = [s.name for s in window.session.structures]
    assert len(names) == 3
    assert all(s.provenance.source == "model" and s.provenance.weights_sha256 for s in window.session.structures)

    # Correct one by hand, and take a stroke back.
    edited = choose(qtbot, window, names[0])
    others = {s.name: s.mask for s in window.session.structures if s.name != edited.name}
    click(qtbot, window, "tool_paint")
    window.view.set_brush_mm(9)
    canvas = window.view.planes["axial"].native
    middle = QPoint(canvas.width() // 2 - 40, canvas.height() // 2)
    stroke(qtbot, window, middle)
    if window.session.structures.get(edited.id).mask.equals(edited.mask):  # it was all set there already
        click(qtbot, window, "tool_erase")
        stroke(qtbot, window, middle)
    first = window.session.structures.get(edited.id)
    assert not first.mask.equals(edited.mask)
    assert first.edited
    stroke(qtbot, window, middle + QPoint(0, 60))
    window.activateWindow()
    window.view.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is window.view, timeout=5000)
    while not window.session.structures.get(edited.id).mask.equals(first.mask):
        qtbot.keySequence(window.view, QKeySequence("Ctrl+Z"))
    for name, mask in others.items():
        assert window.session.structures.named(name).mask.equals(mask)

    # Decide: two accepted, one of them with a comment, one left open.
    qtbot.keyClicks(window.review.comment, "corrected by hand")
    click(qtbot, window, "accept")
    choose(qtbot, window, names[1])
    click(qtbot, window, "accept")
    assert window.review.progress.text() == "2 of 3 decided"

    # Export.
    window.made["save_export"].trigger()
    dialog = child(window, "export_dialog")
    assert names[2] in dialog.warning.text()
    dialog.folder.setText(str(tmp_path / "out"))
    click(qtbot, window, "export_start")
    qtbot.waitUntil(lambda: not dialog.runner.running and "read back and equal" in dialog.report.text(), timeout=60_000)
    click(qtbot, window, "export_close")
    state = [(s.name, s.decision.state, s.decision.comment, s.mask) for s in window.session.structures]
    assert window.close()

    # What was written.
    case = run(read_series(run(open_path(ct.folder))[0]))
    (rtstruct,) = (tmp_path / "out").glob("RTSTRUCT*.dcm")
    written = {s.name: s.mask for s in read_rtstruct(rtstruct, case)}
    assert set(written) == set(names[:2])
    for name, _, _, mask in state[:2]:
        assert written[name].equals(mask), name
    (dataset,) = (tmp_path / "out").glob("Dataset*")
    labels = json.loads((dataset / "dataset.json").read_text())["labels"]
    (label_file,) = (dataset / "labelsTr").iterdir()
    label_map = sitk.GetArrayFromImage(sitk.ReadImage(str(label_file)))
    for value in labels.values():
        if value:
            assert np.any(label_map == value)
    for file in (tmp_path / "out").rglob("*.json"):
        assert "Anna" not in file.read_text()
    assert {f: f.read_bytes() for f in ct.folder.iterdir()} == before  # nothing of ours among the images

    # And all is there again as it was left.
    again = open_window(qtbot, monkeypatch, tmp_path / "home")
    click(qtbot, again, "review_0")
    qtbot.waitUntil(lambda: again.reviewing, timeout=20_000)
    for (name, decision, comment, mask), s in zip(state, again.session.structures, strict=True):
        assert (s.name, s.decision.state, s.decision.comment) == (name, decision, comment)
        assert s.mask.equals(mask)
    assert not is_there(again, "error_dialog")
    again.close()
