"""Batches made ahead by threads, so that a GPU needn't wait for them."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

from contourdesk.inference.sampling import PatchSampler
from contourdesk.inference.train_slices import SliceSampler

_MOST_WORKERS = 8


class Batches:
    """The batches of a sampler by step, made in `workers` threads ahead; 0: when they are asked for.

    A batch depends on its step alone, so it is the same either way.
    """

    def __init__(self, sampler: PatchSampler | SliceSampler, workers: int) -> None:
        self.sampler = sampler
        self._ahead = min(workers, _MOST_WORKERS)
        self._pool = ThreadPoolExecutor(self._ahead) if self._ahead else None
        self._coming: dict[int, Future[tuple[Tensor, ...]]] = {}

    def take(self, step: int) -> tuple[Tensor, ...]:
        """The batch of a step."""
        if self._pool is None:
            return self.sampler.batch(step)
        for one in range(step, step + 1 + self._ahead):
            if one not in self._coming:
                self._coming[one] = self._pool.submit(self.sampler.batch, one)
        return self._coming.pop(step).result()

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._coming = {}
