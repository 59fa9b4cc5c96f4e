"""The open model: enough to recompute losses, nothing of columns, and no other model passes for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.bench.models import made_up_model
from fedchain.contribution.open_model import (
    active_outputs,
    check_open_model,
    check_weights,
    open_model,
    weights_commitment,
)
from fedchain.errors import ContributionError
from fedchain.model.leaf_mask import absent_factors, bit_count, leaf_weights
from fedchain.model.shard import Shard, TreeShape
from fedchain.types import AuditReason
from tests.strategies import shards

MADE = made_up_model(3, rows=10, trees=4, depth=2, seed=3)
ACTIVE, OWN = MADE.shards[0], MADE.shards[1]


def with_real_covers(active: Shard) -> Shard:
    """Made-up covers of the shared strategy need not add up; these do."""
    trees = []
    for tree in active.trees:
        covers = dict.fromkeys(tree.shape.nodes, 1)
        for node, owner in reversed(list(zip(tree.shape.nodes, tree.shape.owners, strict=True))):
            if owner >= 0:
                covers[node] = covers[2 * node + 1] + covers[2 * node + 2]
        trees.append(msgspec.structs.replace(tree, covers=tuple(covers[node] for node in tree.shape.nodes)))
    return msgspec.structs.replace(active, trees=tuple(trees))


@settings(max_examples=60, deadline=None)
@given(shards(), st.integers(1, 2))
def test_an_honest_open_model_passes_at_every_auditor_in_every_mode(model: list[Shard], auditor: int) -> None:
    outputs = len(model[0].base_margins)
    if len(model[0].trees) < outputs:
        return
    active = with_real_covers(model[0])
    opened = open_model(active)
    raw = opened.to_bytes()
    found = check_open_model(raw, model[auditor], "a")
    assert found == opened
    assert not any(tree.splits for tree in found.trees)
    assert found.binning == {}
    np.testing.assert_array_equal(leaf_weights(found), leaf_weights(active))
    for party in range(3):
        assert bit_count(found, party) == bit_count(active, party)
        np.testing.assert_array_equal(absent_factors(found, party), absent_factors(active, party))


def tree(**changes: Any) -> Callable[[Shard], Shard]:
    """The model with its second tree changed."""

    def change(model: Shard) -> Shard:
        return msgspec.structs.replace(
            model, trees=(model.trees[0], msgspec.structs.replace(model.trees[1], **changes), *model.trees[2:])
        )

    return change


def model(**changes: Any) -> Callable[[Shard], Shard]:
    """The model with other fields."""

    def change(opened: Shard) -> Shard:
        return msgspec.structs.replace(opened, **changes)

    return change


SHAPE, COVERS = ACTIVE.trees[1].shape, ACTIVE.trees[1].covers
LIES: dict[str, tuple[Callable[[Shard], Shard], str]] = {
    "other parties": (model(roster=("party_1", "party_3", "party_2")), "other parties"),
    "another's shard": (model(party="party_2"), "other parties"),
    "another mode": (model(mode="mix"), "mode or objective"),
    "another objective": (model(objective="squared_error"), "mode or objective"),
    "columns": (model(binning={"features": []}), "columns or splits"),
    "splits": (lambda opened: msgspec.structs.replace(opened, trees=ACTIVE.trees), "columns or splits"),
    "fewer trees": (lambda opened: msgspec.structs.replace(opened, trees=opened.trees[1:]), "3 trees, 4"),
    "no base margin": (model(base_margins=()), "base margins"),
    "two base margins": (model(base_margins=(0.0, 0.0)), "base margins"),
    "another output": (tree(output=1), "tree 2 adds to another output"),
    "an output below none": (tree(output=-1), "tree 2 adds to another output"),
    "another owner": (
        tree(shape=TreeShape(SHAPE.nodes, (SHAPE.owners[0] - 1 & 1, *SHAPE.owners[1:]))),
        "tree 2 has another shape",
    ),
    "an owner beyond the roster": (tree(shape=TreeShape(SHAPE.nodes, (3, *SHAPE.owners[1:]))), "nobody's"),
    "nodes out of order": (tree(shape=TreeShape(SHAPE.nodes[::-1], SHAPE.owners)), "out of order"),
    "no nodes": (tree(shape=TreeShape((), ())), "out of order"),
    "a node too many": (tree(shape=TreeShape((*SHAPE.nodes, 99), (*SHAPE.owners, -1))), "not on any path"),
    "a node below none": (tree(shape=TreeShape((-1, *SHAPE.nodes), (-1, *SHAPE.owners))), "not on any path"),
    "a node that is huge": (tree(shape=TreeShape((*SHAPE.nodes, 2**40), (*SHAPE.owners, -1))), "out of order"),
    "a node missing": (tree(shape=TreeShape(SHAPE.nodes[:-1], SHAPE.owners[:-1])), "lacks nodes"),
    "no covers": (tree(covers=()), "lacks covers"),
    "fewer weights": (tree(weights=(1.0,)), "lacks covers or weights"),
    "covers that do not add up": (tree(covers=(COVERS[0] + 1, *COVERS[1:])), "add up"),
    "covers below none": (tree(covers=(*COVERS[:5], COVERS[2] + 7, -7)), "out of range"),
    "covers beyond all rows": (tree(covers=(2**60, *COVERS[1:])), "out of range"),
    "covers of no row": (tree(covers=(0,) * 7), "add up"),
}


@pytest.mark.parametrize("name", list(LIES))
def test_another_model_is_refused_and_its_sender_named(name: str) -> None:
    change, match = LIES[name]
    with pytest.raises(ContributionError, match=match) as caught:
        check_open_model(change(open_model(ACTIVE)).to_bytes(), OWN, "party_1")
    assert (caught.value.culprit, caught.value.reason) == ("party_1", AuditReason.SHAPES)


@pytest.mark.parametrize(
    "raw",
    [b"", b"{}", b"[" * 100_000, open_model(ACTIVE).to_bytes() + b" ", b'{"base_margins":[1e999]}', b"\xff\xfe"],
)
def test_bytes_that_are_no_model_are_typed_errors(raw: bytes) -> None:
    with pytest.raises(ContributionError, match="no model"):
        check_open_model(raw, OWN, "party_1")


@settings(deadline=None)
@given(st.integers(0, 10**6))
def test_a_flipped_bit_of_an_open_model_is_refused_or_another_number(place: int) -> None:
    """What still is a model of the same shapes differs in numbers alone, and then in its commitment."""
    raw = bytearray(open_model(ACTIVE).to_bytes())
    raw[place // 8 % len(raw)] ^= 1 << place % 8
    try:
        found = check_open_model(bytes(raw), OWN, "party_1")
    except ContributionError:
        return
    assert [one.shape for one in found.trees] == [one.shape for one in ACTIVE.trees]
    salt, root = bytes(32), bytes(32)
    honest = active_outputs(open_model(ACTIVE).to_bytes(), 1.0, salt, root)
    assert active_outputs(bytes(raw), 1.0, salt, root) != honest


def test_outputs_bind_model_unit_salt_and_own_bits() -> None:
    zero, one = bytes(32), b"\x01" + bytes(31)
    others = [
        active_outputs(b"model", 1.0, zero, zero),
        active_outputs(b"modem", 1.0, zero, zero),
        active_outputs(b"model", 2.0, zero, zero),
        active_outputs(b"model", 1.0, one, zero),
        active_outputs(b"model", 1.0, zero, one),
    ]
    assert len(set(others)) == 5
    assert {len(found) for found in others} == {32}


def packed(first: int, outputs: int = 1) -> bytes:
    weights = [weight for tree in ACTIVE.trees[first : first + outputs] for weight in tree.weights]
    return np.asarray(weights, dtype="<f8").tobytes()


def test_weights_are_those_of_training_or_refused() -> None:
    opened = open_model(ACTIVE)
    salts = [bytes([number]) * 32 for number in range(4)]
    commitments = [weights_commitment(salt, packed(number)) for number, salt in enumerate(salts)]
    check_weights(opened, 0, commitments, b"".join(salts), "a")
    check_weights(opened, 3, commitments[3:], salts[3], "a")  # three rounds of a model that the job continued
    refused = [
        (tree(weights=(9.0, *ACTIVE.trees[1].weights[1:]))(opened), 0, commitments, b"".join(salts), "round 2"),
        (opened, 0, commitments, b"".join(salts[::-1]), "round 1"),
        (opened, 0, commitments[::-1], b"".join(salts), "round 1"),
        (opened, 0, commitments[:3], b"".join(salts[:3]), "number of rounds"),
        (opened, 1, commitments, b"".join(salts), "number of rounds"),
        (opened, 0, commitments, b"".join(salts)[:-1], "number of rounds"),
    ]
    for shown, earlier, committed, raw, match in refused:
        with pytest.raises(ContributionError, match=match) as caught:
            check_weights(shown, earlier, committed, raw, "a")
        assert caught.value.reason is AuditReason.WEIGHTS


def test_weights_of_all_outputs_of_a_round_are_committed_to_together() -> None:
    opened = msgspec.structs.replace(open_model(ACTIVE), base_margins=(0.0, 0.0))
    salts = bytes(64)
    check_weights(opened, 0, [weights_commitment(bytes(32), packed(place, 2)) for place in (0, 2)], salts, "a")
