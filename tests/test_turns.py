"""Steps in turns: the event loop runs between them, and closing doesn't lose them."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QObject, QTimer

from contourdesk.widgets.turns import Turns


def test_the_window_answers_between_two_steps(qtbot):
    done, parent = [], QObject()
    turns = Turns(parent)
    every = QTimer(parent, interval=0)
    every.timeout.connect(lambda: done.append("-"))
    every.start()
    turns.start([lambda: done.append("a"), lambda: done.append("b")])
    qtbot.waitUntil(lambda: "b" in done)
    assert "-" in done[done.index("a") : done.index("b")]


def test_what_is_left_is_done_at_once_or_never(qtbot):
    parent = QObject()
    turns, done = Turns(parent), []
    turns.start([lambda: done.append(1), lambda: done.append(2)])
    turns.finish()
    assert done == [1, 2]
    turns.start([lambda: done.append(3)])
    turns.stop()
    qtbot.wait(30)
    assert done == [1, 2]


def test_a_step_that_fails_does_not_keep_the_next_one(qtbot):
    parent = QObject()
    turns, done = Turns(parent), []

    def fail() -> None:
        raise ValueError("a step")

    turns.start([fail, lambda: done.append(1)])
    with qtbot.captureExceptions() as caught:
        qtbot.waitUntil(lambda: bool(done))
    assert [str(error) for _, error, _ in caught] == ["a step"]


@pytest.mark.parametrize("rest_ms", [0, 30])
def test_steps_added_in_a_step_come_last(qtbot, rest_ms):
    parent = QObject()
    turns, done = Turns(parent, rest_ms), []
    turns.start([lambda: turns.start([lambda: done.append("later")]), lambda: done.append("before")])
    qtbot.waitUntil(lambda: len(done) == 2)
    assert done == ["before", "later"]
