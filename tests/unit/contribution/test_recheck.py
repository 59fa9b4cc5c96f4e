"""What an auditor recomputes: honest openings pass, each lie is named with its reason."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedchain.bench.models import made_up_model
from fedchain.contribution.commitments import bit_leaves
from fedchain.contribution.losses import row_losses_e6
from fedchain.contribution.open_model import open_model
from fedchain.contribution.recheck import opened_bits, recheck_rows
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
