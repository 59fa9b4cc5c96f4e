"""Round checkpoints: what a party packs after a round, it finds again, and nothing else passes for it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.errors import TrainingError
from fedchain.model.shard import Shard, Tree
from fedchain.training.boosting.state import (
    VERSION,
    ActiveState,
    PassiveState,
    pack,
    unpack_active,
    unpack_passive,
)
from tests import strategies

counts = st.integers(0, 2**31)


@st.composite
def trees(draw: st.DrawFn) -> tuple[Tree, ...]:
    shard: Shard = draw(strategies.shards())[0]
    return shard.trees


@given(
    trees=trees(),
    margins=st.lists(st.floats(width=64), max_size=8),
    keep=counts,
    seen=counts,
    best=st.none() | st.floats(allow_nan=False),
)
def test_an_active_party_finds_its_state_again(
    trees: tuple[Tree, ...], margins: list[float], keep: int, seen: int, best: float | None
) -> None:
    margin = b"".join(msgspec.msgpack.encode(one)[1:] for one in margins)
    state = ActiveState(tuple((tree,) for tree in trees), margin, keep, seen, 2, best, ((0.5, 0.0, 1.5),) * len(trees))
    found = unpack_active(pack(state), len(margin))
    assert found == state
    assert pack(found) == pack(state)


@given(trees=trees(), number=counts, keep=counts, commitments=st.lists(st.binary(min_size=32, max_size=32), max_size=3))
def test_a_passive_party_finds_its_state_again(
    trees: tuple[Tree, ...], number: int, keep: int, commitments: list[bytes]
) -> None:
    state = PassiveState(number, trees, keep, tuple(commitments))
    assert unpack_passive(pack(state)) == state


def test_states_that_an_older_fedchain_kept_are_read_without_what_it_did_not_know() -> None:
    """The fields that version 1 had, in bytes as it wrote them."""
    active = {"rounds": [], "margin": bytes(16), "keep": 0, "seen": 3, "best_tree": 2, "best_value": 0.5, "version": 1}
    found = unpack_active(msgspec.msgpack.encode(active), 16)
    assert (found.seen, found.best_tree, found.best_value, found.gains) == (3, 2, 0.5, ())
    passive = {"number": 4, "trees": [], "keep": 0, "version": 1}
    assert unpack_passive(msgspec.msgpack.encode(passive)) == PassiveState(4, (), 0, version=1)


def test_a_state_of_other_rows_is_refused() -> None:
    raw = pack(ActiveState((), bytes(80), 0))
    with pytest.raises(TrainingError, match="other aligned rows"):
        unpack_active(raw, 88)


def test_a_state_of_another_version_or_role_is_refused() -> None:
    with pytest.raises(TrainingError, match=f"version {VERSION + 1}"):
        unpack_passive(pack(PassiveState(1, (), 0, version=VERSION + 1)))
    with pytest.raises(TrainingError, match="cannot be read"):
        unpack_passive(pack(ActiveState((), b"", 0)))


@given(raw=st.binary(max_size=200))
def test_anything_else_is_a_typed_error(raw: bytes) -> None:
    try:
        found = unpack_passive(raw)
    except TrainingError:
        return
    assert unpack_passive(pack(found)) == found
