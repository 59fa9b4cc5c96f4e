"""Scores from leaf bits: trees are added in training order, whatever the batch."""

from __future__ import annotations

import numpy as np
import pytest

from fedchain.errors import ProtocolViolationError
from fedchain.inference.scoring import margins
from fedchain.model.shard import OwnSplit, Shard, Tree, TreeShape

STUMP = TreeShape((0, 1, 2), (0, -1, -1))


def model(*weights: tuple[float, float], base: float = 0.0) -> Shard:
    trees = tuple(Tree(STUMP, (OwnSplit(0, 0, 0, False),), (2, 1, 1), one) for one in weights)
    return Shard(
        party="a",
        roster=("a", "b"),
        mode="standard",
        objective="binary",
        base_margins=(base,),
        binning={},
        trees=trees,
    )


def test_trees_are_added_one_after_the_other_in_training_order() -> None:
    """1e16 + 1 - 1e16 is 0 in this order; a sum over all leaves at once may give 1."""
    shard = model((1e16, 0.0), (1.0, 0.0), (-1e16, 0.0), (0.5, 0.0), base=0.25)
    bits = np.array([[True, False] * 4])
    assert margins(shard, [bits, np.ones_like(bits)], "b").tolist() == [[((0.25 + 1e16) + 1.0 - 1e16) + 0.5]]


def test_every_party_s_bits_count() -> None:
    shard = model((1.0, 2.0))
    left_or_right, left, right = (np.array([one]) for one in ([True, True], [True, False], [False, True]))
    assert margins(shard, [left_or_right, left], "b").tolist() == [[1.0]]
    assert margins(shard, [left_or_right, right], "b").tolist() == [[2.0]]
    assert margins(shard, [right, left_or_right], "b").tolist() == [[2.0]]


def test_a_score_is_the_same_in_any_batch() -> None:
    random = np.random.default_rng(1)
    shard = model(*[(float(a), float(b)) for a, b in random.normal(size=(40, 2))], base=0.1)
    goes = random.random((300, 40)) < 0.5
    bits = np.stack([goes, ~goes], axis=2).reshape(300, 80)
    together = margins(shard, [bits], "b")
    alone = np.concatenate([margins(shard, [bits[row : row + 1]], "b") for row in range(300)])
    assert together.tobytes() == alone.tobytes()


@pytest.mark.parametrize("bits", [[False, False], [True, True]])
def test_bits_that_do_not_lead_to_one_leaf_name_the_culprits(bits: list[bool]) -> None:
    with pytest.raises(ProtocolViolationError, match="exactly one leaf") as caught:
        margins(model((1.0, 2.0)), [np.array([bits])], "b, c")
    assert caught.value.culprit == "b, c"


def test_a_tree_adds_to_its_own_output_alone() -> None:
    """Two rounds of three classes; row 0 goes left in every tree, row 1 right."""
    outputs, weights = (0, 1, 2, 0, 1, 2), ((1.0, -1.0), (10.0, -10.0), (100.0, -100.0)) * 2
    pairs = zip(outputs, weights, strict=True)
    trees = tuple(Tree(STUMP, (OwnSplit(0, 0, 0, False),), (2, 1, 1), both, output) for output, both in pairs)
    shard = Shard(
        party="a",
        roster=("a", "b"),
        mode="mix",
        objective="multiclass",
        base_margins=(0.5, 0.25, 0.125),
        binning={},
        trees=trees,
    )
    bits = np.array([[True, False] * 6, [False, True] * 6])
    assert margins(shard, [bits], "b").tolist() == [[2.5, 20.25, 200.125], [-1.5, -19.75, -199.875]]
