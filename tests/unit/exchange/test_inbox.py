"""Inbox: accepted uplinks by slot, and every way in which waiting ends otherwise."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

from fedchain.chain import JobAborted, PhaseChanged, RequestClosed, RequestStatus, RoundBegan, UplinkJudged
from fedchain.crypto.merkle import payload_digest
from fedchain.errors import (
    DeadlineError,
    DigestMismatchError,
    FedchainError,
    JobAbortedError,
    ProtocolViolationError,
    UplinkRejectedError,
)
from fedchain.exchange import Inbox, Slot
from fedchain.exchange.waits import LEARN_FROM, Patience
from fedchain.messages import Envelope
from fedchain.types import INLINE_LIMIT, REQUEST_BASE, JobId, Kind, PartyId, Phase, Reason

JOB = JobId("0x" + "cd" * 32)
ALPHA, BETA, GAMMA, STRANGER = ("0x" + pair * 20 for pair in ("A1", "b2", "C3", "d4"))
NAMES = {ALPHA: "alpha", BETA: "beta", GAMMA: "gamma"}
PAYLOAD = b"payload"
_log = itertools.count()


class Names:
    """Stands in for the registry."""

    def name_of(self, address: str) -> PartyId:
        return PartyId(NAMES.get(address, address))


class Fetches:
    """Stands in for the fetcher; each fetch ends as the test says."""

    def __init__(self) -> None:
        self.started: list[Future[bytes]] = []

    def submit(self, *_: object, **__: object) -> Future[bytes]:
        self.started.append(Future())
        return self.started[-1]


def place() -> dict[str, Any]:
    number = next(_log)
    return {
        "block_number": number,
        "block_hash": number.to_bytes(32, "big"),
        "log_index": 0,
        "transaction_hash": bytes(32),
    }


def judged(
    sender: str = BETA, reason: Reason = Reason.ACCEPTED, payload: bytes = PAYLOAD, **changes: object
) -> UplinkJudged:
    envelope = replace(
        Envelope(bytes.fromhex(JOB[2:]), 1, 0, 2, Kind.HISTOGRAM, bytes(20), payload_digest(payload), len(payload)),
        **changes,  # type: ignore[arg-type]
    )
    inline = payload if reason is Reason.ACCEPTED and envelope.size <= INLINE_LIMIT else b""
    return UplinkJudged(
        job_id=JOB, sender=sender, uplink_id=bytes(32), reason=reason, envelope=envelope, payload=inline, **place()
    )


@pytest.fixture
def fetches() -> Fetches:
    return Fetches()


@pytest.fixture
def inbox(fetches: Fetches) -> Inbox:
    return Inbox(
        job_id=JOB,
        me=ALPHA,
        roster=(ALPHA, BETA, GAMMA),
        max_payload_bytes=10**6,
        directory=Names(),  # type: ignore[arg-type]
        fetcher=fetches,  # type: ignore[arg-type]
        on_wait=lambda: None,
    )


def slot(sender: str = BETA, *, to_me: bool = False, round: int = 1) -> Slot:
    return Slot(round, 0, 2, Kind.HISTOGRAM, sender.lower(), ALPHA.lower() if to_me else "")


def take(inbox: Inbox, which: Slot, seconds: float = 0.05) -> bytes:
    return inbox.take([which], time.monotonic() + seconds)[0]


def test_an_accepted_uplink_is_taken_from_its_slot(inbox: Inbox) -> None:
    inbox.deliver([judged()], 1)
    assert take(inbox, slot()) == PAYLOAD


def test_a_waiter_is_woken_by_the_arrival(inbox: Inbox) -> None:
    threading.Timer(0.05, lambda: inbox.deliver([judged()], 1)).start()
    start = time.monotonic()
    assert take(inbox, slot(), 5.0) == PAYLOAD
    assert time.monotonic() - start < 0.4


def test_a_wait_for_several_names_all_that_are_missing_and_ends_with_the_last(inbox: Inbox) -> None:
    both = [slot(BETA), slot(GAMMA)]
    with pytest.raises(DeadlineError) as caught:
        inbox.take(both, time.monotonic() + 0.02)
    assert caught.value.who == ("beta", "gamma")
    inbox.deliver([judged(GAMMA)], 1)
    with pytest.raises(DeadlineError) as caught:
        inbox.take(both, time.monotonic() + 0.02)
    assert caught.value.who == ("beta",)
    threading.Timer(0.05, lambda: inbox.deliver([judged(BETA, payload=b"beta's")], 2)).start()
    assert inbox.take(both, time.monotonic() + 5) == [b"beta's", PAYLOAD]


def test_a_wait_for_several_ends_with_the_first_that_cheats(inbox: Inbox, fetches: Fetches) -> None:
    inbox.deliver([judged(GAMMA, size=INLINE_LIMIT + 1)], 1)
    fetches.started[0].set_exception(DigestMismatchError("party 'gamma' served other bytes"))
    start = time.monotonic()
    with pytest.raises(ProtocolViolationError) as caught:
        inbox.take([slot(BETA), slot(GAMMA)], time.monotonic() + 5)
    assert caught.value.culprit == "gamma"
    assert time.monotonic() - start < 1


def test_each_of_several_is_known_by_its_own_times(inbox: Inbox) -> None:
    inbox.patience = Patience(60.0)
    for round in range(1, LEARN_FROM + 1):
        inbox.deliver([judged(BETA, round=round), judged(GAMMA, round=round)], round)
        inbox.take([slot(BETA, round=round), slot(GAMMA, round=round)], time.monotonic() + 1)
    for name in ("beta", "gamma"):
        assert inbox.waits.deadlines(JOB, [name], "histogram", 60.0) != (None, None)


def test_broadcast_and_private_uplinks_have_slots_of_their_own(inbox: Inbox) -> None:
    inbox.deliver([judged(recipient=bytes.fromhex(ALPHA[2:]))], 1)
    assert take(inbox, slot(to_me=True)) == PAYLOAD
    with pytest.raises(DeadlineError):
        take(inbox, slot())


def test_uplinks_for_somebody_else_are_not_kept(inbox: Inbox) -> None:
    inbox.deliver([judged(recipient=bytes.fromhex(GAMMA[2:]))], 1)
    with pytest.raises(DeadlineError):
        take(inbox, slot())
    with pytest.raises(DeadlineError):
        take(inbox, slot(to_me=True))


def test_a_missed_deadline_names_what_and_whom(inbox: Inbox) -> None:
    with pytest.raises(DeadlineError, match=r"histogram in round 1 step 2 from gamma"):
        take(inbox, slot(GAMMA))


def test_a_missed_deadline_tells_of_an_rpc_outage(inbox: Inbox) -> None:
    inbox.trouble = "nothing answers at the RPC address"
    with pytest.raises(DeadlineError, match="nothing answers"):
        take(inbox, slot(GAMMA))


def test_a_rejected_uplink_is_never_taken_and_names_sender_and_reason(inbox: Inbox) -> None:
    inbox.deliver([judged(reason=Reason.SLOT_TAKEN)], 1)
    with pytest.raises(UplinkRejectedError) as caught:
        take(inbox, slot())
    assert (caught.value.sender, caught.value.reason) == ("beta", "SLOT_TAKEN")


def test_a_rejected_uplink_of_one_party_ends_waiting_for_another_at_once(inbox: Inbox) -> None:
    threading.Timer(0.05, lambda: inbox.deliver([judged(BETA, Reason.SIZE_OUT_OF_BOUNDS)], 1)).start()
    start = time.monotonic()
    with pytest.raises(UplinkRejectedError, match="beta"):
        take(inbox, slot(GAMMA), 5.0)
    assert time.monotonic() - start < 0.4


def test_a_strangers_rejected_uplink_disturbs_nobody(inbox: Inbox) -> None:
    inbox.deliver([judged(STRANGER, Reason.NOT_ON_ROSTER), judged()], 1)
    assert take(inbox, slot()) == PAYLOAD


def test_a_rejection_before_a_new_round_does_not_end_the_round(inbox: Inbox) -> None:
    inbox.deliver([judged(reason=Reason.WRONG_PHASE)], 1)
    inbox.deliver([RoundBegan(job_id=JOB, round=1, attempt=1, **place()), judged(attempt=1)], 2)
    assert take(inbox, Slot(1, 1, 2, Kind.HISTOGRAM, BETA.lower(), "")) == PAYLOAD
    assert inbox.wait_round(1, time.monotonic()) == 1


@pytest.mark.parametrize(("reason", "ends"), [(Reason.WRONG_ROUND, False), (Reason.SLOT_TAKEN, True)])
def test_an_uplink_of_a_round_that_is_over_ends_nothing(inbox: Inbox, reason: Reason, ends: bool) -> None:
    """It may be nobody's fault, and else it would be a way to end the job in another's name."""
    inbox.deliver([PhaseChanged(job_id=JOB, phase=Phase.TRAINING, **place())], 1)
    inbox.deliver(
        [RoundBegan(job_id=JOB, round=2, attempt=0, **place()), judged(reason=reason), judged(GAMMA, round=2)], 2
    )
    if ends:
        with pytest.raises(UplinkRejectedError):
            take(inbox, slot(GAMMA, round=2))
    else:
        assert take(inbox, slot(GAMMA, round=2)) == PAYLOAD


def test_what_came_first_is_raised_when_a_rejected_party_aborts(inbox: Inbox) -> None:
    inbox.deliver(
        [judged(reason=Reason.DIGEST_MISMATCH), JobAborted(job_id=JOB, by=BETA, reason="gave up", **place())], 1
    )
    with pytest.raises(UplinkRejectedError):
        take(inbox, slot())


def test_an_aborted_job_says_by_whom_and_why(inbox: Inbox) -> None:
    inbox.deliver([JobAborted(job_id=JOB, by=GAMMA, reason="out of memory", **place())], 1)
    with pytest.raises(JobAbortedError, match=r"gamma.*out of memory"):
        inbox.wait_phase(Phase.COMPLETED, time.monotonic() + 1)


def test_inline_bytes_that_do_not_match_their_digest_name_the_sender(inbox: Inbox) -> None:
    inbox.deliver([judged(digest=b"\x09" * 32)], 1)
    with pytest.raises(ProtocolViolationError, match="beta"):
        take(inbox, slot())


def test_a_payload_by_reference_is_fetched_as_soon_as_it_is_accepted(inbox: Inbox, fetches: Fetches) -> None:
    big = bytes(INLINE_LIMIT + 1)
    inbox.deliver([judged(payload=big)], 1)
    assert len(fetches.started) == 1
    with pytest.raises(DeadlineError):
        take(inbox, slot())
    fetches.started[0].set_result(big)
    assert take(inbox, slot()) == big


def test_a_sender_that_serves_other_bytes_is_named(inbox: Inbox, fetches: Fetches) -> None:
    inbox.deliver([judged(payload=bytes(INLINE_LIMIT + 1))], 1)
    fetches.started[0].set_exception(DigestMismatchError("served other bytes"))
    with pytest.raises(ProtocolViolationError, match="beta"):
        take(inbox, slot())


def test_an_event_delivered_twice_counts_once(inbox: Inbox) -> None:
    rejection = judged(reason=Reason.SLOT_TAKEN)
    inbox.deliver([rejection], 1)
    inbox.deliver([RoundBegan(job_id=JOB, round=1, attempt=0, **place())], 2)
    inbox.deliver([rejection, judged()], 3)
    assert take(inbox, slot()) == PAYLOAD


def test_phases_are_reached_or_passed(inbox: Inbox) -> None:
    inbox.deliver([PhaseChanged(job_id=JOB, phase=Phase.EVALUATING, **place())], 1)
    inbox.wait_phase(Phase.TRAINING, time.monotonic())
    with pytest.raises(DeadlineError, match="COMPLETED"):
        inbox.wait_phase(Phase.COMPLETED, time.monotonic())


def test_a_closed_request_ends_its_own_waits_only(inbox: Inbox) -> None:
    closed, other = REQUEST_BASE, REQUEST_BASE + 1
    inbox.deliver(
        [
            RequestClosed(job_id=JOB, request_id=closed, by=BETA, outcome=RequestStatus.EXPIRED, **place()),
            judged(round=other),
        ],
        1,
    )
    with pytest.raises(JobAbortedError, match="beta"):
        take(inbox, slot(round=closed))
    assert take(inbox, slot(round=other)) == PAYLOAD


def test_a_rejection_in_one_request_does_not_end_another(inbox: Inbox) -> None:
    inbox.deliver([judged(reason=Reason.SLOT_TAKEN, round=REQUEST_BASE), judged(round=REQUEST_BASE + 1)], 1)
    assert take(inbox, slot(round=REQUEST_BASE + 1)) == PAYLOAD
    with pytest.raises(UplinkRejectedError):
        take(inbox, slot(round=REQUEST_BASE))


def test_payloads_of_earlier_rounds_are_dropped(inbox: Inbox) -> None:
    inbox.deliver([judged(), judged(round=2)], 1)
    inbox.forget_before(2)
    assert take(inbox, slot(round=2)) == PAYLOAD
    with pytest.raises(DeadlineError):
        take(inbox, slot())


def test_a_dead_subscriber_ends_every_wait(inbox: Inbox) -> None:
    threading.Timer(0.05, lambda: inbox.fail(FedchainError("reading ended"))).start()
    with pytest.raises(FedchainError, match="reading ended"):
        take(inbox, slot(), 5.0)


def test_after_a_reorganisation_everything_comes_again_and_may_be_taken_again(inbox: Inbox, fetches: Fetches) -> None:
    big = bytes(INLINE_LIMIT + 1)
    events = [
        PhaseChanged(job_id=JOB, phase=Phase.TRAINING, **place()),
        RoundBegan(job_id=JOB, round=1, attempt=0, **place()),
        judged(),
        judged(payload=big, step=3),
    ]
    inbox.deliver(events, 4)
    assert take(inbox, slot()) == PAYLOAD
    inbox.rewind(Phase.PROPOSED)
    assert inbox.phase == Phase.PROPOSED
    assert fetches.started[0].cancelled()
    with pytest.raises(DeadlineError):
        take(inbox, slot())
    with pytest.raises(DeadlineError):
        inbox.wait_round(1, time.monotonic() + 0.05)
    assert not inbox.wait_height(1, time.monotonic())
    inbox.deliver(events, 4)  # the same blocks: they count although they were delivered before
    assert take(inbox, slot()) == PAYLOAD
    assert inbox.wait_round(1, time.monotonic() + 0.05) == 0
    fetches.started[1].set_result(big)
    assert take(inbox, replace(slot(), step=3)) == big


def test_failures_of_blocks_that_are_gone_end_no_wait(inbox: Inbox) -> None:
    inbox.deliver([judged(reason=Reason.SLOT_TAKEN), JobAborted(job_id=JOB, by=BETA, reason="", **place())], 1)
    inbox.rewind(Phase.TRAINING)
    inbox.deliver([judged()], 2)
    assert take(inbox, slot()) == PAYLOAD


def test_two_digests_for_one_slot_on_two_branches_of_the_chain_name_their_sender(inbox: Inbox) -> None:
    inbox.deliver([judged()], 1)
    assert take(inbox, slot()) == PAYLOAD
    inbox.rewind(Phase.TRAINING)
    inbox.deliver([judged(payload=b"another")], 2)
    with pytest.raises(ProtocolViolationError, match="two digests") as caught:
        take(inbox, slot())
    assert caught.value.culprit == "beta"


def test_another_digest_on_another_branch_is_fine_as_long_as_nobody_has_used_the_first(inbox: Inbox) -> None:
    inbox.deliver([judged()], 1)
    inbox.rewind(Phase.TRAINING)
    inbox.deliver([judged(payload=b"another")], 2)
    assert take(inbox, slot()) == b"another"
