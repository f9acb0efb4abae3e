"""A short random walk with kills comes back bit by bit; see walk_run.py, which goes as far as one likes."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
import walk_run


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_a_walk_with_kills_comes_back_bit_by_bit(tmp_path: Path) -> None:
    told, wrong = walk_run.walk(tmp_path / "review", seed=1, edits=150, kills=4)
    assert wrong == []
    assert told.done == 150
    assert told.kills == 4
    assert told.lost == 0


def test_a_wrong_state_would_be_found(tmp_path: Path) -> None:
    walk = walk_run.Walk(tmp_path, 0, 10)
    assert not walk._read(b"at 0 aa\nto 1 bb\ndone 1\nto 2 cc\nto")
    assert (walk.kills, walk.done, walk.wrong) == (1, 1, [])
    walk._read(b"at 2 cc\nto 3 dd\ndone 3\n")
    assert (walk.ahead, walk.wrong) == (1, [])
    walk._read(b"at 2 cc\n")
    assert walk.wrong == ["revision 2 came back after 3 was done"]
    walk._read(b"to 3 dd\ndone 3\nto 4 ee\n")
    walk._read(b"at 4 ff\n")
    assert walk.wrong[1:] == ["revision 4 isn't what it was"]
    walk._read(b"at 7 ff\n")
    assert "which nobody made" in walk.wrong[-1]
