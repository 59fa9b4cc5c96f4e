"""A party's steps in an audit of contributions, over the chain: each once, also after a restart.

Windows are the contract's, by the chain's clock. Where one is over, whoever waits goes on without what did not come:
that is what the contract does as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Protocol

import structlog

from fedchain.chain import Audits, combined_seed, seed_commitment
from fedchain.errors import ChainError, DeadlineError, TrainingError, TransactionError
from fedchain.exchange.inbox import Inbox
from fedchain.exchange.publisher import through_outages
from fedchain.protocol.actions import AuditStage, CommitLabels, Freeze, PostLosses, RevealSeed, Vote
from fedchain.protocol.audits import AuditState
from fedchain.types import AuditReason, PartyId

log = structlog.get_logger(__name__)

_TIMED: tuple[AuditStage, ...] = ("posted", "seeded", "voted")
_SLACK_SECONDS = 5.0
"""The chain's clock may be a little behind this machine's."""
_TURN_SECONDS = 3.0
"""Who concludes an audit: each party of the roster leaves the one before it this long."""
_PAUSE_SECONDS = 1.0
_FALSE = 2
"""A vote: then whoever is first concludes, so that nobody has time to end the job before."""
_TOO_LATE = ("DeadlineOver(", "AlreadyConcluded(")


class Transact(Protocol):
    """Sends a transaction once, also through outages and after a restart: what it does, how, whether it is done."""

    def __call__(self, what: str, act: Callable[[], object], done: Callable[[], bool], /) -> None: ...


class JobAudit:
    """One party's part in the audit of one job, used by the job's thread.

    Args:
        audits: the contract.
        inbox: of the job.
        me: this party's name.
        parties: name → address in roster order, the active party first.
        transact: see `Transact`; raises TransactionError where the contract refuses.
        deadline_of: until when to wait for parties, in `time.monotonic()` seconds.
        round: the round in force.
        clock: seconds since 1970.
    """

    def __init__(
        self,
        audits: Audits,
        inbox: Inbox,
        *,
        me: PartyId,
        parties: Mapping[PartyId, str],
        transact: Transact,
        deadline_of: Callable[..., float],
        round: Callable[[], int],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._audits, self._inbox, self._job_id = audits, inbox, inbox.job_id
        self._parties, self._address, self._place = parties, parties[me], list(parties).index(me)
        self._transact, self._deadline_of, self._round, self._clock = transact, deadline_of, round, clock
        self._seed = b""

    def commit_labels(self, action: CommitLabels) -> None:
        """Active party: see `CommitLabels`."""
        self._do(
            "committing to the labels",
            lambda: self._audits.commit_labels(self._job_id, action.terms),
            lambda state: True,
        )

    def freeze(self, action: Freeze) -> None:
        """See `Freeze`."""
        job_id, place, self._seed = self._job_id, self._place, action.seed
        commitment = seed_commitment(job_id, self._address, action.seed)
        self._do(
            "freezing the outputs",
            lambda: self._audits.freeze(job_id, action.outputs, action.shard, commitment),
            lambda state: bool(state.outputs[place]),
        )

    def post(self, action: PostLosses) -> None:
        """Active party: see `PostLosses`."""
        self._do(
            "posting the losses",
            lambda: self._audits.post(self._job_id, action.root, action.sums, action.weak),
            lambda state: bool(state.losses_root),
            may_be_late=True,
        )

    def reveal(self, action: RevealSeed) -> None:
        """See `RevealSeed`; a party that is too late is silent by the contract, and goes on."""
        place = self._place
        self._do(
            "revealing the seed",
            lambda: self._audits.reveal(self._job_id, action.seed),
            lambda state: bool(state.seeds[place]),
            may_be_late=True,
        )

    def vote(self, action: Vote) -> None:
        """Passive party: see `Vote`; one that is too late has not voted, and goes on."""
        place = self._place
        self._do(
            "voting on the audit",
            lambda: self._audits.vote(self._job_id, action.sound, AuditReason(action.reason)),
            lambda state: bool(state.votes[place]),
            may_be_late=True,
        )

    def wait(self, stage: AuditStage) -> AuditState:
        """See `AwaitAudit`.

        Raises:
            DeadlineError: labels or frozen outputs do not come in time; names from whom.
            JobAbortedError, UplinkRejectedError: see `Inbox.wait_audit`.
        """
        if stage not in _TIMED:
            self._inbox.wait_audit(stage, self._deadline_of(*self._parties), round=self._round())
            return self._known()
        self.wait("frozen")
        while True:
            state = self._known()
            until = state.deadline + (state.terms.window_seconds if stage == "voted" and not state.seed else 0)
            seconds = max(0.0, until - self._clock() + _SLACK_SECONDS)
            try:  # by the events, which are confirmed: nothing is revealed on what may still be taken back
                self._inbox.wait_audit(stage, time.monotonic() + seconds, round=self._round())
            except DeadlineError as error:
                log.warning("the audit goes on without what did not come", stage=stage, missing=error.who)
                return self._drawn(self._known())
            state = self._known()
            if _has_reached(state, stage) or state.outcome:
                return state
            time.sleep(_PAUSE_SECONDS)  # the chain's node is behind its own events

    def conclude(self) -> AuditState:
        """See `Conclude`: the active party does it, and after a while any other.

        Raises:
            DeadlineError: the contract still waits for something.
        """
        deadline = self._deadline_of(*self._parties)
        turn = time.monotonic() + _TURN_SECONDS * self._place
        while not (state := self._known()).outcome:
            if time.monotonic() >= turn or _FALSE in state.votes:
                try:
                    self._do(
                        "concluding the audit",
                        lambda: self._audits.conclude(self._job_id),
                        lambda found: bool(found.outcome),
                        may_be_late=True,
                    )
                    continue
                except TransactionError as error:
                    if not error.reason.startswith("NotConcludable(") or time.monotonic() >= deadline:
                        raise
            self._inbox.wait_concluded(time.monotonic() + _PAUSE_SECONDS, round=self._round())
        return state

    def end(self, seed: bytes = b"") -> None:
        """The job was given up, perhaps so that there be no verdict: do what is still to do. Raises nothing.

        Args:
            seed: this party's part of the audit's seed, where an earlier process has committed to it.

        Where the active party ended the job after the losses were posted, through no rejected uplink of another, and
        nothing that it opened was examined, the passive party's vote is that it opened nothing.
        """
        self._seed = self._seed or seed
        try:
            state = self._audits.state(self._job_id)
            if state is None or not state.losses_root or state.outcome:
                return
            if self._seed and not state.seeds[self._place] and self._clock() <= state.deadline:
                self._audits.reveal(self._job_id, self._seed)
                state = self._known()
            active = next(iter(self._parties.values()))
            by_active = self._inbox.aborted_by == active and not self._inbox.rejected - {active}
            if state.seed and self._place and not state.votes[self._place] and by_active:
                self._audits.vote(self._job_id, False, AuditReason.ABSENT)
                state = self._known()
            if state.all_voted:
                self._audits.conclude(self._job_id)
        except ChainError as error:
            log.info("the audit of a job that was given up is not concluded here", job=self._job_id, reason=str(error))

    def _do(
        self,
        what: str,
        act: Callable[[], object],
        is_done: Callable[[AuditState], bool],
        *,
        may_be_late: bool = False,
    ) -> None:
        def done() -> bool:
            state = self._audits.state(self._job_id)
            return state is not None and is_done(state)

        try:
            self._transact(what, act, done)
        except TransactionError as error:
            if not may_be_late or not error.reason.startswith(_TOO_LATE):
                raise
            log.warning("too late for a step of the audit", job=self._job_id, step=what, reason=error.reason)

    def _known(self) -> AuditState:
        job_id, until = self._job_id, self._deadline_of()
        state = through_outages(lambda: self._audits.state(job_id), lambda: None, until, "reading the audit")
        if state is None:
            raise TrainingError(f"job {job_id}: the chain has no audit of it")
        return state

    def _drawn(self, state: AuditState) -> AuditState:
        """With the seed, once nobody can reveal any more: a chain without new blocks does not know what time it is."""
        is_over = self._clock() > state.deadline + _SLACK_SECONDS
        is_drawn = bool(state.losses_root) and bool(state.seeds[0]) and any(state.seeds[1:])
        if state.seed or state.outcome or not is_drawn or not is_over:
            return state
        return replace(state, seed=combined_seed(self._job_id, state.losses_root, state.seeds))


def _has_reached(state: AuditState, stage: AuditStage) -> bool:
    return {"posted": bool(state.losses_root), "seeded": bool(state.seed), "voted": state.all_voted}[stage]
