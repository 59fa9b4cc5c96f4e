"""What an auditor recomputes: honest openings pass, each lie is named with its reason."""

from __future__ import annotations

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedchain.bench.models import made_up_model
from fedchain.contribution.commitments import bit_leaves
from fedchain.contribution.loss_tree import LossTree, check_losses
from fedchain.contribution.losses import loss_sums, row_losses_e6, unit_of
from fedchain.contribution.open_model import open_model
from fedchain.contribution.recheck import check_unit, opened_bits, recheck_rows
from fedchain.contribution.sampling import sample_rows
from fedchain.errors import ContributionError
from fedchain.model.leaf_mask import bit_count, pack_bits
from fedchain.model.shard import TreeShape
from fedchain.types import AuditReason

MADE = made_up_model(3, rows=12, trees=5, depth=3, seed=8)
OPEN = open_model(MADE.shards[0])
LOSSES = row_losses_e6(MADE.shards[0], MADE.bits, MADE.labels, 1.0)


def reason_of(labels: NDArray[np.float64], losses: NDArray[np.int64], unit: float = 1.0) -> AuditReason:
    with pytest.raises(ContributionError) as caught:
        recheck_rows(OPEN, MADE.bits, labels, losses, unit)
    assert caught.value.culprit == MADE.shards[0].party
    return caught.value.reason


@settings(deadline=None)
@given(st.lists(st.integers(-1, 1), min_size=12 * 8, max_size=12 * 8))
def test_honest_losses_pass_up_to_one_unit(noise: list[int]) -> None:
    recheck_rows(OPEN, MADE.bits, MADE.labels, LOSSES + np.array(noise).reshape(12, 8), 1.0)


@settings(deadline=None)
@given(st.integers(0, 11), st.integers(0, 7), st.integers(2, 10**6), st.booleans())
def test_two_units_more_or_less_in_one_cell_are_caught(row: int, coalition: int, change: int, less: bool) -> None:
    forged = LOSSES.copy()
    forged[row, coalition] += -change if less else change
    with pytest.raises(ContributionError, match=f"1 of 12 .* row {row + 1} of coalition {coalition}") as caught:
        recheck_rows(OPEN, MADE.bits, MADE.labels, forged, 1.0)
    assert caught.value.reason is AuditReason.LOSSES


@pytest.mark.parametrize("opened", [60, 299])
def test_whole_audits_catch_tampered_rows_as_often_as_the_draw_does(opened: int) -> None:
    """1 % of 3,000 rows say that coalitions with the label holder are right, the others wrong; root and sums fit."""
    made = made_up_model(2, rows=3000, trees=5, depth=3, seed=3)
    model, rows, trials = open_model(made.shards[0]), 3000, 80
    losses = row_losses_e6(model, made.bits, made.labels, 1.0)
    losses[np.random.default_rng(1).permutation(rows)[:30]] = [10**6, 0, 10**6, 0]
    tree = LossTree(losses, bytes(32))
    caught = 0
    for trial in range(trials):
        indices = sample_rows(trial.to_bytes(32, "big"), rows, opened)
        shown = check_losses(tree.root, tree.sums, rows, indices, tree.open(indices), "a", most=10**6)
        try:
            recheck_rows(model, [bits[indices] for bits in made.bits], made.labels[indices], shown, 1.0)
        except ContributionError as error:
            caught += error.reason is AuditReason.LOSSES
    expected = 1 - math.comb(rows - 30, opened) / math.comb(rows, opened)
    assert abs(caught / trials - expected) < 4 * (expected * (1 - expected) / trials) ** 0.5


def test_a_flipped_label_is_caught_by_its_losses() -> None:
    labels = MADE.labels.copy()
    labels[4] = 1 - labels[4]
    assert reason_of(labels, LOSSES) is AuditReason.LOSSES


@pytest.mark.parametrize("label", [0.5, 2.0, -1.0, np.nan, np.inf])
def test_labels_that_are_none_are_refused(label: float) -> None:
    labels = MADE.labels.copy()
    labels[0] = label
    assert reason_of(labels, LOSSES) is AuditReason.LABELS


@pytest.mark.parametrize("unit", [2.0, 0.0, -1.0, np.nan, np.inf])
def test_a_unit_that_is_none_is_refused(unit: float) -> None:
    assert reason_of(MADE.labels, LOSSES, unit) is AuditReason.LABELS


@pytest.mark.parametrize(("objective", "refused"), [("poisson", -1.0), ("tweedie", -0.1), ("squared_error", np.nan)])
def test_labels_of_counts_and_numbers_are_checked_by_their_objective(objective: str, refused: float) -> None:
    model = msgspec.structs.replace(OPEN, objective=objective)
    labels = MADE.labels + 0.25
    losses = row_losses_e6(model, MADE.bits, labels, 3.5)
    recheck_rows(model, MADE.bits, labels, losses, 3.5)
    labels[0] = refused
    with pytest.raises(ContributionError, match="labels"):
        recheck_rows(model, MADE.bits, labels, losses, 3.5)


@pytest.mark.parametrize(("factor", "passes"), [(1e-5, False), (1e-3, True), (1e3, True), (1e5, False)])
def test_a_unit_that_makes_all_losses_nothing_or_too_large_is_refused(factor: float, passes: bool) -> None:
    made = made_up_model(2, rows=40, trees=2, depth=2, seed=6)
    model = msgspec.structs.replace(open_model(made.shards[0]), objective="squared_error")
    labels = np.linspace(-3, 3, 40)
    unit = float(labels.var()) * factor
    losses = row_losses_e6(model, made.bits, labels, unit)
    if passes:
        recheck_rows(model, made.bits, labels, losses, unit)
        return
    with pytest.raises(ContributionError, match="variance") as caught:
        recheck_rows(model, made.bits, labels, losses, unit)
    assert caught.value.reason is AuditReason.LABELS


NUMBERS = made_up_model(2, rows=600, trees=4, depth=2, seed=6)


def unit_passes(labels: NDArray[np.float64], factor: float, opened: int, draw: int = 0) -> bool:
    """Whether a label holder gets through that takes so many times the true unit."""
    base = (float(labels.mean()),)
    model = msgspec.structs.replace(open_model(NUMBERS.shards[0]), objective="squared_error", base_margins=base)
    unit = unit_of("squared_error", labels) * factor
    nobody = loss_sums(row_losses_e6(model, NUMBERS.bits, labels, unit))[0]
    some = np.random.default_rng(draw).permutation(len(labels))[:opened]
    try:
        check_unit(model, labels[some], unit, nobody, len(labels))
    except ContributionError as error:
        return (error.culprit, error.reason) != (model.roster[0], AuditReason.LABELS)
    return True


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.floats(0.0, 4.0), st.floats(-3.0, 3.0), st.sampled_from([1, 30, 299, 600]))
def test_the_true_unit_passes_however_heavy_the_tail(draw: int, tail: float, scale: float, opened: int) -> None:
    normal = np.random.default_rng(draw).normal(size=600)
    labels = 10**scale * np.sign(normal) * np.exp(tail * np.abs(normal))
    assert unit_passes(labels, 1.0, opened, draw)


@pytest.mark.parametrize(("opened", "least"), [(600, 0.9), (299, 0.6), (30, 0.1)])
def test_a_smaller_unit_which_would_choose_who_is_paid_is_refused(opened: int, least: float) -> None:
    labels = 1000 * np.random.default_rng(5).normal(size=600)
    assert not unit_passes(labels, least, opened)
    assert not any(unit_passes(labels, factor, opened) for factor in (0.03, 1e-3, 1e-5))


def test_a_much_larger_unit_which_would_pay_nobody_is_refused() -> None:
    labels = 1000 * np.random.default_rng(5).normal(size=600)
    assert unit_passes(labels, 2.0, 299)
    assert not unit_passes(labels, 20.0, 299)


def test_a_model_that_has_diverged_is_no_proof_of_a_false_unit() -> None:
    model = msgspec.structs.replace(open_model(NUMBERS.shards[0]), objective="poisson", base_margins=(800.0,))
    check_unit(model, np.arange(30.0), 2.0, 600 * 10**8, 600)
    with pytest.raises(ContributionError, match="on average"):
        check_unit(msgspec.structs.replace(model, base_margins=(2.0,)), np.arange(30.0), 2.0, 600 * 10**8, 600)


def test_labels_that_are_all_one_have_the_unit_one() -> None:
    assert unit_passes(np.full(600, 7.5), 1.0, 299)


def test_bits_that_lead_nowhere_are_the_label_holders_fault() -> None:
    bits = [one.copy() for one in MADE.bits]
    bits[1][3, :8] = False
    with pytest.raises(ContributionError, match=r"tree 1 .* no one leaf") as caught:
        recheck_rows(OPEN, bits, MADE.labels, LOSSES, 1.0)
    assert (caught.value.culprit, caught.value.reason) == (OPEN.roster[0], AuditReason.SHAPES)


def test_opened_bits_are_spread_as_they_were_sent_or_refused() -> None:
    for party in range(3):
        bits = MADE.bits[party]  # in standard mode a party sends bits for every leaf
        leaves = bit_leaves(pack_bits(bits), len(bits))
        assert bit_count(OPEN, party) == bits.shape[1]
        np.testing.assert_array_equal(opened_bits(OPEN, party, leaves), bits)
        with pytest.raises(ContributionError) as caught:
            opened_bits(OPEN, party, [leaf[:-1] for leaf in leaves])
        assert (caught.value.culprit, caught.value.reason) == (OPEN.roster[0], AuditReason.BITS)


def test_bits_beyond_the_last_leaf_are_refused() -> None:
    small = made_up_model(2, rows=3, trees=1, depth=2, seed=1)
    model = open_model(small.shards[0])
    with pytest.raises(ContributionError, match="4 per row"):
        opened_bits(model, 1, [b"\x1f"] * 3)
    tree = model.trees[0]
    bare = msgspec.structs.replace(
        model, trees=(msgspec.structs.replace(tree, shape=TreeShape(tree.shape.nodes, (0, 0, 0, -1, -1, -1, -1))),)
    )
    assert opened_bits(bare, 1, [b"\x0f"] * 3).all()  # it owns no node: every leaf is open to it


@settings(deadline=None)
@given(st.integers(0, 11), st.integers(0, 2), st.data())
def test_bits_that_no_decisions_give_are_refused_though_they_change_no_score(
    row: int, party: int, data: st.DataObject
) -> None:
    """A bit is flipped at a leaf that some other party excludes: all together still lead to the one leaf."""
    others = np.logical_and.reduce([bits for other, bits in enumerate(MADE.bits) if other != party])[row]
    leaf = data.draw(st.sampled_from(np.flatnonzero(~others).tolist()))
    bits = MADE.bits[party].copy()
    bits[row, leaf] ^= True
    tree = leaf // 8
    decided = MADE.bits[party][row, 8 * tree : 8 * tree + 8]
    leaves = bit_leaves(pack_bits(bits), len(bits))
    with pytest.raises(ContributionError, match=f"tree {tree + 1} are no decisions|exclude every leaf") as caught:
        opened_bits(OPEN, party, leaves)
    assert (caught.value.culprit, caught.value.reason) == (OPEN.roster[0], AuditReason.BITS)
    assert decided.any()
