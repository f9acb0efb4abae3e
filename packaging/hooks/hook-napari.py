"""The viewer. Its package names its modules in a list for lazy loading, which no import statement shows."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

_UNUSED = ("_tests", "conftest", "benchmarks", "napari._qt.dialogs.qt_plugin_dialog", "napari._qt.experimental")


def _wanted(name: str) -> bool:
    return not any(part in name for part in _UNUSED)


hiddenimports = [*collect_submodules("napari", filter=_wanted), "napari_builtins", "napari_resources"]
datas = collect_data_files("napari", excludes=["**/_tests/**", "**/*.icns", "resources/multichannel_cells.png"])
datas += collect_data_files("napari_resources") + collect_data_files("napari_builtins", includes=["*.yaml"])
