"""Who competes where, in every mode."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.errors import TrainingError
from fedchain.training.boosting.params import MAX_DEPTH, BoostingParams, Growth, Mode
from fedchain.training.boosting.plan import TreePlan, plan_tree

A, B, C = (0,), (1,), (2,)
rosters = st.lists(st.booleans(), min_size=2, max_size=8).filter(any)


def plans(mode: Mode, has_features: tuple[bool, ...], count: int = 4, **params: Any) -> list[TreePlan]:
    job = BoostingParams(mode=mode, **params)
    return [plan_tree(job, number, has_features) for number in range(1, count + 1)]


def test_in_standard_mode_all_compete_at_every_level() -> None:
    for plan in plans(Mode.STANDARD, (True, True, False), depth=2):
        assert plan == TreePlan(((0, 1, 2), (0, 1, 2)), 2, shared=True)
        assert plan.passive == (1, 2), "all get ciphertexts and partitions"


def test_the_top_of_a_layered_tree_goes_round_the_passive_parties() -> None:
    found = plans(Mode.LAYERED, (True, True, True), depth=3, top_levels=2)
    assert [plan.levels for plan in found] == [(B, B, A), (C, C, A), (B, B, A), (C, C, A)]
    assert [plan.passive for plan in found] == [B, C, B, C]
    assert not any(plan.shared for plan in found)


def test_a_layered_tree_skips_passive_parties_without_features() -> None:
    found = plans(Mode.LAYERED, (True, False, True, True), depth=2, top_levels=1)
    assert [plan.levels[0] for plan in found] == [(2,), (3,), (2,), (3,)]


@pytest.mark.parametrize("top", [2, 3, 7])
def test_a_layered_tree_leaves_the_active_party_at_least_the_last_level(top: int) -> None:
    assert plans(Mode.LAYERED, (True, True), 1, depth=3, top_levels=top)[0].levels == (B, B, A)


def test_a_layered_tree_of_one_level_is_a_turn_of_mix() -> None:
    """There is no level for each: whole trees by turns, the active party's included."""
    layered, mix = (plans(mode, (True, True, True), depth=1) for mode in (Mode.LAYERED, Mode.MIX))
    assert layered == mix
    assert [plan.levels for plan in layered] == [(A,), (B,), (C,), (A,)]


def test_layered_with_an_active_party_without_features_is_mix_over_the_passive_parties() -> None:
    found = plans(Mode.LAYERED, (False, True, True), depth=2)
    assert [plan.levels for plan in found] == [(B, B), (C, C), (B, B), (C, C)]
    assert found == plans(Mode.MIX, (False, True, True), depth=2)


def test_layered_without_passive_features_is_the_active_party_alone() -> None:
    assert [plan.levels for plan in plans(Mode.LAYERED, (True, False), depth=2)] == [(A, A)] * 4
    assert all(plan.passive == () for plan in plans(Mode.LAYERED, (True, False)))


def test_mix_goes_round_all_parties_with_features() -> None:
    found = plans(Mode.MIX, (True, False, True), depth=2)
    assert [plan.levels for plan in found] == [(A, A), (C, C), (A, A), (C, C)]
    assert [plan.passive for plan in found] == [(), C, (), C]
    assert not any(plan.shared for plan in found)


def test_leaf_wise_trees_grow_leaf_by_leaf_from_where_one_set_of_parties_competes() -> None:
    leaf_wise: dict[str, Any] = {"growth": Growth.LEAF_WISE, "depth": 4}
    assert [plan.level_wise for plan in plans(Mode.STANDARD, (True, True), **leaf_wise)] == [0] * 4
    assert [plan.level_wise for plan in plans(Mode.MIX, (True, True), **leaf_wise)] == [0] * 4
    assert [plan.level_wise for plan in plans(Mode.LAYERED, (True, True), **leaf_wise, top_levels=3)] == [3] * 4
    assert [plan.level_wise for plan in plans(Mode.LAYERED, (False, True), **leaf_wise)] == [0] * 4, "a turn of mix"


@pytest.mark.parametrize("mode", list(Mode))
def test_a_job_without_any_feature_is_a_training_error(mode: Mode) -> None:
    with pytest.raises(TrainingError, match="no party has a feature"):
        plans(mode, (False, False))


@given(
    st.sampled_from(list(Mode)),
    st.sampled_from(list(Growth)),
    rosters,
    st.integers(1, MAX_DEPTH),
    st.integers(1, 7),
    st.integers(1, 2000),
)
def test_every_level_has_competitors_and_only_they_get_ciphertexts(
    mode: Mode, growth: Growth, has_features: list[bool], depth: int, top: int, number: int
) -> None:
    leaves = 2**MAX_DEPTH if growth is Growth.LEAF_WISE else None
    params = BoostingParams(mode=mode, growth=growth, max_leaves=leaves, depth=depth, top_levels=top)
    plan = plan_tree(params, number, has_features)
    assert len(plan.levels) == depth
    assert all(level for level in plan.levels)
    assert len(set(plan.levels[plan.level_wise :])) <= 1, "leaf by leaf, the same parties compete wherever a leaf is"
    assert plan.level_wise == depth or growth is Growth.LEAF_WISE
    assert set(plan.passive) == {one for level in range(depth) for one in plan.passive_at(level)}
    if mode is not Mode.STANDARD:
        assert len(plan.passive) <= 1, "one passive party learns of a tree, or none"
        assert all(has_features[one] for level in plan.levels for one in level)
        passive_levels = [level for level in range(depth) if plan.passive_at(level)]
        assert passive_levels == list(range(len(passive_levels))), "a passive party's levels are on top"
