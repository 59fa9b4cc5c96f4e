"""The joined plaintext model as the shards that a federation of the same tables would end with.

In standard mode a federation's trees are XGBoost's on the joined bins, up to ties and rounding: so what shards are for
(leaf bits, contributions) can be tried on many models without encrypting any.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchain.errors import DataError
from fedchain.model.leaf_mask import Bits, leaf_bits, leaf_weights, tree_starts, whole_bits
from fedchain.model.link import ObjectiveName
from fedchain.model.shard import OwnSplit, Shard, Tree, TreeShape
from fedchain.simulation.plaintext import BinMatrix, Fitted

_TOLERANCE = 1e-3
"""Of margins: XGBoost adds in float32 and tells weights with nine digits."""


@dataclass(frozen=True)
class JoinedModel:
    """A joined model, cut by columns.

    Attributes:
        shards: of each party, roster order.
        gains: of all splits, roster order, XGBoost's.
        bits: (rows, leaves of all trees) bool each, roster order, of the rows asked for.
    """

    shards: tuple[Shard, ...]
    gains: tuple[float, ...]
    bits: tuple[Bits, ...]


@dataclass(frozen=True)
class _Split:
    owner: int
    own: OwnSplit
    gain: float


@dataclass(frozen=True)
class _Grown:
    splits: dict[int, _Split]
    weights: dict[int, float]

    def shape(self) -> TreeShape:
        nodes = sorted([*self.splits, *self.weights])
        return TreeShape(tuple(nodes), tuple(self.splits[one].owner if one in self.splits else -1 for one in nodes))


def joined_model(
    fitted: Fitted,
    matrices: Sequence[BinMatrix],
    names: Sequence[str],
    objective: ObjectiveName,
    train: NDArray[np.bool_],
    rows: NDArray[np.int64],
) -> JoinedModel:
    """Cut a model that was fitted on these matrices.

    Args:
        fitted: of `matrices`, all parties'.
        matrices: one per party, roster order.
        names: of the parties.
        objective: the job's.
        train: (all rows,) which trained: nodes are covered by these.
        rows: whose leaf bits are wanted.

    Raises:
        DataError: the shards do not predict what the model does.
    """
    grown = [
        _grown(json.loads(text), matrices) for text in fitted.booster.get_dump(dump_format="json", with_stats=True)
    ]
    outputs = len(fitted.base)
    shards = []
    for party, name in enumerate(names):
        trees = []
        for number, one in enumerate(grown):
            splits = tuple(one.splits[node].own for node in sorted(one.splits) if one.splits[node].owner == party)
            weights = tuple(one.weights[node] for node in sorted(one.weights))
            covers = _covers(one, matrices, train) if party == 0 else ()
            trees.append(Tree(one.shape(), splits, covers, weights if party == 0 else (), number % outputs))
        shards.append(
            Shard(
                party=name,
                roster=tuple(names),
                mode="standard",
                objective=objective,
                base_margins=tuple(map(float, fitted.base)) if party == 0 else (),
                binning={},
                trees=tuple(trees),
            )
        )
    gains = [0.0] * len(names)
    for one in grown:
        for split in one.splits.values():
            gains[split.owner] += split.gain
    bits = []
    for party, (shard, (bins, features)) in enumerate(zip(shards, matrices, strict=True)):
        n_bins = np.array([feature.n_bins for feature in features], dtype=np.int64)
        bits.append(whole_bits(shards[0], party, leaf_bits(shard, bins[rows], n_bins)))
    model = JoinedModel(tuple(shards), tuple(gains), tuple(bits))
    _check(model, fitted.margins()[rows])
    return model


def _check(model: JoinedModel, expected: NDArray[np.float64]) -> None:
    active = model.shards[0]
    values = np.logical_and.reduce(model.bits) * leaf_weights(active)
    found, starts = np.tile(np.asarray(active.base_margins), (len(values), 1)), tree_starts(active)
    for tree, start, stop in zip(active.trees, starts[:-1], starts[1:], strict=True):
        found[:, tree.output] += values[:, start:stop].sum(axis=1)
    if not np.allclose(found, expected, rtol=_TOLERANCE, atol=_TOLERANCE):
        raise DataError("the joined plaintext model cannot be told as shards: they predict something else")


def _grown(root: dict[str, Any], matrices: Sequence[BinMatrix]) -> _Grown:
    """A tree of XGBoost's with heap ids, and its columns as parties' own."""
    owners = [(party, feature) for party, (bins, _) in enumerate(matrices) for feature in range(bins.shape[1])]
    grown, open_nodes = _Grown({}, {}), [(0, root)]
    while open_nodes:
        number, node = open_nodes.pop()
        if "leaf" in node:
            grown.weights[number] = float(node["leaf"])
            continue
        owner, feature = owners[int(node["split"][1:])]
        children = {child["nodeid"]: child for child in node["children"]}
        yes, no = children[node["yes"]], children[node["no"]]
        last = matrices[owner][1][feature].n_bins - 1
        bin, missing_left = min(math.ceil(node["split_condition"]) - 1, last), node["missing"] == node["yes"]
        if bin < 0:  # no value is below: rows without one alone go the way of "yes", so the sides change places
            bin, missing_left, yes, no = last, not missing_left, no, yes
        grown.splits[number] = _Split(owner, OwnSplit(number, feature, bin, missing_left), float(node["gain"]))
        open_nodes += [(2 * number + 1, yes), (2 * number + 2, no)]
    return grown


def _covers(grown: _Grown, matrices: Sequence[BinMatrix], train: NDArray[np.bool_]) -> tuple[int, ...]:
    inside = {0: np.flatnonzero(train)}
    covers: dict[int, int] = {}
    for node in sorted([*grown.splits, *grown.weights]):
        members = inside.pop(node)
        covers[node] = len(members)
        if node in grown.splits:
            split = grown.splits[node]
            bins, features = matrices[split.owner]
            column = bins[members, split.own.feature]
            left = column <= split.own.bin
            missing = column >= features[split.own.feature].n_bins
            left = np.where(missing, split.own.missing_left, left)
            inside[2 * node + 1], inside[2 * node + 2] = members[left], members[~left]
    return tuple(covers[node] for node in sorted(covers))
