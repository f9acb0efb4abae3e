"""Contourdesk itself: commands and panels import each other when they are used, and resources and manual are files."""

import sys
from pathlib import Path

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "packaging"))
from hatch_build import MANUAL  # noqa: E402

hiddenimports = collect_submodules("contourdesk")
datas = collect_data_files("contourdesk")
for name in MANUAL:
    place = Path("contourdesk/help") / name
    datas.append((str(ROOT / name), str(place if (ROOT / name).is_dir() else place.parent)))
