"""The main window: opening, refusing, saving, reopening, recovering, closing. Real files, real panels."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from phantoms import make_ct
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QApplication
from window_steps import child, click, is_there, open_case, open_window

from contourdesk.app.errors import UserError
from contourdesk.app.jobs import run
from contourdesk.app.project import load, needs_recovery
from contourdesk.app.reviews import CASE, find_reviews
from contourdesk.app.structures import Mask
from contourdesk.widgets.application import Watch
from contourdesk.widgets.theme import text_points

BALL = Mask.from_dense(np.ones((3, 8, 8), bool), (3, 20, 20))


@pytest.fixture
def window(qtbot, monkeypatch, tmp_path):
    window = open_window(qtbot, monkeypatch, tmp_path / "home")
    yield window
    window.close()


@pytest.fixture
def ct(tmp_path):
    return make_ct(tmp_path / "images" / "ct", (8, 48, 40))


def error_text(qtbot, window) -> str:
    """Wait for the error dialog, read it and close it."""
    qtbot.waitUntil(lambda: is_there(window, "error_dialog"), timeout=20_000)
    text = f"{child(window, 'error_fact').text()} {child(window, 'error_advice').text()}"
    child(window, "error_dialog").close()
    return text


def test_opens_a_folder_and_shows_it(qtbot, window, ct):
    assert not window.reviewing
    assert is_there(window, "start_open_folder")
    assert not window.made["save_export"].isEnabled()
    open_case(qtbot, window, ct.folder)
    assert window.patient.toolTip().startswith("Phantom Anna")
    assert window.view.session is window.session
    assert is_there(window, "structures")
    assert window.made["save_export"].isEnabled()
    assert window.settings.recent == (str(ct.folder),)
    qtbot.waitUntil(lambda: window.saved_text.text().startswith("Saved"), timeout=5000)
    reviews = find_reviews(window.autosave.folder.parent)
    assert [r.title for r in reviews] == ["Phantom^Anna"]


def test_what_can_not_be_opened_is_told_and_the_open_case_stays(qtbot, window, ct, tmp_path):
    open_case(qtbot, window, ct.folder)
    session = window.session
    text = tmp_path / "notes.txt"
    text.write_text("hello")
    (tmp_path / "empty").mkdir()
    make_ct(tmp_path / "mr", (4, 16, 16), modality="MR", edit=lambda ds, k: ds.update({}))
    cut = make_ct(tmp_path / "cut", (4, 16, 16)).files
    for file in cut:
        file.write_bytes(file.read_bytes()[:300])
    for path in (text, tmp_path / "empty", tmp_path / "mr", tmp_path / "cut", tmp_path / "gone"):
        window.open_path(path)
        said = error_text(qtbot, window)
        assert said.strip()
        assert "Traceback" not in said
        assert window.reviewing
        assert window.session is session


def test_several_series_are_offered(qtbot, window, tmp_path):
    make_ct(tmp_path / "two" / "a", (6, 16, 16), patient="First")
    make_ct(tmp_path / "two" / "b", (9, 16, 16), patient="Second")
    window.open_path(tmp_path / "two")
    qtbot.waitUntil(lambda: is_there(window, "series_dialog"), timeout=20_000)
    child(window, "series_dialog").table.selectRow(1)
    click(qtbot, window, "series_open")
    qtbot.waitUntil(lambda: window.reviewing, timeout=20_000)
    assert window.patient.toolTip().startswith("First")


def test_giving_up_goes_back(qtbot, window, tmp_path):
    make_ct(tmp_path / "two" / "a", (6, 16, 16))
    make_ct(tmp_path / "two" / "b", (9, 16, 16))
    window.open_path(tmp_path / "two")
    qtbot.waitUntil(lambda: is_there(window, "series_dialog"), timeout=20_000)
    child(window, "series_dialog").reject()
    qtbot.waitUntil(lambda: is_there(window, "start_open_folder"), timeout=5000)
    window.open_path(tmp_path / "two")
    window.loading.cancel()
    qtbot.waitUntil(lambda: is_there(window, "start_open_folder"), timeout=5000)


def test_keys(qtbot, window, ct):
    open_case(qtbot, window, ct.folder)
    session = window.session
    first = session.add("A", mask=BALL)
    second = session.add("B", mask=BALL)
    window.table.set_active(first)
    window.activateWindow()
    window.view.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is window.view, timeout=5000)
    keys = lambda text: qtbot.keySequence(window.view, QKeySequence(text))  # noqa: E731
    keys("A")
    assert session.structures.get(first).decision.state == "accepted"
    keys("W")
    assert session.structures.get(first).decision.state == "accepted-edited"
    keys("J")
    assert window.table.active == second
    keys("R")
    assert session.structures.get(second).decision.state == "rejected"
    keys("Ctrl+Z")
    assert session.structures.get(second).decision.state == "unreviewed"
    keys("Ctrl+Shift+Z")
    assert session.structures.get(second).decision.state == "rejected"
    keys("U")
    assert session.structures.get(second).decision.state == "unreviewed"
    keys("2")
    assert window.view.window == (400, 1800)
    keys("O")
    assert window.view.display == "fill"
    keys("H")
    assert not window.view.is_visible(second)
    keys("B")
    assert window.view.tool == "paint"
    assert window.made["edit_undo"].text() == "Undo: Reopen B"
    window.review.comment.setFocus()
    qtbot.keyClicks(window.review.comment, "bar2")
    assert window.review.comment.text() == "bar2"
    assert session.structures.get(second).decision.state == "unreviewed"


def test_shortcuts_are_listed_and_unique(qtbot, window):
    used = [key for action in window.actions_list for key in action.shortcuts]
    assert len(used) == len(set(used))
    window.made["help_shortcuts"].trigger()
    texts = {row.text(0) for row in child(window, "shortcuts_dialog").rows()}
    assert {action.text.rstrip("…") for action in window.actions_list} < texts
    child(window, "shortcuts_dialog").close()


def test_every_control_has_a_name(qtbot, window, ct):
    open_case(qtbot, window, ct.folder)
    for name in ("structure_search", "structures", "segment", "accept", "reviewer", "window_preset", "opacity"):
        widget = child(window, name)
        assert widget.accessibleName() or widget.text(), name


def test_review_comes_back_as_it_was_left(qtbot, window, ct, monkeypatch, tmp_path):
    open_case(qtbot, window, ct.folder)
    session = window.session
    first = session.add("Kidney", mask=BALL)
    session.decide(first, "accepted", "fine")
    session.add("Node")
    assert window.close()
    again = open_window(qtbot, monkeypatch, tmp_path / "home")
    click(qtbot, again, "review_0")
    qtbot.waitUntil(lambda: again.reviewing, timeout=20_000)
    kidney, node = again.session.structures
    assert (kidney.name, kidney.decision.state, kidney.decision.comment) == ("Kidney", "accepted", "fine")
    assert kidney.mask.equals(BALL)
    assert node.name == "Node"
    assert "Reopened as you left it" in again.banner.label.text()
    again.undo()
    assert len(again.session.structures) == 1
    click(qtbot, again, "banner_close")
    assert not again.banner.isVisible()
    again.close()


def test_opening_the_images_again_asks_and_can_start_anew(qtbot, window, ct):
    open_case(qtbot, window, ct.folder)
    window.session.add("Kidney", mask=BALL)
    folder = window.autosave.folder
    window.close_case()
    qtbot.waitUntil(lambda: is_there(window, "start_open_folder"), timeout=5000)
    assert window.session is None
    window.open_path(ct.folder)
    click(qtbot, window, "start_anew")
    qtbot.waitUntil(lambda: window.reviewing, timeout=20_000)
    assert len(window.session.structures) == 0
    kept = [p for p in folder.parent.iterdir() if p != folder]
    assert len(kept) == 1
    assert run(load(kept[0])).structures.items[0].name == "Kidney"


def test_after_a_crash_the_edits_can_be_recovered(qtbot, window, ct, monkeypatch, tmp_path):
    open_case(qtbot, window, ct.folder)
    folder = window.autosave.folder
    saved = {p.name: p.read_bytes() for p in folder.iterdir() if p.name != "lock"}
    window.session.add("Kidney", mask=BALL)
    assert window.autosave.flush()
    journal = (folder / "journal.jsonl").read_bytes()
    window.close()
    for file in folder.iterdir():
        file.unlink()
    for name, content in (saved | {"journal.jsonl": journal, "lock": b""}).items():
        (folder / name).write_bytes(content)  # as a kill before the next save would have left it
    assert needs_recovery(folder)
    again = open_window(qtbot, monkeypatch, tmp_path / "home")
    qtbot.waitUntil(lambda: is_there(again, "review_0"), timeout=10_000)
    assert "can be recovered" in child(again, "review_0").accessibleName()
    click(qtbot, again, "review_0")
    click(qtbot, again, "recover")
    qtbot.waitUntil(lambda: again.reviewing, timeout=20_000)
    assert again.session.structures.items[0].mask.equals(BALL)
    assert "1 edit recovered" in again.banner.label.text()
    again.close()
    assert not needs_recovery(folder)


def test_a_decision_is_saved_at_once(qtbot, window, ct):
    open_case(qtbot, window, ct.folder)
    added = window.session.add("Kidney", mask=BALL)
    window.table.set_active(added)
    click(qtbot, window, "accept")
    qtbot.waitUntil(lambda: not window.autosave.changed, timeout=10_000)
    read = json.loads((window.autosave.folder / CASE).read_text())
    assert read["structures"][0]["header"]["decision"]["state"] == "accepted"


@pytest.mark.skipif(os.name == "nt", reason="folder permissions work otherwise")
def test_a_folder_that_can_not_be_written_keeps_the_session(qtbot, window, ct, tmp_path):
    open_case(qtbot, window, ct.folder)
    folder = window.autosave.folder
    aside = folder.with_name("aside")
    folder.rename(aside)
    folder.write_text("a file where the folder was")
    added = window.session.add("Kidney", mask=BALL)
    window.session.decide(added, "accepted")
    qtbot.waitUntil(lambda: is_there(window, "notice"), timeout=10_000)
    qtbot.waitUntil(lambda: window.saved_text.text() == "Saved in another place only", timeout=10_000)
    (copy,) = (tmp_path / "home" / "rescued").iterdir()
    assert "could not be saved" in child(window, "notice_text").text()
    assert str(copy) in child(window, "notice_text").text()
    qtbot.waitUntil(lambda: not window.autosave.changed or not window.autosave.runner.running, timeout=5000)
    assert run(load(copy, recover=True)).structures.items[0].decision.state == "accepted"
    assert not is_there(window, "error_dialog")
    assert window.session.structures.items[0].decision.state == "accepted"
    folder.unlink()
    aside.rename(folder)
    window.save()
    qtbot.waitUntil(lambda: not window.autosave.changed, timeout=10_000)
    assert run(load(folder)).structures.items[0].mask.equals(BALL)
    assert not is_there(window, "notice")
    assert not copy.exists()


def test_an_unwritable_place_for_reviews_still_shows_the_case(qtbot, monkeypatch, tmp_path, ct):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file")
    window = open_window(qtbot, monkeypatch, tmp_path / "home", review_root=str(blocked))
    open_case(qtbot, window, ct.folder)
    assert window.saved_text.text() == "Not saved"
    assert str(blocked) in window.banner.label.text()
    window.session.add("Kidney", mask=BALL)
    blocked.unlink()
    window.save()
    qtbot.waitUntil(lambda: not window.autosave.changed, timeout=10_000)
    qtbot.waitUntil(lambda: window.saved_text.text().startswith("Saved"), timeout=5000)
    window.close()


def test_a_review_is_open_in_one_place_only(qtbot, window, ct, monkeypatch, tmp_path):
    open_case(qtbot, window, ct.folder)
    first = window.session.add("Kidney", mask=BALL)
    other = open_window(qtbot, monkeypatch, tmp_path / "home", reviewer="Dr Second", device="cpu")
    other.open_path(ct.folder)
    qtbot.waitUntil(lambda: other.reviewing, timeout=20_000)
    assert "Dr Test has this case open since" in child(other, "notice_text").text()
    assert other.session.structures.get(first).mask.equals(BALL)  # what isn't saved yet is seen too
    assert not other.made["edit_undo"].isEnabled()
    other.table.set_active(first)
    click(qtbot, other, "accept")
    with pytest.raises(UserError, match="has this case open"):
        other.session.delete(first)
    assert other.session.structures.get(first).decision.state == "unreviewed"

    click(qtbot, other, "notice_button")
    click(qtbot, other, "cancel_opening")
    qtbot.waitUntil(lambda: is_there(other, "notice_button"), timeout=5000)  # still looking on
    click(qtbot, other, "notice_button")
    click(qtbot, other, "take_over")
    qtbot.waitUntil(lambda: other.reviewing and not is_there(other, "notice"), timeout=20_000)
    other.session.rename(first, "Kidney_L")

    window.session.add("Mine", mask=BALL)
    qtbot.waitUntil(lambda: is_there(window, "notice"), timeout=10_000)
    assert "Dr Second has had this case since" in child(window, "notice_text").text()
    side = window.autosave.folder
    assert "-mine-" in side.name
    assert [s.name for s in window.session.structures] == ["Kidney", "Mine"]
    folder = other.autosave.folder
    assert other.close()
    assert window.close()
    assert [s.name for s in run(load(folder)).structures] == ["Kidney_L"]
    assert [s.name for s in run(load(side, recover=True)).structures] == ["Kidney", "Mine"]


def test_switching_cases_saves_the_first(qtbot, window, ct, tmp_path):
    open_case(qtbot, window, ct.folder)
    window.session.add("Kidney", mask=BALL)
    first = window.autosave.folder
    second = make_ct(tmp_path / "images" / "second", (6, 20, 20), patient="Other")
    window.open_path(second.folder)
    qtbot.waitUntil(lambda: window.patient.toolTip().startswith("Other"), timeout=20_000)
    assert window.autosave.folder != first
    assert run(load(first)).structures.items[0].name == "Kidney"
    assert window.table.active is None


def test_closing_while_reading_and_with_nothing_open(qtbot, window, ct):
    window.open_path(ct.folder)
    assert window.close()


def test_sample_that_is_missing_or_there_never_breaks(qtbot, window, monkeypatch, tmp_path):
    monkeypatch.setattr("contourdesk.widgets.main_window.RESOURCES", Path(tmp_path / "nothing"))
    window.open_sample()
    assert "sample" in error_text(qtbot, window)


@pytest.mark.parametrize("in_thread", [False, True])
def test_a_bug_is_logged_saved_and_told_once(qtbot, window, ct, caplog, in_thread):
    open_case(qtbot, window, ct.folder)
    window.session.add("Kidney", mask=BALL)
    watch = Watch(window)
    error = ZeroDivisionError("a bug")

    def report() -> None:
        watch.on_exception(ZeroDivisionError, error, None)
        watch.on_exception(ZeroDivisionError, error, None)

    if in_thread:
        thread = threading.Thread(target=report)
        thread.start()
        thread.join()
    else:
        report()
    assert "work is saved" in error_text(qtbot, window)
    assert not is_there(window, "error_dialog")
    assert "a bug" in caplog.text
    qtbot.waitUntil(lambda: not window.autosave.changed, timeout=5000)


class Screen:
    """What `text_points` asks of a screen."""

    def __init__(self, height: int, ratio: float = 1.0, dots: float = 96.0) -> None:
        self._height, self._ratio, self._dots = height, ratio, dots

    def devicePixelRatio(self) -> float:
        return self._ratio

    def logicalDotsPerInch(self) -> float:
        return self._dots

    def geometry(self):
        class Rect:
            height = staticmethod(lambda: self._height)

        return Rect


def test_text_grows_on_a_4k_screen_without_scaling():
    sizes = [text_points(Screen(h)) for h in (768, 1080, 1440, 2160)]
    assert sizes == sorted(sizes)
    assert sizes[-1] >= 16
    assert text_points(Screen(720, ratio=1.5)) == text_points(Screen(768)) == 9  # the window is 1280 wide at 150 %
    assert text_points(Screen(2160, ratio=2.0)) == text_points(Screen(2160, dots=192.0)) == 10
