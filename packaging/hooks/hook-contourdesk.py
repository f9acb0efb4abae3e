"""Contourdesk itself: commands and panels import each other when they are used; resources and the manual are files."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

from contourdesk.app.handbook import handbook_root

hiddenimports = collect_submodules("contourdesk")
datas = collect_data_files("contourdesk")
# In a source tree the manual lies outside the package.
datas += [(str(handbook_root() / "docs"), "contourdesk/help/docs")]
datas += [(str(handbook_root() / name), "contourdesk/help") for name in ("CHANGELOG.md", "CONTRIBUTING.md", "LICENSE")]
