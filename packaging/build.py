"""Build the desktop program into dist/ with PyInstaller, and say how large it is.

    python packaging/build.py

``make package`` calls it. What PyInstaller needs is in the extra ``package``; docs/desktop.md tells the rest.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import contourdesk

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
WORK, DIST = ROOT / "build", ROOT / "dist"

VERSION_INFO = """\
VSVersionInfo(
  ffi=FixedFileInfo(filevers={numbers}, prodvers={numbers}, mask=0x3F, flags=0x0, OS=0x40004, fileType=0x1),
  kids=[
    StringFileInfo([StringTable("040904B0", [
      StringStruct("CompanyName", "The Contourdesk contributors"),
      StringStruct("FileDescription", "Contourdesk: contour review for radiotherapy. Not a medical device."),
      StringStruct("FileVersion", "{version}"),
      StringStruct("InternalName", "contourdesk"),
      StringStruct("LegalCopyright", "The Contourdesk contributors, Apache-2.0"),
      StringStruct("ProductName", "Contourdesk"),
      StringStruct("ProductVersion", "{version}"),
    ])]),
    VarFileInfo([VarStruct("Translation", [0x0409, 1200])]),
  ],
)
"""


def version_info(version: str) -> str:
    """Windows' version resource, as PyInstaller reads it."""
    parts = [int(part) for part in version.split(".")[:3] if part.isdigit()]
    numbers = (*parts, 0, 0, 0, 0)[:4]
    return VERSION_INFO.format(version=version, numbers=numbers)


def size_mb(path: Path) -> float:
    """Megabytes (a million bytes) of a file or a folder; links count as nothing."""
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file() and not p.is_symlink()]
    return sum(p.stat().st_size for p in files) / 1e6


def report(folder: Path, most: int = 14) -> list[str]:
    """The size of a build, and of its largest parts."""
    inside = folder / "_internal"
    parts = sorted(((size_mb(part), part.name) for part in inside.iterdir() if not part.is_symlink()), reverse=True)
    lines = [f"{folder}: {size_mb(folder):.0f} MB"]
    return lines + [f"  {size:6.1f}  {name}" for size, name in parts[:most]]


def main() -> int:
    """Build; returns PyInstaller's exit code."""
    work = WORK / "contourdesk"
    work.mkdir(parents=True, exist_ok=True)
    (work / "version_info.txt").write_text(version_info(contourdesk.__version__), "utf-8")
    command = [sys.executable, "-m", "PyInstaller", "--noconfirm", "--log-level", "WARN"]
    command += ["--distpath", str(DIST), "--workpath", str(WORK), str(HERE / "contourdesk.spec")]
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode == 0:
        print("\n".join(report(DIST / "contourdesk")))
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
