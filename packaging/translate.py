"""Gather the window's texts for translators, and make what the program loads of their work.

    python packaging/translate.py de      work/translations/contourdesk_de.ts is made, or brought up to date
    (translate it with Qt Linguist or a text editor)
    python packaging/translate.py de --finish     resources/languages/de.qm, which the program offers in its settings

Texts are the literals in ``tr(...)``, the commands in ``Action(...)``, the tables at the top of modules in widgets, the
texts of tools, and those tables of app that the window shows.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONTEXT = "contourdesk"  # widgets/language.py


def texts() -> list[str]:
    """All texts that the window may show, sorted."""
    found = {text for file in sorted((ROOT / "widgets").glob("*.py")) for text in _in_source(file)}
    return sorted({*found, *_of_app()} - {""})


def _of_app() -> Iterator[str]:
    """The tables of app that the window shows."""
    from contourdesk.app.export import FORMATS
    from contourdesk.app.figures import DEFINITIONS
    from contourdesk.app.handbook import contents
    from contourdesk.app.operations import OPERATIONS
    from contourdesk.app.structures import STATES

    for operation in OPERATIONS:
        yield from (operation.text, f"{operation.text}…", operation.tip, *(f.label for f in operation.fields))
    for definition in DEFINITIONS:
        yield from (definition.label, definition.text)
    for kind in FORMATS:
        yield from (kind.title, kind.detail)
    yield from STATES.values()
    yield from (title for title, _ in contents())


def _in_source(file: Path) -> Iterator[str]:
    tree = ast.parse(file.read_text("utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            wanted = {"tr": node.args[:1], "Action": node.args[1:3], "WindowPreset": node.args[:1]}.get(
                node.func.id, []
            )
            yield from (a.value for a in wanted if isinstance(a, ast.Constant) and isinstance(a.value, str))
        elif isinstance(node, ast.ClassDef):  # tools
            yield from _prose(
                s.value for s in node.body if isinstance(s, ast.Assign) and _named(s, "text", "tip", "hint")
            )
    tables = (s.value for s in tree.body if isinstance(s, ast.Assign | ast.AnnAssign) and s.value is not None)
    yield from _prose(t for t in tables if isinstance(t, ast.Tuple | ast.List | ast.Dict))


def _named(assignment: ast.Assign, *names: str) -> bool:
    return any(isinstance(t, ast.Name) and t.id in names for t in assignment.targets)


def _prose(values: Iterator[ast.expr]) -> Iterator[str]:
    for value in values:
        for node in ast.walk(value):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and re.search(r"[A-Za-z]{2}", node.value):
                yield node.value


def write_ts(path: Path, language: str) -> tuple[int, int]:
    """Make the file for Qt Linguist, with what is translated in it already; how many texts, how many translated."""
    known: dict[str, str] = {}
    if path.exists():
        for message in ET.parse(path).getroot().iter("message"):
            known[message.findtext("source") or ""] = message.findtext("translation") or ""
    root = ET.Element("TS", version="2.1", sourcelanguage="en", language=language)
    context = ET.SubElement(root, "context")
    ET.SubElement(context, "name").text = CONTEXT
    wanted = texts()
    for text in wanted:
        message = ET.SubElement(context, "message")
        ET.SubElement(message, "source").text = text
        done = known.get(text, "")
        ET.SubElement(message, "translation", {} if done else {"type": "unfinished"}).text = done
    ET.indent(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"<!DOCTYPE TS>\n" + ET.tostring(root, encoding="utf-8"))
    return len(wanted), sum(bool(known.get(text)) for text in wanted)


def finish(ts: Path, qm: Path) -> None:
    """Make what the program loads."""
    qm.parent.mkdir(parents=True, exist_ok=True)
    release = Path(sys.executable).with_name("pyside6-lrelease")
    subprocess.run([str(release), "-silent", str(ts), "-qm", str(qm)], check=True)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("language", help="its code, such as de")
    parser.add_argument("--finish", action="store_true", help="make resources/languages/LANGUAGE.qm as well")
    options = parser.parse_args()
    ts = ROOT / "work" / "translations" / f"contourdesk_{options.language}.ts"
    total, done = write_ts(ts, options.language)
    print(f"{ts}: {done} of {total} texts are translated.")
    if options.finish:
        finish(ts, ROOT / "resources" / "languages" / f"{options.language}.qm")


if __name__ == "__main__":
    main()
