"""Settling jobs' contributions: the active party's node does it by itself once a job is completed.

What it owes is on disk before it tries, so that neither a chain that is away, nor an account without gas, nor a restart
loses a settlement: it is tried again, after pauses that double, until it is settled or was tried too often. The next
start begins anew. Anybody may settle meanwhile, which ends it as well.
"""

from __future__ import annotations

import threading
import time
from contextlib import AbstractContextManager
from pathlib import Path

import structlog
from structlog.contextvars import bound_contextvars

from fedchain.chain import Consortium
from fedchain.errors import ChainError, FedchainError, TransactionError
from fedchain.exchange.waits import THE_CHAIN, Wait, Waits
from fedchain.federation.spec import JobSpec
from fedchain.node.owed import MOST_TRIES, Owed, forget, keep, owed_jobs
from fedchain.types import JobId

log = structlog.get_logger(__name__)

FIRST_PAUSE_SECONDS = 15.0
_LONGEST_PAUSE_SECONDS = 3600.0
_LOOK_SECONDS = 1.0
_STOP_SECONDS = 5.0
_FOR_GOOD = ("NothingToSettle(", "UnknownJob(")
"""What the contract says where no other try can succeed."""


def settle(consortium: Consortium, job_id: JobId) -> None:
    """Settle a completed job, unless that is done.

    Raises:
        ChainError: it is not settled.
    """
    if consortium.settlements.settlement(job_id) is not None:
        return
    try:
        consortium.settlements.settle(job_id)
    except TransactionError as error:
        if not error.reason.startswith("AlreadySettled("):
            raise


class Settler:
    """One node's.

    Args:
        consortium: with a sender.
        folder: state folder of the node.
        me: the node's name.
        waits: where settlements that are due are entered.
        first_pause: seconds before the second try.
    """

    def __init__(
        self,
        consortium: Consortium,
        *,
        folder: Path,
        me: str,
        waits: Waits,
        first_pause: float = FIRST_PAUSE_SECONDS,
    ) -> None:
        self._consortium, self._folder, self._me, self._waits = consortium, folder, me, waits
        self._first_pause = first_pause
        self._lock = threading.Lock()
        self._owed: dict[JobId, Owed] = {}
        self._due: dict[JobId, float] = {}
        self._trying: set[JobId] = set()
        self._shown: dict[JobId, tuple[AbstractContextManager[Wait], Wait]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="settler", daemon=True)

    def start(self) -> None:
        """Begin to settle what is owed; what an earlier process gave up is tried anew."""
        for job_id in owed_jobs(self._folder):
            self._enter(job_id)
        self._thread.start()

    def close(self) -> None:
        """Stop; what is owed then is settled after the next start."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)
        with self._lock:
            for job_id in list(self._shown):
                self._show_no_more(job_id)

    def owe(self, job_id: JobId, spec: JobSpec) -> bool:
        """Remember that a completed job is to be settled; whether it is, and by this party.

        Raises:
            OSError: it cannot be written.
        """
        if not spec.contribution.budget or self._me != spec.active.name:
            return False
        keep(self._folder, job_id, Owed())
        self._enter(job_id)
        return True

    def settle(self, job_id: JobId) -> None:
        """Try now what `owe` has remembered; if that fails, it is tried again later."""
        with self._lock:
            owed = self._owed.get(job_id)
            if owed is None or job_id in self._trying:
                return
            self._trying.add(job_id)
        try:
            with bound_contextvars(job=job_id):
                after = self._try(job_id, owed)
            with self._lock:
                self._note(job_id, after)
        finally:
            self._trying.discard(job_id)

    def _enter(self, job_id: JobId) -> None:
        with self._lock:
            self._owed.setdefault(job_id, Owed())
            self._due.setdefault(job_id, time.monotonic())

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_SECONDS):
            with self._lock:
                now = time.monotonic()
                due = [job_id for job_id, at in self._due.items() if at <= now]
            for job_id in due:
                if self._stop.is_set():
                    return
                try:
                    self.settle(job_id)
                except FedchainError as error:
                    log.info("settling pauses", job=job_id, reason=str(error))

    def _try(self, job_id: JobId, owed: Owed) -> Owed | None:
        """What is owed afterwards."""
        try:
            settle(self._consortium, job_id)
        except ChainError as error:
            for_good = isinstance(error, TransactionError) and error.reason.startswith(_FOR_GOOD)
            return owed.failed(error, for_good=for_good)
        except FedchainError:  # this node stops
            raise
        except Exception as error:  # a defect must neither end the job nor the settling of others
            log.exception("settling is defective; please report it")
            return owed.failed(error, for_good=True)
        return None

    def _note(self, job_id: JobId, owed: Owed | None) -> None:
        if owed is None:
            forget(self._folder, job_id)
            self._leave(job_id)
            log.info("contributions are settled", job=job_id)
            return
        try:
            keep(self._folder, job_id, owed)
        except OSError as error:
            log.warning("a failed settlement is not noted", job=job_id, error=str(error))
        if owed.is_given_up:
            self._leave(job_id)
            log.error(
                "contributions are not settled, and this node tries no more; mend the cause, then restart it or run "
                "`fedchain settlement settle`",
                job=job_id,
                reason=owed.reason,
            )
            return
        self._owed[job_id], pause = owed, self._pause(owed.tries)
        self._due[job_id] = time.monotonic() + pause
        log.warning(
            "contributions are not settled; this is tried again",
            job=job_id,
            tried=owed.tries,
            at_most=MOST_TRIES,
            in_seconds=round(pause, 1),
            reason=owed.reason,
        )
        self._show(job_id, owed)

    def _pause(self, tries: int) -> float:
        return min(self._first_pause * 2.0 ** (tries - 1), _LONGEST_PAUSE_SECONDS)

    def _leave(self, job_id: JobId) -> None:
        del self._owed[job_id], self._due[job_id]
        self._show_no_more(job_id)

    def _show(self, job_id: JobId, owed: Owed) -> None:
        """In `job watch --node`, `node status` and the metrics: as a wait, until it is over."""
        if job_id not in self._shown:
            until = time.monotonic() + sum(map(self._pause, range(owed.tries, MOST_TRIES)))
            entered = self._waits.on((THE_CHAIN,), "settling", owed.words, until, job_id=job_id)
            self._shown[job_id] = entered, entered.__enter__()
        self._shown[job_id][1].what = owed.words

    def _show_no_more(self, job_id: JobId) -> None:
        if job_id in self._shown:
            self._shown.pop(job_id)[0].__exit__(None, None, None)
