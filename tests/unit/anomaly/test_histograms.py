"""Root histograms that are unlike those before them are flagged; others are not."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fedchain.anomaly.histograms import E6, MIN_OFFERED, UNITS, HistogramWatch, log_norm_e6, no_cut_score_e6
from fedchain.anomaly.robust import MIN_VALUES, WINDOW, is_outlier, score_e6
from fedchain.errors import StaleCiphertextError, TrainingError
from fedchain.types import PartyId

A, B = PartyId("a"), PartyId("b")


def sums(random: np.random.Generator, scale: float = 5.0) -> np.ndarray:
    return scale * random.standard_normal(12)


def test_steady_histograms_are_not_flagged_and_a_sudden_change_is() -> None:
    random, watch = np.random.default_rng(3), HistogramWatch()
    for number in range(40):
        assert watch.root(A, 1, 0, sums(random, 5.0 * 0.97**number), 9) is None
    flag = watch.root(A, 1, 0, sums(random, 5000.0), 9)
    assert flag is not None
    assert (flag.party, flag.step) == (A, 1)
    assert flag.score_e6 > 5_000_000


def test_the_score_is_against_the_last_32_of_the_same_party_and_output() -> None:
    random, watch = np.random.default_rng(3), HistogramWatch()
    statistics = []
    for _ in range(WINDOW + 8):
        own = sums(random)
        statistics.append(log_norm_e6(own))
        watch.root(A, 1, 0, own, 9)
        watch.root(B, 1, 0, 1e6 * own, 9)
        watch.root(A, 7, 1, 1e-3 * own, 9)
    odd = np.full(12, 1e9)
    flag = watch.root(A, 1, 0, odd, 9)
    assert flag is not None
    assert flag.statistic_e6 == log_norm_e6(odd)
    assert flag.score_e6 == score_e6(statistics[-WINDOW:], log_norm_e6(odd))


def test_there_is_no_flag_before_there_are_eight() -> None:
    random, watch = np.random.default_rng(3), HistogramWatch()
    for _ in range(MIN_VALUES - 1):
        watch.root(A, 1, 0, sums(random), 9)
    assert watch.root(A, 1, 0, np.full(12, 1e9), 9) is None


def test_a_root_without_a_cut_is_flagged_where_there_were_some_each_time() -> None:
    random, watch = np.random.default_rng(3), HistogramWatch()
    for _ in range(MIN_OFFERED):
        assert watch.root(A, 1, 0, sums(random), 9) is None
    assert watch.root(A, 1, 0, sums(random), 1) is None  # few are enough
    flag = watch.root(A, 1, 0, sums(random), 0)
    assert flag is not None
    assert (flag.party, flag.statistic_e6) == (A, 0)
    assert is_outlier(flag.score_e6)
    assert watch.root(B, 1, 0, sums(random), 0) is None
    assert watch.root(A, 1, 1, sums(random), 0) is None


@pytest.mark.parametrize(
    ("offered", "flagged"),
    [
        ([9, 9], False),
        ([9, 9, 9], True),
        ([9, 8, 10], True),
        ([0, 9, 0], False),
        ([9, 0, 9, 3, 9], False),
        ([0] * 9, False),
    ],
)
def test_whoever_has_no_cut_now_and_then_is_left_alone(offered: list[int], flagged: bool) -> None:
    before = [E6 * one for one in offered]
    assert is_outlier(no_cut_score_e6(before, 0)) is flagged
    assert no_cut_score_e6(before, E6) == 0


def test_the_statistic_is_a_log_norm_scaled() -> None:
    assert log_norm_e6(np.array([3.0, 4.0])) == int(1e6 * math.log1p(UNITS * 5))
    assert log_norm_e6(np.zeros(4)) == 0


def test_a_stale_ciphertext_is_refused_and_rounds_are_told_apart() -> None:
    watch = HistogramWatch()
    words = np.arange(10, dtype=np.uint64) + np.uint64(2**63)
    watch.ciphertexts(A, words)
    watch.begin_round()
    with pytest.raises(StaleCiphertextError, match="earlier round"):
        watch.ciphertexts(A, words[-1:])


def test_what_is_remembered_outlives_a_restart() -> None:
    """A watch that is restarted after every round says the same as one that never was."""
    random, undisturbed, restarted = np.random.default_rng(4), HistogramWatch(), HistogramWatch()
    words = np.zeros(0, np.uint64)
    for _ in range(WINDOW + 3):
        memory, restarted = restarted.state(), HistogramWatch()
        restarted.resume(memory)
        words = random.integers(0, 2**63, 6).astype(np.uint64)
        own, other = sums(random), sums(random)
        for watch in (undisturbed, restarted):
            watch.begin_round()
            watch.ciphertexts(A, words[:3])
            watch.ciphertexts(B, words[3:])
            assert watch.root(A, 1, 0, own, 9) is watch.root(A, 2, 1, other, 5) is None
    assert undisturbed.state() == restarted.state()
    odd = np.full(12, 1e9)
    for flags in (
        [watch.root(A, 1, 0, odd, 9) for watch in (undisturbed, restarted)],
        [watch.root(A, 2, 1, sums(np.random.default_rng(7)), 0) for watch in (undisturbed, restarted)],
    ):
        assert flags[0] == flags[1] is not None
    for watch in (undisturbed, restarted):
        watch.begin_round()
        with pytest.raises(StaleCiphertextError, match="party 'b' sent in"):
            watch.ciphertexts(A, words[5:])


def test_memory_is_bounded_and_forgets_alike_with_and_without_restarts() -> None:
    random, undisturbed, restarted = np.random.default_rng(5), HistogramWatch(16), HistogramWatch(16)
    for _ in range(100):
        memory, restarted = restarted.state(), HistogramWatch(16)
        restarted.resume(memory)
        words = random.integers(0, 2**63, 10).astype(np.uint64)
        for watch in (undisturbed, restarted):
            watch.begin_round()
            watch.ciphertexts(B, words)
    assert undisturbed.state() == restarted.state()
    assert len(restarted.state()) < 16 * 9 + 100


def test_a_damaged_memory_is_refused() -> None:
    with pytest.raises(TrainingError, match="cannot be read"):
        HistogramWatch().resume(b"\x81")
