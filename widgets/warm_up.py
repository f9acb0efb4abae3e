"""What the first case needs and takes long to make is made in a thread while the start page is looked at."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

import pint
from pint.registry import LazyRegistry
from qtpy.QtCore import QObject

from contourdesk.app.jobs import Progress
from contourdesk.widgets.jobs import JobRunner
from contourdesk.widgets.language import tr
from contourdesk.widgets.turns import Turns

_REST_MS = 40


def _read_units() -> Generator[Progress, None, pint.UnitRegistry]:
    yield Progress(0, 1, tr("Reading the table of units"))
    return pint.UnitRegistry(on_redefinition="raise")


def _use(registry: pint.UnitRegistry) -> None:
    # Two tables of units don't mix: where layers were made meanwhile, the one that they came with stays.
    if isinstance(pint.application_registry.get(), LazyRegistry):
        pint.set_application_registry(registry)


def warm_up(parent: QObject, steps: Sequence[Callable[[], object]] = ()) -> Turns:
    """Read the units that napari gives its layers, then take `steps`, each when the window had time for the user.

    Units would stop the window for half a second with the first layer; `steps` are what only the main thread may do.

    Returns
    -------
    The steps, a child of `parent`, to be stopped when they are not wanted any more.
    """
    runner, turns = JobRunner(parent), Turns(parent, _REST_MS)
    runner.succeeded.connect(_use)
    runner.succeeded.connect(lambda _: turns.start(steps))
    runner.start(_read_units(), harmless=True)
    return turns
