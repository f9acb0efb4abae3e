"""Options of a segmentation: what is ticked is what runs. Small real models, real clicks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import Qt
from tiny_model import make_model
from view_phantoms import make_session
from window_steps import click

from contourdesk.app.errors import UserError
from contourdesk.app.jobs import run
from contourdesk.inference import model_library as library
from contourdesk.inference.nnunet import load_models
from contourdesk.widgets.predict_options import SLICES, VIEWS
from contourdesk.widgets.predict_panel import PredictPanel

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONTOURDESK_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(library, "_bundled_root", lambda: tmp_path / "bundled")
    return tmp_path / "home"


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory) -> Path:
    """Two folds of different weights."""
    root = tmp_path_factory.mktemp("models")
    folder = make_model(root / "tiny")
    make_model(root / "other", seed=8)
    (root / "other" / "fold_0").rename(folder / "fold_1")
    return folder


@pytest.fixture
def session():
    return make_session("axial")


@pytest.fixture
def panel(qtbot, session, model_folder):
    panel = PredictPanel([model_folder], "cpu")
    qtbot.addWidget(panel)
    panel.show()
    qtbot.waitExposed(panel)
    panel.set_session(session)
    qtbot.mouseClick(panel.options.header, LEFT)
    qtbot.waitUntil(lambda: panel.options.organs.count() == 3, timeout=90_000)
    yield panel
    panel.options.body.hide()


def untick(qtbot, panel, row: int) -> None:
    item = panel.options.organs.item(row)
    panel.options.organs.setCurrentItem(item)
    qtbot.keyClick(panel.options.organs, Qt.Key.Key_Space)
    assert item.checkState() == Qt.CheckState.Unchecked


def segment(qtbot, panel) -> str:
    panel.options.body.hide()
    with qtbot.waitSignal(panel.finished, timeout=90_000) as blocker:
        qtbot.mouseClick(panel.button, LEFT)
    return blocker.args[0]


def test_what_was_ticked_is_what_runs(qtbot, panel, session, model_folder):
    options = panel.options
    assert [options.organs.item(i).text() for i in range(3)] == ["Brainstem", "Parotid_R", "Bone_Mandible"]
    assert "Runs on the processor" in options.info.text()
    untick(qtbot, panel, 1)
    qtbot.mouseClick(options._fold_boxes["fold_1"], LEFT)
    options.part.setCurrentIndex(options.part.findData(SLICES))
    options.first.setValue(8)
    options.last.setValue(14)
    assert options.header.text() == "Options: 2 of 3 organs, slices 8 to 14, 1 of 2 folds"
    qtbot.keyClick(options.organs, Qt.Key.Key_Escape)
    assert not options.is_open
    before = {s.id for s in session.structures}
    text = segment(qtbot, panel)
    new = [s for s in session.structures if s.id not in before]
    assert [s.name for s in new] == ["Brainstem", "Bone_Mandible"]
    assert "by the processor" in text
    assert "Runs on the processor" in panel.needs.text()
    assert "Needs about" in panel.needs.text()
    first_alone = load_models(model_folder, ["0"])[0].weights_sha256
    assert {s.provenance.weights_sha256 for s in new} == {first_alone}
    assert any(not s.mask.is_empty for s in new)
    for s in new:
        if not s.mask.is_empty:
            z = np.flatnonzero(s.mask.bits.any(axis=(1, 2))) + s.mask.offset[0]
            assert z.min() >= 7
            assert z.max() <= 13
            assert session.confidence(s.id) is not None


def test_a_second_run_of_other_slices_adds_to_the_first(qtbot, panel, session):
    options = panel.options
    options.part.setCurrentIndex(options.part.findData(SLICES))
    options.last.setValue(10)
    segment(qtbot, panel)
    part = session.structures.named("Brainstem").mask.dense(session.structures.grid.shape)
    options.last.setValue(28)
    options.first.setValue(11)
    segment(qtbot, panel)
    whole = session.structures.named("Brainstem").mask.dense(session.structures.grid.shape)
    assert np.array_equal(whole[:10], part[:10])
    assert whole[10:].any()
    session.undo()
    assert np.array_equal(session.structures.named("Brainstem").mask.dense(part.shape), part)


def test_nothing_ticked_and_slices_that_run_backwards_are_told(qtbot, panel, session):
    qtbot.mouseClick(panel.options.none_button, LEFT)
    with pytest.raises(UserError, match="No structure is ticked"):
        panel.options.chosen()
    panel.options.body.hide()
    with qtbot.waitSignal(panel.failed):
        qtbot.mouseClick(panel.button, LEFT)
    assert not panel.running
    panel.options._tick_all(True)
    panel.options.part.setCurrentIndex(panel.options.part.findData(SLICES))
    panel.options.first.setValue(9)
    panel.options.last.setValue(3)
    with pytest.raises(UserError, match="behind the last"):
        panel.options.chosen()


def test_mirroring_says_why_it_can_not_be_chosen(qtbot, panel, monkeypatch):
    entry = library.read_entry(panel.model.currentData())
    assert entry.passes == 1
    assert not panel.options.mirroring.isEnabled()
    assert "has none" in panel.options.mirroring.text()
    assert panel.options.summary() == ""
    from dataclasses import replace

    panel.options.show_entry(replace(entry, passes=8), "the processor")
    assert panel.options.mirroring.isEnabled()
    assert "8 passes" in panel.options.mirroring.text()
    qtbot.mouseClick(panel.options.mirroring, LEFT, pos=panel.options.mirroring.rect().center() / 4)
    panel.options.mirroring.setChecked(False)
    options, folds = panel.options.chosen()
    assert not options.mirroring
    assert options.probabilities
    assert folds is None


def test_what_the_views_show(qtbot, open_view, panel, session):
    from contourdesk.widgets.view_box import visible_box

    view = open_view(session)
    shape = session.structures.grid.shape
    panel.options.visible_box = lambda: visible_box(view.planes.values(), shape)
    panel.options.part.setCurrentIndex(panel.options.part.findData(VIEWS))
    options, _ = panel.options.chosen()
    whole = options.box
    assert whole is None or all(s.stop - s.start >= n - 4 for s, n in zip(whole, shape, strict=True))
    for plane in view.planes.values():
        plane.canvas.zoom_about(plane.position_of(view.cross_index), 4.0)
    box = panel.options.chosen()[0].box
    assert all(s.stop - s.start < n for s, n in zip(box, shape, strict=True))
    assert all(s.start <= c < s.stop for s, c in zip(box, view.cross_index, strict=True))


def test_the_default_of_the_body_site_is_chosen(qtbot, session, tmp_path):
    run(library.add(make_model(tmp_path / "a", seed=1), "a"))
    run(library.add(make_model(tmp_path / "b", seed=2), "b"))
    library.set_default("thorax", "b")
    panel = PredictPanel([], "cpu")
    qtbot.addWidget(panel)
    panel.set_models(library.known_models())
    assert panel.model.currentText() == "a"
    panel.choose_default(None)
    assert panel.model.currentText() == "a"
    panel.choose_default("pelvis")
    assert panel.model.currentText() == "a"
    panel.choose_default("thorax")
    assert panel.model.currentText() == "b"
    library.remove("b")
    panel.set_models(library.known_models())
    assert [panel.model.itemText(i) for i in range(panel.model.count())] == ["a"]
    with qtbot.waitSignal(panel.manage_wanted):
        panel.show()
        click(qtbot, panel, "models")
