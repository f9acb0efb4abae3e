"""What belongs to looking round the images: the bars above and below them, statistics of a structure, jumps."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal

from contourdesk.app.jobs import Job, Progress
from contourdesk.app.measuring import Measurement, structure
from contourdesk.app.review import ReviewSession
from contourdesk.app.settings import Settings
from contourdesk.app.structures import Mask
from contourdesk.app.volume import Volume
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.measure_bar import MeasureBar
from contourdesk.widgets.ortho_view import OrthoView
from contourdesk.widgets.structure_table import StructureTable
from contourdesk.widgets.version_bar import VersionBar
from contourdesk.widgets.view_layouts import Arrangement


class Looking(QObject):
    """Bars and commands of looking; `said` carries a text for the status bar, `failed` an exception."""

    said = Signal(str)
    failed = Signal(object)

    def __init__(
        self, view: OrthoView, table: StructureTable, settings: Settings, parent: QObject | None = None
    ) -> None:
        super().__init__(parent)
        self._view = view
        self._session: ReviewSession | None = None
        self.versions = VersionBar(view)
        self.measures = MeasureBar(view.marks.measurements)
        self.measures.chosen.connect(self._go_to)
        self.runner = JobRunner(self)
        self.runner.succeeded.connect(self._on_measured)
        self.runner.failed.connect(self.failed)
        table.jump_wanted.connect(self.jump)
        view.layouts.arrange(Arrangement.from_text(settings.view_layout, view.layouts.names))

    def set_session(self, session: ReviewSession | None) -> None:
        """Follow another session."""
        self.runner.cancel()
        self._session = session
        self.versions.set_session(session)

    def jump(self, structure_id: str, where: str) -> None:
        """Go to a structure's "centre", or its "first" or "last" slice in the plane that the mouse was in last."""
        if where == "centre":
            self._view.centre_on(structure_id)
        else:
            self._view.go_to_end(structure_id, last=where == "last")

    def measure_structure(self) -> None:
        """Add the statistics of the active structure to the measurements."""
        session, active = self._session, self._view.active
        if session is None or active is None or self.runner.running:
            return
        chosen = session.structures.get(active)
        self.runner.start(_measured(session.case.volume, chosen.name, chosen.mask), harmless=True)

    def _on_measured(self, made: Measurement | None) -> None:
        if made is None:
            self.said.emit(tr("The structure is empty: there is nothing to measure."))
        elif self._session is not None:
            self._view.marks.measurements.add(made)

    def _go_to(self, made: Measurement) -> None:
        if made.points and self._session is not None:
            middle = [sum(p[a] for p in made.points) / len(made.points) for a in range(3)]
            self._view.go_to(self._session.structures.grid.to_world(middle))


def _measured(volume: Volume, name: str, mask: Mask) -> Job[Measurement | None]:
    yield Progress(0, 1, tr("Measuring"))
    return structure(volume, name, mask)
