"""Make a Debian package of the desktop build: dist/contourdesk_VERSION_ARCHITECTURE.deb.

    python packaging/linux/make_deb.py

Needs dist/contourdesk (``make package``), dpkg-deb and objdump. The package depends on those of this system that hold
the libraries which the build takes from outside, so it is for this system's release and later ones.
"""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILT, HERE = ROOT / "dist" / "contourdesk", Path(__file__).resolve().parent
ICON_SIZES = (16, 24, 32, 48, 64, 128, 256, 512)
# Qt loads these by name when it starts, so no file of the build names them: a display without them shows no window.
LOADED_LATER = ("libegl1", "libgl1", "libgl1-mesa-dri", "libopengl0")

CONTROL = """\
Package: contourdesk
Version: {version}
Architecture: {architecture}
Maintainer: The Contourdesk contributors <maintainers@contourdesk.example>
Installed-Size: {kilobytes}
Depends: {depends}
Recommends: libwayland-cursor0, libwayland-egl1
Section: science
Priority: optional
Homepage: https://contourdesk.example
Description: segment, review, correct and export the contours of a radiotherapy CT
 Opens a planning CT, proposes contours of the organs at risk, and lets a
 qualified person correct, accept or reject each of them. Accepted structures
 are exported as RTSTRUCT, DICOM SEG or training data.
 .
 This build brings its own Python and PyTorch for the processor. It is not a
 medical device.
"""


def output(*command: str) -> str:
    """Standard output of a command that must succeed."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def dependencies(built: Path) -> list[str]:
    """Packages of this system with the libraries that the build wants and has not; libc6 with its version."""
    files = [path for path in built.rglob("*") if path.is_file() and not path.is_symlink() and _is_elf(path)]
    inside = {path.name for path in built.rglob("*")}
    headers = "".join(output("objdump", "-p", *map(str, files[n : n + 100])) for n in range(0, len(files), 100))
    outside = set(re.findall(r"NEEDED +(\S+)", headers)) - inside
    glibc = max(tuple(int(n) for n in found.split(".")) for found in re.findall(r"GLIBC_(\d+\.\d+)", headers))
    known = dict(re.findall(r"^\s+(\S+) \(.*\) => (\S+)$", output("/sbin/ldconfig", "-p"), re.MULTILINE))
    packages = set(LOADED_LATER)
    for name in sorted(outside):
        if name not in known:
            print(f"{name} is in no package here; left out.", file=sys.stderr)
            continue
        place = Path(known[name]).resolve()
        owners = subprocess.run(["dpkg", "-S", f"*/{place.name}"], capture_output=True, text=True, check=False).stdout
        packages |= {line.split(":")[0] for line in owners.splitlines() if line.endswith(place.name)}
    packages.discard("libc6")
    return [f"libc6 (>= {glibc[0]}.{glibc[1]})", *sorted(packages)]


def _is_elf(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"


def fill(root: Path, version: str) -> None:
    """Put everything where Debian wants it, under `root`."""
    place = root / "usr" / "lib" / "contourdesk"
    shutil.copytree(BUILT, place, symlinks=True)
    (root / "usr" / "bin").mkdir(parents=True)
    (root / "usr" / "bin" / "contourdesk").symlink_to("../lib/contourdesk/contourdesk")
    share = root / "usr" / "share"
    for target in ("applications", "metainfo", "doc/contourdesk", "icons/hicolor/scalable/apps"):
        (share / target).mkdir(parents=True)
    shutil.copy(HERE / "contourdesk.desktop", share / "applications")
    shutil.copy(HERE / "org.contourdesk.Contourdesk.metainfo.xml", share / "metainfo")
    shutil.copy(ROOT / "resources" / "icons" / "contourdesk.svg", share / "icons/hicolor/scalable/apps")
    sys.path.insert(0, str(ROOT / "packaging"))
    from make_icons import draw

    for size in ICON_SIZES:
        folder = share / f"icons/hicolor/{size}x{size}/apps"
        folder.mkdir(parents=True)
        draw(size).save(folder / "contourdesk.png")
    doc = share / "doc" / "contourdesk"
    licence = (ROOT / "LICENSE").read_text("utf-8")
    others = "Licences of the libraries inside: /usr/lib/contourdesk/_internal/*.dist-info"
    (doc / "copyright").write_text(f"Contourdesk {version}\n{others}\n\n{licence}", "utf-8")
    with gzip.GzipFile(doc / "changelog.gz", "wb", mtime=0) as file:
        file.write((ROOT / "CHANGELOG.md").read_bytes())
    for path in root.rglob("*"):
        if not path.is_symlink():
            runs = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if runs else 0o644)


def main() -> int:
    """Make the package."""
    if not (BUILT / "contourdesk").is_file():
        print("There is no dist/contourdesk. Run make package first.", file=sys.stderr)
        return 2
    version = output(str(BUILT / "contourdesk"), "--version").split()[-1]
    architecture = output("dpkg", "--print-architecture").strip()
    target = ROOT / "dist" / f"contourdesk_{version}_{architecture}.deb"
    with tempfile.TemporaryDirectory(dir=ROOT / "dist") as folder:
        root = Path(folder) / "package"
        fill(root, version)
        kilobytes = sum(p.lstat().st_size for p in root.rglob("*") if not p.is_dir()) // 1024
        control = CONTROL.format(
            version=version, architecture=architecture, kilobytes=kilobytes, depends=", ".join(dependencies(BUILT))
        )
        (root / "DEBIAN").mkdir()
        (root / "DEBIAN" / "control").write_text(control, "utf-8")
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Zzstd", "-z9", "--build", str(root), str(target)], check=True
        )
    print(f"{target}: {target.stat().st_size / 1e6:.0f} MB, {kilobytes / 1e3:.0f} MB installed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
