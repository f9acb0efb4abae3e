"""Time from the start of the program to its window on the screen: the desktop build against the Python package.

    xvfb-run -a -s "-screen 0 1366x768x24" .venv/bin/python tests/benchmarks/bench_start.py dist/contourdesk [ROUNDS]

The two take turns. The window counts when the X server shows it, large; nobody asks the program itself.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LEAST_WIDTH, PATIENCE_S, VIEWABLE = 600, 180.0, 2


class Attributes(ctypes.Structure):
    """XWindowAttributes."""

    _fields_ = [
        *((name, ctypes.c_int) for name in ("x", "y", "width", "height", "border_width", "depth")),
        ("visual", ctypes.c_void_p),
        ("root", ctypes.c_ulong),
        *((name, ctypes.c_int) for name in ("kind", "bit_gravity", "win_gravity", "backing_store")),
        ("backing_planes", ctypes.c_ulong),
        ("backing_pixel", ctypes.c_ulong),
        ("save_under", ctypes.c_int),
        ("colormap", ctypes.c_ulong),
        ("map_installed", ctypes.c_int),
        ("map_state", ctypes.c_int),
        ("rest", ctypes.c_long * 8),
    ]


class Screen:
    """The X server's windows."""

    def __init__(self) -> None:
        self._x = ctypes.CDLL(ctypes.util.find_library("X11") or "libX11.so.6")
        self._x.XOpenDisplay.restype = ctypes.c_void_p
        self._x.XDefaultRootWindow.restype = ctypes.c_ulong
        self._x.XDefaultRootWindow.argtypes = [ctypes.c_void_p]
        self._x.XFree.argtypes = [ctypes.c_void_p]
        self._display = ctypes.c_void_p(self._x.XOpenDisplay(None))
        self._root = ctypes.c_ulong(self._x.XDefaultRootWindow(self._display))
        # A window may go between being listed and being asked; without a handler that ends this process.
        self._on_error = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(lambda *_: 0)
        self._x.XSetErrorHandler(self._on_error)

    def shows_window(self) -> bool:
        """Whether a large window is on the screen."""
        root, parent, count = ctypes.c_ulong(), ctypes.c_ulong(), ctypes.c_uint()
        children = ctypes.POINTER(ctypes.c_ulong)()
        self._x.XQueryTree(self._display, self._root, *map(ctypes.byref, (root, parent, children, count)))
        found = False
        for n in range(count.value):
            seen = Attributes()
            self._x.XGetWindowAttributes(self._display, ctypes.c_ulong(children[n]), ctypes.byref(seen))
            found |= seen.map_state == VIEWABLE and seen.width >= LEAST_WIDTH
        if count.value:
            self._x.XFree(children)
        return found


def start_s(command: list[str], screen: Screen, home: Path) -> float:
    """Seconds until the window is there; the program is ended then."""
    environment = os.environ | {"CONTOURDESK_HOME": str(home)}
    begin = time.monotonic()
    with subprocess.Popen(command, env=environment, cwd=home) as child:
        try:
            while not screen.shows_window():
                if child.poll() is not None or time.monotonic() - begin > PATIENCE_S:
                    sys.exit(f"{command[0]} showed no window.")
                time.sleep(0.01)
            return time.monotonic() - begin
        finally:
            child.terminate()
            child.wait()
            while screen.shows_window():
                time.sleep(0.05)


def main() -> None:
    """Measure and print."""
    built, rounds = Path(sys.argv[1]).resolve(), int(sys.argv[2]) if len(sys.argv) > 2 else 5
    ways = {
        "desktop build": [str(built / "contourdesk")],
        "Python package": [str(Path(sys.executable).with_name("contourdesk"))],
    }
    screen, times = Screen(), {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as home:
        for number in range(rounds + 1):
            for way, command in ways.items():
                took = start_s(command, screen, Path(home))
                if number:  # the first round warms the disk's cache
                    times[way].append(took)
    for way, took in times.items():
        each = ", ".join(f"{t:.2f}" for t in took)
        print(f"{way}: median {statistics.median(took):.2f} s, least {min(took):.2f} s ({each})")
    ratio = statistics.median(b / p for b, p in zip(*times.values(), strict=True))
    print(f"median of the rounds' ratios: {ratio:.2f}")


if __name__ == "__main__":
    main()
