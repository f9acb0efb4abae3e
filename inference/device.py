"""Where the network runs: pick a device, and say in words what it is."""

from __future__ import annotations

import platform

import torch

from contourdesk.app.errors import UserError


def choose_device(wanted: str | torch.device | None = None) -> torch.device:
    """The device that was asked for ("cpu", "cuda", "cuda:1", "mps"), or the best one here.

    Raises
    ------
    UserError : not a device, or this machine has none of it.
    """
    if wanted is None or wanted == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise UserError(f"'{wanted}' is not a device.", "Use auto, cpu, cuda or mps.") from error
    there = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }.get(device.type, 0)
    if (device.index or 0) >= there:
        raise UserError(f"This machine has no device '{device}' that PyTorch can use.", "Use auto or cpu.")
    return device


def describe(device: torch.device) -> str:
    """In words for the user, e.g. "NVIDIA RTX A4000 (16 GB)" or "the processor (8 threads)"."""
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        return f"{properties.name} ({properties.total_memory / 2**30:.0f} GB)"
    if device.type == "mps":
        return f"the graphics processor ({platform.machine()})"
    threads = torch.get_num_threads()
    return f"the processor ({threads} thread{'s' if threads != 1 else ''})"
