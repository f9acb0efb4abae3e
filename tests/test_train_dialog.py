"""Training in the window: a real one in its own process, stopped, found again, finished; real clicks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation_phantoms import make_dataset
from qtpy.QtCore import Qt, QTimer
from tiny_model import library_home, make_model
from window_steps import child, click, is_there, open_window

from contourdesk.app.dataset_summary import summarise_dataset
from contourdesk.app.errors import UserError
from contourdesk.app.jobs import run
from contourdesk.app.training_run import is_running, unfinished
from contourdesk.app.training_state import state_of
from contourdesk.inference import model_library as library
from contourdesk.widgets.curves_plot import smoothed, ticks
from contourdesk.widgets.train_dialog import TrainDialog


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    library_home(tmp_path, monkeypatch)
    run(library.add(make_model(tmp_path / "old"), "old"))  # small, so that its steps are quick
    return make_dataset(tmp_path / "data", 3, split="Tr", unknown={"case_1": ("Mandible",)})


def shown(qtbot, **options) -> TrainDialog:
    made = TrainDialog(**options)
    qtbot.addWidget(made)
    made.show()
    qtbot.waitExposed(made)
    return made


def test_a_training_outlives_the_window_is_found_again_stopped_resumed_and_its_model_added(
    qtbot, monkeypatch, data, tmp_path
):
    window = open_window(qtbot, monkeypatch, tmp_path / "home", dataset=str(data))
    window.made["learn_train"].trigger()
    dialog = child(window, "train_dialog")
    qtbot.waitUntil(lambda: dialog.form.summary is not None, timeout=10_000)
    assert child(dialog, "train_summary").text().startswith("Cases: 3, patients: 3, organs: 3.")
    organs = child(dialog, "train_organs")
    assert [organs.item(y, 1).text() for y in range(3)] == ["3 of 3", "3 of 3", "2 of 3"]
    out = tmp_path / "model"
    child(dialog, "train_out").clear()
    qtbot.keyClicks(child(dialog, "train_out"), str(out))
    assert not child(dialog, "train_mix").isEnabled()  # old cases are of use to a model that knew them
    qtbot.keyClicks(child(dialog, "train_from"), "old")
    assert child(dialog, "train_mix").isEnabled()
    child(dialog, "train_length").setValue(4000)
    qtbot.keyClicks(child(dialog, "train_unit"), "steps")
    click(qtbot, dialog, "train_start")
    plot = child(dialog, "train_loss")
    qtbot.waitUntil(lambda: bool(plot.curves) and len(plot.curves[1].xs) > 10, timeout=120_000)
    assert not child(dialog, "train_dataset").isEnabled()
    assert child(dialog, "train_notes").toPlainText()
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)  # hidden, it goes on
    assert dialog.going_on
    answer(window, "training_stays")
    assert not window.close()
    answer(window, "training_goes_on")
    assert window.close()
    assert is_running(out)

    window = open_window(qtbot, monkeypatch, tmp_path / "home")
    window.made["learn_train"].trigger()
    dialog = child(window, "train_dialog")
    qtbot.waitUntil(lambda: dialog.going_on, timeout=10_000)
    assert child(dialog, "train_from").currentText() == "old"
    click(qtbot, dialog, "train_stop")
    qtbot.waitUntil(lambda: not dialog.going_on, timeout=60_000)
    assert "Stopped at step" in child(dialog, "train_text").toolTip()
    assert not is_running(out)

    order = unfinished(out)
    assert order.steps == 4000
    before = state_of(out, "stopped").step
    replace(order, steps=before + 15).write()  # so that the rest is short
    dialog.look_again(out)
    qtbot.waitUntil(lambda: child(dialog, "train_length").value() == before + 15, timeout=10_000)
    click(qtbot, dialog, "train_resume")
    qtbot.waitUntil(lambda: is_there(dialog, "train_add"), timeout=120_000)
    assert "Finished." in child(dialog, "train_text").toolTip()
    assert child(dialog, "train_loss").curves[1].xs[0] < 12  # what was before is shown too
    assert child(dialog, "train_out").text() != str(out)  # the next one goes elsewhere
    child(dialog, "train_name").setText("mine")
    with qtbot.waitSignal(dialog.models_changed, timeout=60_000):
        click(qtbot, dialog, "train_add")
    assert Path(library.find("mine").folder) == out
    assert library.defaults() == {"head and neck": "headneck"}
    assert window.predict.model.findText("mine") >= 0
    click(qtbot, dialog, "train_evaluate")
    evaluation = child(window, "evaluate_dialog")
    assert (evaluation.cases.text, evaluation.a.model, evaluation.b.model) == (str(data), "old", str(out))
    evaluation.close()
    dialog.close()
    assert window.close()


def answer(window, button: str) -> None:
    """Press a button of the question that closing the window asks, as soon as it is there."""
    QTimer.singleShot(200, lambda: child(window, button).click())


def test_a_model_that_is_there_is_not_written_over(qtbot, data, tmp_path):
    dialog = shown(qtbot, dataset=str(data), device="cpu")
    qtbot.waitUntil(lambda: dialog.start.isEnabled(), timeout=10_000)
    child(dialog, "train_out").setText(str(tmp_path / "old"))
    click(qtbot, dialog, "train_start")
    qtbot.waitUntil(lambda: is_there(dialog, "error_fact"), timeout=20_000)
    assert "There is a model" in child(dialog, "error_fact").text()
    child(dialog, "error_dialog").accept()
    assert dialog.start.isEnabled()


def test_what_is_no_dataset_says_so(qtbot, data, tmp_path):
    dialog = shown(qtbot, dataset=str(tmp_path / "nothing"))
    qtbot.waitUntil(lambda: "no dataset.json" in child(dialog, "train_summary").text(), timeout=10_000)
    assert not child(dialog, "train_start").isEnabled()
    (data / "splits_final.json").write_text("[3]")
    with pytest.raises(UserError, match=r"splits_final\.json"):
        run(summarise_dataset(data))


def test_plots_have_round_numbers_and_honest_means():
    assert ticks(0, 1, 5) == [0, 0.2, 0.4, 0.6, 0.8, 1.0]
    assert ticks(0, 4000, 4) == [0, 1000, 2000, 3000, 4000]
    assert ticks(-0.9, 0.4, 4) == [-0.5, 0]
    assert smoothed([2.0] * 5) == pytest.approx([2.0] * 5)  # no bias at the start
    noisy = 1 + np.random.default_rng(0).normal(0, 0.2, 500)
    assert smoothed(list(noisy))[-1] == pytest.approx(1, abs=0.1)
