"""Ciphertexts that were there before are noticed, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest

from fedchain.anomaly.freshness import Freshness
from fedchain.errors import StaleCiphertextError
from fedchain.types import PartyId

A, B = PartyId("a"), PartyId("b")


def words(seed: int, count: int = 100) -> list[int]:
    return np.random.default_rng(seed).integers(0, 2**64, count, dtype=np.uint64).tolist()


def test_fresh_ones_pass_in_any_number_of_rounds() -> None:
    freshness = Freshness()
    for number in range(20):
        freshness.require_fresh(A, words(2 * number))
        freshness.require_fresh(B, words(2 * number + 1))
        freshness.begin_round()
    assert freshness.remembered == 4000


@pytest.mark.parametrize("again", [1, 100])
@pytest.mark.parametrize("rounds", [1, 5])
def test_one_of_an_earlier_round_names_its_sender(again: int, rounds: int) -> None:
    freshness = Freshness()
    freshness.require_fresh(A, words(1))
    for _ in range(rounds):
        freshness.begin_round()
    with pytest.raises(StaleCiphertextError, match="that party 'a' sent in an earlier round") as caught:
        freshness.require_fresh(B, words(2)[again:] + words(1)[:again])
    assert caught.value.culprit == B


def test_one_twice_in_a_message_or_in_a_round_names_its_sender() -> None:
    freshness = Freshness()
    with pytest.raises(StaleCiphertextError, match="twice in a message") as caught:
        freshness.require_fresh(A, [*words(1), words(1)[7]])
    assert caught.value.culprit == A
    freshness.require_fresh(A, words(3))
    with pytest.raises(StaleCiphertextError, match="twice in a round") as caught:
        freshness.require_fresh(A, words(4) + words(3)[:1])
    assert caught.value.culprit == A


def test_a_copy_of_another_partys_message_in_the_same_round_names_both() -> None:
    """The order in which they are looked at is no proof: an honest party must not be taken for the one who copied."""
    freshness = Freshness()
    freshness.require_fresh(A, words(1))
    with pytest.raises(StaleCiphertextError, match="accepted later copied it") as caught:
        freshness.require_fresh(B, words(1))
    assert caught.value.culprit == "a or b"


def test_memory_is_bounded_and_a_message_that_comes_again_is_noticed_nonetheless() -> None:
    freshness = Freshness(capacity=500)
    for number in range(50):
        freshness.require_fresh(A, words(number, 200))
        freshness.begin_round()
        assert freshness.remembered <= 500
    assert freshness.remembered > 150
    with pytest.raises(StaleCiphertextError):
        freshness.require_fresh(B, words(0, 200))
