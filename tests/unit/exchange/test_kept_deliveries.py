"""Receiver: what came directly is there after a restart, and goes when its round is closed or rolled back."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedchain.errors import DeadlineError, ProtocolViolationError
from fedchain.exchange import Access
from fedchain.exchange.slot import slot_of
from fedchain.messages import Envelope
from fedchain.types import INLINE_LIMIT
from tests.unit.exchange.ledger import JOB
from tests.unit.exchange.receivers import (
    ALPHA,
    BETA,
    GAMMA,
    OTHER_JOB,
    PAYLOAD,
    Node,
    envelope,
    to,
)

# -- after a restart ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_large", [False, True])
def test_a_restarted_node_knows_what_had_come_and_fetches_it_when_it_is_asked_for(
    tmp_path: Path, opened: list[Node], is_large: bool
) -> None:
    node = Node(tmp_path)
    opened.append(node)
    node.begins(1)
    node.inbox.max_payload_bytes = 2**20
    payload = bytes(range(256)) * (INLINE_LIMIT // 256 + 1) if is_large else PAYLOAD
    mine, all_s = envelope(payload, recipient=to(ALPHA)), envelope(b"for all", step=3)
    node.comes(BETA, mine, payload)
    node.comes(GAMMA, all_s, b"for all")
    assert node.take(BETA, mine) == payload
    assert node.incoming.received(mine.digest) is None
    node.start()
    with pytest.raises(DeadlineError):
        node.take(BETA, mine, 0.01)
    node.receiver.bring_back(node.inbox)
    assert node.inbox.held_of(BETA) == (0, 0)
    assert node.fetches.asked == []
    node.fetches.served[mine.digest], node.fetches.served[all_s.digest] = payload, b"for all"
    assert node.take(BETA, mine) == payload
    assert node.take(GAMMA, all_s) == b"for all"
    assert node.fetches.asked == [(BETA, mine.digest), (GAMMA, all_s.digest)]


def test_what_was_fetched_before_a_restart_is_not_fetched_again(node: Node) -> None:
    one = envelope()
    node.comes(BETA, one)
    node.incoming.put(PAYLOAD, Access(JOB, ()))
    node.start()
    node.receiver.bring_back(node.inbox)
    assert node.take(BETA, one) == PAYLOAD
    assert node.fetches.asked == []


def test_what_had_come_before_a_restart_may_be_delivered_again(node: Node) -> None:
    one = envelope()
    node.comes(BETA, one)
    node.start()
    node.receiver.bring_back(node.inbox)
    node.comes(BETA, one)
    assert node.take(BETA, one) == PAYLOAD
    assert node.fetches.asked == []
    assert node.held() == [one]


def test_an_attempt_that_was_overtaken_is_not_brought_back(node: Node) -> None:
    old, new = envelope(), envelope(b"once more", attempt=1)
    node.comes(BETA, old)
    node.begins(1, 1)
    node.comes(BETA, new, b"once more")
    node.start()
    node.receiver.bring_back(node.inbox)
    node.fetches.served = {old.digest: PAYLOAD, new.digest: b"once more"}
    assert node.take(BETA, new) == b"once more"
    with pytest.raises(DeadlineError):
        node.take(BETA, old, 0.01)


def test_two_digests_in_one_slot_are_found_again_and_the_rest_is_brought_back(node: Node) -> None:
    last = envelope(b"of the next round", round=2)
    node.comes(BETA, envelope())
    with pytest.raises(ProtocolViolationError):
        node.comes(BETA, envelope(b"another"), b"another")
    node.comes(GAMMA, last, b"of the next round")
    node.start()
    node.receiver.bring_back(node.inbox)
    node.fetches.served[last.digest] = b"of the next round"
    assert node.inbox.arrivals.ready(slot_of(GAMMA, last))[0]
    with pytest.raises(ProtocolViolationError, match=r"party 'beta': two digests"):
        node.take(GAMMA, last)


# -- what is dropped ---------------------------------------------------------------------------------------------------


def come(node: Node, *places: tuple[int, int], payload: bytes | None = None, sender: str = BETA) -> list[Envelope]:
    """Uplinks of these rounds and attempts come."""
    found = []
    for round, attempt in places:
        data = f"round {round}, attempt {attempt}".encode() if payload is None else payload
        found.append(envelope(data, round=round, attempt=attempt))
        node.comes(sender, found[-1], data)
    return found


def fetched(node: Node, payload: bytes) -> bytes:
    """As if it had been fetched after a restart."""
    return node.incoming.put(payload, Access(JOB, ()), synced=False)


def test_closed_rounds_and_overtaken_attempts_go_and_the_rest_stays(node: Node) -> None:
    node.begins(2)
    earlier, now, again = come(node, (1, 0), (2, 0), (1, 1))
    for round, attempt in ((1, 0), (2, 0), (1, 1)):
        fetched(node, f"round {round}, attempt {attempt}".encode())
    node.receiver.release(JOB, 2, 0, ())
    assert node.held() == [again, now]
    assert node.incoming.received(earlier.digest) is None
    node.receiver.release(JOB, 1, 1, ())
    assert node.held() == [again]
    assert node.incoming.received(now.digest) is None
    assert node.incoming.received(again.digest) == b"round 1, attempt 1"


def test_a_payload_that_is_still_needed_elsewhere_stays(node: Node) -> None:
    """Two parties, or two rounds, may bring the same bytes."""
    come(node, (1, 0), (2, 0), payload=b"the same")
    (other,) = come(node, (2, 0), payload=b"the same", sender=GAMMA)
    fetched(node, b"the same")
    node.receiver.release(JOB, 2, 0, [other.digest])
    assert len(node.held()) == 2
    assert node.incoming.received(other.digest) == b"the same"
    node.receiver.release(JOB, 3, 0, ())
    assert node.held() == []
    assert node.incoming.received(other.digest) is None


def test_fetched_payloads_that_the_inbox_has_dropped_go_too_unless_another_job_has_them(node: Node) -> None:
    gone = node.incoming.put(b"fetched for one job", Access(JOB, ()))
    shared = node.incoming.put(b"fetched for two", Access(JOB, ()))
    node.incoming.put(b"fetched for two", Access(OTHER_JOB, ()))
    node.receiver.release(JOB, 1, 0, [gone, shared, bytes(32)])
    assert node.incoming.received(gone) is None
    assert node.incoming.received(shared) == b"fetched for two"


def test_another_jobs_deliveries_are_nobody_elses_to_release(node: Node) -> None:
    (one,) = come(node, (1, 0))
    fetched(node, b"round 1, attempt 0")
    node.receiver.release(OTHER_JOB, 9, 9, [one.digest])
    node.receiver.forget(OTHER_JOB)
    assert node.held() == [one]
    assert node.incoming.received(one.digest) is not None


def test_what_was_released_is_not_brought_back_and_frees_its_senders_part(node: Node) -> None:
    come(node, (1, 0))
    node.begins(2)
    dropped = node.inbox.begin_work(2, 0)
    assert dropped == {envelope(b"round 1, attempt 0").digest}
    assert node.inbox.held_of(BETA) == (0, 0)
    node.receiver.release(JOB, 2, 0, dropped)
    node.start()
    node.receiver.bring_back(node.inbox)
    assert node.inbox.held_of(BETA) == (0, 0)


def test_nothing_is_recorded_of_a_job_that_is_over(node: Node) -> None:
    """A delivery that was let in just before."""
    node.comes(BETA, envelope())
    node.receiver.forget(JOB)
    assert node.held() == []
    node.comes(BETA, envelope(b"late", step=3), b"late")
    assert node.held() == []


def test_a_second_digest_that_comes_when_the_job_is_over_is_kept_as_a_proof_alone(node: Node) -> None:
    node.comes(BETA, envelope())
    node.receiver.forget(JOB)
    with pytest.raises(ProtocolViolationError, match="two digests"):
        node.comes(BETA, envelope(b"another"), b"another")
    assert node.held() == []
    assert envelope(b"another").digest in node.proofs()
