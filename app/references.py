"""What structures say that they were made on, and whether a case is that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from contourdesk.app.case import Case
from contourdesk.app.errors import UserError


@dataclass(frozen=True)
class References:
    """UIDs that a file refers to; those that it does not name are left out."""

    series_uids: frozenset[str]
    image_uids: frozenset[str]
    frame_uids: frozenset[str]


class OtherImages(UserError):
    """A file's references are missing or wrong for the case; it can be read all the same if the user takes it on.

    Attributes
    ----------
    reasons : what does not agree, each the end of a sentence.
    """

    def __init__(self, path: Path, reasons: tuple[str, ...], fit: str = "") -> None:
        super().__init__(
            f"{path.name} was not made on these images, as far as it says: {'; '.join(reasons)}.{fit and ' '}{fit}",
            "Open the images that it was made on. Only if you know that its coordinates hold for these images, accept "
            "it all the same (--accept-other-references); that is recorded.",
        )
        self.reasons = reasons


def differences(refers: References, case: Case) -> tuple[str, ...]:
    """Say why structures may not belong to a case; empty when they do.

    What is named must agree, and something must be named: the frame of reference gives coordinates their meaning, and
    series or images tell what was drawn on. Images may be more than are loaded.
    """
    frame, out = case.volume.grid.frame_of_reference_uid, []
    if frame and refers.frame_uids and frame not in refers.frame_uids:
        out.append("its frame of reference is another")
    images = refers.image_uids & set(case.source.image_uids)
    if (refers.series_uids or refers.image_uids) and not images and case.source.series_uid not in refers.series_uids:
        out.append("its series and images are others")
    if not (refers.series_uids or refers.image_uids or (frame and refers.frame_uids)):
        out.append("it names no series, no images" + (" and no frame of reference" if frame else ""))
    return tuple(out)


def remark(reasons: tuple[str, ...]) -> str:
    """What a structure keeps for good when it was taken over all the same."""
    return f"Taken over against its references, on the reviewer's word: {'; '.join(reasons)}." if reasons else ""
