"""Names of the labels of a label map: what the file itself, nnU-Net's dataset.json or a JSON file beside it says."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from pathlib import Path

from contourdesk.app.errors import UserError
from contourdesk.app.image_read import case_name
from contourdesk.app.nifti_read import is_nifti, read_extensions

DATASET = "dataset.json"
IGNORE = "ignore"  # nnU-Net's name for voxels that nobody looked at
_BACKGROUND = ("background", "unlabeled", "unlabelled")
# Connectome Workbench's label table, which TotalSegmentator writes into its NIfTI files.
_LABEL = re.compile(r'<Label\b[^>]*\bKey="(-?\d+)"[^>]*>(?:<!\[CDATA\[(.*?)\]\]>|([^<]*))</Label>', re.DOTALL)


def label_names(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and the labels that each stands for (several for nnU-Net's regions); empty when nothing names them.

    Looked for in the file, in ``<name>.json`` beside it, and in ``dataset.json`` in its folder or the one above.

    Raises
    ------
    UserError : such a JSON file is damaged.
    """
    table = _own_table(path) if is_nifti(path) else {}
    if table:
        return table
    for candidate in (path.with_name(f"{case_name(path)}.json"), path.parent / DATASET, path.parent.parent / DATASET):
        if candidate.is_file():
            names = _from_json(candidate)
            if names:
                return names
    return {}


def _own_table(path: Path) -> dict[str, tuple[int, ...]]:
    out: dict[str, tuple[int, ...]] = {}
    for text in read_extensions(path):
        for number, marked, plain in _LABEL.findall(text):
            name = (marked or html.unescape(plain)).strip()
            if name and int(number) != 0:
                out[_free(name, out)] = (int(number),)
    return out


def _free(name: str, taken: Mapping[str, object]) -> str:
    free, n = name, 2
    while free in taken:
        free, n = f"{name} ({n})", n + 1
    return free


def _from_json(path: Path) -> dict[str, tuple[int, ...]]:
    """nnU-Net's "labels" in both its ways (name to number, number to name), or a plain object of that kind."""
    try:
        data = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path.name} can't be read as JSON, so the labels have no names.", "Correct it.") from error
    labels = data.get("labels", data) if isinstance(data, dict) else None
    if not isinstance(labels, dict):
        return {}
    out: dict[str, tuple[int, ...]] = {}
    for key, value in labels.items():
        if isinstance(value, str) and re.fullmatch(r"-?\d+", key):
            name, numbers = value.strip(), (int(key),)
        elif isinstance(value, int) and not isinstance(value, bool):
            name, numbers = key.strip(), (value,)
        elif isinstance(value, list) and value and all(isinstance(v, int) for v in value):
            name, numbers = key.strip(), tuple(value)
        else:
            continue
        if name and name.casefold() not in _BACKGROUND and numbers != (0,):
            out[_free(name, out)] = numbers
    return out
