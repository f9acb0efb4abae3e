"""An outside hand: looks for planted words in every byte of a folder, also in what is packed, in any usual encoding."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path

ENCODINGS = ("utf-8", "latin-1", "utf-16-le", "utf-16-be", "cp1252", "cp437", "iso2022_jp")


def spellings(day: date) -> list[str]:
    """A date as people and programs write it."""
    forms = ("%Y%m%d", "%Y-%m-%d", "%Y.%m.%d", "%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d %b %Y", "%B %d, %Y")
    return [day.strftime(form) for form in forms]


def find(folder: Path, words: Iterable[str]) -> list[str]:
    """Where the words stand, in file names or in content, whatever their case."""
    found = []
    wanted = {word: variants(word) for word in words}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder)).casefold()
        found += [f"{word} in the name {path.name}" for word in wanted if word.casefold() in name]
        if path.is_file():
            for data in contents(path.read_bytes()):
                folded = data.lower()
                found += [f"{w} in {path.name}" for w, forms in wanted.items() if any(f in folded for f in forms)]
    return found


def variants(word: str) -> set[bytes]:
    out = set()
    for text in (word, word.lower(), word.upper()):
        for encoding in ENCODINGS:
            try:
                out.add(text.encode(encoding).lower())
            except UnicodeError:
                continue
    return out


def contents(data: bytes) -> Iterator[bytes]:
    """The bytes, and those that they hold when unpacked."""
    yield data
    if data[:2] == b"\x1f\x8b":
        yield data[:400]  # a gzip head may name a file
        yield from contents(gzip.decompress(data))
    elif data[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                yield name.encode()
                yield from contents(archive.read(name))
    elif data[:2] in (b"\x78\x01", b"\x78\x9c", b"\x78\xda"):
        yield zlib.decompress(data)
