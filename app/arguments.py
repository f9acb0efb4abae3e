"""What the command line's options may hold: each function reads one, and says what is wrong with it."""

from __future__ import annotations

import argparse


def formats(text: str, known: tuple[str, ...]) -> tuple[str, ...]:
    """Formats out of `known`, with commas between."""
    wanted = tuple(dict.fromkeys(part.strip().lower() for part in text.split(",") if part.strip()))
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        raise argparse.ArgumentTypeError(f"'{text}': choose from {', '.join(known)}")
    return wanted


def names(text: str) -> tuple[str, ...]:
    """Names with commas between."""
    found = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not found:
        raise argparse.ArgumentTypeError(f"'{text}' names nothing")
    return found


def positive(text: str) -> float:
    """A number above zero."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"'{text}' is not a number above zero")
    return value


def count(text: str) -> int:
    """A whole number above zero."""
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not a whole number above zero")
    return int(text)


def spacing(text: str) -> tuple[float, ...]:
    """Two or three spacings in mm, with commas between."""
    parts = tuple(positive(part) for part in text.split(","))
    if len(parts) not in (2, 3):
        raise argparse.ArgumentTypeError(f"'{text}' is not three numbers with commas between, such as 2.5,3.9,3.9")
    return parts
