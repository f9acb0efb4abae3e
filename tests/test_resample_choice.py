"""Choosing to resample in the window: what is told, what must be ticked, what stays visible."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from phantoms import make_ct
from qtpy.QtCore import Qt
from tilted_phantoms import CHANGING, TILTED, at_places
from window_steps import child, click, is_there, open_window

from contourdesk.app.dicom_read import scan
from contourdesk.app.jobs import run
from contourdesk.app.reviews import find_reviews, review_root
from contourdesk.app.structures import Mask
from contourdesk.widgets.case_browser import SeriesDialog

LEFT = Qt.MouseButton.LeftButton
BALL = Mask.from_dense(np.ones((3, 8, 8), bool), (3, 20, 20))


@pytest.fixture
def window(qtbot, monkeypatch, tmp_path):
    window = open_window(qtbot, monkeypatch, tmp_path / "home")
    yield window
    window.close()


@pytest.fixture
def folder(tmp_path) -> Path:
    """A series that is fine, a tilted one, one with missing slices, and one with a shifted slice."""
    make_ct(tmp_path / "ct" / "fine", (6, 40, 40), edit=lambda ds, _: setattr(ds, "SeriesDescription", "fine"))

    def tilted(ds):
        ds.SeriesDescription = "tilted"

    make_ct(tmp_path / "ct" / "tilted", (26, 40, 40), (3, 1, 1), TILTED, edit=at_places(CHANGING, tilted))
    make_ct(
        tmp_path / "ct" / "gaps",
        (40, 40, 40),
        skip=[4, 12, 13, 30],
        edit=lambda ds, _: setattr(ds, "SeriesDescription", "gaps"),
    )

    def shifted(ds, k):
        ds.SeriesDescription = "shifted"
        if k == 5:
            ds.ImagePositionPatient = ["-30.5", *ds.ImagePositionPatient[1:]]

    make_ct(tmp_path / "ct" / "shifted", (10, 40, 40), edit=shifted)
    return tmp_path / "ct"


def row_of(dialog: SeriesDialog, description: str) -> int:
    return next(r for r in range(dialog.table.rowCount()) if dialog.table.item(r, 2).text() == description)


def test_the_picker_tells_and_opens_only_what_was_chosen(qtbot, folder):
    dialog = SeriesDialog(run(scan(folder)))
    qtbot.addWidget(dialog)
    dialog.show()
    qtbot.waitExposed(dialog)
    assert [dialog.table.item(r, 2).text() for r in range(4)] == ["fine", "gaps", "tilted", "shifted"]
    assert dialog.open_button.isEnabled() and not dialog.offer.isVisible()
    assert not dialog.table.item(3, 2).flags() & Qt.ItemFlag.ItemIsEnabled
    dialog.table.selectRow(row_of(dialog, "gaps"))
    offer = dialog.offer
    assert offer.isVisible() and not offer.choice.isChecked() and not dialog.open_button.isEnabled()
    assert "4 slices are missing" in offer.problems.text()
    listed = [offer.places.item(i).text() for i in range(offer.places.count())]
    assert listed == [f"missing at z = {z:.1f} mm" for z in (-38, -14, -11, 40)]
    assert "even grid of 40 slices" in offer.what.text()
    dialog.table.selectRow(row_of(dialog, "tilted"))
    assert "tilted: they step 13.5 degrees" in offer.problems.text() and offer.places.count() == 3
    assert "The tilt of 13.5 degrees is undone." in offer.what.text()
    qtbot.mouseClick(offer.choice, LEFT)
    assert dialog.open_button.isEnabled()
    with qtbot.waitSignal(dialog.chosen) as chosen:
        qtbot.mouseClick(dialog.open_button, LEFT)
    info, how = chosen.args
    assert info.description == "tilted" and how is info.resample


def test_a_double_click_opens_nothing_that_was_not_chosen(qtbot, folder):
    dialog = SeriesDialog([s for s in run(scan(folder)) if s.description == "gaps"])
    qtbot.addWidget(dialog)
    dialog.show()
    chosen = []
    dialog.chosen.connect(lambda *args: chosen.append(args))
    dialog.table.doubleClicked.emit(dialog.table.model().index(0, 0))
    assert dialog.isVisible() and not chosen


def test_resampled_images_are_marked_and_come_back(qtbot, window, tmp_path, monkeypatch):
    make_ct(tmp_path / "gaps", (20, 48, 40), skip=[4])
    window.open_path(tmp_path / "gaps")
    qtbot.waitUntil(lambda: is_there(window, "series_dialog"), timeout=20_000)
    assert not child(window, "series_open").isEnabled()
    click(qtbot, window, "resample_choice")
    click(qtbot, window, "series_open")
    qtbot.waitUntil(lambda: window.reviewing, timeout=20_000)
    assert "The images were resampled" in window.banner.label.text() and "z = -38.0 mm" in window.banner.label.text()
    window.banner.clear()
    assert child(window, "resampled").toolTip() == window.session.case.source.resampled.note
    assert window.windowTitle().startswith("Phantom Anna (resampled images)")
    assert window.session.case.volume.grid.shape == (20, 48, 40)
    window.session.add("Kidney", mask=BALL)
    assert window.close()
    # From the start page, without being asked again.
    again = open_window(qtbot, monkeypatch, tmp_path / "home")
    (listed,) = find_reviews(review_root(again.settings))
    assert listed.resampled is not None
    click(qtbot, again, "review_0")
    qtbot.waitUntil(lambda: again.reviewing, timeout=20_000)
    assert child(again, "resampled").isVisible()
    assert again.session.structures.items[0].mask.equals(BALL)
    again.close_case()
    qtbot.waitUntil(lambda: again.session is None, timeout=20_000)
    assert not is_there(again, "resampled") and "resampled" not in again.windowTitle()
    again.close()


def test_asked_for_on_the_command_line(qtbot, window, tmp_path):
    make_ct(tmp_path / "gaps", (20, 48, 40), skip=[4])
    window.open_path(tmp_path / "gaps", resample=True)
    qtbot.waitUntil(lambda: window.reviewing, timeout=20_000)
    assert window.session.case.source.resampled is not None


def test_giving_up_opens_nothing(qtbot, window, tmp_path):
    make_ct(tmp_path / "gaps", (20, 48, 40), skip=[4])
    window.open_path(tmp_path / "gaps")
    qtbot.waitUntil(lambda: is_there(window, "series_dialog"), timeout=20_000)
    child(window, "series_dialog").reject()
    qtbot.waitUntil(lambda: is_there(window, "start_open_folder"), timeout=5000)
    assert window.session is None
