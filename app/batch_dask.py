"""Tasks on a Dask cluster: whoever runs its scheduler and workers; they see the same folders as this computer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from contourdesk import __version__
from contourdesk.app.errors import UserError
from contourdesk.app.itself import how_to_get

log = logging.getLogger(__name__)

Task = TypeVar("Task")
Result = TypeVar("Result")

_WAIT_S = 20
LOST = "The workers that had it died, again and again; there may be too little memory for it."


def run_on_cluster(
    function: Callable[[Task], Result], tasks: Sequence[Task], address: str
) -> Iterator[tuple[int, Result | str]]:
    """Do the tasks on a cluster and give the number of each with its result as they end.

    The scheduler gives the task of a worker that died to another; after a few deaths (its setting ``allowed-failures``)
    the task's result is a sentence that says so. When the iterator is closed, or Ctrl+C comes, what is left is
    cancelled.

    Raises
    ------
    UserError : Dask is not installed, no scheduler answers at `address` (any more), or its workers lack this program.
    """
    try:
        from dask.distributed import Client, as_completed
    except ImportError as error:
        raise UserError("Dask is not installed.", f"{how_to_get('dask')} Or leave --scheduler out.") from error
    try:
        client = Client(address, timeout=_WAIT_S, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise UserError(
            f"No Dask scheduler answers at {address}.", "Start one with: dask scheduler, and give its address."
        ) from error
    with client:
        _check(client)
        futures = [client.submit(function, task, pure=False) for task in tasks]
        numbers = {future.key: number for number, future in enumerate(futures)}
        try:
            with client.as_current():
                ended = as_completed(futures, raise_errors=False)
            for future in ended:
                yield numbers[future.key], _result(future)
        finally:
            client.cancel([future for future in futures if not future.done()])


def _check(client: Any) -> None:
    """See that the workers have this program, of this version. Raises UserError."""
    try:
        client.wait_for_workers(1, timeout=_WAIT_S)
        versions = set(client.run(_version).values())
    except TimeoutError as error:
        raise UserError("The Dask cluster has no workers.", "Start some: dask worker ADDRESS --nthreads 1.") from error
    except (ImportError, AttributeError) as error:
        raise UserError(
            "The workers of the Dask cluster don't have Contourdesk.", "Install it in their environment too."
        ) from error
    if versions != {__version__}:
        raise UserError(
            f"The cluster's workers have Contourdesk {', '.join(sorted(versions))}, here it is {__version__}.",
            "Install the same version everywhere.",
        )


def _version() -> str:
    """Asked of each worker."""
    return __version__


def _result(future: Any) -> Any:
    from dask.distributed import KilledWorker

    if future.status == "finished":
        return future.result()
    if future.status in ("cancelled", "lost"):
        raise UserError(
            "The Dask scheduler has gone, or the work was cancelled there.",
            "What is done is kept; the same command goes on.",
        )
    error = future.exception()
    if isinstance(error, KilledWorker):
        return LOST
    log.warning("a task failed on the cluster: %s", type(error).__name__)
    return f"The cluster could not run it ({type(error).__name__})."
