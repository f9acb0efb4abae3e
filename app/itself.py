"""What this program knows of how it was started, and how it starts itself again as another process."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def is_built() -> bool:
    """Whether this is the desktop build, which brings its own Python."""
    return bool(getattr(sys, "frozen", False))


def itself() -> list[str]:
    """The beginning of a command line of Contourdesk."""
    if not is_built():
        return [sys.executable, "-m", "contourdesk"]
    # On Windows the window's program has no streams to tell its progress through; its sister has.
    sister = Path(sys.executable).with_name("contourdesk.exe")
    return [str(sister) if sister.exists() else sys.executable]


def how_to_get(extra: str) -> str:
    """What to do for an optional part of the Python package, which the desktop build can't be given."""
    if is_built():
        return f"The desktop program has no room for it: install the Python package, contourdesk[{extra}]."
    return f"Install it with pip install 'contourdesk[{extra}]'."


def has_display() -> bool:
    """Whether there is something to open a window on."""
    shown = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "QT_QPA_PLATFORM"))
    return shown or not sys.platform.startswith("linux")
