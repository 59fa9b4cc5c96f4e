"""Node ids, sibling choice, and partitions on the wire."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.errors import ProtocolViolationError
from fedchain.messages import Split, SplitNode
from fedchain.training.boosting import steps
from fedchain.training.boosting.params import MAX_CLASSES, MAX_DEPTH, MAX_LEAVES, BoostingParams, Growth, Mode
from fedchain.training.boosting.tree import (
    check_best_leaf,
    check_split,
    children_rows,
    goes_left,
    left_child,
    level_of,
    pack_left,
    parent,
    right_child,
    sibling,
    summed_nodes,
    unpack_left,
)

masks = st.lists(st.lists(st.booleans(), max_size=20).map(lambda bits: np.array(bits, dtype=bool)), max_size=5)


@given(st.integers(0, 2**20))
def test_parents_children_and_siblings_agree(node: int) -> None:
    left, right = left_child(node), right_child(node)
    assert parent(left) == parent(right) == node
    assert (sibling(left), sibling(right)) == (right, left)
    assert left % 2 == 1
    assert right == left + 1
    assert level_of(left) == level_of(right) == level_of(node) + 1
    assert 2 ** level_of(node) - 1 <= node < 2 ** (level_of(node) + 1) - 1


@given(masks)
def test_unpacking_gives_back_what_was_packed(bits: list[np.ndarray[tuple[int], np.dtype[np.bool_]]]) -> None:
    packed = pack_left(bits)
    assert len(packed) == sum((len(mask) + 7) // 8 for mask in bits)
    again = unpack_left(packed, [len(mask) for mask in bits], "bank")
    assert [mask.tolist() for mask in again] == [mask.tolist() for mask in bits]


@given(st.binary(max_size=12), st.lists(st.integers(0, 20), max_size=4))
def test_any_bytes_unpack_to_masks_that_pack_to_them_or_name_the_sender(packed: bytes, lengths: list[int]) -> None:
    text, sound = "".join(f"{byte:08b}"[::-1] for byte in packed), True
    for length in lengths:
        size = (length + 7) // 8 * 8
        sound &= len(text) >= size and "1" not in text[length:size]
        text = text[size:]
    if sound and not text:
        unpacked = unpack_left(packed, lengths, "bank")
        assert [len(mask) for mask in unpacked] == lengths
        assert pack_left(unpacked) == packed
    else:
        with pytest.raises(ProtocolViolationError) as caught:
            unpack_left(packed, lengths, "bank")
        assert caught.value.culprit == "bank"


@pytest.mark.parametrize(
    ("packed", "says"), [(b"", "shorter"), (b"\x01\x00", "longer"), (b"\x20", "beyond"), (b"\xff", "beyond")]
)
def test_partitions_of_another_size_name_the_sender(packed: bytes, says: str) -> None:
    with pytest.raises(ProtocolViolationError, match=says) as caught:
        unpack_left(packed, [5], "bank")
    assert caught.value.culprit == "bank"


def rows(**sizes: int) -> dict[int, int]:
    return {int(name[1:]): size for name, size in sizes.items()}


def test_the_smaller_sibling_is_summed_and_the_left_one_if_equal() -> None:
    assert summed_nodes(rows(n0=9)) == (0,)
    assert summed_nodes(rows(n1=4, n2=5)) == (1,)
    assert summed_nodes(rows(n1=5, n2=4)) == (2,)
    assert summed_nodes(rows(n1=4, n2=4)) == (1,)
    assert summed_nodes(rows(n6=1, n5=2, n3=3, n4=2)) == (4, 6)
    assert summed_nodes(rows(n3=1, n4=0)) == (4,)
    assert summed_nodes({}) == ()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 3), st.booleans())
def test_rows_go_left_by_bin_and_missing_ones_by_direction(bins: list[int], split_bin: int, missing_left: bool) -> None:
    n_bins = 4
    goes = goes_left(np.array(bins, dtype=np.uint8), split_bin, n_bins, missing_left)
    assert goes.tolist() == [one <= split_bin if one < n_bins else missing_left for one in bins]


def node(number: int, owner: int = 1) -> SplitNode:
    return SplitNode(number, owner, 0, 0, False)


def test_children_get_the_rows_of_their_side_in_order() -> None:
    members = np.array([4, 7, 9], dtype=np.int64)
    mask = np.array([True, False, True])
    decisions = {1: node(1), 2: node(2, -1)}
    children = children_rows({1: members, 2: members}, decisions, {1: mask})
    assert {child: own.tolist() for child, own in children.items()} == {3: [4, 9], 4: [7]}


def test_a_split_covers_exactly_the_open_nodes_in_order() -> None:
    split = Split((node(1), node(2, -1)))
    assert check_split(split, [2, 1], 2, "operator") == {1: node(1), 2: node(2, -1)}
    for bad, open_nodes in [
        (Split(()), [0]),
        (Split((node(0), node(0))), [0]),
        (Split((node(2), node(1))), [1, 2]),
        (Split((node(1),)), [1, 2]),
        (Split((node(1), node(2), node(3))), [1, 2]),
        (Split((node(1, owner=2), node(2))), [1, 2]),
    ]:
        with pytest.raises(ProtocolViolationError) as caught:
            check_split(bad, open_nodes, 2, "operator")
        assert caught.value.culprit == "operator"


def test_the_next_leaf_of_a_leaf_wise_tree_is_one_that_is_open() -> None:
    assert check_best_leaf(Split((node(4),)), [3, 4], 2, "operator") == node(4)
    assert check_best_leaf(Split((node(3, owner=0),)), [3, 4], 2, "operator") == node(3, owner=0)
    assert check_best_leaf(Split(()), [3, 4], 2, "operator") is None, "no split is worth it any more"


@pytest.mark.parametrize(
    "nodes",
    [(3, 4), (3, 3), (0,), (1,), (7,), (2**20,)],
    ids=["two", "one twice", "the root, which split", "the parent, which split", "a child to be", "far away"],
)
def test_a_next_leaf_that_is_not_open_or_not_one_names_the_active_party(nodes: tuple[int, ...]) -> None:
    with pytest.raises(ProtocolViolationError, match="not of one open node") as caught:
        check_best_leaf(Split(tuple(node(one) for one in nodes)), [3, 4], 2, "operator")
    assert caught.value.culprit == "operator"


@pytest.mark.parametrize("owner", [-1, 2, 7])
def test_a_next_leaf_has_an_owner_on_the_roster(owner: int) -> None:
    with pytest.raises(ProtocolViolationError, match="not of one open node") as caught:
        check_best_leaf(Split((node(3, owner=owner),)), [3, 4], 2, "operator")
    assert caught.value.culprit == "operator"


@pytest.mark.parametrize(
    "params",
    [
        *(BoostingParams(depth=depth) for depth in range(1, MAX_DEPTH + 1)),
        BoostingParams(growth=Growth.LEAF_WISE),
        BoostingParams(growth=Growth.LEAF_WISE, depth=MAX_DEPTH, max_leaves=MAX_LEAVES),
        BoostingParams(mode=Mode.MIX, growth=Growth.LEAF_WISE, depth=1, max_leaves=2),
    ],
    ids=lambda params: f"{params.growth.value}, depth {params.depth}, {params.most_leaves} leaves",
)
@pytest.mark.parametrize("trees", [1, 2, MAX_CLASSES])
def test_no_two_messages_of_a_round_share_a_step(params: BoostingParams, trees: int) -> None:
    turns = params.turns
    used = [steps.GRADIENTS, steps.leaf_weights(trees, turns)]
    for tree in range(trees):
        for turn in range(turns):
            used += [step(tree, turns, turn) for step in (steps.histogram, steps.split, steps.partition)]
    assert len(set(used)) == len(used)
    assert max(used) == steps.leaf_weights(trees, turns) < 2**32, "a step is a uint32 on chain"
