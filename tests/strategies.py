"""Hypothesis strategies that several tests share."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedchain.data.ids import normalize_id
from fedchain.messages import (
    AskingSet,
    AuditOpening,
    BlindedIds,
    CachedChunk,
    CachedSet,
    Contribution,
    Gradients,
    Histogram,
    IdSet,
    LeafWeights,
    Matches,
    Message,
    Partition,
    PredictAnswer,
    PredictRequest,
    PublicKey,
    ShardDigest,
    Split,
    SplitNode,
)
from fedchain.model.link import OBJECTIVES
from fedchain.model.shard import OwnSplit, Shard, Tree, TreeShape
from fedchain.training.boosting.splitting import Layout

Strategy = st.SearchStrategy


def customer_ids() -> Strategy[str]:
    """Canonical ids: numbers, codes, any script."""
    numbers = st.integers(0, 60).map(str)
    codes = st.integers(0, 60).map(lambda number: f"P-{number:03d}")
    words = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=6)
    return st.one_of(numbers, codes, words).filter(lambda text: normalize_id(text) == text)


@st.composite
def id_sets(draw: st.DrawFn, parties: int, common: int = 1) -> list[list[str]]:
    """Distinct ids of several parties in any order, with at least `common` ids that all have."""
    shared = draw(st.lists(customer_ids(), min_size=common, max_size=6, unique=True))
    sets = [draw(st.lists(customer_ids(), max_size=6, unique=True)) for _ in range(parties)]
    return [draw(st.permutations(sorted(set(shared) | set(own)))) for own in sets]


@st.composite
def layouts(draw: st.DrawFn, max_features: int = 4, max_bins: int = 5) -> Layout:
    """Layouts of one feature or more, single-bin ones included."""
    widths = draw(st.lists(st.tuples(st.integers(1, max_bins), st.booleans()), min_size=1, max_size=max_features))
    return Layout(tuple(n for n, _ in widths), tuple(missing for _, missing in widths))


@st.composite
def binned_rows(draw: st.DrawFn, max_rows: int = 24) -> tuple[Layout, NDArray[np.uint8], NDArray[np.int64]]:
    """A layout, bins of some rows (missing ones where the layout has them), and integer (gradient, hessian)."""
    layout = draw(layouts())
    rows = draw(st.integers(1, max_rows))
    columns = [draw(st.lists(st.integers(0, int(width) - 1), min_size=rows, max_size=rows)) for width in layout.widths]
    gradients = draw(st.lists(st.integers(-8, 8), min_size=rows, max_size=rows))
    hessians = draw(st.lists(st.integers(0, 4), min_size=rows, max_size=rows))
    bins = np.asfortranarray(np.array(columns, dtype=np.uint8).T)
    return layout, bins, np.array([gradients, hessians], dtype=np.int64).T


@st.composite
def tree_shapes(draw: st.DrawFn, parties: int = 3, depth: int = 3) -> TreeShape:
    """Heap-numbered shapes with owners, of any form up to a depth."""
    nodes: dict[int, int] = {}
    open_nodes = [0]
    for level in range(depth + 1):
        following = []
        for node in open_nodes:
            owner = -1 if level == depth else draw(st.integers(-1, parties - 1))
            nodes[node] = owner
            if owner >= 0:
                following += [2 * node + 1, 2 * node + 2]
        open_nodes = following
    return TreeShape(tuple(sorted(nodes)), tuple(nodes[node] for node in sorted(nodes)))


def _json_numbers() -> Strategy[float]:
    return st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def layered(draw: st.DrawFn, shape: TreeShape, parties: int) -> TreeShape:
    """The shape with owners as outside standard mode: one party at the top levels, the active one below."""
    top, owner = draw(st.integers(0, 3)), draw(st.integers(0, parties - 1))
    owners = (
        -1 if old < 0 else owner if (node + 1).bit_length() <= top else 0
        for node, old in zip(shape.nodes, shape.owners, strict=True)
    )
    return TreeShape(shape.nodes, tuple(owners))


@st.composite
def shards(draw: st.DrawFn, parties: int = 3, features: int = 3, bins: int = 4) -> list[Shard]:
    """The shards of all parties of one model: own splits, shapes as far as the mode shows them; the rest at the active.

    Outside standard mode a passive party owns what it owns at the top alone, so that all its nodes are in its view.
    """
    roster = tuple(f"party-{index}" for index in range(parties))
    modes: list[Literal["standard", "layered", "mix"]] = ["standard", "layered", "mix"]
    mode = draw(st.sampled_from(modes))
    objective = draw(st.sampled_from(OBJECTIVES))
    outputs = draw(st.integers(2, 3)) if objective == "multiclass" else 1
    trees: list[list[Tree]] = [[] for _ in roster]
    for number in range(draw(st.integers(1, 3))):
        shape = draw(tree_shapes(parties))
        if mode != "standard":
            shape = draw(layered(shape, parties))
        covers: dict[int, int] = {0: draw(st.integers(2**4, 2**8))}
        for node, owner in zip(shape.nodes, shape.owners, strict=True):
            if owner >= 0:
                covers[2 * node + 1] = draw(st.integers(1, max(1, covers[node] - 1)))
                covers[2 * node + 2] = max(1, covers[node] - covers[2 * node + 1])
        weights = tuple(draw(st.floats(-2, 2)) for _ in shape.leaves())
        for index in range(parties):
            splits = tuple(
                OwnSplit(node, draw(st.integers(0, features - 1)), draw(st.integers(0, bins - 1)), draw(st.booleans()))
                for node, owner in zip(shape.nodes, shape.owners, strict=True)
                if owner == index
            )
            extra: dict[str, Any] = {"covers": tuple(covers[n] for n in shape.nodes), "weights": weights}
            known = shape if mode == "standard" or index == 0 else shape.seen_by(index)
            owned = tuple(split for split in splits if split.node in known.nodes)
            trees[index].append(Tree(known, owned, **({} if index else extra), output=number % outputs))
    binning = draw(
        st.fixed_dictionaries(
            {"features": st.lists(st.fixed_dictionaries({"cuts": st.lists(_json_numbers()), "column": st.text()}))}
        )
    )
    return [
        Shard(
            party=name,
            roster=roster,
            mode=mode,
            objective=objective,
            base_margins=() if index else tuple(draw(_json_numbers()) for _ in range(outputs)),
            binning=binning,
            trees=tuple(trees[index]),
        )
        for index, name in enumerate(roster)
    ]


def _split_nodes() -> Strategy[SplitNode]:
    return st.builds(
        SplitNode,
        st.integers(0, 2**20),
        st.integers(-1, 7),
        st.integers(-1, 2**16),
        st.integers(-1, 255),
        st.booleans(),
    )


def messages() -> Strategy[Message]:
    """Any message that keeps to the bounds of its fields."""
    blob, exact = st.binary(max_size=300), st.binary(min_size=32, max_size=32)
    nodes = st.lists(st.integers(0, 2**20), max_size=8).map(tuple)
    groups = st.tuples(st.binary(max_size=127), st.integers(0, 2))
    small, rows, counts = st.integers(0, 2**31), st.integers(1, 2**24), st.integers(1, 2**20)
    e6 = st.integers(-(2**63), 2**63 - 1)
    return st.one_of(
        st.builds(PublicKey, exact, exact, st.binary(max_size=33 * 64), st.booleans(), st.binary(max_size=32), exact),
        st.builds(
            BlindedIds, st.integers(0, 7), st.integers(1, 8), st.integers(0, 20_000_000), blob, st.binary(max_size=64)
        ),
        st.builds(IdSet, counts, counts, blob, st.binary(max_size=33)),
        st.builds(CachedSet, exact, exact, counts, counts, blob, st.binary(min_size=33, max_size=33)),
        st.builds(AskingSet, exact, counts, counts, blob, st.binary(max_size=33), st.booleans()),
        st.builds(CachedChunk, st.integers(0, 2**16), blob),
        st.builds(Matches, st.integers(0, 2**20), st.integers(0, 2**20), blob, st.binary(max_size=64)),
        st.builds(Gradients, blob, blob, small.filter(bool), blob),
        st.builds(Histogram, nodes, st.lists(st.lists(groups, max_size=4).map(tuple), max_size=4).map(tuple), blob),
        st.builds(Split, st.lists(_split_nodes(), max_size=8).map(tuple)),
        st.builds(Partition, nodes, blob),
        st.builds(LeafWeights, exact, blob, st.booleans(), st.integers(0, 2**20)),
        st.builds(ShardDigest, exact),
        st.builds(
            Contribution,
            small.filter(bool),
            st.lists(e6, min_size=4, max_size=256).map(tuple),
            st.lists(e6, min_size=2, max_size=8).map(tuple),
            st.lists(st.lists(e6, min_size=2, max_size=8).map(tuple), max_size=4).map(tuple),
            *(st.lists(st.integers(0, 10**6), max_size=8).map(tuple) for _ in range(4)),
        ),
        st.builds(AuditOpening, blob.filter(bool)),
        st.builds(PredictRequest, rows, blob),
        st.builds(PredictAnswer, rows, blob),
    )


def utilities(parties: int) -> Strategy[list[int]]:
    """Integer utilities of all coalitions."""
    return st.lists(st.integers(-(10**6), 10**6), min_size=2**parties, max_size=2**parties)
