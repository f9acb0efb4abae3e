"""Predicted masks kept on disk: by the image's content and by the model, so that nothing is computed twice.

``<model key>/<image key>.npz`` holds packed bits of each structure. A file appears whole or not at all, and one that
can't be read counts as not there.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from contourdesk.app.errors import UserError
from contourdesk.app.files import write_atomically
from contourdesk.app.history import pack, unpack
from contourdesk.app.structures import Mask
from contourdesk.app.volume import Volume

log = logging.getLogger(__name__)

_DIGITS = 24


def image_key(volume: Volume) -> str:
    """A hash of everything that a prediction depends on: values, place and unit."""
    array = np.ascontiguousarray(volume.array)
    found = hashlib.sha256(f"{array.dtype.str} {array.shape} {volume.unit}".encode())
    found.update(volume.grid.affine.round(4).tobytes())
    found.update(array.data)
    return found.hexdigest()


def cache_file(cache: Path, model_key: str, image: str) -> Path:
    """Where the masks of a model on an image are, or would be."""
    return cache / model_key[:_DIGITS] / f"{image[:_DIGITS]}.npz"


def load_masks(file: Path) -> dict[str, Mask] | None:
    """Masks by the names that the model's structures have, None when there is no usable file."""
    try:
        with np.load(io.BytesIO(file.read_bytes()), allow_pickle=False) as arrays:
            out = {}
            for i, one in enumerate(json.loads(str(arrays["header"]))):
                z, y, x = (int(n) for n in one["shape"])
                bits = unpack(arrays[f"bits_{i}"].tobytes(), (z, y, x))
                z, y, x = (int(n) for n in one["offset"])
                out[str(one["name"])] = Mask((z, y, x), bits)
            return out
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        log.warning("a kept prediction is damaged and made anew", exc_info=True)
        return None


def save_masks(file: Path, masks: Mapping[str, Mask]) -> None:
    """Keep masks. Raises UserError when they can't be written."""
    tight = {name: mask.tight for name, mask in masks.items()}
    header = [{"name": name, "offset": m.offset, "shape": m.bits.shape} for name, m in tight.items()]
    buffer = io.BytesIO()
    arrays = {f"bits_{i}": np.frombuffer(pack(m.bits), np.uint8) for i, m in enumerate(tight.values())}
    np.savez_compressed(buffer, allow_pickle=False, header=np.array(json.dumps(header)), **arrays)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file, buffer.getvalue())
    except OSError as error:
        raise UserError(
            f"A prediction could not be kept in {file.parent} ({error.strerror}).", "Check its space and permissions."
        ) from error
