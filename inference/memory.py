"""How much memory a prediction needs, and how much there is; both before it starts, both roughly."""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

# Between two layers a network holds a map, the next one and what convolution needs to work.
_MAPS_AT_ONCE = 4


def network_bytes(network: nn.Module, input_shape: Sequence[int]) -> int:
    """Roughly what one pass over an input (batch, channels, ...) takes, weights not counted; 0 when it can't be told.

    Each level's map stays as a skip connection, and a few of the largest, two levels' channels wide, are there at once.
    A pass without memory ("meta") would tell as much, but what PyTorch imports for it takes longer than a small image.
    """
    encoder: Any = getattr(network, "encoder", None)
    channels, strides = getattr(encoder, "output_channels", None), getattr(encoder, "strides", None)
    if channels is None or strides is None:
        return 0
    batch, _, *size = input_shape
    levels = []
    for count, stride in zip(channels, strides, strict=True):
        steps = stride if isinstance(stride, list | tuple) else [stride] * len(size)
        size = [max(1, n // s) for n, s in zip(size, steps, strict=True)]
        levels.append(4 * batch * count * math.prod(size))
    return int(sum(levels) + _MAPS_AT_ONCE * max(levels))


def weight_bytes(network: nn.Module) -> int:
    """Bytes of a network's weights."""
    return sum(p.nbytes for p in network.parameters())


def free_bytes(device: torch.device) -> int | None:
    """Memory that is free on a device, None when it can't be told."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return free_main_memory()


def free_main_memory() -> int | None:
    """Main memory that programs can still get, None when it can't be told."""
    if sys.platform == "win32":
        return _free_on_windows()
    meminfo = Path("/proc/meminfo")
    if meminfo.is_file():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines() if ":" in line)
        free = int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else None
        return free if free is None else min(free, _free_in_container(free))
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (ValueError, OSError, AttributeError):
        return None


def _free_in_container(otherwise: int) -> int:
    folder = Path("/sys/fs/cgroup")
    try:
        limit, used = (folder / "memory.max").read_text().strip(), (folder / "memory.current").read_text()
        return otherwise if limit == "max" else max(0, int(limit) - int(used))
    except (OSError, ValueError):
        return otherwise


def _free_on_windows() -> int | None:
    class Status(ctypes.Structure):
        _fields_ = [
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "free", "tp", "fp", "tv", "fv", "ev")),
        ]

    status = Status()
    status.length = ctypes.sizeof(Status)
    ok = getattr(ctypes, "windll").kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # noqa: B009
    return int(status.free) if ok else None


def give_back() -> None:
    """Hand memory that was freed back to the system, where the C library would keep it (glibc)."""
    if sys.platform.startswith("linux"):
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def in_words(size: int) -> str:
    """Bytes for the user, e.g. "1.3 GB"."""
    return f"{size / 2**30:.1f} GB" if size >= 2**30 / 10 else f"{size / 2**20:.0f} MB"
