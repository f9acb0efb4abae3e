"""PyTorch's libraries without its compiler, headers and tests, and its modules without their source files.

The hook that comes with PyInstaller takes all there is, and every module twice.
"""

import re
from pathlib import Path

from PyInstaller.utils.hooks import PY_DYLIB_PATTERNS, collect_dynamic_libs, get_package_paths

ROOT, PACKAGE = (Path(path) for path in get_package_paths("torch"))
# Modules that read their own source when they are imported: settings with comments that count, declared overloads.
READ_THEMSELVES = re.compile(r"install_config_module\(|\b_overload(_method)?\b")
TESTS = re.compile("test|backend_with_compiler|aoti_custom_ops")


def reads_itself(path):
    """Whether a module wants its source file beside it."""
    return bool(READ_THEMSELVES.search(path.read_text("utf-8", errors="replace")))


module_collection_mode = {"torch": "pyz"}
for path in sorted(PACKAGE.rglob("*.py")):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    if path.stem != "__init__" and "testing" not in name and reads_itself(path):
        module_collection_mode[name] = "pyz+py"
binaries = collect_dynamic_libs("torch", search_patterns=[*PY_DYLIB_PATTERNS, "*.so.*"])
binaries = [
    (source, target)
    for source, target in binaries
    if Path(target).name == "lib" and not TESTS.search(Path(source).name)
]
manager = PACKAGE / "bin" / "torch_shm_manager"
if manager.exists():  # asked for when torch is imported, on Linux and macOS
    binaries.append((str(manager), "torch/bin"))
# The libraries look for each other beside themselves; links in the program's folder would lead them astray.
bindepend_symlink_suppression = ["**/torch/lib/*.so*"]
