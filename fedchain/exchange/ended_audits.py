"""The audit of a job that has ended early is brought to its end all the same: nobody escapes a verdict by ending a job.

The contract lets an audit go on once the losses are posted, whatever becomes of the job. So each party reveals what it
still can; where the active party ended the job after that, through no fault of another in the evaluation, and nothing
that it opened was examined, a passive party's vote is that it opened nothing; and when all have voted, or the windows
are over, somebody concludes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace

import structlog

from fedchain.chain import Audits, combined_seed
from fedchain.errors import ChainError, ChainUnreachableError
from fedchain.exchange.inbox import Inbox
from fedchain.exchange.waits import THE_CHAIN, Wait
from fedchain.protocol.audits import AuditState
from fedchain.types import AuditReason, JobId, PartyId

log = structlog.get_logger(__name__)

SLACK_SECONDS = 5.0
"""The chain's clock may be a little behind this machine's."""
TURN_SECONDS = 3.0
"""Who concludes an audit: each party of the roster leaves the one before it this long."""

_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 10.0
_MARGIN_SECONDS = 120.0
"""After the last window: for outages, and for everybody's turn."""


class EndedAudit:
    """One party's part in it.

    Args:
        audits: the contract.
        inbox: of the job; it is being read.
        me: this party's name.
        parties: name → address in roster order, the active party first.
        seed: what this party has frozen; empty where it does not know it any more.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        audits: Audits,
        inbox: Inbox,
        *,
        me: PartyId,
        parties: Mapping[PartyId, str],
        seed: bytes,
        clock: Callable[[], float],
    ) -> None:
        self._audits, self._inbox, self._job_id = audits, inbox, inbox.job_id
        self._names, self._active, self._place = tuple(parties), next(iter(parties.values())), list(parties).index(me)
        self._seed, self._clock = seed, clock
        self._turn: float | None = None
        self._told: set[str] = set()

    def run(self) -> None:
        """Do what there is to do, until the audit is concluded or its windows are long over; through outages.

        Raises:
            StoppingError: this node stops, or whatever else ended the reading of the chain.
        """
        state: AuditState | None = None
        limit, pause = time.monotonic() + _MARGIN_SECONDS, _FIRST_PAUSE_SECONDS
        is_known = False
        with ExitStack() as entered:
            wait: Wait | None = None
            while True:
                try:
                    state = self._step()
                    if state is None:
                        return
                except ChainUnreachableError as error:
                    self._tell(str(error))
                if state is not None and not is_known:
                    is_known, limit = True, limit + max(0.0, self._last_second(state) - self._clock())
                if time.monotonic() >= limit:
                    log.warning("the audit of a job that has ended is not concluded", job=self._job_id)
                    return
                if wait is None:
                    wait = entered.enter_context(
                        self._inbox.waits.on(
                            self._awaited(state),
                            "audit_step",
                            "end of the audit of a job that has ended",
                            limit,
                            job_id=self._job_id,
                        )
                    )
                wait.who = self._awaited(state)
                self._inbox.pause(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)

    def _step(self) -> AuditState | None:
        """Look, and do what is this party's; None once there is nothing left to do."""
        state = self._audits.state(self._job_id)
        if state is None or not state.losses_root or state.outcome:
            return None
        if self._seed and not state.seeds[self._place] and self._clock() <= state.deadline:
            self._try("revealing the seed", lambda: self._audits.reveal(self._job_id, self._seed))
            state = self._audits.state(self._job_id) or state
        has_voted = False
        if self._must_vote(state):
            has_voted = self._try(
                "voting that nothing was opened", lambda: self._audits.vote(self._job_id, False, AuditReason.ABSENT)
            )
            state = self._audits.state(self._job_id) or state
        if state.all_voted or self._clock() > state.deadline + SLACK_SECONDS:
            now = time.monotonic()
            if self._turn is None:
                self._turn = now if has_voted else now + TURN_SECONDS * self._place
            if now >= self._turn:
                self._turn = now + _LONGEST_PAUSE_SECONDS  # once more, where it is refused
                if self._try("concluding the audit", lambda: self._audits.conclude(self._job_id)):
                    return None
        return state

    def _must_vote(self, state: AuditState) -> bool:
        inbox = self._inbox
        is_by_active = inbox.phase.is_over and inbox.aborted_by == self._active and not inbox.rejected - {self._active}
        is_drawn = bool(drawn(self._job_id, state, self._clock()).seed)
        return is_by_active and is_drawn and self._place > 0 and not state.votes[self._place]

    def _last_second(self, state: AuditState) -> float:
        """Of the votes' window, by the chain's clock, as late as it can still become."""
        return state.deadline + state.terms.window_seconds + SLACK_SECONDS

    def _awaited(self, state: AuditState | None) -> tuple[str, ...]:
        """Who has still to reveal, or else to vote."""
        if state is None:
            return (THE_CHAIN,)
        done = state.votes if drawn(self._job_id, state, self._clock()).seed else state.seeds
        missing = tuple(name for name, one in zip(self._names, done, strict=True) if not one)
        return tuple(name for name in missing if done is state.seeds or name != self._names[0]) or (THE_CHAIN,)

    def _try(self, what: str, act: Callable[[], object]) -> bool:
        """Whether the contract took it. What it refuses, somebody else has done, or it is too late or too early for."""
        try:
            act()
        except ChainUnreachableError:
            raise
        except ChainError as error:
            self._tell(f"{what}: {error}")
            return False
        log.info("a step in the audit of a job that has ended", job=self._job_id, step=what)
        return True

    def _tell(self, reason: str) -> None:
        if reason not in self._told and len(self._told) < 100:
            self._told.add(reason)
            log.info("a step in the audit of a job that has ended is not done", job=self._job_id, reason=reason)


def drawn(job_id: JobId, state: AuditState, now: float) -> AuditState:
    """With the seed, once nobody can reveal any more: a chain without new blocks does not know what time it is.

    The active party and at least one other must have revealed: one alone would have chosen what is drawn.

    Args:
        job_id: the job.
        state: as the chain shows it.
        now: seconds since 1970.
    """
    is_over = now > state.deadline + SLACK_SECONDS
    if state.seed or state.outcome or not state.losses_root or not is_over:
        return state
    if not state.seeds[0] or not any(state.seeds[1:]):
        return state
    return replace(state, seed=combined_seed(job_id, state.losses_root, state.seeds))
