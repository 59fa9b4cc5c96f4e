"""Keeps the contract's deadlines of this node's jobs: says that it waits, closes what is overdue, ends what stays so.

While this node waits for somebody in a job:

1. once it has waited longer than it usually does, and half of the time that the contract gives is gone, or in the last
   quarter of it however short its wait, it attends: the chain then knows that it is not the one who is missing, and
   reports nothing that it sends late;
2. once the deadline is over, it closes the round, or marks who is missing in another phase;
3. once as much time again is over, or as soon as the job's policy says because of a suspension, it ends the job.

Every node that waits does so, one after the other in the order of the roster, so that no one of them is needed. Source:
`JobManager` in `contracts/src`.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import structlog

from fedchain.chain import Consortium
from fedchain.chain.overdue import Step, step_due, take_step
from fedchain.chain.views import JobView
from fedchain.errors import ChainError, TransactionError
from fedchain.exchange.inbox import Inbox
from fedchain.exchange.waits import SOFT_FLOOR_SECONDS, Wait, Waits
from fedchain.types import JobId, Phase

log = structlog.get_logger(__name__)

_TURN_SECONDS = 2.0
"""After a deadline each party of the roster leaves the one before it this long."""

_AGAIN_SECONDS = 5.0
"""After a step that the chain refused, or while a suspension may end a job, the chain is asked again after this."""


@dataclass
class _Watched:
    """A job as it was read last. `place`: phase, round, attempt; `ask_at`: not before, `time.monotonic()` seconds."""

    place: tuple[Phase, int, int]
    view: JobView
    attended: bool = False
    ask_at: float = 0.0


class DeadlineKeeper:
    """One per node.

    Args:
        consortium: with a sender.
        waits: what this node waits for.
        inbox: of a job, None if there is none.
        me: this node's address.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        consortium: Consortium,
        waits: Waits,
        inbox: Callable[[JobId], Inbox | None],
        *,
        me: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._consortium = consortium
        self._waits = waits
        self._inbox = inbox
        self._me = me
        self._clock = clock
        self._watched: dict[JobId, _Watched] = {}
        self._is_looking = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="deadlines")

    def look_later(self) -> None:
        """Look at all deadlines, in a thread of its own, unless that is being done; returns at once."""
        if self._is_looking or self._consortium.sender is None:
            return
        self._is_looking = True
        with contextlib.suppress(RuntimeError):  # closing
            self._thread.submit(self._look)

    def close(self) -> None:
        """Stop looking."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def forget(self, job_id: JobId) -> None:
        """A job has ended."""
        self._watched.pop(job_id, None)

    def _look(self) -> None:
        try:
            self.look()
        except Exception as error:
            log.error("looking at deadlines failed", error=str(error), exc_info=True)
        finally:
            self._is_looking = False

    def look(self) -> None:
        """Look at the deadline of each job that this node waits in."""
        lasting: dict[JobId, list[Wait]] = {}
        for wait in self._waits.current():
            if wait.job_id and wait.is_for_parties:
                lasting.setdefault(JobId(wait.job_id), []).append(wait)
        for job_id, waits in lasting.items():
            inbox = self._inbox(job_id)
            if inbox is None or inbox.phase.is_over:
                continue
            try:
                self._keep(inbox, any(map(_is_long, waits)))
            except TransactionError as error:
                self._ask_later(job_id)
                log.info("a deadline's step was refused", job=job_id, error=str(error))
            except ChainError as error:
                self._ask_later(job_id)
                log.debug("a deadline could not be looked at", job=job_id, error=str(error))

    def _keep(self, inbox: Inbox, is_long: bool) -> None:
        job_id, place = inbox.job_id, inbox.place
        watched = self._watched.get(job_id)
        if watched is not None and watched.place != place and not is_long and self._is_far(watched.view, inbox):
            return
        if watched is None or watched.place != place:
            watched = _Watched(place, self._consortium.job(job_id))
            self._watched[job_id] = watched
        view, now = watched.view, self._clock()
        if time.monotonic() < watched.ask_at or not view.deadline:
            return
        seconds = view.expires_after - view.deadline
        if now <= view.deadline:
            left = seconds / 2 if is_long else seconds / 4
            if not watched.attended and now > view.deadline - left:
                watched.attended = True
                self._attend(view)
            if not is_long or not view.policy.ends_on_suspension:
                return
            watched.ask_at = time.monotonic() + _AGAIN_SECONDS
        elif not is_long or now <= view.deadline + _TURN_SECONDS * view.roster.index(self._me) + 1:
            return  # the block's time may be a little behind, and another's turn may come first
        watched.view = view = self._consortium.job(job_id)
        step = step_due(self._consortium, view)
        if step is Step.NOTHING:
            watched.ask_at = time.monotonic() + _AGAIN_SECONDS
            return
        log.warning(
            "a deadline of the job is over", job=job_id, phase=view.phase.name, round=view.round, step=step.value
        )
        take_step(self._consortium, view, step)
        watched.view = self._consortium.job(job_id)

    def _is_far(self, earlier: JobView, inbox: Inbox) -> bool:
        """Whether nothing is due: deadlines of rounds only move on, so an earlier one's is a bound for this one's."""
        both_train = earlier.phase is Phase.TRAINING and inbox.phase is Phase.TRAINING
        return both_train and self._clock() <= earlier.deadline - (earlier.expires_after - earlier.deadline) / 2

    def _attend(self, view: JobView) -> None:
        """Also where its uplinks show that it is there: it may have others to send, and be kept waiting with them."""
        if not self._consortium.has_attended(view.job_id, self._me):
            self._consortium.attend(view.job_id)
            log.info("said on the chain that this party waits", job=view.job_id, phase=view.phase.name)

    def _ask_later(self, job_id: JobId) -> None:
        watched = self._watched.get(job_id)
        if watched is not None:
            watched.ask_at = time.monotonic() + _AGAIN_SECONDS


def _is_long(wait: Wait) -> bool:
    return wait.is_late or (wait.soft_seconds is None and wait.seconds() > SOFT_FLOOR_SECONDS)
