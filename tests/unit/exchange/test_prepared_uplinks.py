"""Publisher in pipelined rounds: recorded before they go to anybody, the same bytes ever after, committed together."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fedchain.chain import BatchLeaf
from fedchain.crypto.merkle import payload_digest
from fedchain.errors import (
    ChainUnreachableError,
    ConfigError,
    PayloadUnavailableError,
    TrainingError,
    UplinkRejectedError,
)
from fedchain.exchange import NodeState, PayloadStore, Publisher, outages, publisher
from fedchain.exchange.bounds import Bounds
from fedchain.exchange.holding import StoredPayload
from fedchain.exchange.publisher import GoAhead, Signed, envelope_of
from fedchain.exchange.recorded import RecordedPayload, RecordedPayloads
from fedchain.messages import Envelope, Gradients, Message, Split, encode
from fedchain.messages.training import SplitNode
from fedchain.types import INLINE_LIMIT, JobId, Kind, PartyId, Reason
from tests.unit.exchange.ledger import ALPHA, BETA, JOB, ROSTER, Ledger

SMALL = Gradients(b"\x01", b"\x01", 1, b"ciphertexts")
SMALL_AGAIN = Gradients(b"\x01", b"\x01", 1, b"encrypted anew")
LARGE = Gradients(b"\x01", b"\x01", 1, bytes(INLINE_LIMIT))
LARGE_AGAIN = Gradients(b"\x01", b"\x01", 1, b"\x01" * INLINE_LIMIT)
SPLIT = Split((SplitNode(0, -1, -1, -1, False),))
OTHER_SPLIT = Split((SplitNode(0, 0, -1, -1, True),))


class BatchLedger(Ledger):
    """Judges batches: each leaf as `answers` say, in turn; an uplink that was accepted before is not judged again."""

    batches: list[list[BatchLeaf]]
    lost = False

    def submit_batch(
        self, job_id: JobId, round: int, attempt: int, leaves: Sequence[BatchLeaf]
    ) -> tuple[Any, list[Any]]:
        self.head()
        self.batches.append(list(leaves))
        judged = []
        for leaf in leaves:
            uplink_id = self.uplink_id(ALPHA, leaf.envelope(job_id, round, attempt))
            if self.verdicts.get(uplink_id) is not Reason.ACCEPTED:
                self.verdicts[uplink_id] = self.answers.pop(0) if self.answers else Reason.ACCEPTED
                judged.append(SimpleNamespace(uplink_id=uplink_id, reason=self.verdicts[uplink_id]))
        if self.lost:
            self.lost = False
            raise ChainUnreachableError("the answer was lost")
        return SimpleNamespace(tx_hash=bytes(32)), judged


BOUNDS = Bounds(2**20, 1000)


class Desk:
    """A publisher that can be started again over the same files."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.ledger = folder, BatchLedger()
        self.ledger.batches = []
        self.open()

    def open(self) -> None:
        self.state = NodeState(self.folder / "node.sqlite", chain_id=1337, genesis_hash=self.ledger.genesis_hash())
        self.store = PayloadStore(self.folder / "outgoing")
        self.recorded = RecordedPayloads(self.state)
        self.recorded.serve(JOB, ROSTER)
        consortium: Any = self.ledger
        self.publisher = Publisher(
            consortium,
            address=ALPHA,
            name=PartyId("alpha"),
            state=self.state,
            outgoing=self.store,
            sign=lambda uplink_id: b"signed: " + uplink_id,
        )

    def restart(self) -> None:
        self.state.close()
        self.open()

    def prepare(
        self, message: Message, *, round: int = 1, attempt: int = 0, step: int = 0, to: str | None = None
    ) -> Signed:
        return self.publisher.prepare(
            message, job_id=JOB, round=round, attempt=attempt, step=step, recipient=to, bounds=BOUNDS
        )

    def commit(self, round: int = 1, attempt: int = 0, *, seconds: float = 0.0, resumed: bool = False) -> list[int]:
        """Commits a round; the steps of its uplinks."""
        deadline = time.monotonic() + seconds
        return [one.step for one in self.publisher.commit(JOB, round, attempt, deadline, resumed=resumed)]

    def served_to(self, signed: Signed) -> set[str]:
        """Who may fetch the payload."""
        return {address for address in ROSTER if self._open(signed).holding.allows(address)}

    def serves(self, signed: Signed) -> bytes:
        """The bytes that they get."""
        return b"".join(data for _, data in self._open(signed).runs(0))

    def _open(self, signed: Signed) -> StoredPayload | RecordedPayload:
        return self.recorded.open(signed.envelope.digest) or self.store.open(signed.envelope.digest)

    def lose(self, digest: bytes) -> None:
        """As a power failure that took both files of a payload away; the record was on the disk."""
        for file in (self.folder / "outgoing").glob(f"{digest.hex()}*"):
            file.unlink()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    one = Desk(tmp_path)
    yield one
    one.state.close()


# -- before the commitment ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("message", [SMALL, LARGE])
def test_an_uplink_is_signed_and_recorded_and_served_to_its_recipients(desk: Desk, message: Message) -> None:
    signed = desk.prepare(message, step=3)
    assert signed.payload == encode(message)
    assert signed.signature == b"signed: " + desk.ledger.uplink_id(ALPHA, signed.envelope)
    assert not signed.is_accepted
    assert signed.envelope.digest == payload_digest(signed.payload)
    assert (signed.envelope.round, signed.envelope.attempt, signed.envelope.step) == (1, 0, 3)
    assert (signed.envelope.kind, signed.envelope.size) == (Kind.GRADIENTS, len(signed.payload))
    (recorded,) = desk.state.uplinks(JOB)
    assert envelope_of(recorded) == signed.envelope
    assert recorded.status == "prepared"
    assert (desk.ledger.submitted, desk.ledger.batches) == ([], [])
    assert desk.serves(signed) == signed.payload
    assert desk.served_to(signed) == set(ROSTER)


def test_a_small_payload_lies_in_the_record_and_a_large_one_in_the_store_alone(desk: Desk) -> None:
    small, large = desk.prepare(SMALL, step=0), desk.prepare(LARGE, step=1)
    assert len(small.payload) <= INLINE_LIMIT < len(large.payload)
    assert [one.payload for one in desk.state.uplinks(JOB)] == [small.payload, None]
    desk.commit()
    assert [desk.store.has(one.envelope.digest) for one in (small, large)] == [False, True]


def test_what_is_for_one_party_is_served_to_that_party_alone(desk: Desk) -> None:
    for step, message in enumerate((SMALL, LARGE)):
        signed = desk.prepare(message, step=step, to=BETA)
        assert signed.envelope.recipient == bytes.fromhex(BETA[2:])
        assert desk.served_to(signed) == {BETA}


@pytest.mark.parametrize(("message", "again"), [(SMALL, SMALL_AGAIN), (LARGE, LARGE_AGAIN)])
def test_a_randomised_message_that_is_made_anew_goes_out_as_it_was_recorded(
    desk: Desk, message: Message, again: Message
) -> None:
    first = desk.prepare(message)
    desk.restart()
    assert desk.prepare(again) == first
    assert len(desk.state.uplinks(JOB)) == 1
    assert not desk.store.has(payload_digest(encode(again)))


def test_each_attempt_has_bytes_of_its_own(desk: Desk) -> None:
    first, second = desk.prepare(SMALL), desk.prepare(SMALL_AGAIN, attempt=1)
    assert (first.payload, second.payload) == (encode(SMALL), encode(SMALL_AGAIN))
    assert first.signature != second.signature


def test_a_message_without_randomness_must_be_the_recorded_one(desk: Desk) -> None:
    first = desk.prepare(SPLIT)
    desk.restart()
    assert desk.prepare(SPLIT) == first
    with pytest.raises(TrainingError, match="does not show two digests"):
        desk.prepare(OTHER_SPLIT)
    assert [one.digest for one in desk.state.uplinks(JOB)] == [first.envelope.digest]


def test_a_payload_above_the_jobs_bound_is_neither_recorded_nor_kept(desk: Desk) -> None:
    payload = encode(SMALL)

    def prepare(max_bytes: int) -> Signed:
        return desk.publisher.prepare(
            SMALL, job_id=JOB, round=1, attempt=0, step=0, recipient=None, bounds=Bounds(max_bytes, 100)
        )

    with pytest.raises(TrainingError, match=f"gradients of {len(payload)} bytes is above"):
        prepare(len(payload) - 1)
    assert desk.state.uplinks(JOB) == []
    assert not desk.store.has(payload_digest(payload))
    assert prepare(len(payload)).payload == payload


def test_a_large_randomised_payload_that_is_gone_is_not_replaced_by_another(desk: Desk) -> None:
    """Its digest may have been shown to somebody."""
    signed = desk.prepare(LARGE)
    desk.lose(signed.envelope.digest)
    desk.restart()
    with pytest.raises(PayloadUnavailableError):
        desk.prepare(LARGE_AGAIN)


def test_after_a_restart_peers_may_fetch_what_was_recorded_before(desk: Desk) -> None:
    sent = [desk.prepare(SMALL, step=0), desk.prepare(SPLIT, step=1, to=BETA), desk.prepare(LARGE, step=2)]
    desk.commit()
    desk.restart()
    assert [desk.serves(one) for one in sent] == [one.payload for one in sent]
    assert [desk.served_to(one) for one in sent] == [set(ROSTER), {BETA}, set(ROSTER)]


# -- large ones, whose bytes go ahead of their record ------------------------------------------------------------------


def ahead(desk: Desk, message: Message, go_ahead: GoAhead) -> Signed:
    return desk.publisher.prepare(
        message, job_id=JOB, round=1, attempt=0, step=0, recipient=None, bounds=BOUNDS, go_ahead=go_ahead
    )


def test_a_large_uplink_goes_ahead_of_its_record_and_its_signature_follows_when_all_is_on_the_disk(desk: Desk) -> None:
    handed: list[tuple[Envelope, bytes, Future[bytes]]] = []
    kept: list[bool] = []

    def go_ahead(envelope: Envelope, payload: bytes, signature: Future[bytes]) -> None:
        assert not desk.store.has(envelope.digest)
        assert desk.state.uplinks(JOB) == []
        signature.add_done_callback(
            lambda _: kept.append(desk.store.has(envelope.digest) and len(desk.state.uplinks(JOB)) == 1)
        )
        handed.append((envelope, payload, signature))

    signed = ahead(desk, LARGE, go_ahead)
    ((envelope, payload, signature),) = handed
    assert (envelope, payload, signature.result(0)) == (signed.envelope, encode(LARGE), signed.signature)
    assert signed.went_ahead
    assert kept == [True]
    assert desk.prepare(LARGE_AGAIN) == replace(signed, went_ahead=False)


def test_what_cannot_be_recorded_is_not_signed(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    handed: list[Future[bytes]] = []

    def full(*_: object) -> None:
        raise ConfigError("the disk is full")

    monkeypatch.setattr(desk.state, "prepare", full)
    with pytest.raises(ConfigError, match="full"):
        ahead(desk, LARGE, lambda envelope, payload, signature: handed.append(signature))
    assert isinstance(handed[0].exception(0), ConfigError)


def test_small_uplinks_and_recorded_ones_do_not_go_ahead(desk: Desk) -> None:
    handed: list[bytes] = []
    first = desk.prepare(LARGE)
    desk.restart()
    for message, expected in ((LARGE_AGAIN, first.payload), (SMALL, encode(SMALL))):
        signed = desk.publisher.prepare(
            message,
            job_id=JOB,
            round=1,
            attempt=0,
            step=0 if message is LARGE_AGAIN else 1,
            recipient=None,
            bounds=BOUNDS,
            go_ahead=lambda envelope, payload, signature: handed.append(payload),
        )
        assert (signed.payload, signed.went_ahead) == (expected, False)
    assert handed == []


# -- the commitment ----------------------------------------------------------------------------------------------------


def test_a_round_is_committed_in_one_transaction_without_other_rounds_and_attempts(desk: Desk) -> None:
    mine = [desk.prepare(SMALL, step=0).envelope, desk.prepare(SPLIT, step=1, to=BETA).envelope]
    desk.prepare(SMALL, round=2)
    desk.prepare(SMALL, attempt=1)
    assert desk.commit() == [0, 1]
    (leaves,) = desk.ledger.batches
    assert [leaf.envelope(JOB, 1, 0) for leaf in leaves] == mine
    assert [(one.round, one.attempt) for one in desk.state.uplinks(JOB) if one.status == "accepted"] == [(1, 0)] * 2


def test_what_is_accepted_is_not_committed_again_and_prepared_as_accepted(desk: Desk) -> None:
    desk.prepare(SMALL)
    desk.commit()
    desk.restart()
    assert desk.prepare(SMALL_AGAIN).is_accepted
    assert desk.commit() == [0]
    assert len(desk.ledger.batches) == 1


def test_a_round_of_no_uplinks_sends_nothing(desk: Desk) -> None:
    assert desk.commit() == []
    assert desk.ledger.batches == []


def test_a_large_round_is_committed_in_several_transactions(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "MAX_LEAVES", 2)
    for step in range(5):
        desk.prepare(SMALL, step=step)
    assert desk.commit() == [0, 1, 2, 3, 4]
    assert [[leaf.step for leaf in leaves] for leaves in desk.ledger.batches] == [[0, 1], [2, 3], [4]]


def test_of_a_batch_each_uplink_has_its_own_verdict_and_the_first_rejection_is_told(desk: Desk) -> None:
    for step in range(4):
        desk.prepare(SMALL, step=step)
    desk.ledger.answers = [Reason.ACCEPTED, Reason.SLOT_TAKEN, Reason.SIZE_OUT_OF_BOUNDS]
    with pytest.raises(UplinkRejectedError, match=r"alpha.*step 1.*SLOT_TAKEN"):
        desk.commit()
    assert [one.status for one in desk.state.uplinks(JOB)] == [
        "accepted",
        "rejected: SLOT_TAKEN",
        "rejected: SIZE_OUT_OF_BOUNDS",
        "accepted",
    ]


def test_a_batch_whose_answer_was_lost_is_not_sent_twice(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outages, "_FIRST_PAUSE_SECONDS", 0.001)
    desk.prepare(SMALL)
    desk.ledger.lost = True
    assert desk.commit(seconds=5.0) == [0]
    assert len(desk.ledger.batches) == 1
    assert desk.state.uplinks(JOB)[0].status == "accepted"


@pytest.mark.parametrize("reason", [Reason.ACCEPTED, Reason.SLOT_TAKEN])
def test_a_batch_that_an_earlier_process_has_sent_is_not_sent_again(desk: Desk, reason: Reason) -> None:
    """A rejection that is judged again would be a second strike."""
    desk.prepare(SMALL)
    desk.ledger.answers, desk.ledger.lost = [reason], True
    with pytest.raises(ChainUnreachableError):
        desk.commit()
    desk.restart()
    if reason is Reason.ACCEPTED:
        assert desk.commit(resumed=True) == [0]
    else:
        with pytest.raises(UplinkRejectedError, match="SLOT_TAKEN"):
            desk.commit(resumed=True)
    assert len(desk.ledger.batches) == 1


def test_a_batch_that_no_earlier_process_has_sent_is_sent(desk: Desk) -> None:
    desk.prepare(SMALL)
    desk.restart()
    assert desk.commit(resumed=True) == [0]
    assert len(desk.ledger.batches) == 1


def test_what_the_chain_took_back_at_once_is_left_to_whoever_waits_for_its_verdict(desk: Desk) -> None:
    signed = desk.prepare(SMALL)

    def forgets(*_: object) -> tuple[Any, list[Any]]:
        return SimpleNamespace(tx_hash=bytes(32)), []

    desk.ledger.submit_batch = forgets  # type: ignore[method-assign,assignment]
    assert desk.commit() == [0]
    (recorded,) = desk.state.uplinks(JOB)
    assert recorded.status == "prepared"
    assert replace(signed, is_accepted=False) == desk.prepare(SMALL_AGAIN)
