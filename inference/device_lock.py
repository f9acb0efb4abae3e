"""One run at a time on a graphics processor, over all windows and command lines of this computer."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Generator
from pathlib import Path
from typing import IO

import torch

from contourdesk.app.files import system_lock
from contourdesk.app.jobs import Progress

_WAIT_SECONDS = 0.2


def lock_path(device: torch.device) -> Path:
    """The file that is locked while a run uses `device`."""
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    return Path(tempfile.gettempdir()) / f"contourdesk-{user}-{device.type}{device.index or 0}.lock"


def wait_for(device: torch.device) -> Generator[Progress, None, IO[bytes] | None]:
    """Wait until no other run uses `device`, and take it; close what is returned to give it back.

    The system gives it back when the program dies. The processor is shared, so for it there is nothing to wait for.
    """
    if device.type == "cpu":
        return None
    file = lock_path(device).open("ab")
    try:
        while not _try_lock(file):
            yield Progress(0, 0, "Waiting: another run uses the graphics processor")
            time.sleep(_WAIT_SECONDS)
    except BaseException:
        file.close()
        raise
    return file


def _try_lock(file: IO[bytes]) -> bool:
    try:
        system_lock(file)
    except OSError:
        return False
    return True
