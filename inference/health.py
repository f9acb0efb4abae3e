"""The self-test's part that needs PyTorch: memory, devices, models. See `contourdesk.app.doctor`."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch.nn import functional

from contourdesk.app.doctor import AGAIN, Line, safely
from contourdesk.app.errors import UserError
from contourdesk.inference.device import choose_device, describe
from contourdesk.inference.memory import free_main_memory, in_words
from contourdesk.inference.model_library import known_models, load

_LITTLE_MEMORY, _NO_MEMORY = 4 << 30, 3 << 29  # a planning CT with its segmentation takes some 2 GB


def health_lines() -> Iterator[Line]:
    """Memory, devices and models, each whatever became of the others."""
    yield from safely("Memory", memory_lines)
    yield from safely("Networks", device_lines)
    yield from safely("Models", model_lines)


def memory_lines() -> Iterator[Line]:
    """Whether a planning CT and a network fit into main memory now."""
    free = free_main_memory()
    if free is None:
        yield Line("Memory", "Main memory", "warn", "can't be told", "A planning CT and its segmentation want 4 GB.")
        return
    text = f"{in_words(free)} free"
    if free < _LITTLE_MEMORY:
        advice = "Close other programs, or use a larger computer."
        yield Line("Memory", "Main memory", "fail" if free < _NO_MEMORY else "warn", text, advice)
    else:
        yield Line("Memory", "Main memory", "ok", text)


def device_lines() -> Iterator[Line]:
    """Where networks run by default, and whether they count right there."""
    device = choose_device()
    start = time.monotonic()
    error = _convolution_error(device)
    took = time.monotonic() - start
    name = f"{describe(device)}, PyTorch {torch.__version__}"
    if error > 1e-3:
        yield Line("Networks", "Device", "fail", f"{name}: counts wrong, by {error:.2g}", "Choose cpu in the settings.")
    else:
        yield Line("Networks", "Device", "ok", f"{name}: a convolution is right, in {took:.1f} s")
    if device.type == "cpu" and shutil.which("nvidia-smi"):
        build = "has no CUDA" if torch.version.cuda is None else "can't use it"
        advice = "docs/install.md says how to use it." if torch.version.cuda is None else "Renew its driver."
        yield Line("Networks", "NVIDIA card", "warn", f"there seems to be one, but this PyTorch {build}", advice)


def _convolution_error(device: torch.device) -> float:
    """Largest difference between a convolution on a device and the same in double precision."""
    generator = torch.Generator().manual_seed(7)
    image = torch.randn(1, 8, 24, 24, 24, generator=generator)
    weights = torch.randn(8, 8, 3, 3, 3, generator=generator) / 15
    found = functional.conv3d(image.to(device), weights.to(device)).cpu().double()
    return float((found - functional.conv3d(image.double(), weights.double())).abs().max())


def model_lines() -> Iterator[Line]:
    """Whether every model can be read, and the bundled ones are those that were shipped."""
    for entry in known_models():
        changed = changed_files(Path(entry.folder)) if entry.kind == "bundled" else []
        try:
            models = load(entry.name)
        except UserError as error:
            yield Line("Models", entry.name, "fail", error.message, error.what_to_do)
            continue
        organs = sum(len(model.labels) for model in models)
        text = f"{entry.kind}, {organs} structures, SHA-256 {models[0].weights_sha256[:12]}"
        if changed:
            yield Line("Models", entry.name, "fail", f"{text}; not as shipped: {', '.join(changed)}", AGAIN)
        else:
            yield Line("Models", entry.name, "ok", text)


def changed_files(folder: Path) -> list[str]:
    """The files of a bundled model that are gone, or not what ``sha256.txt`` beside the models says."""
    table = folder.parent / "sha256.txt"
    found = []
    for line in table.read_text("utf-8").splitlines():
        digest, name = line.split(maxsplit=1)
        path = table.parent / name
        if path.is_relative_to(folder) and not (path.is_file() and _sha256(path) == digest):
            found.append(path.name)
    return found


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
