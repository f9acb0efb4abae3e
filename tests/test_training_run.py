"""A training in a process of its own: killed it goes on exactly, asked to it stops, and the window can follow it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from training_phantoms import make_dataset

from contourdesk.app.cli import main
from contourdesk.app.errors import UserError
from contourdesk.app.itself import itself
from contourdesk.app.training_run import (
    TrainingOrder,
    TrainingProgress,
    ask_to_stop,
    curves,
    follow,
    is_running,
    training,
    unfinished,
)
from contourdesk.inference.nnunet import load_model
from contourdesk.inference.train import FINAL

SMALL = (16, 16, 20)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_dataset(tmp_path_factory.mktemp("run") / "data", shape=SMALL)
    splits = [{"train": ["C0", "C1"], "val": ["C2"]}] * 5
    (folder / "splits_final.json").write_text(json.dumps(splits))
    return folder


def order(dataset: Path, out: Path, **changes: object) -> TrainingOrder:
    return TrainingOrder(dataset, out, steps=14, device="cpu", threads=1, checkpoint_minutes=1e-5, **changes)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(folder / FINAL, weights_only=True)["network_weights"]


def test_killed_it_goes_on_with_the_very_same_numbers(dataset: Path, tmp_path: Path):
    one, other = order(dataset, tmp_path / "one"), order(dataset, tmp_path / "other")
    command = [*itself(), "train", *one.arguments(), "--json"]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            told = TrainingProgress.read(line)
            assert told is not None
            if told.step >= 6:
                assert is_running(one.out)
                child.kill()  # SIGKILL: in a step, or in a checkpoint
                break
    assert not is_running(one.out)
    assert unfinished(one.out) == replace(one, minutes=None)
    with (one.out / "fold_0" / "progress.csv").open("a") as file:
        file.write("10,0.10,0.000001,0.5\n14,0.")  # a line after the last checkpoint, and a torn one
    assert main(["train", "--resume", "--out", str(one.out)]) == 0
    assert main(["train", *other.arguments()]) == 0
    assert unfinished(one.out) is None
    a, b = weights(one.out), weights(other.out)
    assert set(a) == set(b) and all(torch.equal(a[name], b[name]) for name in a)
    both = curves(one.out), curves(other.out)
    assert both[0].steps == both[1].steps == (10,)
    assert both[0].losses == both[1].losses
    assert both[1].score_steps[-1] == 14 and len(set(both[0].score_steps)) == len(both[0].score_steps)
    assert set(both[1].dice) == {"mean", "RightBall", "LeftBall"}
    assert not (one.out / "working" / "preprocessed").exists(), "patients' images are gone from the finished model"


def test_the_window_follows_a_training_and_stops_it(dataset: Path, tmp_path: Path):
    out = tmp_path / "model"
    job = training(order(dataset, out))
    notes, seen = [], []
    for told in job:
        seen.append(told.phase)
        notes += [told.note] if told.note and told.note not in notes else []
        if told.picture:
            picture = Path(told.picture)
            assert set(told.dice) == {"RightBall", "LeftBall"}
            break
    job.close()
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert any("held out (fold 0)" in note for note in notes)
    assert [phase for phase in dict.fromkeys(seen) if phase != "saved"] == [
        "measuring", "preparing", "training", "scoring",
    ]  # fmt: skip
    assert not is_running(out)
    assert unfinished(out) is not None
    assert load_model(out).labels == ("RightBall", "LeftBall")  # what was learnt can be used
    state = torch.load(out / "fold_0" / "checkpoint_latest.pth", weights_only=True)
    assert 0 < state["step"] < 14


def test_it_stops_by_a_file_and_says_what_is_wrong_with_a_dataset(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    from contourdesk.inference import held_out

    out = tmp_path / "model"
    found = held_out.draw_sample

    def then_stop(*arguments: object) -> None:
        found(*arguments)
        ask_to_stop(out)

    monkeypatch.setattr("contourdesk.inference.train_scores.draw_sample", then_stop)
    assert main(["train", *order(dataset, out).arguments(), "--json"]) == 0
    last = TrainingProgress.read(capsys.readouterr().out.splitlines()[-1])
    assert last is not None and last.phase == "stopped" and last.model == str(out)
    assert main(["train", str(tmp_path), "--out", str(tmp_path / "none"), "--json"]) == 2
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["phase"] == "error" and "dataset.json" in told["text"] and told["advice"]


def test_what_a_training_says_is_wrong_reaches_the_window(tmp_path: Path):
    line = json.dumps({"phase": "error", "text": "The dataset is empty.", "advice": "Export cases."})
    says = follow([sys.executable, "-c", f"import sys; print({line!r}); sys.exit(2)"])
    with pytest.raises(UserError, match=r"The dataset is empty\. Export cases\."):
        list(says)
    dies = follow([sys.executable, "-c", "import os, sys; sys.stderr.write('no memory\\n'); os.abort()"])
    with pytest.raises(UserError, match=r"ended unexpectedly \(no memory\).* last checkpoint"):
        list(dies)


def test_orders_and_lines_come_back_as_they_were(tmp_path: Path):
    full = TrainingOrder(
        tmp_path / "a", tmp_path / "out", steps=5, start_from="headneck", mix=(tmp_path / "b",), mix_share=0.25,
        spacing_mm=(3.0, 1.0, 1.0), fold="all", threads=3,
    )  # fmt: skip
    (full.out / "working").mkdir(parents=True)
    full.write()
    assert unfinished(full.out) == full
    progress = TrainingProgress(
        3, 9, "Text ü", "a note", phase="scoring", step=3, loss=0.5, dice={"A": 0.5, "B": None}, picture="p.png"
    )
    again = TrainingProgress.read(progress.line())
    assert again is not None and again.line() == progress.line() and again.dice == {"A": 0.5, "B": None}
    assert TrainingProgress.read("a library's message") is None and TrainingProgress.read('{"a": 1}') is None
