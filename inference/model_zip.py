"""Models in zip archives, as ``nnUNetv2_export_model_to_zip`` and TotalSegmentator write them: unpacked with care.

Only the files that a model is made of are unpacked. An archive that tries to write elsewhere, holds links, or would
grow absurdly is refused as a whole, before anything is written.
"""

from __future__ import annotations

import re
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, Progress

_WANTED = re.compile(
    r"(plans|dataset|postprocessing|inference_information)\.json|checkpoint_(final|best)\.pth|postprocessing\.pkl"
    r"|(licen[cs]e|copying|notice|readme)[^/]*",
    re.IGNORECASE,
)
_MAX_FILES = 20_000
_MAX_DEPTH = 12
_MAX_BYTES = 64 * 2**30
_MAX_RATIO = 100  # of JSON; weights hardly shrink at all
_SMALL = 64 * 2**20
_BLOCK = 4 * 2**20
_ADVICE = "Do not use it. Get the model from a source that you trust."


def is_model_zip(path: Path) -> bool:
    """Whether a file is a zip archive with a ``plans.json`` in it."""
    try:
        with zipfile.ZipFile(path) as file:
            return any(PurePosixPath(name).name == "plans.json" for name in file.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


def unpack(path: Path, into: Path) -> Job[Path]:
    """Unpack a model archive into the folder `into`, which it returns.

    ``postprocessing.pkl`` is written as an empty file: that there is one is worth a note, but nothing ever reads it.

    Raises
    ------
    UserError : damaged, encrypted, hostile, too large, or without a model.
    """
    try:
        with zipfile.ZipFile(path) as file:
            wanted = _checked(file, path)
            total = sum(info.file_size for info in wanted)
            _check_space(total, into)
            done = 0
            for info in wanted:
                target = into / PurePosixPath(info.filename)
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.suffix == ".pkl":
                    target.touch()
                    continue
                for count in _copy(file, info, target):
                    done += count
                    yield Progress(done // 2**20, total // 2**20, f"Unpacking {target.name}")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"The archive {path} is damaged: {error}.", "Download it again.") from error
    except OSError as error:
        raise UserError(
            f"The archive {path} could not be unpacked ({error.strerror or error}).", "Check the disk."
        ) from error
    return into


def _checked(file: zipfile.ZipFile, path: Path) -> list[zipfile.ZipInfo]:
    """The entries to unpack. All entries are checked, also those that are not wanted."""
    infos = file.infolist()
    if len(infos) > _MAX_FILES:
        raise UserError(f"The archive {path} holds {len(infos)} files; no model does.", _ADVICE)
    seen: set[str] = set()
    wanted = []
    for info in infos:
        problem = _problem(info)
        if problem:
            raise UserError(f'The archive {path} {problem}: "{info.filename[:200]}". Nothing was unpacked.', _ADVICE)
        if info.is_dir() or not _WANTED.fullmatch(PurePosixPath(info.filename).name):
            continue
        if info.filename.casefold() in seen:
            raise UserError(f'The archive {path} holds "{info.filename[:200]}" twice.', _ADVICE)
        seen.add(info.filename.casefold())
        wanted.append(info)
    if not any(PurePosixPath(info.filename).name == "plans.json" for info in wanted):
        raise UserError(
            f"The archive {path} holds no model: there is no plans.json in it.",
            "Choose an archive that nnUNetv2_export_model_to_zip wrote.",
        )
    if sum(info.file_size for info in wanted) > _MAX_BYTES:
        raise UserError(f"The archive {path} would unpack to more than {_MAX_BYTES >> 30} GB.", _ADVICE)
    return wanted


def _problem(info: zipfile.ZipInfo) -> str:
    name, original = info.filename, getattr(info, "orig_filename", info.filename)
    parts = PurePosixPath(name).parts
    if name.startswith(("/", "\\")) or ":" in name or "\\" in original or "\0" in original or ".." in parts:
        return "would write outside its folder"
    if len(parts) > _MAX_DEPTH or any(len(part.encode()) > 200 for part in parts):
        return "holds a path that is too long"
    mode = info.external_attr >> 16
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        return "holds a link or a device"
    if info.flag_bits & 0x1:
        return "is encrypted"
    if info.file_size > _SMALL and info.file_size > _MAX_RATIO * max(1, info.compress_size):
        return "holds a file that would grow absurdly"
    return ""


def _check_space(total: int, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(into).free
    if total + 2**28 > free:
        raise UserError(
            f"The model needs {total / 2**30:.1f} GB, and {into} has {free / 2**30:.1f} GB free.", "Make room first."
        )


def _copy(file: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> Iterator[int]:
    left = info.file_size
    with file.open(info) as source, target.open("xb") as out:
        while block := source.read(_BLOCK):
            left -= len(block)
            if left < 0:
                raise zipfile.BadZipFile(f"{info.filename} is larger than it says")
            out.write(block)
            yield len(block)
