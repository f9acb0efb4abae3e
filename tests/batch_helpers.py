"""Functions that a test lets other processes run."""

import os
import signal
import time
from pathlib import Path


def die_once(marker: Path) -> int:
    """Kill the process that runs this, but only the first time; then its number."""
    if not marker.exists():
        marker.write_text("died")
        os.kill(os.getpid(), signal.SIGKILL)
    return os.getpid()


def die(marker: Path) -> int:
    """Kill the process that runs this whenever the marker is there."""
    if marker.exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return 0


def wait_long(marker: Path) -> int:
    """Say that it runs, then take a minute."""
    marker.write_text(str(os.getpid()))
    time.sleep(60)
    return 0


def call(task: tuple[str, Path]) -> int:
    """Call one of the functions above by its name."""
    name, marker = task
    return {"die": die, "die_once": die_once, "wait_long": wait_long}[name](marker)
