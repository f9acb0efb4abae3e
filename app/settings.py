"""The user's settings: one frozen dataclass, kept as JSON in the user's configuration folder."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import platformdirs

from contourdesk.app.errors import UserError
from contourdesk.app.files import write_atomically

log = logging.getLogger(__name__)

MAX_RECENT = 10
DISPLAY_MODES = ("outline", "fill", "both")
THEMES = ("dark", "light", "system")
LINE_WIDTHS = (0.8, 4.0)


@dataclass(frozen=True)
class Settings:
    """What the user chose. Paths are text so that a folder of another machine does no harm.

    `review_root` empty means the default place; `device` is "auto", "cpu", "cuda" or "cuda:1"; `opacity` 0 to 1;
    `default_model` a folder, or empty for the bundled model; `view_layout` how the views lay last; `worklist` are
    folders of cases; `blind` hides proposals until the reviewer has drawn his own; `nninteractive` the folder
    of a checkpoint, or empty; `shortcuts` are the keys of commands that the user changed (see `shortcuts`).

    `theme` is one of `THEMES`; `language` a code such as "de", empty for the system's; `line_width` of outlines in
    pixels; `export_folder` empty for one in the home folder; `planning_system` a profile's name (see `profiles`);
    `report_patient`, `deface` and `keep_recent` are the user's choices on privacy; `notify` says whether the end of
    long work is told while the window is in the background; `window_place` and `window_panels` are Qt's own notes on
    where window and panels were, in base 64; `dataset` is the folder of training data, and `training` the model folder
    that were used last, or empty.
    """

    reviewer: str = ""
    review_root: str = ""
    device: str = "auto"
    recent: tuple[str, ...] = ()
    window_preset: str = "soft tissue"
    display_mode: str = "outline"
    opacity: float = 0.5
    default_model: str = ""
    view_layout: str = ""
    worklist: tuple[str, ...] = ()
    blind: bool = False
    nninteractive: str = ""
    shortcuts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    theme: str = "dark"
    language: str = ""
    line_width: float = 1.5
    export_folder: str = ""
    planning_system: str = "generic"
    report_patient: bool = True
    deface: bool = False
    keep_recent: bool = True
    notify: bool = True
    window_place: str = ""
    window_panels: str = ""
    dataset: str = ""
    training: str = ""

    def with_recent(self, path: Path | str) -> Settings:
        """With `path` at the head of the recent ones, once, at most ten of them; unchanged if none are kept."""
        if not self.keep_recent:
            return self
        new = str(path)
        return replace(self, recent=(new, *(p for p in self.recent if p != new))[:MAX_RECENT])


def config_dir() -> Path:
    """Folder of the settings file; ``CONTOURDESK_HOME`` overrides it."""
    home = os.environ.get("CONTOURDESK_HOME")
    return Path(home) if home else Path(platformdirs.user_config_dir("contourdesk", appauthor=False))


def data_dir() -> Path:
    """Folder of reviews and logs; ``CONTOURDESK_HOME`` overrides it."""
    home = os.environ.get("CONTOURDESK_HOME")
    return Path(home) if home else Path(platformdirs.user_data_dir("contourdesk", appauthor=False))


def load_settings(path: Path | None = None) -> tuple[Settings, str]:
    """Settings and a note for the user, empty when all is well.

    A damaged file is set aside as ``settings.json.damaged`` and defaults are used. Unknown keys are left out, so that
    an older version can read a newer file; values of a wrong kind become the default.
    """
    path = config_dir() / "settings.json" if path is None else path
    try:
        read = json.loads(path.read_text("utf-8"))
        if not isinstance(read, dict):
            raise ValueError("not an object")
    except FileNotFoundError:
        return Settings(), ""
    except OSError as error:
        return Settings(), f"The settings could not be read ({error.strerror}). Defaults are used."
    except ValueError:
        aside = path.with_name(path.name + ".damaged")
        try:
            os.replace(path, aside)
        except OSError:
            log.warning("damaged settings could not be set aside", exc_info=True)
            return Settings(), "The settings file is damaged. Defaults are used."
        return Settings(), f"The settings file was damaged. It is kept as {aside.name}, and defaults are used."
    return _from_json(read), ""


def save_settings(settings: Settings, path: Path | None = None) -> None:
    """Write the settings beside the old ones, then swap. Raises UserError when that can't be done."""
    path = config_dir() / "settings.json" if path is None else path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(asdict(settings), indent=1, ensure_ascii=False).encode())
    except OSError as error:
        raise UserError(
            f"The settings could not be saved in {path.parent} ({error.strerror}).", "Check its space and permissions."
        ) from error


def _from_json(read: dict[str, Any]) -> Settings:
    values: dict[str, Any] = {}
    for f in fields(Settings):
        value = read.get(f.name, f.default)
        if f.name in ("recent", "worklist"):
            most = MAX_RECENT if f.name == "recent" else None
            values[f.name] = tuple(p for p in value if isinstance(p, str))[:most] if _is_list(value) else ()
        elif isinstance(f.default, float):
            number = isinstance(value, int | float) and not isinstance(value, bool)
            lowest, highest = (0.0, 1.0) if f.name == "opacity" else LINE_WIDTHS
            values[f.name] = min(highest, max(lowest, float(value))) if number else f.default
        elif f.name == "shortcuts":
            values[f.name] = _shortcuts(value)
        elif isinstance(f.default, bool):
            values[f.name] = value if isinstance(value, bool) else f.default
        else:
            values[f.name] = value if isinstance(value, str) else f.default
    if values["display_mode"] not in DISPLAY_MODES:
        values["display_mode"] = Settings.display_mode
    if values["theme"] not in THEMES:
        values["theme"] = Settings.theme
    return Settings(**values)


def _shortcuts(read: object) -> dict[str, tuple[str, ...]]:
    """Keys by command; what is not a list of texts is left out."""
    pairs = read.items() if isinstance(read, dict) else ()
    return {str(k): tuple(v) for k, v in pairs if isinstance(v, list) and all(isinstance(key, str) for key in v)}


def _is_list(value: object) -> bool:
    return isinstance(value, list | tuple)
