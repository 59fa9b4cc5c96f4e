"""What the active party's watch sees of passive parties' histograms, and what follows."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedchain.anomaly.histograms import HistogramWatch
from fedchain.errors import StaleCiphertextError
from fedchain.messages import Histogram, decode
from fedchain.protocol import BeginRound, Flag, Party
from fedchain.simulation.channel import Channel, Kills, Slot
from fedchain.training.boosting.received import Opener
from fedchain.types import Kind, PartyId
from tests.protocol.adversary import changing, rewriting
from tests.protocol.boosting import BANK, OPERATOR, ROSTER, SHOP, Training


def watched(training: Training, watch: Any, wrap: Any = None, tap: Any = None) -> tuple[dict[PartyId, Any], Channel]:
    parties: dict[PartyId, Party[Any]] = {
        OPERATOR: training.active(watch=watch).train(),
        BANK: training.passive(BANK).train(),
        SHOP: training.passive(SHOP).train(),
    }
    for name, change in (wrap or {}).items():
        parties[name] = change(parties[name])
    channel = Channel(tap=tap)
    return channel.run(parties), channel


class Everything(HistogramWatch):
    """Flags all, and remembers what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[PartyId, NDArray[np.float64]]] = []

    def root(self, sender: PartyId, step: int, output: int, gradients: NDArray[np.float64], cuts: int) -> Flag | None:
        self.seen.append((sender, gradients))
        return Flag(sender, step, 1, 6_000_000)


def test_every_root_is_looked_at_in_units_of_gradients_and_a_flag_changes_nothing_in_the_model(
    training: Training,
) -> None:
    watch = Everything()
    found, channel = watched(training, watch)
    assert found == training.run()
    assert channel.flags == [(tree, Flag(party, 1, 1, 6_000_000)) for tree in (1, 2) for party in (BANK, SHOP)]
    residuals = np.abs(training.labels - 0.5)[training.train_rows]
    for party, gradients in watch.seen:
        assert party in ROSTER[1:]
        assert 0 < np.abs(gradients).sum() <= 2.1 * residuals.sum()  # two features; gradients are below 1


def test_an_honest_job_has_no_flag_and_nothing_stale(training: Training) -> None:
    _, channel = watched(training, HistogramWatch())
    assert channel.flags == []


def test_a_histogram_of_the_tree_before_is_stale_before_it_is_decrypted(training: Training) -> None:
    first: list[Histogram] = []

    def replay(message: Histogram) -> Histogram:
        first.append(message)
        return first[0] if message.nodes == (0,) else message

    with pytest.raises(StaleCiphertextError, match="party 'bank' sent in an earlier round") as caught:
        watched(training, HistogramWatch(), {BANK: lambda party: changing(party, Histogram, replay)})
    assert caught.value.culprit == BANK


def test_a_restart_in_between_forgets_no_ciphertext(training: Training) -> None:
    """The active party dies as the second round begins; the bank then sends its first histogram again."""
    first: list[Histogram] = []
    died = False

    def replay(message: Histogram) -> Histogram:
        first.append(message)
        return first[0] if message.nodes == (0,) else message

    def party(name: PartyId) -> Party[Any]:
        if name == OPERATOR:
            return training.active(watch=HistogramWatch()).train()
        made = training.passive(name).train()
        return changing(made, Histogram, replay) if name == BANK else made

    def dies(name: PartyId, number: int, action: Any) -> bool:
        nonlocal died
        if died or name != OPERATOR or not (isinstance(action, BeginRound) and action.round == 2):
            return False
        died = True
        return True

    channel = Channel(kills=Kills(dies, party))
    with pytest.raises(StaleCiphertextError, match="party 'bank' sent in an earlier round"):
        channel.run({name: party(name) for name in ROSTER})
    assert died


def test_a_copy_of_another_partys_histogram_names_both(training: Training) -> None:
    seen: dict[int, Histogram] = {}

    def tap(slot: Slot, payload: bytes) -> bytes:
        if slot.kind is Kind.HISTOGRAM and slot.sender == BANK:
            seen[slot.step] = decode(payload, Histogram)
        return payload

    def copy(action: Any) -> Any:
        if isinstance(getattr(action, "message", None), Histogram):
            object.__setattr__(action, "message", seen[action.step])
        return action

    with pytest.raises(StaleCiphertextError, match="one of them copied the other's") as caught:
        watched(training, HistogramWatch(), {SHOP: lambda party: rewriting(party, copy)}, tap)
    assert caught.value.culprit == "bank or shop"


def test_the_watch_costs_little_beside_opening(training: Training, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of parsing and decrypting, which are a part of a round; 0.2 % where sums are many, here they are a handful."""
    spent = {"open": 0.0, "watch": 0.0}
    genuine_open, genuine_look = Opener.open, HistogramWatch.ciphertexts

    def timed_open(self: Opener, *given: Any) -> Any:
        before = time.thread_time()
        try:
            return genuine_open(self, *given)
        finally:
            spent["open"] += time.thread_time() - before

    def timed_look(self: HistogramWatch, *given: Any) -> None:
        before = time.thread_time()
        genuine_look(self, *given)
        spent["watch"] += time.thread_time() - before

    monkeypatch.setattr(Opener, "open", timed_open)
    monkeypatch.setattr(HistogramWatch, "ciphertexts", timed_look)
    watched(training, HistogramWatch())
    assert 0 < spent["watch"] < 0.05 * spent["open"]
