"""What keeps the project in order for others: workflows that can be read, and the check of licences."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from contourdesk.app.jobs import run
from contourdesk.app.licences import Licence, licences

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.fixture(scope="module")
def check() -> ModuleType:
    spec = importlib.util.spec_from_file_location("licence_check", ROOT / "packaging" / "licences.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_workflows_call_what_there_is(path: Path) -> None:
    content = yaml.safe_load(path.read_text("utf-8"))
    assert content["jobs"] and content["permissions"] == {"contents": "read"}
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for job in content["jobs"].values():
        assert job["timeout-minutes"] <= 60
        for step in job["steps"]:
            script = step.get("run", "")
            for name in re.findall(r"\b((?:packaging|tests)/[\w/.-]+\.(?:py|txt))", script):
                assert (ROOT / name).is_file(), name
            for target in re.findall(r"^make (\w+)", script, re.M):
                assert f"\n{target}:" in makefile, target
            assert "@" in step["uses"] if "uses" in step else script


@pytest.mark.parametrize(
    ("licence", "good"),
    [
        ("MIT", True),
        ("BSD License, MIT License", True),
        ("Apache-2.0 AND Apache-2.0 WITH LLVM-exception AND BSL-1.0", True),
        ("ISC License (ISCL)", True),
        ("MIT OR GPL-3.0-only", True),
        ("MIT AND GPL-3.0-only", False),
        ("GNU General Public License v3 (GPLv3)", False),
        ("GNU Library or Lesser General Public License (LGPL)", False),
        ("MPL-2.0", False),
        ("LicenseRef-Proprietary", False),
        ("Other/Proprietary License", False),
        ("see its text", False),
    ],
)
def test_licences_are_told_apart(check: ModuleType, licence: str, good: bool) -> None:
    assert check.is_permissive(licence) is good


def test_all_that_is_installed_may_come_along(check: ModuleType) -> None:
    assert check.main() == 0
    found = run(licences())
    assert {"PySide6", "torch", "napari"} <= {one.package for one in found}


def test_a_licence_that_is_not_named_is_known_by_its_text(check: ModuleType) -> None:
    text = "Permission is hereby granted,\n  free of charge, to any person"
    assert check.by_text(Licence("x", "1", "see its text", text)) == "MIT"
    gpl = f"{text} ... GNU GENERAL PUBLIC LICENSE"
    assert check.by_text(Licence("x", "1", "see its text", gpl)) == "see its text"
