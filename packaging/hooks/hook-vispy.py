"""vispy draws the images: its shaders, fonts and filters are files, its bridge to Qt is imported by name."""

from PyInstaller.utils.hooks import collect_data_files

hiddenimports = ["vispy.app.backends._pyside6", "vispy.app.backends._qt", "vispy.glsl"]
datas = collect_data_files("vispy")
