"""Ending a job does not end its audit: nobody escapes a verdict by it, and nobody honest is struck for it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from fedchain.chain.events import ChainEvent, JobAborted, PhaseChanged
from fedchain.errors import ChainUnreachableError, StoppingError, TransactionError
from fedchain.exchange import Inbox
from fedchain.exchange import ended_audits as module
from fedchain.exchange.ended_audits import EndedAudit
from fedchain.exchange.waits import Wait, Waits
from fedchain.protocol import AuditState, LabelTerms
from fedchain.types import AuditReason, JobId, Kind, PartyId, Phase, Reason
from tests.unit.exchange.test_inbox import ALPHA, BETA, GAMMA, JOB, Names, judged, place

PARTIES = {PartyId("alpha"): ALPHA, PartyId("beta"): BETA, PartyId("gamma"): GAMMA}
WORD, SEED = b"\x07" * 32, b"\x08" * 32
TERMS = LabelTerms(b"\x01" * 32, 100, 10, 60, 0, 0)
POSTED = AuditState(
    TERMS,
    (WORD,) * 3,
    (WORD,) * 3,
    losses_root=WORD,
    votes=(0,) * 3,
    reasons=(0,) * 3,
    seeds=(b"",) * 3,
    deadline=1000,
)


class Contract:
    """The rules of `ContributionAudit` that matter here, and a clock that each pause moves on."""

    def __init__(self, found: AuditState = POSTED) -> None:
        self.now = 900.0
        self.found = found
        self.calls: list[str] = []
        self.outages = 0
        self.then: list[Callable[[], None]] = []

    def state(self, job_id: JobId) -> AuditState:
        if self.outages:
            self.outages -= 1
            raise ChainUnreachableError("http://localhost:1", "refused")
        return self.found

    def reveal(self, job_id: JobId, seed: bytes, place: int = 1) -> None:
        self.calls.append("reveal")
        seeds = tuple(seed if index == place else one for index, one in enumerate(self.found.seeds))
        self.found = replace(self.found, seeds=seeds)
        if all(seeds):
            self.found = replace(self.found, seed=WORD, deadline=int(self.now) + TERMS.window_seconds)

    def vote(self, job_id: JobId, sound: bool, reason: AuditReason) -> None:
        assert (sound, reason) == (False, AuditReason.ABSENT)
        is_known = bool(self.found.seed) or (
            self.now > self.found.deadline and bool(self.found.seeds[0]) and any(self.found.seeds[1:])
        )
        if not is_known:
            raise TransactionError("vote", "SeedUnknown(0xab)")
        self.calls.append("vote")
        self.found = replace(self.found, votes=(0, 2, self.found.votes[2]))

    def conclude(self, job_id: JobId) -> None:
        if not (self.found.seed and self.found.all_voted) and self.now <= self.found.deadline:
            raise TransactionError("conclude", "NotConcludable(0xab, 1000)")
        self.calls.append("conclude")
        self.found = replace(self.found, outcome="failed")

    def pause(self, seconds: float) -> None:
        self.now += 10.0
        if self.then:
            self.then.pop(0)()


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """No turns: a test has one party."""
    monkeypatch.setattr(module, "TURN_SECONDS", 0.0)
    monkeypatch.setattr(module, "_LONGEST_PAUSE_SECONDS", 0.0)


def inbox_of(events: Sequence[ChainEvent], contract: Contract | None = None) -> Inbox:
    """Beta's, which has read these events."""
    inbox = Inbox(
        job_id=JOB,
        me=BETA,
        roster=(ALPHA, BETA, GAMMA),
        max_payload_bytes=10**6,
        directory=Names(),  # type: ignore[arg-type]
        fetcher=None,  # type: ignore[arg-type]
        on_wait=lambda: None,
        waits=Waits(),
        pipelined=True,
    )
    inbox.deliver(events, 1)
    if contract is not None:
        inbox.pause = contract.pause  # type: ignore[method-assign]
    return inbox


def run(contract: Contract, inbox: Inbox, seed: bytes = SEED, me: str = "beta") -> None:
    EndedAudit(
        contract,  # type: ignore[arg-type]
        inbox,
        me=PartyId(me),
        parties=PARTIES,
        seed=seed,
        clock=lambda: contract.now,
    ).run()


def phase(which: Phase) -> ChainEvent:
    return PhaseChanged(job_id=JOB, phase=which, **place())


def aborted(by: str = ALPHA) -> list[ChainEvent]:
    return [phase(Phase.ABORTED), JobAborted(job_id=JOB, by=by, reason="why not", **place())]


def rejected(sender: str, reason: Reason, **changes: Any) -> ChainEvent:
    return judged(sender, reason, **changes)


TRAINED = [phase(Phase.TRAINING), phase(Phase.EVALUATING)]
OVERTAKEN = rejected(BETA, Reason.WRONG_ATTEMPT)
DRAWN = replace(POSTED, seed=WORD, seeds=(WORD,) * 3, votes=(0, 0, 1))
STORIES: dict[str, tuple[list[ChainEvent], list[str]]] = {
    "nothing before": ([*TRAINED, *aborted()], ["vote", "conclude"]),
    "an uplink of mine that a retry overtook": (
        [phase(Phase.TRAINING), OVERTAKEN, phase(Phase.EVALUATING), *aborted()],
        ["vote", "conclude"],
    ),
    "an uplink of another after the end": (
        [*TRAINED, *aborted(), rejected(GAMMA, Reason.WRONG_PHASE, kind=Kind.AUDIT)],
        ["vote", "conclude"],
    ),
    "its own rejected uplink": ([*TRAINED, rejected(ALPHA, Reason.SLOT_TAKEN), *aborted()], ["vote", "conclude"]),
    "a rejected uplink of another": ([*TRAINED, rejected(GAMMA, Reason.SLOT_TAKEN), *aborted()], ["conclude"]),
    "another ended it": ([*TRAINED, *aborted(GAMMA)], ["conclude"]),
    "its time was over": ([*TRAINED, phase(Phase.EXPIRED)], ["conclude"]),
}


@pytest.mark.parametrize("story", STORIES)
def test_an_active_party_that_ends_the_job_does_not_escape_the_vote(story: str) -> None:
    """But one that ends it for another's rejected uplink is not accused, and neither is it for what a third one did."""
    events, calls = STORIES[story]
    contract = Contract(DRAWN)
    run(contract, inbox_of(events, contract))
    assert contract.calls == calls


def test_what_the_chain_took_back_counts_no_more() -> None:
    contract = Contract(DRAWN)
    inbox = inbox_of([*TRAINED, rejected(GAMMA, Reason.SLOT_TAKEN), *aborted()], contract)
    inbox.rewind(Phase.PROPOSED)
    inbox.deliver([phase(Phase.EVALUATING), *aborted()], 1)
    run(contract, inbox)
    assert contract.calls == ["vote", "conclude"]


def test_a_seed_that_comes_after_the_end_is_waited_for() -> None:
    """Two that know each other's seeds know the sample before the chain does, and may end the job then."""
    contract = Contract(replace(POSTED, seeds=(WORD, b"", b"")))
    contract.then = [lambda: None, lambda: contract.reveal(JOB, WORD, 2)]
    run(contract, inbox_of([*TRAINED, *aborted()], contract))
    assert contract.calls == ["reveal", "reveal", "vote", "conclude"]
    assert contract.now > contract.found.deadline, "gamma has not voted"


def test_a_seed_that_a_passive_party_keeps_does_not_keep_the_vote_back() -> None:
    contract = Contract(replace(POSTED, seeds=(WORD, b"", b"")))
    run(contract, inbox_of([*TRAINED, *aborted()], contract))
    assert contract.calls == ["reveal", "vote", "conclude"]


@pytest.mark.parametrize("me", ["alpha", "beta"])
def test_a_seed_that_the_active_party_keeps_ends_the_audit_with_its_window(me: str) -> None:
    contract = Contract(replace(POSTED, seeds=(b"", WORD, WORD)))
    run(contract, inbox_of([*TRAINED, *aborted()], contract), seed=b"", me=me)
    assert contract.calls == ["conclude"]
    assert contract.now > POSTED.deadline


def test_the_end_is_read_before_anybody_is_accused_of_it() -> None:
    contract = Contract(DRAWN)
    inbox = inbox_of(TRAINED, contract)
    contract.then = [lambda: inbox.deliver(aborted(), 2)]
    run(contract, inbox)
    assert contract.calls == ["vote", "conclude"]


def test_after_a_restart_the_seed_out_of_the_journal_is_revealed_and_nothing_twice() -> None:
    contract = Contract(POSTED)
    run(contract, inbox_of([*TRAINED, *aborted(GAMMA)], contract), seed=SEED)
    assert contract.found.seeds[1] == SEED
    assert contract.calls == ["reveal", "conclude"]
    run(contract, inbox_of([*TRAINED, *aborted(GAMMA)], contract), seed=SEED)
    assert contract.calls == ["reveal", "conclude"]


@pytest.mark.parametrize("state", [replace(POSTED, losses_root=b""), replace(POSTED, outcome="verified")])
def test_without_losses_or_once_it_is_concluded_nothing_is_done(state: AuditState) -> None:
    contract = Contract(state)
    run(contract, inbox_of([*TRAINED, *aborted()], contract))
    assert contract.calls == []


def test_outages_are_waited_out_and_the_wait_is_seen() -> None:
    contract = Contract(DRAWN)
    contract.outages = 2
    inbox = inbox_of([*TRAINED, *aborted(GAMMA)], contract)
    seen: list[Wait] = []
    contract.then = [lambda: seen.extend(replace(one) for one in inbox.waits.current(JOB)) for _ in range(3)]
    run(contract, inbox)
    assert contract.calls == ["conclude"]
    assert [(wait.about, wait.who) for wait in seen] == [
        ("audit_step", ("the chain",)),
        ("audit_step", ("the chain",)),
        ("audit_step", ("beta",)),
    ]


def test_an_audit_that_the_contract_does_not_conclude_is_left_after_its_windows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_MARGIN_SECONDS", 0.05)
    contract = Contract(replace(DRAWN, deadline=800, terms=replace(TERMS, window_seconds=0)))
    contract.conclude = refuse  # type: ignore[method-assign]
    begun = time.monotonic()
    run(contract, inbox_of([*TRAINED, *aborted(GAMMA)], contract))
    assert time.monotonic() - begun < 5.0
    assert contract.calls == []


def refuse(job_id: JobId) -> None:
    raise TransactionError("conclude", "NotConcludable(0xab, 1000)")


def test_a_node_that_stops_stops_waiting() -> None:
    contract = Contract(POSTED)
    inbox = inbox_of([*TRAINED, *aborted()])
    inbox.fail(StoppingError("this node is stopping"))
    with pytest.raises(StoppingError):
        run(contract, inbox)
    assert contract.calls == ["reveal"]
