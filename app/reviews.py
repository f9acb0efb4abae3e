"""The folder of reviews: where a review belongs, and which there are."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from contourdesk.app.case import Case
from contourdesk.app.errors import UserError
from contourdesk.app.geometry import Grid
from contourdesk.app.resample import Resample
from contourdesk.app.settings import Settings, data_dir
from contourdesk.app.structures import ACCEPTED

log = logging.getLogger(__name__)

CASE = "case.json"


@dataclass(frozen=True)
class ReviewInfo:
    """A review on the start page; `when` is the time of its last save, ISO 8601, `counts` structures by state.

    `resampled` is how its images were resampled, None when they were not.
    """

    folder: Path
    title: str
    when: str
    counts: dict[str, int]
    image_path: Path
    series_uid: str
    resampled: Resample | None = None


def review_root(settings: Settings) -> Path:
    """Folder that holds the reviews."""
    return Path(settings.review_root).expanduser() if settings.review_root else data_dir() / "reviews"


def default_review_folder(case: Case, settings: Settings) -> Path:
    """Where the review of this case belongs: always the same for the same series. Nothing is created.

    Raises UserError when the user's review folder lies in the image folder.
    """
    source = case.source
    key = hashlib.sha256((source.series_uid or str(source.path)).encode()).hexdigest()[:10]
    date = re.sub(r"\W", "", source.date, flags=re.ASCII)[:8]
    folder = review_root(settings) / (f"{date}-{key}" if date else key)
    check_place(folder, source.path)
    return folder


def check_place(folder: Path, image_path: Path) -> None:
    """Raise UserError when a review folder lies among the images."""
    # Someone may open their whole home folder as images; our own place in it is not among the images.
    images, place = image_path.resolve(), folder.resolve()
    if images.is_dir() and place.is_relative_to(images) and not place.is_relative_to(data_dir().resolve()):
        raise UserError(
            f"The review folder {folder} lies in the image folder.",
            "Choose another folder for reviews in the settings.",
        )


def find_reviews(root: Path) -> list[ReviewInfo]:
    """All reviews directly in `root`, the last saved first. What can't be read is left out and logged."""
    found = [review_at(file.parent) for file in sorted(root.glob(f"*/{CASE}"))]
    return sorted((r for r in found if r is not None), key=lambda r: r.when, reverse=True)


def review_at(folder: Path) -> ReviewInfo | None:
    """The review in a folder, None when there is none; one that can't be read is logged."""
    try:
        read = json.loads((folder / CASE).read_text("utf-8"))
        states = [s["header"]["decision"]["state"] for s in read["structures"]]
        kinds = {"unreviewed": ("unreviewed",), "accepted": ACCEPTED, "rejected": ("rejected",)}
        counts = {kind: sum(map(states.count, parts)) for kind, parts in kinds.items()}
        image = read["case"]
        title = str(image["patient_name"] or image["description"] or Path(image["path"]).name)
        place = (Path(image["path"]), image["series_uid"])
        return ReviewInfo(folder, title, read["saved_at"], counts, *place, resampled_of(read))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError):
        log.warning("a review could not be listed", exc_info=True)
        return None


def grid_of(read: dict[str, Any]) -> Grid:
    """The grid that a ``case.json`` tells. Raises ValueError, KeyError, TypeError."""
    return Grid(read["grid"]["shape"], np.array(read["grid"]["affine"]), read["grid"]["frame"])


def resampled_of(read: dict[str, Any]) -> Resample | None:
    """How the images were resampled. Raises ValueError, KeyError, TypeError."""
    how = read.get("resampled")
    return None if how is None else Resample.from_json(how, grid_of(read))
