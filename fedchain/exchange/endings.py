"""Errors that end a job's waits. They name parties, so they are made when they are raised."""

from __future__ import annotations

from collections.abc import Callable

from fedchain.chain.deadline_events import JobExpired
from fedchain.chain.events import JobAborted, RequestClosed, UplinkJudged
from fedchain.errors import (
    FedchainError,
    JobAbortedError,
    JobExpiredError,
    ProtocolViolationError,
    UplinkRejectedError,
)
from fedchain.exchange.directory import Directory
from fedchain.exchange.slot import describe
from fedchain.messages import Envelope
from fedchain.types import JobId, Reason

MakeError = Callable[[], FedchainError]


class Endings:
    """Makes them.

    Args:
        job_id: the job.
        directory: for names.
    """

    def __init__(self, job_id: JobId, directory: Directory) -> None:
        self._job_id = job_id
        self._directory = directory

    def rejection(self, event: UplinkJudged) -> MakeError:
        """An uplink was rejected."""
        reason = Reason(event.reason).name
        return lambda: UplinkRejectedError(self._directory.name_of(event.sender), describe(event.envelope), reason)

    def abortion(self, event: JobAborted) -> MakeError:
        """A party ended the job."""
        return lambda: JobAbortedError(
            f"job {self._job_id} was aborted by party '{self._directory.name_of(event.by)}': {event.reason!r}"
        )

    def expiry(self, event: JobExpired, missing: tuple[str, ...]) -> MakeError:
        """The job expired; `missing` are those whom its deadline passed without."""

        def error() -> FedchainError:
            names = ", ".join(map(self._directory.name_of, missing))
            why = f"its deadline passed without {names}" if names else "its time was over, or a party of it suspended"
            return JobExpiredError(f"job {self._job_id} expired: {why}; ended by '{self._directory.name_of(event.by)}'")

        return error

    def closing(self, event: RequestClosed) -> MakeError:
        """An inference request was closed."""
        return lambda: JobAbortedError(
            f"inference request {event.request_id} of job {self._job_id} was closed by party "
            f"'{self._directory.name_of(event.by)}'"
        )

    def equivocation(self, sender: str, envelope: Envelope) -> ProtocolViolationError:
        """A sender has shown two digests for one slot."""
        return ProtocolViolationError(
            self._directory.name_of(sender), f"two digests in one slot ({describe(envelope)})"
        )

    def mismatch(self, sender: str, envelope: Envelope) -> ProtocolViolationError:
        """A payload is not its digest's."""
        name = self._directory.name_of(sender)
        return ProtocolViolationError(name, f"payload does not match its digest ({describe(envelope)})")
