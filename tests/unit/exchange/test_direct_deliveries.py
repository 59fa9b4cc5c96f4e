"""Inbox in a pipelined round: uplinks that come from their senders, some of whose bytes were lost."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import pytest

from fedchain.chain import PhaseChanged, RoundBegan, UplinkJudged
from fedchain.chain.events import ChainEvent
from fedchain.crypto.merkle import payload_digest
from fedchain.errors import DeadlineError, DigestMismatchError, PayloadUnavailableError, ProtocolViolationError
from fedchain.exchange import Inbox, Slot
from fedchain.exchange.slot import slot_of
from fedchain.messages import Envelope
from fedchain.types import Kind, Phase, Reason
from tests.unit.exchange.ledger import ALPHA, BETA, JOB, ROSTER, Names

PAYLOAD = b"payload"
ENVELOPE = Envelope(bytes.fromhex(JOB[2:]), 1, 0, 2, Kind.HISTOGRAM, bytes(20), payload_digest(PAYLOAD), len(PAYLOAD))
OTHER = replace(ENVELOPE, digest=payload_digest(b"another"), size=len(b"another"))
SLOT = slot_of(BETA, ENVELOPE)
_log = itertools.count(1)


class Fetches:
    """Stands in for the fetcher; each fetch ends as the test says."""

    def __init__(self) -> None:
        self.started: list[Future[bytes]] = []
        self.asked: list[tuple[str, bytes, int]] = []

    def submit(self, sender: str, digest: bytes, size: int, **_: object) -> Future[bytes]:
        self.asked.append((sender, digest, size))
        self.started.append(Future())
        return self.started[-1]


class Accused:
    """What is said of senders of two digests."""

    def __init__(self) -> None:
        self.second: list[tuple[str, Envelope]] = []

    def __call__(self, sender: str, envelope: Envelope) -> None:
        self.second.append((sender, envelope))


@pytest.fixture
def fetches() -> Fetches:
    return Fetches()


@pytest.fixture
def accused() -> Accused:
    return Accused()


def event(kind: type[ChainEvent], **values: Any) -> ChainEvent:
    number = next(_log)
    return kind(
        job_id=JOB,  # type: ignore[call-arg]
        block_number=number,
        block_hash=number.to_bytes(32, "big"),
        log_index=0,
        transaction_hash=bytes(32),
        **values,
    )


BEGINNING = [event(PhaseChanged, phase=Phase.TRAINING), event(RoundBegan, round=1, attempt=0)]


@pytest.fixture
def inbox(fetches: Fetches, accused: Accused) -> Inbox:
    """alpha's, in round 1."""
    names: Any = Names()
    fetcher: Any = fetches
    one = Inbox(JOB, ALPHA, ROSTER, 10**6, names, fetcher, lambda: None, pipelined=True, on_equivocation=accused)
    one.deliver(BEGINNING, 1)
    return one


def committed(envelope: Envelope, payload: bytes = b"") -> ChainEvent:
    return event(
        UplinkJudged, sender=BETA, uplink_id=bytes(32), reason=Reason.ACCEPTED, envelope=envelope, payload=payload
    )


def take(inbox: Inbox, slot: Slot = SLOT, seconds: float = 0.02) -> bytes:
    (payload,) = inbox.take([slot], time.monotonic() + seconds)
    return payload


def asked_for(inbox: Inbox) -> None:
    """The job asks for it, and its bytes are not here."""
    with pytest.raises(DeadlineError, match="payload of histogram in round 1 step 2 from beta"):
        take(inbox, seconds=0.005)


def test_a_waiter_is_woken_by_a_delivery_and_the_chain_is_not_looked_at_for_it(inbox: Inbox) -> None:
    looks: list[None] = []
    inbox.on_wait = lambda: looks.append(None)
    seen = []

    def deliver() -> None:
        while not inbox.waits.current():
            time.sleep(0.001)
        seen.append(inbox.waiting)
        inbox.deliver_directly(BETA, ENVELOPE, PAYLOAD)

    thread = threading.Thread(target=deliver)
    thread.start()
    started = time.monotonic()
    assert take(inbox, seconds=5.0) == PAYLOAD
    assert time.monotonic() - started < 0.4  # less than a look at the clock
    thread.join()
    assert (looks, seen) == ([], [0])


def test_bytes_that_were_lost_are_fetched_from_their_sender_once_they_are_asked_for(
    inbox: Inbox, fetches: Fetches
) -> None:
    inbox.deliver_directly(BETA, ENVELOPE, None)
    assert fetches.asked == []
    asked_for(inbox)
    asked_for(inbox)
    assert fetches.asked == [(BETA, ENVELOPE.digest, len(PAYLOAD))]
    fetches.started[0].set_result(PAYLOAD)
    assert take(inbox) == PAYLOAD
    assert inbox.taken_in(1, 0) == {SLOT: ENVELOPE.digest}


def test_bytes_that_were_lost_count_for_nothing_among_those_that_are_held(inbox: Inbox) -> None:
    inbox.deliver_directly(BETA, ENVELOPE, None)
    inbox.deliver_directly(BETA, replace(ENVELOPE, step=3), PAYLOAD)
    assert inbox.held_of(BETA) == (1, len(PAYLOAD))


@pytest.mark.parametrize("is_asked_for", [False, True])
def test_bytes_that_were_lost_may_be_delivered_again(inbox: Inbox, fetches: Fetches, is_asked_for: bool) -> None:
    inbox.deliver_directly(BETA, ENVELOPE, None)
    if is_asked_for:
        asked_for(inbox)
    inbox.deliver_directly(BETA, ENVELOPE, PAYLOAD)
    assert take(inbox) == PAYLOAD
    assert len(fetches.asked) == is_asked_for


def test_that_bytes_were_lost_takes_nothing_away_that_is_here(inbox: Inbox, fetches: Fetches) -> None:
    inbox.deliver_directly(BETA, ENVELOPE, PAYLOAD)
    inbox.deliver_directly(BETA, ENVELOPE, None)
    assert take(inbox) == PAYLOAD
    assert fetches.asked == []


def test_a_sender_that_does_not_serve_what_was_lost_is_named(inbox: Inbox, fetches: Fetches) -> None:
    inbox.deliver_directly(BETA, ENVELOPE, None)
    asked_for(inbox)
    fetches.started[0].set_exception(PayloadUnavailableError("beta", "gone"))
    with pytest.raises(PayloadUnavailableError) as caught:
        take(inbox)
    assert caught.value.culprit == "beta"


def test_a_sender_that_serves_other_bytes_than_were_lost_is_named(inbox: Inbox, fetches: Fetches) -> None:
    inbox.deliver_directly(BETA, ENVELOPE, None)
    asked_for(inbox)
    fetches.started[0].set_exception(DigestMismatchError("party 'beta' served other bytes"))
    with pytest.raises(ProtocolViolationError, match="served other bytes") as caught:
        take(inbox)
    assert caught.value.culprit == "beta"


@pytest.mark.parametrize("payload", [None, b"another"])
@pytest.mark.parametrize("first", [None, PAYLOAD])
def test_another_digest_in_a_slot_names_its_sender_whether_the_bytes_are_here_or_not(
    inbox: Inbox, accused: Accused, first: bytes | None, payload: bytes | None
) -> None:
    inbox.deliver_directly(BETA, ENVELOPE, first)
    with pytest.raises(ProtocolViolationError, match="two digests in one slot") as caught:
        inbox.deliver_directly(BETA, OTHER, payload)
    assert caught.value.culprit == "beta"
    assert accused.second == [(BETA, OTHER)]
    with pytest.raises(ProtocolViolationError, match="two digests"):
        take(inbox)


def test_another_digest_after_the_first_was_taken_names_its_sender(inbox: Inbox, accused: Accused) -> None:
    inbox.deliver_directly(BETA, ENVELOPE, PAYLOAD)
    take(inbox)
    inbox.deliver_directly(BETA, ENVELOPE, PAYLOAD)
    assert accused.second == []
    with pytest.raises(ProtocolViolationError, match="two digests"):
        inbox.deliver_directly(BETA, OTHER, b"another")
    assert accused.second == [(BETA, OTHER)]


def test_the_verdict_on_what_was_lost_neither_brings_it_back_nor_harms(inbox: Inbox, fetches: Fetches) -> None:
    inbox.deliver_directly(BETA, ENVELOPE, None)
    inbox.deliver([committed(ENVELOPE)], 2)
    inbox.wait_committed({SLOT: ENVELOPE.digest}, time.monotonic() + 1.0, round=1)
    asked_for(inbox)
    fetches.started[0].set_result(PAYLOAD)
    assert take(inbox) == PAYLOAD
    assert len(fetches.asked) == 1


def test_what_is_committed_before_it_is_delivered_is_fetched_unless_it_comes_first(
    inbox: Inbox, fetches: Fetches
) -> None:
    inbox.deliver([committed(ENVELOPE)], 2)
    assert fetches.asked == [(BETA, ENVELOPE.digest, len(PAYLOAD))]
    inbox.deliver_directly(BETA, ENVELOPE, PAYLOAD)
    assert take(inbox) == PAYLOAD


def test_a_reorganisation_leaves_what_was_delivered(inbox: Inbox) -> None:
    inbox.deliver_directly(BETA, ENVELOPE, PAYLOAD)
    inbox.rewind(Phase.ALIGNING)
    inbox.deliver(BEGINNING, 1)
    assert take(inbox) == PAYLOAD


def test_what_was_lost_is_fetched_anew_where_a_reorganisation_ended_the_fetch(inbox: Inbox, fetches: Fetches) -> None:
    inbox.deliver_directly(BETA, ENVELOPE, None)
    asked_for(inbox)
    inbox.rewind(Phase.ALIGNING)
    inbox.deliver(BEGINNING, 1)
    asked_for(inbox)
    fetches.started[-1].set_result(PAYLOAD)
    assert take(inbox) == PAYLOAD


@pytest.mark.parametrize("is_same", [True, False])
def test_what_was_taken_before_a_reorganisation_is_known_when_it_is_delivered_or_something_else(
    inbox: Inbox, accused: Accused, is_same: bool
) -> None:
    inbox.deliver([committed(ENVELOPE, PAYLOAD)], 2)
    assert take(inbox) == PAYLOAD
    inbox.rewind(Phase.ALIGNING)
    inbox.deliver(BEGINNING, 1)
    if is_same:
        inbox.deliver_directly(BETA, ENVELOPE, PAYLOAD)
        assert accused.second == []
    else:
        with pytest.raises(ProtocolViolationError, match="two digests"):
            inbox.deliver_directly(BETA, OTHER, b"another")
        assert accused.second == [(BETA, OTHER)]
    assert inbox.held_of(BETA) == (0, 0)


def test_closed_rounds_and_overtaken_attempts_are_dropped_and_their_digests_told(inbox: Inbox) -> None:
    again, following = replace(ENVELOPE, attempt=1), replace(OTHER, round=2)
    inbox.deliver_directly(BETA, ENVELOPE, PAYLOAD)
    inbox.deliver_directly(BETA, following, b"another")
    assert inbox.begin_work(2, 0) == {ENVELOPE.digest}
    inbox.deliver_directly(BETA, again, PAYLOAD)
    assert inbox.begin_work(1, 1) == {OTHER.digest}
    assert take(inbox, slot_of(BETA, again)) == PAYLOAD
    with pytest.raises(DeadlineError):
        take(inbox, slot_of(BETA, following))


def test_a_digest_that_another_slot_holds_is_not_told_as_dropped(inbox: Inbox) -> None:
    inbox.deliver_directly(BETA, ENVELOPE, PAYLOAD)
    inbox.deliver_directly(BETA, replace(ENVELOPE, round=2), PAYLOAD)
    assert inbox.begin_work(2, 0) == set()


def test_a_ciphertext_of_an_earlier_round_is_noticed_as_it_comes_signed_and_once_more_when_it_is_accepted(
    fetches: Fetches, accused: Accused
) -> None:
    """Before it is opened: whoever opens it gives the job up, and its round is never committed."""
    names: Any = Names()
    fetcher: Any = fetches
    told: list[tuple[str, Envelope, Envelope]] = []
    inbox = Inbox(
        JOB,
        ALPHA,
        ROSTER,
        10**6,
        names,
        fetcher,
        lambda: None,
        pipelined=True,
        on_equivocation=accused,
        on_replay=lambda *found: told.append(found),
    )
    inbox.deliver(BEGINNING, 1)
    inbox.deliver_directly(BETA, ENVELOPE, PAYLOAD)
    inbox.deliver([committed(ENVELOPE)], 2)
    assert told == []
    again = replace(ENVELOPE, round=2)
    inbox.deliver_directly(BETA, again, PAYLOAD)
    assert told == [(BETA, ENVELOPE, again)]
    inbox.deliver([committed(again)], 3)
    assert told == 2 * [(BETA, ENVELOPE, again)]  # the proof is asked for before it is brought again
