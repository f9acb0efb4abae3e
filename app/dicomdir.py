"""DICOMDIR: the table of contents of a CD or an export folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread

from contourdesk.app.archives import fingerprint, open_binary
from contourdesk.app.dicom_elements import Encoding, Window, items, walk
from contourdesk.app.dicom_headers import DAMAGE, MEDIA_DIRECTORY
from contourdesk.app.errors import UserError

NAME = "DICOMDIR"
_ENCODING = Encoding(True)  # always explicit, little endian
_RECORDS, _FILE_ID = 0x00041220, 0x00041500
_FEW = 3


@dataclass(frozen=True)
class Listing:
    """Files that a DICOMDIR lists: those that are `there`, and the names of those that are `missing`."""

    there: tuple[Path, ...]
    missing: tuple[str, ...]

    @property
    def note(self) -> str:
        """What to tell of missing files, empty when there are none."""
        if not self.missing:
            return ""
        names = ", ".join(self.missing[:_FEW]) + (", ..." if len(self.missing) > _FEW else "")
        count = "1 file that isn't" if len(self.missing) == 1 else f"{len(self.missing)} files that aren't"
        return f"The DICOMDIR lists {count} there: {names}."


def is_dicomdir(path: Path) -> bool:
    """Whether a file is a DICOMDIR, whatever it is called."""
    try:
        with open_binary(path) as stream:
            if stream.read(132)[128:] != b"DICM":
                return False
            stream.seek(0)
            meta = dcmread(stream, specific_tags=["SOPClassUID"], stop_before_pixels=True).file_meta
            return bool(meta.get("MediaStorageSOPClassUID", "") == MEDIA_DIRECTORY)
    except DAMAGE:
        return False


def read_dicomdir(path: Path, files: Sequence[Path]) -> Listing:
    """Read which files a DICOMDIR lists, and look for each among `files`, all that lie beside and under it.

    Raises
    ------
    UserError : it can't be read.
    """
    there: list[Path] = []
    missing: list[str] = []
    by_name = {_plain(f.relative_to(path.parent).as_posix()): f for f in files if f.is_relative_to(path.parent)}
    try:
        names = _names(path)
    except DAMAGE as error:
        raise UserError(
            f"{path.name} can't be read; it may be cut short or damaged.", "Open the folder that it lies in instead."
        ) from error
    for name in names:
        found = by_name.get(_plain(name))
        if found is None:
            missing.append(name)
        else:
            there.append(found)
    return Listing(tuple(dict.fromkeys(there)), tuple(missing))


def _names(path: Path) -> list[str]:
    """Names of the files that the records refer to, with slashes. Raises one of `DAMAGE`, also when it is cut short."""
    out = []
    with open_binary(path) as stream:
        window = Window(stream, fingerprint(path)[0])
        for place in walk(window, 132, window.size, _ENCODING):
            if place.tag != _RECORDS:
                continue
            for begin, end in items(window, place, _ENCODING):
                for leaf in walk(window, begin, end, _ENCODING):
                    if leaf.tag == _FILE_ID:
                        parts = window.value(leaf).decode("ascii").split("\\")
                        out.append("/".join(part.strip(" \0") for part in parts))
    return out


def _plain(name: str) -> str:
    """A name without what systems make of it when they mount a CD: small letters, ".;1" behind it."""
    return name.lower().split(";")[0].rstrip(".")
