"""Weights from a file that may come from anywhere: by the unpickler that knows numbers only, and of sane size."""

from __future__ import annotations

import hashlib
import pickle
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from contourdesk.app.errors import UserError
from contourdesk.inference.plans import WHOLE

# Checkpoints that nnU-Net wrote itself hold numpy numbers in their training log. These types carry numbers only.
_scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
_NUMBERS: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    (_scalar, "numpy._core.multiarray.scalar"),
    (_scalar, "numpy.core.multiarray.scalar"),  # numpy 1
    np.dtype,
    type(np.dtype(np.float32)),
    type(np.dtype(np.float64)),
    type(np.dtype(np.int64)),
]
# PyTorch stores weights as they are. A file that would grow to many times its size was not written by it.
_MOST_GROWTH = 8
_SMALL = 64 * 2**20
# What wrappers of training put in front of every name.
_PREFIXES = ("module.", "_orig_mod.")


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A checkpoint's content, by the unpickler that knows numbers only.

    Raises
    ------
    UserError : damaged, no checkpoint of nnU-Net, or with program code in it.
    """
    damaged = UserError(f"The model file {path} is damaged or is no PyTorch checkpoint.", WHOLE)
    try:
        with zipfile.ZipFile(path) as file:
            size = sum(info.file_size for info in file.infolist())
        if size > max(_SMALL, _MOST_GROWTH * path.stat().st_size):
            raise UserError(
                f"The model file {path} would unpack to {size / 2**30:.1f} GB and was not opened.",
                "Get the model from a source that you trust, as an unmodified nnU-Net checkpoint.",
            )
        with torch.serialization.safe_globals(_NUMBERS):
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except pickle.UnpicklingError as error:
        raise UserError(
            f"The model file {path} holds program code and was not opened.",
            "Get the model from a source that you trust, as an unmodified nnU-Net checkpoint.",
        ) from error
    except (
        zipfile.BadZipFile, RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError, AttributeError,
        IndexError, AssertionError, OverflowError, MemoryError, RecursionError, NotImplementedError,
    ) as error:  # fmt: skip
        raise damaged from error
    if not isinstance(content, dict) or not isinstance(content.get("network_weights"), dict):
        raise UserError(f"The model file {path} is not a checkpoint of nnU-Net.", WHOLE)
    return content


def plain_weights(weights: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """Copies of the weights in float32 (whole numbers stay so), wrappers' prefixes taken off the names.

    A weight that has several names is one tensor in the result too.

    Raises
    ------
    UserError : something is no tensor, or holds values that are no numbers.
    """
    copies: dict[tuple[object, ...], Tensor] = {}
    out: dict[str, Tensor] = {}
    for name, value in weights.items():
        if not isinstance(value, Tensor) or not isinstance(name, str) or value.is_complex() or value.is_sparse:
            raise UserError(f"The model file {path} holds something else than weights.", WHOLE)
        key = (value.data_ptr(), value.dtype, value.shape, value.stride())
        if key not in copies:
            copies[key] = value.detach().float().clone() if value.is_floating_point() else value.detach().clone()
            if not torch.isfinite(copies[key]).all():
                raise UserError(f"The weights in {path} hold values that are no numbers.", WHOLE)
        out[name] = copies[key]
    for prefix in _PREFIXES:
        if out and all(name.startswith(prefix) for name in out):
            out = {name.removeprefix(prefix): value for name, value in out.items()}
    return out


def sha256(paths: Iterable[Path]) -> str:
    """SHA-256 of files one after the other."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
