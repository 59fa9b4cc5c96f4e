"""Receiver: takes what a sender has signed for this node and this round, refuses all else, and keeps what it must."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fedchain.crypto.merkle import leaf_hashes
from fedchain.errors import FedchainError, MessageError, ProtocolViolationError, TrainingError
from fedchain.exchange import receiving
from fedchain.messages import Envelope
from fedchain.types import Kind, Phase
from tests.unit.exchange.ledger import JOB
from tests.unit.exchange.receivers import (
    ACCOUNTS,
    ALPHA,
    BETA,
    GAMMA,
    MAX_BYTES,
    OTHER_JOB,
    PAYLOAD,
    STRANGER,
    Node,
    envelope,
    to,
)


def refused(node: Node, sender: str, one: Envelope, error: type[FedchainError], match: str) -> FedchainError:
    """It is refused before its payload is sent, and with it; nothing of it stays."""
    with pytest.raises(error, match=match):
        node.receiver.bound(sender, one.to_bytes())
    before = node.held()
    with pytest.raises(error, match=match) as caught:
        node.comes(sender, one)
    assert node.held() == before
    assert node.incoming.received(one.digest) is None
    return caught.value


# -- what is taken -----------------------------------------------------------------------------------------------------


def test_a_signed_uplink_of_the_round_is_recorded_and_taken_before_its_verdict(node: Node) -> None:
    one = envelope()
    assert node.receiver.bound(BETA, one.to_bytes()) == len(PAYLOAD)
    node.comes(BETA, one)
    assert node.take(BETA, one) == PAYLOAD
    (delivery,) = node.state.deliveries(JOB)
    assert (delivery.sender, delivery.envelope, delivery.signature) == (BETA, one.to_bytes(), node.sign(BETA, one))
    assert node.incoming.received(one.digest) is None
    assert node.fetches.asked == []


def test_a_delivery_that_broke_off_before_its_signature_binds_its_sender_to_nothing(node: Node) -> None:
    """Whoever is killed before it has recorded an uplink encrypts anew."""
    assert node.receiver.bound(BETA, envelope(b"never signed").to_bytes()) == len(b"never signed")
    one = envelope()
    node.comes(BETA, one)
    assert node.take(BETA, one) == PAYLOAD
    assert node.proofs() == []
    assert not node.inbox.has_accused(BETA)


def test_an_uplink_that_is_delivered_twice_is_one(node: Node) -> None:
    one = envelope()
    for _ in range(2):
        node.comes(BETA, one)
    assert node.take(BETA, one) == PAYLOAD
    node.comes(BETA, one)
    assert node.held() == [one]
    assert node.inbox.held_of(BETA) == (0, 0)


@pytest.mark.parametrize("recipient", [bytes(20), to(ALPHA)])
def test_uplinks_for_all_and_for_this_node_alone_are_taken(node: Node, recipient: bytes) -> None:
    one = envelope(recipient=recipient)
    node.comes(BETA, one)
    assert node.take(BETA, one) == PAYLOAD


@pytest.mark.parametrize("kind", [Kind.GRADIENTS, Kind.SPLIT, Kind.LEAF_WEIGHTS, Kind.PARTITION])
def test_what_is_the_active_partys_to_deliver_is_taken_from_it_and_not_from_others(
    tmp_path: Path, opened: list[Node], kind: Kind
) -> None:
    beta = Node(tmp_path, BETA)
    opened.append(beta)
    beta.begins(1)
    one = envelope(kind=kind)
    beta.comes(ALPHA, one)
    assert beta.take(ALPHA, one) == PAYLOAD
    if kind is not Kind.PARTITION:
        theirs = envelope(b"another", kind=kind)
        error = refused(beta, GAMMA, theirs, ProtocolViolationError, "not its to deliver")
        assert isinstance(error, ProtocolViolationError)
        assert error.culprit == "gamma"


def test_the_next_round_and_the_next_attempt_are_taken_before_the_chain_tells_of_them(node: Node) -> None:
    node.begins(2)
    node.inbox.begin_work(2, 0)
    for one in (envelope(round=2), envelope(round=3), envelope(round=1, attempt=1), envelope(round=2, attempt=1)):
        node.comes(BETA, one)
        assert node.take(BETA, one) == PAYLOAD


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("junk", [b"", b"junk", envelope().to_bytes() + b"\x00", envelope().to_bytes()[:-1]])
def test_what_is_no_envelope_is_refused(node: Node, junk: bytes) -> None:
    with pytest.raises(MessageError):
        node.receiver.bound(BETA, junk)
    with pytest.raises(MessageError):
        node.receiver.on_delivery(BETA, junk, bytes(65), PAYLOAD, leaf_hashes(PAYLOAD))
    assert node.held() == []


def test_a_job_that_this_node_does_not_know_yet_is_worth_another_try(node: Node) -> None:
    refused(node, BETA, envelope(job_id=bytes.fromhex(OTHER_JOB[2:])), TrainingError, "does not train in that job yet")


@pytest.mark.parametrize("phase", [Phase.PROPOSED, Phase.ALIGNING])
def test_a_job_that_does_not_train_yet_is_worth_another_try(tmp_path: Path, opened: list[Node], phase: Phase) -> None:
    one = Node(tmp_path, phase=phase)
    opened.append(one)
    refused(one, BETA, envelope(), TrainingError, "does not train in that job yet")


@pytest.mark.parametrize("phase", [Phase.EVALUATING, Phase.COMPLETED, Phase.ABORTED])
def test_after_training_nothing_is_taken(tmp_path: Path, opened: list[Node], phase: Phase) -> None:
    one = Node(tmp_path, phase=phase)
    opened.append(one)
    refused(one, BETA, envelope(), TrainingError, "does not work on that round now")


def test_in_a_strict_job_nothing_is_delivered_directly(tmp_path: Path, opened: list[Node]) -> None:
    one = Node(tmp_path, pipelined=False)
    opened.append(one)
    one.begins(1)
    refused(one, BETA, envelope(), ProtocolViolationError, "party 'beta': delivered what is not its to deliver")


def test_a_party_that_is_not_on_the_roster_delivers_nothing(node: Node) -> None:
    refused(node, STRANGER, envelope(), ProtocolViolationError, "party 'stranger': delivered what is not its")


@pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.HISTOGRAM, Kind.PARTITION}))
def test_a_passive_party_delivers_histograms_and_partitions_only(node: Node, kind: Kind) -> None:
    refused(node, BETA, envelope(kind=kind), ProtocolViolationError, "party 'beta': delivered what is not its")


@pytest.mark.parametrize("kind", sorted(set(Kind) - {Kind.GRADIENTS, Kind.SPLIT, Kind.LEAF_WEIGHTS, Kind.PARTITION}))
def test_the_active_party_delivers_nothing_that_the_contract_would_not_take_from_it(
    tmp_path: Path, opened: list[Node], kind: Kind
) -> None:
    beta = Node(tmp_path, BETA)
    opened.append(beta)
    beta.begins(1)
    refused(beta, ALPHA, envelope(kind=kind), ProtocolViolationError, "party 'alpha': delivered what is not its")


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"recipient": to(GAMMA)}, id="for another party"),
        pytest.param({"recipient": to(BETA)}, id="for its sender"),
        pytest.param({"schema": 2}, id="another schema"),
        pytest.param({"schema": 0}, id="no schema"),
        pytest.param({"statistic_e6": 1}, id="with a statistic"),
    ],
)
def test_what_is_not_for_this_node_is_refused(node: Node, changes: dict[str, Any]) -> None:
    refused(node, BETA, envelope(**changes), ProtocolViolationError, "party 'beta': delivered what is not for this")


@pytest.mark.parametrize("size", [0, MAX_BYTES + 1, 2**63 - 1])
def test_a_payload_out_of_the_jobs_bounds_is_refused(node: Node, size: int) -> None:
    refused(node, BETA, envelope(size=size), ProtocolViolationError, f"party 'beta': delivered a payload of {size} by")


def test_a_payload_as_large_as_the_job_allows_is_taken(node: Node) -> None:
    payload = bytes(MAX_BYTES)
    node.comes(BETA, envelope(payload), payload)
    assert node.take(BETA, envelope(payload)) == payload


@pytest.mark.parametrize(
    ("round", "attempt"),
    [
        pytest.param(2, 1, id="a closed round"),
        pytest.param(5, 1, id="beyond the next round"),
        pytest.param(3, 0, id="an attempt that was overtaken"),
        pytest.param(3, 3, id="beyond the next attempt"),
        pytest.param(1, 2, id="a round that cannot be tried again any more"),
        pytest.param(2**32 - 1, 1, id="a round of no job"),
    ],
)
def test_a_round_that_this_node_does_not_work_on_is_worth_another_try(node: Node, round: int, attempt: int) -> None:
    for begun in ((2, 0), (2, 1), (3, 1)):
        node.begins(*begun)
    node.inbox.begin_work(3, 1)
    refused(node, BETA, envelope(round=round, attempt=attempt), TrainingError, "does not work on that round now")


def test_a_round_that_is_closed_while_its_uplink_is_checked_leaves_nothing_behind(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is recorded after its round was released would never be released."""
    one = envelope()
    signature, real = node.sign(BETA, one), node.ledger.uplink_id

    def closes_first(sender: str, which: Envelope) -> bytes:
        node.receiver.release(JOB, 2, 0, node.inbox.begin_work(2, 0))
        return real(sender, which)

    monkeypatch.setattr(node.ledger, "uplink_id", closes_first)
    node.comes(BETA, one, signature=signature)
    assert node.held() == []
    assert node.incoming.received(one.digest) is None
    assert node.inbox.held_of(BETA) == (0, 0)


def test_of_a_sender_that_has_shown_two_digests_nothing_more_is_taken(node: Node) -> None:
    """Else it could fill the disk with contradictions until the job is over."""
    first, second, third = envelope(), envelope(b"another"), envelope(b"a third")
    node.comes(BETA, first)
    with pytest.raises(ProtocolViolationError, match="two digests"):
        node.comes(BETA, second, b"another")
    assert node.incoming.received(second.digest) is None
    refused(node, BETA, third, ProtocolViolationError, "nothing more of it is taken")
    node.comes(GAMMA, third, b"a third")
    assert len(node.state.proofs(JOB)) == 2


def test_a_sender_that_is_ahead_is_held_up_and_no_other_is(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "MAX_HELD_UPLINKS", 2)
    first, second, third = (envelope(bytes([step]), step=step) for step in range(3))
    node.comes(BETA, first, b"\x00")
    node.comes(BETA, second, b"\x01")
    refused(node, BETA, third, TrainingError, "as many uplinks of that sender as it takes")
    node.comes(GAMMA, third, b"\x02")
    node.take(BETA, first)
    node.comes(BETA, third, b"\x02")
    assert node.take(BETA, third) == b"\x02"


def test_a_sender_has_an_equal_part_of_the_bytes_that_are_held_and_one_uplink_in_any_case(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "MAX_HELD_BYTES", 200)  # two passive parties: 100 bytes each
    large, small = bytes(150), bytes(100)
    node.comes(BETA, envelope(large, step=0), large)
    refused(node, BETA, envelope(b"\x01", step=1), TrainingError, "as many uplinks of that sender as it takes")
    node.comes(GAMMA, envelope(small[:60], step=0), small[:60])
    node.comes(GAMMA, envelope(small[:40], step=1), small[:40])
    refused(node, GAMMA, envelope(b"\x01", step=2), TrainingError, "as many uplinks of that sender as it takes")
    node.take(BETA, envelope(large, step=0))
    node.comes(BETA, envelope(b"\x01", step=1), b"\x01")
    assert node.inbox.held_of(BETA) == (1, 1)


def test_an_uplink_that_its_sender_did_not_sign_is_refused(node: Node) -> None:
    one = envelope()
    for signature in (node.sign(GAMMA, one), node.sign(BETA, envelope(step=3))):
        with pytest.raises(ProtocolViolationError, match="an uplink that it did not sign") as caught:
            node.comes(BETA, one, signature=signature)
        assert caught.value.culprit == "beta"
    by_gamma = ACCOUNTS["gamma"].sign_uplink(node.ledger.uplink_id(BETA, one))
    with pytest.raises(ProtocolViolationError, match="an uplink that it did not sign"):
        node.comes(BETA, one, signature=by_gamma)
    assert node.held() == []
    assert node.incoming.received(one.digest) is None


def test_an_uplink_that_was_signed_before_its_sender_s_key_was_rotated_is_taken(node: Node) -> None:
    one = envelope()
    before = ACCOUNTS["gamma"]  # stands for a key that acted for beta once
    node.ledger.earlier_keys.add((BETA, before.address))
    node.comes(BETA, one, signature=before.sign_uplink(node.ledger.uplink_id(BETA, one)))
    assert node.held() == [one]


@pytest.mark.parametrize("signature", [b"", bytes(65), b"\xff" * 64 + b"\x1b", b"\x01" * 64])
def test_what_is_no_signature_is_refused(node: Node, signature: bytes) -> None:
    with pytest.raises(ProtocolViolationError, match="signature of an uplink") as caught:
        node.comes(BETA, envelope(), signature=signature)
    assert caught.value.culprit == "beta"
    assert node.held() == []


@pytest.mark.parametrize("payload", [b"", b"pAyload", b"payloa", b"payload\x00"])
def test_a_party_that_delivers_other_bytes_than_it_signed_is_named(node: Node, payload: bytes) -> None:
    with pytest.raises(ProtocolViolationError, match="other bytes than it signed") as caught:
        node.comes(BETA, envelope(), payload)
    assert caught.value.culprit == "beta"
    assert node.held() == []
    node.comes(BETA, envelope())
    assert node.take(BETA, envelope()) == PAYLOAD


def test_an_envelope_that_lies_about_the_size_of_its_digests_bytes_is_refused(node: Node) -> None:
    with pytest.raises(ProtocolViolationError, match="other bytes than it signed"):
        node.comes(BETA, envelope(size=len(PAYLOAD) + 1))
    assert node.held() == []


# -- two digests in one slot -------------------------------------------------------------------------------------------


def test_a_party_that_delivers_two_digests_for_one_slot_is_named_and_both_signed_uplinks_are_proof(
    node: Node,
) -> None:
    first, second, elsewhere = envelope(), envelope(b"another"), envelope(b"of another step", step=3)
    node.comes(BETA, first)
    node.comes(BETA, elsewhere, b"of another step")
    node.comes(GAMMA, first)
    with pytest.raises(ProtocolViolationError, match="two digests in one slot") as caught:
        node.comes(BETA, second, b"another")
    assert caught.value.culprit == "beta"
    assert node.proofs() == sorted([first.digest, second.digest])
    assert {one.sender for one in node.state.proofs(JOB)} == {BETA}
    assert all(one.signature == node.sign(BETA, Envelope.from_bytes(one.envelope)) for one in node.state.proofs(JOB))
    with pytest.raises(ProtocolViolationError, match=r"party 'beta': two digests"):
        node.take(GAMMA, first)
    node.receiver.release(JOB, 2, 0, ())
    node.receiver.forget(JOB)
    assert node.held() == []
    assert node.proofs() == sorted([first.digest, second.digest])


@pytest.mark.parametrize("is_taken", [False, True])
def test_where_another_digest_is_committed_than_was_delivered_the_delivered_one_is_kept_as_proof(
    node: Node, is_taken: bool
) -> None:
    one = envelope()
    node.comes(BETA, one)
    if is_taken:
        node.take(BETA, one)
    node.commits(BETA, envelope(b"another"))
    assert node.proofs() == [one.digest]
    with pytest.raises(ProtocolViolationError, match=r"party 'beta': two digests"):
        node.inbox.raise_if_failed(1)


def test_what_is_committed_as_it_was_delivered_is_no_proof_of_anything(node: Node) -> None:
    node.comes(BETA, envelope())
    node.commits(BETA, envelope())
    node.inbox.raise_if_failed(1)
    assert node.proofs() == []
