"""PyTorch's libraries without its compiler, headers and tests, and its modules without their source files.

The hook that comes with PyInstaller takes all there is, and every module twice.
"""

import sys
from pathlib import Path

from PyInstaller.utils.hooks import PY_DYLIB_PATTERNS, collect_dynamic_libs, get_package_paths

_CONFIGS = ("_functorch", "_dynamo", "_inductor", "fx.experimental", "utils")  # their config.py reads its own source

module_collection_mode = {"torch": "pyz"} | {
    f"torch.{name}.{kind}": "pyz+py" for name in ("_functorch", "fx.experimental") for kind in ("config", "_config")
}
binaries = collect_dynamic_libs("torch", search_patterns=[*PY_DYLIB_PATTERNS, "*.so.*"])
binaries = [(source, target) for source, target in binaries if Path(target).name in ("torch", "lib")]
_manager = Path(get_package_paths("torch")[1]) / "bin" / "torch_shm_manager"
if _manager.exists():  # asked for when torch is imported, on Linux and macOS
    binaries.append((str(_manager), "torch/bin"))
# The libraries look for each other beside themselves; links in the program's folder would lead them astray.
bindepend_symlink_suppression = ["**/torch/lib/*.so*"]
if sys.platform == "win32":
    hiddenimports = ["torch.version"]
