"""Contourdesk itself: commands and panels import each other when they are used, and resources are files."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

hiddenimports = collect_submodules("contourdesk")
datas = collect_data_files("contourdesk")
