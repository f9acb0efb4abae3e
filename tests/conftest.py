"""What every test may ask for: phantoms made by code, and the shared data where it is present.

Nothing here imports Qt, napari or torch; a GUI test imports them itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import phantoms
import pytest


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
