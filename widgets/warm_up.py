"""What the first case needs and takes long to make is made in a thread while the start page is looked at."""

from __future__ import annotations

from collections.abc import Generator

import pint
from pint.registry import LazyRegistry
from qtpy.QtCore import QObject

from contourdesk.app.jobs import Progress
from contourdesk.widgets.jobs import JobRunner


def _read_units() -> Generator[Progress, None, pint.UnitRegistry]:
    yield Progress(0, 1, "Reading the table of units")
    return pint.UnitRegistry(on_redefinition="raise")


def _use(registry: pint.UnitRegistry) -> None:
    # Two tables of units don't mix: where layers were made meanwhile, the one that they came with stays.
    if isinstance(pint.application_registry.get(), LazyRegistry):
        pint.set_application_registry(registry)


def warm_up(parent: QObject) -> JobRunner:
    """Read the units that napari gives its layers. With the first layer they would stop the window for half a second.

    Returns
    -------
    What runs it, a child of `parent`.
    """
    runner = JobRunner(parent)
    runner.succeeded.connect(_use)
    runner.start(_read_units(), harmless=True)
    return runner
