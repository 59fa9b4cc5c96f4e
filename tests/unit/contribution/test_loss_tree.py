"""The Merkle-sum tree: opened losses count in the posted sums, and any change of either is caught."""

from __future__ import annotations

import hashlib
import hmac

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedchain.contribution.loss_tree import LossTree, check_losses
from fedchain.contribution.sampling import sample_rows
from fedchain.errors import ContributionError
from fedchain.messages.auditing import OpenedLosses
from fedchain.types import AuditReason

SECRET = bytes(range(32))
MOST = 10**8


@st.composite
def losses(draw: st.DrawFn) -> NDArray[np.int64]:
    rows, coalitions = draw(st.integers(1, 14)), draw(st.sampled_from([4, 8]))
    number = st.integers(0, MOST)
    row = st.lists(number, min_size=coalitions, max_size=coalitions)
    return np.array(draw(st.lists(row, min_size=rows, max_size=rows)), dtype=np.int64)


@st.composite
def cases(draw: st.DrawFn) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    table = draw(losses())
    return table, np.array(sorted(draw(st.sets(st.integers(0, len(table) - 1), min_size=1))))


def naive_root(table: NDArray[np.int64]) -> tuple[bytes, list[int]]:
    """The definition in plain numbers."""

    def raw(numbers: list[int]) -> bytes:
        return b"".join(one.to_bytes(16, "big") for one in numbers)

    level: list[tuple[bytes, list[int]]] = []
    for i, row in enumerate(table.tolist()):
        place = i.to_bytes(4, "big")
        salt = hmac.new(SECRET, place, "sha256").digest()
        level.append((hashlib.sha256(b"\x00" + salt + place + raw(row)).digest(), row))
    while len(level) > 1:
        above = []
        for i in range(0, len(level) - 1, 2):
            (left, less), (right, more) = level[i], level[i + 1]
            node = hashlib.sha256(b"\x01" + left + right + raw(less) + raw(more)).digest()
            above.append((node, [one + other for one, other in zip(less, more, strict=True)]))
        level = above + level[len(level) - len(level) % 2 :]
    top, sums = level[0]
    head = b"\x02fedchain-losses-1" + len(table).to_bytes(4, "big")
    return hashlib.sha256(head + top + raw(sums)).digest(), sums


@settings(deadline=None)
@given(cases())
def test_opened_rows_lead_to_the_root_and_its_sums(case: tuple[NDArray[np.int64], NDArray[np.int64]]) -> None:
    table, indices = case
    tree = LossTree(table, SECRET)
    assert (tree.root, list(tree.sums)) == naive_root(table)
    found = check_losses(tree.root, tree.sums, len(table), indices, tree.open(indices), "a", most=MOST)
    np.testing.assert_array_equal(found, table[indices])


@given(cases(), st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_bit_anywhere_is_caught(
    case: tuple[NDArray[np.int64], NDArray[np.int64]], data: st.DataObject
) -> None:
    table, indices = case
    tree = LossTree(table, SECRET)
    opening = tree.open(indices)
    fields: dict[str, bytes] = {name: getattr(opening, name) for name in opening.__struct_fields__}
    name = data.draw(st.sampled_from([name for name, raw in fields.items() if raw]))
    raw = bytearray(fields[name])
    place = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[place // 8] ^= 1 << place % 8
    forged = msgspec.structs.replace(opening, **{name: bytes(raw)})
    with pytest.raises(ContributionError) as caught:
        check_losses(tree.root, tree.sums, len(table), indices, forged, "liar", most=MOST)
    assert caught.value.culprit == "liar"
    assert caught.value.reason in (AuditReason.OPENING, AuditReason.LOSSES)


@settings(deadline=None)
@given(cases(), st.data())
def test_other_posted_sums_another_count_or_other_rows_are_caught(
    case: tuple[NDArray[np.int64], NDArray[np.int64]], data: st.DataObject
) -> None:
    table, indices = case
    tree = LossTree(table, SECRET)
    opening = tree.open(indices)
    coalition = data.draw(st.integers(0, table.shape[1] - 1))
    posted = list(tree.sums)
    posted[coalition] += data.draw(st.sampled_from([-1, 1, 2**64]))
    with pytest.raises(ContributionError) as caught:
        check_losses(tree.root, posted, len(table), indices, opening, "liar", most=MOST)
    assert caught.value.reason is AuditReason.SUMS
    with pytest.raises(ContributionError):
        check_losses(tree.root, tree.sums, len(table) + 1, indices, opening, "liar", most=MOST)
    others = data.draw(st.sets(st.integers(0, len(table) - 1), min_size=len(indices), max_size=len(indices)))
    if sorted(others) != indices.tolist():
        with pytest.raises(ContributionError):
            check_losses(tree.root, tree.sums, len(table), np.array(sorted(others)), opening, "liar", most=MOST)


def test_a_loss_below_zero_cannot_be_hidden_in_a_neighbour() -> None:
    """What a sum gains in one row it cannot lose in another: numbers of the tree have no sign."""
    with pytest.raises(ValueError, match="from 0 to 1e8"):
        LossTree(np.array([[5, -5, 0, 0], [5, 5, 0, 0]]), SECRET)
    with pytest.raises(ValueError, match="from 0 to 1e8"):
        LossTree(np.array([[MOST + 1, 0, 0, 0]]), SECRET)


def test_an_opened_loss_and_sums_of_others_above_what_losses_can_be_are_refused() -> None:
    tree = LossTree(np.zeros((3, 4), dtype=np.int64), SECRET)
    indices = np.array([2])
    opening = tree.open(indices)
    assert len(opening.sums) == 64  # of the two rows before it
    forged = [
        {"losses": b"\xff" * 32},
        {"losses": (MOST + 1).to_bytes(8, "big") * 4},
        {"sums": b"\xff" * 64},
        {"sums": bytes(48) + (2 * MOST + 1).to_bytes(16, "big")},
    ]
    for change in forged:
        with pytest.raises(ContributionError) as caught:
            check_losses(tree.root, tree.sums, 3, indices, msgspec.structs.replace(opening, **change), "a", most=MOST)
        assert caught.value.reason is AuditReason.LOSSES


def test_a_large_lie_in_one_row_is_caught_as_often_as_small_ones_in_many() -> None:
    """Worth 1 % of 2,000 rows: it needs a block of 20 rows or more of which none is opened, (1 - k/n)^20 at most."""
    rows, opened, trials = 2000, 299, 150
    table = np.zeros((rows, 4), dtype=np.int64)
    table[777, :3] = 20 * 10**6
    tree = LossTree(table, SECRET)
    caught = 0
    for trial in range(trials):
        indices = sample_rows(trial.to_bytes(32, "big"), rows, opened)
        try:
            check_losses(tree.root, tree.sums, rows, indices, tree.open(indices), "a", most=10**6)
        except ContributionError as error:
            caught += error.reason is AuditReason.LOSSES
    expected = 1 - (1 - opened / rows) ** 20
    assert expected > 0.95
    assert caught / trials > expected - 4 * (expected * (1 - expected) / trials) ** 0.5


@settings(deadline=None)
@given(
    st.builds(
        OpenedLosses,
        st.binary(min_size=32, max_size=200),
        st.binary(min_size=32, max_size=99),
        st.binary(max_size=99),
        st.binary(max_size=99),
    )
)
def test_made_up_openings_are_typed_errors(opening: OpenedLosses) -> None:
    with pytest.raises(ContributionError):
        check_losses(bytes(32), (0,) * 4, 9, np.array([2, 5]), opening, "a", most=MOST)


def test_sums_may_be_larger_than_any_machine_word() -> None:
    table = np.full((70_000, 2), MOST)
    tree = LossTree(table, SECRET)
    assert tree.sums == (70_000 * MOST,) * 2
    indices = np.array([0, 69_999])
    found = check_losses(tree.root, tree.sums, len(table), indices, tree.open(indices), "a", most=MOST)
    np.testing.assert_array_equal(found, table[indices])
