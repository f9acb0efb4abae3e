"""The import rule: app knows the patient, inference makes proposals, widgets show; arrows point only towards app.

Each module of app and inference is imported in a fresh interpreter, because what another test has imported before
would hide a mistake. `contourdesk check` must answer on a machine without a display.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
GUI = {"qtpy", "PySide6", "napari", "vispy", "contourdesk.widgets"}
FORBIDDEN = {"app": GUI | {"torch", "contourdesk.inference"}, "inference": GUI}
NOT_IN_WIDGETS = {"torch", "pydicom", "SimpleITK"}
NOT_BUNDLED = {"nnunetv2", "nibabel", "highdicom", "pytest"}

CODE = """
import importlib, sys
importlib.import_module(sys.argv[1])
print(*[name for name in sys.argv[2:] if name in sys.modules])
"""


def modules(folder: str) -> list[Path]:
    return sorted(path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py"))


def dotted(path: Path) -> str:
    return ".".join(("contourdesk", *path.with_suffix("").parts)).removesuffix(".__init__")


def imported(path: Path) -> set[str]:
    """Every module that a file names in an import, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
    return names


def top(names: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("path", modules("app") + modules("inference"), ids=dotted)
def test_import_pulls_in_nothing_heavy(path: Path) -> None:
    names = sorted(FORBIDDEN[path.parts[0]])
    done = subprocess.run(
        [sys.executable, "-c", CODE, dotted(path), *names], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


@pytest.mark.parametrize("path", modules("widgets"), ids=dotted)
def test_widgets_leave_files_and_networks_to_the_others(path: Path) -> None:
    assert not top(imported(path)) & NOT_IN_WIDGETS


@pytest.mark.parametrize("path", modules("widgets"), ids=dotted)
def test_qt_comes_through_qtpy(path: Path) -> None:
    assert not top(imported(path)) & {"PySide6", "PyQt5", "PyQt6"}


def test_inference_never_imports_widgets() -> None:
    for path in modules("inference"):
        assert not [name for name in imported(path) if name.startswith("contourdesk.widgets")], path


def test_program_needs_no_test_package() -> None:
    for folder in ("app", "inference", "widgets"):
        for path in modules(folder):
            assert not top(imported(path)) & NOT_BUNDLED, path


@pytest.mark.parametrize("folder", ["packaging", "tests"])
def test_folders_that_must_not_be_packages(folder: str) -> None:
    """With an ``__init__.py`` there, ``import packaging`` would find ours instead of the library of that name."""
    assert not (ROOT / folder / "__init__.py").exists()
