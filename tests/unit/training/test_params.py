"""Growth and the number of leaves: what a job may ask for, and what it gets by default."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from fedchain.training.boosting.params import DEFAULT_LEAVES, MAX_DEPTH, MAX_LEAVES, BoostingParams, Growth, Mode


def leaf_wise(**settings: Any) -> BoostingParams:
    return BoostingParams(growth=Growth.LEAF_WISE, **settings)


def test_trees_grow_level_by_level_unless_a_job_says_otherwise() -> None:
    params = BoostingParams(depth=3)
    assert (params.growth, params.max_leaves, params.most_leaves, params.turns) == (Growth.DEPTH_WISE, None, 8, 3)


def test_leaf_wise_trees_have_thirty_one_leaves_unless_a_job_says_otherwise() -> None:
    assert leaf_wise().most_leaves == DEFAULT_LEAVES == 31
    assert leaf_wise(max_leaves=9).most_leaves == 9
    assert leaf_wise(mode=Mode.MIX, max_leaves=2).most_leaves == 2
    assert leaf_wise(depth=8, max_leaves=MAX_LEAVES).most_leaves == 256


@pytest.mark.parametrize("leaves", [1, 0, -1, MAX_LEAVES + 1, 7.0, True, "9"])
def test_a_number_of_leaves_out_of_range_is_refused(leaves: Any) -> None:
    with pytest.raises(ValidationError, match="max_leaves"):
        leaf_wise(max_leaves=leaves)


def test_a_number_of_leaves_needs_leaf_wise_growth() -> None:
    with pytest.raises(ValidationError, match="max_leaves goes with growth = 'leaf_wise', and only with it"):
        BoostingParams(max_leaves=8)


def test_an_unknown_growth_is_refused() -> None:
    with pytest.raises(ValidationError, match="growth"):
        BoostingParams(growth="lossguide")  # type: ignore[arg-type]


@pytest.mark.parametrize(("top_levels", "depth", "least"), [(1, 5, 2), (2, 5, 4), (2, 2, 2), (7, 4, 8), (3, 8, 8)])
def test_layered_needs_leaves_enough_for_all_of_its_top_levels(top_levels: int, depth: int, least: int) -> None:
    levels = {"top_levels": top_levels, "depth": depth}
    assert leaf_wise(max_leaves=least, **levels).most_leaves == least
    with pytest.raises(ValidationError, match=r"max_leaves" if least == 2 else f"max_leaves is at least {least}: mode"):
        leaf_wise(max_leaves=least - 1, **levels)
    for mode in (Mode.STANDARD, Mode.MIX):
        assert leaf_wise(mode=mode, max_leaves=2, **levels).most_leaves == 2


def test_many_top_levels_need_more_leaves_than_the_default() -> None:
    with pytest.raises(ValidationError, match="max_leaves is at least 32"):
        leaf_wise(top_levels=5, depth=6)


@given(st.integers(1, MAX_DEPTH), st.integers(2, MAX_LEAVES), st.integers(0, MAX_DEPTH - 1), st.data())
def test_no_leaf_wise_tree_takes_more_turns_than_are_set_aside(
    depth: int, leaves: int, top: int, data: st.DataObject
) -> None:
    """Turn after turn for any number of leaves at the end of the top levels, and one more to say that there is none."""
    top = min(top, depth - 1)
    at_first = data.draw(st.integers(1, min(2**top, leaves)))
    turns = top + (leaves - at_first) + 1
    assert turns <= leaf_wise(mode=Mode.MIX, depth=depth, max_leaves=leaves).turns
