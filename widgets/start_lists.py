"""The start page's lists: reviews to go on with, also those that had to be kept elsewhere, and recent cases."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QObject

from contourdesk.app.errors import UserError
from contourdesk.app.jobs import Job, Progress
from contourdesk.app.project import needs_recovery
from contourdesk.app.rescue import rescue_roots
from contourdesk.app.reviews import ReviewInfo, find_reviews, review_root
from contourdesk.app.settings import Settings
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.review_panel import when
from contourdesk.widgets.start_page import Entry, StartPage

_MOST = 5


class StartLists(QObject):
    """Looks for reviews in a worker and puts them on the page. `reviews` are those on it, by folder."""

    def __init__(self, page: StartPage, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.reviews: dict[Path, ReviewInfo] = {}
        self._page, self._settings = page, Settings()
        self._again = False
        self.runner = JobRunner(self)
        self.runner.succeeded.connect(self._on_found)

    def fill(self, settings: Settings) -> None:
        """Bring the lists up to date."""
        self._settings = settings
        if self.runner.running:
            self._again = True
        else:
            self.runner.start(_find(review_root(settings)), harmless=True)

    def _on_found(self, found: list[tuple[ReviewInfo, bool, bool]]) -> None:
        self.reviews = {info.folder: info for info, _, _ in found}
        entries = [
            Entry(i.folder, i.title.replace("^", " "), _line(i, rescued), unsaved) for i, unsaved, rescued in found
        ]
        known = {info.image_path for info in self.reviews.values()}
        recent = [Path(p) for p in self._settings.recent if Path(p) not in known]
        self._page.set_entries(entries, [Entry(p, p.name or str(p), str(p.parent)) for p in recent[:_MOST]])
        if self._again:
            self._again = False
            self.fill(self._settings)


def _find(root: Path) -> Job[list[tuple[ReviewInfo, bool, bool]]]:
    """The reviews that were saved last: each with whether its journal has more, and whether it had to be rescued."""
    yield Progress(0, 0)
    rescued = [info for place in rescue_roots() for info in find_reviews(place)]
    infos = [*((info, True) for info in rescued), *((info, False) for info in find_reviews(root)[:_MOST])]
    return [(info, _unsaved(info.folder), other) for info, other in infos[:_MOST]]


def _line(info: ReviewInfo, rescued: bool) -> str:
    total = sum(info.counts.values())
    done = total - info.counts.get("unreviewed", 0)
    kept = "Kept here because its own place could not be written. " if rescued else ""
    return f"{kept}{done} of {total} structures decided. Saved {when(info.when)}"


def _unsaved(folder: Path) -> bool:
    try:
        return needs_recovery(folder)
    except UserError:
        return False
