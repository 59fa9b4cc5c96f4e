"""Salted trees of rows: what is opened is what was committed to, whichever rows; anything else names its sender."""

from __future__ import annotations

import hashlib
import hmac

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.contribution.commitments import RowTree, bit_leaves, check_rows, label_leaves, read_labels
from fedchain.errors import ContributionError
from fedchain.messages.auditing import OpenedRows
from fedchain.types import AuditReason

SECRET = bytes(range(32))
leaves = st.lists(st.binary(max_size=9), min_size=1, max_size=21)


@st.composite
def openings(draw: st.DrawFn) -> tuple[list[bytes], list[int]]:
    """Rows, and some of them to open."""
    rows = draw(leaves)
    picked = draw(st.sets(st.integers(0, len(rows) - 1), min_size=1))
    return rows, sorted(picked)


def naive_root(rows: list[bytes]) -> bytes:
    """The definition, once more: pairs are joined, an odd last node goes up as it is."""
    salts = [hmac.new(SECRET, i.to_bytes(4, "big"), "sha256").digest() for i in range(len(rows))]
    level = [hashlib.sha256(b"\x00" + salts[i] + i.to_bytes(4, "big") + row).digest() for i, row in enumerate(rows)]
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [hashlib.sha256(b"\x01" + b"".join(pair)).digest() if len(pair) == 2 else pair[0] for pair in pairs]
    return hashlib.sha256(b"\x02fedchain-rows-1" + len(rows).to_bytes(4, "big") + level[0]).digest()


@settings(deadline=None)
@given(openings())
def test_any_rows_that_are_opened_lead_to_the_root(case: tuple[list[bytes], list[int]]) -> None:
    rows, picked = case
    tree, indices = RowTree(rows, SECRET), np.array(picked)
    assert tree.root == naive_root(rows)
    opening = tree.open(indices)
    assert check_rows(tree.root, len(rows), indices, opening, "a") == [rows[i] for i in picked]
    together = len(opening.path) // 32 + len(picked)
    assert together <= len(picked) * max(1, (len(rows) - 1).bit_length() + 1)


@given(openings(), st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_bit_anywhere_is_caught(case: tuple[list[bytes], list[int]], data: st.DataObject) -> None:
    rows, picked = case
    tree, indices = RowTree(rows, SECRET), np.array(picked)
    opening = tree.open(indices)
    whole = b"".join(opening.leaves) + opening.salts + opening.path
    place = data.draw(st.integers(0, 8 * len(whole) - 1))
    changed = bytearray(whole)
    changed[place // 8] ^= 1 << place % 8
    sizes = [*map(len, opening.leaves), len(opening.salts), len(opening.path)]
    parts, start = [], 0
    for size in sizes:
        parts.append(bytes(changed[start : start + size]))
        start += size
    forged = OpenedRows(tuple(parts[:-2]), parts[-2], parts[-1])
    with pytest.raises(ContributionError) as caught:
        check_rows(tree.root, len(rows), indices, forged, "liar")
    assert (caught.value.culprit, caught.value.reason) == ("liar", AuditReason.OPENING)


@settings(deadline=None)
@given(openings(), st.data())
def test_rows_of_another_place_or_of_a_tree_of_another_size_are_caught(
    case: tuple[list[bytes], list[int]], data: st.DataObject
) -> None:
    rows, picked = case
    tree = RowTree(rows, SECRET)
    opening = tree.open(np.array(picked))
    count = data.draw(st.integers(picked[-1] + 1, 40).filter(lambda one: one != len(rows)))
    with pytest.raises(ContributionError):
        check_rows(tree.root, count, np.array(picked), opening, "a")
    others = data.draw(st.sets(st.integers(0, len(rows) - 1), min_size=len(picked), max_size=len(picked)))
    if sorted(others) != picked:
        with pytest.raises(ContributionError):
            check_rows(tree.root, len(rows), np.array(sorted(others)), opening, "a")


def test_two_rows_that_change_places_are_caught_even_if_their_bytes_are_equal() -> None:
    tree = RowTree([b"x"] * 5, SECRET)
    indices = np.array([1, 4])
    opening = tree.open(indices)
    swapped = msgspec.structs.replace(opening, salts=opening.salts[32:] + opening.salts[:32])
    with pytest.raises(ContributionError):
        check_rows(tree.root, 5, indices, swapped, "a")


def test_a_carried_node_does_not_hide_how_many_rows_there_are() -> None:
    """Row 0 of five and of six rows has the same path lengths; the count in the root tells them apart."""
    five, six = RowTree([b"x"] * 5, SECRET), RowTree([b"x"] * 6, SECRET)
    opening = five.open(np.array([0]))
    assert len(opening.path) == len(six.open(np.array([0])).path)
    with pytest.raises(ContributionError):
        check_rows(five.root, 6, np.array([0]), opening, "a")


def test_salts_differ_between_rows_and_between_secrets() -> None:
    first, second = (RowTree([b""] * 40, secret).open(np.arange(40)).salts for secret in (SECRET, bytes(32)))
    salts = [raw[i : i + 32] for raw in (first, second) for i in range(0, len(raw), 32)]
    assert len(set(salts)) == 80


@settings(deadline=None)
@given(
    st.lists(st.binary(max_size=4), min_size=1, max_size=4).map(tuple),
    st.binary(min_size=32, max_size=99),
    st.binary(max_size=99),
)
def test_made_up_openings_are_typed_errors(rows: tuple[bytes, ...], salts: bytes, path: bytes) -> None:
    with pytest.raises(ContributionError):
        check_rows(bytes(32), 9, np.array([2, 5]), OpenedRows(rows, salts, path), "a")


@pytest.mark.parametrize("picked", [[], [3, 1], [2, 2], [-1, 2], [9]])
def test_rows_that_cannot_be_opened_are_refused_on_either_side(picked: list[int]) -> None:
    tree = RowTree([b"x"] * 9, SECRET)
    with pytest.raises(ValueError, match="ascending"):
        tree.open(np.array(picked, dtype=np.int64))
    with pytest.raises(ValueError, match="ascending"):
        check_rows(tree.root, 9, np.array(picked, dtype=np.int64), tree.open(np.array([1])), "a")


def test_trees_of_nothing_of_too_much_or_without_a_secret_are_refused() -> None:
    with pytest.raises(ValueError, match="1 row or more"):
        RowTree([], SECRET)
    with pytest.raises(ValueError, match="1048576"):
        RowTree([bytes(2**20 + 1)], SECRET)
    with pytest.raises(ValueError, match="32 bytes"):
        RowTree([b"x"], b"short")


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2**31), st.floats(allow_nan=False)), min_size=1, max_size=9))
def test_labels_come_back_and_only_for_their_rows(rows: list[tuple[int, float]]) -> None:
    positions = np.array([position for position, _ in rows], dtype=np.int64)
    labels = np.array([label for _, label in rows])
    committed = label_leaves(positions, labels)
    np.testing.assert_array_equal(read_labels(committed, positions, "a"), labels)
    with pytest.raises(ContributionError, match="other rows") as caught:
        read_labels(committed, positions + 1, "a")
    assert caught.value.reason is AuditReason.LABELS
    with pytest.raises(ContributionError):
        read_labels([leaf[:-1] for leaf in committed], positions, "a")


def test_bits_are_cut_into_rows() -> None:
    assert bit_leaves(b"abcdef", 3) == [b"ab", b"cd", b"ef"]
    assert bit_leaves(b"", 2) == [b"", b""]
    with pytest.raises(ValueError, match="3 rows"):
        bit_leaves(b"abcd", 3)
