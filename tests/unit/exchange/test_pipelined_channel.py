"""PipelinedChannel: rounds without the chain in between, closed by verdicts, also after a restart."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest

from fedchain.crypto.merkle import payload_digest
from fedchain.errors import (
    ChainUnreachableError,
    JobAbortedError,
    ProtocolViolationError,
    TrainingError,
    TransactionError,
)
from fedchain.messages import Contribution, Gradients, Histogram, Split, encode
from fedchain.types import Kind, PartyId, Reason
from tests.unit.exchange.contract import ACTIVE, GAMMA, MAX_BYTES, SECOND, THIRD
from tests.unit.exchange.ledger import ALPHA, BETA, JOB
from tests.unit.exchange.pipelined import FIRST_COMMIT, GRADIENTS, GRADIENTS_AGAIN, KEY, LEAVES, SPLIT, Party

# -- messages ----------------------------------------------------------------------------------------------------------


def test_in_a_round_messages_go_to_their_recipients_and_not_on_the_chain(active: Party) -> None:
    active.channel.begin_round(1)
    active.send(GRADIENTS)
    active.send(SPLIT, 3, THIRD)
    assert active.chain.calls == ["begin 1"]
    handed = active.deliverer.handed
    assert [(one.recipient, one.envelope.step) for one in handed] == [(BETA, 0), (GAMMA, 0), (GAMMA, 3)]
    for one, message in zip(handed, (GRADIENTS, GRADIENTS, SPLIT), strict=True):
        assert one.payload == encode(message)
        assert one.envelope.digest == payload_digest(one.payload)
        assert (one.envelope.round, one.envelope.attempt, one.envelope.kind) == (1, 0, message.kind)
        assert one.signature == b"signed: " + active.chain.uplink_id(ALPHA, one.envelope)
    assert [one.envelope.recipient for one in handed] == [bytes(20), bytes(20), bytes.fromhex(GAMMA[2:])]


def test_a_party_sends_nothing_to_itself(active: Party) -> None:
    active.channel.begin_round(1)
    active.send(LEAVES, 0, ACTIVE)
    assert active.deliverer.handed == []
    active.channel.close_round(1, last=True)
    assert active.chain.calls == ["begin 1", "commit 1.0 LEAF_WEIGHTS"]


def test_before_and_after_training_messages_go_on_the_chain_one_by_one(active: Party) -> None:
    active.send(KEY)
    active.whole_round(1, last=True)
    handed = len(active.deliverer.handed)
    for peer in (BETA, GAMMA):
        active.chain.stops(peer, 1)
    active.channel.declare_stop(1)
    active.send(Contribution(1, (0, 0, 0, 0), (0, 0)))
    assert active.chain.calls == ["uplink PUBLIC_KEY", "begin 1", FIRST_COMMIT, "stop 1", "uplink CONTRIBUTION"]
    assert len(active.deliverer.handed) == handed
    assert (active.channel.round, active.channel.attempt) == (2, 0)


def test_a_payload_above_the_jobs_bound_is_neither_recorded_nor_sent(active: Party) -> None:
    active.channel.begin_round(1)
    with pytest.raises(TrainingError, match=f"max_payload_bytes, {MAX_BYTES}"):
        active.send(Gradients(b"\x01", b"\x01", 1, bytes(MAX_BYTES)))
    assert active.deliverer.handed == []
    assert active.state.uplinks(JOB) == []
    active.channel.close_round(1, last=True)
    assert active.chain.calls == ["begin 1"]


def test_a_delivery_is_wanted_as_long_as_its_round_is_worked_on(active: Party) -> None:
    active.whole_round(1)
    (first, *_), active.deliverer.handed = active.deliverer.handed, []
    assert not first.wanted()
    active.works(2)
    (second, *_), active.deliverer.handed = active.deliverer.handed, []
    assert (first.wanted(), second.wanted()) == (False, True)
    active.chain.rejects = {Kind.GRADIENTS: Reason.SLOT_TAKEN}
    active.rolled_back(lambda: active.closes(2))
    active.channel.start_over(1)
    assert not second.wanted()
    active.works(2)
    assert (first.wanted(), second.wanted(), active.deliverer.handed[0].wanted()) == (False, False, True)
    active.channel.give_up("no more")
    assert not active.deliverer.handed[0].wanted()
    assert active.chain.calls[-1] == "abort"


def test_in_a_round_whoever_waits_for_those_who_wait_for_others_waits_longer(active: Party, passive: Party) -> None:
    """Of a job that was aborted, so that no wait lasts: its limits are what counts."""
    limits: list[float] = []

    def limit(party: Party, sender: PartyId) -> float:
        with pytest.raises(JobAbortedError):
            party.channel.receive(Split, 9, sender, to_me=False)
        return limits.pop()

    for party in (active, passive):
        party.channel._deadline_seconds = 1000.0
        party.inbox.waits.listen(lambda wait, seconds, arrived: limits.append(wait.limit_seconds))
        party.channel.begin_round(1)
        party.chain.aborts(GAMMA)
    assert limit(active, SECOND) == pytest.approx(2000.0, abs=100.0)
    assert limit(passive, ACTIVE) == pytest.approx(3000.0, abs=100.0)
    assert limit(passive, THIRD) == pytest.approx(1000.0, abs=100.0)


# -- closing a round ---------------------------------------------------------------------------------------------------


def test_closing_a_round_commits_it_in_one_transaction_and_opens_the_next(active: Party) -> None:
    active.whole_round(1)
    assert sorted(active.chain.calls) == ["begin 1", "begin 2", FIRST_COMMIT]
    active.whole_round(2, last=True)
    assert active.chain.calls[3:] == ["commit 2.0 GRADIENTS LEAF_WEIGHTS"]
    assert active.chain.round == 2
    assert {one.status for one in active.state.uplinks(JOB)} == {"accepted"}


def test_a_round_is_closed_once_all_is_accepted_that_was_taken_in_it(active: Party) -> None:
    first, second = active.works(1)
    active.chain.judges(*first)
    came = threading.Event()

    def commit() -> None:
        came.set()
        active.chain.judges(*second)

    active.meanwhile("verdict", commit)
    active.channel.close_round(1, last=True)
    assert came.is_set()


def test_what_this_party_has_not_taken_it_does_not_wait_for(passive: Party) -> None:
    taken = passive.answers(1)
    passive.comes(THIRD, Histogram((0,), (), b"of gamma"), 1)
    passive.chain.judges(ALPHA, taken)
    passive.channel.close_round(1, last=True)
    assert passive.chain.calls == ["commit 1.0 HISTOGRAM"]


def test_a_passive_party_works_on_a_round_before_it_is_open_and_commits_it_after(passive: Party) -> None:
    """Else its uplinks would be of a wrong round: a strike."""
    passive.chain.judges(ALPHA, passive.answers(1))
    passive.closes(1)
    taken = passive.answers(2)
    assert [one.envelope.round for one in passive.deliverer.handed] == [1, 2]

    def open_it() -> None:
        assert passive.chain.calls == ["commit 1.0 HISTOGRAM"]
        passive.chain.begins(2)
        passive.chain.judges(ALPHA, taken)

    passive.meanwhile("round", open_it)
    passive.channel.close_round(2, last=True)
    assert passive.chain.calls == ["commit 1.0 HISTOGRAM", "commit 2.0 HISTOGRAM"]
    assert set(passive.chain.verdicts.values()) == {Reason.ACCEPTED}


def test_a_party_that_begins_a_round_keeps_nothing_of_those_that_it_has_closed(passive: Party) -> None:
    """Neither what was delivered nor what was fetched since it was committed and had not been delivered."""
    delivered = passive.answers(1)
    fetched = passive.peers_uplink(SPLIT, 2)
    for one in (delivered, fetched):
        passive.chain.judges(ALPHA, one)
    assert passive.channel.receive(Split, 2, ACTIVE, to_me=False) == SPLIT
    passive.closes(1)
    assert all(passive.incoming.has(one.digest) for one in (delivered, fetched))
    assert len(passive.state.deliveries(JOB)) == 1
    passive.channel.begin_round(2)
    assert not any(passive.incoming.has(one.digest) for one in (delivered, fetched))
    assert passive.state.deliveries(JOB) == []
    assert [passive.inbox.takes(round, 0) for round in (1, 2, 3, 4)] == [False, True, True, False]


@pytest.mark.parametrize("is_waiting", [False, True])
def test_a_party_that_commits_to_another_digest_than_it_delivered_is_named(active: Party, is_waiting: bool) -> None:
    (sender, delivered), other = active.works(1)
    another = replace(delivered, digest=payload_digest(b"another"), size=len(b"another"))
    active.chain.judges(*other)
    if is_waiting:
        active.meanwhile("verdict", lambda: active.chain.judges(sender, another))
    else:
        active.chain.judges(sender, another)
    with pytest.raises(ProtocolViolationError) as caught:
        active.channel.close_round(1, last=True)
    assert caught.value.culprit == "beta"
    assert active.chain.calls == (["begin 1", FIRST_COMMIT] if is_waiting else ["begin 1"])


def test_a_round_that_the_contract_does_not_open_says_why(active: Party) -> None:
    for one in active.works(1):
        active.chain.judges(*one)
    active.chain.before["begin 2"] = lambda: active.chain.begins(2)
    with pytest.raises(TransactionError, match="WrongRound"):
        active.closes(1)


def test_a_round_that_is_not_opened_since_another_party_gave_up_names_that_party(active: Party) -> None:
    """Also where this party learns of it only by the refusal."""
    for one in active.works(1):
        active.chain.judges(*one)
    gone = threading.Event()

    def give_up() -> None:
        active.chain.is_silent = True
        active.chain.aborts(GAMMA)
        gone.set()

    active.chain.after[FIRST_COMMIT] = give_up
    active.chain.before["begin 2"] = lambda: gone.wait(5.0)
    active.chain.before["head"] = active.chain.tell
    with pytest.raises(JobAbortedError, match="gamma"):
        active.closes(1)


# -- after a restart ---------------------------------------------------------------------------------------------------


def test_an_uplink_that_was_accepted_before_a_restart_is_neither_delivered_nor_committed_again(active: Party) -> None:
    theirs = active.works(1)
    active.publisher.commit(JOB, 1, 0, time.monotonic() + 5.0)
    for one in theirs:
        active.chain.judges(*one)
    active.restart()
    active.works(1)
    assert active.deliverer.handed == []
    active.channel.close_round(1, last=True)
    assert active.chain.calls == ["begin 1", FIRST_COMMIT]


def test_an_uplink_that_was_not_committed_before_a_restart_is_delivered_again_with_the_bytes_it_had(
    active: Party,
) -> None:
    active.channel.begin_round(1)
    active.send(GRADIENTS)
    before = [(one.recipient, one.envelope, one.signature, one.payload) for one in active.deliverer.handed]
    active.restart()
    active.channel.begin_round(1)
    active.send(GRADIENTS_AGAIN)
    assert [(one.recipient, one.envelope, one.signature, one.payload) for one in active.deliverer.handed] == before
    active.channel.close_round(1, last=True)
    assert active.chain.calls == ["begin 1", "commit 1.0 GRADIENTS"]


@pytest.mark.parametrize("rejected", [False, True])
def test_a_batch_that_was_judged_before_a_restart_is_not_committed_again(active: Party, rejected: bool) -> None:
    """Whoever was killed before it read the verdict: a rejected one would be a second strike."""
    active.chain.rejects = {Kind.GRADIENTS: Reason.SLOT_TAKEN} if rejected else {}
    theirs = active.works(1)
    active.chain.lost = 1
    with pytest.raises(ChainUnreachableError):
        active.publisher.commit(JOB, 1, 0, time.monotonic())
    for one in theirs:
        active.chain.judges(*one)
    active.restart()
    active.works(1)
    if rejected:
        assert active.rolled_back(lambda: active.channel.close_round(1, last=True)) == (1, 1)
    else:
        active.channel.close_round(1, last=True)
    assert active.chain.calls.count(FIRST_COMMIT) == 1


def test_a_round_that_was_opened_before_a_restart_is_not_opened_again(active: Party) -> None:
    theirs = active.works(1)
    for one in theirs:
        active.chain.judges(*one)
    active.chain.begin_round(JOB, 2)
    active.restart()
    active.works(1)
    active.closes(1)
    active.works(2)
    assert active.chain.calls == ["begin 1", "begin 2", FIRST_COMMIT]


def test_a_party_that_was_killed_before_it_started_over_starts_over_after_it(active: Party) -> None:
    active.works(1)
    active.chain.retries(1)
    active.restart()
    assert active.rolled_back(lambda: active.channel.begin_round(1)) == (1, 1)


def test_a_party_that_was_killed_after_it_started_over_works_on_that_attempt(active: Party) -> None:
    active.works(1)
    active.chain.retries(1)
    active.channel.start_over(1)
    active.restart()
    active.whole_round(1, last=True)
    assert {one.envelope.attempt for one in active.deliverer.handed} == {1}
    assert active.chain.calls == ["begin 1", "commit 1.1 GRADIENTS LEAF_WEIGHTS"]
