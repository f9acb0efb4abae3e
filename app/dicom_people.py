"""Who decided and when, as DICOM writes it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

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


def moment(text: str) -> datetime | None:
    """An ISO time; None when it is none. One without zone counts as UTC, so that no machine's own zone matters."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def date_and_time(when: datetime | None) -> tuple[str, str]:
    """DICOM date and time in the zone it was noted in; empty for None."""
    return ("", "") if when is None else (when.strftime("%Y%m%d"), when.strftime("%H%M%S"))


def latest_moment(times: Iterable[str]) -> datetime | None:
    """The latest of ISO times; None when there is none."""
    return max((m for text in times if (m := moment(text)) is not None), default=None)


def latest_time(times: Iterable[str]) -> tuple[str, str]:
    """The latest of ISO times as DICOM date and time, in the zone it was noted in; now when there is none."""
    return date_and_time(latest_moment(times) or datetime.now().astimezone())
