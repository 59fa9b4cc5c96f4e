"""Sampling: the published generator, exact counts, known masks, and GOSS against naive code."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedchain.errors import ConfigError, TrainingError
from fedchain.training.boosting.sampling import (
    column_sample,
    feature_order,
    goss,
    order_secret,
    random_words,
    row_sample,
)

WORD = 2**64


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x64-10 of one counter, straight from the paper."""
    c, k = list(counter), list(key)
    for _ in range(10):
        first, second = 0xD2E7470EE14C6C93 * c[0], 0xCA5A826395121157 * c[2]
        c = [second // WORD ^ c[1] ^ k[0], second % WORD, first // WORD ^ c[3] ^ k[1], first % WORD]
        k = [(k[0] + 0x9E3779B97F4A7C15) % WORD, (k[1] + 0xBB67AE8584CAA73B) % WORD]
    return c


def test_the_generator_written_out_here_has_the_published_output() -> None:
    # Random123, kat_vectors: philox4x64, 10 rounds, all-zero counter and key
    assert philox([0] * 4, [0] * 2) == [0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B]


@given(st.integers(0, WORD - 1), st.text(max_size=8), st.integers(0, 2**32 - 1), st.integers(0, 63))
def test_words_are_philox_blocks_under_a_key_of_everything_named(seed: int, purpose: str, tree: int, out: int) -> None:
    purpose = purpose.encode("utf-8", "replace").decode()
    text = purpose.encode()
    head = seed.to_bytes(8, "little") + tree.to_bytes(4, "little") + out.to_bytes(4, "little")
    key = hashlib.sha256(b"fedchain/sampling" + head + len(text).to_bytes(4, "little") + text).digest()
    halves = [int.from_bytes(key[:8], "little"), int.from_bytes(key[8:16], "little")]
    expected = philox([1, 0, 0, 0], halves) + philox([2, 0, 0, 0], halves)
    words = random_words(7, seed=seed, purpose=purpose, tree=tree, output=out)
    assert words.dtype == np.uint64
    assert words.tolist() == expected[:7]


@given(st.integers(1, 400), st.floats(0.001, 1), st.integers(0, WORD - 1), st.integers(0, 2000))
def test_a_sample_has_exactly_the_rounded_number_of_rows_and_comes_again(
    n: int, fraction: float, seed: int, tree: int
) -> None:
    mask = row_sample(n, fraction, seed=seed, tree=tree)
    assert mask.shape == (n,)
    assert mask.dtype == np.bool_
    assert mask.sum() == max(1, int(n * fraction + 0.5))
    np.testing.assert_array_equal(mask, row_sample(n, fraction, seed=seed, tree=tree))
    words = random_words(n, seed=seed, purpose="rows", tree=tree)
    lowest = sorted(range(n), key=lambda row: int(words[row]))[: int(mask.sum())]
    assert fraction == 1 or set(np.flatnonzero(mask)) == set(lowest)


def shown(mask: NDArray[np.bool_]) -> str:
    return "".join("x" if each else "." for each in mask)


def test_masks_are_these_on_every_platform() -> None:
    assert shown(row_sample(24, 0.5, seed=42, tree=1)) == "xxxx..x...x.xxxx..x....x"
    assert shown(row_sample(24, 0.5, seed=42, tree=2, output=1)) == "....x.xx.xx..x..xxx.xx.x"
    assert shown(column_sample(12, 0.5, seed=42, tree=1, party="bank")) == "xxx.x....x.x"
    mask, multiplier = goss(np.arange(24.0)[::-1], 0.25, 0.25, seed=42, tree=1)
    assert shown(mask) == "xxxxxx...x.x.....x..x.xx"
    assert multiplier[mask].tolist() == [1.0] * 6 + [3.0] * 6


def test_seed_tree_output_party_level_and_purpose_each_give_another_sample() -> None:
    masks = [
        row_sample(200, 0.5, seed=1, tree=1),
        row_sample(200, 0.5, seed=2, tree=1),
        row_sample(200, 0.5, seed=1, tree=2),
        row_sample(200, 0.5, seed=1, tree=1, output=1),
        column_sample(200, 0.5, seed=1, tree=1),
        column_sample(200, 0.5, seed=1, tree=1, party="bank"),
        column_sample(200, 0.5, seed=1, tree=1, level=1),
    ]
    assert len({mask.tobytes() for mask in masks}) == len(masks)


def test_every_row_is_drawn_about_as_often() -> None:
    times = sum(row_sample(50, 0.3, seed=7, tree=tree).astype(int) for tree in range(2000))
    assert np.abs(times - 600).max() < 5 * np.sqrt(2000 * 0.3 * 0.7)


def test_all_rows_and_no_features_need_no_draw() -> None:
    assert row_sample(5, 1.0, seed=1, tree=1).all()
    assert column_sample(0, 0.5, seed=1, tree=1).shape == (0,)
    assert column_sample(1, 0.01, seed=1, tree=1).tolist() == [True]


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01, float("nan")])
def test_fractions_out_of_range_are_refused(fraction: float) -> None:
    with pytest.raises(ConfigError, match="sampled fraction"):
        row_sample(10, fraction, seed=1, tree=1)
    with pytest.raises(ConfigError, match="sampled fraction"):
        column_sample(0, fraction, seed=1, tree=1)


MAGNITUDES = st.lists(st.one_of(st.sampled_from([0.0, 0.5, 1.0]), st.floats(0, 1e6)), min_size=1, max_size=120)


@given(MAGNITUDES, st.floats(0.01, 0.6), st.floats(0.01, 0.4), st.integers(0, WORD - 1))
def test_goss_keeps_the_largest_and_draws_exactly_as_many_of_the_rest(
    values: list[float], top: float, other: float, seed: int
) -> None:
    magnitudes, n = np.array(values), len(values)
    mask, multiplier = goss(magnitudes, top, other, seed=seed, tree=3)
    top_count = max(1, int(n * top + 0.5))
    other_count = min(n - top_count, max(1, int(n * other + 0.5)))
    assert mask.sum() == top_count + other_count
    np.testing.assert_array_equal(mask, multiplier > 0)
    factor = (n - top_count) / other_count if other_count else 1.0
    drawn = np.flatnonzero(multiplier != 1) if factor != 1 else np.flatnonzero(~mask)
    kept = np.flatnonzero(multiplier == 1)
    if factor != 1:
        assert len(kept) == top_count
        assert set(multiplier[drawn]) <= {0.0, factor}
        if len(drawn):
            assert magnitudes[kept].min() >= magnitudes[drawn].max()
    assert multiplier.sum() == pytest.approx(n)


@settings(deadline=None)
@given(MAGNITUDES, st.integers(0, 2**32))
def test_goss_draws_hang_on_random_words_alone(values: list[float], seed: int) -> None:
    magnitudes, n = np.array(values), len(values)
    mask, multiplier = goss(magnitudes, 0.2, 0.3, seed=seed, tree=1)
    ties = random_words(n, seed=seed, purpose="goss/top", tree=1)
    words = random_words(n, seed=seed, purpose="goss/other", tree=1)
    count = max(1, int(n * 0.2 + 0.5))
    ranked = sorted(range(n), key=lambda row: (-magnitudes[row], int(ties[row])))
    rest = sorted(ranked[count:], key=lambda row: int(words[row]))[: max(1, int(n * 0.3 + 0.5))]
    assert set(np.flatnonzero(mask)) == {*ranked[:count], *rest}
    scaled = goss(magnitudes * 2, 0.2, 0.3, seed=seed, tree=1)[1]
    np.testing.assert_array_equal(scaled, multiplier)


def test_sums_under_goss_are_unbiased() -> None:
    random = np.random.default_rng(3)
    gradients = random.normal(size=103) ** 3
    sums = [float((goss(np.abs(gradients), 0.2, 0.1, seed=seed, tree=1)[1] * gradients).sum()) for seed in range(4000)]
    spread = np.std(sums) / np.sqrt(len(sums))
    assert np.mean(sums) == pytest.approx(gradients.sum(), abs=5 * float(spread))
    naive = [float(gradients[row_sample(103, 0.3, seed=seed, tree=1)].sum() / 0.3) for seed in range(500)]
    assert np.std(sums) < np.std(naive) / 2  # what it is good for


def test_equal_magnitudes_are_not_taken_in_the_order_of_rows() -> None:
    _, multiplier = goss(np.ones(1000), 0.2, 0.1, seed=1, tree=1)
    top = multiplier == 1
    assert top.sum() == 200
    assert 50 < top[:500].sum() < 150


@pytest.mark.parametrize(("top", "other"), [(0.0, 0.1), (0.2, 0.0), (0.6, 0.5), (float("nan"), 0.1)])
def test_shares_out_of_range_are_refused(top: float, other: float) -> None:
    with pytest.raises(ConfigError, match="GOSS shares"):
        goss(np.ones(4), top, other, seed=1, tree=1)


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_magnitudes_that_are_none_are_an_error(value: float) -> None:
    with pytest.raises(TrainingError, match="finite magnitudes"):
        goss(np.array([1.0, value]), 0.2, 0.2, seed=1, tree=1)


SECRET = bytes(range(32))
BINS = np.arange(12, dtype=np.uint8).reshape(4, 3)


@given(st.integers(0, 80), st.binary(min_size=32, max_size=32), st.integers(0, 2**32 - 1), st.integers(0, 31))
def test_an_order_of_features_is_a_permutation_and_comes_again(
    features: int, secret: bytes, tree: int, output: int
) -> None:
    order = feature_order(features, secret=secret, tree=tree, output=output)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(features))
    np.testing.assert_array_equal(order, feature_order(features, secret=secret, tree=tree, output=output))


def test_tree_output_and_secret_each_give_another_order() -> None:
    orders = [
        feature_order(40, secret=SECRET, tree=1),
        feature_order(40, secret=SECRET, tree=2),
        feature_order(40, secret=SECRET, tree=1, output=1),
        feature_order(40, secret=SECRET[::-1], tree=1),
        np.arange(40),
    ]
    assert len({order.tobytes() for order in orders}) == len(orders)


def test_orders_are_these_on_every_platform() -> None:
    assert feature_order(8, secret=SECRET, tree=1).tolist() == [0, 6, 7, 1, 3, 5, 4, 2]
    assert order_secret(BINS, 42).hex() == "ee12d5c2184e7520c06e0644da59f2823f070321d5500ddb9ff5c9df2888c2bd"


def test_every_feature_is_at_every_position_about_as_often() -> None:
    times = np.zeros((4, 4))
    for tree in range(2000):
        times[np.arange(4), feature_order(4, secret=SECRET, tree=tree)] += 1
    assert np.abs(times - 500).max() < 5 * np.sqrt(2000 * 0.25 * 0.75)


tables_of_bins = st.integers(0, 5).flatmap(
    lambda features: st.lists(
        st.lists(st.integers(0, 127), min_size=features, max_size=features), min_size=1, max_size=8
    ).map(lambda rows: np.array(rows, dtype=np.uint8).reshape(len(rows), features))
)


@given(tables_of_bins, st.integers(0, WORD - 1))
def test_the_secret_of_the_order_hangs_on_the_table_not_on_how_it_lies_in_memory(
    bins: NDArray[np.uint8], seed: int
) -> None:
    secret = order_secret(bins, seed)
    assert len(secret) == 32
    assert secret == order_secret(np.asfortranarray(bins), seed) == order_secret(np.repeat(bins, 2, axis=0)[::2], seed)
    assert secret != order_secret(bins, (seed + 1) % WORD)


@given(tables_of_bins.filter(lambda bins: bins.size > 0), st.data())
def test_one_other_bin_in_one_row_is_another_secret(bins: NDArray[np.uint8], data: st.DataObject) -> None:
    other = bins.copy()
    other[data.draw(st.integers(0, len(bins) - 1)), data.draw(st.integers(0, bins.shape[1] - 1))] ^= 1
    assert order_secret(other, 42) != order_secret(bins, 42)


def test_tables_of_the_same_bytes_and_another_shape_have_other_secrets() -> None:
    shapes = [BINS, BINS.T.copy(), BINS.reshape(2, 6), BINS.reshape(12, 1)]
    assert len({order_secret(bins, 1) for bins in shapes}) == len(shapes)
