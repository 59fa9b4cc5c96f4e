"""A party's steps in an audit: what is done is not done again, and windows end waits by the chain's clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from fedchain.chain import combined_seed
from fedchain.chain.audit_events import (
    AuditConcluded,
    AuditVoted,
    LabelsCommitted,
    LossesPosted,
    OutputsFrozen,
    SeedRevealed,
)
from fedchain.errors import DeadlineError, StoppingError, TransactionError
from fedchain.exchange import auditing as module
from fedchain.exchange.audited import Audited
from fedchain.exchange.auditing import JobAudit
from fedchain.exchange.waits import Wait, Waits
from fedchain.protocol import AuditState, LabelTerms, PostLosses, RevealSeed, Vote
from fedchain.types import AuditOutcome, AuditReason, JobId, PartyId
from tests.unit.exchange.test_inbox import ALPHA, BETA, GAMMA, place

JOB = JobId("0x" + "ab" * 32)
PARTIES = {PartyId("alpha"): ALPHA, PartyId("beta"): BETA, PartyId("gamma"): GAMMA}
ROSTER = tuple(PARTIES.values())
TERMS = LabelTerms(b"\x01" * 32, 100, 10, 60, 0, 0)
WORD = b"\x07" * 32
FROZEN = AuditState(TERMS, (WORD,) * 3, (WORD,) * 3, votes=(0,) * 3, reasons=(0,) * 3, seeds=(b"",) * 3, deadline=1000)
POSTED = replace(FROZEN, losses_root=WORD, seeds=(WORD, WORD, b""))


class Chain:
    """Stands in for the contract and the inbox."""

    def __init__(self, state: AuditState) -> None:
        self.now = 900.0
        self.found = state
        self.refusal = ""
        self.calls: list[str] = []
        self.waited: list[str] = []
        self.waits = Waits()
        self.on_wait: Callable[[], None] = lambda: None

    # -- the contract

    def state(self, job_id: JobId) -> AuditState:
        return self.found

    def __getattr__(self, name: str) -> Any:
        def call(*_: object) -> None:
            self.calls.append(name)
            if self.refusal:
                raise TransactionError(name, self.refusal)
            if name == "conclude":
                self.found = replace(self.found, outcome="verified")
            if name == "vote":
                self.found = replace(self.found, votes=(0, 2, *self.found.votes[2:]))

        return call

    # -- the inbox

    job_id = JOB
    failure: BaseException | None = None
    is_concluded = False

    def wait_audit(self, stage: str, deadline: float, *, round: int) -> None:
        self.waited.append(stage)
        if stage == "frozen":
            return
        self.on_wait()
        if stage in ("posted", "seeded", "voted") and not self._is_there(stage):
            self.now = self.found.deadline + 6.0
            raise DeadlineError("nothing came", ("gamma",))

    def _is_there(self, stage: str) -> bool:
        return {
            "posted": bool(self.found.losses_root),
            "seeded": bool(self.found.seed),
            "voted": self.found.all_voted,
        }[stage]

    def wait_concluded(self, deadline: float, *, round: int) -> bool:
        self.waited.append("concluded")
        self.on_wait()
        return self.is_concluded or bool(self.found.outcome)

    def raise_if_failed(self, round: int) -> None:
        if self.failure is not None:
            raise self.failure


def audit_of(chain: Chain, me: str = "beta", *, resumed: bool = False, seconds: float = 1e12) -> JobAudit:
    def transact(what: str, act: Callable[[], object], done: Callable[[], bool]) -> None:
        if not (resumed and done()):
            act()

    return JobAudit(
        chain,  # type: ignore[arg-type]
        chain,  # type: ignore[arg-type]
        me=PartyId(me),
        parties=PARTIES,
        transact=transact,
        deadline_of=lambda *_: time.monotonic() + seconds,
        round=lambda: 3,
        clock=lambda: chain.now,
    )


@pytest.fixture
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pauses of milliseconds."""
    monkeypatch.setattr(module, "_PAUSE_SECONDS", 0.01)


def test_what_came_is_given_at_once() -> None:
    chain = Chain(replace(POSTED, seed=WORD, votes=(0, 1, 1)))
    for stage in ("posted", "seeded", "voted"):
        assert audit_of(chain).wait(stage) is chain.found
    assert chain.waited == ["frozen", "posted", "frozen", "seeded", "frozen", "voted"]


def test_what_is_not_confirmed_is_waited_for() -> None:
    """A seed is not revealed on losses that the chain may still take back: the events come when they are confirmed."""
    chain = Chain(POSTED)
    waited: list[int] = []
    chain.on_wait = lambda: waited.append(len(chain.calls))
    audit_of(chain).wait("posted")
    assert waited == [0]


def test_losses_that_do_not_come_end_with_their_window() -> None:
    chain = Chain(FROZEN)
    assert audit_of(chain).wait("posted").losses_root == b""
    assert chain.waited == ["frozen", "posted"]


def test_a_seed_that_one_party_keeps_is_drawn_without_it_once_the_window_is_over() -> None:
    """A chain without new blocks does not tell the time: what it will say follows from what was revealed."""
    chain = Chain(POSTED)
    state = audit_of(chain).wait("seeded")
    assert state.seed == combined_seed(JOB, WORD, (WORD, WORD, b""))
    assert chain.found.seed == b""


def test_no_seed_is_drawn_without_the_active_party_and_another_or_before_the_window_is_over() -> None:
    for seeds in ((b"", WORD, WORD), (WORD, b"", b"")):
        chain = Chain(replace(POSTED, seeds=seeds))
        assert audit_of(chain).wait("seeded").seed == b""
    chain = Chain(POSTED)
    chain.on_wait = lambda: setattr(chain, "found", replace(POSTED, seed=b"\x09" * 32))
    assert audit_of(chain).wait("seeded").seed == b"\x09" * 32, "the last came in time"


def test_votes_have_a_window_of_their_own_where_a_seed_came_late() -> None:
    chain = Chain(POSTED)
    chain.now = 1010.0  # the window of the seeds is over, that of the votes lasts until 1060
    chain.on_wait = lambda: setattr(chain, "found", replace(POSTED, seed=WORD, votes=(0, 1, 1)))
    assert audit_of(chain).wait("voted").votes == (0, 1, 1)
    assert chain.waited == ["frozen", "voted"]


@pytest.mark.parametrize("refusal", ["DeadlineOver(1, 2)", "AlreadyConcluded(0xab)"])
def test_who_is_too_late_goes_on(refusal: str) -> None:
    chain = Chain(POSTED)
    chain.refusal = refusal
    audit_of(chain).reveal(RevealSeed(WORD))
    audit_of(chain).vote(Vote(False, AuditReason.LOSSES))
    audit_of(chain, "alpha").post(PostLosses(WORD, (1,) * 8, 0))
    assert chain.calls == ["reveal", "vote", "post"]


def test_another_refusal_is_an_error() -> None:
    chain = Chain(POSTED)
    chain.refusal = "SeedDiffers(1, 2)"
    with pytest.raises(TransactionError, match="SeedDiffers"):
        audit_of(chain).reveal(RevealSeed(WORD))


def test_after_a_restart_nothing_is_done_twice() -> None:
    chain = Chain(replace(POSTED, seed=WORD, votes=(0, 1, 0)))
    audit = audit_of(chain, resumed=True)
    audit.reveal(RevealSeed(WORD))
    audit.vote(Vote(True, 0))
    assert chain.calls == []
    gamma = audit_of(chain, "gamma", resumed=True)
    gamma.reveal(RevealSeed(WORD))
    gamma.vote(Vote(True, 0))
    assert chain.calls == ["reveal", "vote"]


def test_the_active_party_concludes_and_the_others_leave_it_to_it() -> None:
    chain = Chain(POSTED)
    assert audit_of(chain, "alpha").conclude().outcome == "verified"
    assert chain.calls == ["conclude"]
    chain = Chain(POSTED)
    chain.on_wait = lambda: setattr(chain, "found", replace(POSTED, outcome="disputed"))
    assert audit_of(chain).conclude().outcome == "disputed"
    assert chain.calls == []


def test_an_audit_that_cannot_be_concluded_yet_is_tried_again(brisk: None) -> None:
    chain = Chain(POSTED)
    chain.refusal = "NotConcludable(0xab, 1000)"
    chain.on_wait = lambda: setattr(chain, "refusal", "")
    assert audit_of(chain, "alpha").conclude().outcome == "verified"
    assert chain.calls == ["conclude", "conclude"]


def test_an_audit_that_is_never_concluded_ends_the_wait_with_what_the_contract_says(brisk: None) -> None:
    chain = Chain(POSTED)
    chain.refusal = "NotConcludable(0xab, 1000)"
    with pytest.raises(DeadlineError, match=r"not concluded in time: NotConcludable\(0xab, 1000\)"):
        audit_of(chain, "alpha", seconds=0.05).conclude()
    with pytest.raises(DeadlineError, match=r"not concluded in time$"):
        audit_of(chain, "beta", seconds=0.05).conclude()


def test_an_end_that_the_chain_has_told_and_does_not_show_is_waited_for_in_sight_and_not_for_ever(brisk: None) -> None:
    chain = Chain(POSTED)
    chain.is_concluded, seen = True, list[Wait]()
    chain.waits.listen(lambda wait, seconds, arrived: seen.append(wait))
    with pytest.raises(DeadlineError, match="does not show what it has told of the audit"):
        audit_of(chain, seconds=0.05).conclude()
    assert [(wait.about, wait.who, wait.job_id) for wait in seen] == [("view", ("the chain",), JOB)]
    chain = Chain(POSTED)
    chain.refusal = "AlreadyConcluded(0xab)"
    with pytest.raises(DeadlineError, match="does not show"):
        audit_of(chain, "alpha", seconds=0.05).conclude()
    assert chain.calls == ["conclude"]


def test_a_step_that_the_chain_has_told_and_does_not_show_is_waited_for_until_the_job_ends(brisk: None) -> None:
    chain = Chain(POSTED)
    told = chain.wait_audit
    chain.wait_audit = lambda stage, deadline, *, round: None  # type: ignore[method-assign]
    with pytest.raises(DeadlineError, match=r"audit \(seeded\)"):
        audit_of(chain, seconds=0.05).wait("seeded")
    chain.failure = StoppingError("this node is stopping")
    with pytest.raises(StoppingError):
        audit_of(chain).wait("seeded")
    chain.found, chain.wait_audit = replace(POSTED, seed=WORD), told  # type: ignore[method-assign]
    assert audit_of(chain).wait("seeded").seed == WORD


def test_a_false_vote_is_concluded_by_whoever_is_first() -> None:
    chain = Chain(replace(POSTED, votes=(0, 2, 2)))
    audit_of(chain, "gamma").conclude()
    assert chain.calls == ["conclude"]
    assert chain.waited == []


def test_events_tell_who_is_still_to_do_what() -> None:
    audited = Audited()
    assert audited.missing("labels", ROSTER) == audited.missing("posted", ROSTER) == (ALPHA,)
    assert audited.missing("frozen", ROSTER) == audited.missing("seeded", ROSTER) == ROSTER
    assert audited.missing("voted", ROSTER) == (BETA, GAMMA)
    audited.take_note(
        LabelsCommitted(
            job_id=JOB,
            by=ALPHA,
            root=WORD,
            rows=1,
            opened_rows=1,
            window_seconds=30,
            dispute_seconds=0,
            budget=0,
            **place(),
        )
    )
    posted: dict[str, Any] = {"sums": (), "utilities_e6": (), "shares840": (), "weak_mask": 0}
    audited.take_note(LossesPosted(job_id=JOB, losses_root=WORD, **posted, **place()))
    for party in (BETA, ALPHA):
        audited.take_note(
            OutputsFrozen(job_id=JOB, party=party, outputs=WORD, shard=WORD, seed_commitment=WORD, **place())
        )
    audited.take_note(SeedRevealed(job_id=JOB, party=GAMMA, seed=WORD, **place()))
    audited.take_note(AuditVoted(job_id=JOB, party=GAMMA, sound=False, audit_reason=AuditReason.BITS, **place()))
    assert audited.missing("labels", ROSTER) == audited.missing("posted", ROSTER) == ()
    assert audited.missing("frozen", ROSTER) == (GAMMA,)
    assert audited.missing("seeded", ROSTER) == (ALPHA, BETA)
    assert audited.missing("voted", ROSTER) == (BETA,)
    assert not audited.is_concluded
    audited.take_note(
        AuditConcluded(job_id=JOB, audit_outcome=AuditOutcome.FAILED, seed=WORD, silent=(0, 0, 0), **place())
    )
    assert audited.is_concluded
