"""Publisher: one digest for a slot, whatever happens between recording and verdict."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fedchain.crypto.merkle import payload_digest
from fedchain.errors import ChainUnreachableError, TrainingError, UplinkRejectedError
from fedchain.exchange import NodeState, PayloadStore, Publisher
from fedchain.exchange.publisher import envelope_of
from fedchain.messages import BlindedIds, LeafWeights, Message, encode
from fedchain.types import INLINE_LIMIT, PartyId, Phase, Reason
from tests.unit.exchange.ledger import ALPHA, JOB, Ledger

IDS = BlindedIds(0, 1, 5, b"\x01" * 40)
OTHER_IDS = BlindedIds(0, 1, 5, b"\x02" * 40)
SEALED = LeafWeights(b"\x03" * 32, b"sealed once", True, 1)
SEALED_AGAIN = LeafWeights(b"\x04" * 32, b"sealed twice", True, 1)


class Desk:
    """A publisher that can be started again over the same files."""

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.folder, self.ledger = folder, ledger
        self.open()

    def open(self) -> None:
        self.state = NodeState(self.folder / "node.sqlite", chain_id=1337, genesis_hash=self.ledger.genesis_hash())
        self.store = PayloadStore(self.folder / "outgoing")
        anything: Any = self.ledger
        self.publisher = Publisher(
            anything, address=ALPHA, name=PartyId("alpha"), state=self.state, outgoing=self.store, sign=lambda one: one
        )

    def restart(self) -> None:
        self.state.close()
        self.open()

    def publish(self, message: Message, *, round: int = 0, seconds: float = 0.0, statistic_e6: int = 0) -> bytes:
        return self.publisher.publish(
            message,
            job_id=JOB,
            round=round,
            attempt=0,
            step=0,
            recipient=None,
            statistic_e6=statistic_e6,
            deadline=time.monotonic() + seconds,
        )


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def desk(tmp_path: Path, ledger: Ledger) -> Iterator[Desk]:
    one = Desk(tmp_path, ledger)
    yield one
    one.state.close()


def test_what_was_accepted_before_a_restart_is_not_sent_again(desk: Desk, ledger: Ledger) -> None:
    first = desk.publish(IDS)
    desk.restart()
    assert desk.publish(IDS) == first
    assert len(ledger.submitted) == 1


def test_what_was_recorded_and_never_sent_is_sent_with_the_recorded_bytes(desk: Desk, ledger: Ledger) -> None:
    ledger.is_away = True
    with pytest.raises(ChainUnreachableError):
        desk.publish(SEALED)
    desk.restart()
    ledger.is_away = False
    desk.publish(SEALED_AGAIN)
    ((envelope, payload),) = ledger.submitted
    assert payload == encode(SEALED)
    assert envelope.digest == payload_digest(payload)


def test_a_message_without_randomness_must_be_the_recorded_one(desk: Desk, ledger: Ledger) -> None:
    desk.publish(IDS)
    desk.restart()
    with pytest.raises(TrainingError, match="does not show two digests"):
        desk.publish(OTHER_IDS)
    with pytest.raises(TrainingError, match="does not show two digests"):
        desk.publish(IDS, statistic_e6=1)
    assert len(ledger.submitted) == 1


def test_a_rejection_from_before_a_restart_is_the_verdict_after_it(desk: Desk, ledger: Ledger) -> None:
    """Sending it again would be judged again, and be a second strike."""
    ledger.answers = [Reason.SLOT_TAKEN]
    for _ in range(2):
        with pytest.raises(UplinkRejectedError, match="SLOT_TAKEN"):
            desk.publish(SEALED)
        desk.restart()
    assert len(ledger.submitted) == 1
    assert desk.state.uplinks(JOB)[0].status == "rejected: SLOT_TAKEN"


def test_a_large_payload_is_in_the_store_before_it_is_recorded_and_served_as_recorded(
    desk: Desk, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = LeafWeights(b"\x03" * 32, bytes(INLINE_LIMIT), True, 1)
    with monkeypatch.context() as patched:
        patched.setattr(desk.state, "prepare", lambda uplink: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            desk.publish(big)
    assert desk.store.has(payload_digest(encode(big)))
    assert desk.state.uplinks(JOB) == []
    desk.restart()
    other = LeafWeights(b"\x04" * 32, bytes(INLINE_LIMIT), True, 1)
    desk.publish(other)
    desk.restart()
    desk.publish(big)  # made anew after the restart: the recorded one stays
    ((envelope, payload),) = ledger.submitted
    assert payload == b""
    assert desk.store.get(envelope.digest) == encode(other)


def test_after_a_reorganisation_the_round_in_force_is_sent_again(desk: Desk, ledger: Ledger) -> None:
    desk.publish(IDS)
    (recorded,) = desk.state.uplinks(JOB)
    desk.publisher.reassert(JOB)
    assert len(ledger.submitted) == 1
    ledger.verdicts.clear()
    desk.publisher.reassert(JOB)
    assert ledger.submitted == [(envelope_of(recorded), encode(IDS))] * 2


@pytest.mark.parametrize(
    ("phase", "round_", "attempt"),
    [(Phase.PROPOSED, 0, 0), (Phase.TRAINING, 0, 0), (Phase.TRAINING, 1, 0), (Phase.ALIGNING, 0, 1)],
)
def test_what_the_contract_would_reject_now_is_not_sent_again(
    phase: Phase, round_: int, attempt: int, desk: Desk, ledger: Ledger
) -> None:
    """It would be a strike: whoever's turn it is puts the phase or the round back first."""
    desk.publish(IDS)
    ledger.verdicts.clear()
    ledger.job_view.phase, ledger.job_view.round, ledger.job_view.attempt = phase, round_, attempt
    desk.publisher.reassert(JOB)
    assert len(ledger.submitted) == 1


def test_what_was_rejected_or_never_judged_is_not_sent_again_after_a_reorganisation(desk: Desk, ledger: Ledger) -> None:
    ledger.answers = [Reason.SLOT_TAKEN]
    with pytest.raises(UplinkRejectedError):
        desk.publish(SEALED)
    ledger.verdicts.clear()
    desk.publisher.reassert(JOB)
    assert len(ledger.submitted) == 1
