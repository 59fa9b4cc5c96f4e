"""PipelinedChannel where a round is not accepted: who tries it again, how often, and what the others do."""

from __future__ import annotations

import threading
import time

import pytest

from fedchain.errors import (
    DeadlineError,
    JobAbortedError,
    OvertakenError,
    ProtocolViolationError,
    UplinkRejectedError,
)
from fedchain.exchange import outages
from fedchain.exchange.pipeline import MAX_RETRIES
from fedchain.messages import Split
from fedchain.types import Kind, Phase, Reason
from tests.unit.exchange.contract import ACTIVE, GAMMA, THIRD
from tests.unit.exchange.ledger import ALPHA, BETA, JOB
from tests.unit.exchange.pipelined import FIRST_COMMIT, HISTOGRAM, SPLIT, Party, everybody_else_stops

# -- trying a round again ----------------------------------------------------------------------------------------------


def test_a_rejected_uplink_has_the_active_party_try_its_round_again(active: Party) -> None:
    active.chain.rejects = {Kind.GRADIENTS: Reason.SLOT_TAKEN}
    active.works(1)
    assert active.rolled_back(lambda: active.closes(1)) == (1, 1)
    assert (active.chain.round, active.chain.attempt) == (1, 1)
    active.channel.start_over(1)
    active.chain.rejects, active.deliverer.handed = {}, []
    active.whole_round(1)
    assert {one.envelope.attempt for one in active.deliverer.handed} == {1}
    assert sorted(active.chain.calls[4:]) == ["begin 2", "commit 1.1 GRADIENTS LEAF_WEIGHTS"]
    active.whole_round(2, last=True)
    assert (active.chain.round, active.chain.attempt) == (2, 1)


def test_a_round_is_not_tried_again_before_the_next_is_open(active: Party) -> None:
    """A retry on its way with the opening of the next round would be one of another round."""
    active.chain.rejects = {Kind.GRADIENTS: Reason.SLOT_TAKEN}
    active.works(1)
    judged = threading.Event()

    def open_slowly() -> None:
        judged.wait(5.0)
        time.sleep(0.05)

    active.chain.after[FIRST_COMMIT] = judged.set
    active.chain.before["begin 2"] = open_slowly
    assert active.rolled_back(lambda: active.closes(1)) == (1, 1)
    assert active.chain.calls == ["begin 1", FIRST_COMMIT, "begin 2", "retry 1"]


@pytest.mark.parametrize("reason", [Reason.SLOT_TAKEN, Reason.WRONG_ROUND])
def test_a_peers_rejected_uplink_has_the_active_party_try_its_round_again(active: Party, reason: Reason) -> None:
    first, second = active.works(1)
    active.chain.judges(*first)
    active.chain.judges(*second, reason)
    assert active.rolled_back(lambda: active.channel.close_round(1, last=True)) == (1, 1)
    assert active.chain.calls == ["begin 1", FIRST_COMMIT, "retry 1"]


def test_a_verdict_that_does_not_come_has_the_active_party_try_its_round_again(active: Party) -> None:
    first, _ = active.works(1)
    active.chain.judges(*first)
    active.hurry()
    assert active.rolled_back(lambda: active.channel.close_round(1, last=True)) == (1, 1)
    assert active.chain.calls[-1] == "retry 1"


def test_after_so_many_attempts_the_active_party_gives_up_with_what_went_wrong(active: Party) -> None:
    active.chain.rejects = {Kind.LEAF_WEIGHTS: Reason.SLOT_TAKEN}
    for attempt in range(1, MAX_RETRIES + 1):
        active.works(1)
        assert active.rolled_back(lambda: active.channel.close_round(1, last=True)) == (1, attempt)
        active.channel.start_over(attempt)
    active.works(1)
    with pytest.raises(UplinkRejectedError, match=r"alpha.*leaf_weights.*SLOT_TAKEN"):
        active.channel.close_round(1, last=True)
    assert active.chain.calls.count("retry 1") == MAX_RETRIES


def test_attempts_of_different_rounds_count_together(active: Party) -> None:
    for attempt in range(1, MAX_RETRIES + 1):
        active.chain.rejects = {Kind.LEAF_WEIGHTS: Reason.SLOT_TAKEN}
        active.works(attempt)
        active.rolled_back(lambda round=attempt: active.closes(round))  # type: ignore[misc]
        active.channel.start_over(attempt)
        active.chain.rejects = {}
        active.whole_round(attempt)
    active.chain.rejects = {Kind.LEAF_WEIGHTS: Reason.SLOT_TAKEN}
    active.works(MAX_RETRIES + 1)
    with pytest.raises(UplinkRejectedError):
        active.channel.close_round(MAX_RETRIES + 1, last=True)


def test_a_round_is_not_tried_again_with_a_party_that_is_suspended(active: Party) -> None:
    first, second = active.works(1)
    active.chain.judges(*first)
    active.chain.judges(*second, Reason.SENDER_SUSPENDED)
    with pytest.raises(UplinkRejectedError, match=r"gamma.*SENDER_SUSPENDED"):
        active.channel.close_round(1, last=True)
    assert "retry 1" not in active.chain.calls


def test_a_retry_whose_answer_is_lost_is_not_done_twice(active: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second one would be an attempt that nobody works on."""
    monkeypatch.setattr(outages, "_FIRST_PAUSE_SECONDS", 0.001)
    active.chain.rejects = {Kind.GRADIENTS: Reason.SLOT_TAKEN}
    active.works(1)

    def lose() -> None:
        active.chain.lost = 1

    active.chain.before["retry 1"] = lose
    assert active.rolled_back(lambda: active.channel.close_round(1, last=True)) == (1, 1)
    assert active.chain.calls.count("retry 1") == 1


def test_a_retry_that_is_refused_since_another_party_gave_up_names_that_party(active: Party) -> None:
    active.chain.rejects = {Kind.GRADIENTS: Reason.SLOT_TAKEN}
    active.works(1)
    active.chain.before["retry 1"] = lambda: active.chain.aborts(GAMMA)
    with pytest.raises(JobAbortedError, match="gamma"):
        active.channel.close_round(1, last=True)


def test_a_passive_party_waits_until_the_active_one_tries_its_rejected_round_again(passive: Party) -> None:
    passive.chain.rejects = {Kind.HISTOGRAM: Reason.SLOT_TAKEN}
    passive.answers(1)
    passive.meanwhile("attempt", lambda: passive.chain.retries(1))
    assert passive.rolled_back(lambda: passive.channel.close_round(1, last=True)) == (1, 1)
    assert passive.chain.calls == ["commit 1.0 HISTOGRAM"]
    passive.channel.start_over(1)
    passive.chain.rejects = {}
    passive.chain.judges(ALPHA, passive.answers(1))
    passive.channel.close_round(1, last=True)
    assert passive.chain.calls[1:] == ["commit 1.1 HISTOGRAM"]


def test_where_nobody_tries_the_round_again_a_passive_party_says_what_was_wrong_with_it(passive: Party) -> None:
    passive.chain.rejects = {Kind.HISTOGRAM: Reason.SLOT_TAKEN}
    passive.answers(1)
    passive.hurry()
    with pytest.raises(UplinkRejectedError, match=r"beta.*histogram.*SLOT_TAKEN"):
        passive.channel.close_round(1, last=True)


def test_where_the_active_party_gives_up_instead_a_passive_party_is_told(passive: Party) -> None:
    passive.chain.rejects = {Kind.HISTOGRAM: Reason.SLOT_TAKEN}
    passive.answers(1)
    passive.meanwhile("attempt", lambda: passive.chain.aborts(ALPHA))
    with pytest.raises(JobAbortedError, match="alpha"):
        passive.channel.close_round(1, last=True)


def test_a_rejection_that_concerns_others_disturbs_neither_work_nor_closing(passive: Party) -> None:
    """Whoever needs that uplink has the round tried again."""
    passive.channel.begin_round(1)
    passive.chain.judges(GAMMA, passive.comes(THIRD, HISTOGRAM, 1), Reason.SLOT_TAKEN)
    passive.chain.judges(ALPHA, passive.answers(1))
    passive.closes(1)
    assert passive.chain.calls == ["commit 1.0 HISTOGRAM"]


def test_a_rejection_in_an_overtaken_attempt_ends_nothing(passive: Party) -> None:
    passive.answers(1)
    late = passive.comes(ACTIVE, SPLIT, 2)
    passive.chain.retries(1)
    passive.channel.start_over(1)
    taken = passive.answers(1)
    passive.chain.judges(ALPHA, late, Reason.WRONG_ATTEMPT)
    passive.meanwhile("verdict", lambda: passive.chain.judges(ALPHA, taken))
    passive.channel.close_round(1, last=True)


def test_a_retry_of_a_round_that_is_closed_here_ends_work_on_the_next(passive: Party) -> None:
    passive.chain.judges(ALPHA, passive.answers(1))
    passive.closes(1)
    passive.chain.begins(2)
    passive.answers(2)
    passive.meanwhile("split", lambda: passive.chain.retries(1))
    assert passive.rolled_back(lambda: passive.channel.receive(Split, 2, ACTIVE, to_me=False)) == (1, 1)
    assert passive.rolled_back(lambda: passive.send(SPLIT, 2)) == (1, 1)
    assert passive.rolled_back(lambda: passive.channel.begin_round(3)) == (1, 1)
    passive.channel.start_over(1)
    passive.channel.begin_round(1)
    assert (passive.channel.round, passive.channel.attempt) == (1, 1)


def test_a_second_retry_on_the_way_to_the_first_starts_over_once_more(passive: Party) -> None:
    passive.answers(1)
    passive.chain.retries(1)
    assert passive.rolled_back(lambda: passive.send(SPLIT, 2)) == (1, 1)
    passive.chain.retries(1)
    passive.channel.start_over(1)
    assert passive.rolled_back(lambda: passive.channel.begin_round(1)) == (1, 2)
    passive.channel.start_over(2)
    passive.channel.begin_round(1)
    assert passive.channel.attempt == 2


def test_a_passive_party_gives_up_after_as_many_attempts_as_an_honest_active_party_makes(passive: Party) -> None:
    for attempt in range(1, MAX_RETRIES + 1):
        passive.channel.begin_round(1)
        passive.chain.retries(1)
        passive.channel.start_over(attempt)
    passive.chain.rejects = {Kind.HISTOGRAM: Reason.DEADLINE_MISSED}
    passive.answers(1)
    with pytest.raises(UplinkRejectedError, match="DEADLINE_MISSED"):  # it waits for no other
        passive.channel.close_round(1, last=True)
    passive.chain.retries(1)
    passive.channel.start_over(MAX_RETRIES + 1)
    with pytest.raises(ProtocolViolationError, match=f"attempt {MAX_RETRIES + 1}") as caught:
        passive.channel.begin_round(1)
    assert caught.value.culprit == ACTIVE


def test_an_active_party_that_goes_on_too_far_is_named_by_whom_it_overtook(passive: Party) -> None:
    passive.answers(1)

    def go_on() -> None:
        passive.chain.begins(2)
        passive.chain.begins(3)

    passive.chain.before["commit 1.0 HISTOGRAM"] = go_on
    passive.hurry(0.05)
    with pytest.raises(OvertakenError, match=r"active party 'alpha' went on.*WRONG_ROUND") as caught:
        passive.channel.close_round(1, last=True)
    assert caught.value.sender == ACTIVE


def test_a_round_whose_time_is_over_is_not_committed(passive: Party, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rejected batch would show a fault where the sender of what came late has none."""

    def too_late(*args: object) -> None:
        raise DeadlineError("its time is over", (ACTIVE,))

    monkeypatch.setattr("fedchain.exchange.channel.require_time", too_late)
    passive.answers(1)
    passive.meanwhile("attempt", lambda: passive.chain.retries(1))
    assert passive.rolled_back(lambda: passive.channel.close_round(1, last=True)) == (1, 1)
    assert passive.chain.calls == []


# -- the end of training -----------------------------------------------------------------------------------------------


def closed(party: Party) -> None:
    """A passive party has closed round 1, the last."""
    party.chain.judges(ALPHA, party.answers(1))
    party.channel.close_round(1, last=True)
    party.chain.calls = []


def test_a_stop_is_declared_once_and_the_party_goes_on_when_all_have(passive: Party) -> None:
    closed(passive)
    passive.meanwhile("phase", lambda: everybody_else_stops(passive))
    passive.channel.declare_stop(1)
    assert passive.chain.calls == ["stop 1"]
    assert (passive.channel.round, passive.channel.attempt, passive.inbox.phase) == (2, 0, Phase.EVALUATING)
    assert passive.state.deliveries(JOB) == []


@pytest.mark.parametrize("is_known", [True, False])
def test_no_stop_is_declared_after_another_party_could_not_close_the_round(passive: Party, is_known: bool) -> None:
    """Also where the chain has tried it again and the event has not come yet."""
    closed(passive)
    passive.chain.is_silent = not is_known
    passive.chain.retries(1)
    if not is_known:
        passive.meanwhile("attempt", passive.chain.tell)
    assert passive.rolled_back(lambda: passive.channel.declare_stop(1)) == (1, 1)
    assert passive.chain.calls == []


def test_a_retry_while_others_have_not_stopped_ends_the_wait_and_the_stop_is_declared_anew(passive: Party) -> None:
    closed(passive)
    passive.meanwhile("phase", lambda: passive.chain.retries(1))
    assert passive.rolled_back(lambda: passive.channel.declare_stop(1)) == (1, 1)
    assert passive.chain.calls == ["stop 1"]
    passive.channel.start_over(1)
    closed(passive)
    passive.meanwhile("phase", lambda: everybody_else_stops(passive))
    passive.channel.declare_stop(1)
    assert passive.chain.calls == ["stop 1"]
    assert (passive.channel.round, passive.channel.attempt) == (2, 0)


def test_a_stop_that_was_mined_after_the_retry_that_overtook_it_is_not_declared_twice(passive: Party) -> None:
    closed(passive)
    passive.chain.retries(1)
    assert passive.rolled_back(lambda: passive.channel.declare_stop(1)) == (1, 1)
    passive.chain.stops(BETA, 1)
    passive.channel.start_over(1)
    closed(passive)
    passive.meanwhile("phase", lambda: everybody_else_stops(passive))
    passive.channel.declare_stop(1)
    assert passive.chain.calls == []
    assert passive.inbox.phase is Phase.EVALUATING
