"""Confidence in the window: overlay, threshold as one step, edits kept, the next look, all of it after reopening."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from phantoms import make_ct
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QApplication
from view_phantoms import ORIENTATIONS, make_session, pixels
from window_steps import child, click, open_case, open_window

from contourdesk.app.confidence import Confidence
from contourdesk.app.geometry import Grid
from contourdesk.app.structures import Mask, Provenance, Structure
from contourdesk.widgets.confidence_panel import ConfidencePanel

LEFT = Qt.MouseButton.LeftButton


def proposal(grid: Grid, centre: tuple[int, int, int], radius_mm: float, edge_mm: float, name: str = "Ball"):
    """A ball whose probability falls from 1 to 0 over `edge_mm` round its surface, and its mask at 50 %."""
    index = np.stack(np.meshgrid(*map(np.arange, grid.shape), indexing="ij"), axis=-1)
    away = np.linalg.norm((index - np.array(centre)) * grid.spacing_mm, axis=-1)
    values = np.round(255 * np.clip(0.5 + (radius_mm - away) / edge_mm, 0, 1)).astype(np.uint8)
    structure = Structure(name, (230, 159, 0), Mask.from_dense(values >= 128), Provenance("model", weights_sha256="ab"))
    return structure, Confidence((0, 0, 0), values)


def add(session, *made) -> list[str]:
    return session.add_proposals([s for s, _ in made], confidence={s.id: c for s, c in made})


def viridis_like(rgb: np.ndarray) -> np.ndarray:
    """Pixels that are clearly yellow or green: the unsure end of the scale."""
    r, g, b = (rgb[..., i].astype(int) for i in range(3))
    return (g > b + 40) & (g > 90) & (g >= r - 30)


# -- overlay ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", sorted(ORIENTATIONS))
def test_the_overlay_lies_where_the_model_is_unsure_in_every_plane(open_view, how):
    session = make_session(how)
    for s in list(session.structures):
        session.delete(s.id)
    grid = session.structures.grid
    centre = tuple(n // 2 + d for n, d in zip(grid.shape, (2, -3, 4), strict=True))
    (key,) = add(session, proposal(grid, centre, 14, 10))
    view = open_view(session)
    view.go_to(grid.to_world(centre))
    view.set_confidence(False)
    view.set_visible(key, False)
    view.set_active(key)
    before = {name: pixels(view, name) for name in view.planes}
    view.set_confidence(True)
    for name, plane in view.planes.items():
        at = plane.position_of(tuple(float(c) for c in centre))
        after = pixels(view, name)
        y, x = np.nonzero(viridis_like(after) & (np.abs(after.astype(int) - before[name]).max(axis=2) > 30))
        legend = (y < 90) & (x < 300)  # as large as text is in any theme
        y, x = y[~legend], x[~legend]
        assert len(x) > 200, name
        mm = np.hypot(x - at.x(), y - at.y()) / plane.canvas.zoom
        # Unsure within 5 mm of the surface at 14 mm, sure in the middle.
        assert mm.min() > 8, name
        assert mm.max() < 21, name
        assert abs(np.median(mm) - 14) < 2.5, name
        assert abs(x.mean() - at.x()) / plane.canvas.zoom < 3, name
        assert abs(y.mean() - at.y()) / plane.canvas.zoom < 3, name
    view.set_confidence(False)


# -- threshold -------------------------------------------------------------------------------------------------------


@pytest.fixture
def session():
    session = make_session("axial")
    session.reviewer = "Dr Test"
    return session


@pytest.fixture
def panel(qtbot, one_view, open_view, session):
    open_view(session)
    panel = ConfidencePanel(one_view)
    qtbot.addWidget(panel)
    panel.show()
    qtbot.waitExposed(panel)
    panel.set_session(session)
    yield panel
    panel.set_session(None)
    panel.runner.wait(10)
    panel.fitter.wait(10)


def slide(qtbot, panel, key, times: int) -> None:
    panel.slider.setFocus()
    for _ in range(times):
        qtbot.keyClick(panel.slider, key)
    qtbot.waitUntil(lambda: panel._made is not None and panel._made[0] == panel._asking(), timeout=10_000)


def test_a_threshold_is_previewed_and_applied_as_one_step(qtbot, panel, session, one_view):
    made = proposal(session.structures.grid, (14, 24, 20), 14, 10)
    (key,) = add(session, made)
    panel.set_active(key)
    assert panel.slider.value() == 50
    before = session.revision
    slide(qtbot, panel, Qt.Key.Key_PageDown, 4)
    assert panel.value.text() == "30 %"
    expected = made[1].mask(0.30)
    assert one_view._state.proposal.equals(expected)
    assert session.revision == before
    assert "→" in panel.text.text()
    assert not panel.replace.isVisible()
    qtbot.mouseClick(panel.apply_button, LEFT)
    assert session.revision == before + 1
    assert session.structures.get(key).mask.equals(expected)
    assert one_view._state.proposal is None
    assert session.undo_text.startswith("Threshold")
    qtbot.waitUntil(lambda: panel.slider.value() == 30, timeout=5000)  # found from the mask itself
    session.undo()
    assert session.structures.get(key).mask.equals(made[0].mask)
    qtbot.waitUntil(lambda: panel.slider.value() == 50, timeout=5000)


def test_cancel_leaves_all_as_it_was(qtbot, panel, session, one_view):
    (key,) = add(session, proposal(session.structures.grid, (14, 24, 20), 14, 10))
    panel.set_active(key)
    before = session.revision
    slide(qtbot, panel, Qt.Key.Key_PageUp, 3)
    qtbot.mouseClick(panel.cancel_button, LEFT)
    assert session.revision == before
    assert one_view._state.proposal is None
    assert panel.slider.value() == 50


@pytest.mark.parametrize("replace", [False, True])
def test_edits_by_hand_stay_unless_the_reviewer_says_otherwise(qtbot, panel, session, replace):
    made = proposal(session.structures.grid, (14, 24, 20), 14, 10)
    (key,) = add(session, made)
    panel.set_active(key)
    stroke = np.ones((2, 5, 5), bool)
    session.paint(key, (2, 2, 2), stroke)
    slide(qtbot, panel, Qt.Key.Key_PageDown, 4)
    assert panel.replace.isVisible()
    assert "stay as they are" in panel.text.text()
    if replace:
        qtbot.mouseClick(panel.replace, LEFT, pos=QPoint(8, panel.replace.height() // 2))
        qtbot.waitUntil(lambda: "would be lost" in panel.text.text(), timeout=5000)
    qtbot.mouseClick(panel.apply_button, LEFT)
    qtbot.waitUntil(lambda: session.undo_text.startswith("Threshold"), timeout=5000)
    mask = session.structures.get(key).mask
    assert mask.read((slice(2, 4), slice(2, 7), slice(2, 7))).all() != replace
    assert made[1].mask(0.3).count == mask.count - (0 if replace else stroke.size)
    session.undo()
    assert session.structures.get(key).mask.read((slice(2, 4), slice(2, 7), slice(2, 7))).all()


def test_without_probabilities_there_is_no_threshold(panel, session):
    panel.set_active(session.structures.items[0].id)
    assert not panel._threshold.isVisible()
    assert panel.overlay.isEnabled()


# -- the window ------------------------------------------------------------------------------------------------------


def keys(qtbot, window, text: str) -> None:
    window.activateWindow()
    window.view.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is window.view, timeout=5000)
    qtbot.keySequence(window.view, QKeySequence(text))


def test_all_of_it_in_the_window_and_after_reopening(qtbot, monkeypatch, tmp_path: Path):
    ct = make_ct(tmp_path / "images", (16, 48, 48), (3.0, 2.0, 2.0))
    window = open_window(qtbot, monkeypatch, tmp_path / "home")
    open_case(qtbot, window, ct.folder)
    grid = window.session.structures.grid
    sharp, vague = proposal(grid, (8, 24, 14), 11, 1, "Sharp"), proposal(grid, (8, 24, 34), 11, 25, "Vague")
    first, second = add(window.session, sharp, vague)
    window.table.set_active(first)

    keys(qtbot, window, "X")
    qtbot.waitUntil(lambda: window.table.active == second, timeout=20_000)
    said = window.statusBar().currentMessage()
    assert said.startswith("Vague, slice ")
    assert "contour uncertain" in said
    assert window.view.cross_index[0] == int(said.split("slice ")[1].split(":")[0]) - 1
    keys(qtbot, window, "K")
    assert child(window, "confidence_overlay").isChecked()
    assert window.view._state.confidence
    assert window.close()

    again = open_window(qtbot, monkeypatch, tmp_path / "home")
    click(qtbot, again, "review_0")
    qtbot.waitUntil(lambda: again.reviewing, timeout=20_000)
    kept = again.session.confidence(second)
    assert np.array_equal(kept.values, vague[1].values)
    again.table.set_active(second)
    assert child(again, "threshold").isVisible()
    again.close()
