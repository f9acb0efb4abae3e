"""How much memory a prediction needs, and how much there is; both before it starts, both roughly."""

from __future__ import annotations

import copy
import ctypes
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

# Between two layers a network holds a map, the next one and what convolution needs to work.
_MAPS_AT_ONCE = 3


def network_bytes(network: nn.Module, input_shape: Sequence[int]) -> int:
    """Roughly what one pass over an input (batch, channels, ...) takes, weights not counted.

    Found by a pass without memory ("meta"): the largest map of each size stays as a skip connection, and a few of the
    largest are there at once.
    """
    largest: dict[tuple[int, ...], int] = {}

    def note(_module: nn.Module, _inputs: object, output: object) -> None:
        if isinstance(output, Tensor):
            size = tuple(output.shape[2:])
            largest[size] = max(largest.get(size, 0), output.nbytes)

    weights: dict[int, Any] = {id(p): nn.Parameter(p.to("meta"), False) for p in network.parameters()}
    twin = copy.deepcopy(network, weights | {id(b): b.to("meta") for b in network.buffers()})
    for module in twin.modules():
        if not list(module.children()):
            module.register_forward_hook(note)
    try:
        with torch.inference_mode():
            twin(torch.empty(*input_shape, device="meta"))
    except (RuntimeError, ValueError, NotImplementedError, TypeError):
        return 0  # not known; the run will show
    return sum(largest.values()) + _MAPS_AT_ONCE * max(largest.values(), default=0)


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


def in_words(size: int) -> str:
    """Bytes for the user, e.g. "1.3 GB"."""
    return f"{size / 2**30:.1f} GB" if size >= 2**30 / 10 else f"{size / 2**20:.0f} MB"
