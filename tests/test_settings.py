"""Settings come back as saved, and damage is set aside."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from contourdesk.app.errors import UserError
from contourdesk.app.settings import Settings, config_dir, data_dir, load_settings, save_settings


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CONTOURDESK_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_round_trip(home: Path) -> None:
    assert load_settings() == (Settings(), "")
    new = Settings("Dr Müller", "/r", "cpu", ("/a", "/b"), "bone", "both", 0.25, "/m", theme="light", line_width=2.5)
    new = replace(new, report_patient=False, deface=True, keep_recent=False, notify=False, window_place="AdnQ")
    save_settings(new)
    assert load_settings() == (new, "")
    assert [p.name for p in home.iterdir()] == ["settings.json"]
    assert config_dir() == data_dir() == home


def test_without_the_override_the_places_are_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONTOURDESK_HOME")
    assert config_dir().name == data_dir().name == "contourdesk"


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff\xfe", b""])
def test_a_damaged_file_is_set_aside(home: Path, content: bytes) -> None:
    home.mkdir()
    (home / "settings.json").write_bytes(content)
    settings, note = load_settings()
    assert settings == Settings()
    assert "settings.json.damaged" in note
    assert (home / "settings.json.damaged").read_bytes() == content
    assert load_settings() == (Settings(), "")


def test_odd_values_become_defaults(home: Path) -> None:
    home.mkdir()
    (home / "settings.json").write_text(
        '{"opacity": 7, "reviewer": 3, "recent": ["a", 1], "display_mode": "x", "device": "cpu", "future": 1}'
    )
    assert load_settings() == (Settings(opacity=1.0, recent=("a",), device="cpu"), "")
    (home / "settings.json").write_text('{"theme": "pink", "line_width": 99, "notify": 0, "keep_recent": "no"}')
    assert load_settings() == (Settings(line_width=4.0), "")


def test_recent_paths_are_unique_and_few() -> None:
    settings = Settings()
    for i in range(15):
        settings = settings.with_recent(f"/{i}")
    settings = settings.with_recent("/9")
    assert settings.recent[:3] == ("/9", "/14", "/13")
    assert len(settings.recent) == len(set(settings.recent)) == 10
    assert replace(settings, keep_recent=False, recent=()).with_recent("/9").recent == ()


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="could not be saved"):
        save_settings(Settings(), tmp_path / "file" / "settings.json")


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_an_unreadable_file_is_left_alone(home: Path) -> None:
    save_settings(Settings("x"))
    (home / "settings.json").chmod(0)
    settings, note = load_settings()
    assert settings == Settings()
    assert "could not be read" in note
    assert (home / "settings.json").exists()
