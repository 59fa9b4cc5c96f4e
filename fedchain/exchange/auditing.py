"""A party's steps in an audit of contributions, over the chain: each once, also after a restart.

Windows are the contract's, by the chain's clock. Where one is over, whoever waits goes on without what did not come:
that is what the contract does as well.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Protocol

import structlog

from fedchain.chain import Audits, seed_commitment
from fedchain.errors import DeadlineError, TrainingError, TransactionError
from fedchain.exchange.ended_audits import SLACK_SECONDS, TURN_SECONDS, EndedAudit, drawn
from fedchain.exchange.inbox import Inbox
from fedchain.exchange.outages import poll, through_outages
from fedchain.exchange.waits import THE_CHAIN
from fedchain.protocol.actions import AuditStage, CommitLabels, Freeze, PostLosses, RevealSeed, Vote
from fedchain.protocol.audits import AuditState
from fedchain.types import AuditReason, PartyId

log = structlog.get_logger(__name__)

_TIMED: tuple[AuditStage, ...] = ("posted", "seeded", "voted")
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
        self._me, self._parties, self._address, self._place = me, parties, parties[me], list(parties).index(me)
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
            DeadlineError: labels or frozen outputs do not come in time; names from whom. Or the chain's node does not
                show what its events tell.
            JobAbortedError, UplinkRejectedError: see `Inbox.wait_audit`.
        """
        if stage not in _TIMED:
            self._inbox.wait_audit(stage, self._deadline_of(*self._parties), round=self._round())
            return self._known()
        self.wait("frozen")
        state = self._known()
        until = state.deadline + (state.terms.window_seconds if stage == "voted" and not state.seed else 0)
        seconds = max(0.0, until - self._clock() + SLACK_SECONDS)
        try:  # by the events, which are confirmed: nothing is revealed on what may still be taken back
            self._inbox.wait_audit(stage, time.monotonic() + seconds, round=self._round())
        except DeadlineError as error:
            log.warning("the audit goes on without what did not come", stage=stage, missing=error.who)
            return drawn(self._job_id, self._known(), self._clock())
        return self._shown(lambda state: _has_reached(state, stage) or bool(state.outcome), stage)

    def _shown(self, is_it: Callable[[AuditState], bool], what: str) -> AuditState:
        """The state that shows what was told: the chain's node may be behind its own events, or have taken them back.

        Raises:
            DeadlineError: it does not in time.
        """

        def shown() -> AuditState | None:
            state = self._known()
            if is_it(state):
                return state
            self._inbox.raise_if_failed(self._round())
            return None

        found = poll(
            shown,
            self._deadline_of(),
            _PAUSE_SECONDS,
            waits=self._inbox.waits,
            who=(THE_CHAIN,),
            about="view",
            what=f"what it has told of the audit ({what})",
            job_id=self._job_id,
        )
        if found is None:
            raise DeadlineError(f"job {self._job_id}: the chain does not show what it has told of the audit ({what})")
        return found

    def conclude(self) -> AuditState:
        """See `Conclude`: the active party does it, and after a while any other.

        Raises:
            DeadlineError: the contract still waits for something, or the chain's node does not show that it has ended.
            JobAbortedError, UplinkRejectedError: see `Inbox.wait_concluded`.
        """
        deadline = self._deadline_of(*self._parties)
        turn = time.monotonic() + TURN_SECONDS * self._place
        refusal = ""
        while not (state := self._known()).outcome:
            now = time.monotonic()
            if now >= turn or _FALSE in state.votes:
                refusal, turn = self._try_to_conclude(), now + _PAUSE_SECONDS
                if not refusal:
                    return self._shown(lambda found: bool(found.outcome), "concluded")
            if now >= deadline:
                raise DeadlineError(
                    f"job {self._job_id}: the audit was not concluded in time{refusal and ': ' + refusal}"
                )
            if self._inbox.wait_concluded(min(turn, deadline), round=self._round()):
                return self._shown(lambda found: bool(found.outcome), "concluded")
        return state

    def _try_to_conclude(self) -> str:
        """Why the contract does not yet; empty where it did, or somebody else had."""
        try:
            self._do(
                "concluding the audit",
                lambda: self._audits.conclude(self._job_id),
                lambda found: bool(found.outcome),
                may_be_late=True,
            )
        except TransactionError as error:
            if not error.reason.startswith("NotConcludable("):
                raise
            return error.reason
        return ""

    def end(self, seed: bytes = b"") -> None:
        """The job has ended, perhaps so that there be no verdict: bring its audit to its end, where losses are posted.

        That takes as long as the windows that are left, unless everybody does its part at once.

        Args:
            seed: this party's, after a restart in which it has frozen nothing.

        Raises:
            StoppingError: this node stops; to be called again when it is started again.
        """
        EndedAudit(
            self._audits,
            self._inbox,
            me=self._me,
            parties=self._parties,
            seed=self._seed or seed,
            clock=self._clock,
        ).run()

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
        state = through_outages(
            lambda: self._audits.state(job_id),
            lambda: None,
            until,
            "reading the audit",
            waits=self._inbox.waits,
            job_id=job_id,
        )
        if state is None:
            raise TrainingError(f"job {job_id}: the chain has no audit of it")
        return state


def _has_reached(state: AuditState, stage: AuditStage) -> bool:
    return {"posted": bool(state.losses_root), "seeded": bool(state.seed), "voted": state.all_voted}[stage]
