"""The import rule: app knows the patient, inference makes proposals, widgets show; arrows point only towards app.

The modules of app, and those of inference, are imported in a fresh interpreter, because what another test has imported
before would hide a mistake; each by itself, with all of our own modules forgotten in between, so that one that can
only be imported after another is found too. `contourdesk check` must answer on a machine without a display.
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
NOT_BUNDLED = {"nnunetv2", "nibabel", "nrrd", "monai", "pytest"}

CODE = """
import importlib, sys
folder, names = sys.argv[1].split(), sys.argv[2].split()
for module in folder:
    importlib.import_module(module)
    found = [name for name in names if name in sys.modules]
    if found:
        sys.exit(f"{module} imports {', '.join(found)}")
    for name in [n for n in sys.modules if n.partition(".")[0] == "contourdesk"]:
        del sys.modules[name]
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


@pytest.mark.parametrize("folder", ["app", "inference"])
def test_import_pulls_in_nothing_heavy(folder: str) -> None:
    names = [dotted(path) for path in modules(folder)]
    done = subprocess.run(
        [sys.executable, "-c", CODE, " ".join(names), " ".join(sorted(FORBIDDEN[folder]))],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


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
