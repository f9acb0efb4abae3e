"""What every test may ask for: phantoms made by code, and the shared data where it is present.

Nothing here imports Qt, napari or torch; a GUI test imports them itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import phantoms
import pytest
from hypothesis import settings

# The same examples in every run: no landing hangs on chance. HYPOTHESIS_PROFILE=default looks for new ones.
settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


_screen: subprocess.Popen[bytes] | None = None


def pytest_configure(config: pytest.Config) -> None:
    """Give each worker of pytest-xdist a screen of its own: two windows on one would take the focus from each other."""
    global _screen
    if "PYTEST_XDIST_WORKER" not in os.environ or shutil.which("Xvfb") is None:
        return
    ours, its = os.pipe()
    command = ["Xvfb", "-displayfd", str(its), "-screen", "0", "1920x1080x24", "-nolisten", "tcp"]
    _screen = subprocess.Popen(command, pass_fds=[its], stderr=subprocess.DEVNULL)
    os.close(its)
    with os.fdopen(ours) as stream:
        os.environ["DISPLAY"] = f":{stream.readline().strip()}"
    os.environ.pop("WAYLAND_DISPLAY", None)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the worker's screen away."""
    if _screen is not None:
        _screen.terminate()
        _screen.wait()


@pytest.fixture
def make_ct() -> Callable[..., phantoms.CtPhantom]:
    """`phantoms.make_ct`: writes a small real CT series and returns its truth."""
    return phantoms.make_ct


@pytest.fixture
def make_rtstruct() -> Callable[..., Path]:
    """`phantoms.make_rtstruct`: writes a structure set for a CT phantom, with pydicom alone."""
    return phantoms.make_rtstruct


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The shared data folder; the test is skipped, visibly, where it is absent."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("CONTOURDESK_TEST_DATA") or root.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("no shared data: set CONTOURDESK_TEST_DATA to its folder")
    return folder


@pytest.fixture(scope="module")
def one_view(qapp):
    """One `OrthoView` on the screen for all tests of a module; making one takes a second."""
    from view_phantoms import new_view

    view = new_view()
    yield view
    view.close_views()
    view.close()
    view.deleteLater()


@pytest.fixture
def open_view(one_view, qtbot):
    """A function that shows a session in `one_view`, with all settings as in a new view, and returns it."""
    from view_phantoms import reset

    def show(session):
        qtbot.waitExposed(one_view)
        reset(one_view, session)
        qtbot.wait(80)
        return one_view

    return show
