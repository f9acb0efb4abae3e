"""The self-test: whether this computer has what Contourdesk needs, and whether what it brings works here.

Looks at versions, folders, memory, decoders, networks and models, and at the screen through a process of its own, since
a graphics driver that is broken ends the process that asks it.
"""

from __future__ import annotations

import json
import logging
import platform
import shutil
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from pathlib import Path
from typing import Literal

from contourdesk import __version__
from contourdesk.app.case import Case
from contourdesk.app.dicom_read import read_series
from contourdesk.app.doctor_frames import FRAMES
from contourdesk.app.itself import has_display, is_built, itself
from contourdesk.app.jobs import Job, Progress, run
from contourdesk.app.opening import open_path
from contourdesk.app.reviews import review_root
from contourdesk.app.settings import config_dir, data_dir, load_settings

log = logging.getLogger(__name__)

State = Literal["ok", "warn", "fail"]
AGAIN = "Install Contourdesk again."
SCREEN_S = 60.0
LIBRARIES = (
    "numpy",
    "scipy",
    "pydicom",
    "highdicom",
    "SimpleITK",
    "imagecodecs",
    "torch",
    "napari",
    "vispy",
    "PySide6",
)
_TEXT = 80  # characters of a table's last column
_LITTLE_DISK, _NO_DISK = 5 << 30, 200 << 20  # a review takes some 10 MB, a cached segmentation 100 MB


@dataclass(frozen=True)
class Line:
    """One thing that was looked at: `group` and `what` it is, what was `found`, and what to do when it isn't "ok"."""

    group: str
    what: str
    state: State
    found: str
    what_to_do: str = ""


def log_folder() -> Path:
    """Where ``contourdesk.log`` is, and the two before it."""
    return data_dir()


def examine() -> Job[tuple[Line, ...]]:
    """Look at everything; what can't be looked at is a line too, so that nothing is raised."""
    parts: list[tuple[str, Callable[[], Iterator[Line]]]] = [
        ("Program", program_lines),
        ("Folders", folder_lines),
        ("Images", decoder_lines),
        ("Networks", network_lines),
        ("Screen", screen_lines),
    ]
    lines: list[Line] = []
    for number, (group, look) in enumerate(parts):
        yield Progress(number, len(parts), group)
        lines += safely(group, look)
    return tuple(lines)


def safely(group: str, look: Callable[[], Iterator[Line]]) -> Iterator[Line]:
    """The lines of `look`; whatever it raises becomes one: a library that can't be loaded is what is looked for."""
    try:
        yield from look()
    except Exception as error:
        log.info("self-test of %s", group, exc_info=True)
        yield Line(group, "Self-test", "fail", f"{type(error).__name__}: {error}", AGAIN)


def program_lines() -> Iterator[Line]:
    """Versions of the program and of its libraries."""
    kind = "desktop build" if is_built() else "Python package"
    yield Line("Program", "Contourdesk", "ok", f"{__version__}, {kind}, {sys.executable}")
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    yield Line("Program", "System", "ok", f"{system}; Python {platform.python_version()}")
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            yield Line("Program", name, "fail", "is missing", AGAIN)
    yield Line("Program", "Libraries", "ok", ", ".join(found))


def folder_lines() -> Iterator[Line]:
    """Whether settings, reviews, models and the log can be written, and the space there."""
    settings, note = load_settings()
    if note:
        yield Line("Folders", "Settings file", "warn", note, "Look through File > Settings.")
    yield _folder_line("Settings", config_dir())
    yield _folder_line("Reviews", review_root(settings))
    yield _folder_line("Models, kept results", data_dir())
    yield _folder_line("Log files", log_folder())


def _folder_line(what: str, folder: Path) -> Line:
    there = next(place for place in (folder, *folder.parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"Contourdesk's self-test")
        free = shutil.disk_usage(there).free
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return Line("Folders", what, "fail", f"{folder} ({reason})", "Choose another folder, or ask for access to it.")
    text = f"{folder}, {free / 2**30:.1f} GB free"
    if free < _NO_DISK:
        return Line("Folders", what, "fail", text, "Free some space: soon nothing can be saved there.")
    return Line("Folders", what, "warn" if free < _LITTLE_DISK else "ok", text, "")


def decoder_lines() -> Iterator[Line]:
    """Whether each kind of compressed image is decoded right, and the sample case read."""
    for frame in FRAMES:
        try:
            error = frame.worst_error()
        except Exception as problem:  # noqa: BLE001 - whatever keeps a decoder from its work is the answer
            yield Line("Images", frame.name, "fail", f"{type(problem).__name__}: {problem}", AGAIN)
            continue
        if error <= frame.error:
            yield Line("Images", frame.name, "ok", "decoded right" if not error else f"decoded to within {error}")
        else:
            yield Line("Images", frame.name, "fail", f"decoded with errors of up to {error}", AGAIN)
    found = run(open_path(Path(str(files("contourdesk.resources"))) / "sample"))
    case = found if isinstance(found, Case) else run(read_series(found[0]))
    shape = " × ".join(str(n) for n in case.volume.grid.shape)
    yield Line("Images", "Sample case", "ok", f"{shape} voxels read")


def network_lines() -> Iterator[Line]:
    """What PyTorch can do here, and the models."""
    from contourdesk.inference.health import health_lines

    yield from health_lines()


def screen_lines() -> Iterator[Line]:
    """What another process of this program says of the screen; its death is an answer too."""
    if not has_display():
        yield Line("Screen", "Display", "warn", "there is none", "Commands without a window work; the window doesn't.")
        return
    try:
        done = subprocess.run(
            [*itself(), "doctor", "--screen"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=SCREEN_S,
            check=False,
            stdin=subprocess.DEVNULL,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        lines = [Line(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        code = done.returncode
    except subprocess.TimeoutExpired:
        lines, last, code = [], f"it did not answer in {SCREEN_S:g} s", 1
    yield from lines
    if code != 0:
        advice = "Renew the graphics driver. On Linux, docs/install.md lists the libraries that Qt needs."
        yield Line("Screen", "Window", "fail", f"it can't be opened ({last})", advice)


def worst(lines: Sequence[Line]) -> State:
    """The worst state of some lines."""
    states = {line.state for line in lines}
    return "fail" if "fail" in states else "warn" if "warn" in states else "ok"


def summary(lines: Sequence[Line]) -> str:
    """One sentence for all lines."""
    failed, warned = ([line.what for line in lines if line.state == state] for state in ("fail", "warn"))
    if failed:
        return f"Failed: {', '.join(failed)}. Contourdesk can't do all its work here."
    if warned:
        return f"All works; look at: {', '.join(warned)}."
    return f"All {len(lines)} are well."


def as_text(lines: Sequence[Line]) -> list[str]:
    """A plain table, for the screen and for an e-mail."""
    width = max((len(line.what) for line in lines), default=0)
    out, group = [], ""
    for line in lines:
        if line.group != group:
            group = line.group
            out.append(group)
        texts = [*textwrap.wrap(line.found, _TEXT), *textwrap.wrap(line.what_to_do, _TEXT)] or [""]
        out.append(f"  {line.state:<4}  {line.what:<{width}}  {texts[0]}")
        out += [f"  {'':<4}  {'':<{width}}  {text}" for text in texts[1:]]
    return [*out, summary(lines)]
