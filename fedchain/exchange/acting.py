"""What one party does on the chain in one job: each thing once, through outages, reorganisations and restarts."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TypeVar

from fedchain.chain import Consortium
from fedchain.chain.views import JobView, RequestStatus
from fedchain.errors import ChainError, DeadlineError, JobAbortedError, TransactionError
from fedchain.exchange.inbox import Inbox
from fedchain.exchange.outages import poll, through_outages
from fedchain.exchange.waits import THE_CHAIN
from fedchain.types import Phase

T = TypeVar("T")

_CATCH_UP_SECONDS = 5.0
_BEHIND_PAUSE_SECONDS = 0.2


class JobActor:
    """Base of a party's channels.

    Args:
        consortium: with this party's sender.
        inbox: of the job.
        deadline_seconds: how long each wait may take.
        request_id: the inference request that this is for, None for the job itself.
        resumed: whether this party was at it before a restart: what it has done on chain is not done again.

    Attributes:
        round, attempt: in force.
    """

    def __init__(
        self, consortium: Consortium, inbox: Inbox, *, deadline_seconds: float, request_id: int | None, resumed: bool
    ) -> None:
        self.job_id, self.inbox = inbox.job_id, inbox
        self.request_id, self.resumed = request_id, resumed
        self.round, self.attempt = 0 if request_id is None else request_id, 0
        self._consortium, self._deadline_seconds = consortium, deadline_seconds
        self._reached = Phase.NONE

    def _tell(self) -> None:
        """Something of this party is on the chain."""

    def _transact(self, what: str, act: Callable[[], object], done: Callable[[], bool]) -> None:
        self.inbox.raise_if_failed(self.round)

        def once() -> bool:
            if not (self.resumed and done()):
                act()
            return True

        deadline = self._deadline()
        while True:
            try:
                self._through_outages(once, lambda: True if done() else None, deadline, what)
                self._tell()
                return
            except TransactionError:
                self._raise_what_came_first()
                job = self._read(lambda: self._consortium.job(self.job_id), f"looking whether {what} is due", deadline)
                if not self._is_behind(job) or not self._wait_restored(deadline):
                    raise

    def _not_aborted(self) -> None:
        """Raise what ended the job, if anything did: an uplink to an aborted job would be a strike for its sender.

        The inbox lags behind the chain by a fraction of a second while this party computes, so the chain is asked too.
        An uplink to a round that a reorganisation took back would be a strike as well: wait until it is there again.
        """
        self.inbox.raise_if_failed(self.round)
        deadline = self._deadline()
        if self.request_id is not None:
            self._require_open(self.request_id, deadline)
        elif not self._wait_restored(deadline):
            raise DeadlineError(f"job {self.job_id}: the chain took round {self.round} back and has it no more")

    def _wait_restored(self, deadline: float) -> bool:
        """Wait until the chain has what this party has acted upon; False if it has not in time.

        Raises:
            JobAbortedError, and what else ended the job: see `Inbox.raise_if_failed`.
        """

        def restored() -> bool | None:
            self.inbox.raise_if_failed(self.round)
            job = self._read(lambda: self._consortium.job(self.job_id), "looking at the job's phase", deadline)
            if job.phase in (Phase.ABORTED, Phase.EXPIRED):
                self._raise_what_came_first()
                raise JobAbortedError(f"job {self.job_id} was {job.phase.name.lower()}")
            return None if self._is_behind(job) else True

        found = poll(
            restored,
            deadline,
            _BEHIND_PAUSE_SECONDS,
            waits=self.inbox.waits,
            who=(THE_CHAIN,),
            about="restored",
            what=f"round {self.round}, which the chain took back",
            job_id=self.job_id,
        )
        return found is not None

    def _is_behind(self, job: JobView) -> bool:
        """Whether the chain took back what this party has acted upon; it is put back by those whose it was."""
        return self.request_id is None and (job.phase < self._reached or job.round < self.round)

    def _require_open(self, request_id: int, deadline: float) -> None:
        request = self._read(
            lambda: self._consortium.request(self.job_id, request_id), "looking at the request", deadline
        )
        if request.status != RequestStatus.OPEN:
            self._raise_what_came_first()
            raise JobAbortedError(f"inference request {request_id} of job {self.job_id} was closed")

    def _raise_what_came_first(self) -> None:
        """After a refusal: read up to the head, and raise what ended the job before this party's own call."""
        with contextlib.suppress(ChainError):
            head = self._consortium.client.head()
            self.inbox.wait_height(head, time.monotonic() + _CATCH_UP_SECONDS)
        self.inbox.raise_if_failed(self.round)

    def _through_outages(self, act: Callable[[], T], done: Callable[[], T | None], deadline: float, what: str) -> T:
        return through_outages(act, done, deadline, what, waits=self.inbox.waits, job_id=self.job_id)

    def _read(self, look: Callable[[], T], what: str, deadline: float | None = None) -> T:
        """Read the chain, also through an outage of its node."""
        return self._through_outages(look, lambda: None, self._deadline() if deadline is None else deadline, what)

    def _deadline(self) -> float:
        return time.monotonic() + self._deadline_seconds
