"""How long a node keeps payload files after their job has ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import structlog

if TYPE_CHECKING:
    from fedchain.exchange.store import PayloadStore

log = structlog.get_logger(__name__)

DAY_SECONDS = 86_400.0
_SWEEP_EVERY_SECONDS = 3600.0


@dataclass(frozen=True)
class Retention:
    """What happens to payloads whose job has ended.

    Attributes:
        seconds: how long they stay: 0 to delete them at once, None for ever.
    """

    seconds: float | None = 0.0

    @classmethod
    def of(cls, keep: Literal["job", "forever"] | int) -> Retention:
        """From `[state] keep_payloads`: "job" (until its end), "forever", or a number of days after its end."""
        if keep == "forever":
            return cls(None)
        return cls(0.0 if keep == "job" else float(keep) * DAY_SECONDS)

    def is_over(self, ended: float, now: float) -> bool:
        """Whether payloads of a job that ended at `ended` (seconds since 1970) may go at `now`."""
        return self.seconds is not None and now >= ended + self.seconds


class Sweeper:
    """A thread that deletes, once an hour, what retention allows to delete.

    Args:
        stores: to sweep.
        every_seconds: pause between sweeps; the first one is at once.
    """

    def __init__(self, stores: Sequence[PayloadStore], *, every_seconds: float = _SWEEP_EVERY_SECONDS) -> None:
        self._stores = tuple(stores)
        self._every_seconds = every_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="payload-sweeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop."""
        self._stop.set()
        self._thread.join(5.0)

    def _run(self) -> None:
        while True:
            for store in self._stores:
                try:
                    swept = store.sweep(time.time())
                except OSError as error:
                    log.error("old payloads could not be deleted", folder=str(store.folder), error=str(error))
                else:
                    if swept:
                        log.info("payloads of ended jobs deleted", folder=str(store.folder), payloads=swept)
            if self._stop.wait(self._every_seconds):
                return
