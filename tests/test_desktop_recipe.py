"""The recipe of the desktop build, without building: it leaves out nothing that the program imports."""

from __future__ import annotations

import ast
import configparser
import importlib.util
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PACKAGING = ROOT / "packaging"
OPTIONAL = {"distributed", "nnInteractive", "nnunetv2"}  # what is_built() tells the user how to get


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, PACKAGING / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def left_out() -> set[str]:
    """UNUSED_MODULES of the recipe."""
    tree = ast.parse((PACKAGING / "contourdesk.spec").read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "UNUSED_MODULES":
            return set(eval(compile(ast.Expression(node.value), "spec", "eval"), {}))
    raise AssertionError("the recipe has no UNUSED_MODULES")


def imports(path: Path) -> set[str]:
    """Modules that a file imports anywhere, and what it takes from them."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name.replace("qtpy.", "PySide6.") for name in names}


def test_nothing_that_we_import_is_left_out() -> None:
    out = left_out()
    for path in (p for folder in ("app", "inference", "widgets") for p in (ROOT / folder).rglob("*.py")):
        for name in imports(path):
            parts = name.split(".")
            above = {".".join(parts[:n]) for n in range(1, len(parts) + 1)}
            assert not above & out - OPTIONAL, f"{path.name} imports {name}"


def test_every_codec_that_we_call_is_taken() -> None:
    called = set(re.findall(r"imagecodecs\.(\w+)_decode", (ROOT / "app" / "dicom_syntaxes.py").read_text("utf-8")))
    homes = {"dicomrle": "imcd"}
    hook = (PACKAGING / "hooks" / "hook-imagecodecs.py").read_text("utf-8")
    assert called
    for codec in called:
        assert f'"{homes.get(codec, codec)}"' in hook


def test_stand_in_for_the_compiler_lets_optimizers_work(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setitem(sys.modules, "torch._dynamo", None)
    monkeypatch.syspath_prepend(str(PACKAGING / "hooks"))
    importlib.import_module("rthook_no_compiler")
    monkeypatch.setattr(torch, "_dynamo", sys.modules["torch._dynamo"], raising=False)
    weights = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([weights], 0.1, momentum=0.9)
    (weights * torch.arange(3)).sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    assert weights.tolist() == pytest.approx([1.0, 0.9, 0.8])


def test_icons(tmp_path: Path) -> None:
    icons = load("make_icons")
    icons.make_icons(tmp_path)
    with Image.open(tmp_path / "contourdesk.ico") as ico:
        assert ico.info["sizes"] == {(n, n) for n in icons.ICO_SIZES}
    with Image.open(tmp_path / "contourdesk.icns") as icns:
        assert (512, 512, 2) in icns.info["sizes"]
    with Image.open(tmp_path / "contourdesk.png") as png:
        assert png.size == (512, 512)
        assert png.getpixel((0, 0))[3] == 0
        assert len(png.getcolors(1 << 20)) > 50


def test_version_resource_of_windows() -> None:
    text = load("build").version_info("1.4.0rc1")
    assert "filevers=(1, 4, 0, 0)" in text
    assert 'StringStruct("ProductVersion", "1.4.0rc1")' in text
    ast.parse(text)


def test_menu_entry() -> None:
    entry = configparser.ConfigParser(interpolation=None)
    entry.optionxform = str  # type: ignore[assignment, method-assign]
    entry.read(PACKAGING / "linux" / "contourdesk.desktop", "utf-8")
    desktop = entry["Desktop Entry"]
    assert desktop["Exec"] == "contourdesk %f"
    assert desktop["StartupWMClass"] == desktop["Icon"] == "contourdesk"  # setDesktopFileName in widgets.application
