"""The tables of PS3.15, one module for each edition of the standard."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

hiddenimports = collect_submodules("dicomanonymizer")
datas = collect_data_files("dicomanonymizer")
