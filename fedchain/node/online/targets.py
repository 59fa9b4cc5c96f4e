"""Which job a request is for: its id, or a model's name for its version in use. Cached, for the hot path."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from fedchain.chain import Consortium
from fedchain.chain.events import ChainEvent, ModelActivated, ModelFrozen, ModelRolledBack
from fedchain.node.modelstate import ModelUse, is_model_name, job_in_use, read_use
from fedchain.types import JobId

FRESH_SECONDS = 5.0
"""What was read longer ago is read again, should no event have told of a change."""

_CHANGES = (ModelActivated, ModelFrozen, ModelRolledBack)
_MAX_KEPT = 1024


class Targets:
    """Resolves targets; thread-safe. A change counts from the block on in which it was read.

    Args:
        consortium: for reading.
        on_change: called, quickly, when another version of some model comes into use.
        clock: seconds; for tests.
    """

    def __init__(
        self,
        consortium: Consortium,
        on_change: Callable[[], None] = lambda: None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consortium = consortium
        self._on_change = on_change
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, JobId, ModelUse | None]] = {}
        self._changes = 0

    def resolve(self, target: str) -> tuple[JobId, ModelUse | None]:
        """The job that a target stands for, and as what its model is registered.

        Raises:
            ConfigError: a name of which no version is in use.
            UnknownModelError: no such model.
            ChainError: the registry cannot be read.
        """
        now = self._clock()
        with self._lock:
            known, changes = self._known.get(target), self._changes
        if known is not None and now - known[0] <= FRESH_SECONDS:
            return known[1], known[2]
        job_id = job_in_use(self._consortium, target) if is_model_name(target) else JobId(target.lower())
        use = read_use(self._consortium, job_id)
        with self._lock:
            if changes == self._changes:  # else it may have been read before the change
                if len(self._known) >= _MAX_KEPT:
                    self._known.clear()
                self._known[target] = (now, job_id, use)
        return job_id, use

    def observe(self, event: ChainEvent) -> None:
        """Take note of an event of the registry."""
        if isinstance(event, _CHANGES):
            with self._lock:
                self._changes += 1
                self._known.clear()
            self._on_change()
