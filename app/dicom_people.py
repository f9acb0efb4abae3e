"""Who decided and when, as DICOM writes it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import datetime

MAX_PERSON = 64  # PN, one component group


def person_name(name: str) -> str:
    """A name as typed, as DICOM's family^given: "Eva Müller" and "Müller, Eva" alike."""
    clean = "".join(c for c in name if c.isprintable() and c not in "\\=").strip()
    if "^" not in clean:
        family, comma, given = (part.strip() for part in clean.partition(","))
        if not comma:
            given, _, family = (part.strip() for part in clean.rpartition(" "))
        clean = f"{family}^{given}" if given else family
    return clean[:MAX_PERSON]


def latest_time(times: Iterable[str]) -> tuple[str, str]:
    """The latest of ISO times as DICOM date and time, in the zone it was noted in; now when there is none."""
    valid = []
    for text in times:
        with contextlib.suppress(ValueError):
            valid.append(datetime.fromisoformat(text))
    latest = max(valid, key=lambda t: t.timestamp(), default=datetime.now().astimezone())
    return latest.strftime("%Y%m%d"), latest.strftime("%H%M%S")
