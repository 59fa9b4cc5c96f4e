"""What a round at the active party keeps of its answers, also where it fails."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fedchain.errors import DeadlineError, ProtocolViolationError
from fedchain.node.online.activeround import ActiveRound
from fedchain.types import PartyId

BANK, SHOP = PartyId("bank"), PartyId("shop")


class Rounds:
    """Those of a job with two passive parties; whoever is in `failing` raises instead of answering."""

    def __init__(self, **failing: Exception) -> None:
        self.failing = failing
        self.kept: list[list[str]] = []
        self.job = SimpleNamespace(
            passive=(BANK, SHOP), spec=SimpleNamespace(inference=SimpleNamespace(on_silence="refuse")),
            combining=SimpleNamespace(knows_default=lambda party: False, combine=self.combine),
            bit_count=lambda party: 8, row_bytes=lambda party: 1,
        )  # fmt: skip
        self.reservations = SimpleNamespace(take=lambda rows: 7)
        self.receipts = SimpleNamespace(append=lambda receipts: self.kept.append(list(receipts)))

    def common(self, party: PartyId, first: int, positions: Any, planes: bool) -> dict[str, Any]:
        return {
            "job": bytes(32), "requester": bytes(20), "answerer": bytes(20), "epoch": 0, "first_serial": first,
            "tags": bytes(16 * len(positions)), "model": bytes(32), "nonce": bytes(16), "signature": bytes(65),
        }  # fmt: skip

    def send(self, party: PartyId, ask: Any, size: int, seconds: float) -> Any:
        return SimpleNamespace(party=party)

    def answer_of(self, asked: Any, kind: Any) -> Any:
        if asked.party in self.failing:
            raise self.failing[asked.party]
        return SimpleNamespace(bits=bytes(2)), f"receipt of {asked.party}"

    def note_silence(self, party: PartyId, seconds: float) -> None:
        pass

    def combine(self, positions: Any, flags: Any, answers: Any, **forms: bool) -> Any:
        return SimpleNamespace(scores=np.zeros(len(positions)), flags=flags, explanation=None)


def begun(rounds: Any) -> ActiveRound:
    return ActiveRound(rounds, np.arange(2, dtype=np.int64), np.zeros(2, np.uint8), False, False, {}, 1.0)


def test_the_receipts_of_a_round_are_kept_together() -> None:
    rounds = Rounds()
    found = begun(rounds).finish()
    assert rounds.kept == [["receipt of bank", "receipt of shop"]]
    assert [str(one) for one in found.receipts] == ["receipt of bank", "receipt of shop"]


@pytest.mark.parametrize("error", [ProtocolViolationError("shop", "lies"), DeadlineError("late", ("shop",))])
def test_a_round_that_fails_keeps_what_the_others_answered(error: Exception) -> None:
    rounds = Rounds(shop=error)
    with pytest.raises(type(error)):
        begun(rounds).finish()
    assert rounds.kept == [["receipt of bank"]]
