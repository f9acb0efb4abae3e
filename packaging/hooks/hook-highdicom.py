"""highdicom reads tables of the standard from its folder."""

from PyInstaller.utils.hooks import collect_data_files

datas = collect_data_files("highdicom")
